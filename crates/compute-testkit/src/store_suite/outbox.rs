//! What the server itself signs and sends to a chain.

use std::sync::Arc;

use compute_engine::ports::{ChainTransaction, Lane, Purpose, SentState, Store, StoreError, Tx};

use super::fixture::{RACERS, at, begin_read, begin_write, fresh_uuid, race};

pub(super) const MINED: SentState = SentState::Mined { block: 7 };
pub(super) const FAILED: SentState = SentState::Failed { block: 7 };

/// More than any cell can hold.
pub(super) const TOO_LARGE: u64 = i64::MAX.unsigned_abs() + 1;

pub(super) fn lane(chain: &str) -> Lane {
    Lane::parse(&format!("{chain}:0x{}", "ab".repeat(20))).unwrap()
}

/// An open transaction on the first lane, with a hash of its own.
pub(super) fn sent(nonce: u64) -> ChainTransaction {
    let number = fresh_uuid();
    ChainTransaction {
        hash: format!("0x{:064x}", number.as_u128()),
        lane: lane("eip155:8453"),
        nonce: Some(nonce),
        purpose: Purpose::Settle,
        proof_key: None,
        group: None,
        raw: number.as_bytes().to_vec(),
        max_cost: 100,
        valid_until: None,
        state: SentState::Open,
        created_at: at(0),
        concluded_at: None,
    }
}

pub(super) fn of_payment(proof_key: &str, nonce: u64) -> ChainTransaction {
    ChainTransaction {
        proof_key: Some(proof_key.to_owned()),
        ..sent(nonce)
    }
}

pub(super) fn concluded(
    transaction: ChainTransaction,
    state: SentState,
    moment: i64,
) -> ChainTransaction {
    ChainTransaction {
        state,
        concluded_at: Some(at(moment)),
        ..transaction
    }
}

/// A transaction that has locked the lanes of all these, and added them.
pub(super) async fn adding(
    store: &Arc<dyn Store>,
    transactions: &[ChainTransaction],
) -> Box<dyn Tx> {
    let mut tx = begin_write(store).await;
    for transaction in transactions {
        tx.lock_lane(&transaction.lane, at(0)).await.unwrap();
        tx.add_chain_transaction(transaction).await.unwrap();
    }
    tx
}

pub(super) async fn add(store: &Arc<dyn Store>, transactions: &[ChainTransaction]) {
    let tx = adding(store, transactions).await;
    tx.commit().await.unwrap();
}

pub(super) async fn find(store: &Arc<dyn Store>, hash: &str) -> Option<ChainTransaction> {
    let mut tx = begin_read(store).await;
    tx.find_chain_transaction(hash).await.unwrap()
}

/// What a transaction of its own does; committed when it can be.
macro_rules! alone {
    ($store:expr, $method:ident($($argument:expr),* $(,)?)) => {{
        let mut tx = begin_write($store).await;
        match tx.$method($($argument),*).await {
            Ok(value) => tx.commit().await.map(|()| value),
            Err(error) => Err(error),
        }
    }};
}
pub(super) use alone;

pub(super) fn is_rejected<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Rejected(_)))
}

pub(super) fn is_inconsistent<T>(outcome: &Result<T, StoreError>) -> bool {
    let table = "chain_transactions";
    matches!(outcome, Err(StoreError::Inconsistent { table: found, .. }) if *found == table)
}

pub(super) async fn a_new_lane_begins_at_nonce_zero(store: Arc<dyn Store>) {
    let (one, other) = (lane("eip155:8453"), lane("eip155:1"));
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.lock_lane(&one, at(0)).await.unwrap(), 0);
    tx.set_next_nonce(&one, 5, at(0)).await.unwrap();
    // Locked twice is locked.
    assert_eq!(tx.lock_lane(&one, at(1)).await.unwrap(), 5);
    tx.commit().await.unwrap();
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.lock_lane(&one, at(2)).await.unwrap(), 5);
    assert_eq!(tx.lock_lane(&other, at(2)).await.unwrap(), 0);
    tx.set_next_nonce(&one, 6, at(2)).await.unwrap();
    tx.rollback().await.unwrap();
    // The largest that can be stored.
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.lock_lane(&one, at(3)).await.unwrap(), 5);
    let largest = TOO_LARGE - 1;
    tx.set_next_nonce(&one, largest, at(3)).await.unwrap();
    assert_eq!(tx.lock_lane(&one, at(3)).await.unwrap(), largest);
    tx.commit().await.unwrap();
}

