//! What the server itself signs and sends to a chain.

mod row;

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ChainTransaction, Lane, Outbox, SentState, StoreError};

use crate::row::RowName;
use crate::statement::{Refusal, contended, execute, fetch, rejected};
use crate::tx::StoreTx;
use row::{ChainTransactionRow, block_of, cell, state_word};

macro_rules! columns {
    () => {
        "hash, lane, nonce, purpose, proof_key, payment_group, raw, max_cost, valid_until, state, block,
    created_at, concluded_at"
    };
}

/// An update locks the row, and waits for whoever locked it before; so does an insert of the same lane.
const LOCK_LANE: &str = "INSERT INTO sending_lanes (lane, next_nonce, created_at, used_at)
VALUES ($1, 0, $2, $2)
ON CONFLICT (lane) DO UPDATE
SET used_at = excluded.used_at
RETURNING next_nonce";

const SET_NEXT_NONCE: &str = "UPDATE sending_lanes
SET next_nonce = $2, used_at = $3
WHERE lane = $1";

const ADD: &str = concat!(
    "INSERT INTO chain_transactions
    (",
    columns!(),
    ")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (hash) DO NOTHING"
);

const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    "
FROM chain_transactions
WHERE hash = $1"
);

const LIST_OF_PAYMENT: &str = concat!(
    "SELECT ",
    columns!(),
    "
FROM chain_transactions
WHERE proof_key = $1
ORDER BY created_at, COALESCE(nonce, -1), hash"
);

const LIST_OF_NONCE: &str = concat!(
    "SELECT ",
    columns!(),
    "
FROM chain_transactions
WHERE lane = $1 AND nonce = $2
ORDER BY created_at, hash"
);

const LIST_OPEN: &str = concat!(
    "SELECT ",
    columns!(),
    "
FROM chain_transactions
WHERE lane = $1 AND state = 'open'
ORDER BY COALESCE(nonce, -1), created_at, hash
LIMIT $2"
);

const LIST_MINED: &str = concat!(
    "SELECT ",
    columns!(),
    "
FROM chain_transactions
WHERE lane = $1 AND state = 'mined' AND concluded_at >= $2
ORDER BY concluded_at DESC, hash
LIMIT $3"
);

const FIND_GROUP_HOLDER: &str = "SELECT proof_key
FROM chain_transactions
WHERE lane = $1 AND payment_group = $2 AND created_at >= $3
ORDER BY created_at, COALESCE(nonce, -1), hash
LIMIT 1";

const RELEASE_GROUP: &str = "UPDATE chain_transactions
SET payment_group = NULL
WHERE proof_key = $1 AND payment_group IS NOT NULL";

const CONCLUDE: &str = "UPDATE chain_transactions
SET state = $2, block = $3, concluded_at = $4
WHERE hash = $1 AND state = 'open'";

/// The sum in two parts, because a sum of large numbers is no number of either database.
const COST_SINCE: &str = "SELECT CAST(COALESCE(SUM(cost / 4294967296), 0) AS BIGINT),
    CAST(COALESCE(SUM(cost % 4294967296), 0) AS BIGINT)
FROM (
    SELECT MAX(max_cost) AS cost
    FROM chain_transactions
    WHERE lane = $1 AND state <> 'void' AND (concluded_at IS NULL OR concluded_at >= $2)
    GROUP BY nonce, CASE WHEN nonce IS NULL THEN hash END) AS costs";

/// The first part of a sum counts these.
const COST_UNIT: u64 = 4_294_967_296;

const FORGET: &str = "DELETE FROM chain_transactions
WHERE hash IN (
    SELECT hash FROM chain_transactions
    WHERE state <> 'open' AND payment_group IS NULL AND concluded_at < $1
    ORDER BY concluded_at
    LIMIT $2)";

#[async_trait]
impl Outbox for StoreTx {
    async fn lock_lane(&mut self, lane: &Lane, now: Timestamp) -> Result<u64, StoreError> {
        let (next,): (i64,) = fetch!(
            fetch_one,
            self,
            "sending_lanes",
            LOCK_LANE,
            lane.as_str(),
            now.millis(),
        )?;
        self.locked_lanes.insert(lane.clone());
        RowName::new("sending_lanes", lane.as_str()).number("next_nonce", next)
    }

    async fn set_next_nonce(
        &mut self,
        lane: &Lane,
        next: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.locked_lanes.contains(lane) {
            return Err(self.fail(rejected(Refusal::LaneNotLocked)));
        }
        let next = cell(next).map_err(|error| self.fail(error))?;
        let rows = execute!(
            self,
            "sending_lanes",
            SET_NEXT_NONCE,
            lane.as_str(),
            next,
            now.millis(),
        )?;
        self.exactly_one("sending_lanes", rows)
    }

