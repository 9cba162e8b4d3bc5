//! Operations, the leases on them, and their logs.

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::operation::{Operation, OperationKind, OperationState, Step};
use compute_domain::payment::PaymentState;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Event, Lease, Opened, Operations, StoreError};

use super::state::{EventRow, OperationRow, State, least};
use super::table::At;
use super::tx::{ModelTx, require};
use crate::planted::PlantedBug;

impl State {
    /// Writes an operation and its index entries.
    fn write_operation(&mut self, row: OperationRow) -> Result<(), StoreError> {
        let version = self.writing();
        let id = row.operation.id;
        if let Some(old) = self.operations.get(None, &id) {
            let old = old.operation.clone();
            if let Some(progress) = old.progress() {
                self.running.remove(version, &(progress.run_at, id));
            }
            if let Some(instance) = old.instance.filter(|_| old.holds_instance()) {
                self.holders.remove(version, &instance);
            }
        }
        let operation = &row.operation;
        if let Some(progress) = operation.progress() {
            self.running.put(version, (progress.run_at, id), ());
        }
        if let Some(instance) = operation.instance {
            if operation.holds_instance() {
                require(
                    !self.holders.has(None, &instance),
                    "one open operation holds an instance",
                )?;
                self.holders.put(version, instance, id);
            }
            let key = (instance, operation.created_at, id);
            self.operations_by_instance.put(version, key, ());
        }
        let key = (operation.owner, id);
        if matches!(
            operation.state,
            OperationState::Running(_) | OperationState::Stuck { .. }
        ) {
            self.unfinished.put(version, key, ());
        } else {
            self.unfinished.remove(version, &key);
        }
        self.operations.put(version, id, row);
        Ok(())
    }

    /// Gives an operation to a holder; the lease says how.
    fn lease(&mut self, id: OperationId, holder: &str, until: Timestamp) -> Option<Lease> {
        let mut row = self.operations.get(None, &id)?.clone();
        row.epoch = row.epoch.saturating_add(1);
        row.held = Some((holder.to_owned(), until));
        let epoch = row.epoch;
        let version = self.writing();
        self.operations.put(version, id, row);
        Some(Lease {
            operation: id,
            holder: holder.to_owned(),
            epoch,
        })
    }

    /// Whether this lease is the one on its operation.
    fn is_leased(&self, lease: &Lease) -> bool {
        let row = self.operations.get(None, &lease.operation);
        row.is_some_and(|row| {
            let holder = row.held.as_ref().map(|(holder, _)| holder);
            row.epoch == lease.epoch && holder == Some(&lease.holder)
        })
    }

    pub(super) fn operation(&self, at: At, id: OperationId) -> Option<&Operation> {
        self.operations.get(at, &id).map(|row| &row.operation)
    }

    fn events_of(
        &self,
        at: At,
        operation: OperationId,
    ) -> impl DoubleEndedIterator<Item = &EventRow> {
        let range = (operation, i64::MIN)..=(operation, i64::MAX);
        self.events.range(at, range).map(|(_, row)| row)
    }
}

/// Whether the money of a running operation may have moved without anybody's knowing.
fn is_hanging(operation: &Operation, begun_before: Timestamp) -> bool {
    operation.progress().is_some_and(|progress| {
        let is_overdue = progress.step == Step::Settle
            && progress.begun_at.is_some_and(|begun| begun < begun_before);
        operation.data.settlement_unknown_since.is_some() || is_overdue
    })
}

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[async_trait]
impl Operations for ModelTx {
    async fn open_operation(
        &mut self,
        operation: &Operation,
        holder: &str,
        until: Timestamp,
    ) -> Result<Opened, StoreError> {
        self.write(|state| {
            let instance = operation.instance;
            let is_busy = instance.is_some_and(|id| state.holders.has(None, &id));
            if operation.holds_instance() && is_busy {
                return Ok(Opened::InstanceBusy);
            }
            require(
                !state.operations.has(None, &operation.id),
                "an operation is opened once",
            )?;
            require(
                state.owners.has(None, &operation.owner)
                    && instance.is_none_or(|id| state.instances.has(None, &id)),
                "an operation is for an owner, and on an instance",
            )?;
            let epoch = 1;
            state.write_operation(OperationRow {
                operation: operation.clone(),
                held: Some((holder.to_owned(), until)),
                epoch,
            })?;
            Ok(Opened::Leased(Lease {
                operation: operation.id,
                holder: holder.to_owned(),
                epoch,
            }))
        })
    }

