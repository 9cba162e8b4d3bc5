//! The client's names for its purchases: `Idempotency-Key` and the x402 `payment-identifier`.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_domain::time::Span;
use compute_testkit::faults_log::injected;
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;
use compute_x402::PaymentPayload;
use futures::future::join_all;
use http::Request;
use serde_json::json;

use crate::credits::by_credits;
use crate::shop::{ORDER, Shop, extend_path, post};
use crate::visitor::{TOPUP, Visitor, named, paid, paid_at};

const KEY: &str = "order-0001";
const IDENTIFIER: &str = "purchase_0123456789";

/// The payment under a name of the client's.
fn identified(payment: &PaymentPayload, id: &serde_json::Value) -> serde_json::Value {
    let mut json = payment.to_json();
    json["extensions"] = json!({"payment-identifier": {"info": {"required": false, "id": id}}});
    json
}

async fn identified_payment(shop: &Shop, buyer: &Visitor, id: &str) -> PaymentPayload {
    let payment = buyer.pay_v2(shop, &shop.ask(ORDER).await);
    PaymentPayload::from_json(identified(&payment, &json!(id))).unwrap()
}

#[tokio::test]
async fn a_new_payment_under_an_old_name_is_the_old_purchase() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let (first, second) = (buyer.payment(&shop).await, buyer.payment(&shop).await);
    let bought = shop.send(named(paid(&first, ORDER), KEY)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert_eq!(bought.header("idempotent-replayed"), None);
    for payment in [&first, &second] {
        let again = shop.send(named(paid(payment, ORDER), KEY)).await;
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.json()["order"]["id"], bought.json()["order"]["id"]);
        assert_eq!(again.json()["tx_hash"], bought.json()["tx_hash"]);
    }
    assert_eq!(shop.rail.settled().len(), 1, "the second never settled");
    // Another name is another purchase.
    let other = shop.send(named(paid(&second, ORDER), "order-0002")).await;
    assert_eq!(other.status, 200, "{other:?}");
    assert_eq!(shop.rail.settled().len(), 2);
}

#[tokio::test]
async fn a_name_stands_for_one_request() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let first = buyer.payment(&shop).await;
    let bought = shop.send(named(paid(&first, ORDER), KEY)).await;
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    shop.settle_down().await;
    let calls = shop.rail.settle_calls();
    let other = ORDER.replace("agent", "other");
    let new = buyer.payment(&shop).await;
    let time = buyer.time_payment(&shop, &id, "{}").await;
    let credits = buyer.topup_payment(&shop, "{\"amount\":5}").await;
    let by_credits = by_credits("").replace("agent", "other");
    let spending = buyer.signed(&shop, "POST", "/compute/provision", &by_credits);
    let spending = spending.header("content-type", "application/json");
    for request in [
        paid(&new, &other),
        paid_at(&extend_path(&id), &time, "{}"),
        buyer.signed_payment(&shop, TOPUP, "{\"amount\":5}", &credits),
        spending.body(Body::from(by_credits)).unwrap(),
    ] {
        let refused = shop.send(named(request, KEY)).await;
        refused.expect_problem(422, "idempotency_key_reused");
    }
    assert_eq!(shop.rail.settle_calls(), calls, "nothing settled");
    assert_eq!(buyer.balance(&shop).await, "5.00");
}

