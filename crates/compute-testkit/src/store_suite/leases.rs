//! Named leases.

use std::sync::Arc;

use compute_engine::ports::Store;

use super::fixture::{at, begin_write, count, race};

pub(super) async fn a_duty_has_one_holder(store: Arc<dyn Store>) {
    let mut tx = begin_write(&store).await;
    assert!(
        tx.acquire_lease("catalog", "a", at(0), at(10))
            .await
            .unwrap()
    );
    assert!(
        !tx.acquire_lease("catalog", "b", at(9), at(19))
            .await
            .unwrap()
    );
    assert!(
        tx.acquire_lease("catalog", "a", at(9), at(20))
            .await
            .unwrap()
    );
    assert!(
        !tx.acquire_lease("catalog", "b", at(19), at(29))
            .await
            .unwrap()
    );
    assert!(
        tx.acquire_lease("expiry", "b", at(9), at(19))
            .await
            .unwrap()
    );
    assert!(
        tx.acquire_lease("catalog", "b", at(20), at(30))
            .await
            .unwrap()
    );
    assert!(
        !tx.acquire_lease("catalog", "a", at(21), at(31))
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
}

pub(super) async fn racing_replicas_share_no_duty(store: Arc<dyn Store>) {
    let acquired = race(16, |number| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let holder = format!("replica-{number}");
            let acquired = tx
                .acquire_lease("catalog", &holder, at(0), at(10))
                .await
                .unwrap();
            tx.commit().await.unwrap();
            acquired
        }
    })
    .await;
    assert_eq!(count(&acquired, &true), 1);
}
