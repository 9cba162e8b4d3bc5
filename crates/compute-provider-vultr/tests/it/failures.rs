use std::time::Duration;

use compute_domain::catalog::{PlanId, ProviderInstanceId};
use compute_engine::ports::{Ambiguity, MachineState, Provider, ProviderError};
use compute_testkit::faults_log::injected;
use compute_testkit::vultr::Fault;

use crate::{connect, order, order_with_key, start, tag};

async fn check_create(fault: Fault, expected: ProviderError, machines: usize) {
    let (double, vultr) = start().await;
    double.inject(fault);
    assert_eq!(vultr.create(&order(1, 1)).await.unwrap_err(), expected);
    assert_eq!(double.machines().len(), machines);
    assert_eq!(
        double.calls("POST", "/v2/instances"),
        1,
        "a create is never sent twice"
    );
    let found = vultr.find(tag(1, 1).operation).await.unwrap();
    assert_eq!(found.len(), machines, "the probe finds what was made");
}

fn refuse(status: u16, error: &str) -> Fault {
    Fault::RefuseCreate {
        status,
        error: error.to_owned(),
    }
}

fn no_capacity(reason: &str) -> ProviderError {
    ProviderError::NoCapacity {
        reason: reason.to_owned(),
    }
}

const NO_ANSWER: ProviderError = ProviderError::Ambiguous(Ambiguity::NoAnswer);

#[tokio::test]
async fn a_create_without_an_answer_is_ambiguous_and_found() {
    check_create(Fault::CreateThenDrop, NO_ANSWER, 1).await;
    check_create(Fault::CreateThenHang, NO_ANSWER, 1).await;
    let failed = |status| ProviderError::Ambiguous(Ambiguity::ServerError(status));
    check_create(Fault::CreateThenStatus { status: 500 }, failed(500), 1).await;
    check_create(Fault::CreateThenHtml, failed(502), 1).await;
    check_create(Fault::DropBeforeCreate, NO_ANSWER, 0).await;
    check_create(refuse(503, "Try again."), failed(503), 0).await;
}

#[tokio::test]
async fn a_refusal_is_certain() {
    let limit = "Server add failed: You have reached the maximum number of active instances for this account.";
    check_create(refuse(400, limit), no_capacity(limit), 0).await;
    let gated = "Server add failed: Please open a support request for access to this product.";
    check_create(refuse(400, gated), no_capacity(gated), 0).await;
    let sold_out = "Plan is not available in this location";
    check_create(refuse(400, sold_out), no_capacity(sold_out), 0).await;
    let invalid = ProviderError::Rejected {
        reason: "Invalid os_id.".to_owned(),
    };
    check_create(refuse(422, "Invalid os_id."), invalid, 0).await;
    check_create(
        refuse(401, "Invalid API token."),
        ProviderError::Unauthorized,
        0,
    )
    .await;
    let text = "Unauthorized IP address: 192.0.2.10";
    check_create(refuse(403, text), ProviderError::Unauthorized, 0).await;
}

/// The vendor asks for silence, and gets it from every call of this process.
#[tokio::test]
async fn after_a_429_nothing_is_sent_before_the_time_it_names() {
    injected("F106");
    let (double, vultr) = start().await;
    double.inject(Fault::Throttle { retry_after: 3600 });
    let minute = Duration::from_secs(60);
    let retry_after = Some(minute);
    let error = vultr.create(&order(1, 1)).await.unwrap_err();
    assert_eq!(error, ProviderError::Throttled { retry_after });
    for error in [
        vultr.create(&order(1, 1)).await.unwrap_err(),
        vultr.find(tag(1, 1).operation).await.unwrap_err(),
    ] {
        let ProviderError::Throttled {
            retry_after: Some(wait),
        } = error
        else {
            panic!("{error:?}")
        };
        assert!(wait <= minute && wait > Duration::from_secs(30), "{wait:?}");
    }
    assert_eq!(double.calls("POST", "/v2/instances"), 1);
    assert_eq!(double.calls("GET", "/v2/instances"), 0);
}

#[tokio::test]
async fn a_plan_out_of_stock_has_no_capacity() {
    let (double, vultr) = start().await;
    double.inject(Fault::OutOfStock {
        plan: "vc2-1c-1gb".to_owned(),
        region: None,
    });
    let error = vultr.create(&order(1, 1)).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::NoCapacity { .. }),
        "{error:?}"
    );
    let catalog = vultr.catalog().await.unwrap();
    let sold_out = PlanId::parse("vc2-1c-1gb").unwrap();
    assert!(catalog.plans.iter().all(|plan| plan.id != sold_out));
}

