//! Bad input, row by row (mpp.md 21): what is answered, whether a fresh challenge goes with it, and that
//! nothing was tried. What only the network can judge is `network`; 34 to 37 are `purchase`.

use compute_domain::time::Span;
use compute_mpp::Challenge;
use compute_mpp::tempo::abi::TokenTransfer;
use compute_mpp::tempo::{AttributionMemo, TransactionBuilder};
use compute_testkit::faults_log::injected;
use compute_testkit::scripted_charge::{CHAIN_ID, RECIPIENT, TempoBuyer};
use compute_wallet::{EvmAddress, Uint256};
use http::Request;
use serde_json::{Value, json};

use super::payer::{
    answering, challenge, challenges, document, field, now_s, open, payload, send, with,
};
use crate::shop::{Answer, ORDER, Shop, extend_path, mpp_terms, post};
use crate::visitor::Visitor;

const VECTORS: &str =
    include_str!("../../../../compute-mpp/tests/fixtures/tempo_transactions.json");

/// What a row answers.
#[derive(Clone, Copy)]
enum Is {
    Malformed,
    Invalid,
    Expired,
    Payload,
    Failed,
}

impl Is {
    const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_credential",
            Self::Invalid => "invalid_challenge",
            Self::Expired => "payment_expired",
            Self::Payload => "invalid_payload",
            Self::Failed => "verification_failed",
        }
    }
}

/// A 402 with this problem and a fresh challenge.
#[track_caller]
fn check(row: &str, answer: &Answer, is: Is) {
    let code = is.code();
    assert_eq!(answer.status, 402, "{row}: {answer:?}");
    answer.expect_problem(402, code);
    let suffix = code.replace('_', "-");
    let kind = format!("https://paymentauth.org/problems/{suffix}");
    assert_eq!(answer.text("type"), kind, "{row}");
    assert_eq!(answer.json()["charged"], false, "{row}");
    assert!(!challenges(answer).is_empty(), "{row}: {answer:?}");
    assert!(answer.header("payment-receipt").is_none(), "{row}");
}

struct Table {
    shop: Shop,
    buyer: TempoBuyer,
    offer: Challenge,
}

impl Table {
    async fn lay(shop: Shop) -> Self {
        let offer = challenge(&shop.ask(ORDER).await, "tempo");
        Self {
            shop,
            buyer: TempoBuyer::new(1),
            offer,
        }
    }

    /// A good credential for the ordinary order, as a document.
    fn good(&self) -> Value {
        document(&self.buyer.pay(&self.offer, now_s(&self.shop)))
    }

    async fn raw(&self, row: &str, credential: &str, is: Is) {
        check(row, &send(&self.shop, credential).await, is);
    }

    /// A good document with one change.
    async fn changed(&self, row: &str, change: impl FnOnce(&mut Value), is: Is) {
        let mut document = self.good();
        change(&mut document);
        self.raw(row, &field(&document), is).await;
    }

