//! The background loops: whether they run, and what fails in them.

use compute_domain::time::Timestamp;
use compute_engine::ports::Finding;
use metrics::{counter, gauge};

use super::{natural, number};

/// A round of a worker begins. What counts its trouble is there from the begin, at zero: of what
/// appears with the first trouble nobody sees an increase.
pub(crate) fn note_begin(worker: &'static str) {
    counter!("compute_worker_panics_total", "worker" => worker).increment(0);
    counter!("compute_worker_failures_total", "worker" => worker).increment(0);
}

/// A round of a worker came to its end, whatever it came to.
pub(crate) fn note_round(worker: &'static str, now: Timestamp) {
    counter!("compute_worker_rounds_total", "worker" => worker).increment(1);
    gauge!("compute_worker_last_round_timestamp_seconds", "worker" => worker).set(seconds(now));
}

/// A round of a worker could not do its duty.
pub(crate) fn note_failure(worker: &'static str) {
    counter!("compute_worker_failures_total", "worker" => worker).increment(1);
}

/// A round of a worker broke off.
pub(crate) fn note_panic(worker: &'static str) {
    counter!("compute_worker_panics_total", "worker" => worker).increment(1);
}

/// The books were audited: here, or, without findings to show, by another replica.
pub(crate) fn note_audit(findings: Option<&[Finding]>, now: Timestamp) {
    let count = findings.map_or(0, <[Finding]>::len);
    gauge!("compute_audit_findings").set(natural(u64::try_from(count).unwrap_or(u64::MAX)));
    if findings.is_some() {
        gauge!("compute_audit_last_timestamp_seconds").set(seconds(now));
    }
}

/// A moment as Prometheus writes it: whole seconds since 1970.
pub(super) fn seconds(at: Timestamp) -> f64 {
    number(at.millis() / 1_000)
}
