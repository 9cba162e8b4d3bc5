//! What all routes have in common: methods, media types, budgets, compression.

use std::io::Read as _;
use std::num::NonZeroU32;

use axum::body::Body;
use compute_domain::time::Span;
use compute_http::{Limits, Settings};
use http::Request;
use serde_json::Value;

use crate::credits::by_credits;
use crate::shop::{Answer, ORDER, Shop, extend_path, purchase, settings};
use crate::visitor::{Visitor, named, paid};

const SOME: &str = "0190a1b2-0000-7000-8000-000000000000";

async fn send(shop: &Shop, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    shop.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_route_says_what_it_does() {
    let shop = Shop::open().await;
    let instance = format!("/compute/instances/{SOME}");
    for (path, methods, is_open) in [
        ("/compute/plans", "GET, HEAD", true),
        ("/compute/quote", "POST", true),
        ("/compute/provision", "POST", true),
        (&extend_path(SOME), "POST", true),
        ("/compute/instances", "GET, HEAD", false),
        (&instance, "GET, HEAD, DELETE", false),
        ("/compute/api-keys", "POST, GET, HEAD", false),
        (&format!("{instance}/protection"), "PUT", false),
        ("/compute/ledger", "GET, HEAD", false),
        ("/healthz", "GET, HEAD", false),
    ] {
        let preflight = [
            ("origin", "null"),
            ("access-control-request-method", "POST"),
        ];
        let answer = send(&shop, "OPTIONS", path, &preflight).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (204, ""),
            "{path}"
        );
        let mut allowed: Vec<_> = answer.header("allow").unwrap().split(',').collect();
        let mut expected: Vec<_> = methods.split(", ").collect();
        allowed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{path}");
        for header in [
            "access-control-allow-origin",
            "access-control-allow-methods",
            "access-control-allow-headers",
        ] {
            assert_eq!(answer.header(header).is_some(), is_open, "{path} {header}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        if is_open {
            let methods = answer.header("access-control-allow-methods").unwrap();
            let methods: Vec<_> = methods.split(", ").collect();
            // What it does, and this question.
            assert_eq!(methods.len(), expected.len() + 1, "{path}");
            assert!(expected.iter().all(|method| methods.contains(method)));
        }
    }
    let nowhere = send(&shop, "OPTIONS", "/compute/nowhere", &[]).await;
    nowhere.expect_problem(404, "not_found");
    for method in ["PATCH", "TRACE", "BREW"] {
        let refused = send(&shop, method, "/compute/plans", &[]).await;
        refused.expect_problem(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), Some("GET,HEAD"));
    }
}

#[tokio::test]
async fn the_head_of_a_page_is_that_of_the_page() {
    let shop = Shop::open().await;
    let (page, head) = (
        shop.get("/compute/plans").await,
        send(&shop, "HEAD", "/compute/plans", &[]).await,
    );
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    for header in ["etag", "content-type", "cache-control", "vary"] {
        assert_eq!(head.header(header), page.header(header), "{header}");
    }
    send(&shop, "HEAD", "/compute/provision", &[])
        .await
        .headers
        .get("allow")
        .unwrap();
}

#[tokio::test]
async fn who_takes_nothing_that_we_have_is_told_so_before_anything_is_done() {
    let shop = Shop::open().await;
    for path in ["/compute/plans", "/compute/instances", "/compute/nowhere"] {
        let refused = send(&shop, "GET", path, &[("accept", "text/html")]).await;
        refused.expect_problem(406, "not_acceptable");
    }
    for accept in ["text/html, */*;q=0.1", "application/problem+json", "*/*"] {
        let answer = send(&shop, "GET", "/compute/plans", &[("accept", accept)]).await;
        assert_eq!(answer.status, 200, "{accept}");
    }
    // Who pays is answered, in whatever form.
    let buyer = Visitor::new(1);
    let mut request = paid(&buyer.payment(&shop).await, ORDER);
    let accept = "text/html".parse().unwrap();
    request.headers_mut().insert("accept", accept);
    assert_eq!(shop.send(request).await.status, 200);
}

fn narrow(per_owner: u32) -> Settings {
    let base = settings();
    let requests_per_owner_per_minute = NonZeroU32::new(per_owner).unwrap();
    Settings {
        limits: Limits {
            requests_per_owner_per_minute,
            ..base.limits
        },
        ..base
    }
}

