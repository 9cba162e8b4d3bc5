//! The story of a small shop: everything that can happen to money and machines, done right. The
//! auditor must find nothing in it, and whatever is changed in it afterwards.

use std::sync::Arc;

use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::instance::{EndReason, FailureCode, Instance, InstanceState};
use compute_domain::ledger::{Account, TransferReason};
use compute_domain::operation::{Operation, OperationKind, OperationState};
use compute_domain::payment::Payment;
use compute_domain::prepaid::Prepaid;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ClaimOutcome, Store, Tx};

use super::fixture::{
    add_owner, at, begin_write, extension_of, payment_for, pending_instance, placement,
    provision_of, topup_of, usd,
};
use super::steps::{
    PRICE, claim_payment, clearing, day, open, post, refund, rest, selling_time, settle, spend,
    take_place, transfer, with_credits,
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Whom and what the story is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Who bought most of it.
    pub owner: OwnerId,
    /// Somebody else.
    pub other: OwnerId,
    /// A machine that runs, of the owner's.
    pub running: InstanceId,
    /// A machine that its owner ended before its time.
    pub ended: InstanceId,
    /// A top-up of the owner's.
    pub topup: OperationId,
}

/// Writes the story into an empty store.
///
/// # Panics
/// When the store refuses any of it.
pub async fn tell(store: &Arc<dyn Store>) -> History {
    let (owner, other) = (add_owner(store).await, add_owner(store).await);
    let topup = top_up(store, owner).await;
    top_up(store, other).await;
    let running = buy(store, owner).await;
    let running = extend_by_payment(store, running).await;
    let running = extend_with_credits(store, running).await;
    let ended = extend_by_payment(store, buy(store, owner).await).await;
    let ended = convert(store, ended).await;
    end(store, &ended, EndReason::Requested).await;
    let lost = buy(store, other).await;
    end(store, &lost, EndReason::Lost).await;
    let expired = buy(store, other).await;
    end(store, &expired, EndReason::Expired).await;
    for (owner, fate) in [
        (owner, Fate::Refunded),
        (owner, Fate::Reversed),
        (other, Fate::GivenUp),
        (other, Fate::Waiting),
    ] {
        order(store, owner, fate).await;
    }
    come_too_late(store, &running).await;
    dispute(store, owner, &topup).await;
    History {
        owner,
        other,
        running: running.id,
        ended: ended.id,
        topup: topup.id,
    }
}

async fn top_up(store: &Arc<dyn Store>, owner: OwnerId) -> Operation {
    let operation = topup_of(owner);
    let mut tx = begin_write(store).await;
    open(tx.as_mut(), &operation).await;
    let mut payment = payment_for(&operation, &format!("proof:{}", operation.id));
    payment.price = usd(1_000_000);
    let claimed = tx.claim_payment(&payment, b"sealed").await.unwrap();
    assert_eq!(claimed, ClaimOutcome::Claimed);
    settle(tx.as_mut(), &operation, payment).await;
    rest(tx.as_mut(), operation.clone(), OperationState::Succeeded).await;
    tx.commit().await.unwrap();
    operation
}

/// An instance that was bought by a payment and runs.
async fn buy(store: &Arc<dyn Store>, owner: OwnerId) -> Instance {
    let instance = pending_instance(owner);
    let operation = selling_time(provision_of(&instance));
    let mut tx = begin_write(store).await;
    take_place(tx.as_mut(), &instance).await;
    open(tx.as_mut(), &operation).await;
    let payment = claim_payment(tx.as_mut(), &operation).await;
    settle(tx.as_mut(), &operation, payment).await;
    let machine = placement(at(DAY)).machine;
    let running = instance
        .paid()
        .and_then(|instance| instance.placed(machine, at(0)))
        .and_then(|instance| instance.ready("192.0.2.7".parse().unwrap()))
        .unwrap();
    tx.save_instance(&running).await.unwrap();
    let bought = Prepaid::bought(operation.id, usd(PRICE), running.rate, day(), at(DAY));
    tx.save_lots(running.id, &bought).await.unwrap();
    rest(tx.as_mut(), operation, OperationState::Succeeded).await;
    tx.commit().await.unwrap();
    running
}

