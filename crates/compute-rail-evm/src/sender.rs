//! Sending from the hot wallet: one line of transactions, whoever the replica.
//!
//! The number of a transaction, its signature and its row are made in one database transaction that
//! holds the lane, so that two replicas never give one number to two payments, and nothing is sent
//! that was not written down. What the network must be asked is asked before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compute_domain::time::{Clock, Span, Timestamp};
use compute_engine::ports::{
    ChainTransaction, Lane, Purpose, SentState, Store, StoreError, Tx, TxMode, WalletBalance,
};
use compute_evm::{Call as Simulated, Node, NodeError};
use compute_wallet::EvmAddress;

use crate::calls::Call;
use crate::wallet::{Fees, Forbidden, HotWallet, MAX_GAS, SignedTransaction};
use crate::watch::MAX_FILL;

/// Estimates are too low now and then, and a transaction that runs out of gas costs all of it; what
/// is not used is not paid.
const MIN_GAS: u64 = 150_000;

/// More transactions than this do not wait for the chain at one time.
const MAX_OPEN: u32 = 64;

/// What is spent is counted over this long.
const DAY: Span = Span::from_hours(24);

/// A transaction that failed this often for one payment is not sent again.
pub(crate) const MAX_FAILURES: usize = 2;

/// The hot wallet's line to one chain.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) wallet: HotWallet,
    pub(crate) node: Node,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lane: Lane,
    pub(crate) limits: Limits,
    /// How long a node that can wait for a block is asked to.
    pub(crate) sync_wait: Option<Duration>,
    pub(crate) rechecked_at: Mutex<Option<Timestamp>>,
    /// What there was for gas when the node was last asked.
    pub(crate) balance: Mutex<Option<WalletBalance>>,
}

/// How far the sender goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) confirmations: u64,
    pub(crate) finality_blocks: u64,
    pub(crate) max_gas_per_day_gwei: u64,
    pub(crate) bump_after: Span,
}

/// What to send and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intent<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) proof_key: Option<&'a str>,
    /// Payments with one group are sent one after the other.
    pub(crate) group: Option<&'a str>,
    pub(crate) call: &'a Call,
}

/// Why nothing was sent. The texts are for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The chain says that it would fail; nothing was signed.
    #[error("the chain would refuse it: {0}")]
    Reverts(String),
    /// Nothing was signed; it may be tried again later.
    #[error("{0}")]
    NotNow(String),
    /// It failed on the chain as often as it may; nothing was signed.
    #[error("it failed on the chain before")]
    GivenUp,
    /// The node counts far more transactions than we know of; nothing was signed.
    #[error("the node counts far more transactions of the hot wallet than were signed here")]
    FarAhead,
    /// It may be signed and stored.
    #[error("the database did not confirm: {0}")]
    Unsure(StoreError),
}

impl SendError {
    fn not_now(reason: impl Into<String>) -> Self {
        Self::NotNow(reason.into())
    }
}

impl From<NodeError> for SendError {
    fn from(error: NodeError) -> Self {
        Self::NotNow(error.to_string())
    }
}

impl From<Forbidden> for SendError {
    fn from(error: Forbidden) -> Self {
        Self::NotNow(error.to_string())
    }
}

/// What the chain says before anything is signed.
struct Prospect {
    gas_limit: u64,
    fees: Fees,
    mined: u64,
    /// Whether the number of mined ones was asked for twice.
    is_confirmed: bool,
    balance_gwei: u64,
}

