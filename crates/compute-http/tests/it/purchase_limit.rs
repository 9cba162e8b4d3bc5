//! How often a payer may buy: every kind of purchase counts, no repeat does.

use std::num::NonZeroU32;

use axum::body::Body;
use compute_domain::time::Span;
use compute_http::{Limits, Settings};

use crate::credits::by_credits;
use crate::shop::{ORDER, Shop, extend_path, settings};
use crate::visitor::{TOPUP, Visitor, named, paid, paid_at};

/// Opens a shop whose payers may buy once a minute.
async fn once_a_minute() -> Shop {
    let base = settings();
    let limits = Limits {
        purchases_per_minute: NonZeroU32::new(1).unwrap(),
        ..base.limits
    };
    Shop::open_with(Settings { limits, ..base }).await
}

#[tokio::test]
async fn a_payer_may_buy_so_often_a_minute_and_repeats_never_count() {
    let shop = once_a_minute().await;
    let (buyer, other) = (Visitor::new(1), Visitor::new(2));
    let first = buyer.payment(&shop).await;
    for payment in [first.clone(), buyer.payment(&shop).await] {
        assert_eq!(
            shop.patiently(shop.send(paid(&payment, ORDER)))
                .await
                .status,
            200
        );
    }
    let third = buyer.payment(&shop).await;
    let refused = shop.patiently(shop.send(paid(&third, ORDER))).await;
    refused.expect_problem(429, "rate_limited");
    assert_eq!(
        shop.rail.settle_calls(),
        2,
        "nothing settled for the refused one"
    );
    let repeat = shop.patiently(shop.send(paid(&first, ORDER))).await;
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    assert_eq!(shop.patiently(other.buy(&shop)).await.status, 200);
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    shop.clock.advance(Span::from_secs(wait));
    assert_eq!(
        shop.patiently(shop.send(paid(&third, ORDER))).await.status,
        200
    );
}

#[tokio::test]
async fn every_kind_of_purchase_counts_and_no_repeat_does() {
    let shop = once_a_minute().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let first = buyer.payment(&shop).await;
    let bought = shop.send(paid(&first, ORDER)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    shop.settle_down().await;
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    let path = extend_path(&id);
    let time = buyer.time_payment(&shop, &id, "{}").await;
    let money = "{\"amount\":5}";
    let topup = buyer.topup_payment(&shop, money).await;
    let calls = shop.rail.settle_calls();
    for refused in [
        shop.send(paid_at(&path, &time, "{}")).await,
        shop.send(buyer.signed_payment(&shop, TOPUP, money, &topup))
            .await,
        shop.send(paid(&buyer.payment(&shop).await, ORDER)).await,
        buyer.post(&shop, &path, "{\"use_credits\":true}").await,
        buyer
            .post(&shop, "/compute/provision", &by_credits(""))
            .await,
    ] {
        refused.expect_problem(429, "rate_limited");
    }
    assert_eq!(shop.rail.settle_calls(), calls);
    let repeat = shop.send(paid(&first, ORDER)).await;
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    // Asking for a price is no purchase.
    shop.ask_at(&path, "{}")
        .await
        .expect_problem(402, "payment_required");
}

#[tokio::test]
async fn a_repeat_by_name_is_never_turned_away() {
    let shop = once_a_minute().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let created = buyer.post(&shop, "/compute/api-keys", "").await;
    let key = created.text("api_key");
    let body = by_credits("");
    let by_key = async |name: &str| {
        let request = crate::shop::purchase(&body).header("x-api-key", &key);
        let request = request.body(Body::from(body.clone())).unwrap();
        shop.send(named(request, name)).await
    };
    assert_eq!(by_key("order-0001").await.status, 200);
    assert_eq!(by_key("order-0002").await.status, 200);
    by_key("order-0003")
        .await
        .expect_problem(429, "rate_limited");
    for name in ["order-0001", "order-0002"] {
        let repeat = by_key(name).await;
        assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    }
    // A payment that is new, under a name that is not.
    let payment = buyer.payment(&shop).await;
    assert_eq!(
        shop.send(named(paid(&payment, ORDER), "order-0004"))
            .await
            .status,
        200
    );
    let second = buyer.payment(&shop).await;
    let repeat = shop.send(named(paid(&second, ORDER), "order-0004")).await;
    assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
    shop.send(named(paid(&second, ORDER), "order-0005"))
        .await
        .expect_problem(429, "rate_limited");
}
