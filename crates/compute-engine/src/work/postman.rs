//! Brings events to webhooks: in the order of the feed, each at least once, as long as the receiver
//! takes them now and then.

use compute_domain::event::{EventKind, EventType};
use compute_domain::id::{OwnerId, WebhookId};
use compute_domain::time::{Span, Timestamp};
use futures::StreamExt as _;
use serde_json::json;

use crate::engine::Engine;
use crate::error::Error;
use crate::events::{Told, event_json};
use crate::ports::{
    Courier, Delivery, Handed, OwnerEvent, Tx, TxMode, Webhook, WebhookEnd, WebhookState,
};
use crate::webhooks::signature;

/// How many webhooks one round looks at, and to how many it sends at once.
const BATCH: u32 = 64;
const AT_ONCE: usize = 8;

/// How many events one round brings to one webhook.
const BURST: u32 = 50;

/// How long one round goes on sending to one owner's webhooks. Others wait for the place, so that a slow
/// receiver must not keep it; what is left has its turn in the next round.
const BURST_TIME: Span = Span::from_secs(15);

/// How long one delivery may take before another replica repeats it.
const HOLD: Span = Span::from_secs(60);

/// How many events are looked through for one that is wanted.
const PAGE: u32 = 100;

/// Between the eight tries of one event; in seconds.
const PAUSES: [u32; 7] = [60, 300, 1_800, 7_200, 18_000, 36_000, 86_400];

/// After so many failures in a row nothing more is sent.
const MOST_FAILURES: u32 = 20;

impl Webhook {
    fn wants(&self, kind: &EventType) -> bool {
        self.kinds.is_empty() || self.kinds.contains(kind)
    }

    /// Why it is switched off, when it is. One that failed too often is off for that, whatever became of
    /// its API key.
    pub fn disabled_because(&self) -> Option<WebhookEnd> {
        let is_deaf = self.failures >= MOST_FAILURES;
        (self.state == WebhookState::Disabled).then_some(if is_deaf {
            WebhookEnd::Failures
        } else {
            WebhookEnd::ApiKey
        })
    }
}

/// The webhooks of each owner together, in the order of the first of each.
fn by_owner(due: Vec<(WebhookId, OwnerId)>) -> Vec<Vec<WebhookId>> {
    let mut owners: Vec<(OwnerId, Vec<WebhookId>)> = Vec::new();
    for (id, owner) in due {
        match owners.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, webhooks)) => webhooks.push(id),
            None => owners.push((owner, vec![id])),
        }
    }
    owners.into_iter().map(|(_, webhooks)| webhooks).collect()
}

