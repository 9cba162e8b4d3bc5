//! A cache between us and the client must keep nothing that is about somebody or about a moment.

use axum::body::Body;
use compute_testkit::faults_log::injected;
use http::Request;

use crate::shop::{Answer, ORDER, Shop, extend_path};
use crate::visitor::{TOPUP, Visitor, paid, paid_at};

/// What a cache may do with an answer: nothing, of anybody's.
#[track_caller]
fn expect_unkept(answer: &Answer, status: u16) {
    injected("F086");
    assert_eq!(answer.status, status, "{answer:?}");
    let words: Vec<_> = answer
        .header("cache-control")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .collect();
    assert!(words.contains(&"no-store"), "{answer:?}");
    assert!(!words.contains(&"public"), "{answer:?}");
}

#[tokio::test]
async fn prices_are_not_kept() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    expect_unkept(&shop.ask(ORDER).await, 402);
    expect_unkept(&shop.ask_at(&extend_path(&id), "{}").await, 402);
    expect_unkept(&buyer.post(&shop, TOPUP, "{\"amount\":5}").await, 402);
    let unaffordable = ORDER.replace('}', ",\"use_credits\":true}");
    let refused = buyer.post(&shop, "/compute/provision", &unaffordable).await;
    expect_unkept(&refused, 402);
}

#[tokio::test]
async fn purchases_are_not_kept() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let payment = buyer.payment(&shop).await;
    let bought = shop.send(paid(&payment, ORDER)).await;
    expect_unkept(&bought, 200);
    expect_unkept(&shop.send(paid(&payment, ORDER)).await, 200);
    let other = ORDER.replace("agent", "other");
    expect_unkept(&shop.send(paid(&payment, &other)).await, 409);
    expect_unkept(&buyer.top_up(&shop, "5").await, 200);
    shop.settle_down().await;
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    let time = buyer.time_payment(&shop, &id, "{}").await;
    let extended = shop.send(paid_at(&extend_path(&id), &time, "{}"));
    expect_unkept(&shop.patiently(extended).await, 200);
    let order = Request::get(format!("/compute/orders/{id}"))
        .header(payment.header_name(), payment.to_header())
        .body(Body::empty());
    expect_unkept(&shop.send(order.unwrap()).await, 200);
}

#[tokio::test]
async fn what_is_about_somebody_is_not_kept() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    let machine = format!("/compute/instances/{}", owner.machine(&shop).await);
    let password = format!("{machine}/password");
    for (method, path, status) in [
        ("GET", "/compute/credits/balance", 200),
        ("GET", "/compute/instances", 200),
        ("GET", machine.as_str(), 200),
        ("POST", &password, 200),
        ("POST", &password, 409),
        ("POST", "/compute/api-keys", 201),
        ("GET", "/compute/api-keys", 200),
        ("DELETE", &machine, 200),
    ] {
        expect_unkept(&owner.send(&shop, method, path).await, status);
    }
}

#[tokio::test]
async fn errors_are_not_kept() {
    let shop = Shop::open().await;
    for (path, status) in [
        ("/compute/instances", 401),
        ("/compute/nothing", 404),
        ("/compute/provision", 405),
    ] {
        expect_unkept(&shop.get(path).await, status);
    }
    expect_unkept(&shop.ask("[").await, 400);
}
