//! The workers of a process: each does a round, and rests.

use core::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use compute_engine::{Engine, Error};
use futures::future::LocalBoxFuture;

use super::cluster::World;
use super::trap;
use crate::explain::explain;

/// What the workers of one process share.
#[derive(Clone)]
struct Staff {
    world: Rc<World>,
    engine: Arc<Engine>,
    is_guarded: Rc<Cell<bool>>,
}

impl World {
    /// Starts the workers of a process.
    pub(crate) fn staff(
        self: &Rc<Self>,
        group: u32,
        engine: &Arc<Engine>,
        is_guarded: &Rc<Cell<bool>>,
    ) {
        let staff = Staff {
            world: Rc::clone(self),
            engine: Arc::clone(engine),
            is_guarded: Rc::clone(is_guarded),
        };
        let hire = |label, work: LocalBoxFuture<'static, ()>| {
            self.executor.spawn(group, label, work);
        };
        hire("drive", Box::pin(staff.clone().drive()));
        hire("expire", Box::pin(staff.clone().expire()));
        hire("watch", Box::pin(staff.clone().watch()));
        hire("sweep", Box::pin(staff.clone().sweep()));
        hire("arrivals", Box::pin(staff.clone().watch_arrivals()));
        hire("shop", Box::pin(staff.clone().keep_shop()));
        hire("office", Box::pin(staff.keep_books()));
    }
}

impl Staff {
    async fn rest(&self, busy_ms: i64, quiet_ms: i64) {
        self.world.reactor.end_round();
        let millis = if self.world.is_quiet.get() {
            quiet_ms
        } else {
            busy_ms
        };
        let jitter = self.world.reactor.dice.range(0, millis / 10);
        self.world.reactor.sleep(millis + jitter).await;
    }

    fn may_work(&self) -> bool {
        !self.is_guarded.get()
    }

    /// A worker's failure is the database's; anything else is a bug.
    fn judge<T>(&self, what: &str, outcome: Result<T, Error>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(Error::Unavailable(_)) => None,
            Err(error) => {
                let detail = format!("{what}: {}", explain(&error));
                self.world.reactor.violate("internal", detail);
                None
            }
        }
    }

    async fn drive(self) {
        let mut wait = 1_000;
        loop {
            let mut found = 0;
            if self.may_work() {
                let driven = self.engine.drive_due().await;
                found = self.judge("drive", driven).unwrap_or(1);
            }
            wait = if found > 0 {
                1_000
            } else {
                (wait * 2).min(32_000)
            };
            self.rest(wait, wait * 4).await;
        }
    }

    async fn expire(self) {
        loop {
            if self.may_work() {
                let expired = self.engine.expire_due().await;
                let opened = self.judge("expire", expired).unwrap_or(0);
                if opened > 0 && self.world.reactor.strikes(30) {
                    trap::die("after an expiry was opened");
                }
            }
            self.rest(180_000, 600_000).await;
        }
    }

    async fn watch(self) {
        loop {
            if self.may_work() {
                let watched = self.engine.watch_machines().await;
                self.judge("watch", watched);
            }
            self.rest(300_000, 900_000).await;
        }
    }

    async fn sweep(self) {
        loop {
            self.rest(600_000, 1_800_000).await;
            if self.may_work() {
                let swept = self.engine.sweep_orphans().await;
                self.judge("sweep", swept);
            }
        }
    }

    async fn watch_arrivals(self) {
        loop {
            if self.may_work() {
                let watched = self.engine.watch_arrivals().await;
                self.judge("watch arrivals", watched);
            }
            self.rest(300_000, 1_800_000).await;
        }
    }

    /// Health of the rails, and the catalogue.
    async fn keep_shop(self) {
        loop {
            self.engine.refresh_health().await;
            self.engine.refresh_catalog().await;
            self.rest(240_000, 7_200_000).await;
        }
    }

    async fn keep_books(self) {
        loop {
            self.rest(3_600_000, 14_400_000).await;
            if self.may_work() {
                let cleaned = self.engine.clean_up().await;
                self.judge("clean up", cleaned);
                let audited = self.engine.audit_hourly().await;
                if let Some(Some(findings)) = self.judge("audit", audited) {
                    for finding in findings {
                        self.world
                            .reactor
                            .violate(finding.promise, finding.detail.clone());
                    }
                }
            }
        }
    }
}
