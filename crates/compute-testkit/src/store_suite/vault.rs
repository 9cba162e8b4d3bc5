//! One-time secrets.

use std::sync::Arc;

use compute_domain::id::InstanceId;
use compute_engine::ports::{Store, StoreError, TakenPassword};

use super::fixture::{RACERS, add_instance, at, begin_write, count, fresh_uuid, race};

async fn store_password(store: &Arc<dyn Store>, sealed: &[u8]) -> InstanceId {
    let instance = add_instance(store).await.id;
    let mut tx = begin_write(store).await;
    tx.store_password(instance, sealed, at(0)).await.unwrap();
    tx.commit().await.unwrap();
    instance
}

async fn take(store: &Arc<dyn Store>, instance: InstanceId) -> TakenPassword {
    let mut tx = begin_write(store).await;
    let taken = tx.take_password(instance, at(5)).await.unwrap();
    tx.commit().await.unwrap();
    taken
}

fn sealed(bytes: &[u8]) -> TakenPassword {
    TakenPassword::Sealed(bytes.to_vec())
}

pub(super) async fn a_password_is_taken_once(store: Arc<dyn Store>) {
    let instance = store_password(&store, b"one").await;
    assert_eq!(take(&store, instance).await, sealed(b"one"));
    assert_eq!(take(&store, instance).await, TakenPassword::AlreadyTaken);
    let never = InstanceId::from_uuid(fresh_uuid());
    assert_eq!(take(&store, never).await, TakenPassword::None);
}

pub(super) async fn racing_readers_take_a_password_once(store: Arc<dyn Store>) {
    let instance = store_password(&store, b"one").await;
    let taken = race(RACERS, |_| {
        let store = Arc::clone(&store);
        async move { take(&store, instance).await }
    })
    .await;
    assert_eq!(count(&taken, &sealed(b"one")), 1);
    assert_eq!(count(&taken, &TakenPassword::AlreadyTaken), RACERS - 1);
}

pub(super) async fn a_take_that_is_rolled_back_took_nothing(store: Arc<dyn Store>) {
    let instance = store_password(&store, b"one").await;
    let mut tx = begin_write(&store).await;
    assert_eq!(
        tx.take_password(instance, at(5)).await.unwrap(),
        sealed(b"one")
    );
    tx.rollback().await.unwrap();
    assert_eq!(take(&store, instance).await, sealed(b"one"));
}

pub(super) async fn an_unread_password_expires(store: Arc<dyn Store>) {
    let (unread, read) = (
        store_password(&store, b"1").await,
        store_password(&store, b"2").await,
    );
    take(&store, read).await;
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.expire_passwords(at(0), at(9)).await.unwrap(), 0);
    assert_eq!(tx.expire_passwords(at(1), at(9)).await.unwrap(), 1);
    assert_eq!(tx.expire_passwords(at(1), at(9)).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(take(&store, unread).await, TakenPassword::AlreadyTaken);
}

pub(super) async fn an_unread_password_gives_way_to_the_next(store: Arc<dyn Store>) {
    let instance = store_password(&store, b"first machine").await;
    let mut tx = begin_write(&store).await;
    tx.erase_password(instance).await.unwrap();
    tx.erase_password(instance).await.unwrap();
    assert_eq!(
        tx.take_password(instance, at(5)).await.unwrap(),
        TakenPassword::None
    );
    tx.store_password(instance, b"second machine", at(6))
        .await
        .unwrap();
    tx.store_password(instance, b"third machine", at(7))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(take(&store, instance).await, sealed(b"third machine"));
}

pub(super) async fn a_taken_password_has_no_successor(store: Arc<dyn Store>) {
    let instance = store_password(&store, b"one").await;
    take(&store, instance).await;
    let mut tx = begin_write(&store).await;
    tx.erase_password(instance).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(take(&store, instance).await, TakenPassword::AlreadyTaken);
    let mut tx = begin_write(&store).await;
    let outcome = tx.store_password(instance, b"two", at(6)).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

pub(super) async fn a_machine_set_up_anew_has_another_password_once(store: Arc<dyn Store>) {
    let replace = async |instance: InstanceId, sealed: &[u8], millis: i64| {
        let mut tx = begin_write(&store).await;
        tx.replace_password(instance, sealed, at(millis))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    let instance = store_password(&store, b"one").await;
    assert_eq!(take(&store, instance).await, sealed(b"one"));
    replace(instance, b"two", 7).await;
    assert_eq!(take(&store, instance).await, sealed(b"two"));
    // Written twice, because its confirmation was lost: it is not to be had twice.
    replace(instance, b"two", 7).await;
    assert_eq!(take(&store, instance).await, TakenPassword::AlreadyTaken);
    // An unread one gives way, too, and one comes where there was none.
    let unread = store_password(&store, b"one").await;
    replace(unread, b"two", 7).await;
    assert_eq!(take(&store, unread).await, sealed(b"two"));
    let never = add_instance(&store).await.id;
    replace(never, b"two", 7).await;
    assert_eq!(take(&store, never).await, sealed(b"two"));
}
