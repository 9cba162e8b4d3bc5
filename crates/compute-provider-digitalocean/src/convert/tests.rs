use proptest::prelude::*;

use super::*;
use crate::wire::GpuInfo;

// Rows in the form of the vendor's list; see the fixtures of the double.
const SIZES: &str = include_str!("../../../compute-vendor-double/fixtures/digitalocean/sizes.json");
const REGIONS: &str =
    include_str!("../../../compute-vendor-double/fixtures/digitalocean/regions.json");
const IMAGES: &str =
    include_str!("../../../compute-vendor-double/fixtures/digitalocean/images_distribution.json");

#[derive(serde::Deserialize)]
struct Sizes<'a> {
    #[serde(borrow)]
    sizes: Vec<SizeRow<'a>>,
}

#[derive(serde::Deserialize)]
struct Regions {
    regions: Vec<RegionRow>,
}

#[derive(serde::Deserialize)]
struct Images {
    images: Vec<ImageRow>,
}

fn open() -> BTreeMap<RegionId, Region> {
    let rows = serde_json::from_str::<Regions>(REGIONS).unwrap().regions;
    let regions = rows.iter().filter_map(region);
    regions.map(|region| (region.id.clone(), region)).collect()
}

fn sold() -> Vec<Plan> {
    let rows = serde_json::from_str::<Sizes<'_>>(SIZES).unwrap().sizes;
    rows.iter().filter_map(|row| plan(row, &open())).collect()
}

fn find<'a>(plans: &'a [Plan], id: &str) -> &'a Plan {
    plans.iter().find(|plan| plan.id.as_str() == id).unwrap()
}

fn size(change: &str) -> Option<Plan> {
    let text = format!(
        r#"{{"slug":"s-9vcpu-9gb","memory":9216,"vcpus":9,"disk":90,"future":[1],
            "regions":["nyc3"],"available":true,"price_hourly":0.5{change}}}"#
    );
    let row: SizeRow<'_> = serde_json::from_str(&text).unwrap();
    plan(&row, &open())
}

#[test]
fn unsellable_rows_are_hidden() {
    let plans = sold();
    for plan in &plans {
        assert!(!plan.id.as_str().contains("spot"), "{}", plan.id);
        assert!(!plan.locations.is_empty(), "{}", plan.id);
    }
    let gpus: Vec<&str> = plans
        .iter()
        .filter(|plan| plan.family == PlanFamily::Gpu)
        .map(|plan| plan.id.as_str())
        .collect();
    // The others are available, in no region: without a quota they are not for this account.
    assert_eq!(gpus, ["do:gpu-mi325x1-256gb", "do:gpu-mi325x8-2048gb"]);
    assert!(size("").is_some());
    let row = |text: &str| plan(&serde_json::from_str(text).unwrap(), &open());
    let text = |slug: &str, regions: &str, available: bool| {
        format!(
            r#"{{"slug":"{slug}","memory":1,"vcpus":1,"disk":1,"price_hourly":1,
                "regions":[{regions}],"available":{available}}}"#
        )
    };
    for (slug, regions, available) in [
        ("s-1", "", true),
        ("s-1", "\"nyc3\"", false),
        ("s-1", "\"ams2\",\"elsewhere\"", true),
        ("gpu-b300x1-288gb-lc-spot", "\"nyc3\"", true),
        ("gpu-h100x8-640gb-contracted", "\"nyc3\"", true),
        ("gpu-mi300x8-1536gb-fabric", "\"nyc3\"", true),
    ] {
        assert_eq!(
            row(&text(slug, regions, available)),
            None,
            "{slug} {regions}"
        );
    }
}

