//! Transactions: one writer at a time, and readers that see what was committed when they began.

use core::fmt;
use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::id::{OperationId, TransferId};
use compute_engine::ports::{Lane, NewEvent, StoreError, Tx, TxMode};
use tokio::sync::OwnedMutexGuard;

use super::Shared;
use super::hook::{BeginFate, CommitFate, StoreHook};
use super::state::State;
use super::table::At;
use crate::planted::PlantedBug;

/// What the store refuses, as a database would.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    /// As a database that cannot be reached.
    #[error("the simulated database is not available")]
    Unreachable,
    /// As a commit whose outcome the caller does not learn.
    #[error("the simulated commit was not confirmed")]
    Unconfirmed,
    #[error("a statement of this transaction failed, so it cannot be committed")]
    FailedBefore,
    #[error("this transaction only reads")]
    ReadOnly,
    /// A unique key, a reference or a check.
    #[error("{rule}")]
    Rule { rule: &'static str },
}

pub(super) fn unavailable(refusal: Refusal) -> StoreError {
    StoreError::Unavailable(Box::new(refusal))
}

/// The error of a broken rule.
pub(super) fn rejected(rule: &'static str) -> StoreError {
    StoreError::Rejected(Box::new(Refusal::Rule { rule }))
}

/// Refuses unless the rule holds.
pub(super) fn require(holds: bool, rule: &'static str) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(rejected(rule)) }
}

/// An update that met no row.
pub(super) fn no_row(table: &'static str) -> StoreError {
    StoreError::Inconsistent {
        table,
        detail: "0 rows where one was expected".to_owned(),
    }
}

/// An open transaction. Dropped, it is rolled back at once.
pub(super) struct ModelTx {
    shared: Arc<Shared>,
    hook: Option<Arc<dyn StoreHook>>,
    mode: TxMode,
    failed: bool,
    /// What was committed when the transaction was asked for.
    seen: Seen,
    /// Held by the one that writes.
    turn: Option<OwnedMutexGuard<()>>,
    /// References that may be written before what they refer to.
    pub(super) deferred: Deferred,
    /// The lanes whose next nonce this transaction may write.
    pub(super) locked_lanes: BTreeSet<Lane>,
    /// What owners are told when it commits.
    pub(super) announced: Vec<NewEvent>,
}

/// What must be there when a transaction commits.
#[derive(Default)]
pub(super) struct Deferred {
    /// Ledger rows that payments refer to.
    pub(super) refunds: BTreeSet<TransferId>,
    /// Operations that names refer to.
    pub(super) purchases: BTreeSet<OperationId>,
}

/// A moment that is kept readable, until it is dropped.
pub(super) struct Seen {
    shared: Arc<Shared>,
    moment: u64,
}

impl Seen {
    fn now(shared: &Arc<Shared>) -> Self {
        let moment = lock(shared).keep_moment();
        Self {
            shared: Arc::clone(shared),
            moment,
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        lock(&self.shared).release_moment(self.moment);
    }
}

impl fmt::Debug for ModelTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelTx")
            .field("mode", &self.mode)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// The tables. A test that panicked elsewhere has left them whole: every change is one call.
pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ModelTx {
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        hook: Option<&Arc<dyn StoreHook>>,
        mode: TxMode,
    ) -> Result<Self, StoreError> {
        let asked = Seen::now(shared);
        if let Some(hook) = hook
            && hook.before_begin(mode).await == BeginFate::Unavailable
        {
            return Err(unavailable(Refusal::Unreachable));
        }
        let turn = match mode {
            TxMode::Read => None,
            TxMode::Write => Some(Arc::clone(&shared.writer).lock_owned().await),
        };
        // A reader sees what is committed when its turn has come.
        let seen = match mode {
            TxMode::Read => Seen::now(shared),
            TxMode::Write => asked,
        };
        Ok(Self {
            shared: Arc::clone(shared),
            hook: hook.cloned(),
            mode,
            failed: false,
            seen,
            turn,
            deferred: Deferred::default(),
            locked_lanes: BTreeSet::new(),
            announced: Vec::new(),
        })
    }

    /// Looks something up at the moment that this transaction sees.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State, At) -> T) -> T {
        let at = match self.mode {
            TxMode::Read => Some(self.seen.moment),
            TxMode::Write => None,
        };
        look(&lock(&self.shared), at)
    }

    /// Reads a balance. With the planted bug it is the one of the moment at which the transaction was
    /// asked for, so that another one may have spent it in the meantime.
    pub(super) fn read_credits<T>(&self, look: impl FnOnce(&State, At) -> T) -> T {
        let state = lock(&self.shared);
        let at = match self.mode {
            TxMode::Write if !state.has_bug(PlantedBug::ReadThenDebit) => None,
            _ => Some(self.seen.moment),
        };
        look(&state, at)
    }

    /// Changes something. What is refused here can never be committed.
    pub(super) fn write<T>(
        &mut self,
        change: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = match self.mode {
            TxMode::Read => Err(StoreError::Rejected(Box::new(Refusal::ReadOnly))),
            TxMode::Write => change(&mut lock(&self.shared)),
        };
        outcome.map_err(|error| self.fail(error))
    }

    /// Marks the transaction as failed: nothing of it may be committed.
    pub(super) fn fail(&mut self, error: StoreError) -> StoreError {
        self.failed = true;
        error
    }

    fn check_deferred(&self) -> Result<(), StoreError> {
        let state = lock(&self.shared);
        let mut refunds = self.deferred.refunds.iter();
        let all_there = refunds.all(|id| state.transfers_by_id.has(None, id));
        require(all_there, "a refund refers to a ledger row")?;
        let mut purchases = self.deferred.purchases.iter();
        let all_there = purchases.all(|id| state.operations.has(None, id));
        require(all_there, "a name stands for a purchase")
    }

    /// Makes everything permanent and lets the next writer in.
    fn apply(&mut self) {
        if let Some(turn) = self.turn.take() {
            lock(&self.shared).commit();
            drop(turn);
        }
    }
}

impl Drop for ModelTx {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            lock(&self.shared).roll_back();
            drop(turn);
        }
    }
}

#[async_trait]
impl Tx for ModelTx {
    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Rejected(Box::new(Refusal::FailedBefore)));
        }
        self.write_announced()?;
        self.check_deferred()?;
        let Some(hook) = self.hook.clone() else {
            self.apply();
            return Ok(());
        };
        let fate = hook.before_commit(self.mode).await;
        if fate == CommitFate::Fail {
            return Err(unavailable(Refusal::Unreachable));
        }
        self.apply();
        hook.after_commit(self.mode).await;
        match fate {
            CommitFate::ApplyUnheard => Err(unavailable(Refusal::Unconfirmed)),
            CommitFate::Apply | CommitFate::Fail => Ok(()),
        }
    }

    async fn rollback(self: Box<Self>) -> Result<(), StoreError> {
        drop(self);
        Ok(())
    }
}
