//! Owners, wallets, nonces.

use std::collections::BTreeSet;
use std::sync::Arc;

use compute_domain::id::OwnerId;
use compute_engine::ports::Store;

use super::fixture::{
    RACERS, at, begin_read, begin_write, count, fresh_owner, fresh_uuid, fresh_wallet, race,
};

pub(super) async fn an_owner_is_made_once_per_wallet(store: Arc<dyn Store>) {
    let (wallet, candidate) = (fresh_wallet(), fresh_owner());
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.find_owner(&wallet).await.unwrap(), None);
    assert_eq!(
        tx.ensure_owner(candidate, &wallet, at(0)).await.unwrap(),
        candidate
    );
    assert_eq!(
        tx.ensure_owner(fresh_owner(), &wallet, at(1))
            .await
            .unwrap(),
        candidate
    );
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.find_owner(&wallet).await.unwrap(), Some(candidate));
    assert_eq!(
        tx.ensure_owner(fresh_owner(), &wallet, at(2))
            .await
            .unwrap(),
        candidate
    );
    assert_eq!(tx.find_owner(&fresh_wallet()).await.unwrap(), None);
}

pub(super) async fn racing_replicas_make_one_owner(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let owners = race(RACERS, |_| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let owner = tx
                .ensure_owner(fresh_owner(), &wallet, at(0))
                .await
                .unwrap();
            tx.commit().await.unwrap();
            owner
        }
    })
    .await;
    assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), 1);
}

pub(super) async fn wallets_are_listed_ascending(store: Arc<dyn Store>) {
    let owner = fresh_owner();
    let solana = "4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS"
        .parse()
        .unwrap();
    let mut wallets = vec![fresh_wallet(), solana, fresh_wallet(), fresh_wallet()];
    wallets.reverse();
    let mut tx = begin_write(&store).await;
    for wallet in &wallets {
        tx.ensure_owner(owner, wallet, at(0)).await.unwrap();
    }
    tx.ensure_owner(fresh_owner(), &fresh_wallet(), at(0))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    wallets.sort_unstable();
    assert_eq!(
        begin_read(&store).await.wallets_of(owner).await.unwrap(),
        wallets
    );
}

pub(super) async fn a_nonce_is_spent_once(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let mut tx = begin_write(&store).await;
    assert!(tx.spend_nonce(&wallet, "n", at(0), at(10)).await.unwrap());
    assert!(!tx.spend_nonce(&wallet, "n", at(1), at(11)).await.unwrap());
    assert!(tx.spend_nonce(&wallet, "m", at(1), at(11)).await.unwrap());
    assert!(
        tx.spend_nonce(&fresh_wallet(), "n", at(1), at(11))
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    let mut tx = begin_write(&store).await;
    assert!(!tx.spend_nonce(&wallet, "n", at(2), at(12)).await.unwrap());
}

pub(super) async fn racing_requests_spend_a_nonce_once(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let spent = race(RACERS, |_| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let spent = tx.spend_nonce(&wallet, "n", at(0), at(10)).await.unwrap();
            tx.commit().await.unwrap();
            spent
        }
    })
    .await;
    assert_eq!(count(&spent, &true), 1);
}

pub(super) async fn a_nonce_is_remembered_until_its_time(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let mut tx = begin_write(&store).await;
    tx.spend_nonce(&wallet, "early", at(0), at(10))
        .await
        .unwrap();
    tx.spend_nonce(&wallet, "late", at(0), at(20))
        .await
        .unwrap();
    assert_eq!(tx.forget_nonces(at(9), 9).await.unwrap(), 0);
    assert_eq!(tx.forget_nonces(at(20), 0).await.unwrap(), 0);
    assert_eq!(tx.forget_nonces(at(10), 9).await.unwrap(), 1);
    assert!(
        tx.spend_nonce(&wallet, "early", at(10), at(30))
            .await
            .unwrap()
    );
    assert!(
        !tx.spend_nonce(&wallet, "late", at(10), at(30))
            .await
            .unwrap()
    );
}

pub(super) async fn an_owner_may_have_no_wallet(store: Arc<dyn Store>) {
    let owner = OwnerId::from_uuid(fresh_uuid());
    let mut tx = begin_write(&store).await;
    tx.create_owner(owner, at(0)).await.unwrap();
    assert_eq!(tx.wallets_of(owner).await.unwrap(), []);
    tx.commit().await.unwrap();
    let mut tx = begin_write(&store).await;
    assert!(tx.create_owner(owner, at(1)).await.is_err());
}
