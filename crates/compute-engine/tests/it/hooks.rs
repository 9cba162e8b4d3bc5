//! Webhooks: signed pings and events, in order, at least once, and no further than the receiver goes along.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use compute_domain::event::{EventKind, EventType};
use compute_domain::id::WebhookId;
use compute_domain::time::Span;
use compute_engine::ports::{Courier, Handed, NewEvent, TxMode, WebhookState};
use compute_engine::{Engine, Error};
use compute_testkit::ambient::ManualClock;
use compute_testkit::faults_log::injected;
use compute_testkit::market::Buyer;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::Semaphore;

use crate::world::World;

pub(crate) const URL: &str = "https://hooks.example.com/x";

/// What was handed over: body and signature.
type Parcel = (String, String);

/// A receiver that answers as it is told to, and else with 204.
#[derive(Debug)]
pub(crate) struct Receiver {
    got: Mutex<Vec<Parcel>>,
    answers: Mutex<VecDeque<Handed>>,
    /// How long an answer takes by which clock.
    pace: Mutex<Option<(ManualClock, Span)>>,
    /// Nobody is answered while there is no permit.
    pub(crate) gate: Semaphore,
    /// How many wait for an answer, and how many did at most.
    waiting: Mutex<(u32, u32)>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            got: Mutex::default(),
            answers: Mutex::default(),
            pace: Mutex::default(),
            gate: Semaphore::new(1_000),
            waiting: Mutex::default(),
        }
    }
}

impl Receiver {
    pub(crate) fn bodies(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(body, _)| serde_json::from_str(body).unwrap())
            .collect()
    }

    fn kinds(&self) -> Vec<String> {
        let bodies = self.bodies();
        let kinds = bodies.iter().map(|body| body["type"].as_str().unwrap());
        kinds.map(str::to_owned).collect()
    }

    fn answer(&self, answers: impl IntoIterator<Item = Handed>) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn last(&self) -> Parcel {
        self.got.lock().unwrap().last().unwrap().clone()
    }
}

#[async_trait]
impl Courier for Receiver {
    fn check(&self, url: &str) -> Result<String, String> {
        match url.starts_with("https://") {
            true => Ok(url.to_owned()),
            false => Err("url begins with https://".to_owned()),
        }
    }

    async fn hand(&self, url: &str, body: &str, signature: &str) -> Handed {
        assert_eq!(url, URL);
        let parcel = (body.to_owned(), signature.to_owned());
        self.got.lock().unwrap().push(parcel);
        {
            let mut waiting = self.waiting.lock().unwrap();
            waiting.0 += 1;
            waiting.1 = waiting.1.max(waiting.0);
        }
        // Time enough for whoever else would be sent to now.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(self.gate.acquire().await.unwrap());
        if let Some((clock, span)) = &*self.pace.lock().unwrap() {
            clock.advance(*span);
        }
        self.waiting.lock().unwrap().0 -= 1;
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or(Handed::Answered(204))
    }
}

/// As the documentation tells receivers to.
fn verifies(secret: &str, (body, header): &Parcel) -> bool {
    let (time, signatures) = header.split_once(',').unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let expected = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
    signatures.split(',').any(|signature| signature == expected)
}

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) engine: Engine,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) buyer: Buyer,
}

impl Stage {
    pub(crate) async fn open() -> Self {
        let world = World::open().await;
        let receiver = Arc::new(Receiver::default());
        let engine = world.market.another_replica(&world.market.store).await;
        let engine = Arc::into_inner(engine).unwrap();
        let engine = engine.with_courier(receiver.clone());
        Self {
            world,
            engine,
            receiver,
            buyer: Buyer::new(1),
        }
    }

    pub(crate) async fn make(&self, kinds: Vec<EventKind>) -> (WebhookId, String) {
        let caller = self.world.caller(&self.buyer).await;
        let made = self
            .engine
            .create_webhook(&caller, URL, kinds)
            .await
            .unwrap();
        assert_eq!(made.webhook.state, WebhookState::Waiting);
        (made.webhook.id, made.secret.expose_secret().to_owned())
    }

    pub(crate) async fn ping(&self, id: WebhookId) -> Result<bool, Error> {
        let caller = self.world.caller(&self.buyer).await;
        let pinged = self.engine.ping_webhook(&caller, id).await?;
        Ok(pinged.webhook.state == WebhookState::Active)
    }

    pub(crate) async fn active(&self, kinds: Vec<EventKind>) -> (WebhookId, String) {
        let made = self.make(kinds).await;
        assert!(self.ping(made.0).await.unwrap());
        made
    }

    pub(crate) async fn state(&self) -> (WebhookState, u32) {
        let caller = self.world.caller(&self.buyer).await;
        let webhooks = self.engine.webhooks(&caller).await.unwrap();
        (webhooks[0].state, webhooks[0].failures)
    }

