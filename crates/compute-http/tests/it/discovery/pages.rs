//! The pages for people and agents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{document, head};
use crate::shop::{Shop, URL, settings};

#[tokio::test]
async fn the_manual_has_every_operation_and_needs_nothing_from_elsewhere() {
    let (shop, document) = document().await;
    let manual = shop.get("/docs").await;
    assert_eq!(
        manual.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let body = &manual.body;
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(body.contains(&format!("<code>{path}</code>")), "{path}");
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(body.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
    for code in ["settlement_unknown", "auth_nonce_used", "resize_downgrade"] {
        assert!(body.contains(&format!("<code>{code}</code>")), "{code}");
    }
    for elsewhere in [
        "<script", " src=", "<link", "@import", "url(", "<iframe", " style=",
    ] {
        assert!(!body.contains(elsewhere), "{elsewhere}");
    }
    // Every link leads to this shop or to a place on the page.
    for target in body
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        match target.strip_prefix('#') {
            Some(id) => assert!(body.contains(&format!("id=\"{id}\"")), "{target}"),
            None => assert!(target.starts_with(URL), "{target}"),
        }
    }
}

#[tokio::test]
async fn the_page_may_do_nothing_but_look_as_it_does() {
    let shop = Shop::open().await;
    for request in [
        Request::get("/docs"),
        Request::get("/").header("accept", "text/html,*/*"),
    ] {
        let page = shop
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await;
        let style = page.body.split_once("<style>").unwrap().1;
        let style = style.split_once("</style>").unwrap().0;
        let digest = STANDARD.encode(Sha256::digest(style));
        let policy = page.header("content-security-policy").unwrap();
        let wanted = format!("default-src 'none'; style-src 'sha256-{digest}'; ");
        assert!(policy.starts_with(&wanted), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    }
}

#[tokio::test]
async fn tags_are_closed_in_the_order_they_were_opened() {
    let (shop, _) = document().await;
    let body = shop.get("/docs").await.body;
    let mut open: Vec<&str> = Vec::new();
    let markup = body.split_once("<html").unwrap().1;
    for tag in markup
        .split('<')
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap())
    {
        match tag.strip_prefix('/') {
            Some("html") => break,
            Some(name) => assert_eq!(open.pop(), Some(name), "{tag}"),
            None if tag.starts_with("meta") => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn the_first_page_leads_to_the_others() {
    let shop = Shop::open().await;
    let index = shop.get("/").await;
    assert_eq!(index.header("content-type"), Some("application/json"));
    assert_eq!(index.header("vary"), Some("accept, accept-encoding"));
    let index = index.json();
    for (name, place) in index.as_object().unwrap() {
        if let Some(path) = place.as_str().unwrap().strip_prefix(URL) {
            let page = head(&shop, path).await;
            assert_eq!(
                (page.status.as_u16(), page.body.as_str()),
                (200, ""),
                "{name}"
            );
        }
    }
    assert_eq!(head(&shop, "/").await.status, 200);
    assert_eq!(shop.get("/robots.txt").await.status, 200);
}

#[tokio::test]
async fn agents_read_what_this_shop_is() {
    let (shop, _) = document().await;
    let skill = shop.get("/skill.md").await;
    assert_eq!(
        skill.header("content-type"),
        Some("text/markdown; charset=utf-8")
    );
    let llms = shop.get("/llms.txt").await;
    // A checker of the Payment scheme wants text that is no HTML.
    assert_eq!(
        llms.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    for (name, page) in [("skill", &skill), ("llms", &llms)] {
        for part in [
            URL,
            "x402 `exact` over `base`",
            "MPP method `tempo`",
            "Idempotency-Key",
        ] {
            assert!(page.body.contains(part), "{name}: {part}");
        }
        assert!(!page.body.contains("development server"), "{name}");
    }
    // The purchase that is shown is taken as it stands.
    let purchase = skill
        .body
        .split("-d '")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    serde_json::from_str::<Value>(purchase).unwrap();
    shop.ask(purchase)
        .await
        .expect_problem(402, "payment_required");
}

#[tokio::test]
async fn a_development_server_says_that_nothing_is_real() {
    let shop = Shop::open_with(compute_http::Settings {
        mode: compute_http::Mode::Dev,
        ..settings()
    })
    .await;
    for path in ["/docs", "/skill.md", "/llms.txt"] {
        let body = shop.get(path).await.body;
        assert!(body.contains("This is a development server"), "{path}");
    }
}
