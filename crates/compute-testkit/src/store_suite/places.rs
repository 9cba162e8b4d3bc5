//! Places for live instances.

use std::sync::Arc;

use compute_domain::id::OwnerId;
use compute_domain::money::HourlyRate;
use compute_engine::ports::{Caps, PlaceTaken, Store, StoreError};

use super::fixture::{RACERS, add_owner, begin_read, begin_write, count, race, usd};

const CAPS: Caps = Caps {
    instances_per_owner: 3,
    instances_total: 5,
    hourly_total: None,
};

fn rate(micros: i64) -> HourlyRate {
    HourlyRate::from_micros(micros).unwrap()
}

/// Takes a place, and commits when there was one.
async fn take(store: &Arc<dyn Store>, owner: OwnerId, micros: i64, caps: &Caps) -> PlaceTaken {
    let mut tx = begin_write(store).await;
    let taken = tx.take_place(owner, rate(micros), caps).await.unwrap();
    match taken {
        PlaceTaken::Yes => tx.commit().await.unwrap(),
        PlaceTaken::OwnerFull | PlaceTaken::ShopFull => tx.rollback().await.unwrap(),
    }
    taken
}

async fn free(store: &Arc<dyn Store>, owner: OwnerId, micros: i64) -> Result<(), StoreError> {
    let mut tx = begin_write(store).await;
    tx.free_place(owner, rate(micros)).await?;
    tx.commit().await
}

async fn live(store: &Arc<dyn Store>) -> u64 {
    begin_read(store).await.count_live().await.unwrap()
}

pub(super) async fn an_owner_has_so_many_places(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    for _ in 0..3 {
        assert_eq!(take(&store, owner, 7, &CAPS).await, PlaceTaken::Yes);
    }
    let mut tx = begin_write(&store).await;
    let full = tx.take_place(owner, rate(7), &CAPS).await.unwrap();
    assert_eq!(full, PlaceTaken::OwnerFull);
    // Nothing was written, so the transaction may go on.
    tx.commit().await.unwrap();
    assert_eq!(live(&store).await, 3);
    assert_eq!(take(&store, other, 7, &CAPS).await, PlaceTaken::Yes);
    free(&store, owner, 7).await.unwrap();
    assert_eq!(take(&store, owner, 7, &CAPS).await, PlaceTaken::Yes);
    assert_eq!(live(&store).await, 4);
}

pub(super) async fn the_shop_has_so_many_places(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    for owner in [owner, other, owner, other, owner] {
        assert_eq!(take(&store, owner, 7, &CAPS).await, PlaceTaken::Yes);
    }
    assert_eq!(take(&store, other, 7, &CAPS).await, PlaceTaken::ShopFull);
    assert_eq!(live(&store).await, 5);
    free(&store, owner, 7).await.unwrap();
    assert_eq!(take(&store, other, 7, &CAPS).await, PlaceTaken::Yes);
}

pub(super) async fn all_instances_may_cost_so_much(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let caps = Caps {
        hourly_total: Some(usd(100)),
        ..CAPS
    };
    assert_eq!(take(&store, owner, 60, &caps).await, PlaceTaken::Yes);
    assert_eq!(take(&store, owner, 41, &caps).await, PlaceTaken::ShopFull);
    assert_eq!(take(&store, owner, 40, &caps).await, PlaceTaken::Yes);
    assert_eq!(take(&store, owner, 1, &caps).await, PlaceTaken::ShopFull);
    free(&store, owner, 60).await.unwrap();
    assert_eq!(take(&store, owner, 60, &caps).await, PlaceTaken::Yes);
    // A lowered cap takes nothing away, and gives nothing.
    let lower = Caps {
        hourly_total: Some(usd(50)),
        ..CAPS
    };
    assert_eq!(take(&store, owner, 1, &lower).await, PlaceTaken::ShopFull);
    assert_eq!(take(&store, owner, 1, &CAPS).await, PlaceTaken::Yes);
}

pub(super) async fn a_place_that_becomes_dearer_stays_within_the_cap(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let caps = Caps {
        hourly_total: Some(usd(100)),
        ..CAPS
    };
    assert_eq!(take(&store, owner, 40, &caps).await, PlaceTaken::Yes);
    assert_eq!(take(&store, owner, 20, &caps).await, PlaceTaken::Yes);
    let change = async |from: i64, to: i64, most: Option<i64>| {
        let mut tx = begin_write(&store).await;
        let most = most.map(usd);
        let changed = tx.change_place(owner, rate(from), rate(to), most).await;
        tx.commit().await.unwrap();
        changed.unwrap()
    };
    assert!(!change(40, 81, Some(100)).await, "one too much");
    assert!(change(40, 80, Some(100)).await);
    assert_eq!(take(&store, owner, 1, &caps).await, PlaceTaken::ShopFull);
    // Cheaper is always possible, and so is whatever nobody limits.
    assert!(change(80, 30, Some(1)).await);
    assert!(change(30, 200, None).await);
    assert!(change(200, 80, None).await);
    free(&store, owner, 80).await.unwrap();
    assert_eq!(take(&store, owner, 80, &caps).await, PlaceTaken::Yes);
}

pub(super) async fn racing_buyers_stay_within_the_caps(store: Arc<dyn Store>) {
    let mut owners = Vec::new();
    for _ in 0..8 {
        owners.push(add_owner(&store).await);
    }
    let caps = Caps {
        instances_per_owner: 6,
        instances_total: 40,
        hourly_total: Some(usd(40 * 7)),
    };
    let owners = Arc::new(owners);
    let taken = race(RACERS, |number| {
        let (store, owners) = (Arc::clone(&store), Arc::clone(&owners));
        async move { take(&store, *owners.get(number % 8).unwrap(), 7, &caps).await }
    })
    .await;
    assert_eq!(count(&taken, &PlaceTaken::Yes), 40);
    assert_eq!(live(&store).await, 40);
}

pub(super) async fn racing_buyers_of_one_owner_stay_within_its_cap(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let caps = Caps {
        instances_per_owner: 5,
        instances_total: 500,
        hourly_total: None,
    };
    let taken = race(RACERS, |_| {
        let store = Arc::clone(&store);
        async move { take(&store, owner, 7, &caps).await }
    })
    .await;
    assert_eq!(count(&taken, &PlaceTaken::Yes), 5);
    assert_eq!(count(&taken, &PlaceTaken::OwnerFull), RACERS - 5);
}

pub(super) async fn a_place_that_was_not_taken_cannot_be_freed(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    assert_eq!(take(&store, owner, 7, &CAPS).await, PlaceTaken::Yes);
    for outcome in [
        free(&store, other, 7).await,
        // More than all places cost.
        free(&store, owner, 8).await,
    ] {
        assert!(
            matches!(outcome, Err(StoreError::Inconsistent { .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(live(&store).await, 1);
    free(&store, owner, 7).await.unwrap();
    assert_eq!(live(&store).await, 0);
}
