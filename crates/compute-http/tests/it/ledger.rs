//! An owner's history of money, and receipts.

use axum::body::Body;
use compute_domain::time::Span;
use http::Request;
use serde_json::{Value, json};

use crate::credits::by_credits;
use crate::shop::{Shop, URL, extend_path};
use crate::visitor::{Visitor, paid_at};

const LEDGER: &str = "/compute/ledger";

/// A top-up, a machine paid from outside, a day for credits, and the machine's end.
async fn trade(shop: &Shop, buyer: &Visitor) -> String {
    let pause = || shop.clock.advance(Span::from_secs(1));
    buyer.top_up(shop, "2.5").await;
    pause();
    let id = buyer.machine(shop).await;
    pause();
    let credits = "{\"use_credits\":true}";
    let extended = buyer.post(shop, &extend_path(&id), credits).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    pause();
    let machine = format!("/compute/instances/{id}");
    buyer.send(shop, "DELETE", &machine).await;
    shop.settle_down().await;
    shop.drive().await;
    id
}

fn movements(reply: &Value) -> Vec<Value> {
    reply["movements"].as_array().unwrap().clone()
}

#[tokio::test]
async fn everything_that_moved_is_there_newest_first() {
    let shop = Shop::open().await;
    let (buyer, stranger) = (Visitor::new(1), Visitor::new(2));
    let id = trade(&shop, &buyer).await;
    stranger.top_up(&shop, "7").await;
    let answer = buyer.send(&shop, "GET", LEDGER).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let reply = answer.json();
    assert!(reply.get("next_cursor").is_none());
    let rows: Vec<_> = movements(&reply)
        .iter()
        .map(|row| {
            json!([
                row["reason"],
                row["effect"],
                row["amount"],
                row["balance"],
                row["seq"]
            ])
        })
        .collect();
    assert_eq!(
        json!(rows[1..]),
        json!([
            ["spend", "debit", "0.168", "2.332", 2],
            ["sale", "none", "0.168", null, null],
            ["topup", "credit", "2.50", "2.50", 1],
        ])
    );
    assert_eq!(rows[0][0], "early_destroy");
    // The newest balance is the balance.
    assert_eq!(movements(&reply)[0]["balance"], buyer.balance(&shop).await);
    let sale = &movements(&reply)[2];
    assert_eq!(
        (&sale["order_id"], &sale["network"]),
        (&json!(id), &json!("base"))
    );
    let operation = sale["operation_id"].as_str().unwrap();
    let path = format!("/compute/operations/{operation}");
    let shown = buyer.send(&shop, "GET", &path).await;
    assert_eq!(shown.json()["operation"]["tx_hash"], sale["tx_hash"]);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    trade(&shop, &buyer).await;
    let all = movements(&buyer.send(&shop, "GET", LEDGER).await.json());
    let mut seen = Vec::new();
    let mut path = format!("{LEDGER}?limit=3");
    loop {
        let page = buyer.send(&shop, "GET", &path).await;
        seen.extend(movements(&page.json()));
        let Some(link) = page.header("link") else {
            assert!(page.json().get("next_cursor").is_none());
            break;
        };
        let url = link.strip_prefix('<').unwrap();
        let url = url.strip_suffix(">; rel=\"next\"").unwrap();
        assert!(url.contains(page.json()["next_cursor"].as_str().unwrap()));
        path = url.strip_prefix(URL).unwrap().to_owned();
    }
    assert_eq!(seen, all);
    for query in ["limit=0", "limit=201", "cursor=x", "format=xml"] {
        let refused = shop.get(&format!("{LEDGER}?{query}")).await;
        refused.expect_problem(400, "invalid_request");
    }
    shop.get(LEDGER).await.expect_problem(401, "auth_required");
}

