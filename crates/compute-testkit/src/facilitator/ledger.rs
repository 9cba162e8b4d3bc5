use std::collections::{BTreeSet, HashMap};
use std::io;

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use super::exact::{self, Reason, Transfer};
use super::network::Network;
use super::wire::Request;
use super::{CdpAccount, Fault, Options};
use crate::faults::Faults;
use crate::journal::Journal;
use crate::listen::wall_clock;

/// The time between two blocks of the played chains.
pub(super) const SECONDS_PER_BLOCK: u64 = 2;

/// One thing that happened on a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Money moved.
    Settled {
        /// The network's name in x402 version 1.
        network: String,
        /// Who paid, in lower case.
        from: String,
        /// Who got it, in lower case.
        to: String,
        /// How much, in atomic units, decimal.
        value: String,
        /// The one-time number, `0x` and 64 hex digits.
        nonce: String,
        /// The EIP-712 digest that was signed.
        digest: String,
        /// The transaction.
        transaction: String,
        /// Its block.
        block: u64,
        /// The version of x402 that was spoken.
        x402_version: u64,
        /// The call that carried it out, where logs do not tell the payment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        calldata: Option<String>,
    },
    /// A payer made a nonce unusable.
    Canceled {
        /// The network's name in x402 version 1.
        network: String,
        /// Whose nonce.
        from: String,
        /// Which.
        nonce: String,
        /// The transaction.
        transaction: String,
        /// Its block.
        block: u64,
    },
    /// A transaction was included and failed: no money moved.
    Reverted {
        /// The network's name in x402 version 1.
        network: String,
        /// The transaction.
        transaction: String,
        /// Its block.
        block: u64,
    },
    /// Money appeared on or vanished from an account, by an operator's order.
    BalanceSet {
        /// The network's name in x402 version 1.
        network: String,
        /// Whose.
        address: String,
        /// How much it is now, in atomic units, decimal.
        amount: String,
    },
}

/// Everything the stand-in knows.
#[derive(Debug)]
pub(super) struct World {
    pub(super) networks: Vec<Network>,
    pub(super) faults: Faults<Fault>,
    pub(super) journal: Journal<Event>,
    pub(super) calls: Vec<String>,
    pub(super) account: Option<CdpAccount>,
    /// The nonces of the tokens that were accepted.
    pub(super) nonces: BTreeSet<String>,
    /// Why tokens were refused.
    pub(super) refusals: Vec<&'static str>,
    opening_balance: U256,
    balances: HashMap<(String, String), U256>,
    skew_seconds: u64,
}

/// What a nonce was used for.
#[derive(Debug)]
pub(super) struct Use {
    /// The digest it settled, or `None` when it was cancelled.
    pub(super) digest: Option<String>,
    pub(super) transaction: String,
}

impl World {
    pub(super) fn open(options: &Options) -> io::Result<Self> {
        let journal = Journal::open(options.journal.as_deref())?;
        let mut world = Self {
            networks: options.networks.clone(),
            faults: Faults::default(),
            journal: Journal::open(None)?,
            calls: Vec::new(),
            account: options.account.clone(),
            nonces: BTreeSet::new(),
            refusals: Vec::new(),
            opening_balance: U256::from(options.opening_balance),
            balances: HashMap::new(),
            skew_seconds: 0,
        };
        for event in journal.events() {
            world.apply(event);
        }
        world.journal = journal;
        Ok(world)
    }

    pub(super) fn now(&self) -> u64 {
        wall_clock().as_secs().saturating_add(self.skew_seconds)
    }

    pub(super) const fn advance_clock(&mut self, seconds: u64) {
        self.skew_seconds = self.skew_seconds.saturating_add(seconds);
    }

    pub(super) fn head(&self) -> u64 {
        self.now() / SECONDS_PER_BLOCK
    }

