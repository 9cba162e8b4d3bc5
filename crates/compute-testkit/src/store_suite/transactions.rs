//! Transactions: all or nothing.

use std::sync::Arc;

use compute_engine::ports::{Store, StoreError, TxMode};

use super::fixture::{add_instance, at, begin_read, begin_write, fresh_owner, fresh_wallet, usd};

pub(super) async fn a_dropped_transaction_leaves_nothing(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let mut tx = begin_write(&store).await;
    tx.ensure_owner(fresh_owner(), &wallet, at(0))
        .await
        .unwrap();
    drop(tx);
    // The next writer waits until the roll-back has run.
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.find_owner(&wallet).await.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn a_rolled_back_transaction_leaves_nothing(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let mut tx = begin_write(&store).await;
    tx.ensure_owner(fresh_owner(), &wallet, at(0))
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(
        begin_read(&store).await.find_owner(&wallet).await.unwrap(),
        None
    );
}

pub(super) async fn a_failed_transaction_cannot_be_committed(store: Arc<dyn Store>) {
    let instance = add_instance(&store).await;
    let wallet = fresh_wallet();
    let mut tx = begin_write(&store).await;
    tx.ensure_owner(fresh_owner(), &wallet, at(0))
        .await
        .unwrap();
    let twice = tx.insert_instance(&instance).await;
    assert!(matches!(twice, Err(StoreError::Rejected(_))), "{twice:?}");
    assert!(matches!(tx.commit().await, Err(StoreError::Rejected(_))));
    assert_eq!(
        begin_read(&store).await.find_owner(&wallet).await.unwrap(),
        None
    );
}

pub(super) async fn a_read_transaction_cannot_write(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.find_owner(&wallet).await.unwrap(), None);
    let outcome = tx.ensure_owner(fresh_owner(), &wallet, at(0)).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
    drop(tx);
    assert_eq!(
        begin_read(&store).await.find_owner(&wallet).await.unwrap(),
        None
    );
}

pub(super) async fn a_reader_sees_one_moment(store: Arc<dyn Store>) {
    let mut instance = add_instance(&store).await;
    let mut reader = begin_read(&store).await;
    let before = reader.find_instance(instance.id).await.unwrap();
    instance.price = usd(1);
    let mut writer = begin_write(&store).await;
    writer.save_instance(&instance).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(reader.find_instance(instance.id).await.unwrap(), before);
    reader.commit().await.unwrap();
    assert_eq!(
        begin_read(&store)
            .await
            .find_instance(instance.id)
            .await
            .unwrap(),
        Some(instance)
    );
}

pub(super) async fn an_abandoned_begin_harms_nobody(store: Arc<dyn Store>) {
    for mode in [TxMode::Read, TxMode::Write].repeat(10) {
        // Polled once, and dropped wherever it is then.
        tokio::select! {
            biased;
            _ = store.begin(mode) => {}
            () = std::future::ready(()) => {}
        }
        let wallet = fresh_wallet();
        let mut tx = begin_write(&store).await;
        tx.ensure_owner(fresh_owner(), &wallet, at(0))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert!(
            begin_read(&store)
                .await
                .find_owner(&wallet)
                .await
                .unwrap()
                .is_some()
        );
    }
}

pub(super) async fn the_database_can_be_written(store: Arc<dyn Store>) {
    store.check_writable().await.unwrap();
    let first = store.database_now().await.unwrap();
    let second = store.database_now().await.unwrap();
    assert!(first <= second, "{first:?} {second:?}");
}
