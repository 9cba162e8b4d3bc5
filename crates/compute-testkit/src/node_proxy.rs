//! A chain node that misbehaves: it stands before a real one, and passes on what it is told to.
//!
//! The chain behind it stays what it is, so that a test can ask the real node what really happened.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::faults_log;
use crate::listen::{Listening, bad_gateway, hang_up, listen};

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeFault {
    /// The connection is closed without an answer, and nothing is passed on.
    HangUp,
    /// Nothing is passed on, and no answer ever comes.
    Silence,
    /// A page of a proxy with the status 502.
    BadGateway,
    /// This text with the status 200, in place of JSON-RPC.
    Text(&'static str),
    /// An error of JSON-RPC.
    Refuse(i64, &'static str),
    /// This result; nothing is passed on.
    Lie(Value),
    /// The call is carried out, and the connection is closed instead of an answer.
    LoseAnswer,
    /// The chain as it was when this block was its newest.
    OldHead(u64),
    /// Receipts lack their log entries.
    NoLogs,
}

/// When a process dies that asks this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Its call does not reach the chain.
    Before,
    /// Its call is carried out, the answer does not arrive.
    After,
}

/// A proxy before a node. It stops when this is dropped.
#[derive(Debug)]
pub struct NodeProxy {
    listening: Listening,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: SocketAddr,
    state: Mutex<Proxied>,
    /// Tells when the caller is dead, and its last call done.
    is_dead: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Proxied {
    rules: Vec<Rule>,
    calls: Vec<(String, Value)>,
    death: Option<(u32, Moment)>,
    is_dead: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    fault_id: &'static str,
    method: Option<&'static str>,
    /// Must be part of the parameters as text.
    needle: String,
    fault: NodeFault,
    /// So many calls pass before it strikes.
    spared: u32,
    /// How often it strikes; for ever without a number.
    left: Option<u32>,
}

impl NodeProxy {
    /// Starts a proxy before the node at `http://127.0.0.1:NNNN`.
    ///
    /// # Errors
    /// When the address cannot be read, or no port can be had.
    pub async fn before(node_url: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            node: address_of(node_url)?,
            state: Mutex::default(),
            is_dead: watch::Sender::new(false),
        });
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&shared));
        let listening = listen(0, router).await?;
        Ok(Self { listening, shared })
    }

    /// Its own address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// From now on every call goes wrong in this way. Each strike is noted under a fault of the
    /// catalogue.
    pub fn break_all(&self, fault_id: &'static str, fault: NodeFault) {
        self.add(fault_id, None, "", fault, None);
    }

    /// From now on the calls of this method go wrong whose parameters contain this text.
    pub fn break_calls(
        &self,
        fault_id: &'static str,
        method: &'static str,
        needle: impl Into<String>,
        fault: NodeFault,
    ) {
        self.add(fault_id, Some(method), needle, fault, None);
    }

    /// The next `times` calls of this method go wrong.
    pub fn break_times(
        &self,
        fault_id: &'static str,
        method: &'static str,
        fault: NodeFault,
        times: u32,
    ) {
        self.add(fault_id, Some(method), "", fault, Some(times));
    }

    /// Every call of a method goes wrong from the one with this number on, counted from 1.
    pub fn break_after(
        &self,
        fault_id: &'static str,
        method: &'static str,
        call: u32,
        fault: NodeFault,
    ) {
        self.add(fault_id, Some(method), "", fault, None);
        if let Some(rule) = self.shared.state().rules.last_mut() {
            rule.spared = call.saturating_sub(1);
        }
    }

    fn add(
        &self,
        fault_id: &'static str,
        method: Option<&'static str>,
        needle: impl Into<String>,
        fault: NodeFault,
        left: Option<u32>,
    ) {
        self.shared.state().rules.push(Rule {
            fault_id,
            method,
            needle: needle.into(),
            fault,
            spared: 0,
            left,
        });
    }

    /// Ends all faults; whoever died may ask again.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        state.rules.clear();
        state.death = None;
        state.is_dead = false;
        drop(state);
        self.shared.is_dead.send_replace(false);
    }

    /// Whoever asks dies at the call with this number from now, counted from 1.
    pub fn kill_at(&self, call: u32, moment: Moment) {
        self.shared.state().death = Some((call, moment));
    }

    /// Waits until the call has come at which its caller dies.
    pub async fn death(&self) {
        let mut is_dead = self.shared.is_dead.subscribe();
        // The sender lives as long as this proxy.
        let _ = is_dead.wait_for(|is_dead| *is_dead).await;
    }

    /// Whether a call has killed its caller.
    #[must_use]
    pub fn has_killed(&self) -> bool {
        *self.shared.is_dead.borrow()
    }

    /// How often a method was asked for so far.
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        let state = self.shared.state();
        state.calls.iter().filter(|(own, _)| own == method).count()
    }

    /// The parameters of the calls of a method so far, oldest first.
    #[must_use]
    pub fn calls(&self, method: &str) -> Vec<Value> {
        let state = self.shared.state();
        let own = state.calls.iter().filter(|(own, _)| own == method);
        own.map(|(_, params)| params.clone()).collect()
    }
}

