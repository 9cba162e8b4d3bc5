//! Management keys.

use std::sync::Arc;

use compute_domain::id::{ApiKeyId, OperationId, OwnerId};
use compute_domain::owner::{ApiKey, Scopes};
use compute_engine::ports::{KeptKey, Store, StoreError};

use super::fixture::{add_operation, at, begin_read, begin_write, fresh_uuid, usd};

/// A key of a purchase of its own, with a text that is kept.
async fn keep(store: &Arc<dyn Store>, kept_at: i64) -> (OperationId, ApiKeyId, OwnerId) {
    let (operation, _) = add_operation(store).await;
    let api_key = ApiKey {
        id: ApiKeyId::from_uuid(fresh_uuid()),
        owner: operation.owner,
        label: None,
        last4: "abcd".to_owned(),
        scopes: Scopes::ALL,
        budget: None,
        spent: usd(0),
        expires_at: None,
        created_at: at(0),
        revoked_at: None,
    };
    let mut mac = [0; 32];
    mac[..16].copy_from_slice(fresh_uuid().as_bytes());
    let mut tx = begin_write(store).await;
    tx.insert_api_key(&api_key, &mac, None, 9).await.unwrap();
    tx.keep_management_key(operation.id, api_key.id, b"text", at(kept_at))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (operation.id, api_key.id, operation.owner)
}

async fn find(store: &Arc<dyn Store>, operation: OperationId) -> Option<KeptKey> {
    let mut tx = begin_read(store).await;
    let found = tx.find_management_key(operation).await.unwrap();
    if let Some(kept) = &found {
        let is_kept = tx.is_management_key_kept(kept.api_key).await.unwrap();
        assert_eq!(is_kept, kept.sealed.is_some());
    }
    found
}

pub(super) async fn a_text_is_kept_until_it_is_erased(store: Arc<dyn Store>) {
    let (operation, api_key, _) = keep(&store, 0).await;
    let (other, ..) = keep(&store, 0).await;
    let kept = |sealed: Option<&[u8]>| {
        Some(KeptKey {
            api_key,
            sealed: sealed.map(<[u8]>::to_vec),
        })
    };
    assert_eq!(find(&store, operation).await, kept(Some(b"text")));
    for _ in 0..2 {
        let mut tx = begin_write(&store).await;
        tx.erase_management_key(api_key).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(find(&store, operation).await, kept(None));
    }
    assert!(find(&store, other).await.unwrap().sealed.is_some());
    let unknown = OperationId::from_uuid(fresh_uuid());
    assert_eq!(find(&store, unknown).await, None);
}

pub(super) async fn a_text_is_erased_in_time(store: Arc<dyn Store>) {
    let (old, ..) = keep(&store, 4).await;
    let (new, ..) = keep(&store, 5).await;
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.expire_management_keys(at(5)).await.unwrap(), 1);
    assert_eq!(tx.expire_management_keys(at(5)).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(find(&store, old).await.unwrap().sealed, None);
    assert!(find(&store, new).await.unwrap().sealed.is_some());
}

pub(super) async fn a_purchase_makes_one_key(store: Arc<dyn Store>) {
    let (operation, ..) = keep(&store, 0).await;
    let (_, another, _) = keep(&store, 0).await;
    let mut tx = begin_write(&store).await;
    let again = tx
        .keep_management_key(operation, another, b"other", at(1))
        .await;
    assert!(matches!(again, Err(StoreError::Rejected(_))), "{again:?}");
}
