//! A database that does not commit: no price, no sale; and all as before once it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{Store, StoreError, Tx, TxMode};
use compute_engine::{Caller, Error};
use compute_testkit::market::{Buyer, Market, now, paid_with, unpaid};
use compute_testkit::model_store::ModelStore;

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

/// A database behind a network that swallows everything, or does not.
#[derive(Debug)]
struct SilentStore {
    inner: ModelStore,
    is_silent: AtomicBool,
}

#[async_trait]
impl Store for SilentStore {
    async fn begin(&self, mode: TxMode) -> Result<Box<dyn Tx>, StoreError> {
        self.inner.begin(mode).await
    }

    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.database_now().await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.check_writable().await
    }
}

/// Every 3 s it is asked, and within 5 s no price may be named.
#[tokio::test]
async fn a_database_that_does_not_answer_is_given_up_in_time() {
    let store = Arc::new(SilentStore {
        inner: ModelStore::new(),
        is_silent: AtomicBool::new(false),
    });
    let market = Market::open(Arc::<SilentStore>::clone(&store)).await;
    market.clock.lose_patience();
    assert!(market.engine.check_store().await);

    store.is_silent.store(true, Ordering::SeqCst);
    let asked = now(&market);
    let stored = tokio::select! {
        biased;
        stored = market.engine.check_store() => stored,
        () = a_while() => panic!("it waits for what never comes"),
    };
    assert!(!stored);
    assert!(now(&market).since(asked) < Span::from_secs(2));
    let outcome = market
        .engine
        .provision(&Caller::Anonymous, &Market::request(), unpaid())
        .await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");

    store.is_silent.store(false, Ordering::SeqCst);
    assert!(market.engine.readiness().await.ready);
}

/// More turns than anything here needs.
async fn a_while() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
