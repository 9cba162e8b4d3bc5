//! Credits: bought once, spent once, and given back when nothing was delivered.

use std::sync::Arc;

use compute_domain::instance::{FailureCode, InstanceState};
use compute_domain::money::Usd;
use compute_domain::operation::OperationState;
use compute_domain::owner::{Scope, Scopes};
use compute_domain::time::Span;
use compute_engine::{ApiKeyTerms, AuthFailure, Caller, Error, Presented};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, paid_with, with_credits};
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;
use secrecy::ExposeSecret;

use crate::purse::usd;
use crate::world::World;

#[tokio::test]
async fn a_payment_becomes_credit_once() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.topup_payment(&buyer, "50").await;
    let request = Market::credits("50");
    for round in 0..3 {
        let caller = world.caller(&buyer).await;
        let submitted = world
            .market
            .engine
            .top_up(&caller, &request, paid_with(&payment))
            .await
            .unwrap();
        assert_eq!(submitted.is_replay(), round > 0);
        let operation = world.finish(Ok(submitted)).await;
        let view = world.market.engine.inspect(operation).await.unwrap();
        assert_eq!(view.deposited(), Some(usd("50")));
        assert_eq!(view.balance, Some(usd("50")));
    }
    let account = world.account(&buyer).await;
    assert_eq!(
        (account.balance, account.deposited, account.spent),
        (usd("50"), usd("50"), Usd::ZERO)
    );
    assert_eq!(world.market.rail.settled().len(), 1);
    world.audit().await;
}

#[tokio::test]
async fn the_same_payment_tops_up_no_other_amount_and_buys_no_machine() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = world.topup_payment(&buyer, "50").await;
    let caller = world.caller(&buyer).await;
    let engine = &world.market.engine;
    let paid = engine
        .top_up(&caller, &Market::credits("50"), paid_with(&payment))
        .await;
    world.finish(paid).await;
    let caller = world.caller(&buyer).await;
    let more = engine
        .top_up(&caller, &Market::credits("60"), paid_with(&payment))
        .await;
    assert!(matches!(more, Err(Error::PaymentAlreadyUsed)), "{more:?}");
    let machine = engine
        .provision(&Caller::Anonymous, &Market::request(), paid_with(&payment))
        .await;
    assert!(
        matches!(machine, Err(Error::PaymentAlreadyUsed)),
        "{machine:?}"
    );
}

#[tokio::test]
async fn an_amount_has_bounds() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    for amount in ["0", "0.999999", "100000.000001"] {
        let caller = world.caller(&buyer).await;
        let refused = world
            .market
            .engine
            .top_up(
                &caller,
                &Market::credits(amount),
                compute_testkit::market::unpaid(),
            )
            .await;
        assert!(
            matches!(
                refused,
                Err(Error::Invalid {
                    field: "amount",
                    ..
                })
            ),
            "{amount}"
        );
    }
    let anonymous = world
        .market
        .engine
        .top_up(
            &Caller::Anonymous,
            &Market::credits("5"),
            compute_testkit::market::unpaid(),
        )
        .await;
    assert!(matches!(
        anonymous,
        Err(Error::Unauthenticated(AuthFailure::Required))
    ));
}

#[tokio::test]
async fn a_lost_answer_is_credited_when_it_is_found_out() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.rail.misbehave([SettleFault::LandsUnseen]);
    world.top_up(&buyer, "20").await;
    world.market.quiesce().await;
    assert_eq!(world.balance(&buyer).await, usd("20"));
    world.audit().await;
}

#[tokio::test]
async fn a_declined_payment_is_no_credit() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.rail.misbehave([SettleFault::Declines]);
    let operation = world.top_up(&buyer, "20").await;
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
    let code = FailureCode::PaymentDeclined;
    assert_eq!(
        world.operation(operation).await.state,
        OperationState::Failed { code }
    );
    world.audit().await;
}

#[tokio::test]
async fn credits_buy_a_machine_without_a_payment() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let bought = world.buy_with_credits(&buyer).await;
    let operation = world.finish(bought).await;
    let instance = world.instance_of(operation).await;
    assert!(matches!(instance.state, InstanceState::Active(_)));
    let account = world.account(&buyer).await;
    assert_eq!(
        (account.balance, account.spent),
        (usd("0.832"), usd("0.168"))
    );
    world.audit().await;
}

