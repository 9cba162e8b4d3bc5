//! What an outcome means: the new states, and what else is to be written with them. Pure.

use compute_domain::id::TransferId;
use compute_domain::instance::{FailureCode, Instance};
use compute_domain::ledger::Transfer;
use compute_domain::money::MoneyError;
use compute_domain::operation::{Operation, OperationKind, OperationState, Step};
use compute_domain::payment::Payment;
use compute_domain::prepaid::Prepaid;
use compute_domain::time::{Span, Timestamp};
use compute_domain::transition::InvalidTransition;
use secrecy::SecretString;

use crate::ports::{
    ActionId, ActionState, Created, Lookup, Observed, ProviderError, RailUnavailable, Settlement,
};
use crate::timing::Timing;

/// An operation with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) operation: Operation,
    /// What it works on. None for a top-up, and for an extension that has let its instance go.
    pub(super) instance: Option<Instance>,
    pub(super) payment: Option<Payment>,
    /// The instance's prepaid value; only read for an extension and for a change of plan.
    pub(super) prepaid: Prepaid,
}

/// What came of an effect.
#[derive(Debug)]
pub(super) enum Outcome {
    Settlement(Settlement),
    Lookup(Result<Lookup, RailUnavailable>),
    Created(Result<Created, ProviderError>),
    Found(Result<Vec<Observed>, ProviderError>),
    Observed(Result<Observed, ProviderError>),
    Destroyed(Result<(), ProviderError>),
    /// `Ok(true)`: the provider says it is gone, and lists nothing with our mark.
    Gone(Result<bool, ProviderError>),
    Refund,
    /// The provider takes the change on, and may have a name for it.
    ChangeBegun(Result<Option<ActionId>, ProviderError>),
    /// A look at the machine, and how far the provider is with a change that has a name.
    ChangeSeen(Result<(Observed, Option<ActionState>), ProviderError>),
    /// The provider takes it on; a new root password, when it tells one.
    Switched(Result<Option<SecretString>, ProviderError>),
}

/// What to do with the stored root password.
#[derive(Debug)]
pub(super) enum PasswordWrite {
    Keep,
    Store(SecretString),
    /// Of a machine that was set up anew, and when that was heard.
    Replace(SecretString, Timestamp),
    Erase,
}

/// New states, to be written in one transaction.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) work: Work,
    pub(super) transfers: Vec<Transfer>,
    /// The instance's prepaid value, when it changes.
    pub(super) prepaid: Option<Prepaid>,
    pub(super) password: PasswordWrite,
    /// For the operation's log.
    pub(super) event: &'static str,
    /// Whether a human should hear of it although the work goes on.
    pub(super) is_alarming: bool,
    /// For the operation's log: a plain sentence or code, never a secret.
    pub(super) detail: String,
}

/// What a decision may depend on besides the work and the outcome.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) now: Timestamp,
    pub(super) timing: &'a Timing,
    /// Fresh ids, for as many transfers as one decision may write.
    pub(super) transfer_ids: [TransferId; 2],
    /// -100 to 100: moves every wait by up to ten per cent, so that replicas do not beat together.
    pub(super) jitter_permille: i64,
}

/// An outcome does not belong to the present step: a fault of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecideError {
    #[error("the outcome does not belong to the present step")]
    WrongStep,
    #[error("the operation has no payment")]
    NoPayment,
    #[error("the operation has no instance")]
    NoInstance,
    #[error("the operation does not say what is to change")]
    NoChange,
    #[error("an amount does not fit")]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
}

impl Work {
    pub(super) fn step(&self) -> Option<Step> {
        self.operation.progress().map(|progress| progress.step)
    }

    pub(super) fn take_payment(&mut self) -> Result<Payment, DecideError> {
        self.payment.take().ok_or(DecideError::NoPayment)
    }

    pub(super) fn take_instance(&mut self) -> Result<Instance, DecideError> {
        self.instance.take().ok_or(DecideError::NoInstance)
    }

