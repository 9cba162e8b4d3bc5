//! Things to put into a store, and races.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compute_domain::WalletAddress;
use compute_domain::catalog::{OsId, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::{InstanceId, OperationId, OwnerId, PaymentId, TransferId};
use compute_domain::instance::{Access, Instance, InstanceState, Placement};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::{AssetAmount, HourlyRate, Hours, Usd};
use compute_domain::operation::{Operation, OperationKind};
use compute_domain::payment::{Evidence, Payment, PaymentState, RailLabel};
use compute_domain::text::Label;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Lease, Opened, Store, Tx, TxMode};
use tokio::task::JoinSet;
use uuid::Uuid;

pub(super) const RACERS: usize = 64;

/// A moment of the tests' own time.
pub(super) const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000).plus(compute_domain::time::Span::from_millis(millis))
}

/// Never the same twice, and ascending.
pub(super) fn fresh_uuid() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub(super) fn fresh_owner() -> OwnerId {
    OwnerId::from_uuid(fresh_uuid())
}

pub(super) fn fresh_wallet() -> WalletAddress {
    format!("0x{:040x}", fresh_uuid().as_u128())
        .parse()
        .unwrap()
}

pub(super) async fn begin_write(store: &Arc<dyn Store>) -> Box<dyn Tx> {
    store.begin(TxMode::Write).await.unwrap()
}

pub(super) async fn begin_read(store: &Arc<dyn Store>) -> Box<dyn Tx> {
    store.begin(TxMode::Read).await.unwrap()
}

pub(super) fn usd(micros: i64) -> Usd {
    Usd::from_micros(micros).unwrap()
}

pub(super) async fn add_owner(store: &Arc<dyn Store>) -> OwnerId {
    let mut tx = begin_write(store).await;
    let owner = tx
        .ensure_owner(fresh_owner(), &fresh_wallet(), at(0))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    owner
}

pub(super) fn pending_instance(owner: OwnerId) -> Instance {
    Instance {
        id: InstanceId::from_uuid(fresh_uuid()),
        owner,
        provider: ProviderId::Vultr,
        plan: PlanId::parse("vc2-1c-1gb").unwrap(),
        region: RegionId::parse("ewr").unwrap(),
        os: OsId::parse("2284").unwrap(),
        label: Label::parse("größe 🚀").unwrap(),
        rate: HourlyRate::from_micros(7_000).unwrap(),
        hours: Hours::new(24).unwrap(),
        extended_hours: 0,
        price: usd(168_000),
        access: Access::Password,
        ip: None,
        suspended_since: None,
        resizing: None,
        is_protected: false,
        created_at: at(0),
        state: InstanceState::Pending,
    }
}

/// A machine of its own until `expires_at`.
pub(super) fn placement(expires_at: Timestamp) -> Placement {
    let machine = ProviderInstanceId::parse(&format!("m-{}", fresh_uuid())).unwrap();
    Placement {
        machine,
        expires_at,
    }
}

pub(super) async fn add_instance(store: &Arc<dyn Store>) -> Instance {
    let instance = pending_instance(add_owner(store).await);
    insert_instance(store, &instance).await;
    instance
}

pub(super) async fn insert_instance(store: &Arc<dyn Store>, instance: &Instance) {
    let mut tx = begin_write(store).await;
    tx.insert_instance(instance).await.unwrap();
    tx.commit().await.unwrap();
}

pub(super) fn provision_of(instance: &Instance) -> Operation {
    Operation::open(
        OperationId::from_uuid(fresh_uuid()),
        OperationKind::Provision,
        instance.owner,
        Some(instance.id),
        [7; 32],
        at(0),
    )
}

/// More time for an instance.
pub(super) fn extension_of(instance: &Instance) -> Operation {
    Operation::open(
        OperationId::from_uuid(fresh_uuid()),
        OperationKind::Extend,
        instance.owner,
        Some(instance.id),
        [8; 32],
        at(0),
    )
}

/// Credits for an owner.
pub(super) fn topup_of(owner: OwnerId) -> Operation {
    Operation::open(
        OperationId::from_uuid(fresh_uuid()),
        OperationKind::Topup,
        owner,
        None,
        [9; 32],
        at(0),
    )
}

/// A top-up operation of this owner; it touches no instance, so there may be any number of them.
pub(super) async fn add_topup(store: &Arc<dyn Store>, owner: OwnerId) -> Operation {
    let operation = topup_of(owner);
    open(store, &operation, "opener", at(10_000)).await;
    operation
}

/// An active instance of an owner of its own, paid for until `expires_at`.
pub(super) async fn add_active(store: &Arc<dyn Store>, expires_at: Timestamp) -> Instance {
    let instance = Instance {
        state: InstanceState::Active(placement(expires_at)),
        ..pending_instance(add_owner(store).await)
    };
    insert_instance(store, &instance).await;
    instance
}

/// Opens the operation for `holder`; its lease lasts until `until`.
pub(super) async fn open(
    store: &Arc<dyn Store>,
    operation: &Operation,
    holder: &str,
    until: Timestamp,
) -> Lease {
    let mut tx = begin_write(store).await;
    let opened = tx.open_operation(operation, holder, until).await.unwrap();
    tx.commit().await.unwrap();
    match opened {
        Opened::Leased(lease) => lease,
        Opened::InstanceBusy => panic!("the instance is busy"),
    }
}

/// A provision operation on an instance of its own, held by `opener` until second 10.
pub(super) async fn add_operation(store: &Arc<dyn Store>) -> (Operation, Lease) {
    let operation = provision_of(&add_instance(store).await);
    let lease = open(store, &operation, "opener", at(10_000)).await;
    (operation, lease)
}

pub(super) fn payment_for(operation: &Operation, proof_key: &str) -> Payment {
    Payment {
        id: PaymentId::from_uuid(fresh_uuid()),
        operation: operation.id,
        owner: operation.owner,
        rail: RailLabel::parse("base").unwrap(),
        proof_key: proof_key.to_owned(),
        challenge_id: None,
        payer: Some(fresh_wallet()),
        price: usd(168_000),
        asset: AssetAmount {
            atomic: u128::MAX,
            decimals: 18,
        },
        void_after: at(60_000),
        claimed_at: at(0),
        state: PaymentState::Claimed,
    }
}

pub(super) fn evidence(reference: &str, log_index: Option<u32>) -> Evidence {
    Evidence {
        reference: reference.to_owned(),
        log_index,
    }
}

/// Credits for the operation's owner, from a payment that could not be served.
pub(super) fn refund_for(operation: &Operation, micros: i64) -> Transfer {
    Transfer {
        id: TransferId::from_uuid(fresh_uuid()),
        debit: Account::Sales,
        credit: Account::Credits(operation.owner),
        amount: usd(micros),
        reason: TransferReason::PaymentRefund,
        cause: operation.id.into(),
        created_at: at(0),
    }
}

/// Runs `count` copies at once, each with its number, and returns what they return.
pub(super) async fn race<T, F>(count: usize, run: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let gate = Arc::new(tokio::sync::Barrier::new(count));
    let mut racers = JoinSet::new();
    for number in 0..count {
        let gate = Arc::clone(&gate);
        let racer = run(number);
        racers.spawn(async move {
            gate.wait().await;
            racer.await
        });
    }
    racers.join_all().await
}

/// How often `wanted` is among the outcomes.
pub(super) fn count<T: PartialEq>(outcomes: &[T], wanted: &T) -> usize {
    outcomes.iter().filter(|outcome| *outcome == wanted).count()
}
