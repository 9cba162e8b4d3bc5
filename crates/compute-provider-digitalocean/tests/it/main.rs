//! The adapter against a double of the vendor, through real HTTP.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod changes;
mod conformance;
mod failures;
mod keys;
mod life;
mod reading;

use std::time::Duration;

use compute_domain::catalog::{OsId, PlanId, RegionId};
use compute_domain::operation::MachineSpec;
use compute_domain::text::{Label, SshPublicKey};
use compute_engine::ports::{CreateSpec, MachineTag};
use compute_provider_digitalocean::{DigitalOcean, DigitalOceanConfig, Timeouts};
use compute_vendor_double::digitalocean::{Event, Habits, Handle, Options, spawn};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINpTe+fd5AlbelHggfQ/iFZkdh+HskGVsA5XgweP5Tzi";

/// A GPU plan that the double sells.
const GPU: &str = "do:gpu-mi325x1-256gb";

/// A double whose every exchange must be one of the vendor's document, but for what a test expects.
struct Cloud {
    double: Handle,
    expected: &'static str,
}

impl std::ops::Deref for Cloud {
    type Target = Handle;
    fn deref(&self) -> &Handle {
        &self.double
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let mut violations = self.wire().violations();
            violations.retain(|it| self.expected.is_empty() || !it.contains(self.expected));
            assert_eq!(violations, Vec::<String>::new());
        }
    }
}

impl Cloud {
    const fn new(double: Handle) -> Self {
        Self {
            double,
            expected: "",
        }
    }

    /// What was made, by id.
    fn created(&self) -> Vec<u64> {
        let journal = self.journal();
        let made = journal.iter().filter_map(|event| match event {
            Event::Created { id, .. } => Some(*id),
            _ => None,
        });
        made.collect()
    }

    fn creates_sent(&self) -> usize {
        self.wire().count("POST", "/v2/droplets")
    }
}

async fn start() -> (Cloud, DigitalOcean) {
    start_with(Habits::default()).await
}

async fn start_with(habits: Habits) -> (Cloud, DigitalOcean) {
    let options = Options {
        habits,
        ..Options::default()
    };
    let double = spawn(options).await.unwrap();
    let ocean = connect(&double.url(), "test-token", "prod");
    (Cloud::new(double), ocean)
}

fn config(url: &str, token: &str, environment: &str) -> DigitalOceanConfig {
    let mut config = DigitalOceanConfig::new(token.into(), environment);
    config.base_url = url.to_owned();
    config.timeouts = Timeouts {
        create: Duration::from_secs(1),
        ..Timeouts::default()
    };
    config.allowance.burst = 10_000;
    config
}

fn connect(url: &str, token: &str, environment: &str) -> DigitalOcean {
    DigitalOcean::new(&config(url, token, environment)).unwrap()
}

fn tag(number: u128, attempt: u32) -> MachineTag {
    let operation = compute_domain::id::OperationId::from_uuid(uuid::Uuid::from_u128(number));
    MachineTag {
        environment: "prod".to_owned(),
        operation,
        attempt,
    }
}

fn order(number: u128, attempt: u32) -> CreateSpec {
    CreateSpec {
        machine: MachineSpec {
            plan: PlanId::parse("do:s-1vcpu-1gb").unwrap(),
            region: RegionId::parse("nyc3").unwrap(),
            os: OsId::parse("ubuntu-24-04-x64").unwrap(),
            label: Label::parse("my agent").unwrap(),
            hostname: None,
            ssh_keys: SshPublicKey::parse(KEY).unwrap().into(),
        },
        tag: tag(number, attempt),
        user_data: None,
    }
}

fn gpu_order(number: u128) -> CreateSpec {
    let mut order = order(number, 1);
    order.machine.plan = PlanId::parse(GPU).unwrap();
    order.machine.region = RegionId::parse("tor1").unwrap();
    order
}
