//! The facilitators of a rail, in the order in which the operator wants them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::join_all;

use crate::remote::{Needed, Remote};

/// At least one facilitator, and which of them may be settling what.
#[derive(Debug)]
pub(crate) struct Panel {
    remotes: Vec<Remote>,
    /// By proof key: the last facilitator that `/settle` was sent to, while its outcome is unclear.
    holders: Mutex<BTreeMap<String, usize>>,
}

impl Panel {
    pub(crate) const fn new(remotes: Vec<Remote>) -> Self {
        Self {
            remotes,
            holders: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether there is anybody else to ask.
    pub(crate) const fn has_choice(&self) -> bool {
        self.remotes.len() > 1
    }

    /// The facilitators that are ready, then the others, each in configured order.
    pub(crate) fn order(&self) -> Vec<(usize, &Remote)> {
        let mut order: Vec<_> = self.remotes.iter().enumerate().collect();
        order.sort_by_key(|(_, remote)| !remote.is_ready());
        order
    }

    /// The same with the holder of a payment first: it may be settling it at this moment.
    pub(crate) fn order_from(&self, holder: Option<usize>) -> Vec<(usize, &Remote)> {
        let mut order = self.order();
        order.sort_by_key(|(index, _)| Some(*index) != holder);
        order
    }

    /// Looks at the health of each. One that is ready is enough.
    ///
    /// # Errors
    /// What is wrong with each of them, when none is ready.
    pub(crate) async fn look(&self, needed: &Needed<'_>) -> Result<(), String> {
        let looks = self.remotes.iter();
        let looks = join_all(looks.map(|remote| remote.look(needed))).await;
        if looks.iter().any(Result::is_ok) {
            return Ok(());
        }
        let reasons = self.remotes.iter().zip(looks);
        let reasons = reasons.filter_map(|(remote, look)| Some((remote, look.err()?)));
        let reasons: Vec<String> = reasons
            .map(|(remote, reason)| {
                if self.has_choice() {
                    format!("{}: {reason}", remote.origin())
                } else {
                    reason
                }
            })
            .collect();
        Err(reasons.join("; "))
    }

    /// The facilitator that may be settling a payment.
    pub(crate) fn holder(&self, proof_key: &str) -> Option<usize> {
        self.holders().get(proof_key).copied()
    }

    /// Notes who may be settling a payment from now on, or that nobody is.
    pub(crate) fn set_holder(&self, proof_key: &str, holder: Option<usize>) {
        match holder {
            Some(index) => self.holders().insert(proof_key.to_owned(), index),
            None => self.holders().remove(proof_key),
        };
    }

    // A poisoned lock means that a holder of it panicked, and the map is whole between calls.
    fn holders(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