#[tokio::test]
async fn too_few_credits_buy_nothing_and_spend_the_nonce() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let engine = &world.market.engine;
    let caller = world.caller(&buyer).await;
    for expected_nonce_failure in [false, true] {
        let refused = engine
            .provision(&caller, &Market::request(), with_credits())
            .await;
        match refused {
            Err(Error::InsufficientCredits { required, balance }) if !expected_nonce_failure => {
                assert_eq!((required, balance), (usd("0.168"), Usd::ZERO));
            }
            // An owner that is not known yet has no nonces either way.
            Err(Error::Unauthenticated(AuthFailure::NonceUsed)) if expected_nonce_failure => {}
            other => panic!("{other:?}"),
        }
    }
    let anonymous = engine
        .provision(&Caller::Anonymous, &Market::request(), with_credits())
        .await;
    assert!(matches!(
        anonymous,
        Err(Error::Unauthenticated(AuthFailure::Required))
    ));
    assert!(world.instances_of(&buyer).await.is_empty());
    world.audit().await;
}

#[tokio::test]
async fn what_is_not_delivered_is_credit_again_before_anybody_is_told() {
    for fault in [
        CreateFault::Rejects,
        CreateFault::SoldOut,
        CreateFault::Unauthorized,
    ] {
        let world = World::open().await;
        let buyer = Buyer::new(1);
        world.top_up(&buyer, "1").await;
        world.market.provider.misbehave([fault.clone()]);
        let bought = world.buy_with_credits(&buyer).await;
        let operation = world.finish(bought).await;
        let view = world.market.engine.inspect(operation).await.unwrap();
        assert!(
            matches!(view.operation.state, OperationState::Failed { .. }),
            "{fault:?}"
        );
        assert_eq!(view.credited(), Some(usd("0.168")), "{fault:?}");
        let account = world.account(&buyer).await;
        assert_eq!(
            (account.balance, account.deposited, account.spent),
            (usd("1"), usd("1"), Usd::ZERO),
            "{fault:?}"
        );
        world.audit().await;
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "64 clients at once are 64 tasks")]
async fn the_same_credit_is_spent_once_from_sixty_four_connections() {
    let world = Arc::new(World::open().await);
    let buyer = Arc::new(Buyer::new(1));
    // Enough for five machines, and a little more.
    world.top_up(&buyer, "1").await;
    let clients = (0..64).map(|_| {
        let (world, buyer) = (Arc::clone(&world), Arc::clone(&buyer));
        tokio::spawn(async move {
            match world.buy_with_credits(&buyer).await {
                Ok(submitted) => {
                    world.market.engine.work(submitted).await;
                    true
                }
                Err(Error::InsufficientCredits { .. }) => false,
                Err(other) => panic!("{other:?}"),
            }
        })
    });
    let bought = futures::future::join_all(clients).await;
    injected("F150");
    let count = bought
        .into_iter()
        .filter(|one| *one.as_ref().unwrap())
        .count();
    assert_eq!(count, 5, "1 USD buys five machines for 0.168 USD");
    assert_eq!(world.balance(&buyer).await, usd("0.16"));
    world.market.quiesce().await;
    assert_eq!(world.market.provider.alive().len(), 5);
    world.audit().await;
}

/// A caller by a new API key.
async fn key_of(world: &World, buyer: &Buyer, terms: ApiKeyTerms) -> Caller {
    let engine = &world.market.engine;
    let signer = world.caller(buyer).await;
    let created = engine.create_api_key(&signer, terms).await.unwrap();
    let presented = Presented::ApiKey(created.text.expose_secret());
    engine.authenticate(presented).await.unwrap()
}

