//! Chance that can be repeated: one seed, one sequence.

use std::time::Duration;

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit; 0 for the limit 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        items.get(usize::try_from(self.below(count)).ok()?)
    }

    /// A time with this mean whose end is as near at every moment: exponential, in milliseconds.
    pub(super) fn about(&mut self, mean_ms: u64) -> Duration {
        let mut passed = 0_u64;
        while !self.one_in(mean_ms.saturating_add(1)) && passed < 20 * mean_ms {
            passed += 1;
        }
        Duration::from_millis(passed)
    }

    /// 32 bytes as hex digits.
    pub(super) fn hex(&mut self) -> String {
        (0..4).map(|_| format!("{:016x}", self.next())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_its_sequence() {
        let rolls = |seed| (0..3).map(|_| Dice::new(seed).next()).collect::<Vec<_>>();
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
        assert_eq!(Dice::new(3).hex().len(), 64);
    }

    #[test]
    fn times_have_about_the_mean() {
        let mut dice = Dice::new(7);
        let sum: Duration = (0..2_000).map(|_| dice.about(300)).sum();
        let mean = sum / 2_000;
        assert!((270..330).contains(&mean.as_millis()), "{mean:?}");
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.pick::<u8>(&[]), None);
    }
}
