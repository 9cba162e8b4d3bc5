//! A shop that answers what it was told to, in order, and remembers what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use compute_client::{Book, Buyer, Identity, Means, Purse, Shop, Wishes};
use compute_wallet::EvmKey;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const PRICE: u64 = 178_584;
const TEST_USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";

/// What the shop does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// This answer.
    Answer(u16, Value),
    /// The request arrives, and its answer never does.
    Nothing,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn payment(&self) -> Option<&str> {
        self.header("payment-signature")
    }
}

#[derive(Debug, Default)]
struct Memory {
    seen: Vec<Seen>,
    says: VecDeque<Say>,
    asset: String,
    /// What stands in the header that asks for a payment, when it is not the usual.
    required: Option<String>,
}

type Shared = Arc<Mutex<Memory>>;

/// A buyer with everything around it.
pub(crate) struct Town {
    memory: Shared,
    pub(crate) shop: Shop,
    pub(crate) book: Book,
    pub(crate) identity: Identity,
    pub(crate) purse: Purse,
    _folder: TempDir,
}

impl Town {
    #[expect(
        clippy::disallowed_methods,
        reason = "the shop lives as long as its test"
    )]
    pub(crate) async fn open() -> Self {
        let memory = Shared::default();
        lock(&memory).asset = TEST_USDC.to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&memory));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let key = Arc::new(EvmKey::from_bytes(&[7; 32]).unwrap());
        Self {
            memory,
            shop: Shop::new(&url).unwrap(),
            book: Book::new(folder.path()),
            identity: Identity::Wallet(Arc::clone(&key)),
            purse: Purse::default().with_evm(key),
            _folder: folder,
        }
    }

    /// Answers to requests that pay, in order; the last is given again and again.
    pub(crate) fn says(&self, says: impl IntoIterator<Item = Say>) {
        lock(&self.memory).says = says.into_iter().collect();
    }

    pub(crate) fn asks_for(&self, asset: &str) {
        asset.clone_into(&mut lock(&self.memory).asset);
    }

    /// Asks for payments with this header.
    pub(crate) fn requires(&self, header: String) {
        lock(&self.memory).required = Some(header);
    }

    pub(crate) fn buyer(&self) -> Buyer<'_> {
        Buyer {
            shop: &self.shop,
            book: &self.book,
            identity: &self.identity,
            purse: &self.purse,
        }
    }

    /// The requests that paid.
    pub(crate) fn paid(&self) -> Vec<Seen> {
        let mut all = self.seen();
        all.retain(|seen| seen.payment().is_some());
        all
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.memory).seen.clone()
    }
}

pub(crate) fn order() -> Value {
    json!({"plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284, "prepaid_hours": 24})
}

/// Wishes of somebody who does not wait long.
pub(crate) fn wishes() -> Wishes {
    Wishes {
        means: Means::Any,
        patience: Duration::from_secs(2),
        ..Wishes::default()
    }
}

pub(crate) fn made() -> Say {
    let reply = json!({
        "success": true, "operation_id": "p-1", "settlement": "settled", "order": {"id": "o-1"},
    });
    Say::Answer(200, reply)
}

async fn serve(
    State(memory): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let seen = Seen {
        path: uri.path().to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let pays = seen.payment().is_some() || seen.body.get("use_credits").is_some();
    let say = {
        let mut memory = lock(&memory);
        memory.seen.push(seen);
        match (pays, memory.says.len()) {
            (false, _) => None,
            (true, 0 | 1) => memory.says.front().cloned(),
            (true, _) => memory.says.pop_front(),
        }
    };
    match say {
        None => {
            let memory = lock(&memory);
            let usual = || usual(&memory.asset);
            unpaid(memory.required.clone().unwrap_or_else(usual))
        }
        Some(Say::Answer(status, body)) => answer(status).body(body.to_string().into()).unwrap(),
        // A body that breaks off: the client cannot know what was in it.
        Some(Say::Nothing) => {
            let broken = futures_broken();
            answer(200).body(broken).unwrap()
        }
    }
}

fn futures_broken() -> Body {
    let parts: [Result<Bytes, std::io::Error>; 2] = [
        Ok(Bytes::from_static(b"{\"success\"")),
        Err(std::io::Error::other("lost")),
    ];
    Body::from_stream(futures::stream::iter(parts))
}

fn answer(status: u16) -> axum::http::response::Builder {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .header("x-compute-mode", "dev")
}

/// A challenge for USDC on the test network of Base.
fn usual(asset: &str) -> String {
    let asked = json!({
        "x402Version": 2, "error": "payment_required",
        "resource": {"url": "https://compute.example/compute/provision"},
        "accepts": [{
            "scheme": "exact", "network": "eip155:84532", "amount": PRICE.to_string(),
            "asset": asset, "payTo": "0x1111111111111111111111111111111111111111",
            "maxTimeoutSeconds": 300, "extra": {"name": "USDC", "version": "2"},
        }],
    });
    base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        asked.to_string(),
    )
}

fn unpaid(header: String) -> Response<Body> {
    answer(402)
        .header("payment-required", header)
        .body(json!({"code": "payment_required"}).to_string().into())
        .unwrap()
}

fn lock(memory: &Shared) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
