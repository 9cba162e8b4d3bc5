//! Writing answers.

pub(crate) mod bill;
pub(crate) mod challenge;
pub(crate) mod csv;
pub(crate) mod extensions;
pub(crate) mod management;
pub(crate) mod money;
pub(crate) mod movement;
pub(crate) mod order;
pub(crate) mod page;
pub(crate) mod paid;
pub(crate) mod problem;
pub(crate) mod quote;
pub(crate) mod receipt;
pub(crate) mod shelf;
pub(crate) mod span;
pub(crate) mod work;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::error::ApiError;

pub(crate) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub(crate) const TRUE: HeaderValue = HeaderValue::from_static("true");

/// A JSON answer about somebody's own affairs: no shared cache may keep it.
pub(crate) fn private_json(
    status: StatusCode,
    body: &impl Serialize,
) -> Result<Response, ApiError> {
    let bytes = serde_json::to_vec(body).map_err(ApiError::internal)?;
    Ok(private(status, APPLICATION_JSON, bytes))
}

/// The same in any form.
pub(crate) fn private(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

/// After how many seconds it is worth looking again at work under way.
const SOON: HeaderValue = HeaderValue::from_static("2");

/// Says when to ask again, while there is something to ask about.
pub(crate) fn look_again(mut response: Response, is_under_way: bool) -> Response {
    if is_under_way {
        response.headers_mut().insert(RETRY_AFTER, SOON);
    }
    response
}
