//! Amounts, hours, names and machines that no purchase with credits can have.

use serde_json::{Value, json};

use super::{NONCES, Stage, TABLES};
use crate::buyer::{Buyer, PROVISION, order, text};
use crate::first_sale::id_of;
use crate::on_both_databases;
use crate::server::{Backend, Home, Server};

on_both_databases!(
    a_bad_amount_is_refused,
    only_a_running_machine_of_ones_own_is_extended,
    a_name_stands_for_one_purchase_of_one_owner,
);

const TOPUP: &str = "/compute/credits/topup";

async fn a_bad_amount_is_refused(backend: Backend) {
    let stage = Stage::open(backend).await;
    let buyer = Buyer::new();
    for amount in [
        "-1",
        "0",
        "0.99",
        "0.0000001",
        "1.0000001",
        "100000.01",
        "1e2",
        "1e400",
        "99999999999999999999",
        "1000000001",
        "NaN",
        "Infinity",
        "\"50\"",
        "\"NaN\"",
        "null",
        "true",
        "[50]",
        "{}",
        "05",
        "0x10",
    ] {
        let body = format!("{{\"amount\":{amount},\"network\":\"base\"}}");
        let answer = buyer.signed(&stage.server, "POST", TOPUP, &body).await;
        assert_eq!(answer.status, 400, "{amount}: {}", text(&answer));
        assert_eq!(answer.json(400).unwrap()["code"], "invalid_request");
    }
    for body in ["", "{}", "50", "{\"amount\":50,\"use_credits\":true}"] {
        let answer = buyer.signed(&stage.server, "POST", TOPUP, body).await;
        assert_eq!(answer.status, 400, "{body}: {}", text(&answer));
    }
    let headers = [("content-type", "application/json".to_owned())];
    let body = "{\"amount\":50}";
    let anonymous = stage.server.send("POST", TOPUP, &headers, body).await;
    assert_eq!(anonymous.status, 401, "{}", text(&anonymous));

    let mut now = stage.home.count_rows(TABLES).await;
    // A signature that was good is spent, whatever it signed.
    now.insert(NONCES, stage.before[NONCES]);
    assert_eq!(now, stage.before);
    assert!(stage.home.journal("settled-base").is_empty());
}

async fn only_a_running_machine_of_ones_own_is_extended(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    let (buyer, stranger) = (Buyer::new(), Buyer::new());
    buyer.top_up(&server, 5).await;
    stranger.top_up(&server, 5).await;
    let bought = with_credits(&buyer, &server, PROVISION, order(), 200, &[]).await;
    let id = id_of(&bought);
    let before = buyer.wait_for(&server, &id, "active").await;
    let path = format!("/compute/instances/{id}/extend");
    for hours in [
        json!(0),
        json!(23),
        json!(4_321),
        json!(-24),
        json!(24.5),
        json!("24"),
        json!(u64::MAX),
        json!([24]),
    ] {
        let body = json!({ "extend_hours": hours });
        with_credits(&buyer, &server, &path, body, 400, &[]).await;
    }
    let day = json!({ "extend_hours": 24 });
    let nowhere = "/compute/instances/00000000-0000-0000-0000-000000000000/extend";
    with_credits(&buyer, &server, nowhere, day.clone(), 404, &[]).await;
    with_credits(&stranger, &server, &path, day.clone(), 404, &[]).await;
    let seen = buyer.wait_for(&server, &id, "active").await;
    assert_eq!(seen["expires_at"], before["expires_at"]);

    let instance = format!("/compute/instances/{id}");
    let gone = buyer.signed(&server, "DELETE", &instance, "").await;
    assert_eq!(gone.status, 200);
    let over = with_credits(&buyer, &server, &path, day.clone(), 409, &[]).await;
    assert_eq!(over["code"], "instance_not_active");
    buyer.wait_for(&server, &id, "destroyed").await;
    let over = with_credits(&buyer, &server, &path, day, 409, &[]).await;
    assert_eq!(over["code"], "instance_not_active");
    let untouched = stranger.balance(&server).await;
    assert_eq!(untouched.balance.to_string(), "5.00");
}

async fn a_name_stands_for_one_purchase_of_one_owner(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    let (buyer, stranger) = (Buyer::new(), Buyer::new());
    buyer.top_up(&server, 5).await;
    stranger.top_up(&server, 5).await;
    for bad in ["short", "", "with blanks in it", &"x".repeat(256)] {
        let name = [("idempotency-key", bad.to_owned())];
        with_credits(&buyer, &server, PROVISION, order(), 400, &name).await;
    }
    let name = [("idempotency-key", "machine-1".to_owned())];
    let first = with_credits(&buyer, &server, PROVISION, order(), 200, &name).await;
    let again = with_credits(&buyer, &server, PROVISION, order(), 200, &name).await;
    assert_eq!(id_of(&first), id_of(&again));

    let mut other = order();
    other["label"] = json!("second");
    let reused = with_credits(&buyer, &server, PROVISION, other, 422, &name).await;
    assert_eq!(reused["code"], "idempotency_key_reused");
    // Every owner has names of its own.
    let foreign = with_credits(&stranger, &server, PROVISION, order(), 200, &name).await;
    assert_ne!(id_of(&first), id_of(&foreign));
    assert_eq!(home.count_rows(&["instances"]).await["instances"], 2);
    let spent = [&buyer, &stranger].map(|owner| owner.balance(&server));
    let [one, two] = spent;
    assert_eq!(one.await, two.await);
}

/// Buys with credits, and returns the whole reply.
async fn with_credits(
    buyer: &Buyer,
    server: &Server,
    path: &str,
    mut body: Value,
    status: u16,
    names: &[(&str, String)],
) -> Value {
    body["use_credits"] = json!(true);
    let body = body.to_string();
    let answer = buyer.signed_with(server, "POST", path, &body, names).await;
    assert_eq!(answer.status, status, "{body}: {}", text(&answer));
    answer.json(status).unwrap()
}
