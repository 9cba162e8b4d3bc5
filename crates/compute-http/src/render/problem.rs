//! Errors as problem details (RFC 9457) with the members that x402 clients and scripts read.

use axum::body::Body;
use axum::response::Response;
use compute_domain::catalog::RegionId;
use compute_domain::id::InstanceId;
use compute_domain::money::Usd;
use compute_engine::Error;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::challenge;
use super::money::Dollars;
use super::receipt;
use super::{IDEMPOTENT_REPLAYED, TRUE};
use crate::app::App;
use crate::error::{ApiError, Row};
use crate::request_id::RequestId;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The body of every error but 402.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    error: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    more: More<'a>,
}

/// What some errors say beyond the common members.
#[derive(Debug, Default, Serialize)]
pub(super) struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locations: Option<&'a [RegionId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Compensation>,
}

/// What became of a paid order that failed; the shape by which published clients recognise a
/// refund (compute-api.md 5.5).
#[derive(Debug, Serialize)]
struct Compensation {
    /// No machine is left, whether one was made or not.
    cleanup: &'static str,
    cleanup_error: Option<&'static str>,
    credited: Dollars,
}

/// Turns an error into the answer; headers that are there already, such as `Allow`, stay.
pub(crate) fn render(error: &ApiError, id: &RequestId, app: &App, mut bare: Response) -> Response {
    let row = error.row();
    if row.status == StatusCode::PAYMENT_REQUIRED
        && let Some(answer) = challenge::render(error, &row, id, app)
    {
        return answer;
    }
    let body = body(error, &row, id, app);
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
            receipt::insert(headers, settlement);
        }
        if failure.replayed {
            headers.insert(IDEMPOTENT_REPLAYED, TRUE);
        }
    }
    bare
}

fn body(error: &ApiError, row: &Row, id: &RequestId, app: &App) -> Vec<u8> {
    let detail = error.detail();
    let short = match error {
        ApiError::Engine(Error::PaymentMalformed { code, .. }) => code,
        _ => row.code.as_ref(),
    };
    let problem = Problem {
        kind: "about:blank",
        title: row.title,
        status: row.status.as_u16(),
        detail: &detail,
        code: &row.code,
        error: short,
        request_id: id.as_str(),
        more: more(error, app),
    };
    // Texts, numbers and one exact decimal: this cannot fail, and an empty body is still an error.
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// The further members of an error.
pub(super) fn more<'a>(error: &'a ApiError, app: &App) -> More<'a> {
    let of_order = |id: InstanceId| More {
        order_id: Some(id),
        status_url: Some(app.status_url(id)),
        ..More::default()
    };
    match error {
        ApiError::Shape { field, .. } => More {
            field: *field,
            ..More::default()
        },
        ApiError::NotReady { reasons } => More {
            reasons: Some(reasons),
            ..More::default()
        },
        ApiError::Undelivered(failure) => {
            let charged = failure.is_uncharged().then_some(false);
            let details = failure.credited.map(compensation);
            More {
                charged,
                details,
                ..of_order(failure.order)
            }
        }
        ApiError::Declined(declined) => More {
            charged: Some(false),
            ..of_order(declined.order)
        },
        ApiError::Engine(error) => match error {
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
            Error::OperationInProgress { instance } => of_order(*instance),
            Error::WrongState { state } => More {
                state: Some(state),
                ..More::default()
            },
            _ => More::default(),
        },
        _ => More::default(),
    }
}

const fn compensation(credited: Usd) -> Compensation {
    Compensation {
        cleanup: "destroyed",
        cleanup_error: None,
        credited: Dollars(credited),
    }
}
