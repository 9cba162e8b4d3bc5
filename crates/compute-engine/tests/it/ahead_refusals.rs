//! What is not extended by itself, although its owner wanted it once.

use compute_domain::id::{ApiKeyId, InstanceId};
use compute_domain::time::Span;
use compute_engine::ports::{AutoExtension, Sighting, TxMode};
use compute_engine::{ApiKeyTerms, AuthFailure, Caller, Error, Presented};
use compute_testkit::market::{Buyer, Market, now, paid_with, with_credits};
use secrecy::ExposeSecret as _;

use crate::ahead::{before, of_kind, terms};
use crate::purse::usd;
use crate::world::World;

impl World {
    /// A caller by a new API key, and the key.
    pub(crate) async fn keyed(&self, buyer: &Buyer, terms: ApiKeyTerms) -> (Caller, ApiKeyId) {
        let engine = &self.market.engine;
        let signer = self.caller(buyer).await;
        let created = engine.create_api_key(&signer, terms).await.unwrap();
        let presented = Presented::ApiKey(created.text.expose_secret());
        let caller = engine.authenticate(presented).await.unwrap();
        (caller, created.api_key.id)
    }

    pub(crate) async fn revoke(&self, buyer: &Buyer, id: ApiKeyId) {
        let signer = self.caller(buyer).await;
        let engine = &self.market.engine;
        engine.revoke_api_key(&signer, id).await.unwrap();
    }

    async fn wish(&self, id: InstanceId) -> AutoExtension {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.find_auto_extension(id).await.unwrap().unwrap()
    }

    /// Leaves the wish as a replica does that does not know wishes.
    async fn leave(&self, wish: &AutoExtension) {
        let mut tx = self.market.store.begin(TxMode::Write).await.unwrap();
        tx.set_auto_extension(wish).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// How often its provider did not know the machine.
    async fn miss(&self, id: InstanceId, misses: u32) {
        let sighting = Sighting {
            misses,
            missing_since: (misses > 0).then(|| now(&self.market)),
            suspended_since: None,
            address: None,
        };
        let mut tx = self.market.store.begin(TxMode::Write).await.unwrap();
        tx.save_sighting(id, &sighting).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn was_told_of_a_failure(&self, buyer: &Buyer) -> bool {
        let told = self.told(buyer).await;
        !of_kind(&told, "instance.auto_extend_failed").is_empty()
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
        let request = Market::request();
        match engine.provision(caller, &request, with_credits()).await {
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

/// During a rolling deploy an older replica moves the end, and leaves the wish as it was.
#[tokio::test]
async fn an_end_that_was_moved_by_an_older_replica_is_planned_anew() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.running(&buyer).await;
    world.switch_on(&buyer, instance.id, terms(24, "9")).await;
    let stale = world.wish(instance.id).await;
    let extended = world.extend_with_credits(&buyer, instance.id).await;
    world.finish(extended).await;
    world.leave(&stale).await;
    world.at_work(before(instance.expires_at(), 2)).await;
    assert_eq!(world.extensions_of(instance.id).await, 1);
    let end = world.instance(instance.id).await.expires_at();
    assert_eq!(world.wish(instance.id).await.due_at, Some(before(end, 2)));
    assert!(!world.was_told_of_a_failure(&buyer).await);
    world.at_work(before(end, 2)).await;
    assert_eq!(world.extensions_of(instance.id).await, 2);
    world.audit().await;
}

#[tokio::test]
async fn a_machine_that_an_older_replica_made_is_extended_too() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let mut request = Market::request();
    request.auto_extend = Some(terms(24, "1"));
    let payment = world.payment(&buyer).await;
    let caller = world.caller(&buyer).await;
    let engine = &world.market.engine;
    let bought = engine
        .provision(&caller, &request, paid_with(&payment))
        .await;
    let bought = bought.unwrap();
    let pending = world.instance_of(bought.operation()).await;
    let guess = before(pending.expires_at(), 2);
    let wish = world.wish(pending.id).await;
    assert_eq!(wish.due_at, Some(guess));
    engine.work(bought).await;
    world.market.quiesce().await;
    world.leave(&wish).await;
    let end = world.instance(pending.id).await.expires_at();
    world.at_work(before(end, 2)).await;
    assert_eq!(world.extensions_of(pending.id).await, 1);
    world.audit().await;
}

#[tokio::test]
async fn what_is_not_there_yet_is_looked_at_again() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let mut request = Market::request();
    request.auto_extend = Some(terms(24, "1"));
    let payment = world.payment(&buyer).await;
    let caller = world.caller(&buyer).await;
    let engine = &world.market.engine;
    let bought = engine
        .provision(&caller, &request, paid_with(&payment))
        .await;
    let pending = world.instance_of(bought.unwrap().operation()).await;
    let guess = before(pending.expires_at(), 2);
    world.at_work(guess).await;
    let again = guess.plus(Span::from_secs(60));
    assert_eq!(world.wish(pending.id).await.due_at, Some(again));
    assert!(!world.was_told_of_a_failure(&buyer).await);
}

#[tokio::test]
async fn in_quarantine_nothing_is_extended() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.running(&buyer).await;
    world.switch_on(&buyer, instance.id, terms(24, "9")).await;
    let engine = &world.market.engine;
    engine.begin_quarantine("a test").await.unwrap();
    let end = instance.expires_at();
    for hours in [2, 1] {
        world.at_work(before(end, hours)).await;
    }
    assert_eq!(world.extensions_of(instance.id).await, 0);
    assert_eq!(world.balance(&buyer).await, usd("1"));
    assert!(!world.was_told_of_a_failure(&buyer).await);
    engine.end_quarantine().await.unwrap();
    world.at_work(now(&world.market)).await;
    assert_eq!(world.extensions_of(instance.id).await, 1);
    world.audit().await;
}

#[tokio::test]
async fn a_machine_that_its_provider_does_not_know_is_not_extended() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.running(&buyer).await;
    world.switch_on(&buyer, instance.id, terms(24, "9")).await;
    let end = instance.expires_at();
    world.miss(instance.id, 3).await;
    for minutes in [120, 90] {
        world
            .at_work(end.minus(Span::from_secs(minutes * 60)))
            .await;
    }
    assert_eq!(world.extensions_of(instance.id).await, 0);
    assert!(!world.was_told_of_a_failure(&buyer).await);
    world.miss(instance.id, 0).await;
    world.at_work(before(end, 1)).await;
    assert_eq!(world.extensions_of(instance.id).await, 1);
    world.audit().await;
}

#[tokio::test]
async fn without_a_catalogue_what_ends_soon_is_extended_at_its_own_rate() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.running(&buyer).await;
    world.switch_on(&buyer, instance.id, terms(24, "9")).await;
    let replica = world
        .market
        .another_replica_with(|config| config.sales.catalog_max_age = Span::from_secs(60))
        .await;
    let end = instance.expires_at();
    // There is time to wait for the price of the moment.
    world.market.clock.set(before(end, 2));
    assert!(matches!(replica.shelf(), Err(Error::CatalogUnavailable)));
    assert_eq!(replica.look_ahead().await.unwrap(), 0);
    world.market.clock.set(before(end, 1));
    assert_eq!(replica.look_ahead().await.unwrap(), 1);
    assert_eq!(world.extensions_of(instance.id).await, 1);
    assert_eq!(world.balance(&buyer).await, usd("0.832"));
    world.audit().await;
}
