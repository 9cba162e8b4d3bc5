//! The steps `power_off`, `change`, `await_change` and `power_on`.
//!
//! Plan, rate and end of the prepaid time move together, in the commit that notes that the provider
//! has brought the change about, and not before: a change that fails has moved nothing. What is left
//! of the prepaid value at that moment is all kept (decisions.md 15). Whatever happens after a machine
//! was switched off, it is switched on again.

use compute_domain::instance::{FailureCode, Instance};
use compute_domain::money::Usd;
use compute_domain::operation::{OperationState, PlanChange, Step};
use compute_domain::time::{Span, Timestamp};

use super::decide::{
    Context, DecideError, Decision, Work, advance, look_again, look_soon, rest, try_again,
    unanswered,
};
use super::provision::gone_long_enough;
use super::throttle::not_before;
use crate::ports::{ActionId, ActionState, MachineState, Observed, ProviderError};

/// After so many looks in vain the switch is used again.
const LOOKS_PER_TRY: u32 = 5;

/// So many looks show whether a change with a lost answer was taken on.
const PROBE_LOOKS: u32 = 3;

/// For so many gaps a machine must have had its old plan, and its provider not been busy with it, until
/// a change that the provider took on counts as failed: its looks lag behind its deeds.
const IDLE_GAPS: i64 = 10;

/// The power was cut, or not.
pub(super) fn switched_off(
    work: Work,
    result: Result<(), ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let error = match result {
        Ok(()) | Err(ProviderError::Ambiguous(_)) => {
            let work = look_soon(work, context);
            return Ok(Decision::of(work, "power_off.accepted"));
        }
        Err(error) => error,
    };
    if let Some(code) = hopeless(&error, &work, context) {
        let decision = give_up(work, code, context, "power_off.refused")?;
        return Ok(with_error(decision, &error));
    }
    let at = not_before(
        context.retry(&work, context.timing.retry_max),
        &error,
        context,
    );
    Ok(Decision::of(try_again(work, at), "power_off.postponed").detail(error.to_string()))
}

/// Whether the machine is off, so that its plan can change.
pub(super) fn is_off(
    work: Work,
    seen: Result<Observed, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let cap = context.timing.retry_max;
            return Ok(unanswered(
                work,
                &error,
                "power_off.no_answer",
                cap,
                context,
            ));
        }
    };
    match seen.state {
        MachineState::Stopped => Ok(Decision::of(
            advance(work, Step::Change, context),
            "power_off.off",
        )),
        MachineState::Gone => gone(work, context, "power_off.gone"),
        _ if work.step_age(context.now) >= context.timing.ready_window => give_up(
            work,
            FailureCode::ResizeFailed,
            context,
            "power_off.too_late",
        ),
        _ => Ok(press_again(work, "power_off.still_on", context)),
    }
}

/// The provider took the change on, or not.
pub(super) fn begun(
    mut work: Work,
    begun: Result<Option<ActionId>, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let error = match begun {
        Ok(action) => {
            let change = change_of(&mut work)?;
            change.action = action.map(|action| action.0);
            let detail = change.action.clone().unwrap_or_default();
            let work = advance(work, Step::AwaitChange, context);
            return Ok(Decision::of(work, "change.accepted").detail(detail));
        }
        Err(ProviderError::Ambiguous(cause)) => {
            let work = look_soon(work, context);
            return Ok(Decision::of(work, "change.unknown").detail(cause.to_string()));
        }
        Err(error) => error,
    };
    if let Some(code) = hopeless(&error, &work, context) {
        let decision = give_up(work, code, context, "change.refused")?;
        return Ok(with_error(decision, &error));
    }
    let at = not_before(
        context.retry(&work, context.timing.retry_max),
        &error,
        context,
    );
    Ok(Decision::of(try_again(work, at), "change.postponed").detail(error.to_string()))
}

