//! Somebody who pays by credentials, well or badly.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compute_mpp::tempo::Modes;
use compute_mpp::{Challenge, Credential};
use compute_testkit::scripted_charge::{ScriptedCharge, TempoBuyer};
use http::Request;
use serde_json::{Map, Value};

use crate::shop::{Answer, ORDER, Shop, post};

/// A shop that takes Tempo and cards, and both rails.
pub(crate) async fn open() -> (Shop, Arc<ScriptedCharge>, Arc<ScriptedCharge>) {
    let tempo = Arc::new(ScriptedCharge::tempo(Modes::Pull));
    let stripe = Arc::new(ScriptedCharge::stripe());
    let shop = Shop::open_taking(vec![tempo.clone(), stripe.clone()]).await;
    (shop, tempo, stripe)
}

pub(crate) fn now_s(shop: &Shop) -> u64 {
    u64::try_from(shop.now_ms() / 1_000).unwrap()
}

/// The challenges of an answer, in order.
pub(crate) fn challenges(answer: &Answer) -> Vec<Challenge> {
    let lines = answer.headers.get_all("www-authenticate").iter();
    let lines = lines.map(http::HeaderValue::as_bytes);
    Challenge::parse_www_authenticate(lines).unwrap()
}

/// The challenge of a method.
pub(super) fn challenge(answer: &Answer, method: &str) -> Challenge {
    let mut offers = challenges(answer).into_iter();
    offers.find(|offer| offer.method() == method).unwrap()
}

/// A request with this credential.
pub(super) fn with(path: &str, body: &str, credential: &str) -> Request<Body> {
    let request = post(path, body).header("authorization", credential);
    request.body(Body::from(body.to_owned())).unwrap()
}

/// The ordinary order with this credential.
pub(super) async fn send(shop: &Shop, credential: &str) -> Answer {
    let request = with("/compute/provision", ORDER, credential);
    shop.patiently(shop.send(request)).await
}

/// A credential for the ordinary order.
pub(super) async fn sign(shop: &Shop, buyer: &TempoBuyer) -> String {
    let asked = shop.ask(ORDER).await;
    buyer.pay(&challenge(&asked, "tempo"), now_s(shop))
}

/// The document of a credential.
pub(super) fn document(credential: &str) -> Value {
    let token = credential.strip_prefix("Payment ").unwrap();
    Credential::decode(token.as_bytes()).unwrap().to_json()
}

/// The field of a document.
pub(super) fn field(document: &Value) -> String {
    let text = serde_json::to_vec(document).unwrap();
    format!("Payment {}", URL_SAFE_NO_PAD.encode(text))
}

/// The document of a credential for a challenge, with this payload.
pub(super) fn answering(challenge: &Challenge, payload: Value) -> Value {
    let Value::Object(payload) = payload else {
        panic!("a payload is an object")
    };
    Credential::new(challenge.clone(), None, payload).to_json()
}

/// The payload of a signed transaction as a document member.
pub(super) fn payload(payload: Map<String, Value>) -> Value {
    Value::Object(payload)
}
