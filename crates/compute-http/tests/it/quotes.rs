//! What a purchase would cost.

use compute_domain::time::{Clock as _, Span, Timestamp};
use serde_json::{Value, json};

use crate::shop::{Answer, ORDER, Shop, URL, extend_path};
use crate::visitor::Visitor;

const QUOTE: &str = "/compute/quote";
const AUTO_EXTEND: &str = r#","auto_extend":{"hours":24,"max_total_usd":"1"}}"#;
const UNKNOWN: &str = "0190a1b2-0000-7000-8000-000000000000";

fn extension(id: &str, extra: &str) -> String {
    format!("{{\"action\":\"extend\",\"instance_id\":\"{id}\"{extra}}}")
}

/// The ways to pay by protocol.
fn protocols(answer: &Answer) -> Vec<Value> {
    let reply = answer.json();
    let ways = reply["pay"].as_array().unwrap();
    ways.iter().map(|way| way["protocol"].clone()).collect()
}

#[tokio::test]
async fn the_body_of_a_purchase_is_quoted_as_it_is() {
    let shop = Shop::open().await;
    let answer = shop.ask_at(QUOTE, ORDER).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let mut reply = answer.json();
    for member in ["error", "detail"] {
        assert!(reply.get(member).is_none(), "{member}");
    }
    let at = |member: &str| Timestamp::parse(reply[member].as_str().unwrap()).unwrap();
    let life = at("valid_until").since(at("quoted_at"));
    assert_eq!(life, Span::from_secs(300));
    // The purchase asks for what was quoted.
    let asked = shop.ask(ORDER).await.json();
    let (offer, way) = (&asked["accepts"][0], &reply["pay"][0]);
    assert_eq!(way["amount"], offer["maxAmountRequired"]);
    assert_eq!(way["pay_to"], offer["payTo"]);
    assert_eq!(way["asset"], offer["asset"]);
    // What a body calls it, whatever chain is behind it here.
    assert_eq!(way["network"], "base");
    for member in ["quoted_at", "valid_until"] {
        reply[member] = json!(format!("[{member}]"));
    }
    insta::assert_json_snapshot!("a_quote", reply);
    let named = ORDER.replace('{', "{\"action\":\"provision\",");
    assert_eq!(shop.ask_at(QUOTE, &named).await.status, 200);
}

#[tokio::test]
async fn a_quote_is_refused_as_its_purchase_would_be() {
    let shop = Shop::open().await;
    let bodies = [
        ORDER.replace("ewr", "mars"),
        ORDER.replace("vc2-1c-1gb", "vc2-9c-9gb"),
        ORDER.replace("2284", "1"),
        ORDER.replace(":24}", ":23}"),
        ORDER.replace('}', ",\"network\":\"nowhere\"}"),
        ORDER.replace('}', ",\"ai_machine\":{}}"),
        ORDER.replace('}', ",\"colour\":\"red\"}"),
        ORDER.replace('}', ",\"max_total_usd\":\"0.167999\"}"),
        ORDER.replace('}', ",\"use_credits\":true}"),
        ORDER.replace('}', AUTO_EXTEND),
        ORDER.replace('}', ",\"auto_extend\":true}"),
    ];
    for body in bodies {
        let (quoted, asked) = (shop.ask_at(QUOTE, &body).await, shop.ask(&body).await);
        assert!(
            asked.status.as_u16() >= 400 && asked.status != 402,
            "{asked:?}"
        );
        quoted.expect_problem(asked.status.as_u16(), &asked.text("code"));
    }
    let (visitor, capless) = (Visitor::new(1), AUTO_EXTEND.replace("\"1\"", "\"0\""));
    for (wish, status) in [(AUTO_EXTEND, 200), (capless.as_str(), 400)] {
        let quoted = visitor.post(&shop, QUOTE, &ORDER.replace('}', wish)).await;
        assert_eq!(quoted.status, status, "{quoted:?}");
    }
    for body in [
        "",
        "{}",
        "[]",
        "{\"action\":\"buy\"}",
        "{\"action\":\"extend\"}",
    ] {
        shop.ask_at(QUOTE, body)
            .await
            .expect_problem(400, "invalid_request");
    }
    let resize = extension(UNKNOWN, "").replace("extend", "resize");
    shop.ask_at(QUOTE, &resize)
        .await
        .expect_problem(400, "not_supported");
}

