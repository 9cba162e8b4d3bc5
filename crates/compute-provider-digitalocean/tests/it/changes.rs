//! Another size, the switch and the account, on a wire that loses and garbles.

use compute_domain::catalog::{Plan, PlanId, ProviderInstanceId, RegionId};
use compute_engine::ports::{
    AccountState, ActionId, ActionState, Ambiguity, MachineState, Power, Provider, ProviderError,
    ResizeCheck,
};
use compute_provider_digitalocean::DigitalOcean;
use compute_testkit::faults_log::injected;
use compute_vendor_double::digitalocean::{Event, Habits};
use compute_vendor_double::wire::{Call, Disturbance};
use serde_json::{Value, json};

use crate::{Cloud, config, connect, gpu_order, order, start, start_with};

const SMALL: &str = "do:s-1vcpu-1gb";
const LARGER: &str = "do:s-2vcpu-4gb";

const NO_ANSWER: ProviderError = ProviderError::Ambiguous(Ambiguity::NoAnswer);
const UNREADABLE: ProviderError = ProviderError::Ambiguous(Ambiguity::Unreadable);

const fn failed(status: u16) -> ProviderError {
    ProviderError::Ambiguous(Ambiguity::ServerError(status))
}

fn actions() -> Call {
    Call::new("POST", "/v2/droplets/{}/actions")
}

fn actions_sent(cloud: &Cloud) -> usize {
    cloud.wire().count("POST", "/v2/droplets/{}/actions")
}

fn plan_id(id: &str) -> PlanId {
    PlanId::parse(id).unwrap()
}

fn number(machine: &ProviderInstanceId) -> u64 {
    machine.as_str().parse().unwrap()
}

async fn plan(ocean: &DigitalOcean, id: &str) -> Plan {
    let catalog = ocean.catalog().await.unwrap();
    let plan = catalog
        .plans
        .into_iter()
        .find(|plan| plan.id == plan_id(id));
    plan.unwrap()
}

async fn wait_for(ocean: &DigitalOcean, machine: &ProviderInstanceId, state: MachineState) {
    while ocean.observe(machine).await.unwrap().state != state {}
}

/// A machine that runs.
async fn machine(ocean: &DigitalOcean) -> ProviderInstanceId {
    let machine = ocean.create(&order(1, 1)).await.unwrap().machine;
    wait_for(ocean, &machine, MachineState::Ready).await;
    machine
}

/// One that is off.
async fn machine_off(ocean: &DigitalOcean) -> ProviderInstanceId {
    let machine = machine(ocean).await;
    ocean.power(&machine, Power::Off).await.unwrap();
    wait_for(ocean, &machine, MachineState::Stopped).await;
    machine
}

async fn outcome(
    ocean: &DigitalOcean,
    machine: &ProviderInstanceId,
    action: &ActionId,
) -> ActionState {
    loop {
        let state = ocean.action(machine, action).await.unwrap();
        if state != ActionState::Running {
            return state;
        }
    }
}

/// The kinds of actions that the vendor began, oldest first.
fn begun(cloud: &Cloud, machine: &ProviderInstanceId) -> Vec<String> {
    let history = cloud.history(number(machine)).into_iter();
    let kinds = history.filter_map(|event| match event {
        Event::ActionBegun { kind, .. } => Some(kind),
        _ => None,
    });
    kinds.collect()
}

fn disturbances() -> Vec<(Disturbance, ProviderError, bool)> {
    let text = || "Unexpected server-side error".to_owned();
    let after = |status| Disturbance::FailAfter {
        status,
        text: text(),
    };
    let before = |status| Disturbance::FailBefore {
        status,
        text: text(),
    };
    vec![
        (Disturbance::DropBefore, NO_ANSWER, false),
        (Disturbance::DropAfter, NO_ANSWER, true),
        (Disturbance::HalfAfter, UNREADABLE, true),
        (Disturbance::Text("{}".to_owned()), UNREADABLE, true),
        (before(500), failed(500), false),
        (after(500), failed(500), true),
        (after(503), failed(503), true),
        (before(408), failed(408), false),
        (Disturbance::PageBefore, failed(502), false),
        (Disturbance::PageAfter, failed(502), true),
        (
            Disturbance::Throttle { retry_after: None },
            ProviderError::Throttled { retry_after: None },
            false,
        ),
        (before(403), ProviderError::Unauthorized, false),
    ]
}

