//! What is known of our accounts at the providers.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{AccountRecord, Accounts, ProviderAccount, StoreError};

use super::state::State;
use super::tx::ModelTx;

impl State {
    fn known_account(&self, provider: ProviderId) -> AccountRecord {
        let known = self.provider_accounts.get(None, &provider).cloned();
        known.unwrap_or_else(|| AccountRecord::unknown(provider))
    }

    fn write_account(&mut self, record: AccountRecord) {
        let version = self.writing();
        self.provider_accounts.put(version, record.provider, record);
    }
}

#[async_trait]
impl Accounts for ModelTx {
    async fn list_accounts(&mut self) -> Result<Vec<AccountRecord>, StoreError> {
        let mut all: Vec<_> = self.read(|state, at| {
            let rows = state.provider_accounts.iter(at);
            rows.map(|(_, record)| record.clone()).collect()
        });
        all.sort_by_key(|record| record.provider.as_str());
        Ok(all)
    }

    async fn note_account(
        &mut self,
        provider: ProviderId,
        seen: &ProviderAccount,
        now: Timestamp,
    ) -> Result<AccountRecord, StoreError> {
        self.write(|state| {
            let record = state.known_account(provider).after(seen, now);
            state.write_account(record.clone());
            Ok(record)
        })
    }

    async fn refuse_account(
        &mut self,
        provider: ProviderId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let mut record = state.known_account(provider);
            let is_news = record.refused_since.is_none();
            record.refused_since = record.refused_since.or(Some(now));
            state.write_account(record);
            Ok(is_news)
        })
    }

    async fn readmit_account(&mut self, provider: ProviderId) -> Result<bool, StoreError> {
        self.write(|state| {
            let mut record = state.known_account(provider);
            let was_refused = record.refused_since.take().is_some();
            if was_refused {
                state.write_account(record);
            }
            Ok(was_refused)
        })
    }

    async fn accept_account(
        &mut self,
        provider: ProviderId,
        other: &str,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let mut record = state.known_account(provider);
            let is_it = record.other.as_deref() == Some(other);
            if is_it {
                record.account = record.other.take();
                state.write_account(record);
            }
            Ok(is_it)
        })
    }

    async fn count_live_at(&mut self, provider: ProviderId) -> Result<u64, StoreError> {
        Ok(self.read(|state, at| {
            let instances = state.instances.iter(at);
            let live = instances
                .filter(|(_, instance)| instance.provider == provider && instance.is_live());
            u64::try_from(live.count()).unwrap_or(u64::MAX)
        }))
    }
}
