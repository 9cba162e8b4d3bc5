//! The tables, and what it takes to keep several of them in step.

use std::collections::{BTreeMap, BTreeSet};

use compute_domain::WalletAddress;
use compute_domain::arrival::Arrival;
use compute_domain::catalog::{ProviderId, ProviderInstanceId};
use compute_domain::id::{
    ApiKeyId, ArrivalId, InstanceId, OperationId, OwnerId, PaymentId, ReserveId, TransferId,
    WebhookId,
};
use compute_domain::instance::Instance;
use compute_domain::ledger::{CreditAccount, Transfer};
use compute_domain::operation::Operation;
use compute_domain::owner::ApiKey;
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::prepaid::Lot;
use compute_domain::request_key::RequestKey;
use compute_domain::reserve::{Dispute, Reserve};
use compute_domain::time::Timestamp;
use compute_engine::ledger_chain::{Link, ORIGIN};
use compute_engine::ports::{
    AccountRecord, ArrivalSource, AutoExtension, BoundKey, CatalogRevision, ChainTransaction,
    Delivery, Event, ExpiryNotice, Lane, NameScope, NewEvent, PlanDrift, Quarantine, Suspect,
    Webhook,
};

use super::dirty::Dirty;
use super::table::{At, Journaled, Table};
use crate::planted::PlantedBug;

/// An API key and the keyed hash of its text.
#[derive(Debug, Clone)]
pub(super) struct ApiKeyRow {
    pub(super) api_key: ApiKey,
    pub(super) mac: [u8; 32],
}

/// How many places are taken, and what they cost an hour in micro-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) live: i64,
    pub(super) hourly: i64,
}

/// How a live machine was last found.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchRow {
    pub(super) due_at: Timestamp,
    pub(super) misses: u32,
    pub(super) missing_since: Option<Timestamp>,
}

/// An operation and who works on it.
#[derive(Debug, Clone)]
pub(super) struct OperationRow {
    pub(super) operation: Operation,
    pub(super) held: Option<(String, Timestamp)>,
    pub(super) epoch: i64,
}

impl OperationRow {
    /// Whether somebody holds it at this moment.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        self.held.as_ref().is_some_and(|(_, until)| *until > now)
    }
}

/// A log line, and its place among all lines.
#[derive(Debug, Clone)]
pub(super) struct EventRow {
    pub(super) number: u64,
    pub(super) event: Event,
}

/// A client's name for a purchase.
#[derive(Debug, Clone)]
pub(super) struct RequestKeyRow {
    pub(super) bound: BoundKey,
    pub(super) forget_at: Timestamp,
}

/// A payment and its sealed proof, while it is claimed.
#[derive(Debug, Clone)]
pub(super) struct PaymentRow {
    pub(super) payment: Payment,
    pub(super) sealed: Option<Vec<u8>>,
}

/// A ledger row, and its place in the chain of the credits account it touches.
#[derive(Debug, Clone)]
pub(super) struct TransferRow {
    pub(super) transfer: Transfer,
    pub(super) link: Option<(Link, [u8; 32])>,
}

/// A credits account. Signed, so that a planted bug can overdraw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccountRow {
    pub(super) balance: i64,
    pub(super) deposited: i64,
    pub(super) spent: i64,
    pub(super) seq: i64,
    pub(super) hash: [u8; 32],
}

impl AccountRow {
    /// An account that nothing ever touched.
    pub(super) const EMPTY: Self = Self {
        balance: 0,
        deposited: 0,
        spent: 0,
        seq: 0,
        hash: ORIGIN,
    };
}

/// A root password.
#[derive(Debug, Clone)]
pub(super) struct PasswordRow {
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) stored_at: Timestamp,
    pub(super) taken_at: Option<Timestamp>,
}

/// A management key.
#[derive(Debug, Clone)]
pub(super) struct ManagementKeyRow {
    pub(super) api_key: ApiKeyId,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) stored_at: Timestamp,
}

/// A named lease.
#[derive(Debug, Clone)]
pub(super) struct LeaseRow {
    pub(super) holder: String,
    pub(super) until: Timestamp,
    pub(super) epoch: i64,
}