    pub(crate) async fn tell(&self) {
        self.world.market.engine.refresh_health().await;
        self.world.top_up(&self.buyer, "1").await;
    }

    pub(crate) async fn deliver(&self) -> u32 {
        self.engine.deliver_webhooks().await.unwrap()
    }
}

#[tokio::test]
async fn nothing_is_sent_before_a_ping_is_answered() {
    let stage = Stage::open().await;
    stage.tell().await;
    let (id, secret) = stage.make(Vec::new()).await;
    assert_eq!(stage.deliver().await, 0);
    stage.receiver.answer([Handed::Answered(404)]);
    injected("F243");
    assert!(!stage.ping(id).await.unwrap());
    // Nobody is pinged in a hurry.
    let soon = stage.ping(id).await.unwrap_err();
    assert!(
        matches!(soon, Error::OperationInProgress { .. }),
        "{soon:?}"
    );
    assert_eq!(stage.deliver().await, 0);
    stage.world.market.clock.advance(Span::from_secs(31));
    assert!(stage.ping(id).await.unwrap());
    assert_eq!(stage.receiver.kinds(), ["ping", "ping"]);
    assert!(verifies(&secret, &stage.receiver.last()));
    // What was before nobody had agreed to hear.
    assert_eq!(stage.deliver().await, 0);
    stage.tell().await;
    assert_eq!(stage.deliver().await, 1);
    assert_eq!(stage.deliver().await, 0);
    let body = stage.receiver.bodies().pop().unwrap();
    assert_eq!(
        (&body["type"], &body["sequence"]),
        (&"credits.added".into(), &2.into())
    );
    assert!(verifies(&secret, &stage.receiver.last()));
    let caller = stage.world.caller(&stage.buyer).await;
    let log = stage.engine.deliveries(&caller, id).await.unwrap();
    let log: Vec<_> = log.iter().map(|it| (it.kind.as_str(), it.status)).collect();
    let expected = [
        ("credits.added", Some(204)),
        ("ping", Some(204)),
        ("ping", Some(404)),
    ];
    assert_eq!(log, expected);
}

#[tokio::test]
async fn what_fails_is_tried_eight_times_and_the_rest_waits() {
    let stage = Stage::open().await;
    let (id, _) = stage.active(Vec::new()).await;
    stage.tell().await;
    stage.tell().await;
    stage
        .receiver
        .answer((0..8).map(|_| Handed::Failed("time ran out".to_owned())));
    let mut waits = Vec::new();
    for _ in 0..7 {
        assert_eq!(stage.deliver().await, 0);
        assert_eq!(stage.deliver().await, 0, "before its time");
        let caller = stage.world.caller(&stage.buyer).await;
        let due = stage.engine.webhooks(&caller).await.unwrap()[0].due_at;
        let now = compute_testkit::market::now(&stage.world.market);
        waits.push(due.since(now).millis() / 1_000);
        stage.world.market.clock.set(due);
    }
    assert_eq!(waits, [60, 300, 1_800, 7_200, 18_000, 36_000, 86_400]);
    // The eighth is the last; then the next event has its turn.
    assert_eq!(stage.deliver().await, 0);
    assert_eq!(stage.deliver().await, 1);
    let sequences: Vec<_> = stage.receiver.bodies();
    let sequences: Vec<_> = sequences
        .iter()
        .map(|body| body["sequence"].as_u64())
        .collect();
    let mut expected = vec![None];
    expected.extend([Some(1); 8]);
    expected.push(Some(2));
    assert_eq!(sequences, expected);
    let caller = stage.world.caller(&stage.buyer).await;
    let log = stage.engine.deliveries(&caller, id).await.unwrap();
    let attempts: Vec<_> = log.iter().map(|it| it.attempt).collect();
    assert_eq!(attempts, [1, 8, 7, 6, 5, 4, 3, 2, 1, 1]);
}

#[tokio::test]
async fn after_twenty_failures_in_a_row_it_is_switched_off_until_it_is_pinged() {
    let stage = Stage::open().await;
    let (id, _) = stage.active(Vec::new()).await;
    for _ in 0..4 {
        stage.tell().await;
    }
    stage
        .receiver
        .answer((0..20).map(|_| Handed::Answered(500)));
    for _ in 0..40 {
        stage.deliver().await;
        stage.world.market.clock.advance(Span::from_hours(25));
    }
    assert_eq!(stage.state().await, (WebhookState::Disabled, 20));
    assert_eq!(stage.receiver.bodies().len(), 21);
    let told = stage.world.told_kinds(&stage.buyer).await;
    assert_eq!(told.last().unwrap(), "webhook.disabled", "{told:?}");
    assert!(stage.ping(id).await.unwrap());
    assert_eq!(stage.state().await, (WebhookState::Active, 0));
    // On from where it was: two were given up after eight tries each.
    assert_eq!(stage.deliver().await, 3);
    let kinds = stage.receiver.kinds();
    let last = ["credits.added", "credits.added", "webhook.disabled"];
    assert_eq!(kinds[kinds.len() - 3..], last);
}

