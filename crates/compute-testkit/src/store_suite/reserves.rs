//! Reserves and disputes.

use core::slice::from_ref;
use std::sync::Arc;

use compute_domain::id::ReserveId;
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::Operation;
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::reserve::{Dispute, DisputeState, Reserve, ReserveKind, ReserveState};
use compute_engine::ports::{Posted, Store, Tx};

use super::fixture::{
    RACERS, add_active, add_owner, add_topup, at, begin_read, begin_write, count, evidence,
    extension_of, fresh_uuid, open, payment_for, provision_of, race, refund_for, topup_of, usd,
};

const PRICE: i64 = 5_000_000;

fn stripe() -> RailLabel {
    RailLabel::parse("stripe").unwrap()
}

/// A payment by card for an operation, settled; nothing of it is credit.
async fn pay(store: &Arc<dyn Store>, operation: &Operation, reference: &str) -> Payment {
    let payment = Payment {
        rail: stripe(),
        payer: None,
        price: usd(PRICE),
        ..payment_for(operation, &format!("mpp:stripe:{reference}"))
    };
    let mut tx = begin_write(store).await;
    tx.claim_payment(&payment, b"x").await.unwrap();
    let settled = payment.settle(evidence(reference, None), at(1)).unwrap();
    tx.save_payment(&settled).await.unwrap();
    tx.commit().await.unwrap();
    settled
}

/// A payment by card that became its owner's credit.
async fn add_paid(store: &Arc<dyn Store>, reference: &str) -> Payment {
    let owner = add_owner(store).await;
    let operation = add_topup(store, owner).await;
    let payment = pay(store, &operation, reference).await;
    let topup = Transfer {
        debit: Account::Clearing(stripe()),
        reason: TransferReason::Topup,
        ..refund_for(&operation, PRICE)
    };
    post(store, &topup).await;
    payment
}

async fn post(store: &Arc<dyn Store>, transfer: &Transfer) {
    let mut tx = begin_write(store).await;
    assert_eq!(tx.post_transfer(transfer).await.unwrap(), Posted::New);
    tx.commit().await.unwrap();
}

fn reserve(payment: &Payment, kind: ReserveKind, name: &str, micros: i64) -> Reserve {
    Reserve {
        id: ReserveId::from_uuid(fresh_uuid()),
        payment: payment.id,
        owner: payment.owner,
        rail: payment.rail.clone(),
        kind,
        name: name.to_owned(),
        amount: usd(micros),
        note: "größe".to_owned(),
        account: None,
        created_at: at(7),
        state: ReserveState::Held,
    }
}

fn refund(payment: &Payment, name: &str, micros: i64) -> Reserve {
    reserve(payment, ReserveKind::Refund, name, micros)
}

fn moved(reserve: &Reserve, reason: TransferReason) -> Transfer {
    let owner = Account::Credits(reserve.owner);
    let (debit, credit) = match reason {
        TransferReason::ReservePaid => (Account::Suspense, Account::Clearing(reserve.rail.clone())),
        TransferReason::ReserveReleased => (Account::Suspense, owner),
        _ => (owner, Account::Suspense),
    };
    Transfer {
        id: compute_domain::id::TransferId::from_uuid(fresh_uuid()),
        debit,
        credit,
        amount: reserve.amount,
        reason,
        cause: reserve.id.into(),
        created_at: at(8),
    }
}

/// Writes a reserve and its ledger row.
async fn set_aside(store: &Arc<dyn Store>, reserve: &Reserve) {
    let mut tx = begin_write(store).await;
    assert!(tx.insert_reserve(reserve).await.unwrap());
    let reason = match reserve.kind {
        ReserveKind::Refund => TransferReason::CardRefund,
        ReserveKind::Dispute => TransferReason::Dispute,
    };
    let posted = tx.post_transfer(&moved(reserve, reason)).await.unwrap();
    assert_eq!(posted, Posted::New);
    tx.commit().await.unwrap();
}

async fn save(store: &Arc<dyn Store>, reserve: &Reserve) -> bool {
    let mut tx = begin_write(store).await;
    let is_saved = tx.save_reserve(reserve).await.unwrap();
    tx.commit().await.unwrap();
    is_saved
}

async fn returned(store: &Arc<dyn Store>, payment: &Payment) -> i64 {
    let mut tx = begin_read(store).await;
    tx.returned_of(payment).await.unwrap().micros()
}

