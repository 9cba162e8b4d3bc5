//! Webhooks and their delivery logs.

use async_trait::async_trait;
use compute_domain::event::EventType;
use compute_domain::id::{ApiKeyId, OwnerId, WebhookId};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Delivery, StoreError, Webhook, WebhookState, Webhooks};

use crate::dialect::LOCK_OWNER;
use crate::row::{RowName, millis};
use crate::statement::{Refusal, execute, fetch, rejected};
use crate::tx::StoreTx;

macro_rules! columns {
    () => {
        "id, owner_id, url, kinds, secret, previous_secret, previous_until, state, after_seq,
    attempts, failures, due_at, created_at, api_key_id"
    };
}

const COUNT: &str = "SELECT COUNT(*)
FROM webhooks
WHERE owner_id = $1";

const INSERT: &str = concat!(
    "INSERT INTO webhooks (",
    columns!(),
    ")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
);

const SAVE: &str = "UPDATE webhooks
SET state = $2, after_seq = $3, attempts = $4, failures = $5, due_at = $6, api_key_id = $7
WHERE id = $1 AND held_by = $8 AND held_until > $9";

const ROTATE: &str = "UPDATE webhooks
SET secret = $2, previous_secret = $3, previous_until = $4
WHERE id = $1 AND secret = $5";

const FIND: &str = concat!("SELECT ", columns!(), "\nFROM webhooks\nWHERE id = $1");

const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    "\nFROM webhooks\nWHERE owner_id = $1\nORDER BY id"
);

const DELETE: &str = "DELETE FROM webhooks
WHERE id = $1 AND owner_id = $2";

const LIST_DUE: &str = "SELECT webhooks.id, webhooks.owner_id
FROM webhooks
JOIN owner_event_counters ON owner_event_counters.owner_id = webhooks.owner_id
WHERE webhooks.state = 'active' AND webhooks.due_at <= $1
    AND owner_event_counters.last_seq > webhooks.after_seq
    AND (webhooks.held_until IS NULL OR webhooks.held_until <= $1)
ORDER BY webhooks.due_at, webhooks.id
LIMIT $2";

const HOLD: &str = "UPDATE webhooks
SET held_by = $2, held_until = $4
WHERE id = $1 AND (held_by = $2 OR held_until IS NULL OR held_until <= $3)";

const RELEASE: &str = "UPDATE webhooks
SET held_by = NULL, held_until = NULL
WHERE id = $1 AND held_by = $2";

/// One that waits for its first ping goes on waiting: it must not begin with what happened before.
const END_OF_KEY: &str = "UPDATE webhooks
SET state = CASE WHEN state = 'active' THEN 'disabled' ELSE state END,
    held_by = NULL, held_until = NULL
WHERE api_key_id = $1";

const LAST_EVENT: &str = "SELECT last_seq
FROM owner_event_counters
WHERE owner_id = $1";

const APPEND: &str = "INSERT INTO webhook_deliveries
    (webhook_id, seq, at, event_seq, kind, attempt, status, outcome)
SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6, $7
FROM webhook_deliveries
WHERE webhook_id = $1";

const LIST_DELIVERIES: &str = "SELECT seq, at, event_seq, kind, attempt, status, outcome
FROM webhook_deliveries
WHERE webhook_id = $1
ORDER BY seq DESC
LIMIT $2";

const FORGET: &str = "DELETE FROM webhook_deliveries
WHERE (webhook_id, seq) IN (
    SELECT webhook_id, seq FROM webhook_deliveries
    WHERE at < $1
    ORDER BY at
    LIMIT $2)";

#[derive(sqlx::FromRow)]
struct WebhookRow {
    id: String,
    owner_id: String,
    url: String,
    kinds: String,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<i64>,
    state: String,
    after_seq: i64,
    attempts: i64,
    failures: i64,
    due_at: i64,
    created_at: i64,
    api_key_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    seq: i64,
    at: i64,
    event_seq: Option<i64>,
    kind: String,
    attempt: i64,
    status: Option<i64>,
    outcome: String,
}

