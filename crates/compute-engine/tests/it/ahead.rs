//! Before the end: warnings, each once per end, and extensions from credits up to a cap.

use compute_domain::id::InstanceId;
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::money::Hours;
use compute_domain::operation::OperationKind;
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{OwnerEvent, TxMode};
use compute_engine::{AutoExtendTerms, Caller, Error, event_json};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, paid_with};
use serde_json::Value;

use crate::purse::usd;
use crate::world::World;

pub(crate) fn terms(hours: u32, cap: &str) -> AutoExtendTerms {
    AutoExtendTerms {
        hours: Hours::new(hours).unwrap(),
        max_total: usd(cap),
    }
}

pub(crate) fn of_kind(told: &[OwnerEvent], kind: &str) -> Vec<Value> {
    let events = told.iter().map(event_json);
    let events = events.filter(|event| event["type"] == kind);
    events.map(|event| event["data"].clone()).collect()
}

impl World {
    pub(crate) async fn at_work(&self, moment: Timestamp) {
        self.market.clock.set(moment);
        self.market.engine.refresh_catalog().await;
        self.market.engine.refresh_health().await;
        self.market.engine.look_ahead().await.unwrap();
    }

    pub(crate) async fn running(&self, buyer: &Buyer) -> Instance {
        let instance = self.sold(buyer).await;
        self.market.quiesce().await;
        self.instance(instance.id).await
    }

    pub(crate) async fn switch_on(&self, buyer: &Buyer, id: InstanceId, terms: AutoExtendTerms) {
        let caller = self.caller(buyer).await;
        let engine = &self.market.engine;
        engine
            .set_auto_extend(&caller, id, Some(terms))
            .await
            .unwrap();
    }

    async fn expiring(&self, buyer: &Buyer) -> Vec<i64> {
        let told = of_kind(&self.told(buyer).await, "instance.expiring");
        told.iter()
            .map(|data| data["hours_left"].as_i64().unwrap())
            .collect()
    }

    pub(crate) async fn extensions_of(&self, id: InstanceId) -> usize {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        let operations = tx.operations_of(id).await.unwrap();
        let kinds = operations.iter().map(|operation| operation.kind);
        kinds.filter(|kind| *kind == OperationKind::Extend).count()
    }
}

pub(crate) fn before(end: Timestamp, hours: u32) -> Timestamp {
    end.minus(Span::from_hours(hours))
}

#[tokio::test]
async fn an_owner_is_told_of_the_warnings_that_lie_ahead_once_each() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.running(&buyer).await;
    let end = instance.expires_at();
    // Sold for 24 hours: only the last one lies ahead.
    for _ in 0..2 {
        world.at_work(before(end, 2)).await;
    }
    assert_eq!(world.expiring(&buyer).await, [0_i64; 0]);
    for _ in 0..3 {
        world.at_work(before(end, 1)).await;
    }
    assert_eq!(world.expiring(&buyer).await, [1]);
    // An extension arms them anew: 25 hours are left then.
    world.top_up(&buyer, "1").await;
    let extended = world.extend_with_credits(&buyer, instance.id).await;
    world.finish(extended).await;
    let end = end.plus(Span::from_hours(24));
    for hours in [24, 1, 0] {
        world.at_work(before(end, hours)).await;
    }
    assert_eq!(world.expiring(&buyer).await, [1, 24, 1]);
}

#[tokio::test]
async fn after_a_long_absence_only_what_is_true_is_told() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let mut request = Market::request();
    request.hours = Hours::new(100).unwrap();
    let payment = buyer.pay(&world.market.offer(&request).await, now(&world.market));
    let bought = world.market.buy(&request, &payment).await.unwrap();
    world.market.quiesce().await;
    let end = world.instance_of(bought).await.expires_at();
    world.at_work(before(end, 20)).await;
    assert_eq!(world.expiring(&buyer).await, [24]);
    world.at_work(end).await;
    assert_eq!(world.expiring(&buyer).await, [24]);
}

