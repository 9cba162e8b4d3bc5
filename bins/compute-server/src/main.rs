//! The compute shop: configuration, wiring, listener and commands.

mod ambient;
mod commands;
mod courier;
#[cfg(feature = "failpoints")]
mod failpoints;
mod listener;
mod metrics;
mod open_files;
mod running;
mod settings;
mod supervisor;
mod telemetry;
mod traces;
mod wiring;
mod workers;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use commands::{Cli, Command, ConfigCommand};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Otherwise a failed audit would look like one that found something.
    let failure = match cli.command {
        Command::Ops(_) => ExitCode::from(commands::ops::NOT_DONE),
        _ => ExitCode::FAILURE,
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(
                std::io::stderr(),
                "error: {}",
                telemetry::error_chain(error.as_ref())
            );
            failure
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "failpoints")]
    failpoints::arm()?;
    let done = match cli.command {
        Command::Ops(arguments) => return block_on(commands::ops::run(arguments)),
        Command::Health(arguments) => return commands::health::run(&arguments),
        Command::Backup(arguments) => return block_on(commands::backup::back_up(arguments)),
        Command::Restore(arguments) => return block_on(commands::backup::restore(arguments)),
        Command::Config(ConfigCommand::Check(arguments)) => commands::config::check(&arguments),
        Command::Config(ConfigCommand::Docs) => commands::config::docs(),
        #[cfg(feature = "failpoints")]
        Command::Failpoints => failpoints::list(),
        Command::Serve(arguments) => block_on(commands::serve::run(arguments)),
        Command::Dev(arguments) => block_on(commands::dev::run(arguments)),
        Command::Migrate(arguments) => {
            block_on(async move { commands::migrate::run(&arguments).await })
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let outcome = runtime.block_on(work);
    // What is still running was given its time, and goes on from the database after a restart.
    runtime.shutdown_background();
    outcome
}
