//! `migrate`: the database gets the schema of this build.

use anyhow::Context as _;
use compute_store::Database;

use super::ConfigArguments;
use crate::ambient::system_time;
use crate::{settings, telemetry, wiring};

/// Applies pending migrations and stamps a new database.
///
/// # Errors
/// When the configuration has problems, or the database cannot be brought up to date.
pub(crate) async fn run(arguments: &ConfigArguments) -> anyhow::Result<()> {
    let loaded = settings::load(arguments.config.as_deref())?;
    let log = loaded.settings.log.clone();
    let config = loaded.check()?;
    telemetry::start(&log, None)?;
    let database = Database::connect(&wiring::store_config(&config.database))
        .await
        .context("open the database")?;
    database.migrate().await.context("migrate the database")?;
    let mode = wiring::store_mode(config.database.mode);
    database
        .stamp(mode, system_time())
        .await
        .context("stamp the database")?;
    database.close().await;
    tracing::info!(
        database = config.database.url.masked(),
        "the database is up to date"
    );
    Ok(())
}
