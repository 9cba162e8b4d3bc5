//! Catalogues as the database keeps them.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::time::Timestamp;

use super::store::StoreError;

/// One stored catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogRevision {
    /// Whose.
    pub provider: ProviderId,
    /// Counts changes, from 1.
    pub revision: i64,
    /// The catalogue as JSON.
    pub body: String,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last confirmed.
    pub confirmed_at: Timestamp,
}

/// Catalogues, shared by all replicas.
#[async_trait]
pub trait Catalogs: Send {
    /// The newest revisions of a provider's catalogue, newest first.
    async fn load_catalogs(
        &mut self,
        provider: ProviderId,
        limit: u32,
    ) -> Result<Vec<CatalogRevision>, StoreError>;
    /// Records a catalogue seen now: confirms the newest revision when the body is equal, else
    /// writes the next one and forgets all but the newest eight.
    async fn record_catalog(
        &mut self,
        provider: ProviderId,
        body: &str,
        now: Timestamp,
    ) -> Result<CatalogRevision, StoreError>;
}