pub(super) async fn a_nonce_is_written_under_the_lock_only(store: Arc<dyn Store>) {
    let (one, other) = (lane("eip155:8453"), lane("eip155:1"));
    for known in [&one, &other] {
        alone!(&store, lock_lane(known, at(0))).unwrap();
    }
    let unlocked = alone!(&store, set_next_nonce(&one, 1, at(1)));
    assert!(is_rejected(&unlocked), "{unlocked:?}");
    let mut tx = begin_write(&store).await;
    tx.lock_lane(&other, at(1)).await.unwrap();
    let unlocked = tx.set_next_nonce(&one, 1, at(1)).await;
    assert!(is_rejected(&unlocked), "{unlocked:?}");
    assert!(is_rejected(&tx.commit().await));
    assert_eq!(alone!(&store, lock_lane(&one, at(2))).unwrap(), 0);
}

/// Some change their mind: their nonce goes to the next one.
pub(super) async fn racing_replicas_never_share_a_nonce(store: Arc<dyn Store>) {
    let outcomes = race(RACERS, |number| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let lane = lane("eip155:8453");
            let nonce = tx.lock_lane(&lane, at(0)).await.unwrap();
            tx.add_chain_transaction(&sent(nonce)).await.unwrap();
            tx.set_next_nonce(&lane, nonce + 1, at(0)).await.unwrap();
            if number % 4 == 0 {
                tx.rollback().await.unwrap();
                return None;
            }
            tx.commit().await.unwrap();
            Some(nonce)
        }
    })
    .await;
    let mut nonces: Vec<u64> = outcomes.into_iter().flatten().collect();
    nonces.sort_unstable();
    let expected: Vec<u64> = (0..48).collect();
    assert_eq!(nonces, expected);
    let mut tx = begin_write(&store).await;
    let lane = lane("eip155:8453");
    assert_eq!(tx.lock_lane(&lane, at(1)).await.unwrap(), 48);
    let open = tx.open_chain_transactions(&lane, 100).await.unwrap();
    let stored: Vec<u64> = open.iter().filter_map(|row| row.nonce).collect();
    assert_eq!(stored, expected);
}

pub(super) async fn every_chain_transaction_reads_back(store: Arc<dyn Store>) {
    let mut all = vec![ChainTransaction {
        // As on Solana.
        nonce: None,
        valid_until: Some(TOO_LARGE - 1),
        max_cost: TOO_LARGE - 1,
        group: Some("größe".to_owned()),
        raw: vec![0, 255, 0],
        ..of_payment("proof", 0)
    }];
    for (number, purpose) in (1..).zip(Purpose::ALL) {
        all.push(ChainTransaction {
            purpose,
            ..sent(number)
        });
    }
    for (number, state) in (11..).zip([MINED, FAILED, SentState::Void]) {
        all.push(concluded(sent(number), state, 3));
    }
    let hashes: Vec<String> = all.iter().map(|row| row.hash.clone()).collect();
    add(&store, &all).await;
    for (hash, expected) in hashes.iter().zip(all) {
        assert_eq!(find(&store, hash).await, Some(expected));
    }
    assert_eq!(find(&store, "0x").await, None);
}

pub(super) async fn a_chain_transaction_is_written_once(store: Arc<dyn Store>) {
    let first = ChainTransaction {
        group: Some("owner".to_owned()),
        ..of_payment("proof", 0)
    };
    add(&store, core::slice::from_ref(&first)).await;
    // In the same transaction, and later.
    let mut tx = adding(&store, &[first.clone(), first.clone()]).await;
    tx.release_group("proof").await.unwrap();
    tx.conclude_chain_transaction(&first.hash, MINED, at(5))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let again = ChainTransaction {
        created_at: at(9),
        max_cost: 5,
        ..first.clone()
    };
    add(&store, &[again]).await;
    let expected = ChainTransaction {
        group: None,
        ..concluded(first, MINED, 5)
    };
    let found = find(&store, &expected.hash).await;
    assert_eq!(found, Some(expected));
}

pub(super) async fn something_else_under_a_hash_is_refused(store: Arc<dyn Store>) {
    let first = of_payment("proof", 0);
    add(&store, core::slice::from_ref(&first)).await;
    alone!(&store, lock_lane(&lane("eip155:1"), at(0))).unwrap();
    let other_bytes = ChainTransaction {
        raw: vec![1],
        ..first.clone()
    };
    let other_lane = ChainTransaction {
        lane: lane("eip155:1"),
        ..first.clone()
    };
    let other_nonce = ChainTransaction {
        nonce: Some(1),
        ..first.clone()
    };
    let other_purpose = ChainTransaction {
        purpose: Purpose::Permit,
        ..first.clone()
    };
    let other_payment = ChainTransaction {
        proof_key: Some("another".to_owned()),
        ..first.clone()
    };
    for other in [
        other_bytes,
        other_lane,
        other_nonce,
        other_purpose,
        other_payment,
    ] {
        let outcome = alone!(&store, add_chain_transaction(&other));
        assert!(is_inconsistent(&outcome), "{other:?}: {outcome:?}");
    }
    assert_eq!(find(&store, &first.hash).await, Some(first));
}

