//! Wallets that the operator sells nothing to.

use axum::body::Body;
use compute_testkit::faults_log::injected;

use crate::shop::{Answer, ORDER, Shop, extend_path};
use crate::visitor::{TOPUP, Visitor, paid, paid_at};

/// One answer for all of them, which says nothing of why.
#[track_caller]
fn expect_refused(answer: &Answer) {
    injected("F082");
    answer.expect_problem(403, "payer_refused");
    let body = answer.json();
    assert_eq!(body["error"], "payer_refused");
    assert_eq!(
        body["detail"],
        "this payer is not served; nothing was settled or spent"
    );
    assert!(answer.header("payment-required").is_none());
}

#[tokio::test]
async fn every_paid_route_refuses_a_blocked_payer() {
    let mut shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    buyer.top_up(&shop, "5").await;
    let payment = buyer.payment(&shop).await;
    let time = buyer.time_payment(&shop, &id, "{}").await;
    let topup = buyer.topup_payment(&shop, "{\"amount\":7}").await;
    shop.block([buyer.wallet()]).await;
    let calls = shop.rail.settle_calls();

    expect_refused(&shop.send(paid(&payment, ORDER)).await);
    expect_refused(&shop.send(paid_at(&extend_path(&id), &time, "{}")).await);
    let topup = buyer.signed_payment(&shop, TOPUP, "{\"amount\":7}", &topup);
    expect_refused(&shop.send(topup).await);
    let with_credits = ORDER.replace('}', ",\"use_credits\":true}");
    expect_refused(&buyer.post(&shop, "/compute/provision", &with_credits).await);
    let more = "{\"use_credits\":true}";
    expect_refused(&buyer.post(&shop, &extend_path(&id), more).await);
    expect_refused(&buyer.send(&shop, "POST", "/compute/api-keys").await);

    assert_eq!(shop.rail.settle_calls(), calls);
    assert_eq!(shop.provider.machines().len(), 1);
    assert_eq!(buyer.balance(&shop).await, "5.00");
    // What it has stays its own.
    let machine = format!("/compute/instances/{id}");
    for (method, path) in [
        ("GET", "/compute/instances"),
        ("POST", &format!("{machine}/password")),
        ("DELETE", &machine),
    ] {
        let answer = buyer.send(&shop, method, path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let prices = http::Request::get("/compute/plans").body(Body::empty());
    assert_eq!(shop.send(prices.unwrap()).await.status, 200);
    assert_eq!(Visitor::new(2).buy(&shop).await.status, 200);
}
