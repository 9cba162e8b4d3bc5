//! Migrations: applying them, and refusing a schema that is not this build's.

use std::collections::BTreeMap;

use compute_engine::ports::{StoreError, TxMode};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::connect::{Database, Pools};
use crate::dialect::{COUNT_MIGRATION_TABLES, unlimited};
use crate::statement::fetch;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

const LIST_MIGRATIONS: &str = "SELECT version, success, checksum
FROM _sqlx_migrations
ORDER BY version";

/// Number, whether it was completed, and checksum of a migration in the database.
type Applied = (i64, bool, Vec<u8>);

/// Why the schema is not fit for this build.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Migrations are pending; apply them first.
    #[error("the database lacks {pending} migrations of this build")]
    Behind {
        /// How many.
        pending: usize,
    },
    /// A newer build has migrated it.
    #[error("the database has migration {version}, which this build does not know")]
    Ahead {
        /// The first unknown one.
        version: i64,
    },
    /// An applied migration is not the one this build has under its number.
    #[error("migration {version} in the database is another one than in this build")]
    Altered {
        /// Its number.
        version: i64,
    },
    /// The database says that a migration of it was left in its middle. Ours never are.
    #[error("migration {version} in the database is marked as half done: restore a backup")]
    HalfDone {
        /// Its number.
        version: i64,
    },
    /// A migration could not be applied; nothing of it was.
    #[error("a migration failed")]
    Failed(#[source] MigrateError),
    /// The present schema could not be read.
    #[error("the schema version could not be read")]
    Unreadable(#[source] StoreError),
}

impl Database {
    /// Applies the pending migrations. Several processes may do so at once: one works, the others
    /// wait.
    ///
    /// # Errors
    /// When one fails, or the schema is a newer or another one.
    pub async fn migrate(&self) -> Result<(), SchemaError> {
        let outcome = match &self.pools {
            Pools::Sqlite { writer, .. } => SQLITE.run(writer).await,
            Pools::Postgres(pool) => {
                // Connections of its own, with other limits.
                migrate_postgres(unlimited(pool.connect_options().as_ref().clone())).await
            }
        };
        outcome.map_err(|error| match error {
            MigrateError::VersionMissing(version) => SchemaError::Ahead { version },
            MigrateError::VersionMismatch(version) => SchemaError::Altered { version },
            MigrateError::Dirty(version) => SchemaError::HalfDone { version },
            other => SchemaError::Failed(other),
        })
    }

    /// Checks that the schema is exactly this build's.
    ///
    /// # Errors
    /// When it is behind, ahead or altered, or cannot be read.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        let applied = self
            .applied_migrations()
            .await
            .map_err(SchemaError::Unreadable)?;
        let migrator = if self.is_sqlite() { &SQLITE } else { &POSTGRES };
        let known = migrator
            .iter()
            .map(|migration| (migration.version, &*migration.checksum));
        compare(&known.collect(), &applied)
    }

    async fn applied_migrations(&self) -> Result<Vec<Applied>, StoreError> {
        let mut tx = self.open(TxMode::Read).await?;
        let (tables,): (i64,) = fetch!(fetch_one, tx, "_sqlx_migrations", COUNT_MIGRATION_TABLES)?;
        if tables == 0 {
            return Ok(Vec::new());
        }
        fetch!(fetch_all, tx, "_sqlx_migrations", LIST_MIGRATIONS)
    }
}

async fn migrate_postgres(options: PgConnectOptions) -> Result<(), MigrateError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    let outcome = POSTGRES.run(&pool).await;
    pool.close().await;
    outcome
}

fn compare(known: &BTreeMap<i64, &[u8]>, applied: &[Applied]) -> Result<(), SchemaError> {
    for (version, is_complete, checksum) in applied {
        if !is_complete {
            return Err(SchemaError::HalfDone { version: *version });
        }
        match known.get(version) {
            None => return Err(SchemaError::Ahead { version: *version }),
            Some(own) if own != checksum => {
                return Err(SchemaError::Altered { version: *version });
            }
            Some(_) => {}
        }
    }
    match known.len().saturating_sub(applied.len()) {
        0 => Ok(()),
        pending => Err(SchemaError::Behind { pending }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(applied: &[(i64, &[u8])]) -> Result<(), SchemaError> {
        let known = BTreeMap::from([(1, b"a".as_slice()), (2, b"b")]);
        let applied: Vec<_> = applied
            .iter()
            .map(|(version, sum)| (*version, true, sum.to_vec()))
            .collect();
        compare(&known, &applied)
    }

    #[test]
    fn a_migration_that_is_half_done_is_refused() {
        let known = BTreeMap::from([(1, b"a".as_slice())]);
        let outcome = compare(&known, &[(1, false, b"a".to_vec())]);
        assert!(matches!(outcome, Err(SchemaError::HalfDone { version: 1 })));
    }

    #[test]
    fn only_this_builds_schema_is_fit() {
        assert!(check(&[(1, b"a"), (2, b"b")]).is_ok());
        assert!(matches!(
            check(&[]),
            Err(SchemaError::Behind { pending: 2 })
        ));
        assert!(matches!(
            check(&[(1, b"a")]),
            Err(SchemaError::Behind { pending: 1 })
        ));
        assert!(matches!(
            check(&[(1, b"x"), (2, b"b")]),
            Err(SchemaError::Altered { version: 1 })
        ));
        assert!(matches!(
            check(&[(1, b"a"), (2, b"b"), (3, b"c")]),
            Err(SchemaError::Ahead { version: 3 })
        ));
    }
}
