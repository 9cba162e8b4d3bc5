//! The database, as business verbs.

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::{ApiKeyId, InstanceId, OperationId, OwnerId, TransferId};
use compute_domain::instance::Instance;
use compute_domain::ledger::{CreditAccount, Transfer};
use compute_domain::money::{HourlyRate, Usd};
use compute_domain::operation::Operation;
use compute_domain::owner::ApiKey;
use compute_domain::payment::Payment;
use compute_domain::prepaid::Prepaid;
use compute_domain::request_key::RequestKey;
use compute_domain::time::Timestamp;

use super::accounts::Accounts;
use super::ahead::Ahead;
use super::arrivals::Arrivals;
use super::catalogs::Catalogs;
use super::events::OwnerEvents;
use super::outbox::Outbox;
use super::reserves::Reserves;
use super::secrets::{ManagementKeys, Vault};
use super::statistics::Statistics;
use super::watch::Watch;
use super::webhooks::Webhooks;
use super::{FoundKey, NameScope};
use crate::ledger_chain::Link;

/// Why the database did not do what was asked. Nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or cannot commit; try again later.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A statement failed in a way that only a fault of ours explains.
    #[error("the database refused a statement")]
    Rejected(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row does not make sense.
    #[error("inconsistent row in {table}: {detail}")]
    Inconsistent {
        /// Which table.
        table: &'static str,
        /// What is wrong; never a secret.
        detail: String,
    },
    /// Somebody else holds the operation now; stop.
    #[error("the lease on the operation was lost")]
    LeaseLost,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxMode {
    /// Reads only.
    Read,
    /// Writes; on SQLite it holds the one writer from its start.
    Write,
}

/// Opens transactions.
#[async_trait]
pub trait Store: Send + Sync + core::fmt::Debug {
    /// Begins a transaction.
    async fn begin(&self, mode: TxMode) -> Result<Box<dyn Tx>, StoreError>;
    /// The database's own clock, for replicas that share one; `None` when the process clock rules.
    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Whether a commit would succeed now; for readiness.
    async fn check_writable(&self) -> Result<(), StoreError>;
}

/// One transaction. Dropping it rolls back.
#[async_trait]
pub trait Tx:
    Identities
    + ApiKeys
    + Places
    + Instances
    + Lots
    + Operations
    + RequestKeys
    + Payments
    + Arrivals
    + Outbox
    + Ledger
    + Reserves
    + Vault
    + ManagementKeys
    + Catalogs
    + Watch
    + Accounts
    + Leases
    + OwnerEvents
    + Ahead
    + Webhooks
    + Audit
    + Statistics
    + Send
    + core::fmt::Debug
{
    /// Makes everything permanent.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
    /// Undoes everything, at once.
    async fn rollback(self: Box<Self>) -> Result<(), StoreError>;
}

/// Owners, wallets, nonces.
#[async_trait]
pub trait Identities: Send {
    /// The owner that holds this wallet.
    async fn find_owner(&mut self, wallet: &WalletAddress) -> Result<Option<OwnerId>, StoreError>;
    /// The owner that holds this wallet; `candidate` is written when there is none yet.
    async fn ensure_owner(
        &mut self,
        candidate: OwnerId,
        wallet: &WalletAddress,
        now: Timestamp,
    ) -> Result<OwnerId, StoreError>;
    /// Writes an owner without a wallet.
    async fn create_owner(&mut self, owner: OwnerId, now: Timestamp) -> Result<(), StoreError>;
    /// The wallets of an owner, ascending.
    async fn wallets_of(&mut self, owner: OwnerId) -> Result<Vec<WalletAddress>, StoreError>;
    /// Spends a nonce of a wallet; false when it was spent before.
    async fn spend_nonce(
        &mut self,
        wallet: &WalletAddress,
        nonce: &str,
        now: Timestamp,
        forget_at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Forgets up to `limit` nonces whose time has come; how many.
    async fn forget_nonces(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// What became of a new API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyStored {
    /// It is stored.
    New,
    /// Nothing was written: the owner has as many live keys as it may.
    Full,
    /// Nothing was written: the owner made this key under the same name.
    Before(Box<ApiKey>),
}

/// API keys.
#[async_trait]
pub trait ApiKeys: Send {
    /// Stores a key with the keyed hash of its text, unless the owner already has `limit` live keys,
    /// or gave this name to an earlier one.
    async fn insert_api_key(
        &mut self,
        api_key: &ApiKey,
        mac: &[u8; 32],
        name: Option<&RequestKey>,
        limit: u32,
    ) -> Result<KeyStored, StoreError>;
    /// The key with this keyed hash, revoked or not.
    async fn find_api_key(&mut self, mac: &[u8; 32]) -> Result<Option<FoundKey>, StoreError>;
    /// All keys of an owner, newest first.
    async fn list_api_keys(&mut self, owner: OwnerId) -> Result<Vec<ApiKey>, StoreError>;
    /// Whether there is such a key, neither revoked nor expired by `now`.
    async fn is_api_key_live(&mut self, id: ApiKeyId, now: Timestamp) -> Result<bool, StoreError>;
    /// Charges credits to a key's budget; false, and nothing written, when they exceed it, or the key
    /// is revoked or has expired by now.
    async fn charge_api_key(
        &mut self,
        id: ApiKeyId,
        amount: Usd,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Takes back what was charged for something that could not be delivered.
    async fn uncharge_api_key(&mut self, id: ApiKeyId, amount: Usd) -> Result<(), StoreError>;
    /// Revokes a key of this owner, keeping an earlier revocation; `None` when there is no such key.
    async fn revoke_api_key(
        &mut self,
        owner: OwnerId,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, StoreError>;
}

/// How many instances there may be. None means as many as come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Live instances of one owner.
    pub instances_per_owner: u32,
    /// Live instances in all.
    pub instances_total: u32,
    /// What all live instances may cost an hour, at what their owners pay.
    pub hourly_total: Option<Usd>,
}

/// Whether there was a place for one more instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceTaken {
    /// Yes, and it is taken.
    Yes,
    /// No: the owner has as many as allowed. Nothing was written.
    OwnerFull,
    /// No: there are as many as allowed, or they cost as much as allowed. The caller must roll back.
    ShopFull,
}

/// Places for live instances, counted so that no two replicas give away the same one.
#[async_trait]
pub trait Places: Send {
    /// Takes a place for an instance of this owner at this rate.
    async fn take_place(
        &mut self,
        owner: OwnerId,
        rate: HourlyRate,
        caps: &Caps,
    ) -> Result<PlaceTaken, StoreError>;
    /// What an instance in a place takes up of what all may cost an hour becomes another amount; false,
    /// and nothing written, when it would be more than `most`. None: whatever it is.
    async fn change_place(
        &mut self,
        owner: OwnerId,
        from: HourlyRate,
        to: HourlyRate,
        most: Option<Usd>,
    ) -> Result<bool, StoreError>;
    /// Gives the place of an ended instance back; exactly once per instance.
    async fn free_place(&mut self, owner: OwnerId, rate: HourlyRate) -> Result<(), StoreError>;
}

/// Instances.
#[async_trait]
pub trait Instances: Send {
    /// Writes a new instance.
    async fn insert_instance(&mut self, instance: &Instance) -> Result<(), StoreError>;
    /// Writes the present state of a known instance.
    async fn save_instance(&mut self, instance: &Instance) -> Result<(), StoreError>;
    /// One instance.
    async fn find_instance(&mut self, id: InstanceId) -> Result<Option<Instance>, StoreError>;
    /// One instance, locked until the transaction ends.
    async fn lock_instance(&mut self, id: InstanceId) -> Result<Option<Instance>, StoreError>;
    /// An owner's instances, ended ones included, newest first; with a cursor those behind it.
    async fn list_instances(
        &mut self,
        owner: OwnerId,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<Instance>, StoreError>;
    /// Active instances whose prepaid time ended before `before` and whose machine was not missed
    /// `misses` times in a row or more, oldest first.
    async fn list_expired(
        &mut self,
        before: Timestamp,
        misses: u32,
        limit: u32,
    ) -> Result<Vec<InstanceId>, StoreError>;
}

/// Prepaid value.
#[async_trait]
pub trait Lots: Send {
    /// All lots an instance ever had, oldest first.
    async fn lots_of(&mut self, instance: InstanceId) -> Result<Prepaid, StoreError>;
    /// Writes new lots and new closings. What was written before must be unchanged in `prepaid`; a
    /// lot is never removed, and a closing never undone.
    async fn save_lots(
        &mut self,
        instance: InstanceId,
        prepaid: &Prepaid,
    ) -> Result<(), StoreError>;
}

/// The right to work on one operation until a moment. Every write repeats the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The operation.
    pub operation: OperationId,
    /// Who holds it.
    pub holder: String,
    /// Counts holders; a stale one is recognised by it.
    pub epoch: i64,
}

/// Whether an operation could be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Yes, and the caller holds it.
    Leased(Lease),
    /// No: another operation on the same instance is running or stuck.
    InstanceBusy,
}

/// A line of an operation's append-only log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position in the operation's log, from 0.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Which replica wrote it.
    pub holder: String,
    /// What happened, such as `settle.begun`.
    pub name: String,
    /// More about it, as JSON; never a secret.
    pub detail: String,
}

/// Operations and the leases on them.
#[async_trait]
pub trait Operations: Send {
    /// Writes a new operation and leases it to `holder` until `until`.
    async fn open_operation(
        &mut self,
        operation: &Operation,
        holder: &str,
        until: Timestamp,
    ) -> Result<Opened, StoreError>;
    /// One operation.
    async fn find_operation(&mut self, id: OperationId) -> Result<Option<Operation>, StoreError>;
    /// All operations on an instance, oldest first.
    async fn operations_of(&mut self, instance: InstanceId) -> Result<Vec<Operation>, StoreError>;
    /// Operations that a human may want to see, oldest first: stuck ones, and running ones opened
    /// before `opened_before`.
    async fn list_unresolved(
        &mut self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError>;
    /// Leases one operation, whatever its state, unless somebody holds it.
    async fn lease_operation(
        &mut self,
        id: OperationId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError>;
    /// The operation that provisioned an instance.
    async fn provision_of(&mut self, instance: InstanceId)
    -> Result<Option<Operation>, StoreError>;
    /// A running operation of this owner, or one that this wallet pays for, with an equal request,
    /// opened at or after `since`, whose settlement is unknown, or was begun before `begun_before`
    /// and never concluded.
    async fn find_hanging(
        &mut self,
        owner: OwnerId,
        payer: Option<&WalletAddress>,
        request_digest: &[u8; 32],
        since: Timestamp,
        begun_before: Timestamp,
    ) -> Result<Option<Operation>, StoreError>;
    /// Leases up to `limit` due operations that nobody holds, oldest first.
    async fn claim_due(
        &mut self,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Operation, Lease)>, StoreError>;
    /// Writes the present state of an operation and extends its lease to `until`; `LeaseLost` when
    /// somebody else holds it.
    async fn save_operation(
        &mut self,
        operation: &Operation,
        lease: &Lease,
        until: Timestamp,
    ) -> Result<(), StoreError>;
    /// Gives an operation back; harmless when the lease is lost.
    async fn release_lease(&mut self, lease: &Lease) -> Result<(), StoreError>;
    /// Adds a line to the operation's log.
    async fn append_event(
        &mut self,
        operation: OperationId,
        at: Timestamp,
        holder: &str,
        name: &str,
        detail: &str,
    ) -> Result<(), StoreError>;
    /// The operation's log.
    async fn list_events(&mut self, operation: OperationId) -> Result<Vec<Event>, StoreError>;
}

/// What a client's name for a purchase stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundKey {
    /// The purchase.
    pub operation: OperationId,
    /// SHA-256 of its canonical request.
    pub request_digest: [u8; 32],
}

/// The names that clients give to their purchases, each scope's apart.
#[async_trait]
pub trait RequestKeys: Send {
    /// What this name in this scope stands for.
    async fn find_request_key(
        &mut self,
        scope: NameScope,
        key: &RequestKey,
    ) -> Result<Option<BoundKey>, StoreError>;
    /// Gives the name to a purchase. When it stands for another one than `replaces`, nothing is
    /// written and what it stands for is returned; the caller must roll back then.
    async fn bind_request_key(
        &mut self,
        scope: NameScope,
        key: &RequestKey,
        bound: &BoundKey,
        replaces: Option<OperationId>,
        forget_at: Timestamp,
    ) -> Result<Option<BoundKey>, StoreError>;
    /// Forgets up to `limit` names whose time has come; how many.
    async fn forget_request_keys(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Whether a proof could be bound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a value lives for one match; boxing it buys nothing"
)]
pub enum ClaimOutcome {
    /// Yes.
    Claimed,
    /// No: this payment already binds it. The caller must roll back.
    AlreadyClaimed(Payment),
}

/// Payments.
#[async_trait]
pub trait Payments: Send {
    /// Binds a proof, and the challenge it answers if any, to an operation, with everything needed
    /// to settle it, sealed. Of several payments with one proof, or for one challenge, one is bound.
    async fn claim_payment(
        &mut self,
        payment: &Payment,
        sealed_proof: &[u8],
    ) -> Result<ClaimOutcome, StoreError>;
    /// The payment that binds this proof; declined ones do not count.
    async fn find_payment(&mut self, proof_key: &str) -> Result<Option<Payment>, StoreError>;
    /// The payment that answers this challenge; declined ones do not count.
    async fn find_payment_for(&mut self, challenge_id: &str)
    -> Result<Option<Payment>, StoreError>;
    /// How many payments of a wallet are claimed and not decided, whoever gets what they buy.
    async fn count_claimed_by(&mut self, payer: &WalletAddress) -> Result<u32, StoreError>;
    /// The payment of an operation.
    async fn payment_of(&mut self, operation: OperationId) -> Result<Option<Payment>, StoreError>;
    /// The sealed proof, while the payment is claimed.
    async fn load_sealed_proof(
        &mut self,
        operation: OperationId,
    ) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes the present state; erases the sealed proof once it is no longer claimed.
    async fn save_payment(&mut self, payment: &Payment) -> Result<(), StoreError>;
}

/// Whether a transfer was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It was.
    New,
    /// No: one with the same operation and reason stood there already. Nothing was written.
    Already,
    /// No: the credits account it debits does not hold as much. Nothing was written.
    Insufficient,
}

/// A transfer as the owner sees it whose money it moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// The transfer.
    pub transfer: Transfer,
    /// Its place in the chain of the owner's credits account; none when it went past that account.
    pub link: Option<Link>,
    /// The instance that the work was about which caused it.
    pub instance: Option<InstanceId>,
    /// The transaction or reference by which the payment for that work arrived, when it did.
    pub reference: Option<String>,
}

