//! One-time root passwords, through the whole server, by the cloud's own record of them.

use std::sync::Arc;

use compute_testkit::faults_log::injected;
use compute_testkit::vultr;
use compute_vendor_double::contract::Vendor;
use compute_vendor_double::wire::{Call, Disturbance};

use super::Shop;
use crate::buyer::{order, text};
use crate::first_sale::id_of;
use crate::http::Answer;
use crate::server::{Backend, PATIENCE, pause};

const READERS: usize = 256;

impl Shop {
    async fn password(&self, id: &str) -> Answer {
        let path = format!("/compute/instances/{id}/password");
        self.buyer.signed(&self.server, "POST", &path, "").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_256_callers_gets_the_password() {
    let shop = Arc::new(Shop::open(Backend::Sqlite).await);
    let id = id_of(&shop.buyer.buy(&shop.server, &order()).await);
    shop.buyer.wait_for(&shop.server, &id, "active").await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let (shop, id) = (Arc::clone(&shop), id.clone());
        readers.spawn(async move { shop.password(&id).await });
    }
    let answers = readers.join_all().await;
    injected("F155");
    let (got, others): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert_eq!((got.len(), others.len()), (1, READERS - 1));
    for other in others {
        let problem = other.json(409).unwrap();
        assert_eq!(problem["code"], "password_already_retrieved", "{problem}");
    }
    let access = got[0].json(200).unwrap();
    let told = access["access"]["password"].as_str().unwrap();
    let journal = shop.vultr.0.journal();
    let made = journal.iter().find_map(|event| match event {
        vultr::Event::Created { password, .. } => Some(password),
        _ => None,
    });
    assert_eq!(Some(told), made.map(String::as_str));
    assert!(!shop.server.log().contains(told), "a secret was logged");
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_with_a_key_has_no_password() {
    let shop = Shop::open(Backend::Sqlite).await;
    let id = shop.cloud(Vendor::Vultr).buy().await;
    let problem = shop.password(&id).await.json(409).unwrap();
    assert_eq!(problem["code"], "password_not_available", "{problem}");
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    shop.check_wires();
}

/// Before there is a machine, and while it starts, the password is not there yet; asking spends
/// nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_not_there_yet_is_not_spent() {
    let shop = Arc::new(Shop::open(Backend::Sqlite).await);
    let creates = Call::new("POST", "/v2/instances");
    let wire = shop.cloud(Vendor::Vultr).wire();
    wire.disturb_times(creates, Disturbance::SilenceBefore, 2);
    let buying = {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move { shop.buyer.buy(&shop.server, &order()).await })
    };
    let looking = async {
        loop {
            let list = "/compute/instances";
            let list = shop.buyer.signed(&shop.server, "GET", list, "").await;
            if let Some(id) = list.json(200).unwrap()["instances"][0]["id"].as_str() {
                return id.to_owned();
            }
            pause().await;
        }
    };
    let id = tokio::time::timeout(PATIENCE, looking).await.unwrap();
    assert!(shop.vultr.0.machines().is_empty());
    let early = shop.password(&id).await;
    assert_eq!(early.status, 503, "{}", text(&early));
    assert!(early.header("retry-after").is_some());
    assert_eq!(early.json(503).unwrap()["code"], "password_not_ready");
    assert_eq!(id_of(&buying.await.unwrap()), id);
    shop.buyer.wait_for(&shop.server, &id, "active").await;
    shop.password(&id).await.json(200).unwrap();
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_ends_with_its_machine() {
    let shop = Shop::open(Backend::Sqlite).await;
    let id = id_of(&shop.buyer.buy(&shop.server, &order()).await);
    shop.buyer.wait_for(&shop.server, &id, "active").await;
    shop.destroy(&id).await;
    let problem = shop.password(&id).await.json(409).unwrap();
    assert_eq!(problem["code"], "instance_not_active", "{problem}");
    shop.check_wires();
}
