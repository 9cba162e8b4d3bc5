//! One payment buys one thing, and only a good payment buys anything.

use std::sync::Arc;

use compute_domain::instance::InstanceState;
use compute_domain::money::Hours;
use compute_domain::operation::OperationState;
use compute_domain::text::Label;
use compute_domain::time::Span;
use compute_engine::{Caller, Error, Goal, ProvisionRequest};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, RESOURCE_URL, now, paid_with};
use compute_testkit::scripted_rail::SettleFault;
use compute_x402::Version;

use crate::promises;
use crate::world::World;

#[tokio::test]
async fn the_unpaid_path_begins_no_transaction() {
    let world = World::open().await;
    let before = world.market.crash.transactions();
    world.market.offer(&Market::request()).await;
    assert!(matches!(
        world
            .market
            .engine
            .probe(RESOURCE_URL, compute_engine::RequestFacts::default()),
        Error::PaymentRequired { .. }
    ));
    assert_eq!(world.market.crash.transactions(), before);
}

#[tokio::test]
async fn both_protocol_versions_buy_a_machine() {
    for version in [Version::V1, Version::V2] {
        let world = World::open().await;
        let buyer = Buyer::new(1);
        let sheet = world.market.offer(&Market::request()).await;
        let payment = buyer.pay_offer(version, &sheet.offers[0], &sheet, now(&world.market));
        let bought = world
            .market
            .buy(&Market::request(), &payment)
            .await
            .unwrap();
        let instance = world.instance_of(bought).await;
        assert!(
            matches!(instance.state, InstanceState::Active(_)),
            "{version:?}"
        );
        assert_eq!(instance.price.to_string(), "0.168");
        promises::check(&world, &buyer).await;
    }
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "256 clients at once are 256 tasks"
)]
async fn two_hundred_fifty_six_copies_of_one_payment_are_one_purchase() {
    let world = Arc::new(World::open().await);
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    let copies = (0..256).map(|_| {
        let (world, payment) = (Arc::clone(&world), payment.clone());
        tokio::spawn(async move {
            let engine = &world.market.engine;
            let submitted = engine
                .provision(&Caller::Anonymous, &Market::request(), paid_with(&payment))
                .await
                .unwrap();
            let (operation, replay) = (submitted.operation(), submitted.is_replay());
            engine.work(submitted).await;
            // Who waits moves this clock, and 255 would move it past the payment's end: so nobody does.
            let at_once = now(&world.market);
            let view = engine
                .wait(operation, Goal::Created, at_once)
                .await
                .unwrap();
            (view.instance.unwrap().id, replay)
        })
    });
    let answers = futures::future::join_all(copies).await;
    injected("F055");
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(
        answers.iter().all(|answer| answer.0 == answers[0].0),
        "all name one order"
    );
    assert_eq!(
        answers.iter().filter(|answer| !answer.1).count(),
        1,
        "one is the original"
    );
    world.market.quiesce().await;
    assert_eq!(world.market.rail.settle_calls(), 1);
    assert_eq!(world.market.provider.machines().len(), 1);
    world.market.quiesce().await;
    promises::check(&world, &buyer).await;
}

#[tokio::test]
async fn the_same_payment_for_another_request_is_refused() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    let other = ProvisionRequest {
        label: Label::parse("other").unwrap(),
        ..Market::request()
    };
    let refused = world.market.buy(&other, &payment).await;
    injected("F056");
    assert!(
        matches!(refused, Err(Error::PaymentAlreadyUsed)),
        "{refused:?}"
    );
    promises::check(&world, &buyer).await;
}

#[tokio::test]
async fn a_repeat_is_answered_when_price_and_time_have_passed() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    let bought = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    world.market.clock.advance(Span::from_hours(30 * 24));
    world.market.provider.set_rate(99_000);
    world.market.engine.refresh_catalog().await;
    injected("F087");
    assert_eq!(
        world
            .market
            .buy(&Market::request(), &payment)
            .await
            .unwrap(),
        bought
    );
    assert_eq!(world.market.rail.settle_calls(), 1);
}

