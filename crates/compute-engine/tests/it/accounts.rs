//! Our accounts at the providers: what stops the sale of new machines, and what is never concluded.

use std::sync::Arc;

use compute_domain::instance::InstanceState;
use compute_domain::money::Usd;
use compute_domain::time::Span;
use compute_engine::ports::{AccountState, ProviderAccount, TxMode};
use compute_engine::{Caller, Engine, Error};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, unpaid};

use crate::lines::Lines;
use crate::world::World;

fn account(id: &str, state: AccountState) -> ProviderAccount {
    ProviderAccount {
        id: Some(id.to_owned()),
        state,
        funds: None,
        machine_limit: None,
    }
}

/// Whether a replica names a price for a new machine.
async fn sells(engine: &Engine) -> bool {
    let request = Market::request();
    let answer = engine.provision(&Caller::Anonymous, &request, unpaid());
    match answer.await {
        Err(Error::PaymentRequired { .. }) => true,
        Err(Error::CatalogUnavailable) => false,
        other => panic!("{other:?}"),
    }
}

fn on_shelf(engine: &Engine) -> usize {
    engine.shelf().unwrap().plans.len()
}

/// Lets the workers that end machines do so for a while.
async fn work_for(world: &World, minutes: u32) {
    for _ in 0..minutes {
        world.market.clock.advance(Span::from_secs(60));
        let engine = &world.market.engine;
        engine.watch_machines().await.unwrap();
        engine.sweep_orphans().await.unwrap();
        engine.expire_due().await.unwrap();
        engine.drive_due().await.unwrap();
    }
}

async fn is_active(world: &World, buyer: &Buyer) -> bool {
    let instances = world.instances_of(buyer).await;
    matches!(&instances[..], [one] if matches!(one.state, InstanceState::Active(_)))
}

#[tokio::test]
async fn refused_credentials_stop_the_sale_everywhere_and_end_nothing() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let instance = world.sold(&buyer).await;
    let replica: Arc<Engine> = market.another_replica(&market.store).await;
    assert!(sells(&market.engine).await && sells(&replica).await);
    market.provider.refuse_credentials(true);
    injected("F105");
    // A look at the machine is enough to know.
    market.clock.advance(Span::from_secs(301));
    market.engine.watch_machines().await.unwrap();
    assert!(!sells(&market.engine).await);
    market.engine.tend_accounts().await.unwrap();
    assert!(sells(&replica).await, "it has not heard of it");
    replica.tend_accounts().await.unwrap();
    for engine in [&market.engine, &replica] {
        assert!(!sells(engine).await);
        assert_eq!(on_shelf(engine), 0);
        let readiness = engine.readiness().await;
        assert!(!readiness.ready);
        let reasons = readiness.reasons.join("; ");
        assert!(reasons.contains("vultr sells no new machines"), "{reasons}");
        assert!(reasons.contains("refuses our credentials"), "{reasons}");
    }
    work_for(&world, 120).await;
    assert!(is_active(&world, &buyer).await);
    assert_eq!(market.provider.alive().len(), 1);
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
    // More time is sold all the same, at today's price.
    let price = market
        .offer_time(instance.id, &Market::one_more_day())
        .await;
    assert_eq!(price.price, crate::purse::usd("0.168"));
    let payment = world.time_payment(&buyer, instance.id).await;
    let extended = world.extend_with_payment(instance.id, &payment).await;
    world.finish(extended).await;
    let after = world.instance(instance.id).await;
    assert_eq!(
        after.expires_at(),
        instance.expires_at().plus(Span::from_hours(24))
    );
    world.audit().await;
}

#[tokio::test]
async fn the_sale_begins_again_when_the_catalogue_can_be_read() {
    let world = World::open().await;
    let market = &world.market;
    let replica = market.another_replica(&market.store).await;
    market.provider.refuse_credentials(true);
    injected("F105");
    market.clock.advance(Span::from_secs(601));
    market.engine.refresh_catalog().await;
    replica.tend_accounts().await.unwrap();
    assert!(!sells(&market.engine).await && !sells(&replica).await);
    market.engine.refresh_catalog().await;
    assert!(!sells(&market.engine).await, "it still refuses");
    market.provider.refuse_credentials(false);
    market.engine.tend_accounts().await.unwrap();
    assert!(!sells(&market.engine).await, "nobody has asked");
    // At once, though the stored catalogue is not old.
    market.clock.advance(Span::from_secs(61));
    market.engine.refresh_catalog().await;
    assert!(sells(&market.engine).await);
    assert_eq!(on_shelf(&market.engine), 1);
    replica.tend_accounts().await.unwrap();
    assert!(sells(&replica).await);
    assert!(market.engine.readiness().await.ready);
}

/// A process that was told of it by the last one sells nothing before it has read the catalogue itself.
#[tokio::test]
async fn refused_credentials_outlive_the_process() {
    let mut world = World::open().await;
    world.market.provider.refuse_credentials(true);
    injected("F105");
    world.market.clock.advance(Span::from_secs(601));
    world.market.engine.refresh_catalog().await;
    world.market.restart().await;
    assert!(!sells(&world.market.engine).await);
    world.market.provider.refuse_credentials(false);
    world.market.clock.advance(Span::from_secs(61));
    world.market.restart().await;
    assert!(sells(&world.market.engine).await);
}

