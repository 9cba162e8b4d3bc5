//! Buying more time for a machine.

use axum::body::Body;
use compute_domain::time::{Span, Timestamp};
use compute_testkit::scripted_rail::SettleFault;
use compute_x402::SettlementResponse;
use futures::future::join_all;
use http::Request;
use serde_json::{Value, json};

use crate::shop::{Answer, Shop, URL, extend_path};
use crate::visitor::{Visitor, paid_at};

const UNKNOWN: &str = "0190a1b2-0000-7000-8000-000000000000";

fn end_of(order: &Value) -> Timestamp {
    Timestamp::parse(order["expires_at"].as_str().unwrap()).unwrap()
}

async fn order(shop: &Shop, owner: &Visitor, id: &str) -> Value {
    let path = format!("/compute/instances/{id}");
    owner.send(shop, "GET", &path).await.json()["order"].take()
}

async fn extend(shop: &Shop, buyer: &Visitor, id: &str, body: &str) -> Answer {
    let payment = buyer.time_payment(shop, id, body).await;
    let request = paid_at(&extend_path(id), &payment, body);
    shop.patiently(shop.send(request)).await
}

#[tokio::test]
async fn a_day_more_is_bought_without_signing_in() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let before = order(&shop, &buyer, &id).await;
    let asked = shop.ask_at(&extend_path(&id), "{}").await;
    asked.expect_problem(402, "payment_required");
    let resource = format!("{URL}{}", extend_path(&id));
    assert_eq!(asked.json()["accepts"][0]["resource"], resource);
    assert_eq!(asked.json()["accepts"][0]["maxAmountRequired"], "168000");
    let payment = buyer.pay(&shop, &asked);
    for round in 0..2 {
        let request = paid_at(&extend_path(&id), &payment, "{}");
        let answer = shop.patiently(shop.send(request)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let replayed = (round > 0).then_some("true");
        assert_eq!(answer.header("idempotent-replayed"), replayed);
        let receipt = answer.header("x-payment-response").unwrap();
        assert!(
            SettlementResponse::decode(receipt.as_bytes())
                .unwrap()
                .success
        );
        let mut reply = answer.json();
        let expected = end_of(&before).plus(Span::from_hours(24));
        assert_eq!(end_of(&reply["order"]), expected);
        assert_eq!(reply["order"]["prepaid_hours"], 48);
        assert_eq!(reply["order"]["payment_amount"].as_f64(), Some(0.336));
        reply["order"] = json!("[order]");
        for member in ["operation_id", "status_url", "tx_hash"] {
            assert!(reply[member].is_string(), "{member}");
            reply[member] = json!(format!("[{member}]"));
        }
        insta::assert_json_snapshot!("an_extension", reply);
    }
    assert_eq!(shop.rail.settled().len(), 2);
}

#[tokio::test]
async fn nothing_and_an_empty_object_mean_a_day() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let bare = Request::post(extend_path(&id)).body(Body::empty()).unwrap();
    let bare = shop.send(bare).await;
    bare.expect_problem(402, "payment_required");
    let empty = shop.ask_at(&extend_path(&id), "{}").await;
    assert_eq!(bare.json()["accepts"], empty.json()["accepts"]);
    let payment = buyer.pay(&shop, &bare);
    let request = Request::post(extend_path(&id))
        .header(payment.header_name(), payment.to_header())
        .body(Body::empty())
        .unwrap();
    let answer = shop.patiently(shop.send(request)).await;
    assert_eq!(answer.json()["extended_hours"], 24, "{answer:?}");
}

#[tokio::test]
async fn many_copies_of_one_payment_extend_once() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let payment = buyer.time_payment(&shop, &id, "{}").await;
    let path = extend_path(&id);
    let copies = (0..32).map(|_| shop.send(paid_at(&path, &payment, "{}")));
    let answers = join_all(copies).await;
    let ids: std::collections::BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.text("operation_id"))
        .collect();
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{answers:?}"
    );
    assert_eq!(ids.len(), 1);
    assert_eq!(order(&shop, &buyer, &id).await["prepaid_hours"], 48);
    let other = "{\"extend_hours\":25}";
    shop.send(paid_at(&path, &payment, other))
        .await
        .expect_problem(409, "payment_already_used");
}

