//! Machines that get another plan: what it comes to, what forbids it, and what is left whatever happens.

use compute_domain::catalog::PlanId;
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::{FailureCode, Instance, InstanceState};
use compute_domain::operation::{OperationState, PowerAction};
use compute_domain::prepaid::{LotOrigin, Prepaid};
use compute_domain::time::Span;
use compute_engine::ports::{ResizeCheck, TxMode};
use compute_engine::{Caller, Error, ResizeRefusal, ResizeRequest, Submitted};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, paid_with};
use compute_testkit::scripted_provider::ChangeFault;

use crate::purse::usd;
use crate::world::World;

impl World {
    /// A machine for a day, beside which a larger plan is for sale.
    pub(crate) async fn sold_resizable(&self, buyer: &Buyer) -> Instance {
        self.market.provider.sell_larger();
        self.market.clock.advance(Span::from_secs(601));
        self.market.engine.refresh_catalog().await;
        self.sold(buyer).await
    }

    /// The larger plan.
    pub(crate) fn larger() -> ResizeRequest {
        ResizeRequest {
            plan: PlanId::parse("vc2-4c-8gb").unwrap(),
            confirm_disk: false,
        }
    }

    pub(crate) async fn lots_of(&self, id: InstanceId) -> Prepaid {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.lots_of(id).await.unwrap()
    }

    /// At rest: plan, rate and time are all the old ones or all the new ones, the machine has the plan
    /// that the database says and is on, and all that was left is still there.
    pub(crate) async fn check_resized(&self, id: InstanceId) {
        let instance = self.instance(id).await;
        assert_eq!(instance.resizing, None);
        let InstanceState::Active(placement) = &instance.state else {
            panic!("{:?}", instance.state)
        };
        let machines = self.market.provider.machines();
        let machine = machines.iter().find(|it| it.id == placement.machine);
        let machine = machine.unwrap();
        assert_eq!(machine.plan, instance.plan);
        assert!(machine.is_on, "{:?}", self.market.provider.changes());
        let prepaid = self.lots_of(id).await;
        assert_eq!(prepaid.expires_at(), Some(placement.expires_at));
        if instance.plan != Self::larger().plan {
            assert_eq!(prepaid.lots().len(), 1);
            assert_eq!(instance.rate.micros(), 7_000);
            return;
        }
        let [bought, converted] = prepaid.lots() else {
            panic!("{prepaid:?}")
        };
        assert_eq!(converted.origin, LotOrigin::Conversion);
        assert_eq!(
            (converted.rate, instance.rate),
            (instance.rate, converted.rate)
        );
        assert_eq!(bought.closed.map(|it| it.left), Some(converted.amount));
        // At most a millisecond of the new rate is lost.
        let millis = i128::from(converted.to.since(converted.from).millis());
        let worth = millis * i128::from(converted.rate.micros());
        let lost = i128::from(converted.amount.micros()) * 3_600_000 - worth;
        assert!((0..i128::from(converted.rate.micros())).contains(&lost));
    }
}

async fn open_change(world: &World, buyer: &Buyer, id: InstanceId) -> Result<Submitted, Error> {
    let caller = world.caller(buyer).await;
    let engine = &world.market.engine;
    let opened = engine.resize(&caller, id, &World::larger()).await;
    opened.map(|(submitted, _)| submitted)
}

async fn change(world: &World, buyer: &Buyer, id: InstanceId) -> OperationId {
    let submitted = open_change(world, buyer, id).await;
    world.finish(submitted).await
}

async fn refusal(world: &World, buyer: &Buyer, id: InstanceId, plan: &str) -> Error {
    let caller = world.caller(buyer).await;
    let request = ResizeRequest {
        plan: PlanId::parse(plan).unwrap(),
        confirm_disk: false,
    };
    let refused = world.market.engine.resize(&caller, id, &request).await;
    let refused = refused.unwrap_err();
    let caller = world.caller(buyer).await;
    let planned = world.market.engine.plan_resize(&caller, id, &request).await;
    // A look at it is refused for the same reason.
    assert_eq!(planned.unwrap_err().to_string(), refused.to_string());
    refused
}

