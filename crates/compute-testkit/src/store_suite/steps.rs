//! Single steps of a history: what the engine writes together, one thing at a time.

use compute_domain::id::TransferId;
use compute_domain::instance::Instance;
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::{HourlyRate, Hours, Usd};
use compute_domain::operation::{
    CreditsSpent, Operation, OperationKind, OperationState, TimeBought,
};
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::request_key::RequestKey;
use compute_engine::ports::{BoundKey, Caps, ClaimOutcome, Lease, Opened, PlaceTaken, Posted, Tx};

use super::fixture::{at, evidence, fresh_uuid, payment_for, usd};

/// What a day costs.
pub(super) const PRICE: i64 = 168_000;

/// The operation sells one day.
pub(super) fn selling_time(mut operation: Operation) -> Operation {
    operation.data.time = Some(TimeBought {
        hours: day(),
        rate: HourlyRate::from_micros(7_000).unwrap(),
        price: usd(PRICE),
    });
    operation
}

/// The operation was paid with credits.
pub(super) fn with_credits(mut operation: Operation) -> Operation {
    operation.data.credits = Some(CreditsSpent {
        amount: usd(PRICE),
        api_key: None,
    });
    operation
}

pub(super) fn day() -> Hours {
    Hours::new(24).unwrap()
}

pub(super) fn clearing() -> Account {
    Account::Clearing(RailLabel::parse("base").unwrap())
}

pub(super) fn transfer(
    operation: &Operation,
    reason: TransferReason,
    (debit, credit): (Account, Account),
    amount: Usd,
) -> Transfer {
    Transfer {
        id: TransferId::from_uuid(fresh_uuid()),
        debit,
        credit,
        amount,
        reason,
        cause: operation.id.into(),
        created_at: at(0),
    }
}

pub(super) async fn post(tx: &mut dyn Tx, transfer: &Transfer) {
    assert_eq!(tx.post_transfer(transfer).await.unwrap(), Posted::New);
}

pub(super) async fn take_place(tx: &mut dyn Tx, instance: &Instance) {
    let caps = Caps {
        instances_per_owner: 20,
        instances_total: 500,
        hourly_total: None,
    };
    let taken = tx.take_place(instance.owner, instance.rate, &caps).await;
    assert_eq!(taken.unwrap(), PlaceTaken::Yes);
    tx.insert_instance(instance).await.unwrap();
}

pub(super) async fn open(tx: &mut dyn Tx, operation: &Operation) {
    let opened = tx.open_operation(operation, "a", at(10)).await.unwrap();
    assert!(matches!(opened, Opened::Leased(_)), "{opened:?}");
    let name = RequestKey::idempotency_key(&format!("purchase-{}", operation.id)).unwrap();
    let bound = BoundKey {
        operation: operation.id,
        request_digest: operation.request_digest,
    };
    let taken = tx
        .bind_request_key(operation.owner.into(), &name, &bound, None, at(86_400_000))
        .await;
    assert_eq!(taken.unwrap(), None);
}

pub(super) async fn rest(tx: &mut dyn Tx, operation: Operation, state: OperationState) {
    let lease = Lease {
        operation: operation.id,
        holder: "a".to_owned(),
        epoch: 1,
    };
    let operation = operation.rest(state, at(5));
    tx.save_operation(&operation, &lease, at(10)).await.unwrap();
}

/// A claimed payment for the operation.
pub(super) async fn claim_payment(tx: &mut dyn Tx, operation: &Operation) -> Payment {
    let payment = payment_for(operation, &format!("proof:{}", operation.id));
    let claimed = tx.claim_payment(&payment, b"sealed").await.unwrap();
    assert_eq!(claimed, ClaimOutcome::Claimed);
    payment
}

/// The payment settles, and its money arrives.
pub(super) async fn settle(tx: &mut dyn Tx, operation: &Operation, payment: Payment) -> Payment {
    let payment = payment
        .settle(evidence(&format!("0x{}", operation.id), Some(0)), at(2))
        .unwrap();
    tx.save_payment(&payment).await.unwrap();
    let (credit, reason) = match operation.kind {
        OperationKind::Topup => (Account::Credits(operation.owner), TransferReason::Topup),
        _ => (Account::Sales, TransferReason::Sale),
    };
    let inflow = transfer(operation, reason, (clearing(), credit), payment.price);
    post(tx, &inflow).await;
    payment
}

pub(super) async fn refund(tx: &mut dyn Tx, operation: &Operation, payment: Payment) {
    let accounts = (Account::Sales, Account::Credits(operation.owner));
    let refund = transfer(
        operation,
        TransferReason::PaymentRefund,
        accounts,
        payment.price,
    );
    post(tx, &refund).await;
    let payment = payment.refund(refund.id).unwrap();
    tx.save_payment(&payment).await.unwrap();
}

pub(super) async fn spend(tx: &mut dyn Tx, operation: &Operation) {
    let accounts = (Account::Credits(operation.owner), Account::Sales);
    let spend = transfer(operation, TransferReason::Spend, accounts, usd(PRICE));
    post(tx, &spend).await;
}
