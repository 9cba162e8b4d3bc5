//! Destruction by request and by time.

use compute_domain::instance::{EndReason, InstanceState};
use compute_domain::time::Span;
use compute_engine::{Caller, Error, Goal};
use compute_testkit::market::{Buyer, Market, now, paid_with};

use crate::world::World;

#[tokio::test]
async fn the_owner_takes_a_machine_down_and_may_ask_again() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let id = world.sold(&buyer).await.id;
    let engine = &world.market.engine;
    for round in 0..3 {
        let caller = buyer.sign_in(engine, "DELETE", "/x").await.unwrap();
        let submitted = engine.destroy(&caller, id).await.unwrap();
        assert_eq!(submitted.is_replay(), round > 0);
        let operation = submitted.operation();
        engine.work(submitted).await;
        let view = engine
            .wait(operation, Goal::Accepted, now(&world.market))
            .await
            .unwrap();
        assert!(view.instance.unwrap().state.name().starts_with("destroy"));
        world.market.quiesce().await;
    }
    assert!(world.market.provider.alive().is_empty());
    let instance = world.instances_of(&buyer).await.remove(0);
    assert!(matches!(
        instance.state,
        InstanceState::Destroyed {
            reason: EndReason::Requested,
            ..
        }
    ));
}

#[tokio::test]
async fn nobody_else_can() {
    let world = World::open().await;
    let (buyer, stranger) = (Buyer::new(1), Buyer::new(2));
    let id = world.sold(&buyer).await.id;
    let caller = stranger
        .sign_in(&world.market.engine, "DELETE", "/x")
        .await
        .unwrap();
    let refused = world.market.engine.destroy(&caller, id).await;
    assert!(matches!(refused, Err(Error::NotFound)));
    assert_eq!(world.market.provider.alive().len(), 1);
}

#[tokio::test]
async fn an_expired_machine_goes_after_its_grace_and_not_before() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.sold(&buyer).await;
    world
        .market
        .clock
        .advance(Span::from_hours(24).max(Span::ZERO));
    world.market.clock.advance(Span::from_secs(3_500));
    assert_eq!(
        world.market.engine.expire_due().await.unwrap(),
        0,
        "within its grace"
    );
    world.market.clock.advance(Span::from_secs(200));
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 1);
    assert_eq!(world.market.engine.expire_due().await.unwrap(), 0, "once");
    world.market.quiesce().await;
    assert!(world.market.provider.alive().is_empty());
    let instance = world.instances_of(&buyer).await.remove(0);
    assert!(matches!(
        instance.state,
        InstanceState::Destroyed {
            reason: EndReason::Expired,
            ..
        }
    ));
}

#[tokio::test]
async fn who_waits_is_answered_when_the_engine_stops() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    let engine = &world.market.engine;
    let caller = Caller::Anonymous;
    let submitted = engine
        .provision(&caller, &Market::request(), paid_with(&payment))
        .await
        .unwrap();
    let operation = submitted.operation();
    engine.stop();
    engine.work(submitted).await;
    let began = now(&world.market);
    let view = engine
        .wait(operation, Goal::Created, began.plus(Span::from_secs(600)))
        .await;
    assert!(
        view.unwrap().operation.progress().is_some(),
        "given back, not finished"
    );
    assert!(now(&world.market).since(began) < Span::from_secs(60));
    assert_eq!(
        world.market.rail.settle_calls(),
        0,
        "no step begins any more"
    );
}
