use std::time::Duration;

use compute_domain::catalog::PlanId;
use compute_engine::ports::{Ambiguity, MachineState, Provider, ProviderError};
use compute_provider_digitalocean::DigitalOcean;
use compute_testkit::faults_log::injected;
use compute_vendor_double::digitalocean::{Event, Habits};
use compute_vendor_double::wire::{Call, Disturbance};

use crate::{config, connect, order, start, start_with, tag};

const NO_ANSWER: ProviderError = ProviderError::Ambiguous(Ambiguity::NoAnswer);

fn creates() -> Call {
    Call::new("POST", "/v2/droplets")
}

fn deletes() -> Call {
    Call::new("DELETE", "/v2/droplets/{}")
}

const fn failed(status: u16) -> ProviderError {
    ProviderError::Ambiguous(Ambiguity::ServerError(status))
}

async fn check_create(disturbance: Disturbance, expected: ProviderError, machines: usize) {
    let (cloud, ocean) = start().await;
    cloud.wire().disturb(creates(), disturbance);
    assert_eq!(ocean.create(&order(1, 1)).await.unwrap_err(), expected);
    assert_eq!(cloud.droplets().len(), machines);
    assert_eq!(cloud.creates_sent(), 1, "a create is never sent twice");
    let found = ocean.find(tag(1, 1).operation).await.unwrap();
    assert_eq!(found.len(), machines, "the probe finds what was made");
    let keeps_key = matches!(expected, ProviderError::Ambiguous(_));
    assert_eq!(cloud.ssh_keys().len(), usize::from(keeps_key));
}

#[tokio::test]
async fn a_create_without_an_answer_is_ambiguous_and_found() {
    injected("F100");
    check_create(Disturbance::DropAfter, NO_ANSWER, 1).await;
    check_create(Disturbance::SilenceAfter, NO_ANSWER, 1).await;
    check_create(Disturbance::DropBefore, NO_ANSWER, 0).await;
    check_create(Disturbance::SilenceBefore, NO_ANSWER, 0).await;
    let unreadable = ProviderError::Ambiguous(Ambiguity::Unreadable);
    check_create(Disturbance::HalfAfter, unreadable.clone(), 1).await;
    check_create(Disturbance::Text("{}".to_owned()), unreadable, 1).await;
}

#[tokio::test]
async fn a_failure_of_the_vendor_is_ambiguous_whatever_it_did() {
    injected("F101");
    let text = || "Unexpected server-side error".to_owned();
    let after = |status| Disturbance::FailAfter {
        status,
        text: text(),
    };
    let before = |status| Disturbance::FailBefore {
        status,
        text: text(),
    };
    check_create(after(500), failed(500), 1).await;
    check_create(after(503), failed(503), 1).await;
    check_create(before(500), failed(500), 0).await;
    check_create(before(408), failed(408), 0).await;
    check_create(Disturbance::PageAfter, failed(502), 1).await;
    check_create(Disturbance::PageBefore, failed(502), 0).await;
}

#[tokio::test]
async fn a_refusal_is_certain() {
    let refused = |status, text: &str| Disturbance::FailBefore {
        status,
        text: text.to_owned(),
    };
    let reason = "request payload validation failed";
    let rejected = ProviderError::Rejected {
        reason: reason.to_owned(),
    };
    check_create(refused(422, reason), rejected, 0).await;
    check_create(
        refused(401, "Unable to authenticate you"),
        ProviderError::Unauthorized,
        0,
    )
    .await;
    check_create(
        refused(403, "You are not authorized"),
        ProviderError::Unauthorized,
        0,
    )
    .await;
    let throttled = |retry_after| ProviderError::Throttled { retry_after };
    let throttle = Disturbance::Throttle { retry_after: None };
    check_create(throttle, throttled(None), 0).await;
}