#[tokio::test]
async fn a_table_says_the_same() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    trade(&shop, &buyer).await;
    let rows = movements(&buyer.send(&shop, "GET", LEDGER).await.json());
    let by_format = buyer
        .send(&shop, "GET", &format!("{LEDGER}?format=csv"))
        .await;
    let accepting = buyer.signed(&shop, "GET", LEDGER, "");
    let accepting = accepting.header("accept", "text/csv").body(Body::empty());
    let by_header = shop.send(accepting.unwrap()).await;
    assert_eq!(by_format.body, by_header.body);
    let kind = by_header.header("content-type").unwrap();
    assert_eq!(kind, "text/csv; charset=utf-8; header=present");
    assert_eq!(by_header.header("cache-control"), Some("private, no-store"));
    let lines: Vec<_> = by_header.body.split_terminator("\r\n").collect();
    assert_eq!(
        lines[0],
        "time,id,reason,effect,amount_usd,balance_usd,seq,network,order_id,operation_id,tx_hash"
    );
    assert_eq!(lines.len(), rows.len() + 1);
    for (line, row) in lines[1..].iter().zip(&rows) {
        let cells: Vec<_> = line.split(',').collect();
        let names = ["at", "id", "reason", "effect", "amount", "balance"];
        for (cell, name) in cells.iter().zip(names) {
            assert_eq!(*cell, row[name].as_str().unwrap_or_default(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_purchase_has_a_receipt_however_it_was_paid() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let topup = buyer.top_up(&shop, "2.5").await;
    let id = buyer.machine(&shop).await;
    let payment = buyer.time_payment(&shop, &id, "{}").await;
    let paid = shop.send(paid_at(&extend_path(&id), &payment, "{}"));
    let paid = shop.patiently(paid).await;
    let bought = buyer
        .post(&shop, "/compute/provision", &by_credits(""))
        .await;
    let receipt = async |operation: &str| {
        let path = format!("/compute/operations/{operation}/receipt");
        buyer.send(&shop, "GET", &path).await
    };
    let deposited = receipt(&topup.text("operation_id")).await.json();
    assert_eq!(
        (&deposited["kind"], &deposited["credited"]),
        (&json!("topup"), &json!("2.50"))
    );
    let credits = receipt(&bought.text("operation_id")).await.json();
    assert_eq!(
        (&credits["protocol"], &credits["total"]),
        (&json!("credits"), &json!("0.168"))
    );
    assert_eq!(
        (&credits["plan"], &credits["hours"]),
        (&json!("vc2-1c-1gb"), &json!(24))
    );
    let mut time = receipt(&paid.text("operation_id")).await.json();
    assert_eq!(time["tx_hash"], paid.json()["tx_hash"]);
    for member in ["operation_id", "order_id", "tx_hash", "paid_at"] {
        assert!(time[member].is_string(), "{member}: {time}");
        time[member] = json!(format!("[{member}]"));
    }
    insta::assert_json_snapshot!("a_receipt", time);
    // Whoever holds the payment has the receipt; nobody else.
    let path = format!("/compute/operations/{}/receipt", paid.text("operation_id"));
    let shown = Request::get(&path).header(payment.header_name(), payment.to_header());
    assert_eq!(
        shop.send(shown.body(Body::empty()).unwrap()).await.status,
        200
    );
    let foreign = Visitor::new(2).send(&shop, "GET", &path).await;
    foreign.expect_problem(404, "not_found");
    shop.get(&path).await.expect_problem(401, "auth_required");
}

#[tokio::test]
async fn what_costs_nothing_has_no_receipt() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    buyer
        .send(&shop, "DELETE", &format!("/compute/instances/{id}"))
        .await;
    shop.settle_down().await;
    let path = format!("/compute/orders/{id}");
    let order = buyer.send(&shop, "GET", &path).await.json();
    let destroy = order["operations"][1]["id"].as_str().unwrap();
    let path = format!("/compute/operations/{destroy}/receipt");
    let refused = buyer.send(&shop, "GET", &path).await;
    refused.expect_problem(409, "no_receipt");
}