    /// A document with the transaction that this makes.
    async fn paying(&self, row: &str, transaction: TransactionBuilder, is: Is) {
        let signed = payload(self.buyer.payload(transaction));
        self.changed(row, |it| it["payload"] = signed, is).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_malformed() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    let json = |text: &str| {
        use base64::Engine as _;
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        format!("Payment {token}")
    };
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let twice = table
        .good()
        .to_string()
        .replacen('{', r#"{"payload":{},"#, 1);
    for (row, credential) in [
        ("2 empty token", "Payment".to_owned()),
        ("3 not base64", "Payment %%%".to_owned()),
        ("3 blank inside", "Payment e30 e30".to_owned()),
        ("4 not UTF-8", "Payment _w".to_owned()),
        ("4 no JSON", json("this is garbage")),
        ("4 array", json("[]")),
        ("4 null", json("null")),
        ("4 trailing", json("{} {}")),
        ("5 nothing in it", json("{}")),
        ("7 a member twice", json(&twice)),
        ("8 deep", json(&deep)),
        ("8 64 KiB", format!("Payment {}", "A".repeat(64 * 1_024))),
    ] {
        table.raw(row, &credential, Is::Malformed).await;
    }
    for (row, pointer, value) in [
        ("5 challenge is a text", "/challenge", json!("x")),
        ("5 payload is null", "/payload", Value::Null),
        ("5 payload is a text", "/payload", json!("x")),
        ("6 request is an object", "/challenge/request", json!({})),
        ("6 id is a number", "/challenge/id", json!(1)),
        ("6 source is a number", "/source", json!(1)),
    ] {
        let change = |it: &mut Value| *it.pointer_mut(pointer).unwrap() = value;
        table.changed(row, change, Is::Malformed).await;
    }
    for missing in ["challenge", "payload"] {
        let change = |it: &mut Value| {
            it.as_object_mut().unwrap().remove(missing);
        };
        table.changed(missing, change, Is::Malformed).await;
    }
    assert_eq!(tempo.settle_calls(), 0);
}

#[tokio::test]
async fn two_payments_and_foreign_methods_are_400() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    let good = field(&table.good());
    let send = async |pairs: &[(&str, &str)]| {
        let mut request = post("/compute/provision", ORDER);
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let answer = table.shop.send(request.body(ORDER.into()).unwrap()).await;
        assert!(answer.header("www-authenticate").is_none(), "{answer:?}");
        answer
    };
    let listed = format!("{good}, {good}");
    let x402 = Visitor::new(2).payment(&table.shop).await.to_header();
    for (row, pairs) in [
        ("9 list", vec![("authorization", listed.as_str())]),
        ("9 lines", vec![("authorization", good.as_str()); 2]),
        (
            "9 fields",
            vec![
                ("authorization", good.as_str()),
                ("payment-authorization", &good),
            ],
        ),
        (
            "10 x402 beside it",
            vec![("authorization", good.as_str()), ("x-payment", &x402)],
        ),
    ] {
        let answer = send(&pairs).await;
        answer.expect_problem(400, "several_payments");
        assert!(answer.text("type").ends_with("/bad-request"), "{row}");
    }
    for (member, value) in [("method", "evm"), ("intent", "session")] {
        let mut foreign = table.good();
        foreign["challenge"][member] = value.into();
        let answer = send(&[("authorization", &field(&foreign))]).await;
        answer.expect_problem(400, "method_unsupported");
        assert!(answer.text("type").ends_with("/method-unsupported"));
    }
    // Either field will do.
    let pairs = [("payment-authorization", good.as_str())];
    let bought = table.shop.patiently(send(&pairs));
    assert_eq!(bought.await.status, 200);
    assert_eq!(tempo.settled(), 1);
}

#[tokio::test]
async fn a_challenge_that_is_not_ours_or_not_for_this_is_invalid() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    let set = |pointer: &'static str, value: Value| {
        move |it: &mut Value| *it.pointer_mut(pointer).unwrap() = value
    };
    injected("F077");
    let id = table.offer.id().to_owned();
    let altered = format!("{}A", &id[..42]);
    let other_id = if altered == id {
        id.replace('A', "B")
    } else {
        altered
    };
    for (row, value) in [
        ("11 altered", other_id),
        ("11 truncated", id[..42].to_owned()),
        ("11 empty", String::new()),
        ("11 10 KB", "A".repeat(10_240)),
    ] {
        let change = set("/challenge/id", value.into());
        table.changed(row, change, Is::Invalid).await;
    }
    // The members of the request, each replaced by something better for the buyer.
    let charge = table.offer.charge().unwrap();
    let mut cheaper = charge.clone();
    cheaper.amount = compute_mpp::Amount::new(1);
    let mut elsewhere = charge.clone();
    elsewhere.recipient = Some(table.buyer.address().to_checksum());
    let mut token = charge.clone();
    token.currency = RECIPIENT.to_checksum();
    let mut chain = charge.clone();
    chain
        .method_details
        .insert("chainId".to_owned(), 42_431.into());
    for (row, request) in [
        ("12 amount", cheaper),
        ("13 recipient", elsewhere),
        ("13 currency", token),
        ("13 chain", chain),
    ] {
        let text = request.encode().unwrap().as_str().to_owned();
        let change = set("/challenge/request", text.into());
        table.changed(row, change, Is::Invalid).await;
    }
    let later = set("/challenge/expires", "2099-01-01T00:00:00.000Z".into());
    table.changed("14 expires moved", later, Is::Invalid).await;
    for member in ["expires", "digest", "opaque"] {
        let drop = |it: &mut Value| {
            it["challenge"].as_object_mut().unwrap().remove(member);
        };
        table.changed(member, drop, Is::Invalid).await;
    }
    let shift = |it: &mut Value| {
        let digest = it["challenge"].as_object_mut().unwrap().remove("digest");
        let digest = digest.unwrap();
        let opaque = it["challenge"]["opaque"].as_str().unwrap().to_owned();
        it["challenge"]["opaque"] = format!("{}|{opaque}", digest.as_str().unwrap()).into();
    };
    table.changed("15 slots shifted", shift, Is::Invalid).await;
    let realm = set("/challenge/realm", "a|b".into());
    table
        .changed("15 realm with a bar", realm, Is::Invalid)
        .await;
    let realm = set("/challenge/realm", "other.example".into());
    table.changed("16 other realm", realm, Is::Invalid).await;
    assert_eq!(tempo.settle_calls(), 0);
}