#[tokio::test]
async fn what_cannot_be_had_is_told_from_what_is_wrong() {
    injected("F104");
    let (cloud, ocean) = start().await;
    let refusal = async |ocean: &DigitalOcean| ocean.create(&order(1, 1)).await.unwrap_err();
    cloud.set_limit(0);
    let error = refusal(&ocean).await;
    assert!(matches!(&error, ProviderError::NoCapacity { reason } if reason.contains("limit")));
    cloud.set_limit(10);
    cloud.sell_out("s-1vcpu-1gb", Some("nyc3"));
    assert!(matches!(
        refusal(&ocean).await,
        ProviderError::NoCapacity { .. }
    ));
    let mut unknown = order(1, 1);
    unknown.machine.plan = PlanId::parse("do:s-1vcpu-0gb").unwrap();
    let error = ocean.create(&unknown).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::NoCapacity { .. }),
        "{error:?}"
    );
    assert!(cloud.created().is_empty());
}

/// The vendor asks for silence, and gets it from every call of this process.
#[tokio::test]
async fn after_a_429_nothing_is_sent_before_the_time_it_names() {
    injected("F106");
    let (cloud, ocean) = start().await;
    let throttle = Disturbance::Throttle {
        retry_after: Some(3_600),
    };
    cloud.wire().disturb(creates(), throttle);
    let minute = Duration::from_secs(60);
    let error = ocean.create(&order(1, 1)).await.unwrap_err();
    let retry_after = Some(minute);
    assert_eq!(error, ProviderError::Throttled { retry_after });
    let sent = cloud.wire().exchanges().len();
    for error in [
        ocean.create(&order(1, 1)).await.unwrap_err(),
        ocean.list().await.unwrap_err(),
        ocean.catalog().await.unwrap_err(),
    ] {
        let ProviderError::Throttled {
            retry_after: Some(wait),
        } = error
        else {
            panic!("{error:?}")
        };
        assert!(wait <= minute && wait > Duration::from_secs(30), "{wait:?}");
    }
    assert_eq!(cloud.wire().exchanges().len(), sent, "nothing was sent");
}

#[tokio::test]
async fn polls_leave_room_for_deletes() {
    let (cloud, _) = start().await;
    let mut config = config(&cloud.url(), "test-token", "prod");
    config.allowance.burst = 12;
    config.allowance.every = Duration::from_secs(3_600);
    let ocean = DigitalOcean::new(&config).unwrap();
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    let mut looks = 0;
    while ocean.observe(&machine).await.is_ok() {
        looks += 1;
    }
    assert!(looks >= 5, "{looks}");
    ocean.destroy(&machine).await.unwrap();
    assert!(cloud.droplets().is_empty());
}

#[tokio::test]
async fn a_vendor_that_is_away_is_unreachable() {
    let (cloud, _) = start().await;
    let url = cloud.url();
    drop(cloud);
    let ocean = connect(&url, "test-token", "prod");
    let error = ocean.create(&order(1, 1)).await.unwrap_err();
    assert_eq!(error, ProviderError::Unreachable);
    assert_eq!(
        ocean.catalog().await.unwrap_err(),
        ProviderError::Unreachable
    );
}

#[tokio::test]
async fn a_revoked_token_is_unauthorized_everywhere_and_nothing_is_gone() {
    injected("F105");
    let (cloud, ocean) = start().await;
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    cloud.revoke_token();
    let denied = ProviderError::Unauthorized;
    assert_eq!(ocean.observe(&machine).await.unwrap_err(), denied);
    assert_eq!(ocean.list().await.unwrap_err(), denied);
    assert_eq!(ocean.find(tag(1, 1).operation).await.unwrap_err(), denied);
    assert_eq!(ocean.destroy(&machine).await.unwrap_err(), denied);
    assert_eq!(ocean.catalog().await.unwrap_err(), denied);
    assert_eq!(cloud.droplets().len(), 1);
}

#[tokio::test]
async fn a_refused_delete_can_be_repeated() {
    injected("F109");
    let habits = Habits {
        refuses_early_delete: true,
        boot_looks: 3,
        ..Habits::default()
    };
    let (cloud, ocean) = start_with(habits).await;
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    let error = ocean.destroy(&machine).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(5));
    assert_eq!(error, ProviderError::Throttled { retry_after });
    let text = "Unexpected server-side error".to_owned();
    let failure = Disturbance::FailBefore { status: 500, text };
    cloud.wire().disturb(deletes(), failure);
    assert_eq!(ocean.destroy(&machine).await.unwrap_err(), failed(500));
    cloud.wire().disturb(deletes(), Disturbance::DropAfter);
    assert_eq!(ocean.destroy(&machine).await.unwrap_err(), NO_ANSWER);
    ocean.destroy(&machine).await.unwrap();
    assert!(cloud.droplets().is_empty());
}

