//! What the chain itself says about a payment (x402 reference, "whose settlement was it").

use compute_domain::payment::Evidence;
use compute_x402::{ErrorCode, EvmToken};
use serde_json::json;

use crate::abi;
use crate::node::{Block, Log, Node, NodeError, Receipt};
use crate::search::{MAX_WINDOWS, WINDOW_BLOCKS};
use crate::transfer::AuthorizedTransfer;

/// A node whose newest block is older than this is not followed.
const MAX_HEAD_AGE_S: u64 = 60;

/// The longest an authorization may live, in seconds; its use cannot be older.
pub const MAX_LIFE_S: u64 = 86_400;

/// One chain, read through one node.
#[derive(Clone, Debug)]
pub struct Chain {
    node: Node,
    confirmations: u64,
}

/// What a transaction did for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mined {
    /// The node does not have it (yet).
    Missing,
    /// It was mined and failed, or moved something else.
    Without,
    /// It moved exactly the payment.
    Paid(Evidence),
}

/// What became of an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It moved the money, whoever submitted it.
    Paid(Evidence),
    /// It is unused and can still be used.
    Open,
    /// It can never move the money.
    Void(ErrorCode),
    /// Too early to say, or not found where it must be; the text is for the log.
    Unclear(&'static str),
}

impl Chain {
    /// A chain behind a node; what is this many blocks deep is not undone any more.
    #[must_use]
    pub const fn new(node: Node, confirmations: u64) -> Self {
        Self {
            node,
            confirmations,
        }
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// After how many blocks nothing is undone any more.
    pub(crate) const fn confirmations(&self) -> u64 {
        self.confirmations
    }

    /// The last block that nothing undoes any more when this is the newest one.
    #[must_use]
    pub const fn firm_block(&self, head: Block) -> u64 {
        head.number.saturating_sub(self.confirmations)
    }

    /// Why this node cannot be used for this token now, if there is a reason.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn find_fault(
        &self,
        token: &EvmToken,
        decimals: u8,
        now_s: u64,
    ) -> Result<Option<&'static str>, NodeError> {
        let head = self.sound_head(token.chain_id(), now_s).await?;
        if let Err(fault) = head {
            return Ok(Some(fault));
        }
        let separator = self
            .node
            .call(token.contract(), abi::DOMAIN_SEPARATOR, None)
            .await?;
        if abi::read_word(&separator).as_ref() != Some(token.domain_separator()) {
            return Ok(Some("the token has another EIP-712 domain"));
        }
        let stated = self
            .node
            .call(token.contract(), abi::DECIMALS, None)
            .await?;
        if abi::read_uint(&stated) != Some(decimals.into()) {
            return Ok(Some("the token has other decimals"));
        }
        Ok(None)
    }

    /// The newest block, if the node serves this chain and follows it; else what is wrong with it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn sound_head(
        &self,
        chain_id: u64,
        now_s: u64,
    ) -> Result<Result<Block, &'static str>, NodeError> {
        if self.node.chain_id().await? != chain_id {
            return Ok(Err("the node serves another chain"));
        }
        let head = self.node.block(None).await?;
        if head.time.saturating_add(MAX_HEAD_AGE_S) < now_s {
            return Ok(Err("the node is behind"));
        }
        Ok(Ok(head))
    }

    /// What a transaction did for a payment.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn mined(
        &self,
        transfer: &AuthorizedTransfer,
        transaction: &str,
    ) -> Result<Mined, NodeError> {
        let receipt = self.node.receipt(transaction).await?;
        Ok(mined_by(receipt, transfer, transaction))
    }

    /// What became of an authorization that may have been used since `since_s` (Unix seconds).
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn fate(
        &self,
        transfer: &AuthorizedTransfer,
        since_s: u64,
    ) -> Result<Fate, NodeError> {
        let head = self.node.block(None).await?;
        self.fate_at(transfer, head, since_s).await
    }

    /// The same by what the chain says at this head, and not at that of whichever machine of the
    /// node answers: one of them may lag.
    ///
    /// # Errors
    /// When the node does not answer, or does not know the head.
    pub async fn fate_at(
        &self,
        transfer: &AuthorizedTransfer,
        head: Block,
        since_s: u64,
    ) -> Result<Fate, NodeError> {
        if self.is_used(transfer, Some(head.number)).await? {
            // It is used: a search that fails must not make it look as if nothing had happened.
            let unclear = Fate::Unclear("used, but the node does not say by what");
            return Ok(self.used(transfer, head, since_s).await.unwrap_or(unclear));
        }
        if head.time < transfer.valid_before {
            return Ok(Fate::Open);
        }
        // Expired by the newest block. It is void once a block that nothing can undo says so too.
        let firm = self
            .node
            .block(Some(head.number.saturating_sub(self.confirmations)))
            .await?;
        if firm.time >= transfer.valid_before && !self.is_used(transfer, Some(firm.number)).await? {
            return Ok(Fate::Void(ErrorCode::EvmValidBefore));
        }
        Ok(Fate::Unclear("expired, but not yet beyond doubt"))
    }

    /// Whether an authorization moved the money at or after `since_s` (Unix seconds), whoever
    /// submitted it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn was_paid_since(
        &self,
        transfer: &AuthorizedTransfer,
        since_s: u64,
    ) -> Result<bool, NodeError> {
        let head = self.node.block(None).await?;
        let Some(log) = self.find_use(transfer, head, since_s).await? else {
            return Ok(false);
        };
        let Some(number) = abi::read_quantity(&log.block_number) else {
            return Ok(false);
        };
        if self.node.block(Some(number)).await?.time < since_s {
            return Ok(false);
        }
        let mined = self.mined(transfer, &log.transaction_hash).await?;
        Ok(matches!(mined, Mined::Paid(_)))
    }

    /// Whether the token has taken an authorization, as it was at a block, the newest when none is
    /// given: used or cancelled.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn is_used(
        &self,
        transfer: &AuthorizedTransfer,
        block: Option<u64>,
    ) -> Result<bool, NodeError> {
        let data = abi::authorization_state(transfer.from, &transfer.nonce);
        let state = self.node.call(transfer.token, &data, block).await?;
        match abi::read_uint(&state) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(NodeError::unusable("the token has no authorizationState")),
        }
    }

    async fn used(
        &self,
        transfer: &AuthorizedTransfer,
        head: Block,
        since_s: u64,
    ) -> Result<Fate, NodeError> {
        let Some(log) = self.find_use(transfer, head, since_s).await? else {
            return Ok(Fate::Unclear(
                "used, but not in the blocks that were searched",
            ));
        };
        let mined = if log.has_topics(&[abi::AUTHORIZATION_USED]) {
            let receipt = self.node.receipt(&log.transaction_hash).await?;
            let has_log = |it: &Receipt| it.logs.iter().any(|log| is_use(log, transfer));
            if receipt.as_ref().is_some_and(|it| !has_log(it)) {
                return Ok(Fate::Unclear("the node's receipt lacks its own log entry"));
            }
            mined_by(receipt, transfer, &log.transaction_hash)
        } else {
            Mined::Without
        };
        let number = abi::read_quantity(&log.block_number);
        let is_firm =
            number.is_some_and(|number| number.saturating_add(self.confirmations) <= head.number);
        Ok(match mined {
            Mined::Paid(evidence) => Fate::Paid(evidence),
            Mined::Without if is_firm => Fate::Void(ErrorCode::EvmNonceAlreadyUsed),
            Mined::Without => {
                Fate::Unclear("cancelled or used otherwise, but not yet beyond doubt")
            }
            Mined::Missing => Fate::Unclear("the node has the log entry but not its receipt"),
        })
    }

    // Backwards from the head: a payment is usually looked for moments after it was sent.
    async fn find_use(
        &self,
        transfer: &AuthorizedTransfer,
        head: Block,
        since_s: u64,
    ) -> Result<Option<Log>, NodeError> {
        let topics = json!([
            [abi::AUTHORIZATION_USED, abi::AUTHORIZATION_CANCELED],
            abi::address_topic(transfer.from),
            abi::word(&transfer.nonce),
        ]);
        let mut last = head.number;
        for _ in 0..MAX_WINDOWS {
            let first = last.saturating_sub(WINDOW_BLOCKS - 1);
            let logs = self
                .node
                .logs(transfer.token, &topics, (first, last))
                .await?;
            if let Some(log) = logs.into_iter().find(|log| is_use(log, transfer)) {
                return Ok(Some(log));
            }
            if first == 0 || self.node.block(Some(first)).await?.time < since_s {
                return Ok(None);
            }
            last = first.saturating_sub(1);
        }
        Ok(None)
    }
}

