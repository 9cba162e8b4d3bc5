//! Webhooks as their owners manage them: made, listed, rotated, pinged, removed.
//!
//! A webhook gets events only after its receiver has answered a signed ping: nobody is sent anything
//! that did not ask for it. The secret is shown once, and kept sealed.

use compute_domain::event::{EventKind, EventType};
use compute_domain::id::{ApiKeyId, OwnerId, WebhookId};
use compute_domain::owner::Scope;
use compute_domain::time::{Span, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::{Courier, Delivery, Handed, Tx, TxMode, Webhook, WebhookState};

/// The most webhooks of one owner.
pub(crate) const MOST_WEBHOOKS: u32 = 10;

/// How long the secret before a rotation signs too.
const ROTATION: Span = Span::from_hours(24);

/// How long a ping may take, and after one in vain, until the next is sent.
const PING_HOLD: Span = Span::from_secs(30);

/// When it is worth trying again while pings are under way: a receiver has ten seconds.
const AFTER_PINGS: Span = Span::from_secs(10);

/// The most lines of a delivery log that are shown.
const LOG_SHOWN: u32 = 100;

const PREFIX: &str = "whsec_";

/// A webhook and its secret, which is never shown again.
#[derive(Debug)]
pub struct NewWebhook {
    /// The webhook.
    pub webhook: Webhook,
    /// What signs its deliveries.
    pub secret: SecretString,
}

/// What came of a ping.
#[derive(Debug)]
pub struct Pinged {
    /// The webhook as it is now.
    pub webhook: Webhook,
    /// What the receiver said.
    pub handed: Handed,
}

impl Handed {
    /// Whether the receiver took it.
    pub const fn is_taken(&self) -> bool {
        matches!(self, Self::Answered(200..=299))
    }

    /// The status of the answer, when there was one.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(*status),
            Self::Failed(_) => None,
        }
    }

    /// What came of it, in words for the log.
    pub fn outcome(&self) -> String {
        match self {
            Self::Answered(_) if self.is_taken() => "delivered".to_owned(),
            Self::Answered(_) => "the answer was no success".to_owned(),
            Self::Failed(reason) => reason.clone(),
        }
    }
}

/// The header of a delivery: when it was signed, and one signature per valid secret, over the time, a
/// full stop and the body.
pub(crate) fn signature(secrets: &[SecretString], at: Timestamp, body: &str) -> String {
    let seconds = at.secs();
    let mut header = format!("t={seconds}");
    for secret in secrets {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .expect("an HMAC key may have any length");
        mac.update(format!("{seconds}.{body}").as_bytes());
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
    }
    header
}

/// The API key that stands for what this caller does; none for a wallet.
const fn key_of(caller: &Caller) -> Option<ApiKeyId> {
    match caller {
        Caller::ApiKey { id, .. } => Some(*id),
        Caller::Anonymous | Caller::Wallet(_) => None,
    }
}

fn seal_context(id: WebhookId) -> String {
    format!("webhooks/{id}")
}

impl Engine {
    pub(crate) fn courier(&self) -> Result<&dyn Courier, Error> {
        self.courier.as_deref().ok_or(Error::NotOffered)
    }

    fn new_secret(&self, id: WebhookId) -> Result<(SecretString, Vec<u8>), Error> {
        let mut random = [0_u8; 32];
        self.entropy.fill(&mut random);
        let secret = SecretString::from(format!("{PREFIX}{}", hex::encode(random)));
        let bytes = secret.expose_secret().as_bytes();
        let context = seal_context(id);
        let sealer = &self.secrets.sealer;
        let sealed = sealer.seal(bytes, &context, self.entropy.as_ref());
        Ok((
            secret,
            sealed.map_err(|error| Error::Internal(Box::new(error)))?,
        ))
    }

    /// What signs now, the newest first.
    pub(crate) fn signing_secrets(&self, webhook: &Webhook) -> Result<Vec<SecretString>, Error> {
        let now = self.now();
        let previous = webhook.previous.as_ref();
        let previous = previous.filter(|(_, until)| now < *until);
        let sealed = core::iter::once(&webhook.secret).chain(previous.map(|(sealed, _)| sealed));
        let context = seal_context(webhook.id);
        let open = |sealed: &Vec<u8>| {
            let opened = self.secrets.sealer.open(sealed, &context);
            let opened = opened.map_err(|error| Error::Internal(Box::new(error)))?;
            let text = String::from_utf8(opened);
            text.map(SecretString::from)
                .map_err(|_| Error::Internal("a webhook's secret is no text".into()))
        };
        sealed.map(open).collect()
    }

