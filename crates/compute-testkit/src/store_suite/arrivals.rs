//! Arrivals, the sources they are seen at, and payments that their chain took back.

use std::sync::Arc;

use compute_domain::arrival::{Arrival, ArrivalState};
use compute_domain::id::{ArrivalId, OwnerId, PaymentId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::AssetAmount;
use compute_domain::operation::OperationState;
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{ArrivalSource, Posted, Store, StoreError};

use super::fixture::{
    add_owner, at, begin_read, begin_write, count, fresh_uuid, fresh_wallet, race, topup_of,
};
use super::steps::{claim_payment, open, rest, settle};

/// The addresses that the suite watches.
const SOURCE: &str = "eip155:8453/token/pay-to";

/// When the source was read first, and up to when: long enough to have seen every payment.
const READ_UP_TO: Timestamp = at(24 * 3_600_000);

fn base() -> RailLabel {
    RailLabel::parse("base").unwrap()
}

fn source() -> ArrivalSource {
    ArrivalSource {
        source: SOURCE.to_owned(),
        cursor: "100".to_owned(),
        started_at: at(-1),
        read_up_to: at(0),
        small_atomic: 0,
        small_transfers: 0,
    }
}

async fn add_source(store: &Arc<dyn Store>) {
    let mut tx = begin_write(store).await;
    tx.save_arrival_source(&source()).await.unwrap();
    tx.bind_arrival_rail(&base(), SOURCE, at(-1)).await.unwrap();
    tx.commit().await.unwrap();
}

fn arrival(reference: &str, log_index: u32, state: ArrivalState) -> Arrival {
    Arrival {
        id: ArrivalId::from_uuid(fresh_uuid()),
        source: SOURCE.to_owned(),
        rail: base(),
        reference: reference.to_owned(),
        log_index,
        payer: Some("0x00000000000000000000000000000000000000aa".to_owned()),
        asset: AssetAmount {
            atomic: 5_000_000,
            decimals: 6,
        },
        transfers: 1,
        at: at(i64::from(log_index)),
        state,
    }
}

/// The arrival of a settled payment's money.
fn arrival_of(payment: &Payment, state: ArrivalState) -> Arrival {
    let shown = payment.evidence().unwrap();
    Arrival {
        payer: payment.payer.map(|payer| payer.to_string()),
        asset: payment.asset,
        ..arrival(&shown.reference, shown.log_index.unwrap(), state)
    }
}

async fn add(store: &Arc<dyn Store>, arrival: &Arrival) {
    let mut tx = begin_write(store).await;
    assert!(tx.insert_arrival(arrival).await.unwrap());
    tx.commit().await.unwrap();
}

async fn find(store: &Arc<dyn Store>, id: ArrivalId) -> Option<Arrival> {
    begin_read(store).await.find_arrival(id).await.unwrap()
}

/// A top-up that is paid for, and settled where this says.
async fn add_settled(store: &Arc<dyn Store>) -> Payment {
    let operation = topup_of(add_owner(store).await);
    let mut tx = begin_write(store).await;
    open(tx.as_mut(), &operation).await;
    let payment = claim_payment(tx.as_mut(), &operation).await;
    let payment = settle(tx.as_mut(), &operation, payment).await;
    rest(tx.as_mut(), operation, OperationState::Succeeded).await;
    tx.commit().await.unwrap();
    payment
}

async fn add_claimed(store: &Arc<dyn Store>) -> Payment {
    let operation = topup_of(add_owner(store).await);
    let mut tx = begin_write(store).await;
    open(tx.as_mut(), &operation).await;
    let payment = claim_payment(tx.as_mut(), &operation).await;
    tx.commit().await.unwrap();
    payment
}

fn transfer_for(
    arrival: &Arrival,
    reason: TransferReason,
    parties: (Account, Account),
) -> Transfer {
    let (debit, credit) = parties;
    Transfer {
        id: TransferId::from_uuid(fresh_uuid()),
        debit,
        credit,
        amount: arrival.worth(),
        reason,
        cause: arrival.id.into(),
        created_at: at(0),
    }
}

pub(super) async fn a_source_is_read_on_from_where_it_was_left(store: Arc<dyn Store>) {
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.lock_arrival_source(SOURCE).await.unwrap(), None);
    tx.save_arrival_source(&source()).await.unwrap();
    let further = ArrivalSource {
        cursor: "200".to_owned(),
        read_up_to: at(50),
        small_atomic: u128::MAX,
        small_transfers: 7,
        // What it began with stays.
        started_at: at(40),
        ..source()
    };
    tx.save_arrival_source(&further).await.unwrap();
    let stored = ArrivalSource {
        started_at: at(-1),
        ..further
    };
    assert_eq!(
        tx.lock_arrival_source(SOURCE).await.unwrap(),
        Some(stored.clone())
    );
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.list_arrival_sources().await.unwrap(), [stored]);
    tx.rollback().await.unwrap();
    let mut tx = begin_write(&store).await;
    let huge = ArrivalSource {
        small_transfers: u64::MAX,
        ..source()
    };
    // The databases have no number as large.
    let outcome = tx.save_arrival_source(&huge).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

