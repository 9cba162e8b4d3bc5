use compute_outbound::{OutboundClient, OutboundRequest};
use compute_testkit::vultr::{Event, Fault, Handle, Options, Pace, spawn};
use serde_json::{Value, json};

use crate::{body, client, get, post, temporary};

async fn start(options: Options) -> (Handle, OutboundClient) {
    let double = spawn(options).await.unwrap();
    let api = client(&double.api_url(), Some("test-key"));
    (double, api)
}

fn order(label: &str) -> Value {
    json!({
        "region": "ewr", "plan": "vc2-1c-1gb", "os_id": 2284, "label": label,
        "tags": ["x402compute", format!("x402-op={label}")], "backups": "disabled",
    })
}

async fn create(api: &OutboundClient, label: &str) -> Value {
    let answer = post(api, &["instances"], &order(label)).await.unwrap();
    assert_eq!(answer.status, 202);
    body(&answer)["instance"].clone()
}

#[tokio::test]
async fn a_machine_boots_as_it_is_looked_at_and_is_gone_after_a_delete() {
    let (double, api) = start(Options::default()).await;
    let made = create(&api, "one").await;
    assert_eq!(
        (&made["status"], &made["main_ip"]),
        (&json!("pending"), &json!("0.0.0.0"))
    );
    assert!(made["default_password"].is_string());
    let id = made["id"].as_str().unwrap();
    let path = ["instances", id];
    assert_eq!(
        body(&get(&api, &path).await)["instance"]["status"],
        "pending"
    );
    let up = body(&get(&api, &path).await)["instance"].clone();
    assert_eq!(
        (&up["server_status"], &up["main_ip"]),
        (&json!("ok"), &json!("203.0.113.1"))
    );
    assert_eq!(up["default_password"], Value::Null);
    assert_eq!(
        api.send(OutboundRequest::delete(&path))
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(get(&api, &path).await.status, 404);
    let events = double.journal();
    assert!(matches!(
        &events[..],
        [
            Event::Created { .. },
            Event::Booted { .. },
            Event::Deleted { .. }
        ]
    ));
}

#[tokio::test]
async fn lists_come_in_pages_and_by_tag() {
    let (_double, api) = start(Options::default()).await;
    for label in ["a", "b", "c"] {
        create(&api, label).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let request = OutboundRequest::get(&["instances"])
            .query("per_page", "2")
            .query("cursor", cursor.as_str());
        let page = body(&api.send(request).await.unwrap());
        for machine in page["instances"].as_array().unwrap() {
            seen.push(machine["label"].as_str().unwrap().to_owned());
        }
        cursor = page["meta"]["links"]["next"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c"]);
    let by_tag = OutboundRequest::get(&["instances"]).query("tag", "X402-OP=b");
    let page = body(&api.send(by_tag).await.unwrap());
    assert_eq!(page["meta"]["total"], 1);
    assert_eq!(page["instances"][0]["label"], "b");
}

#[tokio::test]
async fn without_the_key_availability_is_empty_and_the_rest_is_refused() {
    let (double, api) = start(Options::default()).await;
    let stranger = client(&double.api_url(), None);
    let availability = ["regions", "ewr", "availability"];
    let none = body(&get(&stranger, &availability).await);
    assert_eq!(none["available_plans"], json!([]));
    let plans = body(&get(&api, &availability).await);
    assert!(
        plans["available_plans"]
            .as_array()
            .unwrap()
            .contains(&json!("vc2-1c-1gb"))
    );
    assert_eq!(get(&stranger, &["instances"]).await.status, 401);
    assert_eq!(get(&stranger, &["plans"]).await.status, 200);
}

#[tokio::test]
async fn impossible_orders_are_refused_in_the_vendors_words() {
    let (double, api) = start(Options::default()).await;
    let check = async |change: Value, expected: &str| {
        let mut wanted = order("x");
        for (name, value) in change.as_object().unwrap() {
            wanted[name] = value.clone();
        }
        let answer = post(&api, &["instances"], &wanted).await.unwrap();
        assert_eq!(answer.status, 400);
        let text = body(&answer)["error"].as_str().unwrap().to_owned();
        assert!(text.contains(expected), "{text}");
    };
    check(json!({"plan": "vcg-a100-1c-2g-6gb"}), "Invalid plan").await;
    check(json!({"region": "sao"}), "Invalid plan").await;
    check(json!({"plan": "vx1-g-2c-8g"}), "block devices").await;
    check(json!({"os_id": 1}), "os_id").await;
    check(json!({"user_data": "#cloud-config"}), "user_data").await;
    check(json!({"sshkey_id": ["none"]}), "SSH").await;
    check(json!({"surprise": 1}), "unknown field").await;
    assert!(double.machines().is_empty());
}

#[tokio::test]
async fn the_journal_outlives_the_double() {
    let path = temporary("vultr");
    let options = Options {
        journal: Some(path.clone()),
        pace: Pace::Looks(1),
        ..Options::default()
    };
    let (double, api) = start(options.clone()).await;
    let kept = create(&api, "kept").await;
    let gone = create(&api, "gone").await;
    let gone_path = ["instances", gone["id"].as_str().unwrap()];
    api.send(OutboundRequest::delete(&gone_path)).await.unwrap();
    drop((double, api));
    let (double, api) = start(options).await;
    assert_eq!(double.machines(), [kept["id"].as_str().unwrap()]);
    assert_eq!(get(&api, &gone_path).await.status, 404);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_lost_answer_leaves_a_machine() {
    let (double, api) = start(Options::default()).await;
    let control = client(&double.url(), None);
    let fault = json!({"kind": "create_then_drop"});
    assert_eq!(
        post(&control, &["control", "faults"], &fault)
            .await
            .unwrap()
            .status,
        204
    );
    assert!(
        !post(&api, &["instances"], &order("a"))
            .await
            .unwrap_err()
            .is_not_sent()
    );
    assert_eq!(double.machines().len(), 1);
    double.inject(Fault::RefuseCreate {
        status: 503,
        error: "Try again.".into(),
    });
    assert_eq!(
        post(&api, &["instances"], &order("b"))
            .await
            .unwrap()
            .status,
        503
    );
    assert_eq!(double.machines().len(), 1);
    double.inject(Fault::HideCreated { looks: 1 });
    let hidden = create(&api, "c").await;
    let path = ["instances", hidden["id"].as_str().unwrap()];
    assert_eq!(get(&api, &path).await.status, 404);
    assert_eq!(get(&api, &path).await.status, 200);
}

#[tokio::test]
async fn a_general_fault_strikes_any_request_once() {
    let (double, api) = start(Options::default()).await;
    double.inject(Fault::Throttle { retry_after: 7 });
    let answer = get(&api, &["plans"]).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.retry_after().unwrap().as_secs()
        ),
        (429, 7)
    );
    double.inject(Fault::Html502);
    assert_eq!(get(&api, &["os"]).await.status, 502);
    assert_eq!(get(&api, &["os"]).await.status, 200);
}

#[tokio::test]
async fn the_switch_and_the_plan_are_shown_late() {
    let (double, api) = start(Options::default()).await;
    let made = create(&api, "one").await;
    let id = made["id"].as_str().unwrap();
    let path = ["instances", id];
    let shown = async || body(&get(&api, &path).await)["instance"].clone();
    while shown().await["server_status"] != "ok" {}
    let halt = ["instances", id, "halt"];
    let halted = api.send(OutboundRequest::post(&halt)).await.unwrap();
    assert_eq!(halted.status, 204);
    assert!(!double.is_on(id));
    assert_eq!(shown().await["power_status"], "running");
    assert_eq!(shown().await["power_status"], "stopped");
    let start = ["instances", id, "start"];
    api.send(OutboundRequest::post(&start)).await.unwrap();
    while shown().await["power_status"] != "running" {}

    let upgrades = ["instances", id, "upgrades"];
    let upgrades = body(&get(&api, &upgrades).await)["upgrades"]["plans"].clone();
    let upgrades = upgrades.as_array().unwrap();
    assert!(upgrades.contains(&json!("vc2-2c-4gb")));
    assert!(!upgrades.contains(&json!("vc2-1c-1gb")), "not itself");
    let kinds = upgrades.iter().map(|plan| plan.as_str().unwrap());
    assert!(kinds.into_iter().all(|plan| plan.starts_with("vc2-")));
    let change = OutboundRequest::new(compute_outbound::Method::PATCH, &path);
    let change = change.json(&json!({"plan": "vc2-2c-4gb"})).unwrap();
    let changed = body(&api.send(change).await.unwrap());
    let job = changed["job_ids"][0].as_str().unwrap().to_owned();
    assert_eq!(changed["instance"]["plan"], "vc2-1c-1gb");
    let states = [shown().await, shown().await, shown().await, shown().await];
    let states = states.map(|it| (it["status"].clone(), it["plan"].clone()));
    let state = |status: &str, plan: &str| (json!(status), json!(plan));
    assert_eq!(
        states,
        [
            state("resizing", "vc2-1c-1gb"),
            state("active", "vc2-1c-1gb"),
            state("active", "vc2-1c-1gb"),
            state("active", "vc2-2c-4gb"),
        ]
    );
    let jobs = ["instances", "jobs", job.as_str()];
    assert_eq!(body(&get(&api, &jobs).await)["job"]["state"], "success");
    let history = double.history(id);
    let plan = "vc2-2c-4gb".to_owned();
    let id = id.to_owned();
    assert_eq!(history.last(), Some(&Event::PlanChanged { id, job, plan }));
}

#[tokio::test]
async fn a_change_that_was_accepted_outlives_the_double() {
    let path = temporary("vultr-change");
    let options = Options {
        journal: Some(path.clone()),
        pace: Pace::Looks(1),
        ..Options::default()
    };
    let (double, api) = start(options.clone()).await;
    let made = create(&api, "one").await;
    let id = made["id"].as_str().unwrap();
    get(&api, &["instances", id]).await;
    let change = OutboundRequest::new(compute_outbound::Method::PATCH, &["instances", id]);
    let change = change.json(&json!({"plan": "vc2-2c-4gb"})).unwrap();
    api.send(change).await.unwrap();
    drop((double, api));
    let (double, api) = start(options).await;
    get(&api, &["instances", id]).await;
    assert_eq!(double.plan_of(id).as_deref(), Some("vc2-2c-4gb"));
    std::fs::remove_file(path).unwrap();
}
