//! The feeds of owners.

use std::sync::Arc;

use compute_domain::event::{EventKind, EventType};
use compute_domain::id::{EventId, InstanceId, OperationId, OwnerId};
use compute_engine::ports::{NewEvent, OwnerEvent, Store};

use super::fixture::{
    RACERS, add_owner, at, begin_read, begin_write, fresh_owner, fresh_uuid, race,
};

fn event(owner: OwnerId, millis: i64) -> NewEvent {
    NewEvent {
        id: EventId::from_uuid(fresh_uuid()),
        owner,
        kind: EventKind::InstanceActive.into(),
        at: at(millis),
        instance: Some(InstanceId::from_uuid(fresh_uuid())),
        operation: Some(OperationId::from_uuid(fresh_uuid())),
        data: "{\"plan\":\"größe 🚀\"}".to_owned(),
    }
}

async fn announce(store: &Arc<dyn Store>, events: &[&NewEvent]) {
    let mut tx = begin_write(store).await;
    for event in events {
        tx.announce((*event).clone());
    }
    tx.commit().await.unwrap();
}

async fn feed(store: &Arc<dyn Store>, owner: OwnerId, after: u64, limit: u32) -> Vec<OwnerEvent> {
    let mut tx = begin_read(store).await;
    tx.owner_events(owner, after, limit).await.unwrap()
}

fn numbered(events: &[(u64, &NewEvent)]) -> Vec<OwnerEvent> {
    let numbered = events.iter().map(|(seq, event)| OwnerEvent {
        seq: *seq,
        event: (*event).clone(),
    });
    numbered.collect()
}

pub(super) async fn events_read_back_in_order(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    assert_eq!(feed(&store, owner, 0, 9).await, []);
    let mut bare = event(owner, 2);
    (bare.instance, bare.operation) = (None, None);
    let (first, second, theirs) = (event(owner, 5), event(owner, 1), event(other, 3));
    // Owners in any order, and what one is told in the order in which it happened.
    announce(&store, &[&first, &theirs, &second]).await;
    announce(&store, &[&bare]).await;
    let all = numbered(&[(1, &first), (2, &second), (3, &bare)]);
    assert_eq!(feed(&store, owner, 0, 9).await, all);
    let page = numbered(&[(1, &first), (2, &second)]);
    assert_eq!(feed(&store, owner, 0, 2).await, page);
    let rest = numbered(&[(3, &bare)]);
    assert_eq!(feed(&store, owner, 2, 9).await, rest);
    for after in [3, 4, u64::MAX] {
        assert_eq!(feed(&store, owner, after, 9).await, []);
    }
    assert_eq!(feed(&store, other, 0, 9).await, numbered(&[(1, &theirs)]));
    assert_eq!(feed(&store, fresh_owner(), 0, 9).await, []);
}

/// A newer version that shares the database tells more than this one knows.
pub(super) async fn a_kind_that_is_not_known_reads_back_as_it_is(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let newer = NewEvent {
        kind: EventType::Newer("instance.moved".to_owned()),
        ..event(owner, 1)
    };
    let known = event(owner, 2);
    announce(&store, &[&newer, &known]).await;
    let all = numbered(&[(1, &newer), (2, &known)]);
    assert_eq!(feed(&store, owner, 0, 9).await, all);
}

pub(super) async fn what_is_rolled_back_was_never_told(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let mut tx = begin_write(&store).await;
    tx.announce(event(owner, 1));
    tx.rollback().await.unwrap();
    let mut tx = begin_write(&store).await;
    tx.announce(event(owner, 1));
    drop(tx);
    // Nobody of that name: the commit fails, and takes the others' events with it.
    let mut tx = begin_write(&store).await;
    tx.announce(event(owner, 1));
    tx.announce(event(fresh_owner(), 1));
    assert!(tx.commit().await.is_err());
    let told = event(owner, 1);
    announce(&store, &[&told]).await;
    assert_eq!(feed(&store, owner, 0, 9).await, numbered(&[(1, &told)]));
}

/// Whoever reads on from the last number misses nothing that commits later, and sees nothing twice:
/// also when each transaction tells two owners, in either order.
pub(super) async fn racing_transactions_number_their_events_without_a_gap(store: Arc<dyn Store>) {
    let (one, other) = (add_owner(&store).await, add_owner(&store).await);
    let reader = async {
        let (mut seen, mut after) = (Vec::new(), 0);
        while seen.len() < RACERS {
            let page = feed(&store, one, after, 7).await;
            after = page.last().map_or(after, |last| last.seq);
            seen.extend(page.into_iter().map(|event| event.seq));
            tokio::task::yield_now().await;
        }
        seen
    };
    let writers = race(RACERS, |number| {
        let store = Arc::clone(&store);
        async move {
            let (mine, theirs) = (event(one, 1), event(other, 1));
            let both = if number.is_multiple_of(2) {
                [&mine, &theirs]
            } else {
                [&theirs, &mine]
            };
            announce(&store, &both).await;
        }
    });
    let (seen, _) = futures::join!(reader, writers);
    let count = u64::try_from(RACERS).unwrap();
    assert_eq!(seen, (1..=count).collect::<Vec<_>>());
    assert_eq!(feed(&store, other, 0, 200).await.len(), RACERS);
}

pub(super) async fn forgotten_events_leave_their_numbers_taken(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let events = [event(owner, 1), event(owner, 2), event(owner, 3)];
    announce(&store, &[&events[0], &events[1], &events[2]]).await;
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.forget_owner_events(at(1), 9).await.unwrap(), 0);
    assert_eq!(tx.forget_owner_events(at(3), 1).await.unwrap(), 1);
    assert_eq!(tx.forget_owner_events(at(3), 9).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let left = numbered(&[(3, &events[2])]);
    assert_eq!(feed(&store, owner, 0, 9).await, left);
    // A reader that stayed away for long goes on with what there still is.
    assert_eq!(feed(&store, owner, 1, 9).await, left);
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.forget_owner_events(at(4), 9).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let next = event(owner, 9);
    announce(&store, &[&next]).await;
    assert_eq!(feed(&store, owner, 3, 9).await, numbered(&[(4, &next)]));
}
