//! What was signed, written down before it is sent: one line per fee payer and network.
//!
//! Nothing on Solana needs an order, but whoever signs holds the line: so that two replicas agree
//! on what a payment's transaction is, and on what was spent today.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compute_domain::time::{Clock, Span, Timestamp};
use compute_engine::ports::{
    ChainTransaction, Lane, Purpose, SentState, Store, StoreError, Tx, TxMode,
};
use compute_wallet::SolanaAddress;

use crate::fee_payer::{Approved, Signed};

/// More transactions than this do not wait for the chain at one time.
pub(crate) const MAX_OPEN: u32 = 64;

/// What is spent is counted over this long.
const DAY: Span = Span::from_hours(24);

/// Failures are counted over this long.
const FAILURES_WINDOW: Span = Span::from_hours(1);

/// Of so many payers failures are remembered; the oldest are forgotten first.
const MAX_FAILING_PAYERS: usize = 4_096;

/// Below this an account of the network is emptied for good, or the transaction refused, in lamports:
/// what an account without data must hold.
const RENT_FLOOR_LAMPORTS: u64 = 890_880;

/// The line of one fee payer.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lane: Lane,
    pub(crate) max_lamports_per_day: u64,
    pub(crate) max_failures_per_payer: usize,
    pub(crate) failures: Failures,
}

/// What is signed, and what it may cost.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) approved: &'a Approved,
    pub(crate) signed: &'a Signed,
    /// The last block height at which it can be included.
    pub(crate) valid_until: u64,
    /// What the fee payer has, in lamports.
    pub(crate) balance: u64,
}

/// Why nothing was written. The texts are for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    /// Nothing was stored, and nothing will be sent.
    #[error("{0}")]
    NotNow(String),
    /// It may be stored.
    #[error("the database did not confirm: {0}")]
    Unsure(StoreError),
}

impl From<StoreError> for BookError {
    fn from(error: StoreError) -> Self {
        Self::NotNow(error.to_string())
    }
}

impl Book {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The transaction that was signed for a payment. There is never more than one: whoever signs
    /// the same message again gets the same bytes.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn find(
        &self,
        proof_key: &str,
    ) -> Result<Option<ChainTransaction>, StoreError> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let found = tx.chain_transactions_of(proof_key).await?;
        tx.rollback().await?;
        Ok(found.into_iter().next())
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

    /// The transactions that may be included yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) async fn open(&self) -> Result<Vec<ChainTransaction>, StoreError> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let open = tx.open_chain_transactions(&self.lane, MAX_OPEN).await?;
        tx.rollback().await?;
        Ok(open)
    }

    /// Whether another payment can be afforded today.
    ///
    /// # Errors
    /// When not, or the database cannot be read.
    pub(crate) async fn can_spend(&self, lamports: u64) -> Result<(), BookError> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let checked = self.check_day(tx.as_mut(), lamports).await;
        tx.rollback().await?;
        checked
    }

    /// Writes a signed transaction down, or finds what is written already.
    ///
    /// # Errors
    /// See [`BookError`].
    pub(crate) async fn add(&self, entry: Entry<'_>) -> Result<ChainTransaction, BookError> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let transaction = self.add_in(tx.as_mut(), entry).await?;
        tx.commit().await.map_err(BookError::Unsure)?;
        Ok(transaction)
    }

    async fn add_in(
        &self,
        tx: &mut dyn Tx,
        entry: Entry<'_>,
    ) -> Result<ChainTransaction, BookError> {
        let (now, fee) = (self.now(), entry.approved.fee_lamports);
        tx.lock_lane(&self.lane, now).await?;
        let earlier = tx.chain_transactions_of(&entry.approved.proof_key).await?;
        if let Some(earlier) = earlier.into_iter().next() {
            return Ok(earlier);
        }
        let open = tx.open_chain_transactions(&self.lane, MAX_OPEN).await?;
        if open.len() >= usize::try_from(MAX_OPEN).unwrap_or(usize::MAX) {
            let reason = "too many transactions wait for the chain";
            return Err(BookError::NotNow(reason.to_owned()));
        }
        self.check_day(tx, fee).await?;
        let promised = open
            .iter()
            .map(|it| it.max_cost)
            .fold(fee, u64::saturating_add);
        if promised.saturating_add(RENT_FLOOR_LAMPORTS) > entry.balance {
            let reason = "the fee payer cannot pay the fee";
            return Err(BookError::NotNow(reason.to_owned()));
        }
        let transaction = ChainTransaction {
            hash: entry.signed.signature.clone(),
            lane: self.lane.clone(),
            nonce: None,
            purpose: Purpose::Settle,
            proof_key: Some(entry.approved.proof_key.clone()),
            group: None,
            raw: entry.signed.wire.clone(),
            max_cost: fee,
            valid_until: Some(entry.valid_until),
            state: SentState::Open,
            created_at: now,
            concluded_at: None,
        };
        tx.add_chain_transaction(&transaction).await?;
        Ok(transaction)
    }

    async fn check_day(&self, tx: &mut dyn Tx, lamports: u64) -> Result<(), BookError> {
        let since = self.now().minus(DAY);
        let spent = tx.lane_cost_since(&self.lane, since).await?;
        if spent.saturating_add(lamports) > self.max_lamports_per_day {
            let reason = "the fees of the day are spent";
            return Err(BookError::NotNow(reason.to_owned()));
        }
        Ok(())
    }

    /// Writes down what became of a transaction.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) async fn conclude(&self, hash: &str, state: SentState) -> Result<(), StoreError> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.conclude_chain_transaction(hash, state, self.now())
            .await?;
        tx.commit().await
    }

    /// Takes note that a transaction of a payer failed at our expense.
    pub(crate) fn note_failure(&self, payer: SolanaAddress) {
        self.failures.note(payer, self.now());
    }

    /// Whether a payer's transactions fail too often.
    pub(crate) fn fails_too_often(&self, payer: SolanaAddress) -> bool {
        self.failures.count(payer, self.now()) >= self.max_failures_per_payer
    }
}

