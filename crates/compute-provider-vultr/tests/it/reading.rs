use compute_domain::catalog::{Catalog, OsId, PlanId, RegionId};
use compute_engine::ports::{Ambiguity, Provider, ProviderError};
use compute_testkit::faults_log::injected;
use compute_testkit::vultr::Fault;

use crate::start;

#[tokio::test]
async fn the_catalogue_holds_what_can_be_sold_now() {
    let (double, vultr) = start().await;
    let ewr = RegionId::parse("ewr").unwrap();
    let small = PlanId::parse("vc2-1c-1gb").unwrap();
    double.inject(Fault::OutOfStock {
        plan: small.to_string(),
        region: Some("ams".to_owned()),
    });
    let catalog = vultr.catalog().await.unwrap();
    assert_eq!(catalog.regions.len(), 32);
    assert!(catalog.plans.len() > 180);
    assert!(catalog.plans.is_sorted_by(|a, b| a.id < b.id));
    let plan = catalog.plans.iter().find(|plan| plan.id == small).unwrap();
    assert!(plan.locations.contains(&ewr));
    assert!(!plan.locations.contains(&RegionId::parse("ams").unwrap()));
    assert_eq!(plan.cost_in(&ewr).micros(), 7_441);
    let ubuntu = OsId::parse("2284").unwrap();
    assert!(catalog.images.iter().any(|image| image.id == ubuntu));
    assert!(catalog.images.iter().all(|image| image.family != "windows"));
}

#[tokio::test]
async fn a_catalogue_read_in_part_is_no_catalogue() {
    let (double, vultr) = start().await;
    double.inject(Fault::Html502);
    let error = vultr.catalog().await.unwrap_err();
    assert_eq!(error, ProviderError::Ambiguous(Ambiguity::ServerError(502)));
    assert!(vultr.catalog().await.is_ok());
}

/// The simulator's catalogue comes from the same answers, by a program that shares no code.
#[tokio::test]
async fn another_reader_of_the_same_answers_agrees() {
    let (_double, vultr) = start().await;
    let read = vultr.catalog().await.unwrap();
    let file = include_str!("../../../compute-simulator/data/vultr.json");
    let other: Catalog = serde_json::from_str(file).unwrap();
    let mut compared = 0;
    for own in &read.plans {
        // The double sells some rows of 2026 as well.
        if let Some(theirs) = other.plans.iter().find(|theirs| theirs.id == own.id) {
            assert_eq!(own, theirs);
            compared += 1;
        }
    }
    assert!(compared > 180, "{compared}");
    for region in &read.regions {
        assert!(other.regions.contains(region), "{region:?}");
    }
    let mut images = other.images;
    images.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(read.images, images);
}

#[tokio::test]
async fn what_is_left_is_asked_region_by_region() {
    let (double, vultr) = start().await;
    let ewr = RegionId::parse("ewr").unwrap();
    let small = PlanId::parse("vc2-1c-1gb").unwrap();
    let left = vultr.stock(&ewr).await.unwrap().unwrap();
    assert_eq!(left.keys().collect::<Vec<_>>(), [&ewr]);
    assert!(left[&ewr].contains(&small) && left[&ewr].len() > 50);
    double.inject(Fault::OutOfStock {
        plan: small.to_string(),
        region: Some("ewr".to_owned()),
    });
    injected("F104");
    let left = vultr.stock(&ewr).await.unwrap().unwrap();
    assert!(!left[&ewr].contains(&small) && !left[&ewr].is_empty());
    assert_eq!(double.calls("GET", "/v2/regions/ewr/availability"), 2);
    assert_eq!(double.calls("GET", "/v2/account"), 0);
    // A region that is no more has nothing left.
    let gone = RegionId::parse("zzz").unwrap();
    let left = vultr.stock(&gone).await.unwrap().unwrap();
    assert!(left[&gone].is_empty());
}

/// Without a key that counts, every region seems to be sold out.
#[tokio::test]
async fn a_revoked_key_is_not_a_cloud_without_stock() {
    let (double, vultr) = start().await;
    let ewr = RegionId::parse("ewr").unwrap();
    double.inject_times(Fault::RevokeKey, u32::MAX);
    injected("F105");
    assert_eq!(vultr.stock(&ewr).await, Err(ProviderError::Unauthorized));
    double.clear_faults();
    // One region where everything is gone, with a key that counts, is just that.
    for plan in vultr.stock(&ewr).await.unwrap().unwrap()[&ewr].iter() {
        double.inject(Fault::OutOfStock {
            plan: plan.to_string(),
            region: Some("ewr".to_owned()),
        });
    }
    assert!(vultr.stock(&ewr).await.unwrap().unwrap()[&ewr].is_empty());
}
