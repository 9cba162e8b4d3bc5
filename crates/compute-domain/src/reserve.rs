//! Reserves: credit that is set aside because the payment that it came by goes back to its buyer over
//! its own payment network, or may have to; and the disputes that say so.

use crate::id::{OwnerId, PaymentId, ReserveId};
use crate::money::Usd;
use crate::payment::RailLabel;
use crate::text_enum;
use crate::time::Timestamp;
use crate::transition::InvalidTransition;

text_enum! {
    /// Why credit is set aside.
    ReserveKind {
        /// An operator gives it back to the buyer.
        Refund = "refund",
        /// The buyer's bank asks for it.
        Dispute = "dispute",
    }
}

/// Where what was set aside is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveState {
    /// Set aside; nobody can spend it.
    Held,
    /// It went back over the payment network.
    Paid {
        /// The network's name of what it did.
        reference: String,
    },
    /// It is the owner's credit again.
    Released {
        /// Why, as a code.
        code: String,
    },
}

impl ReserveState {
    /// The stored name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Paid { .. } => "paid",
            Self::Released { .. } => "released",
        }
    }
}

/// Credit that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// Made before the row is written; the payment network knows a refund by it.
    pub id: ReserveId,
    /// The payment that goes back.
    pub payment: PaymentId,
    /// Whose credit it was.
    pub owner: OwnerId,
    /// How the money came.
    pub rail: RailLabel,
    /// Why.
    pub kind: ReserveKind,
    /// The operator's name of a refund, which is made once under it; the network's name of a dispute.
    pub name: String,
    /// How much; above zero.
    pub amount: Usd,
    /// An operator's reason; empty for a dispute.
    pub note: String,
    /// The account at the payment network that was first asked for a refund; none before.
    pub account: Option<String>,
    /// When it was set aside.
    pub created_at: Timestamp,
    /// Where it is.
    pub state: ReserveState,
}

impl Reserve {
    /// It went back over the payment network.
    ///
    /// # Errors
    /// Unless it is held.
    pub fn pay(self, reference: String) -> Result<Self, InvalidTransition> {
        self.leave("pay", ReserveState::Paid { reference })
    }

    /// It is the owner's credit again.
    ///
    /// # Errors
    /// Unless it is held.
    pub fn release(self, code: String) -> Result<Self, InvalidTransition> {
        self.leave("release", ReserveState::Released { code })
    }

    fn leave(mut self, event: &'static str, next: ReserveState) -> Result<Self, InvalidTransition> {
        if self.state != ReserveState::Held {
            return Err(InvalidTransition {
                entity: "reserve",
                event,
                state: self.state.name(),
            });
        }
        self.state = next;
        Ok(self)
    }
}

text_enum! {
    /// What became of a dispute.
    DisputeState {
        /// It is not decided.
        Open = "open",
        /// The money stays here.
        Won = "won",
        /// The money went back to the buyer.
        Lost = "lost",
    }
}

/// A buyer asks a bank for the money of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The rail of the payment.
    pub rail: RailLabel,
    /// The network's name of it; names it on its rail.
    pub reference: String,
    /// The payment.
    pub payment: PaymentId,
    /// Whose purchase it was.
    pub owner: OwnerId,
    /// How much is asked for.
    pub amount: Usd,
    /// The network's own word for where it is.
    pub status: String,
    /// What became of it.
    pub state: DisputeState,
    /// When it was opened, by the network's clock.
    pub opened_at: Timestamp,
    /// When we learned of it.
    pub seen_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve(state: ReserveState) -> Reserve {
        let uuid = uuid::Uuid::from_u128(1);
        Reserve {
            id: ReserveId::from_uuid(uuid),
            payment: PaymentId::from_uuid(uuid),
            owner: OwnerId::from_uuid(uuid),
            rail: RailLabel::parse("stripe").unwrap(),
            kind: ReserveKind::Refund,
            name: "k".into(),
            amount: Usd::from_micros(1).unwrap(),
            note: String::new(),
            account: None,
            created_at: Timestamp::from_millis(1),
            state,
        }
    }

    #[test]
    fn what_is_set_aside_goes_one_way_once() {
        let paid = reserve(ReserveState::Held).pay("re_1".into()).unwrap();
        let released = reserve(ReserveState::Held).release("no".into()).unwrap();
        for done in [paid, released] {
            assert!(done.clone().pay("re_2".into()).is_err(), "{done:?}");
            assert!(done.clone().release("no".into()).is_err(), "{done:?}");
        }
    }
}
