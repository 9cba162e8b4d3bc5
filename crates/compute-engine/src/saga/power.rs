//! The step `switch`: what an owner wants of a machine's switch.

use compute_domain::instance::{Access, FailureCode};
use compute_domain::operation::{OperationState, PowerAction, SwitchUse};
use compute_domain::time::Span;
use secrecy::SecretString;

use super::decide::{
    Context, DecideError, Decision, PasswordWrite, Work, look_soon, rest, try_again, unanswered,
};
use super::throttle::not_before;
use crate::ports::{MachineState, Observed, ProviderError};

/// After so many looks in vain the switch is used again, where that is harmless.
const LOOKS_PER_TRY: u32 = 5;

/// So often a machine is set up anew for want of its password.
const MAX_SETUPS: u32 = 3;

/// The provider took it on, or not.
pub(super) fn switched(
    mut work: Work,
    result: Result<Option<SecretString>, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let error = match result {
        Ok(password) => return accepted(work, password, context),
        Err(ProviderError::Ambiguous(cause)) => {
            switch_of(&mut work)?.was_unclear = true;
            let work = look_soon(work, context);
            return Ok(Decision::of(work, "switch.unknown").detail(cause.to_string()));
        }
        Err(error) => error,
    };
    let was_unclear = switch_of(&mut work)?.was_unclear;
    // Its owner waits for an answer, and can ask again; but nobody says "not done" of what may be done.
    let patience = match was_unclear {
        true => twice_ready(context),
        false => context.timing.settle_window,
    };
    // Nobody can log in without the new password, so that is asked for until it is told.
    let is_late = work.step_age(context.now) >= patience && !(was_unclear && needs_answer(&work));
    let code = match &error {
        _ if was_unclear => is_late.then_some(FailureCode::NotReady),
        ProviderError::Rejected { .. } => Some(FailureCode::ProviderRejected),
        ProviderError::NoCapacity { .. } => Some(FailureCode::NoCapacity),
        ProviderError::Unauthorized => Some(FailureCode::ProviderUnavailable),
        _ => is_late.then_some(FailureCode::ProviderUnavailable),
    };
    let is_refused = error == ProviderError::Unauthorized;
    let decision = match code {
        Some(code) => {
            let work = rest(work, OperationState::Failed { code }, context.now);
            Decision::of(work, "switch.refused")
        }
        None => {
            let at = context.retry(&work, context.timing.retry_max);
            let at = not_before(at, &error, context);
            Decision::of(try_again(work, at), "switch.postponed")
        }
    };
    Ok(decision.detail(error.to_string()).alarming(is_refused))
}

/// The provider does it. A new root password goes into the vault in the same commit; without one nobody
/// could log in, so it is asked for again, as if the answer had been lost.
fn accepted(
    mut work: Work,
    password: Option<SecretString>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let attempts = work.operation.progress().map_or(0, |it| it.attempt);
    let has_password = work
        .instance
        .as_ref()
        .is_some_and(|instance| instance.access == Access::Password);
    let switch = switch_of(&mut work)?;
    let is_anew = switch.action == PowerAction::Reinstall;
    let is_missed = is_anew && has_password && password.is_none();
    switch.was_unclear |= is_missed;
    if is_missed && attempts < MAX_SETUPS {
        let at = context.retry(&work, context.timing.retry_max);
        let decision = Decision::of(try_again(work, at), "switch.no_password");
        return Ok(decision.with_password(PasswordWrite::Erase));
    }
    switch_of(&mut work)?.is_accepted = true;
    let decision = Decision::of(look_soon(work, context), "switch.accepted");
    Ok(match password.filter(|_| has_password) {
        Some(password) => decision.with_password(PasswordWrite::Replace(password, context.now)),
        // The one that is there, if any, opens nothing any more.
        None if is_missed => decision.with_password(PasswordWrite::Erase).alarming(true),
        None => decision,
    })
}

/// Whether the machine is as it was wanted.
pub(super) fn seen(
    mut work: Work,
    seen: Result<Observed, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let cap = context.timing.retry_max;
            return Ok(unanswered(work, &error, "switch.no_answer", cap, context));
        }
    };
    let is_lost = matches!(seen.state, MachineState::Gone | MachineState::Suspended);
    let patience = match is_lost {
        true => context.timing.gone_gap,
        false => twice_ready(context),
    };
    let is_over = work.step_age(context.now) >= patience;
    let needs_answer = needs_answer(&work);
    let switch = switch_of(&mut work)?;
    let action = switch.action;
    let is_busy = matches!(seen.state, MachineState::Starting | MachineState::Busy);
    if is_busy && !needs_answer {
        // It is being done: that it was asked for is to be seen.
        switch.is_accepted = true;
    }
    // Whether it was sent is not known, and a still machine does not show it. A restart more than was
    // asked for harms less than none; a new root password would be in the lost answer.
    let is_unknown =
        matches!(action, PowerAction::Reinstall | PowerAction::Reboot) && !switch.is_accepted;
    if is_unknown && is_over && (is_lost || !needs_answer) {
        let code = FailureCode::NotReady;
        let work = rest(work, OperationState::Failed { code }, context.now);
        return Ok(Decision::of(work, "switch.given_up").alarming(true));
    }
    if is_unknown {
        switch.was_unclear = true;
        let at = context.retry(&work, context.timing.retry_max);
        return Ok(Decision::of(try_again(work, at), "switch.once_more"));
    }
    let wanted = match action {
        PowerAction::Stop => MachineState::Stopped,
        PowerAction::Reboot | PowerAction::Start | PowerAction::Reinstall => MachineState::Ready,
    };
    if seen.state == wanted {
        let work = rest(work, OperationState::Succeeded, context.now);
        return Ok(Decision::of(work, "switch.done"));
    }
    if is_over {
        let code = FailureCode::NotReady;
        let work = rest(work, OperationState::Failed { code }, context.now);
        return Ok(Decision::of(work, "switch.given_up"));
    }
    let looks = work.operation.data.looks.saturating_add(1);
    // A machine that is being set up is left alone.
    let is_still = matches!(seen.state, MachineState::Ready | MachineState::Stopped);
    let may_repeat = action != PowerAction::Reinstall && is_still;
    if may_repeat && looks.is_multiple_of(LOOKS_PER_TRY) {
        let mut work = try_again(work, context.now);
        work.operation.data.looks = looks;
        return Ok(Decision::of(work, "switch.once_more"));
    }
    Ok(Decision::of(look_soon(work, context), "switch.not_yet"))
}

/// Whether only the provider's answer will do: it holds the new root password.
fn needs_answer(work: &Work) -> bool {
    let switch = work.operation.data.switch;
    let is_anew = switch.is_some_and(|switch| switch.action == PowerAction::Reinstall);
    let instance = work.instance.as_ref();
    is_anew && instance.is_some_and(|instance| instance.access == Access::Password)
}

/// Longer than a machine takes to start.
fn twice_ready(context: &Context<'_>) -> Span {
    Span::from_millis(context.timing.ready_window.millis().saturating_mul(2))
}

fn switch_of(work: &mut Work) -> Result<&mut SwitchUse, DecideError> {
    work.operation
        .data
        .switch
        .as_mut()
        .ok_or(DecideError::NoChange)
}
