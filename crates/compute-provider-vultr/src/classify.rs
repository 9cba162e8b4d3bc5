//! What a failure means. The vendor has no error codes, only texts; the status comes first.

use std::time::Duration;

use compute_engine::ports::{Ambiguity, ProviderError};
use compute_outbound::{Answer, OutboundError, StatusCode, UnknownReason};

use crate::wire::ErrorBody;

/// Longest wait that is taken over from `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Longest vendor text that is kept for the log, in characters.
const MAX_REASON_CHARS: usize = 200;

/// A failed request: a thing that is not there, or an error of the port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    NotFound,
    Port(ProviderError),
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => Self::Rejected {
                reason: "not found".to_owned(),
            },
            Failure::Port(error) => error,
        }
    }
}

/// How long the vendor's work on a machine usually takes, at the least.
const LOCKED: Duration = Duration::from_secs(5);

/// A failed change of plan. The plan that "invalid plan" speaks of is for sale, but not for this machine:
/// no capacity that comes back will change that.
pub(crate) fn of_resize(failure: Failure) -> ProviderError {
    match ProviderError::from(failure) {
        ProviderError::NoCapacity { reason } if has(&reason, &["invalid plan"]) => {
            ProviderError::Rejected { reason }
        }
        error => error,
    }
}

pub(crate) fn ambiguous(ambiguity: Ambiguity) -> Failure {
    Failure::Port(ProviderError::Ambiguous(ambiguity))
}

/// No answer.
pub(crate) fn transport(error: &OutboundError) -> Failure {
    match error {
        OutboundError::NotSent { .. } => Failure::Port(ProviderError::Unreachable),
        OutboundError::Unknown { reason, .. } => ambiguous(match reason {
            UnknownReason::TimedOut | UnknownReason::Broken => Ambiguity::NoAnswer,
            UnknownReason::Unreadable | UnknownReason::Oversized => Ambiguity::Unreadable,
        }),
    }
}

/// How long the vendor wants silence.
pub(crate) fn silence(answer: &Answer) -> Option<Duration> {
    answer.retry_after().map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// An answer whose status is not a success.
pub(crate) fn status(answer: &Answer) -> Failure {
    let reason = reason(answer);
    let error = match answer.status {
        StatusCode::NOT_FOUND => return Failure::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => ProviderError::Throttled {
            retry_after: silence(answer),
        },
        // The answer of 2021 to what is 404 today.
        StatusCode::BAD_REQUEST if has(&reason, &["invalid instance id"]) => {
            return Failure::NotFound;
        }
        // A request time-out says nothing about the effect.
        status if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            refusal(reason)
        }
        status => ProviderError::Ambiguous(Ambiguity::ServerError(status.as_u16())),
    };
    Failure::Port(error)
}

fn refusal(reason: String) -> ProviderError {
    // The account's limit. Its count includes machines deleted a moment ago.
    if has(&reason, &["maximum number", "limit"]) {
        tracing::error!(provider.name = "vultr", %reason, "the account's limit is reached");
        return ProviderError::NoCapacity { reason };
    }
    if has(&reason, &["currently locked"]) {
        let retry_after = Some(LOCKED);
        return ProviderError::Throttled { retry_after };
    }
    let no_capacity = [
        // The wording of "out of stock" is not documented.
        "not available",
        "sold out",
        "capacity",
        "out of stock",
        // The plan is unknown there, or this account may not buy it.
        "invalid plan",
        "support request",
    ];
    if has(&reason, &no_capacity) {
        ProviderError::NoCapacity { reason }
    } else {
        ProviderError::Rejected { reason }
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
            format!(
                "status {} without a readable reason",
                answer.status.as_u16()
            )
        },
        |body| body.error,
    );
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_REASON_CHARS)
        .collect()
}
