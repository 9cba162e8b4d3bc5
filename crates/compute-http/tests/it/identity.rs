use axum::body::Body;
use compute_domain::time::Span;
use http::Request;
use serde_json::json;

use crate::shop::{Answer, Shop};
use crate::visitor::Visitor;

const KEYS: &str = "/compute/api-keys";

async fn create(shop: &Shop, visitor: &Visitor, body: &'static str) -> Answer {
    let request = visitor
        .signed(shop, "POST", KEYS, body)
        .header("content-type", "application/json");
    shop.send(request.body(Body::from(body)).unwrap()).await
}

async fn with_key(shop: &Shop, method: &str, path: &str, text: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("X-API-Key", text);
    shop.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_wallet_makes_a_key_that_acts_for_it() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    owner.buy(&shop).await;
    let created = create(&shop, &owner, "{\"label\": \"my-agent\"}").await;
    assert_eq!(created.status, 201, "{created:?}");
    let text = created.text("api_key");
    assert!(text.starts_with("x402c_"));
    assert_eq!(created.text("label"), "my-agent");
    let list = with_key(&shop, "GET", "/compute/instances", &text).await;
    assert_eq!(list.json()["instances"].as_array().unwrap().len(), 1);
    let keys = with_key(&shop, "GET", KEYS, &text).await;
    assert_eq!(
        keys.json()["api_keys"][0]["key_last4"],
        text[text.len() - 4..]
    );
    assert!(!keys.body.contains(&text));
}

#[tokio::test]
async fn an_empty_body_makes_a_key_without_a_label() {
    let shop = Shop::open().await;
    let created = create(&shop, &Visitor::new(1), "").await;
    assert_eq!(created.status, 201);
    assert!(created.json()["label"].is_null());
}

/// Whoever lost the answer learns which key it was, and makes no second one.
#[tokio::test]
async fn a_named_request_makes_one_key() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    let create = |name: &'static str| {
        let (shop, owner) = (&shop, &owner);
        async move {
            let request = owner.signed(shop, "POST", KEYS, "");
            let request = request.header("Idempotency-Key", name);
            shop.send(request.body(Body::empty()).unwrap()).await
        }
    };
    let first = create("laptop-2026").await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = create("laptop-2026").await;
    again.expect_problem(409, "api_key_made_before");
    assert_eq!(again.json()["api_key_id"], first.json()["id"]);
    assert!(!again.body.contains(&first.text("api_key")));
    assert_eq!(create("laptop-2027").await.status, 201);
    let keys = owner.send(&shop, "GET", KEYS).await;
    assert_eq!(keys.json()["api_keys"].as_array().unwrap().len(), 2);
    create("short").await.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_key_makes_and_revokes_no_keys() {
    let shop = Shop::open().await;
    let created = create(&shop, &Visitor::new(1), "").await;
    let (text, id) = (created.text("api_key"), created.text("id"));
    let refused = with_key(&shop, "POST", KEYS, &text).await;
    refused.expect_problem(403, "signature_required");
    let refused = with_key(&shop, "DELETE", &format!("{KEYS}/{id}"), &text).await;
    refused.expect_problem(403, "signature_required");
}

#[tokio::test]
async fn a_revoked_key_is_nobody_at_once() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    let created = create(&shop, &owner, "").await;
    let path = format!("{KEYS}/{}", created.text("id"));
    Visitor::new(2)
        .send(&shop, "DELETE", &path)
        .await
        .expect_problem(404, "not_found");
    for _ in 0..2 {
        let revoked = owner.send(&shop, "DELETE", &path).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        assert!(revoked.json()["revoked_at"].is_string());
    }
    let refused = with_key(&shop, "GET", "/compute/instances", &created.text("api_key")).await;
    refused.expect_problem(401, "api_key_invalid");
}

#[tokio::test]
async fn an_owner_has_a_bounded_number_of_keys() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    for _ in 0..3 {
        assert_eq!(create(&shop, &owner, "").await.status, 201);
    }
    create(&shop, &owner, "")
        .await
        .expect_problem(409, "limit_reached");
}

