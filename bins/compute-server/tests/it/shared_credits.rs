//! Credits and names of purchases at two replicas on one database.

use std::collections::BTreeSet;
use std::sync::Arc;

use compute_domain::money::Usd;
use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};
use serde_json::{Value, json};

use crate::buyer::{Buyer, PROVISION, order};
use crate::first_sale::id_of;
use crate::rehearsal::serve;
use crate::server::{Backend, Home, Server};

const BUYERS: usize = 32;

/// Two replicas with the partners that they share, and a buyer with credits.
struct Shop {
    home: Home,
    cloud: vultr::Handle,
    /// Held, because it serves as long as it lives.
    _network: facilitator::Handle,
    replicas: [Server; 2],
    buyer: Buyer,
}

impl Shop {
    /// The buyer's credits come in at the first replica.
    async fn open(dollars: u32) -> Arc<Self> {
        let home = Home::new(Backend::Postgres).await;
        let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
        let network = facilitator::spawn(facilitator::Options::default())
            .await
            .unwrap();
        let replicas = [(), ()].map(|()| serve(&home, &cloud.api_url(), &network));
        let buyer = Buyer::new();
        buyer.top_up(&replicas[0], dollars).await;
        Arc::new(Self {
            home,
            cloud,
            _network: network,
            replicas,
            buyer,
        })
    }

    /// Orders with credits at one of the replicas, in turn: status and reply.
    async fn order(&self, turn: usize, body: &Value, names: &[(&str, String)]) -> (u16, Value) {
        let replica = &self.replicas[turn % 2];
        let body = body.to_string();
        let answer = self
            .buyer
            .signed_with(replica, "POST", PROVISION, &body, names)
            .await;
        (answer.status, answer.json(answer.status).unwrap())
    }

    /// Many orders at once.
    async fn orders(self: &Arc<Self>, names: &[(&'static str, String)]) -> Vec<(u16, Value)> {
        let mut tasks = tokio::task::JoinSet::new();
        for turn in 0..BUYERS {
            let (shop, names) = (Arc::clone(self), names.to_vec());
            tasks.spawn(async move { shop.order(turn, &with_credits(), &names).await });
        }
        tasks.join_all().await
    }

    /// What is left, which both replicas agree about.
    async fn balance(&self) -> Usd {
        let first = self.buyer.balance(&self.replicas[0]).await;
        assert_eq!(first, self.buyer.balance(&self.replicas[1]).await);
        first.balance
    }

    async fn check(&self, machines: usize) {
        assert_eq!(self.cloud.machines().len(), machines);
        let database = self.home.open_database().await;
        let mut tx =
            compute_engine::ports::Store::begin(&database, compute_engine::ports::TxMode::Read)
                .await
                .unwrap();
        assert_eq!(tx.audit().await.unwrap(), []);
        tx.rollback().await.unwrap();
        database.close().await;
    }
}

fn with_credits() -> Value {
    let mut body = order();
    body["use_credits"] = json!(true);
    body
}

fn micros(amount: &Value) -> i64 {
    Usd::parse(amount.as_str().unwrap()).unwrap().micros()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_never_overdraw_one_balance() {
    let shop = Shop::open(1).await;
    let answers = shop.orders(&[]).await;
    injected("F150");
    let (bought, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|(status, _)| *status == 200);
    for (status, reply) in &refused {
        assert_eq!(*status, 402, "{reply}");
        assert_eq!(reply["code"], "insufficient_credits");
    }
    let price = micros(&bought[0].1["charged"]);
    let affordable = 1_000_000 / price;
    assert_eq!(i64::try_from(bought.len()), Ok(affordable));
    assert_eq!(
        shop.balance().await.micros(),
        1_000_000 - affordable * price
    );
    let ids: BTreeSet<String> = bought.iter().map(|(_, reply)| id_of(reply)).collect();
    for id in &ids {
        shop.buyer.wait_for(&shop.replicas[1], id, "active").await;
    }
    shop.check(ids.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_name_buys_one_thing_at_either_replica() {
    let shop = Shop::open(10).await;
    let name = [("idempotency-key", "the-first-machine".to_owned())];
    let answers = shop.orders(&name).await;
    injected("F157");
    let ids: BTreeSet<String> = answers
        .iter()
        .map(|(status, reply)| {
            assert_eq!(*status, 200, "{reply}");
            id_of(reply)
        })
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let price = micros(&answers[0].1["charged"]);
    assert_eq!(shop.balance().await.micros(), 10_000_000 - price);

    let mut other = with_credits();
    other["prepaid_hours"] = json!(48);
    for turn in [0, 1] {
        let (status, reply) = shop.order(turn, &other, &name).await;
        assert_eq!(status, 422, "{reply}");
    }
    for id in &ids {
        shop.buyer.wait_for(&shop.replicas[1], id, "active").await;
    }
    shop.check(1).await;
}
