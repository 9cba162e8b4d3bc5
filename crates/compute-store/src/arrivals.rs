//! Arrivals: money that chains show to have reached us, and how far they have been read.

mod row;

use async_trait::async_trait;
use compute_domain::arrival::Arrival;
use compute_domain::id::{ArrivalId, PaymentId};
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::time::Timestamp;
use compute_engine::ports::{ArrivalSource, Arrivals, RevertedPayment, StoreError};

use crate::dialect::LOCK_ARRIVAL_SOURCE;
use crate::payments::{PaymentRow, payment_columns};
use crate::statement::{Refusal, execute, fetch, rejected};
use crate::tx::StoreTx;
use row::{ArrivalRow, SourceRow};

macro_rules! source_columns {
    () => {
        "source, read_from, started_at, read_up_to, small_atomic, small_transfers"
    };
}
pub(crate) use source_columns;

macro_rules! arrival_columns {
    () => {
        "id, source, rail, reference, log_index, payer, asset_atomic, asset_decimals, transfers, at,
    state, payment_id, owner_id, note"
    };
}

/// A payment whose money has not been seen.
macro_rules! not_seen {
    () => {
        "NOT EXISTS (SELECT 1 FROM arrivals AS seen WHERE seen.payment_id = payments.id)"
    };
}

const LIST_SOURCES: &str = concat!(
    "SELECT ",
    source_columns!(),
    "
FROM arrival_sources
ORDER BY source"
);

const SAVE_SOURCE: &str = concat!(
    "INSERT INTO arrival_sources (",
    source_columns!(),
    ")
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (source) DO UPDATE
SET read_from = excluded.read_from, read_up_to = excluded.read_up_to,
    small_atomic = excluded.small_atomic, small_transfers = excluded.small_transfers"
);

const BIND: &str = "INSERT INTO arrival_rails (rail, source, since)
VALUES ($1, $2, $3)
ON CONFLICT (rail) DO UPDATE
SET source = excluded.source, since = excluded.since
WHERE arrival_rails.source <> excluded.source";

const INSERT: &str = concat!(
    "INSERT INTO arrivals (",
    arrival_columns!(),
    ", amount_micros)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (source, reference, log_index) DO NOTHING"
);

const SAVE: &str = "UPDATE arrivals
SET state = $3, payment_id = $4, owner_id = $5, note = $6
WHERE id = $1 AND state = $2";

const FIND: &str = concat!(
    "SELECT ",
    arrival_columns!(),
    "
FROM arrivals
WHERE id = $1"
);

const UNEXPLAINED_IN: &str = concat!(
    "SELECT ",
    arrival_columns!(),
    "
FROM arrivals
WHERE reference = $1 AND state <> 'matched'
ORDER BY log_index, id"
);

const LIST: &str = concat!(
    "SELECT ",
    arrival_columns!(),
    "
FROM arrivals
WHERE state = $1 AND (CAST($2 AS TEXT) IS NULL OR source = $2)
ORDER BY at, id
LIMIT $3"
);

