//! What an end gives back: to whom ends a machine early, and to whom the provider lost one.

use compute_domain::catalog::ProviderId;
use compute_domain::instance::{EndReason, InstanceState};
use compute_domain::ledger::TransferReason;
use compute_domain::money::Usd;
use compute_domain::time::Span;
use compute_engine::Error;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, paid_with};
use compute_testkit::scripted_provider::CreateFault;

use crate::purse::usd;
use crate::world::World;

/// A machine with three days paid, 0.168 USD each.
async fn three_days(world: &World, buyer: &Buyer) -> compute_domain::instance::Instance {
    let instance = world.sold(buyer).await;
    for _ in 0..2 {
        let payment = world.time_payment(buyer, instance.id).await;
        let submitted = world
            .market
            .engine
            .extend(
                &compute_engine::Caller::Anonymous,
                instance.id,
                &Market::one_more_day(),
                paid_with(&payment),
            )
            .await;
        world.finish(submitted).await;
    }
    world.instance(instance.id).await
}

#[tokio::test]
async fn an_early_end_credits_what_is_left_beyond_the_minimum_once() {
    for (hours, credit) in [(0, "0.336"), (24, "0.336"), (36, "0.252"), (71, "0.007")] {
        let world = World::open().await;
        let buyer = Buyer::new(1);
        let instance = three_days(&world, &buyer).await;
        // From the moment the machine was made.
        let made = instance.expires_at().minus(Span::from_hours(72));
        world.market.clock.set(made.plus(Span::from_hours(hours)));
        for round in 0..3 {
            let caller = world.caller(&buyer).await;
            let submitted = world.market.engine.destroy(&caller, instance.id).await;
            let operation = world.finish(submitted).await;
            let view = world.market.engine.inspect(operation).await.unwrap();
            assert_eq!(view.credited(), Some(usd(credit)), "{hours} h, {round}");
            assert_eq!(view.transfers[0].reason, TransferReason::EarlyDestroy);
            world.market.quiesce().await;
        }
        let expected = usd(credit);
        assert_eq!(world.balance(&buyer).await, expected, "{hours} h");
        world.audit().await;
    }
}

#[tokio::test]
async fn a_machine_at_its_end_gives_nothing_back() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    world.market.clock.set(instance.expires_at());
    let caller = world.caller(&buyer).await;
    let submitted = world.market.engine.destroy(&caller, instance.id).await;
    world.finish(submitted).await;
    world.market.quiesce().await;
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
    world.audit().await;
}

/// Lets the watchers look for a while.
async fn watch_for(world: &World, minutes: u32) {
    for _ in 0..minutes {
        world.market.clock.advance(Span::from_secs(60));
        world.market.engine.watch_machines().await.unwrap();
        world.market.engine.sweep_orphans().await.unwrap();
        world.market.engine.drive_due().await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_machine_is_noticed_and_all_that_is_left_is_credited() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    watch_for(&world, 10).await;
    world.market.provider.lose_all();
    let lost_at = compute_testkit::market::now(&world.market);
    watch_for(&world, 30).await;
    let after = world.instance(instance.id).await;
    match after.state {
        InstanceState::Destroyed { reason, .. } => assert_eq!(reason, EndReason::Lost),
        other => panic!("{other:?}"),
    }
    let balance = world.balance(&buyer).await;
    // 0.168 USD for 1440 minutes, of which at most five passed unnoticed.
    let left = instance.expires_at().since(lost_at).millis();
    let most = 168_000 * left / (24 * 3_600_000);
    assert!(balance.micros() <= most && balance.micros() >= most - 168_000 * 5 / 1_440 - 1);
    world.audit().await;
}

#[tokio::test]
async fn two_misses_or_a_silent_provider_prove_nothing() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    world.market.provider.miss_looks(2);
    watch_for(&world, 60).await;
    world.market.provider.fail_looks(1_000);
    watch_for(&world, 60).await;
    world.market.provider.fail_looks(0);
    watch_for(&world, 60).await;
    let after = world.instance(instance.id).await;
    assert!(matches!(after.state, InstanceState::Active(_)));
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
}

/// The provider says "unknown" of every single machine, and its list is empty: it is the provider
/// that is wrong.
#[tokio::test]
async fn an_empty_list_takes_no_fleet_down() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    for _ in 0..6 {
        world.sold(&buyer).await;
    }
    world.market.provider.lose_all();
    watch_for(&world, 60).await;
    let instances = world.instances_of(&buyer).await;
    let active = instances
        .iter()
        .filter(|instance| matches!(instance.state, InstanceState::Active(_)));
    assert_eq!(active.count(), 6);
}

/// How many of an owner's machines ended as lost.
async fn lost(world: &World, buyer: &Buyer) -> usize {
    let instances = world.instances_of(buyer).await;
    let lost = instances.iter().filter(|instance| {
        matches!(
            instance.state,
            InstanceState::Destroyed {
                reason: EndReason::Lost,
                ..
            }
        )
    });
    lost.count()
}

/// Half a fleet is more than a list may miss, but hours later, and with the others in sight, it is
/// believed.
#[tokio::test]
async fn many_machines_of_a_fleet_are_lost_after_hours() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    for _ in 0..4 {
        world.sold(&buyer).await;
    }
    world.market.provider.lose(2);
    watch_for(&world, 300).await;
    assert_eq!(lost(&world, &buyer).await, 0);
    assert_eq!(world.market.engine.missing().await.unwrap().len(), 2);
    watch_for(&world, 120).await;
    assert_eq!(lost(&world, &buyer).await, 2);
    assert_eq!(world.market.engine.missing().await.unwrap(), []);
    assert_eq!(world.market.provider.alive().len(), 2);
    let balance = world.balance(&buyer).await;
    // Two times 0.168 USD for a day, of which a few minutes passed.
    assert!(balance.micros() > 330_000 && balance.micros() <= 336_000);
    world.audit().await;
}

