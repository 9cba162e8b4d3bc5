//! The watch for reorganisations: what was settled a while ago must still be in the chain.
//!
//! A payment that a reorganisation took out is usually still valid, so its transaction is handed to
//! the node once more, and the chain takes it again. Until it does, the payment is noted as reverted
//! and is looked for, however long that takes. What was delivered is not taken back; when the payment
//! cannot come back, a human has to know.

use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{
    ChainTransaction, Purpose, RevertedPayment, SentState, StoreError, TxMode,
};

use crate::sender::{SendError, Sender};

/// For this long after its settlement a payment is looked for.
const WATCHED: Span = Span::from_hours(1);

/// How often all of them are looked for.
const EVERY: Span = Span::from_secs(60);

/// How many at once.
const MAX_LOOKS: u32 = 256;

impl Sender {
    /// Looks for the transactions of the last hour, and for those that were gone, once a minute.
    ///
    /// # Errors
    /// When node or database do not answer; the next round looks again.
    pub(crate) async fn recheck(&self) -> Result<(), SendError> {
        let now = self.now();
        if !self.is_recheck_due(now) {
            return Ok(());
        }
        let mut tx = self.store.begin(TxMode::Read).await.map_err(unread)?;
        let mut mined = tx
            .mined_chain_transactions(&self.lane, now.minus(WATCHED), MAX_LOOKS)
            .await
            .map_err(unread)?;
        let reverted = tx.list_reverted(MAX_LOOKS).await.map_err(unread)?;
        for gone in &reverted {
            let sent = tx.chain_transactions_of(&gone.payment.proof_key).await;
            let of_ours = sent
                .map_err(unread)?
                .into_iter()
                .filter(|it| it.lane == self.lane && matches!(it.state, SentState::Mined { .. }));
            for transaction in of_ours {
                if !mined.iter().any(|known| known.hash == transaction.hash) {
                    mined.push(transaction);
                }
            }
        }
        tx.rollback().await.map_err(unread)?;
        // The transactions with the lowest numbers first: later ones wait for them.
        mined.sort_by_key(|it| it.nonce);
        for transaction in &mined {
            self.recheck_one(transaction, &reverted).await?;
        }
        Ok(())
    }

    async fn recheck_one(
        &self,
        transaction: &ChainTransaction,
        reverted: &[RevertedPayment],
    ) -> Result<(), SendError> {
        let receipt = self.node.receipt(&transaction.hash).await?;
        let proof_key = transaction.proof_key.as_deref();
        // A permit moves nothing.
        let is_payment = matches!(transaction.purpose, Purpose::Settle | Purpose::Pull);
        if receipt.is_some_and(|receipt| receipt.is_success()) {
            let mut known = reverted.iter();
            let gone = known.find(|it| Some(it.payment.proof_key.as_str()) == proof_key);
            if let Some(gone) = gone.filter(|_| is_payment) {
                self.note_return(gone).await?;
            }
            return Ok(());
        }
        if let Some(proof_key) = proof_key.filter(|_| is_payment) {
            self.note_reverted(proof_key).await?;
        }
        let count = self.node.transaction_count(self.address(), None).await?;
        let is_free = transaction.nonce.is_some_and(|nonce| count <= nonce);
        if is_free {
            tracing::error!(
                chain.lane = %self.lane, chain.transaction = %transaction.hash, is_payment,
                "the chain took a settlement back: it is sent again"
            );
            self.send(transaction).await;
        } else if is_payment {
            tracing::error!(
                chain.lane = %self.lane, chain.transaction = %transaction.hash,
                payment.proof_key = proof_key,
                "payment_reverted: the chain took a settlement back and does not take it again"
            );
        }
        Ok(())
    }

    /// Written down, so that whoever looks at the order knows, whichever replica has noticed it.
    async fn note_reverted(&self, proof_key: &str) -> Result<(), SendError> {
        let mut tx = self.store.begin(TxMode::Write).await.map_err(unread)?;
        let is_news = tx.note_reverted(proof_key, self.now()).await;
        let is_news = is_news.map_err(unread)?;
        tx.commit().await.map_err(unread)?;
        if is_news {
            tracing::error!(
                chain.lane = %self.lane, payment.proof_key = proof_key,
                "payment_reverted: a settled payment is not in the chain"
            );
        }
        Ok(())
    }

    async fn note_return(&self, gone: &RevertedPayment) -> Result<(), SendError> {
        let mut tx = self.store.begin(TxMode::Write).await.map_err(unread)?;
        let was_gone = tx.clear_reverted(gone.payment.id).await.map_err(unread)?;
        tx.commit().await.map_err(unread)?;
        if was_gone {
            tracing::warn!(
                chain.lane = %self.lane, payment.id = %gone.payment.id,
                "a payment that the chain took back is in it again"
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

fn unread(error: StoreError) -> SendError {
    SendError::NotNow(error.to_string())
}
