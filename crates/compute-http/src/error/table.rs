//! The engine's errors and the failures of paid work, line by line.

use std::borrow::Cow;

use compute_domain::instance::FailureCode;
use compute_domain::request_key::RequestKeyKind;
use compute_engine::{Error, PaymentProblem, ResizeRefusal};
use compute_x402::MethodCode;
use http::StatusCode;

use super::{Row, row};

pub(super) fn engine_row(error: &Error) -> Row {
    use StatusCode as S;
    const INVALID: &str = "Invalid request";
    match error {
        Error::Invalid { .. } => row(S::BAD_REQUEST, "invalid_request", INVALID),
        Error::UnknownPlan => row(S::BAD_REQUEST, "unknown_plan", "Unknown plan"),
        Error::UnknownRegion => row(S::BAD_REQUEST, "unknown_region", "Unknown region"),
        Error::UnknownImage => row(S::BAD_REQUEST, "unknown_image", "Unknown image"),
        Error::ImageNotForPlan(_) => {
            row(S::BAD_REQUEST, "image_not_for_plan", "Image not for plan")
        }
        Error::UnknownNetwork { .. } => row(S::BAD_REQUEST, "unknown_network", "Unknown network"),
        Error::PlanNotInRegion { .. } => row(
            S::BAD_REQUEST,
            "plan_not_in_region",
            "Plan not available in this region",
        ),
        Error::ProviderMismatch => row(S::BAD_REQUEST, "provider_mismatch", INVALID),
        Error::SshKeyRequired => row(S::BAD_REQUEST, "ssh_key_required", INVALID),
        Error::Unauthenticated(why) => row(S::UNAUTHORIZED, why.code(), "Not authenticated"),
        Error::ScopeMissing { .. } => row(S::FORBIDDEN, "scope_missing", "Scope missing"),
        Error::SignatureRequired => row(S::FORBIDDEN, "signature_required", "Signature required"),
        Error::PayerMismatch => row(S::FORBIDDEN, "payer_mismatch", "Payer is not the caller"),
        Error::PayerRefused => row(S::FORBIDDEN, "payer_refused", "Payer refused"),
        Error::NotFound => row(S::NOT_FOUND, "not_found", "Not found"),
        Error::OperationInProgress { .. }
        | Error::WrongState { .. }
        | Error::ResizeRefused(_)
        | Error::NotOffered
        | Error::Protected
        | Error::ProviderUnavailable
        | Error::PasswordTaken
        | Error::NoPassword
        | Error::PasswordNotReady => machine_row(error),
        Error::ApiKeyMadeBefore { .. } => {
            row(S::CONFLICT, "api_key_made_before", "API key made before")
        }
        Error::TooManyPings { .. } => row(S::TOO_MANY_REQUESTS, "rate_limited", "Too many pings"),
        Error::TooManyWebhooks => row(S::CONFLICT, "limit_reached", "Too many webhooks"),
        Error::TooManyApiKeys => row(S::CONFLICT, "limit_reached", "Too many API keys"),
        Error::RailUnavailable => row(
            S::SERVICE_UNAVAILABLE,
            "payment_network_unavailable",
            "Payment network unavailable",
        ),
        Error::CatalogUnavailable => row(
            S::SERVICE_UNAVAILABLE,
            "catalogue_unavailable",
            "Catalogue unavailable",
        ),
        Error::Unavailable(_) => row(S::SERVICE_UNAVAILABLE, "unavailable", "Unavailable"),
        Error::Internal(_) => row(S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        Error::PaymentRequired { .. }
        | Error::TooManyChecks { .. }
        | Error::MethodUnsupported
        | Error::PaymentMalformed { .. }
        | Error::PaymentAlreadyUsed
        | Error::InsufficientCredits { .. }
        | Error::BudgetExceeded { .. }
        | Error::PriceAboveMaximum { .. }
        | Error::LimitReached { .. }
        | Error::RequestKeyReused { .. } => purchase_row(error),
    }
}

/// What only the work on a machine can come to.
fn machine_row(error: &Error) -> Row {
    use StatusCode as S;
    match error {
        Error::OperationInProgress { .. } => row(
            S::CONFLICT,
            "operation_in_progress",
            "Operation in progress",
        ),
        Error::WrongState { .. } => row(S::CONFLICT, "instance_not_active", "Instance not active"),
        Error::ResizeRefused(why) => row(S::BAD_REQUEST, refusal_code(why), "Resize not possible"),
        Error::NotOffered => row(S::BAD_REQUEST, "not_supported", "Not supported"),
        Error::Protected => row(S::CONFLICT, "deletion_protected", "Protected"),
        Error::ProviderUnavailable => row(
            S::SERVICE_UNAVAILABLE,
            "provider_unavailable",
            "Provider unavailable",
        ),
        Error::PasswordTaken => row(
            S::CONFLICT,
            "password_already_retrieved",
            "Password already retrieved",
        ),
        Error::NoPassword => row(S::CONFLICT, "password_not_available", "No password"),
        Error::PasswordNotReady => row(
            S::SERVICE_UNAVAILABLE,
            "password_not_ready",
            "Password not ready",
        ),
        // The engine's other errors have their line in the table above.
        _ => row(S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
    }
}

/// Our word for each rule that forbids a change of plan (decisions.md 27).
const fn refusal_code(why: &ResizeRefusal) -> &'static str {
    match why {
        ResizeRefusal::SamePlan => "resize_same_plan",
        ResizeRefusal::OtherProvider { .. } => "resize_other_provider",
        ResizeRefusal::Smaller => "resize_downgrade",
        ResizeRefusal::OtherFamily => "resize_other_family",
        ResizeRefusal::Never => "resize_not_possible",
        ResizeRefusal::DiskNotConfirmed => "disk_resize_confirmation_required",
        ResizeRefusal::TooLittleLeft { .. } => "resize_too_little_left",
    }
}

/// What only a purchase can come to.
fn purchase_row(error: &Error) -> Row {
    use StatusCode as S;
    match error {
        Error::PaymentRequired {
            problem: Some(problem),
            ..
        } => refused_row(problem),
        Error::MethodUnsupported => row(
            S::BAD_REQUEST,
            "method_unsupported",
            "Payment method not offered",
        ),
        Error::PaymentMalformed { .. } => {
            row(S::BAD_REQUEST, "payment_malformed", "Malformed payment")
        }
        Error::TooManyChecks { .. } => {
            row(S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests")
        }
        Error::PaymentAlreadyUsed => {
            row(S::CONFLICT, "payment_already_used", "Payment already used")
        }
        Error::InsufficientCredits { .. } => row(
            S::PAYMENT_REQUIRED,
            "insufficient_credits",
            "Not enough credits",
        ),
        Error::BudgetExceeded { .. } => row(
            S::FORBIDDEN,
            "api_key_budget_exceeded",
            "Budget of the API key exceeded",
        ),
        Error::PriceAboveMaximum { .. } => row(
            S::CONFLICT,
            "price_above_maximum",
            "Price above the maximum",
        ),
        Error::LimitReached { .. } => row(S::CONFLICT, "limit_reached", "Too many instances"),
        Error::RequestKeyReused {
            kind: RequestKeyKind::IdempotencyKey,
        } => row(
            S::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "Idempotency key reused",
        ),
        Error::RequestKeyReused {
            kind: RequestKeyKind::PaymentIdentifier,
        } => row(
            S::CONFLICT,
            "payment_identifier_reused",
            "Payment identifier reused",
        ),
        // The engine's other errors have their line in the table above.
        _ => row(S::PAYMENT_REQUIRED, "payment_required", "Payment required"),
    }
}

/// A payment that was refused; a credential by the words of its scheme.
fn refused_row(problem: &PaymentProblem) -> Row {
    match problem.kind {
        Some(kind) => Row {
            status: StatusCode::PAYMENT_REQUIRED,
            code: kind.code().replace('-', "_").into(),
            title: kind.title(),
        },
        None => row(
            refusal_status(&problem.code),
            problem_code(&problem.code),
            "Payment refused",
        ),
    }
}

/// 412 tells a client that it must approve Permit2 first (x402 specification v2); all else is 402.
fn refusal_status(x402_code: &str) -> StatusCode {
    if x402_code == MethodCode::PERMIT2_ALLOWANCE.as_str() {
        StatusCode::PRECONDITION_FAILED
    } else {
        StatusCode::PAYMENT_REQUIRED
    }
}

/// Our word for a refused payment; the x402 code says it precisely.
pub(super) fn problem_code(x402_code: &str) -> &'static str {
    if x402_code == "payment_required" {
        "payment_required"
    } else if x402_code.contains("insufficient") {
        "payment_insufficient"
    } else if x402_code.ends_with("_valid_before") || x402_code.ends_with("_deadline_expired") {
        "payment_expired"
    } else {
        "payment_invalid"
    }
}

/// A purchase that came to nothing after it was accepted (decisions.md 5).
pub(super) fn failure_row(code: FailureCode) -> Row {
    let (status, title) = match code {
        FailureCode::ProviderRejected => (StatusCode::BAD_GATEWAY, "Provider refused"),
        FailureCode::NoCapacity => (StatusCode::SERVICE_UNAVAILABLE, "No capacity"),
        FailureCode::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "Machine did not start"),
        FailureCode::ProviderUnavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "Provider unavailable")
        }
        FailureCode::PaymentUnreachable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Payment network unavailable",
        ),
        FailureCode::PaymentDeclined => (StatusCode::PAYMENT_REQUIRED, "Payment declined"),
        FailureCode::SettlementUnknown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Settlement outcome unknown",
        ),
        FailureCode::InstanceGone => (StatusCode::SERVICE_UNAVAILABLE, "Instance gone"),
        FailureCode::OperatorRefunded => (StatusCode::SERVICE_UNAVAILABLE, "Ended by an operator"),
        FailureCode::ResizeFailed => (StatusCode::BAD_GATEWAY, "Plan not changed"),
        FailureCode::PaidTooLate => (StatusCode::SERVICE_UNAVAILABLE, "Paid too late"),
    };
    row(status, code.as_str(), title)
}

