//! The one generator from which everything random in a run comes.

use std::sync::{Mutex, PoisonError};

use compute_domain::time::Entropy;

/// Seeded randomness: the same seed and the same questions give the same answers.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        // Neighbouring seeds must not walk the same way one step apart.
        Self(Mutex::new(mixed(seed ^ 0xa076_1d64_78bd_642f)))
    }

    /// A generator of its own, derived from this one.
    pub(crate) fn split(&self) -> Self {
        Self::new(self.word())
    }

    pub(crate) fn word(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(*state)
    }

    /// A number below `end`; zero when there is none.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.word().checked_rem(end).unwrap_or(0)
    }

    /// An index below `end`; zero when there is none.
    pub(crate) fn index(&self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.below(end)).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn range(&self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high.saturating_sub(low).saturating_add(1)).unwrap_or(1);
        low.saturating_add(i64::try_from(self.below(width)).unwrap_or(0))
    }

    /// True in so many of a thousand cases.
    pub(crate) fn chance(&self, permille: u64) -> bool {
        permille > 0 && self.below(1_000) < permille
    }

    /// One of the items.
    pub(crate) fn pick<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(items.len()))
    }
}

impl Entropy for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(self.word().to_le_bytes()) {
                *byte = random;
            }
        }
    }
}

/// The finalizer of Splitmix64.
const fn mixed(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
