//! Instances.

use std::sync::Arc;

use compute_domain::catalog::PlanId;
use compute_domain::id::{InstanceId, OwnerId};
use compute_domain::instance::{Access, EndReason, FailureCode, Instance, InstanceState, Resizing};
use compute_domain::money::HourlyRate;
use compute_engine::ports::{Sighting, Store, StoreError};

use super::fixture::{
    add_active, add_instance, add_owner, at, begin_read, begin_write, insert_instance,
    pending_instance, placement, race, usd,
};

fn every_state() -> Vec<InstanceState> {
    let placement = placement(at(86_400_000));
    let mut states = vec![
        InstanceState::Provisioning(None),
        InstanceState::Provisioning(Some(placement.clone())),
        InstanceState::Active(placement.clone()),
        InstanceState::Pending,
    ];
    for reason in EndReason::ALL {
        states.push(InstanceState::Destroying {
            placement: placement.clone(),
            reason: *reason,
        });
        states.push(InstanceState::Destroyed {
            placement: placement.clone(),
            reason: *reason,
            at: at(9),
        });
    }
    states.extend(FailureCode::ALL.iter().map(|code| InstanceState::Failed {
        code: *code,
        at: at(9),
    }));
    states
}

pub(super) async fn every_instance_state_reads_back(store: Arc<dyn Store>) {
    let first = add_instance(&store).await;
    let mut tx = begin_write(&store).await;
    for (number, state) in every_state().into_iter().enumerate() {
        let access = if number % 2 == 0 {
            Access::SshKey
        } else {
            Access::Password
        };
        let ip = if number % 2 == 0 {
            "2001:db8::7"
        } else {
            "192.0.2.7"
        };
        let saved = Instance {
            state,
            access,
            ip: Some(ip.parse().unwrap()),
            extended_hours: u32::try_from(number).unwrap(),
            is_protected: number % 3 == 0,
            resizing: (number % 2 == 0).then(|| Resizing {
                to: PlanId::parse("vc2-2c-4gb").unwrap(),
                rate: HourlyRate::from_micros(28_000).unwrap(),
                expires_at: at(77),
            }),
            ..first.clone()
        };
        tx.save_instance(&saved).await.unwrap();
        assert_eq!(tx.find_instance(first.id).await.unwrap(), Some(saved));
    }
    tx.commit().await.unwrap();
    for state in every_state() {
        let inserted = Instance {
            state,
            extended_hours: 24,
            suspended_since: Some(at(7)),
            ..pending_instance(first.owner)
        };
        let mut tx = begin_write(&store).await;
        // All share one machine, so none stays.
        tx.save_instance(&first).await.unwrap();
        tx.insert_instance(&inserted).await.unwrap();
        assert_eq!(tx.find_instance(inserted.id).await.unwrap(), Some(inserted));
        tx.rollback().await.unwrap();
    }
}

pub(super) async fn an_unknown_instance_cannot_be_saved(store: Arc<dyn Store>) {
    let unknown = pending_instance(add_owner(&store).await);
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.find_instance(unknown.id).await.unwrap(), None);
    assert_eq!(tx.lock_instance(unknown.id).await.unwrap(), None);
    let outcome = tx.save_instance(&unknown).await;
    assert!(matches!(
        outcome,
        Err(StoreError::Inconsistent {
            table: "instances",
            ..
        })
    ));
}

/// Inserts so many pending instances; their ids, newest first.
async fn add_instances(store: &Arc<dyn Store>, owner: OwnerId, count: usize) -> Vec<InstanceId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let instance = pending_instance(owner);
        insert_instance(store, &instance).await;
        ids.push(instance.id);
    }
    ids.reverse();
    ids
}

async fn list(
    store: &Arc<dyn Store>,
    owner: OwnerId,
    after: Option<InstanceId>,
    limit: u32,
) -> Vec<InstanceId> {
    let mut tx = begin_read(store).await;
    let listed = tx.list_instances(owner, after, limit).await.unwrap();
    listed.iter().map(|instance| instance.id).collect()
}

