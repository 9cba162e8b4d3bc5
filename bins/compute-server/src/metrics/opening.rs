//! Metrics of a server: the listener, the registry behind it, and the worker that counts.

use std::sync::Arc;

use compute_domain::time::Clock as _;
use compute_store::Database;
use metrics::gauge;

use super::Registry;
use super::counting::{Allowance, Counting};
use super::standing::Standing;
use super::workers::seconds;
use crate::running::{Place, Shop, Side};
use crate::settings::metrics::Metrics;

/// An address for metrics, and the registry.
#[derive(Debug)]
pub(crate) struct Opened {
    place: Place,
    registry: Registry,
    settings: Metrics,
}

/// Takes the address and starts counting, where metrics are wanted.
///
/// # Errors
/// When the address cannot be had. The usual one is no reason not to sell: replicas on one machine
/// have it, too.
pub(crate) fn open(settings: &Metrics) -> anyhow::Result<Option<Opened>> {
    if !settings.enabled {
        return Ok(None);
    }
    let place = match Place::reserve(settings.listen) {
        Ok(place) => place,
        Err(error) if settings.is_usual() => {
            tracing::warn!(error = %format!("{error:#}"), "there are no metrics: set metrics.listen");
            return Ok(None);
        }
        Err(error) => return Err(error.context("metrics.listen")),
    };
    tracing::info!(address = %place.address(), "metrics are shown");
    Ok(Some(Opened {
        place,
        registry: Registry::start()?,
        settings: settings.clone(),
    }))
}

impl Opened {
    /// What to say about it at the start.
    pub(crate) fn greeting(&self) -> String {
        format!("metrics: http://{}/metrics", self.place.address())
    }

    /// Lets a shop count, and shows what it counts.
    pub(crate) fn watch(
        self,
        shop: &mut Shop,
        database: &Database,
        allowance: Allowance,
        mode: &'static str,
    ) -> Side {
        let standing = shop.engine.standing();
        let providers = standing.providers.iter().map(|it| it.provider).collect();
        shop.counting = Some(Arc::new(Counting::new(
            self.registry.clone(),
            Arc::clone(&shop.store),
            Arc::clone(&shop.clock),
            allowance,
            providers,
            &self.settings,
        )));
        gauge!("compute_audit_last_timestamp_seconds").set(seconds(shop.clock.now()));
        let standing = Standing {
            engine: Arc::clone(&shop.engine),
            clock: Arc::clone(&shop.clock),
            database: database.clone(),
            mode,
            started_at: shop.clock.now(),
        };
        Side {
            place: self.place,
            router: self.registry.router(standing),
            is_optional: self.settings.is_usual(),
        }
    }
}
