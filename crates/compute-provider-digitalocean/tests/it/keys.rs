use compute_domain::setup::{SshKeys, UserData};
use compute_domain::text::SshPublicKey;
use compute_engine::ports::{CreateSpec, Provider, ProviderError};
use compute_testkit::faults_log::injected;
use compute_vendor_double::digitalocean::Event;
use compute_vendor_double::wire::{Call, Disturbance};

use crate::{KEY, OTHER_KEY, connect, order, start, tag};

fn keys() -> Call {
    Call::new("POST", "/v2/account/keys")
}

#[tokio::test]
async fn without_a_key_nothing_is_asked_for() {
    let (cloud, ocean) = start().await;
    let mut spec = order(1, 1);
    spec.machine.ssh_keys = SshKeys::default();
    let error = ocean.create(&spec).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    assert_eq!(cloud.wire().exchanges().len(), 0);
}

#[tokio::test]
async fn orders_with_one_key_share_its_record_until_the_last_one_ends() {
    injected("F123");
    let (cloud, ocean) = start().await;
    let first = ocean.create(&order(1, 1)).await.unwrap().machine;
    let second = ocean.create(&order(2, 1)).await.unwrap().machine;
    let mut other = order(3, 1);
    other.machine.ssh_keys = SshPublicKey::parse(OTHER_KEY).unwrap().into();
    let third = ocean.create(&other).await.unwrap().machine;
    let [shared, own] = cloud.ssh_keys()[..] else {
        panic!("{:?}", cloud.ssh_keys())
    };
    ocean.destroy(&first).await.unwrap();
    assert_eq!(cloud.ssh_keys(), [shared, own]);
    ocean.destroy(&third).await.unwrap();
    assert_eq!(cloud.ssh_keys(), [shared]);
    ocean.destroy(&second).await.unwrap();
    assert!(cloud.ssh_keys().is_empty());
    // Only tags that are the same for all machines stay.
    assert_eq!(cloud.tags(), ["x402-attempt:1", "x402compute-prod"]);
}

#[tokio::test]
async fn all_keys_and_the_user_data_come_along_and_the_keys_go_with_the_machine() {
    let (cloud, ocean) = start().await;
    let mut spec = order(1, 1);
    let lines = [KEY, OTHER_KEY].map(|line| SshPublicKey::parse(line).unwrap());
    spec.machine.ssh_keys = SshKeys::of(lines).unwrap();
    // The vendor wants it as it is; whatever a customer writes stays a text.
    let text = "#cloud-config\nfinal_message: \"🚀 $(id) `id` \\ ü\"\n";
    spec.user_data = Some(UserData::parse(text).unwrap());
    compute_testkit::faults_log::injected("F124");
    let made = ocean.create(&spec).await.unwrap();
    let journal = cloud.journal();
    let body = journal.iter().find_map(|event| match event {
        Event::Created { body, .. } => Some(body),
        _ => None,
    });
    let body = body.unwrap();
    assert_eq!(body["ssh_keys"], serde_json::json!(cloud.ssh_keys()));
    assert_eq!(cloud.ssh_keys().len(), 2);
    assert_eq!(body["user_data"], text);
    ocean.destroy(&made.machine).await.unwrap();
    assert!(cloud.ssh_keys().is_empty());
}

#[tokio::test]
async fn a_key_of_the_operator_is_used_and_stays() {
    let (cloud, ocean) = start().await;
    assert_eq!(register_by_hand(&cloud.url()).await, 201);
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    assert_eq!(cloud.ssh_keys().len(), 1);
    ocean.destroy(&machine).await.unwrap();
    assert_eq!(cloud.ssh_keys().len(), 1);
}

/// The operator registers the same key by hand.
async fn register_by_hand(url: &str) -> u16 {
    use compute_outbound::{BearerToken, OutboundClient, OutboundConfig, OutboundRequest};
    let config = OutboundConfig {
        bearer: Some(BearerToken::parse("test-token".into()).unwrap()),
        ..OutboundConfig::new(url)
    };
    let body = serde_json::json!({ "name": "my laptop", "public_key": KEY });
    let request = OutboundRequest::post(&["v2", "account", "keys"]);
    let client = OutboundClient::new(&config).unwrap();
    let answer = client.send(request.json(&body).unwrap()).await.unwrap();
    answer.status.as_u16()
}

