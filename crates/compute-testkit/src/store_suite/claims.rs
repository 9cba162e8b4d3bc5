//! Who works on an operation: claims and leases.

use std::collections::BTreeSet;
use std::sync::Arc;

use compute_domain::id::OperationId;
use compute_domain::instance::FailureCode;
use compute_domain::operation::{Operation, OperationState, Progress, Step};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Lease, Store, StoreError};

use super::fixture::{
    add_instance, add_operation, at, begin_read, begin_write, fresh_uuid, open, provision_of, race,
};

/// An operation that is due at `run_at` and that nobody holds.
async fn add_idle(store: &Arc<dyn Store>, run_at: Timestamp) -> Operation {
    let mut operation = provision_of(&add_instance(store).await);
    let progress = Progress {
        step: Step::Create,
        begun_at: Some(at(1)),
        attempt: 2,
        run_at,
    };
    operation.state = OperationState::Running(progress);
    let lease = open(store, &operation, "opener", at(0)).await;
    release(store, &lease).await;
    operation
}

async fn release(store: &Arc<dyn Store>, lease: &Lease) {
    let mut tx = begin_write(store).await;
    tx.release_lease(lease).await.unwrap();
    tx.commit().await.unwrap();
}

async fn claim(
    store: &Arc<dyn Store>,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> Vec<(Operation, Lease)> {
    let mut tx = begin_write(store).await;
    let claimed = tx.claim_due(holder, now, until, 100).await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

pub(super) async fn due_operations_are_claimed_oldest_first(store: Arc<dyn Store>) {
    let mut due = Vec::new();
    for run_at in [30, 10, 20, 50] {
        due.push(add_idle(&store, at(run_at)).await);
    }
    let [thirty, ten, twenty, fifty] = due.as_slice() else {
        panic!("four operations")
    };
    let mut tx = begin_write(&store).await;
    let claimed = tx.claim_due("a", at(40), at(100), 2).await.unwrap();
    let lease = |operation: &Operation| Lease {
        operation: operation.id,
        holder: "a".to_owned(),
        epoch: 2,
    };
    assert_eq!(
        claimed,
        [(ten.clone(), lease(ten)), (twenty.clone(), lease(twenty))]
    );
    let claimed = tx.claim_due("b", at(40), at(100), 9).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|(operation, _)| operation.id).collect();
    assert_eq!(ids, [thirty.id]);
    tx.commit().await.unwrap();
    let claimed = claim(&store, "b", at(50), at(100)).await;
    assert_eq!(
        claimed.first().map(|(operation, _)| operation.id),
        Some(fifty.id)
    );
}

pub(super) async fn racing_workers_claim_each_operation_once(store: Arc<dyn Store>) {
    let mut all = BTreeSet::new();
    for run_at in 0..24 {
        all.insert(add_idle(&store, at(run_at)).await.id);
    }
    let claims = race(8, |number| {
        let store = Arc::clone(&store);
        async move {
            let mut own = Vec::new();
            // Skipping what others are just claiming, a worker may find nothing; so it tries on.
            for _ in 0..12 {
                let mut tx = begin_write(&store).await;
                let holder = format!("worker-{number}");
                let claimed = tx.claim_due(&holder, at(100), at(200), 3).await.unwrap();
                assert!(claimed.len() <= 3, "{}", claimed.len());
                tx.commit().await.unwrap();
                own.extend(claimed.into_iter().map(|(operation, _)| operation.id));
            }
            own
        }
    })
    .await;
    let claimed: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claimed.len(), all.len());
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), all);
}

