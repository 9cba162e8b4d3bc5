//! `cargo xtask sim`: the deterministic simulation, built optimised and run over a range of seeds.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo;

const USAGE: &str = "\
usage: cargo xtask sim [--seeds N] [--start S] [--jobs J] [--keep-going]
       cargo xtask sim --replay SEED [--bug NAME]
       cargo xtask sim --bug NAME|all|list

Builds the simulation with the engine's fail points and runs 300 seeds from 1 on. One seed is one
run, the same at every time. How often each fault was injected goes to target/faults/sim.json.
";

/// Its own profile: as fast to run as a release, faster to build.
const PROFILE: &str = "sim";

const BINARY: &str = "compute-simulation";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if arguments
        .iter()
        .any(|word| word == "--help" || word == "-h")
    {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    cargo::run(cargo::cargo().args([
        "build",
        "--locked",
        "--profile",
        PROFILE,
        "--package",
        "compute-testkit",
        "--features",
        "failpoints",
        "--bin",
        BINARY,
    ]))?;
    let target = cargo::target_dir();
    let mut command = Command::new(target.join(PROFILE).join(BINARY));
    command.args(arguments);
    // A replay or a hunt for planted bugs is no count of injected faults.
    let is_count = !arguments
        .iter()
        .any(|word| word.starts_with("--bug") || word.starts_with("--replay"));
    if is_count {
        command
            .arg("--json")
            .arg(target.join("faults").join("sim.json"));
    }
    Ok(cargo::exit_code(cargo::status(&mut command)?))
}