#[tokio::test]
async fn more_time_is_quoted_to_anybody_and_its_end_to_the_owner() {
    let shop = Shop::open().await;
    let (owner, stranger) = (Visitor::new(1), Visitor::new(2));
    let id = owner.machine(&shop).await;
    let body = extension(&id, ",\"extend_hours\":48");
    let anybody = shop.ask_at(QUOTE, &body).await;
    assert_eq!(anybody.status, 200, "{anybody:?}");
    let reply = anybody.json();
    assert_eq!(
        (&reply["total"], &reply["hours"]),
        (&json!("0.336"), &json!(48))
    );
    let url = format!("{URL}{}", extend_path(&id));
    assert_eq!(reply["purchase"], json!({"method": "POST", "url": url}));
    assert!(reply.get("expires_at").is_none() && reply.get("stock").is_none());
    let own = owner.post(&shop, QUOTE, &body).await.json();
    let end = |member: &str| Timestamp::parse(own[member].as_str().unwrap()).unwrap();
    let gained = end("new_expires_at").since(end("expires_at"));
    assert_eq!(gained, Span::from_hours(48));
    let foreign = stranger.post(&shop, QUOTE, &body).await;
    foreign.expect_problem(404, "not_found");
    for id in [UNKNOWN, "x"] {
        let unknown = shop.ask_at(QUOTE, &extension(id, "")).await;
        unknown.expect_problem(404, "not_found");
    }
    owner
        .send(&shop, "DELETE", &format!("/compute/instances/{id}"))
        .await;
    let ended = shop.ask_at(QUOTE, &body).await;
    ended.expect_problem(409, "instance_not_active");
}

#[tokio::test]
async fn who_pays_with_credits_is_told_of_credits_alone() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    assert_eq!(
        protocols(&shop.ask_at(QUOTE, ORDER).await),
        ["x402", "credits"]
    );
    let body = ORDER.replace('}', ",\"use_credits\":true}");
    let quoted = buyer.post(&shop, QUOTE, &body).await;
    assert_eq!(protocols(&quoted), ["credits"]);
    assert_eq!(quoted.json()["pay"][0]["amount_usd"], "0.168");
}

#[tokio::test]
async fn a_quote_leaves_no_trace() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    // One signature is good for as many quotes as its owner likes: it buys and shows nothing.
    let head = || buyer.signed(&shop, "POST", QUOTE, ORDER);
    let head = head().header("content-type", "application/json");
    let (parts, ()) = head.body(()).unwrap().into_parts();
    for _ in 0..3 {
        let mut request = http::Request::new(axum::body::Body::from(ORDER));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        assert_eq!(shop.send(request).await.status, 200);
    }
    // And a payment is not looked at.
    let payment = buyer.payment(&shop).await;
    let request = crate::visitor::paid_at(QUOTE, &payment, ORDER);
    assert_eq!(shop.send(request).await.status, 200);
    assert!(shop.rail.settled().is_empty());
    assert_eq!(shop.app.tasks().len(), 0);
    let listed = buyer.send(&shop, "GET", "/compute/instances").await;
    assert_eq!(listed.json()["instances"], json!([]));
}

#[tokio::test]
async fn the_quoted_price_is_taken_after_it_changed() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let payment = buyer.payment(&shop).await;
    let quoted = shop.ask_at(QUOTE, ORDER).await.json();
    shop.provider.set_rate(9_000);
    shop.clock.advance(Span::from_secs(200));
    shop.engine.refresh_catalog().await;
    let until = Timestamp::parse(quoted["valid_until"].as_str().unwrap()).unwrap();
    assert!(shop.clock.now() < until);
    let bought = shop.send(crate::visitor::paid(&payment, ORDER)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert_eq!(
        bought.json()["order"]["payment_amount"].to_string(),
        quoted["total"].as_str().unwrap()
    );
}
