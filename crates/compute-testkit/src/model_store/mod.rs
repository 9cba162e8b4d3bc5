//! A database in memory, for deterministic simulation: the same answers in the same order give the
//! same contents, whatever executor runs it.
//!
//! It follows the contract of the `Store` port, and refuses what the SQL databases refuse. Nothing in
//! it is random, looks at a clock, starts a thread or walks a hash table. A transaction that is undone
//! costs what it did, not what is stored.
//!
//! One writer at a time: the next one waits, first come, first served. Readers never wait. They see
//! what was committed when they began.

mod accounts;
mod ahead;
mod api_keys;
mod arrivals;
mod audit;
mod catalogs;
mod dirty;
mod events;
mod hook;
mod identities;
mod instances;
mod leases;
mod ledger;
mod lots;
mod management_keys;
mod moves;
mod operations;
mod outbox;
mod payments;
mod places;
mod request_keys;
mod reserves;
mod snapshot;
mod state;
mod statistics;
mod table;
mod tx;
mod vault;
mod watch;
mod webhooks;

use core::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Finding, Store, StoreError, Tx, TxMode};

pub use hook::{BeginFate, CommitFate, StoreHook};
pub use snapshot::{Logged, Snapshot, Unasked};

use crate::planted::PlantedBug;
use state::State;
use tx::ModelTx;

/// What all users of one database share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Whoever holds it writes.
    writer: Arc<tokio::sync::Mutex<()>>,
}

/// A database in memory. Clones share it.
#[derive(Clone)]
pub struct ModelStore {
    shared: Arc<Shared>,
    hook: Option<Arc<dyn StoreHook>>,
}

impl fmt::Debug for ModelStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelStore")
            .field("hook", &self.hook)
            .finish_non_exhaustive()
    }
}

impl Default for ModelStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelStore {
    /// An empty database that does as it should.
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            hook: None,
        }
    }

    /// An empty database with a fault. Faults that are not the store's own change nothing.
    pub fn with_bug(bug: PlantedBug) -> Self {
        let store = Self::new();
        tx::lock(&store.shared).bug = Some(bug);
        store
    }

    /// The same database, as somebody sees it whose transactions are interfered with. Each replica
    /// may have a hook of its own.
    #[must_use]
    pub fn hooked(&self, hook: Arc<dyn StoreHook>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            hook: Some(hook),
        }
    }

    /// Every broken promise in what is committed: [`Audit::audit`](compute_engine::ports::Audit)
    /// without a transaction.
    pub fn audit(&self) -> Vec<Finding> {
        let state = tx::lock(&self.shared);
        audit::audit(&state, Some(state.committed))
    }

    /// The promises M1, M2, M3, M5, P1, P3 and O5 about what was committed since the last call, so
    /// that it can be asked after every event.
    pub fn audit_quick(&self) -> Vec<Finding> {
        let mut state = tx::lock(&self.shared);
        let dirty = core::mem::take(&mut state.dirty);
        audit::audit_quick(&state, Some(state.committed), &dirty)
    }

    /// What is committed, as plain lists.
    pub fn snapshot(&self) -> Snapshot {
        let state = tx::lock(&self.shared);
        Snapshot::take(&state, Some(state.committed))
    }

    /// SHA-256 over every committed row of every table: equal for equal contents.
    pub fn digest(&self) -> [u8; 32] {
        let state = tx::lock(&self.shared);
        snapshot::digest(&state, Some(state.committed))
    }
}

#[async_trait]
impl Store for ModelStore {
    async fn begin(&self, mode: TxMode) -> Result<Box<dyn Tx>, StoreError> {
        let tx = ModelTx::begin(&self.shared, self.hook.as_ref(), mode).await?;
        Ok(Box::new(tx))
    }

    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.hook.as_ref().and_then(|hook| hook.database_now()))
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.begin(TxMode::Write).await?.commit().await
    }
}