#[tokio::test]
async fn a_machine_that_ended_early_is_not_warned_of() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.running(&buyer).await;
    world.top_up(&buyer, "1").await;
    world.switch_on(&buyer, instance.id, terms(24, "1")).await;
    let caller = world.caller(&buyer).await;
    let ended = world.market.engine.destroy(&caller, instance.id).await;
    world.finish(ended).await;
    world.market.quiesce().await;
    world.at_work(before(instance.expires_at(), 1)).await;
    assert_eq!(world.expiring(&buyer).await, [0_i64; 0]);
    assert_eq!(world.extensions_of(instance.id).await, 0);
    assert_eq!(world.balance(&buyer).await, usd("1"));
}

#[tokio::test]
async fn a_machine_is_extended_before_its_end_up_to_the_cap() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.running(&buyer).await;
    // A day costs 0.168: the cap allows two.
    world.switch_on(&buyer, instance.id, terms(24, "0.4")).await;
    let end = instance.expires_at();
    world.at_work(before(end, 3)).await;
    assert_eq!(world.extensions_of(instance.id).await, 0);
    for _ in 0..3 {
        world.at_work(before(end, 2)).await;
    }
    let longer = world.instance(instance.id).await;
    assert_eq!(longer.expires_at(), end.plus(Span::from_hours(24)));
    assert_eq!(world.balance(&buyer).await, usd("0.832"));
    let end = longer.expires_at();
    world.at_work(before(end, 2)).await;
    assert_eq!(world.balance(&buyer).await, usd("0.664"));
    // Three days are prepaid in all now: the next one would be a day before the end.
    let end = world.instance(instance.id).await.expires_at();
    for hours in [24, 23, 12, 2, 1] {
        world.at_work(before(end, hours)).await;
    }
    assert_eq!(world.extensions_of(instance.id).await, 2);
    assert_eq!(world.balance(&buyer).await, usd("0.664"));
    let told = world.told(&buyer).await;
    let done = of_kind(&told, "instance.auto_extended");
    assert_eq!(done.len(), 2);
    assert_eq!(done[1]["spent_usd"], "0.336");
    assert_eq!(done[1]["expires_at"], end.rfc3339());
    let failed = of_kind(&told, "instance.auto_extend_failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["reason"], "cap_reached");
    assert_eq!(failed[0]["required_usd"], "0.168");
    assert_eq!(failed[0]["cap_left_usd"], "0.064");
    // A higher cap helps, and what was spent counts.
    world
        .switch_on(&buyer, instance.id, terms(24, "0.504"))
        .await;
    world.at_work(now(&world.market)).await;
    assert_eq!(world.balance(&buyer).await, usd("0.496"));
    world.audit().await;
}

#[tokio::test]
async fn without_credits_it_is_tried_until_the_end_and_the_owner_told_once() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.running(&buyer).await;
    world.switch_on(&buyer, instance.id, terms(24, "9")).await;
    let end = instance.expires_at();
    let mut moment = before(end, 2);
    while moment < before(end, 1) {
        world.at_work(moment).await;
        moment = moment.plus(Span::from_secs(60));
    }
    let told = of_kind(&world.told(&buyer).await, "instance.auto_extend_failed");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["reason"], "insufficient_credits");
    assert!(told[0]["what_to_do"].is_string());
    // Credits that come in time are enough.
    world.top_up(&buyer, "1").await;
    world.at_work(end.minus(Span::from_secs(600))).await;
    let longer = world.instance(instance.id).await;
    assert_eq!(longer.expires_at(), end.plus(Span::from_hours(24)));
    world.audit().await;
}

/// Extended or expired, never paid and destroyed (F153).
#[tokio::test]
async fn at_the_end_it_is_extended_or_expires() {
    for has_credits in [true, false] {
        let world = World::open().await;
        let buyer = Buyer::new(1);
        let instance = world.running(&buyer).await;
        if has_credits {
            world.top_up(&buyer, "1").await;
        }
        world.switch_on(&buyer, instance.id, terms(24, "9")).await;
        // Nobody looked ahead in time.
        injected("F153");
        let over = instance.expires_at().plus(Span::from_hours(1));
        world.market.clock.set(over.minus(Span::from_secs(1)));
        world.market.engine.refresh_catalog().await;
        world.market.engine.look_ahead().await.unwrap();
        world.market.clock.set(over.plus(Span::from_millis(1)));
        world.market.engine.expire_due().await.unwrap();
        world.market.engine.look_ahead().await.unwrap();
        world.market.quiesce().await;
        let after = world.instance(instance.id).await;
        let is_alive = matches!(after.state, InstanceState::Active(_));
        assert_eq!(is_alive, has_credits, "{after:?}");
        assert_eq!(
            world.extensions_of(instance.id).await,
            usize::from(has_credits)
        );
        world.audit().await;
    }
}

