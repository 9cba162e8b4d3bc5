use super::*;

// Rows of a real answer of `GET /v2/plans` of 2025-08-02 and of 2026 shapes; see the fixture
// README of the test kit.
const PLANS_2026: &str =
    include_str!("../../../compute-testkit/fixtures/vultr/plans_2026_shapes.json");
const PLANS_2025: &str = include_str!("../../../compute-testkit/fixtures/vultr/plans.json");

#[derive(serde::Deserialize)]
struct Plans<'a> {
    #[serde(borrow)]
    plans: Vec<PlanRow<'a>>,
}

fn everything_in_stock(rows: &[PlanRow<'_>]) -> Stock {
    let mut stock = Stock::new();
    for row in rows {
        for region in row
            .locations
            .iter()
            .filter_map(|id| RegionId::parse(id).ok())
        {
            stock.entry(region).or_default().insert(row.id.clone());
        }
    }
    stock
}

fn sold(file: &str) -> Vec<Plan> {
    let rows = serde_json::from_str::<Plans<'_>>(file).unwrap().plans;
    let stock = everything_in_stock(&rows);
    rows.iter().filter_map(|row| plan(row, &stock)).collect()
}

fn find<'a>(plans: &'a [Plan], id: &str) -> &'a Plan {
    plans.iter().find(|plan| plan.id.as_str() == id).unwrap()
}

#[test]
fn unsellable_rows_are_hidden() {
    let plans = sold(PLANS_2026);
    let ids: Vec<&str> = plans.iter().map(|plan| plan.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "vc2-1c-1gb",
            "vc2-2c-4gb",
            "vcg-a16-2c-16g-4vram",
            "vcg-a40-6c-30g-12vram",
            "vcg-l40s-16c-180g-48vram",
            "vcg-a40-24c-120g-48vram",
        ]
    );
    let plans = sold(PLANS_2025);
    assert_eq!(
        plans.len(),
        195,
        "all but one without IPv4 and seven that exist nowhere"
    );
}

#[test]
fn a_region_can_have_its_own_price() {
    let plans = sold(PLANS_2026);
    let small = find(&plans, "vc2-1c-1gb");
    let cost = |region| small.cost_in(&RegionId::parse(region).unwrap()).micros();
    assert_eq!(cost("ewr"), 7_441);
    assert_eq!(cost("sao"), 11_161);
}

#[test]
fn gpus_come_from_the_row_or_from_the_table() {
    let plans = sold(PLANS_2026);
    let gpu = |id| find(&plans, id).gpu.clone().unwrap();
    assert_eq!(
        gpu("vcg-a16-2c-16g-4vram"),
        Gpu {
            model: "NVIDIA_A16".into(),
            vram_gb: 4,
            count: None,
        }
    );
    assert_eq!(
        gpu("vcg-a40-24c-120g-48vram"),
        Gpu {
            model: "NVIDIA_A40".into(),
            vram_gb: 48,
            count: None,
        }
    );
    assert_eq!(find(&plans, "vc2-1c-1gb").gpu, None);
}

#[test]
fn families_follow_the_vendors_types() {
    let plans = sold(PLANS_2025);
    for (id, family) in [
        ("vc2-1c-1gb", PlanFamily::Vps),
        ("vhf-1c-1gb", PlanFamily::Vps),
        ("vhp-1c-1gb-amd", PlanFamily::HighPerformance),
        ("voc-c-1c-2gb-25s-amd", PlanFamily::Dedicated),
        ("vcg-a16-2c-8g-2vram", PlanFamily::Gpu),
    ] {
        assert_eq!(find(&plans, id).family, family, "{id}");
    }
}

fn odd_row(change: &str) -> Option<Plan> {
    let text = format!(
        r#"{{"id":"x1","vcpu_count":1,"ram":1,"disk":1,"bandwidth":1,"type":"new",
            "locations":["ewr","","sao"],"future":[1]{change}}}"#
    );
    let row: PlanRow<'_> = serde_json::from_str(&text).unwrap();
    let stock = everything_in_stock(std::slice::from_ref(&row));
    plan(&row, &stock)
}

