//! Webhooks and the wish to be extended, over HTTP.

use crate::shop::{Answer, ORDER, Shop};
use crate::visitor::{Visitor, paid};

#[tokio::test]
async fn without_a_courier_there_are_no_webhooks_and_the_notices_of_stripe_stay() {
    let shop = Shop::open().await;
    let visitor = Visitor::new(1);
    let body = "{\"url\":\"https://hooks.example.com/\"}";
    let refused = visitor.post(&shop, "/compute/webhooks", body).await;
    refused.expect_problem(400, "not_supported");
    let nobody = http::Request::post("/compute/webhooks/stripe");
    let nobody = shop
        .send(nobody.body(axum::body::Body::empty()).unwrap())
        .await;
    assert_ne!(nobody.status, 401, "{nobody:?}");
    let list = visitor.send(&shop, "GET", "/compute/webhooks").await;
    assert_eq!(list.json()["webhooks"], serde_json::json!([]));
    let id = "0190a1b2-0000-7000-8000-000000000000";
    for (method, tail) in [("DELETE", ""), ("POST", "/rotate"), ("GET", "/deliveries")] {
        let path = format!("/compute/webhooks/{id}{tail}");
        let refused = visitor.send(&shop, method, &path).await;
        refused.expect_problem(404, "not_found");
    }
}

async fn put(shop: &Shop, visitor: &Visitor, path: &str, body: &'static str) -> Answer {
    let request = visitor.signed(shop, "PUT", path, body);
    let request = request.header("content-type", "application/json");
    shop.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn the_wish_to_be_extended_is_set_shown_and_lifted() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let payment = buyer.payment(&shop).await;
    let bought = shop.send(paid(&payment, ORDER)).await;
    shop.settle_down().await;
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    let path = format!("/compute/instances/{id}/auto-extend");
    let off = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(off, serde_json::json!({ "order_id": id, "enabled": false }));
    let wish = "{\"enabled\":true,\"hours\":48,\"max_total_usd\":\"2\"}";
    let set = put(&shop, &buyer, &path, wish).await;
    assert_eq!(set.status, 200, "{set:?}");
    let shown = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(shown, set.json());
    assert_eq!(
        (&shown["enabled"], &shown["hours"]),
        (&true.into(), &48.into())
    );
    assert_eq!(shown["max_total_usd"].as_f64(), Some(2.0));
    assert_eq!(shown["spent_usd"].as_f64(), Some(0.0));
    assert!(shown["next_at"].is_string());
    let stranger = put(&shop, &Visitor::new(2), &path, wish).await;
    stranger.expect_problem(404, "not_found");
    let lifted = put(&shop, &buyer, &path, "{\"enabled\":false}").await;
    assert_eq!(lifted.json(), off);
    // The order warns of its end.
    let details = buyer
        .send(&shop, "GET", &format!("/compute/instances/{id}"))
        .await
        .json();
    let metadata = &details["order"]["metadata"];
    assert_eq!(metadata["expiring_in_hours"], 24, "{metadata}");
    assert!(metadata["expires_warning"].is_string(), "{metadata}");
}
