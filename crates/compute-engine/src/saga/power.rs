//! The step `switch`: what an owner wants of a machine's switch.

use compute_domain::instance::{Access, FailureCode};
use compute_domain::operation::{OperationState, PowerAction, SwitchUse};
use compute_domain::time::Span;
use secrecy::SecretString;

use super::decide::{
    Context, DecideError, Decision, PasswordWrite, Work, look_again, rest, try_again, unanswered,
};
use crate::ports::{MachineState, Observed, ProviderError};

/// After so many looks in vain the switch is used again, where that is harmless.
const LOOKS_PER_TRY: u32 = 5;

/// The longest wait between two looks, in waits for a machine that starts.
const LOOK_GAPS: i64 = 5;

/// The provider took it on, or not.
pub(super) fn switched(
    mut work: Work,
    result: Result<Option<SecretString>, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let error = match result {
        Ok(password) => {
            switch_of(&mut work)?.is_accepted = true;
            let takes_password = work
                .instance
                .as_ref()
                .is_some_and(|instance| instance.access == Access::Password);
            let decision = Decision::of(look_soon(work, context), "switch.accepted");
            return Ok(match password.filter(|_| takes_password) {
                Some(password) => {
                    decision.with_password(PasswordWrite::Replace(password, context.now))
                }
                None => decision,
            });
        }
        Err(ProviderError::Ambiguous(cause)) => {
            let work = look_soon(work, context);
            return Ok(Decision::of(work, "switch.unknown").detail(cause.to_string()));
        }
        Err(error) => error,
    };
    let is_late = work.step_age(context.now) >= context.timing.settle_window;
    let code = match &error {
        ProviderError::Rejected { .. } => Some(FailureCode::ProviderRejected),
        ProviderError::NoCapacity { .. } => Some(FailureCode::NoCapacity),
        ProviderError::Unauthorized => Some(FailureCode::ProviderUnavailable),
        // Its owner waits for an answer, and can ask again.
        _ if is_late => Some(FailureCode::ProviderUnavailable),
        _ => None,
    };
    let is_refused = error == ProviderError::Unauthorized;
    let decision = match code {
        Some(code) => {
            let work = rest(work, OperationState::Failed { code }, context.now);
            Decision::of(work, "switch.refused")
        }
        None => {
            let at = context.retry(&work, context.timing.retry_max);
            Decision::of(try_again(work, at), "switch.postponed")
        }
    };
    Ok(decision.detail(error.to_string()).alarming(is_refused))
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
    let SwitchUse {
        action,
        is_accepted,
    } = *switch_of(&mut work)?;
    // Whether it was sent is not known, and the machine does not show it. A new root password would be
    // in the lost answer; a restart more than was asked for harms less than none.
    if matches!(action, PowerAction::Reinstall | PowerAction::Reboot) && !is_accepted {
        let work = try_again(work, context.now);
        return Ok(Decision::of(work, "switch.once_more"));
    }
    let wanted = match action {
        PowerAction::Stop => MachineState::Stopped,
        PowerAction::Reboot | PowerAction::Start | PowerAction::Reinstall => MachineState::Ready,
    };
    if seen.state == wanted {
        let work = rest(work, OperationState::Succeeded, context.now);
        return Ok(Decision::of(work, "switch.done"));
    }
    let twice = Span::from_millis(context.timing.ready_window.millis().saturating_mul(2));
    let is_over = match seen.state {
        MachineState::Gone | MachineState::Suspended => {
            work.step_age(context.now) >= context.timing.gone_gap
        }
        _ => work.step_age(context.now) >= twice,
    };
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

fn switch_of(work: &mut Work) -> Result<&mut SwitchUse, DecideError> {
    work.operation
        .data
        .switch
        .as_mut()
        .ok_or(DecideError::NoChange)
}

/// Counts a look, and looks again soon, and later at every further one.
fn look_soon(work: Work, context: &Context<'_>) -> Work {
    let cap = Span::from_millis(context.timing.ready_look.millis().saturating_mul(LOOK_GAPS));
    let at = context.retry(&work, cap);
    look_again(work, at)
}