    /// Makes a webhook; without kinds it is for all events. It waits for its ping.
    ///
    /// # Errors
    /// `Invalid` for a URL that is not called, `TooManyWebhooks` at the limit, `ScopeMissing` for a key
    /// that may not manage.
    pub async fn create_webhook(
        &self,
        caller: &Caller,
        url: &str,
        kinds: Vec<EventKind>,
    ) -> Result<NewWebhook, Error> {
        caller.require(Scope::Manage)?;
        let url = self
            .courier()?
            .check(url)
            .map_err(|rule| Error::Invalid { field: "url", rule })?;
        let now = self.now();
        let (mut tx, owner) = self.open_for(caller).await?;
        let owner = match (owner, caller) {
            (Some(owner), _) => owner,
            (None, Caller::Wallet(wallet)) => {
                let candidate = OwnerId::generate(now, self.entropy.as_ref());
                tx.ensure_owner(candidate, &wallet.address, now).await?
            }
            (None, _) => return Err(Error::NotFound),
        };
        let id = WebhookId::generate(now, self.entropy.as_ref());
        let (secret, sealed) = self.new_secret(id)?;
        let webhook = Webhook {
            id,
            owner,
            api_key: key_of(caller),
            url,
            kinds: kinds.into_iter().map(EventType::from).collect(),
            secret: sealed,
            previous: None,
            state: WebhookState::Waiting,
            after: 0,
            attempts: 0,
            failures: 0,
            due_at: now,
            created_at: now,
        };
        let is_stored = tx.insert_webhook(&webhook, MOST_WEBHOOKS).await?;
        tx.commit().await?;
        if !is_stored {
            return Err(Error::TooManyWebhooks);
        }
        tracing::info!(owner.id = %owner, webhook.id = %id, "webhook made");
        Ok(NewWebhook { webhook, secret })
    }

    /// The caller's webhooks, oldest first.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller, `ScopeMissing` for a key that may not read.
    pub async fn webhooks(&self, caller: &Caller) -> Result<Vec<Webhook>, Error> {
        caller.require(Scope::Read)?;
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let webhooks = match owner {
            Some(owner) => tx.list_webhooks(owner).await?,
            None => Vec::new(),
        };
        tx.commit().await?;
        Ok(webhooks)
    }

    /// Removes one of the caller's webhooks. What is on its way may still arrive.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id.
    pub async fn delete_webhook(&self, caller: &Caller, id: WebhookId) -> Result<(), Error> {
        caller.require(Scope::Manage)?;
        let (mut tx, owner) = self.open_for(caller).await?;
        let is_gone = match owner {
            Some(owner) => tx.delete_webhook(owner, id).await?,
            None => false,
        };
        tx.commit().await?;
        if is_gone {
            Ok(())
        } else {
            Err(Error::NotFound)
        }
    }

    /// Gives one of the caller's webhooks another secret. The one before signs too for a day; one before
    /// that does not any more.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `OperationInProgress` when another rotation was faster.
    pub async fn rotate_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<NewWebhook, Error> {
        caller.require(Scope::Manage)?;
        let (mut tx, webhook) = self.own_webhook(caller, id).await?;
        let (secret, sealed) = self.new_secret(id)?;
        let until = self.now().plus(ROTATION);
        let rotated = Webhook {
            previous: Some((webhook.secret.clone(), until)),
            secret: sealed,
            ..webhook.clone()
        };
        let is_rotated = tx.rotate_webhook(&rotated, &webhook.secret).await?;
        tx.commit().await?;
        if !is_rotated {
            // Another rotation was faster: its secret is shown to somebody, and must go on signing.
            return Err(Error::OperationInProgress {
                operation: None,
                instance: None,
            });
        }
        tracing::info!(webhook.id = %id, "webhook secret rotated");
        Ok(NewWebhook {
            webhook: rotated,
            secret,
        })
    }

    /// What was last sent to one of the caller's webhooks, newest first.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id.
    pub async fn deliveries(&self, caller: &Caller, id: WebhookId) -> Result<Vec<Delivery>, Error> {
        caller.require(Scope::Read)?;
        let (mut tx, _) = self.own_webhook(caller, id).await?;
        let deliveries = tx.list_deliveries(id, LOG_SHOWN).await?;
        tx.commit().await?;
        Ok(deliveries)
    }