#[tokio::test]
async fn hours_are_whole_and_in_bounds_and_nothing_else_is_known() {
    let shop = Shop::open().await;
    let id = Visitor::new(1).machine(&shop).await;
    for body in [
        "[]",
        "null",
        "{",
        "{\"extend_hours\":0}",
        "{\"extend_hours\":23}",
        "{\"extend_hours\":4321}",
        "{\"extend_hours\":-24}",
        "{\"extend_hours\":24.5}",
        "{\"extend_hours\":24.0}",
        "{\"extend_hours\":2.4e1}",
        "{\"extend_hours\":\"24\"}",
        "{\"extend_hours\":9223372036854775808}",
        "{\"extend_hours\":24,\"extend_hours\":24}",
        "{\"prepaid_hours\":24}",
        "{\"amount\":24}",
        "{\"max_total_usd\":\"much\"}",
        "{\"max_total_usd\":-1}",
        "{\"use_credits\":\"yes\"}",
    ] {
        let refused = shop.ask_at(&extend_path(&id), body).await;
        refused.expect_problem(400, "invalid_request");
    }
    for body in ["{\"network\":\"solana\"}", "{\"network\":\"Base\"}"] {
        let refused = shop.ask_at(&extend_path(&id), body).await;
        refused.expect_problem(400, "unknown_network");
    }
    for body in ["{\"extend_hours\":24}", "{\"extend_hours\":4320}"] {
        let asked = shop.ask_at(&extend_path(&id), body).await;
        asked.expect_problem(402, "payment_required");
    }
}

#[tokio::test]
async fn the_payer_must_own_the_machine() {
    let shop = Shop::open().await;
    let (owner, stranger) = (Visitor::new(1), Visitor::new(2));
    let id = owner.machine(&shop).await;
    let calls = shop.rail.settle_calls();
    let payment = stranger.time_payment(&shop, &id, "{}").await;
    shop.send(paid_at(&extend_path(&id), &payment, "{}"))
        .await
        .expect_problem(403, "payer_mismatch");
    // Who says who it is learns nothing about machines of others.
    for body in ["{}", "{\"use_credits\":true}"] {
        let answer = stranger.post(&shop, &extend_path(&id), body).await;
        answer.expect_problem(404, "not_found");
    }
    let request = stranger.signed_payment(&shop, &extend_path(&id), "{}", &payment);
    shop.send(request).await.expect_problem(404, "not_found");
    let own = owner.time_payment(&shop, &id, "{}").await;
    let foreign = stranger.signed_payment(&shop, &extend_path(&id), "{}", &own);
    shop.send(foreign).await.expect_problem(404, "not_found");
    assert_eq!(shop.rail.settle_calls(), calls);
}

#[tokio::test]
async fn what_is_not_there_is_404_also_for_payers() {
    let shop = Shop::open().await;
    let payment = Visitor::new(1).payment(&shop).await;
    for id in [UNKNOWN, "x", "%2e%2e"] {
        let path = extend_path(id);
        shop.ask_at(&path, "{}")
            .await
            .expect_problem(404, "not_found");
        shop.send(paid_at(&path, &payment, "{}"))
            .await
            .expect_problem(404, "not_found");
    }
    assert_eq!(shop.rail.settle_calls(), 0);
}

