//! The reconciler's and the sweeper's notes.

use std::collections::BTreeSet;
use std::sync::Arc;

use compute_domain::catalog::{PlanId, ProviderId, ProviderInstanceId};
use compute_domain::id::OperationId;
use compute_domain::instance::{EndReason, Instance, InstanceState};
use compute_domain::operation::OperationState;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Quarantine, Sighting, Store, Suspect, Watched};

use super::fixture::{
    RACERS, add_active, add_instance, at, begin_read, begin_write, count, extension_of, fresh_uuid,
    insert_instance, open, pending_instance, placement, race,
};

const VULTR: ProviderId = ProviderId::Vultr;

fn machine_of(instance: &Instance) -> ProviderInstanceId {
    instance.placement().unwrap().machine.clone()
}

fn watched(instance: &Instance) -> Watched {
    Watched {
        instance: instance.id,
        provider: instance.provider,
        machine: machine_of(instance),
        misses: 0,
        missing_since: None,
    }
}

async fn claim(store: &Arc<dyn Store>, now: Timestamp, next: Timestamp) -> Vec<Watched> {
    let mut tx = begin_write(store).await;
    let claimed = tx.claim_watched(now, next, 9).await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

pub(super) async fn active_instances_are_due_at_once_and_then_again(store: Arc<dyn Store>) {
    let active = add_active(&store, at(100)).await;
    add_instance(&store).await;
    let owner = active.owner;
    for state in [
        InstanceState::Provisioning(Some(placement(at(9)))),
        InstanceState::Destroying {
            placement: placement(at(9)),
            reason: EndReason::Requested,
        },
    ] {
        let instance = Instance {
            state,
            ..pending_instance(owner)
        };
        insert_instance(&store, &instance).await;
    }
    assert_eq!(claim(&store, at(1), at(11)).await, [watched(&active)]);
    assert_eq!(claim(&store, at(10), at(20)).await, []);
    assert_eq!(claim(&store, at(11), at(21)).await, [watched(&active)]);
}

pub(super) async fn a_round_takes_so_many(store: Arc<dyn Store>) {
    let mut all = BTreeSet::new();
    for _ in 0..5 {
        all.insert(add_active(&store, at(100)).await.id);
    }
    let mut tx = begin_write(&store).await;
    let mut claimed = BTreeSet::new();
    for expected in [2, 2, 1, 0] {
        let some = tx.claim_watched(at(1), at(11), 2).await.unwrap();
        assert_eq!(some.len(), expected);
        claimed.extend(some.into_iter().map(|watched| watched.instance));
    }
    tx.commit().await.unwrap();
    assert_eq!(claimed, all);
}

pub(super) async fn an_instance_that_an_operation_holds_is_not_looked_at(store: Arc<dyn Store>) {
    let (held, free) = (
        add_active(&store, at(100)).await,
        add_active(&store, at(100)).await,
    );
    let mut operation = extension_of(&held);
    let lease = open(&store, &operation, "a", at(10)).await;
    assert_eq!(claim(&store, at(1), at(11)).await, [watched(&free)]);
    // It was not made to wait for the next round.
    operation.data.hold_released_at = Some(at(2));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&operation, &lease, at(10)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claim(&store, at(2), at(12)).await, [watched(&held)]);
    operation.data.hold_released_at = None;
    let done = operation.rest(OperationState::Succeeded, at(3));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&done, &lease, at(10)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claim(&store, at(12), at(22)).await.len(), 2);
}

pub(super) async fn racing_reconcilers_look_once(store: Arc<dyn Store>) {
    let mut all = BTreeSet::new();
    for _ in 0..12 {
        all.insert(add_active(&store, at(100)).await.id);
    }
    let claims = race(8, |_| {
        let store = Arc::clone(&store);
        async move {
            let mut own = Vec::new();
            // Skipping what others are just claiming, one may find nothing; so it tries on.
            for _ in 0..12 {
                let mut tx = begin_write(&store).await;
                let claimed = tx.claim_watched(at(1), at(11), 3).await.unwrap();
                tx.commit().await.unwrap();
                own.extend(claimed.into_iter().map(|watched| watched.instance));
            }
            own
        }
    })
    .await;
    let claimed: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claimed.len(), all.len());
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), all);
}

