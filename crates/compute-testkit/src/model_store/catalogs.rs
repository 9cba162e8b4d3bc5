//! Catalogues, shared by all replicas.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{CatalogRevision, Catalogs, StoreError};

use super::state::State;
use super::table::At;
use super::tx::ModelTx;

/// How many revisions of a provider's catalogue are kept.
const KEPT: i64 = 8;

impl State {
    fn revisions(
        &self,
        at: At,
        provider: ProviderId,
    ) -> impl DoubleEndedIterator<Item = &CatalogRevision> {
        let range = (provider, i64::MIN)..=(provider, i64::MAX);
        self.catalogs.range(at, range).map(|(_, revision)| revision)
    }
}

#[async_trait]
impl Catalogs for ModelTx {
    async fn load_catalogs(
        &mut self,
        provider: ProviderId,
        limit: u32,
    ) -> Result<Vec<CatalogRevision>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let newest_first = state.revisions(at, provider).rev();
            newest_first.take(limit).cloned().collect()
        }))
    }

    async fn record_catalog(
        &mut self,
        provider: ProviderId,
        body: &str,
        now: Timestamp,
    ) -> Result<CatalogRevision, StoreError> {
        self.write(|state| {
            let version = state.writing();
            let newest = state.revisions(None, provider).next_back().cloned();
            let revision = match newest {
                // A replica whose clock is behind takes nothing back.
                Some(newest) if newest.body == body => CatalogRevision {
                    confirmed_at: newest.confirmed_at.max(now),
                    ..newest
                },
                newest => CatalogRevision {
                    provider,
                    revision: newest.map_or(0, |newest| newest.revision).saturating_add(1),
                    body: body.to_owned(),
                    first_seen_at: now,
                    confirmed_at: now,
                },
            };
            let key = (provider, revision.revision);
            state.catalogs.put(version, key, revision.clone());
            let forgotten = revision.revision.saturating_sub(KEPT);
            let old: Vec<_> = state
                .revisions(None, provider)
                .map(|old| old.revision)
                .take_while(|old| *old <= forgotten)
                .collect();
            for old in old {
                state.catalogs.remove(version, &(provider, old));
            }
            Ok(revision)
        })
    }
}
