//! The promises of reliability.md 3, asked of the tables themselves and not of any SQL.
//!
//! Each question is about one account, one operation, one instance or one proof, so it can be asked of
//! everything, or only of what has changed.

mod arrivals;
mod books;
mod machines;
mod purchases;
mod reserves;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_engine::ports::{Audit, Finding, StoreError};

use super::dirty::Dirty;
use super::state::State;
use super::table::At;
use super::tx::ModelTx;

/// How many findings one promise may have; more say nothing new.
const FINDINGS_MAX: usize = 100;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Everything.
    Full,
    /// M1, M2, M3, M5, P1, P3 and O5.
    Quick,
}

/// One look at one moment.
struct Auditor<'a> {
    state: &'a State,
    at: At,
    depth: Depth,
    found: BTreeMap<&'static str, Vec<Finding>>,
}

impl Auditor<'_> {
    /// Adds a broken promise.
    fn find(&mut self, promise: &'static str, detail: String) {
        let found = self.found.entry(promise).or_default();
        if found.len() < FINDINGS_MAX {
            found.push(Finding { promise, detail });
        }
    }

    /// Adds a broken promise unless it is kept.
    fn expect(&mut self, kept: bool, promise: &'static str, detail: impl FnOnce() -> String) {
        if !kept {
            self.find(promise, detail());
        }
    }

    /// Whether everything is asked.
    fn is_full(&self) -> bool {
        self.depth == Depth::Full
    }

    /// Asks about some of what is stored.
    fn ask_about(&mut self, names: &Dirty) {
        for owner in &names.accounts {
            self.ask_account(*owner);
        }
        for operation in &names.operations {
            self.ask_operation(*operation);
        }
        for proof_key in &names.proof_keys {
            self.ask_proof(proof_key);
        }
        for instance in &names.instances {
            self.ask_instance(*instance);
        }
        for number in &names.broken_moves {
            if let Some(what) = self.state.broken_moves.get(self.at, number) {
                self.find("O5", what.clone());
            }
        }
    }

    fn into_list(self) -> Vec<Finding> {
        self.found.into_values().flatten().collect()
    }
}

/// Everything there is to ask about.
fn everything(state: &State, at: At) -> Dirty {
    let operations: BTreeSet<OperationId> = state.operations.iter(at).map(|(id, _)| *id).collect();
    let instances: BTreeSet<InstanceId> = state.instances.iter(at).map(|(id, _)| *id).collect();
    let accounts: BTreeSet<OwnerId> = state.accounts.iter(at).map(|(id, _)| *id).collect();
    let payments = state.payments.iter(at);
    Dirty {
        accounts,
        operations,
        instances,
        proof_keys: payments
            .map(|(_, row)| row.payment.proof_key.clone())
            .collect(),
        broken_moves: state
            .broken_moves
            .iter(at)
            .map(|(number, _)| *number)
            .collect(),
    }
}

/// Every broken promise at a moment.
pub(super) fn audit(state: &State, at: At) -> Vec<Finding> {
    let mut auditor = Auditor {
        state,
        at,
        depth: Depth::Full,
        found: BTreeMap::new(),
    };
    auditor.ask_about(&everything(state, at));
    auditor.ask_totals();
    auditor.ask_arrivals();
    auditor.ask_reserves();
    auditor.ask_places();
    auditor.ask_names();
    auditor.into_list()
}

/// What is broken about what was touched.
pub(super) fn audit_quick(state: &State, at: At, touched: &Dirty) -> Vec<Finding> {
    let mut auditor = Auditor {
        state,
        at,
        depth: Depth::Quick,
        found: BTreeMap::new(),
    };
    auditor.ask_about(touched);
    auditor.into_list()
}

#[async_trait]
impl Audit for ModelTx {
    async fn audit(&mut self) -> Result<Vec<Finding>, StoreError> {
        Ok(self.read(audit))
    }
}
