//! `cargo xtask bench payment`: what a payment costs a seller who embeds `compute-x402`.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cargo;

/// The bench compares ratios within one run, and fails when a bound is broken.
pub(super) fn run(arguments: &[String]) -> Result<ExitCode> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask bench payment");
    }
    let mut bench = cargo::cargo();
    bench.args([
        "bench",
        "--locked",
        "-p",
        "compute-x402",
        "--bench",
        "payment",
    ]);
    Ok(cargo::exit_code(cargo::status(&mut bench)?))
}