#[test]
fn the_price_is_the_larger_one_of_an_hour() {
    let plans = sold();
    // 6 / 672 = 0.0089285…, and the hour is named as 0.00893.
    assert_eq!(find(&plans, "do:s-1vcpu-1gb").cost.micros(), 8_930);
    let cost = |change| size(change).map(|plan| plan.cost.micros());
    assert_eq!(cost(r#","price_monthly":336"#), Some(500_000));
    assert_eq!(cost(r#","price_monthly":672"#), Some(1_000_000));
    assert_eq!(cost(r#","price_monthly":null"#), Some(500_000));
    assert_eq!(cost(r#","price_monthly":-1"#), None);
    // A month of a GPU has 744 hours, all of which are billed.
    assert_eq!(
        find(&plans, "do:gpu-mi325x1-256gb").cost.micros(),
        3_800_000
    );
}

#[test]
fn a_plan_without_a_usable_price_is_hidden() {
    for price in ["0", "null", "-0.5", "\"free\""] {
        let text = format!(
            r#"{{"slug":"s-1","memory":1,"vcpus":1,"disk":1,"price_hourly":{price},
                "regions":["nyc3"],"available":true}}"#
        );
        assert_eq!(
            plan(&serde_json::from_str(&text).unwrap(), &open()),
            None,
            "{price}"
        );
    }
}

#[test]
fn a_plan_keeps_the_vendors_numbers() {
    let plans = sold();
    let small = find(&plans, "do:s-1vcpu-512mb-10gb");
    assert_eq!(
        (small.vcpu_count, small.ram_mib, small.disk_gb),
        (1, 512, 10)
    );
    assert_eq!(small.bandwidth_gb, 500, "half a terabyte");
    assert_eq!(
        size("").unwrap().bandwidth_gb,
        0,
        "what is not told is not promised"
    );
}

#[test]
fn families_follow_the_slugs() {
    let plans = sold();
    for (id, family) in [
        ("do:s-1vcpu-1gb", PlanFamily::Vps),
        ("do:s-1vcpu-1gb-amd", PlanFamily::HighPerformance),
        ("do:s-1vcpu-1gb-intel", PlanFamily::HighPerformance),
        ("do:c-2", PlanFamily::Dedicated),
        ("do:g-2vcpu-8gb-intel", PlanFamily::Dedicated),
        ("do:gpu-mi325x1-256gb", PlanFamily::Gpu),
    ] {
        assert_eq!(find(&plans, id).family, family, "{id}");
    }
}

#[test]
fn gpus_come_from_the_row_or_from_its_slug() {
    let gpu = |model: &str, vram_gb, count| {
        Some(Gpu {
            model: model.to_owned(),
            vram_gb,
            count: Some(count),
        })
    };
    for (slug, expected) in [
        ("gpu-h100x8-640gb", gpu("nvidia_h100", 640, 8)),
        ("gpu-mi300x1-192gb", gpu("amd_mi300", 192, 1)),
        ("gpu-4000adax1-20gb", gpu("nvidia_rtx4000_ada", 20, 1)),
        ("gpu-strange", None),
        ("s-1vcpu-1gb", None),
    ] {
        assert_eq!(slug_gpu(slug), expected, "{slug}");
    }
    // Every slug of the list says the same as its row.
    for row in serde_json::from_str::<Sizes<'_>>(SIZES).unwrap().sizes {
        let Some(told) = row.gpu_info.as_ref().and_then(told_gpu) else {
            continue;
        };
        let read = slug_gpu(&row.slug).unwrap();
        assert_eq!(read.vram_gb, told.vram_gb, "{}", row.slug);
        assert_eq!(read.count, told.count, "{}", row.slug);
    }
    let nameless = GpuInfo {
        count: Some(1),
        model: None,
        vram: None,
    };
    assert_eq!(told_gpu(&nameless), None);
}

#[test]
fn the_slug_of_an_image_names_the_gpus_it_is_for() {
    let need = |maker, count| Some(GpuNeed { maker, count });
    for (slug, expected) in [
        ("ubuntu-24-04-x64", None),
        ("gpu-amd-base", need(GpuMaker::Amd, None)),
        ("gpu-mi300x8-base", need(GpuMaker::Amd, Some(8))),
        ("gpu-h100x1-base", need(GpuMaker::Nvidia, Some(1))),
        ("gpu-h100x8-base", need(GpuMaker::Nvidia, Some(8))),
        ("gpu-nvidia-base", need(GpuMaker::Nvidia, None)),
    ] {
        assert_eq!(gpu_need(slug), expected, "{slug}");
    }
}

#[test]
fn images_with_drivers_are_for_their_gpus() {
    for (image, size, expected) in [
        ("ubuntu-24-04-x64", "s-1vcpu-1gb", true),
        ("ubuntu-24-04-x64", "gpu-h100x1-80gb", true),
        ("gpu-amd-base", "gpu-mi300x1-192gb", true),
        ("gpu-amd-base", "gpu-h100x1-80gb", false),
        ("gpu-h100x1-base", "gpu-h100x1-80gb", true),
        ("gpu-h100x1-base", "gpu-mi300x1-192gb", false),
        ("gpu-h100x1-base", "s-1vcpu-1gb", false),
    ] {
        assert_eq!(fits(image, size), expected, "{image} {size}");
    }
}

#[test]
fn regions_have_a_place_and_closed_ones_are_hidden() {
    let open = open();
    let nyc = open.get(&RegionId::parse("nyc3").unwrap()).unwrap();
    assert_eq!(
        (nyc.city.as_str(), nyc.country.as_str()),
        ("New York", "US")
    );
    assert!(open.values().all(|region| !region.country.is_empty()));
    assert!(!open.contains_key(&RegionId::parse("ams2").unwrap()));
    // A new region sells without a place.
    let row = r#"{"slug":"xyz1","name":"Somewhere 1","available":true}"#;
    let region = region(&serde_json::from_str(row).unwrap()).unwrap();
    assert_eq!(
        (region.city.as_str(), region.country.as_str()),
        ("Somewhere", "")
    );
}

#[test]
fn images_go_by_slug() {
    let rows = serde_json::from_str::<Images>(IMAGES).unwrap().images;
    let images: Vec<OsImage> = rows.iter().filter_map(image).collect();
    let ubuntu = images
        .iter()
        .find(|image| image.id.as_str() == "ubuntu-24-04-x64");
    let ubuntu = ubuntu.unwrap();
    assert_eq!(ubuntu.name, "Ubuntu 24.04 (LTS) x64");
    assert_eq!(ubuntu.aliases, [OsId::parse("247516813").unwrap()]);
    assert_eq!(
        (ubuntu.arch.as_str(), ubuntu.family.as_str()),
        ("x64", "ubuntu")
    );
    for change in [
        r#""slug":null,"public":false,"status":"retired""#,
        r#""slug":"a-x64","status":"deleted""#,
        r#""slug":"a-x64","public":false"#,
    ] {
        let text = format!("{{{change},\"name\":\"12 x64\",\"distribution\":\"Debian\"}}");
        assert_eq!(
            image(&serde_json::from_str(&text).unwrap()),
            None,
            "{change}"
        );
    }
}

fn droplet(status: &str, locked: bool, networks: &str) -> Observed {
    let text = format!(
        r#"{{"id":5000000001,"name":"web","status":"{status}","locked":{locked},
            "created_at":"2026-10-10T01:56:20Z","networks":{networks},"tags":null,"image":null}}"#
    );
    let row: DropletRow = serde_json::from_str(&text).unwrap();
    observed(&row, "prod").unwrap().0
}

const PUBLIC: &str = r#"{"v4":[{"ip_address":"10.0.0.2","type":"private"},
    {"ip_address":"203.0.113.9","type":"public"}],"v6":[]}"#;
const NONE: &str = r#"{"v4":[],"v6":[]}"#;

#[test]
fn states_of_the_vendor_become_ours() {
    for (status, locked, networks, expected) in [
        ("new", true, NONE, MachineState::Starting),
        ("active", false, NONE, MachineState::Starting),
        ("active", true, PUBLIC, MachineState::Busy),
        ("active", false, PUBLIC, MachineState::Ready),
        ("off", false, PUBLIC, MachineState::Stopped),
        ("archive", false, PUBLIC, MachineState::Suspended),
        ("moving", false, PUBLIC, MachineState::Unclear),
        ("", false, PUBLIC, MachineState::Unclear),
    ] {
        let seen = droplet(status, locked, networks).state;
        assert_eq!(seen, expected, "{status} {locked}");
    }
}

#[test]
fn the_public_address_is_taken_wherever_it_stands() {
    let address = |networks| droplet("active", false, networks).address;
    assert_eq!(address(PUBLIC), Some(IpAddr::from([203, 0, 113, 9])));
    for networks in [
        NONE,
        "null",
        r#"{"v4":null}"#,
        r#"{"v4":[{"ip_address":"203.0.113.9","type":"private"}]}"#,
        r#"{"v4":[{"ip_address":"10.0.0.2","type":"public"}]}"#,
        r#"{"v4":[{"ip_address":null,"type":"public"}]}"#,
    ] {
        assert_eq!(address(networks), None, "{networks}");
    }
    let v6 = r#"{"v6":[{"ip_address":"2001:db8::7","type":"public"}]}"#;
    assert!(address(v6).is_some());
}

#[test]
fn ids_go_beyond_32_bits_and_dates_are_read() {
    let seen = droplet("active", false, PUBLIC);
    assert_eq!(seen.machine.as_str(), "5000000001");
    assert_eq!(
        seen.created_at,
        Some(Timestamp::from_millis(1_791_597_380_000))
    );
}

proptest! {
    /// Whatever the vendor writes into a row, it is sold at a price above zero in an open region, or not
    /// at all, and nothing panics.
    #[test]
    fn no_row_panics_or_is_given_away(
        slug in "[a-z0-9-]{0,30}",
        hourly in "-?[0-9]{1,12}([.][0-9]{1,20})?(e-?[0-9]{1,3})?",
        monthly in "-?[0-9]{1,12}([.][0-9]{1,20})?|null|\"[a-z]{0,3}\"",
        transfer in "-?[0-9]{1,12}([.][0-9]{1,6})?|null",
        regions in prop::collection::vec("[a-z]{3}[0-9]|", 0..4),
    ) {
        let text = format!(
            r#"{{"slug":"{slug}","memory":1,"vcpus":1,"disk":1,"transfer":{transfer},
                "price_monthly":{monthly},"price_hourly":{hourly},
                "regions":{regions:?},"available":true}}"#
        );
        // A number with a leading zero is no JSON, and the row is left out as it would be in a list.
        let Ok(row) = serde_json::from_str::<SizeRow<'_>>(&text) else {
            return Ok(());
        };
        if let Some(plan) = plan(&row, &open()) {
            prop_assert!(plan.cost.micros() > 0);
            prop_assert!(!plan.locations.is_empty());
        }
    }
}
