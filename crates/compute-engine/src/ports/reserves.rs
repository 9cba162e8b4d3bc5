//! What the database remembers of money that goes back to who paid by card, as business verbs.

use async_trait::async_trait;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::Usd;
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::reserve::{Dispute, Reserve, ReserveKind};
use compute_domain::time::Timestamp;

use super::store::StoreError;

/// Reserves and disputes.
///
/// Contract: (1) a refund has one name of its payment, and of any number of reserves under that name one
/// is written; (2) a reserve leaves the state it was in once, whoever tries at the same time; (3) the
/// part of the credit that [`Reserves::open_credits`] has locked is neither given, spent nor set aside by
/// anybody else until the transaction ends.
#[async_trait]
pub trait Reserves: Send {
    /// As [`Ledger::lock_credits`](super::Ledger::lock_credits), but makes the account of an owner who
    /// never had any, so that there is something to lock.
    async fn open_credits(&mut self, owner: OwnerId) -> Result<Usd, StoreError>;
    /// The settled payment of a rail that the payment network calls so.
    async fn settled_payment(
        &mut self,
        rail: &RailLabel,
        reference: &str,
    ) -> Result<Option<Payment>, StoreError>;
    /// One payment.
    async fn payment_with_id(&mut self, id: PaymentId) -> Result<Option<Payment>, StoreError>;
    /// When the first payment of a rail was claimed that is known.
    async fn first_claim(&mut self, rail: &RailLabel) -> Result<Option<Timestamp>, StoreError>;
    /// When the oldest payment of a rail was claimed of which it is not known yet whether it settled.
    async fn first_undecided(&mut self, rail: &RailLabel) -> Result<Option<Timestamp>, StoreError>;
    /// How much of a payment became its owner's credit and was not set aside yet, spent or not: never
    /// more than was paid, nor than was given back for all that was bought with it.
    async fn returned_of(&mut self, payment: &Payment) -> Result<Usd, StoreError>;
    /// Writes a reserve; false, and nothing written, when its payment has a refund of that name.
    async fn insert_reserve(&mut self, reserve: &Reserve) -> Result<bool, StoreError>;
    /// Writes where a held reserve is now; false, and nothing written, when it is not held any more.
    async fn save_reserve(&mut self, reserve: &Reserve) -> Result<bool, StoreError>;
    /// The refund of a payment with this name.
    async fn find_refund(
        &mut self,
        payment: PaymentId,
        name: &str,
    ) -> Result<Option<Reserve>, StoreError>;
    /// The held reserves of a rail and kind, oldest first.
    async fn held_reserves(
        &mut self,
        rail: &RailLabel,
        kind: ReserveKind,
        limit: u32,
    ) -> Result<Vec<Reserve>, StoreError>;
    /// All reserves of a kind, newest first.
    async fn list_reserves(
        &mut self,
        kind: ReserveKind,
        limit: u32,
    ) -> Result<Vec<Reserve>, StoreError>;
    /// The reserves of a dispute, oldest first.
    async fn reserves_of(&mut self, dispute: &Dispute) -> Result<Vec<Reserve>, StoreError>;
    /// Writes a dispute, new or as it is now.
    async fn save_dispute(&mut self, dispute: &Dispute) -> Result<(), StoreError>;
    /// One dispute.
    async fn find_dispute(
        &mut self,
        rail: &RailLabel,
        reference: &str,
    ) -> Result<Option<Dispute>, StoreError>;
    /// Disputes, the open ones or all, newest first.
    async fn list_disputes(
        &mut self,
        only_open: bool,
        limit: u32,
    ) -> Result<Vec<Dispute>, StoreError>;
    /// The disputes, open or lost, about payments for what an operation is about, oldest first.
    async fn disputes_against(
        &mut self,
        operation: OperationId,
    ) -> Result<Vec<Dispute>, StoreError>;
    /// Up to when the disputes of an account were read.
    async fn disputes_read(
        &mut self,
        rail: &RailLabel,
        account: &str,
    ) -> Result<Option<Timestamp>, StoreError>;
    /// Notes that they were read up to a moment; an earlier one changes nothing.
    async fn note_disputes_read(
        &mut self,
        rail: &RailLabel,
        account: &str,
        up_to: Timestamp,
    ) -> Result<(), StoreError>;
}
