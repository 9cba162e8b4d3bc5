//! Payments: our record of one proof, from claim to rest.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::WalletAddress;
use crate::id::{OperationId, OwnerId, PaymentId, TransferId};
use crate::money::{AssetAmount, Usd};
use crate::time::Timestamp;
use crate::transition::InvalidTransition;

/// The short name of a rail, equal to the `network` word of request bodies, such as `base`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RailLabel(String);

/// A rail label is 1 to 32 characters of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rail label is 1 to 32 characters of a-z, 0-9 and -")]
pub struct InvalidRailLabel;

impl RailLabel {
    /// Reads a label.
    ///
    /// # Errors
    /// `InvalidRailLabel` when it is empty, too long, or has other characters.
    pub fn parse(text: &str) -> Result<Self, InvalidRailLabel> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(allowed) {
            return Err(InvalidRailLabel);
        }
        Ok(Self(text.to_owned()))
    }

    /// The label's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RailLabel {
    type Error = InvalidRailLabel;
    fn try_from(text: String) -> Result<Self, InvalidRailLabel> {
        Self::parse(&text)
    }
}

impl From<RailLabel> for String {
    fn from(label: RailLabel) -> Self {
        label.0
    }
}

impl fmt::Display for RailLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What shows that money moved: a transaction, and where in it the transfer is when known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The transaction hash or the payment network's reference.
    pub reference: String,
    /// Index of the transfer's log entry, when a chain was read.
    pub log_index: Option<u32>,
}

/// Where a payment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentState {
    /// Bound to an operation; the money may or may not have moved.
    Claimed,
    /// The money arrived.
    Settled {
        /// What shows it.
        evidence: Evidence,
        /// When we learned of it.
        at: Timestamp,
    },
    /// Definitely no money moved and none will.
    Declined {
        /// The payment network's reason.
        code: String,
    },
    /// The money arrived, could not be used, and is the owner's credit now.
    Refunded {
        /// What shows the arrival.
        evidence: Evidence,
        /// When it arrived.
        settled_at: Timestamp,
        /// The ledger row of the refund.
        transfer: TransferId,
    },
}

impl PaymentState {
    /// The stored name of the state.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Settled { .. } => "settled",
            Self::Declined { .. } => "declined",
            Self::Refunded { .. } => "refunded",
        }
    }
}

/// Our record of one payment proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Our id.
    pub id: PaymentId,
    /// The one thing it buys.
    pub operation: OperationId,
    /// Who gets what it buys.
    pub owner: OwnerId,
    /// How the money travels.
    pub rail: RailLabel,
    /// What the payment network itself makes unique; never header text.
    pub proof_key: String,
    /// The challenge that it answers, where the protocol has challenges (MPP). It buys one thing, as
    /// the proof does.
    pub challenge_id: Option<String>,
    /// The wallet that pays; who pays by card has none.
    pub payer: Option<WalletAddress>,
    /// The price in dollars.
    pub price: Usd,
    /// The price in the token.
    pub asset: AssetAmount,
    /// After this moment an unsettled proof can never settle.
    pub void_after: Timestamp,
    /// When it was bound to its operation.
    pub claimed_at: Timestamp,
    /// Where it stands.
    pub state: PaymentState,
}

impl Payment {
    fn refuse(&self, event: &'static str) -> InvalidTransition {
        InvalidTransition {
            entity: "payment",
            event,
            state: self.state.name(),
        }
    }

    /// The money arrived.
    ///
    /// # Errors
    /// Unless the payment is claimed.
    pub fn settle(mut self, evidence: Evidence, at: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            PaymentState::Claimed => {
                self.state = PaymentState::Settled { evidence, at };
                Ok(self)
            }
            _ => Err(self.refuse("settle")),
        }
    }

    /// No money moved, and none will.
    ///
    /// # Errors
    /// Unless the payment is claimed.
    pub fn decline(mut self, code: String) -> Result<Self, InvalidTransition> {
        match self.state {
            PaymentState::Claimed => {
                self.state = PaymentState::Declined { code };
                Ok(self)
            }
            _ => Err(self.refuse("decline")),
        }
    }

    /// The money became the owner's credit.
    ///
    /// # Errors
    /// Unless the payment is settled.
    pub fn refund(mut self, transfer: TransferId) -> Result<Self, InvalidTransition> {
        match self.state {
            PaymentState::Settled { evidence, at } => {
                self.state = PaymentState::Refunded {
                    evidence,
                    settled_at: at,
                    transfer,
                };
                Ok(self)
            }
            _ => Err(self.refuse("refund")),
        }
    }

    /// What shows that the money arrived, if it did.
    pub const fn evidence(&self) -> Option<&Evidence> {
        match &self.state {
            PaymentState::Settled { evidence, .. } | PaymentState::Refunded { evidence, .. } => {
                Some(evidence)
            }
            PaymentState::Claimed | PaymentState::Declined { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(state: PaymentState) -> Payment {
        let uuid = uuid::Uuid::from_u128(1);
        Payment {
            id: PaymentId::from_uuid(uuid),
            operation: OperationId::from_uuid(uuid),
            owner: OwnerId::from_uuid(uuid),
            rail: RailLabel::parse("base").unwrap(),
            proof_key: "eip3009:test".into(),
            challenge_id: None,
            payer: Some(WalletAddress::Evm(compute_wallet::EvmAddress::new(
                [0x11; 20],
            ))),
            price: Usd::from_micros(1).unwrap(),
            asset: AssetAmount {
                atomic: 1,
                decimals: 6,
            },
            void_after: Timestamp::from_millis(9),
            claimed_at: Timestamp::from_millis(1),
            state,
        }
    }

    #[test]
    fn what_is_claimed_may_be_declined() {
        let declined = payment(PaymentState::Claimed).decline("late".into());
        let code = "late".to_owned();
        assert_eq!(declined.unwrap().state, PaymentState::Declined { code });
    }

    #[test]
    fn rail_labels_are_short_words() {
        for good in ["b", "base-sepolia", "x402-2", &"a".repeat(32)] {
            let label = RailLabel::parse(good).unwrap();
            assert_eq!(label.as_str(), good);
            assert_eq!(label.to_string(), good);
            assert_eq!(RailLabel::try_from(good.to_owned()), Ok(label.clone()));
            assert_eq!(String::from(label), good);
        }
        for bad in ["", "Base", "base sepolia", "base_", "bäse", &"a".repeat(33)] {
            assert_eq!(RailLabel::parse(bad), Err(InvalidRailLabel), "{bad:?}");
        }
    }

    fn evidence() -> Evidence {
        Evidence {
            reference: "0xabc".into(),
            log_index: None,
        }
    }

    #[test]
    fn a_payment_settles_once() {
        let settled = payment(PaymentState::Claimed).settle(evidence(), Timestamp::from_millis(2));
        let settled = settled.unwrap();
        assert_eq!(settled.evidence(), Some(&evidence()));
        assert!(
            settled
                .clone()
                .settle(evidence(), Timestamp::from_millis(3))
                .is_err()
        );
        assert!(settled.decline("late".into()).is_err());
    }

    #[test]
    fn only_settled_money_is_refunded_and_only_once() {
        let transfer = TransferId::from_uuid(uuid::Uuid::from_u128(2));
        assert!(payment(PaymentState::Claimed).refund(transfer).is_err());
        let settled = PaymentState::Settled {
            evidence: evidence(),
            at: Timestamp::from_millis(2),
        };
        let refunded = payment(settled).refund(transfer).unwrap();
        assert_eq!(refunded.state.name(), "refunded");
        assert!(refunded.refund(transfer).is_err());
    }
}
