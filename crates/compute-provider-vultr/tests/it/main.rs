//! The adapter against a double of the vendor, through real HTTP.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod changes;
mod conformance;
mod failures;
mod life;
mod reading;
mod wire;

use std::time::Duration;

use compute_domain::catalog::{OsId, PlanId, RegionId};
use compute_domain::operation::MachineSpec;
use compute_domain::setup::SshKeys;
use compute_domain::text::{Label, SshPublicKey};
use compute_engine::ports::{CreateSpec, MachineTag};
use compute_provider_vultr::{Timeouts, Vultr, VultrConfig};
use compute_testkit::vultr::{Handle, Options, spawn};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1x3mP/UVbZfIt8BsWc8Sh5rzPmcPMdkmXIiOPwPGXI";

async fn start() -> (Handle, Vultr) {
    let double = spawn(Options::default()).await.unwrap();
    let vultr = connect(&double.api_url(), "test-key", "prod");
    (double, vultr)
}

fn connect(url: &str, key: &str, environment: &str) -> Vultr {
    let mut config = VultrConfig::new(key.into(), environment);
    config.base_url = url.to_owned();
    config.timeouts = Timeouts {
        create: Duration::from_secs(1),
        ..Timeouts::default()
    };
    config.allowance.burst = 10_000;
    Vultr::new(&config).unwrap()
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
            plan: PlanId::parse("vc2-1c-1gb").unwrap(),
            region: RegionId::parse("ewr").unwrap(),
            os: OsId::parse("2284").unwrap(),
            label: Label::parse("my agent").unwrap(),
            hostname: None,
            ssh_keys: SshKeys::default(),
        },
        tag: tag(number, attempt),
        user_data: None,
    }
}

fn order_with_key(number: u128) -> CreateSpec {
    let mut order = order(number, 1);
    order.machine.ssh_keys = SshPublicKey::parse(KEY).unwrap().into();
    order
}
