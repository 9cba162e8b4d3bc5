//! The event feed over HTTP.

use crate::shop::{ORDER, Shop};
use crate::visitor::{Visitor, paid};

#[tokio::test]
async fn a_feed_is_read_on_from_its_cursor() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let empty = buyer.send(&shop, "GET", "/compute/events").await;
    assert_eq!(empty.status, 200, "{empty:?}");
    assert_eq!(empty.json()["events"], serde_json::json!([]));
    let start = empty.text("next_cursor");
    buyer.top_up(&shop, "1").await;
    let payment = buyer.payment(&shop).await;
    shop.send(paid(&payment, ORDER)).await;
    shop.settle_down().await;
    let path = format!("/compute/events?after={start}&limit=1");
    let first = buyer.send(&shop, "GET", &path).await;
    let page = first.json();
    assert_eq!(page["has_more"], true, "{page}");
    assert_eq!(page["events"][0]["type"], "credits.added");
    assert_eq!(page["events"][0]["sequence"], 1);
    assert!(page["events"][0].get("order_id").is_none());
    let path = format!("/compute/events?after={}", first.text("next_cursor"));
    let rest = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(rest["has_more"], false, "{rest}");
    let events = rest["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{rest}");
    assert_eq!(events[0]["type"], "instance.active");
    assert!(events[0]["order_id"].is_string() && events[0]["operation_id"].is_string());
    assert!(events[0]["data"]["expires_at"].is_string());
    // What nobody may know is not in it.
    assert!(!rest.to_string().contains("password"), "{rest}");
    let strange = Visitor::new(2).send(&shop, "GET", "/compute/events").await;
    assert_eq!(strange.json()["events"], serde_json::json!([]));
}

#[tokio::test]
async fn a_feed_belongs_to_somebody_and_has_bounds() {
    let shop = Shop::open().await;
    let nobody = http::Request::get("/compute/events");
    let nobody = shop
        .send(nobody.body(axum::body::Body::empty()).unwrap())
        .await;
    nobody.expect_problem(401, "auth_required");
    for query in ["after=7", "after=ev1_", "limit=0", "limit=201", "limit=x"] {
        let path = format!("/compute/events?{query}");
        let refused = Visitor::new(1).send(&shop, "GET", &path).await;
        refused.expect_problem(400, "invalid_request");
    }
}
