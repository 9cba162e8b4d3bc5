//! Time, waiting and randomness: the three things that everything else is given.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use compute_domain::time::{Clock, Entropy, Span, Timestamp};
use compute_engine::ports::Timer;

/// A step back of the reference clock by more than this is suspicious.
const MAX_STEP_BACK: Span = Span::from_secs(5);

/// A step forward by more than this is suspicious.
const MAX_STEP_FORWARD: Span = Span::from_secs(600);

/// Without a comparison for this long, the clock is not trusted any more.
const MAX_SILENCE: Span = Span::from_secs(300);

/// So many comparisons in a row must agree before a suspicious clock is trusted again.
const AGREEMENTS_NEEDED: u32 = 4;

/// The reference clock's time at the last comparison plus monotonic time since then.
///
/// The reference is the database on PostgreSQL, so that all replicas decide with one clock, and
/// the system clock otherwise. The monotonic part makes a step of the reference visible.
#[derive(Debug)]
pub(crate) struct ServerClock {
    start: Instant,
    /// What the reference showed, or would have shown, at `start`; milliseconds since 1970.
    reference_at_start: AtomicI64,
    guard: Mutex<Guard>,
}

/// Whether the clock may decide about destruction.
#[derive(Debug)]
struct Guard {
    compared_at: Span,
    suspicion: Option<String>,
    /// What the reference showed for our start at the last comparison; milliseconds since 1970.
    last: Option<i64>,
    /// Comparisons in a row at which the reference stood where it stood before.
    agreements: u32,
}

/// Between two comparisons a clock may be corrected by less than this, either way.
fn is_near(a: i64, b: i64) -> bool {
    a.abs_diff(b) <= MAX_STEP_BACK.millis().unsigned_abs()
}

impl ServerClock {
    /// A clock that follows the system clock until it is first compared.
    pub(crate) fn start() -> Self {
        let guard = Guard {
            compared_at: Span::ZERO,
            suspicion: None,
            last: None,
            agreements: 0,
        };
        Self {
            start: monotonic(),
            reference_at_start: AtomicI64::new(system_time().millis()),
            guard: Mutex::new(guard),
        }
    }

    /// Compares with the reference and follows it, unless it stepped: then time goes on as before,
    /// under suspicion, until the reference has been steady for a while. So nobody who reads the
    /// clock meanwhile decides by a time that may be wrong.
    pub(crate) fn compare(&self, reference: Timestamp) {
        let elapsed = self.elapsed();
        let own = self.reference_at_start.load(Ordering::Relaxed);
        let theirs = reference.minus(elapsed).millis();
        let mut guard = self.guard();
        guard.compared_at = elapsed;
        if guard.accepts(own, theirs) {
            self.reference_at_start.store(theirs, Ordering::Relaxed);
        }
    }

    /// Notes that the reference did not answer.
    pub(crate) fn miss(&self) {
        let elapsed = self.elapsed();
        let mut guard = self.guard();
        if elapsed.millis() - guard.compared_at.millis() > MAX_SILENCE.millis() {
            guard.agreements = 0;
            guard.suspect("the reference clock does not answer".to_owned());
        }
    }

    /// Why time must not decide about destruction at present, if so.
    pub(crate) fn suspicion(&self) -> Option<String> {
        self.guard().suspicion.clone()
    }

    fn elapsed(&self) -> Span {
        let millis = monotonic()
            .saturating_duration_since(self.start)
            .as_millis();
        Span::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Guard> {
        // Each change of the guard is complete before the lock is given back.
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.reference_at_start.load(Ordering::Relaxed)).plus(self.elapsed())
    }
}

impl Guard {
    /// Whether to follow the reference. `own` and `theirs` are what each shows for one moment, in
    /// milliseconds.
    fn accepts(&mut self, own: i64, theirs: i64) -> bool {
        // The first comparison sets the clock: until then nobody decided anything by it.
        if self.last.is_none() {
            self.last = Some(theirs);
            self.agreements = 1;
            return true;
        }
        let moved = theirs.saturating_sub(own);
        let is_step = moved < -MAX_STEP_BACK.millis() || moved > MAX_STEP_FORWARD.millis();
        // Steady means: where it was at the last comparison, whether that is our time or another.
        let steady = self.last.is_none_or(|last| is_near(last, theirs));
        self.last = Some(theirs);
        self.agreements = if steady {
            self.agreements.saturating_add(1)
        } else {
            1
        };
        let is_trusted = self.agreements >= AGREEMENTS_NEEDED;
        if is_step && !is_trusted {
            let direction = if moved < 0 { "back" } else { "forward" };
            self.suspect(format!(
                "the clock stepped {direction} by {} ms",
                moved.abs()
            ));
            return false;
        }
        if self.suspicion.is_some() && is_trusted {
            self.suspicion = None;
            tracing::warn!("the clock is steady again; all workers go on");
        }
        true
    }