pub(super) async fn instances_are_listed_newest_first(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let older = add_instances(&store, owner, 2).await;
    let foreign = add_instances(&store, other, 1).await;
    let over = Instance {
        state: InstanceState::Failed {
            code: FailureCode::NoCapacity,
            at: at(9),
        },
        ..pending_instance(owner)
    };
    insert_instance(&store, &over).await;
    let all = [&[over.id], older.as_slice()].concat();
    assert_eq!(list(&store, owner, None, 10).await, all);
    assert_eq!(list(&store, owner, None, 2).await, all.get(..2).unwrap());
    assert_eq!(list(&store, other, None, 10).await, foreign);
}

pub(super) async fn pages_follow_one_another_without_gap(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let mut all = add_instances(&store, owner, 4).await;
    add_instances(&store, other, 2).await;
    let newer = add_instances(&store, owner, 3).await;
    all.splice(0..0, newer);
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = list(&store, owner, after, 3).await;
        // What is new meanwhile is in front of the cursor.
        add_instances(&store, owner, 1).await;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        listed.extend(page);
    }
    assert_eq!(listed, all);
    let stranger = list(&store, other, all.last().copied(), 9).await;
    assert_eq!(stranger, [], "a cursor is only a place in one's own list");
}

pub(super) async fn saving_keeps_what_the_reconciler_wrote(store: Arc<dyn Store>) {
    let mut instance = add_active(&store, at(100)).await;
    let sighting = Sighting {
        misses: 2,
        missing_since: Some(at(3)),
        suspended_since: Some(at(4)),
        address: None,
    };
    let mut tx = begin_write(&store).await;
    tx.claim_watched(at(5), at(50), 9).await.unwrap();
    tx.save_sighting(instance.id, &sighting).await.unwrap();
    // Read before the reconciler wrote.
    instance.price = usd(1);
    instance.suspended_since = None;
    tx.save_instance(&instance).await.unwrap();
    let found = tx.find_instance(instance.id).await.unwrap().unwrap();
    assert_eq!((found.price, found.suspended_since), (usd(1), Some(at(4))));
    assert_eq!(tx.claim_watched(at(49), at(99), 9).await.unwrap(), []);
    let watched = tx.claim_watched(at(50), at(99), 9).await.unwrap();
    let misses = watched
        .first()
        .map(|watched| (watched.misses, watched.missing_since));
    assert_eq!(misses, Some((2, Some(at(3)))));
    tx.commit().await.unwrap();
}

pub(super) async fn expired_instances_are_listed_oldest_first(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let mut ids = Vec::new();
    for expires_at in [30, 10, 20, 40] {
        let state = InstanceState::Active(placement(at(expires_at)));
        let instance = Instance {
            state,
            ..pending_instance(owner)
        };
        insert_instance(&store, &instance).await;
        ids.push(instance.id);
    }
    let starting = InstanceState::Provisioning(Some(placement(at(5))));
    insert_instance(
        &store,
        &Instance {
            state: starting,
            ..pending_instance(owner)
        },
    )
    .await;
    let [thirty, ten, twenty, _] = ids.as_slice() else {
        panic!("four instances")
    };
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.list_expired(at(10), 3, 10).await.unwrap(), []);
    assert_eq!(
        tx.list_expired(at(40), 3, 10).await.unwrap(),
        [*ten, *twenty, *thirty]
    );
    assert_eq!(
        tx.list_expired(at(40), 3, 2).await.unwrap(),
        [*ten, *twenty]
    );
}

pub(super) async fn a_machine_belongs_to_one_instance(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let state = InstanceState::Active(placement(at(9)));
    let first = Instance {
        state: state.clone(),
        ..pending_instance(owner)
    };
    insert_instance(&store, &first).await;
    let mut tx = begin_write(&store).await;
    let second = Instance {
        state,
        ..pending_instance(owner)
    };
    let outcome = tx.insert_instance(&second).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

pub(super) async fn a_locked_instance_has_one_writer(store: Arc<dyn Store>) {
    let instance = add_instance(&store).await;
    let before = instance.price.micros();
    race(16, |_| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let mut locked = tx.lock_instance(instance.id).await.unwrap().unwrap();
            locked.price = locked.price.checked_add(usd(1)).unwrap();
            tx.save_instance(&locked).await.unwrap();
            tx.commit().await.unwrap();
        }
    })
    .await;
    let after = begin_read(&store)
        .await
        .find_instance(instance.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.price.micros(), before + 16);
}
