//! The planner against every step, and the decisions that a crash test cannot single out.

use compute_domain::catalog::{OsId, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::{InstanceId, OperationId, OwnerId, TransferId};
use compute_domain::instance::{Access, Instance, InstanceState, Placement};
use compute_domain::money::{HourlyRate, Hours, Usd};
use compute_domain::operation::{Operation, OperationKind, OperationState, Progress, Step};
use compute_domain::prepaid::Prepaid;
use compute_domain::text::Label;
use compute_domain::time::{Span, Timestamp};

use super::decide::{Context, Outcome, Work, decide};
use super::plan::{Effect, Next, plan};

use crate::ports::{MachineState, Observed};
use crate::timing::Timing;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

#[derive(Debug)]
struct Zeros;
impl compute_domain::time::Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn operation(step: Step, begun: bool, run_at: Timestamp) -> Operation {
    let mut operation = Operation::open(
        OperationId::generate(NOW, &Zeros),
        OperationKind::Provision,
        OwnerId::generate(NOW, &Zeros),
        Some(InstanceId::generate(NOW, &Zeros)),
        [0; 32],
        NOW,
    );
    let begun_at = begun.then_some(NOW);
    operation.state = OperationState::Running(Progress {
        step,
        begun_at,
        attempt: 1,
        run_at,
    });
    operation
}

#[test]
fn every_step_has_a_next_move_before_and_after_it_was_begun() {
    use Effect::{
        ChangePlan, CreateMachine, DestroyMachine, FindMachines, LookUpPayment, Observe,
        ObserveChange, PostRefund, PowerOff, PowerOn, Settle, UseSwitch,
    };
    let expected = [
        (
            Step::Settle,
            Next::Begin(Settle),
            Next::Perform(LookUpPayment),
        ),
        (
            Step::Create,
            Next::Begin(CreateMachine),
            Next::Perform(FindMachines),
        ),
        (
            Step::AwaitReady,
            Next::Perform(Observe),
            Next::Perform(Observe),
        ),
        (
            Step::Destroy,
            Next::Begin(DestroyMachine),
            Next::Begin(DestroyMachine),
        ),
        (
            Step::ConfirmGone,
            Next::Perform(Effect::ConfirmGone),
            Next::Perform(Effect::ConfirmGone),
        ),
        (
            Step::Refund,
            Next::Perform(PostRefund),
            Next::Perform(PostRefund),
        ),
        (
            Step::PowerOff,
            Next::Begin(PowerOff),
            Next::Perform(Observe),
        ),
        (
            Step::Change,
            Next::Begin(ChangePlan),
            Next::Perform(Observe),
        ),
        (
            Step::AwaitChange,
            Next::Perform(ObserveChange),
            Next::Perform(ObserveChange),
        ),
        (Step::PowerOn, Next::Begin(PowerOn), Next::Perform(Observe)),
        (Step::Switch, Next::Begin(UseSwitch), Next::Perform(Observe)),
    ];
    assert_eq!(
        expected.len(),
        Step::ALL.len(),
        "a new step needs its row here"
    );
    for (step, fresh, begun) in expected {
        assert_eq!(plan(&operation(step, false, NOW), NOW), fresh, "{step}");
        assert_eq!(plan(&operation(step, true, NOW), NOW), begun, "{step}");
        // What acts on the world is announced first; what does not needs no announcement.
        assert_eq!(matches!(fresh, Next::Begin(_)), step.has_effect(), "{step}");
    }
}

#[test]
fn nothing_happens_before_its_time_or_at_rest() {
    let later = NOW.plus(Span::from_secs(5));
    for step in Step::ALL {
        assert_eq!(plan(&operation(*step, true, later), NOW), Next::Wait(later));
        let rested = operation(*step, true, NOW).rest(OperationState::Succeeded, NOW);
        assert_eq!(plan(&rested, later), Next::Rest);
    }
}

#[test]
fn a_kind_starts_with_one_of_its_own_steps() {
    for kind in OperationKind::ALL {
        assert!(kind.steps().contains(&kind.first_step()), "{kind}");
    }
}

fn machine() -> ProviderInstanceId {
    ProviderInstanceId::parse("machine-1").unwrap()
}

/// A machine that was seen starting, and nobody looked at for `since`.
fn starting(since: Span) -> Work {
    let mut operation = operation(Step::AwaitReady, false, NOW);
    operation.data.seen_alive = true;
    operation.data.step_since = Some(NOW.minus(since));
    let placement = Placement {
        machine: machine(),
        expires_at: NOW.plus(Span::from_hours(24)),
    };
    let instance = Instance {
        id: operation.instance.unwrap(),
        owner: operation.owner,
        provider: ProviderId::Vultr,
        plan: PlanId::parse("vc2-1c-1gb").unwrap(),
        region: RegionId::parse("ewr").unwrap(),
        os: OsId::parse("2284").unwrap(),
        label: Label::parse("x").unwrap(),
        rate: HourlyRate::from_micros(7_000).unwrap(),
        hours: Hours::new(24).unwrap(),
        extended_hours: 0,
        price: Usd::from_micros(168_000).unwrap(),
        access: Access::SshKey,
        ip: None,
        suspended_since: None,
        resizing: None,
        is_protected: false,
        created_at: NOW,
        state: InstanceState::Provisioning(Some(placement)),
    };
    Work {
        operation,
        instance: Some(instance),
        payment: None,
        prepaid: Prepaid::default(),
    }
}

fn look(work: Work, last_octet: u8) -> Work {
    let seen = Observed {
        machine: machine(),
        tag: None,
        plan: None,
        state: MachineState::Ready,
        address: Some([192, 0, 2, last_octet].into()),
        created_at: None,
    };
    let timing = Timing::default();
    let context = Context {
        now: NOW,
        timing: &timing,
        transfer_ids: [TransferId::generate(NOW, &Zeros); 2],
        jitter_permille: 0,
    };
    decide(work, Outcome::Observed(Ok(seen)), &context)
        .unwrap()
        .work
}

#[test]
fn a_machine_that_runs_is_delivered_however_late_it_is_looked_at() {
    for hours in [0, 1, 100] {
        let once = look(starting(Span::from_hours(hours)), 7);
        assert_eq!(once.step(), Some(Step::AwaitReady), "after {hours} h");
        let twice = look(once, 7);
        assert!(
            matches!(twice.instance.unwrap().state, InstanceState::Active(_)),
            "after {hours} h"
        );
    }
}

#[test]
fn a_machine_whose_address_never_settles_is_given_up() {
    let restless = look(look(starting(Span::from_hours(100)), 7), 8);
    assert_eq!(restless.step(), Some(Step::Destroy));
}