pub(super) async fn a_reserve_reads_back_and_leaves_once(store: Arc<dyn Store>) {
    let payment = add_paid(&store, "pi_1").await;
    let mut tx = begin_read(&store).await;
    let found = tx.settled_payment(&stripe(), "pi_1").await.unwrap();
    assert_eq!(found.as_ref(), Some(&payment));
    assert_eq!(tx.payment_with_id(payment.id).await.unwrap(), found);
    let base = RailLabel::parse("base").unwrap();
    assert_eq!(tx.settled_payment(&base, "pi_1").await.unwrap(), None);
    assert_eq!(tx.settled_payment(&stripe(), "pi_2").await.unwrap(), None);
    let first = tx.first_claim(&stripe()).await.unwrap();
    assert_eq!(first, Some(payment.claimed_at));
    assert_eq!(tx.first_claim(&base).await.unwrap(), None);
    assert_eq!(tx.first_undecided(&stripe()).await.unwrap(), None);
    drop(tx);

    let held = refund(&payment, "a", 100);
    set_aside(&store, &held).await;
    let asked = Reserve {
        account: Some("acct_1".to_owned()),
        ..held.clone()
    };
    assert!(save(&store, &asked).await);
    let list = |tx: Box<dyn Tx>| async move {
        let mut tx = tx;
        let held = tx.held_reserves(&stripe(), ReserveKind::Refund, 9).await;
        (
            held.unwrap(),
            tx.list_reserves(ReserveKind::Refund, 9).await.unwrap(),
        )
    };
    let found = list(begin_read(&store).await).await;
    assert_eq!(found, (vec![asked.clone()], vec![asked.clone()]));
    let paid = asked.pay("re_1".to_owned()).unwrap();
    assert!(save(&store, &paid).await);
    let released = held.clone().release("late".to_owned()).unwrap();
    for late in [&released, &held, &paid] {
        assert!(!save(&store, late).await, "{late:?}");
    }
    let found = list(begin_read(&store).await).await;
    assert_eq!(found, (Vec::new(), vec![paid.clone()]));
    let other = refund(&payment, "b", 100);
    set_aside(&store, &other).await;
    let released = other.release("no".to_owned()).unwrap();
    assert!(save(&store, &released).await);
    let mut tx = begin_read(&store).await;
    let found = tx.find_refund(payment.id, "b").await.unwrap();
    assert_eq!(found, Some(released));
}

pub(super) async fn under_one_name_a_payment_is_refunded_once(store: Arc<dyn Store>) {
    let (one, other) = (
        add_paid(&store, "pi_1").await,
        add_paid(&store, "pi_2").await,
    );
    let insert = |reserve: Reserve| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let is_new = tx.insert_reserve(&reserve).await.unwrap();
            tx.commit().await.unwrap();
            is_new
        }
    };
    assert!(insert(refund(&one, "a", 1)).await);
    assert!(!insert(refund(&one, "a", 2)).await);
    assert!(insert(refund(&one, "b", 1)).await);
    assert!(insert(refund(&other, "a", 1)).await);
    // A dispute may set aside more than once.
    for _ in 0..2 {
        assert!(insert(reserve(&one, ReserveKind::Dispute, "a", 1)).await);
    }
}

pub(super) async fn racing_operators_make_one_refund(store: Arc<dyn Store>) {
    let payment = add_paid(&store, "pi_1").await;
    let outcomes = race(RACERS.min(16), |_| {
        let (store, payment) = (Arc::clone(&store), payment.clone());
        async move {
            let mut tx = begin_write(&store).await;
            tx.open_credits(payment.owner).await.unwrap();
            let left = tx.returned_of(&payment).await.unwrap();
            let known = tx.find_refund(payment.id, "a").await.unwrap();
            if known.is_some() || left.micros() == 0 {
                tx.rollback().await.unwrap();
                return false;
            }
            let reserve = refund(&payment, "a", left.micros());
            assert!(tx.insert_reserve(&reserve).await.unwrap());
            let transfer = moved(&reserve, TransferReason::CardRefund);
            assert_eq!(tx.post_transfer(&transfer).await.unwrap(), Posted::New);
            tx.commit().await.unwrap();
            true
        }
    })
    .await;
    assert_eq!(count(&outcomes, &true), 1);
    let mut tx = begin_read(&store).await;
    let credits = tx.credits_of(payment.owner).await.unwrap();
    assert_eq!(credits.balance, usd(0));
}

