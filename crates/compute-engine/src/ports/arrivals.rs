//! What the database remembers of money that chains show to have reached us, as business verbs.

use async_trait::async_trait;
use compute_domain::arrival::Arrival;
use compute_domain::id::{ArrivalId, PaymentId};
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::time::Timestamp;

use super::store::StoreError;

/// How far the arrivals at some addresses have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivalSource {
    /// The chain, the token and the addresses.
    pub source: String,
    /// Where the next read begins; only the rail understands it.
    pub cursor: String,
    /// When it was first read; what was final by then is not judged.
    pub started_at: Timestamp,
    /// Up to when everything final was read, by the chain's clock.
    pub read_up_to: Timestamp,
    /// What arrived in transfers too small for a row each and is not booked yet; atomic units.
    pub small_atomic: u128,
    /// How many those are.
    pub small_transfers: u64,
}

/// A payment that its chain took back after it had settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertedPayment {
    /// The payment.
    pub payment: Payment,
    /// Since when.
    pub since: Timestamp,
}

/// Arrivals, and how far they have been read.
#[async_trait]
pub trait Arrivals: Send {
    /// How far a source has been read; nobody else can change it until the transaction ends.
    async fn lock_arrival_source(
        &mut self,
        source: &str,
    ) -> Result<Option<ArrivalSource>, StoreError>;
    /// All sources, by name.
    async fn list_arrival_sources(&mut self) -> Result<Vec<ArrivalSource>, StoreError>;
    /// Writes how far a source has been read.
    async fn save_arrival_source(&mut self, source: &ArrivalSource) -> Result<(), StoreError>;
    /// Notes that a rail's money arrives at a source, since `now` unless that is known.
    async fn bind_arrival_rail(
        &mut self,
        rail: &RailLabel,
        source: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Writes an arrival; false, and nothing written, when it is known.
    async fn insert_arrival(&mut self, arrival: &Arrival) -> Result<bool, StoreError>;
    /// Writes the state of an arrival that was `before`; false, and nothing written, when it is not
    /// any more.
    async fn save_arrival(
        &mut self,
        arrival: &Arrival,
        before: &'static str,
    ) -> Result<bool, StoreError>;
    /// One arrival.
    async fn find_arrival(&mut self, id: ArrivalId) -> Result<Option<Arrival>, StoreError>;
    /// The arrivals in a transaction that are no payment's yet, by place.
    async fn unexplained_in(&mut self, reference: &str) -> Result<Vec<Arrival>, StoreError>;
    /// The arrivals of a source that are in this state, oldest first.
    async fn list_arrivals(
        &mut self,
        source: Option<&str>,
        state: &'static str,
        limit: u32,
    ) -> Result<Vec<Arrival>, StoreError>;
    /// Arrivals of a source that are no payment's yet, in transactions that settled payments name and
    /// whose arrival is not known, oldest first.
    async fn list_explicable(
        &mut self,
        source: &str,
        limit: u32,
    ) -> Result<Vec<Arrival>, StoreError>;
    /// The settled payments that name this transaction and whose arrival is not known.
    async fn unarrived_in(&mut self, reference: &str) -> Result<Vec<Payment>, StoreError>;
    /// The payments of a rail that are undecided, or that their chain took back.
    async fn undecided_payments(&mut self, rail: &RailLabel) -> Result<Vec<Payment>, StoreError>;
    /// Notes that the chain took the settled payment with this proof back; false when that is known,
    /// or there is no such payment.
    async fn note_reverted(&mut self, proof_key: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// Notes that it is in the chain again; false when it was not away.
    async fn clear_reverted(&mut self, payment: PaymentId) -> Result<bool, StoreError>;
    /// The payments that their chain took back, oldest first.
    async fn list_reverted(&mut self, limit: u32) -> Result<Vec<RevertedPayment>, StoreError>;
    /// Since when a payment has been away, if it is.
    async fn reverted_since(&mut self, payment: PaymentId)
    -> Result<Option<Timestamp>, StoreError>;
}
