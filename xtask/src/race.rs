//! `cargo xtask race`: many clients at two replicas on a private PostgreSQL, checked against the ledger.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cargo;
use crate::postgres::{Cluster, TEST_VARIABLE};

const PROGRAM: &str = "compute-race";

/// Arguments go to the checker: `--clients`, `--operations`, `--seed`.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut build = cargo::cargo();
    build.args(["build", "--locked"]).args(cargo::AS_TESTS);
    cargo::run(&mut build)?;
    let cluster = Cluster::start()?;
    let target = cargo::target_dir();
    let faults = target.join("faults");
    fs::create_dir_all(&faults).with_context(|| format!("make {}", faults.display()))?;
    let mut race = Command::new(target.join("debug").join(PROGRAM));
    race.args(arguments)
        .arg("--faults")
        .arg(faults.join("race.json"))
        .env(TEST_VARIABLE, cluster.url());
    Ok(cargo::exit_code(cargo::status(&mut race)?))
}
