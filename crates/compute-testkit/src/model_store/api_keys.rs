//! API keys.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, OwnerId};
use compute_domain::money::Usd;
use compute_domain::owner::ApiKey;
use compute_domain::request_key::RequestKey;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ApiKeys, FoundKey, KeyStored, StoreError};

use super::state::{ApiKeyRow, MIN_TIME, State, least};
use super::table::At;
use super::tx::{ModelTx, no_row, require};

impl State {
    /// An owner's keys, oldest first.
    fn api_keys_of(&self, at: At, owner: OwnerId) -> impl Iterator<Item = &ApiKey> {
        self.api_keys_by_owner
            .range(at, (owner, MIN_TIME, least::<ApiKeyId>())..)
            .take_while(move |((holder, ..), ())| *holder == owner)
            .filter_map(move |((.., id), ())| self.api_keys.get(at, id))
            .map(|row| &row.api_key)
    }

    fn write_api_key(&mut self, api_key: ApiKey) {
        let version = self.writing();
        if let Some(row) = self.api_keys.get(None, &api_key.id) {
            let mac = row.mac;
            let row = ApiKeyRow { api_key, mac };
            self.api_keys.put(version, row.api_key.id, row);
        }
    }
}

#[async_trait]
impl ApiKeys for ModelTx {
    async fn insert_api_key(
        &mut self,
        api_key: &ApiKey,
        mac: &[u8; 32],
        name: Option<&RequestKey>,
        limit: u32,
    ) -> Result<KeyStored, StoreError> {
        self.write(|state| {
            let name = name.map(|name| (api_key.owner, name.clone()));
            let before = name.as_ref().and_then(|name| {
                let id = state.api_keys_by_name.get(None, name)?;
                state.api_keys.get(None, id)
            });
            if let Some(row) = before {
                return Ok(KeyStored::Before(Box::new(row.api_key.clone())));
            }
            let own = state.api_keys_of(None, api_key.owner);
            // A new key is made now, and what has expired by now is not live.
            let now = api_key.created_at;
            let live = own.filter(|known| known.is_live(now)).count();
            if live >= usize::try_from(limit).unwrap_or(usize::MAX) {
                return Ok(KeyStored::Full);
            }
            require(
                state.owners.has(None, &api_key.owner),
                "an API key has an owner",
            )?;
            let is_in_budget = api_key.budget.is_none_or(|budget| api_key.spent <= budget);
            require(is_in_budget, "an API key spends no more than its budget")?;
            require(
                !state.api_keys.has(None, &api_key.id) && !state.api_keys_by_mac.has(None, mac),
                "an API key is stored once",
            )?;
            let version = state.writing();
            let id = api_key.id;
            state.api_keys_by_mac.put(version, *mac, id);
            if let Some(name) = name {
                state.api_keys_by_name.put(version, name, id);
            }
            let key = (api_key.owner, api_key.created_at, id);
            state.api_keys_by_owner.put(version, key, ());
            let row = ApiKeyRow {
                api_key: api_key.clone(),
                mac: *mac,
            };
            state.api_keys.put(version, id, row);
            Ok(KeyStored::New)
        })
    }

    async fn find_api_key(&mut self, mac: &[u8; 32]) -> Result<Option<FoundKey>, StoreError> {
        Ok(self.read(|state, at| {
            let id = state.api_keys_by_mac.get(at, mac)?;
            let api_key = state.api_keys.get(at, id)?.api_key.clone();
            let mut texts = state.management_keys.iter(at);
            Some(FoundKey {
                is_text_kept: texts.any(|(_, row)| row.api_key == *id && row.sealed.is_some()),
                api_key,
            })
        }))
    }

    async fn list_api_keys(&mut self, owner: OwnerId) -> Result<Vec<ApiKey>, StoreError> {
        let mut api_keys: Vec<_> =
            self.read(|state, at| state.api_keys_of(at, owner).cloned().collect());
        api_keys.reverse();
        Ok(api_keys)
    }

    async fn charge_api_key(
        &mut self,
        id: ApiKeyId,
        amount: Usd,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let Some(row) = state.api_keys.get(None, &id) else {
                return Ok(false);
            };
            let mut api_key = row.api_key.clone();
            let Ok(spent) = api_key.spent.checked_add(amount) else {
                return Ok(false);
            };
            if !api_key.is_live(now) || api_key.budget.is_some_and(|budget| spent > budget) {
                return Ok(false);
            }
            api_key.spent = spent;
            state.write_api_key(api_key);
            Ok(true)
        })
    }

    async fn is_api_key_live(&mut self, id: ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.read(|state, at| {
            let row = state.api_keys.get(at, &id);
            row.is_some_and(|row| row.api_key.is_live(now))
        }))
    }

    async fn uncharge_api_key(&mut self, id: ApiKeyId, amount: Usd) -> Result<(), StoreError> {
        self.write(|state| {
            let row = state.api_keys.get(None, &id);
            let mut api_key = row.ok_or_else(|| no_row("api_keys"))?.api_key.clone();
            let spent = api_key.spent.checked_sub(amount);
            api_key.spent = spent.map_err(|_| no_row("api_keys"))?;
            state.write_api_key(api_key);
            Ok(())
        })
    }

    async fn revoke_api_key(
        &mut self,
        owner: OwnerId,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.write(|state| {
            let row = state.api_keys.get(None, &id);
            let Some(row) = row.filter(|row| row.api_key.owner == owner) else {
                return Ok(None);
            };
            let mut api_key = row.api_key.clone();
            api_key.revoked_at.get_or_insert(now);
            state.write_api_key(api_key.clone());
            Ok(Some(api_key))
        })
    }
}
