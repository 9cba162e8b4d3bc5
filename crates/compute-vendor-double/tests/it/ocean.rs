use compute_vendor_double::digitalocean::{Event, Habits};
use serde_json::json;

use crate::{KEY, droplet, start};

#[tokio::test]
async fn a_droplet_lives_as_the_document_says() {
    let cloud = start(Habits::default()).await;
    let (status, key) = cloud
        .post(
            "/v2/account/keys",
            json!({ "name": "k", "public_key": KEY }),
        )
        .await;
    assert_eq!(status, 201);
    let mut body = droplet("web-1");
    body["ssh_keys"] = json!([key["ssh_key"]["id"]]);
    let (status, made) = cloud.post("/v2/droplets", body).await;
    assert_eq!(status, 202);
    assert_eq!(made["droplet"]["tags"], json!([]), "tags come later");
    let action = format!("/v2/actions/{}", made["links"]["actions"][0]["id"]);
    assert_eq!(
        cloud.get(&action, &[]).await.1["action"]["status"],
        "in-progress"
    );
    let path = format!("/v2/droplets/{}", made["droplet"]["id"]);
    assert_eq!(cloud.get(&path, &[]).await.1["droplet"]["status"], "new");
    let active = cloud.get(&path, &[]).await.1;
    assert_eq!(active["droplet"]["status"], "active");
    assert_eq!(active["droplet"]["networks"]["v4"][0]["type"], "private");
    assert_eq!(
        cloud.get(&action, &[]).await.1["action"]["status"],
        "completed"
    );
    assert_eq!(cloud.delete(&path).await, 204);
    assert_eq!(cloud.delete(&path).await, 404);
    assert_eq!(cloud.get(&path, &[]).await.0, 404);
    for path in [
        "/v2/account",
        "/v2/customers/my/balance",
        "/v2/account/keys",
        "/v2/sizes",
        "/v2/regions",
        "/v2/tags",
        "/v2/tags/fleet",
    ] {
        assert_eq!(cloud.get(path, &[]).await.0, 200, "{path}");
    }
    let images = cloud.get("/v2/images", &[("type", "distribution")]).await;
    assert_eq!(images.0, 200);
    assert_eq!(cloud.double.wire().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn its_record_names_the_requests_that_did_it() {
    let cloud = start(Habits::default()).await;
    cloud.get("/v2/account", &[]).await;
    let (_, made) = cloud.post("/v2/droplets", droplet("web-1")).await;
    cloud
        .delete(&format!("/v2/droplets/{}", made["droplet"]["id"]))
        .await;
    let journal = cloud.double.journal();
    let requests: Vec<_> = journal
        .iter()
        .filter_map(|event| match event {
            Event::Created { request, .. } | Event::Deleted { request, .. } => *request,
            _ => None,
        })
        .collect();
    assert_eq!(requests, [1, 2]);
    let exchanges = cloud.double.wire().exchanges();
    assert_eq!(
        (exchanges[1].method.as_str(), exchanges[1].status),
        ("POST", Some(202))
    );
}

#[tokio::test]
async fn lists_lag_by_looks() {
    let habits = Habits {
        hidden_lists: 2,
        untagged_looks: 3,
        ghost_lists: 1,
        ..Habits::default()
    };
    let cloud = start(habits).await;
    let (_, made) = cloud.post("/v2/droplets", droplet("web-1")).await;
    let id = made["droplet"]["id"].as_u64().unwrap();
    let tagged = [("tag_name", "fleet")];
    assert!(cloud.listed(&[]).await.is_empty());
    assert!(cloud.listed(&[]).await.is_empty());
    assert_eq!(cloud.listed(&[]).await, [id], "it shows, without tags");
    assert_eq!(cloud.listed(&tagged).await, [id], "its tags came");
    cloud.delete(&format!("/v2/droplets/{id}")).await;
    assert_eq!(cloud.listed(&[]).await, [id], "a list that lags");
    assert!(cloud.listed(&[]).await.is_empty());
}

#[tokio::test]
async fn gpus_have_a_list_of_their_own() {
    let cloud = start(Habits::default()).await;
    let mut body = droplet("gpu-1");
    body["size"] = "gpu-mi325x1-256gb".into();
    body["region"] = "tor1".into();
    let id = cloud.double.place(&body).unwrap();
    assert!(cloud.listed(&[]).await.is_empty());
    assert!(cloud.listed(&[("name", "gpu-1")]).await.is_empty());
    assert_eq!(cloud.listed(&[("type", "gpus")]).await, [id]);
    assert_eq!(cloud.listed(&[("tag_name", "op:1")]).await, [id]);
    let both = [("tag_name", "op:1"), ("type", "gpus")];
    assert_eq!(cloud.get("/v2/droplets", &both).await.0, 422);
}

#[tokio::test]
async fn keys_are_unique_and_tags_outlive_their_droplets() {
    let cloud = start(Habits::default()).await;
    let key = || json!({ "name": "k", "public_key": KEY });
    assert_eq!(cloud.post("/v2/account/keys", key()).await.0, 201);
    let (status, refused) = cloud.post("/v2/account/keys", key()).await;
    assert_eq!(status, 422);
    assert_eq!(
        refused["message"],
        "SSH Key is already in use on your account"
    );
    let id = cloud.double.place(&droplet("web-1")).unwrap();
    cloud.delete(&format!("/v2/droplets/{id}")).await;
    assert_eq!(cloud.double.tags(), ["fleet", "op:1"]);
    assert_eq!(cloud.delete("/v2/tags/op:1").await, 204);
    assert_eq!(cloud.double.tags(), ["fleet"]);
}

#[tokio::test]
async fn refusals_are_in_the_vendors_words() {
    let cloud = start(Habits::default()).await;
    for (member, value, text) in [
        ("size", "s-0", "invalid size"),
        (
            "size",
            "gpu-h100x1-80gb",
            "Size is not available in this region.",
        ),
        ("region", "ams2", "Region is not available"),
        ("image", "beos-5", "invalid image"),
    ] {
        let mut body = droplet("web-1");
        body[member] = value.into();
        let (status, refused) = cloud.post("/v2/droplets", body).await;
        assert_eq!(status, 422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
    }
    let mut body = droplet("web-1");
    body["tags"] = json!(["a=b"]);
    assert_eq!(cloud.post("/v2/droplets", body).await.0, 422);
    cloud.double.set_limit(0);
    let (_, refused) = cloud.post("/v2/droplets", droplet("web-1")).await;
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("droplet limit")
    );
    assert!(cloud.double.droplets().is_empty());
}

#[tokio::test]
async fn one_thing_is_done_at_a_time_and_a_droplet_stays_off_after_a_resize() {
    let cloud = start(Habits::default()).await;
    let (_, made) = cloud.post("/v2/droplets", droplet("web-1")).await;
    let path = format!("/v2/droplets/{}", made["droplet"]["id"]);
    let id = made["droplet"]["id"].as_u64().unwrap();
    let actions = format!("{path}/actions");
    let act = async |body: serde_json::Value| cloud.post(&actions, body).await;
    let kind = |kind: &str| json!({ "type": kind });
    let resize = |size: &str, disk: bool| json!({ "type": "resize", "size": size, "disk": disk });
    assert_eq!(act(kind("power_off")).await.0, 422, "it is new");
    while cloud.get(&path, &[]).await.1["droplet"]["status"] != "active" {}
    let refused = act(resize("s-2vcpu-4gb", true)).await;
    assert_eq!(refused.0, 422, "it is on");
    assert_eq!(act(kind("power_off")).await.0, 201);
    let busy = act(kind("power_off")).await;
    assert_eq!(busy.1["message"], "Droplet already has a pending event.");
    let early = cloud.get(&path, &[]).await.1;
    assert_eq!(early["droplet"]["status"], "active");
    assert_eq!(early["droplet"]["locked"], true);
    let late = cloud.get(&path, &[]).await.1;
    assert_eq!(late["droplet"]["status"], "off");
    let off = act(kind("power_off")).await;
    assert_eq!(off.1["message"], "Droplet is already powered off.");
    let (status, begun) = act(resize("s-2vcpu-4gb", false)).await;
    assert_eq!(status, 201);
    let action = format!("/v2/actions/{}", begun["action"]["id"]);
    let read = async || cloud.get(&action, &[]).await.1["action"]["status"].clone();
    assert_eq!(read().await, "in-progress");
    assert_eq!(read().await, "completed");
    let after = cloud.get(&path, &[]).await.1;
    assert_eq!(after["droplet"]["size_slug"], "s-2vcpu-4gb");
    assert_eq!(after["droplet"]["disk"], 25, "as it was");
    assert_eq!(after["droplet"]["status"], "off");
    let events = cloud.double.history(id);
    let powered = events.iter().filter_map(|event| match event {
        Event::Powered { is_on, .. } => Some(*is_on),
        _ => None,
    });
    assert_eq!(powered.collect::<Vec<_>>(), [false]);
    let size = "s-2vcpu-4gb".to_owned();
    assert!(events.contains(&Event::Resized { id, size, disk: 25 }));
    assert!(!cloud.double.is_on(id));
    assert_eq!(cloud.get(&actions, &[]).await.0, 200);
    assert_eq!(cloud.double.wire().violations(), Vec::<String>::new());
}
