//! Extensions: exactly the bought hours, once, or the money back as credit.

use compute_domain::instance::{FailureCode, InstanceState};
use compute_domain::money::Hours;
use compute_domain::operation::OperationState;
use compute_domain::time::Span;
use compute_engine::ports::TxMode;
use compute_engine::{Caller, Error, ExtendRequest};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, paid_with, unpaid};
use compute_testkit::scripted_rail::SettleFault;

use crate::purse::usd;
use crate::world::World;

#[tokio::test]
async fn anybody_learns_the_price_and_the_owners_wallet_pays_it_without_signing_in() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let before = world.sold(&buyer).await;
    let payment = world.time_payment(&buyer, before.id).await;
    for round in 0..3 {
        let submitted = world
            .extend_with_payment(before.id, &payment)
            .await
            .unwrap();
        assert_eq!(submitted.is_replay(), round > 0);
        world.finish(Ok(submitted)).await;
    }
    let after = world.instance(before.id).await;
    assert_eq!(
        after.expires_at(),
        before.expires_at().plus(Span::from_hours(24))
    );
    assert_eq!(after.price, usd("0.336"));
    assert_eq!(after.extended_hours, 24);
    assert_eq!(world.market.rail.settled().len(), 2);
    world.audit().await;
}

#[tokio::test]
async fn a_stranger_pays_for_nobody() {
    let world = World::open().await;
    let (buyer, stranger) = (Buyer::new(1), Buyer::new(2));
    let id = world.sold(&buyer).await.id;
    // A stranger with an order of its own, and one without.
    for with_order in [false, true] {
        if with_order {
            world.sold(&stranger).await;
        }
        let settled = world.market.rail.settled().len();
        let payment = world.time_payment(&stranger, id).await;
        let refused = world.extend_with_payment(id, &payment).await;
        assert!(matches!(refused, Err(Error::PayerMismatch)), "{refused:?}");
        assert_eq!(world.market.rail.settled().len(), settled, "nothing moved");
    }
    let signed_in = world.caller(&stranger).await;
    let refused = world
        .market
        .engine
        .extend(&signed_in, id, &Market::one_more_day(), unpaid())
        .await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
}

#[tokio::test]
async fn credits_extend_at_once() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let before = world.sold(&buyer).await;
    world.top_up(&buyer, "1").await;
    let submitted = world.extend_with_credits(&buyer, before.id).await.unwrap();
    let operation = world.operation(submitted.operation()).await;
    assert_eq!(operation.state, OperationState::Succeeded);
    let after = world.instance(before.id).await;
    assert_eq!(
        after.expires_at(),
        before.expires_at().plus(Span::from_hours(24))
    );
    assert_eq!(world.balance(&buyer).await, usd("0.832"));
    world.audit().await;
}

#[tokio::test]
async fn an_extension_costs_what_the_plan_costs_today() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let id = world.sold(&buyer).await.id;
    world.market.provider.set_rate(10_000);
    world.market.clock.advance(Span::from_secs(1_000));
    world.market.engine.refresh_catalog().await;
    let request = ExtendRequest {
        hours: Hours::new(48).unwrap(),
        ..Market::one_more_day()
    };
    let sheet = world.market.offer_time(id, &request).await;
    assert_eq!(sheet.price, usd("0.48"));
    let mut tx = world.market.store.begin(TxMode::Read).await.unwrap();
    let lots = tx.lots_of(id).await.unwrap();
    assert_eq!(lots.lots().len(), 1);
    assert_eq!(lots.paid().unwrap(), usd("0.168"));
}

#[tokio::test]
async fn only_an_active_machine_is_extended() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    let engine = &world.market.engine;
    let nobody = Caller::Anonymous;
    let unknown = "0190a5b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b".parse().unwrap();
    let missing = engine
        .extend(&nobody, unknown, &Market::one_more_day(), unpaid())
        .await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
    let payment = world.time_payment(&buyer, instance.id).await;
    let caller = world.caller(&buyer).await;
    let gone = engine.destroy(&caller, instance.id).await;
    world.finish(gone).await;
    for terms in [unpaid(), paid_with(&payment)] {
        let refused = engine
            .extend(&nobody, instance.id, &Market::one_more_day(), terms)
            .await;
        assert!(
            matches!(refused, Err(Error::WrongState { .. })),
            "{refused:?}"
        );
    }
    world.top_up(&buyer, "1").await;
    let refused = world.extend_with_credits(&buyer, instance.id).await;
    assert!(
        matches!(refused, Err(Error::WrongState { .. })),
        "{refused:?}"
    );
    assert_eq!(world.balance(&buyer).await, usd("1"));
    world.market.quiesce().await;
    world.audit().await;
}

#[tokio::test]
async fn a_machine_about_to_be_taken_down_is_not_extended() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let id = world.sold(&buyer).await.id;
    world.market.clock.advance(Span::from_hours(25));
    let refused = world
        .market
        .engine
        .extend(&Caller::Anonymous, id, &Market::one_more_day(), unpaid())
        .await;
    assert!(
        matches!(refused, Err(Error::WrongState { state: "expired" })),
        "{refused:?}"
    );
}

/// Within its grace a machine is extended from its old end, and lives on.
#[tokio::test]
async fn an_extension_within_the_grace_counts_from_the_old_end() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let before = world.sold(&buyer).await;
    world.top_up(&buyer, "1").await;
    world
        .market
        .clock
        .advance(Span::from_secs(24 * 3_600 + 1_800));
    world.extend_with_credits(&buyer, before.id).await.unwrap();
    let after = world.instance(before.id).await;
    assert_eq!(
        after.expires_at(),
        before.expires_at().plus(Span::from_hours(24))
    );
    world.market.clock.advance(Span::from_hours(1));
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 0);
    world.audit().await;
}