pub(super) const fn failure_detail(code: FailureCode) -> &'static str {
    match code {
        FailureCode::ProviderRejected => {
            "the provider refused the machine; what was paid is the owner's credit now"
        }
        FailureCode::NoCapacity => {
            "the provider has no such machine left; what was paid is the owner's credit now"
        }
        FailureCode::ProviderUnavailable => {
            "the provider did not answer for too long; what was paid is the owner's credit now"
        }
        FailureCode::NotReady => {
            "the machine did not start in time and was removed; what was paid is the owner's credit now"
        }
        FailureCode::PaymentUnreachable => {
            "the payment network could not be reached; nothing was charged"
        }
        FailureCode::PaymentDeclined => "the payment was declined; nothing was charged",
        FailureCode::SettlementUnknown => {
            "it is not known yet whether the payment settled; do not create a new payment"
        }
        FailureCode::InstanceGone => {
            "the machine came to its end before the payment settled; what was paid is the owner's credit now"
        }
        FailureCode::OperatorRefunded => {
            "nobody could tell whether the payment settled; an operator made its price the owner's credit"
        }
        FailureCode::ResizeFailed => unchanged_detail(code),
        FailureCode::PaidTooLate => {
            "the transfer cannot buy this any more: it came too late, or what it was sent for is gone or \
             was bought already; what was paid is the owner's credit now"
        }
    }
}

