//! Payments.

use std::sync::Arc;

use compute_domain::id::{OperationId, TransferId};
use compute_domain::payment::Payment;
use compute_engine::ports::{ClaimOutcome, Store, StoreError};

use super::fixture::{
    RACERS, add_operation, at, begin_read, begin_write, count, evidence, fresh_uuid, fresh_wallet,
    payment_for, race, refund_for,
};
use crate::faults_log::injected;

async fn claim(store: &Arc<dyn Store>, payment: &Payment) -> ClaimOutcome {
    let mut tx = begin_write(store).await;
    let outcome = tx.claim_payment(payment, b"sealed").await.unwrap();
    match outcome {
        ClaimOutcome::Claimed => tx.commit().await.unwrap(),
        ClaimOutcome::AlreadyClaimed(_) => tx.rollback().await.unwrap(),
    }
    outcome
}

async fn save(store: &Arc<dyn Store>, payment: &Payment) -> Result<(), StoreError> {
    let mut tx = begin_write(store).await;
    tx.save_payment(payment).await?;
    tx.commit().await
}

/// A claimed payment for an operation of its own.
async fn add_payment(store: &Arc<dyn Store>) -> Payment {
    let (operation, _) = add_operation(store).await;
    let payment = payment_for(&operation, &fresh_uuid().to_string());
    assert_eq!(claim(store, &payment).await, ClaimOutcome::Claimed);
    payment
}

pub(super) async fn every_payment_state_reads_back(store: Arc<dyn Store>) {
    for log_index in [None, Some(0), Some(u32::MAX)] {
        let (operation, _) = add_operation(&store).await;
        let claimed = payment_for(&operation, &fresh_uuid().to_string());
        claim(&store, &claimed).await;
        let settled = claimed
            .clone()
            .settle(evidence("0xabc", log_index), at(5))
            .unwrap();
        let transfer = refund_for(&operation, 168_000);
        let refunded = settled.clone().refund(transfer.id).unwrap();
        let mut tx = begin_write(&store).await;
        tx.post_transfer(&transfer).await.unwrap();
        for payment in [settled, refunded] {
            tx.save_payment(&payment).await.unwrap();
            let found = tx.find_payment(&payment.proof_key).await.unwrap();
            assert_eq!(found.as_ref(), Some(&payment));
            assert_eq!(tx.payment_of(operation.id).await.unwrap(), Some(payment));
        }
        tx.commit().await.unwrap();
    }
    let declined = add_payment(&store)
        .await
        .decline("expired".to_owned())
        .unwrap();
    save(&store, &declined).await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(
        tx.payment_of(declined.operation).await.unwrap(),
        Some(declined.clone())
    );
    assert_eq!(tx.find_payment(&declined.proof_key).await.unwrap(), None);
    assert_eq!(
        tx.payment_of(OperationId::from_uuid(fresh_uuid()))
            .await
            .unwrap(),
        None
    );
}

pub(super) async fn a_proof_is_claimed_once(store: Arc<dyn Store>) {
    let first = add_payment(&store).await;
    let (operation, _) = add_operation(&store).await;
    let second = payment_for(&operation, &first.proof_key);
    assert_eq!(
        claim(&store, &second).await,
        ClaimOutcome::AlreadyClaimed(first.clone())
    );
    let settled = first.settle(evidence("0xabc", None), at(5)).unwrap();
    save(&store, &settled).await.unwrap();
    assert_eq!(
        claim(&store, &second).await,
        ClaimOutcome::AlreadyClaimed(settled)
    );
    assert_eq!(
        begin_read(&store)
            .await
            .payment_of(operation.id)
            .await
            .unwrap(),
        None
    );
}

pub(super) async fn racing_requests_claim_a_proof_once(store: Arc<dyn Store>) {
    let mut payments = Vec::new();
    for _ in 0..RACERS {
        let (operation, _) = add_operation(&store).await;
        payments.push(payment_for(&operation, "proof"));
    }
    let payments = Arc::new(payments);
    let outcomes = race(RACERS, |number| {
        let (store, payments) = (Arc::clone(&store), Arc::clone(&payments));
        async move { claim(&store, payments.get(number).unwrap()).await }
    })
    .await;
    assert_eq!(count(&outcomes, &ClaimOutcome::Claimed), 1);
    let winner = begin_read(&store)
        .await
        .find_payment("proof")
        .await
        .unwrap()
        .unwrap();
    let lost = ClaimOutcome::AlreadyClaimed(winner);
    assert_eq!(count(&outcomes, &lost), RACERS - 1);
}

pub(super) async fn a_declined_proof_can_be_claimed_again(store: Arc<dyn Store>) {
    let first = add_payment(&store).await;
    let proof_key = first.proof_key.clone();
    save(&store, &first.decline("unreachable".to_owned()).unwrap())
        .await
        .unwrap();
    let (operation, _) = add_operation(&store).await;
    let second = payment_for(&operation, &proof_key);
    assert_eq!(claim(&store, &second).await, ClaimOutcome::Claimed);
    assert_eq!(
        begin_read(&store)
            .await
            .find_payment(&proof_key)
            .await
            .unwrap(),
        Some(second)
    );
}

