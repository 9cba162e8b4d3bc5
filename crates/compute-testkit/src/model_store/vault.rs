//! Root passwords: sealed, and readable once.

use async_trait::async_trait;
use compute_domain::id::InstanceId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{StoreError, TakenPassword, Vault};

use super::state::{PasswordRow, State};
use super::tx::{ModelTx, rejected, require};
use crate::planted::PlantedBug;

impl State {
    fn write_password(&mut self, instance: InstanceId, row: PasswordRow) {
        let version = self.writing();
        self.drop_password(instance);
        if row.taken_at.is_none() {
            let key = (row.stored_at, instance);
            self.unread_passwords.put(version, key, ());
        }
        self.passwords.put(version, instance, row);
    }

    fn drop_password(&mut self, instance: InstanceId) {
        let version = self.writing();
        let stored_at = self.passwords.get(None, &instance).map(|row| row.stored_at);
        if let Some(stored_at) = stored_at {
            self.unread_passwords
                .remove(version, &(stored_at, instance));
            self.passwords.remove(version, &instance);
        }
    }
}

#[async_trait]
impl Vault for ModelTx {
    async fn store_password(
        &mut self,
        instance: InstanceId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            require(
                state.instances.has(None, &instance),
                "a password is of an instance",
            )?;
            let known = state.passwords.get(None, &instance);
            if known.is_some_and(|row| row.taken_at.is_some()) {
                return Err(rejected(
                    "the password of this instance was taken; another one cannot follow",
                ));
            }
            let row = PasswordRow {
                sealed: Some(sealed.to_vec()),
                stored_at: now,
                taken_at: None,
            };
            state.write_password(instance, row);
            Ok(())
        })
    }

    async fn replace_password(
        &mut self,
        instance: InstanceId,
        sealed: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            require(
                state.instances.has(None, &instance),
                "a password is of an instance",
            )?;
            let known = state.passwords.get(None, &instance);
            if known.is_none_or(|row| row.stored_at < at) {
                let row = PasswordRow {
                    sealed: Some(sealed.to_vec()),
                    stored_at: at,
                    taken_at: None,
                };
                state.write_password(instance, row);
            }
            Ok(())
        })
    }

    async fn take_password(
        &mut self,
        instance: InstanceId,
        now: Timestamp,
    ) -> Result<TakenPassword, StoreError> {
        self.write(|state| {
            let Some(row) = state.passwords.get(None, &instance).cloned() else {
                return Ok(TakenPassword::None);
            };
            let is_kept = state.has_bug(PlantedBug::PasswordNotErased);
            let Some(sealed) = row.sealed.clone() else {
                return Ok(TakenPassword::AlreadyTaken);
            };
            if !is_kept {
                let taken = PasswordRow {
                    sealed: None,
                    taken_at: Some(now),
                    ..row
                };
                state.write_password(instance, taken);
            }
            Ok(TakenPassword::Sealed(sealed))
        })
    }

    async fn erase_password(&mut self, instance: InstanceId) -> Result<(), StoreError> {
        self.write(|state| {
            let known = state.passwords.get(None, &instance);
            // The mark that one was taken stays.
            if known.is_some_and(|row| row.taken_at.is_none()) {
                state.drop_password(instance);
            }
            Ok(())
        })
    }

    async fn expire_passwords(
        &mut self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(|state| {
            let unread = state.unread_passwords.iter(None);
            let expired: Vec<_> = unread
                .map(|(key, ())| *key)
                .take_while(|(stored_at, _)| *stored_at < before)
                .collect();
            let mut count: u64 = 0;
            for (stored_at, instance) in expired {
                let row = PasswordRow {
                    sealed: None,
                    stored_at,
                    taken_at: Some(now),
                };
                state.write_password(instance, row);
                count = count.saturating_add(1);
            }
            Ok(count)
        })
    }
}
