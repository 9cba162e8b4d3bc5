//! What machines do at their providers, and what was done to them unasked.

use std::collections::BTreeSet;

use async_trait::async_trait;
use compute_domain::catalog::{PlanId, ProviderId, ProviderInstanceId};
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::InstanceState;
use compute_domain::time::Timestamp;
use compute_engine::ports::{PlanDrift, Quarantine, Sighting, StoreError, Suspect, Watch, Watched};

use super::state::{State, WatchRow};
use super::tx::{ModelTx, require};

/// The key of the only quarantine.
const QUARANTINE: u64 = 1;

impl State {
    /// Makes an active instance due for a look at `due_at`.
    fn write_watch(&mut self, instance: InstanceId, row: WatchRow) {
        let version = self.writing();
        if let Some(old) = self.watched.get(None, &instance).copied() {
            self.watched_by_time
                .remove(version, &(old.due_at, instance));
        }
        self.watched_by_time
            .put(version, (row.due_at, instance), ());
        self.watched.put(version, instance, row);
    }

    /// An active instance's machine, and how often it was missed.
    fn watched_machine(&self, at: Option<u64>, id: InstanceId) -> Option<(Watched, WatchRow)> {
        let row = self.watched.get(at, &id).copied()?;
        let instance = self.instances.get(at, &id)?;
        let InstanceState::Active(placement) = &instance.state else {
            return None;
        };
        let watched = Watched {
            instance: id,
            provider: instance.provider,
            machine: placement.machine.clone(),
            misses: row.misses,
            missing_since: row.missing_since,
        };
        Some((watched, row))
    }
}