fn kinds_text(kinds: &[EventType]) -> String {
    let words: Vec<&str> = kinds.iter().map(EventType::as_str).collect();
    words.join(",")
}

impl WebhookRow {
    fn parse(self) -> Result<Webhook, StoreError> {
        let name = RowName::new("webhooks", &self.id);
        let words = self.kinds.split(',').filter(|word| !word.is_empty());
        let until = self.previous_until.map(Timestamp::from_millis);
        let api_key = self.api_key_id.as_deref();
        let api_key = api_key.map(|text| name.text("api_key_id", text));
        Ok(Webhook {
            id: name.text("id", &self.id)?,
            owner: name.text("owner_id", &self.owner_id)?,
            api_key: api_key.transpose()?,
            kinds: words.map(EventType::parse).collect(),
            url: self.url,
            secret: self.secret,
            previous: self.previous_secret.zip(until),
            state: name.present("state", WebhookState::parse(&self.state))?,
            after: name.number("after_seq", self.after_seq)?,
            attempts: name.number("attempts", self.attempts)?,
            failures: name.number("failures", self.failures)?,
            due_at: Timestamp::from_millis(self.due_at),
            created_at: Timestamp::from_millis(self.created_at),
        })
    }
}

impl DeliveryRow {
    fn parse(self, webhook: WebhookId) -> Result<Delivery, StoreError> {
        let name = RowName::new("webhook_deliveries", &webhook.to_string());
        let event_seq = self.event_seq.map(|seq| name.number("event_seq", seq));
        let status = self.status.map(|status| name.number("status", status));
        Ok(Delivery {
            webhook,
            seq: name.number("seq", self.seq)?,
            at: Timestamp::from_millis(self.at),
            event_seq: event_seq.transpose()?,
            kind: self.kind,
            attempt: name.number("attempt", self.attempt)?,
            status: status.transpose()?,
            outcome: self.outcome,
        })
    }
}

impl StoreTx {
    fn number(&mut self, number: u64) -> Result<i64, StoreError> {
        i64::try_from(number).map_err(|_| self.fail(rejected(Refusal::NumberTooLarge)))
    }
}

#[async_trait]
impl Webhooks for StoreTx {
    async fn insert_webhook(&mut self, webhook: &Webhook, limit: u32) -> Result<bool, StoreError> {
        let owner = webhook.owner.to_string();
        let _: Option<(String,)> = fetch!(fetch_optional, self, "owners", LOCK_OWNER, &owner)?;
        let (count,): (i64,) = fetch!(fetch_one, self, "webhooks", COUNT, &owner)?;
        if count >= i64::from(limit) {
            return Ok(false);
        }
        let after = self.number(webhook.after)?;
        let previous = webhook.previous.as_ref();
        execute!(
            self,
            "webhooks",
            INSERT,
            webhook.id.to_string(),
            owner,
            &webhook.url,
            kinds_text(&webhook.kinds),
            &webhook.secret,
            previous.map(|(secret, _)| secret),
            millis(previous.map(|(_, until)| *until)),
            webhook.state.as_str(),
            after,
            i64::from(webhook.attempts),
            i64::from(webhook.failures),
            webhook.due_at.millis(),
            webhook.created_at.millis(),
            webhook.api_key.map(|id| id.to_string()),
        )?;
        Ok(true)
    }

    async fn save_webhook(
        &mut self,
        webhook: &Webhook,
        holder: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let after = self.number(webhook.after)?;
        let rows = execute!(
            self,
            "webhooks",
            SAVE,
            webhook.id.to_string(),
            webhook.state.as_str(),
            after,
            i64::from(webhook.attempts),
            i64::from(webhook.failures),
            webhook.due_at.millis(),
            webhook.api_key.map(|id| id.to_string()),
            holder,
            now.millis(),
        )?;
        Ok(rows == 1)
    }

