//! What is stored, for checkers: as plain lists, and as one hash.

use core::fmt;

use compute_domain::WalletAddress;
use compute_domain::arrival::Arrival;
use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::instance::Instance;
use compute_domain::ledger::Transfer;
use compute_domain::operation::Operation;
use compute_domain::owner::ApiKey;
use compute_domain::payment::Payment;
use compute_domain::prepaid::Lot;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ArrivalSource, Event, Suspect};
use sha2::{Digest, Sha256};

use super::state::State;
use super::table::At;

/// A line of an operation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Whose log.
    pub operation: OperationId,
    /// The line.
    pub event: Event,
}

/// A destruction that no owner asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unasked {
    /// When.
    pub at: Timestamp,
    /// Why, in a word.
    pub cause: String,
    /// Which instance or machine.
    pub subject: String,
}

/// Everything that is committed at one moment. What has an id is in the order of ids; what happens
/// one after the other is in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which wallet belongs to whom.
    pub wallets: Vec<(WalletAddress, OwnerId)>,
    /// All API keys.
    pub api_keys: Vec<ApiKey>,
    /// All instances.
    pub instances: Vec<Instance>,
    /// All lots, each instance's oldest first.
    pub lots: Vec<(InstanceId, Lot)>,
    /// All operations.
    pub operations: Vec<Operation>,
    /// All log lines, as they were written.
    pub events: Vec<Logged>,
    /// All payments.
    pub payments: Vec<Payment>,
    /// All ledger rows, as they were written.
    pub transfers: Vec<Transfer>,
    /// What each owner has in credits; micro-dollars. Only a planted bug makes it negative.
    pub credits: Vec<(OwnerId, i64)>,
    /// How far arrivals have been read.
    pub arrival_sources: Vec<ArrivalSource>,
    /// All arrivals.
    pub arrivals: Vec<Arrival>,
    /// Machines that no live instance explains.
    pub suspects: Vec<Suspect>,
    /// Destructions that no owner asked for, as they were noted.
    pub unasked: Vec<Unasked>,
}

impl Snapshot {
    pub(super) fn take(state: &State, at: At) -> Self {
        let events = state.events.iter(at);
        let mut events: Vec<_> = events
            .map(|((operation, _), row)| (row.number, *operation, row.event.clone()))
            .collect();
        events.sort_by_key(|(number, ..)| *number);
        let rows = |(_, operation, event)| Logged { operation, event };
        let unasked = state.destructions.iter(at).map(|(_, row)| row.clone());
        Self {
            wallets: pairs(state.wallets.iter(at)),
            api_keys: state
                .api_keys
                .iter(at)
                .map(|(_, row)| row.api_key.clone())
                .collect(),
            instances: state
                .instances
                .iter(at)
                .map(|(_, row)| row.clone())
                .collect(),
            lots: state
                .lots
                .iter(at)
                .map(|((instance, _), lot)| (*instance, lot.clone()))
                .collect(),
            operations: state
                .operations
                .iter(at)
                .map(|(_, row)| row.operation.clone())
                .collect(),
            events: events.into_iter().map(rows).collect(),
            payments: state
                .payments
                .iter(at)
                .map(|(_, row)| row.payment.clone())
                .collect(),
            transfers: state
                .transfers
                .iter(at)
                .map(|(_, row)| row.transfer.clone())
                .collect(),
            credits: state
                .accounts
                .iter(at)
                .map(|(owner, row)| (*owner, row.balance))
                .collect(),
            arrival_sources: state
                .arrival_sources
                .iter(at)
                .map(|(_, row)| row.clone())
                .collect(),
            arrivals: state
                .arrivals
                .iter(at)
                .map(|(_, row)| row.clone())
                .collect(),
            suspects: state
                .suspects
                .iter(at)
                .map(|(_, row)| row.clone())
                .collect(),
            unasked: unasked
                .map(|(at, cause, subject)| Unasked { at, cause, subject })
                .collect(),
        }
    }
}

fn pairs<'a, K: Clone + 'a, V: Clone + 'a>(
    rows: impl Iterator<Item = (&'a K, &'a V)>,
) -> Vec<(K, V)> {
    rows.map(|(key, row)| (key.clone(), row.clone())).collect()
}

/// Takes text and hashes it.
struct Hashing(Sha256);

impl fmt::Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// SHA-256 over every row of every table.
pub(super) fn digest(state: &State, at: At) -> [u8; 32] {
    let mut hashing = Hashing(Sha256::new());
    for (name, table) in state.tables() {
        hashing.0.update(name.as_bytes());
        // Hashing refuses no text.
        let _ = table.write_rows(at, &mut hashing);
    }
    hashing.0.finalize().into()
}
