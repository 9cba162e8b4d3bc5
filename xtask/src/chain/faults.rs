//! The rail that settles by itself, on chains and through nodes that misbehave.

use anyhow::{Result, ensure};

use super::setup::Town;
use crate::postgres::{Cluster, TEST_VARIABLE};
use crate::{cargo, faults};

/// Runs the cases whose name or fault holds the filter, and counts the faults that they injected.
pub(super) fn run(town: &Town, filter: &str) -> Result<()> {
    let cluster = Cluster::start()?;
    let log = faults::fresh_log("chain")?;
    let mut cases = cargo::cargo();
    cases
        .args(["test", "-q", "--workspace", "--test", "chain"])
        .args(["--locked", "--", filter])
        .env("RUST_BACKTRACE", "0")
        .env("CHAIN_SETUP", &town.file)
        .env(TEST_VARIABLE, cluster.url())
        .env(faults::LOG_VARIABLE, &log);
    let status = cargo::status(&mut cases)?;
    // A part of the cases says nothing about what all of them inject.
    if filter.is_empty() {
        faults::count_log(&log, "chain")?;
    }
    ensure!(status.success(), "some cases failed: see above");
    Ok(())
}
