//! `serve` paid by challenges, with the project's own stand-in for the Tempo chain behind it: its record says
//! who paid whom.

use compute_mpp::Challenge;
use compute_payment_double::tempo::{self, Fault, Handle, Options};
use compute_testkit::scripted_charge::TempoBuyer;
use compute_testkit::{facilitator, vultr};
use serde_json::{Value, json};

use crate::buyer::{now_ms, order, post};
use crate::http::Answer;
use crate::on_both_databases;
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, Server};

pub(crate) const RECIPIENT: &str = "0x7777777777777777777777777777777777777777";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

on_both_databases!(
    a_credential_buys_once_over_a_restart,
    a_lost_answer_of_the_chain_is_no_second_payment,
);

struct Shop {
    home: Home,
    cloud: vultr::Handle,
    network: facilitator::Handle,
    chain: Handle,
}

impl Shop {
    async fn open(backend: Backend) -> Self {
        let network = facilitator::spawn(facilitator::Options::default());
        Self {
            home: Home::new(backend).await,
            cloud: vultr::spawn(vultr::Options::default()).await.unwrap(),
            network: network.await.unwrap(),
            chain: tempo::spawn(Options::default()).await.unwrap(),
        }
    }

    fn start(&self) -> Server {
        let variables = [
            ("COMPUTE_SERVER_MPP__SECRET", SECRET),
            ("COMPUTE_SERVER_MPP__TEMPO__RECIPIENT", RECIPIENT),
            ("COMPUTE_SERVER_MPP__TEMPO__RPC_URL", &self.chain.url()),
        ];
        serve_with(&self.home, &self.cloud.api_url(), &self.network, &variables)
    }

    /// What the chain moved to the shop: amounts, in order.
    fn paid(&self) -> Vec<u128> {
        let transfers = self.chain.transfers().into_iter();
        let own = transfers.filter(|it| it.to.eq_ignore_ascii_case(RECIPIENT));
        own.map(|it| it.amount).collect()
    }
}

fn challenge(answer: &Answer) -> Challenge {
    assert_eq!(answer.status, 402);
    let lines = answer.headers.get_all("www-authenticate").iter();
    let lines = lines.map(axum::http::HeaderValue::as_bytes);
    let offers = Challenge::parse_www_authenticate(lines).unwrap();
    offers.into_iter().next().unwrap()
}

pub(crate) fn credential(buyer: &TempoBuyer, answer: &Answer) -> [(&'static str, String); 1] {
    let paid = buyer.pay(&challenge(answer), now_ms() / 1_000);
    [("authorization", paid)]
}

async fn wait_until_active(server: &Server, id: &str, key: &str) -> Value {
    let path = format!("/compute/orders/{id}?wait=30");
    let headers = [("x-api-key", key.to_owned())];
    loop {
        let reply = server.get(&path, &headers).await.json(200).unwrap();
        if reply["order"]["status"] == "active" {
            return reply;
        }
    }
}

async fn a_credential_buys_once_over_a_restart(backend: Backend) {
    let shop = Shop::open(backend).await;
    let server = shop.start();
    let buyer = TempoBuyer::new(1);
    shop.chain.fund(buyer.address(), 1_000_000_000);
    let proof = credential(&buyer, &post(&server, &order(), &[]).await);
    let bought = post(&server, &order(), &proof).await;
    assert!(bought.header("payment-receipt").is_some());
    let bought = bought.json(200).unwrap();
    let key = bought["management_api_key"].as_str().unwrap().to_owned();
    let id = bought["order"]["id"].as_str().unwrap();
    let hash = bought["tx_hash"].as_str().unwrap();
    assert_eq!(shop.paid().len(), 1);
    // The answer is lost, and the server killed.
    drop(server);
    let server = shop.start();
    let again = post(&server, &order(), &proof).await.json(200).unwrap();
    assert_eq!(again["order"]["id"], id);
    assert_eq!(again["tx_hash"], hash);
    assert_eq!(again["management_api_key"], key);
    wait_until_active(&server, id, &key).await;
    // More time, by the key and another credential.
    let path = format!("/compute/instances/{id}/extend");
    let body = json!({ "extend_hours": 24 }).to_string();
    let own = [
        ("content-type", "application/json".to_owned()),
        ("x-api-key", key),
    ];
    let asked = server.send("POST", &path, &own, &body).await;
    let paying = [own.as_slice(), &credential(&buyer, &asked)].concat();
    let extended = server.send("POST", &path, &paying, &body).await;
    assert_eq!(extended.json(200).unwrap()["extended_hours"], 24);
    let paid = shop.paid();
    assert_eq!(paid.len(), 2, "{paid:?}");
    assert_eq!(paid[0], paid[1]);
    assert_eq!(shop.cloud.machines().len(), 1);
    assert!(!server.log().contains(SECRET));
}

/// The chain takes the transaction, and the connection ends before it says so.
async fn a_lost_answer_of_the_chain_is_no_second_payment(backend: Backend) {
    let shop = Shop::open(backend).await;
    let server = shop.start();
    let buyer = TempoBuyer::new(1);
    shop.chain.fund(buyer.address(), 1_000_000_000);
    shop.chain
        .disturb("eth_sendRawTransactionSync", Fault::DropAfter);
    let proof = credential(&buyer, &post(&server, &order(), &[]).await);
    let bought = post(&server, &order(), &proof).await.json(200).unwrap();
    let id = bought["order"]["id"].as_str().unwrap();
    let key = bought["management_api_key"].as_str().unwrap();
    wait_until_active(&server, id, key).await;
    let again = post(&server, &order(), &proof).await.json(200).unwrap();
    assert_eq!(again["order"]["id"], id);
    assert_eq!(again["settlement"], "settled");
    assert_eq!((shop.paid().len(), shop.cloud.machines().len()), (1, 1));
    assert_eq!(shop.chain.faults_left(), 0);
}
