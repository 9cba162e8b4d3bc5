//! Secrets that the database keeps sealed until they are taken or their time is over.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, InstanceId, OperationId};
use compute_domain::time::Timestamp;

use super::store::StoreError;

/// What taking a password found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenPassword {
    /// Here it is, sealed; it is no longer in the database.
    Sealed(Vec<u8>),
    /// Somebody took it before, or its time was over.
    AlreadyTaken,
    /// There never was one.
    None,
}

/// One-time secrets, sealed.
#[async_trait]
pub trait Vault: Send {
    /// Stores an instance's sealed root password.
    async fn store_password(
        &mut self,
        instance: InstanceId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Stores the password of a machine that was set up anew at `at`, in place of an earlier one, taken
    /// or not. Does nothing when one of that moment or a later one is or was there.
    async fn replace_password(
        &mut self,
        instance: InstanceId,
        sealed: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Takes it: of any number of callers, at any time, one gets it.
    async fn take_password(
        &mut self,
        instance: InstanceId,
        now: Timestamp,
    ) -> Result<TakenPassword, StoreError>;
    /// Removes an instance's password unread: its machine is gone, or another one replaces it.
    async fn erase_password(&mut self, instance: InstanceId) -> Result<(), StoreError>;
    /// Erases passwords stored before `before`, unread; how many.
    async fn expire_passwords(
        &mut self,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}

/// A management key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// The key.
    pub api_key: ApiKeyId,
    /// Its text, sealed, until it was first used or its time was over.
    pub sealed: Option<Vec<u8>>,
}

/// The keys of buyers who showed nothing but a payment.
#[async_trait]
pub trait ManagementKeys: Send {
    /// Keeps the sealed text of the key that a purchase made.
    async fn keep_management_key(
        &mut self,
        operation: OperationId,
        api_key: ApiKeyId,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// The key that a purchase made.
    async fn find_management_key(
        &mut self,
        operation: OperationId,
    ) -> Result<Option<KeptKey>, StoreError>;
    /// Erases the text of this key; harmless when there is none.
    async fn erase_management_key(&mut self, api_key: ApiKeyId) -> Result<(), StoreError>;
    /// Forgets keys, kept before `old` and never used, of purchases whose payment was declined; how many.
    async fn forget_vain_keys(&mut self, old: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Erases texts that were kept before `before`; how many.
    async fn expire_management_keys(&mut self, before: Timestamp) -> Result<u64, StoreError>;
}
