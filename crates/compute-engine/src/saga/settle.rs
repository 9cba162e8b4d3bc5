//! The step `settle`: three outcomes, never two.

use compute_domain::instance::{FailureCode, Instance};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::{OperationKind, OperationState, Step};
use compute_domain::payment::{Evidence, Payment};

use super::decide::{
    Context, DecideError, Decision, Work, advance, look_again, rest, stuck, try_again,
};
use crate::ports::{Lookup, RailUnavailable, Settlement};

/// The code of a payment that was given up because nothing could be sent.
const UNREACHABLE: &str = "payment_network_unreachable";

pub(super) fn settled(
    work: Work,
    settlement: Settlement,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let was_unclear = work.operation.data.settlement_unknown_since.is_some();
    match settlement {
        Settlement::Settled(evidence) => paid(work, evidence, context),
        // An earlier attempt may have moved the money, so a refusal of this one proves nothing.
        Settlement::Declined { code } if was_unclear => still_unclear(work, &code, context),
        Settlement::Declined { code } => {
            declined(work, code, FailureCode::PaymentDeclined, context)
        }
        Settlement::Unknown { reason } => still_unclear(work, &reason, context),
        Settlement::NotSent { reason } if was_unclear => still_unclear(work, &reason, context),
        Settlement::NotSent { reason } => {
            if work.step_age(context.now) >= context.timing.settle_window {
                let code = UNREACHABLE.to_owned();
                return declined(work, code, FailureCode::PaymentUnreachable, context);
            }
            let at = context.retry(&work, context.timing.retry_max);
            Ok(Decision::of(try_again(work, at), "settle.not_sent").detail(reason))
        }
    }
}

pub(super) fn looked_up(
    mut work: Work,
    lookup: Result<Lookup, RailUnavailable>,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    match lookup {
        Ok(Lookup::Settled(evidence)) => paid(work, evidence, context),
        Ok(Lookup::Never { code }) => declined(work, code, FailureCode::PaymentDeclined, context),
        Ok(Lookup::NotYet) => {
            if is_overdue(&work, context) {
                return overdue(work, "not settled yet", context);
            }
            // Settling the same proof again is safe, and the way to learn more. What was sent before
            // may still land, which the next outcome must not forget.
            work.operation
                .data
                .settlement_unknown_since
                .get_or_insert(context.now);
            Ok(Decision::of(try_again(work, context.now), "settle.not_yet"))
        }
        Err(error) => still_unclear(work, &error.reason, context),
    }
}

/// The money arrived, and is written down together with what it bought.
fn paid(
    mut work: Work,
    evidence: Evidence,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let detail = evidence.reference.clone();
    let payment = work.take_payment()?.settle(evidence, context.now)?;
    work.operation.data.settlement_unknown_since = None;
    let inflow = inflow(&payment, work.operation.kind, context);
    let decision = match work.operation.kind {
        OperationKind::Extend => extended(work, payment, context)?,
        OperationKind::Topup => {
            work.payment = Some(payment);
            let work = rest(work, OperationState::Succeeded, context.now);
            Decision::of(work, "settle.settled")
        }
        // Nothing else is paid for.
        OperationKind::Provision
        | OperationKind::Destroy
        | OperationKind::Resize
        | OperationKind::Power => {
            work.payment = Some(payment);
            work.change_instance(Instance::paid)?;
            Decision::of(advance(work, Step::Create, context), "settle.settled")
        }
    };
    Ok(decision.detail(detail).with_transfer_first(inflow))
}

/// The arrival of the money: for what is sold, or as the owner's credit.
fn inflow(payment: &Payment, kind: OperationKind, context: &Context<'_>) -> Transfer {
    let (credit, reason) = match kind {
        OperationKind::Topup => (Account::Credits(payment.owner), TransferReason::Topup),
        _ => (Account::Sales, TransferReason::Sale),
    };
    let [id, _] = context.transfer_ids;
    Transfer {
        id,
        debit: Account::Clearing(payment.rail.clone()),
        credit,
        amount: payment.price,
        reason,
        cause: payment.operation.into(),
        created_at: context.now,
    }
}

