//! Rows of chain transactions.

use compute_domain::time::Timestamp;
use compute_engine::ports::{ChainTransaction, Lane, Purpose, SentState, StoreError};

use crate::row::{RowName, millis, moment};
use crate::statement::{Refusal, rejected};

#[derive(Clone, sqlx::FromRow)]
pub(super) struct ChainTransactionRow {
    pub(super) hash: String,
    pub(super) lane: String,
    pub(super) nonce: Option<i64>,
    pub(super) purpose: String,
    pub(super) proof_key: Option<String>,
    pub(super) payment_group: Option<String>,
    pub(super) raw: Vec<u8>,
    pub(super) max_cost: i64,
    pub(super) valid_until: Option<i64>,
    pub(super) state: String,
    pub(super) block: Option<i64>,
    pub(super) created_at: i64,
    pub(super) concluded_at: Option<i64>,
}

/// A number as a cell; one that no cell can hold is refused.
pub(super) fn cell(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| rejected(Refusal::NumberTooLarge))
}

/// The word of a state.
pub(super) const fn state_word(state: SentState) -> &'static str {
    match state {
        SentState::Open => "open",
        SentState::Mined { .. } => "mined",
        SentState::Failed { .. } => "failed",
        SentState::Void => "void",
    }
}

/// The cell of the block that includes a transaction.
pub(super) fn block_of(state: SentState) -> Result<Option<i64>, StoreError> {
    match state {
        SentState::Mined { block } | SentState::Failed { block } => cell(block).map(Some),
        SentState::Open | SentState::Void => Ok(None),
    }
}

impl ChainTransactionRow {
    pub(super) fn of(transaction: &ChainTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            hash: transaction.hash.clone(),
            lane: transaction.lane.as_str().to_owned(),
            nonce: transaction.nonce.map(cell).transpose()?,
            purpose: transaction.purpose.as_str().to_owned(),
            proof_key: transaction.proof_key.clone(),
            payment_group: transaction.group.clone(),
            raw: transaction.raw.clone(),
            max_cost: cell(transaction.max_cost)?,
            valid_until: transaction.valid_until.map(cell).transpose()?,
            state: state_word(transaction.state).to_owned(),
            block: block_of(transaction.state)?,
            created_at: transaction.created_at.millis(),
            concluded_at: millis(transaction.concluded_at),
        })
    }

    pub(super) fn parse(self) -> Result<ChainTransaction, StoreError> {
        let name = RowName::new("chain_transactions", &self.hash);
        let number = |column, cell: Option<i64>| -> Result<Option<u64>, StoreError> {
            cell.map(|cell| name.number(column, cell)).transpose()
        };
        let state = match (self.state.as_str(), number("block", self.block)?) {
            ("open", None) => SentState::Open,
            ("mined", Some(block)) => SentState::Mined { block },
            ("failed", Some(block)) => SentState::Failed { block },
            ("void", None) => SentState::Void,
            _ => return Err(name.bad("state")),
        };
        Ok(ChainTransaction {
            lane: name.check("lane", Lane::parse(&self.lane))?,
            nonce: number("nonce", self.nonce)?,
            purpose: name.present("purpose", Purpose::parse(&self.purpose))?,
            proof_key: self.proof_key,
            group: self.payment_group,
            raw: self.raw,
            max_cost: name.number("max_cost", self.max_cost)?,
            valid_until: number("valid_until", self.valid_until)?,
            state,
            created_at: Timestamp::from_millis(self.created_at),
            concluded_at: moment(self.concluded_at),
            hash: self.hash,
        })
    }
}
