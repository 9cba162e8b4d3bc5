//! What a test does with the chain beside asking it.

use std::sync::Arc;

use compute_mpp::tempo::abi::address_of_word;
use compute_wallet::{Digest32, EvmAddress};
use serde::Serialize;

use super::chain::Included;
use super::fault::Fault;
use super::rpc::Node;
use super::{USDC_E, wire};
use crate::listen::Listening;

/// A running node.
#[derive(Debug, Clone)]
pub struct Handle {
    node: Arc<Node>,
    listening: Arc<Listening>,
}

/// One movement of money, as the chain did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransferRecord {
    /// The token.
    pub token: String,
    /// Who paid.
    pub from: String,
    /// Who was paid.
    pub to: String,
    /// Base units.
    pub amount: u128,
    /// `0x` hex, when the transfer had one.
    pub memo: Option<String>,
    /// The transaction.
    pub transaction_hash: String,
    /// The number of its block.
    pub block: u64,
    /// The place of its `Transfer` in the block.
    pub log_index: u64,
}

impl Handle {
    pub(super) fn new(node: Arc<Node>, listening: Listening) -> Self {
        Self {
            node,
            listening: Arc::new(listening),
        }
    }

    /// Where it listens, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// Gives an account base units of [`USDC_E`], out of nothing and without a trace in the log.
    pub fn fund(&self, holder: EvmAddress, amount: u128) {
        self.fund_token(USDC_E, holder, amount);
    }

    /// Gives an account base units of a token, out of nothing and without a trace in the log.
    pub fn fund_token(&self, token: EvmAddress, holder: EvmAddress, amount: u128) {
        self.node.chain().bank.credit(token, holder, amount);
    }

    /// What an account holds of [`USDC_E`].
    #[must_use]
    pub fn balance(&self, holder: EvmAddress) -> u128 {
        self.balance_of(USDC_E, holder)
    }

    /// What an account holds of a token.
    #[must_use]
    pub fn balance_of(&self, token: EvmAddress, holder: EvmAddress) -> u128 {
        self.node.chain().bank.balance(token, holder)
    }

    /// Stops the clock at this second, or moves it there. The next request sees a block of that time.
    pub fn set_clock(&self, unix_s: u64) {
        self.node.set_clock(Some(unix_s));
    }

    /// Moves the clock ahead.
    pub fn advance_clock(&self, seconds: u64) {
        self.set_clock(self.now().saturating_add(seconds));
    }

    /// Unix seconds by the chain's clock.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.node.now()
    }

    /// Lets something go wrong with the next request of a method for which nothing else was ordered.
    pub fn disturb(&self, method: &str, fault: Fault) {
        self.node.faults().push(method, fault);
    }

    /// Lets the same thing go wrong with the next `times` requests of a method.
    pub fn disturb_times(&self, method: &str, fault: &Fault, times: usize) {
        for _ in 0..times {
            self.disturb(method, fault.clone());
        }
    }

    /// How many faults have not struck yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.node.faults().len()
    }

    /// Takes back the faults that have not struck yet, and lets go what is held.
    pub fn calm(&self) {
        self.node.faults().clear();
        self.release();
    }

    /// Lets go everything that is held at this moment.
    pub fn release(&self) {
        self.node.release();
    }

    /// How many requests of a method have arrived, disturbed ones included.
    #[must_use]
    pub fn requests(&self, method: &str) -> usize {
        self.node.requests(method)
    }

    /// Waits until this many requests of a method have arrived: then those with
    /// [`Fault::HoldBefore`] are held.
    pub async fn arrived(&self, method: &str, count: usize) {
        self.node.arrived(method, count).await;
    }

    /// Sends a transaction as its buyer would, past all faults.
    ///
    /// # Errors
    /// In the node's words, when it refuses.
    pub fn submit(&self, raw: &[u8]) -> Result<Digest32, String> {
        let now = self.now();
        self.node
            .chain()
            .submit(raw, now, false)
            .map_err(|rejection| rejection.0)
    }

    /// Lets base units of [`USDC_E`] reach an address that asked for nothing, with their log.
    pub fn deposit(
        &self,
        from: EvmAddress,
        to: EvmAddress,
        amount: u128,
        memo: Option<Digest32>,
    ) -> Digest32 {
        let now = self.now();
        self.node
            .chain()
            .deposit(now, USDC_E, from, to, amount, memo)
    }

    /// Who paid whom how much with which memo, oldest first; fees are left out.
    #[must_use]
    pub fn transfers(&self) -> Vec<TransferRecord> {
        let chain = self.node.chain();
        chain.included.iter().flat_map(transfers_of).collect()
    }

    /// Calls the observer with each movement of money from now on, before its sender hears of it: a
    /// process that may be killed writes its journal there. It must not use this handle.
    pub fn observe(&self, observer: impl Fn(&TransferRecord) + Send + Sync + 'static) {
        self.node
            .chain()
            .observers
            .add(move |included| transfers_of(included).iter().for_each(&observer));
    }

    /// How many transactions were taken, undone ones included.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.node.chain().included.len()
    }

    /// The receipt of a transaction, past all faults.
    #[must_use]
    pub fn receipt(&self, hash: &Digest32) -> Option<serde_json::Value> {
        self.node.chain().find(hash).map(wire::receipt)
    }
}

fn transfers_of(included: &Included) -> Vec<TransferRecord> {
    let fees = usize::from(included.has_fee);
    let payments = included.events.len().saturating_sub(fees);
    let mut records: Vec<TransferRecord> = Vec::new();
    for (at, event) in (0..).zip(included.events.iter().take(payments)) {
        let party = |word: Option<&Digest32>| {
            word.and_then(address_of_word)
                .map_or_else(String::new, |it| it.to_string())
        };
        match (event.topics.get(3), records.last_mut()) {
            // It repeats the transfer before it and adds the memo.
            (Some(memo), Some(record)) => record.memo = Some(format!("0x{}", hex::encode(memo))),
            _ => records.push(TransferRecord {
                token: event.token.to_string(),
                from: party(event.topics.get(1)),
                to: party(event.topics.get(2)),
                amount: event.amount,
                memo: None,
                transaction_hash: format!("0x{}", hex::encode(included.hash)),
                block: included.block,
                log_index: at,
            }),
        }
    }
    records
}
