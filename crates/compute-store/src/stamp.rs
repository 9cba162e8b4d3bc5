//! The stamp: a database of simulated money never meets real money, nor the reverse.

use core::fmt;

use compute_domain::time::Timestamp;
use compute_engine::ports::{StoreError, Tx as _, TxMode};

use crate::connect::Database;
use crate::row::RowName;
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

/// What a database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Simulated money.
    Dev,
    /// Rehearsals of `serve` against stand-ins, where time may run faster.
    Test,
    /// Real money.
    Live,
}

impl Mode {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Live => "live",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Dev, Self::Test, Self::Live]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands in the database about its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// What it is for.
    pub mode: Mode,
    /// When it was first used.
    pub created_at: Timestamp,
}

/// Why a database may not be used.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// It is for the other purpose.
    #[error("this is a {found} database, and cannot be used as a {wanted} one")]
    WrongMode {
        /// What it was asked to be.
        wanted: Mode,
        /// What it is.
        found: Mode,
    },
    /// It could not be asked.
    #[error("the stamp of the database could not be read or written")]
    Store(#[from] StoreError),
}

const WRITE_STAMP: &str = "INSERT INTO database_stamp (id, mode, created_at)
VALUES (1, $1, $2)
ON CONFLICT (id) DO NOTHING";

const READ_STAMP: &str = "SELECT mode, created_at
FROM database_stamp
WHERE id = 1";

impl Database {
    /// Stamps a new database for `mode`, or checks the stamp it has.
    ///
    /// # Errors
    /// `WrongMode` when it was stamped for the other purpose.
    pub async fn stamp(&self, mode: Mode, now: Timestamp) -> Result<Stamp, StampError> {
        let stamp = self.read_or_write_stamp(mode, now).await?;
        if stamp.mode == mode {
            Ok(stamp)
        } else {
            Err(StampError::WrongMode {
                wanted: mode,
                found: stamp.mode,
            })
        }
    }

    async fn read_or_write_stamp(&self, mode: Mode, now: Timestamp) -> Result<Stamp, StoreError> {
        let mut tx = self.open(TxMode::Write).await?;
        if let Some(stamp) = tx.read_stamp().await? {
            Box::new(tx).rollback().await?;
            return Ok(stamp);
        }
        execute!(
            tx,
            "database_stamp",
            WRITE_STAMP,
            mode.as_str(),
            now.millis()
        )?;
        let stamp = tx.read_stamp().await?;
        Box::new(tx).commit().await?;
        stamp.ok_or_else(|| RowName::new("database_stamp", "1").bad("row"))
    }
}

impl StoreTx {
    async fn read_stamp(&mut self) -> Result<Option<Stamp>, StoreError> {
        let row: Option<(String, i64)> =
            fetch!(fetch_optional, self, "database_stamp", READ_STAMP)?;
        row.map(|(mode, created_at)| {
            let name = RowName::new("database_stamp", "1");
            let mode = name.present("mode", Mode::parse(&mode))?;
            Ok(Stamp {
                mode,
                created_at: Timestamp::from_millis(created_at),
            })
        })
        .transpose()
    }
}