#[tokio::test]
async fn a_slow_receiver_has_its_turn_and_lets_others_have_theirs() {
    let stage = Stage::open().await;
    stage.active(Vec::new()).await;
    stage.active(Vec::new()).await;
    for _ in 0..4 {
        stage.tell().await;
    }
    let clock = stage.world.market.clock.clone();
    *stage.receiver.pace.lock().unwrap() = Some((clock, Span::from_secs(6)));
    // After fifteen seconds nothing more is begun, of whichever webhook of this owner.
    assert_eq!(stage.deliver().await, 3);
    assert_eq!(stage.deliver().await, 3);
    assert_eq!(stage.deliver().await, 2);
    assert_eq!(stage.deliver().await, 0);
    let bodies = stage.receiver.bodies();
    let sequences: Vec<_> = bodies
        .iter()
        .map(|body| body["sequence"].as_u64())
        .collect();
    let times = |sequence| sequences.iter().filter(|it| **it == Some(sequence)).count();
    assert_eq!([times(1), times(2), times(3), times(4)], [2; 4]);
    assert_eq!(stage.receiver.waiting.lock().unwrap().1, 1, "one at a time");
}

#[tokio::test]
async fn an_owner_has_one_ping_under_way() {
    let stage = Stage::open().await;
    let (first, _) = stage.make(Vec::new()).await;
    let (second, _) = stage.make(Vec::new()).await;
    stage.receiver.gate.forget_permits(1_000);
    let other = async {
        while stage.receiver.bodies().is_empty() {
            tokio::task::yield_now().await;
        }
        let refused = stage.ping(second).await;
        stage.receiver.gate.add_permits(1_000);
        refused
    };
    let (pinged, refused) = futures::join!(stage.ping(first), other);
    assert!(pinged.unwrap());
    assert!(
        matches!(refused, Err(Error::TooManyPings { .. })),
        "{refused:?}"
    );
    assert!(stage.ping(second).await.unwrap());
}

#[tokio::test]
async fn a_ping_that_is_answered_ends_the_wait_after_failures() {
    let stage = Stage::open().await;
    let (id, _) = stage.active(Vec::new()).await;
    stage.tell().await;
    stage.receiver.answer([Handed::Answered(500)]);
    assert_eq!(stage.deliver().await, 0);
    assert_eq!(stage.state().await, (WebhookState::Active, 1));
    assert_eq!(stage.deliver().await, 0, "before its time");
    // One in vain changes nothing.
    stage.receiver.answer([Handed::Answered(500)]);
    stage.ping(id).await.unwrap();
    assert_eq!(stage.state().await, (WebhookState::Active, 1));
    assert_eq!(stage.deliver().await, 0);
    stage.world.market.clock.advance(Span::from_secs(31));
    assert!(stage.ping(id).await.unwrap());
    assert_eq!(stage.state().await, (WebhookState::Active, 0));
    assert_eq!(stage.deliver().await, 1);
}

#[tokio::test]
async fn only_wanted_events_are_sent() {
    let stage = Stage::open().await;
    stage.active(vec![EventKind::InstanceActive]).await;
    for _ in 0..3 {
        stage.tell().await;
    }
    let instance = stage.world.sold(&stage.buyer).await;
    stage.world.market.quiesce().await;
    assert_eq!(stage.deliver().await, 1);
    assert_eq!(stage.deliver().await, 0);
    let body = stage.receiver.bodies().pop().unwrap();
    assert_eq!(body["order_id"], instance.id.to_string());
    assert_eq!(body["sequence"], 4);
}

