//! The client's names for its purchases: the same name is the same purchase, also with another
//! payment.

use std::sync::Arc;

use compute_domain::request_key::{RequestKey, RequestKeyKind};
use compute_domain::text::Label;
use compute_engine::{Caller, Error, PurchaseTerms};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, paid_with, with_credits};
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;

use crate::purse::{named, usd};
use crate::world::World;

const KEY: &str = "purchase-0001";

fn identified(mut terms: PurchaseTerms, identifier: &str) -> PurchaseTerms {
    terms
        .request_keys
        .push(RequestKey::payment_identifier(identifier).unwrap());
    terms
}

#[tokio::test]
async fn a_fresh_payment_under_the_same_name_is_not_settled() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let engine = &world.market.engine;
    let (first, second) = (world.payment(&buyer).await, world.payment(&buyer).await);
    let nobody = Caller::Anonymous;
    let request = Market::request();
    let bought = engine
        .provision(&nobody, &request, named(paid_with(&first), KEY))
        .await;
    let operation = world.finish(bought).await;
    let again = engine
        .provision(&nobody, &request, named(paid_with(&second), KEY))
        .await
        .unwrap();
    injected("F162");
    assert!(again.is_replay());
    assert_eq!(again.operation(), operation);
    assert_eq!(world.market.rail.settled().len(), 1);
    assert_eq!(world.market.provider.machines().len(), 1);
    // Without the name, or with another, it is a purchase of its own.
    let other = engine
        .provision(
            &nobody,
            &request,
            named(paid_with(&second), "purchase-0002"),
        )
        .await;
    assert_ne!(world.finish(other).await, operation);
    world.audit().await;
}

#[tokio::test]
async fn a_name_stands_for_one_request() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "5").await;
    let engine = &world.market.engine;
    let mut other = Market::request();
    other.label = Label::parse("other").unwrap();
    let caller = world.caller(&buyer).await;
    let bought = engine
        .provision(&caller, &Market::request(), named(with_credits(), KEY))
        .await;
    world.finish(bought).await;
    let caller = world.caller(&buyer).await;
    let by_credits = engine
        .provision(&caller, &other, named(with_credits(), KEY))
        .await;
    let sheet = world.market.offer(&other).await;
    let payment = buyer.pay(&sheet, compute_testkit::market::now(&world.market));
    let by_payment = engine
        .provision(&Caller::Anonymous, &other, named(paid_with(&payment), KEY))
        .await;
    for refused in [by_credits, by_payment] {
        match refused {
            Err(Error::RequestKeyReused { kind }) => {
                assert_eq!(kind, RequestKeyKind::IdempotencyKey);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.balance(&buyer).await, usd("4.832"));
    assert_eq!(world.market.rail.settled().len(), 1, "the top-up alone");
    world.audit().await;
}

#[tokio::test]
async fn names_of_two_owners_and_of_two_kinds_never_meet() {
    let world = World::open().await;
    let name = "0123456789abcdef";
    let engine = &world.market.engine;
    let mut operations = Vec::new();
    for number in [1, 2] {
        let buyer = Buyer::new(number);
        for terms in [named, identified] {
            let payment = world.payment(&buyer).await;
            let bought = engine
                .provision(
                    &Caller::Anonymous,
                    &Market::request(),
                    terms(paid_with(&payment), name),
                )
                .await;
            operations.push(world.finish(bought).await);
        }
    }
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), 4);
    world.audit().await;
}

#[tokio::test]
async fn a_name_is_free_again_when_nothing_was_charged() {
    for fault in [SettleFault::Declines, SettleFault::Unreachable] {
        let world = World::open().await;
        let buyer = Buyer::new(1);
        // Until the order is given up.
        world.market.rail.misbehave(vec![fault.clone(); 40]);
        let engine = &world.market.engine;
        let first = world.payment(&buyer).await;
        let declined = engine
            .provision(
                &Caller::Anonymous,
                &Market::request(),
                named(paid_with(&first), KEY),
            )
            .await;
        let declined = world.finish(declined).await;
        world.market.quiesce().await;
        world.market.rail.forgive();
        let second = world.payment(&buyer).await;
        let bought = engine
            .provision(
                &Caller::Anonymous,
                &Market::request(),
                named(paid_with(&second), KEY),
            )
            .await;
        assert_ne!(world.finish(bought).await, declined, "{fault:?}");
        assert_eq!(world.market.provider.alive().len(), 1);
        world.audit().await;
    }
}

#[tokio::test]
async fn a_name_of_a_refunded_purchase_shows_the_refund_again() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    world.market.provider.misbehave([CreateFault::SoldOut]);
    let engine = &world.market.engine;
    let mut operations = Vec::new();
    for _ in 0..2 {
        let caller = world.caller(&buyer).await;
        let bought = engine
            .provision(&caller, &Market::request(), named(with_credits(), KEY))
            .await;
        operations.push(world.finish(bought).await);
    }
    assert_eq!(operations[0], operations[1]);
    assert_eq!(world.balance(&buyer).await, usd("1"));
    assert!(world.market.provider.alive().is_empty());
    world.audit().await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "64 clients at once are 64 tasks")]
async fn sixty_four_payments_under_one_name_are_one_purchase() {
    let world = Arc::new(World::open().await);
    let buyer = Buyer::new(1);
    let mut payments = Vec::new();
    for _ in 0..64 {
        payments.push(world.payment(&buyer).await);
    }
    let clients = payments.into_iter().map(|payment| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let terms = named(paid_with(&payment), KEY);
            let engine = &world.market.engine;
            let bought = engine
                .provision(&Caller::Anonymous, &Market::request(), terms)
                .await;
            world.finish(bought).await
        })
    });
    let operations = futures::future::join_all(clients).await;
    injected("F157");
    injected("F162");
    let mut operations: Vec<_> = operations.into_iter().map(Result::unwrap).collect();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), 1);
    world.market.quiesce().await;
    assert_eq!(world.market.rail.settled().len(), 1);
    assert_eq!(world.market.provider.machines().len(), 1);
    world.audit().await;
}

#[tokio::test]
async fn a_hanging_payment_blocks_an_equal_request_unless_both_are_named_apart() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.rail.misbehave([SettleFault::LandsUnseen]);
    world.market.rail.hide(1_000);
    let engine = &world.market.engine;
    let nobody = Caller::Anonymous;
    let request = Market::request();
    let first = world.payment(&buyer).await;
    let hanging = engine
        .provision(&nobody, &request, named(paid_with(&first), KEY))
        .await;
    let hanging = world.finish(hanging).await;
    let second = world.payment(&buyer).await;
    match engine
        .provision(&nobody, &request, paid_with(&second))
        .await
    {
        Err(Error::OperationInProgress { operation, .. }) => {
            assert_eq!(operation, Some(hanging));
        }
        other => panic!("{other:?}"),
    }
    let apart = named(paid_with(&second), "purchase-0002");
    assert!(engine.provision(&nobody, &request, apart).await.is_ok());
}