#[tokio::test]
async fn a_challenge_of_another_shop_route_or_body_is_invalid() {
    let (mut shop, tempo, _) = open().await;
    let buyer = TempoBuyer::new(1);
    // A machine to extend, and a challenge for it.
    let bought = send(&shop, &super::payer::sign(&shop, &buyer).await)
        .await
        .json();
    let key = bought["management_api_key"].as_str().unwrap().to_owned();
    let path = extend_path(bought["order"]["id"].as_str().unwrap());
    shop.drive().await;
    let settled = tempo.settle_calls();
    let body = r#"{"extend_hours":24}"#;
    let ask = post(&path, body).header("x-api-key", &key);
    let extend = challenge(&shop.send(ask.body(body.into()).unwrap()).await, "tempo");
    let now = now_s(&shop);
    let credential = buyer.pay(&extend, now);
    check(
        "17 extend used on provision",
        &send(&shop, &credential).await,
        Is::Invalid,
    );
    // The other way round, and for another body.
    let order = challenge(&shop.ask(ORDER).await, "tempo");
    let pay = post(&path, body)
        .header("x-api-key", &key)
        .header("authorization", buyer.pay(&order, now));
    let answer = shop.send(pay.body(body.into()).unwrap()).await;
    check("17 provision used on extend", &answer, Is::Invalid);
    for (row, other) in [
        ("18 another order", ORDER.replace("agent", "other")),
        ("18 one blank more", ORDER.replacen(':', ": ", 1)),
    ] {
        let request = with("/compute/provision", &other, &buyer.pay(&order, now));
        check(row, &shop.send(request).await, Is::Invalid);
    }
    // Without its body it is no order at all.
    let request = Request::post("/compute/provision")
        .header("authorization", buyer.pay(&order, now))
        .body(axum::body::Body::empty());
    let answer = shop.send(request.unwrap()).await;
    answer.expect_problem(400, "invalid_request");
    // What the probe without a body offers pays for no body.
    let probe = shop.ask_at("/compute/provision", "").await;
    let unbound = challenge(&probe, "tempo");
    assert!(unbound.digest().is_none());
    let answer = send(&shop, &buyer.pay(&unbound, now)).await;
    check("18 of the probe", &answer, Is::Invalid);
    shop.restart(mpp_terms("fedcba9876543210fedcba9876543210"))
        .await;
    let answer = send(&shop, &buyer.pay(&order, now)).await;
    check("16 other secret", &answer, Is::Invalid);
    assert_eq!(tempo.settle_calls(), settled);
}

#[tokio::test]
async fn an_expired_challenge_says_so() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    injected("F077");
    table.shop.clock.advance(Span::from_secs(301));
    let late = field(&table.good());
    table
        .raw("19 expired by a second", &late, Is::Expired)
        .await;
    assert_eq!(tempo.settle_calls(), 0);
}

