//! What the clients were told, written down as it is told.

use std::collections::{BTreeMap, BTreeSet};

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goods {
    Machine { with_key: bool },
    Credits,
    Time { order: String },
}

/// How it was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Funds {
    Payment,
    Credits,
}

/// The final answer to a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was made; a machine may still fail to come, and then its price comes back.
    Accepted,
    /// It was made, failed, and its price came back.
    Refunded,
    /// Nothing was charged.
    Refused,
}

/// A purchase that was answered for good.
#[derive(Debug, Clone)]
pub(super) struct Purchase {
    pub(super) owner: usize,
    pub(super) goods: Goods,
    pub(super) funds: Funds,
    /// In millionths of a dollar, which are also the token's atomic units.
    pub(super) price: u64,
    pub(super) end: End,
    pub(super) operation: Option<String>,
    pub(super) order: Option<String>,
    /// The answer, for whoever looks into a violation.
    pub(super) answer: String,
}

/// An acknowledged destruction, and what was given back for it.
#[derive(Debug, Clone)]
pub(super) struct Destruction {
    pub(super) order: String,
    pub(super) credited: u64,
}

/// Everything that clients were told.
#[derive(Debug, Default, Clone)]
pub(super) struct Book {
    pub(super) purchases: Vec<Purchase>,
    pub(super) destructions: Vec<Destruction>,
    /// Orders, and the passwords that were told for them.
    pub(super) passwords: Vec<(String, String)>,
    /// The end of each order, in seconds, when it was first seen active and nothing had lengthened it.
    pub(super) first_ends: BTreeMap<String, i64>,
    /// What no client may ever be told.
    pub(super) wrongs: BTreeSet<String>,
    pub(super) counts: Counts,
}

/// How much happened.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) requests: u64,
    /// Requests that got no whole answer.
    pub(super) broken: u64,
    /// Answers that say that the database did not work.
    pub(super) unavailable: u64,
    /// Accepted purchases and destructions, told passwords.
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) refunded: u64,
    /// Paid purchases that were answered 402.
    pub(super) declined: u64,
    /// Purchases that were paid by credential and answered for good, and those of them that showed
    /// nothing else.
    pub(super) by_credential: u64,
    pub(super) anonymous: u64,
    /// Faults, by their id in the catalogue.
    pub(super) faults: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn inject(&mut self, id: &'static str) {
        self.inject_times(id, 1);
    }

    pub(super) fn inject_times(&mut self, id: &'static str, times: u64) {
        if times > 0 {
            let count = self.faults.entry(id).or_default();
            *count = count.saturating_add(times);
        }
    }
}

impl Book {
    pub(super) fn close(&mut self, purchase: Purchase) {
        let count = match purchase.end {
            End::Accepted => &mut self.counts.acknowledged,
            End::Refunded => &mut self.counts.refunded,
            End::Refused => &mut self.counts.refused,
        };
        *count += 1;
        self.purchases.push(purchase);
    }

    /// Everything, a line each.
    pub(super) fn text(&self) -> String {
        let purchases = self
            .purchases
            .iter()
            .map(|it| format!("{it:?}, answered {}\n", it.answer));
        let destructions = self.destructions.iter().map(|it| format!("{it:?}\n"));
        purchases.chain(destructions).collect()
    }

    /// Notes what should never have been said.
    pub(super) fn wrong(&mut self, text: String) {
        self.wrongs.insert(text);
    }
}