#[tokio::test]
async fn what_a_machine_can_become_is_told_before_anything_moves() {
    injected("F117");
    let (cloud, ocean) = start().await;
    let machine = machine(&ocean).await;
    let check = async |id: &str| {
        let plan = plan(&ocean, id).await;
        ocean.check_resize(&machine, &plan).await.unwrap()
    };
    let possible = |grows_disk| ResizeCheck::Possible { grows_disk };
    assert_eq!(check(LARGER).await, possible(true));
    assert_eq!(check(SMALL).await, possible(false));
    assert_eq!(check("do:s-2vcpu-4gb-amd").await, ResizeCheck::OtherFamily);
    assert_eq!(check(crate::GPU).await, ResizeCheck::Never);
    let mut elsewhere = plan(&ocean, LARGER).await;
    let here = RegionId::parse("nyc3").unwrap();
    elsewhere.locations.retain(|region| *region != here);
    let check_elsewhere = ocean.check_resize(&machine, &elsewhere).await;
    assert_eq!(check_elsewhere, Ok(ResizeCheck::OtherFamily));
    assert_eq!(actions_sent(&cloud), 0);

    let gpu = ocean.create(&gpu_order(2)).await.unwrap().machine;
    wait_for(&ocean, &gpu, MachineState::Ready).await;
    let to = plan(&ocean, LARGER).await;
    let never = ocean.check_resize(&gpu, &to).await;
    assert_eq!(never, Ok(ResizeCheck::Never));
    let looks = Call::new("GET", "/v2/droplets/{}");
    cloud.wire().disturb(looks, Disturbance::PageBefore);
    let error = ocean.check_resize(&machine, &to).await.unwrap_err();
    assert_eq!(error, failed(502));
}

/// A disk that has grown stays, and what has a smaller one is out of reach.
#[tokio::test]
async fn a_disk_grows_for_good_and_only_when_asked() {
    let (cloud, ocean) = start().await;
    let machine = machine_off(&ocean).await;
    let id = number(&machine);
    for (to, grows, disk) in [
        (LARGER, false, 25),
        ("do:s-1vcpu-2gb", true, 50),
        ("do:s-2vcpu-2gb", true, 60),
        (LARGER, false, 60),
    ] {
        let action = ocean.resize(&machine, &plan_id(to), grows).await.unwrap();
        let sent = cloud.wire().exchanges().pop().unwrap();
        let slug = to.strip_prefix("do:").unwrap();
        let body = json!({ "type": "resize", "size": slug, "disk": grows });
        assert_eq!(sent.body, Some(body));
        let early = ocean.observe(&machine).await.unwrap();
        assert_eq!(early.state, MachineState::Busy, "off and locked");
        let state = outcome(&ocean, &machine, &action.unwrap()).await;
        assert_eq!(state, ActionState::Done);
        let seen = ocean.observe(&machine).await.unwrap();
        assert_eq!(seen.plan, Some(plan_id(to)));
        assert_eq!(seen.state, MachineState::Stopped, "it stays off");
        assert_eq!(cloud.size_of(id), Some((slug.to_owned(), disk)));
    }
    let small = plan(&ocean, "do:s-1vcpu-2gb").await;
    let check = ocean.check_resize(&machine, &small).await;
    assert_eq!(check, Ok(ResizeCheck::Smaller));
    let error = ocean.resize(&machine, &small.id, false).await.unwrap_err();
    assert!(
        matches!(&error, ProviderError::Rejected { reason } if reason.contains("smaller disk")),
        "{error:?}"
    );
    ocean.power(&machine, Power::On).await.unwrap();
    wait_for(&ocean, &machine, MachineState::Ready).await;
    assert!(cloud.is_on(id));
}