/// A webhook and who sends to it.
#[derive(Debug, Clone)]
pub(super) struct WebhookRow {
    pub(super) webhook: Webhook,
    pub(super) held: Option<(String, Timestamp)>,
}

/// A payment's arrival of money, as far as a chain was read.
pub(super) type ShownTransfer = (String, String, u32);

fn named<'a>(name: &'static str, table: &'a dyn Journaled) -> (&'static str, &'a dyn Journaled) {
    (name, table)
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident: $key:ty => $row:ty,)+) => {
        /// Everything that is stored. A method that takes [`At`] reads that moment; the others change
        /// the present, on behalf of the one transaction that may write.
        #[derive(Default)]
        pub(super) struct State {
            /// The number of the last transaction that committed.
            pub(super) committed: u64,
            /// Numbers log lines, ledger rows and the like in the order in which they came.
            pub(super) numbers: u64,
            /// The last number that the last committed transaction got.
            pub(super) committed_numbers: u64,
            /// How many readers there are of each moment.
            pub(super) readers: BTreeMap<u64, u32>,
            /// What was committed since somebody last looked.
            pub(super) dirty: Dirty,
            /// The one fault this store has on purpose.
            pub(super) bug: Option<PlantedBug>,
            $($(#[$doc])* pub(super) $name: Table<$key, $row>,)+
        }

        impl State {
            fn each(&mut self, mut act: impl FnMut(&mut dyn Journaled)) {
                $(act(&mut self.$name);)+
            }

            /// Every table and its name, in order of declaration.
            pub(super) fn tables(&self) -> Vec<(&'static str, &dyn Journaled)> {
                vec![$(named(stringify!($name), &self.$name),)+]
            }
        }
    };
}

tables! {
    owners: OwnerId => Timestamp,
    wallets: WalletAddress => OwnerId,
    /// Index.
    wallets_by_owner: (OwnerId, WalletAddress) => (),
    /// Nonces that were spent, and when.
    nonces: (WalletAddress, String) => Timestamp,
    /// Index.
    nonces_by_end: (Timestamp, WalletAddress, String) => (),
    api_keys: ApiKeyId => ApiKeyRow,
    /// Index.
    api_keys_by_mac: [u8; 32] => ApiKeyId,
    api_keys_by_name: (OwnerId, RequestKey) => ApiKeyId,
    /// Index.
    api_keys_by_owner: (OwnerId, Timestamp, ApiKeyId) => (),
    places: OwnerId => Places,
    /// One row.
    all_places: () => Places,
    instances: InstanceId => Instance,
    /// Index.
    instances_by_owner: (OwnerId, InstanceId) => (),
    /// Index.
    instances_by_machine: (ProviderId, ProviderInstanceId) => InstanceId,
    /// Index of the active ones.
    active: (Timestamp, InstanceId) => (),
    lots: (InstanceId, usize) => Lot,
    watched: InstanceId => WatchRow,
    /// Index of the active ones.
    watched_by_time: (Timestamp, InstanceId) => (),
    suspects: (ProviderId, ProviderInstanceId) => Suspect,
    destructions: u64 => (Timestamp, String, String),
    quarantine: u64 => Quarantine,
    provider_accounts: ProviderId => AccountRecord,
    plan_drifts: InstanceId => PlanDrift,
    operations: OperationId => OperationRow,
    /// Index.
    operations_by_instance: (InstanceId, Timestamp, OperationId) => (),
    /// Index of those that hold their instance.
    holders: InstanceId => OperationId,
    /// Index of the running ones.
    running: (Timestamp, OperationId) => (),
    /// Index of the running and the stuck ones.
    unfinished: (OwnerId, OperationId) => (),
    events: (OperationId, i64) => EventRow,
    request_keys: (NameScope, RequestKey) => RequestKeyRow,
    /// Index.
    request_keys_by_end: (Timestamp, NameScope, RequestKey) => (),
    payments: PaymentId => PaymentRow,
    /// Index.
    payments_by_operation: OperationId => PaymentId,
    /// Index of those that were not declined.
    payments_by_proof: (String, PaymentId) => (),
    /// Index of those that were not declined.
    payments_by_challenge: String => PaymentId,
    /// Index.
    payments_by_arrival: ShownTransfer => PaymentId,
    arrival_sources: String => ArrivalSource,
    arrival_rails: RailLabel => (String, Timestamp),
    arrivals: ArrivalId => Arrival,
    /// Unique: transaction, place and source.
    arrivals_by_place: (String, u32, String) => ArrivalId,
    /// Unique.
    arrivals_by_payment: PaymentId => ArrivalId,
    reverted_payments: PaymentId => Timestamp,
    reserves: ReserveId => Reserve,
    /// Unique: of refunds.
    refunds_by_name: (PaymentId, String) => ReserveId,
    disputes: (RailLabel, String) => Dispute,
    dispute_reads: (RailLabel, String) => Timestamp,
    /// The next nonce of each lane.
    lanes: Lane => u64,
    chain_transactions: String => ChainTransaction,
    /// Index of those of payments.
    chain_by_proof: (String, Timestamp, Option<u64>, String) => (),
    /// Index of the open ones.
    chain_open: (Lane, Option<u64>, Timestamp, String) => (),
    /// Index of the others.
    chain_concluded: (Timestamp, String) => (),
    /// Index of those with a nonce that a block includes.
    chain_included: (Lane, u64) => String,
    transfers: u64 => TransferRow,
    /// Index.
    transfers_by_id: TransferId => u64,
    /// Index.
    transfers_by_operation: (OperationId, Timestamp, TransferId, u64) => (),
    /// Index.
    transfers_by_arrival: (ArrivalId, u64) => (),
    /// Index.
    transfers_by_reserve: (ReserveId, u64) => (),
    /// Index.
    transfers_by_account: (OwnerId, i64) => u64,
    accounts: OwnerId => AccountRow,
    passwords: InstanceId => PasswordRow,
    /// Index of those that nobody has taken.
    unread_passwords: (Timestamp, InstanceId) => (),
    management_keys: OperationId => ManagementKeyRow,
    catalogs: (ProviderId, i64) => CatalogRevision,
    leases: String => LeaseRow,
    /// The number of each owner's last event.
    event_counters: OwnerId => u64,
    webhooks: WebhookId => WebhookRow,
    deliveries: (WebhookId, u64) => Delivery,
    expiry_notices: InstanceId => ExpiryNotice,
    auto_extensions: InstanceId => AutoExtension,
    owner_events: (OwnerId, u64) => NewEvent,
    /// Index.
    owner_events_by_time: (Timestamp, OwnerId, u64) => (),
    /// Changes of state that no lifecycle allows; SQL has no such table.
    broken_moves: u64 => String,
}

impl State {
    /// The number of the transaction that writes.
    pub(super) const fn writing(&self) -> u64 {
        self.committed.saturating_add(1)
    }

    /// A number that none got before.
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    /// Whether this store has this fault.
    pub(super) fn has_bug(&self, bug: PlantedBug) -> bool {
        self.bug == Some(bug)
    }

    /// Makes permanent what the writing transaction did.
    pub(super) fn commit(&mut self) {
        let version = self.writing();
        Dirty::collect(self, version);
        self.committed = version;
        self.committed_numbers = self.numbers;
        self.forget_the_past();
    }

    /// Undoes what the writing transaction did.
    pub(super) fn roll_back(&mut self) {
        let version = self.writing();
        self.numbers = self.committed_numbers;
        self.each(|table| table.undo(version));
    }

    /// Keeps the present moment readable; returns its name.
    pub(super) fn keep_moment(&mut self) -> u64 {
        let count = self.readers.entry(self.committed).or_default();
        *count = count.saturating_add(1);
        self.committed
    }

    /// A reader of this moment is done.
    pub(super) fn release_moment(&mut self, moment: u64) {
        if let Some(count) = self.readers.get_mut(&moment) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.readers.remove(&moment);
                self.forget_the_past();
            }
        }
    }

    fn forget_the_past(&mut self) {
        let oldest = self.readers.keys().next().copied();
        let up_to = oldest.unwrap_or(self.committed);
        self.each(|table| table.forget(up_to));
    }

    /// Notes a change of state that should not have been asked for.
    pub(super) fn note_broken_move(&mut self, what: String) {
        let (version, number) = (self.writing(), self.next_number());
        self.broken_moves.put(version, number, what);
    }

    /// An owner's credits account.
    pub(super) fn account(&self, at: At, owner: OwnerId) -> AccountRow {
        let account = self.accounts.get(at, &owner);
        account.copied().unwrap_or(AccountRow::EMPTY)
    }

    /// The rows of an operation, oldest first.
    pub(super) fn transfers_of(&self, at: At, operation: OperationId) -> Vec<&TransferRow> {
        let first = (operation, MIN_TIME, least::<TransferId>(), 0);
        self.transfers_by_operation
            .range(at, first..)
            .take_while(|((owner, ..), ())| *owner == operation)
            .filter_map(|((.., number), ())| self.transfers.get(at, number))
            .collect()
    }

    /// The operations on an instance, oldest first.
    pub(super) fn operations_of(&self, at: At, instance: InstanceId) -> Vec<&Operation> {
        let first = (instance, MIN_TIME, least::<OperationId>());
        self.operations_by_instance
            .range(at, first..)
            .take_while(|((owner, ..), ())| *owner == instance)
            .filter_map(|((.., id), ())| self.operations.get(at, id))
            .map(|row| &row.operation)
            .collect()
    }

    /// The lots of an instance, oldest first.
    pub(super) fn lots_of(&self, at: At, instance: InstanceId) -> Vec<Lot> {
        let lots = self.lots.range(at, (instance, 0)..=(instance, usize::MAX));
        lots.map(|(_, lot)| lot.clone()).collect()
    }

    /// The payment of an operation.
    pub(super) fn payment_of(&self, at: At, operation: OperationId) -> Option<&PaymentRow> {
        let id = self.payments_by_operation.get(at, &operation)?;
        self.payments.get(at, id)
    }

    /// The payments that are bound to a proof and were not declined.
    pub(super) fn payments_with_proof(&self, at: At, proof_key: &str) -> Vec<&Payment> {
        let first = (proof_key.to_owned(), least::<PaymentId>());
        self.payments_by_proof
            .range(at, first..)
            .take_while(|((key, _), ())| key == proof_key)
            .filter_map(|((_, id), ())| self.payments.get(at, id))
            .map(|row| &row.payment)
            .collect()
    }

    /// The owners that have, or had, places or instances.
    pub(super) fn owners_with_places(&self, at: At) -> BTreeSet<OwnerId> {
        let counted = self.places.iter(at).map(|(owner, _)| *owner);
        let owning = self
            .instances_by_owner
            .iter(at)
            .map(|((owner, _), ())| *owner);
        counted.chain(owning).collect()
    }
}

/// Before all time.
pub(super) const MIN_TIME: Timestamp = Timestamp::from_millis(i64::MIN);

/// The identifier before all others.
pub(super) fn least<Id: LeastId>() -> Id {
    Id::LEAST
}

/// What has a first value in the order of keys.
pub(super) trait LeastId {
    /// That value.
    const LEAST: Self;
}

macro_rules! least_ids {
    ($($id:ident),+) => {$(
        impl LeastId for $id {
            const LEAST: Self = Self::from_uuid(uuid::Uuid::nil());
        }
    )+};
}

least_ids!(ApiKeyId, InstanceId, OperationId, PaymentId, TransferId);

/// What an account row says, in the words of the port; nothing when it is no amount of money.
pub(super) fn credit_account(row: &AccountRow) -> Option<CreditAccount> {
    use compute_domain::money::Usd;
    Some(CreditAccount {
        balance: Usd::from_micros(row.balance).ok()?,
        deposited: Usd::from_micros(row.deposited).ok()?,
        spent: Usd::from_micros(row.spent).ok()?,
    })
}
