//! Reserves, disputes, and how far disputes were read.

mod row;

use async_trait::async_trait;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::ledger::Account;
use compute_domain::money::Usd;
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::reserve::{Dispute, Reserve, ReserveKind};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Ledger as _, Reserves, StoreError};

use crate::payments::{PaymentRow, payment_columns};
use crate::statement::{execute, fetch, rejected};
use crate::tx::StoreTx;
use row::{DisputeRow, ReserveRow};

macro_rules! reserve_columns {
    () => {
        "id, payment_id, owner_id, rail, kind, name, amount_micros, note, account, created_at, state,
    reference, code"
    };
}

macro_rules! dispute_columns {
    () => {
        "rail, reference, payment_id, owner_id, amount_micros, status, state, opened_at, seen_at"
    };
}

const SETTLED: &str = concat!(
    "SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE reference = $2 AND rail = $1
ORDER BY claimed_at, id
LIMIT 1"
);

const WITH_ID: &str = concat!(
    "SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE id = $1"
);

const FIRST_CLAIM: &str = "SELECT MIN(claimed_at)
FROM payments
WHERE rail = $1";

const FIRST_UNDECIDED: &str = "SELECT MIN(claimed_at)
FROM payments
WHERE rail = $1 AND state = 'claimed'";

/// What was given back to an owner for all that an operation was about.
const GIVEN: &str = "SELECT CAST(COALESCE(SUM(transfers.amount_micros), 0) AS BIGINT)
FROM operations AS bought
JOIN operations ON operations.id = bought.id
    OR (operations.instance_id IS NOT NULL AND operations.instance_id = bought.instance_id)
JOIN ledger_transfers AS transfers ON transfers.operation_id = operations.id
WHERE bought.id = $1 AND transfers.credit_account = $2
    AND transfers.reason IN ('topup', 'payment_refund', 'early_destroy', 'lost_machine')";

/// What was set aside for all that an operation was about: of it all, and of the one payment.
const SET_ASIDE: &str = "SELECT CAST(COALESCE(SUM(reserves.amount_micros), 0) AS BIGINT),
    CAST(COALESCE(SUM(CASE WHEN reserves.payment_id = $2 THEN reserves.amount_micros ELSE 0 END), 0)
        AS BIGINT)
FROM operations AS bought
JOIN operations ON operations.id = bought.id
    OR (operations.instance_id IS NOT NULL AND operations.instance_id = bought.instance_id)
JOIN payments ON payments.operation_id = operations.id
JOIN card_reserves AS reserves ON reserves.payment_id = payments.id
WHERE bought.id = $1 AND reserves.owner_id = $3 AND reserves.state <> 'released'";

const INSERT: &str = concat!(
    "INSERT INTO card_reserves (",
    reserve_columns!(),
    ")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (payment_id, name) WHERE kind = 'refund' DO NOTHING"
);

const SAVE: &str = "UPDATE card_reserves
SET account = $2, state = $3, reference = $4, code = $5
WHERE id = $1 AND state = 'held'";

const FIND_REFUND: &str = concat!(
    "SELECT ",
    reserve_columns!(),
    "
FROM card_reserves
WHERE payment_id = $1 AND name = $2 AND kind = 'refund'"
);

const HELD: &str = concat!(
    "SELECT ",
    reserve_columns!(),
    "
FROM card_reserves
WHERE rail = $1 AND kind = $2 AND state = 'held'
ORDER BY created_at, id
LIMIT $3"
);

const LIST: &str = concat!(
    "SELECT ",
    reserve_columns!(),
    "
FROM card_reserves
WHERE kind = $1
ORDER BY created_at DESC, id DESC
LIMIT $2"
);

const OF_DISPUTE: &str = concat!(
    "SELECT ",
    reserve_columns!(),
    "
FROM card_reserves
WHERE payment_id = $1 AND name = $2 AND kind = 'dispute'
ORDER BY created_at, id"
);

const SAVE_DISPUTE: &str = concat!(
    "INSERT INTO card_disputes (",
    dispute_columns!(),
    ")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (rail, reference) DO UPDATE
SET amount_micros = excluded.amount_micros, status = excluded.status, state = excluded.state"
);

const FIND_DISPUTE: &str = concat!(
    "SELECT ",
    dispute_columns!(),
    "
FROM card_disputes
WHERE rail = $1 AND reference = $2"
);

