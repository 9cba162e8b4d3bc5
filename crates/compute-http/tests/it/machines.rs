use axum::body::Body;
use compute_domain::time::{Clock as _, Span, Timestamp};
use futures::future::join_all;
use serde_json::json;

use crate::shop::{ORDER, Shop};
use crate::visitor::{Visitor, paid};

#[tokio::test]
async fn the_buyer_sees_its_machines_newest_first() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let first = buyer.machine(&shop).await;
    shop.clock.advance(Span::from_secs(1));
    let second = buyer.machine(&shop).await;
    let list = buyer.send(&shop, "GET", "/compute/instances").await.json();
    let ids: Vec<_> = list["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["id"])
        .collect();
    assert_eq!(ids, [&json!(second), &json!(first)]);
    assert_eq!(list["instances"][0]["status"], "active");
    assert_eq!(list["instances"][0]["ip_address"], "192.0.2.7");
}

#[tokio::test]
async fn a_signature_over_path_and_query_is_good_too() {
    let shop = Shop::open().await;
    let answer = Visitor::new(1)
        .send(&shop, "GET", "/compute/instances?wallet=0xabc")
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, "{\"instances\":[]}")
    );
}

#[tokio::test]
async fn foreign_unknown_and_malformed_ids_look_alike() {
    let shop = Shop::open().await;
    let id = Visitor::new(1).machine(&shop).await;
    let stranger = Visitor::new(2);
    for id in [
        id.as_str(),
        "0190a1b2-0000-7000-8000-000000000000",
        "x",
        "%2e%2e",
        "%FF",
    ] {
        for (method, path) in [
            ("GET", format!("/compute/instances/{id}")),
            ("DELETE", format!("/compute/instances/{id}")),
            ("POST", format!("/compute/instances/{id}/password")),
            ("GET", format!("/compute/orders/{id}")),
        ] {
            let answer = stranger.send(&shop, method, &path).await;
            answer.expect_problem(404, "not_found");
        }
    }
    assert_eq!(shop.provider.alive().len(), 1);
}

#[tokio::test]
async fn a_destroyed_machine_stays_readable() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let path = format!("/compute/instances/{}", buyer.machine(&shop).await);
    for _ in 0..2 {
        let answer = buyer.send(&shop, "DELETE", &path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["success"], true);
        assert_eq!(answer.json()["order"]["status"], "destroyed");
        assert_eq!(answer.json()["order"], answer.json()["instance"]);
        // Accepted, and not yet seen to be gone.
        let pending = &answer.json()["order"]["metadata"]["destroy_pending"];
        assert_eq!(*pending, true, "{answer:?}");
        // One day is charged in any case, and no more was bought.
        assert_eq!(answer.json()["credited"].as_f64(), Some(0.0));
        assert!(answer.json().get("credited_to").is_none());
        shop.settle_down().await;
    }
    assert_eq!(shop.provider.alive().len(), 0);
    shop.drive().await;
    let details = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(details["order"]["status"], "destroyed");
    assert!(details["order"]["destroyed_at"].is_string());
    assert_eq!(details["order"]["metadata"], serde_json::json!({}));
}