/// A purchase that was paid for when the credentials ended is given back, and is the last one.
#[tokio::test]
async fn a_purchase_that_meets_refused_credentials_is_credited_and_the_last() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let payment = world.payment(&buyer).await;
    market.provider.refuse_credentials(true);
    injected("F105");
    market.buy(&Market::request(), &payment).await.unwrap();
    assert!(!sells(&market.engine).await);
    market.quiesce().await;
    assert_eq!(world.balance(&buyer).await, crate::purse::usd("0.168"));
    assert!(market.provider.machines().is_empty());
    world.audit().await;
}

#[tokio::test]
async fn a_locked_account_sells_nothing_and_a_warned_one_does() {
    let world = World::open().await;
    let market = &world.market;
    for (state, sold) in [
        (AccountState::Open, true),
        (AccountState::Warned, true),
        (AccountState::Locked, false),
        (AccountState::Open, true),
    ] {
        market.provider.set_account(account("a", state));
        market.engine.watch_accounts().await.unwrap();
        assert_eq!(sells(&market.engine).await, sold, "{state:?}");
    }
    let [(record, live)] = &market.engine.accounts().await.unwrap()[..] else {
        panic!("one account")
    };
    assert_eq!(record.account.as_deref(), Some("a"));
    assert_eq!(*live, 0);
    assert_eq!(record.told.unwrap().state, AccountState::Open);
}

#[tokio::test]
async fn an_account_at_its_limit_sells_more_time_and_no_new_machines() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    market.provider.set_account(ProviderAccount {
        machine_limit: Some(2),
        ..account("a", AccountState::Open)
    });
    market.engine.watch_accounts().await.unwrap();
    let first = world.sold(&buyer).await;
    market.engine.tend_accounts().await.unwrap();
    assert!(sells(&market.engine).await);
    world.sold(&buyer).await;
    market.engine.tend_accounts().await.unwrap();
    assert!(!sells(&market.engine).await);
    market.offer_time(first.id, &Market::one_more_day()).await;
    let caller = world.caller(&buyer).await;
    let destroyed = market.engine.destroy(&caller, first.id).await;
    world.finish(destroyed).await;
    market.quiesce().await;
    market.engine.tend_accounts().await.unwrap();
    assert!(sells(&market.engine).await);
}

/// The key of another account knows none of our machines: every look says that it is gone, and every
/// delete that it is done.
#[tokio::test]
async fn nothing_is_concluded_in_another_account() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    let (first, second) = (Buyer::new(2), Buyer::new(3));
    world
        .market
        .provider
        .set_account(account("ours", AccountState::Open));
    world.market.engine.watch_accounts().await.unwrap();
    world.sold(&buyer).await;
    world.sold(&first).await;
    let to_end = world.sold(&second).await;
    // A process with another key, which sees an empty account.
    world.market.provider.lose_all();
    world
        .market
        .provider
        .set_account(account("theirs", AccountState::Open));
    injected("F111");
    world.market.restart().await;
    let caller = world.caller(&second).await;
    let ending = world.market.engine.destroy(&caller, to_end.id).await;
    world.finish(ending).await;
    work_for(&world, 600).await;
    assert!(is_active(&world, &buyer).await && is_active(&world, &first).await);
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
    assert!(world.market.engine.missing().await.unwrap().is_empty());
    let ended = world.instance(to_end.id).await;
    assert!(
        matches!(ended.state, InstanceState::Destroying { .. }),
        "{:?}",
        ended.state
    );
    assert!(!sells(&world.market.engine).await);
    let reasons = world.market.engine.readiness().await.reasons.join("; ");
    assert!(reasons.contains("another account"), "{reasons}");
    // An operator says that this is where our machines are: now they are gone.
    let engine = &world.market.engine;
    let vultr = ended.provider;
    let wrong = engine.accept_account(vultr, "ours").await;
    assert!(matches!(wrong, Err(Error::NotFound)), "{wrong:?}");
    engine.accept_account(vultr, "theirs").await.unwrap();
    engine.tend_accounts().await.unwrap();
    assert!(sells(engine).await);
    work_for(&world, 600).await;
    // Two of two machines that are missing: that is for an operator to decide.
    assert_eq!(engine.missing().await.unwrap().len(), 2);
    let ended = world.instance(to_end.id).await;
    assert!(matches!(ended.state, InstanceState::Destroyed { .. }));
    world.audit().await;
}

/// The same account, but the process cannot find out: nothing is concluded before it can.
#[tokio::test]
async fn nothing_is_concluded_before_the_account_is_known() {
    let mut world = World::open().await;
    let buyer = Buyer::new(1);
    let ours = account("ours", AccountState::Open);
    world.market.provider.set_account(ours);
    world.market.engine.watch_accounts().await.unwrap();
    world.sold(&buyer).await;
    world.market.provider.lose_all();
    world.market.restart().await;
    world.market.provider.hide_account(true);
    work_for(&world, 60).await;
    assert!(is_active(&world, &buyer).await);
    assert!(world.market.engine.missing().await.unwrap().is_empty());
    world.market.provider.hide_account(false);
    work_for(&world, 60).await;
    assert!(!is_active(&world, &buyer).await);
    world.audit().await;
}

