//! Webhooks that an API key stands for: they end with it, and go on when somebody else stands for them.

use compute_domain::id::{ApiKeyId, WebhookId};
use compute_domain::time::Span;
use compute_engine::ports::{Webhook, WebhookEnd, WebhookState};
use compute_engine::{ApiKeyTerms, Caller, Error};
use compute_testkit::market::now;

use crate::hooks::{Stage, URL};

impl Stage {
    /// Whoever holds a key of the buyer's, and the key.
    async fn thief(&self) -> (Caller, ApiKeyId) {
        let terms = ApiKeyTerms::default();
        self.world.keyed(&self.buyer, terms).await
    }

    /// A webhook that this caller makes.
    async fn made_by(&self, caller: &Caller) -> WebhookId {
        let made = self.engine.create_webhook(caller, URL, Vec::new()).await;
        made.unwrap().webhook.id
    }

    async fn active_by(&self, caller: &Caller) -> WebhookId {
        let id = self.made_by(caller).await;
        let pinged = self.engine.ping_webhook(caller, id).await.unwrap();
        assert_eq!(pinged.webhook.state, WebhookState::Active);
        id
    }

    async fn webhook(&self, id: WebhookId) -> Webhook {
        let caller = self.world.caller(&self.buyer).await;
        let webhooks = self.engine.webhooks(&caller).await.unwrap();
        webhooks.into_iter().find(|it| it.id == id).unwrap()
    }

    /// Ends a key while its caller waits for a receiver.
    async fn revoke_meanwhile<T>(&self, id: ApiKeyId, sending: impl Future<Output = T>) -> T {
        let before = self.receiver.bodies().len();
        self.receiver.gate.forget_permits(1_000);
        let revoking = async {
            while self.receiver.bodies().len() == before {
                tokio::task::yield_now().await;
            }
            self.world.revoke(&self.buyer, id).await;
            self.receiver.gate.add_permits(1_000);
        };
        futures::join!(sending, revoking).0
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_takes_its_webhooks_with_it() {
    let stage = Stage::open().await;
    let (thief, key) = stage.thief().await;
    let id = stage.active_by(&thief).await;
    let (own, _) = stage.active(Vec::new()).await;
    // A ping of one that is on takes nothing over.
    stage.engine.ping_webhook(&thief, own).await.unwrap();
    assert_eq!(stage.webhook(id).await.api_key, Some(key));
    stage.tell().await;
    assert_eq!(stage.deliver().await, 2);
    stage.world.revoke(&stage.buyer, key).await;
    let ended = stage.webhook(id).await;
    assert_eq!(ended.state, WebhookState::Disabled);
    assert_eq!(ended.disabled_because(), Some(WebhookEnd::ApiKey));
    assert_eq!(stage.webhook(own).await.state, WebhookState::Active);
    stage.tell().await;
    assert_eq!(stage.deliver().await, 1);
    // Whoever wants it after all says so, and it goes on where it was left.
    assert!(stage.ping(id).await.unwrap());
    let taken = stage.webhook(id).await;
    assert_eq!((taken.api_key, taken.disabled_because()), (None, None));
    assert_eq!(stage.deliver().await, 1);
}

#[tokio::test]
async fn a_webhook_ends_when_its_key_expires() {
    let stage = Stage::open().await;
    let terms = ApiKeyTerms {
        expires_at: Some(now(&stage.world.market).plus(Span::from_hours(1))),
        ..ApiKeyTerms::default()
    };
    let (brief, _) = stage.world.keyed(&stage.buyer, terms).await;
    let id = stage.active_by(&brief).await;
    let other = stage.active_by(&brief).await;
    stage.tell().await;
    assert_eq!(stage.deliver().await, 2);
    stage.world.market.clock.advance(Span::from_hours(1));
    // Somebody else stands for this one before there is anything to send.
    assert!(stage.ping(other).await.unwrap());
    stage.tell().await;
    // The top-up, and that the other one has ended.
    assert_eq!(stage.deliver().await, 2);
    let ended = stage.webhook(id).await;
    assert_eq!(ended.disabled_because(), Some(WebhookEnd::ApiKey));
    let told = stage.world.told(&stage.buyer).await;
    let last = compute_engine::event_json(told.last().unwrap());
    assert_eq!(last["type"], "webhook.disabled");
    assert_eq!(last["data"]["reason"], "api_key_ended");
    assert_eq!(last["data"]["webhook_id"], id.to_string());
    assert!(stage.ping(id).await.unwrap());
    // On from where it was left: the same two.
    assert_eq!(stage.deliver().await, 2);
}

#[tokio::test]
async fn a_ping_that_began_before_the_revocation_switches_nothing_on() {
    let stage = Stage::open().await;
    let (thief, key) = stage.thief().await;
    let id = stage.made_by(&thief).await;
    let pinged = stage
        .revoke_meanwhile(key, stage.engine.ping_webhook(&thief, id))
        .await;
    assert!(
        matches!(pinged, Err(Error::OperationInProgress { .. })),
        "{pinged:?}"
    );
    assert_eq!(stage.webhook(id).await.state, WebhookState::Waiting);
    stage.tell().await;
    assert_eq!(stage.deliver().await, 0);
    // Even one that is switched on by somebody who was recognised before is not sent to.
    let (thief, key) = stage.thief().await;
    let late = stage.made_by(&thief).await;
    stage.world.revoke(&stage.buyer, key).await;
    let pinged = stage.engine.ping_webhook(&thief, late).await.unwrap();
    assert_eq!(pinged.webhook.state, WebhookState::Active);
    stage.tell().await;
    assert_eq!(stage.deliver().await, 0);
    assert_eq!(stage.webhook(late).await.state, WebhookState::Disabled);
}

#[tokio::test]
async fn a_delivery_under_way_does_not_outlast_the_revocation() {
    let stage = Stage::open().await;
    let (thief, key) = stage.thief().await;
    let id = stage.active_by(&thief).await;
    stage.tell().await;
    stage.tell().await;
    let delivering = stage.engine.deliver_webhooks();
    let brought = stage.revoke_meanwhile(key, delivering).await;
    assert_eq!(brought.unwrap(), 0);
    assert_eq!(stage.webhook(id).await.state, WebhookState::Disabled);
    assert_eq!(stage.receiver.bodies().len(), 2, "the ping, and one event");
    assert_eq!(stage.deliver().await, 0);
    // It was not written down that the first arrived, so it is sent again.
    assert!(stage.ping(id).await.unwrap());
    assert_eq!(stage.deliver().await, 2);
}
