//! Card payments that go back to their buyers: refunds by an operator, and disputes. The double of Stripe
//! says what went back.

use std::process::Output;

use compute_domain::money::Usd;
use compute_payment_double::stripe::{Card, Fault, sign_webhook as sign};
use compute_testkit::faults_log::injected;
use serde_json::{Value, json};

use crate::buyer::{now_ms, post};
use crate::cards::{Shop, month};
use crate::on_both_databases;
use crate::ops::{document, ops, said};
use crate::server::{Backend, PATIENCE, Server, pause};

const WEBHOOK: &str = "/compute/webhooks/stripe";
const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef";

on_both_databases!(
    an_operator_gives_a_card_payment_back,
    a_refund_that_stripe_refuses_is_credit_again,
    a_disputed_payment_is_frozen_until_it_is_won,
    what_is_given_back_while_it_is_disputed_is_frozen,
    a_webhook_makes_us_ask,
);

/// What somebody bought by card.
struct Sale {
    order: String,
    operation: String,
    key: String,
    payment: String,
}

async fn buy(shop: &Shop, token: &str) -> Sale {
    let credential = shop.sign(token, Card::Pays).await;
    let headers = [("authorization", credential)];
    let bought = post(&shop.server, &month(), &headers).await;
    let bought = bought.json(200).unwrap();
    let order = bought["order"]["id"].as_str().unwrap().to_owned();
    let key = bought["management_api_key"].as_str().unwrap().to_owned();
    let path = format!("/compute/instances/{order}");
    let shown = [("x-api-key", key.clone())];
    let is_active = async {
        loop {
            let reply = shop.server.get(&path, &shown).await.json(200).unwrap();
            if reply["order"]["status"] == "active" {
                return;
            }
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, is_active).await.unwrap();
    let story = document(&shop.home, &["show", &order], 0);
    let first = &story["operations"][0];
    Sale {
        order,
        operation: first["operation"]["id"].as_str().unwrap().to_owned(),
        key,
        payment: first["payment"]["reference"].as_str().unwrap().to_owned(),
    }
}

/// Ends the machine; what became credit.
async fn end(server: &Server, sale: &Sale) -> Usd {
    let path = format!("/compute/instances/{}", sale.order);
    let headers = [("x-api-key", sale.key.clone())];
    server
        .send("DELETE", &path, &headers, "")
        .await
        .json(200)
        .unwrap();
    usd(&credits(server, sale).await["total_deposited"])
}

async fn credits(server: &Server, sale: &Sale) -> Value {
    let headers = [("x-api-key", sale.key.clone())];
    let path = "/compute/credits/balance";
    server.get(path, &headers).await.json(200).unwrap()
}

fn usd(value: &Value) -> Usd {
    Usd::parse(value.as_str().unwrap()).unwrap()
}

async fn balance(server: &Server, sale: &Sale) -> Usd {
    usd(&credits(server, sale).await["balance"])
}

/// What `ops` says once it is what the test waits for.
async fn told(shop: &Shop, words: &[&str], is_there: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let said = document(&shop.home, words, 0);
            if is_there(&said) {
                return said;
            }
            pause().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("{:?}", document(&shop.home, words, 0)))
}

fn whole_cents(amount: Usd) -> u64 {
    u64::try_from(amount.micros() / 10_000).unwrap()
}

fn refunded(shop: &Shop, sale: &Sale) -> Vec<u64> {
    let own = shop.api.refunded().into_iter();
    let own = own.filter(|it| it.payment_intent == sale.payment);
    own.map(|it| it.amount).collect()
}

fn assert_books(shop: &Shop) {
    let audit = document(&shop.home, &["audit"], 0);
    assert_eq!(audit["ok"], true, "{audit}");
}

/// Orders a refund of a sale.
fn refund(shop: &Shop, sale: &Sale, more: &[&str]) -> Output {
    let words = [
        "--json",
        "refund",
        &sale.operation,
        "--to-card",
        "--reason",
        "asked for it",
    ];
    ops(&shop.home, &[words.as_slice(), more].concat())
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&said(output, 0)).unwrap()
}