#[tokio::test]
async fn a_change_is_sent_once_and_an_unclear_one_is_ambiguous() {
    injected("F118");
    for (disturbance, expected, happens) in disturbances() {
        let (cloud, ocean) = start().await;
        let machine = machine_off(&ocean).await;
        let sent = actions_sent(&cloud);
        cloud.wire().disturb(actions(), disturbance.clone());
        let error = ocean.resize(&machine, &plan_id(LARGER), true).await;
        assert_eq!(error.unwrap_err(), expected, "{disturbance:?}");
        assert_eq!(actions_sent(&cloud), sent + 1, "{disturbance:?}");
        let mut expected = vec!["power_off"];
        expected.extend(happens.then_some("resize"));
        assert_eq!(begun(&cloud, &machine), expected, "{disturbance:?}");
        // What the vendor shows decides; asked for again, it happens once.
        let again = connect(&cloud.url(), "test-token", "prod");
        wait_for(&again, &machine, MachineState::Stopped).await;
        let plan = again.observe(&machine).await.unwrap().plan;
        assert_eq!(plan == Some(plan_id(LARGER)), happens);
        let outcome = again.resize(&machine, &plan_id(LARGER), true).await;
        assert_eq!(outcome.is_ok(), !happens, "{outcome:?}");
        wait_for(&again, &machine, MachineState::Stopped).await;
        let resizes = begun(&cloud, &machine);
        assert_eq!(resizes, ["power_off", "resize"], "{disturbance:?}");
    }
}

#[tokio::test]
async fn a_change_whose_answer_never_comes_is_ambiguous() {
    injected("F118");
    let (cloud, ocean) = start().await;
    let machine = machine_off(&ocean).await;
    cloud.wire().disturb(actions(), Disturbance::SilenceAfter);
    let error = ocean.resize(&machine, &plan_id(LARGER), true).await;
    assert_eq!(error.unwrap_err(), NO_ANSWER);
    assert_eq!(begun(&cloud, &machine), ["power_off", "resize"]);
}

#[tokio::test]
async fn a_refused_change_is_certain_and_changes_nothing() {
    injected("F117");
    let (cloud, ocean) = start().await;
    let machine = machine(&ocean).await;
    let resize = async |id: &str| {
        let outcome = ocean.resize(&machine, &plan_id(id), true).await;
        outcome.unwrap_err()
    };
    let error = resize(LARGER).await;
    assert!(
        matches!(&error, ProviderError::Rejected { reason } if reason.contains("must be off")),
        "{error:?}"
    );
    ocean.power(&machine, Power::Off).await.unwrap();
    let error = resize(LARGER).await;
    assert!(
        matches!(error, ProviderError::Throttled { .. }),
        "a pending event: {error:?}"
    );
    wait_for(&ocean, &machine, MachineState::Stopped).await;
    for unknown in ["do:s-no-such", "vc2-1c-1gb"] {
        let error = resize(unknown).await;
        assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    }
    cloud.fill_hosts("s-2vcpu-4gb");
    cloud.sell_out("s-1vcpu-2gb", Some("nyc3"));
    for full in [LARGER, "do:s-1vcpu-2gb"] {
        let error = resize(full).await;
        assert!(
            matches!(error, ProviderError::NoCapacity { .. }),
            "{error:?}"
        );
    }
    assert_eq!(begun(&cloud, &machine), ["power_off"]);
    let seen = ocean.observe(&machine).await.unwrap();
    assert_eq!(seen.plan, Some(plan_id(SMALL)));
}

#[tokio::test]
async fn an_errored_action_leaves_the_size() {
    injected("F117");
    let (cloud, ocean) = start().await;
    let machine = machine_off(&ocean).await;
    cloud.fail_next_action("resize");
    let action = ocean.resize(&machine, &plan_id(LARGER), true).await;
    let state = outcome(&ocean, &machine, &action.unwrap().unwrap()).await;
    assert_eq!(state, ActionState::Failed);
    let seen = ocean.observe(&machine).await.unwrap();
    assert_eq!(seen.plan, Some(plan_id(SMALL)));
    assert_eq!(seen.state, MachineState::Stopped, "it must be switched on");
    ocean.power(&machine, Power::On).await.unwrap();
    wait_for(&ocean, &machine, MachineState::Ready).await;
}

