//! Credits: what an owner has, and buying more.

use axum::body::Body;
use compute_domain::time::Span;
use compute_testkit::scripted_rail::SettleFault;
use compute_x402::SettlementResponse;
use http::Request;
use serde_json::{Value, json};

use crate::credits::{BALANCE, by_credits};
use crate::shop::{Answer, Shop, URL, post};
use crate::visitor::{TOPUP, Visitor, named, paid_at};

fn receipt(answer: &Answer) -> SettlementResponse<'_> {
    let header = answer.header("payment-response").expect("a receipt");
    SettlementResponse::decode(header.as_bytes()).unwrap()
}

#[tokio::test]
async fn who_has_nothing_has_zero_in_texts() {
    let shop = Shop::open().await;
    let visitor = Visitor::new(1);
    let answer = visitor.send(&shop, "GET", BALANCE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let wallet = answer.text("wallet");
    assert!(wallet.starts_with("0x") && wallet.len() == 42);
    let expected = json!({"wallet": wallet, "balance": "0.00", "total_deposited": "0.00",
                          "total_spent": "0.00"});
    assert_eq!(answer.json(), expected);
    shop.get(BALANCE).await.expect_problem(401, "auth_required");
}

#[tokio::test]
async fn credits_are_bought_once_and_spent_once() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let body = r#"{"amount":50,"network":"base"}"#;
    let asked = buyer.post(&shop, TOPUP, body).await;
    asked.expect_problem(402, "payment_required");
    let offer = &asked.json()["accepts"][0];
    assert_eq!(offer["maxAmountRequired"], "50000000", "exactly the amount");
    assert_eq!(offer["resource"], format!("{URL}{TOPUP}"));
    let payment = buyer.pay(&shop, &asked);
    let mut first = None;
    for round in 0..2 {
        let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
        let answer = shop.patiently(shop.send(request)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(receipt(&answer).success);
        let replayed = (round > 0).then_some("true");
        assert_eq!(answer.header("idempotent-replayed"), replayed);
        let mut reply = answer.json();
        assert_eq!(reply, *first.get_or_insert_with(|| reply.clone()));
        assert_eq!(reply["deposited"].as_f64(), Some(50.0));
        for member in ["operation_id", "status_url", "tx_hash"] {
            assert!(reply[member].is_string(), "{member}");
            reply[member] = json!(format!("[{member}]"));
        }
        insta::assert_json_snapshot!("a_topup", reply);
    }
    assert_eq!(shop.rail.settled().len(), 1);
    let bought = buyer
        .post(&shop, "/compute/provision", &by_credits(""))
        .await;
    assert_eq!(bought.status, 200, "{bought:?}");
    let balance = buyer.send(&shop, "GET", BALANCE).await.json();
    assert_eq!(balance["balance"], "49.832");
    assert_eq!(balance["total_deposited"], "50.00");
    assert_eq!(balance["total_spent"], "0.168");
    assert_eq!(shop.rail.settled().len(), 1, "credits need no payment");
}

#[tokio::test]
async fn who_tops_up_must_be_known_in_both_steps() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let body = r#"{"amount":5}"#;
    shop.ask_at(TOPUP, body)
        .await
        .expect_problem(401, "auth_required");
    let payment = buyer.topup_payment(&shop, body).await;
    shop.send(paid_at(TOPUP, &payment, body))
        .await
        .expect_problem(401, "auth_required");
    let stranger = Visitor::new(2).signed_payment(&shop, TOPUP, body, &payment);
    shop.send(stranger)
        .await
        .expect_problem(403, "payer_mismatch");
    assert_eq!(shop.rail.settle_calls(), 0);
}

