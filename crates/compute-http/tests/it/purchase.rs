use axum::body::Body;
use compute_domain::time::Span;
use compute_http::{Settings, Waits};
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;
use compute_x402::SettlementResponse;
use futures::future::join_all;
use serde_json::json;

use crate::shop::{ORDER, Shop, URL, purchase, settings};
use crate::visitor::{Visitor, paid};

#[tokio::test]
async fn an_unpaid_purchase_is_a_challenge_for_both_versions() {
    let shop = Shop::open().await;
    let answer = shop.ask(ORDER).await;
    answer.expect_problem(402, "payment_required");
    let mut body = answer.json();
    body["request_id"] = json!("[id]");
    insta::assert_json_snapshot!(body);
    let header = answer.header("payment-required").unwrap();
    let header = compute_x402::header::decode(header.as_bytes()).unwrap();
    insta::assert_json_snapshot!(header);
}

#[tokio::test]
async fn the_challenge_names_the_public_url_and_never_the_host_header() {
    let shop = Shop::open().await;
    let request = purchase(ORDER)
        .uri("/compute/provision?ref=a")
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .body(Body::from(ORDER))
        .unwrap();
    let answer = shop.send(request).await;
    let resource = format!("{URL}/compute/provision?ref=a");
    assert_eq!(answer.json()["accepts"][0]["resource"], resource.as_str());
    assert!(!answer.body.contains("evil"));
}

#[tokio::test]
async fn asking_for_a_price_leaves_no_trace() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.ask(ORDER)
            .await
            .expect_problem(402, "payment_required");
    }
    assert_eq!(
        (shop.rail.settle_calls(), shop.provider.machines().len()),
        (0, 0)
    );
}

#[tokio::test]
async fn an_empty_body_is_a_probe_and_cannot_be_paid() {
    let shop = Shop::open().await;
    let probe = shop.send(
        http::Request::post("/compute/provision")
            .body(Body::empty())
            .unwrap(),
    );
    let probe = probe.await;
    probe.expect_problem(402, "payment_required");
    let payment = Visitor::new(1).pay(&shop, &probe);
    shop.send(paid(&payment, ""))
        .await
        .expect_problem(400, "invalid_request");
    assert_eq!(shop.rail.settle_calls(), 0);
}

#[tokio::test]
async fn a_payment_of_version_1_buys_a_machine() {
    let shop = Shop::open().await;
    let answer = Visitor::new(1).buy(&shop).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["success"], true);
    assert_eq!(body["order"]["status"], "provisioning");
    assert_eq!(body["order"]["ip_address"], "0.0.0.0");
    assert_eq!(body["settlement"], "settled");
    assert!(body["tx_hash"].as_str().unwrap().starts_with("0x"));
    assert!(body.get("error").is_none() && body.get("detail").is_none());
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let receipt = |name| {
        SettlementResponse::decode(answer.header(name).unwrap().as_bytes())
            .unwrap()
            .network
    };
    assert_eq!(receipt("payment-response"), "eip155:84532");
    assert_eq!(receipt("x-payment-response"), "base-sepolia");
}

#[tokio::test]
async fn a_payment_of_version_2_buys_a_machine() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).pay_v2(&shop, &shop.ask(ORDER).await);
    let answer = shop.send(paid(&payment, ORDER)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(shop.rail.settled().len(), 1);
}

#[tokio::test]
async fn the_order_object_has_every_published_member() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.buy(&shop).await.json()["order"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    shop.settle_down().await;
    let mut order = buyer
        .send(&shop, "GET", &format!("/compute/instances/{id}"))
        .await
        .json();
    assert_eq!(order["order"], order["instance"]);
    let mut order = order["order"].take();
    order["id"] = json!("[id]");
    insta::assert_json_snapshot!(order);
}

#[tokio::test]
async fn the_same_payment_again_is_the_same_purchase() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).payment(&shop).await;
    let first = shop.send(paid(&payment, ORDER)).await;
    let spaced = ORDER.replace(':', ": ");
    for body in [ORDER, &spaced] {
        let again = shop.send(paid(&payment, body)).await;
        assert_eq!(again.status, 200);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.json()["order"]["id"], first.json()["order"]["id"]);
        assert_eq!(again.json()["tx_hash"], first.json()["tx_hash"]);
        assert_eq!(
            again.header("payment-response"),
            first.header("payment-response")
        );
    }
    assert_eq!(
        (shop.rail.settled().len(), shop.provider.machines().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn the_same_payment_buys_nothing_else() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).payment(&shop).await;
    assert_eq!(shop.send(paid(&payment, ORDER)).await.status, 200);
    let other = ORDER.replace("agent", "other");
    let refused = shop.send(paid(&payment, &other)).await;
    refused.expect_problem(409, "payment_already_used");
    assert_eq!(shop.provider.machines().len(), 1);
}