#[tokio::test]
async fn an_action_is_told_from_trouble_with_it() {
    let (cloud, ocean) = start().await;
    let machine = machine_off(&ocean).await;
    let action = ocean.resize(&machine, &plan_id(LARGER), true).await;
    let action = action.unwrap().unwrap();
    let id: u64 = action.0.parse().unwrap();
    let read = || Call::new("GET", "/v2/actions/{}");
    let says = |resource: Value, status: &str| {
        let action = json!({ "id": id, "resource_id": resource, "status": status });
        Disturbance::Text(json!({ "action": action }).to_string())
    };
    let own = || json!(number(&machine));
    for (disturbance, expected) in [
        (Disturbance::PageBefore, Err(failed(502))),
        (Disturbance::DropBefore, Err(NO_ANSWER)),
        (says(json!(1), "completed"), Err(UNREADABLE)),
        (says(own(), "completed"), Ok(ActionState::Done)),
        (says(json!(null), "errored"), Ok(ActionState::Failed)),
        (says(own(), "in-progress"), Ok(ActionState::Running)),
        (says(own(), "new-word"), Ok(ActionState::Running)),
    ] {
        cloud.wire().disturb(read(), disturbance.clone());
        let state = ocean.action(&machine, &action).await;
        assert_eq!(state, expected, "{disturbance:?}");
    }
    let sent = cloud.wire().exchanges().len();
    let strange = ActionId("../account".to_owned());
    let state = ocean.action(&machine, &strange).await;
    assert_eq!(state, Ok(ActionState::Running));
    assert_eq!(cloud.wire().exchanges().len(), sent, "never asked for");
}

#[tokio::test]
async fn a_lost_answer_of_the_switch_is_ambiguous_and_it_can_be_used_again() {
    injected("F118");
    for power in [Power::Off, Power::On] {
        for (disturbance, expected, happens) in disturbances() {
            let (cloud, ocean) = start().await;
            let (machine, state) = match power {
                Power::On => (machine_off(&ocean).await, MachineState::Ready),
                _ => (machine(&ocean).await, MachineState::Stopped),
            };
            let before = begun(&cloud, &machine).len();
            cloud.wire().disturb(actions(), disturbance.clone());
            let error = ocean.power(&machine, power).await.unwrap_err();
            assert_eq!(error, expected, "{power:?} {disturbance:?}");
            let after = begun(&cloud, &machine).len();
            assert_eq!(after - before, usize::from(happens), "{disturbance:?}");
            // Until the first is over the vendor takes no other; then the machine is as wished.
            let again = connect(&cloud.url(), "test-token", "prod");
            let repeated = again.power(&machine, power).await;
            let is_busy = matches!(repeated, Err(ProviderError::Throttled { .. }));
            assert!(is_busy == happens && (is_busy || repeated.is_ok()));
            wait_for(&again, &machine, state).await;
            assert_eq!(again.power(&machine, power).await, Ok(()));
            assert_eq!(cloud.is_on(number(&machine)), power == Power::On);
            assert_eq!(begun(&cloud, &machine).len(), before + 1);
        }
    }
}

#[tokio::test]
async fn a_restart_asks_the_system_and_leaves_a_machine_on() {
    let (cloud, ocean) = start().await;
    let machine = machine(&ocean).await;
    ocean.power(&machine, Power::Cycle).await.unwrap();
    assert_eq!(begun(&cloud, &machine), ["reboot"]);
    wait_for(&ocean, &machine, MachineState::Ready).await;
    ocean.power(&machine, Power::Off).await.unwrap();
    wait_for(&ocean, &machine, MachineState::Stopped).await;
    let error = ocean.power(&machine, Power::Cycle).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
}

/// As a copy of a database in another installation would ask for.
#[tokio::test]
async fn a_machine_of_another_installation_is_not_touched() {
    injected("F125");
    let (cloud, ocean) = start().await;
    let machine = machine(&ocean).await;
    let neighbour = connect(&cloud.url(), "test-token", "dev");
    let outcome = neighbour.resize(&machine, &plan_id(LARGER), false).await;
    assert!(matches!(outcome, Err(ProviderError::Rejected { .. })));
    for power in [Power::Off, Power::Cycle, Power::On] {
        let outcome = neighbour.power(&machine, power).await;
        assert!(matches!(outcome, Err(ProviderError::Rejected { .. })));
    }
    assert_eq!(actions_sent(&cloud), 0);
    // A look that fails keeps no machine of ours off, and one look is enough.
    let ours = connect(&cloud.url(), "test-token", "prod");
    let looks = || Call::new("GET", "/v2/droplets/{}");
    cloud.wire().disturb(looks(), Disturbance::PageBefore);
    ours.power(&machine, Power::Off).await.unwrap();
    wait_for(&ours, &machine, MachineState::Stopped).await;
    let sent = cloud.wire().count("GET", "/v2/droplets/{}");
    ours.power(&machine, Power::On).await.unwrap();
    assert_eq!(cloud.wire().count("GET", "/v2/droplets/{}"), sent);
}

