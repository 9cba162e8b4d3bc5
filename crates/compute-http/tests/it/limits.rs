use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use compute_domain::time::Span;
use compute_http::{Doubt, Limits, Proxies, Settings};
use compute_mpp::tempo::Modes;
use compute_testkit::scripted_charge::ScriptedCharge;
use http::Request;

use crate::credits::by_credits;
use crate::shop::{Answer, ORDER, Shop, purchase, settings};
use crate::visitor::{Visitor, paid};

const STRANGER: &str = "198.51.100.7";

fn narrow(per_minute: u32) -> Settings {
    let base = settings();
    let unauthenticated_per_minute = NonZeroU32::new(per_minute).unwrap();
    Settings {
        limits: Limits {
            unauthenticated_per_minute,
            ..base.limits
        },
        ..base
    }
}

async fn plans(shop: &Shop, peer: &str) -> Answer {
    let request = Request::get("/compute/plans").body(Body::empty()).unwrap();
    shop.send_from(peer.parse::<IpAddr>().unwrap(), request)
        .await
}

#[tokio::test]
async fn an_address_has_a_budget_that_grows_back() {
    let shop = Shop::open_with(narrow(3)).await;
    for _ in 0..3 {
        assert_eq!(plans(&shop, STRANGER).await.status, 200);
    }
    let refused = plans(&shop, STRANGER).await;
    refused.expect_problem(429, "rate_limited");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(plans(&shop, "198.51.100.8").await.status, 200);
    shop.clock.advance(Span::from_secs(wait));
    assert_eq!(plans(&shop, STRANGER).await.status, 200);
}