impl Shared {
    // A poisoned lock means that a handler panicked, which has failed the test already.
    fn state(&self) -> MutexGuard<'_, Proxied> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; whether its caller dies of it.
    fn note(&self, method: &str, params: &Value) -> Option<Moment> {
        let mut state = self.state();
        state.calls.push((method.to_owned(), params.clone()));
        if state.is_dead {
            return Some(Moment::Before);
        }
        let (left, moment) = state.death?;
        state.death = Some((left.saturating_sub(1), moment));
        if left > 1 {
            return None;
        }
        state.is_dead = true;
        Some(moment)
    }

    /// What goes wrong with a call, all of it.
    fn strike(&self, method: &str, params: &Value) -> Vec<NodeFault> {
        let text = params.to_string().to_ascii_lowercase();
        let mut struck = Vec::new();
        for rule in &mut self.state().rules {
            let is_meant = rule.method.is_none_or(|own| own == method)
                && text.contains(&rule.needle.to_ascii_lowercase())
                && rule.left != Some(0)
                && touches(&rule.fault, method);
            if is_meant && rule.spared > 0 {
                rule.spared = rule.spared.saturating_sub(1);
            } else if is_meant {
                rule.left = rule.left.map(|left| left.saturating_sub(1));
                faults_log::injected(rule.fault_id);
                struck.push(rule.fault.clone());
            }
        }
        struck
    }
}

/// Whether a fault makes a difference to a method.
fn touches(fault: &NodeFault, method: &str) -> bool {
    match fault {
        NodeFault::NoLogs => method == "eth_getTransactionReceipt",
        NodeFault::OldHead(_) => method != "eth_sendRawTransaction" && method != "eth_chainId",
        _ => true,
    }
}

async fn answer(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = request.get("method").and_then(Value::as_str).unwrap_or("");
    let mut params = request.get("params").cloned().unwrap_or_default();
    if let Some(moment) = shared.note(method, &params) {
        if moment == Moment::After {
            // What the chain answers does not arrive.
            let _ = pass_on(shared.node, method, &params).await;
        }
        shared.is_dead.send_replace(true);
        return core::future::pending().await;
    }
    let faults = shared.strike(method, &params);
    for fault in &faults {
        match fault {
            NodeFault::HangUp => return hang_up(),
            NodeFault::Silence => return core::future::pending().await,
            NodeFault::BadGateway => return bad_gateway(),
            NodeFault::Text(text) => return (*text).into_response(),
            NodeFault::Refuse(code, message) => {
                return reply("error", &json!({"code": code, "message": message}));
            }
            NodeFault::Lie(result) => return reply("result", result),
            NodeFault::LoseAnswer => {
                let _ = pass_on(shared.node, method, &params).await;
                return hang_up();
            }
            NodeFault::OldHead(head) => {
                if !look_back(&mut params, *head) {
                    let error = json!({"code": -32_000, "message": "header not found"});
                    return reply("error", &error);
                }
            }
            NodeFault::NoLogs => {}
        }
    }
    match pass_on(shared.node, method, &params).await {
        Ok(mut answer) => {
            for fault in &faults {
                change(&mut answer, fault);
            }
            whole(&answer)
        }
        // The node is gone: so is the proxy, for whoever asks.
        Err(_) => hang_up(),
    }
}

/// Asks about an older block instead of the newest; `false` when a younger one is asked for.
fn look_back(params: &mut Value, head: u64) -> bool {
    let tag = format!("{head:#x}");
    for param in params.as_array_mut().into_iter().flatten() {
        if param.as_str() == Some("latest") {
            *param = tag.clone().into();
            continue;
        }
        let number = param.as_str().and_then(|text| {
            let digits = text.strip_prefix("0x")?;
            // Hashes and addresses are no block numbers.
            (digits.len() <= 16).then(|| u64::from_str_radix(digits, 16).ok())?
        });
        if number.is_some_and(|number| number > head) {
            return false;
        }
    }
    true
}

fn change(answer: &mut Value, fault: &NodeFault) {
    let Some(result) = answer.get_mut("result") else {
        return;
    };
    match fault {
        NodeFault::OldHead(head) => {
            let block = result.get("blockNumber").and_then(Value::as_str);
            let digits = block.and_then(|text| text.strip_prefix("0x"));
            let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            if number.is_some_and(|number| number > *head) {
                *result = Value::Null;
            }
        }
        NodeFault::NoLogs => {
            if let Some(logs) = result.get_mut("logs") {
                *logs = json!([]);
            }
        }
        _ => {}
    }
}

