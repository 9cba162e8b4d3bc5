//! One payment buys one thing, however often and from however many connections it arrives.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::buyer::{Buyer, order, pay, text};
use crate::on_both_databases;
use crate::server::{Backend, Home};

const COPIES: usize = 256;

on_both_databases!(
    copies_of_one_payment_agree,
    a_payment_shown_again_gives_the_same_result_after_a_restart,
    one_password_has_one_reader,
);

async fn copies_of_one_payment_agree(backend: Backend) {
    let home = Home::new(backend).await;
    let server = Arc::new(home.dev());
    let buyer = Buyer::new();
    let payment = Arc::new(buyer.sign(&server, &order()).await);
    let mut copies = tokio::task::JoinSet::new();
    for _ in 0..COPIES {
        let (server, payment) = (Arc::clone(&server), Arc::clone(&payment));
        copies.spawn(async move { pay(&server, &order(), &payment).await.json(200).unwrap() });
    }
    let mut answers = BTreeSet::new();
    while let Some(reply) = copies.join_next().await {
        let reply = reply.unwrap();
        answers.insert(format!("{} {}", reply["order"]["id"], reply["tx_hash"]));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    let list = buyer
        .signed(&server, "GET", "/compute/instances", "")
        .await
        .json(200)
        .unwrap();
    let instances = list["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 1);
    let id = instances[0]["id"].as_str().unwrap();
    buyer.wait_for(&server, id, "active").await;
    assert_eq!(home.journal("settled-base").len(), 1);
    assert_eq!(home.journal("vultr").len(), 1);
    let once = ["ledger_transfers", "payments", "instances", "operations"];
    let counts = home.count_rows(&once).await;
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

async fn a_payment_shown_again_gives_the_same_result_after_a_restart(backend: Backend) {
    let home = Home::new(backend).await;
    let mut server = home.dev();
    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    let first = pay(&server, &order(), &payment).await.json(200).unwrap();
    server.kill();

    let server = home.dev();
    let again = pay(&server, &order(), &payment).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let again = again.json(200).unwrap();
    for member in ["id", "plan", "expires_at"] {
        assert_eq!(again["order"][member], first["order"][member], "{member}");
    }
    assert_eq!(again["tx_hash"], first["tx_hash"]);

    let mut other = order();
    other["label"] = "another".into();
    let refused = pay(&server, &other, &payment).await;
    assert_eq!(refused.status, 409, "{}", text(&refused));
    assert_eq!(refused.json(409).unwrap()["code"], "payment_already_used");
    assert_eq!(home.journal("settled-base").len(), 1);
    let id = first["order"]["id"].as_str().unwrap();
    buyer.wait_for(&server, id, "active").await;
}

async fn one_password_has_one_reader(backend: Backend) {
    let home = Home::new(backend).await;
    let server = Arc::new(home.dev());
    let buyer = Arc::new(Buyer::new());
    let id = buyer.buy(&server, &order()).await["order"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    buyer.wait_for(&server, &id, "active").await;
    let path = Arc::new(format!("/compute/instances/{id}/password"));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..COPIES {
        let (server, buyer, path) = (Arc::clone(&server), Arc::clone(&buyer), Arc::clone(&path));
        readers.spawn(async move { buyer.signed(&server, "POST", &path, "").await.status });
    }
    let mut statuses = readers.join_all().await;
    statuses.sort_unstable();
    let mut expected = vec![409; COPIES];
    expected[0] = 200;
    assert_eq!(statuses, expected);
}
