//! One shop with two replicas: engines with connections of their own on one PostgreSQL database, and
//! the same cloud and payment network behind both.
#![expect(
    clippy::expect_used,
    reason = "a race without its database has no result"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compute_domain::WalletAddress;
use compute_domain::id::OwnerId;
use compute_domain::ledger::Account as LedgerAccount;
use compute_engine::ports::{Caps, Provider, Rail, Store, TxMode};
use compute_engine::{Adapters, DestroyGuard, Engine, Timing};
use compute_store::Database;
use tokio::task::JoinSet;

use super::check::Anomaly;
use super::history::{Account, History, Record};
use crate::ambient::{SeededEntropy, WallClock};
use crate::crash::Crash;
use crate::database::{self, TestDatabase};
use crate::market::{self, Buyer};
use crate::scripted_provider::ScriptedProvider;
use crate::scripted_rail::ScriptedRail;

/// How much faster than usual the shop's waits are.
const SPEED: u32 = 20;

/// Wallets that all clients share.
const WALLETS: u8 = 8;

/// Live instances of one owner, few enough to be reached.
const PLACES_PER_OWNER: u32 = 12;

/// How long work may take to come to rest.
const REST_TRIES: u32 = 600;

pub(super) struct Shop {
    pub(super) replicas: [Arc<Engine>; 2],
    pub(super) buyers: Vec<Buyer>,
    rail: Arc<ScriptedRail>,
    provider: Arc<ScriptedProvider>,
    database: TestDatabase,
    moments: AtomicU64,
    records: Mutex<Vec<Record>>,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

impl Shop {
    pub(super) async fn open() -> Self {
        let database = TestDatabase::postgres().await;
        let rail = Arc::new(ScriptedRail::new(WallClock, Crash::default()));
        let provider = Arc::new(ScriptedProvider::new(WallClock, Crash::default()));
        let mut replicas = Vec::new();
        for number in [1_u64, 2] {
            let store = Database::connect(database.config())
                .await
                .expect("the database answers");
            replicas.push(start(number, Arc::new(store), &rail, &provider).await);
        }
        let replicas = <[Arc<Engine>; 2]>::try_from(replicas).expect("two were started");
        Self {
            replicas,
            buyers: (1..=WALLETS).map(Buyer::new).collect(),
            rail,
            provider,
            database,
            moments: AtomicU64::new(1),
            records: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// The next moment. Moments of all clients have one order, which real time follows.
    pub(super) fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn record(&self, record: Record) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(record);
    }

    /// A fault was provoked.
    pub(super) fn provoked(&self, fault: &'static str) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        *faults.entry(fault).or_default() += 1;
    }

    pub(super) fn faults(&self) -> BTreeMap<&'static str, u64> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.clone()
    }

    /// Both replicas' drivers, which race for the same operations.
    pub(super) fn start_workers(&self) -> JoinSet<()> {
        let mut workers = JoinSet::new();
        for engine in &self.replicas {
            let engine = Arc::clone(engine);
            workers.spawn(async move {
                loop {
                    // An outage is the race's own load; the next round tries again.
                    let _ = engine.drive_due().await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
        workers
    }

    /// Waits until nothing is being done any more.
    pub(super) async fn come_to_rest(&self) -> Vec<Anomaly> {
        let running = "SELECT COUNT(*) FROM operations WHERE state = 'running'";
        for _ in 0..REST_TRIES {
            if database::count(&self.database.config().url, running).await == 0 {
                return Vec::new();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        vec![Anomaly::new("rest", "work never ends")]
    }

    /// Everything that happened.
    pub(super) async fn history(&self) -> History {
        let url = &self.database.config().url;
        let mut accounts = Vec::new();
        for buyer in &self.buyers {
            let rows = match self.owner_of(&buyer.wallet()).await {
                Some(owner) => {
                    let name = LedgerAccount::Credits(owner).to_string();
                    database::account_rows(url, &name).await
                }
                None => Vec::new(),
            };
            accounts.push(Account { rows });
        }
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        History {
            records: records.clone(),
            accounts,
        }
    }

    async fn owner_of(&self, wallet: &WalletAddress) -> Option<OwnerId> {
        let store = self.database.store();
        let mut tx = store
            .begin(TxMode::Read)
            .await
            .expect("the database answers");
        tx.find_owner(wallet).await.expect("the database answers")
    }

    /// The promises, by the database and by the records of the partners.
    pub(super) async fn audit(&self) -> Vec<Anomaly> {
        let [engine, _] = &self.replicas;
        let findings = engine.audit().await.expect("the database answers");
        let mut anomalies: Vec<Anomaly> = findings
            .into_iter()
            .map(|finding| {
                Anomaly::new("audit", format!("{}: {}", finding.promise, finding.detail))
            })
            .collect();
        let url = &self.database.config().url;
        let settled = "SELECT COUNT(*) FROM payments WHERE state IN ('settled', 'refunded')";
        let active = "SELECT COUNT(*) FROM instances WHERE state = 'active'";
        let pairs = [
            (
                "settlements",
                database::count(url, settled).await,
                self.rail.settled().len(),
            ),
            (
                "machines",
                database::count(url, active).await,
                self.provider.alive().len(),
            ),
        ];
        for (rule, ours, theirs) in pairs {
            if usize::try_from(ours) != Ok(theirs) {
                anomalies.push(Anomaly::new(
                    rule,
                    format!("{ours} with us, {theirs} with them"),
                ));
            }
        }
        anomalies
    }
}

async fn start(
    number: u64,
    store: Arc<dyn Store>,
    rail: &Arc<ScriptedRail>,
    provider: &Arc<ScriptedProvider>,
) -> Arc<Engine> {
    let mut config = market::config(format!("replica-{number}"));
    config.timing = Timing::default().scaled(SPEED);
    config.caps = Caps {
        instances_per_owner: PLACES_PER_OWNER,
        instances_total: 80,
        hourly_total: None,
    };
    config.guard = DestroyGuard {
        count: u32::MAX,
        permille: 1_000,
    };
    config.auth.max_api_keys = 1_000_000;
    let provider: Arc<dyn Provider> = provider.clone();
    let rail: Arc<dyn Rail> = rail.clone();
    let adapters = Adapters {
        store,
        providers: vec![provider],
        rails: vec![rail.into()],
        clock: Arc::new(WallClock),
        entropy: Arc::new(SeededEntropy::new(number)),
        timer: Arc::new(WallClock),
    };
    let engine = Engine::new(config, adapters, market::secrets()).expect("it is configured");
    engine.refresh_health().await;
    engine.refresh_catalog().await;
    Arc::new(engine)
}
