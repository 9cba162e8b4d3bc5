//! The status URL of an order: for its owner, and for whoever shows its payment again.

use axum::extract::State;
use axum::response::Response;
use compute_domain::id::OperationId;
use compute_domain::operation::{Operation, OperationState};
use compute_domain::payment::PaymentState;
use compute_engine::OrderView;
use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Id, NoBody, Open};
use crate::render::money::Dollars;
use crate::render::order::Order;
use crate::render::{private_json, receipt};

/// An order with the state of its money and of the work on it.
#[derive(Serialize)]
pub(crate) struct StatusReply<'a> {
    order: &'a Order<'a>,
    instance: &'a Order<'a>,
    operation: OperationItem,
    #[serde(skip_serializing_if = "Option::is_none")]
    settlement: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credited: Option<Dollars>,
    status_url: String,
    history: Vec<HistoryItem<'a>>,
}

/// One thing that happened.
#[derive(Serialize)]
struct HistoryItem<'a> {
    at: String,
    event: &'a str,
}

/// The latest piece of work on the order.
#[derive(Serialize)]
struct OperationItem {
    id: OperationId,
    kind: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
}

/// `GET /compute/orders/{id}`.
pub(crate) async fn status(
    State(app): State<App>,
    id: Id,
    Open { call, payment }: Open<NoBody>,
) -> Result<Response, ApiError> {
    let view = app
        .engine()
        .order(&call.caller, payment.as_ref(), id.parse()?)
        .await?;
    let window = app.window().ok();
    let order = Order::new(&view.instance, window.as_deref());
    private_json(
        StatusCode::OK,
        &StatusReply::new(&order, &view, app.status_url(view.instance.id)),
    )
}

impl<'a> StatusReply<'a> {
    pub(crate) fn new(order: &'a Order<'a>, view: &'a OrderView, status_url: String) -> Self {
        let payment = view.payment.as_ref();
        let evidence = payment.and_then(|payment| payment.evidence());
        let decline_code = match payment.map(|payment| &payment.state) {
            Some(PaymentState::Declined { code }) => Some(code.as_str()),
            _ => None,
        };
        Self {
            order,
            instance: order,
            operation: OperationItem::new(&view.operation),
            settlement: payment.map(receipt::settlement_word),
            tx_hash: evidence.map(|evidence| evidence.reference.as_str()),
            charged: decline_code.map(|_| false),
            decline_code,
            credited: view.credited.map(Dollars),
            status_url,
            history: view
                .history
                .iter()
                .map(|event| HistoryItem {
                    at: event.at.rfc3339(),
                    event: &event.name,
                })
                .collect(),
        }
    }
}

impl OperationItem {
    fn new(operation: &Operation) -> Self {
        let (step, code) = match &operation.state {
            OperationState::Running(progress) => (Some(progress.step), None),
            OperationState::Succeeded => (None, None),
            OperationState::Failed { code } => (None, Some(*code)),
            OperationState::Stuck { code, step } => (Some(*step), Some(*code)),
        };
        Self {
            id: operation.id,
            kind: operation.kind.as_str(),
            state: operation.state.name(),
            step: step.map(|step| step.as_str()),
            code: code.map(|code| code.as_str()),
            created_at: operation.created_at.rfc3339(),
            finished_at: operation.finished_at.map(|at| at.rfc3339()),
        }
    }
}
