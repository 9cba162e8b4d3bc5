//! Another plan, the switch and the protection, as clients see them.

use compute_domain::money::Usd;
use compute_domain::time::Span;
use compute_engine::ports::ResizeCheck;
use compute_testkit::scripted_provider::ChangeFault;
use serde_json::{Value, json};

use crate::shop::{Answer, Shop};
use crate::visitor::Visitor;

const LARGER: &str = "{\"plan\":\"vc2-4c-8gb\",\"confirm_disk_resize\":false}";

async fn shop_with_larger() -> Shop {
    let shop = Shop::open().await;
    shop.provider.sell_larger();
    shop.clock.advance(Span::from_secs(601));
    shop.engine.refresh_catalog().await;
    shop
}

async fn order(shop: &Shop, buyer: &Visitor, id: &str) -> Value {
    let path = format!("/compute/instances/{id}");
    let answer = buyer.send(shop, "GET", &path).await;
    answer.json()["order"].clone()
}

async fn post(shop: &Shop, buyer: &Visitor, id: &str, action: &str, body: &str) -> Answer {
    let path = format!("/compute/instances/{id}/{action}");
    shop.patiently(buyer.post(shop, &path, body)).await
}

/// Hours and dollars must tell the same story (compute-api.md 11).
fn check_arithmetic(reply: &Value) {
    // Hours are read as dollars are: exactly, in millionths.
    let millionths = |member: &str| {
        let number = Usd::parse(&reply[member].to_string()).unwrap();
        i128::from(number.micros())
    };
    let left = millionths("remaining_credit") * 1_000_000;
    for (hours, rate) in [
        ("remaining_hours_before", "old_hourly"),
        ("remaining_hours_after", "new_hourly"),
    ] {
        let worth = millionths(hours) * millionths(rate);
        assert!((worth - left).abs() * 50 <= left, "{reply}");
    }
}

#[tokio::test]
async fn a_look_at_a_resize_changes_nothing_and_a_resize_does_what_it_said() {
    let shop = shop_with_larger().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let before = order(&shop, &buyer, &id).await;
    let look = "{\"plan\":\"vc2-4c-8gb\",\"dry_run\":true}";
    let answer = post(&shop, &buyer, &id, "resize", look).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let look = answer.json();
    assert_eq!(look["dry_run"], true);
    assert_eq!(look.get("operation_id"), None);
    check_arithmetic(&look);
    assert_eq!(order(&shop, &buyer, &id).await, before);
    assert_eq!(shop.provider.changes(), Vec::<String>::new());

    let answer = post(&shop, &buyer, &id, "resize", LARGER).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply = answer.json();
    assert_eq!(reply["success"], true);
    assert_eq!(reply["instance_id"], json!(id));
    assert_eq!(reply["provider"], "vultr");
    assert_eq!(
        (&reply["from_plan"], &reply["to_plan"]),
        (&json!("vc2-1c-1gb"), &json!("vc2-4c-8gb"))
    );
    assert_eq!(reply["old_expires_at"], before["expires_at"]);
    assert_eq!(reply["disk_grows"], false);
    assert_eq!(reply["provider_action_id"], "scripted");
    assert!(reply.get("error").is_none() && reply.get("detail").is_none());
    check_arithmetic(&reply);

    let pending = order(&shop, &buyer, &id).await;
    if !pending["metadata"]["resize_pending"].is_null() {
        assert_eq!(pending["status"], "active");
        assert_eq!(pending["vultr_server_status"], "locked");
        assert_eq!(pending["metadata"]["resize_pending"]["plan"], "vc2-4c-8gb");
    }
    shop.settle_down().await;
    let after = order(&shop, &buyer, &id).await;
    assert_eq!(after["plan"], "vc2-4c-8gb");
    assert_eq!(after["our_hourly"], reply["new_hourly"]);
    assert_eq!(after["vultr_server_status"], "ok");
    assert_eq!(after["metadata"].get("resize_pending"), None);
    assert_ne!(after["expires_at"], before["expires_at"]);
    let path = format!(
        "/compute/operations/{}",
        reply["operation_id"].as_str().unwrap()
    );
    let status = buyer.send(&shop, "GET", &path).await.json();
    assert_eq!(status["operation"]["kind"], "resize");
    assert_eq!(status["operation"]["state"], "succeeded");

    let again = post(&shop, &buyer, &id, "resize", LARGER).await;
    again.expect_problem(400, "resize_same_plan");
}

