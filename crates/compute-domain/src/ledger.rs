//! The double-entry ledger: immutable transfers between accounts.

use core::fmt;

use crate::id::{OperationId, OwnerId, TransferId};
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
}

/// The stored name: `clearing:<rail>`, `sales`, `credits:<owner>`.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clearing(rail) => write!(f, "clearing:{rail}"),
            Self::Sales => f.write_str("sales"),
            Self::Credits(owner) => write!(f, "credits:{owner}"),
        }
    }
}

impl Account {
    /// The account with this stored name.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "sales" {
            return Some(Self::Sales);
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
        /// A payment settled: clearing to sales.
        Sale = "sale",
        /// A settled payment could not be served: sales to the owner's credits.
        PaymentRefund = "payment_refund",
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
    /// Why. At most one transfer per operation and reason.
    pub reason: TransferReason,
    /// The work that caused it.
    pub operation: OperationId,
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
            Account::Clearing(RailLabel::parse("base").unwrap()),
            Account::Credits(owner),
        ] {
            assert_eq!(Account::parse(&account.to_string()), Some(account));
        }
        assert_eq!(Account::parse("credits:nobody"), None);
        assert_eq!(Account::parse("other"), None);
    }
}