#[tokio::test]
async fn a_vendor_that_is_away_is_unreachable() {
    let (double, vultr) = start().await;
    drop(double);
    assert_eq!(
        vultr.create(&order(1, 1)).await.unwrap_err(),
        ProviderError::Unreachable
    );
    assert_eq!(
        vultr.catalog().await.unwrap_err(),
        ProviderError::Unreachable
    );
}

#[tokio::test]
async fn a_key_whose_answer_is_lost_makes_no_machine() {
    let (double, vultr) = start().await;
    for (fault, keys) in [(Fault::Html502, 0), (Fault::KeyThenDrop, 1)] {
        double.inject(fault);
        let error = vultr.create(&order_with_key(1)).await.unwrap_err();
        assert_eq!(error, ProviderError::Unreachable);
        assert_eq!(double.calls("POST", "/v2/ssh-keys"), keys);
        assert_eq!(double.calls("POST", "/v2/instances"), 0);
    }
    // It is there all the same, and serves the next try.
    vultr.create(&order_with_key(1)).await.unwrap();
    assert_eq!(double.calls("POST", "/v2/ssh-keys"), 1);
}

#[tokio::test]
async fn a_machine_that_shows_up_late_is_found_late() {
    let (double, vultr) = start().await;
    double.inject(Fault::HideCreated { looks: 2 });
    double.inject(Fault::CreateThenDrop);
    vultr.create(&order(1, 1)).await.unwrap_err();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(vultr.find(tag(1, 1).operation).await.unwrap().len());
    }
    assert_eq!(seen, [0, 0, 1]);
}

#[tokio::test]
async fn a_broken_second_page_proves_nothing() {
    let (double, vultr) = start().await;
    for number in 0..501 {
        let body = serde_json::json!({
            "region": "ewr", "plan": "vc2-1c-1gb", "os_id": 2284,
            "tags": ["x402compute-prod", format!("x402-op={}", tag(number, 1).operation), "x402-attempt=1"],
        });
        double.place(body).unwrap();
    }
    double.inject(Fault::BreakSecondPage);
    let error = vultr.list().await.unwrap_err();
    assert_eq!(error, ProviderError::Ambiguous(Ambiguity::ServerError(500)));
    assert_eq!(vultr.list().await.unwrap().len(), 501);
}

#[tokio::test]
async fn a_refused_delete_can_be_repeated() {
    let (double, vultr) = start().await;
    let machine = vultr.create(&order(1, 1)).await.unwrap().machine;
    double.inject(Fault::RefuseDelete { status: 500 });
    let error = vultr.destroy(&machine).await.unwrap_err();
    assert_eq!(error, ProviderError::Ambiguous(Ambiguity::ServerError(500)));
    double.inject(Fault::DeleteThenDrop);
    assert_eq!(vultr.destroy(&machine).await.unwrap_err(), NO_ANSWER);
    vultr.destroy(&machine).await.unwrap();
    assert!(double.machines().is_empty());
}

#[tokio::test]
async fn a_revoked_key_is_unauthorized_everywhere_and_nothing_is_gone() {
    let (double, vultr) = start().await;
    let machine = vultr.create(&order(1, 1)).await.unwrap().machine;
    double.inject(Fault::RevokeKey);
    let denied = ProviderError::Unauthorized;
    assert_eq!(vultr.observe(&machine).await.unwrap_err(), denied);
    assert_eq!(vultr.list().await.unwrap_err(), denied);
    assert_eq!(vultr.destroy(&machine).await.unwrap_err(), denied);
    // Availability says 200 with empty lists: not sold out, but a key that does not work.
    assert_eq!(vultr.catalog().await.unwrap_err(), denied);
    let stranger = connect(&double.api_url(), "another-key", "prod");
    assert_eq!(stranger.list().await.unwrap_err(), denied);
}

#[tokio::test]
async fn unknown_states_conclude_nothing() {
    let (double, vultr) = start().await;
    let machine = vultr.create(&order(1, 1)).await.unwrap().machine;
    let states = ["migrating", "running", "ok"].map(str::to_owned);
    double.inject(Fault::SetState {
        machine: machine.to_string(),
        states,
    });
    assert_eq!(
        vultr.observe(&machine).await.unwrap().state,
        MachineState::Unclear
    );
}

#[tokio::test]
async fn a_strange_id_stays_inside_its_path() {
    let (_double, vultr) = start().await;
    let strange = ProviderInstanceId::parse("../account?x=#").unwrap();
    assert_eq!(
        vultr.observe(&strange).await.unwrap().state,
        MachineState::Gone
    );
}
