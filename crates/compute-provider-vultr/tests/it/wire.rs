//! The adapter on a wire that loses and garbles, with every exchange compared with the vendor's own
//! description of its API.

use compute_engine::ports::{Ambiguity, MachineState, Provider, ProviderError};
use compute_provider_vultr::Vultr;
use compute_testkit::faults_log::injected;
use compute_testkit::provider_suite::run;
use compute_testkit::vultr::{Event, Handle, Options, spawn_behind};
use compute_vendor_double::contract::Vendor;
use compute_vendor_double::wire::{Call, Disturbance, Wire};

use crate::conformance::{Account, run_changes};
use crate::{connect, order, order_with_key, tag};

pub(crate) struct Line {
    pub(crate) double: Handle,
    pub(crate) wire: Wire,
    pub(crate) vultr: Vultr,
}

pub(crate) async fn start() -> Line {
    let wire = Wire::new(Vendor::Vultr);
    let double = spawn_behind(Options::default(), |router| wire.before(router));
    let double = double.await.unwrap();
    let vultr = connect(&double.api_url(), "test-key", "prod");
    Line {
        double,
        wire,
        vultr,
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.wire.violations(), Vec::<String>::new());
        }
    }
}

impl Line {
    fn made(&self) -> usize {
        let journal = self.double.journal();
        let made = journal.iter();
        made.filter(|event| matches!(event, Event::Created { .. }))
            .count()
    }
}

fn creates() -> Call {
    Call::new("POST", "/v2/instances")
}

fn deletes() -> Call {
    Call::new("DELETE", "/v2/instances/{}")
}

pub(crate) const NO_ANSWER: ProviderError = ProviderError::Ambiguous(Ambiguity::NoAnswer);
pub(crate) const UNREADABLE: ProviderError = ProviderError::Ambiguous(Ambiguity::Unreadable);

pub(crate) const fn failed(status: u16) -> ProviderError {
    ProviderError::Ambiguous(Ambiguity::ServerError(status))
}

#[tokio::test]
async fn everything_it_sends_is_in_the_vendors_document() {
    let Line { double, wire, .. } = &start().await;
    let vultr = connect(&double.api_url(), "test-key", "prod");
    let neighbour = connect(&double.api_url(), "test-key", "dev");
    let account = Account::new(double, vultr, neighbour);
    run(&account).await;
    run_changes(&account).await;
    assert!(wire.count("POST", "/v2/instances") > 5);
}

async fn check_create(disturbance: Disturbance, expected: ProviderError, machines: usize) {
    let line = start().await;
    line.wire.disturb(creates(), disturbance.clone());
    let error = line.vultr.create(&order(1, 1)).await.unwrap_err();
    assert_eq!(error, expected, "{disturbance:?}");
    assert_eq!(line.wire.count("POST", "/v2/instances"), 1);
    let found = line.vultr.find(tag(1, 1).operation).await.unwrap();
    assert_eq!((found.len(), line.made()), (machines, machines));
}

#[tokio::test]
async fn an_unclear_create_is_found_and_a_lost_one_is_not() {
    injected("F100");
    injected("F101");
    let text = || "Internal error.".to_owned();
    let after = |status| Disturbance::FailAfter {
        status,
        text: text(),
    };
    let before = |status| Disturbance::FailBefore {
        status,
        text: text(),
    };
    check_create(Disturbance::DropBefore, NO_ANSWER, 0).await;
    check_create(Disturbance::DropAfter, NO_ANSWER, 1).await;
    check_create(Disturbance::SilenceAfter, NO_ANSWER, 1).await;
    check_create(Disturbance::HalfAfter, UNREADABLE, 1).await;
    check_create(Disturbance::Text("{}".to_owned()), UNREADABLE, 1).await;
    check_create(after(500), failed(500), 1).await;
    check_create(after(503), failed(503), 1).await;
    check_create(before(500), failed(500), 0).await;
    check_create(Disturbance::PageAfter, failed(502), 1).await;
    check_create(Disturbance::PageBefore, failed(502), 0).await;
    let throttle = Disturbance::Throttle { retry_after: None };
    let retry_after = None;
    check_create(throttle, ProviderError::Throttled { retry_after }, 0).await;
}

