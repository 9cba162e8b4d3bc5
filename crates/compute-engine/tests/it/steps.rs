//! Every kind of work, with every thing that can go wrong in each of its steps: with a crash at every
//! transaction of it, and with every transaction written twice because its confirmation is lost.
//! Generated from the kinds and their steps: a new one needs its row here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use compute_domain::id::InstanceId;
use compute_domain::instance::InstanceState;
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationKind, OperationState, PowerAction, Step};
use compute_domain::payment::PaymentState;
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::TxMode;
use compute_engine::{Caller, Error, Submitted};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, paid_with};
use compute_testkit::model_store::{CommitFate, ModelStore, StoreHook};
use compute_testkit::scripted_provider::{ChangeFault, CreateFault};
use compute_testkit::scripted_rail::SettleFault;
use compute_x402::PaymentPayload;
use futures::future::{BoxFuture, FutureExt as _, ready};
use secrecy::ExposeSecret as _;

use crate::purse::usd;
use crate::world::World;

/// What is done, and how it is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    MachineByPayment,
    MachineByCredits,
    TimeByPayment,
    TimeByCredits,
    Topup,
    EarlyDestroy,
    /// Another plan, at a provider that restarts the machine for it.
    Resize,
    /// Another plan, at a provider that wants the machine off.
    ResizeWhenOff,
    Stop,
    Reinstall,
}

/// What goes wrong in it, besides the crash.
#[derive(Debug, Clone, Default)]
struct Mishap {
    settle: Vec<SettleFault>,
    create: Vec<CreateFault>,
    refused_deletes: u32,
    changes: Vec<ChangeFault>,
    lost_switches: u32,
    refused_switches: u32,
    lost_setups: u32,
}

impl Deed {
    const ALL: [Self; 10] = [
        Self::MachineByPayment,
        Self::MachineByCredits,
        Self::TimeByPayment,
        Self::TimeByCredits,
        Self::Topup,
        Self::EarlyDestroy,
        Self::Resize,
        Self::ResizeWhenOff,
        Self::Stop,
        Self::Reinstall,
    ];

    const fn kind(self) -> OperationKind {
        match self {
            Self::MachineByPayment | Self::MachineByCredits => OperationKind::Provision,
            Self::TimeByPayment | Self::TimeByCredits => OperationKind::Extend,
            Self::Topup => OperationKind::Topup,
            Self::EarlyDestroy => OperationKind::Destroy,
            Self::Resize | Self::ResizeWhenOff => OperationKind::Resize,
            Self::Stop | Self::Reinstall => OperationKind::Power,
        }
    }

    /// The steps that it goes through when something goes wrong.
    fn steps(self) -> Vec<Step> {
        let all = self.kind().steps().iter().copied();
        match self {
            Self::TimeByCredits => Vec::new(),
            Self::MachineByCredits => all.filter(|step| *step != Step::Settle).collect(),
            Self::Resize => all.filter(|step| *step != Step::PowerOff).collect(),
            _ => all.collect(),
        }
    }

    /// Everything that can go wrong in its steps: each definite failure, each unclear outcome that
    /// turns out one way and the other.
    fn mishaps(self) -> Vec<Mishap> {
        let mut mishaps = vec![Mishap::default()];
        for step in self.steps() {
            mishaps.extend(match step {
                Step::Settle => [
                    vec![SettleFault::Declines],
                    vec![SettleFault::Unreachable],
                    vec![SettleFault::LandsUnseen],
                    vec![SettleFault::LostBefore],
                    vec![SettleFault::LostBefore, SettleFault::Declines],
                    vec![SettleFault::LostBefore, SettleFault::LandsUnseen],
                ]
                .map(Mishap::settling)
                .to_vec(),
                Step::Create => [
                    vec![CreateFault::Rejects],
                    vec![CreateFault::Throttles],
                    vec![CreateFault::MadeUnseen],
                    vec![CreateFault::LostBefore],
                    vec![CreateFault::LostBefore, CreateFault::SoldOut],
                ]
                .map(Mishap::creating)
                .to_vec(),
                Step::AwaitReady => vec![Mishap::creating(vec![CreateFault::NeverReady])],
                Step::Destroy => vec![Mishap {
                    refused_deletes: 2,
                    create: vec![CreateFault::NeverReady],
                    ..Mishap::default()
                }],
                Step::Change => [
                    vec![ChangeFault::Rejects],
                    vec![ChangeFault::NoRoom],
                    vec![ChangeFault::Throttles],
                    vec![ChangeFault::Unauthorized],
                    vec![ChangeFault::TakenUnseen],
                    vec![ChangeFault::LostBefore],
                    vec![ChangeFault::LostBefore, ChangeFault::NoRoom],
                ]
                .map(Mishap::changing)
                .to_vec(),
                Step::AwaitChange => [vec![ChangeFault::GivesUp], vec![ChangeFault::Forgets]]
                    .map(Mishap::changing)
                    .to_vec(),
                Step::PowerOff | Step::PowerOn | Step::Switch => vec![
                    Mishap {
                        lost_switches: 2,
                        ..Mishap::default()
                    },
                    Mishap {
                        refused_switches: 2,
                        lost_setups: 1,
                        ..Mishap::default()
                    },
                ],
                // Questions, and a row of the ledger: they go wrong by a crash alone.
                Step::ConfirmGone | Step::Refund => Vec::new(),
            });
        }
        mishaps
    }

