//! Runs a stand-in as a process of its own: a double of the Vultr API, an x402 facilitator, or a node of
//! the Tempo chain.
//!
//! It listens on loopback and prints one JSON line with its address, such as
//! `{"facilitator":"http://127.0.0.1:40211"}`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use compute_payment_double::tempo;
use compute_testkit::facilitator::{self, Network};
use compute_testkit::journal::Journal;
use compute_testkit::vultr::{self, Pace};
use serde_json::{Value, json};

/// Stand-ins for the partners of a marketplace, for tests.
#[derive(Debug, Parser)]
#[command(name = "compute-stand-ins")]
struct Arguments {
    #[command(subcommand)]
    partner: Partner,
}

#[derive(Debug, Subcommand)]
enum Partner {
    /// A double of the Vultr API, version 2.
    Vultr {
        /// Port on loopback; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// File that keeps what happened; it is read at the start.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// The API key that is accepted.
        #[arg(long, default_value = "test-key")]
        api_key: String,
        /// Machines are active at this look.
        #[arg(long, default_value_t = 2, conflicts_with = "ready_after_ms")]
        ready_after_looks: u32,
        /// Machines are active after this many milliseconds.
        #[arg(long)]
        ready_after_ms: Option<u64>,
    },
    /// An x402 facilitator that really checks signatures, with a chain of its own.
    Facilitator {
        /// Port on loopback; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// File that keeps what happened; it is read at the start.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// A network to settle on; may be repeated. All when absent.
        #[arg(long = "network")]
        networks: Vec<Network>,
        /// What every account holds at first, in atomic units.
        #[arg(long, default_value_t = 1_000_000_000_000)]
        opening_balance: u128,
    },
    /// A node of the Tempo chain that really checks signatures. The chain ends with the process.
    Tempo {
        /// Port on loopback; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// File to which each movement of money is added before its sender hears of it.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// What every account holds at first, in base units.
        #[arg(long, default_value_t = 1_000_000_000_000)]
        opening_balance: u128,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().partner {
        Partner::Vultr {
            port,
            journal,
            api_key,
            ready_after_looks,
            ready_after_ms,
        } => {
            let pace = ready_after_ms.map_or(Pace::Looks(ready_after_looks), |ms| {
                Pace::Elapsed(Duration::from_millis(ms))
            });
            let options = vultr::Options {
                port,
                api_key,
                journal,
                pace,
            };
            let double = vultr::spawn(options)
                .await
                .context("starting the Vultr double")?;
            announce("vultr", &double.url());
            double.forever().await;
        }
        Partner::Facilitator {
            port,
            journal,
            networks,
            opening_balance,
        } => {
            let networks = if networks.is_empty() {
                Network::ALL.to_vec()
            } else {
                networks
            };
            let options = facilitator::Options {
                port,
                journal,
                networks,
                opening_balance,
                account: None,
            };
            let facilitator = facilitator::spawn(options)
                .await
                .context("starting the facilitator")?;
            announce("facilitator", &facilitator.url());
            facilitator.forever().await;
        }
        Partner::Tempo {
            port,
            journal,
            opening_balance,
        } => {
            let options = tempo::Options {
                port,
                opening_balance,
                ..tempo::Options::default()
            };
            let node = tempo::spawn(options)
                .await
                .context("starting the Tempo node")?;
            keep_record(&node, journal.as_deref())?;
            announce("tempo", &node.url());
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

/// Writes each payment down in the words of the facilitator's journal.
fn keep_record(node: &tempo::Handle, journal: Option<&Path>) -> anyhow::Result<()> {
    let journal = Journal::<Value>::open(journal).context("opening the journal")?;
    let journal = Mutex::new(journal);
    node.observe(move |transfer| {
        let settled = json!({
            "event": "settled",
            "transaction": transfer.transaction_hash,
            "token": transfer.token,
            "from": transfer.from,
            "to": transfer.to,
            "value": transfer.amount.to_string(),
            "memo": transfer.memo,
        });
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = journal.append(settled) {
            // Without its record nothing can be proved any more: whoever started this must notice.
            complain(&error);
            std::process::abort();
        }
    });
    Ok(())
}

#[expect(clippy::print_stderr, reason = "its last words")]
fn complain(error: &std::io::Error) {
    eprintln!("the journal cannot be written: {error}");
}

#[expect(clippy::print_stdout, reason = "the address is this program's output")]
fn announce(partner: &str, url: &str) {
    println!("{}", json!({ partner: url }));
}
