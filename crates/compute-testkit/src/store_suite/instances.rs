//! Instances.

use std::sync::Arc;

use compute_domain::instance::{Access, EndReason, FailureCode, Instance, InstanceState};
use compute_engine::ports::{Store, StoreError};

use super::fixture::{
    add_instance, add_owner, at, begin_read, begin_write, insert_instance, pending_instance,
    placement, race, usd,
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
            ..first.clone()
        };
        tx.save_instance(&saved).await.unwrap();
        assert_eq!(tx.find_instance(first.id).await.unwrap(), Some(saved));
    }
    tx.commit().await.unwrap();
    for state in every_state() {
        let inserted = Instance {
            state,
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

pub(super) async fn instances_are_listed_newest_first(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    for (owner, moment) in [(owner, 5), (owner, 9), (other, 7), (owner, 1)] {
        let instance = Instance {
            created_at: at(moment),
            ..pending_instance(owner)
        };
        insert_instance(&store, &instance).await;
    }
    let mut tx = begin_read(&store).await;
    for (limit, expected) in [(10, vec![at(9), at(5), at(1)]), (2, vec![at(9), at(5)])] {
        let listed = tx.list_instances(owner, limit).await.unwrap();
        let moments: Vec<_> = listed.iter().map(|instance| instance.created_at).collect();
        assert_eq!(moments, expected);
    }
}

pub(super) async fn what_is_over_is_listed_after_what_lives(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let over = InstanceState::Failed {
        code: FailureCode::NoCapacity,
        at: at(9),
    };
    for (moment, state) in [
        (5, InstanceState::Pending),
        (9, over),
        (1, InstanceState::Pending),
    ] {
        let instance = Instance {
            created_at: at(moment),
            state,
            ..pending_instance(owner)
        };
        insert_instance(&store, &instance).await;
    }
    let listed = begin_read(&store)
        .await
        .list_instances(owner, 2)
        .await
        .unwrap();
    let moments: Vec<_> = listed.iter().map(|instance| instance.created_at).collect();
    assert_eq!(
        moments,
        [at(5), at(1)],
        "a limit never hides a machine that lives"
    );
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
    assert_eq!(tx.list_expired(at(10), 10).await.unwrap(), []);
    assert_eq!(
        tx.list_expired(at(40), 10).await.unwrap(),
        [*ten, *twenty, *thirty]
    );
    assert_eq!(tx.list_expired(at(40), 2).await.unwrap(), [*ten, *twenty]);
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
