//! Prepaid value: dollars that turn into time, in lots.
//!
//! A lot is what one purchase put on an instance: an amount, the rate it was bought at, and the time
//! it pays for. Lots are consumed oldest first. An extension adds a lot, a resize converts what is
//! left into one lot at the new rate, an end closes all of them. What is left of a lot is its share
//! of time left, rounded down, so no sequence of these moves leaves more than was paid.

use crate::id::OperationId;
use crate::money::{HourlyRate, Hours, MoneyError, Usd};
use crate::text_enum;
use crate::time::{Span, Timestamp};

/// Milliseconds in an hour.
const MILLIS_PER_HOUR: i128 = 3_600_000;

text_enum! {
    /// How a lot came to be.
    LotOrigin {
        /// Somebody paid for it.
        Purchase = "purchase",
        /// It holds what was left of other lots, at a new rate.
        Conversion = "conversion",
    }
}

/// How a lot ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// When.
    pub at: Timestamp,
    /// What was left of it then.
    pub left: Usd,
}

/// Prepaid value of one origin: `amount` for the time from `from` to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lot {
    /// The operation that brought it.
    pub operation: OperationId,
    /// How it came to be.
    pub origin: LotOrigin,
    /// Its value when whole.
    pub amount: Usd,
    /// What an hour cost.
    pub rate: HourlyRate,
    /// Begin of the time it pays for.
    pub from: Timestamp,
    /// End of the time it pays for.
    pub to: Timestamp,
    /// Set when it ended before its time.
    pub closed: Option<Closing>,
}

impl Lot {
    /// What is left of it at `now`, rounded down: all before its time, nothing after it.
    pub fn left(&self, now: Timestamp) -> Usd {
        if self.closed.is_some() || now >= self.to {
            return Usd::ZERO;
        }
        if now <= self.from {
            return self.amount;
        }
        let whole = i128::from(self.to.since(self.from).millis());
        let left = i128::from(self.to.since(now).millis());
        let share = i128::from(self.amount.micros()) * left / whole.max(1);
        // At most `amount`, which is an amount of money.
        Usd::from_wide(share).unwrap_or(self.amount)
    }
}

/// All prepaid value that an instance ever had, oldest lot first. Empty until it is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepaid {
    lots: Vec<Lot>,
}

/// What ending an instance early costs its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyDestroy {
    /// What is left becomes credit, except that `min_hours` at the highest rate the instance had are
    /// charged in any case.
    Credit {
        /// The hours that are charged in any case.
        min_hours: u32,
    },
    /// What is left is lost.
    Forfeit,
}

/// What a destruction gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// What was left of the prepaid value.
    pub left: Usd,
    /// What of it becomes the owner's credit.
    pub credit: Usd,
}

impl Prepaid {
    /// Reads lots back, oldest first.
    pub const fn of(lots: Vec<Lot>) -> Self {
        Self { lots }
    }

    /// The lots, oldest first, closed ones included.
    pub fn lots(&self) -> &[Lot] {
        &self.lots
    }

    /// Whether the instance never had prepaid value.
    pub const fn is_empty(&self) -> bool {
        self.lots.is_empty()
    }

