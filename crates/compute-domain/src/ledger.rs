//! The double-entry ledger: immutable transfers between accounts.

use core::fmt;

use crate::id::{ArrivalId, OperationId, OwnerId, ReserveId, TransferId};
use crate::money::Usd;
use crate::payment::RailLabel;
use crate::text_enum;
use crate::time::Timestamp;

/// One side of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Money that arrived over a rail.
    Clearing(RailLabel),
    /// What customers bought.
    Sales,
    /// An owner's prepaid dollars.
    Credits(OwnerId),
    /// Money that nobody can explain yet, or that an operator advanced.
    Suspense,
}

/// The stored name: `clearing:<rail>`, `sales`, `credits:<owner>`, `suspense`.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clearing(rail) => write!(f, "clearing:{rail}"),
            Self::Sales => f.write_str("sales"),
            Self::Credits(owner) => write!(f, "credits:{owner}"),
            Self::Suspense => f.write_str("suspense"),
        }
    }
}

impl Account {
    /// The account with this stored name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "sales" => return Some(Self::Sales),
            "suspense" => return Some(Self::Suspense),
            _ => {}
        }
        let (kind, rest) = name.split_once(':')?;
        match kind {
            "clearing" => RailLabel::parse(rest).ok().map(Self::Clearing),
            "credits" => rest.parse().ok().map(Self::Credits),
            _ => None,
        }
    }
}

text_enum! {
    /// Why money moved. Every reason is named here and nowhere else.
    TransferReason {
        /// A payment for a machine or its time settled: clearing to sales.
        Sale = "sale",
        /// A payment for credits settled: clearing to the owner's credits.
        Topup = "topup",
        /// The owner bought with credits: credits to sales.
        Spend = "spend",
        /// What was bought with credits could not be delivered: sales back to credits.
        SpendReversal = "spend_reversal",
        /// A settled payment could not be served: sales to the owner's credits.
        PaymentRefund = "payment_refund",
        /// The owner ended a machine before its time: what was left, sales to credits.
        EarlyDestroy = "early_destroy",
        /// The provider lost a machine: what was left, sales to credits.
        LostMachine = "lost_machine",
        /// An operator gave credit for money that could not be traced: suspense to credits.
        OperatorRefund = "operator_refund",
        /// Money arrived that no payment explains: clearing to suspense.
        Unmatched = "unmatched",
        /// It was a payment's after all: suspense back to clearing.
        UnmatchedReversal = "unmatched_reversal",
        /// A buyer's bank asks for a payment: what is left of the credit, credits to suspense.
        Dispute = "dispute",
        /// An operator gives a payment back over its network: credits to suspense.
        CardRefund = "card_refund",
        /// What was set aside for a payment went back over its network: suspense to clearing.
        ReservePaid = "reserve_paid",
        /// What was set aside is the owner's again: suspense to credits.
        ReserveReleased = "reserve_released",
    }
}

impl TransferReason {
    /// Whether money may move from `debit` to `credit` for this reason.
    pub const fn allows(self, debit: &Account, credit: &Account) -> bool {
        use Account::{Clearing, Credits, Sales, Suspense};
        match self {
            Self::Sale => matches!((debit, credit), (Clearing(_), Sales)),
            Self::Topup => matches!((debit, credit), (Clearing(_), Credits(_))),
            Self::Spend => matches!((debit, credit), (Credits(_), Sales)),
            Self::SpendReversal | Self::PaymentRefund | Self::EarlyDestroy | Self::LostMachine => {
                matches!((debit, credit), (Sales, Credits(_)))
            }
            Self::OperatorRefund | Self::ReserveReleased => {
                matches!((debit, credit), (Suspense, Credits(_)))
            }
            Self::Unmatched => matches!((debit, credit), (Clearing(_), Suspense)),
            Self::UnmatchedReversal | Self::ReservePaid => {
                matches!((debit, credit), (Suspense, Clearing(_)))
            }
            Self::Dispute | Self::CardRefund => {
                matches!((debit, credit), (Credits(_), Suspense))
            }
        }
    }

    /// Whether it undoes an earlier debit of the same credits, so that neither counts as one.
    pub const fn is_reversal(self) -> bool {
        matches!(self, Self::SpendReversal | Self::ReserveReleased)
    }

    /// Whether the owner gets something back with it that was paid for a purchase.
    pub const fn is_giving_back(self) -> bool {
        matches!(
            self,
            Self::SpendReversal
                | Self::PaymentRefund
                | Self::EarlyDestroy
                | Self::LostMachine
                | Self::OperatorRefund
        )
    }
}