#[tokio::test]
async fn what_is_left_is_kept_and_counted_anew() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold_resizable(&buyer).await;
    let made = instance.expires_at().minus(Span::from_hours(24));
    // 8 of 24 hours are over: 0.112 USD are left, or 4 hours of four times the price.
    world.market.clock.set(made.plus(Span::from_hours(8)));
    let caller = world.caller(&buyer).await;
    let plan = world
        .market
        .engine
        .plan_resize(&caller, instance.id, &World::larger())
        .await
        .unwrap();
    assert_eq!(plan.left, usd("0.112"));
    assert_eq!(plan.time_before(), Span::from_hours(16));
    assert_eq!(plan.time_after(), Span::from_hours(4));
    assert_eq!(world.instance(instance.id).await, instance, "nothing moved");

    let submitted = open_change(&world, &buyer, instance.id).await.unwrap();
    let under_way = world.instance(instance.id).await;
    let resizing = under_way.resizing.clone().unwrap();
    assert_eq!(
        (under_way.plan, under_way.rate),
        (instance.plan, instance.rate)
    );
    assert_eq!(resizing.to, World::larger().plan);
    assert_eq!(resizing.expires_at, plan.new_expires_at);

    world.finish(Ok(submitted)).await;
    world.market.quiesce().await;
    let after = world.instance(instance.id).await;
    assert_eq!(after.plan, World::larger().plan);
    assert_eq!(after.rate.micros(), 28_000);
    let prepaid = world.lots_of(instance.id).await;
    let converted = prepaid.lots().last().unwrap();
    assert_eq!(after.expires_at(), converted.to);
    world.check_resized(instance.id).await;
    world.audit().await;
}

#[tokio::test]
async fn rules_forbid_before_anything_moves() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold_resizable(&buyer).await;
    let id = instance.id;
    let refused = |error: Error| match error {
        Error::ResizeRefused(why) => why,
        other => panic!("{other:?}"),
    };
    let same = refusal(&world, &buyer, id, "vc2-1c-1gb").await;
    assert_eq!(refused(same), ResizeRefusal::SamePlan);
    let unknown = refusal(&world, &buyer, id, "do:s-1vcpu-1gb").await;
    assert!(matches!(unknown, Error::UnknownPlan), "{unknown:?}");
    let unknown = refusal(&world, &buyer, id, "vc2-9c-9gb").await;
    assert!(matches!(unknown, Error::UnknownPlan), "{unknown:?}");
    for (check, expected) in [
        (ResizeCheck::Smaller, ResizeRefusal::Smaller),
        (ResizeCheck::OtherFamily, ResizeRefusal::OtherFamily),
        (ResizeCheck::Never, ResizeRefusal::Never),
        (
            ResizeCheck::Possible { grows_disk: true },
            ResizeRefusal::DiskNotConfirmed,
        ),
    ] {
        world.market.provider.say_of_changes(check);
        let why = refusal(&world, &buyer, id, "vc2-4c-8gb").await;
        assert_eq!(refused(why), expected);
    }
    world
        .market
        .provider
        .say_of_changes(ResizeCheck::Possible { grows_disk: false });
    world.market.provider.answer_no_checks(2);
    let silent = refusal(&world, &buyer, id, "vc2-4c-8gb").await;
    assert!(matches!(silent, Error::ProviderUnavailable), "{silent:?}");

    // Somebody else's, and nobody's.
    let stranger = Buyer::new(2);
    world.sold(&stranger).await;
    let foreign = refusal(&world, &stranger, id, "vc2-4c-8gb").await;
    assert!(matches!(foreign, Error::NotFound), "{foreign:?}");
    let nobody = world
        .market
        .engine
        .resize(&Caller::Anonymous, id, &World::larger())
        .await;
    assert!(matches!(nobody, Err(Error::Unauthenticated(_))));

    // Less than an hour of the larger plan is left: 0.028 USD are 4 hours of the present one.
    let end = instance.expires_at();
    world
        .market
        .clock
        .set(end.minus(Span::from_millis(4 * 3_600_000 - 1)));
    world.market.engine.refresh_catalog().await;
    let little = refusal(&world, &buyer, id, "vc2-4c-8gb").await;
    assert!(matches!(
        refused(little),
        ResizeRefusal::TooLittleLeft { .. }
    ));
    // Over and done with.
    world.market.clock.set(end.plus(Span::from_hours(1)));
    world.market.engine.refresh_catalog().await;
    let expired = refusal(&world, &buyer, id, "vc2-4c-8gb").await;
    assert!(matches!(expired, Error::WrongState { state: "expired" }));

    assert_eq!(world.market.provider.changes(), Vec::<String>::new());
    assert_eq!(world.instance(id).await, instance);
    world.audit().await;
}

