//! What became of the transactions that the server sent, what they cost, and whom they keep waiting.

use std::sync::Arc;

use compute_engine::ports::{ChainTransaction, SentState, Store};

use super::fixture::{RACERS, at, begin_read, begin_write, count, race};
use super::outbox::{
    FAILED, MINED, TOO_LARGE, add, adding, alone, concluded, find, is_inconsistent, is_rejected,
    lane, of_payment, sent,
};

pub(super) async fn a_group_is_held_until_it_is_released(store: Arc<dyn Store>) {
    let holds = |transaction, moment| ChainTransaction {
        group: Some("owner".to_owned()),
        created_at: at(moment),
        ..transaction
    };
    let (permit, pull) = (of_payment("proof", 0), of_payment("proof", 1));
    let (permit, pull) = (holds(permit, 10), holds(pull, 20));
    let own = permit.lane.clone();
    add(&store, &[permit.clone(), pull.clone(), sent(2)]).await;
    let mut tx = begin_write(&store).await;
    let other = lane("eip155:1");
    for (lane, group, since, held) in [
        (&own, "owner", 20, true),
        (&own, "owner", 21, false),
        (&own, "stranger", 0, false),
        (&other, "owner", 0, false),
    ] {
        let holder = tx.find_group_holder(lane, group, at(since)).await.unwrap();
        assert_eq!(holder.as_deref(), held.then_some("proof"), "{group}");
    }
    // A conclusion alone lets nobody else in.
    tx.conclude_chain_transaction(&pull.hash, FAILED, at(30))
        .await
        .unwrap();
    tx.release_group("another").await.unwrap();
    let holder = tx.find_group_holder(&own, "owner", at(20)).await.unwrap();
    assert_eq!(holder.as_deref(), Some("proof"));
    tx.release_group("proof").await.unwrap();
    tx.release_group("proof").await.unwrap();
    assert_eq!(
        tx.find_group_holder(&own, "owner", at(0)).await.unwrap(),
        None
    );
    tx.commit().await.unwrap();
    // Nothing else of them changed.
    let free = |transaction| ChainTransaction {
        group: None,
        ..transaction
    };
    let expected = [free(permit), free(concluded(pull, FAILED, 30))];
    let listed = begin_read(&store)
        .await
        .chain_transactions_of("proof")
        .await;
    assert_eq!(listed.unwrap(), expected);
}

pub(super) async fn the_first_to_take_a_group_holds_it(store: Arc<dyn Store>) {
    let taken = |proof_key, nonce, moment| ChainTransaction {
        group: Some("owner".to_owned()),
        created_at: at(moment),
        ..of_payment(proof_key, nonce)
    };
    let rows = [
        taken("third", 0, 30),
        taken("first", 2, 10),
        taken("second", 1, 20),
    ];
    let own = rows[0].lane.clone();
    let mut tx = adding(&store, &rows).await;
    for (since, holder) in [(0, "first"), (11, "second"), (21, "third")] {
        let found = tx.find_group_holder(&own, "owner", at(since)).await;
        assert_eq!(found.unwrap().as_deref(), Some(holder));
    }
    tx.release_group("first").await.unwrap();
    let found = tx.find_group_holder(&own, "owner", at(0)).await;
    assert_eq!(found.unwrap().as_deref(), Some("second"));
}

pub(super) async fn a_conclusion_is_final(store: Arc<dyn Store>) {
    let all = [MINED, FAILED, SentState::Void];
    for (nonce, state) in (0..).zip(all) {
        let row = sent(nonce);
        add(&store, core::slice::from_ref(&row)).await;
        let conclude = |state, moment| {
            let (store, hash) = (Arc::clone(&store), row.hash.clone());
            async move { alone!(&store, conclude_chain_transaction(&hash, state, at(moment))) }
        };
        let outcome = conclude(SentState::Open, 1).await;
        assert!(is_rejected(&outcome), "{outcome:?}");
        conclude(state, 2).await.unwrap();
        // The same again keeps its first moment.
        conclude(state, 3).await.unwrap();
        let elsewhere = SentState::Mined { block: 8 };
        for other in all.into_iter().chain([elsewhere]) {
            if other != state {
                let outcome = conclude(other, 4).await;
                assert!(
                    is_inconsistent(&outcome),
                    "{state:?} {other:?}: {outcome:?}"
                );
            }
        }
        let expected = concluded(row.clone(), state, 2);
        assert_eq!(find(&store, &row.hash).await, Some(expected));
    }
    let unknown = alone!(
        &store,
        conclude_chain_transaction("0xabc", SentState::Void, at(1))
    );
    assert!(is_inconsistent(&unknown), "{unknown:?}");
}