pub(super) async fn a_sighting_is_remembered(store: Arc<dyn Store>) {
    let instance = add_active(&store, at(100)).await;
    let missed = Sighting {
        misses: 3,
        missing_since: Some(at(4)),
        suspended_since: None,
        address: None,
    };
    let seen = Sighting {
        misses: 0,
        missing_since: None,
        suspended_since: Some(at(6)),
        address: Some("192.0.2.7".parse().unwrap()),
    };
    let mut tx = begin_write(&store).await;
    tx.save_sighting(instance.id, &missed).await.unwrap();
    let claimed = tx.claim_watched(at(1), at(2), 9).await.unwrap();
    let expected = Watched {
        misses: 3,
        missing_since: Some(at(4)),
        ..watched(&instance)
    };
    assert_eq!(claimed, [expected]);
    tx.save_sighting(instance.id, &seen).await.unwrap();
    let claimed = tx.claim_watched(at(2), at(3), 9).await.unwrap();
    assert_eq!(claimed, [watched(&instance)]);
    // A look without an address leaves the known one.
    let again = Sighting {
        address: None,
        ..seen
    };
    tx.save_sighting(instance.id, &again).await.unwrap();
    let found = tx.find_instance(instance.id).await.unwrap().unwrap();
    assert_eq!(
        (found.ip, found.suspended_since),
        (seen.address, Some(at(6)))
    );
    tx.commit().await.unwrap();
}

pub(super) async fn what_is_missed_often_enough_is_missing_and_does_not_expire(
    store: Arc<dyn Store>,
) {
    let [there, first, second] = [
        add_active(&store, at(5)).await,
        add_active(&store, at(5)).await,
        add_active(&store, at(5)).await,
    ];
    let mut tx = begin_write(&store).await;
    for (instance, misses, since) in [(&first, 3, 8), (&second, 4, 7), (&there, 2, 6)] {
        let sighting = Sighting {
            misses,
            missing_since: Some(at(since)),
            suspended_since: None,
            address: None,
        };
        tx.save_sighting(instance.id, &sighting).await.unwrap();
    }
    tx.commit().await.unwrap();
    let missing = |instance: &Instance, misses, since| Watched {
        misses,
        missing_since: Some(at(since)),
        ..watched(instance)
    };
    let mut tx = begin_read(&store).await;
    assert_eq!(
        tx.list_missing(3, 9).await.unwrap(),
        [missing(&second, 4, 7), missing(&first, 3, 8)]
    );
    assert_eq!(
        tx.list_missing(3, 1).await.unwrap(),
        [missing(&second, 4, 7)]
    );
    assert_eq!(
        tx.find_watched(there.id).await.unwrap(),
        Some(missing(&there, 2, 6))
    );
    assert_eq!(tx.list_expired(at(40), 3, 9).await.unwrap(), [there.id]);
    tx.rollback().await.unwrap();
    let provisioning = add_instance(&store).await;
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.find_watched(provisioning.id).await.unwrap(), None);
}

pub(super) async fn an_instance_that_ended_is_sighted_no_more(store: Arc<dyn Store>) {
    let active = add_active(&store, at(100)).await;
    let ended = active.begin_destroy(EndReason::Requested).unwrap();
    let seen = Sighting {
        misses: 1,
        missing_since: Some(at(6)),
        suspended_since: Some(at(6)),
        address: Some("192.0.2.7".parse().unwrap()),
    };
    let mut tx = begin_write(&store).await;
    tx.save_instance(&ended).await.unwrap();
    tx.save_sighting(ended.id, &seen).await.unwrap();
    let found = tx.find_instance(ended.id).await.unwrap();
    assert_eq!(found, Some(ended));
    tx.commit().await.unwrap();
}

pub(super) async fn the_machines_of_active_instances_are_listed(store: Arc<dyn Store>) {
    let (one, two) = (
        add_active(&store, at(100)).await,
        add_active(&store, at(100)).await,
    );
    let elsewhere = Instance {
        provider: ProviderId::DigitalOcean,
        plan: PlanId::parse("do:s-1vcpu-1gb").unwrap(),
        state: InstanceState::Active(placement(at(9))),
        ..pending_instance(one.owner)
    };
    let starting = Instance {
        state: InstanceState::Provisioning(Some(placement(at(9)))),
        ..pending_instance(one.owner)
    };
    insert_instance(&store, &elsewhere).await;
    insert_instance(&store, &starting).await;
    let mut tx = begin_read(&store).await;
    let machines = tx.list_active_machines(VULTR).await.unwrap();
    assert_eq!(
        machines.into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([machine_of(&one), machine_of(&two)])
    );
    let machines = tx.list_active_machines(ProviderId::DigitalOcean).await;
    assert_eq!(machines.unwrap(), [machine_of(&elsewhere)]);
}

fn machine(name: &str) -> ProviderInstanceId {
    ProviderInstanceId::parse(name).unwrap()
}

