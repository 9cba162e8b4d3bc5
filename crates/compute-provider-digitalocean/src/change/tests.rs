use std::collections::BTreeMap;

use compute_domain::catalog::{PlanFamily, ProviderId};
use compute_domain::money::HourlyRate;
use serde_json::{Value, json};

use super::*;

fn plan(id: &str, disk_gb: u32, region: &str) -> Plan {
    Plan {
        id: PlanId::parse(id).unwrap(),
        provider: ProviderId::DigitalOcean,
        family: PlanFamily::Vps,
        vcpu_count: 1,
        ram_mib: 1_024,
        disk_gb,
        bandwidth_gb: 1_000,
        gpu: None,
        cost: HourlyRate::from_micros(1_000).unwrap(),
        regional_cost: BTreeMap::new(),
        locations: vec![RegionId::parse(region).unwrap()],
    }
}

fn droplet(change: &Value) -> SizedRow {
    let mut row = json!({
        "id": 5_000_000_001_u64, "status": "active", "locked": false, "disk": 50,
        "size_slug": "s-1vcpu-2gb", "region": { "slug": "nyc3", "name": "New York 3" },
    });
    let members = row.as_object_mut().unwrap();
    members.extend(change.as_object().unwrap().clone());
    serde_json::from_value(row).unwrap()
}

fn to(id: &str, disk_gb: u32) -> Result<ResizeCheck, ProviderError> {
    check(&droplet(&json!({})), &plan(id, disk_gb, "nyc3"))
}

#[test]
fn a_size_fits_by_family_region_and_disk() {
    let possible = |grows_disk| Ok(ResizeCheck::Possible { grows_disk });
    assert_eq!(to("do:s-2vcpu-4gb", 80), possible(true));
    assert_eq!(to("do:s-2vcpu-2gb", 50), possible(false));
    assert_eq!(to("do:s-1vcpu-1gb", 25), Ok(ResizeCheck::Smaller));
    for other in [
        "do:s-2vcpu-4gb-amd",
        "do:s-2vcpu-4gb-120gb-intel",
        "do:c-2",
        "do:so1_5-2vcpu-16gb",
        "vc2-2c-4gb",
    ] {
        assert_eq!(to(other, 80), Ok(ResizeCheck::OtherFamily), "{other}");
    }
    let elsewhere = plan("do:s-2vcpu-4gb", 80, "fra1");
    let check_elsewhere = check(&droplet(&json!({})), &elsewhere);
    assert_eq!(check_elsewhere, Ok(ResizeCheck::OtherFamily));
}

/// The disk of a machine may be larger or smaller than that of its size.
#[test]
fn the_disk_is_that_of_the_machine() {
    let row = droplet(&json!({ "disk": 80, "size_slug": "s-1vcpu-2gb" }));
    let check = |disk| check(&row, &plan("do:s-2vcpu-4gb", disk, "nyc3")).unwrap();
    assert_eq!(check(60), ResizeCheck::Smaller);
    assert_eq!(check(80), ResizeCheck::Possible { grows_disk: false });
}

#[test]
fn makers_are_kept_apart() {
    let row = droplet(&json!({ "size_slug": "s-1vcpu-2gb-amd" }));
    let check = |id| check(&row, &plan(id, 80, "nyc3")).unwrap();
    let possible = ResizeCheck::Possible { grows_disk: true };
    assert_eq!(check("do:s-2vcpu-4gb-amd"), possible);
    assert_eq!(check("do:s-2vcpu-4gb"), ResizeCheck::OtherFamily);
    assert_eq!(check("do:s-2vcpu-4gb-intel"), ResizeCheck::OtherFamily);
}

#[test]
fn a_machine_with_gpus_or_put_away_is_never_changed() {
    let target = plan("do:s-2vcpu-4gb", 80, "nyc3");
    for change in [
        json!({ "gpu_info": { "count": 8 } }),
        json!({ "size_slug": "gpu-h100x8-640gb" }),
        json!({ "status": "archive" }),
    ] {
        let check = check(&droplet(&change), &target);
        assert_eq!(check, Ok(ResizeCheck::Never), "{change}");
    }
    assert_eq!(to("do:gpu-mi325x1-256gb", 800), Ok(ResizeCheck::Never));
}

#[test]
fn nothing_is_concluded_from_half_a_row_or_a_busy_machine() {
    let target = plan("do:s-2vcpu-4gb", 80, "nyc3");
    for missing in ["size_slug", "disk", "region"] {
        let change = json!({ missing: null });
        let error = check(&droplet(&change), &target).unwrap_err();
        assert_eq!(error, ProviderError::from(unreadable()), "{missing}");
    }
    let busy = check(&droplet(&json!({ "locked": true })), &target);
    assert!(matches!(busy, Err(ProviderError::Throttled { .. })));
}
