//! The steps `create` and `await_ready`.

use std::net::IpAddr;

use compute_domain::instance::{Access, FailureCode};
use compute_domain::operation::{OperationKind, OperationState, Step, Undo};
use compute_domain::prepaid::Prepaid;
use compute_domain::time::Span;

use super::decide::{
    Context, DecideError, Decision, PasswordWrite, Work, advance, look_again, rest, try_again,
    unanswered,
};
use crate::ports::{Created, MachineState, Observed, ProviderError};

pub(super) fn created(
    work: Work,
    created: Result<Created, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    match created {
        Ok(created) => placed(work, created, context),
        Err(ProviderError::Ambiguous(cause)) => {
            let at = context.retry(&work, context.timing.retry_max);
            Ok(Decision::of(look_again(work, at), "create.unknown").detail(cause.to_string()))
        }
        Err(error) => {
            let refused = match &error {
                ProviderError::Rejected { .. } => Some(FailureCode::ProviderRejected),
                ProviderError::NoCapacity { .. } => Some(FailureCode::NoCapacity),
                ProviderError::Unauthorized => Some(FailureCode::ProviderUnavailable),
                _ if work.step_age(context.now) >= context.timing.create_window => {
                    Some(FailureCode::ProviderUnavailable)
                }
                _ => None,
            };
            Ok(match refused {
                Some(code) => {
                    let is_refused = error == ProviderError::Unauthorized;
                    give_back(work, code, context, "create.refused")
                        .detail(error.to_string())
                        .alarming(is_refused)
                }
                None => {
                    let at = context.retry(&work, context.timing.retry_max);
                    let at = super::throttle::not_before(at, &error, context);
                    Decision::of(try_again(work, at), "create.postponed").detail(error.to_string())
                }
            })
        }
    }
}

/// There is a machine: prepaid time starts, the password goes into the vault in the same commit.
fn placed(
    mut work: Work,
    created: Created,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let detail = created.machine.to_string();
    let mut wants_password = false;
    work.change_instance(|instance| {
        wants_password = instance.access == Access::Password;
        instance.placed(created.machine, context.now)
    })?;
    match (wants_password, created.root_password) {
        (true, Some(password)) => {
            let work = advance(work, Step::AwaitReady, context);
            let decision = Decision::of(work, "create.created").detail(detail);
            Ok(decision.with_password(PasswordWrite::Store(password)))
        }
        // Nobody could ever log in: as good as a lost answer.
        (true, None) => {
            work.operation.data.undo = Some(Undo::Recreate);
            Ok(Decision::of(
                advance(work, Step::Destroy, context),
                "create.no_password",
            ))
        }
        (false, _) => {
            let work = advance(work, Step::AwaitReady, context);
            Ok(Decision::of(work, "create.created").detail(detail))
        }
    }
}

/// The probe after an unclear create. One machine is adopted; none, after long looking, means that
/// none was made.
pub(super) fn found(
    mut work: Work,
    found: Result<Vec<Observed>, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let machines = match found {
        Ok(machines) => machines,
        Err(error) => {
            let cap = context.timing.retry_max;
            return Ok(unanswered(
                work,
                &error,
                "create.not_found_out",
                cap,
                context,
            ));
        }
    };
    let mut alive = machines
        .into_iter()
        .filter(|machine| machine.state != MachineState::Gone);
    if let Some(oldest) = alive.next() {
        // More than one is a provider's fault that nobody may sleep through: the others cost money.
        let has_more = alive.next().is_some();
        return adopt(work, oldest, context).map(|decision| decision.alarming(has_more));
    }
    let begun = work
        .operation
        .progress()
        .and_then(|progress| progress.begun_at);
    let age = begun.map(|begun| context.now.since(begun));
    let looked_enough = work.operation.data.looks >= context.timing.find_looks
        && age.is_some_and(|age| age >= context.timing.find_window);
    if !looked_enough {
        let at = context.retry(&work, context.timing.retry_max);
        return Ok(Decision::of(look_again(work, at), "create.not_visible"));
    }
    if work.operation.data.machine_attempt >= context.timing.machine_attempts {
        return Ok(give_back(
            work,
            FailureCode::ProviderUnavailable,
            context,
            "create.given_up",
        ));
    }
    work.operation.data.machine_attempt += 1;
    work.operation.data.was_held = false;
    Ok(Decision::of(
        advance(work, Step::Create, context),
        "create.never_happened",
    ))
}

