//! Errors as problem details (RFC 9457) with the members that x402 clients and scripts read.

use axum::body::Body;
use axum::response::Response;
use compute_domain::catalog::RegionId;
use compute_domain::id::{ApiKeyId, InstanceId, OperationId};
use compute_domain::money::Usd;
use compute_engine::Error;
use compute_mpp::ProblemType;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::challenge;
use super::management::Management;
use super::money::Dollars;
use super::receipt;
use super::{IDEMPOTENT_REPLAYED, TRUE};
use crate::app::App;
use crate::error::{ApiError, Row, Work};
use crate::request_id::RequestId;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The body of every error but a 402 that can be paid.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    /// What to branch on.
    code: &'a str,
    error: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    more: More<'a>,
}

/// What some errors say beyond the common members.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    locations: Option<&'a [RegionId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    networks: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    reasons: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    order_id: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    operation_id: Option<OperationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// `false` when certainly nothing was charged.
    charged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Compensation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    api_key_id: Option<ApiKeyId>,
    /// What an API key would need.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<&'static str>,
    #[serde(flatten)]
    #[schema(value_type = Management<'a>)]
    management: Option<Management<'a>>,
    #[serde(flatten)]
    #[schema(value_type = Sums)]
    sums: Option<Sums>,
}

/// Dollars in errors, as decimal texts like every balance (compute-api.md 13).
#[derive(Debug, Default, Serialize, ToSchema)]
struct Sums {
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortfall: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_total_usd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topup: Option<TopupHint>,
}

/// How to get the missing credits: a client asks for them itself, nothing pays for them by accident.
#[derive(Debug, Serialize, ToSchema)]
struct TopupHint {
    url: String,
    method: &'static str,
    amount: Dollars,
}

/// What became of a paid purchase that failed, and what was credited for it. Published clients
/// recognise a refund by this shape (compute-api.md 5.5).
#[derive(Debug, Serialize, ToSchema)]
struct Compensation {
    /// `destroyed` when no machine is left, whether one was made or not; `none` when nothing was to
    /// be done about one.
    cleanup: &'static str,
    #[schema(required)]
    cleanup_error: Option<&'static str>,
    credited: Dollars,
}

/// The request that went wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) id: &'a RequestId,
    /// Whether it shows a credential of the Payment scheme, and nothing of x402.
    pub(crate) by_credential: bool,
}

/// Turns an error into the answer; headers that are there already, such as `Allow`, stay.
pub(crate) fn render(
    error: &ApiError,
    asked: Asked<'_>,
    app: &App,
    mut bare: Response,
) -> Response {
    let row = error.row();
    if row.status == StatusCode::PAYMENT_REQUIRED
        && let Some(answer) = challenge::render(error, &row, asked.id, app)
    {
        return answer;
    }
    let body = body(error, &row, asked, app);
    *bare.status_mut() = row.status;
    *bare.body_mut() = Body::from(body);
    let headers = bare.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if row.status == StatusCode::UNAUTHORIZED {
        // RFC 9110 11.6.1 wants a challenge with every 401.
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("X402-Compute-Auth"),
        );
    }
    if let ApiError::Undelivered(failure) = error {
        if let Some(settlement) = &failure.settlement {
            receipt::insert(headers, settlement, row.status);
        }
        if failure.replayed {
            headers.insert(IDEMPOTENT_REPLAYED, TRUE);
        }
    }
    bare
}

fn body(error: &ApiError, row: &Row, asked: Asked<'_>, app: &App) -> Vec<u8> {
    let detail = error.detail();
    let short = match error {
        ApiError::Engine(Error::PaymentMalformed { code, .. }) => code,
        _ => row.code.as_ref(),
    };
    let problem = Problem {
        kind: kind_of(&row.code, asked.by_credential),
        title: row.title,
        status: row.status.as_u16(),
        detail: &detail,
        code: &row.code,
        error: short,
        request_id: asked.id.as_str(),
        more: more(error, app),
    };
    // Texts, numbers and one exact decimal: this cannot fail, and an empty body is still an error.
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// The problem type of errors that clients of the Payment authentication scheme meet besides the 402.
/// For everybody else they have none, as before there was the scheme.
fn kind_of(code: &str, by_credential: bool) -> &'static str {
    match code {
        "several_payments" => ProblemType::BadRequest.uri(),
        _ if !by_credential => "about:blank",
        "method_unsupported" => ProblemType::MethodUnsupported.uri(),
        "payment_already_used" => ProblemType::VerificationFailed.uri(),
        "payment_network_unavailable" => ProblemType::InternalPaymentError.uri(),
        _ => "about:blank",
    }
}

