//! The background loops: each does one round of an engine's duty, then waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compute_domain::time::{Clock as _, Entropy as _, Span};
use compute_engine::Engine;
use compute_engine::ports::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::ambient::{OsEntropy, ServerClock, system_time};
use crate::metrics::{Counting, note_audit, note_begin, note_failure, note_round};
use crate::settings::timing::Intervals;
use crate::supervisor::Supervisor;
use crate::telemetry::error_chain;

/// Rounds of the driver that may be under way at once: a round lasts as long as its slowest operation.
const DRIVER_ROUNDS: usize = 16;

/// Wait between attempts to get the first catalogue.
const FIRST_CATALOG_RETRY: Span = Span::from_secs(5);

/// What the loops need.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) every: Intervals,
    /// Whether this process drives, expires, watches, sweeps, audits and cleans up.
    pub(crate) drives: bool,
    /// Rounds run here: one that panics ends nothing but itself.
    pub(crate) supervisor: Supervisor,
    /// What counts for the metrics, where there are any.
    pub(crate) counting: Option<Arc<Counting>>,
    pub(crate) shutdown: CancellationToken,
}

impl Workers {
    /// Starts all loops; they end with `shutdown`.
    pub(crate) fn start(&self) {
        self.start_loop("clock", self.every.clock, |workers| async move {
            synchronise(&workers.clock, workers.store.as_ref()).await;
        });
        self.start_loop("health", self.every.health, |workers| async move {
            workers.engine.refresh_health().await;
        });
        self.start_loop("store", self.every.store, |workers| async move {
            workers.engine.check_store().await;
        });
        // Replicas hear from each other as soon as they would of a database that fails.
        self.start_loop("accounts", self.every.store, |workers| async move {
            report(
                "accounts",
                workers.engine.tend_accounts().await,
                "what is known of the providers' accounts could not be read",
            );
        });
        self.start_counting();
        self.start_catalog();
        if self.drives {
            self.start_duties();
        }
    }

    /// At once, and then at its own pace.
    fn start_counting(&self) {
        let Some(counting) = self.counting.clone() else {
            return;
        };
        let workers = self.clone();
        self.supervisor.spawn(async move {
            loop {
                let round = Arc::clone(&counting);
                let round = async move { round.round().await };
                workers.run("statistics", round).await;
                if !workers.sleep(counting.every()).await {
                    return;
                }
            }
        });
    }

    /// Runs a round to its end and notes that it was run.
    async fn run(&self, worker: &'static str, round: impl Future<Output = ()> + Send + 'static) {
        note_begin(worker);
        self.supervisor.run(worker, round).await;
        note_round(worker, self.clock.now());
    }

    /// Before anything ends by itself, the machines at the providers are compared with the database: one
    /// that was restored from a backup shows itself by machines whose operations it does not know. The
    /// driver goes on after one attempt, because payments must not wait for a provider.
    fn start_duties(&self) {
        let workers = self.clone();
        self.supervisor.spawn(async move {
            let mut have_compared = workers.have_compared().await;
            workers.start_driver();
            workers.start_book_keeping();
            while !have_compared {
                if !workers.sleep(workers.every.clock).await {
                    return;
                }
                have_compared = workers.have_compared().await;
            }
            workers.start_endings();
        });
    }

    async fn have_compared(&self) -> bool {
        if self.clock.suspicion().is_some() {
            return false;
        }
        let have_compared = Arc::new(AtomicBool::new(false));
        let (engine, done) = (Arc::clone(&self.engine), Arc::clone(&have_compared));
        let round = async move {
            let compared = engine.compare_machines().await;
            done.store(matches!(compared, Ok(true)), Ordering::Relaxed);
            report(
                "comparison",
                compared,
                "the providers' machines could not be compared with the database",
            );
        };
        self.run("comparison", round).await;
        have_compared.load(Ordering::Relaxed)
    }

    /// What destroys machines without their owners' asking. By a wrong time, it would be too early.
    fn start_endings(&self) {
        self.start_guarded("expirer", self.every.expire, |engine| async move {
            report(
                "expirer",
                engine.expire_due().await,
                "expired instances could not be looked for",
            );
        });
        self.start_guarded("lookout", self.every.expire, |engine| async move {
            report(
                "lookout",
                engine.look_ahead().await,
                "machines whose time ends soon could not be looked for",
            );
        });
        self.start_guarded("watcher", self.every.watch, |engine| async move {
            report(
                "watcher",
                engine.watch_machines().await,
                "running machines could not be looked at",
            );
        });
        self.start_guarded("sweeper", self.every.sweep, |engine| async move {
            report(
                "sweeper",
                engine.sweep_orphans().await,
                "machines that no instance explains could not be looked for",
            );
        });
    }

