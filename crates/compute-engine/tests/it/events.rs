//! What owners are told: each fact once, in order, and nothing that did not happen.

use compute_domain::event::EventKind;
use compute_domain::time::Span;
use compute_engine::ports::OwnerEvent;
use compute_engine::{Caller, Error, event_json};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market};
use compute_testkit::scripted_provider::CreateFault;
use serde_json::Value;

use crate::purse::usd;
use crate::world::World;

impl World {
    /// Everything that a buyer was told.
    pub(crate) async fn told(&self, buyer: &Buyer) -> Vec<OwnerEvent> {
        let caller = self.caller(buyer).await;
        let page = self.market.engine.events(&caller, 0, 200).await.unwrap();
        assert!(!page.has_more);
        page.events
    }

    pub(crate) async fn told_kinds(&self, buyer: &Buyer) -> Vec<String> {
        let told = self.told(buyer).await;
        told.iter()
            .map(|it| it.event.kind.as_str().to_owned())
            .collect()
    }
}

fn data(event: &OwnerEvent) -> Value {
    event_json(event)["data"].clone()
}

#[tokio::test]
async fn a_machine_tells_of_its_life() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    let instance = world.sold(&buyer).await;
    world.market.quiesce().await;
    let extended = world.extend_with_credits(&buyer, instance.id).await;
    let extension = world.finish(extended).await;
    let caller = world.caller(&buyer).await;
    let ended = world.market.engine.destroy(&caller, instance.id).await;
    world.finish(ended).await;
    world.market.quiesce().await;
    let told = world.told(&buyer).await;
    let kinds: Vec<_> = told.iter().map(|it| it.event.kind.as_str()).collect();
    let expected = [
        "credits.added",
        "instance.active",
        "instance.extended",
        "credits.refunded",
        "instance.destroyed",
    ];
    assert_eq!(kinds, expected);
    let numbers: Vec<_> = told.iter().map(|it| it.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(data(&told[0])["amount_usd"], "1.00");
    assert_eq!(told[0].event.instance, None);
    assert_eq!(data(&told[1])["plan"], "vc2-1c-1gb");
    for event in &told[1..] {
        assert_eq!(event.event.instance, Some(instance.id), "{event:?}");
    }
    assert_eq!(told[2].event.operation, Some(extension));
    assert_eq!(data(&told[2])["hours"], 24);
    assert_eq!(data(&told[2])["price_usd"], "0.168");
    assert_eq!(data(&told[3])["reason"], "early_destroy");
    assert_eq!(data(&told[4])["reason"], "requested");
    let shown = event_json(&told[4]);
    assert_eq!(shown["type"], "instance.destroyed");
    assert_eq!(shown["sequence"], 5);
    assert_eq!(shown["id"], told[4].event.id.to_string());
    assert_eq!(shown["order_id"], instance.id.to_string());
}

#[tokio::test]
async fn an_order_that_fails_tells_what_came_back() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.provider.misbehave([CreateFault::Rejects]);
    world.sold(&buyer).await;
    world.market.quiesce().await;
    let told = world.told(&buyer).await;
    let kinds: Vec<_> = told.iter().map(|it| it.event.kind.clone()).collect();
    assert_eq!(
        kinds,
        [EventKind::CreditsRefunded, EventKind::InstanceFailed]
    );
    assert_eq!(data(&told[0])["reason"], "payment_refund");
    assert_eq!(data(&told[1])["code"], "provider_rejected");
    assert_eq!(world.balance(&buyer).await, usd("0.168"));
}

#[tokio::test]
async fn a_machine_at_its_end_tells_that_it_expired() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    world.market.quiesce().await;
    let end = instance.expires_at().plus(Span::from_secs(3_601));
    world.market.clock.set(end);
    world.market.engine.expire_due().await.unwrap();
    world.market.quiesce().await;
    let kinds = world.told_kinds(&buyer).await;
    let ends = ["instance.expired", "instance.destroyed"];
    assert_eq!(kinds[kinds.len() - 2..], ends, "{kinds:?}");
}

/// The process dies at every transaction of a purchase that is delivered, or refunded: what is told is
/// told once, and what came back is never without its event.
#[tokio::test]
async fn a_crash_tells_nothing_twice() {
    for is_refused in [false, true] {
        let mut is_done = false;
        for death in 1..200 {
            let mut world = World::open().await;
            let buyer = Buyer::new(1);
            if is_refused {
                world.market.provider.misbehave([CreateFault::Rejects]);
            }
            let payment = world.payment(&buyer).await;
            world.market.crash.at_transaction(death);
            let bought = world.market.buy(&Market::request(), &payment).await;
            if bought.is_ok() {
                world.market.quiesce_until_dead().await;
            }
            is_done = !world.market.crash.is_dead();
            injected("F015");
            world.market.restart().await;
            world.market.quiesce().await;
            let kinds = world.told_kinds(&buyer).await;
            let count = |kind: &str| kinds.iter().filter(|own| **own == kind).count();
            let orders = world.instances_of(&buyer).await.len();
            let ended = count("instance.active") + count("instance.failed");
            assert_eq!(ended, orders, "{death}: {kinds:?}");
            let credited = world.balance(&buyer).await > usd("0");
            assert_eq!(
                count("credits.refunded") > 0,
                credited,
                "{death}: {kinds:?}"
            );
            assert!(count("credits.refunded") <= 1, "{death}: {kinds:?}");
            if is_done {
                break;
            }
        }
        assert!(is_done);
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_belong_to_their_owner() {
    let world = World::open().await;
    let (buyer, other) = (Buyer::new(1), Buyer::new(2));
    for _ in 0..3 {
        world.top_up(&buyer, "1").await;
    }
    let engine = &world.market.engine;
    let page = async |buyer: &Buyer, after, limit| {
        let caller = world.caller(buyer).await;
        engine.events(&caller, after, limit).await
    };
    let first = page(&buyer, 0, 2).await.unwrap();
    assert_eq!(
        (first.events.len(), first.next, first.has_more),
        (2, 2, true)
    );
    let second = page(&buyer, first.next, 2).await.unwrap();
    assert_eq!((second.events.len(), second.next), (1, 3));
    assert!(!second.has_more);
    let none = page(&buyer, second.next, 2).await.unwrap();
    assert_eq!((none.events.len(), none.next), (0, 3));
    assert_eq!(page(&other, 0, 9).await.unwrap().events, []);
    for limit in [0, 201] {
        let refused = page(&buyer, 0, limit).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "limit", .. }));
    }
    let nobody = engine.events(&Caller::Anonymous, 0, 9).await.unwrap_err();
    assert!(matches!(nobody, Error::Unauthenticated(_)), "{nobody:?}");
}

#[tokio::test]
async fn old_events_are_forgotten_and_the_numbers_go_on() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.top_up(&buyer, "1").await;
    world.market.clock.advance(Span::from_hours(90 * 24));
    world.market.engine.clean_up().await.unwrap();
    assert_eq!(world.told(&buyer).await.len(), 1);
    world.market.clock.advance(Span::from_millis(1));
    world.market.engine.clean_up().await.unwrap();
    assert_eq!(world.told(&buyer).await, []);
    world.market.engine.refresh_catalog().await;
    world.market.engine.refresh_health().await;
    world.top_up(&buyer, "1").await;
    assert_eq!(world.told(&buyer).await[0].seq, 2);
}
