//! How much there is of everything.

use std::sync::Arc;

use compute_domain::catalog::ProviderId;
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::operation::{OperationKind, OperationState};
use compute_domain::payment::RailLabel;
use compute_engine::ports::{
    AccountKind, AccountSum, LiveMachines, LiveState, OpenWork, Queue, Sending, Sighting, Store,
};

use super::fixture::{
    add_active, add_owner, add_topup, at, begin_read, begin_write, insert_instance, open,
    pending_instance, placement, provision_of, refund_for, topup_of,
};
use super::outbox::{MINED, add, concluded, lane, sent};
use super::steps::post;

fn queue(count: u64, millis: i64) -> Queue {
    Queue {
        count,
        since: Some(at(millis)),
    }
}

pub(super) async fn open_work_is_counted_by_kind(store: Arc<dyn Store>) {
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.count_open_work().await.unwrap(), []);
    drop(tx);
    let owner = add_owner(&store).await;
    for opened_at in [5, 3] {
        let mut topup = topup_of(owner);
        topup.created_at = at(opened_at);
        open(&store, &topup, "a", at(10)).await;
    }
    let instance = pending_instance(owner);
    insert_instance(&store, &instance).await;
    open(&store, &provision_of(&instance), "a", at(10)).await;
    let done = topup_of(owner);
    let lease = open(&store, &done, "a", at(10)).await;
    let done = done.rest(OperationState::Succeeded, at(4));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&done, &lease, at(11)).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = begin_read(&store).await;
    let mut work = tx.count_open_work().await.unwrap();
    work.sort_by_key(|row| row.kind);
    let row = |kind, queue| OpenWork {
        kind,
        is_stuck: false,
        queue,
    };
    let expected = [
        row(OperationKind::Provision, queue(1, 0)),
        row(OperationKind::Topup, queue(2, 3)),
    ];
    assert_eq!(work, expected);
}

pub(super) async fn unknown_settlements_are_counted(store: Arc<dyn Store>) {
    let mut tx = begin_read(&store).await;
    let none = tx.count_unknown_settlements().await.unwrap();
    assert_eq!(none, Queue::default());
    assert_eq!(tx.count_refunds().await.unwrap(), Queue::default());
    drop(tx);
    let owner = add_owner(&store).await;
    add_topup(&store, owner).await;
    for since in [7, 6] {
        let mut topup = topup_of(owner);
        topup.data.settlement_unknown_since = Some(at(since));
        open(&store, &topup, "a", at(10)).await;
    }
    let mut tx = begin_read(&store).await;
    let unknown = tx.count_unknown_settlements().await.unwrap();
    assert_eq!(unknown, queue(2, 6));
}

pub(super) async fn machines_are_counted_by_state(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let of_state = |state, provider| Instance {
        state,
        provider,
        ..pending_instance(owner)
    };
    let making = InstanceState::Provisioning(Some(placement(at(9))));
    insert_instance(&store, &of_state(making, ProviderId::DigitalOcean)).await;
    let pending = of_state(InstanceState::Pending, ProviderId::Vultr);
    insert_instance(&store, &pending).await;
    let failed = pending_instance(owner);
    let failed = failed.fail(compute_domain::instance::FailureCode::NoCapacity, at(1));
    insert_instance(&store, &failed.unwrap()).await;
    let missed = add_active(&store, at(4)).await;
    add_active(&store, at(6)).await;
    let sighting = Sighting {
        misses: 1,
        missing_since: Some(at(4)),
        suspended_since: Some(at(4)),
        address: None,
    };
    let mut tx = begin_write(&store).await;
    tx.save_sighting(missed.id, &sighting).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = begin_read(&store).await;
    let mut machines = tx.count_machines(at(5)).await.unwrap();
    machines.sort_by_key(|row| (row.provider.as_str(), row.state));
    let row = |provider, state| LiveMachines {
        provider,
        state,
        count: 1,
        missing: 0,
        suspended: 0,
        overdue: 0,
    };
    let expected = [
        row(ProviderId::DigitalOcean, LiveState::Provisioning),
        row(ProviderId::Vultr, LiveState::Pending),
        LiveMachines {
            count: 2,
            missing: 1,
            suspended: 1,
            overdue: 1,
            ..row(ProviderId::Vultr, LiveState::Active)
        },
    ];
    assert_eq!(machines, expected);
}

pub(super) async fn open_transactions_are_counted_by_lane(store: Arc<dyn Store>) {
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.count_sending().await.unwrap(), []);
    drop(tx);
    let mut late = sent(2);
    late.created_at = at(5);
    add(&store, &[sent(1), late, concluded(sent(0), MINED, 3)]).await;
    let mut tx = begin_read(&store).await;
    let sending = Sending {
        lane: lane("eip155:8453"),
        queue: queue(2, 0),
    };
    assert_eq!(tx.count_sending().await.unwrap(), [sending]);
}

pub(super) async fn every_transfer_is_in_two_sums(store: Arc<dyn Store>) {
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.sum_accounts().await.unwrap(), []);
    drop(tx);
    let base = RailLabel::parse("base").unwrap();
    for micros in [2_000_000, 3] {
        let owner = add_owner(&store).await;
        let (topup, purchase) = (
            add_topup(&store, owner).await,
            add_topup(&store, owner).await,
        );
        let arrived = Transfer {
            debit: Account::Clearing(base.clone()),
            reason: TransferReason::Topup,
            ..refund_for(&topup, micros)
        };
        let spent = Transfer {
            debit: Account::Credits(owner),
            credit: Account::Sales,
            reason: TransferReason::Spend,
            ..refund_for(&purchase, 1)
        };
        let mut tx = begin_write(&store).await;
        post(tx.as_mut(), &arrived).await;
        post(tx.as_mut(), &spent).await;
        tx.commit().await.unwrap();
    }
    let mut tx = begin_read(&store).await;
    let mut sums = tx.sum_accounts().await.unwrap();
    sums.sort_by_key(|sum| sum.account.clone());
    let sum = |account, micros| AccountSum { account, micros };
    let expected = [
        sum(AccountKind::Clearing(base), -2_000_003),
        sum(AccountKind::Credits, 2_000_001),
        sum(AccountKind::Sales, 2),
    ];
    assert_eq!(sums, expected);
}