#[test]
fn a_plan_without_a_usable_price_is_hidden() {
    assert!(odd_row(r#","monthly_cost":5"#).is_some());
    for prices in [
        "",
        r#","monthly_cost":0,"hourly_cost":0"#,
        r#","monthly_cost":null"#,
        r#","monthly_cost":-5"#,
        r#","monthly_cost":"free""#,
    ] {
        assert_eq!(odd_row(prices), None, "{prices}");
    }
}

#[test]
fn a_region_whose_price_cannot_be_read_is_left_out() {
    let plan = odd_row(r#","monthly_cost":5,"location_cost":{"sao":{"monthly_cost":0}}"#).unwrap();
    assert_eq!(plan.locations, [RegionId::parse("ewr").unwrap()]);
    let plan = odd_row(r#","monthly_cost":5,"location_cost":null,"storage_type":null"#).unwrap();
    assert_eq!(plan.locations.len(), 2);
}

#[test]
fn a_plan_out_of_stock_everywhere_is_hidden() {
    let rows = serde_json::from_str::<Plans<'_>>(PLANS_2026).unwrap().plans;
    assert!(rows.iter().all(|row| plan(row, &Stock::new()).is_none()));
}

fn machine(status: &str, power: &str, server: &str, ip: &str) -> Observed {
    let row = serde_json::json!({
        "id": "4f0f", "status": status, "power_status": power, "server_status": server,
        "main_ip": ip, "date_created": "2026-10-10T01:56:20+00:00", "tags": null,
    });
    observed(&serde_json::from_value(row).unwrap(), "prod").unwrap()
}

#[test]
fn three_vendor_states_become_one() {
    let ip = "192.0.2.123";
    for (status, power, server, ip, expected) in [
        (
            "pending",
            "running",
            "none",
            "0.0.0.0",
            MachineState::Starting,
        ),
        ("active", "running", "none", ip, MachineState::Starting),
        (
            "active",
            "running",
            "installingbooting",
            ip,
            MachineState::Starting,
        ),
        ("active", "running", "ok", ip, MachineState::Ready),
        ("active", "running", "ok", "0.0.0.0", MachineState::Starting),
        ("active", "running", "ok", "", MachineState::Starting),
        ("active", "running", "locked", ip, MachineState::Busy),
        ("active", "stopped", "ok", ip, MachineState::Stopped),
        ("resizing", "running", "ok", ip, MachineState::Busy),
        ("suspended", "stopped", "ok", ip, MachineState::Suspended),
        ("closed", "running", "ok", ip, MachineState::Unclear),
        ("", "", "", "", MachineState::Unclear),
    ] {
        assert_eq!(
            machine(status, power, server, ip).state,
            expected,
            "{status} {server} {ip}"
        );
    }
}

#[test]
fn only_public_addresses_are_addresses() {
    for (text, is_public) in [
        ("192.0.2.123", true),
        ("0.0.0.0", false),
        ("10.1.2.3", false),
        ("100.64.0.1", false),
        ("127.0.0.1", false),
        ("169.254.169.254", false),
        ("not an address", false),
    ] {
        let seen = machine("active", "running", "ok", text).address;
        assert_eq!(seen.is_some(), is_public, "{text}");
    }
}

#[test]
fn the_vendors_date_is_read() {
    let seen = machine("active", "running", "ok", "").created_at;
    assert_eq!(seen, Some(Timestamp::from_millis(1_791_597_380_000)));
    assert_eq!(created_at("0000-00-00 00:00:00"), None);
}

#[test]
fn images_that_are_no_systems_are_hidden() {
    let row = |family: &str| OsRow {
        id: 2284,
        name: "Ubuntu 24.04 LTS x64".into(),
        arch: "x64".into(),
        family: family.into(),
    };
    assert_eq!(image(&row("ubuntu")).unwrap().id.as_str(), "2284");
    for family in UNSOLD_FAMILIES {
        assert_eq!(image(&row(family)), None, "{family}");
    }
}