/// The further members of an error.
pub(super) fn more<'a>(error: &'a ApiError, app: &App) -> More<'a> {
    match error {
        ApiError::Shape { field, .. } => More {
            field: *field,
            ..More::default()
        },
        ApiError::NotReady { reasons } => More {
            reasons: Some(reasons),
            ..More::default()
        },
        ApiError::Undelivered(failure) => More {
            charged: failure.is_uncharged().then_some(false),
            details: failure
                .credited
                .map(|credited| compensation(failure.cleanup(), credited)),
            management: failure.management.as_ref().map(Management::of),
            ..about(&failure.work, app)
        },
        ApiError::Unchanged { work, .. } => More {
            charged: Some(false),
            ..about(work, app)
        },
        ApiError::Declined(declined) => More {
            charged: Some(false),
            ..about(&declined.work, app)
        },
        ApiError::Engine(error) => more_of_engine(error, app),
        _ => More::default(),
    }
}

fn about<'a>(work: &Work, app: &App) -> More<'a> {
    More {
        order_id: work.order,
        operation_id: Some(work.operation),
        status_url: Some(app.status_url(work)),
        ..More::default()
    }
}

fn more_of_engine<'a>(error: &'a Error, app: &App) -> More<'a> {
    match error {
        Error::Invalid { field, .. } => More {
            field: Some(field),
            ..More::default()
        },
        Error::UnknownNetwork { known } => More {
            networks: Some(known),
            ..More::default()
        },
        Error::PlanNotInRegion { locations } => More {
            locations: Some(locations),
            ..More::default()
        },
        Error::PaymentRequired {
            problem: Some(_), ..
        } => More {
            charged: Some(false),
            ..More::default()
        },
        Error::OperationInProgress {
            operation,
            instance,
        } => {
            let by_order = instance.map(|id| app.order_url(id));
            More {
                order_id: *instance,
                operation_id: *operation,
                status_url: by_order.or_else(|| operation.map(|id| app.operation_url(id))),
                ..More::default()
            }
        }
        Error::WrongState { state } => More {
            state: Some(state),
            ..More::default()
        },
        Error::ApiKeyMadeBefore { id } => More {
            api_key_id: Some(*id),
            ..More::default()
        },
        Error::ScopeMissing { needed } => More {
            needed: Some(needed.as_str()),
            ..More::default()
        },
        Error::InsufficientCredits { .. }
        | Error::BudgetExceeded { .. }
        | Error::PriceAboveMaximum { .. } => More {
            sums: Some(sums(error, app)),
            ..More::default()
        },
        _ => More::default(),
    }
}

fn sums(error: &Error, app: &App) -> Sums {
    match error {
        Error::InsufficientCredits { required, balance } => {
            let shortfall = required.checked_sub(*balance).unwrap_or_default();
            let (least, most) = app.engine().topup_bounds();
            Sums {
                required: Some(required.to_string()),
                balance: Some(balance.to_string()),
                shortfall: Some(shortfall.to_string()),
                topup: Some(TopupHint {
                    url: app.topup_url(),
                    method: "POST",
                    amount: Dollars(shortfall.max(least).min(most)),
                }),
                ..Sums::default()
            }
        }
        Error::BudgetExceeded { required, left } => Sums {
            required: Some(required.to_string()),
            left: Some(left.to_string()),
            ..Sums::default()
        },
        Error::PriceAboveMaximum { price, maximum } => Sums {
            price: Some(price.to_string()),
            max_total_usd: Some(maximum.to_string()),
            ..Sums::default()
        },
        _ => Sums::default(),
    }
}

const fn compensation(cleanup: &'static str, credited: Usd) -> Compensation {
    Compensation {
        cleanup,
        cleanup_error: None,
        credited: Dollars(credited),
    }
}