    /// What there must be before it: credits, or a machine.
    async fn prepare(self, world: &World, buyer: &Buyer) -> Option<InstanceId> {
        match self {
            Self::MachineByPayment | Self::Topup => None,
            Self::MachineByCredits => {
                world.top_up(buyer, "1").await;
                None
            }
            Self::TimeByPayment | Self::EarlyDestroy | Self::Stop | Self::Reinstall => {
                Some(world.sold(buyer).await.id)
            }
            Self::Resize => Some(world.sold_resizable(buyer).await.id),
            Self::ResizeWhenOff => {
                world.market.provider.need_off();
                Some(world.sold_resizable(buyer).await.id)
            }
            Self::TimeByCredits => {
                world.top_up(buyer, "1").await;
                Some(world.sold(buyer).await.id)
            }
        }
    }

    /// The payment it needs, which the client shows again after every failure.
    async fn payment(
        self,
        world: &World,
        buyer: &Buyer,
        id: Option<InstanceId>,
    ) -> Option<PaymentPayload> {
        match (self, id) {
            (Self::MachineByPayment, _) => Some(world.payment(buyer).await),
            (Self::Topup, _) => Some(world.topup_payment(buyer, "5").await),
            (Self::TimeByPayment, Some(id)) => Some(world.time_payment(buyer, id).await),
            _ => None,
        }
    }

    async fn attempt(
        self,
        world: &World,
        buyer: &Buyer,
        payment: Option<&PaymentPayload>,
        id: Option<InstanceId>,
    ) -> Result<Submitted, Error> {
        let engine = &world.market.engine;
        let caller = buyer.sign_in(engine, "POST", "/x").await?;
        let nobody = Caller::Anonymous;
        match (self, payment, id) {
            (Self::MachineByPayment, Some(payment), _) => {
                let terms = paid_with(payment);
                engine.provision(&nobody, &Market::request(), terms).await
            }
            (Self::TimeByPayment, Some(payment), Some(id)) => {
                let terms = paid_with(payment);
                engine
                    .extend(&nobody, id, &Market::one_more_day(), terms)
                    .await
            }
            (Self::Topup, Some(payment), _) => {
                let terms = paid_with(payment);
                engine.top_up(&caller, &Market::credits("5"), terms).await
            }
            (Self::MachineByCredits, _, _) => world.buy_with_credits(buyer).await,
            (Self::TimeByCredits, _, Some(id)) => world.extend_with_credits(buyer, id).await,
            (Self::EarlyDestroy, _, Some(id)) => engine.destroy(&caller, id).await,
            (Self::Resize | Self::ResizeWhenOff, _, Some(id)) => {
                let request = World::larger();
                let opened = engine.resize(&caller, id, &request).await?;
                Ok(opened.0)
            }
            (Self::Stop, _, Some(id)) => engine.switch(&caller, id, PowerAction::Stop).await,
            (Self::Reinstall, _, Some(id)) => {
                engine.switch(&caller, id, PowerAction::Reinstall).await
            }
            _ => panic!("{self:?} was not prepared"),
        }
    }
}

impl Mishap {
    fn settling(settle: Vec<SettleFault>) -> Self {
        Self {
            settle,
            ..Self::default()
        }
    }

    fn creating(create: Vec<CreateFault>) -> Self {
        Self {
            create,
            ..Self::default()
        }
    }