    pub(super) fn record(&mut self, event: Event) -> io::Result<()> {
        self.apply(&event);
        self.journal.append(event)
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Settled {
                network,
                from,
                to,
                value,
                ..
            } => {
                // Checked before the event was written.
                let amount = U256::from_str_radix(value, 10).unwrap_or_default();
                let left = self.balance(network, from).saturating_sub(amount);
                self.balances.insert((network.clone(), from.clone()), left);
                let gained = self.balance(network, to).saturating_add(amount);
                self.balances.insert((network.clone(), to.clone()), gained);
            }
            Event::BalanceSet {
                network,
                address,
                amount,
            } => {
                let amount = U256::from_str_radix(amount, 10).unwrap_or_default();
                self.balances
                    .insert((network.clone(), address.to_ascii_lowercase()), amount);
            }
            Event::Canceled { .. } | Event::Reverted { .. } => {}
        }
    }

    pub(super) fn balance(&self, network: &str, address: &str) -> U256 {
        let account = (network.to_owned(), address.to_ascii_lowercase());
        let decimals = network.parse().map_or(6, Network::decimals);
        let opening = || {
            let more = U256::from(10).pow(U256::from(decimals.saturating_sub(6)));
            self.opening_balance.saturating_mul(more)
        };
        self.balances.get(&account).copied().unwrap_or_else(opening)
    }

    /// The numbers that a payer has used, up to and including `block`.
    pub(super) fn used_nonces(&self, network: Network, from: &str, block: u64) -> Vec<U256> {
        let events = self.journal.events().iter();
        let used = events.filter_map(|event| match event {
            Event::Settled {
                network: on,
                from: own,
                nonce,
                block: at,
                ..
            }
            | Event::Canceled {
                network: on,
                from: own,
                nonce,
                block: at,
                ..
            } if on == network.name() && own == from && *at <= block => nonce.parse().ok(),
            _ => None,
        });
        used.collect()
    }

    /// What a payer's nonce was used for, up to and including `block`.
    pub(super) fn nonce_use(
        &self,
        network: Network,
        from: &str,
        nonce: &str,
        block: u64,
    ) -> Option<Use> {
        self.journal.events().iter().find_map(|event| match event {
            Event::Settled {
                network: on,
                from: own,
                nonce: used,
                digest,
                transaction,
                block: at,
                ..
            } if on == network.name() && own == from && used == nonce && *at <= block => {
                Some(Use {
                    digest: Some(digest.clone()),
                    transaction: transaction.clone(),
                })
            }
            Event::Canceled {
                network: on,
                from: own,
                nonce: used,
                transaction,
                block: at,
            } if on == network.name() && own == from && used == nonce && *at <= block => {
                Some(Use {
                    digest: None,
                    transaction: transaction.clone(),
                })
            }
            _ => None,
        })
    }

    /// The transaction that settled exactly this transfer, if one did.
    pub(super) fn settled(&self, transfer: &Transfer) -> Option<String> {
        let (from, nonce) = (text(transfer.from), transfer.nonce.to_string());
        let used = self.nonce_use(transfer.network, &from, &nonce, u64::MAX)?;
        (used.digest? == transfer.digest.to_string()).then_some(used.transaction)
    }

    /// What the chain's present state says against a transfer.
    pub(super) fn check(&self, transfer: &Transfer) -> Result<(), Reason> {
        let now = U256::from(self.now());
        let from = text(transfer.from);
        let nonce = transfer.nonce.to_string();
        let is_permit2 = transfer.network.has_permit2();
        let reason = |own, permit2| Err(if is_permit2 { permit2 } else { own });
        if self
            .nonce_use(transfer.network, &from, &nonce, u64::MAX)
            .is_some()
        {
            return reason(
                "invalid_exact_evm_nonce_already_used",
                "permit2_invalid_nonce",
            );
        }
        // Six seconds are what the reference facilitator wants left to get into a block.
        if transfer.valid_before < now.saturating_add(U256::from(6)) {
            return reason(
                "invalid_exact_evm_payload_authorization_valid_before",
                "permit2_deadline_expired",
            );
        }
        let begins = transfer.valid_after.saturating_add(U256::from(!is_permit2));
        if begins > now {
            return reason(
                "invalid_exact_evm_payload_authorization_valid_after",
                "permit2_not_yet_valid",
            );
        }
        if self.balance(transfer.network.name(), &from) < transfer.value {
            return reason("insufficient_funds", "permit2_insufficient_balance");
        }
        Ok(())
    }

    /// Moves the money of a checked transfer.
    pub(super) fn settle(&mut self, transfer: &Transfer, x402_version: u64) -> io::Result<String> {
        let transaction = transaction_of(transfer);
        let block = self.head();
        self.settle_in(&transaction, block, transfer, x402_version)?;
        Ok(transaction)
    }

    /// Moves the money of a checked transfer, in a transaction that may hold others.
    fn settle_in(
        &mut self,
        transaction: &str,
        block: u64,
        transfer: &Transfer,
        x402_version: u64,
    ) -> io::Result<()> {
        self.record(Event::Settled {
            network: transfer.network.name().to_owned(),
            from: text(transfer.from),
            to: text(transfer.to),
            value: transfer.value.to_string(),
            nonce: transfer.nonce.to_string(),
            digest: transfer.digest.to_string(),
            transaction: transaction.to_owned(),
            block,
            x402_version,
            calldata: transfer.calldata.clone(),
        })
    }

    pub(super) fn cancel(&mut self, network: Network, from: &str, nonce: &str) -> io::Result<()> {
        self.record(Event::Canceled {
            network: network.name().to_owned(),
            from: from.to_ascii_lowercase(),
            nonce: nonce.to_ascii_lowercase(),
            transaction: hash(&["cancel", network.name(), from, nonce].concat()),
            block: self.head(),
        })
    }

    /// A transfer by a signature that no facilitator and no shop has seen.
    pub(super) fn send(
        &mut self,
        network: Network,
        from: &str,
        to: &str,
        amount: u128,
    ) -> io::Result<String> {
        let number = self.journal.events().len();
        let nonce = hash(&format!("nonce {number}"));
        let transaction = hash(&format!("transaction {number}"));
        self.record(Event::Settled {
            network: network.name().to_owned(),
            from: from.to_ascii_lowercase(),
            to: to.to_ascii_lowercase(),
            value: amount.to_string(),
            digest: hash(&nonce),
            nonce,
            transaction: transaction.clone(),
            block: self.head(),
            x402_version: 0,
            calldata: None,
        })?;
        Ok(transaction)
    }

    pub(super) fn set_balance(
        &mut self,
        network: Network,
        address: &str,
        amount: u128,
    ) -> io::Result<()> {
        self.record(Event::BalanceSet {
            network: network.name().to_owned(),
            address: address.to_ascii_lowercase(),
            amount: amount.to_string(),
        })
    }

    /// Settles signed transfers in one transaction, past the facilitator.
    pub(super) fn land(&mut self, settle_bodies: &[&[u8]]) -> Result<(), String> {
        let (mut transaction, block) = (None, self.head());
        for body in settle_bodies {
            let request: Request =
                serde_json::from_slice(body).map_err(|error| error.to_string())?;
            let transfer = exact::check(&request, &self.networks)?;
            self.check(&transfer)?;
            let transaction = transaction.get_or_insert_with(|| transaction_of(&transfer));
            self.settle_in(transaction, block, &transfer, request.x402_version)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

pub(super) fn text(address: Address) -> String {
    format!("0x{}", hex::encode(address))
}

/// The hash that a transfer's transaction has or would have.
pub(super) fn transaction_of(transfer: &Transfer) -> String {
    hash(&format!(
        "transaction {} {}",
        transfer.network.name(),
        transfer.digest
    ))
}

pub(super) fn hash(text: &str) -> String {
    let hash: B256 = keccak256(text);
    hash.to_string()
}
