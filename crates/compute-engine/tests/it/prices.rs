//! Old prices stay payable for a while; stale catalogues are not sold from.

use compute_domain::time::Span;
use compute_engine::Error;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now};

use crate::promises;
use crate::world::World;

#[tokio::test]
async fn an_old_price_is_honoured_for_five_minutes() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    world.market.clock.advance(Span::from_secs(700));
    // Signed at the old price, long enough valid.
    let sheet = world.market.offer(&Market::request()).await;
    let at_old_price = buyer.pay(&sheet, now(&world.market));
    world.market.provider.set_rate(8_000);
    injected("F116");
    world.market.engine.refresh_catalog().await;
    assert_eq!(
        world
            .market
            .offer(&Market::request())
            .await
            .price
            .to_string(),
        "0.192"
    );
    world.market.clock.advance(Span::from_secs(200));
    let bought = world
        .market
        .buy(&Market::request(), &at_old_price)
        .await
        .unwrap();
    assert_eq!(world.instance_of(bought).await.price.to_string(), "0.168");
    promises::check(&world, &buyer).await;
    drop(payment);
}

#[tokio::test]
async fn an_older_price_is_not() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.clock.advance(Span::from_secs(700));
    let sheet = world.market.offer(&Market::request()).await;
    world.market.provider.set_rate(8_000);
    world.market.engine.refresh_catalog().await;
    world.market.clock.advance(Span::from_secs(301));
    let at_old_price = buyer.pay(&sheet, now(&world.market));
    let refused = world.market.buy(&Market::request(), &at_old_price).await;
    assert!(
        matches!(
            refused,
            Err(Error::PaymentRequired {
                problem: Some(_),
                ..
            })
        ),
        "{refused:?}"
    );
}

/// Nothing is paid for it any more; whoever has one keeps it, and its time can be bought at the price
/// that it was sold for.
#[tokio::test]
async fn a_plan_that_vanished_since_the_quote_is_refused_before_anything_is_paid() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let machine = world.sold(&buyer).await;
    let settled = market.rail.settle_calls();
    market.clock.advance(Span::from_secs(700));
    let sheet = market.offer(&Market::request()).await;
    let payment = buyer.pay(&sheet, now(market));
    market.provider.stock_script().withdraw_plan();
    injected("F116");
    market.engine.refresh_catalog().await;
    let refused = market.buy(&Market::request(), &payment).await;
    assert!(matches!(refused, Err(Error::UnknownPlan)), "{refused:?}");
    assert_eq!(market.rail.settle_calls(), settled);
    let time = market.offer_time(machine.id, &Market::one_more_day()).await;
    assert_eq!(time.price, machine.price);
    promises::check(&world, &buyer).await;
}

#[tokio::test]
async fn nothing_is_sold_from_a_stale_catalogue() {
    let world = World::open().await;
    world.market.clock.advance(Span::from_hours(24 * 365 + 1));
    assert!(matches!(
        world.market.engine.shelf(),
        Err(Error::CatalogUnavailable)
    ));
    let readiness = world.market.engine.readiness().await;
    assert!(
        !readiness.ready
            && readiness
                .reasons
                .iter()
                .any(|why| why.contains("catalogue"))
    );
}

#[tokio::test]
async fn the_shelf_revision_changes_with_its_content_only() {
    let world = World::open().await;
    let first = world.market.engine.shelf().unwrap().revision;
    world.market.clock.advance(Span::from_secs(700));
    world.market.engine.refresh_catalog().await;
    assert_eq!(world.market.engine.shelf().unwrap().revision, first);
    world.market.provider.set_rate(9_000);
    world.market.clock.advance(Span::from_secs(700));
    world.market.engine.refresh_catalog().await;
    assert!(world.market.engine.shelf().unwrap().revision > first);
}
