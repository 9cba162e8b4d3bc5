//! API keys.

use std::sync::Arc;

use compute_domain::id::{ApiKeyId, OwnerId};
use compute_domain::owner::ApiKey;
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_engine::ports::Store;

use super::fixture::{add_owner, at, begin_read, begin_write, count, fresh_uuid, race};

fn api_key(owner: OwnerId, created_at: Timestamp) -> (ApiKey, [u8; 32]) {
    let uuid = fresh_uuid();
    let mut mac = [0; 32];
    mac.iter_mut()
        .zip(uuid.as_bytes())
        .for_each(|(byte, other)| *byte = *other);
    let api_key = ApiKey {
        id: ApiKeyId::from_uuid(uuid),
        owner,
        label: Some(Label::parse("laptop").unwrap()),
        last4: "wxyz".to_owned(),
        created_at,
        revoked_at: None,
    };
    (api_key, mac)
}

pub(super) async fn a_key_reads_back_by_its_mac(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let (mut nameless, mac) = api_key(owner, at(0));
    nameless.label = None;
    let mut tx = begin_write(&store).await;
    assert!(tx.insert_api_key(&nameless, &mac, 5).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.find_api_key(&mac).await.unwrap(), Some(nameless));
    assert_eq!(tx.find_api_key(&[0xff; 32]).await.unwrap(), None);
}

pub(super) async fn keys_are_listed_newest_first(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let keys = [
        api_key(owner, at(5)),
        api_key(owner, at(9)),
        api_key(owner, at(1)),
    ];
    let foreign = api_key(other, at(7));
    let mut tx = begin_write(&store).await;
    for (api_key, mac) in keys.iter().chain([&foreign]) {
        assert!(tx.insert_api_key(api_key, mac, 5).await.unwrap());
    }
    tx.commit().await.unwrap();
    let listed = begin_read(&store).await.list_api_keys(owner).await.unwrap();
    let moments: Vec<_> = listed.iter().map(|api_key| api_key.created_at).collect();
    assert_eq!(moments, [at(9), at(5), at(1)]);
}

pub(super) async fn only_live_keys_count_towards_the_limit(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let [(first, first_mac), (second, second_mac), (third, third_mac)] = [
        api_key(owner, at(0)),
        api_key(owner, at(0)),
        api_key(owner, at(0)),
    ];
    let mut tx = begin_write(&store).await;
    assert!(tx.insert_api_key(&first, &first_mac, 2).await.unwrap());
    assert!(tx.insert_api_key(&second, &second_mac, 2).await.unwrap());
    assert!(!tx.insert_api_key(&third, &third_mac, 2).await.unwrap());
    assert_eq!(tx.find_api_key(&third_mac).await.unwrap(), None);
    tx.revoke_api_key(owner, first.id, at(1)).await.unwrap();
    assert!(tx.insert_api_key(&third, &third_mac, 2).await.unwrap());
    tx.commit().await.unwrap();
}

pub(super) async fn racing_requests_stay_within_the_limit(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let inserted = race(16, |_| {
        let store = Arc::clone(&store);
        async move {
            let (api_key, mac) = api_key(owner, at(0));
            let mut tx = begin_write(&store).await;
            let inserted = tx.insert_api_key(&api_key, &mac, 3).await.unwrap();
            tx.commit().await.unwrap();
            inserted
        }
    })
    .await;
    assert_eq!(count(&inserted, &true), 3);
    assert_eq!(
        begin_read(&store)
            .await
            .list_api_keys(owner)
            .await
            .unwrap()
            .len(),
        3
    );
}

pub(super) async fn a_revocation_keeps_its_first_moment(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let (api_key, mac) = api_key(owner, at(0));
    let revoked = ApiKey {
        revoked_at: Some(at(5)),
        ..api_key.clone()
    };
    let mut tx = begin_write(&store).await;
    tx.insert_api_key(&api_key, &mac, 5).await.unwrap();
    let first = tx.revoke_api_key(owner, api_key.id, at(5)).await.unwrap();
    assert_eq!(first.as_ref(), Some(&revoked));
    let second = tx.revoke_api_key(owner, api_key.id, at(9)).await.unwrap();
    assert_eq!(second.as_ref(), Some(&revoked));
    assert_eq!(tx.find_api_key(&mac).await.unwrap(), Some(revoked));
    tx.commit().await.unwrap();
}

pub(super) async fn a_key_is_revoked_by_its_owner_only(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let (api_key, mac) = api_key(owner, at(0));
    let mut tx = begin_write(&store).await;
    tx.insert_api_key(&api_key, &mac, 5).await.unwrap();
    assert_eq!(
        tx.revoke_api_key(other, api_key.id, at(5)).await.unwrap(),
        None
    );
    let unknown = ApiKeyId::from_uuid(fresh_uuid());
    assert_eq!(
        tx.revoke_api_key(owner, unknown, at(5)).await.unwrap(),
        None
    );
    assert_eq!(tx.find_api_key(&mac).await.unwrap(), Some(api_key));
    tx.commit().await.unwrap();
}
