//! API keys.

use std::sync::Arc;

use compute_domain::id::{ApiKeyId, OwnerId};
use compute_domain::owner::{ApiKey, Scope, Scopes};
use compute_domain::request_key::RequestKey;
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_engine::ports::{KeyStored, Store, StoreError, Tx};

use super::fixture::{
    RACERS, add_owner, at, begin_read, begin_write, count, fresh_uuid, race, usd,
};

/// The key with this keyed hash; no purchase has made any here.
async fn find(tx: &mut dyn Tx, mac: &[u8; 32]) -> Option<ApiKey> {
    let found = tx.find_api_key(mac).await.unwrap()?;
    assert!(!found.is_text_kept);
    Some(found.api_key)
}

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
        scopes: Scopes::ALL,
        budget: None,
        spent: usd(0),
        created_at,
        expires_at: None,
        revoked_at: None,
    };
    (api_key, mac)
}

async fn insert(tx: &mut Box<dyn Tx>, api_key: &ApiKey, mac: &[u8; 32], limit: u32) -> KeyStored {
    tx.insert_api_key(api_key, mac, None, limit).await.unwrap()
}

pub(super) async fn under_one_name_an_owner_makes_one_key(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let [(first, mac), (second, second_mac), (foreign, foreign_mac)] = [
        api_key(owner, at(0)),
        api_key(owner, at(1)),
        api_key(other, at(2)),
    ];
    let name = RequestKey::idempotency_key("key-for-laptop").unwrap();
    let mut tx = begin_write(&store).await;
    let stored = tx.insert_api_key(&first, &mac, Some(&name), 1).await;
    assert_eq!(stored.unwrap(), KeyStored::New);
    tx.commit().await.unwrap();
    let mut tx = begin_write(&store).await;
    // Known is said before full.
    let stored = tx
        .insert_api_key(&second, &second_mac, Some(&name), 1)
        .await;
    assert_eq!(stored.unwrap(), KeyStored::Before(Box::new(first)));
    let stored = tx
        .insert_api_key(&foreign, &foreign_mac, Some(&name), 1)
        .await;
    assert_eq!(stored.unwrap(), KeyStored::New);
    assert_eq!(find(tx.as_mut(), &second_mac).await, None);
    tx.commit().await.unwrap();
}

pub(super) async fn racing_requests_of_one_name_make_one_key(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let stored = race(RACERS, |_| {
        let store = Arc::clone(&store);
        async move {
            let (api_key, mac) = api_key(owner, at(0));
            let name = RequestKey::idempotency_key("key-for-laptop").unwrap();
            let mut tx = begin_write(&store).await;
            let stored = tx.insert_api_key(&api_key, &mac, Some(&name), 9).await;
            tx.commit().await.unwrap();
            stored.unwrap()
        }
    })
    .await;
    assert_eq!(count(&stored, &KeyStored::New), 1);
    assert!(!stored.contains(&KeyStored::Full));
}

pub(super) async fn a_key_reads_back_by_its_mac(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let (mut nameless, mac) = api_key(owner, at(0));
    nameless.label = None;
    nameless.scopes = Scopes::of(&[Scope::Read, Scope::Spend]).unwrap();
    nameless.budget = Some(usd(5));
    nameless.spent = usd(5);
    nameless.expires_at = Some(at(9));
    let mut tx = begin_write(&store).await;
    assert_eq!(insert(&mut tx, &nameless, &mac, 5).await, KeyStored::New);
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(find(tx.as_mut(), &mac).await, Some(nameless));
    assert_eq!(find(tx.as_mut(), &[0xff; 32]).await, None);
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
        assert_eq!(insert(&mut tx, api_key, mac, 5).await, KeyStored::New);
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
    assert_eq!(insert(&mut tx, &first, &first_mac, 2).await, KeyStored::New);
    assert_eq!(
        insert(&mut tx, &second, &second_mac, 2).await,
        KeyStored::New
    );
    assert_eq!(
        insert(&mut tx, &third, &third_mac, 2).await,
        KeyStored::Full
    );
    assert_eq!(find(tx.as_mut(), &third_mac).await, None);
    tx.revoke_api_key(owner, first.id, at(1)).await.unwrap();
    assert_eq!(insert(&mut tx, &third, &third_mac, 2).await, KeyStored::New);
    tx.commit().await.unwrap();
}

pub(super) async fn an_expired_key_is_not_live(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let (mut first, first_mac) = api_key(owner, at(0));
    first.expires_at = Some(at(5));
    let ((second, second_mac), (third, third_mac)) = (api_key(owner, at(4)), api_key(owner, at(5)));
    let mut tx = begin_write(&store).await;
    assert_eq!(insert(&mut tx, &first, &first_mac, 1).await, KeyStored::New);
    // A new key is made now.
    assert_eq!(
        insert(&mut tx, &second, &second_mac, 1).await,
        KeyStored::Full
    );
    assert_eq!(insert(&mut tx, &third, &third_mac, 1).await, KeyStored::New);
    tx.commit().await.unwrap();
}

