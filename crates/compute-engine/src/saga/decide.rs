//! What an outcome means: the new states, and what else is to be written with them. Pure.

use compute_domain::id::TransferId;
use compute_domain::instance::{FailureCode, Instance};
use compute_domain::ledger::Transfer;
use compute_domain::operation::{Operation, OperationState, Step};
use compute_domain::payment::Payment;
use compute_domain::time::{Span, Timestamp};
use compute_domain::transition::InvalidTransition;
use secrecy::SecretString;

use crate::ports::{Created, Lookup, Observed, ProviderError, RailUnavailable, Settlement};
use crate::timing::Timing;

/// An operation with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) operation: Operation,
    pub(super) instance: Instance,
    pub(super) payment: Option<Payment>,
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
}

/// What to do with the stored root password.
#[derive(Debug)]
pub(super) enum PasswordWrite {
    Keep,
    Store(SecretString),
    Erase,
}

/// New states, to be written in one transaction.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) work: Work,
    pub(super) transfer: Option<Transfer>,
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
    /// A fresh id, used when a transfer is written.
    pub(super) transfer: TransferId,
    /// -100 to 100: moves every wait by up to ten per cent, so that replicas do not beat together.
    pub(super) jitter_permille: i64,
}

/// An outcome does not belong to the present step: a fault of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecideError {
    #[error("the outcome does not belong to the present step")]
    WrongStep,
    #[error("a provision operation has no payment")]
    NoPayment,
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
            transfer: None,
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
        self.transfer = Some(transfer);
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
    work.operation = work
        .operation
        .look_again(context.after(context.timing.backoff(times, cap)));
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
    let decision = take(work, outcome, context)?;
    // The step goes on and has taken longer than it ever should.
    let is_late = decision.work.step() == step && age >= context.timing.alarm_after;
    Ok(decision.alarming(is_late))
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
        _ => Err(DecideError::WrongStep),
    }
}
