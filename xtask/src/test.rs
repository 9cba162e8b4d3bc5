//! `cargo xtask test`: every test, on both databases.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::postgres::{Cluster, TEST_VARIABLE};
use crate::{cargo, faults};

/// Builds first, so that a mistake in the code shows before anything is started.
pub(crate) fn run(filters: &[String]) -> Result<ExitCode> {
    let runner = Runner::find();
    cargo::run(runner.command().arg("--no-run"))?;

    let cluster = Cluster::start()?;
    println!("{TEST_VARIABLE}={}", cluster.url());
    let log = faults::fresh_log("tests")?;
    let mut tests = runner.command();
    tests
        .args(["--no-fail-fast", "--"])
        .args(filters)
        .env(TEST_VARIABLE, cluster.url())
        .env(faults::LOG_VARIABLE, &log);
    let status = cargo::status(&mut tests)?;
    // A part of the tests says nothing about what all of them inject.
    if filters.is_empty() {
        faults::count_log(&log, "tests")?;
    }
    if !status.success() {
        return Ok(cargo::exit_code(status));
    }
    // `cargo test` has run the examples in the documentation; a filter names tests, not examples.
    if runner == Runner::Nextest && filters.is_empty() {
        let mut examples = cargo::cargo();
        examples
            .args(["test", "--doc", "--workspace", "--locked"])
            .env(TEST_VARIABLE, cluster.url());
        return Ok(cargo::exit_code(cargo::status(&mut examples)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// `cargo xtask with-postgres -- <command…>`: the command in the caller's folder, with a cluster of its own.
pub(crate) fn with_postgres(arguments: &[String]) -> Result<ExitCode> {
    let words = match arguments.split_first() {
        Some((dashes, words)) if dashes == "--" => words,
        _ => arguments,
    };
    let Some((program, words)) = words.split_first() else {
        bail!("usage: cargo xtask with-postgres -- <command...>");
    };
    let cluster = Cluster::start()?;
    let mut command = Command::new(program);
    // It may be cargo, which compiles much anew in the environment of `cargo run`.
    cargo::leave_run(&mut command);
    command.args(words).env(TEST_VARIABLE, cluster.url());
    Ok(cargo::exit_code(cargo::status(&mut command)?))
}

/// What runs the tests. Both select the whole workspace, so that every command of ours builds the same features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    Nextest,
    Cargo,
}

impl Runner {
    /// Nextest where it is installed: it runs the tests of all crates side by side.
    fn find() -> Self {
        match cargo::output(cargo::cargo().args(["nextest", "--version"])) {
            Ok(_) => Self::Nextest,
            Err(_) => Self::Cargo,
        }
    }

    fn command(self) -> Command {
        let mut command = cargo::cargo();
        match self {
            Self::Nextest => command.args(["nextest", "run"]),
            Self::Cargo => command.arg("test"),
        };
        command.args(["--workspace", "--locked"]);
        command
    }
}
