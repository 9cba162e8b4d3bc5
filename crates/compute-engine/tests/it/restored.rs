//! A database that was restored from a backup is older than the world: it must take nothing from anybody
//! who paid (reliability.md, L6).

use compute_domain::instance::{Instance, InstanceState};
use compute_domain::time::Span;
use compute_engine::{Caller, Error};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, paid_with};

use crate::world::World;

/// Pays for another day.
async fn extend(world: &World, buyer: &Buyer, instance: &Instance) -> Instance {
    let payment = world.time_payment(buyer, instance.id).await;
    let submitted = world.extend_with_payment(instance.id, &payment).await;
    world.finish(submitted).await;
    world.instance(instance.id).await
}

/// The machines that were paid for are there, whatever workers think.
async fn work_for(world: &World, hours: u32) {
    for _ in 0..hours * 4 {
        world.market.clock.advance(Span::from_secs(900));
        world.market.engine.sweep_orphans().await.unwrap();
        world.market.engine.watch_machines().await.unwrap();
        world.market.engine.expire_due().await.unwrap();
        world.market.engine.drive_due().await.unwrap();
    }
}

#[tokio::test]
async fn nothing_ends_by_itself_until_an_operator_has_looked() {
    let mut world = World::open().await;
    let (buyer, other) = (Buyer::new(1), Buyer::new(2));
    let instance = world.sold(&buyer).await;
    let backup = world.backup().await;
    let paid_until = extend(&world, &buyer, &instance).await.expires_at();
    world.sold(&other).await;
    world.restore(backup).await;
    injected("F145");

    // The server compares before its workers begin.
    assert!(world.market.engine.compare_machines().await.unwrap());
    let quarantine = world.market.engine.quarantine().await.unwrap().unwrap();
    assert!(quarantine.cause.contains("does not know"), "{quarantine:?}");
    work_for(&world, 30).await;
    let now = world.market.clock.clone();
    assert!(compute_domain::time::Clock::now(&now) < paid_until);
    assert!(world.instance(instance.id).await.expires_at() < paid_until);
    assert_eq!(world.market.provider.alive().len(), 2);

    // What is strange is known by now, so the end of the quarantine is one.
    assert!(world.market.engine.end_quarantine().await.unwrap());
    assert!(!world.market.engine.end_quarantine().await.unwrap());
    work_for(&world, 1).await;
    assert_eq!(world.market.engine.quarantine().await.unwrap(), None);
    world.market.quiesce().await;
    assert!(!world.instance(instance.id).await.is_live());
    assert_eq!(
        world.market.provider.alive().len(),
        1,
        "a stranger stays until a human deletes it"
    );
    world.audit().await;
}

#[tokio::test]
async fn a_payment_that_the_database_forgot_is_found_again_and_counts_once() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    world.market.rail.connect_node();
    let backup = world.backup().await;
    let payment = world.time_payment(&buyer, instance.id).await;
    let submitted = world.extend_with_payment(instance.id, &payment).await;
    world.finish(submitted).await;
    let paid_until = world.instance(instance.id).await.expires_at();
    world.restore(backup).await;
    injected("F145");
    assert!(world.instance(instance.id).await.expires_at() < paid_until);
    for _ in 0..2 {
        let submitted = world.extend_with_payment(instance.id, &payment).await;
        world.finish(submitted).await;
    }
    let after = world.instance(instance.id).await;
    assert_eq!(after.expires_at(), paid_until);
    assert!(matches!(after.state, InstanceState::Active(_)));
    assert_eq!(world.market.rail.settled().len(), 2);
    world.audit().await;
}

/// The backup holds a purchase in the middle, and the world has finished it since.
#[tokio::test]
async fn a_purchase_that_was_under_way_keeps_its_machine() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    let request = Market::request();
    let submitted = world
        .market
        .engine
        .provision(&Caller::Anonymous, &request, paid_with(&payment))
        .await
        .unwrap();
    let backup = world.backup().await;
    let operation = submitted.operation();
    world.market.engine.work(submitted).await;
    world.market.quiesce().await;
    let machine = world.market.provider.alive().remove(0).id;
    let order = world.instance_of(operation).await.id;
    world.restore(backup).await;
    injected("F145");
    let cause = "restored";
    world.market.engine.begin_quarantine(cause).await.unwrap();
    work_for(&world, 8).await;
    assert!(
        !matches!(world.instance(order).await.state, InstanceState::Active(_)),
        "it waits"
    );
    assert_eq!(world.market.provider.alive().len(), 1);
    assert!(world.market.engine.end_quarantine().await.unwrap());
    world.market.quiesce().await;
    let after = world.instance(order).await;
    assert!(matches!(after.state, InstanceState::Active(_)), "{after:?}");
    assert_eq!(after.placement().unwrap().machine, machine);
    assert_eq!(world.market.provider.alive().len(), 1);
    assert_eq!(world.market.rail.settled().len(), 1);
    // It was handed out by the database that is lost.
    let caller = world.caller(&buyer).await;
    let password = world.market.engine.take_password(&caller, order).await;
    assert!(matches!(password, Err(Error::NoPassword)), "{password:?}");
    world.audit().await;
}

#[tokio::test]
async fn an_operator_who_knows_begins_it() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    let first = world.market.engine.begin_quarantine("restored").await;
    let again = world.market.engine.begin_quarantine("again").await;
    assert_eq!(first.unwrap(), again.unwrap());
    work_for(&world, 30).await;
    assert!(world.instance(instance.id).await.is_live());
    assert_eq!(world.market.provider.alive().len(), 1);
    assert!(world.market.engine.end_quarantine().await.unwrap());
    work_for(&world, 1).await;
    world.market.quiesce().await;
    assert!(world.market.provider.alive().is_empty());
}