pub(super) async fn a_suspect_is_counted_by_rounds(store: Arc<dyn Store>) {
    let operation = OperationId::from_uuid(fresh_uuid());
    let suspect = |machine: &ProviderInstanceId, first, rounds| Suspect {
        provider: VULTR,
        machine: machine.clone(),
        operation,
        first_seen_at: first,
        rounds,
    };
    let (one, two) = (machine("m-1"), machine("m-2"));
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.list_suspects().await.unwrap(), []);
    for (machine, now, expected) in [
        (&two, at(1), suspect(&two, at(1), 1)),
        (&one, at(2), suspect(&one, at(2), 1)),
        (&two, at(3), suspect(&two, at(1), 2)),
        (&two, at(4), suspect(&two, at(1), 3)),
    ] {
        let noted = tx.suspect(VULTR, machine, operation, now).await.unwrap();
        assert_eq!(noted, expected);
    }
    tx.commit().await.unwrap();
    let listed = begin_read(&store).await.list_suspects().await.unwrap();
    assert_eq!(listed, [suspect(&two, at(1), 3), suspect(&one, at(2), 1)]);
}

pub(super) async fn whoever_is_explained_is_acquitted(store: Arc<dyn Store>) {
    let operation = OperationId::from_uuid(fresh_uuid());
    let names = |suspects: &[Suspect]| -> Vec<String> {
        let machines = suspects.iter().map(|suspect| suspect.machine.to_string());
        machines.collect()
    };
    let mut tx = begin_write(&store).await;
    for (name, moment) in [("m-1", 1), ("m-2", 2), ("m-3", 3)] {
        tx.suspect(VULTR, &machine(name), operation, at(moment))
            .await
            .unwrap();
    }
    let other = ProviderId::DigitalOcean;
    tx.suspect(other, &machine("m-1"), operation, at(4))
        .await
        .unwrap();
    tx.acquit_others(VULTR, &[machine("m-2"), machine("m-9")])
        .await
        .unwrap();
    let left = tx.list_suspects().await.unwrap();
    assert_eq!(names(&left), ["m-2", "m-1"]);
    // Who comes back begins anew.
    let again = tx.suspect(VULTR, &machine("m-1"), operation, at(5)).await;
    assert_eq!(again.unwrap().rounds, 1);
    tx.acquit_others(VULTR, &[]).await.unwrap();
    let left = tx.list_suspects().await.unwrap();
    assert_eq!(names(&left), ["m-1"]);
    tx.commit().await.unwrap();
}

pub(super) async fn a_quarantine_begins_once_and_ends(store: Arc<dyn Store>) {
    let quarantine = |since, cause: &str| Quarantine {
        since: at(since),
        cause: cause.to_owned(),
    };
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.find_quarantine().await.unwrap(), None);
    assert!(!tx.end_quarantine().await.unwrap());
    assert!(tx.begin_quarantine(&quarantine(1, "first")).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = begin_write(&store).await;
    assert!(!tx.begin_quarantine(&quarantine(2, "second")).await.unwrap());
    assert_eq!(
        tx.find_quarantine().await.unwrap(),
        Some(quarantine(1, "first"))
    );
    assert!(tx.end_quarantine().await.unwrap());
    assert_eq!(tx.find_quarantine().await.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn unasked_destructions_are_counted(store: Arc<dyn Store>) {
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.count_unasked_destructions(at(0)).await.unwrap(), 0);
    // The same one may be tried again and again, and counts once.
    for (moment, subject) in [(1, "m-1"), (5, "m-2"), (5, "m-2")] {
        tx.note_unasked_destruction("orphan", subject, at(moment))
            .await
            .unwrap();
    }
    for (since, expected) in [(at(1), 2), (at(2), 1), (at(5), 1), (at(6), 0)] {
        let count = tx.count_unasked_destructions(since).await.unwrap();
        assert_eq!(count, expected);
    }
    assert_eq!(tx.forget_unasked_destructions(at(5)).await.unwrap(), 1);
    assert_eq!(tx.count_unasked_destructions(at(0)).await.unwrap(), 1);
    tx.commit().await.unwrap();
}

pub(super) async fn racing_destroyers_see_each_other(store: Arc<dyn Store>) {
    let allowed = race(RACERS, |number| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            tx.note_unasked_destruction("expired", &number.to_string(), at(1))
                .await
                .unwrap();
            let is_allowed = tx.count_unasked_destructions(at(0)).await.unwrap() <= 5;
            if is_allowed {
                tx.commit().await.unwrap();
            } else {
                tx.rollback().await.unwrap();
            }
            is_allowed
        }
    })
    .await;
    assert_eq!(count(&allowed, &true), 5);
}
