//! What is to happen before the prepaid time of a machine ends.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, InstanceId};
use compute_domain::money::{Hours, Usd};
use compute_domain::time::Timestamp;

use super::StoreError;

/// When an owner is to be told next that the time of a machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryNotice {
    /// Which machine.
    pub instance: InstanceId,
    /// The end that is told of.
    pub expires_at: Timestamp,
    /// How many hours before that end.
    pub hours_left: u32,
    /// When that is.
    pub due_at: Timestamp,
}

/// An owner's wish that a machine be extended from credits before its time ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoExtension {
    /// Which machine.
    pub instance: InstanceId,
    /// By how much each time.
    pub hours: Hours,
    /// What all extensions together may cost.
    pub max_total: Usd,
    /// What they have cost so far.
    pub spent: Usd,
    /// The API key that wanted it, whose budget is charged.
    pub api_key: Option<ApiKeyId>,
    /// When to extend, or to try again; none while nothing can come of it.
    pub due_at: Option<Timestamp>,
    /// Tries in vain for the present end.
    pub failures: u32,
    /// Why it failed, as its owner was last told.
    pub told: Option<String>,
}

/// Notices and wishes, one of each per machine. Whoever writes one holds the lock of its instance.
#[async_trait]
pub trait Ahead: Send {
    /// Writes the next notice of a machine in place of the one before.
    async fn set_expiry_notice(&mut self, notice: &ExpiryNotice) -> Result<(), StoreError>;
    /// Nothing is to be told of this machine any more.
    async fn clear_expiry_notice(&mut self, instance: InstanceId) -> Result<(), StoreError>;
    /// The next notice of a machine.
    async fn find_expiry_notice(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<ExpiryNotice>, StoreError>;
    /// Machines whose notice is due, the longest due first.
    async fn list_due_notices(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError>;
    /// Writes a wish in place of the one before.
    async fn set_auto_extension(&mut self, wish: &AutoExtension) -> Result<(), StoreError>;
    /// The wish is no more.
    async fn clear_auto_extension(&mut self, instance: InstanceId) -> Result<(), StoreError>;
    /// The wish about a machine.
    async fn find_auto_extension(
        &mut self,
        instance: InstanceId,
    ) -> Result<Option<AutoExtension>, StoreError>;
    /// Machines that are to be extended now, the longest due first.
    async fn list_due_extensions(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError>;
}
