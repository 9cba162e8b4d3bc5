use axum::body::Body;
use compute_http::{Mode, Settings};
use http::Request;

use crate::shop::{Shop, extend_path, settings};

#[tokio::test]
async fn plans_regions_and_images_are_for_everybody() {
    let shop = Shop::open().await;
    let plans = shop.get("/compute/plans").await;
    assert_eq!(plans.status, 200);
    insta::assert_snapshot!(plans.body);
    let regions = shop.get("/compute/regions").await.json();
    assert_eq!(regions["regions"][0]["id"], "ewr");
    let images = shop.get("/compute/os").await.json();
    assert_eq!(images["os"], images["os_options"]);
    assert_eq!(images["os"][0]["id"], 2284);
}

#[tokio::test]
async fn every_family_answers_and_no_other_word_does() {
    let shop = Shop::open().await;
    for (family, count) in [("vps", 1), ("vhp", 0), ("vdc", 0), ("vcg", 0)] {
        let answer = shop.get(&format!("/compute/plans?type={family}")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["count"]),
            (200, &count.into())
        );
    }
    let refused = shop.get("/compute/plans?type=all").await;
    refused.expect_problem(400, "invalid_request");
    assert_eq!(refused.json()["field"], "type");
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let shop = Shop::open().await;
    let first = shop.get("/compute/plans").await;
    let tag = first.header("etag").unwrap();
    let request = Request::get("/compute/plans").header("if-none-match", tag);
    let second = shop.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((second.status.as_u16(), second.body.as_str()), (304, ""));
    assert_eq!(second.header("etag"), Some(tag));
}

#[tokio::test]
async fn the_page_follows_the_price() {
    let shop = Shop::open().await;
    let before = shop.get("/compute/plans").await;
    shop.provider.set_rate(8_000);
    shop.clock
        .advance(compute_domain::time::Span::from_secs(3_600));
    shop.engine.refresh_catalog().await;
    let after = shop.get("/compute/plans").await;
    assert_ne!(before.header("etag"), after.header("etag"));
    assert_eq!(after.json()["plans"][0]["our_hourly"].to_string(), "0.008");
}

#[tokio::test]
async fn a_stale_catalogue_is_no_catalogue() {
    let shop = Shop::open().await;
    shop.clock
        .advance(compute_domain::time::Span::from_hours(25));
    let answer = shop.get("/compute/plans").await;
    answer.expect_problem(503, "catalogue_unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn any_web_page_may_read_the_catalogue_and_nothing_private() {
    let shop = Shop::open().await;
    let plans = shop.get("/compute/plans").await;
    assert_eq!(plans.header("access-control-allow-origin"), Some("*"));
    assert_eq!(plans.header("access-control-allow-credentials"), None);
    let private = shop.get("/compute/instances").await;
    assert_eq!(private.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_browser_may_ask_before_it_buys() {
    let shop = Shop::open().await;
    let ask = |path: &str| {
        Request::options(path)
            .header("origin", "null")
            .body(Body::empty())
            .unwrap()
    };
    let answer = shop.send(ask("/compute/provision")).await;
    assert_eq!(answer.status, 204);
    assert!(
        answer
            .header("access-control-allow-headers")
            .unwrap()
            .contains("X-PAYMENT")
    );
    let private = shop.send(ask("/compute/instances")).await;
    assert_eq!(private.header("access-control-allow-methods"), None);
}

#[tokio::test]
async fn any_web_page_may_extend() {
    let shop = Shop::open().await;
    let path = extend_path("0190a1b2-0000-7000-8000-000000000000");
    let preflight = Request::options(&path)
        .header("origin", "null")
        .body(Body::empty())
        .unwrap();
    let answer = shop.send(preflight).await;
    assert_eq!(answer.status, 204);
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("Idempotency-Key"), "{allowed}");
    let answer = shop.ask_at(&path, "{}").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_simulation_says_so_in_every_answer() {
    let shop = Shop::open_with(Settings {
        mode: Mode::Dev,
        ..settings()
    })
    .await;
    for path in ["/compute/plans", "/nowhere"] {
        assert_eq!(shop.get(path).await.header("x-compute-mode"), Some("dev"));
    }
    let live = Shop::open().await;
    assert_eq!(
        live.get("/compute/plans").await.header("x-compute-mode"),
        None
    );
}

#[tokio::test]
async fn health_tells_life_and_readiness() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/healthz").await.text("status"), "ok");
    assert_eq!(shop.get("/readyz").await.json()["ready"], true);
    shop.clock
        .advance(compute_domain::time::Span::from_hours(25));
    let answer = shop.get("/readyz").await;
    answer.expect_problem(503, "not_ready");
    assert_eq!(answer.json()["reasons"][0], "no fresh catalogue");
    assert_eq!(shop.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn anybody_can_see_how_the_shop_stands() {
    let shop = Shop::open().await;
    let answer = shop.get("/status.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=10"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let status = answer.json();
    assert_eq!(status["status"], "up");
    assert_eq!(status["version"], "1.2.3");
    assert!(
        status["providers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["status"] == "up")
    );
    assert!(!status["networks"].as_array().unwrap().is_empty());
}
