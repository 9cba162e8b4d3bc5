//! Work that panics breaks off alone: the process goes on, and so does the work when its lease ends.

use std::sync::Arc;

use compute_domain::instance::InstanceState;
use compute_domain::time::Span;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, paid_with};
use compute_testkit::scripted_provider::CreateFault;
use futures::FutureExt as _;

use crate::lines::Lines;
use crate::world::World;

async fn accept(world: &World, buyer: &Buyer) -> compute_engine::Submitted {
    let payment = world.payment(buyer).await;
    let caller = compute_engine::Caller::Anonymous;
    let request = Market::request();
    let engine = &world.market.engine;
    let submitted = engine.provision(&caller, &request, paid_with(&payment));
    submitted.await.unwrap()
}

#[tokio::test]
async fn a_driver_that_panics_at_one_operation_finishes_the_others_and_later_that_one() {
    let world = World::open().await;
    let (first, second) = (Buyer::new(1), Buyer::new(2));
    for buyer in [&first, &second] {
        // Accepted by a process that then did nothing: the driver takes both in one round.
        drop(accept(&world, buyer).await);
    }
    let market = &world.market;
    market.clock.advance(Span::from_secs(61));
    market.provider.misbehave([CreateFault::Panics]);
    let engine = Arc::clone(&market.engine);
    #[expect(clippy::disallowed_methods, reason = "as the binary runs a round")]
    let round = tokio::spawn(async move { engine.drive_due().await });
    assert!(round.await.unwrap_err().is_panic());
    injected("F148");

    // One machine was made and handed to nobody; the other buyer's operation came as far as ever.
    let made = market.provider.machines();
    assert_eq!(made.len(), 2, "{made:?}");
    // Its lease has not ended.
    assert_eq!(market.engine.drive_due().await.unwrap(), 0);
    market.quiesce().await;
    for buyer in [&first, &second] {
        let instances = world.instances_of(buyer).await;
        assert_eq!(instances.len(), 1);
        assert!(
            matches!(instances[0].state, InstanceState::Active { .. }),
            "{instances:?}"
        );
    }
    let alive = market
        .provider
        .machines()
        .into_iter()
        .filter(|machine| machine.is_alive);
    assert_eq!(alive.count(), 2);
    assert_eq!(market.rail.settled().len(), 2);
}

#[tokio::test]
async fn a_driver_that_panics_says_at_which_operation() {
    let world = World::open().await;
    let operation = accept(&world, &Buyer::new(1)).await.operation();
    let market = &world.market;
    market.clock.advance(Span::from_secs(61));
    market.provider.misbehave([CreateFault::Panics]);
    let lines = Lines::default();
    let listening = lines.listen();
    let round = std::panic::AssertUnwindSafe(market.engine.drive_due());
    assert!(round.catch_unwind().await.is_err());
    drop(listening);
    injected("F148");
    let text = lines.text();
    let line = text.lines().find(|line| line.contains("broke off"));
    assert!(
        line.is_some_and(|line| line.contains(&format!("operation.id={operation}"))),
        "{text}"
    );
}

/// The task of one purchase; its buyer waits, and is answered from the database.
#[tokio::test]
async fn a_purchase_that_panics_is_finished_by_a_driver() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let submitted = accept(&world, &buyer).await;
    let market = &world.market;
    market.provider.misbehave([CreateFault::Panics]);
    let engine = Arc::clone(&market.engine);
    #[expect(clippy::disallowed_methods, reason = "as the API works on a purchase")]
    let task = tokio::spawn(async move { engine.work(submitted).await });
    assert!(task.await.unwrap_err().is_panic());
    injected("F148");
    assert_eq!(market.engine.drive_due().await.unwrap(), 0);
    market.quiesce().await;
    let instances = world.instances_of(&buyer).await;
    assert!(matches!(instances[0].state, InstanceState::Active { .. }));
    let alive = market
        .provider
        .machines()
        .into_iter()
        .filter(|machine| machine.is_alive);
    assert_eq!(alive.count(), 1);
    assert_eq!(market.rail.settled().len(), 1);
}
