//! What to do next with an operation. Pure.

use compute_domain::operation::{Operation, OperationState, Step};
use compute_domain::time::Timestamp;

/// One thing to do in the outside world, or in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Make the money move.
    Settle,
    /// Ask whether the money moved.
    LookUpPayment,
    /// Have a machine made.
    CreateMachine,
    /// Ask whether a machine was made.
    FindMachines,
    /// Look at the machine.
    Observe,
    /// Have the machine deleted; repeating is harmless.
    DestroyMachine,
    /// Make sure the machine is gone.
    ConfirmGone,
    /// Give the money back as credit; a unique row makes repeating harmless.
    PostRefund,
    /// Cut the machine's power; repeating is harmless.
    PowerOff,
    /// Have the plan changed.
    ChangePlan,
    /// Look at the machine, and at the provider's work on it.
    ObserveChange,
    /// Switch the machine on; repeating is harmless.
    PowerOn,
    /// Do what the owner wants with the switch.
    UseSwitch,
}

/// The next move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Commit that the effect begins, then do it.
    Begin(Effect),
    /// Do it: it changes nothing outside, or is a question.
    Perform(Effect),
    /// Nothing before this moment.
    Wait(Timestamp),
    /// Nothing any more.
    Rest,
}

pub(super) fn plan(operation: &Operation, now: Timestamp) -> Next {
    let OperationState::Running(progress) = &operation.state else {
        return Next::Rest;
    };
    if now < progress.run_at {
        return Next::Wait(progress.run_at);
    }
    match (progress.step, progress.begun_at) {
        (Step::Settle, None) => Next::Begin(Effect::Settle),
        (Step::Settle, Some(_)) => Next::Perform(Effect::LookUpPayment),
        // The database may have forgotten that the machine was made.
        (Step::Create, None) if operation.data.was_held => Next::Begin(Effect::FindMachines),
        (Step::Create, None) => Next::Begin(Effect::CreateMachine),
        (Step::Create, Some(_)) => Next::Perform(Effect::FindMachines),
        (Step::AwaitReady, _) => Next::Perform(Effect::Observe),
        (Step::Destroy, _) => Next::Begin(Effect::DestroyMachine),
        (Step::ConfirmGone, _) => Next::Perform(Effect::ConfirmGone),
        (Step::Refund, _) => Next::Perform(Effect::PostRefund),
        (Step::PowerOff, None) => Next::Begin(Effect::PowerOff),
        (Step::Change, None) => Next::Begin(Effect::ChangePlan),
        (Step::PowerOn, None) => Next::Begin(Effect::PowerOn),
        (Step::Switch, None) => Next::Begin(Effect::UseSwitch),
        (Step::PowerOff | Step::Change | Step::PowerOn | Step::Switch, Some(_)) => {
            Next::Perform(Effect::Observe)
        }
        (Step::AwaitChange, _) => Next::Perform(Effect::ObserveChange),
    }
}
