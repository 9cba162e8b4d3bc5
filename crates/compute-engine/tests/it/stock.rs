//! What is left is asked for before a price is named and before a payment is taken, and nobody
//! depends on the answer.

use compute_domain::catalog::{PlanId, RegionId};
use compute_domain::instance::{FailureCode, InstanceState};
use compute_domain::operation::OperationState;
use compute_domain::time::Span;
use compute_engine::{Caller, Error, ProvisionRequest, Submitted};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, paid_with, price_in, unpaid, with_credits};
use compute_testkit::model_store::ModelStore;
use compute_testkit::scripted_provider::CreateFault;
use futures::future::join_all;

use crate::promises;
use crate::world::World;

/// How long a request waits for the answer.
const WAIT: Span = Span::from_millis(1_500);

/// The plan of the ordinary request.
const PLAN: &str = "vc2-1c-1gb";

async fn world() -> World {
    World::in_memory(ModelStore::new()).await
}

async fn ask(market: &Market) -> Result<Submitted, Error> {
    ask_for(market, &Market::request()).await
}

async fn ask_for(market: &Market, request: &ProvisionRequest) -> Result<Submitted, Error> {
    let caller = Caller::Anonymous;
    market.engine.provision(&caller, request, unpaid()).await
}

fn elsewhere() -> ProvisionRequest {
    ProvisionRequest {
        region: RegionId::parse("lax").unwrap(),
        ..Market::request()
    }
}

