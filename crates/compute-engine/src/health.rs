//! Which rails can settle now, and whether the service is ready.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use compute_domain::payment::RailLabel;
use compute_domain::time::Span;
use futures::FutureExt as _;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{AnyRail, RailHealth, StoreError};
use crate::saga::chain;

/// How long the database may take to commit something. With the wait between two rounds (3 s) it must
/// stay below 5 s, after which no price may be named; a connection that went silent has no limit of its own.
const STORE_PATIENCE: Span = Span::from_millis(1_500);

/// Whether the service can take orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// True when it can.
    pub ready: bool,
    /// What is missing, for the operator; also what does not keep it from taking orders.
    pub reasons: Vec<String>,
}

/// For who asks for a price in the meantime.
#[derive(Debug, thiserror::Error)]
#[error("the database could not be written a moment ago")]
struct NotStored;

/// Instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", STORE_PATIENCE.millis())]
struct Silent;

impl Engine {
    /// Asks the database to commit something. While it does not, no price is named: whoever paid it
    /// could not be served. Silence counts as a no.
    pub async fn check_store(&self) -> bool {
        let until = self.now().plus(STORE_PATIENCE);
        let outcome = futures::select_biased! {
            outcome = self.store.check_writable().fuse() => outcome,
            () = self.timer.patience(until).fuse() => Err(StoreError::Unavailable(Box::new(Silent))),
        };
        let did = self.stores.swap(outcome.is_ok(), Ordering::Relaxed);
        match outcome {
            Ok(()) if !did => tracing::info!("the database can be written again"),
            Ok(()) => {}
            Err(error) => {
                tracing::error!(error = %chain(&error), "the database cannot be written");
                return false;
            }
        }
        true
    }

    /// Refuses to go on while nothing can be stored.
    pub(crate) fn require_store(&self) -> Result<(), Error> {
        if self.stores.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(StoreError::Unavailable(Box::new(NotStored)).into())
    }

    /// Asks every rail whether it can settle. A rail that cannot is offered to nobody until the
    /// next round says otherwise.
    pub async fn refresh_health(&self) {
        for rail in &self.rails {
            let label = rail.label().clone();
            let health = rail.health().await;
            let before = self
                .health
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(label.clone(), health.clone());
            match (&before, &health) {
                (Some(before), now) if before == now => {}
                (_, RailHealth::Ready) => tracing::info!(payment.rail = %label, "rail is ready"),
                (_, RailHealth::Withdrawn { reason }) => {
                    tracing::error!(payment.rail = %label, reason = %reason, "rail is withdrawn");
                }
            }
        }
    }

    /// One round over what the rails themselves have under way on their networks.
    pub async fn tend_rails(&self) {
        for rail in &self.rails {
            rail.tend().await;
        }
    }

    /// Whether a rail may be offered.
    pub(crate) fn is_ready(&self, label: &RailLabel) -> bool {
        let health = self.health.read().unwrap_or_else(PoisonError::into_inner);
        matches!(health.get(label), Some(RailHealth::Ready))
    }

    /// The rails that may be offered, in configured order.
    pub(crate) fn ready_rails(&self) -> Vec<AnyRail> {
        let health = self.health.read().unwrap_or_else(PoisonError::into_inner);
        let is_ready =
            |rail: &&AnyRail| matches!(health.get(rail.label()), Some(RailHealth::Ready));
        self.rails.iter().filter(is_ready).cloned().collect()
    }

    /// Whether orders can be taken: the database commits, there is something to sell and a way to
    /// pay for it.
    pub async fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if !self.check_store().await {
            reasons.push("the database cannot be written".to_owned());
        }
        if self.shelf().is_err() {
            reasons.push("no fresh catalogue".to_owned());
        }
        if self.ready_rails().is_empty() {
            reasons.push("no payment rail can settle".to_owned());
        }
        let closed = self.closed();
        if !closed.is_empty() && closed.len() == self.clouds.len() {
            reasons.push("no provider sells new machines".to_owned());
        }
        let ready = reasons.is_empty();
        // Said also while others sell.
        let closed = closed.iter();
        reasons.extend(closed.map(|(id, why)| format!("{id} sells no new machines: {why}")));
        Readiness { ready, reasons }
    }
}
