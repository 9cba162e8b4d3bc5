//! The ledger.

use std::sync::Arc;

use compute_domain::id::OwnerId;
use compute_domain::ledger::{Account, CreditAccount, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::Operation;
use compute_domain::payment::RailLabel;
use compute_engine::ports::{Posted, Store, StoreError};

use super::fixture::{
    RACERS, add_operation, add_owner, add_topup, at, begin_read, begin_write, count, fresh_owner,
    race, refund_for, usd,
};

fn clearing() -> Account {
    Account::Clearing(RailLabel::parse("base").unwrap())
}

fn sale_of(operation: &Operation, micros: i64) -> Transfer {
    Transfer {
        debit: clearing(),
        credit: Account::Sales,
        reason: TransferReason::Sale,
        created_at: at(-1),
        ..refund_for(operation, micros)
    }
}

/// A transfer that takes credits of the operation's owner.
fn spend_of(operation: &Operation, micros: i64) -> Transfer {
    Transfer {
        debit: Account::Credits(operation.owner),
        credit: Account::Sales,
        reason: TransferReason::Spend,
        ..refund_for(operation, micros)
    }
}

/// A transfer that gives back what the operation spent.
fn reversal_of(operation: &Operation, micros: i64) -> Transfer {
    Transfer {
        reason: TransferReason::SpendReversal,
        ..refund_for(operation, micros)
    }
}

async fn post(store: &Arc<dyn Store>, transfer: &Transfer) -> Result<Posted, StoreError> {
    let mut tx = begin_write(store).await;
    let posted = tx.post_transfer(transfer).await?;
    tx.commit().await?;
    Ok(posted)
}

/// An owner with so many credits.
async fn add_rich_owner(store: &Arc<dyn Store>, micros: i64) -> OwnerId {
    let owner = add_owner(store).await;
    let operation = add_topup(store, owner).await;
    let given = post(store, &refund_for(&operation, micros)).await.unwrap();
    assert_eq!(given, Posted::New);
    owner
}

async fn account(store: &Arc<dyn Store>, owner: OwnerId) -> CreditAccount {
    begin_read(store).await.credits_of(owner).await.unwrap()
}

/// An account of so much, put in and spent.
fn of(deposited: i64, spent: i64) -> CreditAccount {
    CreditAccount {
        balance: usd(deposited - spent),
        deposited: usd(deposited),
        spent: usd(spent),
    }
}

pub(super) async fn a_transfer_is_posted_once_per_reason(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    let (sale, refund) = (sale_of(&operation, 50), refund_for(&operation, 50));
    assert_eq!(post(&store, &refund).await.unwrap(), Posted::New);
    assert_eq!(post(&store, &sale).await.unwrap(), Posted::New);
    // The same again, and another one with the same operation and reason.
    for again in [
        refund.clone(),
        sale.clone(),
        refund_for(&operation, 70),
        sale_of(&operation, 70),
        Transfer {
            credit: Account::Credits(fresh_owner()),
            ..refund_for(&operation, 70)
        },
    ] {
        assert_eq!(post(&store, &again).await.unwrap(), Posted::Already);
    }
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.transfers_of(operation.id).await.unwrap(), [sale, refund]);
    assert_eq!(tx.credits_of(operation.owner).await.unwrap(), of(50, 0));
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
    assert_eq!(count(&posted, &Posted::Already), RACERS - 1);
    assert_eq!(account(&store, operation.owner).await, of(50, 0));
}

pub(super) async fn racing_copies_spend_once(store: Arc<dyn Store>) {
    let owner = add_rich_owner(&store, 50).await;
    let operation = add_topup(&store, owner).await;
    let posted = race(RACERS, |_| {
        let store = Arc::clone(&store);
        let transfer = spend_of(&operation, 50);
        async move { post(&store, &transfer).await.unwrap() }
    })
    .await;
    assert_eq!(count(&posted, &Posted::New), 1);
    // The others lack credits because this very transfer took them.
    assert_eq!(count(&posted, &Posted::Already), RACERS - 1);
    assert_eq!(account(&store, owner).await, of(50, 50));
}

