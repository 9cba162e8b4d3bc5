//! Finding what paid a challenge under another name than the one that was shown.
//!
//! A payer can sign one payment twice: the same nonce in another envelope, by another key of its account,
//! with another gas price. The chain takes one of them, and it need not be the one that we hold. All of
//! them carry the memo of the challenge, which no other payment has.

use compute_domain::payment::Evidence;
use compute_evm::{Block, Log, NodeError, abi};
use compute_mpp::tempo::abi::TRANSFER_WITH_MEMO_TOPIC;
use compute_mpp::tempo::{AttributionMemo, PAST_EXPIRY_S};
use compute_wallet::Digest32;
use serde_json::json;

use crate::chain::{TempoChain, word};
use crate::paying::Paying;
use crate::verdict::{Unclear, Verdict, judge_as};

/// No challenge lives longer, in seconds; its memo is on no chain before it was made.
const LONGEST_CHALLENGE_S: u64 = 3_600;

/// Blocks in one search; public nodes allow 2 000 to 10 000.
const WINDOW_BLOCKS: u64 = 2_000;

/// A challenge can be paid for little more than an hour; at ten blocks a second that are 20 windows.
const MAX_WINDOWS: u32 = 24;

impl TempoChain {
    /// What paid the challenge of a payment, whichever transaction it was.
    ///
    /// Other forms of a payment live as long as it does, so blocks are searched from the first moment of
    /// the longest challenge until nothing that pays it would be taken any more.
    pub(crate) async fn find_by_memo(
        &self,
        paying: &Paying<'_>,
    ) -> Result<Option<Evidence>, Unclear> {
        let expires_s = paying.challenge_expires_s().ok_or(Unclear::Contradiction(
            "the challenge does not say when it ends",
        ))?;
        let head = self.head().await?;
        let since_s = expires_s.saturating_sub(LONGEST_CHALLENGE_S);
        let until_s = expires_s
            .saturating_add(PAST_EXPIRY_S)
            .saturating_add(self.max_lag_s);
        let mut first = self.last_block_until(head, since_s).await?;
        let last = self.last_block_until(head, until_s).await?;
        for _ in 0..MAX_WINDOWS {
            let end = first.saturating_add(WINDOW_BLOCKS - 1).min(last);
            let found = self.with_memo(paying, (first, end)).await?;
            if let Some(hash) = found.first() {
                return self.paid_by(paying, hash).await.map(Some);
            }
            if end >= last {
                return Ok(None);
            }
            first = end.saturating_add(1);
        }
        Err(Unclear::Contradiction(
            "there are too many blocks to search",
        ))
    }

    /// Transactions in a range of blocks that say to pay the challenge.
    async fn with_memo(
        &self,
        paying: &Paying<'_>,
        range: (u64, u64),
    ) -> Result<Vec<Digest32>, NodeError> {
        let topics = json!([
            word(&TRANSFER_WITH_MEMO_TOPIC),
            abi::address_topic(paying.payer),
            abi::address_topic(paying.charge.terms.recipient),
        ]);
        let logs = self
            .node()
            .logs(paying.charge.terms.currency, &topics, range)
            .await?;
        let own = logs.iter().filter(|log| pays(log, paying));
        let read = |log: &Log| abi::read_word(&log.transaction_hash);
        own.map(|log| read(log).ok_or_else(|| NodeError::unusable("a log without a transaction")))
            .collect()
    }

    /// Where in a transaction the payment is. What the log says is not believed without the receipt.
    async fn paid_by(&self, paying: &Paying<'_>, hash: &Digest32) -> Result<Evidence, Unclear> {
        let unclear = Unclear::Contradiction("the log shows a payment, and its receipt does not");
        let Some(receipt) = self.receipt(hash).await? else {
            return Err(unclear);
        };
        match judge_as(paying, hash, &receipt)? {
            Verdict::Paid(evidence) => {
                tracing::warn!(
                    chain.transaction = %word(&paying.hash), paid_by = %word(hash),
                    "a challenge was paid by another transaction than the one that was shown"
                );
                Ok(evidence)
            }
            _ => Err(unclear),
        }
    }

    /// The number of the last block of this second or earlier, 0 when there is none.
    pub(crate) async fn last_block_until(&self, head: Block, time: u64) -> Result<u64, NodeError> {
        if head.time <= time {
            return Ok(head.number);
        }
        // Blocks come about twice a second: the first guess is mostly near.
        let mut back = head.time.saturating_sub(time).saturating_mul(2).max(1);
        let mut above = head.number;
        let mut below = loop {
            let number = head.number.saturating_sub(back);
            if number == 0 || self.node().block(Some(number)).await?.time <= time {
                break number;
            }
            above = number;
            back = back.saturating_mul(2);
        };
        while above.saturating_sub(below) > 1 {
            let middle = below.midpoint(above);
            if self.node().block(Some(middle)).await?.time <= time {
                below = middle;
            } else {
                above = middle;
            }
        }
        Ok(below)
    }
}

/// Whether a log entry is a transfer of the challenge's amount with its memo. A node might not filter as
/// asked.
fn pays(log: &Log, paying: &Paying<'_>) -> bool {
    let charge = &paying.charge;
    let expected = [
        word(&TRANSFER_WITH_MEMO_TOPIC),
        abi::address_topic(paying.payer),
        abi::address_topic(charge.terms.recipient),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let memo = log.topics.get(3).and_then(|topic| abi::read_word(topic));
    !log.removed
        && log.is_from(charge.terms.currency)
        && log.has_topics(&expected)
        && abi::read_uint(&log.data) == Some(charge.amount)
        && memo.is_some_and(|memo| {
            AttributionMemo::from_bytes(memo).pays(charge.realm, charge.challenge_id)
        })
}
