//! What an operator does about stuck work.

use compute_domain::instance::{FailureCode, InstanceState};
use compute_domain::ledger::TransferReason;
use compute_domain::operation::{OperationState, Step};
use compute_domain::time::Span;
use compute_engine::{Caller, Error};
use compute_testkit::market::{Buyer, Market, paid_with};
use compute_testkit::scripted_rail::SettleFault;

use crate::promises;
use crate::purse::usd;
use crate::world::World;

/// A purchase whose settlement nobody can find out about, given up for a human.
async fn stuck(world: &World, buyer: &Buyer) -> compute_domain::id::OperationId {
    world.market.rail.misbehave([SettleFault::LandsUnseen]);
    world.market.rail.hide(u32::MAX);
    let payment = world.payment(buyer).await;
    let bought = world
        .market
        .engine
        .provision(&Caller::Anonymous, &Market::request(), paid_with(&payment))
        .await;
    let operation = world.finish(bought).await;
    for _ in 0..60 {
        world.market.clock.advance(Span::from_secs(400));
        world.market.engine.drive_due().await.unwrap();
    }
    assert!(matches!(
        world.operation(operation).await.state,
        OperationState::Stuck {
            step: Step::Settle,
            ..
        }
    ));
    operation
}

#[tokio::test]
async fn a_stuck_purchase_is_listed_and_goes_on_when_the_network_is_back() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let operation = stuck(&world, &buyer).await;
    let engine = &world.market.engine;
    let listed = engine.unresolved().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, operation);
    world.market.rail.hide(0);
    engine.retry(operation).await.unwrap();
    world.market.quiesce().await;
    let instance = world.instance_of(operation).await;
    assert!(matches!(instance.state, InstanceState::Active(_)));
    assert!(engine.unresolved().await.unwrap().is_empty());
    promises::check(&world, &buyer).await;
    world.audit().await;
    assert!(matches!(
        engine.retry(operation).await,
        Err(Error::WrongState { state: "succeeded" })
    ));
}

#[tokio::test]
async fn a_refund_by_an_operator_is_credit_on_the_shops_account() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let operation = stuck(&world, &buyer).await;
    let engine = &world.market.engine;
    assert_eq!(
        engine.refund(operation, "asked by mail").await.unwrap(),
        usd("0.168")
    );
    let view = engine.inspect(operation).await.unwrap();
    let code = FailureCode::OperatorRefunded;
    assert_eq!(view.operation.state, OperationState::Failed { code });
    assert_eq!(view.transfers[0].reason, TransferReason::OperatorRefund);
    let last = view.history.last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.detail.as_str()),
        ("operator.refund", "asked by mail")
    );
    assert_eq!(world.balance(&buyer).await, usd("0.168"));
    assert!(matches!(
        engine.refund(operation, "again").await,
        Err(Error::WrongState { .. })
    ));
    assert_eq!(world.balance(&buyer).await, usd("0.168"));
    world.audit().await;
}

#[tokio::test]
async fn work_that_goes_on_is_not_for_operators() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    let bought = world
        .market
        .engine
        .provision(&Caller::Anonymous, &Market::request(), paid_with(&payment))
        .await
        .unwrap();
    let id = bought.operation();
    let engine = &world.market.engine;
    for refused in [
        engine.retry(id).await.map(|_| ()),
        engine.refund(id, "no").await.map(|_| ()),
    ] {
        assert!(
            matches!(refused, Err(Error::WrongState { state: "running" })),
            "{refused:?}"
        );
    }
    world.finish(Ok(bought)).await;
    world.audit().await;
}
