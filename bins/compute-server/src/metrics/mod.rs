//! Metrics for Prometheus, on a listener of their own.
//!
//! No label names a customer: routes are templates, and every other label has a few known values
//! (decisions 37). What costs a question to the database is counted by a worker at its own pace, so
//! that a scrape never loads the database; a scrape adds only what is in memory.

mod counting;
mod journal;
mod opening;
mod process;
mod providers;
mod rails;
mod requests;
mod standing;
mod webhooks;
mod workers;

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub(crate) use self::counting::{Allowance, Counting};
pub(crate) use self::opening::open;
pub(crate) use self::providers::MeteredProvider;
pub(crate) use self::rails::metered;
pub(crate) use self::requests::{NO_ROUTE, meter_requests, method_word};
use self::standing::Standing;
pub(crate) use self::webhooks::MeteredCourier;
pub(crate) use self::workers::{note_audit, note_begin, note_failure, note_panic, note_round};

/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the classes in which times are counted, in seconds: from what is answered from
/// memory to the longest request.
const SECONDS: &[f64] = &[
    0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

/// The registry of this process.
#[derive(Clone)]
pub(crate) struct Registry(PrometheusHandle);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// Starts counting; call it once. Without it every count is dropped.
    ///
    /// # Errors
    /// When it was called before.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .context("choose the classes of times")?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)
            .ok()
            .context("start counting")?;
        journal::describe();
        Ok(Self(handle))
    }

    /// Takes in what was measured since the last call; otherwise it would pile up until somebody asks.
    pub(crate) fn tidy(&self) {
        self.0.run_upkeep();
    }

    /// What Prometheus reads: `GET /metrics`.
    pub(crate) fn router(&self, standing: Standing) -> Router {
        let (registry, standing) = (self.clone(), Arc::new(standing));
        let metrics = async move || {
            standing.show();
            process::show();
            ([(CONTENT_TYPE, TEXT_FORMAT)], registry.0.render())
        };
        Router::new().route("/metrics", get(metrics))
    }
}

/// A count as Prometheus keeps numbers. Above 2^53 the last digits are lost, which are thousands of
/// millions of dollars in micro-dollars.
#[expect(
    clippy::as_conversions,
    reason = "Prometheus knows only floating-point numbers; nothing is decided by them"
)]
fn number(count: i64) -> f64 {
    count as f64
}

/// An amount of a chain's own coin, of which some have 18 decimals.
#[expect(
    clippy::as_conversions,
    reason = "Prometheus knows only floating-point numbers; nothing is decided by them"
)]
fn wide(amount: u128) -> f64 {
    amount as f64
}

/// The same of what cannot be negative.
fn natural(count: u64) -> f64 {
    number(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Yes or no.
const fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_value() {
        for (count, shown) in [
            (0, 0.0),
            (-1, -1.0),
            (9_007_199_254_740_992, 9_007_199_254_740_992.0),
        ] {
            assert_eq!(number(count).to_bits(), f64::to_bits(shown), "{count}");
        }
        assert!(natural(u64::MAX) > 9e18);
        assert!(flag(true) > flag(false));
    }

    #[test]
    fn the_classes_of_times_ascend() {
        assert!(SECONDS.is_sorted());
    }
}
