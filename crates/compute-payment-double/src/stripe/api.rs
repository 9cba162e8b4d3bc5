//! HTTP: who asks, the idempotency key, the fault, the answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::sync::watch;

use super::books::{Books, Form, Reply, error, invalid, page};
use super::fault::Fault;
use super::{ACCOUNT, OTHER_KEY, SECRET_KEY, VERSION};
use crate::listen::hang_up;

#[derive(Debug)]
enum Key {
    /// A request with these parameters is being carried out.
    InUse,
    Answered(String, Reply),
}

/// Everything that changes, and is changed by one request at a time.
#[derive(Debug, Default)]
pub(super) struct Till {
    pub(super) books: Books,
    /// Those of the other account.
    others: Books,
    pub(super) now_s: u64,
    pub(super) faults: BTreeMap<String, VecDeque<Fault>>,
    pub(super) refuses_key: Option<u16>,
    keys: BTreeMap<String, Key>,
}

#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<Till>,
    pub(super) requests: watch::Sender<usize>,
    pub(super) releases: watch::Sender<u64>,
}

impl Desk {
    pub(super) fn new(now_s: u64) -> Self {
        let state = Till {
            now_s,
            ..Till::default()
        };
        Self {
            state: Mutex::new(state),
            requests: watch::Sender::default(),
            releases: watch::Sender::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Till> {
        // A test that panicked elsewhere must still read the record.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Till {
    /// Forgets the idempotency keys, as Stripe does after a day.
    pub(super) fn forget_keys(&mut self) {
        self.keys.clear();
    }

    fn carry_out(&mut self, is_own: bool, route: &str, path: &[&str], form: &Form) -> Reply {
        if let Some(unknown) = unknown_field(route, form) {
            return invalid("parameter_unknown", unknown);
        }
        let now_s = self.now_s;
        let books = if is_own {
            &mut self.books
        } else {
            &mut self.others
        };
        match (route, path) {
            ("GET account", _) => {
                let id = if is_own { ACCOUNT } else { "acct_stranger" };
                (200, serde_json::json!({"id": id, "object": "account"}))
            }
            ("POST payment_intents", _) => books.pay(form, now_s),
            ("GET payment_intents", _) => page(&books.intents, form),
            ("GET payment_intents/{id}", [_, id]) => books.get(id),
            ("POST payment_intents/{id}/cancel", [_, id, _]) => books.cancel(id),
            ("POST refunds", _) => books.refund(form, now_s),
            ("GET refunds", _) => books.refunds_of(form),
            ("GET disputes", _) => page(&books.disputes, form),
            ("GET disputes/{id}", [_, id]) => books.get_dispute(id),
            _ => error(404, "invalid_request_error", "url_invalid", None),
        }
    }
}

/// A field that this route does not have: Stripe refuses the whole request then.
fn unknown_field<'a>(route: &str, form: &'a Form) -> Option<&'a str> {
    const LIST: [&str; 4] = ["created[gte]", "created[lte]", "limit", "starting_after"];
    let known: &[&str] = match route {
        "POST payment_intents" => &[
            "amount",
            "automatic_payment_methods[allow_redirects]",
            "automatic_payment_methods[enabled]",
            "confirm",
            "currency",
            "shared_payment_granted_token",
        ],
        "POST refunds" => &["amount", "payment_intent"],
        "GET refunds" => &["limit", "payment_intent", "starting_after"],
        "GET payment_intents" | "GET disputes" => &LIST,
        _ => &[],
    };
    let has_metadata = matches!(route, "POST payment_intents" | "POST refunds");
    let is_metadata = |name: &str| name.starts_with("metadata[") && name.ends_with(']');
    let mut names = form.keys().map(String::as_str);
    names.find(|name| !(known.contains(name) || has_metadata && is_metadata(name)))
}

pub(super) async fn serve(
    State(desk): State<Arc<Desk>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().trim_start_matches("/v1/").to_owned();
    let path: Vec<&str> = path.split('/').collect();
    let route = route_of(&method, &path);
    let query = uri.query().unwrap_or_default().as_bytes();
    let raw = if method == Method::GET { query } else { &body };
    let form: Form = form_urlencoded::parse(raw).into_owned().collect();
    let released = desk.releases.subscribe();
    let fault = {
        let mut state = desk.lock();
        let queue = state.faults.get_mut(&route);
        queue
            .and_then(VecDeque::pop_front)
            .unwrap_or(Fault::Nothing)
    };
    if fault == Fault::DropBefore {
        return hang_up();
    }
    let is_own = match recognise(&desk.lock(), &method, &headers) {
        Ok(is_own) => is_own,
        Err(refusal) => return answer(refusal, false),
    };
    if let Fault::StatusBefore(status) = fault {
        return answer(error(status, "api_error", "", None), false);
    }
    let key = text(&headers, "idempotency-key").map(|key| format!("{is_own} {route} {key}"));
    let parameters = format!("{form:?}");
    if let Some(key) = &key
        && let Some(reply) = begin(&mut desk.lock(), key, &parameters)
    {
        return reply;
    }
    if fault == Fault::HoldBefore {
        desk.requests
            .send_modify(|count| *count = count.saturating_add(1));
        let mut released = released;
        let _ = released.changed().await;
    }
    let reply = {
        let mut state = desk.lock();
        let reply = match fault {
            Fault::StatusSaved(status) => error(status, "api_error", "", None),
            _ => state.carry_out(is_own, &route, &path, &form),
        };
        if let Some(key) = key {
            // What fails before it begins is not remembered.
            match reply.0 {
                400 | 403 | 404 => state.keys.remove(&key),
                _ => state
                    .keys
                    .insert(key, Key::Answered(parameters, reply.clone())),
            };
        }
        reply
    };
    finish(&fault, reply)
}

/// The name by which faults know a request.
fn route_of(method: &Method, path: &[&str]) -> String {
    match path {
        [kind] => format!("{method} {kind}"),
        [kind, _] => format!("{method} {kind}/{{id}}"),
        [kind, _, verb] => format!("{method} {kind}/{{id}}/{verb}"),
        _ => String::new(),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the key is that of the account that tests use, or of the other one. Who shows none of them,
/// or speaks another version of the API, is told so.
fn recognise(till: &Till, method: &Method, headers: &HeaderMap) -> Result<bool, Reply> {
    let basic = |key: &str| format!("Basic {}", STANDARD.encode(format!("{key}:")));
    let shown = text(headers, "authorization").unwrap_or_default();
    let is_own = shown == basic(SECRET_KEY);
    let refused = till.refuses_key;
    let refused = refused.filter(|status| *status == 401 || method == Method::POST);
    if !(is_own || shown == basic(OTHER_KEY)) || refused.is_some() {
        let status = refused.unwrap_or(401);
        return Err(error(status, "invalid_request_error", "api_key", None));
    }
    if text(headers, "stripe-version") != Some(VERSION) {
        return Err(error(400, "invalid_request_error", "version", None));
    }
    Ok(is_own)
}

/// What is known of an idempotency key already; marks it as in use when nothing is.
fn begin(state: &mut Till, key: &str, parameters: &str) -> Option<Response> {
    match state.keys.get(key) {
        Some(Key::InUse) => {
            let reply = error(409, "invalid_request_error", "idempotency_key_in_use", None);
            Some(answer(reply, false))
        }
        Some(Key::Answered(first, reply)) if first == parameters => {
            Some(answer(reply.clone(), true))
        }
        Some(Key::Answered(..)) => Some(answer(error(400, "idempotency_error", "", None), false)),
        None => {
            state.keys.insert(key.to_owned(), Key::InUse);
            None
        }
    }
}

fn finish(fault: &Fault, mut reply: Reply) -> Response {
    match fault {
        Fault::DropAfter => hang_up(),
        Fault::StatusAfter(status) => answer(error(*status, "api_error", "", None), false),
        Fault::GarbageAfter => "{\"id\":\"pi_".into_response(),
        Fault::Altered(member, text) => {
            if let Some(value) = reply.1.get_mut(*member) {
                *value = match value {
                    Value::Number(_) => 1.into(),
                    Value::Object(_) => serde_json::json!({}),
                    _ => (*text).into(),
                };
            }
            answer(reply, false)
        }
        _ => answer(reply, false),
    }
}

fn answer((status, body): Reply, is_replay: bool) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let replayed = is_replay.then_some([("idempotent-replayed", "true")]);
    match replayed {
        Some(headers) => (status, headers, axum::Json(body)).into_response(),
        None => (status, axum::Json(body)).into_response(),
    }
}