#[tokio::test]
async fn what_is_destroyed_failed_expired_or_not_yet_there_is_not_extended() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "5").await;
    let early = buyer.buy(&shop).await.json()["order"]["id"].to_string();
    let early = early.trim_matches('"').to_owned();
    let credits = "{\"use_credits\":true}";
    let check = async |id: &str, state: &str| {
        let path = extend_path(id);
        for refused in [
            shop.ask_at(&path, "{}").await,
            buyer.post(&shop, &path, credits).await,
        ] {
            refused.expect_problem(409, "instance_not_active");
            assert_eq!(refused.json()["state"], state);
        }
    };
    check(&early, "provisioning").await;
    shop.settle_down().await;
    let destroyed = buyer.machine(&shop).await;
    let payment = buyer.time_payment(&shop, &destroyed, "{}").await;
    let path = format!("/compute/instances/{destroyed}");
    buyer.send(&shop, "DELETE", &path).await;
    check(&destroyed, "destroying").await;
    let calls = shop.rail.settle_calls();
    shop.send(paid_at(&extend_path(&destroyed), &payment, "{}"))
        .await
        .expect_problem(409, "instance_not_active");
    assert_eq!(shop.rail.settle_calls(), calls);
    shop.settle_down().await;
    shop.drive().await;
    check(&destroyed, "destroyed").await;
    // Past its time and its grace.
    shop.clock.advance(Span::from_hours(25));
    shop.engine.refresh_catalog().await;
    check(&early, "expired").await;
    assert_eq!(buyer.balance(&shop).await, "5.00");
}

#[tokio::test]
async fn credits_extend_at_once() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "1").await;
    let id = buyer.machine(&shop).await;
    let before = order(&shop, &buyer, &id).await;
    let body = "{\"extend_hours\":48,\"use_credits\":true,\"max_total_usd\":0.336}";
    let answer = buyer.post(&shop, &extend_path(&id), body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply = answer.json();
    assert_eq!(
        end_of(&reply["order"]),
        end_of(&before).plus(Span::from_hours(48))
    );
    assert_eq!(reply["settlement"], "credits");
    assert_eq!(
        (&reply["charged"], &reply["new_balance"]),
        (&json!("0.336"), &json!("0.664"))
    );
    assert_eq!(reply["extended_hours"], 48);
    assert!(reply.get("tx_hash").is_none());
    assert_eq!(answer.header("payment-response"), None);
    let body = "{\"extend_hours\":4320,\"use_credits\":true}";
    let refused = buyer.post(&shop, &extend_path(&id), body).await;
    refused.expect_problem(402, "insufficient_credits");
    assert_eq!(refused.json()["required"], "30.24");
    assert_eq!(refused.json()["shortfall"], "29.576");
    assert_eq!(refused.json()["topup"]["amount"].as_f64(), Some(29.576));
    assert_eq!(refused.header("payment-required"), None);
}

#[tokio::test]
async fn an_unknown_settlement_of_an_extension_is_202_with_the_old_end() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let before = order(&shop, &buyer, &id).await;
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::LostBefore, 500));
    shop.rail.hide(10_000);
    let payment = buyer.time_payment(&shop, &id, "{}").await;
    let request = paid_at(&extend_path(&id), &payment, "{}");
    let answer = shop.patiently(shop.send(request)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("payment-response"), None);
    let mut reply = answer.json();
    assert_eq!(reply["order_id"], id.as_str());
    assert_eq!(reply["expires_at"], before["expires_at"]);
    assert_eq!(reply["order"]["expires_at"], before["expires_at"]);
    let note = reply["note"].as_str().unwrap();
    assert!(note.contains("do not create a new payment"), "{note}");
    let operation = reply["operation_id"].as_str().unwrap().to_owned();
    let url = format!("{URL}/compute/operations/{operation}");
    assert_eq!(reply["status_url"], url.as_str());
    for member in ["order", "order_id", "operation_id", "status_url"] {
        reply[member] = json!(format!("[{member}]"));
    }
    insta::assert_json_snapshot!("a_pending_extension", reply);

    let second = buyer.time_payment(&shop, &id, "{}").await;
    let refused = shop.send(paid_at(&extend_path(&id), &second, "{}")).await;
    refused.expect_problem(409, "operation_in_progress");
    assert_eq!(refused.json()["order_id"], id.as_str());

    shop.rail.forgive();
    shop.rail.hide(0);
    shop.drive().await;
    let again = shop.send(paid_at(&extend_path(&id), &payment, "{}")).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        end_of(&again.json()["order"]),
        end_of(&before).plus(Span::from_hours(24))
    );
}