/// The answer to the look before a delete says nothing about the delete.
#[tokio::test]
async fn a_delete_does_not_need_to_read_the_machine() {
    let (cloud, ocean) = start().await;
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    let looks = Call::new("GET", "/v2/droplets/{}");
    cloud.wire().disturb(looks, Disturbance::PageBefore);
    ocean.destroy(&machine).await.unwrap();
    assert!(cloud.droplets().is_empty());
}

#[tokio::test]
async fn a_deleted_machine_that_lists_still_show_is_found() {
    injected("F110");
    let habits = Habits {
        ghost_lists: 4,
        ..Habits::default()
    };
    let (_cloud, ocean) = start_with(habits).await;
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    ocean.destroy(&machine).await.unwrap();
    let operation = tag(1, 1).operation;
    assert_eq!(
        ocean.find(operation).await.unwrap().len(),
        1,
        "not gone yet"
    );
    ocean.find(operation).await.unwrap();
    assert_eq!(ocean.find(operation).await.unwrap(), []);
}

#[tokio::test]
async fn a_placement_that_fails_later_leaves_nothing() {
    injected("F102");
    let (cloud, ocean) = start().await;
    cloud.fail_next_placement();
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    let seen = ocean.observe(&machine).await.unwrap();
    assert_eq!(seen.state, MachineState::Gone);
    assert_eq!(ocean.find(tag(1, 1).operation).await.unwrap(), []);
    assert_eq!(ocean.destroy(&machine).await, Ok(()));
    assert!(cloud.ssh_keys().is_empty());
    assert!(!cloud.tags().iter().any(|tag| tag.starts_with("x402-op:")));
}

#[tokio::test]
async fn two_machines_of_one_attempt_are_both_found_oldest_first() {
    injected("F103");
    let (cloud, ocean) = start().await;
    ocean.create(&order(1, 1)).await.unwrap();
    ocean.create(&order(1, 1)).await.unwrap();
    let found = ocean.find(tag(1, 1).operation).await.unwrap();
    let found: Vec<String> = found.iter().map(|it| it.machine.to_string()).collect();
    let made: Vec<String> = cloud.created().iter().map(u64::to_string).collect();
    assert_eq!(found, made);
    // The tag goes with the last of them.
    for (left, id) in found.iter().enumerate() {
        let machine = compute_domain::catalog::ProviderInstanceId::parse(id).unwrap();
        ocean.destroy(&machine).await.unwrap();
        let has_tag = cloud.tags().iter().any(|tag| tag.starts_with("x402-op:"));
        assert_eq!(has_tag, left == 0);
    }
}

#[tokio::test]
async fn unknown_states_conclude_nothing() {
    injected("F120");
    let (mut cloud, ocean) = start().await;
    // The document knows only the vendor's present states.
    cloud.expected = "migrating";
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    let id = cloud.droplets()[0];
    for (status, is_locked, expected) in [
        ("active", true, MachineState::Busy),
        ("off", false, MachineState::Stopped),
        ("archive", false, MachineState::Suspended),
        ("migrating", false, MachineState::Unclear),
    ] {
        cloud.set_status(id, status, is_locked);
        let seen = ocean.observe(&machine).await.unwrap().state;
        assert_eq!(seen, expected, "{status}");
    }
}

#[tokio::test]
async fn a_machine_deleted_at_the_panel_is_gone() {
    injected("F112");
    let (cloud, ocean) = start().await;
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    cloud.remove(cloud.droplets()[0]);
    assert_eq!(
        ocean.observe(&machine).await.unwrap().state,
        MachineState::Gone
    );
    assert_eq!(ocean.list().await.unwrap(), []);
    // Its end removes what it has left, which can be read nowhere any more.
    assert_eq!(ocean.destroy(&machine).await, Ok(()));
    assert!(cloud.ssh_keys().is_empty());
    let deleted = cloud.journal();
    assert!(!deleted.iter().any(|it| matches!(it, Event::Deleted { .. })));
}
