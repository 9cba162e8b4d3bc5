//! Hashes of transfers that were sent: the money has moved, so none of them may come to nothing.

use std::sync::Arc;

use compute_domain::time::Span;
use compute_engine::MppTerms;
use compute_mpp::Challenge;
use compute_mpp::tempo::Modes;
use compute_testkit::scripted_charge::{ScriptedCharge, TempoBuyer};
use compute_testkit::scripted_rail::SettleFault;
use http::Request;
use serde_json::{Value, json};

use super::payer::{answering, challenge, field, now_s, send, with};
use crate::shop::{Answer, ORDER, SECRET, Shop, extend_path, mpp_terms, post};

/// The price of the ordinary order.
const PRICE: &str = "0.168";

/// A shop that takes hashes.
async fn open() -> (Shop, Arc<ScriptedCharge>) {
    let tempo = Arc::new(ScriptedCharge::tempo(Modes::PullAndPush));
    let shop = Shop::open_taking(vec![tempo.clone()]).await;
    (shop, tempo)
}

/// A credential with the hash of this letter, of the first buyer.
fn sent(challenge: &Challenge, letter: &str) -> String {
    let hash = json!({ "type": "hash", "hash": format!("0x{}", letter.repeat(64)) });
    let mut shown = answering(challenge, hash);
    shown["source"] = TempoBuyer::new(1).source().to_string().into();
    field(&shown)
}

async fn ask(shop: &Shop) -> Challenge {
    challenge(&shop.ask(ORDER).await, "tempo")
}

/// The order under a name of the client's.
async fn named(shop: &Shop, credential: &str, key: Option<&str>) -> Answer {
    let mut request = post("/compute/provision", ORDER)
        .header("authorization", credential)
        .header("idempotency-key", "order-00001");
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    shop.patiently(shop.send(request.body(ORDER.into()).unwrap()))
        .await
}

async fn balance(shop: &Shop, key: &str) -> Value {
    let request = Request::get("/compute/credits/balance").header("x-api-key", key);
    let answer = shop.send(request.body(axum::body::Body::empty()).unwrap());
    answer.await.json()["balance"].clone()
}

