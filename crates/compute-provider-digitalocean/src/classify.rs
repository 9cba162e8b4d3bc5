//! What a failure means. The classes that the vendor names are coarse, so texts decide.

use std::time::Duration;

use compute_engine::ports::{Ambiguity, ProviderError};
use compute_outbound::{Answer, OutboundError, StatusCode, UnknownReason};

use crate::wire::ErrorBody;

/// Longest wait that is taken over from `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long another action on a machine usually takes.
pub(crate) const PENDING_EVENT: Duration = Duration::from_secs(5);

/// Longest vendor text that is kept for the log, in characters.
const MAX_REASON_CHARS: usize = 200;

/// A failed request: a thing that is not there, a key that is there already, or an error of the port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    NotFound,
    KeyExists,
    Port(ProviderError),
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        let reason = match failure {
            Failure::NotFound => "not found",
            Failure::KeyExists => "the key exists",
            Failure::Port(error) => return error,
        };
        Self::Rejected {
            reason: reason.to_owned(),
        }
    }
}

pub(crate) fn unreadable() -> Failure {
    Failure::Port(ProviderError::Ambiguous(Ambiguity::Unreadable))
}

/// No answer.
pub(crate) fn transport(error: &OutboundError) -> Failure {
    Failure::Port(match error {
        OutboundError::NotSent { .. } => ProviderError::Unreachable,
        OutboundError::Unknown { reason, .. } => ProviderError::Ambiguous(match reason {
            UnknownReason::TimedOut | UnknownReason::Broken => Ambiguity::NoAnswer,
            UnknownReason::Unreadable | UnknownReason::Oversized => Ambiguity::Unreadable,
        }),
    })
}

/// How long the vendor wants silence.
pub(crate) fn silence(answer: &Answer) -> Option<Duration> {
    // Only a burst within a minute says for how long; the limit of an hour does not.
    answer.retry_after().map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// An answer whose status is not a success.
pub(crate) fn status(answer: &Answer) -> Failure {
    let error = match answer.status {
        StatusCode::NOT_FOUND => return Failure::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => ProviderError::Throttled {
            retry_after: silence(answer),
        },
        // A request time-out says nothing about the effect.
        status if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            return refusal(reason(answer));
        }
        status => ProviderError::Ambiguous(Ambiguity::ServerError(status.as_u16())),
    };
    Failure::Port(error)
}

fn refusal(reason: String) -> Failure {
    if has(&reason, &["already in use on your account"]) {
        return Failure::KeyExists;
    }
    if has(&reason, &["droplet limit"]) {
        tracing::error!(provider.name = "digitalocean", %reason, "the account's limit is reached");
        return Failure::Port(ProviderError::NoCapacity { reason });
    }
    // Its words begin like those of a size that is sold out.
    if has(&reason, &["smaller disk"]) {
        return Failure::Port(ProviderError::Rejected { reason });
    }
    let no_capacity = [
        "size is not available",
        "size is unavailable",
        "invalid size",
        "region is not available",
        "invalid region",
        "too large to fit",
        "capacity",
        "out of stock",
        "sold out",
    ];
    Failure::Port(if has(&reason, &no_capacity) {
        ProviderError::NoCapacity { reason }
    } else if has(&reason, &["pending event"]) {
        ProviderError::Throttled {
            retry_after: Some(PENDING_EVENT),
        }
    } else if has(
        &reason,
        &["ssh key identifiers", "key identifiers for droplet"],
    ) {
        // Somebody removed the key between its registration and its use: nothing was made, and the
        // next try registers it again. The exact words are not documented.
        ProviderError::Unreachable
    } else {
        ProviderError::Rejected { reason }
    })
}

/// A failed change of size. One that is unknown or not for this machine is refused: no capacity that comes
/// back will change that.
pub(crate) fn of_resize(failure: Failure) -> ProviderError {
    match ProviderError::from(failure) {
        ProviderError::NoCapacity { reason } if has(&reason, &["invalid size"]) => {
            ProviderError::Rejected { reason }
        }
        error => error,
    }
}

/// A failed use of the switch. A machine that is as it should be already is no failure.
pub(crate) fn of_power(failure: Failure, as_wished: &[&str]) -> Result<(), ProviderError> {
    match ProviderError::from(failure) {
        ProviderError::Rejected { reason } if has(&reason, as_wished) => Ok(()),
        error => Err(error),
    }
}

fn has(text: &str, parts: &[&str]) -> bool {
    let text = text.to_lowercase();
    parts.iter().any(|part| text.contains(part))
}

// The edge answers with HTML, so the body need not be JSON.
fn reason(answer: &Answer) -> String {
    let text = answer.json::<ErrorBody>().map_or_else(
        |_| {
            let status = answer.status.as_u16();
            format!("status {status} without a readable reason")
        },
        |body| body.message,
    );
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_REASON_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> ProviderError {
        ProviderError::from(refusal(text.to_owned()))
    }

    #[test]
    fn texts_of_the_vendor_are_classes() {
        for text in [
            "creating this/these droplet(s) will exceed your droplet limit",
            "Size is not available in this region.",
            "This size is unavailable.",
            "Region is not available",
            "Size is too large to fit on your droplet's server",
        ] {
            assert!(
                matches!(port(text), ProviderError::NoCapacity { .. }),
                "{text}"
            );
        }
        for text in [
            "Image is not available in this region.",
            "You specified an invalid image for Droplet creation.",
            "Key invalid, key should be of the format `type key [comment]`",
            "request payload validation failed",
            "This size is not available because it has a smaller disk.",
            "Droplet must be off prior to resizing",
        ] {
            assert!(
                matches!(port(text), ProviderError::Rejected { .. }),
                "{text}"
            );
        }
        let in_use = refusal("SSH Key is already in use on your account".to_owned());
        assert_eq!(in_use, Failure::KeyExists);
        let retry_after = Some(PENDING_EVENT);
        assert_eq!(
            port("Droplet already has a pending event."),
            ProviderError::Throttled { retry_after }
        );
        assert_eq!(
            port("You specified invalid SSH key identifiers for Droplet creation."),
            ProviderError::Unreachable
        );
    }
}