/// The probe after an unclear begin: the machine shows whether the change was taken on. Asking for it
/// again is harmless when it was.
pub(super) fn probed(
    mut work: Work,
    seen: Result<Observed, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let cap = context.timing.retry_max;
            return Ok(unanswered(
                work,
                &error,
                "change.not_found_out",
                cap,
                context,
            ));
        }
    };
    let has_plan = seen.plan.as_ref() == Some(&change_of(&mut work)?.to);
    match seen.state {
        MachineState::Gone => return gone(work, context, "change.gone"),
        MachineState::Busy => {}
        _ if has_plan => {}
        _ => {
            let begun = work.operation.progress().and_then(|it| it.begun_at);
            let age = begun.map_or(Span::ZERO, |begun| context.now.since(begun));
            if work.operation.data.looks < PROBE_LOOKS || age < context.timing.gone_gap {
                return Ok(Decision::of(look_soon(work, context), "change.not_visible"));
            }
            if work.step_age(context.now) >= context.timing.create_window {
                let code = FailureCode::ProviderUnavailable;
                return give_up(work, code, context, "change.given_up");
            }
            work.operation.data.looks = 0;
            let work = try_again(work, context.now);
            return Ok(Decision::of(work, "change.never_began"));
        }
    }
    Ok(Decision::of(
        advance(work, Step::AwaitChange, context),
        "change.adopted",
    ))
}

/// How far the change is.
pub(super) fn seen(
    mut work: Work,
    seen: Result<(Observed, Option<ActionState>), ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let (seen, action) = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let cap = context.timing.retry_max;
            return Ok(unanswered(
                work,
                &error,
                "await_change.no_answer",
                cap,
                context,
            ));
        }
    };
    let gap = context.timing.gone_gap.millis();
    let change = change_of(&mut work)?;
    let is_still = matches!(seen.state, MachineState::Ready | MachineState::Stopped);
    let has_plan = match &seen.plan {
        Some(plan) => *plan == change.to,
        None => action == Some(ActionState::Done),
    };
    let is_running = action == Some(ActionState::Running);
    if has_plan && is_still && !is_running {
        return changed(work, seen.state, context);
    }
    if seen.state == MachineState::Gone {
        return gone(work, context, "await_change.gone");
    }
    if action == Some(ActionState::Failed) && !has_plan {
        let code = FailureCode::ResizeFailed;
        return give_up(work, code, context, "await_change.failed");
    }
    if is_still {
        // The machine says that nothing is being done with it. That counts in the end, whatever the
        // provider says of its work: words for it are not all known, and it forgets old work.
        let since = *change.idle_since.get_or_insert(context.now);
        let patience = Span::from_millis(gap.saturating_mul(IDLE_GAPS));
        let patience = match is_running && !has_plan {
            true => patience.max(context.timing.ready_window),
            false => patience,
        };
        if context.now.since(since) >= patience {
            if has_plan {
                return changed(work, seen.state, context);
            }
            let code = FailureCode::ResizeFailed;
            return give_up(work, code, context, "await_change.nothing_happens");
        }
    } else {
        change.idle_since = None;
    }
    work.operation.data.gone_since = None;
    Ok(Decision::of(
        look_soon(work, context),
        "await_change.not_yet",
    ))
}

/// The machine has the plan: what is left of its prepaid value is counted anew, at the new rate.
fn changed(
    mut work: Work,
    state: MachineState,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let operation = work.operation.id;
    let change = change_of(&mut work)?;
    change.is_done = true;
    let rate = change.rate;
    let left = work.prepaid.left(context.now)?;
    // Nothing is left of a machine whose time is over: its end stays where it is.
    let prepaid = match left {
        Usd::ZERO => None,
        _ => Some(work.prepaid.clone().convert(operation, rate, context.now)?),
    };
    let end = prepaid.as_ref().and_then(|prepaid| prepaid.expires_at());
    work.change_instance(|instance| {
        let end = end.unwrap_or_else(|| instance.expires_at());
        instance.resized(end)
    })?;
    let work = if state == MachineState::Ready {
        finish(work, context)?
    } else {
        advance(work, Step::PowerOn, context)
    };
    let decision = Decision::of(work, "await_change.changed").detail(left.to_string());
    Ok(match prepaid {
        Some(prepaid) => decision.with_prepaid(prepaid),
        None => decision,
    })
}

/// The machine was switched on, or not: it is tried until it is.
pub(super) fn switched_on(
    work: Work,
    result: Result<(), ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let error = match result {
        Ok(()) | Err(ProviderError::Ambiguous(_)) => {
            let work = look_soon(work, context);
            return Ok(Decision::of(work, "power_on.accepted"));
        }
        Err(error) => error,
    };
    let at = not_before(
        context.retry(&work, context.timing.retry_max),
        &error,
        context,
    );
    // A machine that is gone, or locked by its provider, refuses too: looking tells.
    let work = match &error {
        ProviderError::Rejected { .. } => look_again(work, at),
        _ => try_again(work, at),
    };
    let decision = Decision::of(work, "power_on.postponed");
    Ok(with_error(decision, &error))
}