#[tokio::test]
async fn nobody_in_particular_is_told_to_sign() {
    let shop = Shop::open().await;
    for (method, path) in [
        ("GET", "/compute/instances"),
        ("GET", "/compute/instances/x"),
        ("DELETE", "/compute/instances/x"),
        ("POST", "/compute/instances/x/password"),
        (
            "GET",
            "/compute/orders/0190a1b2-0000-7000-8000-000000000000",
        ),
        (
            "GET",
            "/compute/operations/0190a1b2-0000-7000-8000-000000000000",
        ),
        ("GET", "/compute/credits/balance"),
        ("GET", KEYS),
        ("POST", KEYS),
        ("DELETE", "/compute/api-keys/x"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = shop.send(request).await;
        answer.expect_problem(401, "auth_required");
        assert!(answer.header("www-authenticate").is_some());
    }
}

#[tokio::test]
async fn a_nonce_is_good_for_one_reading_request() {
    let shop = Shop::open().await;
    let head = Visitor::new(1).signed(&shop, "GET", "/compute/instances", "");
    let (parts, ()) = head.body(()).unwrap().into_parts();
    let request = || Request::from_parts(parts.clone(), Body::empty());
    assert_eq!(shop.send(request()).await.status, 200);
    shop.send(request())
        .await
        .expect_problem(401, "auth_nonce_used");
}

#[tokio::test]
async fn an_unpaid_purchase_spends_no_nonce() {
    let shop = Shop::open().await;
    let body = crate::shop::ORDER;
    let head = Visitor::new(1)
        .signed(&shop, "POST", "/compute/provision", body)
        .header("content-type", "application/json");
    let (parts, ()) = head.body(()).unwrap().into_parts();
    for _ in 0..2 {
        let answer = shop
            .send(Request::from_parts(parts.clone(), Body::from(body)))
            .await;
        answer.expect_problem(402, "payment_required");
    }
}

#[tokio::test]
async fn a_signature_for_something_else_is_refused() {
    let shop = Shop::open().await;
    let visitor = Visitor::new(1);
    let altered = visitor
        .signed(&shop, "POST", KEYS, "{}")
        .body(Body::from("{ }"))
        .unwrap();
    shop.send(altered).await.expect_problem(401, "auth_invalid");
    let elsewhere = visitor
        .signed(&shop, "GET", KEYS, "")
        .uri("/compute/instances");
    let elsewhere = elsewhere.body(Body::empty()).unwrap();
    shop.send(elsewhere)
        .await
        .expect_problem(401, "auth_invalid");
    let early = visitor
        .signed(&shop, "GET", KEYS, "")
        .body(Body::empty())
        .unwrap();
    shop.clock.advance(Span::from_secs(301));
    shop.send(early).await.expect_problem(401, "auth_expired");
}

#[tokio::test]
async fn a_wrong_credential_never_falls_back_to_nobody() {
    let shop = Shop::open().await;
    let body = crate::shop::ORDER;
    let request = crate::shop::purchase(body).header("x-api-key", "x402c_nonsense");
    let answer = shop.send(request.body(Body::from(body)).unwrap()).await;
    answer.expect_problem(401, "api_key_invalid");
}

#[tokio::test]
async fn ambiguous_credentials_are_a_malformed_request() {
    let shop = Shop::open().await;
    let visitor = Visitor::new(1);
    let both = visitor
        .signed(&shop, "GET", KEYS, "")
        .header("x-api-key", "x402c_a");
    let twice = visitor
        .signed(&shop, "GET", KEYS, "")
        .header("x-auth-chain", "base");
    let half = Request::get(KEYS).header("x-auth-address", "0x01");
    for request in [both, twice, half] {
        let answer = shop.send(request.body(Body::empty()).unwrap()).await;
        answer.expect_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_key_may_do_what_it_was_made_for() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    owner.top_up(&shop, "5").await;
    let id = owner.machine(&shop).await;
    let reader = create(&shop, &owner, "{\"scopes\":[\"read\"]}").await;
    assert_eq!(reader.json()["scopes"], json!(["read"]));
    let reader = reader.text("api_key");
    let spender = create(&shop, &owner, "{\"scopes\":[\"spend\"]}")
        .await
        .text("api_key");
    let by = async |key: &str, method: &str, path: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("x-api-key", key);
        shop.send(request.body(Body::from(body.to_owned())).unwrap())
            .await
    };
    let machine = format!("/compute/instances/{id}");
    let order = crate::credits::by_credits("");
    for (key, method, path, body, needed) in [
        (&reader, "DELETE", machine.as_str(), "", "manage"),
        (
            &reader,
            "POST",
            &format!("{machine}/password"),
            "",
            "manage",
        ),
        (&reader, "POST", "/compute/provision", &order, "spend"),
        (&reader, "POST", &format!("{machine}/extend"), "{}", "spend"),
        (
            &reader,
            "POST",
            "/compute/credits/topup",
            "{\"amount\":5}",
            "spend",
        ),
        (&spender, "GET", "/compute/instances", "", "read"),
        (&spender, "GET", &machine, "", "read"),
        (&spender, "GET", "/compute/credits/balance", "", "read"),
        (&spender, "GET", KEYS, "", "read"),
        (
            &spender,
            "GET",
            &format!("/compute/orders/{id}"),
            "",
            "read",
        ),
        (&spender, "DELETE", &machine, "", "manage"),
    ] {
        let refused = by(key, method, path, body).await;
        refused.expect_problem(403, "scope_missing");
        assert_eq!(refused.json()["needed"], needed, "{method} {path}");
    }
    for path in ["/compute/instances", "/compute/credits/balance", KEYS] {
        assert_eq!(by(&reader, "GET", path, "").await.status, 200, "{path}");
    }
    let bought = by(&spender, "POST", "/compute/provision", &order).await;
    assert_eq!(bought.status, 200, "{bought:?}");
}

#[tokio::test]
async fn a_key_spends_no_more_than_its_budget() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    owner.top_up(&shop, "5").await;
    let body = "{\"label\":\"agent\",\"budget_usd\":\"0.30\"}";
    let created = create(&shop, &owner, body).await;
    assert_eq!(created.json()["budget_usd"], "0.30");
    let key = created.text("api_key");
    let order = crate::credits::by_credits("");
    let buy = async || {
        let request = crate::shop::purchase(&order).header("x-api-key", &key);
        shop.send(request.body(Body::from(order.clone())).unwrap())
            .await
    };
    assert_eq!(buy().await.status, 200);
    let refused = buy().await;
    refused.expect_problem(403, "api_key_budget_exceeded");
    assert_eq!(refused.json()["required"], "0.168");
    assert_eq!(refused.json()["left"], "0.132");
    assert_eq!(owner.balance(&shop).await, "4.832");
    let keys = owner.send(&shop, "GET", KEYS).await;
    let mut item = keys.json()["api_keys"][0].take();
    for member in ["id", "key_last4"] {
        assert!(item[member].is_string(), "{member}");
        item[member] = json!(format!("[{member}]"));
    }
    insta::assert_json_snapshot!("an_api_key_with_a_budget", item);
}

