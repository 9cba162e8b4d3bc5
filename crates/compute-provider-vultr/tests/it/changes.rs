//! Another plan, the switch, a new start and the account, on a wire that loses and garbles.

use compute_domain::catalog::{Plan, PlanId, ProviderInstanceId};
use compute_engine::ports::{
    AccountState, ActionId, ActionState, MachineState, Power, Provider, ProviderError, ResizeCheck,
};
use compute_provider_vultr::{Vultr, VultrConfig};
use compute_testkit::faults_log::injected;
use compute_testkit::vultr::{Event, Fault};
use compute_vendor_double::wire::{Call, Disturbance};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::wire::{Line, NO_ANSWER, UNREADABLE, failed, start};
use crate::{connect, order};

const LARGER: &str = "vc2-2c-4gb";

fn changes() -> Call {
    Call::new("PATCH", "/v2/instances/{}")
}

fn plan_id(id: &str) -> PlanId {
    PlanId::parse(id).unwrap()
}

async fn plan(vultr: &Vultr, id: &str) -> Plan {
    let catalog = vultr.catalog().await.unwrap();
    let plan = catalog
        .plans
        .into_iter()
        .find(|plan| plan.id == plan_id(id));
    plan.unwrap()
}

/// A machine that runs.
async fn machine(line: &Line) -> ProviderInstanceId {
    let machine = line.vultr.create(&order(1, 1)).await.unwrap().machine;
    while line.vultr.observe(&machine).await.unwrap().state != MachineState::Ready {}
    machine
}

fn disturbances(text: &str) -> Vec<(Disturbance, ProviderError, bool)> {
    let text = || text.to_owned();
    let after = |status| Disturbance::FailAfter {
        status,
        text: text(),
    };
    let before = |status| Disturbance::FailBefore {
        status,
        text: text(),
    };
    let throttle = |retry_after| Disturbance::Throttle { retry_after };
    vec![
        (Disturbance::DropBefore, NO_ANSWER, false),
        (Disturbance::DropAfter, NO_ANSWER, true),
        (Disturbance::SilenceBefore, NO_ANSWER, false),
        (Disturbance::SilenceAfter, NO_ANSWER, true),
        (before(500), failed(500), false),
        (after(500), failed(500), true),
        (after(503), failed(503), true),
        (before(408), failed(408), false),
        (Disturbance::PageBefore, failed(502), false),
        (Disturbance::PageAfter, failed(502), true),
        (
            throttle(None),
            ProviderError::Throttled { retry_after: None },
            false,
        ),
        (before(401), ProviderError::Unauthorized, false),
    ]
}

#[tokio::test]
async fn the_vendors_list_decides_what_a_machine_can_become() {
    injected("F117");
    let line = start().await;
    let machine = machine(&line).await;
    let check = async |id: &str| {
        let plan = plan(&line.vultr, id).await;
        line.vultr.check_resize(&machine, &plan).await.unwrap()
    };
    assert_eq!(
        check(LARGER).await,
        ResizeCheck::Possible { grows_disk: false }
    );
    // Larger in every way, and of another kind.
    assert_eq!(check("vhf-2c-4gb").await, ResizeCheck::OtherFamily);
    line.double.inject(Fault::ForbidUpgrade {
        plan: LARGER.to_owned(),
    });
    assert_eq!(check(LARGER).await, ResizeCheck::OtherFamily);
    line.double.clear_faults();
    let action = line.vultr.resize(&machine, &plan_id(LARGER), false).await;
    finish(&line, &machine, &action.unwrap().unwrap()).await;
    while line.vultr.observe(&machine).await.unwrap().plan != Some(plan_id(LARGER)) {}
    assert_eq!(check("vc2-1c-1gb").await, ResizeCheck::Smaller);
    assert_eq!(line.wire.count("PATCH", "/v2/instances/{}"), 1);
}

async fn finish(line: &Line, machine: &ProviderInstanceId, action: &ActionId) {
    let mut state = ActionState::Running;
    while state == ActionState::Running {
        state = line.vultr.action(machine, action).await.unwrap();
    }
    assert_eq!(state, ActionState::Done);
}