pub(super) async fn of_one_nonce_one_transaction_is_included(store: Arc<dyn Store>) {
    let (first, second, next) = (sent(3), sent(3), sent(4));
    let elsewhere = ChainTransaction {
        lane: lane("eip155:1"),
        ..sent(3)
    };
    let without = [(); 2].map(|()| ChainTransaction {
        nonce: None,
        ..sent(0)
    });
    let [one, other] = &without;
    let rows = [&first, &second, &next, &elsewhere, one, other];
    add(&store, &rows.map(Clone::clone)).await;
    for row in [&second, &next, &elsewhere, one, other] {
        let outcome = alone!(&store, conclude_chain_transaction(&row.hash, FAILED, at(1)));
        outcome.unwrap();
    }
    let outcome = alone!(
        &store,
        conclude_chain_transaction(&first.hash, MINED, at(2))
    );
    assert!(is_rejected(&outcome), "{outcome:?}");
    let outcome = alone!(&store, add_chain_transaction(&concluded(sent(3), MINED, 2)));
    assert!(is_rejected(&outcome), "{outcome:?}");
    let void = SentState::Void;
    alone!(&store, conclude_chain_transaction(&first.hash, void, at(3))).unwrap();
    let expected = concluded(first, void, 3);
    assert_eq!(find(&store, &expected.hash).await, Some(expected));
}

pub(super) async fn racing_replicas_conclude_once(store: Arc<dyn Store>) {
    let row = sent(0);
    add(&store, core::slice::from_ref(&row)).await;
    let hash = row.hash.clone();
    // Half of them looked at another fork.
    let outcomes = race(RACERS, |number| {
        let (store, hash) = (Arc::clone(&store), hash.clone());
        async move {
            let state = if number % 2 == 0 { MINED } else { FAILED };
            let outcome = alone!(&store, conclude_chain_transaction(&hash, state, at(1)));
            assert!(outcome.is_ok() || is_inconsistent(&outcome), "{outcome:?}");
            outcome.ok().map(|()| number % 2)
        }
    })
    .await;
    let found = find(&store, &hash).await.unwrap();
    let winners = if found.state == MINED { 0 } else { 1 };
    assert_eq!(found, concluded(row, found.state, 1));
    assert_eq!(count(&outcomes, &Some(winners)), RACERS / 2);
    assert_eq!(count(&outcomes, &None), RACERS / 2);
}

fn costing(transaction: ChainTransaction, max_cost: u64) -> ChainTransaction {
    ChainTransaction {
        max_cost,
        ..transaction
    }
}

pub(super) async fn a_lane_costs_what_its_nonces_can_cost(store: Arc<dyn Store>) {
    let without = || ChainTransaction {
        nonce: None,
        ..sent(0)
    };
    let own = lane("eip155:8453");
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.lane_cost_since(&own, at(0)).await.unwrap(), 0);
    tx.lock_lane(&own, at(0)).await.unwrap();
    tx.lock_lane(&lane("eip155:1"), at(0)).await.unwrap();
    let elsewhere = ChainTransaction {
        lane: lane("eip155:1"),
        ..sent(1)
    };
    for (row, cost) in [
        (costing(sent(0), 1), 1),
        // Of a nonce's transactions one is included: the costliest at worst.
        (costing(sent(1), 30), 31),
        (costing(sent(1), 20), 31),
        (costing(sent(1), 40), 41),
        (costing(without(), 100), 141),
        (costing(without(), 100), 241),
        (costing(elsewhere, 1_000), 241),
        (costing(sent(2), 5_000_000_000), 5_000_000_241),
    ] {
        tx.add_chain_transaction(&row).await.unwrap();
        let found = tx.lane_cost_since(&own, at(0)).await.unwrap();
        assert_eq!(found, cost, "{row:?}");
    }
}

pub(super) async fn only_what_can_have_been_spent_since_counts(store: Arc<dyn Store>) {
    let own = lane("eip155:8453");
    let rows = [
        costing(sent(0), 1),
        concluded(costing(sent(1), 10), MINED, 4),
        concluded(costing(sent(2), 100), FAILED, 5),
        // It cost nothing.
        concluded(costing(sent(3), 1_000), SentState::Void, 5),
    ];
    let mut tx = adding(&store, &rows).await;
    // Open ones count however old they are.
    for (since, cost) in [(0, 111), (4, 111), (5, 101), (6, 1)] {
        let found = tx.lane_cost_since(&own, at(since)).await.unwrap();
        assert_eq!(found, cost, "{since}");
    }
}

