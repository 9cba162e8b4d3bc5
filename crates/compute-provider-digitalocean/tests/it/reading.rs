use compute_domain::catalog::{Catalog, OsId, OsImage, Plan, PlanId, RegionId};
use compute_engine::ports::{Ambiguity, Provider, ProviderError};
use compute_testkit::faults_log::injected;
use compute_vendor_double::digitalocean::{Options, spawn};
use compute_vendor_double::wire::{Call, Disturbance};

use crate::{Cloud, connect, start};

#[tokio::test]
async fn the_catalogue_holds_what_can_be_sold_now() {
    let (cloud, ocean) = start().await;
    let row = r#"{"slug":"s-unheard-of","memory":1024,"vcpus":1,"disk":25,"transfer":1.0,
        "price_monthly":6.0,"price_hourly":0.00892857,"regions":["nyc3"],"available":true,
        "description":"Brand new"}"#;
    cloud.add_size(row).unwrap();
    let catalog = ocean.catalog().await.unwrap();
    assert!(catalog.plans.len() > 100, "{}", catalog.plans.len());
    let find = |id: &str| {
        let id = PlanId::parse(id).unwrap();
        catalog.plans.iter().find(|plan| plan.id == id)
    };
    let small = find("do:s-1vcpu-1gb").unwrap();
    assert_eq!(small.cost.micros(), 8_930);
    assert!(small.locations.contains(&RegionId::parse("nyc3").unwrap()));
    assert_eq!(find("do:s-unheard-of").unwrap().cost.micros(), 8_929);
    assert!(find("do:gpu-h100x1-80gb").is_none(), "no quota");
    let ubuntu = OsId::parse("ubuntu-24-04-x64").unwrap();
    assert!(catalog.images.iter().any(|image| image.id == ubuntu));
}

/// The simulator's catalogue comes from the same answers, by a program that shares no code.
#[tokio::test]
async fn another_reader_of_the_same_answers_agrees() {
    let (_cloud, ocean) = start().await;
    let read = ocean.catalog().await.unwrap();
    let file = include_str!("../../../compute-simulator/data/digitalocean.json");
    let other: Catalog = serde_json::from_str(file).unwrap();
    assert_eq!(read.plans.len(), other.plans.len());
    for (own, theirs) in read.plans.iter().zip(&other.plans) {
        // It takes the hourly price alone, which the vendor rounds to 5 decimals.
        let surplus = own.cost.micros() - theirs.cost.micros();
        assert!((0..=5).contains(&surplus), "{}: {surplus}", own.id);
        let same_cost = Plan {
            cost: theirs.cost,
            ..own.clone()
        };
        assert_eq!(same_cost, *theirs);
    }
    for region in &read.regions {
        assert!(other.regions.contains(region), "{region:?}");
    }
    let unnamed = read.images.iter().map(|image| OsImage {
        aliases: Vec::new(),
        ..image.clone()
    });
    assert_eq!(unnamed.collect::<Vec<_>>(), other.images);
}