    fn changing(changes: Vec<ChangeFault>) -> Self {
        Self {
            changes,
            ..Self::default()
        }
    }

    /// Makes the payment network and the cloud go wrong.
    fn befall(&self, world: &World) {
        world.market.rail.misbehave(self.settle.clone());
        let cloud = &world.market.provider;
        cloud.misbehave(self.create.clone());
        cloud.refuse_deletes(self.refused_deletes);
        cloud.misbehave_in_changes(self.changes.clone());
        cloud.lose_switches(self.lost_switches);
        cloud.refuse_switches(self.refused_switches);
        cloud.lose_setups(self.lost_setups);
    }
}

/// Does it with a crash at the `n`-th transaction, restarts, and checks everything. False when it was
/// over before.
async fn live_through(deed: Deed, mishap: &Mishap, crash_at: i64) -> bool {
    let mut world = World::in_memory(ModelStore::new()).await;
    let buyer = Buyer::new(1);
    let id = deed.prepare(&world, &buyer).await;
    let payment = deed.payment(&world, &buyer, id).await;
    mishap.befall(&world);
    world.market.crash.at_transaction(crash_at);
    // Whether the client got an answer is not the point; what comes to rest is.
    if let Ok(submitted) = deed.attempt(&world, &buyer, payment.as_ref(), id).await {
        world.market.engine.work(submitted).await;
    }
    if !world.market.crash.is_dead() {
        world.market.quiesce_until_dead().await;
    }
    let died = world.market.crash.is_dead();
    if died && let Some(id) = crash_id(&world, &buyer, deed).await {
        injected(id);
    }
    world.market.restart().await;
    come_to_rest(&world, &buyer, deed, payment.as_ref(), id).await;
    died
}

/// Which crash of the fault catalogue this was, by what it left behind; none when the work was over.
async fn crash_id(world: &World, buyer: &Buyer, deed: Deed) -> Option<&'static str> {
    let mut tx = world.market.store.begin(TxMode::Read).await.unwrap();
    let later = Timestamp::from_millis(i64::MAX);
    let open = tx.list_unresolved(later, 10).await.unwrap();
    tx.rollback().await.unwrap();
    let open = open.into_iter().find(|open| open.kind == deed.kind());
    let Some(progress) = open.as_ref().and_then(Operation::progress) else {
        // Nothing was written, or everything: a purchase writes its instance first.
        return match deed {
            Deed::MachineByPayment if world.instances_of(buyer).await.is_empty() => Some("F001"),
            Deed::MachineByCredits if world.instances_of(buyer).await.is_empty() => Some("F016"),
            _ => None,
        };
    };
    let has_moved = world.market.rail.settled().len();
    let has_begun = progress.begun_at.is_some();
    match (deed, progress.step) {
        (Deed::Topup, _) => Some("F017"),
        (Deed::EarlyDestroy, _) => Some("F025"),
        (Deed::TimeByPayment | Deed::TimeByCredits, _) if !has_begun => Some("F018"),
        // The machine's own payment had moved before.
        (Deed::TimeByPayment | Deed::TimeByCredits, _) if has_moved > 1 => Some("F020"),
        (Deed::TimeByPayment | Deed::TimeByCredits, _) => Some("F019"),
        (_, Step::Settle) if !has_begun => Some("F002"),
        (_, Step::Settle) if has_moved > 0 => Some("F005"),
        (_, Step::Settle) => Some("F004"),
        (_, Step::Create) if !has_begun => Some("F006"),
        (_, Step::Create) if world.market.provider.machines().is_empty() => Some("F008"),
        // The machine was made, and the answer with its password is lost.
        (_, Step::Create) => {
            injected("F011");
            Some("F007")
        }
        (_, Step::AwaitReady) => Some("F013"),
        (_, Step::Refund) => Some("F014"),
        (_, Step::PowerOff | Step::Change) if !has_begun => Some("F021"),
        (_, Step::PowerOff) => Some("F022"),
        (_, Step::Change | Step::AwaitChange) => {
            // It is off for the change.
            if world.market.provider.alive().iter().any(|it| !it.is_on) {
                injected("F022");
            }
            Some("F023")
        }
        (_, Step::PowerOn) => Some("F024"),
        (_, Step::Destroy | Step::ConfirmGone | Step::Switch) => None,
    }
}

