//! The planner against every step, and the decisions that a crash test cannot single out.

use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::operation::{Operation, OperationKind, OperationState, Progress, Step};
use compute_domain::time::{Span, Timestamp};

use super::plan::{Effect, Next, plan};

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
        InstanceId::generate(NOW, &Zeros),
        None,
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
        CreateMachine, DestroyMachine, FindMachines, LookUpPayment, Observe, PostRefund, Settle,
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