/// The instance gets its hours; or the owner the money, when it is too late for hours.
fn extended(
    mut work: Work,
    payment: Payment,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let longer = work.instance.take().and_then(|instance| {
        let time = work.operation.data.time?;
        let longer = instance.extend(time.hours, time.price).ok()?;
        let prepaid = core::mem::take(&mut work.prepaid);
        let prepaid = prepaid
            .extend(work.operation.id, time.price, time.rate, time.hours)
            .ok()?;
        Some((longer, prepaid))
    });
    if let Some((instance, prepaid)) = longer {
        work.instance = Some(instance);
        work.payment = Some(payment);
        let work = rest(work, OperationState::Succeeded, context.now);
        return Ok(Decision::of(work, "settle.extended").with_prepaid(prepaid));
    }
    let code = FailureCode::InstanceGone;
    let (payment, refund) = refund_of(payment, context)?;
    work.payment = Some(payment);
    let work = rest(work, OperationState::Failed { code }, context.now);
    Ok(Decision::of(work, "settle.too_late").with_transfer(refund))
}

/// A settled payment that becomes its owner's credit.
pub(super) fn refund_of(
    payment: Payment,
    context: &Context<'_>,
) -> Result<(Payment, Transfer), DecideError> {
    let [_, id] = context.transfer_ids;
    let transfer = Transfer {
        id,
        debit: Account::Sales,
        credit: Account::Credits(payment.owner),
        amount: payment.price,
        reason: TransferReason::PaymentRefund,
        cause: payment.operation.into(),
        created_at: context.now,
    };
    Ok((payment.refund(transfer.id)?, transfer))
}

/// No money moved and none will.
fn declined(
    mut work: Work,
    code: String,
    failure: FailureCode,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let payment = work.take_payment()?;
    work.payment = Some(payment.decline(code.clone())?);
    if work.operation.kind == OperationKind::Provision {
        work.change_instance(|instance| instance.fail(failure, context.now))?;
    }
    work.operation.data.settlement_unknown_since = None;
    let work = rest(work, OperationState::Failed { code: failure }, context.now);
    Ok(Decision::of(work, "settle.declined").detail(code))
}

fn still_unclear(
    mut work: Work,
    reason: &str,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    if is_overdue(&work, context) {
        return overdue(work, reason, context);
    }
    work.operation
        .data
        .settlement_unknown_since
        .get_or_insert(context.now);
    let at = context.retry(&work, context.timing.settlement_look_max);
    Ok(Decision::of(look_again(work, at), "settle.unknown").detail(reason))
}

/// The proof can no longer settle, and still nobody can say whether it did.
fn is_overdue(work: &Work, context: &Context<'_>) -> bool {
    work.payment.as_ref().is_some_and(|payment| {
        context.now
            >= payment
                .void_after
                .plus(context.timing.settlement_stuck_after)
    })
}

/// Asks on for a while, because the first look after a downtime proves nothing; then a human must
/// decide.
fn overdue(mut work: Work, reason: &str, context: &Context<'_>) -> Result<Decision, DecideError> {
    work.operation.data.overdue_looks = work.operation.data.overdue_looks.saturating_add(1);
    if work.operation.data.overdue_looks >= context.timing.overdue_looks {
        let work = stuck(work, FailureCode::SettlementUnknown, context.now);
        return Ok(Decision::of(work, "settle.stuck").detail(reason));
    }
    work.operation
        .data
        .settlement_unknown_since
        .get_or_insert(context.now);
    let at = context.after(context.timing.settlement_look_max);
    let decision = Decision::of(look_again(work, at), "settle.overdue").detail(reason);
    Ok(decision.alarming(true))
}
