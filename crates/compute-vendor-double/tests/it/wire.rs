use compute_vendor_double::digitalocean::Habits;
use compute_vendor_double::wire::{Call, Disturbance};
use serde_json::json;

use crate::{Cloud, Method, droplet, start};

fn creates() -> Call {
    Call::new("POST", "/v2/droplets")
}

async fn check(disturbance: Disturbance, status: Option<u16>, machines: usize) {
    let cloud = start(Habits::default()).await;
    cloud.double.wire().disturb(creates(), disturbance.clone());
    let answer = create(&cloud).await;
    assert_eq!(answer, status, "{disturbance:?}");
    assert_eq!(cloud.double.droplets().len(), machines, "{disturbance:?}");
    let exchange = cloud.double.wire().exchanges().remove(0);
    assert_eq!((exchange.arrived, exchange.status), (machines == 1, status));
    assert_eq!(create(&cloud).await, Some(202), "only one is disturbed");
}

async fn create(cloud: &Cloud) -> Option<u16> {
    let body = Some(droplet("web-1"));
    let answer = cloud
        .try_send(Method::POST, "/v2/droplets", &[], body)
        .await;
    answer.ok().map(|answer| answer.status.as_u16())
}

#[tokio::test]
async fn a_disturbance_is_before_or_after_the_effect() {
    let text = || "x".to_owned();
    check(Disturbance::DropBefore, None, 0).await;
    check(Disturbance::DropAfter, None, 1).await;
    check(
        Disturbance::Throttle {
            retry_after: Some(7),
        },
        Some(429),
        0,
    )
    .await;
    check(
        Disturbance::FailBefore {
            status: 500,
            text: text(),
        },
        Some(500),
        0,
    )
    .await;
    check(
        Disturbance::FailAfter {
            status: 503,
            text: text(),
        },
        Some(503),
        1,
    )
    .await;
    check(Disturbance::PageBefore, Some(502), 0).await;
    check(Disturbance::PageAfter, Some(502), 1).await;
    check(Disturbance::HalfAfter, Some(202), 1).await;
    check(Disturbance::Text(text()), Some(202), 1).await;
}

#[tokio::test]
async fn a_gate_holds_a_request_on_either_side_of_its_effect() {
    let cloud = start(Habits::default()).await;
    for (is_before, machines) in [(true, 0), (false, 2)] {
        let mut gate = if is_before {
            cloud.double.wire().hold_before(creates())
        } else {
            cloud.double.wire().hold_after(creates())
        };
        let looks = async {
            gate.arrived().await;
            let seen = cloud.double.droplets().len();
            gate.open();
            seen
        };
        let (seen, status) = tokio::join!(looks, create(&cloud));
        assert_eq!((seen, status), (machines, Some(202)));
    }
}

#[tokio::test]
async fn what_the_document_does_not_know_is_noted() {
    let cloud = start(Habits::default()).await;
    cloud.get("/v2/droplets", &[("colour", "red")]).await;
    cloud.get("/v2/dropplets", &[]).await;
    cloud.post("/v2/account/keys", json!({ "name": "k" })).await;
    let id = cloud.double.place(&droplet("web-1")).unwrap();
    cloud.double.set_status(id, "migrating", false);
    cloud.get(&format!("/v2/droplets/{id}"), &[]).await;
    let violations = cloud.double.wire().violations();
    assert_eq!(violations.len(), 4, "{violations:?}");
    assert!(violations[3].contains("migrating"));
    assert!(violations[0].contains("no parameter colour"));
    assert!(violations[1].contains("not described"));
    assert!(violations[2].contains("public_key"));
}
