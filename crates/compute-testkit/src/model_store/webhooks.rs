//! Webhooks and their delivery logs.

use async_trait::async_trait;
use compute_domain::id::{ApiKeyId, OwnerId, WebhookId};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Delivery, StoreError, Webhook, WebhookState, Webhooks};

use super::state::WebhookRow;
use super::tx::{ModelTx, require};

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl WebhookRow {
    /// Whether this holder has it still.
    fn is_held_by(&self, holder: &str, now: Timestamp) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|(by, until)| by == holder && *until > now)
    }
}

#[async_trait]
impl Webhooks for ModelTx {
    async fn insert_webhook(&mut self, webhook: &Webhook, limit: u32) -> Result<bool, StoreError> {
        self.write(|state| {
            let is_known = state.owners.has(None, &webhook.owner);
            require(is_known, "a webhook has an owner")?;
            let all = state.webhooks.iter(None);
            let own = all.filter(|(_, row)| row.webhook.owner == webhook.owner);
            if own.count() >= count(limit) {
                return Ok(false);
            }
            let row = WebhookRow {
                webhook: webhook.clone(),
                held: None,
            };
            let version = state.writing();
            state.webhooks.put(version, webhook.id, row);
            Ok(true)
        })
    }

    async fn save_webhook(
        &mut self,
        webhook: &Webhook,
        holder: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let row = state.webhooks.get(None, &webhook.id).cloned();
            let Some(mut row) = row.filter(|row| row.is_held_by(holder, now)) else {
                return Ok(false);
            };
            row.webhook.state = webhook.state;
            row.webhook.after = webhook.after;
            row.webhook.attempts = webhook.attempts;
            row.webhook.failures = webhook.failures;
            row.webhook.due_at = webhook.due_at;
            row.webhook.api_key = webhook.api_key;
            let version = state.writing();
            state.webhooks.put(version, webhook.id, row);
            Ok(true)
        })
    }

    async fn rotate_webhook(
        &mut self,
        webhook: &Webhook,
        known: &[u8],
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let row = state.webhooks.get(None, &webhook.id).cloned();
            let Some(mut row) = row.filter(|row| row.webhook.secret == known) else {
                return Ok(false);
            };
            row.webhook.secret.clone_from(&webhook.secret);
            row.webhook.previous.clone_from(&webhook.previous);
            let version = state.writing();
            state.webhooks.put(version, webhook.id, row);
            Ok(true)
        })
    }

    async fn find_webhook(&mut self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        Ok(self.read(|state, at| {
            let row = state.webhooks.get(at, &id);
            row.map(|row| row.webhook.clone())
        }))
    }

    async fn list_webhooks(&mut self, owner: OwnerId) -> Result<Vec<Webhook>, StoreError> {
        Ok(self.read(|state, at| {
            let all = state.webhooks.iter(at).map(|(_, row)| &row.webhook);
            all.filter(|webhook| webhook.owner == owner)
                .cloned()
                .collect()
        }))
    }

    async fn delete_webhook(&mut self, owner: OwnerId, id: WebhookId) -> Result<bool, StoreError> {
        self.write(|state| {
            let row = state.webhooks.get(None, &id);
            if row.is_none_or(|row| row.webhook.owner != owner) {
                return Ok(false);
            }
            let version = state.writing();
            state.webhooks.remove(version, &id);
            let log = state.deliveries.range(None, (id, 0)..);
            let log = log.take_while(|((of, _), _)| *of == id);
            let keys: Vec<_> = log.map(|(key, _)| *key).collect();
            for key in keys {
                state.deliveries.remove(version, &key);
            }
            Ok(true)
        })
    }

    async fn list_due_webhooks(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(WebhookId, OwnerId)>, StoreError> {
        Ok(self.read(|state, at| {
            let all = state.webhooks.iter(at);
            let due = all.filter(|(_, row)| {
                let webhook = &row.webhook;
                let last = state.event_counters.get(at, &webhook.owner);
                webhook.state == WebhookState::Active
                    && webhook.due_at <= now
                    && last.is_some_and(|last| *last > webhook.after)
                    && row.held.as_ref().is_none_or(|(_, until)| *until <= now)
            });
            let due = due.map(|(id, row)| (row.webhook.due_at, *id, row.webhook.owner));
            let mut due: Vec<_> = due.collect();
            due.sort();
            due.truncate(count(limit));
            due.into_iter().map(|(_, id, owner)| (id, owner)).collect()
        }))
    }

    async fn hold_webhook(
        &mut self,
        id: WebhookId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let row = state.webhooks.get(None, &id).cloned();
            let is_free = |row: &WebhookRow| {
                let held = row.held.as_ref();
                held.is_none_or(|(by, until)| by == holder || *until <= now)
            };
            let Some(mut row) = row.filter(is_free) else {
                return Ok(false);
            };
            row.held = Some((holder.to_owned(), until));
            let version = state.writing();
            state.webhooks.put(version, id, row);
            Ok(true)
        })
    }

    async fn release_webhook(&mut self, id: WebhookId, holder: &str) -> Result<(), StoreError> {
        self.write(|state| {
            let row = state.webhooks.get(None, &id).cloned();
            let is_ours = |row: &WebhookRow| row.held.as_ref().is_some_and(|(by, _)| by == holder);
            if let Some(mut row) = row.filter(is_ours) {
                row.held = None;
                let version = state.writing();
                state.webhooks.put(version, id, row);
            }
            Ok(())
        })
    }

    async fn end_webhooks_of(&mut self, api_key: ApiKeyId) -> Result<u64, StoreError> {
        self.write(|state| {
            let all = state.webhooks.iter(None);
            let own = all.filter(|(_, row)| row.webhook.api_key == Some(api_key));
            let own: Vec<_> = own.map(|(id, row)| (*id, row.clone())).collect();
            let count = u64::try_from(own.len()).unwrap_or(u64::MAX);
            let version = state.writing();
            for (id, mut row) in own {
                if row.webhook.state == WebhookState::Active {
                    row.webhook.state = WebhookState::Disabled;
                }
                row.held = None;
                state.webhooks.put(version, id, row);
            }
            Ok(count)
        })
    }

    async fn last_event_of(&mut self, owner: OwnerId) -> Result<u64, StoreError> {
        let last = self.read(|state, at| state.event_counters.get(at, &owner).copied());
        Ok(last.unwrap_or_default())
    }

    async fn append_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        self.write(|state| {
            let id = delivery.webhook;
            require(state.webhooks.has(None, &id), "a delivery has a webhook")?;
            let log = state.deliveries.range(None, (id, 0)..);
            let log = log.take_while(|((of, _), _)| *of == id);
            let seq = log.last().map_or(0, |((_, seq), _)| *seq).saturating_add(1);
            let line = Delivery {
                seq,
                ..delivery.clone()
            };
            let version = state.writing();
            state.deliveries.put(version, (id, seq), line);
            Ok(())
        })
    }

    async fn list_deliveries(
        &mut self,
        webhook: WebhookId,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(self.read(|state, at| {
            let log = state.deliveries.range(at, (webhook, 0)..);
            let log = log.take_while(|((of, _), _)| *of == webhook);
            let mut lines: Vec<_> = log.map(|(_, line)| line.clone()).collect();
            lines.reverse();
            lines.truncate(count(limit));
            lines
        }))
    }

    async fn forget_deliveries(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.write(|state| {
            let all = state.deliveries.iter(None);
            let mut old: Vec<_> = all
                .filter(|(_, line)| line.at < before)
                .map(|(key, line)| (line.at, *key))
                .collect();
            old.sort();
            old.truncate(count(limit));
            let version = state.writing();
            for (_, key) in &old {
                state.deliveries.remove(version, key);
            }
            Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
        })
    }
}
