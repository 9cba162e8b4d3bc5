//! The one table from what went wrong to status, code and title.

mod codes;
mod decline;
mod table;

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::FailureCode;
use compute_domain::money::Usd;
use compute_domain::operation::OperationKind;
use compute_engine::{Error, OfferSheet, OperationView, PaymentProblem};
use http::StatusCode;

use crate::render::management::BuyersKey;
use crate::render::receipt::Receipt;

pub(crate) use self::codes::CODES;
pub(crate) use self::decline::decline_detail;
use self::table::{engine_detail, engine_row, failure_detail, failure_row, unchanged_detail};

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
    /// More than one payment: which of them should pay?
    SeveralPayments,
    /// The fields that may hold a credential are too large to be looked at, beside a payment that is not.
    HeadersTooLarge,
    BodyTooLarge {
        limit: usize,
    },
    BodyTooSlow,
    CompressedBody,
    NotJson,
    NoSuchRoute,
    MethodNotAllowed,
    /// The client takes no form that the answer could have.
    NotAcceptable,
    /// No money has arrived for the work, or it costs nothing.
    NoReceipt,
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
    /// Work on a machine that costs nothing came to nothing; everything is as it was.
    Unchanged {
        code: FailureCode,
        work: Work,
    },
    /// What was bought could not be delivered, and what was paid is credit now. Or the payment
    /// network could not be reached and nothing was charged.
    Undelivered(Box<Undelivered>),
}

/// The work that an answer is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) kind: OperationKind,
    pub(crate) operation: OperationId,
    /// A top-up has none.
    pub(crate) order: Option<InstanceId>,
}

impl Work {
    pub(crate) fn of(view: &OperationView) -> Self {
        Self {
            kind: view.operation.kind,
            operation: view.operation.id,
            order: view.operation.instance,
        }
    }
}

/// A declined payment, and how to pay instead.
#[derive(Debug)]
pub(crate) struct Declined {
    pub(crate) sheet: Box<OfferSheet>,
    pub(crate) problem: PaymentProblem,
    pub(crate) work: Work,
    pub(crate) settlement: Option<Receipt>,
    pub(crate) replayed: bool,
}

/// A purchase that failed.
#[derive(Debug)]
pub(crate) struct Undelivered {
    pub(crate) code: FailureCode,
    pub(crate) work: Work,
    /// What the owner got back.
    pub(crate) credited: Option<Usd>,
    pub(crate) settlement: Option<Receipt>,
    pub(crate) replayed: bool,
    /// What the buyer reaches its credit by, who showed nothing but a credential.
    pub(crate) management: Option<BuyersKey>,
}

impl Undelivered {
    /// Whether certainly no money moved.
    pub(crate) const fn is_uncharged(&self) -> bool {
        matches!(
            self.code,
            FailureCode::PaymentUnreachable | FailureCode::PaymentDeclined
        )
    }

    /// What became of the machine: none is left, unless the failed purchase was about another thing
    /// than a machine's life.
    pub(crate) const fn cleanup(&self) -> &'static str {
        match (self.work.kind, self.code) {
            (OperationKind::Provision, _) | (_, FailureCode::InstanceGone) => "destroyed",
            _ => "none",
        }
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
            Self::SeveralPayments => row(S::BAD_REQUEST, "several_payments", "Several payments"),
            Self::HeadersTooLarge => row(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "Headers too large",
            ),
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
            Self::NotAcceptable => row(S::NOT_ACCEPTABLE, "not_acceptable", "Not acceptable"),
            Self::NoReceipt => row(S::CONFLICT, "no_receipt", "No receipt"),
            Self::RateLimited { .. } => {
                row(S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests")
            }
            Self::Overloaded => row(S::SERVICE_UNAVAILABLE, "overloaded", "Too busy"),
            Self::NotReady { .. } => row(S::SERVICE_UNAVAILABLE, "not_ready", "Not ready"),
            Self::Panicked => row(S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Declined(_) => row(S::PAYMENT_REQUIRED, "payment_declined", "Payment declined"),
            Self::Undelivered(failure) => failure_row(failure.code),
            Self::Unchanged { code, .. } => failure_row(*code),
        }
    }

    /// A sentence for the client; never the text of an inner error.
    pub(crate) fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::Engine(error) => engine_detail(error),
            Self::Shape { rule, .. } => Cow::Borrowed(rule),
            Self::SeveralPayments => "send one payment, not two".into(),
            Self::HeadersTooLarge => {
                "Authorization and Payment-Authorization are too large to be looked at; leave them out \
                 to pay by x402"
                    .into()
            }
            Self::BodyTooLarge { limit } => format!("a body has at most {limit} bytes").into(),
            Self::BodyTooSlow => "the body did not arrive in time".into(),
            Self::CompressedBody => "send the body without compression".into(),
            Self::NotJson => "send JSON in UTF-8 with Content-Type: application/json".into(),
            Self::NoSuchRoute => "there is nothing at this path".into(),
            Self::MethodNotAllowed => "this path does not answer this method; see Allow".into(),
            Self::NotAcceptable => {
                "answers are JSON, and CSV at /compute/ledger; say so in Accept, or leave it out".into()
            }
            Self::NoReceipt => {
                "no money has arrived for this work, or it costs nothing; there is a receipt once \
                 settlement is settled, credits or refunded"
                    .into()
            }
            Self::RateLimited { .. } => {
                "too many requests; see Retry-After, and RateLimit for whose".into()
            }
            Self::Overloaded => "too many requests in progress; nothing was done, try again".into(),
            Self::NotReady { .. } => "the service is not ready to sell".into(),
            Self::Panicked => "an internal fault; the request id helps to find it".into(),
            Self::Declined(declined) => Cow::Borrowed(&declined.problem.detail),
            Self::Undelivered(failure) => failure_detail(failure.code).into(),
            Self::Unchanged { code, .. } => unchanged_detail(*code).into(),
        }
    }

    /// Seconds after which it is worth trying again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited { wait } => Some(wait.as_secs().saturating_add(1)),
            Self::Engine(Error::TooManyChecks { wait } | Error::TooManyPings { wait }) => {
                let seconds = u64::try_from(wait.millis()).unwrap_or(0) / 1_000;
                Some(seconds.saturating_add(1))
            }
            Self::Overloaded => Some(1),
            Self::Engine(Error::OperationInProgress { .. }) => Some(2),
            Self::Engine(
                Error::PasswordNotReady
                | Error::ProviderUnavailable
                | Error::RailUnavailable
                | Error::CatalogUnavailable
                | Error::Unavailable(_),
            )
            | Self::NotReady { .. } => Some(5),
            Self::Undelivered(failure) if failure.code == FailureCode::PaymentUnreachable => {
                Some(5)
            }
            // What was paid and not delivered stays so, however often it is asked for; what changed
            // nothing may be tried anew.
            Self::Unchanged { .. } if self.row().status == StatusCode::SERVICE_UNAVAILABLE => {
                Some(60)
            }
            _ => None,
        }
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
