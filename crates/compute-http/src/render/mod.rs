//! Writing answers.

pub(crate) mod challenge;
pub(crate) mod extensions;
pub(crate) mod management;
pub(crate) mod money;
pub(crate) mod order;
pub(crate) mod page;
pub(crate) mod paid;
pub(crate) mod problem;
pub(crate) mod receipt;
pub(crate) mod shelf;
pub(crate) mod span;
pub(crate) mod work;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
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
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, APPLICATION_JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}
