//! The management key of a buyer who showed nothing but a credential.

use axum::body::Body;
use compute_domain::time::Span;
use compute_engine::ports::TxMode;
use compute_engine::{Caller, Presented};
use compute_testkit::scripted_charge::TempoBuyer;
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;
use http::Request;
use serde_json::Value;

use super::payer::{open, send, sign};
use crate::shop::{Answer, Shop};
use crate::visitor::Visitor;

async fn read(shop: &Shop, key: &str, path: &str) -> Answer {
    let request = Request::get(path).header("x-api-key", key);
    shop.send(request.body(Body::empty()).unwrap()).await
}

fn key_of(reply: &Value) -> &str {
    reply["management_api_key"].as_str().unwrap()
}

#[tokio::test]
async fn the_key_opens_what_was_bought_and_nothing_else() {
    let (shop, ..) = open().await;
    let buyer = TempoBuyer::new(1);
    let first = send(&shop, &sign(&shop, &buyer).await).await.json();
    let second = send(&shop, &sign(&shop, &buyer).await).await.json();
    let (key, other) = (key_of(&first), key_of(&second));
    assert!(key.starts_with("x402c_"), "{key}");
    assert_ne!(key, other);
    assert!(key.ends_with(first["management_api_key_last4"].as_str().unwrap()));
    assert!(first["management_note"].is_string());
    let listed = read(&shop, key, "/compute/instances").await.json();
    let orders = listed["orders"]
        .as_array()
        .or_else(|| listed["instances"].as_array());
    let orders = orders.unwrap();
    assert_eq!(orders.len(), 1, "{listed}");
    assert_eq!(orders[0]["id"], first["order"]["id"]);
    let foreign = format!(
        "/compute/instances/{}",
        second["order"]["id"].as_str().unwrap()
    );
    assert_eq!(read(&shop, key, &foreign).await.status, 404);
    // It is listed like any other key, and never in clear.
    let keys = read(&shop, key, "/compute/api-keys").await;
    assert_eq!(
        keys.json()["api_keys"][0]["id"],
        first["management_api_key_id"]
    );
    assert!(!keys.body.contains(key));
}

#[tokio::test]
async fn a_lost_answer_is_repeated_until_the_key_is_used() {
    let (shop, ..) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let first = send(&shop, &credential).await.json();
    let again = send(&shop, &credential).await.json();
    assert_eq!(key_of(&again), key_of(&first));
    let used = read(&shop, key_of(&first), "/compute/instances").await;
    assert_eq!(used.status, 200);
    let later = send(&shop, &credential).await;
    assert_eq!(later.status, 200, "{later:?}");
    let later = later.json();
    assert!(later.get("management_api_key").is_none(), "{later}");
    assert_eq!(
        later["management_api_key_id"],
        first["management_api_key_id"]
    );
    // The key itself goes on.
    let still = read(&shop, key_of(&first), "/compute/instances").await;
    assert_eq!(still.status, 200);
}

/// Somebody who gets no key because it cannot be read is told to come again, and then has it.
#[tokio::test]
async fn a_key_that_cannot_be_read_is_had_by_coming_again() {
    let (shop, ..) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let first = send(&shop, &credential).await.json();
    // The credential is recognised, and then the database is gone.
    shop.crash.at_transaction(2);
    let troubled = send(&shop, &credential).await;
    assert_eq!(troubled.status, 200, "{troubled:?}");
    assert!(shop.crash.is_dead());
    let troubled = troubled.json();
    assert!(troubled.get("management_api_key").is_none(), "{troubled}");
    let note = troubled["management_note"].as_str().unwrap();
    assert!(note.contains("send the same request"), "{note}");
    assert_eq!(troubled["order"]["id"], first["order"]["id"]);
    shop.crash.restart();
    let again = send(&shop, &credential).await.json();
    assert_eq!(key_of(&again), key_of(&first));
}

