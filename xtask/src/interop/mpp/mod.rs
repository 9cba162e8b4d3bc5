//! Published clients of the Payment scheme pay on a chain of Tempo, and published libraries are asked what they read.

mod peers;
mod purchase;
mod sale;
mod tempo;

use std::path::Path;

use anyhow::{Result, bail};

use self::tempo::TempoChain;
use super::empty;
use super::shop::{self, Programs};
use crate::cargo::AS_TESTS;
use crate::packages::{self, Bundle, Registry};

/// Where their programs are.
const PROGRAMS: &str = "interop/mpp";

/// The library and the command of npm, and the node: its programs talk to both.
const MPPX: Bundle = Bundle {
    name: "npm mppx 0.11.0",
    folder: "mppx",
    registry: Registry::Npm,
    // A newer viem wants a newer mppx.
    packages: &["@foundry-rs/anvil@1.7.1", "mppx@0.11.0", "viem@2.55.13"],
    programs: PROGRAMS,
};

const PYMPP: Bundle = Bundle {
    name: "PyPI pympp 0.16.0",
    folder: "pympp",
    registry: Registry::Pypi,
    packages: &["pympp[tempo]==0.16.0"],
    programs: PROGRAMS,
};

/// A client that somebody else published.
#[derive(Debug)]
struct Client {
    /// The name of its wallet.
    wallet: &'static str,
    bundle: Bundle,
    /// The program that buys with it.
    script: &'static str,
}

const CLIENTS: &[Client] = &[
    Client {
        wallet: "mppx",
        bundle: MPPX,
        script: "mppx.mjs",
    },
    Client {
        wallet: "mppx-cli",
        bundle: MPPX,
        script: "mppx-cli.mjs",
    },
    Client {
        wallet: "pympp",
        bundle: PYMPP,
        script: "pympp.py",
    },
];

/// Lets everybody pay, and compares what is read.
pub(super) fn run() -> Result<()> {
    packages::install([&MPPX, &PYMPP])?;
    let folder = packages::workshop().join("mpp-run");
    empty(&folder)?;
    peers::compare()?;
    let programs = Programs::build(AS_TESTS)?;
    pay(&folder, &programs)?;
    println!("{}", peers::check_golden(&folder)?);
    Ok(())
}

/// Lets every client pay once. A failure, with everything that explains it, does not stop the others.
fn pay(folder: &Path, programs: &Programs) -> Result<()> {
    let wallets: Vec<&str> = CLIENTS.iter().map(|client| client.wallet).collect();
    let chain = TempoChain::start(&wallets, folder)?;
    println!(
        "\nTempo is ready at {}; a shop of published software",
        chain.url()
    );
    let shop = purchase::published_shop(&chain, folder)?;
    let mut failures = Vec::new();
    for client in CLIENTS {
        match purchase::buy(client, &chain, &shop, folder) {
            Ok(paid) => println!("  {:<9} {paid}", client.wallet),
            Err(error) => {
                println!("  {:<9} FAILED", client.wallet);
                failures.push(format!("{}: {error:#}", client.wallet));
            }
        }
    }
    let mut said = vec![shop.last_lines(20)];
    println!("our server: serve and dev on that chain, then serve on the project's stand-in");
    let beside = folder.join("beside");
    shop::create(&beside)?;
    let stand_in = chain.stand_in(programs, &beside)?;
    for (chain, ours) in [
        (
            &chain,
            sale::serve(programs, &chain, sale::SHORT_LIFE, &folder.join("serve"))?,
        ),
        (&chain, sale::dev(programs, &chain, &folder.join("dev"))?),
        (
            &stand_in,
            sale::serve(programs, &stand_in, sale::USUAL_LIFE, &beside.join("serve"))?,
        ),
    ] {
        for client in CLIENTS.iter().filter(|client| ours.takes(client)) {
            match sale::buy(client, chain, &ours, folder) {
                Ok(bought) => println!("  {:<9} {bought}", client.wallet),
                Err(error) => {
                    println!("  {:<9} FAILED", client.wallet);
                    failures.push(format!("{}: {error:#}", client.wallet));
                }
            }
        }
        said.push(ours.log());
    }
    for failure in &failures {
        println!("\n{failure}");
    }
    if !failures.is_empty() {
        let said = said.join("\n…\n");
        bail!(
            "{} payments failed; the shops said:\n{said}",
            failures.len()
        );
    }
    Ok(())
}
