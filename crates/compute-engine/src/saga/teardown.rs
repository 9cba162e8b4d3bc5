//! The steps `destroy`, `confirm_gone` and `refund`.

use compute_domain::instance::{FailureCode, Instance};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::{
    CreditsSpent, Operation, OperationKind, OperationState, Step, Undo,
};

use super::decide::{
    Context, DecideError, Decision, PasswordWrite, Work, advance, look_again, rest, try_again,
    unanswered,
};
use super::provision::gone_long_enough;
use super::settle::refund_of;
use crate::ports::ProviderError;

/// How many gaps a machine may linger after an accepted deletion before it is deleted again.
const LINGER_GAPS: i64 = 4;

pub(super) fn destroyed(
    work: Work,
    result: Result<(), ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    match result {
        Ok(()) => Ok(Decision::of(
            advance(work, Step::ConfirmGone, context),
            "destroy.accepted",
        )),
        // Whatever the reason, the machine still costs money: it is tried until it is gone.
        Err(error) => {
            let at = context.retry(&work, context.timing.destroy_retry_max);
            let at = super::throttle::not_before(at, &error, context);
            let is_refused = error == ProviderError::Unauthorized;
            let decision = Decision::of(try_again(work, at), "destroy.postponed");
            Ok(decision.detail(error.to_string()).alarming(is_refused))
        }
    }
}

pub(super) fn confirmed(
    mut work: Work,
    gone: Result<bool, ProviderError>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    match gone {
        Ok(true) => {
            let since = *work.operation.data.gone_since.get_or_insert(context.now);
            let gap = gone_long_enough(&work, context);
            if context.now.since(since) >= gap {
                return gone_for_good(work, context);
            }
            work.operation = work.operation.look_again(context.now.plus(gap));
            Ok(Decision::of(work, "confirm_gone.absent"))
        }
        Ok(false) => {
            work.operation.data.gone_since = None;
            let patience = context.timing.gone_gap.millis().saturating_mul(LINGER_GAPS);
            if work.step_age(context.now).millis() >= patience {
                let work = advance(work, Step::Destroy, context);
                return Ok(Decision::of(work, "confirm_gone.still_there"));
            }
            let at = context.retry(&work, context.timing.gone_gap);
            Ok(Decision::of(look_again(work, at), "confirm_gone.present"))
        }
        Err(error) => {
            let cap = context.timing.destroy_retry_max;
            Ok(unanswered(
                work,
                &error,
                "confirm_gone.no_answer",
                cap,
                context,
            ))
        }
    }
}

/// The machine is gone: the end of a destruction, or of the undo of a provision.
fn gone_for_good(mut work: Work, context: &Context<'_>) -> Result<Decision, DecideError> {
    if work.operation.kind == OperationKind::Destroy {
        work.change_instance(|instance| instance.gone(context.now))?;
        let work = rest(work, OperationState::Succeeded, context.now);
        return Ok(Decision::of(work, "confirm_gone.gone").with_password(PasswordWrite::Erase));
    }
    work.change_instance(Instance::displaced)?;
    let attempts_left = work.operation.data.machine_attempt < context.timing.machine_attempts;
    let step = match work.operation.data.undo {
        Some(Undo::Recreate) if attempts_left => {
            work.operation.data.undo = None;
            work.operation.data.seen_alive = false;
            work.operation.data.machine_attempt += 1;
            Step::Create
        }
        Some(Undo::Recreate) => {
            work.operation.data.undo = Some(Undo::Fail(FailureCode::ProviderUnavailable));
            Step::Refund
        }
        Some(Undo::Fail(_)) | None => Step::Refund,
    };
    let work = advance(work, step, context);
    Ok(Decision::of(work, "confirm_gone.gone").with_password(PasswordWrite::Erase))
}

/// What was paid becomes the owner's credit, or its credit again, and the order is over.
pub(super) fn refunded(mut work: Work, context: &Context<'_>) -> Result<Decision, DecideError> {
    let code = match work.operation.data.undo {
        Some(Undo::Fail(code)) => code,
        Some(Undo::Recreate) | None => FailureCode::ProviderUnavailable,
    };
    let transfer = match work.operation.data.credits {
        Some(spent) => reversal_of(spent, &work.operation, context),
        None => {
            let (payment, transfer) = refund_of(work.take_payment()?, context)?;
            work.payment = Some(payment);
            transfer
        }
    };
    work.change_instance(|instance| instance.fail(code, context.now))?;
    let work = rest(work, OperationState::Failed { code }, context.now);
    let detail = transfer.amount.to_string();
    Ok(Decision::of(work, "refund.credited")
        .detail(detail)
        .with_transfer(transfer))
}

/// Spent credits go back to where they came from.
fn reversal_of(spent: CreditsSpent, operation: &Operation, context: &Context<'_>) -> Transfer {
    let [id, _] = context.transfer_ids;
    Transfer {
        id,
        debit: Account::Sales,
        credit: Account::Credits(operation.owner),
        amount: spent.amount,
        reason: TransferReason::SpendReversal,
        cause: operation.id.into(),
        created_at: context.now,
    }
}