    async fn find_operation(&mut self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self.read(|state, at| state.operation(at, id).cloned()))
    }

    async fn operations_of(&mut self, instance: InstanceId) -> Result<Vec<Operation>, StoreError> {
        Ok(self.read(|state, at| {
            let operations = state.operations_of(at, instance);
            operations.into_iter().cloned().collect()
        }))
    }

    async fn list_unresolved(
        &mut self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        let mut unresolved: Vec<_> = self.read(|state, at| {
            let unfinished = state.unfinished.iter(at);
            unfinished
                .filter_map(|((_, id), ())| state.operation(at, *id))
                .filter(|operation| {
                    operation.progress().is_none() || operation.created_at < opened_before
                })
                .cloned()
                .collect()
        });
        unresolved.sort_by_key(|operation| (operation.created_at, operation.id));
        unresolved.truncate(count(limit));
        Ok(unresolved)
    }

    async fn lease_operation(
        &mut self,
        id: OperationId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        self.write(|state| {
            let row = state.operations.get(None, &id);
            if row.is_none_or(|row| row.is_held(now)) {
                return Ok(None);
            }
            Ok(state.lease(id, holder, until))
        })
    }

    async fn provision_of(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<Operation>, StoreError> {
        Ok(self.read(|state, at| {
            let operations = state.operations_of(at, instance);
            let provision = operations
                .into_iter()
                .find(|operation| operation.kind == OperationKind::Provision);
            provision.cloned()
        }))
    }

    async fn find_hanging(
        &mut self,
        owner: OwnerId,
        payer: Option<&WalletAddress>,
        request_digest: &[u8; 32],
        since: Timestamp,
        begun_before: Timestamp,
    ) -> Result<Option<Operation>, StoreError> {
        Ok(self.read(|state, at| {
            let own = state
                .unfinished
                .range(at, (owner, least::<OperationId>())..)
                .take_while(|((of, _), ())| *of == owner)
                .map(|((_, id), ())| *id);
            let pays = |id: OperationId| {
                let payment = state.payment_of(at, id).map(|row| &row.payment);
                payment.is_some_and(|payment| {
                    payment.state == PaymentState::Claimed && payment.payer.as_ref() == payer
                })
            };
            let running = state.unfinished.iter(at).map(|((_, id), ())| *id);
            let paid = running.filter(|id| payer.is_some() && pays(*id));
            let hanging = own
                .chain(paid)
                .filter_map(|id| state.operation(at, id))
                .filter(|operation| operation.request_digest == *request_digest)
                .filter(|operation| operation.created_at >= since)
                .filter(|operation| is_hanging(operation, begun_before));
            hanging
                .max_by_key(|operation| (operation.created_at, operation.id))
                .cloned()
        }))
    }

    async fn claim_due(
        &mut self,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Operation, Lease)>, StoreError> {
        self.write(|state| {
            let running = state.running.iter(None).map(|(key, ())| *key);
            let due: Vec<_> = running
                .take_while(|(run_at, _)| *run_at <= now)
                .filter_map(|(_, id)| state.operations.get(None, &id))
                .filter(|row| !row.is_held(now))
                .take(count(limit))
                .map(|row| row.operation.clone())
                .collect();
            let claimed = due.into_iter().filter_map(|operation| {
                let lease = state.lease(operation.id, holder, until)?;
                Some((operation, lease))
            });
            Ok(claimed.collect())
        })
    }

    async fn save_operation(
        &mut self,
        operation: &Operation,
        lease: &Lease,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            let is_ours = lease.operation == operation.id && state.is_leased(lease);
            let known = state.operations.get(None, &operation.id).cloned();
            let is_open = |row: &OperationRow| {
                !matches!(
                    row.operation.state,
                    OperationState::Succeeded | OperationState::Failed { .. }
                )
            };
            let known = known.filter(is_open);
            let Some(known) = known.filter(|_| is_ours || state.has_bug(PlantedBug::NoLeaseEpoch))
            else {
                return Err(StoreError::LeaseLost);
            };
            let saved = Operation {
                state: operation.state.clone(),
                data: operation.data.clone(),
                finished_at: operation.finished_at,
                ..known.operation.clone()
            };
            state.watch_operation(&known.operation, &saved);
            let holder = match known.held {
                Some((holder, _)) => holder,
                None => lease.holder.clone(),
            };
            state.write_operation(OperationRow {
                operation: saved,
                held: Some((holder, until)),
                epoch: known.epoch,
            })
        })
    }

    async fn release_lease(&mut self, lease: &Lease) -> Result<(), StoreError> {
        self.write(|state| {
            // No such lease is no fault: it was lost, and somebody else's stays.
            if !state.is_leased(lease) {
                return Ok(());
            }
            if let Some(mut row) = state.operations.get(None, &lease.operation).cloned() {
                row.held = None;
                let version = state.writing();
                state.operations.put(version, lease.operation, row);
            }
            Ok(())
        })
    }

    async fn append_event(
        &mut self,
        operation: OperationId,
        at: Timestamp,
        holder: &str,
        name: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            require(
                state.operations.has(None, &operation),
                "a log line belongs to an operation",
            )?;
            let last = state.events_of(None, operation).next_back();
            let seq = last.map_or(0, |row| row.event.seq.saturating_add(1));
            let event = Event {
                seq,
                at,
                holder: holder.to_owned(),
                name: name.to_owned(),
                detail: detail.to_owned(),
            };
            let (version, number) = (state.writing(), state.next_number());
            let row = EventRow { number, event };
            state.events.put(version, (operation, seq), row);
            Ok(())
        })
    }

    async fn list_events(&mut self, operation: OperationId) -> Result<Vec<Event>, StoreError> {
        Ok(self.read(|state, at| {
            let events = state.events_of(at, operation);
            events.map(|row| row.event.clone()).collect()
        }))
    }
}