fn reply(member: &str, content: &Value) -> Response {
    whole(&json!({"jsonrpc": "2.0", "id": 1, member: content}))
}

fn whole(answer: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// Asks a node past every proxy.
///
/// # Errors
/// When it does not answer, or with an error of JSON-RPC, whose text the error has.
pub async fn ask(node_url: &str, method: &str, params: &Value) -> io::Result<Value> {
    let mut answer = pass_on(address_of(node_url)?, method, params).await?;
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(io::Error::other(format!("{method}: {answer}"))),
    }
}

/// One call over a connection of its own.
async fn pass_on(node: SocketAddr, method: &str, params: &Value) -> io::Result<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {node}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(node).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, content) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("the node gave half an answer"))?;
    serde_json::from_str(content).map_err(io::Error::other)
}

fn address_of(url: &str) -> io::Result<SocketAddr> {
    let host = url.strip_prefix("http://").unwrap_or(url);
    let host = host.trim_end_matches('/');
    host.parse()
        .map_err(|_| io::Error::other(format!("{url} is no address of a local node")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that says back what it was asked.
    async fn echo() -> Listening {
        let repeat = async |body: Bytes| {
            let request: Value = serde_json::from_slice(&body).unwrap();
            reply("result", &json!([request["method"], request["params"]]))
        };
        listen(0, Router::new().route("/", post(repeat)))
            .await
            .unwrap()
    }

    async fn proxied() -> (Listening, NodeProxy) {
        let node = echo().await;
        let url = format!("http://{}", node.address);
        let proxy = NodeProxy::before(&url).await.unwrap();
        (node, proxy)
    }

    #[tokio::test]
    async fn what_is_not_broken_is_passed_on() {
        let (_node, proxy) = proxied().await;
        proxy.break_calls("F049", "other", "", NodeFault::HangUp);
        proxy.break_calls("F049", "eth_call", "0xaa", NodeFault::HangUp);
        let answer = ask(&proxy.url(), "eth_call", &json!(["0xbb"])).await;
        assert_eq!(answer.unwrap(), json!(["eth_call", ["0xbb"]]));
        assert!(
            ask(&proxy.url(), "eth_call", &json!(["0xAA"]))
                .await
                .is_err()
        );
        proxy.mend();
        assert!(
            ask(&proxy.url(), "eth_call", &json!(["0xAA"]))
                .await
                .is_ok()
        );
        assert_eq!(proxy.count("eth_call"), 3);
        assert_eq!(proxy.calls("eth_call")[0], json!(["0xbb"]));
    }

    #[tokio::test]
    async fn a_fault_strikes_as_often_as_it_was_told() {
        let (_node, proxy) = proxied().await;
        proxy.break_times("F049", "m", NodeFault::Refuse(-32_005, "limit"), 1);
        let refused = ask(&proxy.url(), "m", &json!([])).await.unwrap_err();
        assert!(refused.to_string().contains("-32005"), "{refused}");
        assert!(ask(&proxy.url(), "m", &json!([])).await.is_ok());
    }

    #[tokio::test]
    async fn an_old_head_asks_about_the_past_and_does_not_know_the_future() {
        let (_node, proxy) = proxied().await;
        proxy.break_all("F073", NodeFault::OldHead(9));
        let answer = ask(&proxy.url(), "m", &json!(["latest", false])).await;
        assert_eq!(answer.unwrap(), json!(["m", ["0x9", false]]));
        assert!(ask(&proxy.url(), "m", &json!(["0x9"])).await.is_ok());
        assert!(ask(&proxy.url(), "m", &json!(["0xa"])).await.is_err());
        let mut answer = json!({"result": {"blockNumber": "0xa", "logs": [1]}});
        change(&mut answer, &NodeFault::NoLogs);
        assert_eq!(answer["result"]["logs"], json!([]));
        change(&mut answer, &NodeFault::OldHead(9));
        assert_eq!(answer["result"], Value::Null);
    }

    #[tokio::test]
    async fn whoever_dies_gets_no_answer_and_none_later() {
        let (_node, proxy) = proxied().await;
        proxy.kill_at(2, Moment::After);
        let url = proxy.url();
        assert!(ask(&url, "first", &json!([])).await.is_ok());
        for method in ["second", "third"] {
            let params = json!([]);
            tokio::select! {
                answer = ask(&url, method, &params) => panic!("{answer:?}"),
                () = proxy.death() => {}
            }
        }
        assert!(proxy.has_killed());
        proxy.mend();
        assert!(ask(&url, "fourth", &json!([])).await.is_ok());
    }
}
