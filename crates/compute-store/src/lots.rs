//! Prepaid value: lots that are only added and closed.

use async_trait::async_trait;
use compute_domain::id::InstanceId;
use compute_domain::money::{HourlyRate, Usd};
use compute_domain::prepaid::{Closing, Lot, LotOrigin, Prepaid};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Lots, StoreError};

use crate::row::RowName;
use crate::statement::{Refusal, execute, fetch, rejected};
use crate::tx::StoreTx;

const LIST: &str = "SELECT instance_id, operation_id, origin, amount_micros, rate_hour_micros,
    starts_at, ends_at, closed_at, left_micros
FROM prepaid_lots
WHERE instance_id = $1
ORDER BY seq";

const INSERT: &str = "INSERT INTO prepaid_lots
    (instance_id, seq, operation_id, origin, amount_micros, rate_hour_micros, starts_at, ends_at,
     closed_at, left_micros)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const CLOSE: &str = "UPDATE prepaid_lots
SET closed_at = $3, left_micros = $4
WHERE instance_id = $1 AND seq = $2 AND closed_at IS NULL";

#[derive(Debug, Clone, sqlx::FromRow)]
struct LotRow {
    instance_id: String,
    operation_id: String,
    origin: String,
    amount_micros: i64,
    rate_hour_micros: i64,
    starts_at: i64,
    ends_at: i64,
    closed_at: Option<i64>,
    left_micros: Option<i64>,
}

impl LotRow {
    fn parse(self) -> Result<Lot, StoreError> {
        let name = RowName::new("prepaid_lots", &self.instance_id);
        let closed = match (self.closed_at, self.left_micros) {
            (Some(at), Some(left)) => Some(Closing {
                at: Timestamp::from_millis(at),
                left: name.check("left_micros", Usd::from_micros(left))?,
            }),
            (None, None) => None,
            _ => return Err(name.bad("closing")),
        };
        Ok(Lot {
            operation: name.text("operation_id", &self.operation_id)?,
            origin: name.present("origin", LotOrigin::parse(&self.origin))?,
            amount: name.check("amount_micros", Usd::from_micros(self.amount_micros))?,
            rate: name.check(
                "rate_hour_micros",
                HourlyRate::from_micros(self.rate_hour_micros),
            )?,
            from: Timestamp::from_millis(self.starts_at),
            to: Timestamp::from_millis(self.ends_at),
            closed,
        })
    }
}

/// What has to be written for a lot.
#[derive(Debug, PartialEq, Eq)]
enum Write {
    Nothing,
    Close(Closing),
    Insert,
}

/// `None` when the lot is not what was written, or not any more.
fn write_for(stored: Option<&Lot>, lot: &Lot) -> Option<Write> {
    let Some(stored) = stored else {
        return Some(Write::Insert);
    };
    let reopened = Lot {
        closed: stored.closed,
        ..lot.clone()
    };
    match (stored.closed, lot.closed) {
        _ if reopened != *stored => None,
        (None, None) => Some(Write::Nothing),
        (None, Some(closing)) => Some(Write::Close(closing)),
        (Some(was), is) => (is == Some(was)).then_some(Write::Nothing),
    }
}

#[async_trait]
impl Lots for StoreTx {
    async fn lots_of(&mut self, instance: InstanceId) -> Result<Prepaid, StoreError> {
        let id = instance.to_string();
        let rows: Vec<LotRow> = fetch!(fetch_all, self, "prepaid_lots", LIST, id)?;
        let lots = rows.into_iter().map(LotRow::parse);
        Ok(Prepaid::of(lots.collect::<Result<_, _>>()?))
    }