#[tokio::test]
async fn a_key_comes_to_its_end_by_itself() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    let body = "{\"expires_at\":\"2026-01-01T01:00:00+00:30\"}";
    let created = create(&shop, &owner, body).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.text("expires_at"), "2026-01-01T00:30:00Z");
    let key = created.text("api_key");
    let path = "/compute/instances";
    assert_eq!(with_key(&shop, "GET", path, &key).await.status, 200);
    shop.clock.advance(Span::from_secs(1_800));
    let refused = with_key(&shop, "GET", path, &key).await;
    refused.expect_problem(401, "api_key_expired");
    let late = create(&shop, &owner, body).await;
    late.expect_problem(400, "invalid_request");
    assert_eq!(late.json()["field"], "expires_at");
}

#[tokio::test]
async fn terms_of_a_key_that_make_no_sense_are_refused() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    for (body, field) in [
        ("{\"scopes\":[]}", "scopes"),
        ("{\"scopes\":[\"admin\"]}", "scopes"),
        ("{\"scopes\":[\"read\",\"read\"]}", "scopes"),
        ("{\"budget_usd\":-1}", "budget_usd"),
        ("{\"budget_usd\":\"1e3\"}", "budget_usd"),
        ("{\"budget_usd\":0.0000001}", "budget_usd"),
        ("{\"expires_at\":\"soon\"}", "expires_at"),
        ("{\"expires_at\":\"2025-12-31T23:59:59Z\"}", "expires_at"),
    ] {
        let refused = create(&shop, &owner, body).await;
        refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.json()["field"], field, "{body}");
    }
}
