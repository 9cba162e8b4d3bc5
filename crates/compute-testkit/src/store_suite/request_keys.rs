//! The clients' names for their purchases.

use std::sync::Arc;

use compute_domain::id::{OperationId, OwnerId};
use compute_domain::request_key::RequestKey;
use compute_engine::ports::{BoundKey, NameScope, Store};

use super::fixture::{
    RACERS, add_owner, add_topup, at, begin_read, begin_write, count, fresh_uuid, race,
};

fn key(text: &str) -> RequestKey {
    RequestKey::idempotency_key(text).unwrap()
}

/// What a name stands for that is given to a new purchase.
async fn purchase(store: &Arc<dyn Store>, owner: OwnerId) -> BoundKey {
    BoundKey {
        operation: add_topup(store, owner).await.id,
        request_digest: [9; 32],
    }
}

/// Binds, and commits when nothing was in the way.
async fn bind(
    store: &Arc<dyn Store>,
    scope: impl Into<NameScope>,
    key: &RequestKey,
    bound: &BoundKey,
    replaces: Option<OperationId>,
) -> Option<BoundKey> {
    let mut tx = begin_write(store).await;
    let other = tx
        .bind_request_key(scope.into(), key, bound, replaces, at(100))
        .await
        .unwrap();
    match other {
        None => tx.commit().await.unwrap(),
        Some(_) => tx.rollback().await.unwrap(),
    }
    other
}

async fn find(
    store: &Arc<dyn Store>,
    scope: impl Into<NameScope>,
    key: &RequestKey,
) -> Option<BoundKey> {
    let mut tx = begin_read(store).await;
    tx.find_request_key(scope.into(), key).await.unwrap()
}

pub(super) async fn a_name_stands_for_one_purchase(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let (first, second) = (purchase(&store, owner).await, purchase(&store, owner).await);
    let (name, other) = (key("purchase-1"), key("purchase-2"));
    assert_eq!(find(&store, owner, &name).await, None);
    assert_eq!(bind(&store, owner, &name, &first, None).await, None);
    let taken = bind(&store, owner, &name, &second, None).await;
    assert_eq!(taken.as_ref(), Some(&first));
    assert_eq!(find(&store, owner, &name).await, Some(first));
    // A purchase may have several names; of either kind.
    let identifier = RequestKey::payment_identifier("0123456789abcdef").unwrap();
    let same_text = key("0123456789abcdef");
    for name in [&other, &identifier, &same_text] {
        assert_eq!(bind(&store, owner, name, &second, None).await, None);
        assert_eq!(find(&store, owner, name).await.as_ref(), Some(&second));
    }
}

pub(super) async fn a_name_belongs_to_its_owner(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let (first, second) = (purchase(&store, owner).await, purchase(&store, other).await);
    let name = key("purchase-1");
    assert_eq!(bind(&store, owner, &name, &first, None).await, None);
    assert_eq!(find(&store, other, &name).await, None);
    assert_eq!(bind(&store, other, &name, &second, None).await, None);
    assert_eq!(find(&store, owner, &name).await, Some(first));
    assert_eq!(find(&store, other, &name).await, Some(second));
}

/// What a wallet calls its purchases who shows no more than a credential is nothing to its owner.
pub(super) async fn a_payer_has_names_of_its_own(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let payer = |letter: &str| -> NameScope {
        NameScope::Payer(format!("0x{}", letter.repeat(40)).parse().unwrap())
    };
    let (one, other) = (payer("a"), payer("b"));
    let bought = [
        purchase(&store, owner).await,
        purchase(&store, owner).await,
        purchase(&store, owner).await,
    ];
    let name = key("purchase-1");
    for (scope, purchase) in [(owner.into(), &bought[0]), (one, &bought[1])] {
        assert_eq!(bind(&store, scope, &name, purchase, None).await, None);
        assert_eq!(find(&store, other, &name).await, None);
    }
    assert_eq!(find(&store, owner, &name).await.as_ref(), bought.first());
    assert_eq!(find(&store, one, &name).await.as_ref(), bought.get(1));
    let taken = bind(&store, one, &name, &bought[2], None).await;
    assert_eq!(taken.as_ref(), bought.get(1));
    let replaced = Some(bought[1].operation);
    assert_eq!(bind(&store, one, &name, &bought[2], replaced).await, None);
    assert_eq!(find(&store, one, &name).await.as_ref(), bought.get(2));
    // One limit for all.
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.forget_request_keys(at(100), 1).await.unwrap(), 1);
    assert_eq!(tx.forget_request_keys(at(99), 9).await.unwrap(), 0);
    assert_eq!(tx.forget_request_keys(at(100), 9).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(find(&store, owner, &name).await, None);
    assert_eq!(find(&store, one, &name).await, None);
}