/// Whether the machine can be used again.
pub(super) fn is_on(
    mut work: Work,
    seen: Result<Observed, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let cap = context.timing.retry_max;
            return Ok(unanswered(work, &error, "power_on.no_answer", cap, context));
        }
    };
    let change = change_of(&mut work)?;
    let has_plan = seen.plan.as_ref() == Some(&change.to);
    match seen.state {
        // It came about after all: plan and time move now.
        MachineState::Ready if has_plan && !change.is_done => changed(work, seen.state, context),
        MachineState::Ready => Ok(Decision::of(finish(work, context)?, "power_on.on")),
        // Its provider has stopped it on its own account: no switch helps, and others see to it.
        MachineState::Suspended => {
            let work = finish(work, context)?;
            Ok(Decision::of(work, "power_on.suspended").alarming(true))
        }
        MachineState::Gone => gone(work, context, "power_on.gone"),
        MachineState::Starting | MachineState::Busy | MachineState::Unclear => {
            Ok(Decision::of(look_soon(work, context), "power_on.not_yet"))
        }
        MachineState::Stopped => Ok(press_again(work, "power_on.still_off", context)),
    }
}

fn change_of(work: &mut Work) -> Result<&mut PlanChange, DecideError> {
    work.operation
        .data
        .change
        .as_mut()
        .ok_or(DecideError::NoChange)
}

/// Looks again; after every few looks the switch is used once more.
fn press_again(work: Work, event: &'static str, context: &Context<'_>) -> Decision {
    let looks = work.operation.data.looks.saturating_add(1);
    if looks.is_multiple_of(LOOKS_PER_TRY) {
        let mut work = try_again(work, context.now);
        work.operation.data.looks = looks;
        return Decision::of(work, event);
    }
    Decision::of(look_soon(work, context), event)
}

/// Why there is no use in trying on, when there is none.
fn hopeless(error: &ProviderError, work: &Work, context: &Context<'_>) -> Option<FailureCode> {
    match error {
        ProviderError::Rejected { .. } => Some(FailureCode::ProviderRejected),
        ProviderError::NoCapacity { .. } => Some(FailureCode::NoCapacity),
        ProviderError::Unauthorized => Some(FailureCode::ProviderUnavailable),
        _ if work.step_age(context.now) >= context.timing.create_window => {
            Some(FailureCode::ProviderUnavailable)
        }
        _ => None,
    }
}

fn with_error(decision: Decision, error: &ProviderError) -> Decision {
    decision
        .detail(error.to_string())
        .alarming(*error == ProviderError::Unauthorized)
}

/// The machine keeps its plan. It is switched on where it may be off.
fn give_up(
    mut work: Work,
    code: FailureCode,
    context: &Context<'_>,
    event: &'static str,
) -> Result<Decision, DecideError> {
    // A refusal says nothing of a try before it, whose answer may have been lost: the machine is looked
    // at before the change is called undone.
    let tries = work.operation.progress().map_or(0, |it| it.attempt);
    let was_tried = work.step() == Some(Step::AwaitChange) || tries > 1;
    let may_be_off = change_of(&mut work)?.switches_off || was_tried;
    change_of(&mut work)?.given_up = Some(code);
    let work = if may_be_off {
        advance(work, Step::PowerOn, context)
    } else {
        finish(work, context)?
    };
    Ok(Decision::of(work, event).detail(code.to_string()))
}

/// Its provider does not know the machine. When that lasts, there is nothing to change any more; what
/// its owner has prepaid is the reconciler's.
fn gone(
    mut work: Work,
    context: &Context<'_>,
    event: &'static str,
) -> Result<Decision, DecideError> {
    let since: Timestamp = *work.operation.data.gone_since.get_or_insert(context.now);
    if context.now.since(since) < gone_long_enough(&work, context) {
        return Ok(Decision::of(look_soon(work, context), event));
    }
    let change = change_of(&mut work)?;
    change.given_up.get_or_insert(FailureCode::ResizeFailed);
    let work = finish(work, context)?;
    Ok(Decision::of(work, event).alarming(true))
}

/// Nothing is being changed any more.
fn finish(mut work: Work, context: &Context<'_>) -> Result<Work, DecideError> {
    work.change_instance(|instance: Instance| Ok(instance.end_resize()))?;
    let change = change_of(&mut work)?;
    let state = if change.is_done {
        OperationState::Succeeded
    } else {
        let code = change.given_up.unwrap_or(FailureCode::ResizeFailed);
        OperationState::Failed { code }
    };
    Ok(rest(work, state, context.now))
}
