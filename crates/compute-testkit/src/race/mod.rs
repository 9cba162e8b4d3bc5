//! A concurrency checker: many clients do random things at two replicas of one shop at the same time,
//! and what they were told is compared with the order in which the ledger says it happened.
//!
//! The ledger numbers the rows of each credits account. That order is the witness: it must extend
//! real time (what was answered before something else was asked comes before it), and replayed row by
//! row it must give every balance that anybody was told. No search is needed.

mod check;
mod client;
mod deeds;
mod history;
mod rivals;
mod shop;

pub use check::{Anomaly, check};
pub use history::{Account, History, Outcome, Record, Row};

use std::collections::BTreeMap;
use std::sync::Arc;

use client::Client;
use shop::Shop;

/// What a race is made of.
#[derive(Debug, Clone, Copy)]
pub struct RaceOptions {
    /// Clients at the same time.
    pub clients: u32,
    /// Things that each of them does.
    pub operations: u32,
    /// Decides what they do.
    pub seed: u64,
}

/// What came of a race.
#[derive(Debug)]
pub struct Report {
    /// How often what was done, by name and outcome.
    pub deeds: BTreeMap<String, u64>,
    /// Faults that were really provoked, by their ids in reliability.md 5.
    pub faults: BTreeMap<&'static str, u64>,
    /// Rows of all credits accounts.
    pub rows: usize,
    /// What must not be.
    pub anomalies: Vec<Anomaly>,
}

/// Races on a PostgreSQL database of its own.
///
/// # Panics
/// When the database cannot be used at all.
#[expect(clippy::disallowed_methods, reason = "clients at once are tasks")]
pub async fn run(options: RaceOptions) -> Report {
    let shop = Arc::new(Shop::open().await);
    let mut workers = shop.start_workers();
    let clients = (0..options.clients).map(|number| {
        let mut client = Client::new(Arc::clone(&shop), options.seed, number);
        tokio::spawn(async move { client.run(options.operations).await })
    });
    let mut anomalies = Vec::new();
    for client in futures::future::join_all(clients).await {
        if let Err(panic) = client {
            anomalies.push(Anomaly::new("client", panic.to_string()));
        }
    }
    anomalies.extend(shop.come_to_rest().await);
    workers.abort_all();
    let history = shop.history().await;
    let rows = history.accounts.iter().map(|account| account.rows.len());
    let rows = rows.sum();
    anomalies.extend(check(&history));
    anomalies.extend(shop.audit().await);
    Report {
        deeds: history.count(),
        faults: shop.faults(),
        rows,
        anomalies,
    }
}
