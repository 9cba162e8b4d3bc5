use compute_domain::catalog::{PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::OwnerId;
use compute_domain::instance::Placement;
use compute_domain::money::{HourlyRate, Hours, Usd};
use compute_domain::text::Label;
use serde_json::{Value, json};

use super::*;

const ID: &str = "0190a5b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b";

fn running() -> Instance {
    let placement = Placement {
        machine: ProviderInstanceId::parse("machine-1").unwrap(),
        expires_at: Timestamp::parse("2026-01-04T00:00:00Z").unwrap(),
    };
    Instance {
        id: ID.parse().unwrap(),
        owner: ID.parse::<OwnerId>().unwrap(),
        provider: ProviderId::Vultr,
        plan: PlanId::parse("vc2-1c-1gb").unwrap(),
        region: RegionId::parse("ewr").unwrap(),
        os: OsId::parse("2284").unwrap(),
        label: Label::parse("agent").unwrap(),
        rate: HourlyRate::from_micros(7_000).unwrap(),
        hours: Hours::new(24).unwrap(),
        extended_hours: 48,
        price: Usd::from_micros(504_000).unwrap(),
        access: Access::Password,
        ip: None,
        suspended_since: None,
        resizing: None,
        is_protected: false,
        created_at: Timestamp::parse("2026-01-01T00:00:00Z").unwrap(),
        state: InstanceState::Active(placement),
    }
}

fn json_of(instance: &Instance) -> Value {
    serde_json::to_value(Order::new(instance, None)).unwrap()
}

#[test]
fn extensions_count_in_hours_and_dollars() {
    let order = json_of(&running());
    assert_eq!(order["prepaid_hours"], 72);
    assert_eq!(order["payment_amount"].to_string(), "0.504");
    assert_eq!(order["metadata"], json!({}));
}

#[test]
fn a_machine_that_its_provider_stopped_says_since_when_and_stays_active() {
    let order = json_of(&Instance {
        suspended_since: Timestamp::parse("2026-01-02T03:04:05Z").ok(),
        ..running()
    });
    let metadata = json!({"suspended_since": "2026-01-02T03:04:05Z"});
    assert_eq!(order["metadata"], metadata);
    assert_eq!(order["status"], "active");
}
