//! What the database does, as metrics: how long transactions take, how they end, and what they made
//! final. What a transaction did is counted when it has committed, not before.

use std::time::{Duration, Instant};

use compute_domain::ledger::{Transfer, TransferReason};
use compute_domain::operation::{Operation, OperationKind, OperationState};
use compute_engine::ports::{StoreError, TxMode};
use metrics::{counter, histogram};

/// A transaction that is being measured.
#[derive(Debug)]
pub(crate) struct Measured {
    begun: Instant,
    mode: TxMode,
    deeds: Vec<Deed>,
}

/// What becomes final by a commit.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Rested(OperationKind, &'static str),
    Moved(TransferReason, u64),
}

fn monotonic() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a measurement for the metrics; nothing is decided by it"
    )]
    let now = Instant::now();
    now
}

impl Measured {
    /// Begins to measure a transaction, before it waits for its connection.
    pub(crate) fn begin(mode: TxMode) -> Self {
        Self {
            begun: monotonic(),
            mode,
            deeds: Vec::new(),
        }
    }

    /// An operation was written in its present state.
    pub(crate) fn saved(&mut self, operation: &Operation) {
        if !matches!(operation.state, OperationState::Running(_)) {
            let state = operation.state.name();
            self.deeds.push(Deed::Rested(operation.kind, state));
        }
    }

    /// A transfer was written.
    pub(crate) fn posted(&mut self, transfer: &Transfer) {
        let micros = u64::try_from(transfer.amount.micros()).unwrap_or(0);
        self.deeds.push(Deed::Moved(transfer.reason, micros));
    }

    /// Its commit was answered.
    pub(crate) fn committed(self) {
        self.ended("committed");
        for deed in self.deeds {
            match deed {
                Deed::Rested(kind, state) => counter!(
                    "compute_operations_rested_total",
                    "kind" => kind.as_str(), "state" => state
                )
                .increment(1),
                Deed::Moved(reason, micros) => counter!(
                    "compute_ledger_moved_micros_total", "reason" => reason.as_str()
                )
                .increment(micros),
            }
        }
    }

    /// It ended in another way.
    pub(crate) fn ended(&self, outcome: &'static str) {
        let mode = match self.mode {
            TxMode::Read => "read",
            TxMode::Write => "write",
        };
        let took: Duration = monotonic().saturating_duration_since(self.begun);
        histogram!("compute_store_transaction_seconds", "mode" => mode, "outcome" => outcome)
            .record(took);
    }
}

/// Counts an error on its way to the caller.
pub(crate) fn counted(error: StoreError) -> StoreError {
    let word = match &error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Rejected(_) => "rejected",
        StoreError::Inconsistent { .. } => "inconsistent",
        StoreError::LeaseLost => "lease_lost",
    };
    counter!("compute_store_errors_total", "error" => word).increment(1);
    error
}