/// Work on a machine that costs nothing and came to nothing.
pub(super) const fn unchanged_detail(code: FailureCode) -> &'static str {
    match code {
        FailureCode::ProviderRejected => {
            "the provider refused; plan, price and end of the prepaid time are as they were"
        }
        FailureCode::NoCapacity => {
            "the provider has no room for it now; plan, price and end of the prepaid time are as they \
             were; try again later or choose another plan"
        }
        FailureCode::NotReady => {
            "the machine did not come to the wanted state in time; plan, price and end of the prepaid \
             time are as they were"
        }
        FailureCode::ResizeFailed => {
            "the provider did not bring the change about; plan, price and end of the prepaid time are \
             as they were"
        }
        _ => {
            "the provider could not do it now; plan, price and end of the prepaid time are as they were"
        }
    }
}

pub(super) fn engine_detail(error: &Error) -> Cow<'_, str> {
    match error {
        Error::Invalid { rule, .. } => Cow::Borrowed(rule),
        Error::Unauthenticated(why) => why.detail().into(),
        Error::PaymentRequired {
            problem: Some(problem),
            ..
        } => Cow::Borrowed(&problem.detail),
        Error::PaymentRequired { problem: None, .. } => {
            "pay one of the offers and send the same request again with the payment".into()
        }
        Error::PaymentMalformed { detail, .. } => Cow::Borrowed(detail),
        Error::OperationInProgress { .. } => {
            "another operation is in progress; do not create a new payment".into()
        }
        Error::InsufficientCredits { .. } => {
            "the credits do not suffice and nothing was bought; top them up, see topup".into()
        }
        Error::PriceAboveMaximum { .. } => {
            "the price is above max_total_usd; nothing was settled or spent".into()
        }
        Error::LimitReached { is_own: true } => {
            "this owner has as many instances as allowed; nothing was settled or spent".into()
        }
        Error::LimitReached { is_own: false } => {
            "no more instances are sold now; nothing was settled or spent".into()
        }
        Error::RequestKeyReused {
            kind: RequestKeyKind::IdempotencyKey,
        } => "this Idempotency-Key stands for another request; use one per purchase, and repeat \
              the same value when retrying"
            .into(),
        Error::RequestKeyReused {
            kind: RequestKeyKind::PaymentIdentifier,
        } => "this payment identifier stands for another request; use one per purchase, and \
              repeat the same value when retrying"
            .into(),
        Error::Internal(_) => "an internal fault; the request id helps to find it".into(),
        // The texts of the other variants are written for clients and have no inner text.
        other => other.to_string().into(),
    }
}