    async fn add_chain_transaction(
        &mut self,
        transaction: &ChainTransaction,
    ) -> Result<(), StoreError> {
        let row = ChainTransactionRow::of(transaction).map_err(|error| self.fail(error))?;
        let rows = execute!(
            self,
            "chain_transactions",
            ADD,
            &row.hash,
            &row.lane,
            row.nonce,
            &row.purpose,
            &row.proof_key,
            &row.payment_group,
            &row.raw,
            row.max_cost,
            row.valid_until,
            &row.state,
            row.block,
            row.created_at,
            row.concluded_at,
        )?;
        if rows == 1 {
            return Ok(());
        }
        match self.find_chain_transaction(&transaction.hash).await? {
            Some(known) if is_same(&known, transaction) => Ok(()),
            Some(_) => {
                let name = RowName::new("chain_transactions", &transaction.hash);
                Err(self.fail(name.bad("another transaction under the hash")))
            }
            // Forgotten between the two statements.
            None => Err(self.fail(contended())),
        }
    }

    async fn find_chain_transaction(
        &mut self,
        hash: &str,
    ) -> Result<Option<ChainTransaction>, StoreError> {
        let row: Option<ChainTransactionRow> =
            fetch!(fetch_optional, self, "chain_transactions", FIND, hash)?;
        row.map(ChainTransactionRow::parse).transpose()
    }

    async fn chain_transactions_of(
        &mut self,
        proof_key: &str,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        let rows: Vec<ChainTransactionRow> = fetch!(
            fetch_all,
            self,
            "chain_transactions",
            LIST_OF_PAYMENT,
            proof_key
        )?;
        rows.into_iter().map(ChainTransactionRow::parse).collect()
    }

    async fn chain_transactions_at(
        &mut self,
        lane: &Lane,
        nonce: u64,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        let nonce = cell(nonce).map_err(|error| self.fail(error))?;
        let rows: Vec<ChainTransactionRow> = fetch!(
            fetch_all,
            self,
            "chain_transactions",
            LIST_OF_NONCE,
            lane.as_str(),
            nonce
        )?;
        rows.into_iter().map(ChainTransactionRow::parse).collect()
    }

    async fn open_chain_transactions(
        &mut self,
        lane: &Lane,
        limit: u32,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        let rows: Vec<ChainTransactionRow> = fetch!(
            fetch_all,
            self,
            "chain_transactions",
            LIST_OPEN,
            lane.as_str(),
            i64::from(limit),
        )?;
        rows.into_iter().map(ChainTransactionRow::parse).collect()
    }

    async fn mined_chain_transactions(
        &mut self,
        lane: &Lane,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        let rows: Vec<ChainTransactionRow> = fetch!(
            fetch_all,
            self,
            "chain_transactions",
            LIST_MINED,
            lane.as_str(),
            since.millis(),
            i64::from(limit)
        )?;
        rows.into_iter().map(ChainTransactionRow::parse).collect()
    }

    async fn find_group_holder(
        &mut self,
        lane: &Lane,
        group: &str,
        since: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = fetch!(
            fetch_optional,
            self,
            "chain_transactions",
            FIND_GROUP_HOLDER,
            lane.as_str(),
            group,
            since.millis(),
        )?;
        Ok(row.map(|(proof_key,)| proof_key))
    }

    async fn release_group(&mut self, proof_key: &str) -> Result<(), StoreError> {
        // No row is no fault: it held none.
        execute!(self, "chain_transactions", RELEASE_GROUP, proof_key).map(|_| ())
    }

    async fn conclude_chain_transaction(
        &mut self,
        hash: &str,
        state: SentState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if state == SentState::Open {
            return Err(self.fail(rejected(Refusal::NoConclusion)));
        }
        let block = block_of(state).map_err(|error| self.fail(error))?;
        let rows = execute!(
            self,
            "chain_transactions",
            CONCLUDE,
            hash,
            state_word(state),
            block,
            now.millis(),
        )?;
        if rows == 1 {
            return Ok(());
        }
        let known = self.find_chain_transaction(hash).await?;
        match known {
            Some(known) if known.state == state => Ok(()),
            Some(_) => {
                let name = RowName::new("chain_transactions", hash);
                Err(self.fail(name.bad("another conclusion")))
            }
            None => self.exactly_one("chain_transactions", 0),
        }
    }

    async fn lane_cost_since(&mut self, lane: &Lane, since: Timestamp) -> Result<u64, StoreError> {
        let (units, rest): (i64, i64) = fetch!(
            fetch_one,
            self,
            "chain_transactions",
            COST_SINCE,
            lane.as_str(),
            since.millis(),
        )?;
        let name = RowName::new("chain_transactions", lane.as_str());
        let (units, rest): (u64, u64) = (
            name.number("max_cost", units)?,
            name.number("max_cost", rest)?,
        );
        Ok(units.saturating_mul(COST_UNIT).saturating_add(rest))
    }

    async fn forget_chain_transactions(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        execute!(self, "chain_transactions", FORGET, before.millis(), limit)
    }
}

/// Whether a transaction that is added is one that is there. Its group and its conclusion may have
/// changed since, and who adds it again has another moment and may reckon its cost anew.
fn is_same(known: &ChainTransaction, added: &ChainTransaction) -> bool {
    known.raw == added.raw
        && known.lane == added.lane
        && known.nonce == added.nonce
        && known.purpose == added.purpose
        && known.proof_key == added.proof_key
}

#[cfg(test)]
mod plans;