/// The process that asked for the machine is gone, and so is the machine: whoever has seen it in the list
/// removes its key.
#[tokio::test]
async fn what_a_machine_leaves_is_known_from_the_list() {
    let line = start().await;
    let made = line.vultr.create(&order_with_key(1)).await.unwrap();
    let later = connect(&line.double.api_url(), "test-key", "prod");
    assert_eq!(later.list().await.unwrap().len(), 1);
    line.wire.disturb(deletes(), Disturbance::DropAfter);
    line.vultr.destroy(&made.machine).await.unwrap_err();
    injected("F112");
    assert!(line.double.machines().is_empty());
    let removed = || {
        let journal = line.double.journal();
        let removed = journal.iter();
        removed
            .filter(|event| matches!(event, Event::KeyRemoved { .. }))
            .count()
    };
    assert_eq!(removed(), 0);
    later.destroy(&made.machine).await.unwrap();
    assert_eq!(removed(), 1);
}

#[tokio::test]
async fn a_delete_is_repeated_until_it_is_known() {
    injected("F109");
    let line = start().await;
    let machine = line.vultr.create(&order_with_key(1)).await.unwrap().machine;
    let locked = Disturbance::FailBefore {
        status: 500,
        text: "Server is currently locked".to_owned(),
    };
    line.wire.disturb(deletes(), locked);
    let error = line.vultr.destroy(&machine).await.unwrap_err();
    assert_eq!(error, failed(500));
    line.wire.disturb(deletes(), Disturbance::DropAfter);
    let error = line.vultr.destroy(&machine).await.unwrap_err();
    assert_eq!(error, NO_ANSWER);
    line.vultr.destroy(&machine).await.unwrap();
    let journal = line.double.journal();
    let deleted = journal.iter().filter_map(|event| match event {
        Event::Deleted { request, .. } => Some(request.unwrap()),
        _ => None,
    });
    let [request] = deleted.collect::<Vec<_>>()[..] else {
        panic!("{journal:?}")
    };
    // It was the one whose answer was lost.
    let exchange = line.wire.exchanges().remove(request);
    assert_eq!(
        (exchange.method.as_str(), exchange.status),
        ("DELETE", None)
    );
    // The machine could not be read any more, and its key is gone all the same.
    assert!(
        matches!(journal.last(), Some(Event::KeyRemoved { .. })),
        "{journal:?}"
    );
}

#[tokio::test]
async fn lists_and_looks_that_fail_conclude_nothing() {
    injected("F120");
    let line = start().await;
    let machine = line.vultr.create(&order(1, 1)).await.unwrap().machine;
    for (disturbance, expected) in [
        (Disturbance::PageBefore, failed(502)),
        (Disturbance::DropAfter, NO_ANSWER),
        (Disturbance::HalfAfter, UNREADABLE),
        (Disturbance::Text("null".to_owned()), UNREADABLE),
    ] {
        let looks = Call::new("GET", "/v2/instances/{}");
        line.wire.disturb(looks, disturbance.clone());
        assert_eq!(line.vultr.observe(&machine).await.unwrap_err(), expected);
        line.wire
            .disturb(Call::new("GET", "/v2/instances"), disturbance.clone());
        assert_eq!(line.vultr.list().await.unwrap_err(), expected);
        line.wire
            .disturb(Call::new("GET", "/v2/plans"), disturbance);
        assert_eq!(line.vultr.catalog().await.unwrap_err(), expected);
    }
    let seen = line.vultr.observe(&machine).await.unwrap();
    assert_ne!(seen.state, MachineState::Gone);
}

#[tokio::test]
async fn a_machine_of_another_installation_is_not_deleted() {
    injected("F125");
    let line = start().await;
    let neighbour = connect(&line.double.api_url(), "test-key", "dev");
    let mut theirs = order(1, 1);
    "dev".clone_into(&mut theirs.tag.environment);
    let machine = neighbour.create(&theirs).await.unwrap().machine;
    let error = line.vultr.destroy(&machine).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    assert_eq!(line.wire.count("DELETE", "/v2/instances/{}"), 0);
    assert_eq!(line.double.machines().len(), 1);
}
