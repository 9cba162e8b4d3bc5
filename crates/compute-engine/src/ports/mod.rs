//! What the engine needs from the world, as traits. Adapters implement them and do not know each
//! other; `compute-testkit` has a conformance suite for each.

mod accounts;
mod ahead;
mod arrivals;
mod cards;
mod catalogs;
mod events;
mod found_key;
mod names;
mod outbox;
mod provider;
mod rail;
mod reserves;
mod secrets;
mod statistics;
mod store;
mod timer;
mod watch;
mod webhooks;

pub use accounts::{AccountRecord, AccountTold, Accounts};
pub use ahead::{Ahead, AutoExtension, ExpiryNotice};
pub use arrivals::{ArrivalSource, Arrivals, RevertedPayment};
pub use cards::{CardDesk, Notice, RefundLook, RefundOrder, SeenDispute};
pub use catalogs::{CatalogRevision, Catalogs};
pub use events::{NewEvent, OwnerEvent, OwnerEvents};
pub use found_key::FoundKey;
pub use names::NameScope;
pub use outbox::{ChainTransaction, InvalidLane, Lane, Outbox, Purpose, SentState};
pub use provider::{
    AccountState, ActionId, ActionState, Ambiguity, CreateSpec, Created, MachineState, MachineTag,
    Observed, Power, Provider, ProviderAccount, ProviderError, ResizeCheck, Stock,
};
pub use rail::{
    AnyRail, ArrivalPage, Check, ClaimedPayment, Lookup, Mpp, Protocol, Rail, RailHealth, RailSpec,
    RailUnavailable, SeenTransfer, Settlement, Settler, WalletBalance, X402,
};
pub use reserves::Reserves;
pub use secrets::{KeptKey, ManagementKeys, TakenPassword, Vault};
pub use statistics::{
    AccountKind, AccountSum, LiveMachines, LiveState, OpenWork, Queue, Sending, Statistics,
};
pub use store::{
    ApiKeys, Audit, BoundKey, Caps, ClaimOutcome, Event, Finding, Identities, Instances, KeyStored,
    Lease, Leases, Ledger, Lots, Movement, Opened, Operations, Payments, PlaceTaken, Places,
    Posted, RequestKeys, Store, StoreError, Tx, TxMode,
};
pub use timer::Timer;
pub use watch::{PlanDrift, Quarantine, Sighting, Suspect, Watch, Watched};
pub use webhooks::{Courier, Delivery, Handed, Webhook, WebhookEnd, WebhookState, Webhooks};
