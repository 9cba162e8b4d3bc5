//! Faults ordered over HTTP, for a node that runs as a process of its own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;
use super::rpc::Node;

/// A fault and the method it is for: `{"method": "eth_sendRawTransactionSync", "kind": "drop_after"}`.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    method: String,
    #[serde(flatten)]
    fault: Fault,
}

pub(super) async fn order(State(node): State<Arc<Node>>, Json(order): Json<Order>) -> StatusCode {
    node.faults().push(&order.method, order.fault);
    StatusCode::NO_CONTENT
}

/// Takes back what has not struck yet, and lets go what is held.
pub(super) async fn calm(State(node): State<Arc<Node>>) -> StatusCode {
    node.faults().clear();
    node.release();
    StatusCode::NO_CONTENT
}

pub(super) async fn report(State(node): State<Arc<Node>>) -> Json<Value> {
    Json(node.faults().report())
}
