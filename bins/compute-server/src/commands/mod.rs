//! The commands.

pub(crate) mod backup;
mod clouds;
pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod health;
pub(crate) mod migrate;
pub(crate) mod ops;
pub(crate) mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::ops::OpsArguments;

/// Sells cloud machines to software agents for stablecoin payments (x402).
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve with real partners.
    Serve(ServeArguments),
    /// Serve on this machine only, with a simulated cloud and simulated settlement.
    Dev(DevArguments),
    /// Bring the database to the schema of this build.
    Migrate(ConfigArguments),
    /// Look at what is stuck and decide about it, and audit the books, beside a running server.
    Ops(OpsArguments),
    /// Ask a server on this machine whether it is well. Exit code 1 when it is not.
    Health(health::HealthArguments),
    /// Copy a SQLite database into a new file, beside a running server, and check the copy.
    Backup(backup::BackupArguments),
    /// Put a copy where the SQLite database is to be, in quarantine.
    Restore(backup::RestoreArguments),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the points at which the process killer's build can die.
    #[cfg(feature = "failpoints")]
    #[command(hide = true)]
    Failpoints,
}

/// Which configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    /// The configuration file [default: compute.toml, if it exists].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) config: ConfigArguments,
    /// Refuse to start when migrations are pending, instead of applying them.
    #[arg(long)]
    pub(crate) no_migrate: bool,
}

/// Arguments of `dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Where to listen; loopback only, port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4020")]
    pub(crate) listen: SocketAddr,
    /// The database: `sqlite:<file>` or `postgres://…`.
    #[arg(long, value_name = "URL", default_value = "sqlite:compute-dev.db")]
    pub(crate) database: String,
    /// What to log.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
    /// Shows metrics for Prometheus here; loopback only, port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Lets machines boot, and everything else wait, this many times faster.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) time_scale: u32,
    /// Settles payments on Tempo by this node instead of simulating them: a local chain, or the test network.
    #[arg(long, value_name = "URL")]
    pub(crate) tempo_rpc: Option<String>,
    /// The chain id of that node; the main network's only for a chain on this machine.
    #[arg(
        long,
        value_name = "ID",
        default_value_t = 42_431,
        requires = "tempo_rpc"
    )]
    pub(crate) tempo_chain: u32,
    /// Lets webhooks be called on this machine, by plain http.
    #[arg(long)]
    pub(crate) loopback_webhooks: bool,
    /// Sells so many plans more than the vendors have: copies, for measurements.
    #[arg(long, value_name = "N", default_value_t = 0, hide = true)]
    pub(crate) more_plans: usize,
    /// Sells so many machines at once, for measurements.
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) instances_total: Option<u32>,
    /// Bounds what comes from this machine like what comes from others, for measurements.
    #[arg(long, hide = true)]
    pub(crate) count_loopback: bool,
    /// Reads the catalogues this often, and finds other prices each time, for measurements.
    #[arg(long, value_name = "MILLISECONDS", hide = true)]
    pub(crate) new_prices_every: Option<u32>,
}

/// The commands about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the effective configuration with secrets masked, and every problem.
    Check(ConfigArguments),
    /// Print the manual of the configuration.
    #[command(hide = true)]
    Docs,
}