/// Polls must not use up what a machine needs to be switched on again.
#[tokio::test]
async fn polls_leave_room_to_switch_a_machine_on() {
    let (cloud, ocean) = start().await;
    let machine = machine_off(&ocean).await;
    let mut config = config(&cloud.url(), "test-token", "prod");
    config.allowance.burst = 12;
    config.allowance.every = std::time::Duration::from_secs(3_600);
    let ocean = DigitalOcean::new(&config).unwrap();
    while ocean.observe(&machine).await.is_ok() {}
    assert!(ocean.power(&machine, Power::Off).await.is_err());
    ocean.power(&machine, Power::On).await.unwrap();
    assert_eq!(begun(&cloud, &machine), ["power_off", "power_on"]);
}

#[tokio::test]
async fn a_machine_under_work_that_is_off_is_busy() {
    let (cloud, ocean) = start().await;
    let machine = machine(&ocean).await;
    for (is_locked, expected) in [(true, MachineState::Busy), (false, MachineState::Stopped)] {
        cloud.set_status(number(&machine), "off", is_locked);
        let seen = ocean.observe(&machine).await.unwrap();
        assert_eq!(seen.state, expected);
    }
    // What is left out of an answer is not known.
    let looks = Call::new("GET", "/v2/droplets/{}");
    let row = json!({ "droplet": { "id": number(&machine), "status": "off" } });
    let row = Disturbance::Text(row.to_string());
    cloud.wire().disturb(looks, row.clone());
    assert_eq!(ocean.observe(&machine).await.unwrap().plan, None);
    let looks = Call::new("GET", "/v2/droplets/{}");
    cloud.wire().disturb(looks, row);
    let to = Plan {
        id: plan_id(LARGER),
        ..plan(&ocean, SMALL).await
    };
    let error = ocean.check_resize(&machine, &to).await.unwrap_err();
    assert_eq!(error, UNREADABLE);
}

/// What cannot be made as it was ordered is not tried.
#[tokio::test]
async fn machines_are_not_set_up_anew() {
    let (cloud, ocean) = start().await;
    let machine = machine(&ocean).await;
    let sent = cloud.wire().exchanges().len();
    assert!(!ocean.reinstalls());
    let error = ocean.reinstall(&machine).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    assert_eq!(cloud.wire().exchanges().len(), sent);
}

#[tokio::test]
async fn the_account_is_that_of_the_team() {
    let (mut cloud, ocean) = start().await;
    let account = ocean.account().await.unwrap();
    let team = "5df3e3004a17e242b7c20ca6c9fc25b701a47ece";
    assert_eq!(account.id.as_deref(), Some(team));
    assert_eq!(account.state, AccountState::Open);
    assert_eq!((account.funds, account.machine_limit), (None, Some(25)));
    // The document knows only the vendor's present words.
    cloud.expected = "on-hold";
    for (status, state) in [
        ("warning", AccountState::Warned),
        ("locked", AccountState::Locked),
        ("on-hold", AccountState::Warned),
    ] {
        cloud.set_account_status(status);
        let account = ocean.account().await.unwrap();
        assert_eq!(account.state, state, "{status}");
    }
    let alone = r#"{"account":{"uuid":"b6fr89","status":"active","email":"a@example.com"}}"#;
    let reads = Call::new("GET", "/v2/account");
    let alone = Disturbance::Text(alone.to_owned());
    cloud.wire().disturb(reads, alone);
    let account = ocean.account().await.unwrap();
    assert_eq!(account.id.as_deref(), Some("b6fr89"));
    assert_eq!(account.machine_limit, None);
    cloud.revoke_token();
    let error = ocean.account().await.unwrap_err();
    assert_eq!(error, ProviderError::Unauthorized);
}

/// The answers to looks count too: with more of them needed nothing is over too early.
#[tokio::test]
async fn nothing_is_over_before_the_vendor_says_so() {
    let habits = Habits {
        action_looks: 4,
        ..Habits::default()
    };
    let (cloud, ocean) = start_with(habits).await;
    let machine = machine_off(&ocean).await;
    let action = ocean.resize(&machine, &plan_id(LARGER), true).await;
    let action = action.unwrap().unwrap();
    let mut states = Vec::new();
    for _ in 0..4 {
        states.push(ocean.action(&machine, &action).await.unwrap());
    }
    let running = ActionState::Running;
    assert_eq!(states, [running, running, running, ActionState::Done]);
    assert_eq!(cloud.size_of(number(&machine)).unwrap().1, 80);
}
