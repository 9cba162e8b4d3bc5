//! The rail against local chains, through a node that misbehaves.
//!
//! `cargo xtask chain-test faults` makes the chains and runs this. Every case has a hot wallet of its
//! own; cases run one after the other, because most of them stop the chain's clockwork.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a case fails by panicking"
)]

mod bill;
mod crashes;
mod guard;
mod happy;
mod inbox;
mod line;
mod nodes;
mod permits;
mod races;
mod reorg;
mod replicas;
mod sync;
mod till;
mod town;
mod wallets;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::town::Town;

/// No case takes as long.
const LIMIT: Duration = Duration::from_secs(60);

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One thing that can go wrong, and what must come of it.
struct Case {
    /// The faults of the catalogue that it injects; a dash when none.
    faults: &'static str,
    name: &'static str,
    run: for<'a> fn(&'a Town) -> Running<'a>,
}

/// A list of cases: faults, name, and the function.
macro_rules! cases {
    ($($faults:literal, $name:literal, $run:path;)+) => {
        pub(crate) const CASES: &[crate::Case] = &[$(crate::Case {
            faults: $faults,
            name: $name,
            run: |town| Box::pin($run(town)),
        }),+];
    };
}
pub(crate) use cases;

/// All cases.
const BATTERY: &[&[Case]] = &[
    happy::CASES,
    nodes::CASES,
    sync::CASES,
    line::CASES,
    races::CASES,
    permits::CASES,
    crashes::CASES,
    replicas::CASES,
    reorg::CASES,
    wallets::CASES,
    guard::CASES,
    inbox::CASES,
];

#[tokio::main]
async fn main() -> ExitCode {
    let Some(setup) = std::env::var_os("CHAIN_SETUP") else {
        say("CHAIN_SETUP names no chains; run: cargo xtask chain-test faults");
        return ExitCode::FAILURE;
    };
    let filter = std::env::args().nth(1).unwrap_or_default();
    let town = Arc::new(Town::visit(&PathBuf::from(setup)).await);
    let (mut passed, mut failed) = (0_u32, 0_u32);
    for case in BATTERY.iter().copied().flatten() {
        if !case.name.contains(&filter) && !case.faults.contains(&filter) {
            continue;
        }
        let started = now();
        let outcome = try_case(case, &town).await;
        let took = started.elapsed().as_millis();
        match outcome {
            Ok(()) => {
                passed += 1;
                say(&format!(
                    "  {:<12} {:<86} {took:>6} ms",
                    case.faults, case.name
                ));
            }
            Err(why) => {
                failed += 1;
                say(&format!(
                    "  {:<12} {:<86} FAILED: {why}",
                    case.faults, case.name
                ));
            }
        }
    }
    say(&format!("{passed} cases passed, {failed} failed"));
    if failed == 0 && passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn try_case(case: &'static Case, town: &Arc<Town>) -> Result<(), String> {
    let own = Arc::clone(town);
    #[expect(
        clippy::disallowed_methods,
        reason = "a case that panics does not end the others"
    )]
    let running = tokio::spawn(async move { (case.run)(&own).await });
    let outcome = tokio::time::timeout(LIMIT, running).await;
    for chain in [&town.base, &town.megaeth] {
        chain.settle_down().await;
    }
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("see above".to_owned()),
        Err(_) => Err("it does not end".to_owned()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a case takes is only shown"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::print_stdout,
    reason = "one line a case is this program's output"
)]
fn say(line: &str) {
    println!("{line}");
}