async fn wait_until_sent(shop: &Shop, sale: &Sale) {
    let sent = async {
        while refunded(shop, sale).is_empty() {
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, sent).await.unwrap();
}

async fn wait_until_done(shop: &Shop, count: usize) {
    let done = |said: &Value| {
        let all = said["refunds"].as_array().unwrap();
        all.len() == count && all.iter().all(|it| it["state"] == "succeeded")
    };
    told(shop, &["refunds"], done).await;
}

/// In part and then the rest, though the answer is lost and the server killed.
async fn an_operator_gives_a_card_payment_back(backend: Backend) {
    let mut shop = Shop::open(backend).await;
    let sale = buy(&shop, "spt_one").await;
    // The machine runs: nothing is left as credit.
    said(&refund(&shop, &sale, &[]), 2);
    let credit = end(&shop.server, &sale).await;
    assert!(whole_cents(credit) > 100, "{credit}");
    shop.api.disturb("POST refunds", Fault::DropAfter);
    order_a_dollar(&shop, &sale);
    let rest = credit.checked_sub(Usd::parse("1").unwrap()).unwrap();
    assert_eq!(balance(&shop.server, &sale).await, rest);
    wait_until_sent(&shop, &sale).await;
    shop.server.kill();
    injected("F081");
    shop.server = shop.serve(&[]);
    wait_until_done(&shop, 1).await;
    assert_eq!(refunded(&shop, &sale), [100]);

    let rest_of_it = ["--key", "ticket-2"];
    let ordered = parsed(&refund(&shop, &sale, &rest_of_it));
    assert_eq!(ordered["new"], true);
    wait_until_done(&shop, 2).await;
    assert_eq!(refunded(&shop, &sale), [100, whole_cents(rest)]);
    let left = balance(&shop.server, &sale).await;
    assert!(left < Usd::parse("0.01").unwrap(), "{left}");
    said(&refund(&shop, &sale, &["--key", "ticket-3"]), 2);
    let shown = said(&ops(&shop.home, &["show", &sale.operation]), 0);
    assert!(shown.contains("card_refund.paid"), "{shown}");
    let text = said(&ops(&shop.home, &["refunds"]), 0);
    assert!(text.contains("ticket-1") && text.contains("re_0"), "{text}");
    assert_books(&shop);
}

/// Taken at once, and once.
fn order_a_dollar(shop: &Shop, sale: &Sale) {
    let dollar = ["--amount", "1", "--key", "ticket-1"];
    let begun = parsed(&refund(shop, sale, &dollar));
    assert_eq!(
        (&begun["new"], &begun["refund"]["amount"]),
        (&json!(true), &json!("1.00"))
    );
    let again = parsed(&refund(shop, sale, &dollar));
    assert_eq!(again["new"], false);
    assert_eq!(again["refund"]["id"], begun["refund"]["id"]);
    for (amount, name) in [
        ("2", "ticket-1"),
        ("1000", "ticket-2"),
        ("0.001", "ticket-2"),
    ] {
        let refused = refund(shop, sale, &["--amount", amount, "--key", name]);
        said(&refused, 2);
    }
}

async fn a_refund_that_stripe_refuses_is_credit_again(backend: Backend) {
    let shop = Shop::open(backend).await;
    let sale = buy(&shop, "spt_one").await;
    let credit = end(&shop.server, &sale).await;
    shop.api.begin_refunds_as("pending");
    said(&refund(&shop, &sale, &[]), 0);
    wait_until_sent(&shop, &sale).await;
    // While it is on its way, nobody can spend it.
    let list = document(&shop.home, &["list"], 0);
    assert_eq!(list["refunds"][0]["state"], "pending", "{list}");
    assert!(balance(&shop.server, &sale).await < Usd::parse("0.01").unwrap());
    shop.api.set_refund("re_0", "failed");
    injected("F081");
    let failed = |said: &Value| said["refunds"][0]["state"] == "failed";
    told(&shop, &["refunds"], failed).await;
    assert_eq!(balance(&shop.server, &sale).await, credit);
    assert!(refunded(&shop, &sale).is_empty());
    assert_books(&shop);
}

/// Seen by all replicas, frozen once.
async fn a_disputed_payment_is_frozen_until_it_is_won(backend: Backend) {
    let shop = Shop::open(backend).await;
    let _other = (backend == Backend::Postgres).then(|| shop.serve(&[]));
    let sale = buy(&shop, "spt_one").await;
    let credit = end(&shop.server, &sale).await;
    let dispute = shop.api.dispute(&sale.payment);
    injected("F081");
    let list = told(&shop, &["list"], |said| said["disputes"][0].is_object()).await;
    let seen = &list["disputes"][0];
    assert_eq!(seen["dispute"], dispute);
    assert_eq!(seen["operation"], sale.operation);
    assert_eq!(usd(&seen["frozen"]), credit);
    assert_eq!(balance(&shop.server, &sale).await, Usd::ZERO);
    let text = said(&ops(&shop.home, &["list"]), 0);
    assert!(text.contains("These payments are disputed"), "{text}");
    let log = shop.server.log();
    assert!(log.contains("a payment is disputed"), "{log}");
    // Frozen credit buys nothing, and goes back to no card.
    let body = json!({ "use_credits": true });
    let mut order = month();
    for (name, value) in body.as_object().unwrap() {
        order[name] = value.clone();
    }
    let headers = [("x-api-key", sale.key.clone())];
    let refused = post(&shop.server, &order, &headers).await;
    assert_eq!(refused.status, 402, "{:?}", refused.json(refused.status));
    said(&refund(&shop, &sale, &[]), 2);
    assert_books(&shop);

    shop.api.set_dispute(&dispute, "won");
    let won = |said: &Value| said["disputes"][0]["state"] == "won";
    let said = told(&shop, &["disputes"], won).await;
    assert_eq!(usd(&said["disputes"][0]["frozen"]), Usd::ZERO);
    assert_eq!(balance(&shop.server, &sale).await, credit);
    let rows = shop
        .home
        .count_rows(&["card_reserves", "card_disputes"])
        .await;
    assert_eq!((rows["card_reserves"], rows["card_disputes"]), (1, 1));
    assert_books(&shop);
}

async fn what_is_given_back_while_it_is_disputed_is_frozen(backend: Backend) {
    let shop = Shop::open(backend).await;
    let sale = buy(&shop, "spt_one").await;
    let dispute = shop.api.dispute(&sale.payment);
    injected("F081");
    let list = told(&shop, &["list"], |said| said["disputes"][0].is_object()).await;
    assert_eq!(usd(&list["disputes"][0]["frozen"]), Usd::ZERO);
    let credit = end(&shop.server, &sale).await;
    assert!(credit > Usd::ZERO);
    assert_eq!(balance(&shop.server, &sale).await, Usd::ZERO);
    let list = document(&shop.home, &["list"], 0);
    assert_eq!(usd(&list["disputes"][0]["frozen"]), credit);
    shop.api.set_dispute(&dispute, "lost");
    let lost = |said: &Value| said["disputes"][0]["state"] == "lost";
    let said = told(&shop, &["disputes"], lost).await;
    assert_eq!(usd(&said["disputes"][0]["paid_back"]), credit);
    assert_eq!(balance(&shop.server, &sale).await, Usd::ZERO);
    assert_books(&shop);
}

async fn notify(server: &Server, signature: Option<String>, body: &str) -> u16 {
    let headers: Vec<_> = signature
        .map(|signature| ("stripe-signature", signature))
        .into_iter()
        .collect();
    server.send("POST", WEBHOOK, &headers, body).await.status
}

/// And nothing more: what it says of the dispute is not true.
async fn a_webhook_makes_us_ask(backend: Backend) {
    let mut shop = Shop::open(backend).await;
    let body = json!({
        "type": "charge.dispute.closed",
        "data": { "object": { "id": "dp_0", "status": "won" } },
    });
    let body = body.to_string();
    let now_s = now_ms() / 1_000;
    let good = sign(WEBHOOK_SECRET, now_s, &body);
    // Without a secret there is no such place.
    assert_eq!(notify(&shop.server, Some(good.clone()), &body).await, 404);
    shop.server.kill();
    shop.server = shop.serve(&[
        ("COMPUTE_SERVER_MPP__STRIPE__WEBHOOK_SECRET", WEBHOOK_SECRET),
        // Nothing else asks while this test runs.
        ("COMPUTE_SERVER_TIMING__CARDS_EVERY", "24h"),
    ]);
    let sale = buy(&shop, "spt_one").await;
    let credit = end(&shop.server, &sale).await;
    let dispute = shop.api.dispute(&sale.payment);
    for forged in [
        None,
        Some(sign("whsec_other", now_s, &body)),
        Some(sign(WEBHOOK_SECRET, now_s - 3_600, &body)),
        Some(sign(WEBHOOK_SECRET, now_s, "{}")),
    ] {
        injected("F081");
        assert_eq!(notify(&shop.server, forged, &body).await, 400);
    }
    let disputes = || document(&shop.home, &["disputes"], 0)["disputes"].clone();
    assert_eq!(disputes(), json!([]));
    // Stripe sends it again until it is told that it was heard.
    shop.api.disturb("GET disputes", Fault::StatusBefore(500));
    assert_eq!(notify(&shop.server, Some(good.clone()), &body).await, 503);
    for _ in 0..3 {
        assert_eq!(notify(&shop.server, Some(good.clone()), &body).await, 200);
        injected("F081");
    }
    let seen = disputes();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(
        (&seen[0]["state"], usd(&seen[0]["frozen"])),
        (&json!("open"), credit)
    );
    assert_eq!(balance(&shop.server, &sale).await, Usd::ZERO);
    // An older one comes late.
    shop.api.set_dispute(&dispute, "won");
    let late = body.replace("closed", "created");
    let signed = sign(WEBHOOK_SECRET, now_ms() / 1_000, &late);
    assert_eq!(notify(&shop.server, Some(signed), &late).await, 200);
    assert_eq!(disputes()[0]["state"], "won");
    assert_eq!(balance(&shop.server, &sale).await, credit);
    assert_books(&shop);
}
