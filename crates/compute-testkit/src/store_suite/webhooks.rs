//! Webhooks and their delivery logs.

use std::sync::Arc;

use compute_domain::event::{EventKind, EventType};
use compute_domain::id::{ApiKeyId, EventId, OwnerId, WebhookId};
use compute_engine::ports::{Delivery, NewEvent, Store, Webhook, WebhookState};

use super::fixture::{RACERS, add_owner, at, begin_read, begin_write, count, fresh_uuid, race};

fn webhook(owner: OwnerId) -> Webhook {
    Webhook {
        id: WebhookId::from_uuid(fresh_uuid()),
        owner,
        api_key: None,
        url: "https://hooks.example.com/a?b=c".to_owned(),
        kinds: vec![
            EventKind::InstanceActive.into(),
            EventType::Newer("instance.moved".to_owned()),
        ],
        secret: vec![1, 2, 3],
        previous: None,
        state: WebhookState::Waiting,
        after: 0,
        attempts: 0,
        failures: 0,
        due_at: at(5),
        created_at: at(1),
    }
}

async fn insert(store: &Arc<dyn Store>, webhook: &Webhook) -> bool {
    let mut tx = begin_write(store).await;
    let is_stored = tx.insert_webhook(webhook, 3).await.unwrap();
    tx.commit().await.unwrap();
    is_stored
}

async fn announce(store: &Arc<dyn Store>, owner: OwnerId) {
    let mut tx = begin_write(store).await;
    tx.announce(NewEvent {
        id: EventId::from_uuid(fresh_uuid()),
        owner,
        kind: EventKind::InstanceActive.into(),
        at: at(1),
        instance: None,
        operation: None,
        data: "{}".to_owned(),
    });
    tx.commit().await.unwrap();
}