    /// By a wrong time, nonces would be forgotten while their signatures still count. The lines of hot
    /// wallets do not go by the time.
    fn start_book_keeping(&self) {
        self.start_loop("rails", self.every.rails, |workers| async move {
            workers.engine.tend_rails().await;
        });
        self.start_loop("account watch", self.every.account, |workers| async move {
            report(
                "account watch",
                workers.engine.watch_accounts().await,
                "what the providers tell of our accounts could not be written down",
            );
        });
        self.start_guarded("arrivals", self.every.arrivals, |engine| async move {
            report(
                "arrivals",
                engine.watch_arrivals().await,
                "what has arrived could not be compared with the payments",
            );
        });
        self.start_guarded("cards", self.every.cards, |engine| async move {
            report(
                "cards",
                engine.watch_cards().await,
                "disputes and refunds of card payments could not be written down",
            );
        });
        self.start_guarded("postman", self.every.webhooks, |engine| async move {
            report(
                "postman",
                engine.deliver_webhooks().await,
                "events could not be brought to webhooks",
            );
        });
        // The engine logs what it finds.
        self.start_guarded("auditor", self.every.audit, |engine| async move {
            let audited = engine.audit_hourly().await;
            if let Ok(findings) = &audited {
                note_audit(findings.as_deref(), engine.now());
            }
            report(
                "auditor",
                audited,
                "the promises about money could not be checked",
            );
        });
        self.start_guarded("cleaner", self.every.clean_up, |engine| async move {
            report(
                "cleaner",
                engine.clean_up().await,
                "old rows could not be deleted",
            );
        });
    }

    /// A loop whose rounds are left out while the clock is not trusted.
    fn start_guarded<F, R>(&self, name: &'static str, every: Span, round: F)
    where
        F: Fn(Arc<Engine>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.start_loop(name, every, move |workers| {
            let round = workers
                .clock
                .suspicion()
                .is_none()
                .then(|| round(workers.engine));
            async move {
                if let Some(round) = round {
                    round.await;
                }
            }
        });
    }

    /// Waits, then runs a round, again and again, whatever becomes of the round.
    fn start_loop<F, R>(&self, name: &'static str, every: Span, round: F)
    where
        F: Fn(Self) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let workers = self.clone();
        let round = Arc::new(round);
        self.supervisor.spawn(async move {
            while workers.sleep(every).await {
                let (round, of) = (Arc::clone(&round), workers.clone());
                let round = async move { round(of).await };
                workers.run(name, round).await;
            }
        });
    }

    /// The catalogue is fetched often until there is one, and then as often as configured.
    fn start_catalog(&self) {
        let workers = self.clone();
        self.supervisor.spawn(async move {
            loop {
                let has_catalog = workers.engine.shelf().is_ok();
                let wait = if has_catalog {
                    workers.every.catalog
                } else {
                    FIRST_CATALOG_RETRY.min(workers.every.catalog)
                };
                if !workers.sleep(wait).await {
                    return;
                }
                let engine = Arc::clone(&workers.engine);
                let round = async move { engine.refresh_catalog().await };
                workers.run("catalog", round).await;
            }
        });
    }

    /// Rounds do not wait for each other: one operation that takes long must not hold up the rest.
    fn start_driver(&self) {
        let workers = self.clone();
        let places = Arc::new(Semaphore::new(DRIVER_ROUNDS));
        self.supervisor.spawn(async move {
            while workers.sleep(workers.every.drive).await {
                if workers.clock.suspicion().is_some() {
                    continue;
                }
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    continue;
                };
                let engine = Arc::clone(&workers.engine);
                let round = async move {
                    report(
                        "driver",
                        engine.drive_due().await,
                        "due operations could not be claimed",
                    );
                    drop(place);
                };
                let of = workers.clone();
                workers
                    .supervisor
                    .spawn(async move { of.run("driver", round).await });
            }
        });
    }

    /// Waits for a time with ±10 % of chance, so that replicas do not march in step. False when the
    /// server is shutting down.
    async fn sleep(&self, span: Span) -> bool {
        let mut chance = [0_u8; 2];
        OsEntropy.fill(&mut chance);
        let permille = 900 + u64::from(u16::from_le_bytes(chance)) % 201;
        let millis = u64::try_from(span.millis())
            .unwrap_or(0)
            .saturating_mul(permille)
            / 1_000;
        tokio::select! {
            () = self.shutdown.cancelled() => false,
            () = tokio::time::sleep(Duration::from_millis(millis.max(1))) => true,
        }
    }
}

/// A round that failed is a line of the log; the next round tries again.
fn report<T>(worker: &'static str, outcome: Result<T, compute_engine::Error>, what: &'static str) {
    if let Err(error) = outcome {
        note_failure(worker);
        tracing::error!(error = error_chain(&error), "{what}");
    }
}

/// Compares our clock with the database's, or with the system's when the database has none.
pub(crate) async fn synchronise(clock: &ServerClock, store: &dyn Store) {
    let asked = clock.now();
    match store.database_now().await {
        // The answer was true somewhere between question and arrival.
        Ok(Some(reference)) => {
            let way_back = clock.now().since(asked).millis() / 2;
            clock.compare(reference.plus(Span::from_millis(way_back)));
        }
        Ok(None) => clock.compare(system_time()),
        Err(error) => {
            tracing::warn!(
                error = error_chain(&error),
                "the database's clock could not be read"
            );
            clock.miss();
        }
    }
}

#[cfg(test)]
mod tests;
