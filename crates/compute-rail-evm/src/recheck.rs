//! The watch for reorganisations: what was settled a while ago must still be in the chain.
//!
//! A payment that a reorganisation took out is usually still valid, so its transaction is handed to
//! the node once more, and the chain takes it again. What was delivered is not taken back; when the
//! payment cannot come back, a human has to know.

use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{ChainTransaction, Purpose, StoreError, TxMode};

use crate::sender::{SendError, Sender};

/// For this long after its settlement a payment is looked for.
const WATCHED: Span = Span::from_hours(1);

/// How often all of them are looked for.
const EVERY: Span = Span::from_secs(60);

/// How many at once.
const MAX_LOOKS: u32 = 256;

impl Sender {
    /// Looks for the transactions of the last hour, once a minute.
    ///
    /// # Errors
    /// When node or database do not answer; the next round looks again.
    pub(crate) async fn recheck(&self) -> Result<(), SendError> {
        let now = self.now();
        if !self.is_recheck_due(now) {
            return Ok(());
        }
        let unread = |error: StoreError| SendError::NotNow(error.to_string());
        let mut tx = self.store.begin(TxMode::Read).await.map_err(unread)?;
        let mined = tx
            .mined_chain_transactions(&self.lane, now.minus(WATCHED), MAX_LOOKS)
            .await
            .map_err(unread)?;
        tx.rollback().await.map_err(unread)?;
        // The transactions with the lowest numbers first: later ones wait for them.
        for transaction in mined.iter().rev() {
            self.recheck_one(transaction).await?;
        }
        Ok(())
    }

    async fn recheck_one(&self, transaction: &ChainTransaction) -> Result<(), SendError> {
        let receipt = self.node.receipt(&transaction.hash).await?;
        if receipt.is_some_and(|receipt| receipt.is_success()) {
            return Ok(());
        }
        let count = self.node.transaction_count(self.address(), None).await?;
        let is_free = transaction.nonce.is_some_and(|nonce| count <= nonce);
        let is_payment = matches!(transaction.purpose, Purpose::Settle | Purpose::Pull);
        if is_free {
            tracing::error!(
                chain.lane = %self.lane, chain.transaction = %transaction.hash, is_payment,
                "the chain took a settlement back: it is sent again"
            );
            self.send(transaction).await;
        } else if is_payment {
            tracing::error!(
                chain.lane = %self.lane, chain.transaction = %transaction.hash,
                payment.proof_key = transaction.proof_key.as_deref(),
                "payment_reverted: the chain took a settlement back and does not take it again"
            );
        }
        Ok(())
    }

    fn is_recheck_due(&self, now: Timestamp) -> bool {
        let mut last = self
            .rechecked_at
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_some_and(|last| now.since(last) < EVERY) {
            return false;
        }
        *last = Some(now);
        true
    }
}