const LIST_EXPLICABLE: &str = concat!(
    "SELECT ",
    arrival_columns!(),
    "
FROM arrivals
WHERE source = $1 AND state <> 'matched'
    AND EXISTS (
        SELECT 1 FROM payments WHERE payments.reference = arrivals.reference AND ",
    not_seen!(),
    ")
ORDER BY at, id
LIMIT $2"
);

const UNARRIVED_IN: &str = concat!(
    "SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE reference = $1 AND ",
    not_seen!(),
    "
ORDER BY COALESCE(log_index, -1), id"
);

/// Two lists, because an index serves each and none serves both.
const UNDECIDED: &str = concat!(
    "SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE rail = $1 AND state = 'claimed'
UNION ALL
SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE rail = $1 AND state <> 'claimed' AND id IN (SELECT payment_id FROM reverted_payments)"
);

const NOTE_REVERTED: &str = "INSERT INTO reverted_payments (payment_id, since)
SELECT id, $2 FROM payments
WHERE proof_key = $1 AND state IN ('settled', 'refunded')
ON CONFLICT (payment_id) DO NOTHING";

const CLEAR_REVERTED: &str = "DELETE FROM reverted_payments
WHERE payment_id = $1";

const LIST_REVERTED: &str = concat!(
    "SELECT ",
    payment_columns!(),
    ", since
FROM payments
JOIN reverted_payments ON reverted_payments.payment_id = payments.id
ORDER BY since, id
LIMIT $1"
);

const REVERTED_SINCE: &str = "SELECT since
FROM reverted_payments
WHERE payment_id = $1";

#[derive(Debug, sqlx::FromRow)]
struct RevertedRow {
    #[sqlx(flatten)]
    payment: PaymentRow,
    since: i64,
}

#[async_trait]
impl Arrivals for StoreTx {
    async fn lock_arrival_source(
        &mut self,
        source: &str,
    ) -> Result<Option<ArrivalSource>, StoreError> {
        let row: Option<SourceRow> = fetch!(
            fetch_optional,
            self,
            "arrival_sources",
            LOCK_ARRIVAL_SOURCE,
            source
        )?;
        row.map(SourceRow::parse).transpose()
    }

    async fn list_arrival_sources(&mut self) -> Result<Vec<ArrivalSource>, StoreError> {
        let rows: Vec<SourceRow> = fetch!(fetch_all, self, "arrival_sources", LIST_SOURCES)?;
        rows.into_iter().map(SourceRow::parse).collect()
    }

    async fn save_arrival_source(&mut self, source: &ArrivalSource) -> Result<(), StoreError> {
        let Ok(small_transfers) = i64::try_from(source.small_transfers) else {
            return Err(self.fail(rejected(Refusal::NumberTooLarge)));
        };
        execute!(
            self,
            "arrival_sources",
            SAVE_SOURCE,
            &source.source,
            &source.cursor,
            source.started_at.millis(),
            source.read_up_to.millis(),
            source.small_atomic.to_string(),
            small_transfers,
        )?;
        Ok(())
    }

    async fn bind_arrival_rail(
        &mut self,
        rail: &RailLabel,
        source: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rail = rail.as_str();
        execute!(self, "arrival_rails", BIND, rail, source, now.millis())?;
        Ok(())
    }

    async fn insert_arrival(&mut self, arrival: &Arrival) -> Result<bool, StoreError> {
        if i64::try_from(arrival.transfers).is_err() {
            return Err(self.fail(rejected(Refusal::NumberTooLarge)));
        }
        let row = ArrivalRow::of(arrival);
        let rows = execute!(
            self,
            "arrivals",
            INSERT,
            row.id,
            row.source,
            row.rail,
            row.reference,
            row.log_index,
            row.payer,
            row.asset_atomic,
            row.asset_decimals,
            row.transfers,
            row.at,
            row.state,
            row.payment_id,
            row.owner_id,
            row.note,
            arrival.worth().micros(),
        )?;
        Ok(rows == 1)
    }

    async fn save_arrival(
        &mut self,
        arrival: &Arrival,
        before: &'static str,
    ) -> Result<bool, StoreError> {
        let row = ArrivalRow::of(arrival);
        let rows = execute!(
            self,
            "arrivals",
            SAVE,
            row.id,
            before,
            row.state,
            row.payment_id,
            row.owner_id,
            row.note,
        )?;
        Ok(rows == 1)
    }

    async fn find_arrival(&mut self, id: ArrivalId) -> Result<Option<Arrival>, StoreError> {
        let row: Option<ArrivalRow> =
            fetch!(fetch_optional, self, "arrivals", FIND, id.to_string())?;
        row.map(ArrivalRow::parse).transpose()
    }

    async fn unexplained_in(&mut self, reference: &str) -> Result<Vec<Arrival>, StoreError> {
        let rows: Vec<ArrivalRow> = fetch!(fetch_all, self, "arrivals", UNEXPLAINED_IN, reference)?;
        rows.into_iter().map(ArrivalRow::parse).collect()
    }

    async fn list_arrivals(
        &mut self,
        source: Option<&str>,
        state: &'static str,
        limit: u32,
    ) -> Result<Vec<Arrival>, StoreError> {
        let limit = i64::from(limit);
        let rows: Vec<ArrivalRow> =
            fetch!(fetch_all, self, "arrivals", LIST, state, source, limit)?;
        rows.into_iter().map(ArrivalRow::parse).collect()
    }

    async fn list_explicable(
        &mut self,
        source: &str,
        limit: u32,
    ) -> Result<Vec<Arrival>, StoreError> {
        let limit = i64::from(limit);
        let rows: Vec<ArrivalRow> =
            fetch!(fetch_all, self, "arrivals", LIST_EXPLICABLE, source, limit)?;
        rows.into_iter().map(ArrivalRow::parse).collect()
    }

    async fn unarrived_in(&mut self, reference: &str) -> Result<Vec<Payment>, StoreError> {
        let rows: Vec<PaymentRow> = fetch!(fetch_all, self, "payments", UNARRIVED_IN, reference)?;
        rows.into_iter().map(PaymentRow::parse).collect()
    }

    async fn undecided_payments(&mut self, rail: &RailLabel) -> Result<Vec<Payment>, StoreError> {
        let rows: Vec<PaymentRow> = fetch!(fetch_all, self, "payments", UNDECIDED, rail.as_str())?;
        rows.into_iter().map(PaymentRow::parse).collect()
    }

    async fn note_reverted(&mut self, proof_key: &str, now: Timestamp) -> Result<bool, StoreError> {
        let rows = execute!(
            self,
            "reverted_payments",
            NOTE_REVERTED,
            proof_key,
            now.millis()
        )?;
        Ok(rows > 0)
    }

    async fn clear_reverted(&mut self, payment: PaymentId) -> Result<bool, StoreError> {
        let id = payment.to_string();
        let rows = execute!(self, "reverted_payments", CLEAR_REVERTED, id)?;
        Ok(rows > 0)
    }

    async fn list_reverted(&mut self, limit: u32) -> Result<Vec<RevertedPayment>, StoreError> {
        let limit = i64::from(limit);
        let rows: Vec<RevertedRow> =
            fetch!(fetch_all, self, "reverted_payments", LIST_REVERTED, limit)?;
        let reverted = rows.into_iter().map(|row| {
            Ok(RevertedPayment {
                payment: row.payment.parse()?,
                since: Timestamp::from_millis(row.since),
            })
        });
        reverted.collect()
    }

    async fn reverted_since(
        &mut self,
        payment: PaymentId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let id = payment.to_string();
        let row: Option<(i64,)> = fetch!(
            fetch_optional,
            self,
            "reverted_payments",
            REVERTED_SINCE,
            id
        )?;
        Ok(row.map(|(since,)| Timestamp::from_millis(since)))
    }
}

#[cfg(test)]
mod plans;
