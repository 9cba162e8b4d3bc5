//! Rows of arrivals and of their sources.

use compute_domain::arrival::{Arrival, ArrivalState};
use compute_domain::money::AssetAmount;
use compute_domain::payment::RailLabel;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ArrivalSource, StoreError};

use crate::row::RowName;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct ArrivalRow {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) rail: String,
    pub(super) reference: String,
    pub(super) log_index: i64,
    pub(super) payer: Option<String>,
    pub(super) asset_atomic: String,
    pub(super) asset_decimals: i64,
    pub(super) transfers: i64,
    pub(super) at: i64,
    pub(super) state: String,
    pub(super) payment_id: Option<String>,
    pub(super) owner_id: Option<String>,
    pub(super) note: Option<String>,
}

impl ArrivalRow {
    pub(super) fn of(arrival: &Arrival) -> Self {
        let (payment_id, owner_id, note) = match &arrival.state {
            ArrivalState::Waiting | ArrivalState::Unmatched => (None, None, None),
            ArrivalState::Matched { payment } => (Some(payment.to_string()), None, None),
            ArrivalState::Assigned { owner, note } => {
                (None, Some(owner.to_string()), Some(note.clone()))
            }
        };
        Self {
            id: arrival.id.to_string(),
            source: arrival.source.clone(),
            rail: arrival.rail.to_string(),
            reference: arrival.reference.clone(),
            log_index: i64::from(arrival.log_index),
            payer: arrival.payer.clone(),
            asset_atomic: arrival.asset.atomic.to_string(),
            asset_decimals: i64::from(arrival.asset.decimals),
            transfers: i64::try_from(arrival.transfers).unwrap_or(i64::MAX),
            at: arrival.at.millis(),
            state: arrival.state.name().to_owned(),
            payment_id,
            owner_id,
            note,
        }
    }

    pub(super) fn parse(self) -> Result<Arrival, StoreError> {
        let name = RowName::new("arrivals", &self.id);
        Ok(Arrival {
            id: name.text("id", &self.id)?,
            rail: name.check("rail", RailLabel::parse(&self.rail))?,
            log_index: name.number("log_index", self.log_index)?,
            asset: AssetAmount {
                atomic: name.text("asset_atomic", &self.asset_atomic)?,
                decimals: name.number("asset_decimals", self.asset_decimals)?,
            },
            transfers: name.number("transfers", self.transfers)?,
            at: Timestamp::from_millis(self.at),
            state: self.parse_state(&name)?,
            source: self.source,
            reference: self.reference,
            payer: self.payer,
        })
    }

    fn parse_state(&self, name: &RowName) -> Result<ArrivalState, StoreError> {
        let cells = (
            self.payment_id.as_deref(),
            self.owner_id.as_deref(),
            &self.note,
        );
        match (self.state.as_str(), cells) {
            ("waiting", (None, None, None)) => Ok(ArrivalState::Waiting),
            ("matched", (Some(payment), None, None)) => Ok(ArrivalState::Matched {
                payment: name.text("payment_id", payment)?,
            }),
            ("unmatched", (None, None, None)) => Ok(ArrivalState::Unmatched),
            ("assigned", (None, Some(owner), Some(note))) => Ok(ArrivalState::Assigned {
                owner: name.text("owner_id", owner)?,
                note: note.clone(),
            }),
            _ => Err(name.bad("state")),
        }
    }
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct SourceRow {
    source: String,
    read_from: String,
    started_at: i64,
    read_up_to: i64,
    small_atomic: String,
    small_transfers: i64,
}

impl SourceRow {
    pub(super) fn parse(self) -> Result<ArrivalSource, StoreError> {
        let name = RowName::new("arrival_sources", &self.source);
        Ok(ArrivalSource {
            cursor: self.read_from,
            started_at: Timestamp::from_millis(self.started_at),
            read_up_to: Timestamp::from_millis(self.read_up_to),
            small_atomic: name.text("small_atomic", &self.small_atomic)?,
            small_transfers: name.number("small_transfers", self.small_transfers)?,
            source: self.source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str) -> ArrivalRow {
        let id = "00000000-0000-0000-0000-000000000001".to_owned();
        ArrivalRow {
            id,
            source: "s".into(),
            rail: "base".into(),
            reference: "0x1".into(),
            log_index: 4,
            payer: Some("0x2".into()),
            asset_atomic: "340282366920938463463374607431768211455".into(),
            asset_decimals: 18,
            transfers: 1,
            at: 7,
            state: state.into(),
            payment_id: None,
            owner_id: None,
            note: None,
        }
    }

    #[test]
    fn a_row_reads_back() {
        let mut matched = row("matched");
        matched.payment_id = Some(matched.id.clone());
        let mut assigned = row("assigned");
        assigned.owner_id = Some(assigned.id.clone());
        assigned.note = Some("seen".into());
        for row in [row("waiting"), row("unmatched"), matched, assigned] {
            let arrival = row.clone().parse().unwrap();
            assert_eq!(
                format!("{:?}", ArrivalRow::of(&arrival)),
                format!("{row:?}")
            );
        }
    }

    #[test]
    fn a_state_has_exactly_its_cells() {
        let mut without_note = row("assigned");
        without_note.owner_id = Some(without_note.id.clone());
        let mut with_note = row("waiting");
        with_note.note = Some("x".into());
        let mut negative = row("waiting");
        negative.log_index = -1;
        for bad in [
            row("matched"),
            row("gone"),
            without_note,
            with_note,
            negative,
        ] {
            assert!(bad.clone().parse().is_err(), "{bad:?}");
        }
    }
}
