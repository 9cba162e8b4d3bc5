//! The status URL of an order: for its owner, and for whoever shows its payment again.

use axum::extract::State;
use axum::response::Response;
use compute_engine::{OperationView, OrderView};
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Id, NoBody, Open, Payment};
use crate::render::money::Dollars;
use crate::render::order::Order;
use crate::render::private_json;
use crate::render::work::{FullWorkItem, HistoryItem, MoneyItem, WorkItem};

/// An order with the state of its money and of all work on it.
#[derive(Serialize)]
struct StatusReply<'a> {
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
    #[serde(flatten)]
    delivery: Option<Delivery<'a>>,
    /// What its prepaid time is worth now.
    remaining_value: Dollars,
    status_url: String,
    operations: Vec<FullWorkItem<'a>>,
}

/// The purchase of the machine, which is what its buyer asks about first.
#[derive(Serialize)]
struct Delivery<'a> {
    operation: WorkItem,
    #[serde(flatten)]
    money: MoneyItem<'a>,
    history: Vec<HistoryItem<'a>>,
}

/// `GET /compute/orders/{id}`.
pub(crate) async fn status(
    State(app): State<App>,
    id: Id,
    Open { call, payment, .. }: Open<NoBody>,
) -> Result<Response, ApiError> {
    let proof = payment.and_then(Payment::into_x402);
    let view = app
        .engine()
        .order(&call.caller, proof.as_ref(), id.parse()?)
        .await?;
    let window = app.window().ok();
    let order =
        Order::new(&view.instance, window.as_deref()).seen_at(&view.instance, app.engine().now());
    let status_url = app.order_url(view.instance.id);
    private_json(StatusCode::OK, &StatusReply::new(&order, &view, status_url))
}

impl<'a> StatusReply<'a> {
    fn new(order: &'a Order<'a>, view: &'a OrderView, status_url: String) -> Self {
        Self {
            order,
            instance: order,
            delivery: view.provision().map(Delivery::new),
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
