use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{StoreError, Tx, TxMode};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::*;
use crate::settings::Loaded;
use crate::wiring;

/// How long the loops may take before they count as dead.
const PATIENCE: Duration = Duration::from_secs(60);

/// Transactions that panic, and those after them until the loops have proved that they live.
const PANICS: u64 = 20;
const ENOUGH: u64 = 200;

/// A database whose first transactions panic.
#[derive(Debug)]
struct PanickyStore {
    inner: Arc<dyn Store>,
    begun: AtomicU64,
    enough: Notify,
}

#[async_trait]
impl Store for PanickyStore {
    async fn begin(&self, mode: TxMode) -> Result<Box<dyn Tx>, StoreError> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        if number < PANICS {
            injected("F148");
            panic!("planted");
        }
        if number == ENOUGH {
            self.enough.notify_one();
        }
        self.inner.begin(mode).await
    }

    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.database_now().await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.inner.check_writable().await
    }
}

#[tokio::test]
async fn workers_that_panic_are_counted_and_go_on() {
    let database = TestDatabase::sqlite().await;
    let store = Arc::new(PanickyStore {
        inner: database.store(),
        begun: AtomicU64::new(0),
        enough: Notify::new(),
    });
    let clock = Arc::new(ServerClock::start());
    synchronise(&clock, store.as_ref()).await;
    let config = Loaded::defaults().check_for_operator().unwrap();
    let moment = Span::from_millis(1);
    let workers = Workers {
        engine: Arc::new(wiring::operators_engine(&config.timing, store.clone(), &clock).unwrap()),
        store: store.clone(),
        clock,
        every: Intervals {
            drive: moment,
            expire: moment,
            watch: moment,
            sweep: moment,
            arrivals: moment,
            cards: moment,
            webhooks: moment,
            audit: moment,
            catalog: moment,
            health: moment,
            rails: moment,
            account: moment,
            store: moment,
            clean_up: moment,
            clock: moment,
        },
        drives: true,
        supervisor: Supervisor::new(TaskTracker::new()),
        counting: None,
        shutdown: CancellationToken::new(),
    };
    workers.start();
    tokio::time::timeout(PATIENCE, store.enough.notified())
        .await
        .unwrap();
    assert_eq!(workers.supervisor.panics(), PANICS);
    workers.shutdown.cancel();
    tokio::time::timeout(PATIENCE, workers.supervisor.finished())
        .await
        .unwrap();
}

/// Each loop by itself, not only all of them together.
#[tokio::test]
async fn a_loop_survives_its_rounds() {
    let database = TestDatabase::sqlite().await;
    let clock = Arc::new(ServerClock::start());
    let config = Loaded::defaults().check_for_operator().unwrap();
    let workers = Workers {
        engine: Arc::new(
            wiring::operators_engine(&config.timing, database.store(), &clock).unwrap(),
        ),
        store: database.store(),
        clock,
        every: config.timing.every.clone(),
        drives: false,
        supervisor: Supervisor::new(TaskTracker::new()),
        counting: None,
        shutdown: CancellationToken::new(),
    };
    let (rounds, second) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let done = Arc::clone(&second);
    workers.start_loop("test", Span::from_millis(1), move |_| {
        let number = rounds.fetch_add(1, Ordering::SeqCst);
        if number < 2 {
            injected("F148");
        }
        // One panics while it is made, and one while it runs.
        assert!(number > 0, "planted");
        let done = Arc::clone(&done);
        async move {
            assert!(number > 1, "planted");
            done.notify_one();
        }
    });
    tokio::time::timeout(PATIENCE, second.notified())
        .await
        .unwrap();
    assert_eq!(workers.supervisor.panics(), 2);
    workers.shutdown.cancel();
}
