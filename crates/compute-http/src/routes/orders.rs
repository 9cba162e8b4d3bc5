//! The status URL of an order: for its owner, and for whoever shows its payment again.

use axum::extract::State;
use axum::response::Response;
use compute_engine::{OperationView, OrderView};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::compress::compressible;
use crate::discovery::answers::Owned;
use crate::error::ApiError;
use crate::extract::{Id, NoBody, Open, Payment, Wait};
use crate::render::money::Dollars;
use crate::render::order::Order;
use crate::render::work::{FullWorkItem, HistoryItem, MoneyItem, WorkItem};
use crate::render::{look_again, private_json};

/// An order with the state of its money and of all work on it.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderReply)]
struct StatusReply<'a> {
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
    #[serde(flatten)]
    #[schema(value_type = Delivery<'a>)]
    delivery: Option<Delivery<'a>>,
    /// Whether the machine runs and has an address.
    ready: bool,
    /// Whether its delivery is still under way, so that it is worth asking again.
    in_progress: bool,
    /// What its prepaid time is worth now.
    remaining_value: Dollars,
    status_url: String,
    operations: Vec<FullWorkItem<'a>>,
}

/// The purchase of the machine, which is what its buyer asks about first.
#[derive(Serialize, ToSchema)]
struct Delivery<'a> {
    #[schema(required = false)]
    operation: WorkItem,
    #[serde(flatten)]
    money: MoneyItem<'a>,
    #[schema(required = false)]
    history: Vec<HistoryItem<'a>>,
}

/// What became of an order: its money, and all work on it.
///
/// For its owner, and for whoever shows its x402 payment again.
#[utoipa::path(
    get,
    path = "/compute/orders/{id}",
    operation_id = "getOrder",
    tag = "Status",
    security((), ("apiKey" = []), ("walletSignature" = []), ("x402" = [])),
    params(
        ("id" = String, Path, format = "uuid", description = "The order's id."),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "Answer when the machine is ready or has failed, or after so many seconds."),
    ),
    responses((status = 200, description = "The order.", body = StatusReply<'_>), Owned),
)]
pub(crate) async fn status(
    State(app): State<App>,
    id: Id,
    Wait(patience): Wait,
    Open { call, payment, .. }: Open<NoBody>,
) -> Result<Response, ApiError> {
    let proof = payment.and_then(Payment::into_x402);
    let mut view = app
        .engine()
        .order(&call.caller, proof.as_ref(), id.parse()?)
        .await?;
    let has_waited = match view.provision() {
        Some(delivery) => app.watch(delivery, patience).await?.is_some(),
        None => false,
    };
    if has_waited {
        view = app.engine().order_again(view.instance.id).await?;
    }
    let window = app.window().ok();
    let order =
        Order::new(&view.instance, window.as_deref()).seen_at(&view.instance, app.engine().now());
    let status_url = app.order_url(view.instance.id);
    let reply = StatusReply::new(&order, &view, status_url);
    let response = private_json(StatusCode::OK, &reply).map(compressible)?;
    Ok(look_again(response, reply.in_progress))
}

impl<'a> StatusReply<'a> {
    fn new(order: &'a Order<'a>, view: &'a OrderView, status_url: String) -> Self {
        Self {
            order,
            instance: order,
            delivery: view.provision().map(Delivery::new),
            ready: view.is_ready(),
            in_progress: view.delivery().is_some(),
            remaining_value: Dollars(view.left),
            status_url,
            operations: view.operations.iter().map(FullWorkItem::new).collect(),
        }
    }
}

impl<'a> Delivery<'a> {
    fn new(view: &'a OperationView) -> Self {
        Self {
            operation: WorkItem::new(&view.operation),
            money: MoneyItem::new(view),
            history: HistoryItem::list(&view.history),
        }
    }
}
