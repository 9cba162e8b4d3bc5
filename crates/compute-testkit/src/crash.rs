//! A process that dies: from a chosen database access on, nothing works any more.
//!
//! Every state change of the engine is a transaction, and between two of them lies at most one
//! outside effect. So dying at the beginning of transaction n, for every n, is dying before each
//! commit, after each commit and after each effect; dying before an effect is the doubles' part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Store, StoreError, Tx, TxMode};

/// Whether the process is dead, and when it will be.
#[derive(Debug, Clone, Default)]
pub struct Crash {
    dead: Arc<AtomicBool>,
    countdown: Arc<AtomicI64>,
    begun: Arc<AtomicI64>,
}

impl Crash {
    /// Dies at the `n`-th transaction from now, counted from 1.
    pub fn at_transaction(&self, n: i64) {
        self.countdown.store(n, Ordering::SeqCst);
    }

    /// Dies now.
    pub fn now(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Whether the process is dead.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Whether a death was ordered that has not come.
    pub fn is_pending(&self) -> bool {
        self.countdown.load(Ordering::SeqCst) > 0
    }

    /// A new process may start.
    pub fn restart(&self) {
        self.dead.store(false, Ordering::SeqCst);
        self.countdown.store(0, Ordering::SeqCst);
    }

    /// How many transactions were begun so far.
    pub fn transactions(&self) -> i64 {
        self.begun.load(Ordering::SeqCst)
    }

    fn refuse_dead(&self) -> Result<(), StoreError> {
        if self.is_dead() {
            return Err(StoreError::Unavailable("the process is dead".into()));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        if !self.is_dead() {
            self.begun.fetch_add(1, Ordering::SeqCst);
            if self.countdown.load(Ordering::SeqCst) > 0
                && self.countdown.fetch_sub(1, Ordering::SeqCst) == 1
            {
                self.now();
            }
        }
        self.refuse_dead()
    }
}

/// A store whose process can die.
#[derive(Debug)]
pub struct MortalStore {
    inner: Arc<dyn Store>,
    crash: Crash,
}

impl MortalStore {
    /// Wraps a store.
    pub const fn new(inner: Arc<dyn Store>, crash: Crash) -> Self {
        Self { inner, crash }
    }
}

#[async_trait]
impl Store for MortalStore {
    async fn begin(&self, mode: TxMode) -> Result<Box<dyn Tx>, StoreError> {
        self.crash.check()?;
        self.inner.begin(mode).await
    }

    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.database_now().await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.crash.refuse_dead()?;
        self.inner.check_writable().await
    }
}
