//! The compute shop: configuration, wiring, listener and commands.

mod ambient;
mod commands;
#[cfg(feature = "failpoints")]
mod failpoints;
mod listener;
mod running;
mod settings;
mod telemetry;
mod wiring;
mod workers;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use commands::{Cli, Command, ConfigCommand};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(
                std::io::stderr(),
                "error: {}",
                telemetry::error_chain(error.as_ref())
            );
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    #[cfg(feature = "failpoints")]
    failpoints::arm()?;
    match cli.command {
        Command::Config(ConfigCommand::Check(arguments)) => commands::config::check(&arguments),
        Command::Config(ConfigCommand::Docs) => commands::config::docs(),
        #[cfg(feature = "failpoints")]
        Command::Failpoints => failpoints::list(),
        Command::Serve(arguments) => block_on(commands::serve::run(arguments)),
        Command::Dev(arguments) => block_on(commands::dev::run(arguments)),
        Command::Migrate(arguments) => {
            block_on(async move { commands::migrate::run(&arguments).await })
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let outcome = runtime.block_on(work);
    // What is still running was given its time, and goes on from the database after a restart.
    runtime.shutdown_background();
    outcome
}
