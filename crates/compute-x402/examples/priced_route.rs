//! A plain axum service with one priced route: `cargo run -p compute-x402 --example priced_route`.
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, extract::State, routing::get};
use compute_wallet::EvmAddress;
use compute_x402::facilitator::{SettleClass, classify_settle, request_body};
use compute_x402::{Amount, Challenge, ErrorCode, Offer, Recipient, Resource, SettlementHeaders};
use compute_x402::{ValidityWindow, decode_headers, networks::BASE_SEPOLIA_USDC, verify};
use serde_json::{Value, json};
use std::{collections::BTreeSet, slice::from_ref, sync::Arc, sync::Mutex, time::SystemTime};
const JOKE: Resource<'_> = Resource::new("http://127.0.0.1:4021/", "A joke", "text/plain");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pay_to = EvmAddress::parse("0x60555990d56622d2D39dCd444404Ef8e596e370E")?;
    let token = Arc::new(BASE_SEPOLIA_USDC.eip3009_terms()?);
    let offer = Offer::new(token, Recipient::new(pay_to), Amount::new(10_000), 300);
    let app = Router::new().route("/", get(joke)).with_state(offer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:4021").await?;
    Ok(axum::serve(listener, app).await?)
}

async fn joke(State(offer): State<Offer>, headers: HeaderMap) -> Response {
    let error = match pay(&offer, &headers) {
        Ok(paid) => return (paid.into_pairs(), "Why 402? 404 was lost.").into_response(),
        Err(ErrorCode::SettlementPending) => return StatusCode::CONFLICT.into_response(),
        Err(error) => error,
    };
    let challenge = Challenge::new(JOKE, from_ref(&offer), &error);
    let required = challenge.payment_required("base-sepolia"); // for version 2
    let body = Json(challenge.v1_body("base-sepolia")); // for version 1
    let header = [("payment-required", required)];
    (StatusCode::PAYMENT_REQUIRED, header, body).into_response()
}

fn pay(offer: &Offer, headers: &HeaderMap) -> Result<SettlementHeaders, ErrorCode> {
    let sent = |name| headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let payment = decode_headers(sent("x-payment"), sent("payment-signature"))?;
    let payment = payment.ok_or(ErrorCode::PaymentRequired)?;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let paid = verify(&payment, from_ref(offer), ValidityWindow::at(now.as_secs()))?;
    let answer = pretend_to_settle(&request_body(payment.version(), &payment, offer, JOKE));
    match classify_settle(200, answer.as_bytes(), offer.network()) {
        SettleClass::Settled { transaction, .. } => {
            let (network, payer) = (offer.network(), &paid.payer);
            Ok(SettlementHeaders::settled(network, &transaction, payer))
        }
        SettleClass::Declined { code } => Err(code),
        _ => Err(ErrorCode::SettlementPending), // money may have moved: ask for no more
    }
}

/// Stands for `POST /settle` at a facilitator: nothing settles twice, and no money moves.
fn pretend_to_settle(request: &Value) -> String {
    static SETTLED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let proof = format!("{:?}", request.pointer("/paymentPayload/payload"));
    let is_new = SETTLED.lock().is_ok_and(|mut set| set.insert(proof));
    let hash = format!("0x{}", "ab".repeat(32));
    json!({"success": is_new, "transaction": hash, "network": "base-sepolia"}).to_string()
}
