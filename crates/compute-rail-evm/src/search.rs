//! Finding transfers in the log of the token.

use compute_domain::payment::Evidence;
use compute_engine::ports::{ChainTransaction, Purpose};
use compute_evm::{Block, NodeError, abi};
use compute_wallet::EvmAddress;
use compute_x402::Amount;
use compute_x402::permit2::EXACT_PROXY;
use serde_json::json;

use crate::paying::{Permit2Payment, PermitPayment};
use crate::rail::EvmRail;

/// Blocks in one search for log entries; public nodes allow 2 000 to 10 000.
const WINDOW_BLOCKS: u64 = 2_000;

/// A search ends after this many windows.
const MAX_WINDOWS: u32 = 8;

impl EvmRail {
    /// A Permit2 payment that somebody else submitted. Permit2 logs no nonce, so the transfer is
    /// told by the calldata of its transaction: it holds the payment's random number.
    pub(crate) async fn find_permit2(
        &self,
        payment: &Permit2Payment,
        head: Block,
        since_s: u64,
    ) -> Result<Option<Evidence>, NodeError> {
        let transfer = &payment.transfer;
        let parties = (transfer.from, transfer.to, payment.amount);
        let nonce = hex::encode(transfer.nonce.to_be_bytes());
        let mut search = Search::from(head, since_s);
        while let Some(found) = self.search_on(&mut search, parties).await? {
            for evidence in found {
                let submitted = self.chain.node().transaction(&evidence.reference).await?;
                if submitted.is_some_and(|it| carries(&it, &nonce)) {
                    return Ok(Some(evidence));
                }
            }
        }
        Ok(None)
    }

    /// Our own transfer of what a permit approved, by the log of the token.
    pub(crate) async fn find_pull(
        &self,
        payment: &PermitPayment,
        sent: &[ChainTransaction],
        head: Block,
        since_s: u64,
    ) -> Result<Option<Evidence>, NodeError> {
        let pulls = || sent.iter().filter(|it| it.purpose == Purpose::Pull);
        if pulls().next().is_none() {
            return Ok(None);
        }
        let treasury = self.sender.wallet.rules().treasury;
        let parties = (payment.permit.owner, treasury, payment.amount);
        let is_own = |it: &Evidence| pulls().any(|pull| pull.hash == it.reference);
        let mut search = Search::from(head, since_s);
        while let Some(found) = self.search_on(&mut search, parties).await? {
            if let Some(evidence) = found.into_iter().find(is_own) {
                return Ok(Some(evidence));
            }
        }
        Ok(None)
    }

    /// Transfers of our token in the next blocks of a search, backwards; `None` at its end.
    async fn search_on(
        &self,
        search: &mut Search,
        (from, to, amount): (EvmAddress, EvmAddress, Amount),
    ) -> Result<Option<Vec<Evidence>>, NodeError> {
        let Some(last) = search.next else {
            return Ok(None);
        };
        let node = self.chain.node();
        let topics = json!([
            abi::TRANSFER,
            abi::address_topic(from),
            abi::address_topic(to),
        ]);
        let token = self.sender.wallet.rules().token;
        let first = last.saturating_sub(WINDOW_BLOCKS - 1);
        let logs = node.logs(token, &topics, (first, last)).await?;
        let found = logs.into_iter().filter_map(|log| {
            let hash = log.transaction_hash.clone();
            self.find_transfer(&[log], &hash, from, to, amount)
        });
        let found = found.collect();
        search.windows = search.windows.saturating_sub(1);
        let is_over = search.windows == 0
            || first == 0
            || node.block(Some(first)).await?.time < search.since_s;
        search.next = (!is_over).then(|| first.saturating_sub(1));
        Ok(Some(found))
    }
}

/// Where a search for log entries stands.
struct Search {
    /// The newest block that was not searched.
    next: Option<u64>,
    windows: u32,
    /// Unix seconds; what is older does not count.
    since_s: u64,
}

impl Search {
    const fn from(head: Block, since_s: u64) -> Self {
        Self {
            next: Some(head.number),
            windows: MAX_WINDOWS,
            since_s,
        }
    }
}

/// Whether a transaction hands this number on to the proxy: itself, or through another contract.
fn carries(transaction: &compute_evm::Transaction, nonce: &str) -> bool {
    let input = transaction.input.to_ascii_lowercase();
    let is_proxy = |to: &String| EvmAddress::parse_any_case(to).is_ok_and(|to| to == EXACT_PROXY);
    let names_proxy = || input.contains(&hex::encode(EXACT_PROXY.as_bytes()));
    input.contains(nonce) && (transaction.to.as_ref().is_some_and(is_proxy) || names_proxy())
}