pub(super) async fn a_sealed_proof_lives_as_long_as_its_claim(store: Arc<dyn Store>) {
    let settled = add_payment(&store).await;
    let declined = add_payment(&store).await;
    let operations = [settled.operation, declined.operation];
    for operation in operations {
        let sealed = begin_read(&store)
            .await
            .load_sealed_proof(operation)
            .await
            .unwrap();
        assert_eq!(sealed.as_deref(), Some(b"sealed".as_slice()));
    }
    // A claimed payment saved as it is keeps its proof.
    save(&store, &settled).await.unwrap();
    let settled = settled.settle(evidence("0xabc", None), at(5)).unwrap();
    save(&store, &settled).await.unwrap();
    save(&store, &declined.decline("late".to_owned()).unwrap())
        .await
        .unwrap();
    for operation in operations {
        let sealed = begin_read(&store)
            .await
            .load_sealed_proof(operation)
            .await
            .unwrap();
        assert_eq!(sealed, None);
    }
}

pub(super) async fn an_operation_has_one_payment(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    claim(&store, &payment_for(&operation, "one")).await;
    let mut tx = begin_write(&store).await;
    let outcome = tx
        .claim_payment(&payment_for(&operation, "two"), b"sealed")
        .await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

pub(super) async fn one_arrival_of_money_serves_one_payment(store: Arc<dyn Store>) {
    for (first, second, allowed) in [
        // Without a chain read, one transaction may well hold both.
        (("0xa", None), ("0xa", None), true),
        (("0xb", Some(1)), ("0xb", Some(1)), false),
        (("0xc", Some(1)), ("0xc", Some(2)), true),
        (("0xd", None), ("0xe", None), true),
    ] {
        let one = add_payment(&store)
            .await
            .settle(evidence(first.0, first.1), at(5))
            .unwrap();
        let two = add_payment(&store)
            .await
            .settle(evidence(second.0, second.1), at(5))
            .unwrap();
        save(&store, &one).await.unwrap();
        let outcome = save(&store, &two).await;
        if first.0 == second.0 && allowed {
            injected("F053");
        }
        assert_eq!(outcome.is_ok(), allowed, "{outcome:?}");
        assert!(allowed || matches!(outcome, Err(StoreError::Rejected(_))));
    }
}

pub(super) async fn a_refund_needs_its_ledger_row(store: Arc<dyn Store>) {
    let settled = add_payment(&store)
        .await
        .settle(evidence("0xabc", None), at(5))
        .unwrap();
    save(&store, &settled).await.unwrap();
    let refunded = settled
        .clone()
        .refund(TransferId::from_uuid(fresh_uuid()))
        .unwrap();
    let outcome = save(&store, &refunded).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
    let found = begin_read(&store)
        .await
        .find_payment(&settled.proof_key)
        .await
        .unwrap();
    assert_eq!(found, Some(settled));
}

pub(super) async fn an_unknown_payment_cannot_be_saved(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    let unknown = payment_for(&operation, "proof");
    let outcome = save(&store, &unknown).await;
    assert!(matches!(
        outcome,
        Err(StoreError::Inconsistent {
            table: "payments",
            ..
        })
    ));
}

pub(super) async fn a_challenge_is_answered_once(store: Arc<dyn Store>) {
    let challenge = fresh_uuid().to_string();
    let answer = async || Payment {
        challenge_id: Some(challenge.clone()),
        ..payment_for(&add_operation(&store).await.0, &fresh_uuid().to_string())
    };
    let (first, second) = (answer().await, answer().await);
    assert_eq!(claim(&store, &first).await, ClaimOutcome::Claimed);
    let already = ClaimOutcome::AlreadyClaimed(first.clone());
    assert_eq!(claim(&store, &second).await, already);
    let mut tx = begin_read(&store).await;
    let found = tx.find_payment_for(&challenge).await.unwrap();
    assert_eq!(found.as_ref(), Some(&first));
    assert_eq!(tx.find_payment_for("another").await.unwrap(), None);
    tx.rollback().await.unwrap();
    // What certainly bought nothing is in nobody's way.
    let declined = first.decline("late".to_owned()).unwrap();
    save(&store, &declined).await.unwrap();
    assert_eq!(claim(&store, &second).await, ClaimOutcome::Claimed);
}

pub(super) async fn a_payer_may_have_no_wallet(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    let payment = Payment {
        payer: None,
        ..payment_for(&operation, &fresh_uuid().to_string())
    };
    assert_eq!(claim(&store, &payment).await, ClaimOutcome::Claimed);
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.payment_of(operation.id).await.unwrap(), Some(payment));
}

pub(super) async fn the_claims_of_a_wallet_are_counted(store: Arc<dyn Store>) {
    let wallet = fresh_wallet();
    let mut claimed = Vec::new();
    for expected in 1..=2 {
        let (operation, _) = add_operation(&store).await;
        let payment = Payment {
            payer: Some(wallet),
            ..payment_for(&operation, &fresh_uuid().to_string())
        };
        assert_eq!(claim(&store, &payment).await, ClaimOutcome::Claimed);
        claimed.push(payment);
        let mut tx = begin_read(&store).await;
        assert_eq!(tx.count_claimed_by(&wallet).await.unwrap(), expected);
    }
    // What is decided counts no more, and nor does what others pay.
    let declined = claimed.remove(0).decline("no".into()).unwrap();
    let mut tx = begin_write(&store).await;
    tx.save_payment(&declined).await.unwrap();
    assert_eq!(tx.count_claimed_by(&wallet).await.unwrap(), 1);
    let stranger = fresh_wallet();
    assert_eq!(tx.count_claimed_by(&stranger).await.unwrap(), 0);
    tx.commit().await.unwrap();
}