/// One more day.
async fn lengthen(tx: &mut dyn Tx, instance: Instance, operation: &Operation) -> Instance {
    let lots = tx.lots_of(instance.id).await.unwrap();
    let lots = lots.extend(operation.id, usd(PRICE), instance.rate, day());
    tx.save_lots(instance.id, &lots.unwrap()).await.unwrap();
    let longer = instance.extend(day(), usd(PRICE)).unwrap();
    tx.save_instance(&longer).await.unwrap();
    longer
}

async fn extend_by_payment(store: &Arc<dyn Store>, instance: Instance) -> Instance {
    let operation = selling_time(extension_of(&instance));
    let mut tx = begin_write(store).await;
    open(tx.as_mut(), &operation).await;
    let payment = claim_payment(tx.as_mut(), &operation).await;
    settle(tx.as_mut(), &operation, payment).await;
    let longer = lengthen(tx.as_mut(), instance, &operation).await;
    rest(tx.as_mut(), operation, OperationState::Succeeded).await;
    tx.commit().await.unwrap();
    longer
}

async fn extend_with_credits(store: &Arc<dyn Store>, instance: Instance) -> Instance {
    let operation = with_credits(selling_time(extension_of(&instance)));
    let mut tx = begin_write(store).await;
    open(tx.as_mut(), &operation).await;
    spend(tx.as_mut(), &operation).await;
    let longer = lengthen(tx.as_mut(), instance, &operation).await;
    rest(tx.as_mut(), operation, OperationState::Succeeded).await;
    tx.commit().await.unwrap();
    longer
}

/// After six hours, what is left becomes one lot at the same rate.
async fn convert(store: &Arc<dyn Store>, mut instance: Instance) -> Instance {
    let mut tx = begin_write(store).await;
    let provision = tx.provision_of(instance.id).await.unwrap().unwrap();
    let lots = tx.lots_of(instance.id).await.unwrap();
    let lots = lots.convert(provision.id, instance.rate, at(6 * HOUR));
    let lots = lots.unwrap();
    tx.save_lots(instance.id, &lots).await.unwrap();
    if let InstanceState::Active(placement) = &mut instance.state {
        placement.expires_at = lots.expires_at().unwrap();
    }
    tx.save_instance(&instance).await.unwrap();
    tx.commit().await.unwrap();
    instance
}

/// The instance ends after twelve hours, or when its time is over.
async fn end(store: &Arc<dyn Store>, instance: &Instance, reason: EndReason) {
    let operation = Operation {
        kind: OperationKind::Destroy,
        ..extension_of(instance)
    };
    let (ended_at, given_for): (Timestamp, _) = match reason {
        EndReason::Requested => (at(12 * HOUR), Some(TransferReason::EarlyDestroy)),
        EndReason::Lost => (at(12 * HOUR), Some(TransferReason::LostMachine)),
        EndReason::Expired => (at(2 * DAY), None),
    };
    let mut tx = begin_write(store).await;
    open(tx.as_mut(), &operation).await;
    let lots = tx.lots_of(instance.id).await.unwrap();
    if let Some(reason) = given_for {
        let left = lots.left(ended_at).unwrap();
        let accounts = (Account::Sales, Account::Credits(instance.owner));
        post(tx.as_mut(), &transfer(&operation, reason, accounts, left)).await;
    }
    tx.save_lots(instance.id, &lots.close(ended_at))
        .await
        .unwrap();
    let ended = instance
        .clone()
        .begin_destroy(reason)
        .and_then(|instance| instance.gone(ended_at))
        .unwrap();
    tx.free_place(ended.owner, ended.rate).await.unwrap();
    tx.save_instance(&ended).await.unwrap();
    rest(tx.as_mut(), operation, OperationState::Succeeded).await;
    tx.commit().await.unwrap();
}

