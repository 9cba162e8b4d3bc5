//! Two replicas on one database: either finishes what the other began, and both give one answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use compute_domain::ledger::TransferReason;
use compute_engine::ports::{Store as _, TxMode};
use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};
use compute_x402::PaymentPayload;
use serde_json::Value;

use crate::buyer::{Buyer, dollars, order, pay};
use crate::rehearsal::serve;
use crate::server::{Backend, Home, PATIENCE, Server, pause};

const COPIES: usize = 256;

/// Two replicas with the partners that they share.
struct Pair {
    home: Home,
    cloud: vultr::Handle,
    network: facilitator::Handle,
    first: Server,
    second: Server,
    buyer: Buyer,
}

impl Pair {
    async fn open() -> Self {
        let home = Home::new(Backend::Postgres).await;
        let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
        let network = facilitator::spawn(facilitator::Options::default())
            .await
            .unwrap();
        // As real facilitators: only the chain tells whose settlement it was.
        network.inject(facilitator::Fault::RefuseRepeats);
        Self {
            first: serve(&home, &cloud.api_url(), &network),
            second: serve(&home, &cloud.api_url(), &network),
            home,
            cloud,
            network,
            buyer: Buyer::new(),
        }
    }

    /// Buys at the first replica, and kills it in the middle: as soon as `is_under_way`.
    async fn buy_and_kill(
        &mut self,
        is_under_way: impl Fn(&vultr::Handle, &facilitator::Handle) -> bool,
    ) -> PaymentPayload {
        let order = order();
        let payment = self.buyer.sign(&self.first, &order).await;
        let under_way = async {
            while !is_under_way(&self.cloud, &self.network) {
                pause().await;
            }
        };
        tokio::select! {
            answer = pay(&self.first, &order, &payment) => panic!("answered {}", answer.status),
            found = tokio::time::timeout(PATIENCE, under_way) => found.unwrap(),
        }
        self.first.kill();
        payment
    }

    /// The buyer's only order, once the second replica has finished it without being asked.
    async fn finished_order(&self) -> Value {
        let finishing = async {
            loop {
                let orders = self.orders().await;
                assert_eq!(orders.len(), 1, "{orders:?}");
                if orders[0]["status"] == "active" {
                    return orders[0].clone();
                }
                pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, finishing).await.unwrap()
    }

    async fn orders(&self) -> Vec<Value> {
        let path = "/compute/instances";
        let answer = self.buyer.signed(&self.second, "GET", path, "").await;
        answer.json(200).unwrap()["instances"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Checks with both partners that the order was paid once and has one machine, and that the
    /// payment shown again is answered with it.
    async fn check(&self, order_made: &Value, payment: &PaymentPayload) {
        let again = pay(&self.second, &order(), payment).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let again = again.json(200).unwrap();
        assert_eq!(again["order"]["id"], order_made["id"]);
        assert_eq!(settled(&self.network), [again["tx_hash"].as_str().unwrap()]);
        let machine = order_made["provider_instance_id"].as_str().unwrap();
        assert_eq!(self.cloud.machines(), [machine]);
        self.check_ledger(&again).await;
    }

    /// Checks that the ledger has one entry for the order: the sale, at its price.
    async fn check_ledger(&self, reply: &Value) {
        let database = self.home.open_database().await;
        let instance = reply["order"]["id"].as_str().unwrap().parse().unwrap();
        let mut tx = database.begin(TxMode::Read).await.unwrap();
        let operation = tx.provision_of(instance).await.unwrap().unwrap();
        let entries = tx.transfers_of(operation.id).await.unwrap();
        tx.rollback().await.unwrap();
        database.close().await;
        let [sale] = entries.as_slice() else {
            panic!("not one entry: {entries:?}");
        };
        assert_eq!(sale.reason, TransferReason::Sale);
        assert_eq!(sale.amount, dollars(&reply["order"]["payment_amount"]));
    }
}

/// The transactions that the facilitator has made.
fn settled(network: &facilitator::Handle) -> Vec<String> {
    let events = network.journal().into_iter();
    events
        .filter_map(|event| match event {
            facilitator::Event::Settled { transaction, .. } => Some(transaction),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_killed_while_it_pays_is_replaced_by_the_other() {
    let mut pair = Pair::open().await;
    pair.network.inject(facilitator::Fault::SettleThenHang);
    let payment = pair
        .buy_and_kill(|_, network| !settled(network).is_empty())
        .await;
    injected("F005");
    let order = pair.finished_order().await;
    pair.check(&order, &payment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_killed_while_it_makes_a_machine_is_replaced_by_the_other() {
    let mut pair = Pair::open().await;
    pair.cloud.inject(vultr::Fault::CreateThenHang);
    let payment = pair
        .buy_and_kill(|cloud, _| !cloud.machines().is_empty())
        .await;
    injected("F007");
    injected("F011");
    let lost = pair.cloud.machines();
    let order = pair.finished_order().await;
    // Its password died with the first replica.
    assert_ne!(pair.cloud.machines(), lost);
    pair.check(&order, &payment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_one_payment_at_two_replicas_agree() {
    let pair = Arc::new(Pair::open().await);
    let payment = Arc::new(pair.buyer.sign(&pair.first, &order()).await);
    let mut copies = tokio::task::JoinSet::new();
    for number in 0..COPIES {
        let (pair, payment) = (Arc::clone(&pair), Arc::clone(&payment));
        copies.spawn(async move {
            let replica = if number % 2 == 0 {
                &pair.first
            } else {
                &pair.second
            };
            pay(replica, &order(), &payment).await.json(200).unwrap()
        });
    }
    let mut answers = BTreeSet::new();
    injected("F055");
    while let Some(reply) = copies.join_next().await {
        let reply = reply.unwrap();
        let order = &reply["order"];
        answers.insert(format!(
            "{} until {}, {} by {}",
            order["id"], order["expires_at"], reply["settlement"], reply["tx_hash"]
        ));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let order = pair.finished_order().await;
    pair.check(&order, &payment).await;
}
