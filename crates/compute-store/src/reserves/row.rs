//! Rows of reserves and disputes.

use compute_domain::money::Usd;
use compute_domain::payment::RailLabel;
use compute_domain::reserve::{Dispute, DisputeState, Reserve, ReserveKind, ReserveState};
use compute_domain::time::Timestamp;
use compute_engine::ports::StoreError;

use crate::row::RowName;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct ReserveRow {
    pub(super) id: String,
    pub(super) payment_id: String,
    pub(super) owner_id: String,
    pub(super) rail: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) amount_micros: i64,
    pub(super) note: String,
    pub(super) account: Option<String>,
    pub(super) created_at: i64,
    pub(super) state: String,
    pub(super) reference: Option<String>,
    pub(super) code: Option<String>,
}

impl ReserveRow {
    pub(super) fn of(reserve: &Reserve) -> Self {
        let (reference, code) = match &reserve.state {
            ReserveState::Held => (None, None),
            ReserveState::Paid { reference } => (Some(reference.clone()), None),
            ReserveState::Released { code } => (None, Some(code.clone())),
        };
        Self {
            id: reserve.id.to_string(),
            payment_id: reserve.payment.to_string(),
            owner_id: reserve.owner.to_string(),
            rail: reserve.rail.to_string(),
            kind: reserve.kind.as_str().to_owned(),
            name: reserve.name.clone(),
            amount_micros: reserve.amount.micros(),
            note: reserve.note.clone(),
            account: reserve.account.clone(),
            created_at: reserve.created_at.millis(),
            state: reserve.state.name().to_owned(),
            reference,
            code,
        }
    }

    pub(super) fn parse(self) -> Result<Reserve, StoreError> {
        let name = RowName::new("card_reserves", &self.id);
        let state = match (self.state.as_str(), self.reference, self.code) {
            ("held", None, None) => ReserveState::Held,
            ("paid", Some(reference), None) => ReserveState::Paid { reference },
            ("released", None, Some(code)) => ReserveState::Released { code },
            _ => return Err(name.bad("state")),
        };
        Ok(Reserve {
            id: name.text("id", &self.id)?,
            payment: name.text("payment_id", &self.payment_id)?,
            owner: name.text("owner_id", &self.owner_id)?,
            rail: name.check("rail", RailLabel::parse(&self.rail))?,
            kind: name.present("kind", ReserveKind::parse(&self.kind))?,
            name: self.name,
            amount: name.check("amount_micros", Usd::from_micros(self.amount_micros))?,
            note: self.note,
            account: self.account,
            created_at: Timestamp::from_millis(self.created_at),
            state,
        })
    }
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct DisputeRow {
    rail: String,
    reference: String,
    payment_id: String,
    owner_id: String,
    amount_micros: i64,
    status: String,
    state: String,
    opened_at: i64,
    seen_at: i64,
}

impl DisputeRow {
    pub(super) fn parse(self) -> Result<Dispute, StoreError> {
        let name = RowName::new("card_disputes", &self.reference);
        Ok(Dispute {
            rail: name.check("rail", RailLabel::parse(&self.rail))?,
            payment: name.text("payment_id", &self.payment_id)?,
            owner: name.text("owner_id", &self.owner_id)?,
            amount: name.check("amount_micros", Usd::from_micros(self.amount_micros))?,
            status: self.status,
            state: name.present("state", DisputeState::parse(&self.state))?,
            opened_at: Timestamp::from_millis(self.opened_at),
            seen_at: Timestamp::from_millis(self.seen_at),
            reference: self.reference,
        })
    }
}