#[tokio::test]
async fn a_change_that_fails_leaves_everything_as_it_was() {
    for (faults, needs_off, code) in [
        (vec![ChangeFault::NoRoom], false, FailureCode::NoCapacity),
        (vec![ChangeFault::NoRoom], true, FailureCode::NoCapacity),
        (
            vec![ChangeFault::Rejects],
            true,
            FailureCode::ProviderRejected,
        ),
        (vec![ChangeFault::GivesUp], false, FailureCode::ResizeFailed),
        (vec![ChangeFault::GivesUp], true, FailureCode::ResizeFailed),
        (vec![ChangeFault::Forgets], true, FailureCode::ResizeFailed),
    ] {
        let world = World::open().await;
        if needs_off {
            world.market.provider.need_off();
        }
        let buyer = Buyer::new(1);
        let instance = world.sold_resizable(&buyer).await;
        world.market.provider.misbehave_in_changes(faults.clone());
        injected("F117");
        let operation = change(&world, &buyer, instance.id).await;
        world.market.quiesce().await;
        let state = world.operation(operation).await.state;
        assert_eq!(state, OperationState::Failed { code }, "{faults:?}");
        assert_eq!(world.instance(instance.id).await, instance, "{faults:?}");
        world.check_resized(instance.id).await;
        world.audit().await;
        // And it can be tried again.
        change(&world, &buyer, instance.id).await;
        world.market.quiesce().await;
        let after = world.instance(instance.id).await;
        assert_eq!(after.plan, World::larger().plan, "{faults:?}");
        world.check_resized(instance.id).await;
    }
}

#[tokio::test]
async fn a_change_with_a_lost_answer_is_found_out_about() {
    for fault in [ChangeFault::TakenUnseen, ChangeFault::LostBefore] {
        for needs_off in [false, true] {
            let world = World::open().await;
            if needs_off {
                world.market.provider.need_off();
                world.market.provider.lose_switches(3);
            }
            let buyer = Buyer::new(1);
            let instance = world.sold_resizable(&buyer).await;
            world.market.provider.misbehave_in_changes([fault]);
            injected("F118");
            change(&world, &buyer, instance.id).await;
            world.market.quiesce().await;
            let after = world.instance(instance.id).await;
            assert_eq!(after.plan, World::larger().plan, "{fault:?}");
            world.check_resized(instance.id).await;
            world.audit().await;
        }
    }
}

#[tokio::test]
async fn while_it_is_being_changed_nothing_else_is_done_with_it() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold_resizable(&buyer).await;
    let payment = world.time_payment(&buyer, instance.id).await;
    let submitted = open_change(&world, &buyer, instance.id).await.unwrap();
    injected("F119");
    let engine = &world.market.engine;
    let caller = world.caller(&buyer).await;
    let again = engine.resize(&caller, instance.id, &World::larger()).await;
    let is_busy = |error: &Error| matches!(error, Error::OperationInProgress { .. });
    assert!(is_busy(&again.unwrap_err()));
    let caller = world.caller(&buyer).await;
    let ended = engine.destroy(&caller, instance.id).await;
    assert!(is_busy(&ended.unwrap_err()));
    let caller = world.caller(&buyer).await;
    let stopped = engine.switch(&caller, instance.id, PowerAction::Stop).await;
    assert!(is_busy(&stopped.unwrap_err()));
    let longer = engine
        .extend(
            &Caller::Anonymous,
            instance.id,
            &Market::one_more_day(),
            paid_with(&payment),
        )
        .await;
    assert!(is_busy(&longer.unwrap_err()));
    assert_eq!(
        world.market.rail.settled().len(),
        1,
        "nothing was paid for it"
    );
    world.finish(Ok(submitted)).await;
    world.market.quiesce().await;
    world.check_resized(instance.id).await;
    world.audit().await;
}

