//! Messages of payment networks.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use compute_engine::ports::Notice;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::read_raw;
use crate::render::private_json;

const SIGNATURE: &str = "stripe-signature";

#[derive(Serialize)]
struct HeardReply {
    received: bool,
}

/// `POST /compute/webhooks/stripe`: something happened at Stripe. Only whoever knows the secret of the
/// webhook is heard, and nothing is believed: Stripe is asked what is true now. An answer of 5xx makes
/// Stripe send it again.
pub(crate) async fn stripe(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_raw(body, &headers, &app.settings().limits).await?;
    let mut signatures = headers.get_all(SIGNATURE).iter();
    let signature = signatures.next().and_then(|value| value.to_str().ok());
    let signature = signature.filter(|_| signatures.next().is_none());
    let heard = app
        .engine()
        .hear_notice(&body, signature.unwrap_or_default())
        .await?;
    match heard {
        Some(Notice::News | Notice::Other) => {
            private_json(StatusCode::OK, &HeardReply { received: true })
        }
        Some(Notice::Forged) => Err(ApiError::Shape {
            code: "webhook_refused",
            field: None,
            rule: "the webhook is not signed under our secret, or not lately".to_owned(),
        }),
        None => Err(ApiError::NoSuchRoute),
    }
}