pub(super) async fn a_lane_cannot_cost_more_than_there_is(store: Arc<dyn Store>) {
    let largest = TOO_LARGE - 1;
    let own = lane("eip155:8453");
    let mut tx = begin_write(&store).await;
    tx.lock_lane(&own, at(0)).await.unwrap();
    for (nonce, cost) in [
        (0, largest),
        (1, u64::MAX - 1),
        (2, u64::MAX),
        (3, u64::MAX),
    ] {
        let row = costing(sent(nonce), largest);
        tx.add_chain_transaction(&row).await.unwrap();
        assert_eq!(tx.lane_cost_since(&own, at(0)).await.unwrap(), cost);
    }
}

pub(super) async fn concluded_transactions_are_forgotten(store: Arc<dyn Store>) {
    let holding = ChainTransaction {
        group: Some("owner".to_owned()),
        ..of_payment("proof", 0)
    };
    let holding = concluded(holding, MINED, 1);
    let open = sent(1);
    let oldest = concluded(sent(2), MINED, 2);
    let older = concluded(sent(3), SentState::Void, 3);
    let young = concluded(sent(4), FAILED, 9);
    let rows = [&open, &young, &older, &oldest, &holding].map(Clone::clone);
    let mut tx = adding(&store, &rows).await;
    assert_eq!(tx.forget_chain_transactions(at(2), 9).await.unwrap(), 0);
    assert_eq!(tx.forget_chain_transactions(at(9), 0).await.unwrap(), 0);
    assert_eq!(tx.forget_chain_transactions(at(9), 1).await.unwrap(), 1);
    assert_eq!(tx.find_chain_transaction(&oldest.hash).await.unwrap(), None);
    assert_eq!(tx.forget_chain_transactions(at(9), 9).await.unwrap(), 1);
    assert_eq!(tx.find_chain_transaction(&older.hash).await.unwrap(), None);
    for kept in [&open, &young, &holding] {
        let found = tx.find_chain_transaction(&kept.hash).await.unwrap();
        assert_eq!(found.as_ref(), Some(kept));
    }
    tx.release_group("proof").await.unwrap();
    assert_eq!(tx.forget_chain_transactions(at(10), 9).await.unwrap(), 2);
    assert_eq!(tx.chain_transactions_of("proof").await.unwrap(), []);
    // What is forgotten can be written again.
    tx.add_chain_transaction(&oldest).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(find(&store, &oldest.hash).await, Some(oldest));
}

pub(super) async fn the_transactions_of_a_nonce_are_listed_oldest_first(store: Arc<dyn Store>) {
    let signed = |hash: &str, nonce, moment| ChainTransaction {
        hash: hash.to_owned(),
        created_at: at(moment),
        ..sent(nonce)
    };
    let rows = [signed("c", 7, 30), signed("a", 7, 10), signed("b", 8, 20)];
    let own = rows[0].lane.clone();
    add(&store, &rows).await;
    let mut tx = begin_read(&store).await;
    for (lane, nonce, expected) in [
        (&own, 7, vec!["a", "c"]),
        (&own, 8, vec!["b"]),
        (&own, 9, vec![]),
        (&lane("eip155:1"), 7, vec![]),
    ] {
        let listed = tx.chain_transactions_at(lane, nonce).await.unwrap();
        let hashes: Vec<_> = listed.iter().map(|it| it.hash.as_str()).collect();
        assert_eq!(hashes, expected, "{nonce}");
    }
}

pub(super) async fn what_was_mined_is_listed_newest_first(store: Arc<dyn Store>) {
    let rows = [
        concluded(sent(0), MINED, 10),
        concluded(sent(1), FAILED, 20),
        concluded(sent(2), MINED, 30),
        concluded(sent(3), MINED, 20),
        sent(4),
    ];
    let own = rows[0].lane.clone();
    add(&store, &rows).await;
    let mut tx = begin_read(&store).await;
    for (since, limit, expected) in [
        (0, 9, vec![2, 3, 0]),
        (20, 9, vec![2, 3]),
        (0, 1, vec![2]),
        (31, 9, vec![]),
    ] {
        let listed = tx.mined_chain_transactions(&own, at(since), limit).await;
        let nonces: Vec<_> = listed.unwrap().iter().filter_map(|it| it.nonce).collect();
        assert_eq!(nonces, expected, "since {since}");
    }
    let other = tx
        .mined_chain_transactions(&lane("eip155:1"), at(0), 9)
        .await;
    assert!(other.unwrap().is_empty());
}