impl Sender {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) const fn address(&self) -> EvmAddress {
        self.wallet.address()
    }

    /// Whether a payment is one of this shop's own sales.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn is_own_sale(&self, proof_key: &str) -> Result<bool, StoreError> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let found = tx.find_payment(proof_key).await?;
        tx.rollback().await?;
        Ok(found.is_some())
    }

    /// The transactions of a payment, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn sent_for(
        &self,
        proof_key: &str,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let sent = tx.chain_transactions_of(proof_key).await?;
        tx.rollback().await?;
        Ok(sent)
    }

    /// Signs and stores a transaction, or finds the one that is on its way for the same payment and
    /// purpose. It is not sent yet.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) async fn sign(&self, intent: Intent<'_>) -> Result<ChainTransaction, SendError> {
        let mut prospect = self.ask_chain(intent.call).await?;
        loop {
            let mut tx = self.begin().await?;
            match self.sign_in(tx.as_mut(), intent, &prospect).await {
                Ok(transaction) => {
                    tx.commit().await.map_err(SendError::Unsure)?;
                    return Ok(transaction);
                }
                Err(SendError::FarAhead) if !prospect.is_confirmed => {
                    drop(tx);
                    self.confirm(&mut prospect).await?;
                }
                Err(error) => {
                    // The error that counts is the first one; an open transaction is rolled back
                    // anyhow.
                    drop(tx);
                    return Err(error);
                }
            }
        }
    }

    // A number far above ours is that of a wallet with a past, or one wrong answer after which the
    // line would never move again. A wallet with a past had it some blocks ago.
    async fn confirm(&self, prospect: &mut Prospect) -> Result<(), SendError> {
        let head = self.node.block(None).await?.number;
        let firm = head.saturating_sub(self.limits.finality_blocks);
        let before = self
            .node
            .transaction_count(self.address(), Some(firm))
            .await?;
        prospect.is_confirmed = prospect.mined <= before.saturating_add(MAX_FILL);
        if prospect.is_confirmed {
            Ok(())
        } else {
            Err(SendError::FarAhead)
        }
    }

    async fn begin(&self) -> Result<Box<dyn Tx>, SendError> {
        let tx = self.store.begin(TxMode::Write).await;
        tx.map_err(|error| SendError::not_now(error.to_string()))
    }

    async fn ask_chain(&self, call: &Call) -> Result<Prospect, SendError> {
        let data = call.data_hex();
        let simulated = Simulated {
            from: self.address(),
            to: call.to(),
            data: &data,
            gas: None,
        };
        let gas = match self.node.estimate_gas(&simulated).await {
            Ok(gas) => gas,
            Err(error) if error.is_revert() => return Err(SendError::Reverts(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let gas_limit = gas.saturating_add(gas / 4).max(MIN_GAS);
        if gas_limit > MAX_GAS {
            return Err(Forbidden::Gas.into());
        }
        Ok(Prospect {
            gas_limit,
            fees: self.market().await?,
            mined: self.node.transaction_count(self.address(), None).await?,
            is_confirmed: false,
            balance_gwei: to_gwei(self.node.balance(self.address()).await?),
        })
    }

    /// What a transaction must pay now, below the ceiling: twice the base fee, which lasts for
    /// several full blocks.
    ///
    /// # Errors
    /// When the node does not say, or the price is above the ceiling.
    pub(crate) async fn market(&self) -> Result<Fees, SendError> {
        let head = self.node.block(None).await?;
        let Some(base) = head.base_fee else {
            return Err(SendError::not_now("the chain has no base fee (EIP-1559)"));
        };
        let priority = match self.node.priority_fee().await {
            Ok(priority) => priority,
            // Not every chain has the method; those take what the base fee is.
            Err(NodeError::Refused { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        let ceiling = self.wallet.rules().max_fee_per_gas;
        if base.saturating_add(priority) > ceiling {
            return Err(Forbidden::GasPrice.into());
        }
        let max = base.saturating_mul(2).saturating_add(priority).min(ceiling);
        Ok(Fees { max, priority })
    }

    /// Whether a transaction could be paid now.
    ///
    /// # Errors
    /// When it could not, or the node does not say.
    pub(crate) async fn can_pay(&self) -> Result<(), SendError> {
        let price = self.market().await?.max.saturating_mul(MIN_GAS.into());
        let held = self.node.balance(self.address()).await?;
        let found = WalletBalance {
            unit: "wei",
            held,
            floor: price,
        };
        *self.balance.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        if held < price {
            return Err(SendError::not_now("the hot wallet cannot pay for gas"));
        }
        self.has_room(price).await
    }

    // What `sign` would refuse: nothing is sold that could not be settled.
    async fn has_room(&self, price: u128) -> Result<(), SendError> {
        let unread = |error: StoreError| SendError::not_now(error.to_string());
        let mut tx = self.store.begin(TxMode::Read).await.map_err(unread)?;
        let since = self.now().minus(DAY);
        let spent = tx
            .lane_cost_since(&self.lane, since)
            .await
            .map_err(unread)?;
        let open = tx.open_chain_transactions(&self.lane, MAX_OPEN).await;
        let open = open.map_err(unread)?.len();
        tx.rollback().await.map_err(unread)?;
        if spent.saturating_add(to_gwei(price)) > self.limits.max_gas_per_day_gwei {
            return Err(SendError::not_now("the gas of the day is spent"));
        }
        if open >= usize::try_from(MAX_OPEN).unwrap_or(usize::MAX) {
            return Err(SendError::not_now(
                "too many transactions wait for the chain",
            ));
        }
        Ok(())
    }

    async fn sign_in(
        &self,
        tx: &mut dyn Tx,
        intent: Intent<'_>,
        prospect: &Prospect,
    ) -> Result<ChainTransaction, SendError> {
        let now = self.now();
        let unsigned = |error: StoreError| SendError::not_now(error.to_string());
        let stored = tx.lock_lane(&self.lane, now).await.map_err(unsigned)?;
        if let Some(proof_key) = intent.proof_key {
            let sent = tx
                .chain_transactions_of(proof_key)
                .await
                .map_err(unsigned)?;
            if let Some(earlier) = find_effective(&sent, intent.purpose) {
                return Ok(earlier.clone());
            }
            if count_failures(&sent, intent.purpose) >= MAX_FAILURES {
                return Err(SendError::GivenUp);
            }
        }
        self.check_group(tx, intent, now).await?;
        let open = tx
            .open_chain_transactions(&self.lane, MAX_OPEN)
            .await
            .map_err(unsigned)?;
        if open.len() >= usize::try_from(MAX_OPEN).unwrap_or(usize::MAX) {
            return Err(SendError::not_now(
                "too many transactions wait for the chain",
            ));
        }
        if intent.purpose == Purpose::Sweep && open.iter().any(|it| it.purpose == Purpose::Sweep) {
            return Err(SendError::not_now("a sweep is on its way"));
        }
        if prospect.mined > stored.saturating_add(MAX_FILL) && !prospect.is_confirmed {
            return Err(SendError::FarAhead);
        }
        // The chain is ahead of a database that was restored, and of a wallet used by hand.
        let nonce = stored.max(prospect.mined);
        let signed = self
            .wallet
            .sign(intent.call, nonce, prospect.gas_limit, prospect.fees)?;
        self.check_money(tx, &signed, &open, prospect, now).await?;
        let transaction = ChainTransaction {
            hash: signed.hash,
            lane: self.lane.clone(),
            nonce: Some(nonce),
            purpose: intent.purpose,
            proof_key: intent.proof_key.map(str::to_owned),
            group: intent.group.map(str::to_owned),
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
        tx.set_next_nonce(&self.lane, nonce.saturating_add(1), now)
            .await
            .map_err(unsigned)?;
        Ok(transaction)
    }

    async fn check_group(
        &self,
        tx: &mut dyn Tx,
        intent: Intent<'_>,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let (Some(group), Some(proof_key)) = (intent.group, intent.proof_key) else {
            return Ok(());
        };
        let since = now.minus(DAY);
        let holder = tx.find_group_holder(&self.lane, group, since).await;
        match holder.map_err(|error| SendError::not_now(error.to_string()))? {
            Some(holder) if holder != proof_key => Err(SendError::not_now(
                "another payment of this owner is on its way",
            )),
            _ => Ok(()),
        }
    }

    async fn check_money(
        &self,
        tx: &mut dyn Tx,
        signed: &SignedTransaction,
        open: &[ChainTransaction],
        prospect: &Prospect,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let since = now.minus(DAY);
        let spent = tx.lane_cost_since(&self.lane, since).await;
        let spent = spent.map_err(|error| SendError::not_now(error.to_string()))?;
        if spent.saturating_add(signed.max_cost_gwei) > self.limits.max_gas_per_day_gwei {
            return Err(SendError::not_now("the gas of the day is spent"));
        }
        let promised = open
            .iter()
            .map(|it| it.max_cost)
            .fold(0, u64::saturating_add);
        if promised.saturating_add(signed.max_cost_gwei) > prospect.balance_gwei {
            return Err(SendError::not_now("the hot wallet cannot pay for gas"));
        }
        Ok(())
    }

    /// Hands a stored transaction to the node. Whatever the node says, only a receipt counts.
    pub(crate) async fn send(&self, transaction: &ChainTransaction) {
        if let Err(error) = self.node.send_raw(&transaction.raw).await {
            tracing::info!(
                chain.transaction = %transaction.hash, error = %error,
                "the node did not take the transaction, or has it already"
            );
        }
    }

    /// The same for somebody who waits for the block. A node that can is asked to answer when it has
    /// one; what then is in it is looked at as ever. When it did not say so, the transaction may be in,
    /// on its way, or lost: it is handed over once more, which does no harm.
    pub(crate) async fn send_and_wait(&self, transaction: &ChainTransaction) {
        let Some(at_most) = self.sync_wait else {
            return self.send(transaction).await;
        };
        let sent = self.node.send_raw_and_wait(&transaction.raw);
        let reason = match tokio::time::timeout(at_most, sent).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "time ran out".to_owned(),
        };
        tracing::info!(
            chain.transaction = %transaction.hash, reason,
            "the node did not wait for the transaction"
        );
        self.send(transaction).await;
    }

    /// Lets the next payment of an owner go on.
    pub(crate) async fn release_group(&self, proof_key: &str) -> Result<(), StoreError> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.release_group(proof_key).await?;
        tx.commit().await
    }
}

/// The transaction of a payment that is on its way or did its work; the newest of several prices.
pub(crate) fn find_effective(
    sent: &[ChainTransaction],
    purpose: Purpose,
) -> Option<&ChainTransaction> {
    let is_effective = |it: &&ChainTransaction| {
        it.purpose == purpose && matches!(it.state, SentState::Open | SentState::Mined { .. })
    };
    sent.iter().rev().find(is_effective)
}

/// Every transaction that was signed for one number of the account.
pub(crate) fn siblings_of<'a>(
    sent: &'a [ChainTransaction],
    one: &ChainTransaction,
) -> Vec<&'a ChainTransaction> {
    sent.iter().filter(|it| it.nonce == one.nonce).collect()
}

/// How often a payment failed on the chain with this purpose.
pub(crate) fn count_failures(sent: &[ChainTransaction], purpose: Purpose) -> usize {
    let is_failed = |it: &&ChainTransaction| {
        it.purpose == purpose && matches!(it.state, SentState::Failed { .. })
    };
    sent.iter().filter(is_failed).count()
}

/// Rounded down: what is less than a gwei pays for nothing.
fn to_gwei(wei: u128) -> u64 {
    u64::try_from(wei / 1_000_000_000).unwrap_or(u64::MAX)
}
