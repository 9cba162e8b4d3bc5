//! Signed payments that do not pay what is asked.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use compute_testkit::faults_log::injected;
use compute_x402::networks::BASE_USDC;
use serde_json::{Value, json};

use super::Stage;
use super::forger::{Forger, raise_s};
use crate::buyer::{Buyer, PROVISION, borrowed, now_ms, order, pay, post, text};
use crate::on_both_databases;
use crate::server::{Backend, Server};

on_both_databases!(a_bad_payment_is_refused, a_payer_must_be_the_caller);

type Case = (&'static str, Value, u16, &'static str);

const AUTHORIZATION: &str = "invalid_exact_evm_payload_authorization_value";
const BEFORE: &str = "invalid_exact_evm_payload_authorization_valid_before";
const AFTER: &str = "invalid_exact_evm_payload_authorization_valid_after";
const RECIPIENT: &str = "invalid_exact_evm_payload_recipient_mismatch";
const SIGNATURE: &str = "invalid_exact_evm_payload_signature";

fn other_terms(forger: &Forger) -> Vec<Case> {
    let amount = forger.authorization.value.to_u128().unwrap();
    let (now_s, stranger) = (now_ms() / 1_000, Buyer::new().key.address());
    let less = forger.envelope(|it| it.value = (amount - 1).into());
    let more = forger.envelope(|it| it.value = (amount + 1).into());
    let nothing = forger.envelope(|it| it.value = 0_u128.into());
    let expired = forger.envelope(|it| it.valid_before = now_s - 1);
    let nearly = forger.envelope(|it| it.valid_before = now_s + 3);
    let year = forger.envelope(|it| it.valid_before = now_s + 31_536_000);
    let early = forger.envelope(|it| it.valid_after = now_s + 200);
    vec![
        ("one unit less", less, 402, AUTHORIZATION),
        ("one unit more", more, 402, AUTHORIZATION),
        ("nothing", nothing, 402, AUTHORIZATION),
        ("expired", expired, 402, BEFORE),
        ("nearly expired", nearly, 402, BEFORE),
        ("for a year", year, 402, BEFORE),
        ("not yet valid", early, 402, AFTER),
        (
            "other recipient",
            forger.envelope(|it| it.to = stranger),
            402,
            RECIPIENT,
        ),
        (
            "of somebody else",
            forger.envelope(|it| it.from = stranger),
            402,
            SIGNATURE,
        ),
    ]
}

fn other_signatures(forger: &Forger) -> Vec<Case> {
    vec![
        (
            "high s",
            forger.resigned(|bytes| raise_s(bytes)),
            402,
            SIGNATURE,
        ),
        (
            "v of 29",
            forger.resigned(|bytes| bytes[64] = 29),
            402,
            SIGNATURE,
        ),
        (
            "one bit",
            forger.resigned(|bytes| bytes[10] ^= 1),
            402,
            SIGNATURE,
        ),
        (
            "zeros",
            forger.resigned(|bytes| bytes[..64].fill(0)),
            402,
            SIGNATURE,
        ),
        (
            "64 bytes",
            forger.resigned(|bytes| bytes.truncate(64)),
            402,
            SIGNATURE,
        ),
    ]
}

fn malformed(forger: &Forger) -> Vec<Case> {
    let texts = ["-1", "1e6", "0x10", "1.0", " 1", "+1", "1_000", ""];
    let values = texts.iter().map(|text| ("value", json!(text)));
    let others = [
        ("value", json!(216_000)),
        ("nonce", json!("0x00")),
        ("nonce", json!("")),
        ("from", json!("0x12")),
        ("to", json!("1111111111111111111111111111111111111111")),
        ("validBefore", json!("-1")),
        ("validBefore", json!("2030-01-01T00:00:00Z")),
        ("validAfter", json!(null)),
    ];
    let case = |(member, value)| (member, forger.edited(member, value), 400, "invalid_payload");
    values.chain(others).map(case).collect()
}

/// The fault's id in the catalogue, when it is there.
fn catalogue_id(what: &str, code: &str) -> Option<&'static str> {
    match (what, code) {
        ("high s" | "v of 29", _) => Some("F058"),
        ("other chain", _) => Some("F061"),
        (_, AUTHORIZATION) => Some("F060"),
        (_, BEFORE | AFTER) => Some("F062"),
        (_, RECIPIENT) => Some("F061"),
        _ => None,
    }
}

async fn check(server: &Server, (what, envelope, status, code): Case) {
    let header = BASE64_STANDARD.encode(envelope.to_string());
    let answer = post(server, &order(), &[("x-payment", header)]).await;
    assert_eq!(answer.status, status, "{what}: {}", text(&answer));
    if let Some(id) = catalogue_id(what, code) {
        injected(id);
    }
    let body = answer.json(status).unwrap();
    assert_eq!(body["error"], code, "{what}: {body}");
    if status == 402 {
        assert_eq!(
            body["accepts"].as_array().map(Vec::len),
            Some(1),
            "{what}: how to pay"
        );
    }
}

async fn a_bad_payment_is_refused(backend: Backend) {
    let stage = Stage::open(backend).await;
    let server = &stage.server;
    let forger = Forger::new(server).await;
    let lists = [
        other_terms(&forger),
        other_signatures(&forger),
        malformed(&forger),
    ];
    for case in lists.into_iter().flatten() {
        check(server, case).await;
    }
    // Signed for the token of the main network.
    let foreign = Forger {
        token: BASE_USDC.eip3009_terms().unwrap(),
        ..forger
    };
    check(
        server,
        ("other chain", foreign.envelope(|_| {}), 402, SIGNATURE),
    )
    .await;
    stage.expect_untouched().await;
}

async fn a_payer_must_be_the_caller(backend: Backend) {
    let stage = Stage::open(backend).await;
    let server = &stage.server;
    let buyer = Buyer::new();
    let payment = buyer.sign(server, &order()).await;
    let body = order().to_string();
    let mut headers = Buyer::new().headers("POST", PROVISION, &body, now_ms(), "0123456789abcdef");
    headers.push((payment.header_name(), payment.to_header()));
    let refused = server
        .send("POST", PROVISION, &borrowed(&headers), &body)
        .await;
    injected("F083");
    assert_eq!(refused.json(403).unwrap()["code"], "payer_mismatch");
    stage.expect_untouched().await;
    // Nothing was spent: the payment is still good.
    assert_eq!(pay(server, &order(), &payment).await.status, 200);
}
