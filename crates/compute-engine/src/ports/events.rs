//! What owners are told about, as a feed that each of them reads on from where it was left.

use async_trait::async_trait;
use compute_domain::event::EventType;
use compute_domain::id::{EventId, InstanceId, OperationId, OwnerId};
use compute_domain::time::Timestamp;

use super::StoreError;

/// Something that happened to what an owner has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name, the same wherever it is told.
    pub id: EventId,
    /// Whose it is.
    pub owner: OwnerId,
    /// What happened.
    pub kind: EventType,
    /// When.
    pub at: Timestamp,
    /// The machine it is about, if it is about one.
    pub instance: Option<InstanceId>,
    /// The work that brought it about, if some did.
    pub operation: Option<OperationId>,
    /// More about it, as a JSON object; public, never a secret.
    pub data: String,
}

/// The same with its place in its owner's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerEvent {
    /// Counts the owner's events, from 1, without a gap.
    pub seq: u64,
    /// What happened.
    pub event: NewEvent,
}

/// The feeds.
///
/// Contract: (1) what is announced in a transaction is in the feed exactly when that transaction
/// commits; (2) the events of an owner are numbered from 1 without a gap, in the order in which their
/// transactions commit: whoever has seen number n has nothing with a smaller number to wait for;
/// (3) announcing takes no lock. The numbers are given at the commit, behind every other lock of the
/// transaction and owner by owner in ascending order, so that no two transactions wait for each other.
#[async_trait]
pub trait OwnerEvents: Send {
    /// Keeps an event until this transaction commits.
    fn announce(&mut self, event: NewEvent);
    /// The owner's events with a number above `after`, in order.
    async fn owner_events(
        &mut self,
        owner: OwnerId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OwnerEvent>, StoreError>;
    /// Forgets up to `limit` events of before `before`; how many. Numbers are not given again.
    async fn forget_owner_events(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;
}