pub(super) async fn a_stale_lease_is_lost(store: Arc<dyn Store>) {
    let (operation, stale) = add_operation(&store).await;
    assert_eq!(claim(&store, "b", at(9_999), at(20_000)).await, []);
    let claimed = claim(&store, "b", at(10_000), at(20_000)).await;
    let [(found, lease)] = claimed.as_slice() else {
        panic!("{claimed:?}")
    };
    assert_eq!((found, lease.epoch), (&operation, stale.epoch + 1));
    let changed = operation.clone().begin(at(10_001));
    let mut tx = begin_write(&store).await;
    let outcome = tx.save_operation(&changed, &stale, at(30_000)).await;
    assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
    drop(tx);
    release(&store, &stale).await;
    assert_eq!(claim(&store, "c", at(10_002), at(20_000)).await, []);
    let mut tx = begin_write(&store).await;
    assert_eq!(
        tx.find_operation(operation.id).await.unwrap(),
        Some(operation)
    );
    tx.save_operation(&changed, lease, at(30_000))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    // Saving has extended the lease.
    assert_eq!(claim(&store, "c", at(29_999), at(40_000)).await, []);
    // The same holder at another epoch is somebody else.
    let again = claim(&store, "b", at(30_000), at(40_000)).await;
    assert_eq!(again.len(), 1);
    let mut tx = begin_write(&store).await;
    let outcome = tx.save_operation(&changed, lease, at(50_000)).await;
    assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
}

pub(super) async fn an_expired_lease_that_nobody_took_still_saves(store: Arc<dyn Store>) {
    let (operation, lease) = add_operation(&store).await;
    let changed = operation.begin(at(99_000));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&changed, &lease, at(100_000))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let found = begin_read(&store)
        .await
        .find_operation(changed.id)
        .await
        .unwrap();
    assert_eq!(found, Some(changed));
}

pub(super) async fn a_released_operation_can_be_claimed(store: Arc<dyn Store>) {
    let (operation, lease) = add_operation(&store).await;
    release(&store, &lease).await;
    let mut tx = begin_write(&store).await;
    let outcome = tx.save_operation(&operation, &lease, at(9)).await;
    assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
    drop(tx);
    let claimed = claim(&store, "b", at(1), at(9)).await;
    assert_eq!(claimed.len(), 1);
}

pub(super) async fn one_operation_is_leased_unless_somebody_holds_it(store: Arc<dyn Store>) {
    let (operation, opened) = add_operation(&store).await;
    let stuck = operation.rest(
        OperationState::Stuck {
            code: FailureCode::SettlementUnknown,
            step: Step::Settle,
        },
        at(5),
    );
    let mut tx = begin_write(&store).await;
    tx.save_operation(&stuck, &opened, at(20)).await.unwrap();
    let id = stuck.id;
    let held = tx.lease_operation(id, "b", at(19), at(30)).await.unwrap();
    assert_eq!(held, None);
    let lease = tx.lease_operation(id, "b", at(20), at(30)).await.unwrap();
    let expected = Lease {
        operation: id,
        holder: "b".to_owned(),
        epoch: opened.epoch + 1,
    };
    assert_eq!(lease.as_ref(), Some(&expected));
    tx.save_operation(&stuck, &expected, at(40)).await.unwrap();
    tx.release_lease(&expected).await.unwrap();
    let again = tx.lease_operation(id, "c", at(21), at(30)).await.unwrap();
    assert_eq!(again.map(|lease| lease.epoch), Some(opened.epoch + 2));
    let unknown = OperationId::from_uuid(fresh_uuid());
    let none = tx.lease_operation(unknown, "c", at(21), at(30)).await;
    assert_eq!(none.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn racing_operators_share_no_operation(store: Arc<dyn Store>) {
    let operation = add_idle(&store, at(1)).await;
    let leases = race(16, |number| {
        let store = Arc::clone(&store);
        let id = operation.id;
        async move {
            let holder = format!("operator-{number}");
            let mut tx = begin_write(&store).await;
            let lease = tx.lease_operation(id, &holder, at(5), at(9)).await.unwrap();
            tx.commit().await.unwrap();
            lease
        }
    })
    .await;
    assert_eq!(leases.iter().flatten().count(), 1);
}

pub(super) async fn an_operation_at_rest_is_not_claimed(store: Arc<dyn Store>) {
    let (operation, lease) = add_operation(&store).await;
    let done = operation.rest(OperationState::Succeeded, at(5));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&done, &lease, at(6)).await.unwrap();
    tx.release_lease(&lease).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claim(&store, "b", at(99_000), at(100_000)).await, []);
}
