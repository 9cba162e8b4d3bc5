//! The receipt of a purchase: for its owner, and for whoever shows its payment again.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::discovery::answers::Receipted;
use crate::error::ApiError;
use crate::extract::{Id, NoBody, Open, Payment};
use crate::render::bill::Bill;
use crate::render::private_json;

/// The receipt of a purchase: what was bought, what was paid, by whom and how.
///
/// 409 while no money has arrived for the work, and for work that costs nothing.
#[utoipa::path(
    get,
    path = "/compute/operations/{id}/receipt",
    operation_id = "getReceipt",
    tag = "Status",
    security((), ("apiKey" = []), ("walletSignature" = []), ("x402" = [])),
    params(("id" = String, Path, format = "uuid", description = "Its `operation_id`.")),
    responses((status = 200, description = "The receipt.", body = Bill<'_>), Receipted),
)]
pub(crate) async fn receipt(
    State(app): State<App>,
    id: Id,
    Open { call, payment, .. }: Open<NoBody>,
) -> Result<Response, ApiError> {
    let proof = payment.and_then(Payment::into_x402);
    let view = app
        .engine()
        .operation(&call.caller, proof.as_ref(), id.parse()?)
        .await?;
    let bill = Bill::of(&view, &app).ok_or(ApiError::NoReceipt)?;
    private_json(StatusCode::OK, &bill)
}
