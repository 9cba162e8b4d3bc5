//! The step `settle`: three outcomes, never two.

use compute_domain::instance::FailureCode;
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::{OperationState, Step};
use compute_domain::payment::Evidence;

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

/// The money arrived: the sale is written, and the machine is to be made.
fn paid(
    mut work: Work,
    evidence: Evidence,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let payment = work.take_payment()?;
    let transfer = Transfer {
        id: context.transfer,
        debit: Account::Clearing(payment.rail.clone()),
        credit: Account::Sales,
        amount: payment.price,
        reason: TransferReason::Sale,
        operation: work.operation.id,
        created_at: context.now,
    };
    let detail = evidence.reference.clone();
    work.payment = Some(payment.settle(evidence, context.now)?);
    work.instance = work.instance.paid()?;
    work.operation.data.settlement_unknown_since = None;
    let work = advance(work, Step::Create, context);
    Ok(Decision::of(work, "settle.settled")
        .detail(detail)
        .with_transfer(transfer))
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
    work.instance = work.instance.fail(failure, context.now)?;
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
