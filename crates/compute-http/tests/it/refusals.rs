use axum::body::Body;
use http::Request;

use crate::shop::{Answer, ORDER, Shop, purchase};
use crate::visitor::Visitor;

async fn pay_with(shop: &Shop, headers: &[(&str, &str)]) -> Answer {
    let request = headers
        .iter()
        .fold(purchase(ORDER), |request, (name, value)| {
            request.header(*name, *value)
        });
    shop.send(request.body(Body::from(ORDER)).unwrap()).await
}

#[tokio::test]
async fn what_is_not_built_is_not_there() {
    let shop = Shop::open().await;
    let visitor = Visitor::new(1);
    for path in [
        "/compute",
        "/compute/plans/",
        "/compute/credits",
        "/compute/operations",
        "/compute/instances/x/rename",
        "/metrics",
        "/compute//plans",
    ] {
        for method in ["GET", "POST"] {
            visitor
                .send(&shop, method, path)
                .await
                .expect_problem(404, "not_found");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let shop = Shop::open().await;
    for (method, path, allowed) in [
        ("GET", "/compute/provision", "POST"),
        ("POST", "/compute/plans", "GET,HEAD"),
        ("PUT", "/compute/instances/x", "GET,HEAD,DELETE"),
        ("TRACE", "/compute/api-keys", "POST,GET,HEAD"),
        ("BREW", "/compute/api-keys/x", "DELETE"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = shop.send(request).await;
        answer.expect_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn malformed_bodies_are_400_and_nothing_happens() {
    let shop = Shop::open().await;
    let deep = format!("{}{}", "[".repeat(100_000 / 2), "]".repeat(10_000));
    let many = format!("{{\"plan\":\"{}\"}}", "x".repeat(60_000));
    for body in [
        "{",
        "{}",
        "[]",
        "null",
        "\"x\"",
        "1",
        "{\"plan\":1}",
        "\u{feff}{}",
        &deep,
        &many,
        &ORDER.replace("\"agent\"", "\"a\\u0000b\""),
        &ORDER.replace("24}", "24.5}"),
        &ORDER.replace("24}", "\"24\"}"),
        &ORDER.replace("24}", "24,\"colour\":1}"),
        &ORDER.replace("24}", "24,\"plan\":\"vc2-1c-1gb\"}"),
        &format!("{ORDER}{ORDER}"),
    ] {
        let answer = shop.ask(body).await;
        assert_eq!(answer.status, 400, "{body:.80}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
}

#[tokio::test]
async fn what_is_not_sold_has_a_code_of_its_own() {
    let shop = Shop::open().await;
    for (from, to, code) in [
        ("vc2-1c-1gb", "vc2-9c-9gb", "unknown_plan"),
        ("\"ewr\"", "\"xyz\"", "unknown_region"),
        ("\"ewr\"", "\"syd\"", "plan_not_in_region"),
        ("2284", "9999", "unknown_image"),
        ("24}", "24,\"network\":\"solana\"}", "unknown_network"),
        ("24}", "24,\"network\":\"Base\"}", "unknown_network"),
        (
            "24}",
            "24,\"provider\":\"digitalocean\"}",
            "provider_mismatch",
        ),
        ("24}", "23}", "invalid_request"),
        ("24}", "4321}", "invalid_request"),
        ("24}", "24,\"auto_extend\":true}", "not_supported"),
        ("24}", "24,\"user_data\":\" \"}", "invalid_request"),
        ("24}", "24,\"user_data\":{}}", "invalid_request"),
        ("24}", "24,\"ssh_public_keys\":[\"x\"]}", "invalid_request"),
        ("24}", "24,\"ssh_public_keys\":\"x\"}", "invalid_request"),
    ] {
        shop.ask(&ORDER.replace(from, to))
            .await
            .expect_problem(400, code);
    }
    let elsewhere = shop.ask(&ORDER.replace("\"ewr\"", "\"syd\"")).await.json();
    assert_eq!(elsewhere["locations"], serde_json::json!(["ewr", "lax"]));
}

#[tokio::test]
async fn a_body_has_a_type_a_size_and_no_compression() {
    let shop = Shop::open().await;
    let send = async |content_type: &str, name: &str, value: &str, body: String| {
        let request = Request::post("/compute/provision").header("content-type", content_type);
        shop.send(request.header(name, value).body(Body::from(body)).unwrap())
            .await
    };
    let order = || ORDER.to_owned();
    let form = send(
        "application/x-www-form-urlencoded",
        "accept",
        "*/*",
        order(),
    )
    .await;
    form.expect_problem(415, "unsupported_media_type");
    let packed = send("application/json", "content-encoding", "gzip", order()).await;
    packed.expect_problem(415, "unsupported_media_type");
    let large = send("application/json", "accept", "*/*", " ".repeat(65_537)).await;
    large.expect_problem(413, "too_large");
    let lying = send("application/json", "content-length", "999999", order()).await;
    lying.expect_problem(413, "too_large");
}

#[tokio::test]
async fn a_payment_that_cannot_be_read_is_400() {
    let shop = Shop::open().await;
    // x402.md 14.1, rows 2 to 13: not base64, no JSON object, versions that do not exist.
    for value in [
        "%%%",
        "aGVsbG8=",
        "bnVsbA==",
        "W10=",
        "MQ==",
        "dHJ1ZQ==",
        "e30=",
        "e30gIHg=",
        "//79",
        "eyJ4NDAyVmVyc2lvbiI6MH0=",
        "eyJ4NDAyVmVyc2lvbiI6M30=",
        "eyJ4NDAyVmVyc2lvbiI6bnVsbH0=",
        "eyJ4NDAyVmVyc2lvbiI6MSwieDQwMlZlcnNpb24iOjF9",
    ] {
        let answer = pay_with(&shop, &[("x-payment", value)]).await;
        answer.expect_problem(400, "payment_malformed");
        let error = answer.text("error");
        assert!(
            ["invalid_payload", "invalid_x402_version"].contains(&error.as_str()),
            "{error}"
        );
    }
    let large = "A".repeat(16 * 1_024 + 1);
    pay_with(&shop, &[("x-payment", &large)])
        .await
        .expect_problem(400, "payment_malformed");
    assert_eq!(shop.rail.settle_calls(), 0);
}

#[tokio::test]
async fn two_payments_are_none() {
    let shop = Shop::open().await;
    let visitor = Visitor::new(1);
    let (one, two) = (visitor.payment(&shop).await, visitor.payment(&shop).await);
    let (one, two) = (one.to_header(), two.to_header());
    let twice = [("x-payment", one.as_str()), ("x-payment", &one)];
    pay_with(&shop, &twice)
        .await
        .expect_problem(400, "payment_malformed");
    let differing = [("x-payment", one.as_str()), ("payment-signature", &two)];
    pay_with(&shop, &differing)
        .await
        .expect_problem(400, "payment_malformed");
    let two_schemes = [
        ("x-payment", one.as_str()),
        ("authorization", "Payment abc"),
    ];
    pay_with(&shop, &two_schemes)
        .await
        .expect_problem(400, "several_payments");
    assert_eq!(shop.rail.settle_calls(), 0);
    let same = [("x-payment", one.as_str()), ("payment-signature", &one)];
    assert_eq!(pay_with(&shop, &same).await.status, 200);
}

#[tokio::test]
async fn a_blank_payment_is_no_payment() {
    let shop = Shop::open().await;
    for value in ["", "  "] {
        let answer = pay_with(&shop, &[("x-payment", value)]).await;
        answer.expect_problem(402, "payment_required");
    }
}

#[tokio::test]
async fn the_shape_is_judged_before_the_caller_and_the_caller_before_the_payment() {
    let shop = Shop::open().await;
    let request = |body: &'static str| {
        let request = purchase(body)
            .header("x-api-key", "x402c_guess")
            .header("x-payment", "");
        request.body(Body::from(body)).unwrap()
    };
    shop.send(request("{}"))
        .await
        .expect_problem(400, "invalid_request");
    shop.send(request(ORDER))
        .await
        .expect_problem(401, "api_key_invalid");
}

#[tokio::test]
async fn a_sane_request_id_comes_back() {
    let shop = Shop::open().await;
    let ask = async |id: &str| {
        let request = Request::get("/nowhere").header("x-request-id", id);
        let answer = shop.send(request.body(Body::empty()).unwrap()).await;
        answer.expect_problem(404, "not_found");
        answer.text("request_id")
    };
    assert_eq!(ask("trace-1").await, "trace-1");
    assert_ne!(ask("<script>").await, "<script>");
}
