use std::collections::BTreeMap;

use compute_domain::catalog::{Gpu, ImageNeeds, ProviderId, RegionId};
use compute_domain::money::{HourlyRate, Usd};

use super::*;

fn priced(id: &str, family: PlanFamily, gpu: Option<Gpu>) -> PricedPlan {
    let rate = HourlyRate::from_micros(9_000).unwrap();
    let region = |text| RegionId::parse(text).unwrap();
    let plan = Plan {
        id: PlanId::parse(id).unwrap(),
        provider: ProviderId::Vultr,
        family,
        vcpu_count: 1,
        ram_mib: 1_024,
        disk_gb: 25,
        bandwidth_gb: 1_024,
        gpu,
        cost: rate,
        regional_cost: BTreeMap::new(),
        locations: vec![region("ams"), region("ewr")],
    };
    PricedPlan {
        plan,
        rate,
        daily: Usd::from_micros(216_000).unwrap(),
        monthly: Usd::from_micros(6_480_000).unwrap(),
    }
}

fn window() -> ShopWindow {
    let gpu = Gpu {
        model: "NVIDIA_A16".into(),
        vram_gb: 2,
        count: None,
    };
    let plans = [
        priced("vc2-1c-1gb", PlanFamily::Vps, None),
        priced("vcg-a16-2c-8gb-2vram", PlanFamily::Gpu, Some(gpu)),
    ];
    let regions = [Region {
        id: RegionId::parse("ewr").unwrap(),
        city: "New Jersey".into(),
        country: "US".into(),
        continent: "North America".into(),
    }];
    let image = |id: &str| OsImage {
        id: OsId::parse(id).unwrap(),
        name: "Ubuntu 24.04 LTS x64".into(),
        arch: "x64".into(),
        family: "ubuntu".into(),
        aliases: Vec::new(),
        needs: ImageNeeds::default(),
    };
    ShopWindow::new(
        1,
        &plans,
        &regions,
        &[image("2284"), image("ubuntu-24-04-x64")],
    )
    .unwrap()
}

fn text(page: &Page) -> &str {
    page.text()
}

#[test]
fn plans_have_every_published_member() {
    insta::assert_snapshot!(text(window().plans(Some(PlanFamily::Gpu))));
}

#[test]
fn regions_are_texts() {
    insta::assert_snapshot!(text(&window().regions));
}

#[test]
fn images_have_two_names_and_numbers_stay_numbers() {
    insta::assert_snapshot!(text(&window().images));
}

#[test]
fn a_family_without_plans_is_an_empty_list() {
    let window = window();
    assert_eq!(
        text(window.plans(Some(PlanFamily::Dedicated))),
        "{\"plans\":[],\"count\":0}"
    );
    assert!(text(window.plans(None)).ends_with("\"count\":2}"));
}