#[tokio::test]
async fn a_key_spends_up_to_its_budget_and_gets_it_back_for_what_was_not_delivered() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "10").await;
    let terms = ApiKeyTerms {
        budget: Some(usd("0.4")),
        ..ApiKeyTerms::default()
    };
    let caller = key_of(&world, &buyer, terms).await;
    let engine = &world.market.engine;
    let buy = async || {
        let bought = engine
            .provision(&caller, &Market::request(), with_credits())
            .await?;
        engine.work(bought).await;
        Ok::<(), Error>(())
    };
    world.market.provider.misbehave([CreateFault::SoldOut]);
    buy().await.unwrap();
    // Until then the plan is not offered again.
    world.market.clock.advance(Span::from_secs(601));
    buy().await.unwrap();
    buy().await.unwrap();
    let refused = buy().await;
    match refused {
        Err(Error::BudgetExceeded { required, left }) => {
            assert_eq!((required, left), (usd("0.168"), usd("0.064")));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.market.provider.alive().len(), 2);
    assert_eq!(world.balance(&buyer).await, usd("9.664"));
    world.audit().await;
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_no_longer_than_it_lives() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "10").await;
    let id = world.sold(&buyer).await.id;
    let terms = ApiKeyTerms {
        scopes: Scopes::of(&[Scope::Read]).unwrap(),
        expires_at: Some(now(&world.market).plus(Span::from_hours(1))),
        ..ApiKeyTerms::default()
    };
    let engine = &world.market.engine;
    let signer = world.caller(&buyer).await;
    let created = engine.create_api_key(&signer, terms).await.unwrap();
    let text = created.text.expose_secret().to_owned();
    let reader = engine.authenticate(Presented::ApiKey(&text)).await.unwrap();
    assert!(engine.balance(&reader).await.is_ok());
    let spend = engine
        .provision(&reader, &Market::request(), with_credits())
        .await
        .map(|_| ());
    let manage = engine.destroy(&reader, id).await.map(|_| ());
    let needs = [(spend, Scope::Spend), (manage, Scope::Manage)];
    for (refused, scope) in needs {
        match refused {
            Err(Error::ScopeMissing { needed }) => assert_eq!(needed, scope),
            other => panic!("{other:?}"),
        }
    }
    world.market.clock.advance(Span::from_hours(1));
    let late = engine.authenticate(Presented::ApiKey(&text)).await;
    assert!(matches!(
        late,
        Err(Error::Unauthenticated(AuthFailure::ApiKeyExpired))
    ));
}

#[tokio::test]
async fn a_request_says_what_it_may_cost_at_most() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let engine = &world.market.engine;
    for (mut terms, spends) in [
        (compute_testkit::market::unpaid(), false),
        (with_credits(), true),
    ] {
        terms.max_total = Some(usd("0.167999"));
        let caller = world.caller(&buyer).await;
        let refused = engine.provision(&caller, &Market::request(), terms).await;
        assert!(
            matches!(refused, Err(Error::PriceAboveMaximum { .. })),
            "{spends}: {refused:?}"
        );
    }
    let payment = world.payment(&buyer).await;
    let mut terms = paid_with(&payment);
    terms.max_total = Some(usd("0.168"));
    let bought = engine
        .provision(&Caller::Anonymous, &Market::request(), terms)
        .await;
    world.finish(bought).await;
    assert_eq!(world.balance(&buyer).await, usd("1"));
}

/// A refusal undoes all that the request wrote, but not that its signature was used.
#[tokio::test]
async fn a_refused_purchase_spends_its_nonce() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let id = world.sold(&buyer).await.id;
    let payment = world.time_payment(&buyer, id).await;
    let busy = world.extend_with_payment(id, &payment).await.unwrap();
    let caller = world.caller(&buyer).await;
    let engine = &world.market.engine;
    let day = Market::one_more_day();
    let refused = engine.extend(&caller, id, &day, with_credits()).await;
    assert!(
        matches!(refused, Err(Error::OperationInProgress { .. })),
        "{refused:?}"
    );
    world.finish(Ok(busy)).await;
    let replayed = engine.extend(&caller, id, &day, with_credits()).await;
    assert!(
        matches!(
            replayed,
            Err(Error::Unauthenticated(AuthFailure::NonceUsed))
        ),
        "{replayed:?}"
    );
    assert_eq!(world.balance(&buyer).await, usd("1"));
    world.audit().await;
}