/// Replicas of two versions share the database while one follows the other.
#[tokio::test]
async fn an_event_of_a_kind_that_is_not_known_is_sent_as_it_is() {
    let stage = Stage::open().await;
    let (id, secret) = stage.active(Vec::new()).await;
    let (picky, _) = stage.active(vec![EventKind::CreditsAdded]).await;
    let caller = stage.world.caller(&stage.buyer).await;
    let owner = stage.engine.webhooks(&caller).await.unwrap()[0].owner;
    let newer = NewEvent {
        id: "0190a5b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b".parse().unwrap(),
        owner,
        kind: EventType::Newer("instance.moved".to_owned()),
        at: compute_testkit::market::now(&stage.world.market),
        instance: None,
        operation: None,
        data: "{\"to\":\"ams\"}".to_owned(),
    };
    let store = &stage.world.market.store;
    let mut tx = store.begin(TxMode::Write).await.unwrap();
    tx.announce(newer);
    tx.commit().await.unwrap();
    injected("F254");
    assert_eq!(stage.deliver().await, 1);
    let parcel = stage.receiver.last();
    assert!(verifies(&secret, &parcel));
    let body: Value = serde_json::from_str(&parcel.0).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["to"]),
        (&"instance.moved".into(), &"ams".into())
    );
    let caller = stage.world.caller(&stage.buyer).await;
    let log = stage.engine.deliveries(&caller, id).await.unwrap();
    assert_eq!(log[0].kind, "instance.moved");
    // Whoever asked for others gets those, and the feed shows all of them.
    stage.tell().await;
    assert_eq!(stage.deliver().await, 2);
    let caller = stage.world.caller(&stage.buyer).await;
    let log = stage.engine.deliveries(&caller, picky).await.unwrap();
    assert_eq!([&log[0].kind, &log[1].kind], ["credits.added", "ping"]);
    let told = stage.world.told_kinds(&stage.buyer).await;
    assert_eq!(told, ["instance.moved", "credits.added"]);
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_for_a_day() {
    let stage = Stage::open().await;
    let (id, first) = stage.active(Vec::new()).await;
    let caller = stage.world.caller(&stage.buyer).await;
    let rotated = stage.engine.rotate_webhook(&caller, id).await.unwrap();
    injected("F244");
    let second = rotated.secret.expose_secret().to_owned();
    assert_ne!(first, second);
    stage.tell().await;
    assert_eq!(stage.deliver().await, 1);
    let parcel = stage.receiver.last();
    assert!(verifies(&first, &parcel) && verifies(&second, &parcel));
    stage.world.market.clock.advance(Span::from_hours(24));
    stage.tell().await;
    assert_eq!(stage.deliver().await, 1);
    let parcel = stage.receiver.last();
    assert!(!verifies(&first, &parcel) && verifies(&second, &parcel));
}

/// The process dies between the delivery and its note: the event is sent again, under the same id.
#[tokio::test]
async fn a_crash_delivers_at_least_once() {
    let mut is_done = false;
    for death in 1..30 {
        let mut stage = Stage::open().await;
        stage.active(Vec::new()).await;
        stage.tell().await;
        stage.tell().await;
        stage.world.market.crash.at_transaction(death);
        let round = stage.engine.deliver_webhooks().await;
        is_done = round.is_ok() && !stage.world.market.crash.is_dead();
        stage.world.market.crash.restart();
        let engine = stage
            .world
            .market
            .another_replica(&stage.world.market.store)
            .await;
        let engine = Arc::into_inner(engine).unwrap();
        stage.engine = engine.with_courier(stage.receiver.clone());
        injected("F161");
        // The hold of the dead one ends.
        stage.world.market.clock.advance(Span::from_secs(61));
        stage.deliver().await;
        let bodies = stage.receiver.bodies();
        let mut ids: Vec<_> = bodies[1..]
            .iter()
            .map(|body| body["id"].to_string())
            .collect();
        let in_order: Vec<_> = bodies[1..]
            .iter()
            .map(|body| body["sequence"].as_u64())
            .collect();
        assert!(in_order.is_sorted(), "{death}: {in_order:?}");
        ids.dedup();
        assert_eq!(ids.len(), 2, "{death}");
        if is_done {
            break;
        }
    }
    assert!(is_done);
}

#[tokio::test]
async fn a_webhook_belongs_to_its_owner_and_there_are_ten() {
    let stage = Stage::open().await;
    let (id, _) = stage.make(Vec::new()).await;
    for _ in 1..10 {
        stage.make(Vec::new()).await;
    }
    let caller = stage.world.caller(&stage.buyer).await;
    let full = stage.engine.create_webhook(&caller, URL, Vec::new()).await;
    assert!(matches!(full, Err(Error::TooManyWebhooks)), "{full:?}");
    let caller = stage.world.caller(&stage.buyer).await;
    let plain = stage
        .engine
        .create_webhook(&caller, "http://a.example", Vec::new())
        .await;
    assert!(
        matches!(plain, Err(Error::Invalid { field: "url", .. })),
        "{plain:?}"
    );
    let stranger = Buyer::new(2);
    let caller = async || stage.world.caller(&stranger).await;
    let engine = &stage.engine;
    let refusals = [
        engine.ping_webhook(&caller().await, id).await.err(),
        engine.rotate_webhook(&caller().await, id).await.err(),
        engine.delete_webhook(&caller().await, id).await.err(),
        engine.deliveries(&caller().await, id).await.err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(Error::NotFound)), "{refusal:?}");
    }
    let caller = stage.world.caller(&stage.buyer).await;
    engine.delete_webhook(&caller, id).await.unwrap();
    let gone = stage.ping(id).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
}