#[tokio::test]
async fn many_copies_at_once_agree_on_one_machine() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).payment(&shop).await;
    let answers = join_all((0..64).map(|_| shop.send(paid(&payment, ORDER)))).await;
    let ids: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["order"]["id"].to_string())
        .collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(ids.len(), 1);
    assert_eq!(
        (shop.rail.settled().len(), shop.provider.machines().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn an_unknown_settlement_is_pending_and_no_failure() {
    let shop = Shop::open().await;
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::LostBefore, 500));
    shop.rail.hide(10_000);
    let payment = Visitor::new(1).payment(&shop).await;
    let answer = shop.patiently(shop.send(paid(&payment, ORDER))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["success"], true);
    assert_eq!(
        (&body["order"]["status"], &body["settlement"]),
        (&json!("pending"), &json!("pending"))
    );
    assert!(body.get("tx_hash").is_none());
    assert_eq!(answer.header("payment-response"), None);
    let id = body["order"]["id"].as_str().unwrap();
    assert_eq!(
        answer.text("status_url"),
        format!("{URL}/compute/orders/{id}")
    );
}

#[tokio::test]
async fn a_second_payment_while_the_first_hangs_is_refused() {
    let shop = Shop::open().await;
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::LostBefore, 500));
    shop.rail.hide(10_000);
    let buyer = Visitor::new(1);
    let first = buyer.payment(&shop).await;
    let pending = shop.patiently(shop.send(paid(&first, ORDER))).await;
    let second = buyer.payment(&shop).await;
    let refused = shop.send(paid(&second, ORDER)).await;
    refused.expect_problem(409, "operation_in_progress");
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(refused.json()["order_id"], pending.json()["order"]["id"]);
    assert_eq!(refused.json()["status_url"], pending.json()["status_url"]);
}

#[tokio::test]
async fn a_declined_payment_is_a_fresh_challenge_and_nothing_is_charged() {
    let shop = Shop::open().await;
    shop.rail.misbehave([SettleFault::Declines]);
    let buyer = Visitor::new(1);
    let answer = buyer.buy(&shop).await;
    answer.expect_problem(402, "payment_declined");
    let body = answer.json();
    assert_eq!(
        (&body["error"], &body["charged"]),
        (&json!("insufficient_funds"), &json!(false))
    );
    let receipt = answer.header("payment-response").unwrap();
    assert!(
        !SettlementResponse::decode(receipt.as_bytes())
            .unwrap()
            .success
    );
    let second = buyer.pay(&shop, &answer);
    assert_eq!(shop.send(paid(&second, ORDER)).await.status, 200);
}

#[tokio::test]
async fn an_unreachable_payment_network_charges_nothing() {
    // Longer than the payment network is tried, whatever the disk does meanwhile.
    let waits = Waits {
        create: Span::from_hours(24),
        ..Waits::default()
    };
    let shop = Shop::open_with(Settings {
        waits,
        ..settings()
    })
    .await;
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::Unreachable, 500));
    let answer = shop
        .patiently(shop.driven(Visitor::new(1).buy(&shop)))
        .await;
    answer.expect_problem(503, "payment_unreachable");
    assert_eq!(answer.json()["charged"], false);
    let receipt = answer.header("payment-response").unwrap();
    assert!(
        !SettlementResponse::decode(receipt.as_bytes())
            .unwrap()
            .success
    );
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn a_refused_machine_is_credited_with_the_receipt() {
    let shop = Shop::open().await;
    shop.provider
        .misbehave(std::iter::repeat_n(CreateFault::Rejects, 50));
    let buyer = Visitor::new(1);
    let answer = buyer.buy(&shop).await;
    answer.expect_problem(502, "provider_rejected");
    let details = &answer.json()["details"];
    assert_eq!(
        details,
        &json!({"cleanup": "destroyed", "cleanup_error": null, "credited": 0.168})
    );
    assert!(answer.json().get("charged").is_none());
    let receipt = answer.header("payment-response").unwrap();
    assert!(
        SettlementResponse::decode(receipt.as_bytes())
            .unwrap()
            .success
    );
    let list = buyer.send(&shop, "GET", "/compute/instances").await.json();
    assert_eq!(list["instances"][0]["status"], "failed");
    assert_eq!(list["instances"][0]["failure"]["code"], "provider_rejected");
}

#[tokio::test]
async fn a_refusal_by_the_check_before_the_claim_is_a_402() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).payment(&shop).await;
    shop.rail.refuse_checks("insufficient_funds");
    let answer = shop.send(paid(&payment, ORDER)).await;
    answer.expect_problem(402, "payment_insufficient");
    assert_eq!(answer.json()["error"], "insufficient_funds");
    assert_eq!(answer.json()["charged"], false);
    assert_eq!(shop.rail.settle_calls(), 0);
}

#[tokio::test]
async fn a_payment_of_another_wallet_than_the_signer_is_refused_before_it_settles() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).payment(&shop).await;
    let request = Visitor::new(2)
        .signed(&shop, "POST", "/compute/provision", ORDER)
        .header("content-type", "application/json")
        .header(payment.header_name(), payment.to_header())
        .body(Body::from(ORDER))
        .unwrap();
    shop.send(request)
        .await
        .expect_problem(403, "payer_mismatch");
    assert_eq!(shop.rail.settle_calls(), 0);
}

#[tokio::test]
async fn a_database_that_dies_after_the_claim_is_no_failure_for_the_buyer() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).payment(&shop).await;
    // The look for an earlier purchase and the claim still work; nothing does after them.
    shop.crash.at_transaction(3);
    let answer = shop.send(paid(&payment, ORDER)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["order"]["status"], "pending");
    assert_eq!(answer.json()["order"]["plan"], "vc2-1c-1gb");
    assert!(answer.json().get("error").is_none());
}