/// The machine is shown with its old plan for a while, and what is shown is what is told.
#[tokio::test]
async fn a_change_sends_the_plan_alone_and_is_over_when_its_job_is() {
    let line = start().await;
    let machine = machine(&line).await;
    let to = plan_id(LARGER);
    let action = line.vultr.resize(&machine, &to, false).await.unwrap();
    let action = action.unwrap();
    let sent = line.wire.exchanges().pop().unwrap();
    assert_eq!(sent.body, Some(json!({ "plan": LARGER })));

    let early = line.vultr.observe(&machine).await.unwrap();
    assert_eq!(early.state, MachineState::Busy);
    assert_eq!(early.plan, Some(plan_id("vc2-1c-1gb")));
    finish(&line, &machine, &action).await;
    let late = line.vultr.observe(&machine).await.unwrap();
    assert_eq!(late.plan, Some(plan_id("vc2-1c-1gb")), "shown late");
    let seen = line.vultr.observe(&machine).await.unwrap();
    assert_eq!((seen.plan, seen.state), (Some(to), MachineState::Ready));
    let id = machine.as_str();
    assert_eq!(line.double.plan_of(id).as_deref(), Some(LARGER));
    assert!(line.double.is_on(id));
}

#[tokio::test]
async fn a_change_is_sent_once_and_an_unclear_one_is_ambiguous() {
    injected("F118");
    let mut cases = disturbances("Internal error.");
    cases.push((Disturbance::HalfAfter, UNREADABLE, true));
    cases.push((Disturbance::Text("{}".to_owned()), UNREADABLE, true));
    let other = json!({ "instance": { "id": "4f0f12e5-1f84-404f-aa84-85f431ea5ec2" } });
    cases.push((Disturbance::Text(other.to_string()), UNREADABLE, true));
    for (disturbance, expected, happens) in cases {
        let line = start().await;
        let machine = machine(&line).await;
        line.wire.disturb(changes(), disturbance.clone());
        let error = line.vultr.resize(&machine, &plan_id(LARGER), false).await;
        assert_eq!(error.unwrap_err(), expected, "{disturbance:?}");
        assert_eq!(line.wire.count("PATCH", "/v2/instances/{}"), 1);
        let mut accepted = line.double.history(machine.as_str());
        accepted.retain(|event| matches!(event, Event::ResizeAccepted { .. }));
        assert_eq!(accepted.len(), usize::from(happens), "{disturbance:?}");
        // Asked for again, it happens once.
        let again = connect(&line.double.api_url(), "test-key", "prod");
        let action = again.resize(&machine, &plan_id(LARGER), false).await;
        let action = action.unwrap().unwrap();
        finish(&line, &machine, &action).await;
        let mut changed = line.double.history(machine.as_str());
        changed.retain(|event| matches!(event, Event::PlanChanged { .. }));
        assert_eq!(changed.len(), 1, "{disturbance:?}");
    }
}

#[tokio::test]
async fn a_refused_change_is_certain_and_changes_nothing() {
    injected("F117");
    let line = start().await;
    let machine = machine(&line).await;
    let resize = async |id: &str| {
        let outcome = line.vultr.resize(&machine, &plan_id(id), false).await;
        outcome.unwrap_err()
    };
    for other in ["vhf-2c-4gb", "vc2-no-such"] {
        let error = resize(other).await;
        assert!(
            matches!(&error, ProviderError::Rejected { reason } if reason == "Invalid plan chosen."),
            "{error:?}"
        );
    }
    line.double.inject(Fault::OutOfStock {
        plan: LARGER.to_owned(),
        region: None,
    });
    let error = resize(LARGER).await;
    assert!(
        matches!(error, ProviderError::NoCapacity { .. }),
        "{error:?}"
    );
    let text = "Server is currently locked".to_owned();
    let locked = Disturbance::FailBefore { status: 400, text };
    line.wire.disturb(changes(), locked);
    let error = resize(LARGER).await;
    assert!(
        matches!(error, ProviderError::Throttled { .. }),
        "{error:?}"
    );
    let seen = line.vultr.observe(&machine).await.unwrap();
    assert_eq!(seen.plan, Some(plan_id("vc2-1c-1gb")));
    assert_eq!(seen.state, MachineState::Ready);
}

#[tokio::test]
async fn a_job_that_fails_leaves_the_plan() {
    injected("F117");
    let line = start().await;
    let machine = machine(&line).await;
    line.double.inject(Fault::FailResize);
    let action = line.vultr.resize(&machine, &plan_id(LARGER), false).await;
    let action = action.unwrap().unwrap();
    let mut states = Vec::new();
    while states.last() != Some(&ActionState::Failed) {
        assert!(states.len() < 10, "{states:?}");
        states.push(line.vultr.action(&machine, &action).await.unwrap());
    }
    while line.vultr.observe(&machine).await.unwrap().state != MachineState::Ready {}
    let seen = line.vultr.observe(&machine).await.unwrap();
    assert_eq!(seen.plan, Some(plan_id("vc2-1c-1gb")));
    assert!(line.double.is_on(machine.as_str()));
}

