//! Webhooks: where owners want to be told of their events, and who carries it there.

use core::fmt;

use async_trait::async_trait;
use compute_domain::event::EventType;
use compute_domain::id::{ApiKeyId, OwnerId, WebhookId};
use compute_domain::text_enum;
use compute_domain::time::Timestamp;

use super::StoreError;

text_enum! {
    /// Whether a webhook gets events.
    WebhookState {
        /// Its receiver has not answered a ping yet.
        Waiting = "waiting",
        /// It gets events.
        Active = "active",
        /// Its receiver failed too often in a row, or the API key that stood for it has ended; a ping that
        /// is answered switches it on again.
        Disabled = "disabled",
    }
}

text_enum! {
    /// Why a webhook is switched off.
    WebhookEnd {
        /// Its receiver failed too often in a row.
        Failures = "failures",
        /// The API key that stood for it was revoked or has expired.
        ApiKey = "api_key_ended",
    }
}

/// A webhook of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub owner: OwnerId,
    /// The API key that made it, or switched it on last, and stands for it: it is sent to only while the
    /// key is good. None when a wallet did.
    pub api_key: Option<ApiKeyId>,
    /// Where events are sent.
    pub url: String,
    /// Which ones; none means all.
    pub kinds: Vec<EventType>,
    /// What signs them, sealed.
    pub secret: Vec<u8>,
    /// The secret before, sealed, and until when it signs too.
    pub previous: Option<(Vec<u8>, Timestamp)>,
    /// Whether it gets events.
    pub state: WebhookState,
    /// The number of the last event that is done with.
    pub after: u64,
    /// How often the next event was sent in vain.
    pub attempts: u32,
    /// Deliveries in vain in a row, of whatever event.
    pub failures: u32,
    /// Nothing is sent before.
    pub due_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A line of a webhook's delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which webhook.
    pub webhook: WebhookId,
    /// Its place in the log, from 1.
    pub seq: u64,
    /// When it was sent.
    pub at: Timestamp,
    /// The number of the event; none for a ping.
    pub event_seq: Option<u64>,
    /// The type of the event, or `ping`.
    pub kind: String,
    /// How many times it has been sent with this one.
    pub attempt: u32,
    /// The status of the answer, when there was one.
    pub status: Option<u16>,
    /// What came of it, in a word or a sentence.
    pub outcome: String,
}

/// Webhooks and their logs.
#[async_trait]
pub trait Webhooks: Send {
    /// Writes a webhook unless its owner has `limit` of them; whether it did. The owner's row is locked
    /// for the count.
    async fn insert_webhook(&mut self, webhook: &Webhook, limit: u32) -> Result<bool, StoreError>;
    /// Writes how far the deliveries of a webhook are that `holder` holds until after `now`, and which API
    /// key stands for it, and leaves its secrets alone; false, and nothing written, when it does not hold it.
    async fn save_webhook(
        &mut self,
        webhook: &Webhook,
        holder: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Writes the secrets of a webhook, whoever holds it, if its secret is still this one; false, and
    /// nothing written, when it is another one, or the webhook is gone.
    async fn rotate_webhook(&mut self, webhook: &Webhook, known: &[u8])
    -> Result<bool, StoreError>;
    /// One webhook.
    async fn find_webhook(&mut self, id: WebhookId) -> Result<Option<Webhook>, StoreError>;
    /// An owner's webhooks, oldest first.
    async fn list_webhooks(&mut self, owner: OwnerId) -> Result<Vec<Webhook>, StoreError>;
    /// Removes a webhook of this owner and its log; whether there was one.
    async fn delete_webhook(&mut self, owner: OwnerId, id: WebhookId) -> Result<bool, StoreError>;
    /// Active webhooks that have events to send and whose time has come, with their owners, the longest
    /// due first.
    async fn list_due_webhooks(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(WebhookId, OwnerId)>, StoreError>;
    /// Takes a webhook until a moment; false while somebody else holds it.
    async fn hold_webhook(
        &mut self,
        id: WebhookId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Gives it back; harmless when it is not held.
    async fn release_webhook(&mut self, id: WebhookId, holder: &str) -> Result<(), StoreError>;
    /// Switches off the active webhooks that this API key stands for, and takes all of its from whoever
    /// holds them: what was begun before writes nothing any more. How many were the key's.
    async fn end_webhooks_of(&mut self, api_key: ApiKeyId) -> Result<u64, StoreError>;
    /// The number of an owner's last event.
    async fn last_event_of(&mut self, owner: OwnerId) -> Result<u64, StoreError>;
    /// Adds a line to the log of a webhook; its place is given here. Whoever adds holds the webhook.
    async fn append_delivery(&mut self, delivery: &Delivery) -> Result<(), StoreError>;
    /// The newest lines of a log, newest first.
    async fn list_deliveries(
        &mut self,
        webhook: WebhookId,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// Forgets up to `limit` lines of before `before`; how many.
    async fn forget_deliveries(&mut self, before: Timestamp, limit: u32)
    -> Result<u64, StoreError>;
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// The receiver answered with this status.
    Answered(u16),
    /// There was no answer, for this reason; it may have arrived all the same.
    Failed(String),
}

/// Who sends to addresses that strangers name.
#[async_trait]
pub trait Courier: Send + Sync + fmt::Debug {
    /// The URL as it will be called.
    ///
    /// # Errors
    /// The rule that it breaks, as a sentence for whoever named it.
    fn check(&self, url: &str) -> Result<String, String>;
    /// Sends a JSON document with its signature once, within ten seconds or so.
    async fn hand(&self, url: &str, body: &str, signature: &str) -> Handed;
}
