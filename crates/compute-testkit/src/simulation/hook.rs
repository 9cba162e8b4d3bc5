//! The wire between one replica and the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use compute_engine::ports::TxMode;
use futures::future::{BoxFuture, FutureExt as _};

use super::reactor::Reactor;
use crate::model_store::{BeginFate, CommitFate, StoreHook};

/// Delays transactions, loses some, and some acknowledgements.
#[derive(Debug)]
pub(crate) struct SimHook {
    pub(crate) reactor: Arc<Reactor>,
    /// Until when nobody reaches the database.
    pub(crate) away_until: Arc<AtomicI64>,
}

impl SimHook {
    async fn pause(&self) {
        if self.reactor.dice.chance(400) {
            let millis = self.reactor.dice.range(1, 4);
            self.reactor.sleep(millis).await;
        }
    }

    fn is_away(&self) -> bool {
        self.away_until.load(Ordering::Relaxed) > self.reactor.millis()
    }
}

impl StoreHook for SimHook {
    fn before_begin(&self, _: TxMode) -> BoxFuture<'_, BeginFate> {
        async {
            self.pause().await;
            if self.is_away() {
                self.reactor.sleep(20).await;
                return BeginFate::Unavailable;
            }
            if self.reactor.strikes(1) {
                self.reactor.fault("F137");
                return BeginFate::Unavailable;
            }
            BeginFate::Begin
        }
        .boxed()
    }

    fn before_commit(&self, mode: TxMode) -> BoxFuture<'_, CommitFate> {
        async move {
            if mode == TxMode::Read {
                return CommitFate::Apply;
            }
            self.pause().await;
            if self.is_away() {
                return CommitFate::Fail;
            }
            if self.reactor.strikes(3) {
                self.reactor.fault("F136");
                return CommitFate::Fail;
            }
            if self.reactor.strikes(8) {
                self.reactor.fault("F135");
                return CommitFate::ApplyUnheard;
            }
            CommitFate::Apply
        }
        .boxed()
    }

    fn after_commit(&self, mode: TxMode) -> BoxFuture<'_, ()> {
        async move {
            if mode == TxMode::Write {
                self.reactor.committed();
                self.pause().await;
            }
        }
        .boxed()
    }
}
