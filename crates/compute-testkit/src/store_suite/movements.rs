//! An owner's history of money.

use std::sync::Arc;

use compute_domain::id::{OwnerId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::Operation;
use compute_domain::payment::RailLabel;
use compute_engine::ports::{Movement, Posted, Store};

use super::fixture::{
    add_operation, add_owner, add_topup, at, begin_read, begin_write, evidence, fresh_uuid,
    payment_for, refund_for, usd,
};

async fn post(store: &Arc<dyn Store>, transfer: Transfer) -> TransferId {
    let mut tx = begin_write(store).await;
    let posted = tx.post_transfer(&transfer).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(posted, Posted::New);
    transfer.id
}

/// A movement that an operation caused at so many milliseconds.
fn moved(operation: &Operation, reason: TransferReason, micros: i64, millis: i64) -> Transfer {
    let clearing = Account::Clearing(RailLabel::parse("base").unwrap());
    let own = Account::Credits(operation.owner);
    let (debit, credit) = match reason {
        TransferReason::Sale => (clearing, Account::Sales),
        TransferReason::Topup => (clearing, own),
        TransferReason::Spend => (own, Account::Sales),
        _ => (Account::Sales, own),
    };
    Transfer {
        debit,
        credit,
        reason,
        created_at: at(millis),
        ..refund_for(operation, micros)
    }
}

async fn list(
    store: &Arc<dyn Store>,
    owner: OwnerId,
    after: Option<TransferId>,
    limit: u32,
) -> Vec<Movement> {
    let mut tx = begin_read(store).await;
    tx.list_movements(owner, after, limit).await.unwrap()
}

fn ids(movements: &[Movement]) -> Vec<TransferId> {
    movements.iter().map(|it| it.transfer.id).collect()
}

async fn settle(store: &Arc<dyn Store>, operation: &Operation, reference: &str) {
    let payment = payment_for(operation, &fresh_uuid().to_string());
    let mut tx = begin_write(store).await;
    tx.claim_payment(&payment, b"sealed").await.unwrap();
    let settled = payment.settle(evidence(reference, None), at(5)).unwrap();
    tx.save_payment(&settled).await.unwrap();
    tx.commit().await.unwrap();
}

pub(super) async fn a_history_is_the_owners_own_and_newest_first(store: Arc<dyn Store>) {
    let (machine, _) = add_operation(&store).await;
    let owner = machine.owner;
    assert_eq!(list(&store, owner, None, 10).await, []);
    let (stranger, _) = add_operation(&store).await;
    post(&store, moved(&stranger, TransferReason::Sale, 7, 2)).await;
    post(&store, refund_for(&stranger, 7)).await;
    settle(&store, &machine, "0xabc").await;
    let (topup, spend) = (
        add_topup(&store, owner).await,
        add_topup(&store, owner).await,
    );
    let sale = post(&store, moved(&machine, TransferReason::Sale, 50, 1)).await;
    let deposit = post(&store, moved(&topup, TransferReason::Topup, 30, 2)).await;
    // Two in one moment: their account knows which came first.
    let refund = post(
        &store,
        moved(&machine, TransferReason::PaymentRefund, 50, 3),
    )
    .await;
    let spent = post(&store, moved(&spend, TransferReason::Spend, 20, 3)).await;
    let listed = list(&store, owner, None, 10).await;
    assert_eq!(ids(&listed), [spent, refund, deposit, sale]);
    let shown: Vec<_> = listed
        .iter()
        .map(|it| {
            let link = it.link.map(|link| (link.seq, link.balance_after));
            (
                it.transfer.amount,
                link,
                it.instance,
                it.reference.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (usd(20), Some((3, usd(60))), None, None),
            (usd(50), Some((2, usd(80))), machine.instance, Some("0xabc")),
            (usd(30), Some((1, usd(30))), None, None),
            (usd(50), None, machine.instance, Some("0xabc")),
        ]
    );
}

pub(super) async fn a_page_goes_on_behind_its_cursor(store: Arc<dyn Store>) {
    let (owner, other) = (add_owner(&store).await, add_owner(&store).await);
    let mut all = Vec::new();
    for number in 0..7 {
        let operation = add_topup(&store, owner).await;
        // In twos of one moment.
        let deposit = moved(&operation, TransferReason::Topup, 1, number / 2);
        all.push(post(&store, deposit).await);
    }
    all.reverse();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ids(&list(&store, owner, after, 3).await);
        let Some(last) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, all);
    // Another owner's history does not begin where this one goes on.
    assert_eq!(list(&store, other, all.first().copied(), 3).await, []);
    let unknown = TransferId::from_uuid(fresh_uuid());
    assert_eq!(list(&store, owner, Some(unknown), 3).await, []);
}
