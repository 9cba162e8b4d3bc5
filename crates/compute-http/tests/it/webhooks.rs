//! Webhooks and the wish to be extended, over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use compute_engine::ports::{Courier, Handed};
use tokio::sync::Semaphore;

use crate::shop::{Answer, ORDER, Shop};
use crate::visitor::{Visitor, paid};

/// A receiver that takes everything, as long as it lets somebody in.
#[derive(Debug)]
struct Receiver {
    gate: Semaphore,
    /// How many have come.
    guests: AtomicU32,
}

#[async_trait]
impl Courier for Receiver {
    fn check(&self, url: &str) -> Result<String, String> {
        Ok(url.to_owned())
    }

    async fn hand(&self, _: &str, _: &str, _: &str) -> Handed {
        self.guests.fetch_add(1, Ordering::Relaxed);
        drop(self.gate.acquire().await.unwrap());
        Handed::Answered(204)
    }
}

async fn shop_with_receiver() -> (Shop, Arc<Receiver>) {
    let receiver = Arc::new(Receiver {
        gate: Semaphore::new(1_000),
        guests: AtomicU32::new(0),
    });
    let mut shop = Shop::open().await;
    shop.hire(receiver.clone()).await;
    (shop, receiver)
}

const HOOK: &str = "{\"url\":\"https://hooks.example.com/\"}";

#[tokio::test]
async fn a_webhook_ends_with_the_key_that_made_it() {
    let (shop, _) = shop_with_receiver().await;
    let owner = Visitor::new(1);
    let key = owner.post(&shop, "/compute/api-keys", "").await.json();
    let with_key = async |path: &str, body: &'static str| {
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.header("x-api-key", key["api_key"].as_str().unwrap());
        shop.send(request.body(body.into()).unwrap()).await
    };
    let made = with_key("/compute/webhooks", HOOK).await.json();
    let id = made["webhook"]["id"].as_str().unwrap();
    let ping = format!("/compute/webhooks/{id}/ping");
    let pinged = with_key(&ping, "").await.json();
    assert_eq!(pinged["webhook"]["status"], "active", "{pinged}");
    assert_eq!(pinged["webhook"]["api_key_id"], key["id"]);
    assert!(pinged["webhook"].get("disabled_because").is_none());
    let path = format!("/compute/api-keys/{}", key["id"].as_str().unwrap());
    let revoked = owner.send(&shop, "DELETE", &path).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let list = owner.send(&shop, "GET", "/compute/webhooks").await.json();
    let shown = &list["webhooks"][0];
    assert_eq!(shown["status"], "disabled", "{list}");
    assert_eq!(shown["disabled_because"], "api_key_ended");
    with_key(&ping, "")
        .await
        .expect_problem(401, "api_key_invalid");
    let pinged = owner.post(&shop, &ping, "").await.json();
    assert_eq!(pinged["webhook"]["status"], "active", "{pinged}");
    assert!(pinged["webhook"].get("api_key_id").is_none());
}

#[tokio::test]
async fn many_wallets_at_one_address_have_four_pings_under_way() {
    let (shop, receiver) = shop_with_receiver().await;
    let mut pings = Vec::new();
    for number in 1..=5 {
        let visitor = Visitor::new(number);
        let made = visitor.post(&shop, "/compute/webhooks", HOOK).await.json();
        let id = made["webhook"]["id"].as_str().unwrap();
        pings.push((visitor, format!("/compute/webhooks/{id}/ping")));
    }
    receiver.gate.forget_permits(1_000);
    let (late, path) = pings.pop().unwrap();
    let under_way = pings
        .iter()
        .map(|(visitor, path)| visitor.post(&shop, path, ""));
    let mut under_way = std::pin::pin!(futures::future::join_all(under_way));
    let refused = tokio::select! {
        biased;
        answers = &mut under_way => panic!("nobody was let in: {answers:?}"),
        refused = async {
            while receiver.guests.load(Ordering::Relaxed) < 4 {
                tokio::task::yield_now().await;
            }
            late.post(&shop, &path, "").await
        } => refused,
    };
    refused.expect_problem(429, "rate_limited");
    receiver.gate.add_permits(1_000);
    for answer in under_way.await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(late.post(&shop, &path, "").await.status, 200);
}

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