/// What an owner has in credits, and how it came to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreditAccount {
    /// What can be spent now.
    pub balance: Usd,
    /// What was ever put in: payments, and value given back for what had been paid otherwise.
    pub deposited: Usd,
    /// What was ever spent for good: spending that was reversed does not count.
    pub spent: Usd,
}

/// What made money move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A piece of work.
    Operation(OperationId),
    /// Money that no work of ours asked for.
    Arrival(ArrivalId),
    /// Credit that is set aside.
    Reserve(ReserveId),
}

impl Cause {
    /// The work, when it was one.
    pub const fn operation(self) -> Option<OperationId> {
        match self {
            Self::Operation(id) => Some(id),
            Self::Arrival(_) | Self::Reserve(_) => None,
        }
    }

    /// The arrival, when it was one.
    pub const fn arrival(self) -> Option<ArrivalId> {
        match self {
            Self::Operation(_) | Self::Reserve(_) => None,
            Self::Arrival(id) => Some(id),
        }
    }

    /// The reserve, when it was one.
    pub const fn reserve(self) -> Option<ReserveId> {
        match self {
            Self::Operation(_) | Self::Arrival(_) => None,
            Self::Reserve(id) => Some(id),
        }
    }
}

impl From<OperationId> for Cause {
    fn from(id: OperationId) -> Self {
        Self::Operation(id)
    }
}

impl From<ArrivalId> for Cause {
    fn from(id: ArrivalId) -> Self {
        Self::Arrival(id)
    }
}

impl From<ReserveId> for Cause {
    fn from(id: ReserveId) -> Self {
        Self::Reserve(id)
    }
}

/// The id alone: no two things share one.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(id) => write!(f, "{id}"),
            Self::Arrival(id) => write!(f, "{id}"),
            Self::Reserve(id) => write!(f, "{id}"),
        }
    }
}

/// One immutable ledger row. `amount` leaves `debit` and arrives at `credit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Made before the row is written, so that a repeat is recognised.
    pub id: TransferId,
    /// Where the money comes from.
    pub debit: Account,
    /// Where the money goes.
    pub credit: Account,
    /// How much; above zero.
    pub amount: Usd,
    /// Why. At most one transfer per cause and reason.
    pub reason: TransferReason,
    /// What caused it.
    pub cause: Cause,
    /// When it was written.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_names_read_back() {
        let owner = OwnerId::from_uuid(uuid::Uuid::from_u128(7));
        for account in [
            Account::Sales,
            Account::Suspense,
            Account::Clearing(RailLabel::parse("base").unwrap()),
            Account::Credits(owner),
        ] {
            assert_eq!(Account::parse(&account.to_string()), Some(account));
        }
        assert_eq!(Account::parse("credits:nobody"), None);
        assert_eq!(Account::parse("other"), None);
    }

    #[test]
    fn what_an_owner_gets_back_is_what_comes_to_it_without_a_payment() {
        for reason in TransferReason::ALL {
            let owner = Account::Credits(OwnerId::from_uuid(uuid::Uuid::from_u128(7)));
            let comes = [Account::Sales, Account::Suspense]
                .iter()
                .any(|from| reason.allows(from, &owner));
            let is_own = *reason == TransferReason::ReserveReleased;
            assert_eq!(reason.is_giving_back(), comes && !is_own, "{reason}");
        }
    }

    /// For each reason exactly one pair of account kinds is right.
    #[test]
    fn a_reason_moves_money_one_way_only() {
        let kinds = [
            Account::Clearing(RailLabel::parse("base").unwrap()),
            Account::Sales,
            Account::Credits(OwnerId::from_uuid(uuid::Uuid::from_u128(7))),
            Account::Suspense,
        ];
        let expected = [
            (TransferReason::Sale, 0, 1),
            (TransferReason::Topup, 0, 2),
            (TransferReason::Spend, 2, 1),
            (TransferReason::SpendReversal, 1, 2),
            (TransferReason::PaymentRefund, 1, 2),
            (TransferReason::EarlyDestroy, 1, 2),
            (TransferReason::LostMachine, 1, 2),
            (TransferReason::OperatorRefund, 3, 2),
            (TransferReason::Unmatched, 0, 3),
            (TransferReason::UnmatchedReversal, 3, 0),
            (TransferReason::Dispute, 2, 3),
            (TransferReason::CardRefund, 2, 3),
            (TransferReason::ReservePaid, 3, 0),
            (TransferReason::ReserveReleased, 3, 2),
        ];
        assert_eq!(expected.len(), TransferReason::ALL.len());
        for (reason, debit, credit) in expected {
            for (from, one) in kinds.iter().enumerate() {
                for (to, other) in kinds.iter().enumerate() {
                    let is_right = (from, to) == (debit, credit);
                    assert_eq!(reason.allows(one, other), is_right, "{reason} {from} {to}");
                }
            }
        }
    }
}