fn assert_sold_out(outcome: Result<Submitted, Error>, left: &[&str]) {
    match outcome {
        Err(Error::PlanNotInRegion { locations }) => {
            let locations: Vec<&str> = locations.iter().map(RegionId::as_str).collect();
            assert_eq!(locations, left);
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Where the plan of the ordinary request is on the shelf.
fn shown(market: &Market) -> Vec<String> {
    let shelf = market.engine.shelf().unwrap();
    let plan = shelf.find_plan(&PlanId::parse(PLAN).unwrap()).unwrap();
    plan.plan
        .locations
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[tokio::test]
async fn what_is_sold_out_gets_no_price_and_leaves_the_shelf_until_it_is_back() {
    let world = world().await;
    let market = &world.market;
    let stock = market.provider.stock_script();
    market.clock.advance(Span::from_secs(1));
    stock.leave(&["vc2-2c-4gb"]);
    injected("F104");
    let revision = market.engine.shelf().unwrap().revision;
    assert_sold_out(ask(market).await, &["lax"]);
    assert_eq!(shown(market), ["lax"]);
    assert!(market.engine.shelf().unwrap().revision > revision);
    // The other region is asked for when somebody wants it, and then the plan is nowhere.
    assert_sold_out(ask_for(market, &elsewhere()).await, &[]);
    assert_eq!(shown(market), [""; 0]);
    stock.leave(&[PLAN]);
    // The answer counts for less than a minute.
    market.clock.advance(Span::from_secs(44));
    assert_sold_out(ask(market).await, &[]);
    market.clock.advance(Span::from_secs(1));
    price_in(ask(market).await);
    assert_eq!(shown(market), ["ewr"]);
}

#[tokio::test]
async fn a_newer_catalogue_counts_for_more_than_an_old_answer() {
    let world = world().await;
    let market = &world.market;
    market.clock.advance(Span::from_secs(1));
    market.provider.stock_script().leave(&[]);
    assert_sold_out(ask(market).await, &["lax"]);
    market.clock.advance(Span::from_secs(700));
    let revision = market.engine.shelf().unwrap().revision;
    market.engine.refresh_catalog().await;
    assert_eq!(shown(market), ["ewr", "lax"]);
    assert!(market.engine.shelf().unwrap().revision > revision);
}

#[tokio::test]
async fn many_who_want_to_know_at_once_ask_once() {
    let world = world().await;
    let market = &world.market;
    let stock = market.provider.stock_script();
    stock.leave(&[PLAN]);
    let before = stock.calls();
    let answers = join_all((0..64).map(|_| ask(market))).await;
    for answer in answers {
        price_in(answer);
    }
    assert_eq!(stock.calls() - before, 1);
    for _ in 0..3 {
        price_in(ask(market).await);
    }
    assert_eq!(stock.calls() - before, 1);
    market.clock.advance(Span::from_secs(45));
    price_in(ask(market).await);
    assert_eq!(stock.calls() - before, 2);
    // Names that no catalogue knows ask nobody.
    let nowhere = ProvisionRequest {
        region: RegionId::parse("syd").unwrap(),
        ..Market::request()
    };
    assert!(ask_for(market, &nowhere).await.is_err());
    assert_eq!(stock.calls() - before, 2);
}

#[tokio::test]
async fn a_provider_that_does_not_say_changes_nothing_and_keeps_nobody_waiting() {
    let world = world().await;
    let market = &world.market;
    let stock = market.provider.stock_script();
    stock.fail();
    price_in(ask(market).await);
    price_in(ask(market).await);
    assert_eq!(stock.calls(), 1, "a failure is not tried again at once");
    market.clock.advance(Span::from_secs(46));
    stock.fall_silent();
    market.clock.lose_patience();
    let begin = now(market);
    price_in(ask(market).await);
    assert_eq!(now(market).since(begin), WAIT);
    price_in(ask(market).await);
    price_in(ask(market).await);
    assert_eq!(now(market).since(begin), WAIT, "one wait for all");
    assert_eq!(stock.calls(), 2);
    // A question that was never answered is asked again some time.
    market.clock.advance(Span::from_secs(60));
    stock.leave(&[]);
    assert_sold_out(ask(market).await, &["lax"]);
}

#[tokio::test]
async fn nobody_pays_for_what_is_gone_since_the_price_was_named() {
    let world = world().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let stock = market.provider.stock_script();
    stock.leave(&[PLAN]);
    let payment = world.payment(&buyer).await;
    // So short a time after it no second price would be asked for.
    market.clock.advance(Span::from_secs(5));
    stock.leave(&[]);
    injected("F104");
    let refused = market.buy(&Market::request(), &payment).await;
    assert!(
        matches!(refused, Err(Error::PlanNotInRegion { .. })),
        "{refused:?}"
    );
    assert_eq!(market.rail.settle_calls(), 0);
    assert!(market.provider.orders().is_empty());
    assert!(world.instances_of(&buyer).await.is_empty());
    // The same payment buys it when it is back.
    market.clock.advance(Span::from_secs(45));
    stock.leave(&[PLAN]);
    market.buy(&Market::request(), &payment).await.unwrap();
    assert_eq!(market.provider.alive().len(), 1);
    promises::check(&world, &buyer).await;
}

#[tokio::test]
async fn a_paid_order_is_tried_whatever_the_lists_say() {
    let world = world().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let stock = market.provider.stock_script();
    stock.leave(&[PLAN]);
    let payment = world.payment(&buyer).await;
    let caller = Caller::Anonymous;
    let submitted = market
        .engine
        .provision(&caller, &Market::request(), paid_with(&payment))
        .await
        .unwrap();
    market.clock.advance(Span::from_secs(60));
    stock.leave(&[]);
    assert_sold_out(ask(market).await, &["lax"]);
    let bought = submitted.operation();
    market.engine.work(submitted).await;
    assert!(matches!(
        world.instance_of(bought).await.state,
        InstanceState::Active(_)
    ));
    promises::check(&world, &buyer).await;
}

#[tokio::test]
async fn a_refused_create_gives_the_money_back_and_hides_the_plan_for_ten_minutes() {
    let world = world().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    market.provider.stock_script().leave(&[PLAN]);
    market.provider.misbehave([CreateFault::SoldOut]);
    injected("F104");
    let payment = world.payment(&buyer).await;
    let bought = market.buy(&Market::request(), &payment).await.unwrap();
    market.engine.drive_due().await.unwrap();
    let code = FailureCode::NoCapacity;
    let operation = world.operation(bought).await;
    assert_eq!(operation.state, OperationState::Failed { code });
    assert_eq!(shown(market), ["lax"]);
    let caller = buyer
        .sign_in(&market.engine, "POST", "/compute/provision")
        .await
        .unwrap();
    let with_credits = market
        .engine
        .provision(&caller, &Market::request(), with_credits())
        .await;
    assert_sold_out(with_credits, &["lax"]);
    price_in(ask_for(market, &elsewhere()).await);
    let since = now(market);
    while now(market).since(since) < Span::from_secs(590) {
        // Lists that say otherwise change nothing: the create is the truth.
        assert_sold_out(ask(market).await, &["lax"]);
        market.clock.advance(Span::from_secs(50));
    }
    market.clock.advance(Span::from_secs(20));
    assert_eq!(shown(market), ["ewr", "lax"]);
    price_in(ask(market).await);
    promises::check(&world, &buyer).await;
}
