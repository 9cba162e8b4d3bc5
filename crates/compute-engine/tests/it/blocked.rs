//! Wallets that the operator sells nothing to.

use compute_domain::instance::InstanceState;
use compute_engine::{ApiKeyTerms, Caller, Error, Presented, Submitted};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, paid_with, with_credits};
use secrecy::ExposeSecret as _;

use crate::purse::{named, usd};
use crate::world::World;

#[track_caller]
fn expect_refused<T: core::fmt::Debug>(outcome: &Result<T, Error>) {
    injected("F082");
    assert!(matches!(outcome, Err(Error::PayerRefused)), "{outcome:?}");
}

/// What a payment or credits could have moved: settlements, machines, ledger rows, the balance.
async fn trace(world: &World, buyer: &Buyer) -> (u32, usize, String) {
    let (rail, provider) = (&world.market.rail, &world.market.provider);
    let account = format!("{:?}", world.account(buyer).await);
    (rail.settle_calls(), provider.machines().len(), account)
}

#[tokio::test]
async fn nothing_is_sold_for_the_payments_of_a_blocked_wallet() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    let machine = world.sold(&buyer).await;
    let payment = world.payment(&buyer).await;
    let topup = world.topup_payment(&buyer, "5").await;
    let time = world.time_payment(&buyer, machine.id).await;
    world.market.block(buyer.wallet()).await;
    let before = trace(&world, &buyer).await;
    let began = world.market.crash.transactions();

    expect_refused(&world.market.buy(&Market::request(), &payment).await);
    expect_refused(&world.extend_with_payment(machine.id, &time).await);
    let caller = world.caller(&buyer).await;
    let request = Market::credits("5");
    let engine = &world.market.engine;
    expect_refused(&engine.top_up(&caller, &request, paid_with(&topup)).await);
    // Each asked whether its payment was known, and the extension for its machine.
    assert!(world.market.crash.transactions() - began <= 4);

    assert_eq!(trace(&world, &buyer).await, before);
    // The signature was good for nothing, so it may be shown once more.
    engine.balance(&caller).await.unwrap();
    world.audit().await;
}

#[tokio::test]
async fn a_blocked_wallet_spends_no_credits_and_makes_no_keys() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "5").await;
    let machine = world.sold(&buyer).await;
    let caller = world.caller(&buyer).await;
    let engine = &world.market.engine;
    let api_key = engine.create_api_key(&caller, ApiKeyTerms::default()).await;
    let text = api_key.unwrap().text;
    world.market.block(buyer.wallet()).await;
    let before = trace(&world, &buyer).await;

    expect_refused(&world.buy_with_credits(&buyer).await);
    expect_refused(&world.extend_with_credits(&buyer, machine.id).await);
    let engine = &world.market.engine;
    let presented = Presented::ApiKey(text.expose_secret());
    let with_key = engine.authenticate(presented).await.unwrap();
    let request = Market::request();
    expect_refused(&engine.provision(&with_key, &request, with_credits()).await);
    let caller = world.caller(&buyer).await;
    expect_refused(&engine.create_api_key(&caller, ApiKeyTerms::default()).await);

    assert_eq!(trace(&world, &buyer).await, before);
    let caller = world.caller(&buyer).await;
    assert_eq!(engine.api_keys(&caller).await.unwrap().len(), 1);
    world.audit().await;
}

#[tokio::test]
async fn a_wallet_without_anything_is_not_told_to_top_up() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.block(buyer.wallet()).await;
    expect_refused(&world.buy_with_credits(&buyer).await);
}

#[tokio::test]
async fn what_a_blocked_wallet_has_stays_its_own() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "5").await;
    let payment = world.payment(&buyer).await;
    let bought = world.market.buy(&Market::request(), &payment).await;
    let machine = world.instance_of(bought.unwrap()).await;
    let caller = world.caller(&buyer).await;
    let (request, terms) = (Market::request(), named(with_credits(), "the-second"));
    let second = world
        .market
        .engine
        .provision(&caller, &request, terms)
        .await;
    let second = world.finish(second).await;
    world.market.block(buyer.wallet()).await;
    let engine = &world.market.engine;

    assert_eq!(world.balance(&buyer).await, usd("4.832"));
    let caller = world.caller(&buyer).await;
    engine.take_password(&caller, machine.id).await.unwrap();
    // What was bought is shown again, to the payment and to the name.
    let nobody = Caller::Anonymous;
    let again = engine.provision(&nobody, &request, paid_with(&payment));
    assert!(again.await.unwrap().is_replay());
    let caller = world.caller(&buyer).await;
    let terms = named(with_credits(), "the-second");
    let again = engine.provision(&caller, &request, terms).await;
    assert_eq!(again.as_ref().map(Submitted::operation).unwrap(), second);
    let caller = world.caller(&buyer).await;
    world
        .finish(engine.destroy(&caller, machine.id).await)
        .await;
    world.market.quiesce().await;
    let machine = world.instance(machine.id).await;
    assert!(matches!(machine.state, InstanceState::Destroyed { .. }));
    world.audit().await;
}

#[tokio::test]
async fn others_are_served_as_ever() {
    let mut world = World::open().await;
    world.market.block(Buyer::new(1).wallet()).await;
    let other = Buyer::new(2);
    world.top_up(&other, "5").await;
    world.sold(&other).await;
    assert_eq!(world.balance(&other).await, usd("5"));
}