#[tokio::test]
async fn amounts_are_exact_and_in_bounds() {
    let shop = Shop::open().await;
    let visitor = Visitor::new(1);
    for amount in [
        "0",
        "0.00",
        "0.5",
        "0.999999",
        "-1",
        "-0",
        "1000.000001",
        "1001",
        "99999999999999999999",
        "1e2",
        "1E2",
        "1.0000001",
        "\"50\"",
        "true",
        "null",
        "[50]",
        "{}",
    ] {
        let body = format!("{{\"amount\":{amount}}}");
        let answer = visitor.post(&shop, TOPUP, &body).await;
        answer.expect_problem(400, "invalid_request");
        assert_eq!(answer.json()["field"], "amount", "{amount}");
    }
    for body in [
        "",
        "{}",
        "50",
        "{\"amount\":NaN}",
        "{\"amount\":Infinity}",
        "{\"amount\":050}",
        "{\"amount\":.5}",
        "{\"amount\":5}{}",
        "{\"amount\":5,\"amount\":6}",
        "{\"amount\":5,\"use_credits\":true}",
        "{\"amount\":5,\"wallet\":\"0x1111111111111111111111111111111111111111\"}",
    ] {
        let answer = visitor.post(&shop, TOPUP, body).await;
        answer.expect_problem(400, "invalid_request");
    }
    for amount in ["1", "1.000000", "1.000001", "1000"] {
        let body = format!("{{\"amount\":{amount}}}");
        let answer = visitor.post(&shop, TOPUP, &body).await;
        answer.expect_problem(402, "payment_required");
    }
    let elsewhere = r#"{"amount":5,"network":"solana"}"#;
    let answer = visitor.post(&shop, TOPUP, elsewhere).await;
    answer.expect_problem(400, "unknown_network");
}

#[tokio::test]
async fn an_unknown_settlement_of_a_topup_is_202_and_comes_by_itself() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::LostBefore, 500));
    shop.rail.hide(10_000);
    let body = r#"{"amount":5}"#;
    let payment = buyer.topup_payment(&shop, body).await;
    let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    let answer = shop.patiently(shop.send(request)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("payment-response"), None);
    let mut reply = answer.json();
    let note = reply["note"].as_str().unwrap();
    assert!(note.contains("do not create a new payment"), "{note}");
    let id = reply["operation_id"].as_str().unwrap().to_owned();
    let path = format!("/compute/operations/{id}");
    assert_eq!(reply["status_url"], format!("{URL}{path}"));
    reply["operation_id"] = json!("[id]");
    reply["status_url"] = json!("[url]");
    insta::assert_json_snapshot!("a_pending_topup", reply);

    let second = buyer.topup_payment(&shop, body).await;
    let request = buyer.signed_payment(&shop, TOPUP, body, &second);
    let refused = shop.send(request).await;
    refused.expect_problem(409, "operation_in_progress");
    assert_eq!(refused.json()["operation_id"], id.as_str());
    assert_eq!(refused.json()["status_url"], format!("{URL}{path}"));
    assert!(refused.json().get("order_id").is_none());

    shop.rail.forgive();
    shop.rail.hide(0);
    shop.drive().await;
    assert_eq!(buyer.balance(&shop).await, "5.00");
    let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    let again = shop.send(request).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.json()["new_balance"], "5.00");
}

#[tokio::test]
async fn a_declined_topup_charges_nothing_and_offers_again() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    shop.rail.misbehave([SettleFault::Declines]);
    let body = r#"{"amount":5}"#;
    let payment = buyer.topup_payment(&shop, body).await;
    let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    let answer = shop.patiently(shop.send(request)).await;
    answer.expect_problem(402, "payment_declined");
    assert_eq!(answer.json()["charged"], false);
    assert!(!receipt(&answer).success);
    let second = buyer.pay(&shop, &answer);
    let request = buyer.signed_payment(&shop, TOPUP, body, &second);
    let answer = shop.patiently(shop.send(request)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(buyer.balance(&shop).await, "5.00");
}

#[tokio::test]
async fn an_unreachable_payment_network_charges_nothing_for_a_topup() {
    let waits = compute_http::Waits {
        topup: compute_domain::time::Span::from_hours(24),
        ..compute_http::Waits::default()
    };
    let shop = Shop::open_with(compute_http::Settings {
        waits,
        ..crate::shop::settings()
    })
    .await;
    let buyer = Visitor::new(1);
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::Unreachable, 500));
    let body = r#"{"amount":5}"#;
    let payment = buyer.topup_payment(&shop, body).await;
    let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    let answer = shop.patiently(shop.driven(shop.send(request))).await;
    answer.expect_problem(503, "payment_unreachable");
    assert_eq!(answer.json()["charged"], false);
    assert!(answer.json()["operation_id"].is_string());
    assert_eq!(buyer.balance(&shop).await, "0.00");
}

