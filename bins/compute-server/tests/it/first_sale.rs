//! The first sale, from the catalogue to the grave of the machine.

use compute_x402::PaymentPayload;
use serde_json::{Value, json};

use crate::buyer::{Buyer, order, pay, text};
use crate::on_both_databases;
use crate::server::{Backend, Home, Server};

on_both_databases!(
    an_agent_buys_reads_and_destroys_a_machine,
    an_api_key_acts_for_its_wallet,
);

async fn an_agent_buys_reads_and_destroys_a_machine(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    let buyer = Buyer::new();
    expect_open_shop(&server).await;
    let payment = buyer.sign(&server, &order()).await;
    let id = expect_sale(&server, &payment).await;
    let active = buyer.wait_for(&server, &id, "active").await;
    assert_ne!(active["ip_address"], "0.0.0.0");
    assert_eq!(active["label"], "first");
    expect_privacy(&server, &payment, &id).await;
    let password = expect_one_password(&server, &buyer, &id).await;
    expect_grave(&server, &buyer, &id).await;

    assert_eq!(home.journal("settled-base").len(), 1);
    let log = server.log();
    for secret in [password, payment.to_header()] {
        assert!(!log.contains(&secret), "a secret was logged");
    }
}

async fn expect_open_shop(server: &Server) {
    let ready = server.get("/readyz", &[]).await;
    assert_eq!(ready.json(200).unwrap()["ready"], true);
    let plans = server
        .get("/compute/plans?type=vps", &[])
        .await
        .json(200)
        .unwrap();
    let plans = plans["plans"].as_array().unwrap();
    assert!(plans.iter().any(|plan| plan["id"] == order()["plan"]));
}

async fn expect_sale(server: &Server, payment: &PaymentPayload) -> String {
    let paid = pay(server, &order(), payment).await;
    let reply = paid.json(200).unwrap();
    assert_eq!(reply["success"], true);
    assert_eq!(reply["settlement"], "settled");
    assert!(reply["tx_hash"].as_str().unwrap().starts_with("0x"));
    assert!(paid.header("payment-response").is_some());
    assert!(paid.header("x-payment-response").is_some());
    assert!(reply.get("error").is_none() && reply.get("detail").is_none());
    id_of(&reply)
}

/// Whoever shows the payment again may read the order; strangers see nothing.
async fn expect_privacy(server: &Server, payment: &PaymentPayload, id: &str) {
    let status = format!("/compute/orders/{id}");
    let shown = [(payment.header_name(), payment.to_header())];
    let seen = server.get(&status, &shown).await;
    assert_eq!(seen.status, 200, "{}", text(&seen));
    assert_ne!(server.get(&status, &[]).await.status, 200);
    let stranger = Buyer::new();
    let path = format!("/compute/instances/{id}");
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/password")),
    ] {
        let answer = stranger.signed(server, method, &path, "").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
}

async fn expect_one_password(server: &Server, buyer: &Buyer, id: &str) -> String {
    let path = format!("/compute/instances/{id}/password");
    let access = buyer
        .signed(server, "POST", &path, "")
        .await
        .json(200)
        .unwrap();
    let again = buyer
        .signed(server, "POST", &path, "")
        .await
        .json(409)
        .unwrap();
    assert_eq!(again["code"], "password_already_retrieved");
    access["access"]["password"].as_str().unwrap().to_owned()
}

async fn expect_grave(server: &Server, buyer: &Buyer, id: &str) {
    let path = format!("/compute/instances/{id}");
    let gone = buyer
        .signed(server, "DELETE", &path, "")
        .await
        .json(200)
        .unwrap();
    assert_eq!(gone["success"], true);
    buyer.wait_for(server, id, "destroyed").await;
    assert_eq!(buyer.signed(server, "DELETE", &path, "").await.status, 200);
    let list = buyer
        .signed(server, "GET", "/compute/instances", "")
        .await
        .json(200)
        .unwrap();
    assert_eq!(list["instances"].as_array().map(Vec::len), Some(1));
}

async fn an_api_key_acts_for_its_wallet(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    let buyer = Buyer::new();
    let id = id_of(&buyer.buy(&server, &order()).await);
    let keys = "/compute/api-keys";
    let body = json!({ "label": "agent" }).to_string();
    let made = buyer
        .signed(&server, "POST", keys, &body)
        .await
        .json(201)
        .unwrap();
    let api_key = made["api_key"].as_str().unwrap().to_owned();
    assert!(api_key.starts_with("x402c_"));

    let with_key = [("x-api-key", api_key.clone())];
    let list = server
        .get("/compute/instances", &with_key)
        .await
        .json(200)
        .unwrap();
    assert_eq!(list["instances"][0]["id"], id.as_str());
    let listed = server.get(keys, &with_key).await.json(200).unwrap();
    assert_eq!(
        listed["api_keys"][0]["key_last4"],
        api_key[api_key.len() - 4..]
    );
    assert!(!listed.to_string().contains(&api_key));

    // A key makes no keys and ends none.
    let refused = server
        .send("POST", keys, &with_key, "")
        .await
        .json(403)
        .unwrap();
    assert_eq!(refused["code"], "signature_required");
    let path = format!("{keys}/{}", made["id"].as_str().unwrap());
    assert_eq!(
        server.send("DELETE", &path, &with_key, "").await.status,
        403
    );
    assert_eq!(
        Buyer::new()
            .signed(&server, "DELETE", &path, "")
            .await
            .status,
        404
    );

    assert_eq!(buyer.signed(&server, "DELETE", &path, "").await.status, 200);
    let revoked = server
        .get("/compute/instances", &with_key)
        .await
        .json(401)
        .unwrap();
    assert_eq!(revoked["code"], "api_key_invalid");
    assert!(!server.log().contains(&api_key), "an API key was logged");
}

pub(crate) fn id_of(reply: &Value) -> String {
    reply["order"]["id"].as_str().unwrap().to_owned()
}
