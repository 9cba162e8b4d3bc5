//! What went wrong, in the form that clients of the scheme understand (RFC 9457).

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// The media type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemType {
    /// No credential was sent.
    PaymentRequired,
    /// What was sent is no credential.
    MalformedCredential,
    /// Not a challenge of ours, or not one for this request.
    InvalidChallenge,
    /// A challenge of ours, too late.
    PaymentExpired,
    /// The proof does not pay the challenge. Nothing was taken.
    VerificationFailed,
    /// The proof was used before. No challenge goes with it: a client would pay once more.
    AlreadyUsed,
    /// The amount or the payer's balance is too small.
    PaymentInsufficient,
    /// The payload has the wrong shape for its method.
    InvalidPayload,
    /// A method or intent that is not offered here.
    MethodUnsupported,
    /// Several credentials, and the like.
    BadRequest,
    /// The payer has to do something elsewhere first.
    PaymentActionRequired,
    /// The outcome is unknown. No challenge goes with it.
    InternalPaymentError,
}

impl ProblemType {
    /// Every type.
    pub const ALL: [Self; 12] = [
        Self::PaymentRequired,
        Self::MalformedCredential,
        Self::InvalidChallenge,
        Self::PaymentExpired,
        Self::VerificationFailed,
        Self::AlreadyUsed,
        Self::PaymentInsufficient,
        Self::InvalidPayload,
        Self::MethodUnsupported,
        Self::BadRequest,
        Self::PaymentActionRequired,
        Self::InternalPaymentError,
    ];

    /// The URI that names the type.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::PaymentRequired => "https://paymentauth.org/problems/payment-required",
            Self::MalformedCredential => "https://paymentauth.org/problems/malformed-credential",
            Self::InvalidChallenge => "https://paymentauth.org/problems/invalid-challenge",
            Self::PaymentExpired => "https://paymentauth.org/problems/payment-expired",
            Self::VerificationFailed | Self::AlreadyUsed => {
                "https://paymentauth.org/problems/verification-failed"
            }
            Self::PaymentInsufficient => "https://paymentauth.org/problems/payment-insufficient",
            Self::InvalidPayload => "https://paymentauth.org/problems/invalid-payload",
            Self::MethodUnsupported => "https://paymentauth.org/problems/method-unsupported",
            Self::BadRequest => "https://paymentauth.org/problems/bad-request",
            Self::PaymentActionRequired => {
                "https://paymentauth.org/problems/payment-action-required"
            }
            Self::InternalPaymentError => "https://paymentauth.org/problems/internal-payment-error",
        }
    }

    /// The last part of the URI, a short code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.uri().rsplit('/').next().unwrap_or_default()
    }

    /// The title, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::PaymentRequired => "Payment Required",
            Self::MalformedCredential => "Malformed Credential",
            Self::InvalidChallenge => "Invalid Challenge",
            Self::PaymentExpired => "Payment Expired",
            Self::VerificationFailed | Self::AlreadyUsed => "Verification Failed",
            Self::PaymentInsufficient => "Payment Insufficient",
            Self::InvalidPayload => "Invalid Payload",
            Self::MethodUnsupported => "Method Unsupported",
            Self::BadRequest => "Bad Request",
            Self::PaymentActionRequired => "Payment Action Required",
            Self::InternalPaymentError => "Internal Payment Error",
        }
    }

    /// The HTTP status of the answer, unless the server knows better.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::PaymentRequired
            | Self::MalformedCredential
            | Self::InvalidChallenge
            | Self::PaymentExpired
            | Self::VerificationFailed
            | Self::PaymentInsufficient
            | Self::InvalidPayload
            | Self::PaymentActionRequired => 402,
            Self::AlreadyUsed => 403,
            Self::MethodUnsupported | Self::BadRequest => 400,
            Self::InternalPaymentError => 500,
        }
    }

    /// Whether a fresh challenge goes with the answer: exactly with 402. Automatic clients pay what
    /// a challenge asks for, so it belongs only where nothing was taken.
    #[must_use]
    pub const fn has_fresh_challenge(self) -> bool {
        self.status() == 402
    }
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    problem_type: ProblemType,
    status: u16,
    detail: String,
    challenge_id: Option<String>,
}

impl Problem {
    /// A problem with a sentence about this occurrence. The sentence goes to strangers.
    #[must_use]
    pub fn new(problem_type: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            problem_type,
            status: problem_type.status(),
            detail: detail.into(),
            challenge_id: None,
        }
    }

    /// The same with another HTTP status.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same about one challenge.
    #[must_use]
    pub fn with_challenge_id(mut self, id: impl Into<String>) -> Self {
        self.challenge_id = Some(id.into());
        self
    }

    /// The type.
    #[must_use]
    pub const fn problem_type(&self) -> ProblemType {
        self.problem_type
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("type", self.problem_type.uri())?;
        members.serialize_entry("title", self.problem_type.title())?;
        members.serialize_entry("status", &self.status)?;
        members.serialize_entry("detail", &self.detail)?;
        if let Some(id) = &self.challenge_id {
            members.serialize_entry("challengeId", id)?;
        }
        members.end()
    }
}