#[tokio::test]
async fn an_owner_has_a_budget_of_its_own() {
    let shop = Shop::open_with(narrow(3)).await;
    let (owner, other) = (Visitor::new(1), Visitor::new(2));
    for left in ["2", "1", "0"] {
        let answer = owner.send(&shop, "GET", "/compute/instances").await;
        assert_eq!(answer.status, 200);
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, Some("\"owner\";q=3;w=60"));
        let expected = format!("\"owner\";r={left}");
        assert_eq!(answer.header("ratelimit"), Some(expected.as_str()));
    }
    let refused = owner.send(&shop, "GET", "/compute/ledger").await;
    refused.expect_problem(429, "rate_limited");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    let expected = format!("\"owner\";r=0;t={wait}");
    assert_eq!(refused.header("ratelimit"), Some(expected.as_str()));
    assert_eq!(
        other.send(&shop, "GET", "/compute/instances").await.status,
        200
    );
    shop.clock.advance(Span::from_secs(wait));
    let answer = owner.send(&shop, "GET", "/compute/instances").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn many_wallets_at_one_address_share_a_budget() {
    let base = narrow(3);
    let shop = Shop::open_with(Settings {
        limits: Limits {
            owners_per_address_per_minute: NonZeroU32::new(4).unwrap(),
            ..base.limits
        },
        ..base
    })
    .await;
    for number in 1..=4 {
        let one = Visitor::new(number);
        let answer = one.send(&shop, "GET", "/compute/instances").await;
        assert_eq!(answer.status, 200);
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, Some("\"owner\";q=3;w=60"));
    }
    let late = Visitor::new(5);
    let refused = late.send(&shop, "GET", "/compute/instances").await;
    refused.expect_problem(429, "rate_limited");
    let policy = refused.header("ratelimit-policy");
    assert_eq!(policy, Some("\"owners-at-address\";q=4;w=60"));
    // Who pays is no stranger.
    let answer = shop.send(paid(&late.payment(&shop).await, ORDER)).await;
    assert_eq!(answer.status, 200);
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    shop.clock.advance(Span::from_secs(wait));
    let answer = late.send(&shop, "GET", "/compute/instances").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_was_bought_is_shown_again_however_much_its_owner_asks() {
    let shop = Shop::open_with(narrow(4)).await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let payment = buyer.payment(&shop).await;
    let spend = || {
        let body = by_credits("");
        let request = buyer.signed(&shop, "POST", "/compute/provision", &body);
        let request = request.header("content-type", "application/json");
        named(request.body(Body::from(body)).unwrap(), "machine-1")
    };
    let bought = shop.send(spend()).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    while buyer.send(&shop, "GET", "/compute/instances").await.status == 200 {}
    for _ in 0..3 {
        // By its name, and by its payment beside good credentials.
        let again = shop.send(spend()).await;
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let request = buyer.signed_payment(&shop, "/compute/provision", ORDER, &payment);
        assert_eq!(shop.send(request).await.status, 200);
    }
    let body = by_credits("");
    let new = buyer.post(&shop, "/compute/provision", &body).await;
    new.expect_problem(429, "rate_limited");
}

#[tokio::test]
async fn who_proves_nothing_reads_how_its_address_stands() {
    let base = settings();
    let limits = Limits {
        unauthenticated_per_minute: NonZeroU32::new(2).unwrap(),
        ..base.limits
    };
    let shop = Shop::open_with(Settings { limits, ..base }).await;
    let first = shop.get("/compute/plans").await;
    assert_eq!(
        first.header("ratelimit-policy"),
        Some("\"address\";q=2;w=60")
    );
    assert_eq!(first.header("ratelimit"), Some("\"address\";r=1"));
    let asked = shop.ask(ORDER).await;
    asked.expect_problem(402, "payment_required");
    assert_eq!(asked.header("ratelimit"), Some("\"address\";r=0"));
    let refused = shop.get("/compute/plans").await;
    refused.expect_problem(429, "rate_limited");
    assert!(
        refused
            .header("ratelimit")
            .unwrap()
            .starts_with("\"address\";r=0;t=")
    );
    // False credentials count for the address they come from.
    let request = Request::get("/compute/instances").header("x-api-key", "x402c_x");
    let false_key = shop.send(request.body(Body::empty()).unwrap()).await;
    false_key.expect_problem(429, "rate_limited");
    assert_eq!(shop.get("/healthz").await.header("ratelimit"), None);
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_takes_it() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let path = format!("/compute/orders/{id}");
    let plain = buyer.send(&shop, "GET", &path).await;
    assert!(plain.body.len() > 1_024);
    assert_eq!(plain.header("vary"), Some("accept-encoding"));
    assert_eq!(plain.header("content-encoding"), None);
    let request = buyer
        .signed(&shop, "GET", &path, "")
        .header("accept-encoding", "gzip, br");
    let (parts, bytes) = shop.read(request.body(Body::empty()).unwrap()).await;
    assert_eq!(parts.headers["content-encoding"], "gzip");
    assert_eq!(parts.headers["vary"], "accept-encoding");
    assert!(bytes.len() < plain.body.len() / 2);
    let mut unpacked = String::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes.as_ref());
    decoder.read_to_string(&mut unpacked).unwrap();
    let unpacked: Value = serde_json::from_str(&unpacked).unwrap();
    assert_eq!(unpacked, plain.json());
}

#[tokio::test]
async fn nothing_with_a_secret_and_no_price_is_compressed() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let password = format!("/compute/instances/{id}/password");
    for path in ["/compute/api-keys", &password] {
        let request = buyer.signed(&shop, "POST", path, "");
        let request = request.header("accept-encoding", "gzip");
        let answer = shop.send(request.body(Body::empty()).unwrap()).await;
        assert!(answer.status.is_success(), "{answer:?}");
        assert_eq!(answer.header("vary"), None, "{path}");
        assert_eq!(answer.header("content-encoding"), None, "{path}");
    }
    let asked = purchase(ORDER).header("accept-encoding", "gzip");
    let asked = shop.send(asked.body(Body::from(ORDER)).unwrap()).await;
    asked.expect_problem(402, "payment_required");
    assert_eq!(asked.header("content-encoding"), None);
}

#[tokio::test]
async fn a_name_for_a_request_is_never_repeated_raw() {
    let shop = Shop::open().await;
    let name = [("x-request-id", "my-trace.1")];
    let kept = send(&shop, "GET", "/compute/plans", &name).await;
    assert_eq!(kept.header("x-request-id"), Some("my-trace.1"));
    for bad in ["a b", "<script>", "", &"x".repeat(65)] {
        let answer = send(&shop, "GET", "/nowhere", &[("x-request-id", bad)]).await;
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(id.len(), 16, "{bad}");
        assert_eq!(answer.text("request_id"), id);
    }
}
