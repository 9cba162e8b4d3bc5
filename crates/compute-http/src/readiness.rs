//! The verdict of `/readyz`, asked for by one request at a time and shared by all.
//!
//! Whether a commit would succeed is found out by a write: whoever may ask must not cause one each
//! time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use compute_domain::time::{Span, Timestamp};
use compute_engine::{Engine, Readiness};

/// How long a verdict is everybody's.
const FRESH: Span = Span::from_secs(2);

/// How long it may still be given out while a new one is being found; then everybody waits. A database
/// that does not commit must be known within 5 s, and finding a verdict may take 1.5 s.
const STALE: Span = Span::from_secs(3);

/// Why whoever received a request doubts that this process should take orders, whatever the engine
/// says; the listener puts it into the extensions of a request to `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt(pub String);

/// The last verdict.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    last: Mutex<Option<(Timestamp, Readiness)>>,
    asking: tokio::sync::Mutex<()>,
}

impl Verdicts {
    /// Whether orders can be taken, as of a moment ago.
    pub(crate) async fn current(&self, engine: &Engine) -> Readiness {
        if let Some(verdict) = self.younger_than(FRESH, engine.now()) {
            return verdict;
        }
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => match self.younger_than(STALE, engine.now()) {
                Some(verdict) => return verdict,
                None => self.asking.lock().await,
            },
        };
        // Somebody may have found it meanwhile.
        if let Some(verdict) = self.younger_than(FRESH, engine.now()) {
            return verdict;
        }
        let verdict = engine.readiness().await;
        self.keep(engine.now(), &verdict);
        verdict
    }

    fn younger_than(&self, limit: Span, now: Timestamp) -> Option<Readiness> {
        let last = self.last();
        let (at, verdict) = last.as_ref()?;
        // A clock that was set back makes no verdict young.
        (*at <= now && now.since(*at) < limit).then(|| verdict.clone())
    }

    fn keep(&self, now: Timestamp, verdict: &Readiness) {
        let before = self.last().replace((now, verdict.clone()));
        if before.is_some_and(|(_, before)| before == *verdict) {
            return;
        }
        if verdict.ready {
            tracing::info!("ready to take orders");
        } else {
            let reasons = verdict.reasons.join("; ");
            tracing::warn!(reasons, "not ready to take orders");
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(Timestamp, Readiness)>> {
        // A verdict is only ever replaced whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_used_for_a_while_and_not_from_the_future() {
        let verdicts = Verdicts::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        assert_eq!(verdicts.younger_than(FRESH, at(100)), None);
        let verdict = Readiness {
            ready: true,
            reasons: Vec::new(),
        };
        verdicts.keep(at(100), &verdict);
        assert_eq!(verdicts.younger_than(FRESH, at(101)), Some(verdict.clone()));
        assert_eq!(verdicts.younger_than(FRESH, at(102)), None);
        assert_eq!(verdicts.younger_than(STALE, at(102)), Some(verdict));
        assert_eq!(verdicts.younger_than(STALE, at(103)), None);
        assert_eq!(verdicts.younger_than(STALE, at(99)), None);
    }
}