/// What a key opens does not depend on whether its text can be erased now.
#[tokio::test]
async fn a_read_with_a_new_key_needs_no_write() {
    let (shop, ..) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let first = send(&shop, &credential).await.json();
    let key = key_of(&first);
    // The look for the key, and then the erasure, at which the database is gone.
    shop.crash.at_transaction(2);
    let caller = shop.engine.authenticate(Presented::ApiKey(key)).await;
    assert!(matches!(caller, Ok(Caller::ApiKey { .. })), "{caller:?}");
    assert!(shop.crash.is_dead());
    shop.crash.restart();
    assert_eq!(key_of(&send(&shop, &credential).await.json()), key);
    // The next use tries again.
    assert_eq!(read(&shop, key, "/compute/instances").await.status, 200);
    let later = send(&shop, &credential).await.json();
    assert!(later.get("management_api_key").is_none(), "{later}");
    // And after that a use is one look.
    let before = shop.crash.transactions();
    let caller = shop.engine.authenticate(Presented::ApiKey(key)).await;
    assert!(caller.is_ok(), "{caller:?}");
    assert_eq!(shop.crash.transactions(), before + 1);
}

/// A purchase that came to nothing leaves no key behind; a day later, because the answer that its
/// settlement is unclear has shown it.
#[tokio::test]
async fn a_declined_purchase_leaves_no_key() {
    let (shop, tempo, _) = open().await;
    tempo.misbehave([SettleFault::Declines]);
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    send(&shop, &credential)
        .await
        .expect_problem(402, "payment_declined");
    let sold = send(&shop, &sign(&shop, &TempoBuyer::new(2)).await).await;
    assert_eq!(sold.status, 200, "{sold:?}");
    let keys = async || {
        let mut tx = shop.store.begin(TxMode::Write).await.unwrap();
        let now = shop.engine.now().plus(Span::from_millis(1));
        tx.forget_vain_keys(now, 9).await.unwrap()
    };
    // Not committed: only asked.
    assert_eq!(keys().await, 1);
    shop.clock.advance(Span::from_hours(24));
    shop.engine.clean_up().await.unwrap();
    assert_eq!(keys().await, 1);
    shop.clock.advance(Span::from_secs(1));
    shop.engine.clean_up().await.unwrap();
    assert_eq!(keys().await, 0);
    let sold = sold.json();
    let listed = read(&shop, key_of(&sold), "/compute/instances").await;
    assert_eq!(listed.status, 200, "{listed:?}");
}

#[tokio::test]
async fn after_a_day_the_text_is_gone() {
    let (shop, ..) = open().await;
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let first = send(&shop, &credential).await.json();
    shop.clock.advance(Span::from_hours(24));
    shop.engine.clean_up().await.unwrap();
    assert_eq!(
        key_of(&send(&shop, &credential).await.json()),
        key_of(&first)
    );
    shop.clock.advance(Span::from_secs(1));
    shop.engine.clean_up().await.unwrap();
    let later = send(&shop, &credential).await.json();
    assert!(later.get("management_api_key").is_none(), "{later}");
}

#[tokio::test]
async fn who_is_authenticated_owns_it_and_gets_no_key() {
    let (shop, ..) = open().await;
    let visitor = Visitor::new(7);
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let body = crate::shop::ORDER;
    let request = visitor
        .signed(&shop, "POST", "/compute/provision", body)
        .header("content-type", "application/json")
        .header("authorization", &credential)
        .body(body.into())
        .unwrap();
    let bought = shop.patiently(shop.send(request)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert!(bought.json().get("management_api_key").is_none());
    let own = visitor.send(&shop, "GET", "/compute/instances").await;
    assert!(
        own.body
            .contains(bought.json()["order"]["id"].as_str().unwrap())
    );
    // The credential alone shows the order, but opens nothing.
    let again = send(&shop, &credential).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert!(again.json().get("management_api_key").is_none());
}

/// What was paid and not delivered is credit, which only the key reaches.
#[tokio::test]
async fn a_failed_delivery_carries_the_key() {
    let (shop, tempo, _) = open().await;
    shop.provider.misbehave([CreateFault::Rejects]);
    let credential = sign(&shop, &TempoBuyer::new(1)).await;
    let failed = send(&shop, &credential).await;
    assert_eq!(failed.status, 502, "{failed:?}");
    let reply = failed.json();
    assert_eq!(reply["details"]["cleanup"], "destroyed");
    assert!(failed.header("payment-receipt").is_none(), "{failed:?}");
    assert!(failed.header("www-authenticate").is_none(), "{failed:?}");
    let balance = read(&shop, key_of(&reply), "/compute/credits/balance").await;
    assert_eq!(balance.status, 200, "{balance:?}");
    assert_ne!(balance.json()["balance"], "0.00", "{balance:?}");
    assert_eq!(tempo.settled(), 1);
}