pub(super) async fn what_was_given_back_can_be_set_aside_once(store: Arc<dyn Store>) {
    // A machine, paid by one card, with more time paid by another.
    let instance = add_active(&store, at(9)).await;
    let bought = provision_of(&instance);
    open(&store, &bought, "opener", at(10)).await;
    let one = pay(&store, &bought, "pi_1").await;
    finish(&store, &bought).await;
    let extension = extension_of(&instance);
    open(&store, &extension, "opener", at(10)).await;
    let other = pay(&store, &extension, "pi_2").await;
    assert_eq!(returned(&store, &one).await, 0);
    let given = Transfer {
        reason: TransferReason::EarlyDestroy,
        ..refund_for(&extension, PRICE + 1_000)
    };
    post(&store, &given).await;
    assert_eq!(returned(&store, &one).await, PRICE);
    assert_eq!(returned(&store, &other).await, PRICE);
    // What was set aside for one of them is there no more for the other.
    set_aside(&store, &refund(&one, "a", PRICE - 500)).await;
    assert_eq!(returned(&store, &one).await, 500);
    assert_eq!(returned(&store, &other).await, 1_500);
    let rest = refund(&other, "a", 1_500);
    set_aside(&store, &rest).await;
    assert_eq!(returned(&store, &one).await, 0);
    let released = rest.release("no".to_owned()).unwrap();
    let mut tx = begin_write(&store).await;
    assert!(tx.save_reserve(&released).await.unwrap());
    let back = moved(&released, TransferReason::ReserveReleased);
    assert_eq!(tx.post_transfer(&back).await.unwrap(), Posted::New);
    tx.commit().await.unwrap();
    assert_eq!(returned(&store, &other).await, 1_500);
    // Somebody else's purchases are none of it.
    let stranger = add_paid(&store, "pi_3").await;
    assert_eq!(returned(&store, &stranger).await, PRICE);
}

/// Lets an operation's instance go.
async fn finish(store: &Arc<dyn Store>, operation: &Operation) {
    let mut tx = begin_write(store).await;
    let lease = tx
        .lease_operation(operation.id, "finisher", at(20_000), at(30_000))
        .await
        .unwrap()
        .unwrap();
    let done = compute_domain::operation::OperationState::Succeeded;
    let operation = operation.clone().rest(done, at(1));
    tx.save_operation(&operation, &lease, at(30_000))
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

pub(super) async fn what_went_back_is_out_of_the_books(store: Arc<dyn Store>) {
    let payment = add_paid(&store, "pi_1").await;
    let operation = payment.operation;
    let mut tx = begin_write(&store).await;
    let lease = tx.lease_operation(operation, "f", at(20_000), at(30_000));
    let lease = lease.await.unwrap().unwrap();
    let found = tx.find_operation(operation).await.unwrap().unwrap();
    let done = compute_domain::operation::OperationState::Succeeded;
    let found = found.rest(done, at(1));
    tx.save_operation(&found, &lease, at(30_000)).await.unwrap();
    tx.commit().await.unwrap();
    let (paid, released) = (refund(&payment, "a", 100), refund(&payment, "b", 50));
    for reserve in [&paid, &released] {
        set_aside(&store, reserve).await;
    }
    let mut tx = begin_write(&store).await;
    let paid = paid.pay("re_1".to_owned()).unwrap();
    let released = released.release("no".to_owned()).unwrap();
    for (reserve, reason) in [
        (&paid, TransferReason::ReservePaid),
        (&released, TransferReason::ReserveReleased),
    ] {
        assert!(tx.save_reserve(reserve).await.unwrap());
        let posted = tx.post_transfer(&moved(reserve, reason)).await.unwrap();
        assert_eq!(posted, Posted::New);
        let again = tx.post_transfer(&moved(reserve, reason)).await.unwrap();
        assert_eq!(again, Posted::Already);
    }
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    let credits = tx.credits_of(payment.owner).await.unwrap();
    assert_eq!(credits.balance, usd(PRICE - 100));
    assert_eq!((credits.deposited, credits.spent), (usd(PRICE), usd(100)));
    assert_eq!(tx.audit().await.unwrap(), []);
}

pub(super) async fn a_reserve_without_its_ledger_row_is_found(store: Arc<dyn Store>) {
    let payment = add_paid(&store, "pi_1").await;
    let mut tx = begin_write(&store).await;
    let too_much = refund(&payment, "a", PRICE + 1);
    assert!(tx.insert_reserve(&too_much).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    let findings = tx.audit().await.unwrap();
    let id = too_much.id.to_string();
    let names = |what: &str| {
        let mut all = findings.iter().filter(|it| it.promise == "M6");
        all.any(|it| it.detail.contains(what))
    };
    assert!(names(&id), "{findings:?}");
    assert!(names(&payment.id.to_string()), "{findings:?}");
}

fn dispute(payment: &Payment, reference: &str, opened_at: i64) -> Dispute {
    Dispute {
        rail: payment.rail.clone(),
        reference: reference.to_owned(),
        payment: payment.id,
        owner: payment.owner,
        amount: usd(PRICE),
        status: "needs_response".to_owned(),
        state: DisputeState::Open,
        opened_at: at(opened_at),
        seen_at: at(50),
    }
}

async fn note(store: &Arc<dyn Store>, dispute: &Dispute) {
    let mut tx = begin_write(store).await;
    tx.save_dispute(dispute).await.unwrap();
    tx.commit().await.unwrap();
}

pub(super) async fn disputes_read_back_and_move_on(store: Arc<dyn Store>) {
    let payment = add_paid(&store, "pi_1").await;
    let (old, new) = (dispute(&payment, "dp_1", 1), dispute(&payment, "dp_2", 2));
    for dispute in [&old, &new] {
        note(&store, dispute).await;
    }
    let won = Dispute {
        status: "won".to_owned(),
        state: DisputeState::Won,
        ..new.clone()
    };
    note(&store, &won).await;
    let held = reserve(&payment, ReserveKind::Dispute, "dp_1", 5);
    set_aside(&store, &held).await;
    let mut tx = begin_read(&store).await;
    let found = tx.find_dispute(&stripe(), "dp_2").await.unwrap();
    assert_eq!(found.as_ref(), Some(&won));
    assert_eq!(tx.find_dispute(&stripe(), "dp_3").await.unwrap(), None);
    let all = tx.list_disputes(false, 9).await.unwrap();
    assert_eq!(all, [won.clone(), old.clone()]);
    let open = tx.list_disputes(true, 9).await.unwrap();
    assert_eq!(open, from_ref(&old));
    let newest = tx.list_disputes(false, 1).await.unwrap();
    assert_eq!(newest, from_ref(&won));
    assert_eq!(tx.reserves_of(&old).await.unwrap(), [held]);
    assert_eq!(tx.reserves_of(&won).await.unwrap(), []);
}

pub(super) async fn a_dispute_is_found_by_what_it_is_about(store: Arc<dyn Store>) {
    let instance = add_active(&store, at(9)).await;
    let bought = provision_of(&instance);
    open(&store, &bought, "opener", at(10)).await;
    let payment = pay(&store, &bought, "pi_1").await;
    finish(&store, &bought).await;
    let later = extension_of(&instance);
    open(&store, &later, "opener", at(10)).await;
    let topup = topup_of(instance.owner);
    open(&store, &topup, "opener", at(10)).await;
    let open_one = dispute(&payment, "dp_1", 1);
    note(&store, &open_one).await;
    let about = |operation: Operation| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_read(&store).await;
            tx.disputes_against(operation.id).await.unwrap()
        }
    };
    for operation in [&bought, &later] {
        let found = about(operation.clone()).await;
        assert_eq!(found, from_ref(&open_one));
    }
    assert_eq!(about(topup).await, []);
    let lost = Dispute {
        state: DisputeState::Lost,
        ..open_one
    };
    note(&store, &lost).await;
    assert_eq!(about(bought.clone()).await, from_ref(&lost));
    let won = Dispute {
        state: DisputeState::Won,
        ..lost
    };
    note(&store, &won).await;
    assert_eq!(about(bought).await, []);
}

