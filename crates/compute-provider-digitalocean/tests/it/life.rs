use std::net::IpAddr;

use compute_domain::catalog::{OsId, ProviderInstanceId};
use compute_domain::text::Hostname;
use compute_engine::ports::{Ambiguity, MachineState, Provider, ProviderError};
use compute_testkit::faults_log::injected;
use compute_vendor_double::digitalocean::{Event, Habits};
use compute_vendor_double::wire::{Call, Disturbance};
use serde_json::{Value, json};

use crate::{Cloud, connect, gpu_order, order, start, start_with, tag};

fn only_body(cloud: &Cloud) -> Value {
    let journal = cloud.journal();
    let mut bodies = journal.iter().filter_map(|event| match event {
        Event::Created { body, .. } => Some(body.clone()),
        _ => None,
    });
    let body = bodies.next().unwrap();
    assert_eq!(bodies.next(), None, "one machine");
    body
}

#[tokio::test]
async fn a_machine_is_made_boots_and_is_deleted() {
    let (cloud, ocean) = start().await;
    let made = ocean.create(&order(1, 1)).await.unwrap();
    assert!(made.root_password.is_none());
    let body = only_body(&cloud);
    assert_eq!(body["region"], "nyc3");
    assert_eq!(body["image"], "ubuntu-24-04-x64");
    assert_eq!(body["ssh_keys"], json!(cloud.ssh_keys()));
    assert_eq!(body["name"], "x402-prod-00000000000000000000000000000001-1");
    for costly in ["ipv6", "backups", "monitoring"] {
        assert_eq!(body[costly], false, "{costly}");
    }
    assert!(
        !body.to_string().contains("agent"),
        "the vendor learns nothing about the customer"
    );

    let first = ocean.observe(&made.machine).await.unwrap();
    assert_eq!((first.state, first.address), (MachineState::Starting, None));
    let second = ocean.observe(&made.machine).await.unwrap();
    assert_eq!(second.state, MachineState::Ready);
    assert_eq!(second.address, Some(IpAddr::from([203, 0, 113, 1])));
    assert_eq!(second.tag, Some(tag(1, 1)));

    ocean.destroy(&made.machine).await.unwrap();
    let gone = ocean.observe(&made.machine).await.unwrap();
    assert_eq!(gone.state, MachineState::Gone);
    ocean.destroy(&made.machine).await.unwrap();
    assert!(cloud.droplets().is_empty());
    let deletes = cloud.journal();
    let deletes = deletes
        .iter()
        .filter(|it| matches!(it, Event::Deleted { .. }));
    assert_eq!(deletes.count(), 1);
}

/// The answer shows another name than was asked for: the machine is ours all the same.
#[tokio::test]
async fn a_name_that_the_vendor_changed_does_not_lose_the_machine() {
    injected("F122");
    let (cloud, ocean) = start().await;
    let answer = json!({ "droplet": { "id": 5_000_000_001_u64, "name": "X402-PROD" } });
    let creates = Call::new("POST", "/v2/droplets");
    cloud
        .wire()
        .disturb(creates, Disturbance::Text(answer.to_string()));
    let made = ocean.create(&order(1, 1)).await.unwrap().machine;
    let found = ocean.find(tag(1, 1).operation).await.unwrap();
    assert_eq!(found[0].machine, made);
    assert_eq!(cloud.creates_sent(), 1);
}

