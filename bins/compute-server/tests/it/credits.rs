//! Credits from the top-up to the machine's grave, over real HTTP.

use compute_domain::money::Usd;
use serde_json::{Value, json};

use crate::buyer::{Buyer, PROVISION, challenge_in, dollars, order, text};
use crate::first_sale::id_of;
use crate::on_both_databases;
use crate::server::{Backend, Home, Server};

on_both_databases!(
    credits_buy_extend_and_come_back,
    an_extension_is_paid_by_the_owner_and_nobody_else,
    what_credits_cannot_buy_is_not_bought,
);

async fn credits_buy_extend_and_come_back(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    let buyer = Buyer::new();
    let topup = buyer.top_up(&server, 20).await;
    assert_eq!(dollars(&topup["deposited"]), usd("20"));
    assert_eq!(topup["new_balance"], "20.00");
    assert!(topup["tx_hash"].as_str().unwrap().starts_with("0x"));

    let bought = with_credits(&buyer, &server, PROVISION, order(), 200).await;
    let price = amount(&bought["charged"]);
    assert_eq!(amount(&bought["new_balance"]), minus(usd("20"), price));
    let id = id_of(&bought);
    let active = buyer.wait_for(&server, &id, "active").await;

    let path = format!("/compute/instances/{id}/extend");
    let extended = with_credits(&buyer, &server, &path, day(), 200).await;
    assert_eq!(amount(&extended["charged"]), price);
    assert_one_day_later(&active, &extended["order"]);
    let twice = price.checked_add(price).unwrap();
    assert_eq!(
        buyer.balance(&server).await.balance,
        minus(usd("20"), twice)
    );

    // One day is the minimum charge; the other one is hardly begun.
    let path = format!("/compute/instances/{id}");
    let gone = buyer.signed(&server, "DELETE", &path, "").await;
    let gone = gone.json(200).unwrap();
    let credited = dollars(&gone["credited"]);
    assert_eq!(credited, price);
    assert_eq!(gone["credited_to"], "credits");
    buyer.wait_for(&server, &id, "destroyed").await;
    let again = buyer.signed(&server, "DELETE", &path, "").await;
    assert_eq!(dollars(&again.json(200).unwrap()["credited"]), credited);

    let rest = buyer.balance(&server).await;
    assert_eq!(rest.balance, minus(usd("20"), price));
    assert_eq!(home.journal("settled-base").len(), 1);
    expect_story(&server, &buyer, &id).await;
}

/// The status URL tells every purchase and every movement of money.
async fn expect_story(server: &Server, buyer: &Buyer, id: &str) {
    let path = format!("/compute/orders/{id}");
    let story = buyer.signed(server, "GET", &path, "").await;
    let story = story.json(200).unwrap();
    let told: Vec<(&str, Vec<&str>)> = story["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| {
            let transfers = operation["transfers"].as_array().unwrap();
            let reasons = transfers.iter().map(|row| row["reason"].as_str().unwrap());
            (operation["kind"].as_str().unwrap(), reasons.collect())
        })
        .collect();
    let expected = [
        ("provision", vec!["spend"]),
        ("extend", vec!["spend"]),
        ("destroy", vec!["early_destroy"]),
    ];
    assert_eq!(told, expected, "{story}");
}

async fn an_extension_is_paid_by_the_owner_and_nobody_else(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    let buyer = Buyer::new();
    let id = id_of(&buyer.buy(&server, &order()).await);
    let active = buyer.wait_for(&server, &id, "active").await;
    let path = format!("/compute/instances/{id}/extend");
    let body = day().to_string();
    let json_type = ("content-type", "application/json".to_owned());

    // As published clients do it: no signature of a request, only of the payment.
    let headers = [json_type.clone()];
    let asked = server.send("POST", &path, &headers, &body).await;
    let challenge = challenge_in(&asked);
    let stranger = Buyer::new();
    for (payer, status) in [(&stranger, 403), (&buyer, 200)] {
        let payment = payer.sign_first(&challenge);
        let headers = [
            json_type.clone(),
            (payment.header_name(), payment.to_header()),
        ];
        let answer = server.send("POST", &path, &headers, &body).await;
        let reply = answer.json(status).unwrap();
        if status == 200 {
            assert_one_day_later(&active, &reply["order"]);
            let again = server.send("POST", &path, &headers, &body).await;
            assert_eq!(again.header("idempotent-replayed"), Some("true"));
            assert_eq!(again.json(200).unwrap()["tx_hash"], reply["tx_hash"]);
        }
    }
    assert_eq!(home.journal("settled-base").len(), 2);
    let nothing = buyer.balance(&server).await;
    assert_eq!(nothing.deposited, Usd::ZERO);
}

async fn what_credits_cannot_buy_is_not_bought(backend: Backend) {
    let home = Home::new(backend).await;
    let server = home.dev();
    let buyer = Buyer::new();
    let poor = with_credits(&buyer, &server, PROVISION, order(), 402).await;
    assert_eq!(poor["code"], "insufficient_credits");
    assert_eq!(poor["balance"], "0.00");
    assert_eq!(poor["required"], poor["shortfall"]);
    assert!(poor.get("accepts").is_none(), "{poor}");

    buyer.top_up(&server, 1).await;
    let mut dear = order();
    dear["max_total_usd"] = json!("0.01");
    let dear = with_credits(&buyer, &server, PROVISION, dear, 409).await;
    assert!(dear.to_string().contains("0.01"), "{dear}");
    let stranger = Buyer::new();
    let foreign = with_credits(&stranger, &server, PROVISION, order(), 402).await;
    assert_eq!(foreign["code"], "insufficient_credits");
    let anonymous = with_credits_unsigned(&server).await;
    assert_eq!(anonymous.status, 401, "{}", text(&anonymous));

    assert_eq!(buyer.balance(&server).await.balance, usd("1"));
    let counts = home.count_rows(&["instances", "operations"]).await;
    assert_eq!((counts["instances"], counts["operations"]), (0, 1));
}

async fn with_credits_unsigned(server: &Server) -> crate::http::Answer {
    let mut body = order();
    body["use_credits"] = json!(true);
    let headers = [("content-type", "application/json".to_owned())];
    let body = body.to_string();
    server.send("POST", PROVISION, &headers, &body).await
}

/// Buys with credits, and returns the whole reply.
async fn with_credits(
    buyer: &Buyer,
    server: &Server,
    path: &str,
    mut body: Value,
    status: u16,
) -> Value {
    body["use_credits"] = json!(true);
    let answer = buyer.signed(server, "POST", path, &body.to_string()).await;
    assert!(answer.header("payment-required").is_none() || status != 402);
    answer.json(status).unwrap()
}

/// An order for one more day.
fn day() -> Value {
    json!({ "extend_hours": 24, "network": "base" })
}

fn assert_one_day_later(before: &Value, after: &Value) {
    let [before, after] = [before, after].map(|order| order["expires_at"].as_str().unwrap());
    let parse = |text: &str| compute_domain::time::Timestamp::parse(text).unwrap();
    let grown = parse(after).since(parse(before));
    assert_eq!(grown, compute_domain::time::Span::from_hours(24));
}

fn usd(text: &str) -> Usd {
    Usd::parse(text).unwrap()
}

/// An amount that an answer has as a text.
fn amount(value: &Value) -> Usd {
    usd(value.as_str().unwrap())
}

fn minus(whole: Usd, part: Usd) -> Usd {
    whole.checked_sub(part).unwrap()
}
