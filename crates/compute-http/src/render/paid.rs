//! What every answer to a paid request has in common: how the money went, and its headers.

use axum::response::Response;
use compute_engine::OperationView;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{IDEMPOTENT_REPLAYED, TRUE, private_json, receipt};
use crate::app::App;
use crate::discovery::shapes;
use crate::error::ApiError;

/// While nobody knows whether the payment settled.
pub(crate) const PENDING_NOTE: &str = "it is not known yet whether the payment settled; the \
     purchase goes on by itself, see status_url; do not create a new payment";

/// While a purchase with credits, which was made, cannot be shown.
pub(crate) const ACCEPTED_NOTE: &str = "the credits were spent and the purchase was made; it cannot \
     be shown now, see status_url; do not make it again";

/// After how many seconds it is worth looking again at a settlement.
const LOOK_AGAIN: HeaderValue = HeaderValue::from_static("5");

/// The members about money of a successful purchase.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Funds<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<&'a str>,
    #[schema(schema_with = shapes::settlement)]
    settlement: &'static str,
    /// What was taken from the owner's credits, when they paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_balance: Option<String>,
}

impl<'a> Funds<'a> {
    pub(crate) fn of(view: &'a OperationView) -> Self {
        Self {
            tx_hash: receipt::tx_hash(view),
            settlement: receipt::settlement_word(view).unwrap_or("pending"),
            charged: view
                .operation
                .data
                .credits
                .map(|spent| spent.amount.to_string()),
            new_balance: view.balance.map(|balance| balance.to_string()),
        }
    }

    /// What is known without reading the purchase.
    pub(crate) const fn unseen(with_credits: bool) -> Self {
        Self {
            tx_hash: None,
            settlement: if with_credits { "credits" } else { "pending" },
            charged: None,
            new_balance: None,
        }
    }
}

/// A successful answer to a paid request.
pub(crate) fn success(
    reply: &impl Serialize,
    view: Option<&OperationView>,
    replayed: bool,
    app: &App,
) -> Result<Response, ApiError> {
    let mut response = private_json(StatusCode::OK, reply)?;
    let headers = response.headers_mut();
    if let Some(settlement) = view.and_then(|view| receipt::of(view, app)) {
        receipt::insert(headers, &settlement, StatusCode::OK);
    }
    if replayed {
        headers.insert(IDEMPOTENT_REPLAYED, TRUE);
    }
    Ok(response)
}

/// The answer 202: accepted, and not yet done. Clients pay a second time after a 402 or a 5xx
/// (decisions.md 1).
pub(crate) fn pending(reply: &impl Serialize, replayed: bool) -> Result<Response, ApiError> {
    let mut response = private_json(StatusCode::ACCEPTED, reply)?;
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, LOOK_AGAIN);
    if replayed {
        headers.insert(IDEMPOTENT_REPLAYED, TRUE);
    }
    Ok(response)
}
