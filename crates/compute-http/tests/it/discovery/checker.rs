//! What a checker of the Payment scheme's discovery looks at (mpp.md 16), over HTTP.

use axum::body::Body;
use http::Request;
use serde_json::Value;

use super::document;
use crate::charges::payer::{challenges, now_s};
use crate::shop::{Answer, Shop, extend_path, post};
use crate::visitor::{TOPUP, Visitor};

/// A credential that is none.
const GARBAGE: &str = "Payment dGhpcyBpcyBnYXJiYWdl";

fn paid(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .filter_map(|(path, item)| Some((path.as_str(), item.get("post")?)))
        .filter(|(_, operation)| operation.get("x-payment-info").is_some())
        .collect()
}

fn example(operation: &Value) -> String {
    let content = &operation["requestBody"]["content"]["application/json"];
    let examples = content["examples"].as_object().unwrap().values();
    examples.into_iter().next().unwrap()["value"].to_string()
}

#[tokio::test]
async fn the_offers_have_the_published_forms() {
    let (_shop, document) = document().await;
    let paid = paid(&document);
    assert_eq!(paid.len(), 3);
    for (path, operation) in paid {
        let info = operation["x-payment-info"].as_object().unwrap();
        // Offers and a flat offer must not be mixed.
        for flat in ["amount", "currency", "description", "intent", "method"] {
            assert!(!info.contains_key(flat), "{path}: {flat}");
        }
        assert!(operation["responses"].get("402").is_some(), "{path}");
        assert!(operation.get("requestBody").is_some(), "{path}");
        let offers = info.get("offers").map_or(0, |offers| {
            for offer in offers.as_array().unwrap() {
                assert_eq!(offer["intent"], "charge");
                assert!(offer["amount"].is_null());
                assert!(offer["method"].is_string() && offer["currency"].is_string());
            }
            offers.as_array().unwrap().len()
        });
        // Credits are bought by x402 only.
        assert_eq!(offers, if path == TOPUP { 0 } else { 2 }, "{path}");
        let protocols = info["protocols"].as_array().unwrap();
        assert!(protocols[0]["x402"].is_object(), "{path}");
        for other in &protocols[1..] {
            for member in ["method", "intent", "currency"] {
                assert!(!other["mpp"][member].as_str().unwrap().is_empty(), "{path}");
            }
        }
        let price = &info["price"];
        assert_eq!(
            (&price["mode"], &price["currency"]),
            (&"dynamic".into(), &"USD".into())
        );
        assert_eq!(info["pricingMode"], "range");
        assert_eq!(
            (&info["minPrice"], &info["maxPrice"]),
            (&price["min"], &price["max"])
        );
    }
}

/// The challenges that an unpaid request meets.
fn expect_challenges(shop: &Shop, asked: &Answer) {
    asked.expect_problem(402, "payment_required");
    let first = asked.header("www-authenticate").unwrap();
    assert!(first.starts_with("Payment "), "{first}");
    let challenges = challenges(asked);
    assert!(!challenges.is_empty());
    for challenge in challenges {
        assert!(!challenge.id().is_empty());
        assert_eq!(challenge.realm(), "compute.example");
        assert!(challenge.expires_s().unwrap() > now_s(shop));
        let charge = challenge.charge().unwrap();
        assert!(charge.amount.get() > 0 && !charge.currency.is_empty());
    }
}

#[tokio::test]
async fn an_unpaid_purchase_is_answered_with_challenges_with_and_without_a_body() {
    let (shop, document) = document().await;
    let path = "/compute/provision";
    let operation = &document["paths"][path]["post"];
    let asked = shop.ask_at(path, &example(operation)).await;
    expect_challenges(&shop, &asked);
    // Neither body nor content type.
    let bare = shop
        .send(Request::post(path).body(Body::empty()).unwrap())
        .await;
    expect_challenges(&shop, &bare);
}

#[tokio::test]
async fn a_credential_that_is_none_gets_a_fresh_challenge() {
    let (shop, document) = document().await;
    let body = example(&document["paths"]["/compute/provision"]["post"]);
    let send = async || {
        let request = post("/compute/provision", &body).header("authorization", GARBAGE);
        shop.send(request.body(Body::from(body.clone())).unwrap())
            .await
    };
    let (one, other) = (send().await, send().await);
    for answer in [&one, &other] {
        assert_eq!(answer.status, 402, "{answer:?}");
    }
    assert_ne!(challenges(&one)[0].id(), challenges(&other)[0].id());
}

#[tokio::test]
async fn more_time_and_credits_are_asked_for_by_their_examples() {
    let (shop, document) = document().await;
    let visitor = Visitor::new(1);
    let path = extend_path(&visitor.machine(&shop).await);
    let operation = &document["paths"]["/compute/instances/{id}/extend"]["post"];
    shop.ask_at(&path, &example(operation))
        .await
        .expect_problem(402, "payment_required");
    // Nothing means a day, and needs no content type.
    let bare = shop
        .send(Request::post(&path).body(Body::empty()).unwrap())
        .await;
    bare.expect_problem(402, "payment_required");
    // Who asks for credits must be known.
    let body = example(&document["paths"][TOPUP]["post"]);
    shop.ask_at(TOPUP, &body)
        .await
        .expect_problem(401, "auth_required");
    let asked = visitor.post(&shop, TOPUP, &body).await;
    asked.expect_problem(402, "payment_required");
    assert!(asked.header("www-authenticate").is_none(), "by x402 only");
    let bare = visitor.send(&shop, "POST", TOPUP).await;
    bare.expect_problem(400, "invalid_request");
}
