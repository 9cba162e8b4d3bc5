//! What became of the transactions that were sent, and keeping the line moving.

use compute_engine::ports::{ChainTransaction, Purpose, SentState, StoreError, TxMode};
use compute_evm::{Log, NodeError};

use crate::calls::Call;
use crate::sender::{Intent, SendError, Sender};

/// How many missing numbers are filled in one round; more are a sign that the node lies.
pub(crate) const MAX_FILL: u64 = 16;

/// How many transactions of the line are looked at in one round.
const MAX_LOOKS: u32 = 64;

/// What the chain says of the transactions with one number.
#[derive(Debug)]
pub(crate) enum Seen {
    /// One is in, deep enough, and did what it says.
    Done(Included),
    /// One is in, deep enough, and failed.
    Failed(Included),
    /// None is in, or not deep enough.
    Pending,
    /// Another transaction took the number for good.
    Lost,
}

/// A transaction in a block.
#[derive(Debug)]
pub(crate) struct Included {
    pub(crate) hash: String,
    pub(crate) block: u64,
    pub(crate) logs: Vec<Log>,
}

impl Sender {
    /// Looks for the transactions with one number.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn look(&self, siblings: &[&ChainTransaction]) -> Result<Seen, NodeError> {
        let Some(nonce) = siblings.iter().find_map(|it| it.nonce) else {
            return Ok(Seen::Pending);
        };
        let head = self.node.block(None).await?.number;
        for transaction in siblings.iter().rev() {
            let Some(receipt) = self.node.receipt(&transaction.hash).await? else {
                continue;
            };
            let Some(block) = receipt.block() else {
                return Err(NodeError::unusable("a receipt without a block"));
            };
            if head.saturating_add(1) < block.saturating_add(self.limits.confirmations) {
                return Ok(Seen::Pending);
            }
            let is_success = receipt.is_success();
            let included = Included {
                hash: transaction.hash.clone(),
                block,
                logs: receipt.logs,
            };
            return Ok(if is_success {
                Seen::Done(included)
            } else {
                Seen::Failed(included)
            });
        }
        let firm = head.saturating_sub(self.limits.finality_blocks);
        let count = self
            .node
            .transaction_count(self.address(), Some(firm))
            .await?;
        Ok(if count > nonce {
            Seen::Lost
        } else {
            Seen::Pending
        })
    }

    /// Writes down what became of the transactions with one number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) async fn conclude(
        &self,
        siblings: &[&ChainTransaction],
        seen: &Seen,
    ) -> Result<(), StoreError> {
        let (winner, state) = match seen {
            Seen::Pending => return Ok(()),
            Seen::Done(in_block) => {
                let block = in_block.block;
                (Some(&in_block.hash), SentState::Mined { block })
            }
            Seen::Failed(in_block) => {
                let block = in_block.block;
                (Some(&in_block.hash), SentState::Failed { block })
            }
            Seen::Lost => (None, SentState::Void),
        };
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        for transaction in siblings.iter().filter(|it| it.state == SentState::Open) {
            let is_winner = winner == Some(&transaction.hash);
            let state = if is_winner { state } else { SentState::Void };
            tx.conclude_chain_transaction(&transaction.hash, state, now)
                .await?;
        }
        tx.commit().await
    }

    /// One round over everything that waits for the chain: concludes what is in, sends again what
    /// is not, pays more for what holds up the line, and fills numbers that nothing was signed for.
    ///
    /// # Errors
    /// When node or database do not answer; the next round goes on.
    pub(crate) async fn tend_line(&self) -> Result<(), SendError> {
        let mut tx = self.store.begin(TxMode::Read).await.map_err(unread)?;
        let open = tx.open_chain_transactions(&self.lane, MAX_LOOKS).await;
        let open = open.map_err(unread)?;
        tx.rollback().await.map_err(unread)?;
        let mined = self.node.transaction_count(self.address(), None).await?;
        // First what everything else waits for: the looks below may take all the time there is.
        let filled = match open.iter().filter_map(|it| it.nonce).min() {
            Some(lowest) if lowest > mined => self.fill(mined, lowest).await,
            Some(_) => Ok(()),
            None => self.bring_back(mined).await,
        };
        // What one of them meets does not hold up the others.
        let mut outcome = filled;
        for siblings in by_nonce(&open) {
            outcome = outcome.and(self.tend_one(&siblings, mined).await);
        }
        outcome
    }

    async fn tend_one(&self, siblings: &[&ChainTransaction], mined: u64) -> Result<(), SendError> {
        let Some(newest) = siblings.last() else {
            return Ok(());
        };
        let seen = match self.look(siblings).await {
            Ok(seen) => seen,
            Err(error) => {
                // The node may lack what it is asked about, and take a transaction all the same.
                self.send(newest).await;
                return Err(error.into());
            }
        };
        self.conclude(siblings, &seen).await.map_err(unread)?;
        match seen {
            Seen::Pending if newest.nonce == Some(mined) && self.is_slow(newest) => {
                self.pay_more(newest).await?;
            }
            Seen::Pending => self.send(newest).await,
            Seen::Lost => tracing::error!(
                chain.lane = %self.lane, chain.transaction = %newest.hash,
                "another transaction took the number of one of ours: \
                 is the hot wallet used elsewhere?"
            ),
            Seen::Done(_) | Seen::Failed(_) => {}
        }
        Ok(())
    }

    // Nothing waits, but the chain may have taken back what was concluded: a later transaction would
    // then wait behind it for ever.
    async fn bring_back(&self, mined: u64) -> Result<(), SendError> {
        for nonce in mined..mined.saturating_add(MAX_FILL) {
            let mut tx = self.store.begin(TxMode::Read).await.map_err(unread)?;
            let known = tx.chain_transactions_at(&self.lane, nonce).await;
            let known = known.map_err(unread)?;
            tx.rollback().await.map_err(unread)?;
            if known.is_empty() {
                break;
            }
            self.send_taken_back(&known).await;
        }
        Ok(())
    }

    // Of several prices the one that was in: others who saw it may have it still.
    async fn send_taken_back(&self, known: &[ChainTransaction]) {
        let was_in = |it: &&ChainTransaction| {
            matches!(it.state, SentState::Mined { .. } | SentState::Failed { .. })
        };
        if let Some(transaction) = known.iter().find(was_in).or(known.last()) {
            tracing::warn!(
                chain.lane = %self.lane, chain.transaction = %transaction.hash,
                "the chain does not have a concluded transaction any more: it is sent again"
            );
            self.send(transaction).await;
        }
    }

    fn is_slow(&self, transaction: &ChainTransaction) -> bool {
        self.now().since(transaction.created_at) >= self.limits.bump_after
    }

    /// Signs the same transaction at a higher price and sends it.
    ///
    /// # Errors
    /// When node or database do not answer, or the market is above the ceiling.
    pub(crate) async fn pay_more(&self, newest: &ChainTransaction) -> Result<(), SendError> {
        let market = self.market().await?;
        let Some(dearer) = self.wallet.sign_dearer(&newest.raw, market)? else {
            tracing::error!(
                chain.lane = %self.lane, chain.transaction = %newest.hash,
                "a transaction is stuck at the highest gas price that is allowed"
            );
            self.send(newest).await;
            return Ok(());
        };
        let now = self.now();
        let replacement = ChainTransaction {
            hash: dearer.hash,
            raw: dearer.raw,
            max_cost: dearer.max_cost_gwei,
            state: SentState::Open,
            created_at: now,
            concluded_at: None,
            ..newest.clone()
        };
        let unsigned = |error: StoreError| SendError::NotNow(error.to_string());
        let mut tx = self.store.begin(TxMode::Write).await.map_err(unsigned)?;
        tx.lock_lane(&self.lane, now).await.map_err(unsigned)?;
        let open = tx.open_chain_transactions(&self.lane, MAX_LOOKS).await;
        let open = open.map_err(unsigned)?;
        let last = open.iter().rfind(|it| it.nonce == newest.nonce);
        if last.is_none_or(|last| last.hash != newest.hash) {
            // Another replica was faster, or it is in by now.
            return tx.rollback().await.map_err(unsigned);
        }
        tx.add_chain_transaction(&replacement)
            .await
            .map_err(unsigned)?;
        tx.commit().await.map_err(SendError::Unsure)?;
        tracing::warn!(
            chain.lane = %self.lane, chain.transaction = %replacement.hash,
            chain.replaces = %newest.hash, "a transaction waits too long and is paid more"
        );
        self.send(&replacement).await;
        Ok(())
    }

    // Everything behind a number that nobody signed for waits for ever. It comes from a node that
    // once named too high a count. A number is only filled when no transaction of ours was ever
    // signed for it: one that was may be in a block that this node does not show, or was in one
    // that the chain has taken back, and is sent again.
    async fn fill(&self, mined: u64, lowest: u64) -> Result<(), SendError> {
        if lowest - mined > MAX_FILL {
            tracing::error!(
                chain.lane = %self.lane, mined, lowest,
                "the chain is far behind our transactions: does the node follow it?"
            );
            return Ok(());
        }
        for nonce in mined..lowest {
            self.fill_one(nonce).await?;
        }
        Ok(())
    }

    async fn fill_one(&self, nonce: u64) -> Result<(), SendError> {
        let unsigned = |error: StoreError| SendError::NotNow(error.to_string());
        let call = Call::Fill {
            wallet: self.address(),
        };
        let fees = self.market().await?;
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await.map_err(unsigned)?;
        tx.lock_lane(&self.lane, now).await.map_err(unsigned)?;
        let known = tx.chain_transactions_at(&self.lane, nonce).await;
        let known = known.map_err(unsigned)?;
        if !known.is_empty() {
            tx.rollback().await.map_err(unsigned)?;
            self.send_taken_back(&known).await;
            return Ok(());
        }
        let signed = self.wallet.sign(&call, nonce, FILL_GAS, fees)?;
        let transaction = ChainTransaction {
            hash: signed.hash,
            lane: self.lane.clone(),
            nonce: Some(nonce),
            purpose: Purpose::Fill,
            proof_key: None,
            group: None,
            raw: signed.raw,
            max_cost: signed.max_cost_gwei,
            valid_until: None,
            state: SentState::Open,
            created_at: now,
            concluded_at: None,
        };
        tx.add_chain_transaction(&transaction)
            .await
            .map_err(unsigned)?;
        tx.commit().await.map_err(SendError::Unsure)?;
        tracing::warn!(chain.lane = %self.lane, nonce, "a missing number of the line is filled");
        self.send(&transaction).await;
        Ok(())
    }

    /// Moves what the wallet holds to the treasury.
    ///
    /// # Errors
    /// When nothing could be sent.
    pub(crate) async fn sweep(&self, call: &Call) -> Result<(), SendError> {
        let intent = Intent {
            purpose: Purpose::Sweep,
            proof_key: None,
            group: None,
            call,
        };
        let transaction = self.sign(intent).await?;
        self.send(&transaction).await;
        Ok(())
    }
}

fn unread(error: StoreError) -> SendError {
    SendError::NotNow(error.to_string())
}

/// A transfer of nothing takes 21 000 gas, on `MegaETH` 60 000.
const FILL_GAS: u64 = 100_000;

/// Transactions of a line, those with one number together, in the order of the numbers.
fn by_nonce(open: &[ChainTransaction]) -> Vec<Vec<&ChainTransaction>> {
    let mut groups: Vec<Vec<&ChainTransaction>> = Vec::new();
    for transaction in open {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|it| it.nonce == transaction.nonce) => {
                group.push(transaction);
            }
            _ => groups.push(vec![transaction]),
        }
    }
    groups
}
