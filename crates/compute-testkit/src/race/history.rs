//! What clients were told, and what the ledger says.

use std::collections::BTreeMap;

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::money::Usd;

/// What a client was told about one thing that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The balance.
    Balance(Usd),
    /// Credits were bought: by which operation, and how many.
    Deposited(OperationId, Usd),
    /// Credits were spent.
    Spent(OperationId, Usd),
    /// Something was bought with a payment, or ended.
    Accepted(OperationId),
    /// A root password was handed out.
    Password(InstanceId),
    /// It was refused, for a reason that is in order.
    Refused(&'static str),
    /// It failed in a way that must not be.
    Wrong(String),
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Balance(_) => "told",
            Self::Deposited(..) => "deposited",
            Self::Spent(..) => "spent",
            Self::Accepted(_) => "accepted",
            Self::Password(_) => "handed out",
            Self::Refused(why) => why,
            Self::Wrong(_) => "WRONG",
        }
    }
}

/// One thing that a client did. `asked` and `answered` count all questions and answers of all
/// clients: an answer with a smaller number than a question came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose account it is about.
    pub account: usize,
    /// What was done.
    pub deed: &'static str,
    /// When it was asked.
    pub asked: u64,
    /// When it was answered.
    pub answered: u64,
    /// With what.
    pub outcome: Outcome,
}

/// A row of an account, in the order of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Counts from 1.
    pub seq: i64,
    /// Which work caused it.
    pub operation: OperationId,
    /// Why.
    pub reason: String,
    /// Micro-dollars; above zero when they came in.
    pub change: i64,
    /// Micro-dollars.
    pub balance_after: i64,
}

/// A credits account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its rows, by number.
    pub rows: Vec<Row>,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What clients were told.
    pub records: Vec<Record>,
    /// The accounts of the wallets, in their order.
    pub accounts: Vec<Account>,
}

impl History {
    /// How often what was done, by name and outcome.
    pub fn count(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            let name = format!("{}: {}", record.deed, record.outcome.name());
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}