/// Whoever has the source locked reads what the one before has written.
pub(super) async fn racing_readers_read_each_part_once(store: Arc<dyn Store>) {
    add_source(&store).await;
    let read = race(16, |_| {
        let store = Arc::clone(&store);
        async move {
            let mut tx = begin_write(&store).await;
            let known = tx.lock_arrival_source(SOURCE).await.unwrap().unwrap();
            if known.cursor != "100" {
                tx.rollback().await.unwrap();
                return false;
            }
            let further = ArrivalSource {
                cursor: "200".to_owned(),
                ..known
            };
            tx.save_arrival_source(&further).await.unwrap();
            tx.commit().await.unwrap();
            true
        }
    })
    .await;
    assert_eq!(count(&read, &true), 1);
}

pub(super) async fn every_arrival_state_reads_back(store: Arc<dyn Store>) {
    add_source(&store).await;
    let payment = add_settled(&store).await;
    let owner = add_owner(&store).await;
    let states = [
        ArrivalState::Waiting,
        ArrivalState::Unmatched,
        ArrivalState::Matched {
            payment: payment.id,
        },
        ArrivalState::Assigned {
            owner,
            note: "seen on the chain".to_owned(),
        },
    ];
    for (number, state) in (0..).zip(states) {
        let mut arrival = arrival("0xab", number, state);
        arrival.asset.atomic = u128::MAX;
        arrival.log_index = u32::MAX - number;
        if number == 1 {
            (arrival.payer, arrival.transfers) = (None, 1_000);
        }
        add(&store, &arrival).await;
        assert_eq!(find(&store, arrival.id).await, Some(arrival));
    }
    let unknown = ArrivalId::from_uuid(fresh_uuid());
    assert_eq!(find(&store, unknown).await, None);
}

