//! An owner's history of money.
//!
//! The transfers of a credits account have an index; the sales that went past it are found by the
//! owner's instances and their operations. A page costs what the owner's whole history costs: it is
//! brought into order before it is cut.

use compute_domain::id::{OwnerId, TransferId};
use compute_domain::ledger::Account;
use compute_domain::money::Usd;
use compute_engine::ledger_chain::Link;
use compute_engine::ports::{Movement, StoreError};

use super::row::TransferRow;
use crate::row::RowName;
use crate::statement::fetch;
use crate::tx::StoreTx;

/// What a movement is made of, from one of its two sources.
macro_rules! movement {
    ($from:literal) => {
        concat!(
            "SELECT t.id AS id, t.debit_account AS debit_account, t.credit_account AS credit_account,
        t.amount_micros AS amount_micros, t.reason AS reason, t.operation_id AS operation_id,
        t.arrival_id AS arrival_id, t.reserve_id AS reserve_id, t.created_at AS created_at,
        t.credits_seq AS credits_seq, t.balance_after_micros AS balance_after_micros,
        COALESCE(t.credits_seq, 0) AS place
    ",
            $from
        )
    };
}

macro_rules! list {
    ($behind:literal, $limit:literal) => {
        concat!(
            "SELECT m.id, m.debit_account, m.credit_account, m.amount_micros, m.reason, m.operation_id,
    m.arrival_id, m.reserve_id, m.created_at, m.credits_seq, m.balance_after_micros,
    o.instance_id, p.reference
FROM (
    SELECT *
    FROM (
    ",
            movement!(
                "FROM ledger_transfers t
    WHERE t.credits_account = $1"
            ),
            "
    UNION ALL
    ",
            movement!(
                "FROM instances i
    JOIN operations w ON w.instance_id = i.id
    JOIN ledger_transfers t ON t.operation_id = w.id
    WHERE i.owner_id = $2 AND t.reason = 'sale'"
            ),
            "
    ) AS own
    ",
            $behind,
            "
    ORDER BY created_at DESC, place DESC, id DESC
    LIMIT ",
            $limit,
            "
) AS m
LEFT JOIN operations o ON o.id = m.operation_id
LEFT JOIN payments p ON p.operation_id = m.operation_id
ORDER BY m.created_at DESC, m.place DESC, m.id DESC"
        )
    };
}

const LIST: &str = list!("", "$3");

const LIST_BEHIND: &str = list!(
    "WHERE (created_at, place, id) < (
        SELECT created_at, COALESCE(credits_seq, 0), id FROM ledger_transfers WHERE id = $3
    )",
    "$4"
);

#[derive(Debug, Clone, sqlx::FromRow)]
struct MovementRow {
    #[sqlx(flatten)]
    transfer: TransferRow,
    credits_seq: Option<i64>,
    balance_after_micros: Option<i64>,
    instance_id: Option<String>,
    reference: Option<String>,
}

impl MovementRow {
    fn parse(self) -> Result<Movement, StoreError> {
        let name = RowName::new("ledger_transfers", &self.transfer.id);
        let link = match (self.credits_seq, self.balance_after_micros) {
            (Some(seq), Some(balance)) => Some(Link {
                seq,
                balance_after: name.check("balance_after_micros", Usd::from_micros(balance))?,
            }),
            (None, None) => None,
            _ => return Err(name.bad("credits_seq")),
        };
        let instance = self.instance_id.as_deref();
        let instance = instance
            .map(|id| name.text("instance_id", id))
            .transpose()?;
        Ok(Movement {
            transfer: self.transfer.parse()?,
            link,
            instance,
            reference: self.reference,
        })
    }
}

impl StoreTx {
    pub(super) async fn movements_of(
        &mut self,
        owner: OwnerId,
        after: Option<TransferId>,
        limit: u32,
    ) -> Result<Vec<Movement>, StoreError> {
        let (account, limit) = (Account::Credits(owner).to_string(), i64::from(limit));
        let owner = owner.to_string();
        let rows: Vec<MovementRow> = match after {
            None => fetch!(
                fetch_all,
                self,
                "ledger_transfers",
                LIST,
                account,
                owner,
                limit
            ),
            Some(after) => fetch!(
                fetch_all,
                self,
                "ledger_transfers",
                LIST_BEHIND,
                account,
                owner,
                after.to_string(),
                limit
            ),
        }?;
        rows.into_iter().map(MovementRow::parse).collect()
    }
}
