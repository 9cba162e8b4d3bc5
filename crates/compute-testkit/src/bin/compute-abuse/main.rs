//! Clients of a server that is being abused, and those who abuse it. `cargo xtask abuse` runs it.

mod attack;
mod frames;
mod visit;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// One side of a test of abuse.
#[derive(Debug, Parser)]
#[command(name = "compute-abuse")]
struct Arguments {
    /// Where the server listens.
    #[arg(long)]
    server: SocketAddr,
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Asks in an orderly way, and prints how long each answer took, in microseconds, one a line.
    Visit {
        /// The address to come from: each may ask as often as the server's limits say.
        #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
        from: Ipv4Addr,
        /// Questions.
        #[arg(long, default_value_t = 500)]
        count: u32,
    },
    /// Attacks until its standard input ends; says `begun` when it has.
    Attack {
        /// In which way.
        kind: attack::Kind,
        /// The second byte of its addresses: each attack should have its own, so that it does not begin where another
        /// one was already turned away.
        #[arg(long)]
        network: u8,
        /// Connections at once.
        #[arg(long)]
        connections: u32,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.side {
        Side::Visit { from, count } => visit::run(arguments.server, from, count).await,
        Side::Attack {
            kind,
            network,
            connections,
        } => attack::run(arguments.server, kind, network, connections)
            .await
            .with_context(|| format!("attack by {kind:?}")),
    }
}