/// A delete that is answered as if the machine were gone, and a look that says so too: the list knows
/// better.
#[tokio::test]
async fn a_machine_that_the_list_shows_is_not_gone() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let instance = world.sold(&buyer).await;
    market.provider.ignore_deletes(3);
    market.provider.miss_looks(10);
    injected("F111");
    let caller = world.caller(&buyer).await;
    let ending = market.engine.destroy(&caller, instance.id).await;
    world.finish(ending).await;
    let mut rounds = 0;
    while !market.provider.alive().is_empty() {
        let state = world.instance(instance.id).await.state;
        assert!(
            matches!(state, InstanceState::Destroying { .. }),
            "{state:?}"
        );
        market.clock.advance(Span::from_secs(60));
        market.engine.drive_due().await.unwrap();
        rounds += 1;
        assert!(rounds < 100, "it is never deleted");
    }
    market.quiesce().await;
    let state = world.instance(instance.id).await.state;
    assert!(matches!(state, InstanceState::Destroyed { .. }));
    world.audit().await;
}

/// Two replicas see the same account for the first time.
#[tokio::test]
async fn the_account_is_recorded_at_the_first_sight() {
    let world = World::open().await;
    let market = &world.market;
    market
        .provider
        .set_account(account("a", AccountState::Open));
    let replica = market.another_replica(&market.store).await;
    market.engine.watch_accounts().await.unwrap();
    replica.watch_accounts().await.unwrap();
    let mut tx = market.store.begin(TxMode::Read).await.unwrap();
    let [record] = &tx.list_accounts().await.unwrap()[..] else {
        panic!("one account")
    };
    assert_eq!(record.account.as_deref(), Some("a"));
    assert_eq!(record.other, None);
}

#[tokio::test]
async fn an_operator_hears_of_what_an_account_deserves() {
    let world = World::open().await;
    let market = &world.market;
    let vultr = compute_domain::catalog::ProviderId::Vultr;
    let least = crate::purse::usd("20");
    let engine = market
        .another_replica_with(|config| {
            config.sales.alarm_below.insert(vultr, least);
        })
        .await;
    let lines = Lines::default();
    let listening = lines.listen();
    let well = ProviderAccount {
        funds: Some(least),
        machine_limit: Some(10),
        ..account("a", AccountState::Open)
    };
    let poor = crate::purse::usd("19.99");
    for (told, words) in [
        (well.clone(), None),
        (
            ProviderAccount {
                funds: Some(poor),
                ..well.clone()
            },
            Some("funds are running out"),
        ),
        (
            ProviderAccount {
                state: AccountState::Warned,
                ..well.clone()
            },
            Some("warning for the account"),
        ),
        (
            ProviderAccount {
                state: AccountState::Locked,
                ..well.clone()
            },
            Some("has locked the account"),
        ),
        (
            ProviderAccount {
                machine_limit: Some(0),
                ..well.clone()
            },
            Some("as many machines as it may have"),
        ),
        (
            ProviderAccount {
                id: Some("b".to_owned()),
                ..well.clone()
            },
            Some("belong to another account"),
        ),
        (well, None),
    ] {
        market.provider.set_account(told.clone());
        engine.watch_accounts().await.unwrap();
        match words {
            Some(words) => assert!(lines.alarms(words) > 0, "{told:?}"),
            None => assert_eq!(lines.alarms(""), 0, "{told:?}"),
        }
    }
    market.provider.refuse_credentials(true);
    injected("F105");
    engine.watch_accounts().await.unwrap();
    assert!(lines.alarms("refuses our credentials") > 0);
    drop(listening);
}

#[tokio::test]
async fn a_provider_that_is_switched_off_sells_more_time_only() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let instance = world.sold(&buyer).await;
    let vultr = instance.provider;
    let engine = market
        .another_replica_with(|config| {
            config.sales.switched_off.insert(vultr);
        })
        .await;
    assert!(!sells(&engine).await);
    assert_eq!(on_shelf(&engine), 0);
    let reasons = engine.readiness().await.reasons.join("; ");
    assert!(reasons.contains("switched off"), "{reasons}");
    let day = Market::one_more_day();
    let price = engine.extend(&Caller::Anonymous, instance.id, &day, unpaid());
    let price = compute_testkit::market::price_in(price.await);
    assert_eq!(price.price, crate::purse::usd("0.168"));
    // Its machines are looked after.
    market.clock.advance(Span::from_hours(26));
    assert_eq!(engine.expire_due().await.unwrap(), 1);
    while engine.drive_due().await.unwrap() > 0 || !market.provider.alive().is_empty() {
        market.clock.advance(Span::from_secs(60));
    }
    assert!(market.provider.alive().is_empty());
}
