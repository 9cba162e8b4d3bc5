use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a peer may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that may be sent at once after a rest; at least 1.
    pub burst: u32,
    /// The time after which one more may be sent.
    pub every: Duration,
}

/// Whether a request may use what is kept back for those that save money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A quarter of the burst is not for it.
    Usual,
    /// Such as a delete, whose delay costs money.
    Urgent,
}

/// The request may not be sent now, and was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request may be sent in {wait:?}")]
pub struct TooFast {
    /// When it may be.
    pub wait: Duration,
}

/// Keeps requests of this process to a peer below its limits.
#[derive(Debug)]
pub struct Pace {
    bucket: Mutex<Bucket>,
    born: Instant,
}

impl Pace {
    /// A pace that has not been used yet.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        Self {
            bucket: Mutex::new(Bucket::new(allowance)),
            born: Instant::now(),
        }
    }

    /// Waits until a request may be sent, in the order of asking.
    ///
    /// # Errors
    /// [`TooFast`], at once, when that takes longer than `patience`; nothing is used up.
    pub async fn turn(&self, urgency: Urgency, patience: Duration) -> Result<(), TooFast> {
        let now = self.born.elapsed();
        let wait = self
            .bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reserve(now, urgency, patience)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// The peer has asked for silence: no turn comes before it is over.
    pub fn hold_off(&self, silence: Duration) {
        let until = self.born.elapsed().saturating_add(silence);
        self.bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hold_off(until);
    }
}

/// The generic cell rate algorithm, with times since the birth of the pace.
#[derive(Debug)]
struct Bucket {
    allowance: Allowance,
    /// When everything that was sent so far is paid for.
    paid_at: Duration,
    silent_until: Duration,
}

impl Bucket {
    const fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            paid_at: Duration::ZERO,
            silent_until: Duration::ZERO,
        }
    }

    fn reserve(
        &mut self,
        now: Duration,
        urgency: Urgency,
        patience: Duration,
    ) -> Result<Duration, TooFast> {
        let Allowance { burst, every } = self.allowance;
        let kept_back = match urgency {
            Urgency::Usual => burst / 4,
            Urgency::Urgent => 0,
        };
        let credit = burst.saturating_sub(1).saturating_sub(kept_back);
        let earliest = self.paid_at.saturating_sub(every.saturating_mul(credit));
        let wait = earliest.max(self.silent_until).saturating_sub(now);
        if wait > patience {
            return Err(TooFast { wait });
        }
        self.paid_at = self.paid_at.max(now).saturating_add(every);
        Ok(wait)
    }

    fn hold_off(&mut self, until: Duration) {
        self.silent_until = self.silent_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOREVER: Duration = Duration::MAX;

    fn bucket(burst: u32) -> Bucket {
        Bucket::new(Allowance {
            burst,
            every: Duration::from_millis(100),
        })
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_is_free_and_then_it_goes_step_by_step() {
        let mut bucket = bucket(4);
        let mut waits = Vec::new();
        for _ in 0..6 {
            waits.push(bucket.reserve(ms(0), Urgency::Urgent, FOREVER).unwrap());
        }
        assert_eq!(waits, [ms(0), ms(0), ms(0), ms(0), ms(100), ms(200)]);
        // After a rest the whole burst is there again.
        for _ in 0..4 {
            let wait = bucket.reserve(ms(1_000), Urgency::Urgent, FOREVER);
            assert_eq!(wait, Ok(ms(0)));
        }
    }

    #[test]
    fn a_part_is_kept_back_for_what_is_urgent() {
        let mut bucket = bucket(4);
        for _ in 0..3 {
            assert_eq!(bucket.reserve(ms(0), Urgency::Usual, ms(0)), Ok(ms(0)));
        }
        let refused = bucket.reserve(ms(0), Urgency::Usual, ms(0));
        assert_eq!(refused, Err(TooFast { wait: ms(100) }));
        assert_eq!(bucket.reserve(ms(0), Urgency::Urgent, ms(0)), Ok(ms(0)));
    }

    #[test]
    fn who_is_refused_uses_nothing_up() {
        let mut bucket = bucket(1);
        assert_eq!(bucket.reserve(ms(0), Urgency::Usual, ms(0)), Ok(ms(0)));
        for _ in 0..5 {
            let refused = bucket.reserve(ms(0), Urgency::Usual, ms(99));
            assert_eq!(refused, Err(TooFast { wait: ms(100) }));
        }
        assert_eq!(bucket.reserve(ms(100), Urgency::Usual, ms(0)), Ok(ms(0)));
    }

    #[test]
    fn silence_holds_for_everybody() {
        let mut bucket = bucket(4);
        bucket.hold_off(ms(500));
        bucket.hold_off(ms(200));
        let refused = bucket.reserve(ms(0), Urgency::Urgent, ms(499));
        assert_eq!(refused, Err(TooFast { wait: ms(500) }));
        assert_eq!(
            bucket.reserve(ms(400), Urgency::Urgent, FOREVER),
            Ok(ms(100))
        );
    }

    #[tokio::test]
    async fn a_turn_that_takes_too_long_is_refused_at_once() {
        let pace = Pace::new(Allowance {
            burst: 1,
            every: Duration::from_secs(3_600),
        });
        pace.turn(Urgency::Usual, Duration::ZERO).await.unwrap();
        let refused = pace.turn(Urgency::Usual, Duration::from_secs(1)).await;
        assert!(refused.unwrap_err().wait > Duration::from_secs(3_000));
    }

    proptest! {
        /// In any span of time no more than burst + span / every requests get their turn.
        #[test]
        fn the_limit_holds_in_every_span(
            burst in 1_u32..20,
            gaps in prop::collection::vec(0_u64..300, 1..80),
        ) {
            let mut bucket = bucket(burst);
            let (mut now, mut sent) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let wait = bucket.reserve(ms(now), Urgency::Urgent, FOREVER).unwrap();
                sent.push(ms(now).saturating_add(wait).as_millis());
            }
            for (first, start) in sent.iter().enumerate() {
                for (last, end) in sent.iter().enumerate().skip(first) {
                    let count = last - first + 1;
                    let allowed = u128::from(burst) + (end - start) / 100;
                    prop_assert!(u128::try_from(count).unwrap() <= allowed);
                }
            }
        }
    }
}