#[tokio::test]
async fn replicas_and_crashes_extend_once() {
    let mut is_done = false;
    for death in 1..40 {
        let mut world = World::open().await;
        let buyer = Buyer::new(1);
        world.top_up(&buyer, "1").await;
        let instance = world.running(&buyer).await;
        world.switch_on(&buyer, instance.id, terms(24, "9")).await;
        world.market.clock.set(before(instance.expires_at(), 2));
        world.market.engine.refresh_catalog().await;
        world.market.crash.at_transaction(death);
        let round = world.market.engine.look_ahead().await;
        is_done = round.is_ok();
        world.market.restart().await;
        let other = world.market.another_replica(&world.market.store).await;
        let (one, two) = futures::join!(world.market.engine.look_ahead(), other.look_ahead());
        one.unwrap();
        two.unwrap();
        assert_eq!(world.extensions_of(instance.id).await, 1, "{death}");
        assert_eq!(world.balance(&buyer).await, usd("0.832"), "{death}");
        let told = of_kind(&world.told(&buyer).await, "instance.auto_extended");
        assert_eq!(told.len(), 1, "{death}");
        world.audit().await;
        if is_done {
            break;
        }
    }
    assert!(is_done);
}

#[tokio::test]
async fn a_purchase_can_ask_for_it_when_its_buyer_may_spend() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let mut request = Market::request();
    request.auto_extend = Some(terms(24, "1"));
    let payment = world.payment(&buyer).await;
    let engine = &world.market.engine;
    let nobody = engine
        .provision(&Caller::Anonymous, &request, paid_with(&payment))
        .await;
    assert!(
        matches!(nobody, Err(Error::Unauthenticated(_))),
        "{nobody:?}"
    );
    let caller = world.caller(&buyer).await;
    let bought = engine
        .provision(&caller, &request, paid_with(&payment))
        .await;
    let bought = world.finish(bought).await;
    world.market.quiesce().await;
    let instance = world.instance_of(bought).await;
    world.at_work(before(instance.expires_at(), 2)).await;
    assert_eq!(world.extensions_of(instance.id).await, 1);
    // Another wish is another request.
    let caller = world.caller(&buyer).await;
    request.auto_extend = None;
    let other = engine
        .provision(&caller, &request, paid_with(&payment))
        .await;
    assert!(matches!(other, Err(Error::PaymentAlreadyUsed)), "{other:?}");
}

#[tokio::test]
async fn only_the_owner_sets_it_and_for_a_machine_that_runs() {
    let world = World::open().await;
    let (buyer, stranger) = (Buyer::new(1), Buyer::new(2));
    let instance = world.running(&buyer).await;
    let engine = &world.market.engine;
    world.top_up(&stranger, "1").await;
    let caller = world.caller(&stranger).await;
    let refused = engine
        .set_auto_extend(&caller, instance.id, Some(terms(24, "1")))
        .await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
    let caller = world.caller(&buyer).await;
    let nothing = engine
        .set_auto_extend(&caller, instance.id, Some(terms(24, "0")))
        .await;
    assert!(matches!(nothing, Err(Error::Invalid { .. })), "{nothing:?}");
    world.switch_on(&buyer, instance.id, terms(24, "1")).await;
    let caller = world.caller(&buyer).await;
    let shown = engine.auto_extension(&caller, instance.id).await.unwrap();
    assert_eq!(
        shown.unwrap().due_at,
        Some(before(instance.expires_at(), 2))
    );
    let caller = world.caller(&buyer).await;
    engine
        .set_auto_extend(&caller, instance.id, None)
        .await
        .unwrap();
    world.at_work(before(instance.expires_at(), 2)).await;
    assert_eq!(world.extensions_of(instance.id).await, 0);
}
