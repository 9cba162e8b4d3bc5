//! Catalogues, shared by all replicas.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{CatalogRevision, Catalogs, StoreError};

use crate::row::RowName;
use crate::statement::{contended, execute, fetch};
use crate::tx::StoreTx;

/// How many revisions of a provider's catalogue are kept.
const KEPT: i64 = 8;

const LOAD: &str = "SELECT provider, revision, body, first_seen_at, confirmed_at
FROM catalogs
WHERE provider = $1
ORDER BY revision DESC
LIMIT $2";

/// A replica whose clock is behind takes nothing back.
const CONFIRM: &str = "UPDATE catalogs
SET confirmed_at = CASE WHEN confirmed_at < $3 THEN $3 ELSE confirmed_at END
WHERE provider = $1 AND revision = $2
RETURNING provider, revision, body, first_seen_at, confirmed_at";

const INSERT: &str = "INSERT INTO catalogs (provider, revision, body, first_seen_at, confirmed_at)
VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (provider, revision) DO NOTHING";

const FORGET: &str = "DELETE FROM catalogs
WHERE provider = $1 AND revision <= $2";

#[derive(sqlx::FromRow)]
struct CatalogRow {
    provider: String,
    revision: i64,
    body: String,
    first_seen_at: i64,
    confirmed_at: i64,
}

impl CatalogRow {
    fn parse(self) -> Result<CatalogRevision, StoreError> {
        let name = RowName::new("catalogs", &self.provider);
        Ok(CatalogRevision {
            provider: name.present("provider", ProviderId::parse(&self.provider))?,
            revision: self.revision,
            body: self.body,
            first_seen_at: Timestamp::from_millis(self.first_seen_at),
            confirmed_at: Timestamp::from_millis(self.confirmed_at),
        })
    }
}

#[async_trait]
impl Catalogs for StoreTx {
    async fn load_catalogs(
        &mut self,
        provider: ProviderId,
        limit: u32,
    ) -> Result<Vec<CatalogRevision>, StoreError> {
        let rows: Vec<CatalogRow> = fetch!(
            fetch_all,
            self,
            "catalogs",
            LOAD,
            provider.as_str(),
            i64::from(limit)
        )?;
        rows.into_iter().map(CatalogRow::parse).collect()
    }

    async fn record_catalog(
        &mut self,
        provider: ProviderId,
        body: &str,
        now: Timestamp,
    ) -> Result<CatalogRevision, StoreError> {
        // Another replica may write the next revision first; then that one is compared.
        for _ in 0..8 {
            let newest = self.load_catalogs(provider, 1).await?.pop();
            if let Some(newest) = newest.as_ref().filter(|newest| newest.body == body) {
                let row: Option<CatalogRow> = fetch!(
                    fetch_optional,
                    self,
                    "catalogs",
                    CONFIRM,
                    provider.as_str(),
                    newest.revision,
                    now.millis(),
                )?;
                if let Some(row) = row {
                    return row.parse();
                }
                continue;
            }
            let revision = newest.map_or(0, |newest| newest.revision).saturating_add(1);
            let name = provider.as_str();
            let rows = execute!(self, "catalogs", INSERT, name, revision, body, now.millis())?;
            if rows == 1 {
                let oldest_kept = revision.saturating_sub(KEPT);
                execute!(self, "catalogs", FORGET, name, oldest_kept)?;
                return Ok(CatalogRevision {
                    provider,
                    revision,
                    body: body.to_owned(),
                    first_seen_at: now,
                    confirmed_at: now,
                });
            }
        }
        Err(self.fail(contended()))
    }
}