    async fn save_lots(
        &mut self,
        instance: InstanceId,
        prepaid: &Prepaid,
    ) -> Result<(), StoreError> {
        let stored = self.lots_of(instance).await?;
        if stored.lots().len() > prepaid.lots().len() {
            return Err(self.fail(rejected(Refusal::LotChanged)));
        }
        for (seq, (number, lot)) in (0_i64..).zip(prepaid.lots().iter().enumerate()) {
            match write_for(stored.lots().get(number), lot) {
                None => return Err(self.fail(rejected(Refusal::LotChanged))),
                Some(Write::Nothing) => {}
                Some(Write::Close(closing)) => self.close_lot(instance, seq, closing).await?,
                Some(Write::Insert) => self.insert_lot(instance, seq, lot).await?,
            }
        }
        Ok(())
    }
}

impl StoreTx {
    async fn insert_lot(
        &mut self,
        instance: InstanceId,
        seq: i64,
        lot: &Lot,
    ) -> Result<(), StoreError> {
        let rows = execute!(
            self,
            "prepaid_lots",
            INSERT,
            instance.to_string(),
            seq,
            lot.operation.to_string(),
            lot.origin.as_str(),
            lot.amount.micros(),
            lot.rate.micros(),
            lot.from.millis(),
            lot.to.millis(),
            lot.closed.map(|closing| closing.at.millis()),
            lot.closed.map(|closing| closing.left.micros()),
        )?;
        self.exactly_one("prepaid_lots", rows)
    }

    async fn close_lot(
        &mut self,
        instance: InstanceId,
        seq: i64,
        closing: Closing,
    ) -> Result<(), StoreError> {
        let id = instance.to_string();
        let (at, left) = (closing.at.millis(), closing.left.micros());
        let rows = execute!(self, "prepaid_lots", CLOSE, id, seq, at, left)?;
        self.exactly_one("prepaid_lots", rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> LotRow {
        LotRow {
            instance_id: "00000000-0000-0000-0000-000000000001".into(),
            operation_id: "00000000-0000-0000-0000-000000000002".into(),
            origin: "purchase".into(),
            amount_micros: 168_000,
            rate_hour_micros: 7_000,
            starts_at: 1,
            ends_at: 86_400_001,
            closed_at: None,
            left_micros: None,
        }
    }

    fn closed(at: i64, left: i64) -> Lot {
        let row = LotRow {
            closed_at: Some(at),
            left_micros: Some(left),
            ..row()
        };
        row.parse().unwrap()
    }

    fn check_bad(change: impl FnOnce(&mut LotRow), detail: &str) {
        let mut row = row();
        change(&mut row);
        match row.parse() {
            Err(StoreError::Inconsistent {
                table: "prepaid_lots",
                detail: found,
            }) => {
                assert_eq!(
                    found,
                    format!("{detail} of 00000000-0000-0000-0000-000000000001")
                );
            }
            other => panic!("{detail}: {other:?}"),
        }
    }

    #[test]
    fn values_outside_the_domain_are_inconsistent() {
        check_bad(|row| row.operation_id = "x".into(), "operation_id");
        check_bad(|row| row.origin = "gift".into(), "origin");
        check_bad(|row| row.amount_micros = -1, "amount_micros");
        check_bad(|row| row.rate_hour_micros = 0, "rate_hour_micros");
        check_bad(|row| row.closed_at = Some(1), "closing");
        check_bad(|row| row.left_micros = Some(1), "closing");
    }

    #[test]
    fn a_lot_is_added_or_closed_and_never_changed() {
        let open = row().parse().unwrap();
        let (early, late) = (closed(5, 9), closed(6, 8));
        let closing = early.closed.unwrap();
        assert_eq!(write_for(None, &open), Some(Write::Insert));
        assert_eq!(write_for(Some(&open), &open), Some(Write::Nothing));
        assert_eq!(write_for(Some(&open), &early), Some(Write::Close(closing)));
        assert_eq!(write_for(Some(&early), &early), Some(Write::Nothing));
        assert_eq!(write_for(Some(&early), &late), None);
        assert_eq!(write_for(Some(&early), &open), None);
        let richer = Lot {
            amount: Usd::from_micros(168_001).unwrap(),
            ..open.clone()
        };
        assert_eq!(write_for(Some(&open), &richer), None);
    }
}
