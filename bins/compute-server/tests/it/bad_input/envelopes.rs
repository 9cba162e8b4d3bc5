//! Payment headers whose envelope breaks a rule of x402.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::Stage;
use super::forger::Forger;
use crate::buyer::{PROVISION, order, post, text};
use crate::on_both_databases;
use crate::server::Backend;

on_both_databases!(a_bad_envelope_is_refused);

/// A payment header and the status it must get, for the envelope rules of x402.
fn bad_envelopes(good: &Value) -> Vec<(String, u16, &'static str)> {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let change = |member: &str, value: Value| {
        let mut envelope = good.clone();
        envelope[member] = value;
        encode(&envelope.to_string())
    };
    let without = |member: &str| {
        let mut envelope = good.clone();
        envelope.as_object_mut().unwrap().remove(member);
        encode(&envelope.to_string())
    };
    let (malformed, version) = ("invalid_payload", "invalid_x402_version");
    let text = good.to_string();
    let mut cases = vec![
        (String::new(), 402, "payment_required"),
        ("  ".to_owned(), 402, "payment_required"),
        ("%%%".to_owned(), 400, malformed),
        (encode("hello"), 400, malformed),
        (encode(&format!("{text} {{}}")), 400, malformed),
        (
            encode(&text.replacen('{', "{\"x402Version\":1,", 1)),
            400,
            malformed,
        ),
        (
            encode(&format!("{}{}", "[".repeat(5_000), "]".repeat(5_000))),
            400,
            malformed,
        ),
        (BASE64_STANDARD.encode(b"\xff\xfe{}"), 400, malformed),
        (
            format!("{}{}", encode(&text), "A".repeat(17_000)),
            400,
            malformed,
        ),
        (change("scheme", json!("upto")), 402, "unsupported_scheme"),
        (change("scheme", json!("Exact")), 402, "unsupported_scheme"),
        (without("scheme"), 402, "unsupported_scheme"),
        (change("network", json!("base")), 402, "invalid_network"),
        (
            change("network", json!("eip155:084532")),
            402,
            "invalid_network",
        ),
        (change("network", json!("solana")), 402, "invalid_network"),
        (change("payload", json!(null)), 400, malformed),
        (change("payload", json!({})), 400, malformed),
        (without("payload"), 400, malformed),
        (change("extensions", json!([])), 400, malformed),
    ];
    for json in ["null", "[]", "\"x\"", "5", "true"] {
        cases.push((encode(json), 400, malformed));
    }
    for number in [
        json!(0),
        json!(3),
        json!(-1),
        json!(1.5),
        json!(null),
        json!(true),
        json!("1"),
    ] {
        cases.push((change("x402Version", number), 400, version));
    }
    cases.push((without("x402Version"), 400, version));
    cases
}

async fn a_bad_envelope_is_refused(backend: Backend) {
    let stage = Stage::open(backend).await;
    let server = &stage.server;
    let forger = Forger::new(server).await;
    let good = forger.envelope(|_| {});
    for (header, status, code) in bad_envelopes(&good) {
        let start: String = header.chars().take(100).collect();
        let answer = post(server, &order(), &[("x-payment", header)]).await;
        assert_eq!(answer.status, status, "{start}: {}", text(&answer));
        assert_eq!(
            answer.json(status).unwrap()["error"],
            code,
            "{start}: {}",
            text(&answer)
        );
    }
    let one = BASE64_STANDARD.encode(good.to_string());
    let other = BASE64_STANDARD.encode(forger.envelope(|_| {}).to_string());
    for pair in [
        [("x-payment", &one), ("payment-signature", &other)],
        [("x-payment", &one), ("x-payment", &one)],
    ] {
        let headers = pair.map(|(name, value)| (name, value.clone()));
        assert_eq!(post(server, &order(), &headers).await.status, 400);
    }
    // A payment without a request would buy nothing.
    let paid = [
        ("x-payment", one),
        ("content-type", "application/json".to_owned()),
    ];
    let empty = server.send("POST", PROVISION, &paid, "").await;
    assert_eq!(empty.status, 400, "{}", text(&empty));
    stage.expect_untouched().await;
}
