//! How the service is found and understood by machines.

mod checker;
mod document;
mod pages;

use axum::body::Body;
use compute_http::Settings;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::charges::payer;
use crate::shop::{Answer, Shop, URL, settings};

/// The document of a shop that is paid in every way.
async fn document() -> (Shop, Value) {
    let (shop, ..) = payer::open().await;
    let document = shop.get("/openapi.json").await.json();
    (shop, document)
}

async fn head(shop: &Shop, path: &str) -> Answer {
    let request = Request::builder().method(Method::HEAD).uri(path);
    shop.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_document_is_small_and_may_be_kept() {
    let shop = Shop::open().await;
    let answer = shop.get("/openapi.json").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.body.len() < 64 * 1_024, "{}", answer.body.len());
    assert_eq!(answer.json()["openapi"], "3.1.0");
    let tag = answer.header("etag").unwrap();
    let request = Request::get("/openapi.json").header("if-none-match", tag);
    let again = shop.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    let head = head(&shop, "/openapi.json").await;
    assert_eq!(
        (head.status.as_u16(), head.header("etag")),
        (200, Some(tag))
    );
}

#[tokio::test]
async fn another_replica_says_the_same() {
    let (one, other) = (Shop::open().await, Shop::open().await);
    // Its shelf has had more revisions.
    other
        .clock
        .advance(compute_domain::time::Span::from_secs(3_600));
    other.engine.refresh_catalog().await;
    for path in ["/openapi.json", "/.well-known/x402"] {
        assert_eq!(
            one.get(path).await.body,
            other.get(path).await.body,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_document_follows_the_price() {
    let shop = Shop::open().await;
    let price = |document: &Value| {
        document["paths"]["/compute/provision"]["post"]["x-payment-info"]["price"].clone()
    };
    let before = shop.get("/openapi.json").await.json();
    let wanted = json!({ "mode": "dynamic", "currency": "USD", "min": "0.168", "max": "30.24" });
    assert_eq!(price(&before), wanted);
    shop.provider.set_rate(8_000);
    shop.clock
        .advance(compute_domain::time::Span::from_secs(3_600));
    shop.engine.refresh_catalog().await;
    let after = shop.get("/openapi.json").await.json();
    assert_eq!(price(&after)["min"], "0.192");
}

#[tokio::test]
async fn a_shop_that_cannot_sell_still_says_how_it_would() {
    let shop = Shop::open().await;
    shop.clock
        .advance(compute_domain::time::Span::from_hours(25));
    let document = shop.get("/openapi.json").await;
    assert_eq!(document.status, 200);
    let document = document.json();
    let info = &document["paths"]["/compute/provision"]["post"]["x-payment-info"];
    assert_eq!(
        info["price"],
        json!({ "mode": "dynamic", "currency": "USD" })
    );
    assert_eq!(info["pricingMode"], "quote");
}

#[tokio::test]
async fn registries_find_what_answers_a_bare_request_with_402() {
    let shop = Shop::open().await;
    let answer = shop.get("/.well-known/x402").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let found = answer.json();
    assert_eq!(found["version"], 1);
    let resources = found["resources"].as_array().unwrap();
    assert!(!resources.is_empty());
    for resource in resources {
        let path = resource.as_str().unwrap().strip_prefix(URL).unwrap();
        let bare = Request::post(path).body(Body::empty()).unwrap();
        let asked = shop.send(bare).await;
        asked.expect_problem(402, "payment_required");
        assert!(!asked.json()["accepts"].as_array().unwrap().is_empty());
    }
    for member in ["openapi", "docs", "llms", "skill"] {
        let path = found[member].as_str().unwrap().strip_prefix(URL).unwrap();
        assert_eq!(shop.get(path).await.status, 200, "{member}");
    }
}

#[tokio::test]
async fn a_registry_of_another_place_is_told_that_place() {
    let elsewhere = "https://shop.example/api";
    let shop = Shop::open_with(Settings {
        public_url: compute_http::PublicUrl::parse(elsewhere).unwrap(),
        ..settings()
    })
    .await;
    for path in ["/openapi.json", "/.well-known/x402"] {
        let body = shop.get(path).await.body;
        assert!(body.contains(elsewhere) && !body.contains(URL), "{path}");
    }
}
