//! Instances.

use async_trait::async_trait;
use compute_domain::id::{InstanceId, OwnerId};
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Instances, StoreError};

use super::state::{MIN_TIME, State, WatchRow, least};
use super::tx::{ModelTx, no_row, require};

impl State {
    /// Writes an instance and its index entries.
    pub(super) fn write_instance(&mut self, instance: Instance) -> Result<(), StoreError> {
        let version = self.writing();
        let id = instance.id;
        if let Some(old) = self.instances.get(None, &id).cloned() {
            self.drop_from_indexes(&old);
        }
        if let Some(placement) = instance.placement() {
            let machine = (instance.provider, placement.machine.clone());
            require(
                !self.instances_by_machine.has(None, &machine),
                "a machine belongs to one instance",
            )?;
            self.instances_by_machine.put(version, machine, id);
        }
        if let InstanceState::Active(placement) = &instance.state {
            self.active.put(version, (placement.expires_at, id), ());
            let watch = self.watched.get(None, &id).copied();
            let watch = watch.unwrap_or(WatchRow {
                due_at: MIN_TIME,
                misses: 0,
                missing_since: None,
            });
            self.watched_by_time.put(version, (watch.due_at, id), ());
            self.watched.put(version, id, watch);
        }
        self.instances_by_owner
            .put(version, (instance.owner, id), ());
        self.instances.put(version, id, instance);
        Ok(())
    }

    fn drop_from_indexes(&mut self, old: &Instance) {
        let version = self.writing();
        if let Some(placement) = old.placement() {
            let machine = (old.provider, placement.machine.clone());
            self.instances_by_machine.remove(version, &machine);
            self.active.remove(version, &(placement.expires_at, old.id));
        }
        if let Some(watch) = self.watched.get(None, &old.id) {
            let key = (watch.due_at, old.id);
            self.watched_by_time.remove(version, &key);
        }
    }
}

#[async_trait]
impl Instances for ModelTx {
    async fn insert_instance(&mut self, instance: &Instance) -> Result<(), StoreError> {
        self.write(|state| {
            require(
                !state.instances.has(None, &instance.id),
                "an instance is inserted once",
            )?;
            require(
                state.owners.has(None, &instance.owner),
                "an instance has an owner",
            )?;
            state.write_instance(instance.clone())
        })
    }

    async fn save_instance(&mut self, instance: &Instance) -> Result<(), StoreError> {
        self.write(|state| {
            let known = state.instances.get(None, &instance.id).cloned();
            let known = known.ok_or_else(|| no_row("instances"))?;
            // Whose it is and since when never changes; what the reconciler saw is its own to write.
            let saved = Instance {
                owner: known.owner,
                created_at: known.created_at,
                suspended_since: known.suspended_since,
                ..instance.clone()
            };
            state.watch_instance(&known, &saved);
            state.write_instance(saved)
        })
    }

    async fn find_instance(&mut self, id: InstanceId) -> Result<Option<Instance>, StoreError> {
        Ok(self.read(|state, at| state.instances.get(at, &id).cloned()))
    }

    async fn lock_instance(&mut self, id: InstanceId) -> Result<Option<Instance>, StoreError> {
        self.find_instance(id).await
    }

    async fn list_instances(
        &mut self,
        owner: OwnerId,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<Instance>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let own = state
                .instances_by_owner
                .range(at, (owner, least::<InstanceId>())..);
            let own: Vec<_> = own
                .take_while(|((holder, _), ())| *holder == owner)
                .map(|((_, id), ())| *id)
                .take_while(|id| after.is_none_or(|after| *id < after))
                .collect();
            own.into_iter()
                .rev()
                .take(limit)
                .filter_map(|id| state.instances.get(at, &id).cloned())
                .collect()
        }))
    }

    async fn list_expired(
        &mut self,
        before: Timestamp,
        misses: u32,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let active = state.active.iter(at).map(|(key, ())| *key);
            let is_missing = |id: &InstanceId| {
                let row = state.watched.get(at, id);
                row.is_some_and(|row| row.misses >= misses)
            };
            active
                .take_while(|(expires_at, _)| *expires_at < before)
                .map(|(_, id)| id)
                .filter(|id| !is_missing(id))
                .take(limit)
                .collect()
        }))
    }
}
