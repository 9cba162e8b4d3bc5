//! The wires between a replica and its partners: slow, lossy, and sometimes cut.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::reactor::{Reactor, lock};

/// How long a partner's call may take; as the adapters' own time-outs.
const CALL_MS: i64 = 20_000;

/// What became of a question on its way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It was never sent.
    NotSent,
    /// It was sent and got lost; the caller's time ran out.
    Lost,
    /// It is there.
    Arrived,
}

/// The wire to one partner.
#[derive(Debug)]
pub(crate) struct Link {
    reactor: Arc<Reactor>,
    cut_until: Mutex<i64>,
    /// A cut that nobody can mend before its time.
    lost_until: Mutex<i64>,
}

impl Link {
    pub(crate) fn new(reactor: Arc<Reactor>) -> Self {
        Self {
            reactor,
            cut_until: Mutex::new(0),
            lost_until: Mutex::new(0),
        }
    }

    /// Cuts the wire for a while.
    pub(crate) fn cut(&self, millis: i64) {
        let mut until = lock(&self.cut_until);
        *until = (*until).max(self.reactor.millis() + millis);
    }

    /// Cuts it so that nobody can mend it before its time.
    pub(crate) fn lose(&self, millis: i64) {
        *lock(&self.lost_until) = self.reactor.millis() + millis;
    }

    /// Mends it at once, if anybody can.
    pub(crate) fn mend(&self) {
        *lock(&self.cut_until) = 0;
    }

    pub(crate) fn is_cut(&self) -> bool {
        let now = self.reactor.millis();
        *lock(&self.cut_until) > now || *lock(&self.lost_until) > now
    }

    async fn travel(&self) {
        let millis = if self.reactor.strikes(10) {
            self.reactor.dice.range(1_000, 6_000)
        } else {
            self.reactor.dice.range(1, 150)
        };
        self.reactor.sleep(millis).await;
    }

    /// The way there.
    pub(crate) async fn ask(&self) -> Delivery {
        self.reactor.count_call();
        if self.is_cut() {
            if self.reactor.dice.chance(500) {
                self.reactor.sleep(50).await;
                return Delivery::NotSent;
            }
            self.reactor.sleep(CALL_MS).await;
            return Delivery::Lost;
        }
        if self.reactor.strikes(8) {
            self.reactor.sleep(50).await;
            return Delivery::NotSent;
        }
        self.travel().await;
        if self.reactor.strikes(8) {
            self.reactor.sleep(CALL_MS).await;
            return Delivery::Lost;
        }
        Delivery::Arrived
    }

    /// The way back: whether the answer arrives.
    pub(crate) async fn answer(&self) -> bool {
        self.travel().await;
        if self.is_cut() || self.reactor.strikes(8) {
            self.reactor.sleep(CALL_MS - 7_000).await;
            return false;
        }
        true
    }
}

/// A call that changes something, under way. When its process dies in it, that is one fault or
/// another, depending on how far it had come.
#[derive(Debug)]
pub(crate) struct InFlight {
    reactor: Arc<Reactor>,
    fault: Option<&'static str>,
}

impl InFlight {
    /// Dying from now on is this fault.
    pub(crate) fn new(reactor: &Arc<Reactor>, fault: &'static str) -> Self {
        Self {
            reactor: Arc::clone(reactor),
            fault: Some(fault),
        }
    }

    /// Dying from now on is another one.
    pub(crate) const fn becomes(&mut self, fault: &'static str) {
        self.fault = Some(fault);
    }

    /// It is over.
    pub(crate) fn done(mut self) {
        self.fault = None;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(fault) = self.fault
            && self.reactor.is_stormy.load(Ordering::Relaxed)
        {
            self.reactor.fault(fault);
        }
    }
}