/// What becomes of an order that is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was paid, and the payment becomes credit.
    Refunded,
    /// It was bought with credits, and they come back.
    Reversed,
    /// Nobody finds out whether the money moved; an operator gives credit, and then it arrives.
    GivenUp,
    /// Its payment has not settled yet.
    Waiting,
}

async fn order(store: &Arc<dyn Store>, owner: OwnerId, fate: Fate) {
    let instance = pending_instance(owner);
    let mut operation = selling_time(provision_of(&instance));
    if fate == Fate::Reversed {
        operation = with_credits(operation);
    }
    let mut tx = begin_write(store).await;
    take_place(tx.as_mut(), &instance).await;
    open(tx.as_mut(), &operation).await;
    let code = match fate {
        Fate::Waiting => {
            claim_payment(tx.as_mut(), &operation).await;
            return tx.commit().await.unwrap();
        }
        Fate::Refunded => {
            let payment = claim_payment(tx.as_mut(), &operation).await;
            let payment = settle(tx.as_mut(), &operation, payment).await;
            refund(tx.as_mut(), &operation, payment).await;
            FailureCode::NoCapacity
        }
        Fate::Reversed => {
            spend(tx.as_mut(), &operation).await;
            let accounts = (Account::Sales, Account::Credits(owner));
            let reason = TransferReason::SpendReversal;
            let reversal = transfer(&operation, reason, accounts, usd(PRICE));
            post(tx.as_mut(), &reversal).await;
            FailureCode::NotReady
        }
        Fate::GivenUp => {
            let payment = claim_payment(tx.as_mut(), &operation).await;
            give_up(tx.as_mut(), &operation, payment).await;
            FailureCode::OperatorRefunded
        }
    };
    let failed = instance.fail(code, at(5)).unwrap();
    tx.free_place(failed.owner, failed.rate).await.unwrap();
    tx.save_instance(&failed).await.unwrap();
    rest(tx.as_mut(), operation, OperationState::Failed { code }).await;
    tx.commit().await.unwrap();
}

async fn give_up(tx: &mut dyn Tx, operation: &Operation, payment: Payment) {
    let price = payment.price;
    let refund = (
        TransferReason::OperatorRefund,
        (Account::Suspense, Account::Credits(operation.owner)),
    );
    let arrival = (TransferReason::Unmatched, (clearing(), Account::Suspense));
    for (reason, accounts) in [refund, arrival] {
        post(tx, &transfer(operation, reason, accounts, price)).await;
    }
    let declined = payment.decline("operator_refunded".to_owned()).unwrap();
    tx.save_payment(&declined).await.unwrap();
}

/// The money for an extension arrives when it has let go of its instance.
async fn come_too_late(store: &Arc<dyn Store>, instance: &Instance) {
    let mut operation = selling_time(extension_of(instance));
    let mut tx = begin_write(store).await;
    open(tx.as_mut(), &operation).await;
    operation.data.hold_released_at = Some(at(4));
    let payment = claim_payment(tx.as_mut(), &operation).await;
    let payment = settle(tx.as_mut(), &operation, payment).await;
    refund(tx.as_mut(), &operation, payment).await;
    let code = FailureCode::InstanceGone;
    rest(tx.as_mut(), operation, OperationState::Failed { code }).await;
    tx.commit().await.unwrap();
}

/// A network takes a top-up back; what is left of it goes.
async fn dispute(store: &Arc<dyn Store>, owner: OwnerId, topup: &Operation) {
    let mut tx = begin_write(store).await;
    let accounts = (Account::Credits(owner), Account::Suspense);
    let taken = transfer(topup, TransferReason::Dispute, accounts, usd(1_000));
    post(tx.as_mut(), &taken).await;
    tx.commit().await.unwrap();
}