#[tokio::test]
async fn another_owners_equal_name_is_another_name() {
    let shop = Shop::open().await;
    let mut ids = std::collections::BTreeSet::new();
    for number in 1..=2 {
        let buyer = Visitor::new(number);
        let payment = buyer.payment(&shop).await;
        let other = ORDER.replace("agent", &format!("of-{number}"));
        let bought = shop.send(named(paid(&payment, &other), KEY)).await;
        assert_eq!(bought.status, 200, "{bought:?}");
        assert_eq!(bought.header("idempotent-replayed"), None);
        ids.insert(bought.json()["order"]["id"].to_string());
    }
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn an_unpaid_question_and_a_declined_payment_bind_no_name() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let ask = post("/compute/provision", ORDER).body(Body::from(ORDER));
    let asked = shop.send(named(ask.unwrap(), KEY)).await;
    asked.expect_problem(402, "payment_required");
    shop.rail.misbehave([SettleFault::Declines]);
    let first = buyer.pay(&shop, &asked);
    let declined = shop.send(named(paid(&first, ORDER), KEY)).await;
    declined.expect_problem(402, "payment_declined");
    let second = buyer.pay(&shop, &declined);
    let bought = shop.send(named(paid(&second, ORDER), KEY)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert_eq!(bought.header("idempotent-replayed"), None);
}

#[tokio::test]
async fn a_purchase_that_failed_stays_what_its_name_stands_for() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    shop.provider
        .misbehave(std::iter::repeat_n(CreateFault::Rejects, 50));
    let first = buyer.payment(&shop).await;
    let failed = shop.send(named(paid(&first, ORDER), KEY)).await;
    failed.expect_problem(502, "provider_rejected");
    let second = buyer.payment(&shop).await;
    let again = shop.send(named(paid(&second, ORDER), KEY)).await;
    again.expect_problem(502, "provider_rejected");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["details"], failed.json()["details"]);
    assert_eq!(shop.rail.settled().len(), 1);
    assert_eq!(buyer.balance(&shop).await, "0.168");
}

#[tokio::test]
async fn a_name_is_forgotten_after_three_days() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let buy = async || {
        let payment = buyer.payment(&shop).await;
        let answer = shop.send(named(paid(&payment, ORDER), KEY)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        shop.settle_down().await;
        answer.header("idempotent-replayed").is_some()
    };
    assert!(!buy().await);
    for (hours, is_known) in [(71, true), (2, false)] {
        shop.clock.advance(Span::from_hours(hours));
        shop.engine.refresh_catalog().await;
        shop.engine.clean_up().await.unwrap();
        assert_eq!(buy().await, is_known, "after {hours} h more");
    }
}

#[tokio::test]
async fn credits_are_spent_once_under_one_name() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let id = buyer.machine(&shop).await;
    for (path, body) in [
        ("/compute/provision".to_owned(), by_credits("")),
        (extend_path(&id), "{\"use_credits\":true}".to_owned()),
    ] {
        let send = async || {
            let request = buyer.signed(&shop, "POST", &path, &body);
            let request = request.header("content-type", "application/json");
            let key = format!("purchase:{}", path.len());
            let request = request.body(Body::from(body.clone())).unwrap();
            shop.send(named(request, &key)).await
        };
        let answers = join_all((0..16).map(|_| send())).await;
        let ids: std::collections::BTreeSet<_> = answers
            .iter()
            .map(|answer| answer.text("operation_id"))
            .collect();
        assert_eq!(ids.len(), 1, "{answers:?}");
        let replays = answers
            .iter()
            .filter(|answer| answer.header("idempotent-replayed") == Some("true"));
        assert_eq!(replays.count(), 15, "{path}");
        assert!(
            answers.iter().all(|answer| answer.status == 200),
            "{answers:?}"
        );
    }
    assert_eq!(buyer.balance(&shop).await, "4.664");
}

#[tokio::test]
async fn a_topup_under_one_name_is_made_once() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let body = "{\"amount\":5}";
    for round in 0..2 {
        let payment = buyer.topup_payment(&shop, body).await;
        let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
        let answer = shop.patiently(shop.send(named(request, KEY))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["new_balance"], "5.00");
        let replayed = (round > 0).then_some("true");
        assert_eq!(answer.header("idempotent-replayed"), replayed);
    }
    assert_eq!(shop.rail.settled().len(), 1);
}