impl Engine {
    /// One round. Says how many events it brought.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn deliver_webhooks(&self) -> Result<u32, Error> {
        let Ok(courier) = self.courier() else {
            return Ok(0);
        };
        let mut tx = self.store.begin(TxMode::Read).await?;
        let due = tx.list_due_webhooks(self.now(), BATCH).await?;
        tx.rollback().await?;
        let brought = futures::stream::iter(by_owner(due))
            .map(|webhooks| self.deliver_to_owner(courier, webhooks))
            .buffer_unordered(AT_ONCE)
            .fold(
                0_u32,
                |sum, brought| async move { sum.saturating_add(brought) },
            )
            .await;
        Ok(brought)
    }

    /// One after the other, so that an owner has one of the places, however many webhooks it has.
    async fn deliver_to_owner(&self, courier: &dyn Courier, webhooks: Vec<WebhookId>) -> u32 {
        let until = self.now().plus(BURST_TIME);
        let mut sum = 0_u32;
        for id in webhooks {
            if self.now() >= until {
                break;
            }
            match self.deliver_to(courier, id, until).await {
                Ok(brought) => sum = sum.saturating_add(brought),
                // The others get theirs; this one is held until its time is over.
                Err(error) => tracing::error!(
                    webhook.id = %id, error = %error, "a webhook was not served"
                ),
            }
        }
        sum
    }

    async fn deliver_to(
        &self,
        courier: &dyn Courier,
        id: WebhookId,
        until: Timestamp,
    ) -> Result<u32, Error> {
        let holder = self.webhook_holder();
        let mut brought = 0;
        while brought < BURST && self.now() < until && !self.is_stopping() {
            let Some((webhook, event)) = self.next_delivery(id, &holder).await? else {
                break;
            };
            let body = event_json(&event).to_string();
            let now = self.now();
            let signature = signature(&self.signing_secrets(&webhook)?, now, &body);
            let handed = courier.hand(&webhook.url, &body, &signature).await;
            if !self
                .note_delivery(webhook, &event, &handed, &holder)
                .await?
            {
                break;
            }
            brought += 1;
        }
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.release_webhook(id, &holder).await?;
        tx.commit().await?;
        Ok(brought)
    }

    /// Takes the webhook, and finds what it is to be sent next. What it does not want is done with.
    async fn next_delivery(
        &self,
        id: WebhookId,
        holder: &str,
    ) -> Result<Option<(Webhook, OwnerEvent)>, Error> {
        loop {
            let now = self.now();
            let mut tx = self.store.begin(TxMode::Write).await?;
            if !tx.hold_webhook(id, holder, now, now.plus(HOLD)).await? {
                tx.rollback().await?;
                return Ok(None);
            }
            let found = tx.find_webhook(id).await?;
            let due = found.filter(|it| it.state == WebhookState::Active && it.due_at <= now);
            let Some(mut webhook) = due else {
                tx.commit().await?;
                return Ok(None);
            };
            if let Some(api_key) = webhook.api_key
                && !tx.is_api_key_live(api_key, now).await?
            {
                // It has expired, or was revoked while the webhook was being switched on.
                self.switch_off(tx.as_mut(), &mut webhook, holder).await?;
                tx.commit().await?;
                return Ok(None);
            }
            // Before the events: what comes between the two questions must not count as seen.
            let newest = tx.last_event_of(webhook.owner).await?;
            let events = tx.owner_events(webhook.owner, webhook.after, PAGE).await?;
            let Some(last) = events.last().map(|event| event.seq) else {
                // What was left is forgotten by now.
                webhook.after = newest;
                tx.save_webhook(&webhook, holder, now).await?;
                tx.commit().await?;
                return Ok(None);
            };
            let mut wanted = events.into_iter();
            let wanted = wanted.find(|event| webhook.wants(&event.event.kind));
            if wanted.is_none() {
                (webhook.after, webhook.attempts) = (last, 0);
                tx.save_webhook(&webhook, holder, now).await?;
            }
            tx.commit().await?;
            if let Some(event) = wanted {
                return Ok(Some((webhook, event)));
            }
        }
    }

    /// Switches off a webhook whose API key has ended.
    async fn switch_off(
        &self,
        tx: &mut dyn Tx,
        webhook: &mut Webhook,
        holder: &str,
    ) -> Result<(), Error> {
        webhook.state = WebhookState::Disabled;
        tx.save_webhook(webhook, holder, self.now()).await?;
        let data = json!({
            "webhook_id": webhook.id, "reason": WebhookEnd::ApiKey.as_str(),
            "what_to_do": "ping the webhook with your wallet or another API key; it goes on where it was left",
        });
        let told = Told::new(EventKind::WebhookDisabled, data);
        self.tell(tx, webhook.owner, None, None, told);
        tracing::info!(webhook.id = %webhook.id, "the API key of a webhook has ended");
        Ok(())
    }

    /// Writes what came of it. Whether there is any use in sending the next one now.
    async fn note_delivery(
        &self,
        mut webhook: Webhook,
        event: &OwnerEvent,
        handed: &Handed,
        holder: &str,
    ) -> Result<bool, Error> {
        let now = self.now();
        let attempt = webhook.attempts.saturating_add(1);
        let is_taken = handed.is_taken();
        if is_taken {
            (webhook.after, webhook.attempts, webhook.failures) = (event.seq, 0, 0);
            webhook.due_at = now;
        } else {
            webhook.failures = webhook.failures.saturating_add(1);
            let tried = usize::try_from(webhook.attempts).unwrap_or(usize::MAX);
            match PAUSES.get(tried) {
                Some(pause) => {
                    webhook.attempts = attempt;
                    webhook.due_at = now.plus(Span::from_secs(*pause));
                }
                // Given up; it stays in the feed.
                None => (webhook.after, webhook.attempts) = (event.seq, 0),
            }
        }
        let is_over = webhook.failures >= MOST_FAILURES;
        if is_over {
            webhook.state = WebhookState::Disabled;
        }
        let mut tx = self.store.begin(TxMode::Write).await?;
        if !tx.save_webhook(&webhook, holder, now).await? {
            // Deleted, or another replica sends it again.
            tx.rollback().await?;
            return Ok(false);
        }
        let delivery = Delivery {
            webhook: webhook.id,
            seq: 0,
            at: now,
            event_seq: Some(event.seq),
            kind: event.event.kind.as_str().to_owned(),
            attempt,
            status: handed.status(),
            outcome: handed.outcome(),
        };
        tx.append_delivery(&delivery).await?;
        if is_over {
            let data = json!({
                "webhook_id": webhook.id, "reason": WebhookEnd::Failures.as_str(),
                "failures": webhook.failures,
                "what_to_do": "mend the receiver and ping the webhook; it goes on where it was left",
            });
            let told = Told::new(EventKind::WebhookDisabled, data);
            self.tell(tx.as_mut(), webhook.owner, None, None, told);
            tracing::warn!(webhook.id = %webhook.id, "a webhook is switched off");
        }
        tx.commit().await?;
        Ok(is_taken)
    }
}
