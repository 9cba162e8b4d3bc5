//! The status URLs: what became of an order and of each piece of work on it.

use axum::body::Body;
use compute_domain::time::{Clock as _, Span};
use compute_engine::ports::TxMode;
use compute_x402::PaymentPayload;
use http::Request;
use serde_json::{Value, json};

use crate::shop::{Answer, ORDER, Shop, URL, extend_path};
use crate::visitor::{TOPUP, Visitor, paid, paid_at};

async fn show(shop: &Shop, path: &str, payment: &PaymentPayload) -> Answer {
    let request = Request::get(path).header(payment.header_name(), payment.to_header());
    shop.send(request.body(Body::empty()).unwrap()).await
}

/// Replaces what differs from run to run.
fn masked(mut work: Value) -> Value {
    for member in ["id", "tx_hash"] {
        if work.get(member).is_some() {
            work[member] = json!(format!("[{member}]"));
        }
    }
    work
}

#[tokio::test]
async fn an_order_tells_its_whole_story() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "1").await;
    let first = buyer.payment(&shop).await;
    let bought = shop.send(paid(&first, ORDER)).await;
    shop.settle_down().await;
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    let second = buyer.time_payment(&shop, &id, "{}").await;
    let extended = shop.send(paid_at(&extend_path(&id), &second, "{}")).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    // Within one millisecond their order would be chance.
    shop.clock.advance(Span::from_secs(1));
    let credits = "{\"use_credits\":true}";
    let extended = buyer.post(&shop, &extend_path(&id), credits).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    shop.settle_down().await;
    let path = format!("/compute/orders/{id}");
    let story = buyer.send(&shop, "GET", &path).await.json();
    // A few seconds are gone.
    assert_eq!(story["remaining_value"].to_string(), "0.503992");
    assert_eq!(story["order"]["prepaid_hours"], 72);
    assert_eq!(story["order"]["payment_amount"].to_string(), "0.504");
    assert_eq!(story["order"], story["instance"]);
    // What was there before is about the purchase of the machine, as ever.
    assert_eq!(story["operation"]["kind"], "provision");
    assert_eq!(story["settlement"], "settled");
    assert_eq!(story["tx_hash"], bought.json()["tx_hash"]);
    let machine = format!("/compute/instances/{id}");
    shop.clock.advance(Span::from_hours(36));
    shop.engine.refresh_catalog().await;
    buyer.send(&shop, "DELETE", &machine).await;
    shop.settle_down().await;
    shop.drive().await;
    // Whoever paid for any of it may see it.
    for payment in [&first, &second] {
        let shown = show(&shop, &path, payment).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        let story = shown.json();
        assert_eq!(story["remaining_value"].as_f64(), Some(0.0));
        let operations = story["operations"].as_array().unwrap();
        let kinds: Vec<_> = operations.iter().map(|work| &work["kind"]).collect();
        assert_eq!(kinds, ["provision", "extend", "extend", "destroy"]);
        let works: Vec<_> = operations.iter().cloned().map(masked).collect();
        insta::assert_json_snapshot!("the_story_of_an_order", works);
    }
    let strange = Visitor::new(2).payment(&shop).await;
    show(&shop, &path, &strange)
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_topup_has_a_status_url() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let body = "{\"amount\":2.5}";
    let payment = buyer.topup_payment(&shop, body).await;
    let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    let bought = shop.patiently(shop.send(request)).await;
    let url = bought.text("status_url");
    let path = url.strip_prefix(URL).unwrap();
    let by_owner = buyer.send(&shop, "GET", path).await;
    assert_eq!(by_owner.status, 200, "{by_owner:?}");
    assert_eq!(by_owner.body, show(&shop, path, &payment).await.body);
    let mut reply = by_owner.json();
    assert_eq!(reply["status_url"], url.as_str());
    assert_eq!(reply["operation"]["tx_hash"], bought.json()["tx_hash"]);
    reply["operation"] = masked(reply["operation"].take());
    reply["status_url"] = json!("[url]");
    insta::assert_json_snapshot!("the_story_of_a_topup", reply);
}

#[tokio::test]
async fn an_extension_has_a_status_url_with_its_machine() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let payment = buyer.time_payment(&shop, &id, "{}").await;
    let extended = shop.send(paid_at(&extend_path(&id), &payment, "{}")).await;
    let url = extended.text("status_url");
    let path = url.strip_prefix(URL).unwrap();
    let shown = show(&shop, path, &payment).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(shown.json()["order"]["id"], id.as_str());
    assert_eq!(shown.json()["operation"]["kind"], "extend");
    assert_eq!(shown.json()["operation"]["state"], "succeeded");
}

#[tokio::test]
async fn foreign_unknown_and_malformed_operations_look_alike() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let topup = buyer.top_up(&shop, "5").await;
    let id = topup.text("operation_id");
    let other = buyer.payment(&shop).await;
    let stranger = Visitor::new(2);
    for id in [&id, "0190a1b2-0000-7000-8000-000000000000", "x", "%FF"] {
        let path = format!("/compute/operations/{id}");
        let foreign = stranger.send(&shop, "GET", &path).await;
        foreign.expect_problem(404, "not_found");
        // A payment that is somebody's, and not for this.
        show(&shop, &path, &other)
            .await
            .expect_problem(404, "not_found");
    }
    let path = format!("/compute/operations/{id}");
    shop.get(&path).await.expect_problem(401, "auth_required");
}

#[tokio::test]
async fn a_payment_that_its_chain_took_back_shows_in_the_story() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let topup = buyer.top_up(&shop, "5").await;
    let id = topup.text("operation_id");
    let path = format!("/compute/operations/{id}");
    let member = "payment_reverted_since";
    let shown = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(shown["operation"].get(member), None);
    let mut tx = shop.store.begin(TxMode::Write).await.unwrap();
    let payment = tx.payment_of(id.parse().unwrap()).await.unwrap().unwrap();
    let since = shop.clock.now();
    assert!(tx.note_reverted(&payment.proof_key, since).await.unwrap());
    tx.commit().await.unwrap();
    let shown = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(shown["operation"][member], since.rfc3339());
    // The credit stays.
    assert_eq!(shown["operation"]["state"], "succeeded");
}