#[tokio::test]
async fn a_bad_name_is_refused_by_every_post() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let long = "k".repeat(256);
    let calls = shop.rail.settle_calls();
    for (path, body) in [
        ("/compute/provision".to_owned(), ORDER),
        (extend_path(&id), "{}"),
        (TOPUP.to_owned(), "{\"amount\":5}"),
        ("/compute/api-keys".to_owned(), ""),
        (format!("/compute/instances/{id}/password"), ""),
    ] {
        let send = async |values: &[&str]| {
            let head = buyer.signed(&shop, "POST", &path, body);
            let head = head.header("content-type", "application/json");
            let request = values.iter().fold(head, |request, value| {
                request.header("idempotency-key", *value)
            });
            shop.send(request.body(Body::from(body)).unwrap()).await
        };
        for values in [
            vec![""],
            vec!["1234567"],
            vec![long.as_str()],
            vec!["with space"],
            vec!["tab\tinside"],
            vec!["semi;colon"],
            vec![KEY, KEY],
            vec![KEY, "order-0002"],
        ] {
            let refused = send(&values).await;
            injected("F157");
            refused.expect_problem(400, "invalid_request");
        }
    }
    assert_eq!(shop.rail.settle_calls(), calls);
    let password = format!("/compute/instances/{id}/password");
    let request = buyer.signed(&shop, "POST", &password, "");
    let request = named(request.body(Body::empty()).unwrap(), KEY);
    assert_eq!(shop.send(request).await.status, 200, "it was not spent");
}

#[tokio::test]
async fn a_payment_of_version_2_may_name_the_purchase() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let (first, second) = (
        identified_payment(&shop, &buyer, IDENTIFIER).await,
        identified_payment(&shop, &buyer, IDENTIFIER).await,
    );
    let bought = shop.send(paid(&first, ORDER)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    let again = shop.send(paid(&second, ORDER)).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["order"]["id"], bought.json()["order"]["id"]);
    let other = ORDER.replace("agent", "other");
    let refused = shop.send(paid(&second, &other)).await;
    refused.expect_problem(409, "payment_identifier_reused");
    assert_eq!(shop.rail.settled().len(), 1);
    // The two kinds of names never meet.
    let plain = buyer.payment(&shop).await;
    let by_key = shop.send(named(paid(&plain, &other), IDENTIFIER)).await;
    assert_eq!(by_key.status, 200, "{by_key:?}");
}

#[tokio::test]
async fn a_malformed_payment_identifier_is_a_malformed_payment() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).pay_v2(&shop, &shop.ask(ORDER).await);
    for id in [
        json!(""),
        json!("too-short"),
        json!("x".repeat(129)),
        json!("with space in the id"),
        json!("colons:are:not:allowed"),
        json!(1_234_567_890_123_456_u64),
        json!(null),
        json!({}),
    ] {
        let text = identified(&payment, &id).to_string();
        let header = STANDARD.encode(text);
        let request = Request::post("/compute/provision")
            .header("content-type", "application/json")
            .header("payment-signature", header)
            .body(Body::from(ORDER))
            .unwrap();
        let refused = shop.send(request).await;
        refused.expect_problem(400, "payment_malformed");
    }
    assert_eq!(shop.rail.settle_calls(), 0);
}

#[tokio::test]
async fn a_client_that_echoes_the_offered_extension_without_a_name_just_pays() {
    let shop = Shop::open().await;
    let asked = shop.ask(ORDER).await;
    let header = asked.header("payment-required").unwrap();
    let offered = compute_x402::header::decode(header.as_bytes()).unwrap();
    assert!(header.len() < 8_000);
    let info = &offered["extensions"]["payment-identifier"]["info"];
    assert_eq!(*info, json!({"required": false}));
    let mut json = Visitor::new(1).pay_v2(&shop, &asked).to_json();
    json["extensions"] = offered["extensions"].clone();
    let payment = PaymentPayload::from_json(json).unwrap();
    let bought = shop.send(paid(&payment, ORDER)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
}