pub(super) async fn disputes_are_read_on_from_where_it_was_left(store: Arc<dyn Store>) {
    let read = |account: &'static str| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_read(&store).await;
            tx.disputes_read(&stripe(), account).await.unwrap()
        }
    };
    assert_eq!(read("acct_1").await, None);
    for up_to in [5, 3] {
        let mut tx = begin_write(&store).await;
        tx.note_disputes_read(&stripe(), "acct_1", at(up_to))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(read("acct_1").await, Some(at(5)));
    assert_eq!(read("acct_2").await, None);
}

/// Whoever has locked them sees everything that others gave before, and nobody gives any meanwhile.
pub(super) async fn credits_that_nobody_had_can_be_locked(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let operation = add_topup(&store, owner).await;
    let payment = pay(&store, &operation, "pi_1").await;
    let outcomes = race(2, |number| {
        let (store, payment, operation) = (Arc::clone(&store), payment.clone(), operation.clone());
        async move {
            let mut tx = begin_write(&store).await;
            let outcome = if number == 0 {
                let given = refund_for(&operation, 700);
                assert_eq!(tx.post_transfer(&given).await.unwrap(), Posted::New);
                !tx.disputes_against(operation.id).await.unwrap().is_empty()
            } else {
                tx.open_credits(owner).await.unwrap();
                tx.save_dispute(&dispute(&payment, "dp_1", 1))
                    .await
                    .unwrap();
                tx.returned_of(&payment).await.unwrap() == usd(700)
            };
            tx.commit().await.unwrap();
            outcome
        }
    })
    .await;
    // Whoever came second saw the other.
    assert_eq!(count(&outcomes, &true), 1, "{outcomes:?}");
}