pub(super) async fn a_chain_transaction_keeps_the_rules_of_its_table(store: Arc<dyn Store>) {
    add(&store, &[sent(0)]).await;
    for bad in [
        ChainTransaction {
            lane: lane("eip155:1"),
            ..sent(1)
        },
        ChainTransaction {
            hash: String::new(),
            ..sent(1)
        },
        ChainTransaction {
            raw: Vec::new(),
            ..sent(1)
        },
        ChainTransaction {
            group: Some("of nobody".to_owned()),
            ..sent(1)
        },
        ChainTransaction {
            concluded_at: Some(at(1)),
            ..sent(1)
        },
        ChainTransaction {
            state: MINED,
            ..sent(1)
        },
    ] {
        let outcome = alone!(&store, add_chain_transaction(&bad));
        assert!(is_rejected(&outcome), "{bad:?}: {outcome:?}");
        assert_eq!(find(&store, &bad.hash).await, None);
    }
}

pub(super) async fn numbers_that_cannot_be_stored_are_refused(store: Arc<dyn Store>) {
    let known = sent(0);
    add(&store, core::slice::from_ref(&known)).await;
    let beyond = SentState::Failed { block: TOO_LARGE };
    for bad in [
        sent(TOO_LARGE),
        ChainTransaction {
            max_cost: u64::MAX,
            ..sent(1)
        },
        ChainTransaction {
            valid_until: Some(TOO_LARGE),
            ..sent(1)
        },
        concluded(sent(1), beyond, 1),
    ] {
        let outcome = alone!(&store, add_chain_transaction(&bad));
        assert!(is_rejected(&outcome), "{bad:?}: {outcome:?}");
    }
    let outcome = alone!(
        &store,
        conclude_chain_transaction(&known.hash, beyond, at(1))
    );
    assert!(is_rejected(&outcome), "{outcome:?}");
    let mut tx = begin_write(&store).await;
    tx.lock_lane(&known.lane, at(1)).await.unwrap();
    let outcome = tx.set_next_nonce(&known.lane, TOO_LARGE, at(1)).await;
    assert!(is_rejected(&outcome), "{outcome:?}");
    assert!(is_rejected(&tx.commit().await));
    assert_eq!(find(&store, &known.hash).await, Some(known));
}

pub(super) async fn the_transactions_of_a_payment_are_listed_oldest_first(store: Arc<dyn Store>) {
    let late = |transaction: ChainTransaction| ChainTransaction {
        created_at: at(9),
        ..transaction
    };
    let without = ChainTransaction {
        nonce: None,
        ..of_payment("proof", 0)
    };
    let on_another_lane = ChainTransaction {
        lane: lane("eip155:1"),
        ..late(of_payment("proof", 4))
    };
    // In the order in which they are listed.
    let ordered = [
        without,
        of_payment("proof", 7),
        of_payment("proof", 8),
        of_payment("proof", 8),
        late(of_payment("proof", 3)),
        on_another_lane,
    ];
    let mut shuffled = ordered.to_vec();
    shuffled.reverse();
    shuffled.insert(3, of_payment("another", 1));
    shuffled.push(sent(2));
    add(&store, &shuffled).await;
    let mut tx = begin_read(&store).await;
    let listed = tx.chain_transactions_of("proof").await.unwrap();
    assert_eq!(listed, ordered);
    assert_eq!(tx.chain_transactions_of("nothing").await.unwrap(), []);
}

pub(super) async fn open_transactions_are_listed_by_nonce(store: Arc<dyn Store>) {
    let without = |moment| ChainTransaction {
        nonce: None,
        created_at: at(moment),
        ..sent(0)
    };
    let replaced = ChainTransaction {
        created_at: at(5),
        ..sent(3)
    };
    let replacement = ChainTransaction {
        created_at: at(8),
        ..sent(3)
    };
    let ordered = [without(6), without(9), replaced, replacement, sent(4)];
    let mut shuffled = ordered.to_vec();
    shuffled.reverse();
    shuffled.push(ChainTransaction {
        lane: lane("eip155:1"),
        ..sent(1)
    });
    shuffled.push(concluded(sent(1), SentState::Void, 1));
    shuffled.push(concluded(sent(2), MINED, 1));
    add(&store, &shuffled).await;
    let mut tx = begin_read(&store).await;
    let own = lane("eip155:8453");
    for limit in [0, 1, 4, 5, u32::MAX] {
        let listed = tx.open_chain_transactions(&own, limit).await.unwrap();
        let expected = ordered.iter().take(usize::try_from(limit).unwrap());
        assert!(listed.iter().eq(expected), "{limit}: {listed:#?}");
    }
}