/// Lets everything come to rest; what the client shows again, it gets once.
async fn come_to_rest(
    world: &World,
    buyer: &Buyer,
    deed: Deed,
    payment: Option<&PaymentPayload>,
    id: Option<InstanceId>,
) {
    world.market.quiesce().await;
    if !is_charged_nothing(world, payment).await {
        if let Ok(again) = deed.attempt(world, buyer, payment, id).await {
            world.market.engine.work(again).await;
        }
        world.market.quiesce().await;
    }
    check(world, buyer, deed, payment, id).await;
}

/// Loses the confirmation of every second commit that writes: whoever writes tries again, and has
/// written twice.
#[derive(Debug, Default)]
struct Forgetful {
    is_on: std::sync::atomic::AtomicBool,
    commits: AtomicU32,
}

impl StoreHook for Forgetful {
    fn before_commit(&self, mode: TxMode) -> BoxFuture<'_, CommitFate> {
        let is_lost = mode == TxMode::Write
            && self.is_on.load(Ordering::SeqCst)
            && self
                .commits
                .fetch_add(1, Ordering::SeqCst)
                .is_multiple_of(2);
        let fate = if is_lost {
            CommitFate::ApplyUnheard
        } else {
            CommitFate::Apply
        };
        ready(fate).boxed()
    }
}

/// Does it while every second confirmation is lost, the first one or the second one to begin with.
async fn write_twice(deed: Deed, mishap: &Mishap, begin: u32) {
    let hook = Arc::new(Forgetful::default());
    let world = World::in_memory(ModelStore::new().hooked(hook.clone())).await;
    let buyer = Buyer::new(1);
    let id = deed.prepare(&world, &buyer).await;
    let payment = deed.payment(&world, &buyer, id).await;
    mishap.befall(&world);
    hook.commits.store(begin, Ordering::SeqCst);
    hook.is_on.store(true, Ordering::SeqCst);
    if let Ok(submitted) = deed.attempt(&world, &buyer, payment.as_ref(), id).await {
        world.market.engine.work(submitted).await;
    }
    for _ in 0..60 {
        // A round whose confirmation is lost is one like any other.
        let _ = world.market.engine.drive_due().await;
        world.market.clock.advance(Span::from_secs(61));
    }
    hook.is_on.store(false, Ordering::SeqCst);
    come_to_rest(&world, &buyer, deed, payment.as_ref(), id).await;
}

/// Whether the payment was declined: then showing it again is a new try, for another test.
async fn is_charged_nothing(world: &World, payment: Option<&PaymentPayload>) -> bool {
    let Some(payment) = payment else { return true };
    !world
        .market
        .engine
        .is_known(&payment.clone().into())
        .await
        .unwrap()
}

async fn check(
    world: &World,
    buyer: &Buyer,
    deed: Deed,
    payment: Option<&PaymentPayload>,
    id: Option<InstanceId>,
) {
    world.audit().await;
    let instances = world.instances_of(buyer).await;
    let mut machines = Vec::new();
    let mut tx = world.market.store.begin(TxMode::Read).await.unwrap();
    for instance in &instances {
        if let InstanceState::Active(placement) = &instance.state {
            machines.push(placement.machine.clone());
        }
        for operation in tx.operations_of(instance.id).await.unwrap() {
            let state = &operation.state;
            assert!(
                matches!(
                    state,
                    OperationState::Succeeded | OperationState::Failed { .. }
                ),
                "{deed:?}: {state:?}"
            );
        }
    }
    // The cloud's own record: every machine is somebody's, and none is missing.
    let alive = world.market.provider.alive().into_iter();
    let mut alive: Vec<_> = alive.map(|machine| machine.id).collect();
    alive.sort();
    machines.sort();
    assert_eq!(alive, machines, "{deed:?}");
    // The network's own record: what it settled is settled with us.
    for proof_key in world.market.rail.settled() {
        let payment = tx.find_payment(&proof_key).await.unwrap();
        let state = payment.map(|payment| payment.state);
        assert!(
            matches!(
                state,
                Some(PaymentState::Settled { .. } | PaymentState::Refunded { .. })
            ),
            "{deed:?}: {state:?}"
        );
    }
    drop(tx);
    check_value(world, buyer, deed, payment, id).await;
}

