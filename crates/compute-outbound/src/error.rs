use std::error::Error as StdError;
use std::fmt;

/// Why a request brought no answer, and whether it may have had an effect all the same.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Nothing of the request was written to the peer: sending it again is safe.
    #[error("the request was not sent: {reason}")]
    NotSent {
        /// At which point it ended.
        reason: NotSentReason,
        /// The library's error, without the URL.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The request may have arrived and may have been carried out.
    #[error("the request may have arrived, but no usable answer came: {reason}")]
    Unknown {
        /// What went wrong.
        reason: UnknownReason,
        /// The status line, when that much arrived.
        status: Option<http::StatusCode>,
        /// The library's error, without the URL.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl OutboundError {
    /// Whether the request certainly had no effect.
    #[must_use]
    pub const fn is_not_sent(&self) -> bool {
        matches!(self, Self::NotSent { .. })
    }

    /// A request that could not be put together.
    pub fn unencodable(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::NotSent {
            reason: NotSentReason::Unencodable,
            source: Some(Box::new(source)),
        }
    }

    pub(crate) fn oversized(status: http::StatusCode) -> Self {
        Self::Unknown {
            reason: UnknownReason::Oversized,
            status: Some(status),
            source: None,
        }
    }

    // Everything up to the end of the TLS handshake is reported as a connect error, also when it
    // ran into the connect time-out; only then is it certain that no byte of the request was
    // written. A total time-out may have struck while connecting too, but does not say so.
    pub(crate) fn from_send(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() {
            return Self::NotSent {
                reason: NotSentReason::Connect,
                source: Some(Box::new(error)),
            };
        }
        if error.is_builder() {
            return Self::unencodable(error);
        }
        let reason = if error.is_timeout() {
            UnknownReason::TimedOut
        } else {
            UnknownReason::Broken
        };
        Self::Unknown {
            reason,
            status: None,
            source: Some(Box::new(error)),
        }
    }

    pub(crate) fn from_body(error: reqwest::Error, status: http::StatusCode) -> Self {
        let reason = if error.is_timeout() {
            UnknownReason::TimedOut
        } else {
            UnknownReason::Unreadable
        };
        Self::Unknown {
            reason,
            status: Some(status),
            source: Some(Box::new(error.without_url())),
        }
    }
}

/// How a request ended before its first byte was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSentReason {
    /// DNS, TCP or TLS failed.
    Connect,
    /// The request could not be put together.
    Unencodable,
}

impl fmt::Display for NotSentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Unencodable => "it could not be encoded",
        })
    }
}

/// How a request that may have arrived failed to bring a usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// No complete answer in the allowed time.
    TimedOut,
    /// The connection ended before the answer's head was complete, or the head was not HTTP.
    Broken,
    /// The connection ended inside the answer's body.
    Unreadable,
    /// The answer's body is larger than this client accepts.
    Oversized,
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "time ran out",
            Self::Broken => "the connection broke",
            Self::Unreadable => "the body is incomplete",
            Self::Oversized => "the body is too large",
        })
    }
}