/// Takes a machine whose creation answer was lost. Its root password was in that answer, so a
/// machine that needs one is replaced; the buyer never saw it (decisions.md 16). After a quarantine
/// the buyer may have had it for hours: then it stays, and there is no password to hand out.
fn adopt(
    mut work: Work,
    machine: Observed,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let detail = machine.machine.to_string();
    let mut access = Access::SshKey;
    work.change_instance(|instance| {
        access = instance.access;
        instance.placed(machine.machine, context.now)
    })?;
    work.operation.data.seen_alive = true;
    let step = match access {
        _ if work.operation.data.was_held => Step::AwaitReady,
        Access::SshKey => Step::AwaitReady,
        Access::Password => {
            work.operation.data.undo = Some(Undo::Recreate);
            Step::Destroy
        }
    };
    Ok(Decision::of(advance(work, step, context), "create.adopted").detail(detail))
}

pub(super) fn observed(
    mut work: Work,
    observed: Result<Observed, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let is_late = work.step_age(context.now) >= context.timing.ready_window;
    let seen = match observed {
        Ok(seen) => seen,
        // An error is no answer, so even a late machine is not taken down on its account: it may
        // be running. Waiting costs the shop, not the customer.
        Err(error) => {
            let cap = context.timing.retry_max;
            return Ok(unanswered(
                work,
                &error,
                "await_ready.no_answer",
                cap,
                context,
            ));
        }
    };
    match (seen.state, seen.address) {
        // Its customer may have had it for hours: whatever became of it, it is not taken back.
        (
            MachineState::Stopped
            | MachineState::Busy
            | MachineState::Suspended
            | MachineState::Unclear,
            Some(address),
        ) if work.operation.data.was_held => {
            return delivered(work, address, context);
        }
        (MachineState::Ready, Some(address)) => {
            if work.operation.data.seen_address == Some(address) {
                return delivered(work, address, context);
            }
            // Addresses have been seen to change while a machine starts: the second look decides. A
            // machine that runs is never too late at the first look that shows it, as after a
            // downtime of our own; one whose address never settles is, some time.
            let is_first_look = work.operation.data.seen_address.is_none();
            work.operation.data.seen_address = Some(address);
            work.operation.data.seen_alive = true;
            let twice = Span::from_millis(context.timing.ready_window.millis().saturating_mul(2));
            if work.step_age(context.now) < twice || is_first_look {
                return Ok(not_ready(work, context));
            }
        }
        (MachineState::Gone, _) => {
            let since = *work.operation.data.gone_since.get_or_insert(context.now);
            if context.now.since(since) >= gone_long_enough(&work, context) {
                return Ok(take_down(
                    work,
                    FailureCode::NotReady,
                    context,
                    "await_ready.gone",
                ));
            }
        }
        _ => {
            work.operation.data.seen_address = None;
            work.operation.data.gone_since = None;
            work.operation.data.seen_alive = true;
        }
    }
    if is_late {
        return Ok(take_down(
            work,
            FailureCode::NotReady,
            context,
            "await_ready.too_late",
        ));
    }
    Ok(not_ready(work, context))
}

/// The machine is the customer's now, and its prepaid value is written down: it runs from the moment
/// the machine was made.
fn delivered(
    mut work: Work,
    address: IpAddr,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let instance = work.take_instance()?.ready(address)?;
    let (price, rate, hours) = (instance.price, instance.rate, instance.hours);
    let prepaid = Prepaid::bought(work.operation.id, price, rate, hours, instance.expires_at());
    work.instance = Some(instance);
    let work = rest(work, OperationState::Succeeded, context.now);
    Ok(Decision::of(work, "await_ready.ready").with_prepaid(prepaid))
}

fn not_ready(mut work: Work, context: &Context<'_>) -> Decision {
    let at = context.after(context.timing.ready_look);
    work.operation = work.operation.look_again(at);
    Decision::of(work, "await_ready.not_ready")
}

/// How long a machine must be absent to count as gone. One that was never shown may only not be
/// shown yet: providers' reads lag behind their creates.
pub(super) fn gone_long_enough(work: &Work, context: &Context<'_>) -> Span {
    let was_alive = work.operation.kind == OperationKind::Destroy || work.operation.data.seen_alive;
    if was_alive {
        context.timing.gone_gap
    } else {
        context.timing.find_window
    }
}

/// There is no machine: the money goes back.
fn give_back(
    mut work: Work,
    code: FailureCode,
    context: &Context<'_>,
    event: &'static str,
) -> Decision {
    work.operation.data.undo = Some(Undo::Fail(code));
    Decision::of(advance(work, Step::Refund, context), event)
}

/// There is a machine that will not be delivered: it goes, then the money goes back.
fn take_down(
    mut work: Work,
    code: FailureCode,
    context: &Context<'_>,
    event: &'static str,
) -> Decision {
    work.operation.data.undo = Some(Undo::Fail(code));
    Decision::of(advance(work, Step::Destroy, context), event)
}