/// What was paid for is there exactly once, or is credit.
async fn check_value(
    world: &World,
    buyer: &Buyer,
    deed: Deed,
    payment: Option<&PaymentPayload>,
    id: Option<InstanceId>,
) {
    let account = world.account(buyer).await;
    let (credit, spent) = (account.balance, account.spent);
    let was_paid = !is_charged_nothing(world, payment).await;
    let paid = if was_paid { usd("0.168") } else { Usd::ZERO };
    let active = |instance: &compute_domain::instance::Instance| {
        matches!(instance.state, InstanceState::Active(_))
    };
    let instances = world.instances_of(buyer).await;
    let delivered = instances.iter().filter(|one| active(one)).count();
    match (deed, id) {
        (Deed::MachineByPayment, _) => {
            let value = if delivered == 1 { usd("0.168") } else { credit };
            assert_eq!((value, delivered <= 1), (paid, true));
        }
        (Deed::MachineByCredits, _) => {
            let expected = if delivered == 1 {
                usd("0.168")
            } else {
                Usd::ZERO
            };
            assert_eq!((spent, delivered <= 1), (expected, true));
            assert_eq!(credit.checked_add(spent), Ok(usd("1")));
        }
        (Deed::Topup, _) => {
            let expected = if was_paid { usd("5") } else { Usd::ZERO };
            assert_eq!(credit, expected);
        }
        (Deed::TimeByPayment, Some(id)) => {
            let hours = world.instance(id).await.extended_hours;
            let value = if hours == 24 { usd("0.168") } else { credit };
            assert_eq!((value, hours % 24 == 0 && hours <= 24), (paid, true));
        }
        (Deed::TimeByCredits, Some(id)) => {
            let hours = world.instance(id).await.extended_hours;
            let expected = if hours == 24 { usd("0.168") } else { Usd::ZERO };
            assert_eq!(spent, expected);
        }
        (Deed::EarlyDestroy, _) => assert_eq!(credit, Usd::ZERO, "a day is the minimum"),
        (Deed::Resize | Deed::ResizeWhenOff, Some(id)) => world.check_resized(id).await,
        (Deed::Stop, Some(_)) => {}
        (Deed::Reinstall, Some(id)) => {
            // However often it was set up, the last password is the one to be had, once.
            let log = world.market.provider.changes();
            let setups = log.iter().filter(|line| line.ends_with("anew")).count();
            let caller = buyer
                .sign_in(&world.market.engine, "POST", "/x")
                .await
                .unwrap();
            let taken = world.market.engine.take_password(&caller, id).await;
            let taken = taken.unwrap().password;
            let told = taken.expose_secret();
            if setups == 0 {
                assert_eq!(told, "root-of-machine-1");
            } else {
                assert_eq!(told, format!("root-of-machine-1-anew-{setups}"));
            }
        }
        _ => panic!("{deed:?} was not prepared"),
    }
}

#[test]
fn every_kind_of_work_and_each_of_its_steps_is_a_deed() {
    for kind in OperationKind::ALL {
        let deeds = Deed::ALL.iter().filter(|deed| deed.kind() == *kind);
        let mut steps: Vec<Step> = deeds.flat_map(|deed| deed.steps()).collect();
        steps.sort();
        steps.dedup();
        let mut expected = kind.steps().to_vec();
        expected.sort();
        assert_eq!(steps, expected, "{kind}");
    }
}

macro_rules! deeds {
    ($($name:ident: $deed:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            for mishap in $deed.mishaps() {
                let mut points = 0;
                while live_through($deed, &mishap, points + 1).await {
                    points += 1;
                    assert!(points < 200, "{mishap:?} never ends");
                }
                assert!(points > 1, "{mishap:?}: there is something to crash");
                for begin in [0, 1] {
                    write_twice($deed, &mishap, begin).await;
                }
            }
        }
    )+};
}

deeds! {
    a_machine_by_payment_survives_every_crash: Deed::MachineByPayment;
    a_machine_by_credits_survives_every_crash: Deed::MachineByCredits;
    time_by_payment_survives_every_crash: Deed::TimeByPayment;
    time_by_credits_survives_every_crash: Deed::TimeByCredits;
    a_top_up_survives_every_crash: Deed::Topup;
    an_early_end_survives_every_crash: Deed::EarlyDestroy;
    a_resize_survives_every_crash: Deed::Resize;
    a_resize_with_the_machine_off_survives_every_crash: Deed::ResizeWhenOff;
    a_stop_survives_every_crash: Deed::Stop;
    setting_up_anew_survives_every_crash: Deed::Reinstall;
}
