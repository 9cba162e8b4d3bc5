//! How running machines are looked at: by one list where there are many, and against their plans.

use compute_domain::catalog::PlanId;
use compute_domain::instance::{EndReason, InstanceState};
use compute_domain::money::Usd;
use compute_domain::time::Span;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, paid_with};

use crate::lines::Lines;
use crate::world::World;

async fn sell(world: &World, buyer: &Buyer, count: usize) {
    for _ in 0..count {
        world.sold(buyer).await;
    }
}

/// One round in which every machine is due.
async fn look(world: &World) {
    world.market.clock.advance(Span::from_secs(301));
    world.market.engine.watch_machines().await.unwrap();
}

#[tokio::test]
async fn many_machines_are_looked_at_by_one_list() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    sell(&world, &buyer, 4).await;
    let provider = &world.market.provider;
    let before = provider.looks();
    look(&world).await;
    let after = provider.looks();
    assert_eq!((after.0 - before.0, after.1 - before.1), (4, 0));
    sell(&world, &buyer, 8).await;
    let before = provider.looks();
    look(&world).await;
    let after = provider.looks();
    assert_eq!((after.0 - before.0, after.1 - before.1), (0, 1));
}

/// Only what the list misses is asked for by itself, and three looks and a second witness are needed.
#[tokio::test]
async fn a_machine_that_the_list_misses_is_asked_for_by_itself() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    sell(&world, &buyer, 6).await;
    let provider = &world.market.provider;
    provider.lose(1);
    injected("F112");
    for round in 1..=2 {
        let before = provider.looks();
        look(&world).await;
        let after = provider.looks();
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
        let instances = world.instances_of(&buyer).await;
        let active = instances
            .iter()
            .filter(|one| matches!(one.state, InstanceState::Active(_)));
        assert_eq!(active.count(), 6, "round {round}");
    }
    look(&world).await;
    world.market.quiesce().await;
    let instances = world.instances_of(&buyer).await;
    let lost = instances.iter().filter(|one| {
        matches!(&one.state, InstanceState::Destroyed { reason, .. } if *reason == EndReason::Lost)
    });
    assert_eq!(lost.count(), 1);
    world.audit().await;
}

/// An empty list by mistake: every machine is asked for, and is there.
#[tokio::test]
async fn a_list_that_is_wrong_or_fails_ends_nothing() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    sell(&world, &buyer, 6).await;
    let provider = &world.market.provider;
    provider.fail_lists(true);
    for _ in 0..10 {
        let before = provider.looks();
        look(&world).await;
        assert_eq!(provider.looks().0 - before.0, 6);
    }
    provider.fail_lists(false);
    // Refused, nobody asks for single machines.
    provider.refuse_credentials(true);
    injected("F105");
    let before = provider.looks();
    for _ in 0..10 {
        look(&world).await;
    }
    assert_eq!(provider.looks(), before);
    provider.refuse_credentials(false);
    look(&world).await;
    assert!(world.market.engine.missing().await.unwrap().is_empty());
    let instances = world.instances_of(&buyer).await;
    assert!(
        instances
            .iter()
            .all(|one| matches!(one.state, InstanceState::Active(_)))
    );
}

#[tokio::test]
async fn a_suspended_machine_is_seen_in_a_list_too_and_keeps_its_value() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    sell(&world, &buyer, 6).await;
    let provider = &world.market.provider;
    provider.suspend_all(true);
    injected("F113");
    look(&world).await;
    let since = now(&world.market);
    look(&world).await;
    for instance in world.instances_of(&buyer).await {
        assert_eq!(instance.suspended_since, Some(since));
        assert!(matches!(instance.state, InstanceState::Active(_)));
    }
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
    provider.suspend_all(false);
    look(&world).await;
    for instance in world.instances_of(&buyer).await {
        assert_eq!(instance.suspended_since, None);
    }
}

#[tokio::test]
async fn a_machine_with_another_plan_is_told_of_after_two_looks() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let sold = world.sold(&buyer).await;
    let market = &world.market;
    let drifts = async || market.engine.plan_drifts().await.unwrap();
    market.provider.show_plan(&sold.plan);
    look(&world).await;
    look(&world).await;
    assert_eq!(drifts().await, []);
    let bigger = PlanId::parse("vc2-2c-4gb").unwrap();
    market.provider.show_plan(&bigger);
    look(&world).await;
    let since = now(market);
    assert_eq!(drifts().await, [], "one look proves nothing");
    let lines = Lines::default();
    let listening = lines.listen();
    look(&world).await;
    assert_eq!(lines.alarms("has another plan at its provider"), 1);
    let [drift] = &drifts().await[..] else {
        panic!("one drift")
    };
    assert_eq!((drift.instance, &drift.plan), (sold.id, &bigger));
    assert_eq!((drift.since, drift.looks), (since, 2));
    look(&world).await;
    assert_eq!(lines.alarms("has another plan"), 0, "once");
    drop(listening);
    // What its owner pays is not changed by it.
    let after = world.instance(sold.id).await;
    assert_eq!((&after.plan, after.rate), (&sold.plan, sold.rate));
    let offer = market.offer_time(sold.id, &Market::one_more_day()).await;
    assert_eq!(offer.price, crate::purse::usd("0.168"));
    market.provider.show_plan(&sold.plan);
    look(&world).await;
    assert_eq!(drifts().await, []);
}

/// Whoever changes the machine for its owner will know what plan it has.
#[tokio::test]
async fn a_machine_that_an_operation_holds_has_no_wrong_plan() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let sold = world.sold(&buyer).await;
    let market = &world.market;
    let payment = world.time_payment(&buyer, sold.id).await;
    // An operation that nobody works on yet.
    let (nobody, day) = (compute_engine::Caller::Anonymous, Market::one_more_day());
    let held = market
        .engine
        .extend(&nobody, sold.id, &day, paid_with(&payment))
        .await
        .unwrap();
    market
        .provider
        .show_plan(&PlanId::parse("vc2-2c-4gb").unwrap());
    look(&world).await;
    look(&world).await;
    assert_eq!(market.engine.plan_drifts().await.unwrap(), []);
    drop(held);
}
