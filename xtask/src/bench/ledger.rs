//! `cargo xtask bench ledger`: what a debit costs on both databases.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo;
use crate::postgres::{Cluster, TEST_VARIABLE};

const PROGRAM: &str = "compute-bench-ledger";

/// Arguments go to the program: `--rows`, `--debits`, `--database`.
pub(super) fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut build = cargo::cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "-p",
        "compute-testkit",
        "--bin",
        PROGRAM,
    ]);
    cargo::run(&mut build)?;
    let cluster = Cluster::start()?;
    let mut bench = Command::new(cargo::target_dir().join("release").join(PROGRAM));
    bench.args(arguments).env(TEST_VARIABLE, cluster.url());
    Ok(cargo::exit_code(cargo::status(&mut bench)?))
}