pub(super) async fn a_name_passes_on_from_what_it_stood_for(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let [first, second, third] = [
        purchase(&store, owner).await,
        purchase(&store, owner).await,
        purchase(&store, owner).await,
    ];
    let name = key("purchase-1");
    assert_eq!(bind(&store, owner, &name, &first, None).await, None);
    let passed = bind(&store, owner, &name, &second, Some(first.operation)).await;
    assert_eq!(passed, None);
    assert_eq!(find(&store, owner, &name).await.as_ref(), Some(&second));
    // Somebody else was faster.
    let late = bind(&store, owner, &name, &third, Some(first.operation)).await;
    assert_eq!(late.as_ref(), Some(&second));
    // What it stood for may be forgotten by now.
    let free = key("purchase-2");
    let bound = bind(&store, owner, &free, &third, Some(first.operation)).await;
    assert_eq!(bound, None);
}

pub(super) async fn racing_purchases_share_no_name(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let mut purchases = Vec::new();
    for _ in 0..RACERS {
        purchases.push(purchase(&store, owner).await);
    }
    let purchases = Arc::new(purchases);
    let outcomes = race(RACERS, |number| {
        let (store, purchases) = (Arc::clone(&store), Arc::clone(&purchases));
        async move {
            let own = purchases.get(number).unwrap();
            bind(&store, owner, &key("purchase-1"), own, None).await
        }
    })
    .await;
    assert_eq!(count(&outcomes, &None), 1);
    let winner = find(&store, owner, &key("purchase-1")).await;
    assert_eq!(count(&outcomes, &winner), RACERS - 1);
}

pub(super) async fn a_name_is_remembered_until_its_time(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let bound = purchase(&store, owner).await;
    let (early, late) = (key("purchase-1"), key("purchase-2"));
    let mut tx = begin_write(&store).await;
    for (name, forget_at) in [(&early, at(10)), (&late, at(20))] {
        let other = tx
            .bind_request_key(owner.into(), name, &bound, None, forget_at)
            .await;
        assert_eq!(other.unwrap(), None);
    }
    assert_eq!(tx.forget_request_keys(at(9), 9).await.unwrap(), 0);
    assert_eq!(tx.forget_request_keys(at(20), 0).await.unwrap(), 0);
    assert_eq!(tx.forget_request_keys(at(10), 9).await.unwrap(), 1);
    assert_eq!(
        tx.find_request_key(owner.into(), &early).await.unwrap(),
        None
    );
    assert_eq!(
        tx.find_request_key(owner.into(), &late).await.unwrap(),
        Some(bound)
    );
    tx.commit().await.unwrap();
}

pub(super) async fn a_name_needs_its_purchase(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let bound = BoundKey {
        operation: OperationId::from_uuid(fresh_uuid()),
        request_digest: [9; 32],
    };
    let mut tx = begin_write(&store).await;
    let outcome = tx
        .bind_request_key(owner.into(), &key("purchase-1"), &bound, None, at(100))
        .await;
    let outcome = match outcome {
        // A reference may be checked at the commit.
        Ok(_) => tx.commit().await,
        Err(error) => Err(error),
    };
    assert!(
        matches!(outcome, Err(compute_engine::ports::StoreError::Rejected(_))),
        "{outcome:?}"
    );
    assert_eq!(find(&store, owner, &key("purchase-1")).await, None);
}