#[tokio::test]
async fn a_declined_payment_may_be_shown_again() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.rail.misbehave([SettleFault::Declines]);
    let payment = world.payment(&buyer).await;
    let first = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    injected("F048");
    let state = world.operation(first).await.state;
    assert!(matches!(state, OperationState::Failed { .. }), "{state:?}");
    let second = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    assert_ne!(first, second);
    assert!(matches!(
        world.instance_of(second).await.state,
        InstanceState::Active(_)
    ));
    promises::check(&world, &buyer).await;
}

#[tokio::test]
async fn a_second_payment_waits_while_an_equal_one_hangs() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world
        .market
        .rail
        .misbehave(vec![SettleFault::LostBefore; 3]);
    world.market.rail.hide(3);
    let sheet = world.market.offer(&Market::request()).await;
    let first = buyer.pay(&sheet, now(&world.market));
    let engine = &world.market.engine;
    let submitted = engine
        .provision(&Caller::Anonymous, &Market::request(), paid_with(&first))
        .await
        .unwrap();
    // One attempt whose outcome is unknown, then the process goes away.
    world.market.crash.at_transaction(5);
    engine.work(submitted).await;
    world.market.crash.restart();
    let second = buyer.pay(&sheet, now(&world.market));
    injected("F162");
    let refused = world.market.buy(&Market::request(), &second).await;
    assert!(
        matches!(refused, Err(Error::OperationInProgress { .. })),
        "{refused:?}"
    );
    world.market.quiesce().await;
    promises::check(&world, &buyer).await;
    // At rest, a new payment is a new purchase.
    let third = world.payment(&buyer).await;
    world.market.buy(&Market::request(), &third).await.unwrap();
    assert_eq!(world.instances_of(&buyer).await.len(), 2);
}

#[tokio::test]
async fn a_wrong_amount_is_refused_with_the_right_price() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let longer = ProvisionRequest {
        hours: Hours::new(48).unwrap(),
        ..Market::request()
    };
    let payment = world.payment(&buyer).await;
    injected("F060");
    match world.market.buy(&longer, &payment).await {
        Err(Error::PaymentRequired {
            sheet,
            problem: Some(problem),
        }) => {
            assert_eq!(
                problem.code,
                "invalid_exact_evm_payload_authorization_value"
            );
            assert_eq!(sheet.price.to_string(), "0.336");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.market.rail.settle_calls(), 0);
    assert!(world.instances_of(&buyer).await.is_empty());
}

#[tokio::test]
async fn the_networks_refusal_writes_nothing() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    world.market.rail.refuse_checks("insufficient_funds");
    match world.market.buy(&Market::request(), &payment).await {
        Err(Error::PaymentRequired {
            problem: Some(problem),
            ..
        }) => {
            assert_eq!(problem.code, "insufficient_funds");
        }
        other => panic!("{other:?}"),
    }
    assert!(world.instances_of(&buyer).await.is_empty());
}

/// The second copy looks before the first is claimed, and asks the network after it settled.
#[tokio::test]
async fn a_copy_that_is_refused_because_the_first_one_settled_joins_it() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    let engine = &world.market.engine;
    let path = "/compute/provision";
    let caller = buyer.sign_in(engine, "POST", path).await.unwrap();
    let request = Market::request();
    let copies = (0..2).map(|_| engine.provision(&caller, &request, paid_with(&payment)));
    let submitted = futures::future::join_all(copies).await;
    let submitted: Vec<_> = submitted.into_iter().map(Result::unwrap).collect();
    assert_eq!(submitted[0].operation(), submitted[1].operation());
    assert_ne!(submitted[0].is_replay(), submitted[1].is_replay());
    for submitted in submitted {
        engine.work(submitted).await;
    }
    world.market.quiesce().await;
    promises::check(&world, &buyer).await;
}
