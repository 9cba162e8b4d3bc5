//! Lets many clients race at two replicas on PostgreSQL, and compares what they were told with the
//! ledger. `cargo xtask race` runs it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use compute_testkit::race::{self, RaceOptions, Report};

/// A concurrency checker.
#[derive(Debug, Parser)]
#[command(name = "compute-race")]
struct Arguments {
    /// Clients at the same time.
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Things that each of them does.
    #[arg(long, default_value_t = 1_000)]
    operations: u32,
    /// Decides what they do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File for the faults that were provoked, as JSON.
    #[arg(long)]
    faults: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let options = RaceOptions {
        clients: arguments.clients,
        operations: arguments.operations,
        seed: arguments.seed,
    };
    let report = race::run(options).await;
    if let Some(path) = &arguments.faults {
        let json = serde_json::to_vec(&report.faults).context("write the faults")?;
        std::fs::write(path, json).with_context(|| format!("write {}", path.display()))?;
    }
    print(&report).context("write to standard output")?;
    Ok(if report.anomalies.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (deed, count) in &report.deeds {
        writeln!(out, "{count:>8}  {deed}")?;
    }
    for anomaly in &report.anomalies {
        writeln!(out, "ANOMALY  {anomaly}")?;
    }
    let deeds: u64 = report.deeds.values().sum();
    writeln!(
        out,
        "{deeds} answers, {} ledger rows, {} anomalies",
        report.rows,
        report.anomalies.len()
    )
}
