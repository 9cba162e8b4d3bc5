//! Waiting for an order, or for any work, to come to rest.

use compute_domain::time::{Clock as _, Span};
use compute_http::{Limits, Settings};
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use crate::shop::{ORDER, Shop, extend_path, settings};
use crate::visitor::{Visitor, paid, paid_at};

const UNKNOWN: &str = "0190a1b2-0000-7000-8000-000000000000";

/// Buys a machine, which is being made then.
async fn begin(shop: &Shop, buyer: &Visitor) -> String {
    let payment = buyer.payment(shop).await;
    let bought = shop.send(paid(&payment, ORDER)).await;
    assert_eq!(
        bought.json()["order"]["status"],
        "provisioning",
        "{bought:?}"
    );
    let id = bought.json()["order"]["id"].as_str().unwrap().to_owned();
    format!("/compute/orders/{id}")
}

#[tokio::test]
async fn an_order_is_waited_for_until_its_machine_is_ready() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let path = begin(&shop, &buyer).await;
    let now = buyer.send(&shop, "GET", &path).await;
    assert_eq!(now.json()["ready"], false, "{now:?}");
    assert_eq!(now.json()["in_progress"], true);
    assert_eq!(now.header("retry-after"), Some("2"));
    let waiting = format!("{path}?wait=60");
    let then = shop.patiently(buyer.send(&shop, "GET", &waiting)).await;
    assert_eq!(then.status, 200, "{then:?}");
    assert_eq!(then.json()["order"]["status"], "active");
    assert_eq!(then.json()["ready"], true);
    assert_eq!(then.json()["in_progress"], false);
    assert_eq!(then.header("retry-after"), None);
    // There is nothing to wait for any more: nobody sleeps.
    let again = buyer.send(&shop, "GET", &waiting).await;
    assert_eq!(again.json()["ready"], true);
}

#[tokio::test]
async fn a_failed_order_ends_the_wait() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    shop.provider.misbehave([CreateFault::NeverReady]);
    let path = begin(&shop, &buyer).await;
    let begun = shop.clock.now();
    // Until its machine is given up a single wait is not enough.
    for _ in 0..100 {
        let waiting = format!("{path}?wait=60");
        let answer = shop.patiently(buyer.send(&shop, "GET", &waiting)).await;
        if answer.json()["in_progress"] == true {
            assert_eq!(answer.header("retry-after"), Some("2"));
            shop.patiently(shop.engine.drive_due()).await.unwrap();
            continue;
        }
        assert_eq!(answer.json()["order"]["status"], "failed", "{answer:?}");
        assert_eq!(answer.json()["ready"], false);
        assert!(shop.clock.now().since(begun) > Span::from_secs(60));
        return;
    }
    panic!("it never failed");
}

#[tokio::test]
async fn any_work_is_waited_for() {
    let shop = Shop::open().await;
    let buyer = Visitor::new(1);
    let id = buyer.machine(&shop).await;
    shop.rail
        .misbehave(std::iter::repeat_n(SettleFault::LostBefore, 500));
    shop.rail.hide(10_000);
    let payment = buyer.time_payment(&shop, &id, "{}").await;
    let request = paid_at(&extend_path(&id), &payment, "{}");
    let pending = shop.patiently(shop.send(request)).await;
    assert_eq!(pending.status, 202, "{pending:?}");
    let path = format!(
        "/compute/operations/{}?wait=5",
        pending.text("operation_id")
    );
    let begun = shop.clock.now();
    let answer = shop.patiently(buyer.send(&shop, "GET", &path)).await;
    assert_eq!(answer.json()["in_progress"], true, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert!(shop.clock.now().since(begun) >= Span::from_secs(5));
    shop.rail.forgive();
    shop.rail.hide(0);
    // Another worker does the work, and time stands still: the commit is what ends the wait.
    shop.clock.advance(Span::from_secs(60));
    let path = path.replace("wait=5", "wait=60");
    let begun = shop.clock.now();
    let answer = shop.driven(buyer.send(&shop, "GET", &path)).await;
    assert_eq!(shop.clock.now(), begun);
    assert_eq!(
        answer.json()["operation"]["state"],
        "succeeded",
        "{answer:?}"
    );
    assert_eq!(answer.json()["in_progress"], false);
}

#[tokio::test]
async fn an_owner_waits_in_so_many_places_and_is_answered_at_once_beyond() {
    let base = settings();
    let limits = Limits {
        waiting_per_owner: 2,
        ..base.limits
    };
    let shop = Shop::open_with(Settings { limits, ..base }).await;
    let buyer = Visitor::new(1);
    let path = format!("{}?wait=60", begin(&shop, &buyer).await);
    let all = (0..5).map(|_| buyer.send(&shop, "GET", &path));
    let mut all: FuturesUnordered<_> = all.collect();
    // Time stands still until all are in their places, or have been answered for want of one.
    let mut answers: Vec<_> = all.by_ref().take(3).collect().await;
    // Both wait for a commit, and time must not pass them by while the work is done.
    answers.extend(shop.pass_time(2, all.collect::<Vec<_>>()).await);
    let ready = |answer: &&crate::shop::Answer| answer.json()["ready"] == true;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{answers:?}"
    );
    assert_eq!(answers.iter().filter(ready).count(), 2, "{answers:?}");
    let at_once = answers.iter().filter(|answer| !ready(answer));
    for answer in at_once {
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    // The places are free again.
    let other = format!("{}?wait=60", begin(&shop, &buyer).await);
    let answer = buyer.send(&shop, "GET", &other);
    assert_eq!(shop.patiently(answer).await.json()["ready"], true);
}

#[tokio::test]
async fn a_wait_is_judged_before_anything_else() {
    let shop = Shop::open().await;
    for kind in ["orders", "operations"] {
        for wait in ["61", "-1", "1.5", "", "x", "5&wait=5"] {
            let path = format!("/compute/{kind}/x?wait={wait}");
            let refused = shop.get(&path).await;
            refused.expect_problem(400, "invalid_request");
            assert_eq!(refused.json()["field"], "wait", "{path}");
        }
        let path = format!("/compute/{kind}/{UNKNOWN}?wait=60");
        shop.get(&path).await.expect_problem(401, "auth_required");
    }
}