#[tokio::test]
async fn what_is_left_of_a_destroyed_machine_is_credited_once() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let week = ORDER.replace("24}", "168}");
    let payment = buyer.pay(&shop, &shop.ask(&week).await);
    let bought = shop.send(paid(&payment, &week)).await;
    shop.settle_down().await;
    let end = bought.json()["order"]["expires_at"]
        .as_str()
        .map(Timestamp::parse);
    let half = end.unwrap().unwrap().minus(Span::from_hours(84));
    shop.clock.advance(half.since(shop.clock.now()));
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    let path = format!("/compute/instances/{id}");
    for _ in 0..2 {
        let answer = buyer.send(&shop, "DELETE", &path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        // Half of 1.176.
        assert_eq!(answer.json()["credited"].to_string(), "0.588");
        assert_eq!(answer.json()["credited_to"], "credits");
        shop.settle_down().await;
    }
    assert_eq!(buyer.balance(&shop).await, "0.588");
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let mut bought = Vec::new();
    for _ in 0..5 {
        bought.push(buyer.machine(&shop).await);
        shop.clock.advance(Span::from_secs(1));
    }
    bought.reverse();
    let mut seen = Vec::new();
    let mut path = "/compute/instances?wallet=0xabc&limit=2".to_owned();
    let mut sizes = Vec::new();
    loop {
        let answer = buyer.send(&shop, "GET", &path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let ids = page["instances"].as_array().unwrap().iter();
        let ids: Vec<_> = ids
            .map(|order| order["id"].as_str().unwrap().to_owned())
            .collect();
        sizes.push(ids.len());
        seen.extend(ids);
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/compute/instances?limit=2&cursor={cursor}&colour=red");
    }
    assert_eq!((seen, sizes), (bought, vec![2, 2, 1]));
    let all = buyer.send(&shop, "GET", "/compute/instances?limit=5").await;
    assert!(all.json().get("next_cursor").is_none());
    // A cursor shows nothing of others.
    let stranger = Visitor::new(2);
    let foreign = stranger.send(&shop, "GET", &path).await;
    assert_eq!(foreign.body, "{\"instances\":[]}");
}

#[tokio::test]
async fn a_page_that_cannot_be_is_400_before_anybody_is_asked_who_it_is() {
    let shop = Shop::open().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=2&limit=3", "limit"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=%27", "cursor"),
    ] {
        let refused = shop.get(&format!("/compute/instances?{query}")).await;
        refused.expect_problem(400, "invalid_request");
        assert_eq!(refused.json()["field"], field, "{query}");
    }
    let path = "/compute/instances?limit=2";
    shop.get(path).await.expect_problem(401, "auth_required");
}

#[tokio::test]
async fn of_many_readers_one_gets_the_password() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let path = format!("/compute/instances/{}/password", buyer.machine(&shop).await);
    let answers = join_all((0..64).map(|_| buyer.send(&shop, "POST", &path))).await;
    let (winners, losers): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(winners.len(), 1);
    let access = &winners[0].json()["access"];
    assert_eq!(
        access,
        &json!({"method": "one_time_password", "username": "root", "ip_address": "192.0.2.7",
                "password": "root-of-machine-1"})
    );
    assert_eq!(
        winners[0].header("cache-control"),
        Some("private, no-store")
    );
    for loser in losers {
        loser.expect_problem(409, "password_already_retrieved");
    }
}

#[tokio::test]
async fn the_password_takes_an_empty_body_of_any_type() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let path = format!("/compute/instances/{}/password", buyer.machine(&shop).await);
    let request = buyer
        .signed(&shop, "POST", &path, "")
        .header("content-type", "application/json");
    assert_eq!(
        shop.send(request.body(Body::empty()).unwrap()).await.status,
        200
    );
}

#[tokio::test]
async fn a_password_before_the_machine_is_not_spent() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.buy(&shop).await.json()["order"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/compute/instances/{id}/password");
    let early = buyer.send(&shop, "POST", &path).await;
    early.expect_problem(503, "password_not_ready");
    assert_eq!(early.header("retry-after"), Some("5"));
    shop.settle_down().await;
    assert_eq!(buyer.send(&shop, "POST", &path).await.status, 200);
}

#[tokio::test]
async fn the_status_url_answers_the_owner_and_whoever_shows_the_payment() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let payment = buyer.payment(&shop).await;
    let bought = shop.send(paid(&payment, ORDER)).await;
    shop.settle_down().await;
    let path = format!(
        "/compute/orders/{}",
        bought.json()["order"]["id"].as_str().unwrap()
    );
    let by_owner = buyer.send(&shop, "GET", &path).await;
    let shown = http::Request::get(&path).header(payment.header_name(), payment.to_header());
    let by_payment = shop.send(shown.body(Body::empty()).unwrap()).await;
    assert_eq!(by_owner.status, 200, "{by_owner:?}");
    assert_eq!(by_owner.body, by_payment.body);
    let body = by_owner.json();
    assert_eq!(body["order"]["status"], "active");
    assert_eq!(body["settlement"], "settled");
    assert_eq!(body["operation"]["state"], "succeeded");
    assert_eq!(body["tx_hash"], bought.json()["tx_hash"]);
    assert!(!body["history"].as_array().unwrap().is_empty());
    shop.get(&path).await.expect_problem(401, "auth_required");
    let strange = Visitor::new(2).payment(&shop).await;
    let shown = http::Request::get(&path).header(strange.header_name(), strange.to_header());
    shop.send(shown.body(Body::empty()).unwrap())
        .await
        .expect_problem(404, "not_found");
}
