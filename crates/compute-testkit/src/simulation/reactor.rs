//! What everything in a run shares: virtual time, randomness, who is ready, and what was seen.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use async_trait::async_trait;
use compute_domain::time::{Clock, Timestamp};
use compute_engine::ports::Timer;

use super::dice::Dice;
use super::tally::Tally;

/// Locks what only one thread ever uses; a task that was killed by unwinding leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its id in the list of promises, or `panic`, `internal`, `liveness`.
    pub promise: String,
    /// What is wrong, with ids.
    pub detail: String,
    /// When, in virtual milliseconds from the beginning.
    pub at_ms: i64,
}

/// The shared part of a run.
pub(crate) struct Reactor {
    pub(crate) dice: Dice,
    pub(crate) tally: Mutex<Tally>,
    start: i64,
    now: AtomicI64,
    timers: Mutex<BTreeMap<(i64, u64), Waker>>,
    numbers: AtomicU64,
    ready: Arc<Mutex<Vec<u64>>>,
    violation: Mutex<Option<Violation>>,
    hash: AtomicU64,
    tells: bool,
    /// Whether faults are drawn at present.
    pub(crate) is_stormy: AtomicBool,
    /// Calls to ports and to the engine.
    calls: AtomicU64,
    /// Set by a commit that wrote; taken by the checker.
    has_written: AtomicBool,
    current: AtomicU64,
    /// How many writing commits each request has made.
    commits: Mutex<BTreeMap<u64, u32>>,
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl Reactor {
    pub(crate) fn new(seed: u64, start: Timestamp, tells: bool) -> Self {
        Self {
            dice: Dice::new(seed),
            tally: Mutex::default(),
            start: start.millis(),
            now: AtomicI64::new(start.millis()),
            timers: Mutex::default(),
            numbers: AtomicU64::new(1),
            ready: Arc::default(),
            violation: Mutex::default(),
            hash: AtomicU64::new(0xcbf2_9ce4_8422_2325),
            tells,
            is_stormy: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            has_written: AtomicBool::new(false),
            current: AtomicU64::new(0),
            commits: Mutex::default(),
        }
    }

    pub(crate) fn millis(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn elapsed(&self) -> i64 {
        self.millis() - self.start
    }

    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes an event down: into the run's hash, and on the screen when the run is looked at.
    pub(crate) fn log(&self, line: &dyn fmt::Display) {
        let text = line.to_string();
        let mut hash = self.hash.load(Ordering::Relaxed);
        for byte in self.millis().to_le_bytes().iter().chain(text.as_bytes()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.hash.store(hash, Ordering::Relaxed);
        if self.tells {
            tell(self.elapsed(), &text);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.load(Ordering::Relaxed)
    }

    pub(crate) fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts an injected fault of reliability.md 5.
    pub(crate) fn fault(&self, id: &'static str) {
        lock(&self.tally).fault(id);
        self.log(&format_args!("fault {id}"));
    }

    /// The first broken promise ends the run.
    pub(crate) fn violate(&self, promise: &str, detail: String) {
        self.log(&format_args!("VIOLATION {promise}: {detail}"));
        let mut violation = lock(&self.violation);
        if violation.is_none() {
            *violation = Some(Violation {
                promise: promise.to_owned(),
                detail,
                at_ms: self.elapsed(),
            });
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        lock(&self.violation).clone()
    }

    pub(crate) fn is_violated(&self) -> bool {
        lock(&self.violation).is_some()
    }

    /// Whether a fault strikes now that does so in so many of a thousand cases.
    pub(crate) fn strikes(&self, permille: u64) -> bool {
        self.is_stormy.load(Ordering::Relaxed) && self.dice.chance(permille)
    }

    pub(crate) fn committed(&self) {
        self.has_written.store(true, Ordering::Relaxed);
        let current = self.current.load(Ordering::Relaxed);
        *lock(&self.commits).entry(current).or_default() += 1;
    }

    pub(crate) fn take_written(&self) -> bool {
        self.has_written.swap(false, Ordering::Relaxed)
    }

    /// A worker's round is over: what it committed was another matter.
    pub(crate) fn end_round(&self) {
        let current = self.current.load(Ordering::Relaxed);
        lock(&self.commits).remove(&current);
    }

    pub(super) fn enter(&self, task: u64) {
        self.current.store(task, Ordering::Relaxed);
    }

    pub(super) fn commits_of(&self, task: u64) -> u32 {
        lock(&self.commits).get(&task).copied().unwrap_or(0)
    }

    pub(super) fn forget(&self, task: u64) {
        lock(&self.commits).remove(&task);
    }

    pub(super) fn waker_of(&self, task: u64) -> (Waker, Arc<TaskWaker>) {
        let waker = Arc::new(TaskWaker {
            task,
            is_queued: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        });
        (Waker::from(Arc::clone(&waker)), waker)
    }

    /// One of the tasks that can go on, chosen by the generator.
    pub(super) fn take_ready(&self) -> Option<u64> {
        let mut ready = lock(&self.ready);
        if ready.is_empty() {
            return None;
        }
        let index = self.dice.index(ready.len());
        Some(ready.swap_remove(index))
    }

    /// Moves time to the next timer; false when there is none.
    pub(super) fn advance(&self) -> bool {
        let mut timers = lock(&self.timers);
        let Some((&(at, _), _)) = timers.first_key_value() else {
            return false;
        };
        self.now.fetch_max(at, Ordering::Relaxed);
        let later = timers.split_off(&(at, u64::MAX));
        let due = core::mem::replace(&mut *timers, later);
        drop(timers);
        for waker in due.into_values() {
            waker.wake();
        }
        true
    }

    pub(crate) fn sleep_until(self: &Arc<Self>, at: i64) -> Sleep {
        Sleep {
            reactor: Arc::clone(self),
            at,
            key: None,
        }
    }

    pub(crate) fn sleep(self: &Arc<Self>, millis: i64) -> Sleep {
        self.sleep_until(self.millis().saturating_add(millis))
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a run that is looked at tells what happens"
)]
fn tell(elapsed: i64, text: &str) {
    eprintln!("{:>9}.{:03} {text}", elapsed / 1_000, elapsed % 1_000);
}

/// Puts its task among the ready ones.
pub(super) struct TaskWaker {
    task: u64,
    pub(super) is_queued: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            lock(&self.ready).push(self.task);
        }
    }
}

/// Waits for a moment of virtual time.
pub(crate) struct Sleep {
    reactor: Arc<Reactor>,
    at: i64,
    key: Option<(i64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(key) = self.key.take() {
            lock(&self.reactor.timers).remove(&key);
        }
        if self.reactor.millis() >= self.at {
            return Poll::Ready(());
        }
        let key = (self.at, self.reactor.number());
        lock(&self.reactor.timers).insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            lock(&self.reactor.timers).remove(&key);
        }
    }
}

/// The clock of one replica: virtual time, a little off.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaClock {
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) skew: Arc<AtomicI64>,
}

impl Clock for ReplicaClock {
    fn now(&self) -> Timestamp {
        let skew = self.skew.load(Ordering::Relaxed);
        Timestamp::from_millis(self.reactor.millis() + skew)
    }
}

#[async_trait]
impl Timer for ReplicaClock {
    async fn sleep_until(&self, at: Timestamp) {
        let skew = self.skew.load(Ordering::Relaxed);
        self.reactor.sleep_until(at.millis() - skew).await;
    }
}
