//! JSON-RPC over HTTP: one request, its fault, its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Options;
use super::chain::Chain;
use super::fault::{Fault, Faults};
use super::view::{self, Send};
use crate::listen::hang_up;

/// The error of a method that is not there.
pub(super) const NO_METHOD: i64 = -32_601;
/// The error of parameters that cannot be read.
pub(super) const BAD_PARAMS: i64 = -32_602;
/// The error of a transaction that is refused.
pub(super) const REJECTED: i64 = -32_000;
/// The error of a call that was undone.
pub(super) const REVERTED: i64 = 3;
/// The error of a wait that ended before the transaction was included (EIP-7966).
const TIMED_OUT: i64 = 4;

/// An error of JSON-RPC.
#[derive(Debug, Clone)]
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

impl RpcError {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    chain: Mutex<Chain>,
    faults: Mutex<Faults>,
    clock: Mutex<Option<u64>>,
    requests: watch::Sender<BTreeMap<String, usize>>,
    releases: watch::Sender<u64>,
}

impl Node {
    pub(super) fn new(options: Options) -> Self {
        let clock = options.clock;
        Self {
            chain: Mutex::new(Chain::new(options, clock.unwrap_or_else(system_clock))),
            faults: Mutex::default(),
            clock: Mutex::new(clock),
            requests: watch::Sender::default(),
            releases: watch::Sender::new(0),
        }
    }

    pub(super) fn chain(&self) -> MutexGuard<'_, Chain> {
        lock(&self.chain)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(super) fn set_clock(&self, unix_s: Option<u64>) {
        *lock(&self.clock) = unix_s;
    }

    pub(super) fn now(&self) -> u64 {
        lock(&self.clock).unwrap_or_else(system_clock)
    }

    pub(super) fn release(&self) {
        self.releases
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn requests(&self, method: &str) -> usize {
        count_of(&self.requests.borrow(), method)
    }

    /// Waits until this many requests of a method have arrived.
    pub(super) async fn arrived(&self, method: &str, count: usize) {
        let mut requests = self.requests.subscribe();
        // It fails only without a sender, and the node is one.
        let _ = requests
            .wait_for(|requests| count_of(requests, method) >= count)
            .await;
    }

    fn count(&self, method: &str) {
        self.requests.send_modify(|requests| {
            let count = requests.entry(method.to_owned()).or_default();
            *count = count.saturating_add(1);
        });
    }

    /// Waits for the next [`release`](Self::release) after `from`.
    async fn hold(&self, mut from: watch::Receiver<u64>) {
        // It ends only with the node, and then there is nobody to answer.
        let _ = from.changed().await;
    }

    /// Carries a request out, with what the fault changes of its effect and of its answer.
    fn carry_out(&self, method: &str, params: &Value, fault: &Fault) -> Result<Value, RpcError> {
        let now = self.now();
        let mut chain = self.chain();
        if let Some(way) = Send::of(method) {
            return send(&mut chain, way, params, fault, now);
        }
        chain.tick(now);
        if let Fault::Error { code, message } = fault {
            return Err(RpcError::new(*code, message.clone()));
        }
        let mut result = match fault {
            Fault::Behind(seconds) => {
                let behind = chain.as_of(now.saturating_sub(*seconds));
                view::answer(&behind, method, params)?
            }
            _ => view::answer(&chain, method, params)?,
        };
        if method == "eth_getTransactionReceipt" {
            fault.edit(&mut result);
        }
        Ok(result)
    }
}

/// Sends a transaction. Whoever waits for its receipt gets it at once.
fn send(
    chain: &mut Chain,
    way: Send,
    params: &Value,
    fault: &Fault,
    now: u64,
) -> Result<Value, RpcError> {
    let raw = view::bytes_param(params, 0)?;
    let timed_out = || RpcError {
        code: TIMED_OUT,
        message: "the transaction was not included in time".to_owned(),
        data: view::hash_of(&raw),
    };
    match fault {
        Fault::TimeOutBefore => return Err(timed_out()),
        Fault::Error { code, message } => return Err(RpcError::new(*code, message.clone())),
        _ => {}
    }
    let hash = chain
        .submit(&raw, now, *fault == Fault::Reverted)
        .map_err(|rejection| RpcError::new(REJECTED, rejection.0))?;
    match (fault, way) {
        (Fault::TimeOutAfter, _) => Err(timed_out()),
        (Fault::AlreadyKnownAfter, _) => Err(RpcError::new(REJECTED, "already known")),
        (_, Send::Hash) => Ok(super::wire::bytes(&hash)),
        (_, Send::Receipt) => {
            let mut receipt = chain.find(&hash).map_or(Value::Null, super::wire::receipt);
            if *fault != Fault::Reverted {
                fault.edit(&mut receipt);
            }
            Ok(receipt)
        }
    }
}

/// The one route.
pub(super) async fn serve(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return error(&Value::Null, &RpcError::new(-32_700, "parse error"));
    };
    let Some(method) = request.get("method").and_then(Value::as_str) else {
        return error(&Value::Null, &RpcError::new(-32_600, "invalid request"));
    };
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    let params = request.get("params").unwrap_or(&Value::Null);
    // Before it is counted: a release that comes after the count lets it go.
    let released = node.releases.subscribe();
    let fault = node.faults().take(method);
    node.count(method);
    match &fault {
        Fault::DropBefore => return hang_up(),
        Fault::StatusBefore(code) => return status(*code),
        Fault::HoldBefore => node.hold(released.clone()).await,
        _ => {}
    }
    let result = node.carry_out(method, params, &fault);
    match &fault {
        Fault::DropAfter => hang_up(),
        Fault::StatusAfter(code) => status(*code),
        Fault::GarbageAfter => "{\"jsonrpc\":\"2.0\",\"id\":1,\"resu".into_response(),
        fault => {
            if *fault == Fault::HoldAfter {
                node.hold(released).await;
            }
            match result {
                Ok(result) => axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result}))
                    .into_response(),
                Err(failure) => error(&id, &failure),
            }
        }
    }
}

fn error(id: &Value, failure: &RpcError) -> Response {
    let mut object = json!({"code": failure.code, "message": failure.message});
    if let (Some(data), Some(members)) = (&failure.data, object.as_object_mut()) {
        members.insert("data".to_owned(), data.clone());
    }
    axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": object})).into_response()
}

fn status(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, "upstream failure").into_response()
}

fn count_of(requests: &BTreeMap<String, usize>, method: &str) -> usize {
    requests.get(method).copied().unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked elsewhere must still read the record.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn system_clock() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a double lives in real time, like a partner, unless a test stops its clock"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
