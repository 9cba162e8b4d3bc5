//! What is to happen before the prepaid time of a machine ends.

use async_trait::async_trait;
use compute_domain::id::InstanceId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Ahead, AutoExtension, ExpiryNotice, StoreError};

use super::tx::{ModelTx, require};

/// The longest due first, as an index by time gives them.
fn due(mut all: Vec<(Timestamp, InstanceId)>, now: Timestamp, limit: u32) -> Vec<InstanceId> {
    all.retain(|(at, _)| *at <= now);
    all.sort();
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    all.into_iter().map(|(_, id)| id).collect()
}

#[async_trait]
impl Ahead for ModelTx {
    async fn set_expiry_notice(&mut self, notice: &ExpiryNotice) -> Result<(), StoreError> {
        self.write(|state| {
            let is_known = state.instances.has(None, &notice.instance);
            require(is_known, "a notice is about an instance")?;
            let version = state.writing();
            state.expiry_notices.put(version, notice.instance, *notice);
            Ok(())
        })
    }

    async fn clear_expiry_notice(&mut self, instance: InstanceId) -> Result<(), StoreError> {
        self.write(|state| {
            let version = state.writing();
            state.expiry_notices.remove(version, &instance);
            Ok(())
        })
    }

    async fn find_expiry_notice(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<ExpiryNotice>, StoreError> {
        Ok(self.read(|state, at| state.expiry_notices.get(at, &instance).copied()))
    }

    async fn list_due_notices(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let all = self.read(|state, at| {
            let rows = state.expiry_notices.iter(at);
            rows.map(|(id, notice)| (notice.due_at, *id)).collect()
        });
        Ok(due(all, now, limit))
    }

    async fn set_auto_extension(&mut self, wish: &AutoExtension) -> Result<(), StoreError> {
        self.write(|state| {
            let is_known = state.instances.has(None, &wish.instance);
            require(is_known, "an extension is of an instance")?;
            let version = state.writing();
            state
                .auto_extensions
                .put(version, wish.instance, wish.clone());
            Ok(())
        })
    }

    async fn clear_auto_extension(&mut self, instance: InstanceId) -> Result<(), StoreError> {
        self.write(|state| {
            let version = state.writing();
            state.auto_extensions.remove(version, &instance);
            Ok(())
        })
    }

    async fn find_auto_extension(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<AutoExtension>, StoreError> {
        Ok(self.read(|state, at| state.auto_extensions.get(at, &instance).cloned()))
    }

    async fn list_due_extensions(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let all = self.read(|state, at| {
            let rows = state.auto_extensions.iter(at);
            rows.filter_map(|(id, wish)| Some((wish.due_at?, *id)))
                .collect()
        });
        Ok(due(all, now, limit))
    }
}
