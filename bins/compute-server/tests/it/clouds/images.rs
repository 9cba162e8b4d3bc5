//! An image that the machine cannot run is refused before anybody pays.

use compute_testkit::faults_log::injected;
use compute_vendor_double::contract::Vendor;

use super::Shop;
use crate::buyer::{pay, post, text};
use crate::server::Backend;

/// One GPU of NVIDIA, as the vendor lists it for an account with a quota.
const NVIDIA: &str = r#"{"slug":"gpu-h100x1-96gb","memory":245760,"vcpus":20,"disk":720,
    "transfer":15.0,"price_monthly":3281.04,"price_hourly":4.41,"regions":["tor1"],
    "available":true,"description":"H100 GPU - 1X",
    "gpu_info":{"count":1,"model":"nvidia_h100","vram":{"amount":96,"unit":"gib"}}}"#;

const AMD_PLAN: &str = "do:gpu-mi325x1-256gb";
const NVIDIA_PLAN: &str = "do:gpu-h100x1-96gb";
const SMALL_PLAN: &str = "do:s-1vcpu-512mb-10gb";
const USUAL_PLAN: &str = "do:s-1vcpu-1gb";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_must_fit_the_plan_and_the_region() {
    let shop = Shop::open_after(Backend::Sqlite, |ocean| {
        ocean.add_size(NVIDIA).unwrap();
        ocean.withdraw_image("debian-12-x64", "nyc3");
    })
    .await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    // What is wrong, or nothing.
    let rows = [
        (AMD_PLAN, "tor1", "gpu-amd-base", ""),
        (AMD_PLAN, "tor1", "gpu-h100x1-base", "NVIDIA"),
        (NVIDIA_PLAN, "tor1", "gpu-h100x1-base", ""),
        (NVIDIA_PLAN, "tor1", "gpu-h100x8-base", "with 8"),
        (NVIDIA_PLAN, "tor1", "gpu-amd-base", "AMD"),
        (USUAL_PLAN, "nyc3", "gpu-amd-base", "AMD"),
        (USUAL_PLAN, "nyc3", "gpu-h100x1-base", "NVIDIA"),
        // Without a driver it boots all the same, and its owner may install one.
        (AMD_PLAN, "tor1", "ubuntu-24-04-x64", ""),
        (NVIDIA_PLAN, "tor1", "debian-12-x64", ""),
        (SMALL_PLAN, "nyc1", "rockylinux-9-x64", ""),
        (SMALL_PLAN, "nyc1", "fedora-42-x64", "15 GB"),
        (USUAL_PLAN, "nyc3", "fedora-42-x64", ""),
        (USUAL_PLAN, "nyc3", "debian-12-x64", "region"),
        (USUAL_PLAN, "nyc1", "debian-12-x64", ""),
    ];
    let usual = cloud.order();
    let payment = shop.buyer.sign(&shop.server, &usual).await;
    for (plan, region, image, wrong) in rows {
        let mut order = cloud.order();
        order["plan"] = plan.into();
        order["region"] = region.into();
        order["os_id"] = image.into();
        let answer = post(&shop.server, &order, &[]).await;
        if wrong.is_empty() {
            assert_eq!(answer.status, 402, "{plan} {image}: {}", text(&answer));
            continue;
        }
        let problem = answer.json(400).unwrap();
        assert_eq!(problem["code"], "image_not_for_plan", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(wrong), "{detail}");
        // With a payment too, whatever it pays for.
        let refused = pay(&shop.server, &order, &payment).await;
        assert_eq!(refused.json(400).unwrap()["code"], "image_not_for_plan");
        injected("F104");
    }
    assert_eq!(cloud.wire().count("POST", "/v2/droplets"), 0);
    // Nothing of the payment was spent.
    pay(&shop.server, &usual, &payment).await.json(200).unwrap();
    shop.check_wires();
}

/// Systems with a paid licence, and rows that are no systems, are not offered at either cloud.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_licence_is_sold() {
    let shop = Shop::open(Backend::Sqlite).await;
    let list = shop.get("/compute/os").await;
    let hidden = ["windows", "iso", "snapshot", "backup", "application"];
    let images = list["os_options"].as_array().unwrap();
    assert!(images.len() > 20, "{}", images.len());
    for image in images {
        let family = image["family"].as_str().unwrap();
        assert!(!hidden.contains(&family), "{image}");
    }
    // Windows at Vultr.
    let mut order = shop.cloud(Vendor::Vultr).order();
    for id in [501, 159, 164, 180, 186] {
        order["os_id"] = id.into();
        let problem = post(&shop.server, &order, &[]).await.json(400).unwrap();
        assert_eq!(problem["code"], "unknown_image", "{problem}");
    }
    shop.check_wires();
}
