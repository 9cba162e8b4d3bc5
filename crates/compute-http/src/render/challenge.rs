//! The answer 402: one response that x402 clients of both versions can pay, and those of the Payment
//! authentication scheme.
//!
//! The body offers only the network the request names, because older clients give up a whole list
//! over one entry they do not know; the header `PAYMENT-REQUIRED` offers everything (x402.md 4.2).
//! This is the busiest answer of the service: everything is borrowed and written once.

use axum::body::Body;
use axum::response::Response;
use compute_engine::{Error, OfferSheet, PaymentProblem};
use compute_x402::challenge::V1Accepts;
use compute_x402::{Challenge, ErrorCode};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{More, more};
use super::{APPLICATION_JSON, IDEMPOTENT_REPLAYED, TRUE, extensions, receipt};
use crate::app::App;
use crate::discovery::answers;
use crate::error::{ApiError, Row};
use crate::request_id::RequestId;

const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static("payment-required");

/// A guess at the body's length, so that it is written into one allocation.
const BODY_CAPACITY: usize = 1_024;

/// The v1 challenge with the members of a problem beside it: clients ignore what they do not know.
#[derive(Serialize, ToSchema)]
#[schema(as = Challenge)]
pub(crate) struct ChallengeBody<'a> {
    #[serde(rename = "x402Version")]
    x402_version: u8,
    /// A code of x402.
    error: &'a str,
    /// Offers over the network that the request named; those of all networks are in the headers.
    #[schema(schema_with = answers::offers)]
    accepts: V1Accepts<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    #[schema(ignore)]
    more: More<'a>,
}

/// The 402 for an error that carries offers.
pub(super) fn render(error: &ApiError, row: &Row, id: &RequestId, app: &App) -> Option<Response> {
    let (sheet, problem) = offers_of(error)?;
    let code = problem.map_or(ErrorCode::PaymentRequired, |problem| {
        ErrorCode::from_wire(&problem.code)
    });
    let extensions = extensions::of_challenge(&sheet.offers, &sheet.resource.url, app);
    let challenge = Challenge::new(sheet.resource.as_resource(), &sheet.offers, &code)
        .with_extensions(&extensions);
    // The engine puts the rail that the request asked for first. Without it the body offers nothing.
    let is_asked = sheet.rails.first() == Some(&sheet.asked);
    let first = sheet.offers.first().filter(|_| is_asked);
    let asked = first.map_or("", |offer| offer.network().v1_name());
    let body = ChallengeBody {
        x402_version: 1,
        error: code.as_str(),
        accepts: challenge.v1_accepts(asked),
        kind: kind(row, problem),
        title: row.title,
        status: row.status.as_u16(),
        detail: &error.detail(),
        code: &row.code,
        request_id: id.as_str(),
        more: more(error, app),
    };
    let mut bytes = Vec::with_capacity(BODY_CAPACITY);
    serde_json::to_writer(&mut bytes, &body).ok()?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = row.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, APPLICATION_JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !sheet.offers.is_empty() {
        headers.insert(
            PAYMENT_REQUIRED,
            HeaderValue::try_from(challenge.payment_required(asked)).ok()?,
        );
    }
    for challenge in app.engine().challenges(sheet) {
        let line = HeaderValue::try_from(challenge.www_authenticate()).ok()?;
        headers.append(WWW_AUTHENTICATE, line);
    }
    if let ApiError::Declined(declined) = error {
        if let Some(settlement) = &declined.settlement {
            receipt::insert(headers, settlement, row.status);
        }
        if declined.replayed {
            headers.insert(IDEMPOTENT_REPLAYED, TRUE);
        }
    }
    Some(response)
}

fn offers_of(error: &ApiError) -> Option<(&OfferSheet, Option<&PaymentProblem>)> {
    match error {
        ApiError::Engine(Error::PaymentRequired { sheet, problem }) => {
            Some((sheet, problem.as_ref()))
        }
        ApiError::Declined(declined) => Some((&declined.sheet, Some(&declined.problem))),
        _ => None,
    }
}

/// The problem types of the Payment authentication scheme.
fn kind(row: &Row, problem: Option<&PaymentProblem>) -> &'static str {
    if let Some(kind) = problem.and_then(|problem| problem.kind) {
        return kind.uri();
    }
    match row.code.as_ref() {
        "payment_required" => "https://paymentauth.org/problems/payment-required",
        "payment_insufficient" => "https://paymentauth.org/problems/payment-insufficient",
        "payment_expired" => "https://paymentauth.org/problems/payment-expired",
        _ => "https://paymentauth.org/problems/verification-failed",
    }
}