    fn suspect(&mut self, reason: String) {
        if self.suspicion.is_none() {
            tracing::error!(%reason, "the clock is not trusted: until it is steady nothing is driven, expired, watched, swept, audited or cleaned up, and /readyz is 503; what clients order goes on by our own time");
        }
        self.suspicion = Some(reason);
    }
}

/// The system clock; times before 1970 count as 1970.
pub(crate) fn system_time() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the Clock port gets its time"
    )]
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn monotonic() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the Clock port gets its time"
    )]
    let now = Instant::now();
    now
}

/// Measures how long something takes, for the metrics alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self(monotonic())
    }

    /// What has passed since.
    pub(crate) fn elapsed(self) -> Duration {
        monotonic().saturating_duration_since(self.0)
    }
}

/// The generator of the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(
            clippy::expect_used,
            reason = "the generator fails only before it is seeded, early in the boot of a machine; \
                      to go on without randomness would be worse than to stop"
        )]
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// Sleeps on tokio's timer until the clock shows the time.
#[derive(Debug)]
pub(crate) struct TokioTimer(pub(crate) Arc<ServerClock>);

/// The clock may be set while somebody sleeps, so nobody sleeps longer than this at a stretch.
const LONGEST_NAP: Duration = Duration::from_secs(5);

#[async_trait]
impl Timer for TokioTimer {
    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.since(self.0.now());
            if left == Span::ZERO {
                return;
            }
            let left = Duration::from_millis(u64::try_from(left.millis()).unwrap_or(0));
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: i64 = 1_000_000_000;

    /// A guard after comparisons with a reference that is ahead by so many seconds, and whether it
    /// followed each.
    fn followed(guard: &mut Guard, ahead_s: &[i64]) -> Vec<bool> {
        let mut own = BASE;
        let mut follow = |ahead: &i64| {
            let theirs = BASE + ahead * 1_000;
            let accepted = guard.accepts(own, theirs);
            own = if accepted { theirs } else { own };
            accepted
        };
        ahead_s.iter().map(&mut follow).collect()
    }

    fn fresh() -> Guard {
        Guard {
            compared_at: Span::ZERO,
            suspicion: None,
            last: None,
            agreements: 0,
        }
    }

    #[test]
    fn small_differences_are_followed() {
        let mut guard = fresh();
        assert_eq!(followed(&mut guard, &[0, 4, 0, 599, 595]), [true; 5]);
        assert!(guard.suspicion.is_none());
    }

    #[test]
    fn the_first_comparison_sets_the_clock() {
        let clock = ServerClock::start();
        let reference = Timestamp::from_millis(2_000_000_000_000);
        clock.compare(reference);
        assert!(clock.now() >= reference && clock.suspicion().is_none());
        clock.compare(Timestamp::from_millis(1_900_000_000_000));
        assert!(clock.now() >= reference && clock.suspicion().is_some());
    }

    #[test]
    fn a_step_is_followed_only_once_the_reference_is_steady_there() {
        for step in [-6, 601, 1_800, -86_400] {
            let mut guard = fresh();
            let steps = [0, 0, 0, 0, 0, step, step, step, step, step];
            let expected = [
                true, true, true, true, true, false, false, false, true, true,
            ];
            assert_eq!(followed(&mut guard, &steps), expected, "{step}");
            assert!(guard.suspicion.is_none());
        }
    }

    #[test]
    fn a_step_that_is_taken_back_was_never_followed() {
        let mut guard = fresh();
        let steps = [0, 0, 1_800, 0, 0, 0, 0];
        let expected = [true, true, false, true, true, true, true];
        assert_eq!(followed(&mut guard, &steps), expected);
        assert!(guard.suspicion.is_none(), "steady for long enough");
    }

    #[test]
    fn a_restless_reference_is_never_followed_and_stays_suspicious() {
        let mut guard = fresh();
        let steps = [0, 2_000, 4_000, 2_000, 4_000, 2_000, 4_000];
        assert_eq!(followed(&mut guard, &steps)[1..], [false; 6]);
        assert!(guard.suspicion.is_some());
    }
}
