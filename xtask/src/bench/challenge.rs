//! `cargo xtask bench challenge`: what the Payment scheme costs a seller who embeds `compute-mpp`.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cargo;

/// The bench compares ratios within one run, and fails when a bound is broken.
pub(super) fn run(arguments: &[String]) -> Result<ExitCode> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask bench challenge");
    }
    let mut bench = cargo::cargo();
    bench.args([
        "bench",
        "--locked",
        "-p",
        "compute-mpp",
        "--bench",
        "challenge",
    ]);
    Ok(cargo::exit_code(cargo::status(&mut bench)?))
}
