//! The accounts of a simulated payment network, now and after a restart.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use compute_domain::WalletAddress;
use compute_domain::time::Timestamp;
use compute_x402::Amount;
use serde::{Deserialize, Serialize};

use crate::error::{JournalError, SimulatorError};
use crate::journal::Journal;

/// A line of the journal: one transfer that happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Record {
    Settled {
        proof_key: String,
        #[serde(with = "address_text")]
        payer: WalletAddress,
        #[serde(with = "address_text")]
        pay_to: WalletAddress,
        value: Amount,
        at: Timestamp,
    },
}

/// Who holds what, and which proofs have settled.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// Atomic units; whoever is absent holds the opening balance.
    balances: HashMap<WalletAddress, u128>,
    settled: HashSet<String>,
    latest: Timestamp,
    opening_balance: u128,
    journal: Journal,
}

/// Money that is to move.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// What makes it unique.
    pub(crate) proof_key: String,
    pub(crate) payer: WalletAddress,
    pub(crate) pay_to: WalletAddress,
    /// Atomic units.
    pub(crate) value: u128,
}

/// Why a transfer did not happen.
#[derive(Debug)]
pub(crate) enum TransferRefused {
    /// The payer holds less.
    Funds,
    /// The recipient would hold more than 128 bits can count.
    Overflow,
    /// It cannot be written down.
    Journal(JournalError),
}

impl Accounts {
    /// Opens the accounts, with the transfers of earlier runs when there is a journal.
    pub(crate) fn open(
        opening_balance: u128,
        journal: Option<&Path>,
    ) -> Result<Self, SimulatorError> {
        let (journal, records) = Journal::open(journal)?;
        let mut accounts = Self {
            balances: HashMap::new(),
            settled: HashSet::new(),
            latest: Timestamp::from_millis(0),
            opening_balance,
            journal,
        };
        for record in records {
            let Record::Settled {
                proof_key,
                payer,
                pay_to,
                value,
                at,
            } = record;
            // An earlier run may have had a larger opening balance; what happened, happened.
            let left = accounts.balance_of(&payer).saturating_sub(value.get());
            accounts.balances.insert(payer, left);
            let held = accounts.balance_of(&pay_to).saturating_add(value.get());
            accounts.balances.insert(pay_to, held);
            accounts.settled.insert(proof_key);
            accounts.latest = accounts.latest.max(at);
        }
        Ok(accounts)
    }

    /// The time of the network, which like that of a chain never goes back: what once expired
    /// stays expired, whatever the clock says later.
    pub(crate) fn time(&mut self, now: Timestamp) -> Timestamp {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Whether this proof has settled.
    pub(crate) fn has_settled(&self, proof_key: &str) -> bool {
        self.settled.contains(proof_key)
    }

    /// What an account holds, in atomic units.
    pub(crate) fn balance_of(&self, account: &WalletAddress) -> u128 {
        self.balances
            .get(account)
            .copied()
            .unwrap_or(self.opening_balance)
    }

    /// Whether transfers can be written down.
    pub(crate) fn is_writable(&self) -> bool {
        !self.journal.is_damaged()
    }

    /// Moves the money of a proof that has not settled yet; after an error nothing moved.
    pub(crate) fn transfer(
        &mut self,
        payment: &Transfer,
        at: Timestamp,
    ) -> Result<(), TransferRefused> {
        let value = payment.value;
        let left = self.balance_of(&payment.payer).checked_sub(value);
        let left = left.ok_or(TransferRefused::Funds)?;
        let held = if payment.pay_to == payment.payer {
            left
        } else {
            self.balance_of(&payment.pay_to)
        };
        let held = held.checked_add(value).ok_or(TransferRefused::Overflow)?;
        let record = Record::Settled {
            proof_key: payment.proof_key.clone(),
            payer: payment.payer,
            pay_to: payment.pay_to,
            value: Amount::new(value),
            at,
        };
        self.journal
            .append(&record)
            .map_err(TransferRefused::Journal)?;
        self.balances.insert(payment.payer, left);
        self.balances.insert(payment.pay_to, held);
        self.settled.insert(payment.proof_key.clone());
        Ok(())
    }
}

mod address_text {
    use compute_domain::WalletAddress;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(
        address: &WalletAddress,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<WalletAddress, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
