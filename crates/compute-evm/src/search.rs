//! Finding transfers in the log of a token.

use compute_domain::payment::Evidence;
use compute_wallet::EvmAddress;
use compute_x402::Amount;
use serde_json::json;

use crate::abi;
use crate::chain::Chain;
use crate::node::{Block, Log, NodeError};

/// Blocks in one search for log entries; public nodes allow 2 000 to 10 000.
pub(crate) const WINDOW_BLOCKS: u64 = 2_000;

/// A search ends after this many windows: 16 000 blocks are 8 hours and more on every chain with
/// blocks of 2 s, and a payment lives for a day at most.
pub(crate) const MAX_WINDOWS: u32 = 8;

/// A transfer to look for: who moves how much of what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The token.
    pub token: EvmAddress,
    /// Who pays.
    pub from: EvmAddress,
    /// Who is paid.
    pub to: EvmAddress,
    /// How much.
    pub amount: Amount,
}

/// Where a search for log entries stands: backwards from the head.
#[derive(Debug)]
pub struct Search {
    /// The newest block that was not searched.
    next: Option<u64>,
    windows: u32,
    /// Unix seconds; what is older does not count.
    since_s: u64,
    is_complete: bool,
}

impl Search {
    /// A search from a head back to a moment in Unix seconds.
    #[must_use]
    pub const fn from(head: Block, since_s: u64) -> Self {
        Self {
            next: Some(head.number),
            windows: MAX_WINDOWS,
            since_s,
            is_complete: false,
        }
    }

    /// Whether everything that counts was searched.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl Moved {
    /// The log entries of this transfer in one transaction.
    pub fn in_logs<'a>(&'a self, logs: &'a [Log], hash: &'a str) -> impl Iterator<Item = Evidence> {
        let (from, to) = (abi::address_topic(self.from), abi::address_topic(self.to));
        let own = logs.iter().filter(move |log| {
            !log.removed
                && log.is_from(self.token)
                && log.has_topics(&[abi::TRANSFER, &from, &to])
                && abi::read_uint(&log.data) == Some(self.amount.get())
        });
        own.filter_map(|log| {
            Some(Evidence {
                reference: hash.to_ascii_lowercase(),
                log_index: Some(log.index()?),
            })
        })
    }
}

impl Chain {
    /// Transfers in the next blocks of a search; `None` at its end.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn search_on(
        &self,
        search: &mut Search,
        moved: &Moved,
    ) -> Result<Option<Vec<Evidence>>, NodeError> {
        let Some(last) = search.next else {
            return Ok(None);
        };
        let node = self.node();
        let topics = json!([
            abi::TRANSFER,
            abi::address_topic(moved.from),
            abi::address_topic(moved.to),
        ]);
        let first = last.saturating_sub(WINDOW_BLOCKS - 1);
        let logs = node.logs(moved.token, &topics, (first, last)).await?;
        let mut found = Vec::new();
        for log in logs {
            let hash = log.transaction_hash.clone();
            found.extend(moved.in_logs(&[log], &hash));
        }
        search.windows = search.windows.saturating_sub(1);
        search.is_complete = first == 0 || node.block(Some(first)).await?.time < search.since_s;
        let is_over = search.windows == 0 || search.is_complete;
        search.next = (!is_over).then(|| first.saturating_sub(1));
        Ok(Some(found))
    }
}
