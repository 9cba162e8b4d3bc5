//! The simulated cloud as each of the vendors.

use compute_domain::setup::SshKeys;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::catalog::{OsId, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::OperationId;
use compute_domain::operation::MachineSpec;
use compute_domain::text::{Label, SshPublicKey};
use compute_domain::time::{Clock, Span};
use compute_engine::ports::{CreateSpec, MachineState, MachineTag, Provider, ProviderError};
use compute_simulator::{CloudBehaviour, SimulatedCloud};
use compute_testkit::provider_suite::{self, ProviderFixture, changes};
use secrecy::ExposeSecret;

use crate::stage::{ManualClock, Repeatable, START, journal, permit};

const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

struct Stage {
    cloud: SimulatedCloud,
    clock: Arc<ManualClock>,
}

fn open(provider: ProviderId, path: Option<PathBuf>, behaviour: CloudBehaviour) -> Stage {
    let clock = ManualClock::at_start();
    let entropy = Arc::new(Repeatable::default());
    let shared: Arc<dyn Clock> = clock.clone();
    let cloud = SimulatedCloud::new(provider, permit(), shared, entropy, path, behaviour);
    Stage {
        cloud: cloud.unwrap(),
        clock,
    }
}

fn machine(provider: ProviderId) -> MachineSpec {
    let (plan, region, os) = match provider {
        ProviderId::Vultr => ("vc2-1c-1gb", "ewr", "2284"),
        ProviderId::DigitalOcean => ("do:s-1vcpu-1gb", "nyc3", "ubuntu-24-04-x64"),
    };
    MachineSpec {
        plan: PlanId::parse(plan).unwrap(),
        region: RegionId::parse(region).unwrap(),
        os: OsId::parse(os).unwrap(),
        label: Label::parse("agent").unwrap(),
        hostname: None,
        ssh_keys: SshPublicKey::parse(SSH_KEY).unwrap().into(),
    }
}

fn spec(provider: ProviderId, attempt: u32) -> CreateSpec {
    let tag = MachineTag {
        environment: "dev".into(),
        operation: operation(),
        attempt,
    };
    CreateSpec {
        machine: machine(provider),
        tag,
        user_data: None,
    }
}

fn operation() -> OperationId {
    OperationId::from_uuid(uuid::Uuid::from_u128(42))
}

#[async_trait]
impl ProviderFixture for Stage {
    fn provider(&self) -> &dyn Provider {
        &self.cloud
    }

    fn environment(&self) -> &str {
        "dev"
    }

    fn machine(&self) -> MachineSpec {
        machine(self.cloud.id())
    }

    fn absent_machine(&self) -> ProviderInstanceId {
        ProviderInstanceId::parse("sim-1767225600000-ffffffffffffffff").unwrap()
    }

    async fn finish_booting(&self) {
        self.clock.advance(Span::from_secs(3));
    }
}

#[tokio::test]
async fn the_simulated_vultr_keeps_the_contract() {
    let stage = open(ProviderId::Vultr, None, CloudBehaviour::default());
    provider_suite::run(&stage).await;
    run_changes(&stage, "vc2-2c-4gb").await;
}

#[tokio::test]
async fn the_simulated_digitalocean_keeps_the_contract() {
    let stage = open(ProviderId::DigitalOcean, None, CloudBehaviour::default());
    provider_suite::run(&stage).await;
    run_changes(&stage, "do:s-2vcpu-4gb").await;
}

async fn run_changes(stage: &dyn ProviderFixture, larger: &str) {
    changes::power_may_be_repeated(stage).await;
    let larger = PlanId::parse(larger).unwrap();
    changes::a_resize_may_be_repeated(stage, &larger).await;
    changes::what_is_absent_is_not_changed(stage).await;
    changes::a_machine_is_set_up_anew_or_left_alone(stage).await;
    changes::the_account_is_told(stage).await;
}

#[tokio::test]
async fn a_journalled_cloud_keeps_the_contract() {
    let (_folder, path) = journal();
    let stage = open(ProviderId::Vultr, Some(path), CloudBehaviour::default());
    provider_suite::run(&stage).await;
}

#[tokio::test]
async fn a_machine_boots_in_the_configured_time() {
    let stage = open(ProviderId::Vultr, None, CloudBehaviour::default());
    let id = stage
        .cloud
        .create(&spec(ProviderId::Vultr, 1))
        .await
        .unwrap()
        .machine;
    stage.clock.advance(Span::from_millis(2_999));
    let early = stage.cloud.observe(&id).await.unwrap();
    assert_eq!((early.state, early.address), (MachineState::Starting, None));
    assert_eq!(early.created_at, Some(START));

    stage.clock.advance(Span::from_millis(1));
    let ready = stage.cloud.observe(&id).await.unwrap();
    assert_eq!(ready.state, MachineState::Ready);
    assert!(ready.address.unwrap().to_string().starts_with("192.0.2."));
}

#[tokio::test]
async fn a_machine_without_boot_time_is_ready_at_once() {
    let behaviour = CloudBehaviour {
        boot_time: Span::ZERO,
        ..CloudBehaviour::default()
    };
    let stage = open(ProviderId::Vultr, None, behaviour);
    let id = stage
        .cloud
        .create(&spec(ProviderId::Vultr, 1))
        .await
        .unwrap()
        .machine;
    assert_eq!(
        stage.cloud.observe(&id).await.unwrap().state,
        MachineState::Ready
    );
}

#[tokio::test]
async fn machines_outlive_the_process() {
    let (_folder, path) = journal();
    let first = open(
        ProviderId::Vultr,
        Some(path.clone()),
        CloudBehaviour::default(),
    );
    let mut made = Vec::new();
    for attempt in 1..=3 {
        made.push(
            first
                .cloud
                .create(&spec(ProviderId::Vultr, attempt))
                .await
                .unwrap()
                .machine,
        );
    }
    first.cloud.destroy(&made[1]).await.unwrap();
    first.clock.advance(Span::from_secs(60));
    let before = first.cloud.find(operation()).await.unwrap();
    drop(first);

    let second = open(ProviderId::Vultr, Some(path), CloudBehaviour::default());
    second.clock.advance(Span::from_secs(60));
    let after = second.cloud.find(operation()).await.unwrap();
    assert_eq!(
        after, before,
        "state, address, mark and order are as before"
    );
    assert_eq!(after.len(), 2);
    assert_eq!(
        second.cloud.observe(&made[1]).await.unwrap().state,
        MachineState::Gone
    );
    second.cloud.destroy(&made[0]).await.unwrap();
    assert_eq!(second.cloud.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn passwords_differ_and_are_not_written_down() {
    let (_folder, path) = journal();
    let stage = open(
        ProviderId::Vultr,
        Some(path.clone()),
        CloudBehaviour::default(),
    );
    let mut passwords = Vec::new();
    for attempt in 1..=2 {
        let made = stage
            .cloud
            .create(&spec(ProviderId::Vultr, attempt))
            .await
            .unwrap();
        passwords.push(made.root_password.unwrap().expose_secret().to_owned());
    }
    assert!(passwords[0] != passwords[1] && passwords.iter().all(|text| text.len() == 20));
    let written = std::fs::read_to_string(path).unwrap();
    assert!(passwords.iter().all(|password| !written.contains(password)));
}

#[tokio::test]
async fn digitalocean_makes_nothing_without_an_ssh_key() {
    let stage = open(ProviderId::DigitalOcean, None, CloudBehaviour::default());
    assert!(!stage.cloud.offers_root_password());
    let mut wanted = spec(ProviderId::DigitalOcean, 1);
    wanted.machine.ssh_keys = SshKeys::default();
    let refusal = stage.cloud.create(&wanted).await.unwrap_err();
    assert!(matches!(refusal, ProviderError::Rejected { .. }));
    let made = stage
        .cloud
        .create(&spec(ProviderId::DigitalOcean, 1))
        .await
        .unwrap();
    assert!(made.root_password.is_none());
}

#[tokio::test]
async fn a_vendor_does_not_sell_what_the_other_sells() {
    let stage = open(ProviderId::Vultr, None, CloudBehaviour::default());
    let refusal = stage
        .cloud
        .create(&spec(ProviderId::DigitalOcean, 1))
        .await
        .unwrap_err();
    assert!(matches!(refusal, ProviderError::Rejected { .. }));
}