    /// Moves the instance on.
    pub(super) fn change_instance(
        &mut self,
        change: impl FnOnce(Instance) -> Result<Instance, InvalidTransition>,
    ) -> Result<(), DecideError> {
        self.instance = Some(change(self.take_instance()?)?);
        Ok(())
    }

    fn attempt(&self) -> u32 {
        self.operation
            .progress()
            .map_or(0, |progress| progress.attempt)
    }

    /// How long the present step has been tried.
    pub(super) fn step_age(&self, now: Timestamp) -> Span {
        self.operation
            .data
            .step_since
            .map_or(Span::ZERO, |since| now.since(since))
    }
}

impl Context<'_> {
    /// A wait from now, jittered.
    pub(super) fn after(&self, wait: Span) -> Timestamp {
        let millis = wait.millis();
        let moved = millis.saturating_add(millis.saturating_mul(self.jitter_permille) / 1_000);
        self.now.plus(Span::from_millis(moved))
    }

    /// The moment of the next try of the present step.
    pub(super) fn retry(&self, work: &Work, cap: Span) -> Timestamp {
        self.after(
            self.timing
                .backoff(work.attempt().max(work.operation.data.looks), cap),
        )
    }
}

impl Decision {
    pub(super) fn of(work: Work, event: &'static str) -> Self {
        Self {
            work,
            transfers: Vec::new(),
            prepaid: None,
            password: PasswordWrite::Keep,
            event,
            is_alarming: false,
            detail: String::new(),
        }
    }