/// Everything paid is the buyer's credit, whoever asks again; the key to it.
#[track_caller]
fn expect_kept(answer: &Answer) -> String {
    answer.expect_problem(503, "paid_too_late");
    let reply = answer.json();
    assert_eq!(reply["details"]["credited"].to_string(), PRICE);
    assert_eq!(reply["details"]["cleanup"], "none");
    assert!(reply["detail"].as_str().unwrap().contains("credit"));
    for absent in ["www-authenticate", "payment-receipt", "retry-after"] {
        assert!(answer.header(absent).is_none(), "{absent}: {answer:?}");
    }
    reply["management_api_key"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn a_hash_may_be_late_by_as_much_as_a_price_is_kept() {
    let (shop, tempo) = open().await;
    let (first, second) = (ask(&shop).await, ask(&shop).await);
    shop.clock.advance(Span::from_secs(300 + 200));
    // Nothing was paid by what is only signed.
    let signed = TempoBuyer::new(2).pay(&first, now_s(&shop));
    let refused = send(&shop, &signed).await;
    refused.expect_problem(402, "payment_expired");
    let bought = send(&shop, &sent(&first, "a")).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert_eq!(tempo.settled(), 1);

    shop.clock.advance(Span::from_secs(100));
    let credential = sent(&second, "b");
    let key = expect_kept(&send(&shop, &credential).await);
    assert_eq!(balance(&shop, &key).await, PRICE);
    // A repeat says the same, and is not paid twice.
    let again = send(&shop, &credential).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    expect_kept(&again);
    assert_eq!(balance(&shop, &key).await, PRICE);
    assert_eq!((tempo.settled(), shop.provider.orders().len()), (2, 1));
}

#[tokio::test]
async fn what_cannot_pay_its_challenge_is_refused_at_any_age() {
    let (shop, tempo) = open().await;
    let offer = ask(&shop).await;
    shop.clock.advance(Span::from_secs(601));
    let credential = sent(&offer, "a");
    tempo.refuse_checks(Some("wrong_payment"));
    let refused = send(&shop, &credential).await;
    refused.expect_problem(402, "payment_expired");
    tempo.refuse_checks(None);
    // When the chain cannot be asked, nobody is told to pay again.
    tempo.set_down(true);
    let unclear = send(&shop, &credential).await;
    unclear.expect_problem(503, "payment_network_unavailable");
    tempo.set_down(false);
    // Nor is a transfer taken for another body, or a challenge that somebody made up.
    let other = ORDER.replace(":24}", ":25}");
    let elsewhere = shop.send(with("/compute/provision", &other, &credential));
    assert_eq!(elsewhere.await.status, 402);
    let mut forged = super::payer::document(&credential);
    forged["challenge"]["id"] = "x".repeat(43).into();
    let forged = send(&shop, &field(&forged)).await;
    forged.expect_problem(402, "invalid_challenge");
    assert_eq!(tempo.settle_calls(), 0);
    // A day after its end the transfer waits for an operator.
    shop.clock.advance(Span::from_hours(24));
    shop.engine.refresh_catalog().await;
    let old = send(&shop, &credential).await;
    old.expect_problem(402, "payment_expired");
    assert_eq!(tempo.settle_calls(), 0);
}

#[tokio::test]
async fn a_price_that_moved_loses_nobody_s_money() {
    let (mut shop, tempo) = open().await;
    // A challenge that outlives its price, as the settings do not allow with `push`.
    shop.restart(MppTerms {
        challenge_life: Span::from_secs(3_600),
        ..mpp_terms(SECRET)
    })
    .await;
    let offer = ask(&shop).await;
    shop.provider.set_rate(8_000);
    shop.clock.advance(Span::from_secs(1_000));
    shop.engine.refresh_catalog().await;
    shop.clock.advance(Span::from_secs(301));
    let signed = TempoBuyer::new(2).pay(&offer, now_s(&shop));
    let refused = send(&shop, &signed).await;
    refused.expect_problem(402, "invalid_challenge");
    let key = expect_kept(&send(&shop, &sent(&offer, "a")).await);
    // What was paid, and not what it costs now.
    assert_eq!(balance(&shop, &key).await, PRICE);
    assert_eq!((tempo.settled(), shop.provider.orders().len()), (1, 0));
}

#[tokio::test]
async fn a_plan_that_is_sold_out_loses_nobody_s_money() {
    let (shop, tempo) = open().await;
    let offer = ask(&shop).await;
    shop.provider.stock_script().leave(&["vc2-2c-4gb"]);
    shop.clock.advance(Span::from_secs(60));
    let key = expect_kept(&send(&shop, &sent(&offer, "a")).await);
    assert_eq!(balance(&shop, &key).await, PRICE);
    assert_eq!((tempo.settled(), shop.provider.orders().len()), (1, 0));
    // Whoever has only signed has not paid.
    let signed = TempoBuyer::new(2).pay(&offer, now_s(&shop));
    assert!(send(&shop, &signed).await.status.is_client_error());
    assert_eq!(tempo.settled(), 1);
}

#[tokio::test]
async fn a_name_of_another_order_takes_no_money_for_nothing() {
    let (shop, tempo) = open().await;
    let (first, second) = (ask(&shop).await, ask(&shop).await);
    let bought = named(&shop, &sent(&first, "a"), None).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    // Its answer was lost, and the buyer pays again under the same name.
    let key = expect_kept(&named(&shop, &sent(&second, "b"), None).await);
    assert_eq!(balance(&shop, &key).await, PRICE);
    let again = named(&shop, &sent(&first, "a"), None).await;
    assert_eq!(again.json()["order"]["id"], bought.json()["order"]["id"]);
    assert_eq!((tempo.settled(), shop.provider.orders().len()), (2, 1));
}

#[tokio::test]
async fn the_credit_of_who_is_known_is_its_own() {
    let (shop, tempo) = open().await;
    let bought = send(&shop, &sent(&ask(&shop).await, "a")).await.json();
    let key = bought["management_api_key"].as_str().unwrap().to_owned();
    let (first, second) = (ask(&shop).await, ask(&shop).await);
    let more = named(&shop, &sent(&first, "b"), Some(&key)).await;
    assert_eq!(more.status, 200, "{more:?}");
    let kept = named(&shop, &sent(&second, "c"), Some(&key)).await;
    assert_eq!(expect_kept(&kept), "", "who has a key gets no other");
    assert_eq!(balance(&shop, &key).await, PRICE);
    assert_eq!((tempo.settled(), shop.provider.orders().len()), (3, 2));
}

#[tokio::test]
async fn more_time_for_what_is_gone_becomes_credit() {
    let (shop, tempo) = open().await;
    let bought = send(&shop, &sent(&ask(&shop).await, "a")).await.json();
    let key = bought["management_api_key"].as_str().unwrap().to_owned();
    let path = extend_path(bought["order"]["id"].as_str().unwrap());
    shop.drive().await;
    shop.clock.advance(Span::from_hours(24));
    shop.engine.refresh_catalog().await;
    let body = r#"{"extend_hours":24}"#;
    let with_key = || post(&path, body).header("x-api-key", &key);
    let asked = shop.send(with_key().body(body.into()).unwrap()).await;
    let offer = challenge(&asked, "tempo");
    // The grace after the prepaid day is over meanwhile.
    shop.clock.advance(Span::from_hours(1));
    let pay = with_key().header("authorization", sent(&offer, "b"));
    let answer = shop.patiently(shop.send(pay.body(body.into()).unwrap()));
    let answer = answer.await;
    answer.expect_problem(503, "paid_too_late");
    assert_eq!(answer.json()["details"]["credited"].to_string(), PRICE);
    assert_eq!(balance(&shop, &key).await, PRICE);
    assert_eq!(tempo.settled(), 2);
}

/// It was seen by the check, and the node is away a moment later.
#[tokio::test]
async fn what_is_unclear_is_pending_and_becomes_credit() {
    let (shop, tempo) = open().await;
    let offer = ask(&shop).await;
    shop.clock.advance(Span::from_secs(601));
    tempo.misbehave([SettleFault::LandsUnseen]);
    tempo.set_blind(true);
    let credential = sent(&offer, "a");
    let pending = send(&shop, &credential).await;
    assert_eq!(pending.status, 202, "{pending:?}");
    let reply = pending.json();
    assert_eq!(reply["code"], "settlement_pending");
    assert!(reply["status_url"].is_string());
    let key = reply["management_api_key"].as_str().unwrap().to_owned();
    tempo.set_blind(false);
    shop.drive().await;
    assert_eq!(balance(&shop, &key).await, PRICE);
    expect_kept(&send(&shop, &credential).await);
    assert_eq!(tempo.settled(), 1);
}