pub(super) async fn an_arrival_is_written_once(store: Arc<dyn Store>) {
    add_source(&store).await;
    let first = arrival("0xab", 1, ArrivalState::Unmatched);
    add(&store, &first).await;
    let again = arrival("0xab", 1, ArrivalState::Waiting);
    let mut tx = begin_write(&store).await;
    assert!(!tx.insert_arrival(&again).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(find(&store, again.id).await, None);
    for other in [("0xab", 2), ("0xac", 1)] {
        add(&store, &arrival(other.0, other.1, ArrivalState::Waiting)).await;
    }
    // A source that nobody has read has no arrivals.
    let stray = Arrival {
        source: "elsewhere".to_owned(),
        ..arrival("0xab", 3, ArrivalState::Waiting)
    };
    let mut tx = begin_write(&store).await;
    let outcome = tx.insert_arrival(&stray).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

pub(super) async fn an_arrival_moves_from_the_state_it_was_in_only(store: Arc<dyn Store>) {
    add_source(&store).await;
    let waiting = arrival("0xab", 1, ArrivalState::Waiting);
    add(&store, &waiting).await;
    let unmatched = waiting.clone().give_up().unwrap();
    let mut tx = begin_write(&store).await;
    assert!(tx.save_arrival(&unmatched, "waiting").await.unwrap());
    assert!(!tx.save_arrival(&unmatched, "waiting").await.unwrap());
    let stranger = arrival("0xab", 2, ArrivalState::Waiting);
    assert!(!tx.save_arrival(&stranger, "waiting").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(find(&store, waiting.id).await, Some(unmatched));
    let moved = race(16, |_| {
        let store = Arc::clone(&store);
        let id = waiting.id;
        async move {
            let mut tx = begin_write(&store).await;
            let owner = tx
                .ensure_owner(OwnerId::from_uuid(fresh_uuid()), &fresh_wallet(), at(0))
                .await
                .unwrap();
            let found = tx.find_arrival(id).await.unwrap().unwrap();
            let before = found.state.name();
            let moved = match found.assign(owner, "mine".to_owned()) {
                Ok(assigned) => tx.save_arrival(&assigned, before).await.unwrap(),
                Err(_) => false,
            };
            tx.commit().await.unwrap();
            moved
        }
    })
    .await;
    assert_eq!(count(&moved, &true), 1);
}

pub(super) async fn one_arrival_is_the_money_of_one_payment(store: Arc<dyn Store>) {
    add_source(&store).await;
    let payment = add_settled(&store).await;
    let matched = ArrivalState::Matched {
        payment: payment.id,
    };
    add(&store, &arrival_of(&payment, matched.clone())).await;
    let mut tx = begin_write(&store).await;
    let outcome = tx.insert_arrival(&arrival("0xcd", 1, matched)).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
    drop(tx);
    let unknown = ArrivalState::Matched {
        payment: PaymentId::from_uuid(fresh_uuid()),
    };
    let mut tx = begin_write(&store).await;
    let outcome = tx.insert_arrival(&arrival("0xcd", 2, unknown)).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

/// What finds a payment's money, from either side.
pub(super) async fn arrivals_and_payments_find_each_other(store: Arc<dyn Store>) {
    add_source(&store).await;
    let (payment, other) = (add_settled(&store).await, add_settled(&store).await);
    let reference = payment.evidence().unwrap().reference.clone();
    let mut tx = begin_write(&store).await;
    assert_eq!(
        tx.unarrived_in(&reference).await.unwrap(),
        core::slice::from_ref(&payment)
    );
    assert_eq!(tx.unarrived_in("0x").await.unwrap(), []);
    let arrival = arrival_of(&payment, ArrivalState::Unmatched);
    let stranger = arrival_of(&other, ArrivalState::Waiting);
    let unexplained = Arrival {
        reference: "0xunexplained".to_owned(),
        ..self::arrival("", 9, ArrivalState::Unmatched)
    };
    for row in [&arrival, &stranger, &unexplained] {
        assert!(tx.insert_arrival(row).await.unwrap());
    }
    assert_eq!(
        tx.unexplained_in(&reference).await.unwrap(),
        core::slice::from_ref(&arrival)
    );
    let explicable = tx.list_explicable(SOURCE, 10).await.unwrap();
    assert_eq!(explicable, [arrival.clone(), stranger.clone()]);
    assert_eq!(tx.list_explicable(SOURCE, 1).await.unwrap().len(), 1);
    assert_eq!(tx.list_explicable("elsewhere", 10).await.unwrap(), []);
    let listed = tx.list_arrivals(None, "unmatched", 10).await.unwrap();
    assert_eq!(listed, [arrival.clone(), unexplained]);
    let listed = tx.list_arrivals(Some(SOURCE), "waiting", 10).await.unwrap();
    assert_eq!(listed, [stranger]);
    assert_eq!(
        tx.list_arrivals(Some("elsewhere"), "waiting", 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        tx.list_arrivals(None, "unmatched", 1).await.unwrap().len(),
        1
    );
    let matched = arrival.explain(payment.id).unwrap();
    assert!(tx.save_arrival(&matched, "unmatched").await.unwrap());
    assert_eq!(tx.unarrived_in(&reference).await.unwrap(), []);
    assert_eq!(tx.unexplained_in(&reference).await.unwrap(), []);
    assert_eq!(tx.list_explicable(SOURCE, 10).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
}

pub(super) async fn undecided_payments_are_listed_by_rail(store: Arc<dyn Store>) {
    let claimed = add_claimed(&store).await;
    let settled = add_settled(&store).await;
    let declined = add_claimed(&store).await;
    let mut tx = begin_write(&store).await;
    tx.save_payment(&declined.decline("expired".to_owned()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        tx.undecided_payments(&base()).await.unwrap(),
        core::slice::from_ref(&claimed)
    );
    let other = RailLabel::parse("solana").unwrap();
    assert_eq!(tx.undecided_payments(&other).await.unwrap(), []);
    assert!(tx.note_reverted(&settled.proof_key, at(6)).await.unwrap());
    let mut open = tx.undecided_payments(&base()).await.unwrap();
    open.sort_by_key(|payment| payment.id);
    assert_eq!(open, [claimed, settled]);
    tx.commit().await.unwrap();
}

pub(super) async fn a_payment_is_reverted_until_it_is_back(store: Arc<dyn Store>) {
    let (first, second) = (add_settled(&store).await, add_settled(&store).await);
    let claimed = add_claimed(&store).await;
    let mut tx = begin_write(&store).await;
    for (payment, moment, is_news) in [
        (&second, 7, true),
        (&first, 8, true),
        (&second, 9, false),
        // Nothing can be taken back of what never settled.
        (&claimed, 9, false),
    ] {
        let noted = tx.note_reverted(&payment.proof_key, at(moment)).await;
        assert_eq!(noted.unwrap(), is_news, "{moment}");
    }
    assert!(!tx.note_reverted("unknown", at(9)).await.unwrap());
    assert_eq!(tx.reverted_since(second.id).await.unwrap(), Some(at(7)));
    assert_eq!(tx.reverted_since(claimed.id).await.unwrap(), None);
    let listed = tx.list_reverted(10).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|it| (&it.payment, it.since)).collect();
    assert_eq!(listed, [(&second, at(7)), (&first, at(8))]);
    assert_eq!(tx.list_reverted(1).await.unwrap().len(), 1);
    assert!(tx.clear_reverted(second.id).await.unwrap());
    assert!(!tx.clear_reverted(second.id).await.unwrap());
    assert_eq!(tx.reverted_since(second.id).await.unwrap(), None);
    assert!(tx.note_reverted(&second.proof_key, at(9)).await.unwrap());
    tx.commit().await.unwrap();
}

pub(super) async fn an_arrival_is_booked_once_per_reason(store: Arc<dyn Store>) {
    add_source(&store).await;
    let arrival = arrival("0xab", 1, ArrivalState::Unmatched);
    add(&store, &arrival).await;
    let clearing = Account::Clearing(base());
    let mut tx = begin_write(&store).await;
    for (reason, parties) in [
        (
            TransferReason::Unmatched,
            (clearing.clone(), Account::Suspense),
        ),
        (
            TransferReason::UnmatchedReversal,
            (Account::Suspense, clearing),
        ),
    ] {
        for expected in [Posted::New, Posted::Already] {
            let transfer = transfer_for(&arrival, reason, parties.clone());
            assert_eq!(tx.post_transfer(&transfer).await.unwrap(), expected);
        }
    }
    tx.commit().await.unwrap();
    let unknown = self::arrival("0xab", 2, ArrivalState::Unmatched);
    let parties = (Account::Clearing(base()), Account::Suspense);
    let stray = transfer_for(&unknown, TransferReason::Unmatched, parties);
    let mut tx = begin_write(&store).await;
    let outcome = tx.post_transfer(&stray).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

/// Everything that can become of an arrival, done right. The auditor must find nothing in it, and
/// whatever is changed in it afterwards.
///
/// # Panics
/// When the store refuses any of it.
pub async fn tell(store: &Arc<dyn Store>) {
    add_source(store).await;
    let clearing = Account::Clearing(base());
    let seen = add_settled(store).await;
    let state = ArrivalState::Matched { payment: seen.id };
    add(store, &arrival_of(&seen, state)).await;
    add_claimed(store).await;
    add(store, &arrival("0xwaiting", 1, ArrivalState::Waiting)).await;
    let late = add_settled(store).await;
    let mut tx = begin_write(store).await;
    let unmatched = arrival("0xunmatched", 2, ArrivalState::Unmatched);
    let assigned = arrival("0xassigned", 3, ArrivalState::Unmatched);
    let mut explained = arrival_of(&late, ArrivalState::Unmatched);
    explained.asset.decimals = 38;
    for row in [&unmatched, &assigned, &explained] {
        assert!(tx.insert_arrival(row).await.unwrap());
        let parties = (clearing.clone(), Account::Suspense);
        let booked = transfer_for(row, TransferReason::Unmatched, parties);
        assert_eq!(tx.post_transfer(&booked).await.unwrap(), Posted::New);
    }
    let matched = explained.clone().explain(late.id).unwrap();
    assert!(tx.save_arrival(&matched, "unmatched").await.unwrap());
    let parties = (Account::Suspense, clearing);
    let back = transfer_for(&explained, TransferReason::UnmatchedReversal, parties);
    assert_eq!(tx.post_transfer(&back).await.unwrap(), Posted::New);
    let owner = OwnerId::from_uuid(fresh_uuid());
    let wallet = fresh_wallet();
    let owner = tx.ensure_owner(owner, &wallet, at(0)).await.unwrap();
    let parties = (Account::Suspense, Account::Credits(owner));
    let credit = transfer_for(&assigned, TransferReason::OperatorRefund, parties);
    assert_eq!(tx.post_transfer(&credit).await.unwrap(), Posted::New);
    let assigned = assigned.assign(owner, "theirs".to_owned()).unwrap();
    assert!(tx.save_arrival(&assigned, "unmatched").await.unwrap());
    let read = ArrivalSource {
        read_up_to: READ_UP_TO,
        ..source()
    };
    tx.save_arrival_source(&read).await.unwrap();
    tx.commit().await.unwrap();
}

pub(super) async fn a_good_history_of_arrivals_breaks_no_promise(store: Arc<dyn Store>) {
    tell(&store).await;
    assert_eq!(begin_read(&store).await.audit().await.unwrap(), []);
}

/// An hour after it settled, a payment must have been seen; before the watch began, none is judged.
pub(super) async fn a_payment_that_never_arrived_is_found(store: Arc<dyn Store>) {
    add_source(&store).await;
    let payment = add_settled(&store).await;
    let read_up_to = |moment| ArrivalSource {
        read_up_to: moment,
        ..source()
    };
    let settled_at = at(2);
    let promises = async || {
        let findings = begin_read(&store).await.audit().await.unwrap();
        findings
            .into_iter()
            .map(|finding| (finding.promise, finding.detail))
            .collect::<Vec<_>>()
    };
    let hour = Span::from_hours(1);
    let mut tx = begin_write(&store).await;
    let due = read_up_to(settled_at.plus(hour));
    tx.save_arrival_source(&due).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(promises().await, []);
    let mut tx = begin_write(&store).await;
    let late = read_up_to(settled_at.plus(hour).plus(Span::from_millis(1)));
    tx.save_arrival_source(&late).await.unwrap();
    tx.commit().await.unwrap();
    let found = promises().await;
    let [(promise, detail)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(*promise, "M10");
    assert!(detail.contains(&payment.id.to_string()), "{detail}");
    // Known to be gone, it is told of by other means.
    let mut tx = begin_write(&store).await;
    assert!(tx.note_reverted(&payment.proof_key, at(9)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(promises().await, []);
    let mut tx = begin_write(&store).await;
    assert!(tx.clear_reverted(payment.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(promises().await.len(), 1);
    // The same payment over a rail whose addresses were watched only later.
    let mut tx = begin_write(&store).await;
    let elsewhere = ArrivalSource {
        source: "elsewhere".to_owned(),
        ..read_up_to(READ_UP_TO)
    };
    tx.save_arrival_source(&elsewhere).await.unwrap();
    tx.bind_arrival_rail(&base(), "elsewhere", at(1))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(promises().await, []);
}