pub(super) async fn webhooks_read_back_up_to_the_limit(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    // Ids grow with time.
    let first = webhook(owner);
    let mut bare = webhook(owner);
    bare.kinds = Vec::new();
    bare.previous = Some((vec![9], at(77)));
    bare.api_key = Some(ApiKeyId::from_uuid(fresh_uuid()));
    let all = [first, bare, webhook(owner)];
    for webhook in &all {
        assert!(insert(&store, webhook).await);
    }
    assert!(!insert(&store, &webhook(owner)).await);
    assert!(insert(&store, &webhook(other)).await);
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.list_webhooks(owner).await.unwrap(), all);
    let found = tx.find_webhook(all[1].id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&all[1]));
    assert!(!tx.delete_webhook(other, all[1].id).await.unwrap());
    assert!(tx.delete_webhook(owner, all[1].id).await.unwrap());
    assert!(!tx.delete_webhook(owner, all[1].id).await.unwrap());
    assert_eq!(tx.find_webhook(all[1].id).await.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn racing_requests_stay_within_the_limit_of_webhooks(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let outcomes = race(RACERS, |_| {
        let store = Arc::clone(&store);
        async move { insert(&store, &webhook(owner)).await }
    })
    .await;
    assert_eq!(count(&outcomes, &true), 3);
}

pub(super) async fn a_webhook_is_written_by_its_holder(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let mut own = webhook(owner);
    assert!(insert(&store, &own).await);
    let mut tx = begin_write(&store).await;
    assert!(!tx.save_webhook(&own, "a", at(0)).await.unwrap());
    assert!(tx.hold_webhook(own.id, "a", at(0), at(10)).await.unwrap());
    assert!(!tx.hold_webhook(own.id, "b", at(9), at(19)).await.unwrap());
    assert!(tx.hold_webhook(own.id, "a", at(9), at(20)).await.unwrap());
    // A rotation needs no holder, and what the holder writes leaves the secrets alone.
    let before = own.clone();
    own.previous = Some((own.secret.clone(), at(99)));
    own.secret = vec![7];
    assert!(tx.rotate_webhook(&own, &before.secret).await.unwrap());
    let moved = Webhook {
        state: WebhookState::Active,
        api_key: Some(ApiKeyId::from_uuid(fresh_uuid())),
        after: 4,
        attempts: 2,
        failures: 3,
        due_at: at(8),
        ..before
    };
    assert!(tx.save_webhook(&moved, "a", at(19)).await.unwrap());
    assert!(!tx.save_webhook(&moved, "a", at(20)).await.unwrap());
    let expected = Webhook {
        secret: own.secret.clone(),
        previous: own.previous.clone(),
        ..moved.clone()
    };
    let found = tx.find_webhook(own.id).await.unwrap();
    assert_eq!(found, Some(expected));
    tx.release_webhook(own.id, "b").await.unwrap();
    assert!(!tx.hold_webhook(own.id, "b", at(10), at(30)).await.unwrap());
    tx.release_webhook(own.id, "a").await.unwrap();
    assert!(tx.hold_webhook(own.id, "b", at(10), at(30)).await.unwrap());
    assert!(!tx.save_webhook(&moved, "a", at(11)).await.unwrap());
    tx.commit().await.unwrap();
}

/// Whoever sends to one of them, or pings it, began before its key ended, and writes nothing any more.
pub(super) async fn the_webhooks_of_a_key_end_with_it(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let api_key = ApiKeyId::from_uuid(fresh_uuid());
    let own = |state, api_key| Webhook {
        state,
        api_key,
        ..webhook(owner)
    };
    let (active, waiting) = (WebhookState::Active, WebhookState::Waiting);
    let all = [
        own(active, Some(api_key)),
        own(waiting, Some(api_key)),
        own(active, None),
    ];
    for webhook in &all {
        assert!(insert(&store, webhook).await);
    }
    let mut tx = begin_write(&store).await;
    for webhook in &all {
        assert!(
            tx.hold_webhook(webhook.id, "a", at(0), at(10))
                .await
                .unwrap()
        );
    }
    tx.commit().await.unwrap();
    let mut tx = begin_write(&store).await;
    let other = ApiKeyId::from_uuid(fresh_uuid());
    assert_eq!(tx.end_webhooks_of(other).await.unwrap(), 0);
    assert_eq!(tx.end_webhooks_of(api_key).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let mut tx = begin_write(&store).await;
    for (webhook, is_held) in all.iter().zip([false, false, true]) {
        let is_saved = tx.save_webhook(webhook, "a", at(1)).await.unwrap();
        assert_eq!(is_saved, is_held, "{webhook:?}");
    }
    let states = tx.list_webhooks(owner).await.unwrap();
    let states: Vec<_> = states.iter().map(|webhook| webhook.state).collect();
    assert_eq!(states, [WebhookState::Disabled, waiting, active]);
    assert!(tx.hold_webhook(all[0].id, "b", at(1), at(9)).await.unwrap());
    tx.commit().await.unwrap();
}

pub(super) async fn of_racing_rotations_one_wins(store: Arc<dyn Store>) {
    let own = webhook(add_owner(&store).await);
    assert!(insert(&store, &own).await);
    let rotated = race(16, |racer| {
        let (store, own) = (Arc::clone(&store), own.clone());
        async move {
            let mine = Webhook {
                secret: vec![u8::try_from(racer).unwrap(), 7],
                previous: Some((own.secret.clone(), at(99))),
                ..own.clone()
            };
            let mut tx = begin_write(&store).await;
            let is_rotated = tx.rotate_webhook(&mine, &own.secret).await.unwrap();
            tx.commit().await.unwrap();
            is_rotated
        }
    })
    .await;
    assert_eq!(count(&rotated, &true), 1);
    let mut tx = begin_write(&store).await;
    let found = tx.find_webhook(own.id).await.unwrap().unwrap();
    // What was there signs on, and not a secret that nobody was shown.
    assert_eq!(found.previous, Some((own.secret.clone(), at(99))));
    assert!(!tx.rotate_webhook(&own, &own.secret).await.unwrap());
    assert!(tx.delete_webhook(own.owner, own.id).await.unwrap());
    assert!(!tx.rotate_webhook(&own, &found.secret).await.unwrap());
    tx.commit().await.unwrap();
}

pub(super) async fn active_webhooks_with_something_to_send_are_due(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let active = Webhook {
        state: WebhookState::Active,
        ..webhook(owner)
    };
    let earlier = Webhook {
        due_at: at(3),
        ..Webhook {
            id: WebhookId::from_uuid(fresh_uuid()),
            ..active.clone()
        }
    };
    let idle = Webhook {
        state: WebhookState::Active,
        ..webhook(other)
    };
    for webhook in [&active, &earlier, &webhook(owner), &idle] {
        assert!(insert(&store, webhook).await);
    }
    let due = async |now, limit| {
        let mut tx = begin_read(&store).await;
        let due = tx.list_due_webhooks(at(now), limit).await.unwrap();
        assert!(due.iter().all(|(_, of)| *of == owner));
        let ids: Vec<_> = due.into_iter().map(|(id, _)| id).collect();
        ids
    };
    assert_eq!(due(9, 9).await, []);
    announce(&store, owner).await;
    assert_eq!(due(2, 9).await, []);
    assert_eq!(due(3, 9).await, [earlier.id]);
    assert_eq!(due(9, 9).await, [earlier.id, active.id]);
    assert_eq!(due(9, 1).await, [earlier.id]);
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.last_event_of(owner).await.unwrap(), 1);
    assert_eq!(tx.last_event_of(other).await.unwrap(), 0);
    assert!(
        tx.hold_webhook(earlier.id, "a", at(9), at(12))
            .await
            .unwrap()
    );
    let done = Webhook {
        after: 1,
        ..active.clone()
    };
    assert!(
        tx.hold_webhook(active.id, "a", at(9), at(12))
            .await
            .unwrap()
    );
    assert!(tx.save_webhook(&done, "a", at(9)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(due(11, 9).await, []);
    assert_eq!(due(12, 9).await, [earlier.id]);
}

pub(super) async fn a_delivery_log_is_numbered_and_forgotten(store: Arc<dyn Store>) {
    let own = webhook(add_owner(&store).await);
    assert!(insert(&store, &own).await);
    let line = |seq, status, event_seq| Delivery {
        webhook: own.id,
        seq,
        at: at(i64::try_from(seq).unwrap()),
        event_seq,
        kind: "instance.active".to_owned(),
        attempt: 2,
        status,
        outcome: "the answer was no success".to_owned(),
    };
    let lines = [
        line(1, Some(503), Some(7)),
        line(2, None, None),
        line(3, Some(204), Some(8)),
    ];
    let mut tx = begin_write(&store).await;
    for line in &lines {
        tx.append_delivery(line).await.unwrap();
    }
    let newest = tx.list_deliveries(own.id, 2).await.unwrap();
    assert_eq!(newest, [lines[2].clone(), lines[1].clone()]);
    assert_eq!(tx.forget_deliveries(at(3), 1).await.unwrap(), 1);
    assert_eq!(tx.forget_deliveries(at(3), 9).await.unwrap(), 1);
    assert_eq!(tx.list_deliveries(own.id, 9).await.unwrap(), lines[2..]);
    assert!(tx.delete_webhook(own.owner, own.id).await.unwrap());
    assert_eq!(tx.list_deliveries(own.id, 9).await.unwrap(), []);
    tx.commit().await.unwrap();
}
