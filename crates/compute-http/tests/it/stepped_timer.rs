//! A timer that moves time only when the test says so, to the moment the next sleeper waits for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use compute_domain::time::{Clock as _, Timestamp};
use compute_engine::ports::Timer;
use compute_testkit::ambient::ManualClock;
use tokio::sync::Notify;

#[derive(Debug, Clone)]
pub(crate) struct SteppedTimer {
    clock: ManualClock,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sleepers: Mutex<(u64, BTreeSet<(Timestamp, u64)>)>,
    moved: Notify,
}

/// Takes a sleeper off the list, even when its sleep is given up.
struct Asleep<'a>(&'a Shared, (Timestamp, u64));

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.sleepers.lock().unwrap().1.remove(&self.1);
    }
}

impl SteppedTimer {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self {
            clock,
            shared: Arc::default(),
        }
    }

    /// How many sleep now.
    pub(crate) fn sleepers(&self) -> usize {
        self.shared.sleepers.lock().unwrap().1.len()
    }

    /// Wakes whoever sleeps least; nothing happens while nobody sleeps.
    pub(crate) fn wake_next(&self) {
        let next = self.shared.sleepers.lock().unwrap().1.first().copied();
        if let Some((at, _)) = next {
            self.clock.advance(at.since(self.clock.now()));
            self.shared.moved.notify_waiters();
        }
    }
}

#[async_trait]
impl Timer for SteppedTimer {
    async fn sleep_until(&self, at: Timestamp) {
        let ticket = {
            let mut sleepers = self.shared.sleepers.lock().unwrap();
            sleepers.0 += 1;
            let ticket = (at, sleepers.0);
            sleepers.1.insert(ticket);
            ticket
        };
        let _asleep = Asleep(&self.shared, ticket);
        loop {
            // Listen before looking.
            let mut moved = std::pin::pin!(self.shared.moved.notified());
            moved.as_mut().enable();
            if self.clock.now() >= at {
                return;
            }
            moved.await;
        }
    }
}
