//! Opening PostgreSQL: only the server that writes will do.

use std::str::FromStr;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{ConnectError, DatabaseConfig, Pools};
use crate::dialect::{IS_READ_ONLY, postgres_options};

/// For the pool, which wants an error of its own kind.
#[derive(Debug, thiserror::Error)]
#[error("the database is a standby or read-only")]
struct NotForWriting;

pub(super) async fn connect(
    config: &DatabaseConfig,
    statement_limit: Duration,
) -> Result<Pools, ConnectError> {
    let options = PgConnectOptions::from_str(&config.url).map_err(ConnectError::Url)?;
    let options = postgres_options(options, statement_limit);
    refuse_read_only(config, &options).await?;
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        // The server behind the name may be another one tomorrow.
        .after_connect(|connection, _| {
            Box::pin(async move {
                if is_read_only(connection).await? {
                    return Err(sqlx::Error::Configuration(Box::new(NotForWriting)));
                }
                Ok(())
            })
        })
        .connect_lazy_with(options);
    Ok(Pools::Postgres(pool))
}

/// The pool would try again until its time is over, and would not say why.
async fn refuse_read_only(
    config: &DatabaseConfig,
    options: &PgConnectOptions,
) -> Result<(), ConnectError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(config.acquire_timeout)
        .connect_with(options.clone())
        .await
        .map_err(ConnectError::Unreachable)?;
    let outcome = match pool.acquire().await {
        Ok(mut connection) => is_read_only(&mut connection).await,
        Err(error) => Err(error),
    };
    pool.close().await;
    match outcome {
        Ok(false) => Ok(()),
        Ok(true) => Err(ConnectError::ReadOnly),
        Err(error) => Err(ConnectError::Unreachable(error)),
    }
}

async fn is_read_only(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(IS_READ_ONLY).fetch_one(connection).await
}