/// A job is only a job of the machine that it is said to be of, and trouble is not an end.
#[tokio::test]
async fn a_job_is_told_from_trouble_with_it() {
    let line = start().await;
    let machine = machine(&line).await;
    let action = line.vultr.resize(&machine, &plan_id(LARGER), false).await;
    let action = action.unwrap().unwrap();
    let jobs = || Call::new("GET", "/v2/instances/jobs/{}");
    let job = |vps: &str, state: &str| {
        let job = json!({ "job": { "id": action.0, "vps_id": vps, "state": state } });
        Disturbance::Text(job.to_string())
    };
    line.wire.disturb(jobs(), Disturbance::PageBefore);
    let error = line.vultr.action(&machine, &action).await.unwrap_err();
    assert_eq!(error, failed(502));
    line.wire.disturb(jobs(), job("another", "success"));
    let error = line.vultr.action(&machine, &action).await.unwrap_err();
    assert_eq!(error, UNREADABLE);
    line.wire.disturb(jobs(), job(machine.as_str(), "waiting"));
    let state = line.vultr.action(&machine, &action).await.unwrap();
    assert_eq!(state, ActionState::Running);
    line.wire.disturb(jobs(), job(machine.as_str(), "errored"));
    let state = line.vultr.action(&machine, &action).await.unwrap();
    assert_eq!(state, ActionState::Failed);
    let strange = ActionId("../../account".to_owned());
    let state = line.vultr.action(&machine, &strange).await.unwrap();
    assert_eq!(state, ActionState::Running, "no path of the API");
}

#[tokio::test]
async fn a_lost_answer_of_the_switch_is_ambiguous_and_it_can_be_used_again() {
    injected("F118");
    for (power, deed, state) in [
        (Power::Off, "halt", MachineState::Stopped),
        (Power::On, "start", MachineState::Ready),
        (Power::Cycle, "reboot", MachineState::Ready),
    ] {
        for (disturbance, expected, happens) in disturbances("Internal error.") {
            // Silence takes the whole time-out, and once is enough.
            if matches!(
                disturbance,
                Disturbance::SilenceBefore | Disturbance::SilenceAfter
            ) {
                continue;
            }
            let line = start().await;
            let machine = machine(&line).await;
            let call = Call::new("POST", &format!("/v2/instances/{{}}/{deed}"));
            line.wire.disturb(call, disturbance.clone());
            let error = line.vultr.power(&machine, power).await.unwrap_err();
            assert_eq!(error, expected, "{power:?} {disturbance:?}");
            let used = |line: &Line| {
                let mut events = line.double.history(machine.as_str());
                events.retain(|event| matches!(event, Event::Powered { .. }));
                events.len()
            };
            assert_eq!(
                used(&line),
                usize::from(happens),
                "{power:?} {disturbance:?}"
            );
            let again = connect(&line.double.api_url(), "test-key", "prod");
            again.power(&machine, power).await.unwrap();
            assert_eq!(line.double.is_on(machine.as_str()), power != Power::Off);
            let mut seen = again.observe(&machine).await.unwrap();
            while seen.state != state {
                seen = again.observe(&machine).await.unwrap();
            }
        }
    }
}

/// Polls must not use up what a machine needs to be switched on again.
#[tokio::test]
async fn polls_leave_room_to_switch_a_machine_on() {
    let line = start().await;
    let machine = machine(&line).await;
    line.vultr.power(&machine, Power::Off).await.unwrap();
    let mut config = VultrConfig::new("test-key".into(), "prod");
    config.base_url = line.double.api_url();
    config.allowance.burst = 12;
    config.allowance.every = std::time::Duration::from_secs(3_600);
    let vultr = Vultr::new(&config).unwrap();
    while vultr.observe(&machine).await.is_ok() {}
    assert!(vultr.power(&machine, Power::Off).await.is_err());
    vultr.power(&machine, Power::On).await.unwrap();
    assert!(line.double.is_on(machine.as_str()));
}