    pub(super) fn alarming(mut self, is_alarming: bool) -> Self {
        self.is_alarming |= is_alarming;
        self
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(super) fn with_transfer(mut self, transfer: Transfer) -> Self {
        self.transfers.push(transfer);
        self
    }

    /// Money must have arrived before it can go on.
    pub(super) fn with_transfer_first(mut self, transfer: Transfer) -> Self {
        self.transfers.insert(0, transfer);
        self
    }

    pub(super) fn with_prepaid(mut self, prepaid: Prepaid) -> Self {
        self.prepaid = Some(prepaid);
        self
    }

    pub(super) fn with_password(mut self, password: PasswordWrite) -> Self {
        self.password = password;
        self
    }
}

/// Moves the operation on to `step` now.
pub(super) fn advance(mut work: Work, step: Step, context: &Context<'_>) -> Work {
    work.operation = work.operation.advance(step, context.now, context.now);
    work
}

/// The provider did not answer a question: it is asked again, and it does not count as a look.
/// Refused credentials concern everybody.
pub(super) fn unanswered(
    mut work: Work,
    error: &ProviderError,
    event: &'static str,
    cap: Span,
    context: &Context<'_>,
) -> Decision {
    let times = work.operation.data.unanswered.saturating_add(1);
    work.operation.data.unanswered = times;
    let at = context.after(context.timing.backoff(times, cap));
    work.operation = work
        .operation
        .look_again(super::throttle::not_before(at, error, context));
    Decision::of(work, event)
        .detail(error.to_string())
        .alarming(*error == ProviderError::Unauthorized)
}

/// The effect certainly did not happen: do it again at `at`.
pub(super) fn try_again(mut work: Work, at: Timestamp) -> Work {
    work.operation = work.operation.try_again(at);
    work
}

/// The question stays open: look again at `at`.
pub(super) fn look_again(mut work: Work, at: Timestamp) -> Work {
    work.operation.data.looks = work.operation.data.looks.saturating_add(1);
    work.operation = work.operation.look_again(at);
    work
}

/// The longest wait between two looks, in waits for a machine that starts.
const LOOK_GAPS: i64 = 5;

/// Counts a look, and looks again soon, and later at every further one.
pub(super) fn look_soon(work: Work, context: &Context<'_>) -> Work {
    let cap = Span::from_millis(context.timing.ready_look.millis().saturating_mul(LOOK_GAPS));
    let at = context.retry(&work, cap);
    look_again(work, at)
}

/// Nothing is left to do.
pub(super) fn rest(mut work: Work, state: OperationState, now: Timestamp) -> Work {
    work.operation = work.operation.rest(state, now);
    work
}

/// A human must decide; nothing is guessed.
pub(super) fn stuck(work: Work, code: FailureCode, now: Timestamp) -> Work {
    let step = work.step().unwrap_or(Step::Settle);
    rest(work, OperationState::Stuck { code, step }, now)
}

/// Takes the outcome of the present step's effect.
pub(super) fn decide(
    work: Work,
    outcome: Outcome,
    context: &Context<'_>,
) -> Result<Decision, DecideError> {
    let (step, age) = (work.step(), work.step_age(context.now));
    let decision = release_hold(take(work, outcome, context)?, context);
    // The step goes on and has taken longer than it ever should.
    let is_late = decision.work.step() == step && age >= context.timing.alarm_after;
    Ok(decision.alarming(is_late))
}

/// How many graces a payment's own validity may lengthen a hold, from its claim on: one hour by
/// default. A payment that is valid for a day must not buy a day by never settling.
const HOLD_MAX_GRACES: i64 = 4;

/// An unsettled extension holds its instance against expiry as long as its payment can still settle,
/// and a little longer; then it lets go, and what still arrives becomes credit (reliability.md 4.5).
fn release_hold(mut decision: Decision, context: &Context<'_>) -> Decision {
    let work = &mut decision.work;
    let grace = context.timing.hold_grace;
    let longest = Span::from_millis(grace.millis().saturating_mul(HOLD_MAX_GRACES));
    let is_over = work.payment.as_ref().is_some_and(|payment| {
        let until = payment.void_after.min(payment.claimed_at.plus(longest));
        context.now >= until.plus(grace)
    });
    if work.operation.kind == OperationKind::Extend && work.operation.holds_instance() && is_over {
        work.operation.data.hold_released_at = Some(context.now);
    }
    decision
}

fn take(work: Work, outcome: Outcome, context: &Context<'_>) -> Result<Decision, DecideError> {
    match (work.step(), outcome) {
        (Some(Step::Settle), Outcome::Settlement(settlement)) => {
            super::settle::settled(work, settlement, context)
        }
        (Some(Step::Settle), Outcome::Lookup(lookup)) => {
            super::settle::looked_up(work, lookup, context)
        }
        (Some(Step::Create), Outcome::Created(created)) => {
            super::provision::created(work, created, context)
        }
        (Some(Step::Create), Outcome::Found(found)) => {
            super::provision::found(work, found, context)
        }
        (Some(Step::AwaitReady), Outcome::Observed(observed)) => {
            super::provision::observed(work, observed, context)
        }
        (Some(Step::Destroy), Outcome::Destroyed(result)) => {
            super::teardown::destroyed(work, result, context)
        }
        (Some(Step::ConfirmGone), Outcome::Gone(gone)) => {
            super::teardown::confirmed(work, gone, context)
        }
        (Some(Step::Refund), Outcome::Refund) => super::teardown::refunded(work, context),
        (Some(Step::PowerOff), Outcome::Switched(result)) => {
            super::resize::switched_off(work, result.map(drop), context)
        }
        (Some(Step::PowerOff), Outcome::Observed(seen)) => {
            super::resize::is_off(work, seen, context)
        }
        (Some(Step::Change), Outcome::ChangeBegun(begun)) => {
            super::resize::begun(work, begun, context)
        }
        (Some(Step::Change), Outcome::Observed(seen)) => super::resize::probed(work, seen, context),
        (Some(Step::AwaitChange), Outcome::ChangeSeen(seen)) => {
            super::resize::seen(work, seen, context)
        }
        (Some(Step::PowerOn), Outcome::Switched(result)) => {
            super::resize::switched_on(work, result.map(drop), context)
        }
        (Some(Step::PowerOn), Outcome::Observed(seen)) => super::resize::is_on(work, seen, context),
        (Some(Step::Switch), Outcome::Switched(result)) => {
            super::power::switched(work, result, context)
        }
        (Some(Step::Switch), Outcome::Observed(seen)) => super::power::seen(work, seen, context),
        _ => Err(DecideError::WrongStep),
    }
}
