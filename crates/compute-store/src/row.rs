//! Checked conversions between cells and domain values.

use core::fmt;
use core::str::FromStr;

use compute_domain::time::Timestamp;
use compute_engine::ports::StoreError;

/// Names a row while its cells are read, so that a bad one can be found.
#[derive(Debug, Clone)]
pub(crate) struct RowName {
    table: &'static str,
    id: String,
}

impl RowName {
    pub(crate) fn new(table: &'static str, id: &str) -> Self {
        Self {
            table,
            id: id.to_owned(),
        }
    }

    /// The error for this row. Values stay out of it: some columns are confidential.
    pub(crate) fn bad(&self, what: impl fmt::Display) -> StoreError {
        StoreError::Inconsistent {
            table: self.table,
            detail: format!("{what} of {}", self.id),
        }
    }

    pub(crate) fn check<T, E>(
        &self,
        column: &'static str,
        value: Result<T, E>,
    ) -> Result<T, StoreError> {
        value.map_err(|_| self.bad(column))
    }

    pub(crate) fn present<T>(
        &self,
        column: &'static str,
        value: Option<T>,
    ) -> Result<T, StoreError> {
        value.ok_or_else(|| self.bad(column))
    }

    pub(crate) fn text<T: FromStr>(
        &self,
        column: &'static str,
        text: &str,
    ) -> Result<T, StoreError> {
        self.check(column, text.parse())
    }

    pub(crate) fn number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
        number: i64,
    ) -> Result<T, StoreError> {
        self.check(column, T::try_from(number))
    }

    pub(crate) fn digest(
        &self,
        column: &'static str,
        bytes: &[u8],
    ) -> Result<[u8; 32], StoreError> {
        self.check(column, <[u8; 32]>::try_from(bytes))
    }
}

/// The cell of an optional moment.
pub(crate) fn millis(moment: Option<Timestamp>) -> Option<i64> {
    moment.map(Timestamp::millis)
}

/// The moment of an optional cell.
pub(crate) fn moment(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}