    async fn rotate_webhook(
        &mut self,
        webhook: &Webhook,
        known: &[u8],
    ) -> Result<bool, StoreError> {
        let previous = webhook.previous.as_ref();
        let rows = execute!(
            self,
            "webhooks",
            ROTATE,
            webhook.id.to_string(),
            &webhook.secret,
            previous.map(|(secret, _)| secret),
            millis(previous.map(|(_, until)| *until)),
            known,
        )?;
        Ok(rows == 1)
    }

    async fn find_webhook(&mut self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let row: Option<WebhookRow> =
            fetch!(fetch_optional, self, "webhooks", FIND, id.to_string())?;
        row.map(WebhookRow::parse).transpose()
    }

    async fn list_webhooks(&mut self, owner: OwnerId) -> Result<Vec<Webhook>, StoreError> {
        let rows: Vec<WebhookRow> = fetch!(fetch_all, self, "webhooks", LIST, owner.to_string())?;
        rows.into_iter().map(WebhookRow::parse).collect()
    }

    async fn delete_webhook(&mut self, owner: OwnerId, id: WebhookId) -> Result<bool, StoreError> {
        let (id, owner) = (id.to_string(), owner.to_string());
        let rows = execute!(self, "webhooks", DELETE, id, owner)?;
        Ok(rows == 1)
    }

    async fn list_due_webhooks(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(WebhookId, OwnerId)>, StoreError> {
        let (now, limit) = (now.millis(), i64::from(limit));
        let rows: Vec<(String, String)> =
            fetch!(fetch_all, self, "webhooks", LIST_DUE, now, limit)?;
        let parse = |(id, owner): (String, String)| {
            let name = RowName::new("webhooks", &id);
            Ok((name.text("id", &id)?, name.text("owner_id", &owner)?))
        };
        rows.into_iter().map(parse).collect()
    }

    async fn hold_webhook(
        &mut self,
        id: WebhookId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = execute!(
            self,
            "webhooks",
            HOLD,
            id.to_string(),
            holder,
            now.millis(),
            until.millis()
        )?;
        Ok(rows == 1)
    }

    async fn release_webhook(&mut self, id: WebhookId, holder: &str) -> Result<(), StoreError> {
        execute!(self, "webhooks", RELEASE, id.to_string(), holder)?;
        Ok(())
    }

    async fn end_webhooks_of(&mut self, api_key: ApiKeyId) -> Result<u64, StoreError> {
        execute!(self, "webhooks", END_OF_KEY, api_key.to_string())
    }

    async fn last_event_of(&mut self, owner: OwnerId) -> Result<u64, StoreError> {
        let owner = owner.to_string();
        let row: Option<(i64,)> = fetch!(
            fetch_optional,
            self,
            "owner_event_counters",
            LAST_EVENT,
            &owner
        )?;
        let name = RowName::new("owner_event_counters", &owner);
        row.map_or(Ok(0), |(last,)| name.number("last_seq", last))
    }

    async fn append_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let event_seq = match delivery.event_seq {
            Some(seq) => Some(self.number(seq)?),
            None => None,
        };
        let rows = execute!(
            self,
            "webhook_deliveries",
            APPEND,
            delivery.webhook.to_string(),
            delivery.at.millis(),
            event_seq,
            &delivery.kind,
            i64::from(delivery.attempt),
            delivery.status.map(i64::from),
            &delivery.outcome,
        )?;
        self.exactly_one("webhook_deliveries", rows)
    }

    async fn list_deliveries(
        &mut self,
        webhook: WebhookId,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (id, limit) = (webhook.to_string(), i64::from(limit));
        let rows: Vec<DeliveryRow> = fetch!(
            fetch_all,
            self,
            "webhook_deliveries",
            LIST_DELIVERIES,
            id,
            limit
        )?;
        rows.into_iter().map(|row| row.parse(webhook)).collect()
    }

    async fn forget_deliveries(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let (before, limit) = (before.millis(), i64::from(limit));
        execute!(self, "webhook_deliveries", FORGET, before, limit)
    }
}
