//! A database that does not commit: no price, no sale; and all as before once it does.

use compute_domain::time::Span;
use compute_engine::{Caller, Error};
use compute_testkit::market::{Buyer, Market, paid_with, unpaid};

use crate::world::World;

#[tokio::test]
async fn no_price_is_named_while_nothing_can_be_stored() {
    let world = World::open().await;
    let market = &world.market;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    // The store of a dead process answers nothing.
    market.crash.now();
    assert!(!market.engine.check_store().await);
    for terms in [unpaid(), paid_with(&payment)] {
        let outcome = market
            .engine
            .provision(&Caller::Anonymous, &Market::request(), terms)
            .await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    market.crash.restart();
    // Nobody has looked yet.
    let outcome = market
        .engine
        .provision(&Caller::Anonymous, &Market::request(), unpaid())
        .await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    assert!(market.engine.readiness().await.ready);
    market.buy(&Market::request(), &payment).await.unwrap();
    market.clock.advance(Span::from_secs(60));
    market.quiesce().await;
    assert_eq!(market.rail.settled().len(), 1);
}
