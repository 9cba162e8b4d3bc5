//! The ledger.

use std::sync::Arc;

use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::Operation;
use compute_domain::payment::RailLabel;
use compute_engine::ports::{Posted, Store, StoreError};

use super::fixture::{
    RACERS, add_operation, at, begin_read, begin_write, count, fresh_owner, race, refund_for, usd,
};

fn sale_of(operation: &Operation, micros: i64) -> Transfer {
    Transfer {
        debit: Account::Clearing(RailLabel::parse("base").unwrap()),
        credit: Account::Sales,
        reason: TransferReason::Sale,
        created_at: at(-1),
        ..refund_for(operation, micros)
    }
}

/// A transfer that takes credits of `payer` for an operation.
fn spend(payer: &Operation, operation: &Operation, micros: i64) -> Transfer {
    Transfer {
        debit: Account::Credits(payer.owner),
        credit: Account::Sales,
        reason: TransferReason::Sale,
        ..refund_for(operation, micros)
    }
}

async fn post(store: &Arc<dyn Store>, transfer: &Transfer) -> Result<Posted, StoreError> {
    let mut tx = begin_write(store).await;
    let posted = tx.post_transfer(transfer).await?;
    tx.commit().await?;
    Ok(posted)
}

pub(super) async fn a_transfer_is_posted_once_per_reason(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    let (sale, refund) = (sale_of(&operation, 50), refund_for(&operation, 50));
    assert_eq!(post(&store, &refund).await.unwrap(), Posted::New);
    assert_eq!(post(&store, &sale).await.unwrap(), Posted::New);
    // The same again, and another one with the same operation and reason.
    assert_eq!(post(&store, &refund).await.unwrap(), Posted::Already);
    assert_eq!(
        post(&store, &refund_for(&operation, 70)).await.unwrap(),
        Posted::Already
    );
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.transfers_of(operation.id).await.unwrap(), [sale, refund]);
    assert_eq!(tx.credits_of(operation.owner).await.unwrap(), usd(50));
}

pub(super) async fn racing_posts_write_one_transfer(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    let posted = race(RACERS, |_| {
        let store = Arc::clone(&store);
        let transfer = refund_for(&operation, 50);
        async move { post(&store, &transfer).await.unwrap() }
    })
    .await;
    assert_eq!(count(&posted, &Posted::New), 1);
    assert_eq!(
        begin_read(&store)
            .await
            .credits_of(operation.owner)
            .await
            .unwrap(),
        usd(50)
    );
}

pub(super) async fn credits_are_what_arrived(store: Arc<dyn Store>) {
    let (first, _) = add_operation(&store).await;
    let (mut second, _) = add_operation(&store).await;
    second.owner = first.owner;
    post(&store, &refund_for(&first, 30)).await.unwrap();
    post(&store, &refund_for(&second, 12)).await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.credits_of(first.owner).await.unwrap(), usd(42));
    assert_eq!(tx.credits_of(fresh_owner()).await.unwrap(), Usd::ZERO);
}

pub(super) async fn credits_never_fall_below_zero(store: Arc<dyn Store>) {
    let (payer, _) = add_operation(&store).await;
    post(&store, &refund_for(&payer, 100)).await.unwrap();
    let mut spends = Vec::new();
    for _ in 0..16 {
        let (operation, _) = add_operation(&store).await;
        spends.push(spend(&payer, &operation, 30));
    }
    let spends = Arc::new(spends);
    let outcomes = race(16, |number| {
        let (store, spends) = (Arc::clone(&store), Arc::clone(&spends));
        async move {
            let spend = spends.get(number).unwrap();
            let outcome = post(&store, spend).await;
            let refused = matches!(outcome, Err(StoreError::Rejected(_)));
            assert!(refused || matches!(outcome, Ok(Posted::New)), "{outcome:?}");
            let mut tx = begin_read(&store).await;
            let written = tx.transfers_of(spend.operation).await.unwrap();
            assert_eq!(written.is_empty(), refused);
            refused
        }
    })
    .await;
    assert_eq!(count(&outcomes, &false), 3);
    assert_eq!(
        begin_read(&store)
            .await
            .credits_of(payer.owner)
            .await
            .unwrap(),
        usd(10)
    );
}

pub(super) async fn a_transfer_of_nothing_is_refused(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    let to_itself = Transfer {
        credit: Account::Sales,
        ..refund_for(&operation, 1)
    };
    for transfer in [refund_for(&operation, 0), to_itself] {
        let outcome = post(&store, &transfer).await;
        assert!(
            matches!(outcome, Err(StoreError::Rejected(_))),
            "{outcome:?}"
        );
    }
}