const LIST_DISPUTES: &str = concat!(
    "SELECT ",
    dispute_columns!(),
    "
FROM card_disputes
ORDER BY opened_at DESC, rail, reference
LIMIT $1"
);

const LIST_OPEN: &str = concat!(
    "SELECT ",
    dispute_columns!(),
    "
FROM card_disputes
WHERE state = 'open'
ORDER BY opened_at DESC, rail, reference
LIMIT $1"
);

const DISPUTES_AGAINST: &str = concat!(
    "SELECT ",
    dispute_columns!(),
    "
FROM card_disputes
WHERE state IN ('open', 'lost') AND payment_id IN (
    SELECT payments.id
    FROM operations AS own
    JOIN operations ON operations.id = own.id
        OR (operations.instance_id IS NOT NULL AND operations.instance_id = own.instance_id)
    JOIN payments ON payments.operation_id = operations.id
    WHERE own.id = $1)
ORDER BY opened_at, rail, reference"
);

const READ_UP_TO: &str = "SELECT read_up_to
FROM card_dispute_reads
WHERE rail = $1 AND account = $2";

const NOTE_READ: &str = "INSERT INTO card_dispute_reads (rail, account, read_up_to)
VALUES ($1, $2, $3)
ON CONFLICT (rail, account) DO UPDATE
SET read_up_to = excluded.read_up_to
WHERE card_dispute_reads.read_up_to < excluded.read_up_to";

#[async_trait]
impl Reserves for StoreTx {
    async fn open_credits(&mut self, owner: OwnerId) -> Result<Usd, StoreError> {
        self.open_account(&Account::Credits(owner).to_string())
            .await?;
        self.lock_credits(owner).await
    }

    async fn settled_payment(
        &mut self,
        rail: &RailLabel,
        reference: &str,
    ) -> Result<Option<Payment>, StoreError> {
        let row: Option<PaymentRow> = fetch!(
            fetch_optional,
            self,
            "payments",
            SETTLED,
            rail.as_str(),
            reference
        )?;
        row.map(PaymentRow::parse).transpose()
    }

    async fn payment_with_id(&mut self, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        let row: Option<PaymentRow> =
            fetch!(fetch_optional, self, "payments", WITH_ID, id.to_string())?;
        row.map(PaymentRow::parse).transpose()
    }

    async fn first_claim(&mut self, rail: &RailLabel) -> Result<Option<Timestamp>, StoreError> {
        let (first,): (Option<i64>,) =
            fetch!(fetch_one, self, "payments", FIRST_CLAIM, rail.as_str())?;
        Ok(first.map(Timestamp::from_millis))
    }

    async fn first_undecided(&mut self, rail: &RailLabel) -> Result<Option<Timestamp>, StoreError> {
        let (first,): (Option<i64>,) =
            fetch!(fetch_one, self, "payments", FIRST_UNDECIDED, rail.as_str())?;
        Ok(first.map(Timestamp::from_millis))
    }

    async fn returned_of(&mut self, payment: &Payment) -> Result<Usd, StoreError> {
        let operation = payment.operation.to_string();
        let account = Account::Credits(payment.owner).to_string();
        let (given,): (i64,) = fetch!(
            fetch_one,
            self,
            "ledger_transfers",
            GIVEN,
            &operation,
            account
        )?;
        let (of_all, of_it): (i64, i64) = fetch!(
            fetch_one,
            self,
            "card_reserves",
            SET_ASIDE,
            &operation,
            payment.id.to_string(),
            payment.owner.to_string()
        )?;
        let price = payment.price.micros();
        let left = price
            .saturating_sub(of_it)
            .min(given.saturating_sub(of_all))
            .max(0);
        Usd::from_micros(left).map_err(|error| self.fail(rejected(error)))
    }

    async fn insert_reserve(&mut self, reserve: &Reserve) -> Result<bool, StoreError> {
        let row = ReserveRow::of(reserve);
        let rows = execute!(
            self,
            "card_reserves",
            INSERT,
            row.id,
            row.payment_id,
            row.owner_id,
            row.rail,
            row.kind,
            row.name,
            row.amount_micros,
            row.note,
            row.account,
            row.created_at,
            row.state,
            row.reference,
            row.code,
        )?;
        Ok(rows == 1)
    }

    async fn save_reserve(&mut self, reserve: &Reserve) -> Result<bool, StoreError> {
        let row = ReserveRow::of(reserve);
        let rows = execute!(
            self,
            "card_reserves",
            SAVE,
            row.id,
            row.account,
            row.state,
            row.reference,
            row.code,
        )?;
        Ok(rows == 1)
    }