pub(super) async fn credits_are_what_arrived_and_left(store: Arc<dyn Store>) {
    let owner = add_rich_owner(&store, 30).await;
    let topup = add_topup(&store, owner).await;
    let deposit = Transfer {
        debit: clearing(),
        reason: TransferReason::Topup,
        ..refund_for(&topup, 70)
    };
    post(&store, &deposit).await.unwrap();
    let (kept, undone) = (
        add_topup(&store, owner).await,
        add_topup(&store, owner).await,
    );
    post(&store, &spend_of(&kept, 15)).await.unwrap();
    post(&store, &spend_of(&undone, 20)).await.unwrap();
    assert_eq!(account(&store, owner).await, of(100, 35));
    post(&store, &reversal_of(&undone, 20)).await.unwrap();
    // What was reversed was neither spent nor put in.
    assert_eq!(account(&store, owner).await, of(100, 15));
    let disputed = add_topup(&store, owner).await;
    let dispute = Transfer {
        credit: Account::Suspense,
        reason: TransferReason::Dispute,
        ..spend_of(&disputed, 5)
    };
    post(&store, &dispute).await.unwrap();
    assert_eq!(account(&store, owner).await, of(100, 20));
    assert_eq!(account(&store, fresh_owner()).await, of(0, 0));
}

pub(super) async fn racing_credits_all_arrive(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let mut operations = Vec::new();
    for _ in 0..RACERS {
        operations.push(add_topup(&store, owner).await);
    }
    let operations = Arc::new(operations);
    // Nobody has opened the account yet.
    race(RACERS, |number| {
        let (store, operations) = (Arc::clone(&store), Arc::clone(&operations));
        async move {
            let transfer = refund_for(operations.get(number).unwrap(), 3);
            assert_eq!(post(&store, &transfer).await.unwrap(), Posted::New);
        }
    })
    .await;
    let sum = i64::try_from(RACERS).unwrap() * 3;
    assert_eq!(account(&store, owner).await, of(sum, 0));
}

pub(super) async fn a_debit_beyond_the_balance_writes_nothing(store: Arc<dyn Store>) {
    let (rich, poor) = (add_rich_owner(&store, 50).await, add_owner(&store).await);
    for (owner, balance) in [(rich, 50), (poor, 0)] {
        let operation = add_topup(&store, owner).await;
        let mut tx = begin_write(&store).await;
        let posted = tx.post_transfer(&spend_of(&operation, 51)).await;
        assert_eq!(posted.unwrap(), Posted::Insufficient);
        // The transaction goes on.
        tx.append_event(operation.id, at(1), "a", "refused", "{}")
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let mut tx = begin_read(&store).await;
        assert_eq!(tx.transfers_of(operation.id).await.unwrap(), []);
        assert_eq!(tx.list_events(operation.id).await.unwrap().len(), 1);
        assert_eq!(account(&store, owner).await, of(balance, 0));
    }
}

pub(super) async fn racing_debits_never_overdraw(store: Arc<dyn Store>) {
    let owner = add_rich_owner(&store, 1_000).await;
    let mut operations = Vec::new();
    for _ in 0..RACERS {
        operations.push(add_topup(&store, owner).await);
    }
    let operations = Arc::new(operations);
    let posted = race(RACERS, |number| {
        let (store, operations) = (Arc::clone(&store), Arc::clone(&operations));
        async move {
            let operation = operations.get(number).unwrap();
            let posted = post(&store, &spend_of(operation, 30)).await.unwrap();
            let mut tx = begin_read(&store).await;
            let written = tx.transfers_of(operation.id).await.unwrap();
            assert_eq!(written.is_empty(), posted == Posted::Insufficient);
            posted
        }
    })
    .await;
    assert_eq!(count(&posted, &Posted::New), 33);
    assert_eq!(count(&posted, &Posted::Insufficient), RACERS - 33);
    assert_eq!(account(&store, owner).await, of(1_000, 990));
}