#[async_trait]
impl Watch for ModelTx {
    async fn claim_watched(
        &mut self,
        now: Timestamp,
        next: Timestamp,
        limit: u32,
    ) -> Result<Vec<Watched>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.write(|state| {
            let due = state.watched_by_time.iter(None).map(|(key, ())| *key);
            let due: Vec<_> = due
                .take_while(|(due_at, _)| *due_at <= now)
                .map(|(_, id)| id)
                .filter(|id| !state.holders.has(None, id))
                .take(limit)
                .collect();
            let mut claimed = Vec::with_capacity(due.len());
            for id in due {
                if let Some((watched, row)) = state.watched_machine(None, id) {
                    claimed.push(watched);
                    let due_at = next;
                    state.write_watch(id, WatchRow { due_at, ..row });
                }
            }
            Ok(claimed)
        })
    }

    async fn find_watched(&mut self, instance: InstanceId) -> Result<Option<Watched>, StoreError> {
        Ok(self.read(|state, at| {
            let found = state.watched_machine(at, instance);
            found.map(|(watched, _)| watched)
        }))
    }

    async fn list_missing(&mut self, misses: u32, limit: u32) -> Result<Vec<Watched>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let ids = state.active.iter(at).map(|(key, ())| key.1);
            let mut missing: Vec<Watched> = ids
                .filter_map(|id| state.watched_machine(at, id))
                .map(|(watched, _)| watched)
                .filter(|watched| watched.misses >= misses)
                .collect();
            missing.sort_by_key(|watched| (watched.missing_since, watched.instance));
            missing.truncate(limit);
            missing
        }))
    }

    async fn save_sighting(
        &mut self,
        instance: InstanceId,
        sighting: &Sighting,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            let known = state.instances.get(None, &instance).cloned();
            // No row is no fault: the instance came to its end while its machine was looked at.
            let Some(mut known) =
                known.filter(|known| matches!(known.state, InstanceState::Active(_)))
            else {
                return Ok(());
            };
            require(
                sighting.missing_since.is_none() == (sighting.misses == 0),
                "what was missed is missing since some moment",
            )?;
            known.suspended_since = sighting.suspended_since;
            known.ip = sighting.address.or(known.ip);
            state.write_instance(known)?;
            if let Some(row) = state.watched.get(None, &instance).copied() {
                let row = WatchRow {
                    misses: sighting.misses,
                    missing_since: sighting.missing_since,
                    ..row
                };
                state.write_watch(instance, row);
            }
            Ok(())
        })
    }

    async fn note_plan_drift(
        &mut self,
        instance: InstanceId,
        plan: &PlanId,
        now: Timestamp,
    ) -> Result<PlanDrift, StoreError> {
        self.write(|state| {
            let known = state.plan_drifts.get(None, &instance);
            let drift = match known.filter(|known| known.plan == *plan) {
                Some(known) => PlanDrift {
                    looks: known.looks.saturating_add(1),
                    ..known.clone()
                },
                None => PlanDrift {
                    instance,
                    plan: plan.clone(),
                    since: now,
                    looks: 1,
                },
            };
            let version = state.writing();
            state.plan_drifts.put(version, instance, drift.clone());
            Ok(drift)
        })
    }

    async fn forget_plan_drift(&mut self, instance: InstanceId) -> Result<bool, StoreError> {
        self.write(|state| {
            let version = state.writing();
            Ok(state.plan_drifts.remove(version, &instance))
        })
    }

    async fn list_plan_drifts(
        &mut self,
        looks: u32,
        limit: u32,
    ) -> Result<Vec<PlanDrift>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let rows = state.plan_drifts.iter(at).map(|(_, drift)| drift);
            let mut drifts: Vec<_> = rows
                .filter(|drift| {
                    let instance = state.instances.get(at, &drift.instance);
                    drift.looks >= looks
                        && instance.is_some_and(|instance| {
                            matches!(instance.state, InstanceState::Active(_))
                        })
                })
                .cloned()
                .collect();
            drifts.sort_by_key(|drift| (drift.since, drift.instance));
            drifts.truncate(limit);
            drifts
        }))
    }

    async fn list_active_machines(
        &mut self,
        provider: ProviderId,
    ) -> Result<Vec<ProviderInstanceId>, StoreError> {
        Ok(self.read(|state, at| {
            let active = state.active.iter(at);
            let active = active.filter_map(|((_, id), ())| state.instances.get(at, id));
            active
                .filter(|instance| instance.provider == provider)
                .filter_map(|instance| instance.placement())
                .map(|placement| placement.machine.clone())
                .collect()
        }))
    }

    async fn count_live(&mut self) -> Result<u64, StoreError> {
        Ok(self.read(|state, at| {
            let all = state.all_places.get(at, &());
            u64::try_from(all.map_or(0, |all| all.live)).unwrap_or(0)
        }))
    }

    async fn suspect(
        &mut self,
        provider: ProviderId,
        machine: &ProviderInstanceId,
        operation: OperationId,
        now: Timestamp,
    ) -> Result<Suspect, StoreError> {
        self.write(|state| {
            let key = (provider, machine.clone());
            let suspect = match state.suspects.get(None, &key) {
                Some(known) => Suspect {
                    operation,
                    rounds: known.rounds.saturating_add(1),
                    ..known.clone()
                },
                None => Suspect {
                    provider,
                    machine: machine.clone(),
                    operation,
                    first_seen_at: now,
                    rounds: 1,
                },
            };
            let version = state.writing();
            state.suspects.put(version, key, suspect.clone());
            Ok(suspect)
        })
    }

    async fn acquit_others(
        &mut self,
        provider: ProviderId,
        still: &[ProviderInstanceId],
    ) -> Result<(), StoreError> {
        self.write(|state| {
            let version = state.writing();
            let suspects = state.suspects.iter(None).map(|(key, _)| key);
            let acquitted: Vec<_> = suspects
                .filter(|(of, machine)| *of == provider && !still.contains(machine))
                .cloned()
                .collect();
            for key in acquitted {
                state.suspects.remove(version, &key);
            }
            Ok(())
        })
    }

    async fn list_suspects(&mut self) -> Result<Vec<Suspect>, StoreError> {
        let mut suspects: Vec<_> = self.read(|state, at| {
            let suspects = state.suspects.iter(at);
            suspects.map(|(_, suspect)| suspect.clone()).collect()
        });
        suspects.sort_by(|a, b| {
            let key = |one: &Suspect| (one.first_seen_at, one.provider.as_str());
            key(a).cmp(&key(b)).then_with(|| a.machine.cmp(&b.machine))
        });
        Ok(suspects)
    }

    async fn find_quarantine(&mut self) -> Result<Option<Quarantine>, StoreError> {
        Ok(self.read(|state, at| state.quarantine.get(at, &QUARANTINE).cloned()))
    }

    async fn begin_quarantine(&mut self, quarantine: &Quarantine) -> Result<bool, StoreError> {
        self.write(|state| {
            if state.quarantine.has(None, &QUARANTINE) {
                return Ok(false);
            }
            let version = state.writing();
            state
                .quarantine
                .put(version, QUARANTINE, quarantine.clone());
            Ok(true)
        })
    }

    async fn end_quarantine(&mut self) -> Result<bool, StoreError> {
        self.write(|state| {
            let version = state.writing();
            Ok(state.quarantine.remove(version, &QUARANTINE))
        })
    }

    async fn note_unasked_destruction(
        &mut self,
        cause: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            let (version, number) = (state.writing(), state.next_number());
            let row = (now, cause.to_owned(), subject.to_owned());
            state.destructions.put(version, number, row);
            Ok(())
        })
    }

    async fn count_unasked_destructions(&mut self, since: Timestamp) -> Result<u64, StoreError> {
        Ok(self.read(|state, at| {
            let destructions = state.destructions.iter(at);
            let counted: BTreeSet<_> = destructions
                .filter(|(_, (moment, ..))| *moment >= since)
                .map(|(_, (_, cause, subject))| (cause, subject))
                .collect();
            u64::try_from(counted.len()).unwrap_or(u64::MAX)
        }))
    }

    async fn forget_unasked_destructions(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(|state| {
            let version = state.writing();
            let destructions = state.destructions.iter(None);
            let old: Vec<u64> = destructions
                .filter(|(_, (moment, ..))| *moment < before)
                .map(|(number, _)| *number)
                .collect();
            let forgotten = old.len();
            for number in old {
                state.destructions.remove(version, &number);
            }
            Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
        })
    }
}
