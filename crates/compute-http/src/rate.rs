//! Budgets: requests per address for those who prove nothing about themselves, and purchases per
//! payer.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compute_domain::WalletAddress;
use compute_domain::id::OwnerId;
use compute_domain::time::{Span, Timestamp};
use compute_engine::{CheckGate, Claimant, Engine};
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::app::App;
use crate::visit::Sender;

/// After this many questions, budgets that are full again are forgotten.
const QUESTIONS_PER_CLEANING: u32 = 16_384;

type Buckets<K> = RateLimiter<K, DashMapStateStore<K>, EngineClock, StateInformationMiddleware>;

/// So many a minute, and at once, for each key.
pub(crate) struct RateLimit<K: Clone + Eq + Hash> {
    buckets: Buckets<K>,
    clock: EngineClock,
    questions: AtomicU32,
}

impl<K: Clone + Eq + Hash> RateLimit<K> {
    pub(crate) fn new(engine: Arc<Engine>, per_minute: NonZeroU32) -> Self {
        let clock = EngineClock(engine);
        let buckets = RateLimiter::dashmap_with_clock(Quota::per_minute(per_minute), clock.clone());
        let buckets = buckets.with_middleware();
        Self {
            buckets,
            clock,
            questions: AtomicU32::new(0),
        }
    }

    /// Counts one; how many are left at once, or the time to wait when the budget is used up.
    pub(crate) fn charge(&self, key: &K) -> Result<u32, Duration> {
        let question = self.questions.fetch_add(1, Ordering::Relaxed);
        if question.is_multiple_of(QUESTIONS_PER_CLEANING) {
            self.buckets.retain_recent();
        }
        self.buckets
            .check_key(key)
            .map(|snapshot| snapshot.remaining_burst_capacity())
            .map_err(|refusal| refusal.wait_time_from(self.clock.now()))
    }
}

impl<K: Clone + Eq + Hash> fmt::Debug for RateLimit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}

/// Who buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    Wallet(WalletAddress),
    /// An owner whose API key spends credits.
    Owner(OwnerId),
    /// Somebody at this address, or in this IPv6 network, who pays by card.
    Address(IpAddr),
}

/// Purchases per payer. They are counted once they are claimed, so that copies of one payment count
/// once however many arrive together; who has bought too much waits with the next new one.
#[derive(Debug)]
pub(crate) struct PurchaseLimit {
    budget: RateLimit<Payer>,
    blocked_until: Mutex<HashMap<Payer, Timestamp>>,
}

impl PurchaseLimit {
    pub(crate) fn new(engine: Arc<Engine>, per_minute: NonZeroU32) -> Self {
        Self {
            budget: RateLimit::new(engine, per_minute),
            blocked_until: Mutex::default(),
        }
    }

    /// How long this payer must wait with a new purchase.
    pub(crate) fn wait_for(&self, payer: &Payer, now: Timestamp) -> Option<Duration> {
        let until = *self.blocked().get(payer)?;
        let left = u64::try_from(until.since(now).millis()).unwrap_or(0);
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Counts a claimed purchase.
    pub(crate) fn count(&self, payer: Payer, now: Timestamp) {
        let Err(wait) = self.budget.charge(&payer) else {
            return;
        };
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let mut blocked = self.blocked();
        blocked.retain(|_, until| *until > now);
        blocked.insert(payer, now.plus(Span::from_millis(wait)));
    }

    fn blocked(&self) -> MutexGuard<'_, HashMap<Payer, Timestamp>> {
        // Each change of the map is complete before the lock is given back.
        self.blocked_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate before the payment networks, for one request.
#[derive(Debug)]
pub(crate) struct Gate {
    app: App,
    sender: Sender,
}

impl Gate {
    pub(crate) const fn new(app: App, sender: Sender) -> Self {
        Self { app, sender }
    }
}

impl CheckGate for Gate {
    fn admit(&self, claimant: Claimant) -> Result<(), Span> {
        let (app, network) = (&self.app, self.sender.network());
        let payer = match claimant {
            Claimant::Signed(wallet) | Claimant::Named(wallet) => Some(Payer::Wallet(wallet)),
            Claimant::Nobody => network,
        };
        let now = app.engine().now();
        let waits = payer.and_then(|payer| app.purchases().wait_for(&payer, now));
        if let Some(wait) = waits {
            return Err(span(wait));
        }
        // A word is cheap: nobody uses up a wallet's budget who does not hold its key.
        let wallet = match claimant {
            Claimant::Signed(wallet) => Some(Payer::Wallet(wallet)),
            Claimant::Named(_) | Claimant::Nobody => None,
        };
        for asks in [network, wallet].into_iter().flatten() {
            app.checks().charge(&asks).map_err(span)?;
        }
        Ok(())
    }
}

fn span(wait: Duration) -> Span {
    Span::from_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

/// One IPv6 customer has 2^64 addresses: its network is what counts.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

/// The engine's clock, so that a test moves this limit's time as well.
#[derive(Clone)]
struct EngineClock(Arc<Engine>);

impl Clock for EngineClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let millis = u64::try_from(self.0.now().millis()).unwrap_or(0);
        Nanos::from(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_ipv6_network_share_a_budget() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
