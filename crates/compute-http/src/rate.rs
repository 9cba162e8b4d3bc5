//! A budget of requests per address, for those who prove nothing about themselves.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use compute_engine::Engine;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// After this many questions, budgets that are full again are forgotten.
const QUESTIONS_PER_CLEANING: u32 = 16_384;

type Buckets = RateLimiter<IpAddr, DashMapStateStore<IpAddr>, EngineClock, NoOpMiddleware<Nanos>>;

/// Counts requests per address; an IPv6 network of 64 bits counts as one.
pub(crate) struct RateLimit {
    buckets: Buckets,
    clock: EngineClock,
    questions: AtomicU32,
}

impl RateLimit {
    pub(crate) fn new(engine: Arc<Engine>, per_minute: NonZeroU32) -> Self {
        let clock = EngineClock(engine);
        let buckets = RateLimiter::dashmap_with_clock(Quota::per_minute(per_minute), clock.clone());
        Self {
            buckets,
            clock,
            questions: AtomicU32::new(0),
        }
    }

    /// Counts one request; the time to wait when the budget is used up.
    pub(crate) fn charge(&self, address: IpAddr) -> Result<(), Duration> {
        let question = self.questions.fetch_add(1, Ordering::Relaxed);
        if question.is_multiple_of(QUESTIONS_PER_CLEANING) {
            self.buckets.retain_recent();
        }
        self.buckets
            .check_key(&network_of(address))
            .map_err(|refusal| refusal.wait_time_from(self.clock.now()))
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}

/// One IPv6 customer has 2^64 addresses: its network is what counts.
fn network_of(address: IpAddr) -> IpAddr {
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