pub(super) async fn locked_credits_are_still_there(store: Arc<dyn Store>) {
    let owner = add_rich_owner(&store, 100).await;
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.lock_credits(owner).await.unwrap(), usd(100));
    assert_eq!(tx.lock_credits(fresh_owner()).await.unwrap(), Usd::ZERO);
    drop(tx);
    let mut operations = Vec::new();
    for _ in 0..16 {
        operations.push(add_topup(&store, owner).await);
    }
    let operations = Arc::new(operations);
    let spent = race(16, |number| {
        let (store, operations) = (Arc::clone(&store), Arc::clone(&operations));
        async move {
            let mut tx = begin_write(&store).await;
            let balance = tx.lock_credits(owner).await.unwrap();
            if balance < usd(30) {
                tx.rollback().await.unwrap();
                return false;
            }
            let transfer = spend_of(operations.get(number).unwrap(), 30);
            let posted = tx.post_transfer(&transfer).await.unwrap();
            assert_eq!(posted, Posted::New);
            tx.commit().await.unwrap();
            true
        }
    })
    .await;
    assert_eq!(count(&spent, &true), 3);
    assert_eq!(account(&store, owner).await, of(100, 90));
}

pub(super) async fn a_transfer_that_is_rolled_back_moved_nothing(store: Arc<dyn Store>) {
    let owner = add_rich_owner(&store, 50).await;
    let operation = add_topup(&store, owner).await;
    let spend = spend_of(&operation, 20);
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.post_transfer(&spend).await.unwrap(), Posted::New);
    tx.rollback().await.unwrap();
    assert_eq!(account(&store, owner).await, of(50, 0));
    assert_eq!(post(&store, &spend).await.unwrap(), Posted::New);
    assert_eq!(account(&store, owner).await, of(50, 20));
}

pub(super) async fn a_reason_moves_money_between_its_accounts_only(store: Arc<dyn Store>) {
    let owner = add_rich_owner(&store, 1_000).await;
    let accounts = [
        clearing(),
        Account::Sales,
        Account::Credits(owner),
        Account::Suspense,
    ];
    for reason in TransferReason::ALL {
        for debit in &accounts {
            for credit in &accounts {
                let operation = add_topup(&store, owner).await;
                let transfer = Transfer {
                    debit: debit.clone(),
                    credit: credit.clone(),
                    reason: *reason,
                    ..refund_for(&operation, 1)
                };
                if reason.is_reversal() && reason.allows(debit, credit) {
                    let spent = post(&store, &spend_of(&operation, 1)).await;
                    assert_eq!(spent.unwrap(), Posted::New);
                }
                let outcome = post(&store, &transfer).await;
                if reason.allows(debit, credit) {
                    assert_eq!(outcome.unwrap(), Posted::New, "{transfer:?}");
                } else {
                    let is_rejected = matches!(outcome, Err(StoreError::Rejected(_)));
                    assert!(is_rejected, "{transfer:?}");
                }
            }
        }
    }
}

pub(super) async fn a_transfer_of_nothing_is_refused(store: Arc<dyn Store>) {
    let owner = add_rich_owner(&store, 50).await;
    let operation = add_topup(&store, owner).await;
    let to_itself = Transfer {
        credit: Account::Sales,
        ..refund_for(&operation, 1)
    };
    let none = Usd::ZERO.micros();
    for transfer in [
        refund_for(&operation, none),
        sale_of(&operation, none),
        spend_of(&operation, none),
        to_itself,
    ] {
        let outcome = post(&store, &transfer).await;
        assert!(
            matches!(outcome, Err(StoreError::Rejected(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(account(&store, owner).await, of(50, 0));
}

pub(super) async fn a_balance_is_an_amount(store: Arc<dyn Store>) {
    let most = 1_000_000_000_000_000;
    let owner = add_rich_owner(&store, most).await;
    let operation = add_topup(&store, owner).await;
    let outcome = post(&store, &refund_for(&operation, 1)).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
    assert_eq!(account(&store, owner).await, of(most, 0));
}