fn mined_by(receipt: Option<Receipt>, transfer: &AuthorizedTransfer, transaction: &str) -> Mined {
    let Some(receipt) = receipt else {
        return Mined::Missing;
    };
    let paid = receipt
        .is_success()
        .then(|| find_payment(&receipt.logs, transfer))
        .flatten();
    paid.map_or(Mined::Without, |log_index| {
        Mined::Paid(Evidence {
            reference: transaction.to_ascii_lowercase(),
            log_index: Some(log_index),
        })
    })
}

// A node might not filter as asked.
fn is_use(log: &Log, transfer: &AuthorizedTransfer) -> bool {
    let (from, nonce) = (
        abi::address_topic(transfer.from),
        abi::word(&transfer.nonce),
    );
    let is = |topic| log.has_topics(&[topic, &from, &nonce]);
    !log.removed
        && log.is_from(transfer.token)
        && (is(abi::AUTHORIZATION_USED) || is(abi::AUTHORIZATION_CANCELED))
}

/// Which log entry of one transaction is the transfer of a payment.
///
/// The token logs the use of the authorization and then its transfer. One transaction may carry
/// several payments of one payer, so the transfer must follow this very use.
#[must_use]
pub fn find_payment(logs: &[Log], transfer: &AuthorizedTransfer) -> Option<u32> {
    let (from, to) = (
        abi::address_topic(transfer.from),
        abi::address_topic(transfer.to),
    );
    let nonce = abi::word(&transfer.nonce);
    let mut own = logs
        .iter()
        .filter(|log| !log.removed && log.is_from(transfer.token));
    own.find(|log| log.has_topics(&[abi::AUTHORIZATION_USED, &from, &nonce]))?;
    let moved = own
        .take_while(|log| !log.has_topics(&[abi::AUTHORIZATION_USED]))
        .find(|log| log.has_topics(&[abi::TRANSFER, &from, &to]))?;
    (abi::read_uint(&moved.data) == Some(transfer.amount.get()))
        .then(|| moved.index())
        .flatten()
}

#[cfg(test)]
#[path = "chain/tests.rs"]
mod tests;