#[tokio::test]
async fn a_protection_outlives_the_change_that_it_is_set_in() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold_resizable(&buyer).await;
    let submitted = open_change(&world, &buyer, instance.id).await.unwrap();
    let engine = &world.market.engine;
    // Between the change's reading of the instance and its writing.
    let caller = world.caller(&buyer).await;
    let protect = engine.protect(&caller, instance.id, true);
    let (protected, _) = futures::future::join(protect, engine.work(submitted)).await;
    assert!(protected.unwrap().is_protected);
    world.market.quiesce().await;
    let after = world.instance(instance.id).await;
    assert!(after.is_protected);
    assert_eq!(after.plan, World::larger().plan);
    world.check_resized(instance.id).await;
    world.audit().await;
}

#[tokio::test]
async fn a_change_that_hangs_keeps_nobody_from_ending_the_machine() {
    let world = World::open().await;
    world.market.provider.need_off();
    let buyer = Buyer::new(1);
    let instance = world.sold_resizable(&buyer).await;
    world.market.provider.refuse_switches(1_000_000);
    let operation = change(&world, &buyer, instance.id).await;
    let begun = now(&world.market);
    let engine = &world.market.engine;
    let window = engine_ready_window();
    world.market.clock.set(begun.plus(window));
    let caller = world.caller(&buyer).await;
    let ended = engine.destroy(&caller, instance.id).await;
    world.finish(ended).await;
    world.market.quiesce().await;
    let after = world.instance(instance.id).await;
    assert!(
        matches!(after.state, InstanceState::Destroyed { .. }),
        "{after:?}"
    );
    assert_eq!(after.resizing, None);
    let state = world.operation(operation).await.state;
    assert!(matches!(state, OperationState::Failed { .. }), "{state:?}");
    assert_eq!(world.market.provider.alive().len(), 0);
    world.audit().await;
}

fn engine_ready_window() -> Span {
    compute_engine::Timing::default().ready_window
}

#[tokio::test]
async fn a_protected_machine_outlives_its_owners_wish_and_not_its_time() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    let engine = &world.market.engine;
    for round in 0..2 {
        let caller = world.caller(&buyer).await;
        let held = engine.protect(&caller, instance.id, true).await.unwrap();
        assert!(held.is_protected, "{round}");
    }
    let caller = world.caller(&buyer).await;
    let ended = engine.destroy(&caller, instance.id).await;
    assert!(matches!(ended, Err(Error::Protected)));
    let stranger = Buyer::new(2);
    world.sold(&stranger).await;
    let caller = world.caller(&stranger).await;
    let lifted = engine.protect(&caller, instance.id, false).await;
    assert!(matches!(lifted, Err(Error::NotFound)));
    world
        .market
        .clock
        .set(instance.expires_at().plus(Span::from_hours(2)));
    engine.expire_due().await.unwrap();
    world.market.quiesce().await;
    let after = world.instance(instance.id).await;
    assert!(matches!(after.state, InstanceState::Destroyed { .. }));
    world.audit().await;
}

#[tokio::test]
async fn a_switch_does_what_its_owner_wants() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let instance = world.sold(&buyer).await;
    let engine = &world.market.engine;
    for (action, is_on) in [
        (PowerAction::Stop, false),
        (PowerAction::Stop, false),
        (PowerAction::Start, true),
        (PowerAction::Reboot, true),
        (PowerAction::Stop, false),
        (PowerAction::Reinstall, true),
    ] {
        let caller = world.caller(&buyer).await;
        let submitted = engine.switch(&caller, instance.id, action).await;
        let operation = world.finish(submitted).await;
        world.market.quiesce().await;
        let state = world.operation(operation).await.state;
        assert_eq!(state, OperationState::Succeeded, "{action}");
        assert_eq!(world.market.provider.machines()[0].is_on, is_on, "{action}");
    }
    assert_eq!(world.instance(instance.id).await, instance);
    world.audit().await;
}