#[tokio::test]
async fn a_machine_set_up_anew_has_another_password() {
    let line = start().await;
    let made = line.vultr.create(&order(1, 1)).await.unwrap();
    let (machine, old) = (made.machine, made.root_password.unwrap());
    let new = line.vultr.reinstall(&machine).await.unwrap().unwrap();
    assert_ne!(new.expose_secret(), old.expose_secret());
    let history = line.double.history(machine.as_str());
    let Some(Event::Reinstalled { password, .. }) = history.last() else {
        panic!("{history:?}")
    };
    assert_eq!(new.expose_secret(), password);
    let seen = line.vultr.observe(&machine).await.unwrap();
    assert_eq!(seen.state, MachineState::Starting);
    let seen = line.vultr.observe(&machine).await.unwrap();
    assert_eq!(seen.state, MachineState::Ready);
}

#[tokio::test]
async fn a_lost_answer_of_a_new_start_is_ambiguous() {
    let mut cases = disturbances("Internal error.");
    cases.push((Disturbance::HalfAfter, UNREADABLE, true));
    for (disturbance, expected, happens) in cases {
        let line = start().await;
        let machine = machine(&line).await;
        let call = Call::new("POST", "/v2/instances/{}/reinstall");
        line.wire.disturb(call, disturbance.clone());
        let error = line.vultr.reinstall(&machine).await.unwrap_err();
        assert_eq!(error, expected, "{disturbance:?}");
        assert_eq!(line.wire.count("POST", "/v2/instances/{}/reinstall"), 1);
        let mut events = line.double.history(machine.as_str());
        events.retain(|event| matches!(event, Event::Reinstalled { .. }));
        assert_eq!(events.len(), usize::from(happens), "{disturbance:?}");
    }
}

/// As a copy of a database in another installation would ask for.
#[tokio::test]
async fn a_machine_of_another_installation_is_not_touched() {
    injected("F125");
    let line = start().await;
    let machine = machine(&line).await;
    let neighbour = connect(&line.double.api_url(), "test-key", "dev");
    let outcome = neighbour.resize(&machine, &plan_id(LARGER), false).await;
    assert!(matches!(outcome, Err(ProviderError::Rejected { .. })));
    for power in [Power::Off, Power::Cycle, Power::On] {
        let outcome = neighbour.power(&machine, power).await;
        assert!(matches!(outcome, Err(ProviderError::Rejected { .. })));
    }
    assert_eq!(line.wire.count("PATCH", "/v2/instances/{}"), 0);
    let history = line.double.history(machine.as_str());
    let is_touched = |event: &Event| matches!(event, Event::Powered { .. });
    assert!(!history.iter().any(is_touched), "{history:?}");
    // A look that fails keeps no machine of ours off, and one look is enough.
    let ours = connect(&line.double.api_url(), "test-key", "prod");
    let looks = || Call::new("GET", "/v2/instances/{}");
    line.wire.disturb(looks(), Disturbance::PageBefore);
    ours.power(&machine, Power::Off).await.unwrap();
    ours.power(&machine, Power::On).await.unwrap();
    let sent = line.wire.count("GET", "/v2/instances/{}");
    ours.power(&machine, Power::On).await.unwrap();
    assert_eq!(line.wire.count("GET", "/v2/instances/{}"), sent);
}

/// It erases a disk: whose it is, is asked first, and without an answer nothing is sent.
#[tokio::test]
async fn a_machine_of_another_installation_is_not_set_up_anew() {
    injected("F125");
    let line = start().await;
    let machine = machine(&line).await;
    let neighbour = connect(&line.double.api_url(), "test-key", "dev");
    let error = neighbour.reinstall(&machine).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    let looks = Call::new("GET", "/v2/instances/{}");
    line.wire.disturb(looks, Disturbance::PageBefore);
    let error = line.vultr.reinstall(&machine).await.unwrap_err();
    assert_eq!(error, ProviderError::Unreachable);
    assert_eq!(line.wire.count("POST", "/v2/instances/{}/reinstall"), 0);
}

#[tokio::test]
async fn what_the_account_can_still_spend_is_read_digit_by_digit() {
    let line = start().await;
    let account = line.vultr.account().await.unwrap();
    assert_eq!(account.state, AccountState::Open);
    assert_eq!(account.funds.unwrap().micros(), 40_300_000);
    assert_eq!(account.machine_limit, None);
    line.double.set_account(
        r#"{"account":{"name":"Example Account","email":"admin@example.com","acls":[],
            "balance":-0.30000000000000004,"pending_charges":0.1}}"#,
    );
    let other = line.vultr.account().await.unwrap();
    assert_eq!(other.funds.unwrap().micros(), 200_000);
    assert_eq!(other.id, account.id);
    line.double.inject(Fault::RevokeKey);
    let error = line.vultr.account().await.unwrap_err();
    assert_eq!(error, ProviderError::Unauthorized);
}