#[tokio::test]
async fn the_host_name_is_what_the_customer_chose() {
    let (cloud, ocean) = start().await;
    let mut spec = order(1, 2);
    spec.machine.hostname = Some(Hostname::parse("web-1.example").unwrap());
    ocean.create(&spec).await.unwrap();
    let name = only_body(&cloud)["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("web-1.example.x402-prod-"), "{name}");
    let found = ocean.find(tag(1, 2).operation).await.unwrap();
    assert_eq!(found[0].tag, Some(tag(1, 2)));
}

#[tokio::test]
async fn a_new_machine_is_found_by_its_name_before_it_has_tags() {
    let habits = Habits {
        untagged_looks: 100,
        ..Habits::default()
    };
    let (cloud, ocean) = start_with(habits).await;
    cloud
        .wire()
        .disturb(Call::new("POST", "/v2/droplets"), Disturbance::DropAfter);
    ocean.create(&order(1, 1)).await.unwrap_err();
    let found = ocean.find(tag(1, 1).operation).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].tag, Some(tag(1, 1)));
    assert_eq!(ocean.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_gpu_machine_is_found_in_the_list_of_gpus() {
    let habits = Habits {
        tags_list_gpus: false,
        ..Habits::default()
    };
    let (cloud, ocean) = start_with(habits).await;
    cloud
        .wire()
        .disturb(Call::new("POST", "/v2/droplets"), Disturbance::DropAfter);
    ocean.create(&gpu_order(1)).await.unwrap_err();
    assert_eq!(ocean.find(tag(1, 1).operation).await.unwrap().len(), 1);
    assert_eq!(ocean.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_machine_that_shows_up_late_is_found_late() {
    let habits = Habits {
        hidden_lists: 4,
        hidden_looks: 1,
        ..Habits::default()
    };
    let (cloud, ocean) = start_with(habits).await;
    let made = ocean.create(&order(1, 1)).await.unwrap().machine;
    let first = ocean.observe(&made).await.unwrap();
    assert_eq!(
        first.state,
        MachineState::Gone,
        "404 right after the create"
    );
    let mut seen = Vec::new();
    for _ in 0..3 {
        // Two of the three lists of one look can show it.
        seen.push(ocean.find(tag(1, 1).operation).await.unwrap().len());
    }
    assert_eq!(seen, [0, 0, 1]);
    assert_eq!(cloud.creates_sent(), 1);
}

#[tokio::test]
async fn a_machine_of_another_installation_is_not_deleted() {
    injected("F125");
    let (cloud, ocean) = start().await;
    let neighbour = connect(&cloud.url(), "test-token", "dev");
    let mut theirs = order(1, 1);
    "dev".clone_into(&mut theirs.tag.environment);
    let machine = neighbour.create(&theirs).await.unwrap().machine;
    let error = ocean.destroy(&machine).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    let error = ocean.create(&theirs).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    assert_eq!(cloud.droplets().len(), 1);
}

#[tokio::test]
async fn an_id_that_is_no_number_is_never_asked_for() {
    let (cloud, ocean) = start().await;
    for id in [
        "../account?x=#",
        "-1",
        "all",
        "4f0f12e5-1f84-404f-aa84-85f431ea5ec2",
    ] {
        let strange = ProviderInstanceId::parse(id).unwrap();
        assert!(ocean.observe(&strange).await.is_err(), "{id}");
        assert!(ocean.destroy(&strange).await.is_err(), "{id}");
    }
    assert_eq!(cloud.wire().exchanges().len(), 0);
}

/// Image numbers go stale; the slug does not.
#[tokio::test]
async fn an_old_number_of_an_image_is_understood() {
    let (cloud, ocean) = start().await;
    cloud.rebuild_image("ubuntu-24-04-x64");
    let numbered = |number, os| {
        let mut spec = order(number, 1);
        spec.machine.os = OsId::parse(os).unwrap();
        spec
    };
    // The first number is that of the time before, the second that of today.
    for (number, os) in [(1, "247516813"), (2, "300000001")] {
        ocean.create(&numbered(number, os)).await.unwrap();
    }
    let unknown = ocean.create(&numbered(3, "195932981")).await;
    assert!(
        matches!(unknown, Err(ProviderError::Rejected { .. })),
        "{unknown:?}"
    );
    let journal = cloud.journal();
    let images = journal.iter().filter_map(|event| match event {
        Event::Created { body, .. } => Some(body["image"].as_str().unwrap()),
        _ => None,
    });
    assert_eq!(images.collect::<Vec<_>>(), ["ubuntu-24-04-x64"; 2]);
}

/// The list changes between two pages, and a row stands on both.
#[tokio::test]
async fn a_row_on_two_pages_is_one_machine() {
    injected("F114");
    let (cloud, ocean) = start().await;
    ocean.create(&order(1, 1)).await.unwrap();
    let row = json!({ "id": cloud.droplets()[0], "name": "web", "status": "active",
        "tags": ["x402compute-prod", "x402-op:00000000-0000-0000-0000-000000000001", "x402-attempt:1"] });
    let next = "https://api.digitalocean.com/v2/droplets?page=2&per_page=200";
    let page = json!({ "droplets": [row], "meta": { "total": 2 },
        "links": { "pages": { "next": next } } });
    let lists = Call::new("GET", "/v2/droplets");
    cloud
        .wire()
        .disturb_times(lists, Disturbance::Text(page.to_string()), 3);
    let found = ocean.list().await.unwrap();
    let ids: std::collections::BTreeSet<_> = found.iter().map(|it| &it.machine).collect();
    assert_eq!(ids.len(), found.len(), "{found:?}");
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    injected("F114");
    let (cloud, ocean) = start().await;
    for number in 0..401_u128 {
        let tags = [
            "x402compute-prod",
            &format!("x402-op:{}", tag(number, 1).operation),
            "x402-attempt:1",
        ];
        let body = json!({
            "name": format!("web-{number}"), "region": "nyc3", "size": "s-1vcpu-1gb",
            "image": "debian-12-x64", "tags": tags,
        });
        cloud.place(&body).unwrap();
    }
    assert_eq!(ocean.list().await.unwrap().len(), 401);
    let text = "Unexpected server-side error".to_owned();
    let failure = Disturbance::FailBefore { status: 500, text };
    let calls = cloud.wire().exchanges().len();
    // The three lists begin together, so the fourth request is for a later page.
    for _ in 0..3 {
        let pages = Call::new("GET", "/v2/droplets");
        cloud.wire().disturb(pages, Disturbance::Nothing);
    }
    cloud
        .wire()
        .disturb(Call::new("GET", "/v2/droplets"), failure);
    let error = ocean.list().await.unwrap_err();
    assert_eq!(error, ProviderError::Ambiguous(Ambiguity::ServerError(500)));
    let exchanges = cloud.wire().exchanges();
    let page = |number: usize| {
        exchanges[calls + number]
            .query
            .iter()
            .find(|(name, _)| name == "page")
    };
    assert_eq!(page(3).unwrap().1, "2", "a part of a list proves nothing");
}
