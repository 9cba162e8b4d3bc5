//! The one table from what went wrong to status, code and title.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use compute_domain::id::InstanceId;
use compute_domain::instance::FailureCode;
use compute_domain::money::Usd;
use compute_engine::{Error, OfferSheet, PaymentProblem};
use compute_x402::SettlementHeaders;
use http::StatusCode;

/// What a request came to when it did not come to what was asked.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The engine's word.
    Engine(Error),
    /// The request does not have the shape it should have.
    Shape {
        code: &'static str,
        field: Option<&'static str>,
        rule: String,
    },
    BodyTooLarge {
        limit: usize,
    },
    BodyTooSlow,
    CompressedBody,
    NotJson,
    NoSuchRoute,
    MethodNotAllowed,
    RateLimited {
        wait: Duration,
    },
    Overloaded,
    NotReady {
        reasons: Vec<String>,
    },
    /// A handler panicked.
    Panicked,
    /// The payment was declined; no money moved.
    Declined(Box<Declined>),
    /// The payment settled, the machine could not be delivered, the money is credit now. Or the
    /// payment network could not be reached and nothing was charged.
    Undelivered(Box<Undelivered>),
}

/// A declined payment, and how to pay instead.
#[derive(Debug)]
pub(crate) struct Declined {
    pub(crate) sheet: Box<OfferSheet>,
    pub(crate) problem: PaymentProblem,
    pub(crate) order: InstanceId,
    pub(crate) settlement: Option<SettlementHeaders>,
    pub(crate) replayed: bool,
}

/// An order that failed.
#[derive(Debug)]
pub(crate) struct Undelivered {
    pub(crate) code: FailureCode,
    pub(crate) order: InstanceId,
    /// What the owner got back.
    pub(crate) credited: Option<Usd>,
    pub(crate) settlement: Option<SettlementHeaders>,
    pub(crate) replayed: bool,
}

impl Undelivered {
    /// Whether certainly no money moved.
    pub(crate) const fn is_uncharged(&self) -> bool {
        matches!(
            self.code,
            FailureCode::PaymentUnreachable | FailureCode::PaymentDeclined
        )
    }
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) status: StatusCode,
    /// Our stable code.
    pub(crate) code: Cow<'static, str>,
    pub(crate) title: &'static str,
}

fn row(status: StatusCode, code: &'static str, title: &'static str) -> Row {
    Row {
        status,
        code: Cow::Borrowed(code),
        title,
    }
}

impl ApiError {
    /// The body or a header breaks a rule.
    pub(crate) fn shape(rule: impl Into<String>) -> Self {
        Self::Shape {
            code: "invalid_request",
            field: None,
            rule: rule.into(),
        }
    }

    /// A member breaks a rule.
    pub(crate) fn field(field: &'static str, rule: impl Into<String>) -> Self {
        Self::Shape {
            code: "invalid_request",
            field: Some(field),
            rule: rule.into(),
        }
    }

    /// A member asks for something that is not sold here.
    pub(crate) fn unsupported(
        code: &'static str,
        field: &'static str,
        rule: impl Into<String>,
    ) -> Self {
        Self::Shape {
            code,
            field: Some(field),
            rule: rule.into(),
        }
    }

    pub(crate) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine(Error::Internal(Box::new(error)))
    }

    /// Status, code and title.
    pub(crate) fn row(&self) -> Row {
        use StatusCode as S;
        match self {
            Self::Engine(error) => engine_row(error),
            Self::Shape { code, .. } => row(S::BAD_REQUEST, code, "Invalid request"),
            Self::BodyTooLarge { .. } => row(S::PAYLOAD_TOO_LARGE, "too_large", "Body too large"),
            Self::BodyTooSlow => row(S::REQUEST_TIMEOUT, "body_timeout", "Body too slow"),
            Self::CompressedBody | Self::NotJson => row(
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
            ),
            Self::NoSuchRoute => row(S::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed => row(
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
            ),
            Self::RateLimited { .. } => {
                row(S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests")
            }
            Self::Overloaded => row(S::SERVICE_UNAVAILABLE, "overloaded", "Too busy"),
            Self::NotReady { .. } => row(S::SERVICE_UNAVAILABLE, "not_ready", "Not ready"),
            Self::Panicked => row(S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Declined(_) => row(S::PAYMENT_REQUIRED, "payment_declined", "Payment declined"),
            Self::Undelivered(failure) => failure_row(failure.code),
        }
    }

    /// A sentence for the client; never the text of an inner error.
    pub(crate) fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::Engine(error) => engine_detail(error),
            Self::Shape { rule, .. } => Cow::Borrowed(rule),
            Self::BodyTooLarge { limit } => format!("a body has at most {limit} bytes").into(),
            Self::BodyTooSlow => "the body did not arrive in time".into(),
            Self::CompressedBody => "send the body without compression".into(),
            Self::NotJson => "send JSON in UTF-8 with Content-Type: application/json".into(),
            Self::NoSuchRoute => "there is nothing at this path".into(),
            Self::MethodNotAllowed => "this path does not answer this method; see Allow".into(),
            Self::RateLimited { .. } => {
                "too many requests from this address; see Retry-After".into()
            }
            Self::Overloaded => "too many requests in progress; nothing was done, try again".into(),
            Self::NotReady { .. } => "the service is not ready to sell".into(),
            Self::Panicked => "an internal fault; the request id helps to find it".into(),
            Self::Declined(declined) => Cow::Borrowed(&declined.problem.detail),
            Self::Undelivered(failure) => failure_detail(failure.code).into(),
        }
    }

    /// Seconds after which it is worth trying again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited { wait } => Some(wait.as_secs().saturating_add(1)),
            Self::Overloaded => Some(1),
            Self::Engine(Error::OperationInProgress { .. }) => Some(2),
            Self::Engine(
                Error::PasswordNotReady
                | Error::RailUnavailable
                | Error::CatalogUnavailable
                | Error::Unavailable(_),
            )
            | Self::NotReady { .. } => Some(5),
            Self::Undelivered(failure) if failure.code == FailureCode::PaymentUnreachable => {
                Some(5)
            }
            _ => None,
        }
    }
}