    /// Sends a signed ping now. A receiver that takes it gets events from then on; one that was
    /// switched off, or waits after failures, goes on where it was left at once. An API key that switches
    /// a webhook on stands for it from then on.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `OperationInProgress` while something is being sent
    /// there, and for a while after a ping in vain; `TooManyPings` while another one of this owner is
    /// under way, or too many of others.
    pub async fn ping_webhook(&self, caller: &Caller, id: WebhookId) -> Result<Pinged, Error> {
        caller.require(Scope::Manage)?;
        let courier = self.courier()?;
        let now = self.now();
        let holder = self.webhook_holder();
        let (mut tx, webhook) = self.own_webhook(caller, id).await?;
        let Some(place) = self.pings.take(webhook.owner) else {
            // A signature's nonce is spent whatever comes of it.
            tx.commit().await?;
            return Err(Error::TooManyPings { wait: AFTER_PINGS });
        };
        let is_held = tx
            .hold_webhook(id, &holder, now, now.plus(PING_HOLD))
            .await?;
        tx.commit().await?;
        if !is_held {
            return Err(Error::OperationInProgress {
                operation: None,
                instance: None,
            });
        }
        let body = json!({
            "id": WebhookId::generate(now, self.entropy.as_ref()), "type": "ping",
            "created_at": now.rfc3339(), "data": { "webhook_id": id },
        })
        .to_string();
        let signature = signature(&self.signing_secrets(&webhook)?, now, &body);
        let handed = courier.hand(&webhook.url, &body, &signature).await;
        drop(place);
        let stands = key_of(caller);
        let webhook = self.note_ping(id, &holder, now, stands, &handed).await?;
        Ok(Pinged { webhook, handed })
    }

    async fn note_ping(
        &self,
        id: WebhookId,
        holder: &str,
        sent_at: Timestamp,
        stands: Option<ApiKeyId>,
        handed: &Handed,
    ) -> Result<Webhook, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let mut webhook = tx.find_webhook(id).await?.ok_or(Error::NotFound)?;
        let before = webhook.state;
        if handed.is_taken() {
            if before == WebhookState::Waiting {
                // What happened before nobody had agreed to hear; the feed has it.
                webhook.after = tx.last_event_of(webhook.owner).await?;
            }
            if before != WebhookState::Active {
                // Of an active one's event, no more tries are granted by pings.
                webhook.attempts = 0;
            }
            let is_vouched_for = match webhook.api_key {
                Some(api_key) => tx.is_api_key_live(api_key, self.now()).await?,
                None => true,
            };
            if before != WebhookState::Active || !is_vouched_for {
                // Whoever switches it on stands for it; nobody takes over one that is on by a ping.
                webhook.api_key = stands;
            }
            webhook.state = WebhookState::Active;
            webhook.failures = 0;
            webhook.due_at = self.now();
        }
        if !tx.save_webhook(&webhook, holder, self.now()).await? {
            // It took so long that somebody else holds it, or it is gone.
            tx.rollback().await?;
            return Err(Error::OperationInProgress {
                operation: None,
                instance: None,
            });
        }
        let delivery = Delivery {
            webhook: id,
            seq: 0,
            at: sent_at,
            event_seq: None,
            kind: "ping".to_owned(),
            attempt: 1,
            status: handed.status(),
            outcome: handed.outcome(),
        };
        tx.append_delivery(&delivery).await?;
        if handed.is_taken() {
            tx.release_webhook(id, holder).await?;
        }
        tx.commit().await?;
        Ok(webhook)
    }

    /// Whoever sends to a webhook now: no two requests and rounds of one process are the same.
    pub(crate) fn webhook_holder(&self) -> String {
        let own = WebhookId::generate(self.now(), self.entropy.as_ref());
        format!("{}/{own}", self.config.holder)
    }

    async fn own_webhook(
        &self,
        caller: &Caller,
        id: WebhookId,
    ) -> Result<(Box<dyn Tx>, Webhook), Error> {
        let (mut tx, owner) = self.open_for(caller).await?;
        let found = tx.find_webhook(id).await?;
        match found.filter(|webhook| Some(webhook.owner) == owner) {
            Some(webhook) => Ok((tx, webhook)),
            None => {
                tx.commit().await?;
                Err(Error::NotFound)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_one`, and so on.
    #[test]
    fn a_signature_is_a_plain_hmac_over_time_and_body() {
        let secrets = ["whsec_one".into(), "whsec_two".into()];
        let at = Timestamp::from_millis(1_800_000_000_999);
        let header = signature(&secrets, at, "{\"a\":1}");
        assert_eq!(header, GOLDEN);
    }

    const GOLDEN: &str = "t=1800000000,v1=e6d233574770136a31ceb34b6a3fca99e82203009b676df529c8819b7d4f452c,\
        v1=36037b3c55eacd9e09b5fa753047ade1e9eb7c66b725c9555d360c6f1ca629d5";
}