    /// End of the time that is paid for.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.open().map(|lot| lot.to).max()
    }

    /// What was ever paid.
    ///
    /// # Errors
    /// `OutOfRange` when the sum is no amount of money.
    pub fn paid(&self) -> Result<Usd, MoneyError> {
        let purchases = self
            .lots
            .iter()
            .filter(|lot| lot.origin == LotOrigin::Purchase);
        sum(purchases.map(|lot| lot.amount))
    }

    /// What is left at `now`.
    ///
    /// # Errors
    /// `OutOfRange` when the sum is no amount of money.
    pub fn left(&self, now: Timestamp) -> Result<Usd, MoneyError> {
        sum(self.lots.iter().map(|lot| lot.left(now)))
    }

    /// The first purchase: `hours` that end at `expires_at`.
    #[must_use]
    pub fn bought(
        operation: OperationId,
        amount: Usd,
        rate: HourlyRate,
        hours: Hours,
        expires_at: Timestamp,
    ) -> Self {
        let lot = Lot {
            operation,
            origin: LotOrigin::Purchase,
            amount,
            rate,
            from: expires_at.minus(Span::from_hours(hours.get())),
            to: expires_at,
            closed: None,
        };
        Self { lots: vec![lot] }
    }

    /// A further purchase: exactly `hours` behind those that are paid for.
    ///
    /// # Errors
    /// `OutOfRange` when there is nothing to extend.
    pub fn extend(
        mut self,
        operation: OperationId,
        amount: Usd,
        rate: HourlyRate,
        hours: Hours,
    ) -> Result<Self, MoneyError> {
        let from = self.expires_at().ok_or(MoneyError::OutOfRange)?;
        self.lots.push(Lot {
            operation,
            origin: LotOrigin::Purchase,
            amount,
            rate,
            from,
            to: from.plus(Span::from_hours(hours.get())),
            closed: None,
        });
        Ok(self)
    }

    /// What is left at `now`, as one lot at another rate. Its time is rounded down to the millisecond;
    /// its value is all of what was left.
    ///
    /// # Errors
    /// `OutOfRange` when the sum is no amount of money, or the time does not fit.
    pub fn convert(
        self,
        operation: OperationId,
        rate: HourlyRate,
        now: Timestamp,
    ) -> Result<Self, MoneyError> {
        let amount = self.left(now)?;
        let millis = i128::from(amount.micros()) * MILLIS_PER_HOUR / i128::from(rate.micros());
        let millis = i64::try_from(millis).map_err(|_| MoneyError::OutOfRange)?;
        let mut converted = self.close(now);
        converted.lots.push(Lot {
            operation,
            origin: LotOrigin::Conversion,
            amount,
            rate,
            from: now,
            to: now.plus(Span::from_millis(millis)),
            closed: None,
        });
        Ok(converted)
    }

    /// Ends every lot at `now`.
    #[must_use]
    pub fn close(mut self, now: Timestamp) -> Self {
        for lot in &mut self.lots {
            if lot.closed.is_none() {
                let left = lot.left(now);
                lot.closed = Some(Closing { at: now, left });
            }
        }
        self
    }

    /// What the owner gets who ends the instance at `now`: never more than is left, and never so much
    /// that less than the minimum was charged.
    ///
    /// # Errors
    /// `OutOfRange` when a sum is no amount of money.
    pub fn ending(&self, policy: EarlyDestroy, now: Timestamp) -> Result<Ending, MoneyError> {
        let left = self.left(now)?;
        let credit = match policy {
            EarlyDestroy::Forfeit => Usd::ZERO,
            EarlyDestroy::Credit { min_hours } => left.min(self.above_minimum(min_hours)?),
        };
        Ok(Ending { left, credit })
    }

    /// What was paid beyond `min_hours` at the highest rate.
    fn above_minimum(&self, min_hours: u32) -> Result<Usd, MoneyError> {
        let paid = i128::from(self.paid()?.micros());
        let highest = self.lots.iter().map(|lot| lot.rate.micros()).max();
        let minimum = i128::from(highest.unwrap_or(0)) * i128::from(min_hours);
        Usd::from_wide((paid - minimum).max(0))
    }

    fn open(&self) -> impl Iterator<Item = &Lot> {
        self.lots.iter().filter(|lot| lot.closed.is_none())
    }
}

fn sum(mut amounts: impl Iterator<Item = Usd>) -> Result<Usd, MoneyError> {
    amounts.try_fold(Usd::ZERO, Usd::checked_add)
}

#[cfg(test)]
#[path = "prepaid/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "prepaid/fortune.rs"]
mod fortune;

#[cfg(test)]
#[path = "prepaid/resizes.rs"]
mod resizes;