fn engine_row(error: &Error) -> Row {
    use StatusCode as S;
    const INVALID: &str = "Invalid request";
    match error {
        Error::Invalid { .. } => row(S::BAD_REQUEST, "invalid_request", INVALID),
        Error::UnknownPlan => row(S::BAD_REQUEST, "unknown_plan", "Unknown plan"),
        Error::UnknownRegion => row(S::BAD_REQUEST, "unknown_region", "Unknown region"),
        Error::UnknownImage => row(S::BAD_REQUEST, "unknown_image", "Unknown image"),
        Error::UnknownNetwork { .. } => row(S::BAD_REQUEST, "unknown_network", "Unknown network"),
        Error::PlanNotInRegion { .. } => row(
            S::BAD_REQUEST,
            "plan_not_in_region",
            "Plan not available in this region",
        ),
        Error::ProviderMismatch => row(S::BAD_REQUEST, "provider_mismatch", INVALID),
        Error::SshKeyRequired => row(S::BAD_REQUEST, "ssh_key_required", INVALID),
        Error::Unauthenticated(why) => row(S::UNAUTHORIZED, why.code(), "Not authenticated"),
        Error::SignatureRequired => row(S::FORBIDDEN, "signature_required", "Signature required"),
        Error::PayerMismatch => row(S::FORBIDDEN, "payer_mismatch", "Payer is not the caller"),
        Error::NotFound => row(S::NOT_FOUND, "not_found", "Not found"),
        Error::PaymentRequired { problem: None, .. } => {
            row(S::PAYMENT_REQUIRED, "payment_required", "Payment required")
        }
        Error::PaymentRequired {
            problem: Some(problem),
            ..
        } => row(
            S::PAYMENT_REQUIRED,
            problem_code(&problem.code),
            "Payment refused",
        ),
        Error::PaymentMalformed { .. } => {
            row(S::BAD_REQUEST, "payment_malformed", "Malformed payment")
        }
        Error::PaymentAlreadyUsed => {
            row(S::CONFLICT, "payment_already_used", "Payment already used")
        }
        Error::OperationInProgress { .. } => row(
            S::CONFLICT,
            "operation_in_progress",
            "Operation in progress",
        ),
        Error::WrongState { .. } => row(S::CONFLICT, "instance_not_active", "Instance not active"),
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
    }
}

/// Our word for a refused payment; the x402 code says it precisely.
fn problem_code(x402_code: &str) -> &'static str {
    if x402_code == "payment_required" {
        "payment_required"
    } else if x402_code.contains("insufficient") {
        "payment_insufficient"
    } else if x402_code.ends_with("_valid_before") {
        "payment_expired"
    } else {
        "payment_invalid"
    }
}

/// An order that came to nothing after its payment was accepted (decisions.md 5).
fn failure_row(code: FailureCode) -> Row {
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
    };
    row(status, code.as_str(), title)
}

fn failure_detail(code: FailureCode) -> &'static str {
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
    }
}

fn engine_detail(error: &Error) -> Cow<'_, str> {
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
            "another operation on this order is in progress; do not create a new payment".into()
        }
        Error::Internal(_) => "an internal fault; the request id helps to find it".into(),
        // The texts of the other variants are written for clients and have no inner text.
        other => other.to_string().into(),
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

/// Carries an error to the front door, which alone knows the request's id and renders it.
#[derive(Clone)]
pub(crate) struct Carried(std::sync::Arc<std::sync::Mutex<Option<ApiError>>>);

impl Carried {
    pub(crate) fn take(&self) -> Option<ApiError> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.row().status;
        let carried = Carried(std::sync::Arc::new(std::sync::Mutex::new(Some(self))));
        response.extensions_mut().insert(carried);
        response
    }
}

#[cfg(test)]
#[path = "error/tests.rs"]
mod tests;
