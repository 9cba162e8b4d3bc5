//! How much time a payment must leave to settle.

/// Reference facilitators refuse less than 6 s: three blocks on Base.
const MIN_VALIDITY_S: u64 = 6;

/// Own rule: an unsettled proof must die within a day, so that its fate is decided then.
const MAX_VALIDITY_S: u64 = 86_400;

/// 150 blocks of at most 1 s. They are made every 0.4 s, but not in every slot.
#[cfg(feature = "svm")]
const BLOCKHASH_LIFE_S: u64 = 150;

/// The moment of verification and how long a payment must still be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidityWindow {
    now_s: u64,
    min_validity_s: u64,
}

impl ValidityWindow {
    /// Verifies at `now_s` (Unix seconds); 6 s of validity must remain.
    #[must_use]
    pub const fn at(now_s: u64) -> Self {
        Self {
            now_s,
            min_validity_s: MIN_VALIDITY_S,
        }
    }

    /// Demands that more seconds of validity remain; fewer than 6 mean 6.
    #[must_use]
    pub const fn with_min_validity(self, seconds: u64) -> Self {
        let min_validity_s = if seconds > MIN_VALIDITY_S {
            seconds
        } else {
            MIN_VALIDITY_S
        };
        Self {
            min_validity_s,
            ..self
        }
    }

    /// Whether something that the chain refuses from this second on is neither too near nor too far.
    pub(super) const fn takes_end(self, end_s: u64) -> bool {
        self.leaves_time(end_s) && end_s <= self.now_s.saturating_add(MAX_VALIDITY_S)
    }

    /// Whether enough time remains before this second.
    pub(super) const fn leaves_time(self, end_s: u64) -> bool {
        end_s >= self.now_s.saturating_add(self.min_validity_s)
    }

    /// The last moment at which a payment with a blockhash of now may still be included, with
    /// plenty to spare (x402 reference, section 7.4).
    #[cfg(feature = "svm")]
    pub(super) const fn end_of_blockhash(self) -> u64 {
        self.now_s.saturating_add(BLOCKHASH_LIFE_S)
    }

    /// Whether something that begins at this second has begun.
    pub(super) const fn has_begun(self, begin_s: u64) -> bool {
        begin_s <= self.now_s
    }
}