#[tokio::test]
async fn a_payload_of_another_shape_is_invalid() {
    let (shop, tempo, stripe) = open().await;
    let body = ORDER.replace(":24}", ":720}");
    let card = challenge(&shop.ask(&body).await, "stripe");
    let table = Table::lay(shop).await;
    let crossed = |it: &mut Value| it["payload"] = json!({ "spt": "spt_1" });
    table
        .changed("20 a card on tempo", crossed, Is::Payload)
        .await;
    let transfer = table.good()["payload"].clone();
    let long = format!("spt_{}", "a".repeat(20_480));
    for (row, payload) in [
        ("20 a transfer on stripe", transfer),
        ("44 missing", json!({})),
        ("44 number", json!({ "spt": 1 })),
        ("44 list", json!({ "spt": ["spt_1"] })),
        ("44 empty", json!({ "spt": "" })),
        ("44 with &", json!({ "spt": "spt_1&amount=1" })),
        ("44 with CR LF", json!({ "spt": "spt_1\r\nX: y" })),
        ("44 path", json!({ "spt": "spt_../x" })),
        ("44 20 KB", json!({ "spt": long })),
    ] {
        let credential = field(&answering(&card, payload));
        let request = with("/compute/provision", &body, &credential);
        check(row, &table.shop.send(request).await, Is::Payload);
    }
    let set = |value: Value| move |it: &mut Value| it["payload"] = value;
    let signature = |value: Value| json!({ "type": "transaction", "signature": value });
    for (row, payload) in [
        ("22 type missing", json!({ "signature": "0x76" })),
        (
            "22 type unknown",
            json!({ "type": "wire", "signature": "0x76" }),
        ),
        ("22 type a number", json!({ "type": 1 })),
        ("23 not hex", signature(json!("0xzz"))),
        ("23 odd", signature(json!("0x7"))),
        ("23 empty", signature(json!(""))),
        ("23 no 0x", signature(json!("76"))),
        (
            "23 40 KB",
            signature(format!("0x{}", "76".repeat(20_000)).into()),
        ),
        (
            "38 a hash where only pull is offered",
            json!({ "type": "hash", "hash": format!("0x{}", "a".repeat(64)) }),
        ),
        ("40 a proof", signature(json!("0x76"))),
    ] {
        let mut payload = payload;
        if row.starts_with("40") {
            payload["type"] = "proof".into();
        }
        table.changed(row, set(payload), Is::Payload).await;
    }
    assert_eq!((tempo.settle_calls(), stripe.settle_calls()), (0, 0));
}

/// Rows 24, 25 and the signatures of 31, by the golden data.
#[tokio::test]
async fn an_undecodable_transaction_is_refused() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["undecodable"].as_array().unwrap();
    assert_eq!(cases.len(), 41);
    for case in cases {
        let (name, raw) = (case["name"].as_str().unwrap(), case["raw"].clone());
        let mut document = table.good();
        document["payload"]["signature"] = raw;
        let answer = send(&table.shop, &field(&document)).await;
        // A signature that breaks a rule is a payment that fails (row 31).
        let is = match answer.text("code").as_str() {
            "verification_failed" => Is::Failed,
            _ => Is::Payload,
        };
        check(name, &answer, is);
    }
    for case in vectors["wrongPayment"].as_array().unwrap() {
        let mut document = table.good();
        document["payload"]["signature"] = case["raw"].clone();
        let answer = send(&table.shop, &field(&document)).await;
        check(case["name"].as_str().unwrap(), &answer, Is::Failed);
    }
    assert_eq!(tempo.settle_calls(), 0);
}

#[tokio::test]
async fn a_transaction_that_pays_something_else_fails() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    let now = now_s(&table.shop);
    let charge = table.offer.charge().unwrap();
    let amount = charge.amount.get();
    let token = EvmAddress::parse_any_case(&charge.currency).unwrap();
    let memo = AttributionMemo::of(table.offer.realm(), table.offer.id(), None);
    let memo = Some(*memo.as_bytes());
    let transfer = |to, amount: u128, memo| TokenTransfer {
        to,
        amount: Uint256::from(amount),
        memo,
    };
    let pay = |chain, token, transfer| {
        TransactionBuilder::transfer(chain, token, &transfer).valid_before(now + 25)
    };
    let other_memo = AttributionMemo::of(table.offer.realm(), "another", None);
    let other_memo = Some(*other_memo.as_bytes());
    let stranger = table.buyer.address();
    for (row, transaction) in [
        (
            "27 −1",
            pay(CHAIN_ID, token, transfer(RECIPIENT, amount - 1, memo)),
        ),
        (
            "27 +1",
            pay(CHAIN_ID, token, transfer(RECIPIENT, amount + 1, memo)),
        ),
        (
            "27 recipient",
            pay(CHAIN_ID, token, transfer(stranger, amount, memo)),
        ),
        (
            "27 token",
            pay(CHAIN_ID, RECIPIENT, transfer(RECIPIENT, amount, memo)),
        ),
        (
            "27 memo",
            pay(CHAIN_ID, token, transfer(RECIPIENT, amount, other_memo)),
        ),
        (
            "27 no memo",
            pay(CHAIN_ID, token, transfer(RECIPIENT, amount, None)),
        ),
        (
            "29 chain",
            pay(42_431, token, transfer(RECIPIENT, amount, memo)),
        ),
    ] {
        table.paying(row, transaction, Is::Failed).await;
    }
    assert_eq!(tempo.settle_calls(), 0);
}

