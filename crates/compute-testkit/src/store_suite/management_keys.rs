//! Management keys.

use std::sync::Arc;

use compute_domain::id::{ApiKeyId, OperationId};
use compute_domain::instance::FailureCode;
use compute_domain::operation::{Operation, OperationState};
use compute_domain::owner::{ApiKey, Scopes};
use compute_engine::ports::{KeptKey, Lease, Posted, Store, StoreError};

use super::fixture::{
    add_operation, at, begin_read, begin_write, fresh_uuid, insert_instance, pending_instance,
    refund_for, usd,
};

/// A purchase with a key whose text is kept.
struct Keyed {
    operation: Operation,
    lease: Lease,
    api_key: ApiKeyId,
    mac: [u8; 32],
}

async fn keep(store: &Arc<dyn Store>, kept_at: i64) -> Keyed {
    let (operation, lease) = add_operation(store).await;
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
    Keyed {
        operation,
        lease,
        api_key: api_key.id,
        mac,
    }
}

async fn find(store: &Arc<dyn Store>, operation: OperationId) -> Option<KeptKey> {
    let mut tx = begin_read(store).await;
    tx.find_management_key(operation).await.unwrap()
}

/// Whether the text is kept, by the key's hash; none when there is no such key.
async fn is_text_kept(store: &Arc<dyn Store>, keyed: &Keyed) -> Option<bool> {
    let mut tx = begin_read(store).await;
    let found = tx.find_api_key(&keyed.mac).await.unwrap()?;
    assert_eq!(found.api_key.id, keyed.api_key);
    Some(found.is_text_kept)
}

/// Concludes the purchase.
async fn rest(store: &Arc<dyn Store>, keyed: &Keyed, state: OperationState) {
    let rested = keyed.operation.clone().rest(state, at(3));
    let mut tx = begin_write(store).await;
    tx.save_operation(&rested, &keyed.lease, at(10_000))
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// Nobody has used it, and there is nothing that it could open.
pub(super) async fn a_key_of_a_declined_purchase_is_forgotten(store: Arc<dyn Store>) {
    let declined = Some(FailureCode::PaymentDeclined);
    let unsent = Some(FailureCode::PaymentUnreachable);
    let credited = Some(FailureCode::NoCapacity);
    let (first, second) = (keep(&store, 3).await, keep(&store, 4).await);
    let [young, running, sold, failed, used, busy, rich] = [
        keep(&store, 5).await,
        keep(&store, 0).await,
        keep(&store, 0).await,
        keep(&store, 0).await,
        keep(&store, 0).await,
        keep(&store, 0).await,
        keep(&store, 0).await,
    ];
    for (keyed, failure) in [
        (&first, declined),
        (&second, unsent),
        (&young, declined),
        (&sold, None),
        (&failed, credited),
        (&used, declined),
        (&busy, declined),
        (&rich, declined),
    ] {
        let failed = failure.map(|code| OperationState::Failed { code });
        rest(&store, keyed, failed.unwrap_or(OperationState::Succeeded)).await;
    }
    let mut tx = begin_write(&store).await;
    tx.erase_management_key(used.api_key).await.unwrap();
    tx.commit().await.unwrap();
    insert_instance(&store, &pending_instance(busy.operation.owner)).await;
    let mut tx = begin_write(&store).await;
    let credited = tx.post_transfer(&refund_for(&rich.operation, 5)).await;
    assert_eq!(credited.unwrap(), Posted::New);
    tx.commit().await.unwrap();
    for (limit, forgotten) in [(0, 0), (1, 1), (9, 1), (9, 0)] {
        let mut tx = begin_write(&store).await;
        let count = tx.forget_vain_keys(at(5), limit).await.unwrap();
        assert_eq!(count, forgotten, "at most {limit}");
        tx.commit().await.unwrap();
    }
    for gone in [&first, &second] {
        assert_eq!(is_text_kept(&store, gone).await, None);
        assert_eq!(find(&store, gone.operation.id).await, None);
        let mut tx = begin_read(&store).await;
        let listed = tx.list_api_keys(gone.operation.owner).await.unwrap();
        assert_eq!(listed, []);
    }
    for kept in [&young, &running, &sold, &failed, &busy, &rich] {
        assert_eq!(is_text_kept(&store, kept).await, Some(true));
    }
    assert_eq!(is_text_kept(&store, &used).await, Some(false));
}

pub(super) async fn a_text_is_kept_until_it_is_erased(store: Arc<dyn Store>) {
    let keyed = keep(&store, 0).await;
    let (operation, api_key) = (keyed.operation.id, keyed.api_key);
    let other = keep(&store, 0).await;
    let kept = |sealed: Option<&[u8]>| {
        Some(KeptKey {
            api_key,
            sealed: sealed.map(<[u8]>::to_vec),
        })
    };
    assert_eq!(find(&store, operation).await, kept(Some(b"text")));
    assert_eq!(is_text_kept(&store, &keyed).await, Some(true));
    for _ in 0..2 {
        let mut tx = begin_write(&store).await;
        tx.erase_management_key(api_key).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(find(&store, operation).await, kept(None));
        assert_eq!(is_text_kept(&store, &keyed).await, Some(false));
    }
    assert!(
        find(&store, other.operation.id)
            .await
            .unwrap()
            .sealed
            .is_some()
    );
    assert_eq!(is_text_kept(&store, &other).await, Some(true));
    let unknown = OperationId::from_uuid(fresh_uuid());
    assert_eq!(find(&store, unknown).await, None);
}

pub(super) async fn a_text_is_erased_in_time(store: Arc<dyn Store>) {
    let (old, new) = (keep(&store, 4).await, keep(&store, 5).await);
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.expire_management_keys(at(5)).await.unwrap(), 1);
    assert_eq!(tx.expire_management_keys(at(5)).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(find(&store, old.operation.id).await.unwrap().sealed, None);
    assert!(
        find(&store, new.operation.id)
            .await
            .unwrap()
            .sealed
            .is_some()
    );
}

pub(super) async fn a_purchase_makes_one_key(store: Arc<dyn Store>) {
    let (one, another) = (keep(&store, 0).await, keep(&store, 0).await);
    let mut tx = begin_write(&store).await;
    let again = tx
        .keep_management_key(one.operation.id, another.api_key, b"other", at(1))
        .await;
    assert!(matches!(again, Err(StoreError::Rejected(_))), "{again:?}");
}
