//! The status URL of one piece of work, such as a top-up or an extension: for its owner, and for
//! whoever shows its payment again.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::compress::compressible;
use crate::discovery::answers::Owned;
use crate::error::{ApiError, Work};
use crate::extract::{Id, NoBody, Open, Payment, Wait};
use crate::render::money::Dollars;
use crate::render::order::Order;
use crate::render::work::FullWorkItem;
use crate::render::{look_again, private_json};

#[derive(Serialize, ToSchema)]
#[schema(as = OperationReply)]
struct StatusReply<'a> {
    operation: FullWorkItem<'a>,
    /// Whether it is still under way, so that it is worth asking again.
    in_progress: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Order<'a>>,
    /// What a top-up brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    deposited: Option<Dollars>,
    /// What the owner has now; for what moves credits.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    status_url: String,
}

/// What became of one piece of work.
///
/// For its owner, and for whoever shows its x402 payment again.
#[utoipa::path(
    get,
    path = "/compute/operations/{id}",
    operation_id = "getOperation",
    tag = "Status",
    security((), ("apiKey" = []), ("walletSignature" = []), ("x402" = [])),
    params(
        ("id" = String, Path, format = "uuid", description = "Its `operation_id`."),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "Answer when the work is at rest, or after so many seconds."),
    ),
    responses((status = 200, description = "The work, with its money and history.", body = StatusReply<'_>), Owned),
)]
pub(crate) async fn status(
    State(app): State<App>,
    id: Id,
    Wait(patience): Wait,
    Open { call, payment, .. }: Open<NoBody>,
) -> Result<Response, ApiError> {
    let proof = payment.and_then(Payment::into_x402);
    let view = app
        .engine()
        .operation(&call.caller, proof.as_ref(), id.parse()?)
        .await?;
    let view = app.watch(&view, patience).await?.unwrap_or(view);
    let window = app.window().ok();
    let instance = view.instance.as_ref();
    let reply = StatusReply {
        operation: FullWorkItem::new(&view),
        in_progress: !view.is_at_rest(),
        order: instance.map(|instance| Order::new(instance, window.as_deref())),
        deposited: view.deposited().map(Dollars),
        balance: view.balance.map(|balance| balance.to_string()),
        status_url: app.status_url(&Work::of(&view)),
    };
    let response = private_json(StatusCode::OK, &reply).map(compressible)?;
    Ok(look_again(response, reply.in_progress))
}