/// With the token of another account every machine of ours is unknown, and what is sold from then on
/// is not: it proves nothing about the others.
#[tokio::test]
async fn machines_sold_after_a_loss_are_no_witness_of_it() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    for _ in 0..3 {
        world.sold(&buyer).await;
    }
    world.market.provider.lose_all();
    watch_for(&world, 20).await;
    world.sold(&buyer).await;
    watch_for(&world, 480).await;
    assert_eq!(lost(&world, &buyer).await, 0);
    assert_eq!(world.market.engine.missing().await.unwrap().len(), 3);
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
}

/// A machine that is missing does not expire: its owner did not get what it paid for, and a human
/// finds out.
#[tokio::test]
async fn a_missing_machine_waits_for_an_operator_and_is_credited_then() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let first = world.sold(&buyer).await;
    let second = world.sold(&buyer).await;
    world.market.provider.lose_all();
    watch_for(&world, 60).await;
    world.market.clock.advance(Span::from_hours(26));
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 0);
    let credited = world.market.engine.give_up(first.id, "seen").await.unwrap();
    assert!(credited.micros() > 160_000 && credited.micros() <= 168_000);
    let again = world.market.engine.give_up(first.id, "seen").await;
    assert!(matches!(again, Err(Error::WrongState { .. })), "{again:?}");
    world.market.quiesce().await;
    assert_eq!(world.balance(&buyer).await, credited);
    // The other one is now the only one, and its loss needs no human.
    watch_for(&world, 30).await;
    assert_eq!(lost(&world, &buyer).await, 2);
    assert!(!world.instance(second.id).await.is_live());
    world.audit().await;
}

/// Looks at single machines fail, and the list has them: they are there, and expire in time.
#[tokio::test]
async fn a_machine_that_the_list_shows_is_not_missing() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    world.market.provider.miss_looks(10_000);
    watch_for(&world, 60).await;
    assert_eq!(lost(&world, &buyer).await, 0);
    assert!(world.instance(instance.id).await.is_live());
    world.market.provider.miss_looks(0);
    watch_for(&world, 10).await;
    world.market.clock.advance(Span::from_hours(26));
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 1);
    world.market.quiesce().await;
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
    world.audit().await;
}

#[tokio::test]
async fn no_more_than_a_few_machines_expire_an_hour() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    for _ in 0..8 {
        world.sold(&buyer).await;
    }
    world.market.clock.advance(Span::from_hours(26));
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 5);
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 0);
    world.market.clock.advance(Span::from_secs(3_601));
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 3);
    world.market.quiesce().await;
    assert!(world.market.provider.alive().is_empty());
    world.audit().await;
}

#[tokio::test]
async fn a_second_machine_of_an_order_is_swept_and_the_first_is_not() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.provider.misbehave([CreateFault::Twice]);
    let instance = world.sold(&buyer).await;
    assert_eq!(world.market.provider.alive().len(), 2);
    watch_for(&world, 14).await;
    assert_eq!(world.market.provider.alive().len(), 2, "too young");
    watch_for(&world, 60).await;
    let alive = world.market.provider.alive();
    assert_eq!(alive.len(), 1);
    assert_eq!(alive[0].id, instance.placement().unwrap().machine);
    world.audit().await;
}

/// A provider whose clock is off dates its machines wrongly: that makes no orphan of a machine that has an
/// owner, takes none down before its quarantine, and keeps none for ever.
#[tokio::test]
async fn a_provider_whose_clock_is_off_decides_nothing_by_it() {
    for hours in [3_i64, -3] {
        let world = World::open().await;
        let buyer = Buyer::new(1);
        let provider = &world.market.provider;
        provider.set_clock_skew(hours * 3_600_000);
        provider.misbehave([CreateFault::Twice]);
        injected("F121");
        let instance = world.sold(&buyer).await;
        watch_for(&world, 9).await;
        assert_eq!(provider.alive().len(), 2, "{hours}: too early");
        watch_for(&world, 60).await;
        let alive = provider.alive();
        assert_eq!(alive.len(), 1, "{hours}");
        assert_eq!(alive[0].id, instance.placement().unwrap().machine);
        let after = world.instance(instance.id).await;
        assert!(matches!(after.state, InstanceState::Active(_)));
        assert_eq!(after.expires_at(), instance.expires_at());
        world.audit().await;
    }
}

/// After a database was restored from a backup it does not know the newest orders: their machines are
/// somebody's, and stay.
#[tokio::test]
async fn a_machine_of_an_unknown_operation_is_left_alone() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let elsewhere = World::open().await;
    elsewhere.sold(&buyer).await;
    let stranger = elsewhere.market.provider.alive().remove(0);
    world.market.provider.add(stranger);
    watch_for(&world, 120).await;
    assert_eq!(world.market.provider.alive().len(), 1);
    let suspects = world.market.engine.suspects().await.unwrap();
    let [(suspect, is_condemned)] = suspects.as_slice() else {
        panic!("{suspects:?}")
    };
    assert_eq!(suspect.provider, ProviderId::Vultr);
    assert!(suspect.rounds > 2 && !is_condemned);
}
