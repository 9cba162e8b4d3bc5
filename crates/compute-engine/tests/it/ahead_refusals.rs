//! What is not extended by itself, although its owner wanted it once.

use compute_domain::id::{ApiKeyId, InstanceId};
use compute_domain::time::Span;
use compute_engine::{ApiKeyTerms, AuthFailure, Caller, Error, Presented};
use compute_testkit::market::{Buyer, Market, now, with_credits};
use secrecy::ExposeSecret as _;

use crate::ahead::{before, of_kind, terms};
use crate::purse::usd;
use crate::world::World;

impl World {
    /// A caller by a new API key, and the key.
    async fn keyed(&self, buyer: &Buyer, terms: ApiKeyTerms) -> (Caller, ApiKeyId) {
        let engine = &self.market.engine;
        let signer = self.caller(buyer).await;
        let created = engine.create_api_key(&signer, terms).await.unwrap();
        let presented = Presented::ApiKey(created.text.expose_secret());
        let caller = engine.authenticate(presented).await.unwrap();
        (caller, created.api_key.id)
    }

    async fn revoke(&self, buyer: &Buyer, id: ApiKeyId) {
        let signer = self.caller(buyer).await;
        let engine = &self.market.engine;
        engine.revoke_api_key(&signer, id).await.unwrap();
    }

    /// Nothing is extended from two hours before the end until an hour before it, and its owner hears
    /// once that its key is not good any more.
    async fn expect_refused_for_the_key(&self, buyer: &Buyer, id: InstanceId) {
        let end = self.instance(id).await.expires_at();
        for minutes in [120, 119, 100, 60] {
            self.at_work(end.minus(Span::from_secs(minutes * 60))).await;
        }
        assert_eq!(self.extensions_of(id).await, 0);
        assert_eq!(self.balance(buyer).await, usd("1"));
        let told = of_kind(&self.told(buyer).await, "instance.auto_extend_failed");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["reason"], "api_key_invalid");
        let help = told[0]["what_to_do"].as_str().unwrap();
        assert!(help.contains("set it again"), "{help}");
        self.audit().await;
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_pays_for_no_more_time() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.running(&buyer).await;
    let (caller, key) = world.keyed(&buyer, ApiKeyTerms::default()).await;
    let engine = &world.market.engine;
    let wish = Some(terms(24, "9"));
    engine
        .set_auto_extend(&caller, instance.id, wish)
        .await
        .unwrap();
    world.revoke(&buyer, key).await;
    world.expect_refused_for_the_key(&buyer, instance.id).await;
    // Set again by the wallet, it is extended.
    world.switch_on(&buyer, instance.id, terms(24, "9")).await;
    world.at_work(now(&world.market)).await;
    assert_eq!(world.extensions_of(instance.id).await, 1);
}

#[tokio::test]
async fn a_key_that_has_expired_pays_for_no_more_time() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.running(&buyer).await;
    let key_terms = ApiKeyTerms {
        // The very moment it would be needed.
        expires_at: Some(before(instance.expires_at(), 2)),
        ..ApiKeyTerms::default()
    };
    let (caller, _) = world.keyed(&buyer, key_terms).await;
    let engine = &world.market.engine;
    let wish = Some(terms(24, "9"));
    engine
        .set_auto_extend(&caller, instance.id, wish)
        .await
        .unwrap();
    world.expect_refused_for_the_key(&buyer, instance.id).await;
}

#[tokio::test]
async fn a_key_that_ends_while_it_buys_is_said_to_have_ended() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let engine = &world.market.engine;
    let buy = async |caller: &Caller| {
        let bought = engine.provision(caller, &Market::request(), with_credits());
        match bought.await {
            Err(Error::Unauthenticated(failure)) => failure,
            other => panic!("{other:?}"),
        }
    };
    let (caller, key) = world.keyed(&buyer, ApiKeyTerms::default()).await;
    world.revoke(&buyer, key).await;
    assert_eq!(buy(&caller).await, AuthFailure::ApiKey);
    let key_terms = ApiKeyTerms {
        expires_at: Some(now(&world.market).plus(Span::from_secs(1))),
        ..ApiKeyTerms::default()
    };
    let (caller, _) = world.keyed(&buyer, key_terms).await;
    world.market.clock.advance(Span::from_secs(1));
    assert_eq!(buy(&caller).await, AuthFailure::ApiKeyExpired);
    assert_eq!(world.balance(&buyer).await, usd("1"));
}