    async fn find_refund(
        &mut self,
        payment: PaymentId,
        name: &str,
    ) -> Result<Option<Reserve>, StoreError> {
        let row: Option<ReserveRow> = fetch!(
            fetch_optional,
            self,
            "card_reserves",
            FIND_REFUND,
            payment.to_string(),
            name
        )?;
        row.map(ReserveRow::parse).transpose()
    }

    async fn held_reserves(
        &mut self,
        rail: &RailLabel,
        kind: ReserveKind,
        limit: u32,
    ) -> Result<Vec<Reserve>, StoreError> {
        let rows: Vec<ReserveRow> = fetch!(
            fetch_all,
            self,
            "card_reserves",
            HELD,
            rail.as_str(),
            kind.as_str(),
            i64::from(limit)
        )?;
        rows.into_iter().map(ReserveRow::parse).collect()
    }

    async fn list_reserves(
        &mut self,
        kind: ReserveKind,
        limit: u32,
    ) -> Result<Vec<Reserve>, StoreError> {
        let (kind, limit) = (kind.as_str(), i64::from(limit));
        let rows: Vec<ReserveRow> = fetch!(fetch_all, self, "card_reserves", LIST, kind, limit)?;
        rows.into_iter().map(ReserveRow::parse).collect()
    }

    async fn reserves_of(&mut self, dispute: &Dispute) -> Result<Vec<Reserve>, StoreError> {
        let rows: Vec<ReserveRow> = fetch!(
            fetch_all,
            self,
            "card_reserves",
            OF_DISPUTE,
            dispute.payment.to_string(),
            &dispute.reference
        )?;
        rows.into_iter().map(ReserveRow::parse).collect()
    }

    async fn save_dispute(&mut self, dispute: &Dispute) -> Result<(), StoreError> {
        execute!(
            self,
            "card_disputes",
            SAVE_DISPUTE,
            dispute.rail.as_str(),
            &dispute.reference,
            dispute.payment.to_string(),
            dispute.owner.to_string(),
            dispute.amount.micros(),
            &dispute.status,
            dispute.state.as_str(),
            dispute.opened_at.millis(),
            dispute.seen_at.millis(),
        )?;
        Ok(())
    }

    async fn find_dispute(
        &mut self,
        rail: &RailLabel,
        reference: &str,
    ) -> Result<Option<Dispute>, StoreError> {
        let row: Option<DisputeRow> = fetch!(
            fetch_optional,
            self,
            "card_disputes",
            FIND_DISPUTE,
            rail.as_str(),
            reference
        )?;
        row.map(DisputeRow::parse).transpose()
    }

    async fn list_disputes(
        &mut self,
        only_open: bool,
        limit: u32,
    ) -> Result<Vec<Dispute>, StoreError> {
        let limit = i64::from(limit);
        let rows: Vec<DisputeRow> = if only_open {
            fetch!(fetch_all, self, "card_disputes", LIST_OPEN, limit)?
        } else {
            fetch!(fetch_all, self, "card_disputes", LIST_DISPUTES, limit)?
        };
        rows.into_iter().map(DisputeRow::parse).collect()
    }

    async fn disputes_against(
        &mut self,
        operation: OperationId,
    ) -> Result<Vec<Dispute>, StoreError> {
        let rows: Vec<DisputeRow> = fetch!(
            fetch_all,
            self,
            "card_disputes",
            DISPUTES_AGAINST,
            operation.to_string()
        )?;
        rows.into_iter().map(DisputeRow::parse).collect()
    }

    async fn disputes_read(
        &mut self,
        rail: &RailLabel,
        account: &str,
    ) -> Result<Option<Timestamp>, StoreError> {
        let row: Option<(i64,)> = fetch!(
            fetch_optional,
            self,
            "card_dispute_reads",
            READ_UP_TO,
            rail.as_str(),
            account
        )?;
        Ok(row.map(|(at,)| Timestamp::from_millis(at)))
    }

    async fn note_disputes_read(
        &mut self,
        rail: &RailLabel,
        account: &str,
        up_to: Timestamp,
    ) -> Result<(), StoreError> {
        execute!(
            self,
            "card_dispute_reads",
            NOTE_READ,
            rail.as_str(),
            account,
            up_to.millis(),
        )?;
        Ok(())
    }
}
