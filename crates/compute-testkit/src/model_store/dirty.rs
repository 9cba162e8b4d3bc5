//! What committed transactions touched since somebody last looked, so that a look after each event
//! costs as much as the event and not as much as the whole store.

use std::collections::BTreeSet;

use compute_domain::id::{InstanceId, OperationId, OwnerId};

use super::state::State;

/// Names of what was touched.
#[derive(Debug, Clone, Default)]
pub(super) struct Dirty {
    pub(super) accounts: BTreeSet<OwnerId>,
    pub(super) operations: BTreeSet<OperationId>,
    pub(super) instances: BTreeSet<InstanceId>,
    pub(super) proof_keys: BTreeSet<String>,
    pub(super) broken_moves: BTreeSet<u64>,
}

impl Dirty {
    /// Adds what one transaction touched; it must not be forgotten yet.
    pub(super) fn collect(state: &mut State, version: u64) {
        let touched = Self::touched_by(state, version);
        let dirty = &mut state.dirty;
        dirty.accounts.extend(touched.accounts);
        dirty.operations.extend(touched.operations);
        dirty.instances.extend(touched.instances);
        dirty.proof_keys.extend(touched.proof_keys);
        dirty.broken_moves.extend(touched.broken_moves);
    }

    fn touched_by(state: &State, version: u64) -> Self {
        let mut touched = Self::default();
        touched.accounts.extend(state.accounts.changed_by(version));
        touched
            .operations
            .extend(state.operations.changed_by(version));
        touched
            .instances
            .extend(state.instances.changed_by(version));
        let lots = state.lots.changed_by(version);
        touched
            .instances
            .extend(lots.map(|(instance, _)| *instance));
        for id in state.payments.changed_by(version) {
            if let Some(row) = state.payments.get(None, id) {
                touched.operations.insert(row.payment.operation);
                touched.proof_keys.insert(row.payment.proof_key.clone());
            }
        }
        for number in state.transfers.changed_by(version) {
            if let Some(row) = state.transfers.get(None, number) {
                touched.operations.extend(row.transfer.cause.operation());
            }
        }
        touched
            .broken_moves
            .extend(state.broken_moves.changed_by(version));
        // What happens to an operation concerns its instance too.
        let rows = touched.operations.iter();
        let rows = rows.filter_map(|id| state.operations.get(None, id));
        touched
            .instances
            .extend(rows.filter_map(|row| row.operation.instance));
        touched
    }
}