pub(super) async fn a_key_is_charged_up_to_its_budget(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let ((mut limited, mac), (free, free_mac)) = (api_key(owner, at(0)), api_key(owner, at(0)));
    limited.budget = Some(usd(10));
    let mut tx = begin_write(&store).await;
    insert(&mut tx, &limited, &mac, 5).await;
    insert(&mut tx, &free, &free_mac, 5).await;
    assert!(tx.charge_api_key(limited.id, usd(7), at(0)).await.unwrap());
    assert!(!tx.charge_api_key(limited.id, usd(4), at(0)).await.unwrap());
    assert!(tx.charge_api_key(limited.id, usd(3), at(0)).await.unwrap());
    assert!(!tx.charge_api_key(limited.id, usd(1), at(0)).await.unwrap());
    tx.uncharge_api_key(limited.id, usd(7)).await.unwrap();
    assert!(tx.charge_api_key(free.id, usd(1_000), at(0)).await.unwrap());
    let unknown = ApiKeyId::from_uuid(fresh_uuid());
    assert!(!tx.charge_api_key(unknown, usd(1), at(0)).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    for (mac, spent) in [(mac, usd(3)), (free_mac, usd(1_000))] {
        let found = find(tx.as_mut(), &mac).await.unwrap();
        assert_eq!(found.spent, spent);
    }
    drop(tx);
    // What was never charged cannot be taken back.
    let mut tx = begin_write(&store).await;
    let outcome = tx.uncharge_api_key(limited.id, usd(4)).await;
    assert!(
        matches!(
            outcome,
            Err(StoreError::Inconsistent {
                table: "api_keys",
                ..
            })
        ),
        "{outcome:?}"
    );
}

pub(super) async fn a_key_that_is_revoked_or_has_expired_is_not_charged(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let (mut brief, brief_mac) = api_key(owner, at(0));
    brief.expires_at = Some(at(5));
    let (revoked, revoked_mac) = api_key(owner, at(0));
    let mut tx = begin_write(&store).await;
    insert(&mut tx, &brief, &brief_mac, 5).await;
    insert(&mut tx, &revoked, &revoked_mac, 5).await;
    assert!(tx.charge_api_key(brief.id, usd(1), at(4)).await.unwrap());
    assert!(!tx.charge_api_key(brief.id, usd(1), at(5)).await.unwrap());
    assert!(tx.is_api_key_live(brief.id, at(4)).await.unwrap());
    assert!(!tx.is_api_key_live(brief.id, at(5)).await.unwrap());
    assert!(tx.is_api_key_live(revoked.id, at(4)).await.unwrap());
    let unknown = ApiKeyId::from_uuid(fresh_uuid());
    assert!(!tx.is_api_key_live(unknown, at(4)).await.unwrap());
    assert!(tx.charge_api_key(revoked.id, usd(1), at(4)).await.unwrap());
    tx.revoke_api_key(owner, revoked.id, at(4)).await.unwrap();
    assert!(!tx.charge_api_key(revoked.id, usd(1), at(4)).await.unwrap());
    assert!(!tx.is_api_key_live(revoked.id, at(4)).await.unwrap());
    // What was charged before can still be taken back.
    tx.uncharge_api_key(revoked.id, usd(1)).await.unwrap();
    for (mac, spent) in [(brief_mac, usd(1)), (revoked_mac, usd(0))] {
        assert_eq!(find(tx.as_mut(), &mac).await.unwrap().spent, spent);
    }
    tx.commit().await.unwrap();
}

pub(super) async fn racing_charges_stay_within_the_budget(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let (mut limited, mac) = api_key(owner, at(0));
    limited.budget = Some(usd(100));
    let mut tx = begin_write(&store).await;
    insert(&mut tx, &limited, &mac, 5).await;
    tx.commit().await.unwrap();
    let charged = race(RACERS, |_| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let charged = tx.charge_api_key(limited.id, usd(7), at(0)).await.unwrap();
            tx.commit().await.unwrap();
            charged
        }
    })
    .await;
    assert_eq!(count(&charged, &true), 14);
    let mut tx = begin_read(&store).await;
    assert_eq!(find(tx.as_mut(), &mac).await.unwrap().spent, usd(98));
}

pub(super) async fn racing_requests_stay_within_the_limit(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let inserted = race(16, |_| {
        let store = Arc::clone(&store);
        async move {
            let (api_key, mac) = api_key(owner, at(0));
            let mut tx = begin_write(&store).await;
            let inserted = insert(&mut tx, &api_key, &mac, 3).await;
            tx.commit().await.unwrap();
            inserted
        }
    })
    .await;
    assert_eq!(count(&inserted, &KeyStored::New), 3);
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
    insert(&mut tx, &api_key, &mac, 5).await;
    let first = tx.revoke_api_key(owner, api_key.id, at(5)).await.unwrap();
    assert_eq!(first.as_ref(), Some(&revoked));
    let second = tx.revoke_api_key(owner, api_key.id, at(9)).await.unwrap();
    assert_eq!(second.as_ref(), Some(&revoked));
    assert_eq!(find(tx.as_mut(), &mac).await, Some(revoked));
    tx.commit().await.unwrap();
}

pub(super) async fn a_key_is_revoked_by_its_owner_only(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let (api_key, mac) = api_key(owner, at(0));
    let mut tx = begin_write(&store).await;
    insert(&mut tx, &api_key, &mac, 5).await;
    assert_eq!(
        tx.revoke_api_key(other, api_key.id, at(5)).await.unwrap(),
        None
    );
    let unknown = ApiKeyId::from_uuid(fresh_uuid());
    assert_eq!(
        tx.revoke_api_key(owner, unknown, at(5)).await.unwrap(),
        None
    );
    assert_eq!(find(tx.as_mut(), &mac).await, Some(api_key));
    tx.commit().await.unwrap();
}