/// Whose transactions failed lately. Only in memory: it saves fees, and a restart forgives.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<BTreeMap<SolanaAddress, Vec<Timestamp>>>);

impl Failures {
    fn note(&self, payer: SolanaAddress, now: Timestamp) {
        let mut payers = self.payers();
        let since = now.minus(FAILURES_WINDOW);
        payers.retain(|_, times| {
            times.retain(|time| *time > since);
            !times.is_empty()
        });
        if payers.len() >= MAX_FAILING_PAYERS {
            let oldest = payers.iter().min_by_key(|(_, times)| times.last().copied());
            if let Some(oldest) = oldest.map(|(payer, _)| *payer) {
                payers.remove(&oldest);
            }
        }
        payers.entry(payer).or_default().push(now);
    }

    fn count(&self, payer: SolanaAddress, now: Timestamp) -> usize {
        let since = now.minus(FAILURES_WINDOW);
        let payers = self.payers();
        let times = payers.get(&payer);
        times.map_or(0, |times| {
            times.iter().filter(|time| **time > since).count()
        })
    }

    // A poisoned lock means that a holder panicked, and the map is whole between calls.
    fn payers(&self) -> MutexGuard<'_, BTreeMap<SolanaAddress, Vec<Timestamp>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn failures_are_counted_for_an_hour_and_per_payer() {
        let (failures, one, other) = (
            Failures::default(),
            SolanaAddress::new([1; 32]),
            SolanaAddress::new([2; 32]),
        );
        failures.note(one, at(0));
        failures.note(one, at(10));
        assert_eq!(failures.count(one, at(20)), 2);
        assert_eq!(failures.count(other, at(20)), 0);
        assert_eq!(failures.count(one, at(3_605)), 1);
        assert_eq!(failures.count(one, at(3_610)), 0);
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let failures = Failures::default();
        for number in 0..=u16::try_from(MAX_FAILING_PAYERS).unwrap() {
            let mut address = [0; 32];
            address[..2].copy_from_slice(&number.to_be_bytes());
            failures.note(SolanaAddress::new(address), at(u64::from(number) / 2));
        }
        assert_eq!(failures.payers().len(), MAX_FAILING_PAYERS);
        assert_eq!(failures.count(SolanaAddress::new([0; 32]), at(9)), 0);
    }
}