#[tokio::test]
async fn every_rule_that_forbids_a_resize_has_its_code() {
    let shop = shop_with_larger().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    for (plan, code) in [
        ("vc2-1c-1gb", "resize_same_plan"),
        ("vc2-9c-9gb", "unknown_plan"),
        ("do:s-1vcpu-1gb", "unknown_plan"),
    ] {
        let body = format!("{{\"plan\":\"{plan}\"}}");
        let answer = post(&shop, &buyer, &id, "resize", &body).await;
        answer.expect_problem(400, code);
    }
    for (check, code) in [
        (ResizeCheck::Smaller, "resize_downgrade"),
        (ResizeCheck::OtherFamily, "resize_other_family"),
        (ResizeCheck::Never, "resize_not_possible"),
        (
            ResizeCheck::Possible { grows_disk: true },
            "disk_resize_confirmation_required",
        ),
    ] {
        shop.provider.say_of_changes(check);
        let answer = post(&shop, &buyer, &id, "resize", LARGER).await;
        answer.expect_problem(400, code);
    }
    let confirmed = "{\"plan\":\"vc2-4c-8gb\",\"confirm_disk_resize\":true,\"dry_run\":true}";
    let answer = post(&shop, &buyer, &id, "resize", confirmed).await;
    assert_eq!(answer.json()["disk_grows"], true, "{answer:?}");
    shop.provider.answer_no_checks(1);
    let answer = post(&shop, &buyer, &id, "resize", LARGER).await;
    answer.expect_problem(503, "provider_unavailable");
    assert!(answer.header("retry-after").is_some());

    let stranger = Visitor::new(2);
    let answer = post(&shop, &stranger, &id, "resize", LARGER).await;
    answer.expect_problem(404, "not_found");
    let path = format!("/compute/instances/{id}/resize");
    let unsigned = shop.ask_at(&path, LARGER).await;
    unsigned.expect_problem(401, "auth_required");
    assert_eq!(shop.provider.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_resize_that_fails_says_that_nothing_changed() {
    let shop = shop_with_larger().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let before = order(&shop, &buyer, &id).await;
    for (fault, status, code) in [
        (ChangeFault::Rejects, 502, "provider_rejected"),
        (ChangeFault::NoRoom, 503, "no_capacity"),
        (ChangeFault::Unauthorized, 503, "provider_unavailable"),
    ] {
        shop.provider.misbehave_in_changes([fault]);
        let answer = post(&shop, &buyer, &id, "resize", LARGER).await;
        answer.expect_problem(status, code);
        let problem = answer.json();
        assert_eq!(problem["charged"], false);
        assert_eq!(problem["order_id"], json!(id));
        assert!(
            problem["status_url"]
                .as_str()
                .unwrap()
                .contains("/compute/operations/")
        );
        assert_eq!(order(&shop, &buyer, &id).await, before, "{fault:?}");
    }
}

#[tokio::test]
async fn the_switch_is_used_and_says_when_it_is_done() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    for (action, is_on) in [("stop", false), ("start", true), ("reboot", true)] {
        let body = format!("{{\"action\":\"{action}\"}}");
        let answer = post(&shop, &buyer, &id, "actions", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["action"], action);
        assert_eq!(answer.json()["status"], "done");
        assert_eq!(shop.provider.machines()[0].is_on, is_on, "{action}");
    }
    let path = format!("/compute/instances/{id}/password");
    let first = buyer.send(&shop, "POST", &path).await.json();
    let answer = post(&shop, &buyer, &id, "actions", "{\"action\":\"reinstall\"}").await;
    assert_eq!(answer.json()["status"], "done", "{answer:?}");
    // The machine has another password, and that one is told once, too.
    let second = buyer.send(&shop, "POST", &path).await.json();
    assert_ne!(first["access"]["password"], second["access"]["password"]);
    let third = buyer.send(&shop, "POST", &path).await;
    third.expect_problem(409, "password_already_retrieved");

    let unknown = post(&shop, &buyer, &id, "actions", "{\"action\":\"format\"}").await;
    unknown.expect_problem(400, "invalid_request");
    let foreign = post(
        &shop,
        &Visitor::new(2),
        &id,
        "actions",
        "{\"action\":\"stop\"}",
    )
    .await;
    foreign.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_protected_machine_is_destroyed_only_after_the_protection_is_lifted() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    let path = format!("/compute/instances/{id}/protection");
    for (enabled, status, code) in [(true, 409, "deletion_protected"), (false, 200, "")] {
        let body = json!({"enabled": enabled}).to_string();
        let request = buyer.signed(&shop, "PUT", &path, &body);
        let request = request.header("content-type", "application/json");
        let answer = shop.send(request.body(body.into()).unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["order"]["deletion_protection"], enabled);
        let machine = format!("/compute/instances/{id}");
        let ended = buyer.send(&shop, "DELETE", &machine).await;
        if status == 200 {
            assert_eq!(ended.status, 200, "{ended:?}");
        } else {
            ended.expect_problem(status, code);
            assert_eq!(shop.provider.alive().len(), 1);
        }
    }
}