#[tokio::test]
async fn asking_whether_we_live_is_not_counted_and_whether_we_are_ready_is() {
    let shop = Shop::open_with(narrow(2)).await;
    for _ in 0..5 {
        assert_eq!(shop.get("/healthz").await.status, 200);
    }
    assert_eq!(shop.get("/readyz").await.status, 200);
    assert_eq!(shop.get("/readyz").await.status, 200);
    let refused = shop.get("/readyz").await;
    refused.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn headers_that_no_route_reads_buy_no_way_past_the_budget() {
    for header in [
        "x-api-key",
        "x-auth-signature",
        "x-payment",
        "payment-signature",
    ] {
        for (method, path) in [
            ("GET", "/compute/plans"),
            ("GET", "/nowhere"),
            ("GET", "/readyz"),
            ("PUT", "/compute/instances"),
        ] {
            let shop = Shop::open_with(narrow(1)).await;
            let ask = async || {
                let request = Request::builder().method(method).uri(path);
                let request = request.header(header, "x").body(Body::empty()).unwrap();
                shop.send(request).await
            };
            assert_ne!(ask().await.status, 429, "{header} {method} {path}");
            ask().await.expect_problem(429, "rate_limited");
        }
    }
}

#[tokio::test]
async fn a_blank_payment_is_none() {
    let shop = Shop::open_with(narrow(1)).await;
    let ask = async || {
        let blank = crate::shop::purchase(ORDER).header("x-payment", " ");
        shop.send(blank.body(Body::from(ORDER)).unwrap()).await
    };
    ask().await.expect_problem(402, "payment_required");
    ask().await.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn payments_that_belong_to_no_order_come_to_an_end() {
    let shop = Shop::open_with(narrow(3)).await;
    let payment = Visitor::new(1).payment(&shop).await;
    let bought = shop.send(paid(&payment, ORDER)).await;
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    let order = async |id: &str| {
        let request = Request::get(format!("/compute/orders/{id}"));
        let request = request.header(payment.header_name(), payment.to_header());
        shop.send(request.body(Body::empty()).unwrap()).await
    };
    let stranger = id.replace(id.get(..4).unwrap(), "0000");
    order(&stranger).await.expect_problem(404, "not_found");
    order(&stranger).await.expect_problem(404, "not_found");
    order(&stranger).await.expect_problem(429, "rate_limited");
    for _ in 0..3 {
        assert_eq!(order(&id).await.status, 200);
    }
}

#[tokio::test]
async fn this_machine_itself_can_be_left_out() {
    let exempting = |exempt_loopback| {
        let base = narrow(1);
        Settings {
            limits: Limits {
                exempt_loopback,
                ..base.limits
            },
            ..base
        }
    };
    let lenient = Shop::open_with(exempting(true)).await;
    let strict = Shop::open_with(exempting(false)).await;
    for address in ["127.0.0.1", "::1"] {
        for _ in 0..3 {
            assert_eq!(plans(&lenient, address).await.status, 200);
        }
        plans(&strict, address).await;
        plans(&strict, address)
            .await
            .expect_problem(429, "rate_limited");
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_speaks_for_others() {
    let proxies = Proxies {
        addresses: vec!["10.0.0.1".parse().unwrap()],
        ..Proxies::default()
    };
    let shop = Shop::open_with(Settings {
        proxies,
        ..narrow(1)
    })
    .await;
    let ask = async |peer: &str, forwarded: &str| {
        let request = Request::get("/compute/plans").header("x-forwarded-for", forwarded);
        let request = request.body(Body::empty()).unwrap();
        shop.send_from(peer.parse().unwrap(), request)
            .await
            .status
            .as_u16()
    };
    assert_eq!(ask("10.0.0.1", "203.0.113.1").await, 200);
    assert_eq!(ask("10.0.0.1", "203.0.113.2").await, 200);
    assert_eq!(ask("10.0.0.1", "203.0.113.2").await, 429);
    assert_eq!(ask(STRANGER, "203.0.113.3").await, 200);
    assert_eq!(ask(STRANGER, "203.0.113.4").await, 429);
}

#[tokio::test]
async fn a_repeat_of_a_known_payment_is_never_turned_away() {
    let shop = Shop::open_with(narrow(2)).await;
    let payment = Visitor::new(1).payment(&shop).await;
    for _ in 0..10 {
        assert_eq!(shop.send(paid(&payment, ORDER)).await.status, 200);
    }
    let other = ORDER.replace("agent", "other");
    shop.send(paid(&payment, &other))
        .await
        .expect_problem(409, "payment_already_used");
    // The one request that counted was the question for the price.
    assert_eq!(plans(&shop, STRANGER).await.status, 200);
    plans(&shop, STRANGER)
        .await
        .expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn worthless_payments_use_up_the_budget_of_their_address() {
    let shop = Shop::open_with(narrow(2)).await;
    let pay = async || {
        let junk = crate::shop::purchase(ORDER).header("x-payment", "%%%");
        shop.send(junk.body(Body::from(ORDER)).unwrap()).await
    };
    pay().await.expect_problem(400, "payment_malformed");
    pay().await.expect_problem(400, "payment_malformed");
    pay().await.expect_problem(429, "rate_limited");
    plans(&shop, STRANGER)
        .await
        .expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn guessing_credentials_comes_to_an_end() {
    let shop = Shop::open_with(narrow(2)).await;
    let guess = async || {
        let request = Request::get("/compute/instances").header("x-api-key", "x402c_guess");
        shop.send(request.body(Body::empty()).unwrap()).await
    };
    guess().await.expect_problem(401, "api_key_invalid");
    guess().await.expect_problem(401, "api_key_invalid");
    guess().await.expect_problem(429, "rate_limited");
    assert_eq!(
        Visitor::new(1)
            .send(&shop, "GET", "/compute/instances")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_full_house_turns_away_with_503() {
    let base = settings();
    let full = Settings {
        limits: Limits {
            in_flight: 0,
            ..base.limits
        },
        ..base
    };
    let shop = Shop::open_with(full).await;
    let answer = shop.get("/compute/plans").await;
    answer.expect_problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Whoever restarts us for it would make it worse.
    assert_eq!(shop.get("/healthz").await.status, 200);
    assert_eq!(shop.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_payer_waits_for_a_place_and_not_for_ever() {
    let base = settings();
    let full = Settings {
        limits: Limits {
            in_flight: 0,
            payment_wait: Duration::ZERO,
            ..base.limits
        },
        ..base
    };
    let open = Shop::open().await;
    let payment = Visitor::new(1).payment(&open).await;
    let shop = Shop::open_with(full).await;
    let answer = shop.send(paid(&payment, ORDER)).await;
    answer.expect_problem(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(shop.provider.alive().len(), 0);
}

#[tokio::test]
async fn readiness_is_found_out_every_two_seconds_at_most() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/readyz").await.status, 200);
    shop.clock.advance(Span::from_hours(25));
    let answers = futures::future::join_all((0..20).map(|_| shop.get("/readyz"))).await;
    for answer in &answers {
        answer.expect_problem(503, "not_ready");
    }
    shop.engine.refresh_catalog().await;
    assert_eq!(shop.get("/readyz").await.status, 503);
    shop.clock.advance(Span::from_secs(2));
    assert_eq!(shop.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_doubt_of_the_listener_is_a_problem_like_every_other() {
    let shop = Shop::open().await;
    let mut request = Request::get("/readyz").body(Body::empty()).unwrap();
    let doubt = Doubt("the clock stepped back".to_owned());
    request.extensions_mut().insert(doubt);
    let answer = shop.send(request).await;
    answer.expect_problem(503, "not_ready");
    assert_eq!(answer.json()["reasons"][0], "the clock stepped back");
    assert_eq!(shop.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn too_few_credits_do_not_use_up_the_budget_of_an_address() {
    let shop = Shop::open_with(narrow(1)).await;
    let poor = Visitor::new(1);
    for _ in 0..3 {
        let refused = poor
            .post(&shop, "/compute/provision", &by_credits(""))
            .await;
        refused.expect_problem(402, "insufficient_credits");
    }
    assert_eq!(plans(&shop, STRANGER).await.status, 200);
}

/// A header that looks like a payment does not lift the budget of its address.
#[tokio::test]
async fn credentials_that_are_none_count() {
    let charges = vec![Arc::new(ScriptedCharge::tempo(Modes::Pull))];
    let shop = Shop::open_over(narrow(2), charges).await;
    let send = async || {
        let request = purchase(ORDER).header("authorization", "Payment dGhpcyBpcyBqdW5r");
        shop.send_from(
            STRANGER.parse().unwrap(),
            request.body(Body::from(ORDER)).unwrap(),
        )
        .await
    };
    for _ in 0..2 {
        send().await.expect_problem(402, "malformed_credential");
    }
    send().await.expect_problem(429, "rate_limited");
}

/// Whoever guesses may show whatever beside it.
#[tokio::test]
async fn no_payment_excuses_false_credentials() {
    const ORDER_PATH: &str = "/compute/orders/0190a1b2-0000-7000-8000-000000000000";
    let extend = crate::shop::extend_path("0190a1b2-0000-7000-8000-000000000000");
    let junk = "Payment dGhpcyBpcyBqdW5r";
    for (method, path, body) in [
        ("GET", ORDER_PATH, ""),
        (
            "GET",
            "/compute/operations/0190a1b2-0000-7000-8000-000000000000",
            "",
        ),
        ("POST", extend.as_str(), "{}"),
        ("POST", "/compute/provision", ORDER),
    ] {
        for key in [None, Some("x402c_guess")] {
            let charges = vec![Arc::new(ScriptedCharge::tempo(Modes::Pull))];
            let shop = Shop::open_over(narrow(2), charges).await;
            let guess = async || {
                let mut request = Request::builder().method(method).uri(path);
                request = request.header("content-type", "application/json");
                request = request.header("authorization", junk);
                if let Some(key) = key {
                    request = request.header("x-api-key", key);
                }
                shop.send(request.body(Body::from(body.to_owned())).unwrap())
                    .await
            };
            for _ in 0..2 {
                let answer = guess().await;
                assert_ne!(answer.status, 429, "{method} {path} {key:?}: {answer:?}");
                if key.is_some() || method == "GET" {
                    assert_eq!(answer.status, 401, "{method} {path} {key:?}: {answer:?}");
                }
            }
            guess().await.expect_problem(429, "rate_limited");
        }
    }
}