/// Nobody drives the clock here: an answer that waited would never come.
#[tokio::test]
async fn who_does_not_want_to_wait_is_answered_at_once() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::Unreachable, 500));
    let body = r#"{"amount":5}"#;
    let payment = buyer.topup_payment(&shop, body).await;
    let mut request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    *request.uri_mut() = format!("{TOPUP}?wait=0").parse().unwrap();
    let answer = shop.send(request).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["code"], "settlement_pending");
    let mut request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    *request.uri_mut() = format!("{TOPUP}?wait=long").parse().unwrap();
    shop.send(request)
        .await
        .expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_database_that_dies_after_the_claim_of_a_topup_is_no_failure() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let body = r#"{"amount":5}"#;
    let payment = buyer.topup_payment(&shop, body).await;
    shop.crash.at_transaction(3);
    let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
    let answer = shop.send(request).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["code"], "settlement_pending");
    assert!(answer.json()["operation_id"].is_string());
}

#[tokio::test]
async fn an_owner_without_a_word_is_told_no_wallet_of_others() {
    let shop = Shop::open().await;
    let owner = Visitor::new(1);
    let created = owner.post(&shop, "/compute/api-keys", "").await;
    let request = Request::get(BALANCE).header("x-api-key", created.text("api_key"));
    let by_key = shop.send(request.body(Body::empty()).unwrap()).await.json();
    let own: Value = owner.send(&shop, "GET", BALANCE).await.json();
    assert_eq!(by_key, own, "a key shows its owner's wallet and balance");
}

#[tokio::test]
async fn a_body_for_money_is_json() {
    let shop = Shop::open().await;
    let body = r#"{"amount":5}"#;
    let request = post(TOPUP, body).header("content-type", "text/plain");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    parts.headers.remove("content-type");
    let request = Request::from_parts(parts, Body::from(body));
    shop.send(request)
        .await
        .expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn what_an_operator_refunded_is_credited_without_a_receipt() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::LostBefore, 500));
    shop.rail.hide(100_000);
    let body = r#"{"amount":5}"#;
    let buy = async || {
        let payment = buyer.topup_payment(&shop, body).await;
        let request = buyer.signed_payment(&shop, TOPUP, body, &payment);
        shop.patiently(shop.send(named(request, "topup-0001")))
            .await
    };
    let pending = buy().await;
    assert_eq!(pending.status, 202, "{pending:?}");
    let id = pending.text("operation_id");
    let path = format!("/compute/operations/{id}");
    while buyer.send(&shop, "GET", &path).await.json()["operation"]["state"] != "stuck" {
        shop.clock.advance(Span::from_secs(600));
        shop.patiently(shop.engine.drive_due()).await.unwrap();
    }
    shop.settle_down().await;
    shop.clock.advance(Span::from_secs(600));
    let stuck = buy().await;
    assert_eq!(
        stuck.status, 202,
        "a human must look, and nothing is said to have failed"
    );
    let id = id.parse().unwrap();
    shop.engine.refund(id, "no trace of it").await.unwrap();
    let story = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(story["operation"]["settlement"], "refunded");
    assert_eq!(story["operation"]["credited"].as_f64(), Some(5.0));
    assert!(story["operation"].get("charged").is_none(), "{story}");
    assert!(!story.to_string().contains("no trace of it"));
    let again = buy().await;
    again.expect_problem(503, "operator_refunded");
    assert_eq!(again.header("payment-response"), None);
    assert!(again.json().get("charged").is_none());
    let details = json!({"cleanup": "none", "cleanup_error": null, "credited": 5.0});
    assert_eq!(again.json()["details"], details);
    assert_eq!(buyer.balance(&shop).await, "5.00");
}