#[tokio::test]
async fn a_transaction_out_of_time_or_of_somebody_else_fails() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    let now = now_s(&table.shop);
    let good = || TempoBuyer::transaction(&table.offer, now);
    for (row, transaction) in [
        ("30 validBefore past", good().valid_before(now - 1)),
        ("30 validBefore in a second", good().valid_before(now + 1)),
        (
            "30 validBefore in a year",
            good().valid_before(now + 31_536_000),
        ),
        ("30 validAfter in the future", good().valid_after(now + 1)),
    ] {
        table.paying(row, transaction, Is::Failed).await;
    }
    let address = table.buyer.address();
    for (row, source) in [
        (
            "32 somebody else",
            format!("did:pkh:eip155:{CHAIN_ID}:{RECIPIENT}"),
        ),
        ("32 wrong chain", format!("did:pkh:eip155:1:{address}")),
        (
            "32 leading zero",
            format!("did:pkh:eip155:0{CHAIN_ID}:{address}"),
        ),
        ("32 no did", address.to_string()),
    ] {
        let change = |it: &mut Value| it["source"] = source.into();
        table.changed(row, change, Is::Failed).await;
    }
    assert_eq!(tempo.settle_calls(), 0);
    // Nothing of all this has hurt the challenge.
    let bought = send(&table.shop, &field(&table.good())).await;
    assert_eq!(bought.status, 200, "{bought:?}");
}

#[tokio::test]
async fn what_the_network_says_against_it_comes_before_the_claim() {
    let (shop, tempo, _) = open().await;
    let table = Table::lay(shop).await;
    let good = field(&table.good());
    tempo.refuse_checks(Some("insufficient_funds"));
    let poor = send(&table.shop, &good).await;
    poor.expect_problem(402, "payment_insufficient");
    assert_eq!(poor.json()["error"], "insufficient_funds", "33");
    tempo.refuse_checks(Some("simulation_failed"));
    table.raw("33 reverts", &good, Is::Failed).await;
    tempo.refuse_checks(None);
    tempo.set_down(true);
    let down = send(&table.shop, &good).await;
    down.expect_problem(503, "payment_network_unavailable");
    assert!(down.text("type").ends_with("/internal-payment-error"), "41");
    assert!(down.header("www-authenticate").is_none(), "41: {down:?}");
    tempo.set_down(false);
    assert_eq!(tempo.settle_calls(), 0);
    assert_eq!(send(&table.shop, &good).await.status, 200);
}

#[tokio::test]
async fn a_credential_means_nothing_where_nothing_is_sold() {
    let (shop, tempo, _) = open().await;
    let good = super::payer::sign(&shop, &TempoBuyer::new(1)).await;
    for path in ["/compute/plans", "/healthz"] {
        let request = Request::get(path).header("authorization", &good);
        let answer = shop.send(request.body(axum::body::Body::empty()).unwrap());
        assert_eq!(answer.await.status, 200, "50 {path}");
    }
    // A body that no longer validates is refused before the payment is looked at (row 52).
    let gone = ORDER.replace("vc2-1c-1gb", "vc2-9c-9gb");
    let request = with("/compute/provision", &gone, &good);
    shop.send(request).await.expect_problem(400, "unknown_plan");
    assert_eq!(tempo.settle_calls(), 0);
    let unheard = shop.get("/compute/orders/0190a1b2-0000-7000-8000-000000000000");
    assert_eq!(unheard.await.status, 401);
}
