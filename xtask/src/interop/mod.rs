//! `cargo xtask interop`: published clients, unmodified, buy machines and are checked by the records of all sides.

pub(crate) mod child;
pub(crate) mod clients;
mod mpp;
pub(crate) mod purchase;
pub(crate) mod records;
pub(crate) mod shop;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::clients::{Client, LIBRARIES, WALLET};
use self::purchase::Purchase;
use self::shop::{Programs, Shop};
use crate::cargo::AS_TESTS;
use crate::packages;

const USAGE: &str = "\
usage: cargo xtask interop [x402 | mpp]

Installs published clients from npm and PyPI below target/interop.

  x402  each buys a machine from `compute-server dev` and from `compute-server serve` with a facilitator and a cloud on
        loopback
  mpp   clients and our crate read what the other wrote; each client pays a shop of published software on a local
        chain of Tempo with USDC.e; the chain's own types are asked what they read in our golden transactions

Without a word: everything.
";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            x402()?;
            mpp::run()?;
        }
        ["x402"] => x402()?,
        ["mpp"] => mpp::run()?,
        other => {
            print!("{USAGE}");
            return Ok(match other {
                ["--help"] => ExitCode::SUCCESS,
                _ => ExitCode::from(2),
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Purchases by x402.
fn x402() -> Result<()> {
    packages::install(clients::all().map(|client| &client.bundle))?;
    let programs = Programs::build(AS_TESTS)?;
    let folder = packages::workshop().join("run");
    empty(&folder)?;

    println!("\n{:<37} version  server  result", "client");
    let dev = Shop::dev(&programs, &folder.join("dev"))?;
    let mut rows = visit(&dev, LIBRARIES);
    let at_dev = rows.len();
    let serve = Shop::serve(&programs, &folder.join("serve"))?;
    rows.extend(visit(&serve, LIBRARIES.iter().chain([&WALLET])));
    let at_serve = rows.len().saturating_sub(at_dev);
    let failures: Vec<&String> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
    for failure in &failures {
        println!("\n{failure}");
    }
    if !failures.is_empty() {
        let place = folder.display();
        bail!(
            "{} of {} purchases failed; their output is in {place}",
            failures.len(),
            rows.len()
        );
    }
    for (shop, purchases) in [(&dev, at_dev), (&serve, at_serve)] {
        let name = shop.name;
        shop.records
            .check_totals(purchases)
            .with_context(|| format!("the records of {name}"))?;
        println!(
            "{name}: {purchases} payments and {purchases} machines are recorded, and nothing else"
        );
    }
    Ok(())
}

/// Lets each client buy once. A failure, with everything that explains it, does not stop the others.
fn visit(
    shop: &Shop,
    clients: impl IntoIterator<Item = &'static Client>,
) -> Vec<Result<(), String>> {
    let mut rows = Vec::new();
    for client in clients {
        let purchase = Purchase { client, shop };
        let outcome = purchase.run();
        let result = match &outcome {
            Ok(bought) => bought.to_string(),
            Err(_) => "FAILED".to_owned(),
        };
        let (name, version) = (client.bundle.name, client.speaks.number());
        println!("{name:<37} v{version}       {:<6}  {result}", shop.name);
        rows.push(outcome.map(drop).map_err(|error| {
            format!(
                "{name} at {}: {error:#}\nthe end of the server's log:\n{}",
                shop.name,
                shop.log()
            )
        }));
    }
    rows
}

/// An empty folder, whatever was there before.
pub(crate) fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))
}
