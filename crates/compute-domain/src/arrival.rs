//! Arrivals: money that a chain shows to have reached an address of ours, whether we asked for it or not.

use crate::id::{ArrivalId, OwnerId, PaymentId};
use crate::money::{AssetAmount, Usd};
use crate::payment::RailLabel;
use crate::time::Timestamp;
use crate::transition::InvalidTransition;

/// Decimals of our own unit, the micro-dollar.
const USD_DECIMALS: u8 = 6;

/// What an amount of a dollar token is worth, rounded **down** to the micro-dollar: what is left over
/// is never more than somebody has sent. More than an amount of money can be counts as the most.
#[must_use]
pub fn worth(asset: AssetAmount) -> Usd {
    let micros = match asset.decimals.checked_sub(USD_DECIMALS) {
        Some(more) => 10_u128
            .checked_pow(u32::from(more))
            .map_or(0, |unit| asset.atomic / unit),
        None => {
            let unit = 10_u128.pow(u32::from(USD_DECIMALS.saturating_sub(asset.decimals)));
            asset.atomic.saturating_mul(unit)
        }
    };
    let micros = i128::try_from(micros).unwrap_or(i128::MAX);
    Usd::from_wide(micros).unwrap_or(Usd::MAX)
}

/// What is known about where the money belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrivalState {
    /// A payment that is still undecided may be what it belongs to.
    Waiting,
    /// It is the money of a settled payment.
    Matched {
        /// Which one.
        payment: PaymentId,
    },
    /// No payment explains it; it is booked to suspense.
    Unmatched,
    /// No payment explains it, and an operator made it somebody's credit.
    Assigned {
        /// Whose.
        owner: OwnerId,
        /// Why, in the operator's words.
        note: String,
    },
}

impl ArrivalState {
    /// The stored name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Matched { .. } => "matched",
            Self::Unmatched => "unmatched",
            Self::Assigned { .. } => "assigned",
        }
    }

    /// Whether the ledger holds it in, or took it from, suspense.
    #[must_use]
    pub const fn is_booked(&self) -> bool {
        matches!(self, Self::Unmatched | Self::Assigned { .. })
    }
}

/// Money that a chain shows to have reached an address of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Our id.
    pub id: ArrivalId,
    /// The chain, token and addresses that it was seen at.
    pub source: String,
    /// The rail that it is booked under.
    pub rail: RailLabel,
    /// The transaction.
    pub reference: String,
    /// Its place in the transaction or its block; with source and transaction it names the arrival.
    pub log_index: u32,
    /// The address that sent it, as its chain writes it; none when it stands for many small ones.
    pub payer: Option<String>,
    /// How much.
    pub asset: AssetAmount,
    /// How many transfers it stands for: more than one only when they were too small for a row each.
    pub transfers: u64,
    /// When it was final at the latest, by the chain's clock.
    pub at: Timestamp,
    /// Where it belongs.
    pub state: ArrivalState,
}

impl Arrival {
    /// What it is worth.
    #[must_use]
    pub fn worth(&self) -> Usd {
        worth(self.asset)
    }

    /// It is the money of a settled payment.
    ///
    /// # Errors
    /// When it is another one's already.
    pub fn explain(mut self, payment: PaymentId) -> Result<Self, InvalidTransition> {
        match self.state {
            ArrivalState::Matched { .. } => Err(self.refuse("explain")),
            _ => {
                self.state = ArrivalState::Matched { payment };
                Ok(self)
            }
        }
    }

    /// No payment explains it.
    ///
    /// # Errors
    /// Unless it waits.
    pub fn give_up(mut self) -> Result<Self, InvalidTransition> {
        match self.state {
            ArrivalState::Waiting => {
                self.state = ArrivalState::Unmatched;
                Ok(self)
            }
            _ => Err(self.refuse("give up")),
        }
    }

    /// An operator makes it somebody's credit.
    ///
    /// # Errors
    /// Unless it is unmatched.
    pub fn assign(mut self, owner: OwnerId, note: String) -> Result<Self, InvalidTransition> {
        match self.state {
            ArrivalState::Unmatched => {
                self.state = ArrivalState::Assigned { owner, note };
                Ok(self)
            }
            _ => Err(self.refuse("assign")),
        }
    }

    const fn refuse(&self, event: &'static str) -> InvalidTransition {
        InvalidTransition {
            entity: "arrival",
            event,
            state: self.state.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(state: ArrivalState) -> Arrival {
        Arrival {
            id: ArrivalId::from_uuid(uuid::Uuid::from_u128(1)),
            source: "eip155:8453/token/pay-to".into(),
            rail: RailLabel::parse("base").unwrap(),
            reference: "0xab".into(),
            log_index: 3,
            payer: None,
            asset: AssetAmount {
                atomic: 1,
                decimals: 6,
            },
            transfers: 1,
            at: Timestamp::from_millis(1),
            state,
        }
    }

    #[test]
    fn worth_is_rounded_down_whatever_the_decimals() {
        for (atomic, decimals, micros) in [
            (1_234_567, 6, 1_234_567),
            (1_999_999_999_999, 18, 1),
            (999_999_999_999, 18, 0),
            (7, 2, 70_000),
            (3, 0, 3_000_000),
            (u128::MAX, 6, Usd::MAX.micros()),
            (u128::MAX, 0, Usd::MAX.micros()),
            (u128::MAX, 255, 0),
        ] {
            let asset = AssetAmount { atomic, decimals };
            assert_eq!(worth(asset).micros(), micros, "{asset:?}");
        }
    }

    #[test]
    fn money_belongs_to_one_payment_for_good() {
        let (payment, other) = (uuid::Uuid::from_u128(5), uuid::Uuid::from_u128(6));
        let owner = OwnerId::from_uuid(uuid::Uuid::from_u128(7));
        for state in [ArrivalState::Waiting, ArrivalState::Unmatched] {
            let matched = arrival(state).explain(PaymentId::from_uuid(payment));
            let matched = matched.unwrap();
            assert!(!matched.state.is_booked());
            assert!(matched.clone().give_up().is_err());
            assert!(matched.clone().assign(owner, "x".into()).is_err());
            assert!(matched.explain(PaymentId::from_uuid(other)).is_err());
        }
    }

    #[test]
    fn only_what_nothing_explains_is_assigned() {
        let owner = OwnerId::from_uuid(uuid::Uuid::from_u128(7));
        assert!(
            arrival(ArrivalState::Waiting)
                .assign(owner, "x".into())
                .is_err()
        );
        let given_up = arrival(ArrivalState::Waiting).give_up().unwrap();
        assert_eq!(given_up.state.name(), "unmatched");
        assert!(given_up.state.is_booked());
        assert!(given_up.clone().give_up().is_err());
        let assigned = given_up.assign(owner, "seen".into()).unwrap();
        assert_eq!(assigned.state.name(), "assigned");
        assert!(assigned.state.is_booked());
        assert!(assigned.clone().assign(owner, "again".into()).is_err());
        // It may turn out to be a payment's even then.
        let payment = PaymentId::from_uuid(uuid::Uuid::from_u128(5));
        assert!(assigned.explain(payment).is_ok());
    }
}