#[tokio::test]
async fn a_payment_that_comes_too_late_is_credited_and_says_so() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    shop.clock.advance(Span::from_secs(24 * 3_600 + 3_500));
    shop.engine.refresh_catalog().await;
    shop.rail.misbehave([SettleFault::LandsUnseen]);
    shop.rail.hide(100_000);
    let payment = buyer.time_payment(&shop, &id, "{}").await;
    let request = paid_at(&extend_path(&id), &payment, "{}");
    let pending = shop.patiently(shop.send(request)).await;
    assert_eq!(pending.status, 202, "{pending:?}");
    // The payment is void after 300 s; 900 s later the machine is let go.
    shop.clock.advance(Span::from_secs(1_300));
    shop.patiently(shop.engine.drive_due()).await.unwrap();
    assert_eq!(shop.engine.expire_due().await.unwrap(), 1);
    shop.rail.hide(0);
    shop.drive().await;
    let late = shop.send(paid_at(&extend_path(&id), &payment, "{}")).await;
    late.expect_problem(503, "instance_gone");
    let problem = late.json();
    assert_eq!(
        problem["details"],
        json!({"cleanup": "destroyed", "cleanup_error": null, "credited": 0.168})
    );
    assert_eq!(problem["order_id"], id.as_str());
    assert_eq!(late.header("idempotent-replayed"), Some("true"));
    let receipt = late.header("payment-response").unwrap();
    assert!(
        SettlementResponse::decode(receipt.as_bytes())
            .unwrap()
            .success
    );
    assert_eq!(buyer.balance(&shop).await, "0.168");
}

#[tokio::test]
async fn a_declined_extension_changes_nothing_and_offers_again() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let before = order(&shop, &buyer, &id).await;
    shop.rail.misbehave([SettleFault::Declines]);
    let answer = extend(&shop, &buyer, &id, "{}").await;
    answer.expect_problem(402, "payment_declined");
    assert_eq!(answer.json()["charged"], false);
    assert_eq!(answer.json()["error"], "insufficient_funds");
    assert_eq!(order(&shop, &buyer, &id).await, before);
    let second = buyer.pay(&shop, &answer);
    let request = paid_at(&extend_path(&id), &second, "{}");
    assert_eq!(shop.patiently(shop.send(request)).await.status, 200);
}

#[tokio::test]
async fn a_database_that_dies_after_the_claim_of_an_extension_is_no_failure() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let payment = buyer.time_payment(&shop, &id, "{}").await;
    // The look at the machine, at the payment, at its payer, and the claim work; nothing after them.
    shop.crash.at_transaction(5);
    let answer = shop.send(paid_at(&extend_path(&id), &payment, "{}")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let reply = answer.json();
    assert_eq!(reply["code"], "settlement_pending");
    assert_eq!(reply["order_id"], id.as_str());
    assert!(reply.get("expires_at").is_none());
}

#[tokio::test]
async fn a_database_that_dies_after_credits_were_spent_is_no_failure() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    buyer.top_up(&shop, "1").await;
    let id = buyer.machine(&shop).await;
    // The look at the machine and the purchase work; nothing after them.
    shop.crash.at_transaction(3);
    let body = "{\"use_credits\":true}";
    let answer = buyer.post(&shop, &extend_path(&id), body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["code"], "accepted");
    assert_eq!(answer.json()["settlement"], "credits");
    shop.crash.restart();
    assert_eq!(order(&shop, &buyer, &id).await["prepaid_hours"], 48);
}