#[tokio::test]
async fn a_machine_does_not_expire_while_its_extension_settles() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let before = world.sold(&buyer).await;
    world
        .market
        .clock
        .advance(Span::from_secs(24 * 3_600 + 3_590));
    let payment = world.time_payment(&buyer, before.id).await;
    world.market.rail.misbehave([SettleFault::LostBefore]);
    let submitted = world
        .extend_with_payment(before.id, &payment)
        .await
        .unwrap();
    world.market.clock.advance(Span::from_secs(60));
    injected("F153");
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 0, "held");
    world.finish(Ok(submitted)).await;
    world.market.quiesce().await;
    let after = world.instance(before.id).await;
    assert!(matches!(after.state, InstanceState::Active(_)));
    assert_eq!(
        after.expires_at(),
        before.expires_at().plus(Span::from_hours(24))
    );
    world.audit().await;
}

/// The payment network does not answer for so long that the machine's time is over. Its payment turns
/// out to have arrived: it becomes credit, and the machine is gone.
#[tokio::test]
async fn a_payment_that_comes_too_late_becomes_credit() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let before = world.sold(&buyer).await;
    world
        .market
        .clock
        .advance(Span::from_secs(24 * 3_600 + 3_500));
    let payment = world.time_payment(&buyer, before.id).await;
    world.market.rail.misbehave([SettleFault::LandsUnseen]);
    world.market.rail.hide(1_000);
    let submitted = world.extend_with_payment(before.id, &payment).await;
    let operation = world.finish(submitted).await;
    // The payment is void after 300 s; 900 s later the machine is let go.
    world.market.clock.advance(Span::from_secs(1_300));
    world.market.engine.drive_due().await.unwrap();
    assert!(
        world
            .operation(operation)
            .await
            .data
            .hold_released_at
            .is_some()
    );
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 1);
    world.market.rail.hide(0);
    world.market.quiesce().await;
    let view = world.market.engine.inspect(operation).await.unwrap();
    let code = FailureCode::InstanceGone;
    assert_eq!(view.operation.state, OperationState::Failed { code });
    assert_eq!(view.credited(), Some(usd("0.168")));
    assert_eq!(world.balance(&buyer).await, usd("0.168"));
    assert!(world.market.provider.alive().is_empty());
    world.audit().await;
}

#[tokio::test]
async fn nothing_else_is_done_with_a_machine_while_its_extension_settles() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let id = world.sold(&buyer).await.id;
    world.top_up(&buyer, "1").await;
    let payment = world.time_payment(&buyer, id).await;
    let engine = &world.market.engine;
    let submitted = world.extend_with_payment(id, &payment).await.unwrap();
    let caller = world.caller(&buyer).await;
    let destroy = engine.destroy(&caller, id).await.map(|_| ());
    let extend = world.extend_with_credits(&buyer, id).await.map(|_| ());
    let other = world.time_payment(&buyer, id).await;
    let pay = world.extend_with_payment(id, &other).await.map(|_| ());
    for refused in [destroy, extend, pay] {
        assert!(
            matches!(refused, Err(Error::OperationInProgress { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(world.balance(&buyer).await, usd("1"));
    world.finish(Ok(submitted)).await;
    // The refused payment was never claimed, so it still buys its day.
    let again = world.extend_with_payment(id, &other).await;
    world.finish(again).await;
    assert_eq!(world.instance(id).await.extended_hours, 48);
    assert_eq!(world.market.rail.settled().len(), 4);
    world.audit().await;
}

/// The authorization is valid for a day. While nobody knows whether it settled, the machine lives on for
/// an hour and a grace, not for that day.
#[tokio::test]
async fn a_long_validity_is_no_long_hold() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let before = world.sold(&buyer).await;
    world
        .market
        .clock
        .set(before.expires_at().plus(Span::from_secs(3_000)));
    let sheet = world
        .market
        .offer_time(before.id, &Market::one_more_day())
        .await;
    let signed_for = now(&world.market).plus(Span::from_hours(23));
    let payment = buyer.pay(&sheet, signed_for);
    world.market.rail.misbehave([SettleFault::LostBefore]);
    world.market.rail.hide(u32::MAX);
    let submitted = world.extend_with_payment(before.id, &payment).await;
    world.finish(submitted).await;
    let mut rounds = 0;
    while world.market.engine.expire_due().await.unwrap() == 0 {
        world.market.clock.advance(Span::from_secs(300));
        world.market.engine.drive_due().await.unwrap();
        rounds += 1;
        assert!(rounds < 40, "held for too long");
    }
    assert!(rounds > 12, "held for {rounds} times five minutes");
}

/// The owner need not wait for a payment network that does not answer: the machine ends, and the payment
/// becomes credit when it turns out to have arrived.
#[tokio::test]
async fn an_owner_ends_a_machine_whose_extension_hangs() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let id = world.sold(&buyer).await.id;
    let payment = world.time_payment(&buyer, id).await;
    world.market.rail.misbehave([SettleFault::LandsUnseen]);
    world.market.rail.hide(u32::MAX);
    let extension = world.extend_with_payment(id, &payment).await;
    let extension = world.finish(extension).await;
    let caller = world.caller(&buyer).await;
    let ended = world.market.engine.destroy(&caller, id).await;
    world.finish(ended).await;
    world.market.rail.hide(0);
    world.market.quiesce().await;
    let after = world.instance(id).await;
    assert!(matches!(after.state, InstanceState::Destroyed { .. }));
    assert_eq!(after.extended_hours, 0);
    let view = world.market.engine.inspect(extension).await.unwrap();
    assert_eq!(view.credited(), Some(usd("0.168")));
    assert_eq!(world.balance(&buyer).await, usd("0.168"));
    world.audit().await;
}
