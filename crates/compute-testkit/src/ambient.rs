//! Time and randomness that tests control.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use compute_domain::time::{Clock, Entropy, Span, Timestamp};
use compute_engine::ports::Timer;

/// A clock that moves only when told, and a timer that tells it: sleeping moves time.
///
/// Real databases take none of it, so whoever waits for one is patient until told otherwise.
#[derive(Debug, Clone)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
    is_impatient: Arc<AtomicBool>,
}

impl ManualClock {
    /// A clock that shows `at`.
    pub fn at(at: Timestamp) -> Self {
        Self {
            millis: Arc::new(AtomicI64::new(at.millis())),
            is_impatient: Arc::default(),
        }
    }

    /// From now on, waiting for something outside moves time as sleeping does.
    pub fn lose_patience(&self) {
        self.is_impatient.store(true, Ordering::SeqCst);
    }

    /// Moves time forward to this moment; a moment in the past changes nothing.
    pub fn set(&self, at: Timestamp) {
        self.millis.fetch_max(at.millis(), Ordering::SeqCst);
    }

    /// Moves time forward.
    pub fn advance(&self, by: Span) {
        self.millis.fetch_add(by.millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Timer for ManualClock {
    async fn sleep_until(&self, at: Timestamp) {
        self.set(at);
        // Others get their turn, as they would during a real sleep.
        tokio::task::yield_now().await;
    }

    async fn patience(&self, at: Timestamp) {
        if !self.is_impatient.load(Ordering::SeqCst) {
            core::future::pending::<()>().await;
        }
        self.sleep_until(at).await;
    }
}

/// The machine's own clock, and waiting by it: for checks that many threads take part in.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of real processes"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

#[async_trait]
impl Timer for WallClock {
    async fn sleep_until(&self, at: Timestamp) {
        let millis = u64::try_from(at.since(self.now()).millis()).unwrap_or(0);
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
    }
}

/// Bytes that look random and are the same in every run.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// A generator of its own stream per seed.
    ///
    /// The seed is mixed first: every stream walks the same circle in the same steps, and streams that began a few
    /// steps apart would repeat each other's words, keys and ids.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(mix(seed.wrapping_mul(STEP) ^ !STEP)))
    }
}

/// The step of splitmix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64.
const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Entropy for SeededEntropy {
    /// Splitmix64: good enough to be different everywhere, and nothing more.
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.0.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
            let word = mix(word).to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn streams_of_neighbouring_seeds_share_no_word() {
        let mut words = BTreeSet::new();
        for seed in 0..64 {
            let entropy = SeededEntropy::new(seed);
            for _ in 0..256 {
                let mut word = [0; 8];
                entropy.fill(&mut word);
                assert!(
                    words.insert(word),
                    "a word of stream {seed} was there before"
                );
            }
        }
    }
}
