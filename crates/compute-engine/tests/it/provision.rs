//! Refusals before payment, and what a failed delivery leaves.

use compute_domain::catalog::{OsId, PlanId, ProviderId, RegionId};
use compute_domain::instance::{FailureCode, InstanceState};
use compute_domain::operation::OperationState;
use compute_domain::payment::RailLabel;
use compute_domain::time::Span;
use compute_engine::{Caller, Error, Goal, ProvisionRequest};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, unpaid};
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;

use crate::promises;
use crate::world::World;

async fn refusal(change: impl FnOnce(&mut ProvisionRequest)) -> Error {
    let world = World::open().await;
    let mut request = Market::request();
    change(&mut request);
    let engine = &world.market.engine;
    engine
        .provision(&Caller::Anonymous, &request, unpaid())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn what_is_not_sold_is_refused_before_a_price_is_named() {
    let unknown_plan = refusal(|request| request.plan = PlanId::parse("vc2-none").unwrap()).await;
    assert!(matches!(unknown_plan, Error::UnknownPlan));
    let unknown_region = refusal(|request| request.region = RegionId::parse("mars").unwrap()).await;
    assert!(matches!(unknown_region, Error::UnknownRegion));
    let elsewhere = refusal(|request| request.region = RegionId::parse("syd").unwrap()).await;
    assert!(matches!(elsewhere, Error::PlanNotInRegion { locations } if locations.len() == 2));
    let unknown_image = refusal(|request| request.os = OsId::parse("1").unwrap()).await;
    assert!(matches!(unknown_image, Error::UnknownImage));
    let network = refusal(|request| request.network = RailLabel::parse("dogecoin").unwrap()).await;
    assert!(matches!(network, Error::UnknownNetwork { known } if known == ["base"]));
    let provider = refusal(|request| request.provider = Some(ProviderId::DigitalOcean)).await;
    assert!(matches!(provider, Error::ProviderMismatch));
}

#[tokio::test]
async fn a_refused_machine_becomes_credit_and_the_buyer_learns_it() {
    for (fault, code) in [
        (CreateFault::Rejects, FailureCode::ProviderRejected),
        (CreateFault::SoldOut, FailureCode::NoCapacity),
        (CreateFault::Unauthorized, FailureCode::ProviderUnavailable),
        (CreateFault::NeverReady, FailureCode::NotReady),
    ] {
        let world = World::open().await;
        let buyer = Buyer::new(1);
        world.market.provider.misbehave([fault]);
        let payment = world.payment(&buyer).await;
        let bought = world
            .market
            .buy(&Market::request(), &payment)
            .await
            .unwrap();
        world.market.quiesce().await;
        let until = now(&world.market);
        let view = world
            .market
            .engine
            .wait(bought, Goal::Rest, until)
            .await
            .unwrap();
        assert_eq!(view.operation.state, OperationState::Failed { code });
        assert_eq!(view.credited(), Some(view.instance.unwrap().price));
        assert!(
            view.payment.unwrap().evidence().is_some(),
            "the money did move"
        );
        promises::check(&world, &buyer).await;
    }
}

#[tokio::test]
async fn a_machine_whose_password_was_lost_is_replaced() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.provider.misbehave([CreateFault::MadeUnseen]);
    let payment = world.payment(&buyer).await;
    let bought = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    world.market.quiesce().await;
    let instance = world.instance_of(bought).await;
    assert!(
        matches!(instance.state, InstanceState::Active(_)),
        "{:?}",
        instance.state
    );
    let made = world.market.provider.machines();
    assert_eq!(
        made.iter()
            .map(|machine| machine.is_alive)
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(made[1].tag.attempt, 2);
    promises::check(&world, &buyer).await;
}

#[tokio::test]
async fn an_order_is_shown_to_its_owner_and_to_whoever_shows_its_payment() {
    let world = World::open().await;
    let (buyer, stranger) = (Buyer::new(1), Buyer::new(2));
    let payment = world.payment(&buyer).await;
    let bought = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    let id = world.instance_of(bought).await.id;
    let engine = &world.market.engine;
    let by_payment = engine
        .order(&Caller::Anonymous, Some(&payment.clone().into()), id)
        .await
        .unwrap();
    assert_eq!(by_payment.operations[0].operation.id, bought);
    let path = format!("/compute/orders/{id}");
    let owner = buyer.sign_in(engine, "GET", &path).await.unwrap();
    let by_owner = engine.order(&owner, None, id).await.unwrap();
    assert_eq!(
        by_owner.operations[0].history,
        by_payment.operations[0].history
    );
    let other = stranger.sign_in(engine, "GET", &path).await.unwrap();
    assert!(matches!(
        engine.order(&other, None, id).await,
        Err(Error::NotFound)
    ));
    let nothing = engine.order(&Caller::Anonymous, None, id).await;
    assert!(matches!(nothing, Err(Error::Unauthenticated(_))));
    let forged = world.payment(&buyer).await;
    assert!(matches!(
        engine
            .order(&Caller::Anonymous, Some(&forged.into()), id)
            .await,
        Err(Error::NotFound)
    ));
}

/// Dies as soon as the machine is made, comes back after hours: the machine runs, and is delivered.
#[tokio::test]
async fn a_machine_that_runs_after_a_long_outage_is_delivered() {
    for crash_at in 4..40 {
        let mut world = World::open().await;
        let buyer = Buyer::new(1);
        let payment = world.payment(&buyer).await;
        world.market.crash.at_transaction(crash_at);
        // The process dies on the way, whatever it answers.
        let _ = world.market.buy(&Market::request(), &payment).await;
        let instance = world.instances_of(&buyer).await.pop();
        let is_placed = instance.is_some_and(|instance| instance.placement().is_some());
        if !is_placed {
            continue;
        }
        world.market.clock.advance(Span::from_hours(5));
        world.market.restart().await;
        world.market.quiesce().await;
        let instance = world.instances_of(&buyer).await.remove(0);
        assert!(
            matches!(instance.state, InstanceState::Active(_)),
            "{:?}",
            instance.state
        );
        assert_eq!(world.market.provider.machines().len(), 1);
        promises::check(&world, &buyer).await;
        return;
    }
    panic!("the machine was never made");
}

#[tokio::test]
async fn the_buyer_of_a_declined_order_learns_that_nothing_was_charged() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.rail.misbehave([SettleFault::Declines]);
    let payment = world.payment(&buyer).await;
    let bought = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    let id = world.instance_of(bought).await.id;
    let engine = &world.market.engine;
    let view = engine
        .order(&Caller::Anonymous, Some(&payment.clone().into()), id)
        .await
        .unwrap();
    let view = view.provision().unwrap();
    let code = FailureCode::PaymentDeclined;
    assert_eq!(view.operation.state, OperationState::Failed { code });
    assert!(view.payment.as_ref().unwrap().evidence().is_none());
}

/// The provider says for how long it does not want to be asked: it is not, and then the order goes on.
#[tokio::test]
async fn a_provider_that_asks_for_a_pause_gets_it() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let payment = world.payment(&buyer).await;
    market.provider.misbehave([CreateFault::ThrottlesFor(30)]);
    injected("F106");
    let begun = now(market);
    market.buy(&Market::request(), &payment).await.unwrap();
    let orders = || market.provider.orders().len();
    assert_eq!(orders(), 1);
    while now(market).since(begun) < Span::from_secs(29) {
        market.engine.drive_due().await.unwrap();
        assert_eq!(orders(), 1, "asked again too early");
        market.clock.advance(Span::from_secs(1));
    }
    market.quiesce().await;
    assert_eq!(orders(), 2);
    let instances = world.instances_of(&buyer).await;
    assert!(matches!(instances[0].state, InstanceState::Active(_)));
    world.audit().await;
}