/// The ledger.
///
/// Contract: (1) a transfer's reason allows its accounts, or it is `Rejected`; (2) of any number of
/// transfers of one cause and reason, one is written; (3) a credits account never falls below
/// zero, whoever debits it at the same time; (4) the rows that touch one credits account are numbered
/// from 1 without a gap, and each carries the balance after it and a hash over itself and the row
/// before it ([`crate::ledger_chain`]).
#[async_trait]
pub trait Ledger: Send {
    /// Writes a transfer and moves the credits account it touches.
    async fn post_transfer(&mut self, transfer: &Transfer) -> Result<Posted, StoreError>;
    /// What an owner has in credits.
    async fn credits_of(&mut self, owner: OwnerId) -> Result<CreditAccount, StoreError>;
    /// What an owner can spend; nobody else can change it until the transaction ends.
    async fn lock_credits(&mut self, owner: OwnerId) -> Result<Usd, StoreError>;
    /// The transfers of an operation, oldest first.
    async fn transfers_of(&mut self, operation: OperationId) -> Result<Vec<Transfer>, StoreError>;
    /// How an owner's money moved: every transfer of its credits account, and every sale of a machine of
    /// its, or of time for one, that was paid from outside. Newest first, and those of one moment and
    /// account last first; with a cursor those behind that transfer.
    async fn list_movements(
        &mut self,
        owner: OwnerId,
        after: Option<TransferId>,
        limit: u32,
    ) -> Result<Vec<Movement>, StoreError>;
}

/// A broken promise of reliability.md 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which promise, such as `M3`.
    pub promise: &'static str,
    /// What is wrong and where; ids and amounts, never a secret.
    pub detail: String,
}

/// The promises about money and machines, as questions to everything that is stored.
#[async_trait]
pub trait Audit: Send {
    /// Every broken promise, at most 100 per promise. In a transaction begun with [`TxMode::Read`]
    /// all questions see one moment.
    async fn audit(&mut self) -> Result<Vec<Finding>, StoreError>;
}

/// Named leases, for duties that one replica does at a time.
#[async_trait]
pub trait Leases: Send {
    /// Takes or renews a lease; false while somebody else holds it.
    async fn acquire_lease(
        &mut self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
}
