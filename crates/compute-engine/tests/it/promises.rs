//! The promises of money and machines, checked at rest against the records of the payment network
//! and the cloud, not against our database alone.

use compute_domain::catalog::ProviderInstanceId;
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::OperationState;
use compute_domain::payment::{Payment, PaymentState};
use compute_engine::ports::{Tx, TxMode};
use compute_testkit::market::Buyer;

use crate::world::World;

/// What the database says was bought, given back, and is running.
#[derive(Default)]
struct Books {
    paid_for: Vec<String>,
    credit: Usd,
    machines: Vec<ProviderInstanceId>,
}

/// Every settled payment is a machine or a credit; every machine is somebody's; nothing is doubled.
pub(crate) async fn check(world: &World, buyer: &Buyer) {
    let market = &world.market;
    let instances = world.instances_of(buyer).await;
    let mut tx = market.store.begin(TxMode::Read).await.unwrap();
    let mut books = Books::default();
    for instance in &instances {
        let (payment, transfers) = at_rest(tx.as_mut(), instance).await;
        books.enter(instance, &payment, &transfers);
    }
    if let Some(owner) = tx.find_owner(&buyer.wallet()).await.unwrap() {
        assert_eq!(tx.credits_of(owner).await.unwrap().balance, books.credit);
    }
    // A declined proof that moved money would be missing here: every settled one is accounted for.
    books.paid_for.sort();
    let settled = market.rail.settled();
    assert_eq!(
        books.paid_for, settled,
        "each settled payment bought exactly one thing"
    );
    let mut alive: Vec<_> = market
        .provider
        .alive()
        .into_iter()
        .map(|alive| alive.id)
        .collect();
    alive.sort();
    books.machines.sort();
    assert_eq!(
        alive, books.machines,
        "each machine belongs to an active instance"
    );
}

/// The payment and the ledger rows of an order whose work is done.
async fn at_rest(tx: &mut dyn Tx, instance: &Instance) -> (Payment, Vec<Transfer>) {
    let operation = tx.provision_of(instance.id).await.unwrap().unwrap();
    assert!(
        operation.progress().is_none(),
        "at rest: {:?}",
        operation.state
    );
    assert!(
        !matches!(operation.state, OperationState::Stuck { .. }),
        "{operation:?}"
    );
    let sealed = tx.load_sealed_proof(operation.id).await.unwrap();
    assert_eq!(sealed, None, "the proof is erased once it is used");
    let payment = tx.payment_of(operation.id).await.unwrap().unwrap();
    (payment, tx.transfers_of(operation.id).await.unwrap())
}

impl Books {
    fn enter(&mut self, instance: &Instance, payment: &Payment, transfers: &[Transfer]) {
        let of = |reason| transfers.iter().filter(move |row| row.reason == reason);
        let sales = of(TransferReason::Sale).count();
        let refunds: Vec<_> = of(TransferReason::PaymentRefund).collect();
        match &payment.state {
            PaymentState::Claimed => panic!("at rest with an open payment: {payment:?}"),
            PaymentState::Declined { .. } => assert!(transfers.is_empty()),
            PaymentState::Settled { .. } => {
                assert_eq!((sales, refunds.len()), (1, 0));
                if let InstanceState::Active(placement) = &instance.state {
                    self.machines.push(placement.machine.clone());
                }
                self.paid_for.push(payment.proof_key.clone());
            }
            PaymentState::Refunded { .. } => {
                assert_eq!((sales, refunds.len()), (1, 1));
                assert_eq!(refunds[0].amount, payment.price);
                assert_eq!(refunds[0].credit, Account::Credits(payment.owner));
                assert!(matches!(instance.state, InstanceState::Failed { .. }));
                self.credit = self.credit.checked_add(refunds[0].amount).unwrap();
                self.paid_for.push(payment.proof_key.clone());
            }
        }
    }
}
