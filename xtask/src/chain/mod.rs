//! `cargo xtask chain-test`: real token code on local nodes, published clients, and what the chains say afterwards.
//!
//! The same purchases are made from four shops: one that consists of published software alone, which proves chains and
//! clients; our server with a published facilitator; our server when it settles by itself; and the first one again, with
//! our server as its facilitator.

mod buyers;
mod faults;
pub(crate) mod node;
mod purchase;
mod report;
mod setup;
mod shops;
mod solana;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::buyers::Buyer;
use self::purchase::Purchase;
use self::setup::Town;
use self::shops::Shop;
use crate::packages;

const USAGE: &str = "\
usage: cargo xtask chain-test [contracts | facilitator | pay | solana | service | faults [words]]

Runs real token code on local nodes of anvil with the chain ids of Base and MegaETH, lets published clients buy, and
checks the balances on the chains. Installs what it needs below target/interop.

  contracts    the contracts, and purchases from a shop of published software: nothing of the server is built
  facilitator  purchases from `compute-server serve` on Base and MegaETH, settled by a published facilitator
  pay          purchases from `compute-server serve` on Base and MegaETH, which settles by itself
  solana       purchases from `compute-server serve` on Solana, LiteSVM behind a node of ours: settled by itself, for a
               wallet and for a token account, by another `compute-server serve`, and by a published facilitator
  service      purchases from a shop of published software, settled by `compute-server serve` as its facilitator
  faults       the rail that settles by itself, through a node that misbehaves, and against whoever plays tricks on the
               chain; with words only the cases that have them in their name or fault

Without a word: everything.
";

/// A part of the test, in the order of the usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Contracts,
    Facilitator,
    Pay,
    Service,
    Solana,
    Faults,
}

/// What runs when nothing is named: what must pass.
const EVERYTHING: &[Part] = &[
    Part::Contracts,
    Part::Facilitator,
    Part::Pay,
    Part::Service,
    Part::Solana,
    Part::Faults,
];

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (words, filter) = match words.split_first() {
        Some((&"faults", filter)) => (vec!["faults"], filter.join(" ")),
        _ => (words, String::new()),
    };
    let parts = match words.as_slice() {
        [] => EVERYTHING,
        ["contracts"] => &[Part::Contracts],
        ["facilitator"] => &[Part::Facilitator],
        ["pay"] => &[Part::Pay],
        ["service"] => &[Part::Service],
        ["solana"] => &[Part::Solana],
        ["faults"] => &[Part::Faults],
        other => {
            print!("{USAGE}");
            return Ok(match other {
                ["--help"] => ExitCode::SUCCESS,
                _ => ExitCode::from(2),
            });
        }
    };
    packages::install(buyers::bundles())?;
    for part in parts {
        let folder = packages::workshop().join("chain-run").join(part.name());
        crate::interop::empty(&folder)?;
        part.run(&folder, &filter)
            .with_context(|| format!("chain-test {}", part.name()))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Contracts => "contracts",
            Self::Facilitator => "facilitator",
            Self::Pay => "pay",
            Self::Service => "service",
            Self::Solana => "solana",
            Self::Faults => "faults",
        }
    }

    fn run(self, folder: &Path, filter: &str) -> Result<()> {
        if self == Self::Solana {
            return solana::run(folder);
        }
        let town = Town::build(folder)?;
        println!(
            "\n{}: two chains are ready, {}",
            self.name(),
            folder.display()
        );
        let shop = match self {
            Self::Contracts => {
                for passed in town.check_contracts(folder)? {
                    println!("  {passed}");
                }
                Shop::published(&town, folder)?
            }
            Self::Facilitator => Shop::with_facilitator(&town, folder)?,
            Self::Pay => Shop::embedded(&town, folder)?,
            Self::Service | Self::Solana => Shop::served(&town, folder)?,
            Self::Faults => return faults::run(&town, filter),
        };
        visit(&town, &shop, folder)
    }
}

/// Lets everybody buy whom the shop serves. A failure, with everything that explains it, does not stop the others.
fn visit(town: &Town, shop: &Shop, folder: &Path) -> Result<()> {
    let mut failures = Vec::new();
    let mut count = 0_usize;
    println!("{}", report::HEAD);
    for buyer in buyers::BUYERS.iter().filter(|it| shop.sells_to(it)) {
        count = count.saturating_add(1);
        let purchase = Purchase {
            buyer,
            town,
            shop,
            folder,
        };
        match purchase.run() {
            Ok(row) => println!("{row}"),
            Err(error) => {
                println!(
                    "{:<8} {:<40} FAILED",
                    buyer.network, buyer.client.bundle.name
                );
                failures.push(describe(buyer, shop, &error));
            }
        }
    }
    for failure in &failures {
        println!("\n{failure}");
    }
    if !failures.is_empty() {
        bail!("{} of {count} purchases failed", failures.len());
    }
    shop.check_totals(count)
}

fn describe(buyer: &Buyer, shop: &Shop, error: &anyhow::Error) -> String {
    format!(
        "{} on {}: {error:#}\nthe end of the shop's log:\n{}",
        buyer.client.bundle.name,
        buyer.network,
        shop.log()
    )
}