#[tokio::test]
async fn a_key_whose_answer_is_lost_makes_no_machine_and_serves_the_next_try() {
    let (cloud, ocean) = start().await;
    for (disturbance, count) in [
        (Disturbance::DropBefore, 0),
        (Disturbance::PageBefore, 0),
        (Disturbance::DropAfter, 1),
        (Disturbance::PageAfter, 1),
    ] {
        cloud.wire().disturb(keys(), disturbance);
        let error = ocean.create(&order(1, 1)).await.unwrap_err();
        assert_eq!(error, ProviderError::Unreachable);
        assert_eq!(cloud.creates_sent(), 0);
        assert_eq!(cloud.ssh_keys().len(), count);
    }
    ocean.create(&order(1, 1)).await.unwrap();
    assert_eq!(cloud.ssh_keys().len(), 1);
}

#[tokio::test]
async fn a_refused_machine_leaves_no_key_and_no_tag() {
    let (cloud, ocean) = start().await;
    cloud.sell_out("s-1vcpu-1gb", None);
    let error = ocean.create(&order(1, 1)).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::NoCapacity { .. }),
        "{error:?}"
    );
    assert!(cloud.ssh_keys().is_empty());
    assert!(cloud.tags().is_empty());
}

/// The first attempt's answer is lost; the second one is refused.
#[tokio::test]
async fn a_refused_attempt_leaves_the_key_of_the_one_before_it() {
    let (cloud, ocean) = start().await;
    let creates = Call::new("POST", "/v2/droplets");
    cloud.wire().disturb(creates, Disturbance::DropAfter);
    ocean.create(&order(1, 1)).await.unwrap_err();
    cloud.sell_out("s-1vcpu-1gb", None);
    let second = CreateSpec {
        tag: tag(1, 2),
        ..order(1, 2)
    };
    ocean.create(&second).await.unwrap_err();
    assert_eq!(cloud.ssh_keys().len(), 1);
    let found = ocean.find(tag(1, 1).operation).await.unwrap();
    ocean.destroy(&found[0].machine).await.unwrap();
    assert!(cloud.ssh_keys().is_empty());
}

/// Another order's end removes the key just before this order uses it.
#[tokio::test]
async fn a_key_that_goes_before_its_use_is_registered_again() {
    let (cloud, ocean) = start().await;
    let creates = || Call::new("POST", "/v2/droplets");
    let first = ocean.create(&order(1, 1)).await.unwrap().machine;
    let mut gate = cloud.wire().hold_before(creates());
    let ends = async {
        gate.arrived().await;
        let destroyed = ocean.destroy(&first).await;
        gate.open();
        destroyed
    };
    let second = order(2, 1);
    let (destroyed, refused) = tokio::join!(ends, ocean.create(&second));
    destroyed.unwrap();
    assert_eq!(refused.unwrap_err(), ProviderError::Unreachable);
    ocean.create(&order(2, 1)).await.unwrap();
    assert_eq!(cloud.created().len(), 2);
    assert_eq!(cloud.ssh_keys().len(), 1);
}

#[tokio::test]
async fn what_a_lost_delete_left_over_is_removed_by_the_next_one() {
    let (cloud, ocean) = start().await;
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    let deletes = Call::new("DELETE", "/v2/droplets/{}");
    cloud.wire().disturb(deletes, Disturbance::DropAfter);
    ocean.destroy(&machine).await.unwrap_err();
    assert_eq!(cloud.ssh_keys().len(), 1);
    ocean.destroy(&machine).await.unwrap();
    assert!(cloud.ssh_keys().is_empty());
    assert_eq!(cloud.tags(), ["x402-attempt:1", "x402compute-prod"]);
    let journal = cloud.journal();
    let deletes = journal
        .iter()
        .filter(|it| matches!(it, Event::Deleted { .. }));
    assert_eq!(deletes.count(), 1);
}

/// The process that asked for the machine is gone, and the machine was removed at the panel: whoever has
/// seen it in the list removes what it has left.
#[tokio::test]
async fn what_a_machine_leaves_is_known_from_the_list() {
    let (cloud, ocean) = start().await;
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    let later = connect(&cloud.url(), "test-token", "prod");
    assert_eq!(later.list().await.unwrap().len(), 1);
    cloud.remove(cloud.droplets()[0]);
    injected("F112");
    assert_eq!(later.list().await.unwrap(), []);
    later.destroy(&machine).await.unwrap();
    assert!(cloud.ssh_keys().is_empty());
    assert_eq!(cloud.tags(), ["x402-attempt:1", "x402compute-prod"]);
}