#[tokio::test]
async fn a_catalogue_read_in_part_is_no_catalogue() {
    let (cloud, ocean) = start().await;
    let sizes = || Call::new("GET", "/v2/sizes");
    for (disturbance, expected) in [
        (Disturbance::PageBefore, Ambiguity::ServerError(502)),
        (Disturbance::DropAfter, Ambiguity::NoAnswer),
        (Disturbance::HalfAfter, Ambiguity::Unreadable),
        (Disturbance::Text("[]".to_owned()), Ambiguity::Unreadable),
        (
            Disturbance::Text(r#"{"sizes":[]}"#.to_owned()),
            Ambiguity::Unreadable,
        ),
    ] {
        cloud.wire().disturb(sizes(), disturbance);
        let error = ocean.catalog().await.unwrap_err();
        assert_eq!(error, ProviderError::Ambiguous(expected));
    }
    assert!(ocean.catalog().await.is_ok());
}

#[tokio::test]
async fn links_to_other_pages_never_lead_to_another_host() {
    let options = Options {
        link_host: "http://127.0.0.1:1/elsewhere".to_owned(),
        ..Options::default()
    };
    let cloud = Cloud::new(spawn(options).await.unwrap());
    for number in 0..201 {
        let body = serde_json::json!({
            "name": format!("web-{number}"), "region": "nyc3", "size": "s-1vcpu-1gb",
            "image": "debian-12-x64", "tags": [],
        });
        cloud.place(&body).unwrap();
    }
    let ocean = connect(&cloud.url(), "test-token", "prod");
    assert!(ocean.list().await.unwrap().is_empty());
    let exchanges = cloud.wire().exchanges();
    let second_pages = exchanges
        .iter()
        .filter(|it| it.query.contains(&("page".to_owned(), "2".to_owned())));
    assert_eq!(second_pages.count(), 1);
}

#[tokio::test]
async fn a_list_whose_pages_go_in_circles_is_broken() {
    let (cloud, ocean) = start().await;
    let circle = r#"{"droplets":[],"meta":{"total":9},
        "links":{"pages":{"next":"https://api.digitalocean.com/v2/droplets?page=1"}}}"#;
    cloud.wire().disturb_times(
        Call::new("GET", "/v2/droplets"),
        Disturbance::Text(circle.to_owned()),
        3,
    );
    let error = ocean.list().await.unwrap_err();
    assert_eq!(error, ProviderError::Ambiguous(Ambiguity::Unreadable));
}

#[tokio::test]
async fn an_account_that_is_not_active_sells_nothing() {
    let (cloud, ocean) = start().await;
    cloud.set_account_status("locked");
    let error = ocean.catalog().await.unwrap_err();
    assert_eq!(error, ProviderError::Unauthorized);
    cloud.set_account_status("active");
    assert!(ocean.catalog().await.is_ok());
}

#[tokio::test]
async fn what_is_left_is_told_for_all_regions_at_once() {
    let (cloud, ocean) = start().await;
    let nyc3 = RegionId::parse("nyc3").unwrap();
    let small = PlanId::parse("do:s-1vcpu-1gb").unwrap();
    let left = ocean.stock(&nyc3).await.unwrap().unwrap();
    assert!(left.len() > 5 && left[&nyc3].contains(&small));
    let catalog = ocean.catalog().await.unwrap();
    for plan in &catalog.plans {
        for region in &plan.locations {
            assert!(left[region].contains(&plan.id), "{} in {region}", plan.id);
        }
    }
    cloud.sell_out("s-1vcpu-1gb", Some("nyc3"));
    injected("F104");
    let left = ocean.stock(&nyc3).await.unwrap().unwrap();
    assert!(!left[&nyc3].contains(&small) && !left[&nyc3].is_empty());
    // A region that is no more has nothing left.
    let gone = RegionId::parse("zzz1").unwrap();
    let left = ocean.stock(&gone).await.unwrap().unwrap();
    assert!(left[&gone].is_empty());
    cloud.revoke_token();
    assert_eq!(ocean.stock(&nyc3).await, Err(ProviderError::Unauthorized));
}

#[tokio::test]
async fn what_has_no_price_any_more_is_sold_no_more() {
    let (cloud, ocean) = start().await;
    for (number, price) in ["0", "-0.5", "null"].into_iter().enumerate() {
        let row = format!(
            r#"{{"slug":"s-odd-{number}","memory":1024,"vcpus":1,"disk":25,"transfer":1.0,
            "price_monthly":{price},"price_hourly":{price},"regions":["nyc3"],"available":true,
            "description":"Odd"}}"#
        );
        cloud.add_size(&row).unwrap();
    }
    injected("F116");
    // The wire says that a price of nothing is no price of the vendor's document.
    let catalog = ocean.catalog().await.unwrap();
    assert!(catalog.plans.len() > 100);
    let mut ids = catalog.plans.iter().map(|plan| plan.id.as_str());
    assert!(!ids.any(|id| id.starts_with("do:s-odd")));
}
