//! What shows that money arrived does not decide what it buys: the proof does.

use compute_domain::id::OperationId;
use compute_domain::instance::InstanceState;
use compute_domain::ledger::TransferReason;
use compute_domain::operation::OperationState;
use compute_domain::payment::{Evidence, Payment, PaymentState};
use compute_engine::ports::TxMode;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market};
use compute_testkit::scripted_rail::SettleFault;

use crate::promises;
use crate::purse::usd;
use crate::world::World;

impl World {
    async fn payment_of(&self, id: OperationId) -> Payment {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.payment_of(id).await.unwrap().unwrap()
    }

    async fn evidence_of(&self, id: OperationId) -> Evidence {
        let payment = self.payment_of(id).await;
        payment.evidence().cloned().unwrap()
    }

    async fn reasons_of(&self, id: OperationId) -> Vec<TransferReason> {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        let transfers = tx.transfers_of(id).await.unwrap();
        transfers.iter().map(|transfer| transfer.reason).collect()
    }
}

#[tokio::test]
async fn payments_of_one_transaction_are_each_posted_once() {
    let world = World::open().await;
    world.market.rail.settle_in_one_transaction();
    let (buyer, other) = (Buyer::new(1), Buyer::new(2));
    let topups = [
        world.top_up(&buyer, "5").await,
        world.top_up(&buyer, "5").await,
        world.top_up(&other, "7").await,
    ];
    let payment = world.payment(&buyer).await;
    let machine = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    injected("F053");
    for (operation, log_index) in topups.into_iter().chain([machine]).zip(0..) {
        let evidence = world.evidence_of(operation).await;
        assert_eq!(evidence.log_index, Some(log_index));
        assert_eq!(
            evidence.reference,
            world.evidence_of(topups[0]).await.reference
        );
        let state = world.operation(operation).await.state;
        assert_eq!(state, OperationState::Succeeded);
    }
    for topup in topups {
        assert_eq!(world.reasons_of(topup).await, [TransferReason::Topup]);
    }
    assert_eq!(world.reasons_of(machine).await, [TransferReason::Sale]);
    assert_eq!(world.balance(&buyer).await, usd("10"));
    assert_eq!(world.balance(&other).await, usd("7"));
    world.audit().await;
}

/// The settlement is answered, the process dies before it can write that down, and the next one is
/// shown another transaction for the same payment. At each transaction of the story.
#[tokio::test]
async fn a_payment_that_shows_in_two_transactions_is_one_inflow() {
    let mut is_injected = false;
    for crash_at in 1..20 {
        let mut world = World::open().await;
        let buyer = Buyer::new(1);
        let payment = world.payment(&buyer).await;
        world.market.rail.misbehave([SettleFault::ShowsAnother]);
        world.market.crash.at_transaction(crash_at);
        let _ = world.market.buy(&Market::request(), &payment).await;
        let has_settled = world.market.rail.settle_calls() == 1;
        let died = world.market.crash.is_dead();
        world.market.restart().await;
        let Some(instance) = world.instances_of(&buyer).await.pop() else {
            continue;
        };
        let mut tx = world.market.store.begin(TxMode::Read).await.unwrap();
        let operation = tx.provision_of(instance.id).await.unwrap().unwrap().id;
        tx.rollback().await.unwrap();
        let before = world.payment_of(operation).await;
        let is_lost = died && has_settled && before.state == PaymentState::Claimed;
        world.market.quiesce().await;
        if is_lost {
            injected("F052");
            is_injected = true;
            let shown = world.evidence_of(operation).await.reference;
            assert_eq!(shown, format!("0x{:f>64}", ""), "crash at {crash_at}");
        }
        let instance = world.instance_of(operation).await;
        assert!(matches!(instance.state, InstanceState::Active(_)));
        assert_eq!(world.reasons_of(operation).await, [TransferReason::Sale]);
        promises::check(&world, &buyer).await;
        world.audit().await;
        if !died {
            break;
        }
    }
    assert!(is_injected);
}
