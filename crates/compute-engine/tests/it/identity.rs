//! Wallet signatures, nonces and API keys.

use compute_engine::{ApiKeyTerms, AuthFailure, Caller, Error, Page, Presented};
use compute_testkit::market::{Buyer, Market, now, paid_with, unpaid};
use secrecy::ExposeSecret;

use crate::world::World;

#[tokio::test]
async fn a_nonce_is_spent_by_what_it_did_and_not_by_an_unpaid_request() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let engine = &world.market.engine;
    let caller = buyer
        .sign_in(engine, "POST", "/compute/provision")
        .await
        .unwrap();
    for _ in 0..2 {
        let unpaid = engine
            .provision(&caller, &Market::request(), unpaid())
            .await;
        assert!(matches!(unpaid, Err(Error::PaymentRequired { .. })));
    }
    let payment = world.payment(&buyer).await;
    let paid = engine
        .provision(&caller, &Market::request(), paid_with(&payment))
        .await
        .unwrap();
    engine.work(paid).await;
    // The same headers and the same payment: joined. With a new payment the nonce is spent.
    let again = engine
        .provision(&caller, &Market::request(), paid_with(&payment))
        .await
        .unwrap();
    assert!(again.is_replay());
    let other = world.payment(&buyer).await;
    let refused = engine
        .provision(&caller, &Market::request(), paid_with(&other))
        .await;
    assert!(
        matches!(refused, Err(Error::Unauthenticated(AuthFailure::NonceUsed))),
        "{refused:?}"
    );
    let read = engine.instances(&caller, Page::default()).await;
    assert!(matches!(
        read,
        Err(Error::Unauthenticated(AuthFailure::NonceUsed))
    ));
    assert_eq!(world.market.rail.settled().len(), 1);
}

#[tokio::test]
async fn nobody_pays_for_an_authenticated_stranger() {
    let world = World::open().await;
    let (buyer, stranger) = (Buyer::new(1), Buyer::new(2));
    let engine = &world.market.engine;
    let caller = stranger
        .sign_in(engine, "POST", "/compute/provision")
        .await
        .unwrap();
    let payment = world.payment(&buyer).await;
    let refused = engine
        .provision(&caller, &Market::request(), paid_with(&payment))
        .await;
    assert!(matches!(refused, Err(Error::PayerMismatch)), "{refused:?}");
    assert_eq!(world.market.rail.settle_calls(), 0);
}

#[tokio::test]
async fn a_key_acts_for_its_owner_and_makes_no_keys() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let engine = &world.market.engine;
    let payment = world.payment(&buyer).await;
    world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    let signer = buyer
        .sign_in(engine, "POST", "/compute/api-keys")
        .await
        .unwrap();
    let created = engine
        .create_api_key(&signer, ApiKeyTerms::default())
        .await
        .unwrap();
    let text = created.text.expose_secret().to_owned();
    let caller = engine.authenticate(Presented::ApiKey(&text)).await.unwrap();
    assert_eq!(
        engine
            .instances(&caller, Page::default())
            .await
            .unwrap()
            .instances
            .len(),
        1
    );
    assert!(matches!(
        engine.create_api_key(&caller, ApiKeyTerms::default()).await,
        Err(Error::SignatureRequired)
    ));
    let id = created.api_key.id;
    assert!(matches!(
        engine.revoke_api_key(&caller, id).await,
        Err(Error::SignatureRequired)
    ));
    let listed = engine.api_keys(&caller).await.unwrap();
    assert_eq!(listed, vec![created.api_key.clone()]);
    assert!(text.ends_with(&listed[0].last4));

    let signer = buyer
        .sign_in(engine, "DELETE", "/compute/api-keys/1")
        .await
        .unwrap();
    let revoked = engine.revoke_api_key(&signer, id).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(now(&world.market)));
    let refused = engine.authenticate(Presented::ApiKey(&text)).await;
    assert!(matches!(
        refused,
        Err(Error::Unauthenticated(AuthFailure::ApiKey))
    ));
}

#[tokio::test]
async fn keys_are_limited_and_foreign_keys_are_not_found() {
    let world = World::open().await;
    let (buyer, stranger) = (Buyer::new(1), Buyer::new(2));
    let engine = &world.market.engine;
    let mut last = None;
    for _ in 0..3 {
        let signer = buyer.sign_in(engine, "POST", "/k").await.unwrap();
        last = Some(
            engine
                .create_api_key(&signer, ApiKeyTerms::default())
                .await
                .unwrap()
                .api_key
                .id,
        );
    }
    let signer = buyer.sign_in(engine, "POST", "/k").await.unwrap();
    assert!(matches!(
        engine.create_api_key(&signer, ApiKeyTerms::default()).await,
        Err(Error::TooManyApiKeys)
    ));
    let other = stranger.sign_in(engine, "DELETE", "/k").await.unwrap();
    assert!(matches!(
        engine.revoke_api_key(&other, last.unwrap()).await,
        Err(Error::NotFound)
    ));
    let anonymous = engine
        .create_api_key(&Caller::Anonymous, ApiKeyTerms::default())
        .await;
    assert!(matches!(
        anonymous,
        Err(Error::Unauthenticated(AuthFailure::Required))
    ));
}
