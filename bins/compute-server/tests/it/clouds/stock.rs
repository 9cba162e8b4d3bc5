//! What a cloud has left is asked for before a price is named and before a payment is taken.

use compute_testkit::faults_log::injected;
use compute_testkit::vultr;
use compute_vendor_double::contract::Vendor;
use compute_vendor_double::wire::{Call, Disturbance};
use serde_json::Value;

use super::{Cloud, Shop};
use crate::buyer::{pay, post, text};
use crate::server::{Backend, PATIENCE, pause};

impl Cloud<'_> {
    /// The plan of the ordinary order is sold out in its region from now on.
    fn sell_out(self) {
        match self.vendor {
            Vendor::Vultr => self.shop.vultr.0.inject(vultr::Fault::OutOfStock {
                plan: "vc2-1c-1gb".to_owned(),
                region: Some("ewr".to_owned()),
            }),
            Vendor::DigitalOcean => self.shop.ocean.sell_out("s-1vcpu-1gb", Some("nyc3")),
        }
    }

    fn restock(self) {
        match self.vendor {
            Vendor::Vultr => self.shop.vultr.0.clear_faults(),
            Vendor::DigitalOcean => self.shop.ocean.restock(),
        }
    }

    /// Where the catalogue says that the plan of the ordinary order can be had.
    async fn shown(self) -> Vec<Value> {
        let plans = self.shop.get("/compute/plans").await;
        let plans = plans["plans"].as_array().unwrap();
        let own = plans.iter().find(|plan| plan["id"] == self.order()["plan"]);
        own.map_or_else(Vec::new, |plan| {
            plan["locations"].as_array().unwrap().clone()
        })
    }

    /// Asks for the price until the answer has this status, and returns it.
    async fn ask_until(self, status: u16) -> Value {
        let (shop, order) = (self.shop, self.order());
        let asking = async {
            loop {
                let answer = post(&shop.server, &order, &[]).await;
                if answer.status == status {
                    return answer.json(status).unwrap();
                }
                pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap()
    }
}

/// No price and no sale of what is gone, at once for payments, within a minute for prices.
async fn what_is_gone_is_not_sold(vendor: Vendor) {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(vendor);
    let order = cloud.order();
    let payment = shop.buyer.sign(&shop.server, &order).await;
    assert!(cloud.shown().await.contains(&order["region"]));
    // Until what was said before counts no more.
    for _ in 0..4 {
        pause().await;
    }
    cloud.sell_out();
    injected("F104");
    let refused = pay(&shop.server, &order, &payment).await;
    let problem = refused.json(400).unwrap();
    assert_eq!(problem["code"], "plan_not_in_region", "{problem}");
    assert!(!text(&refused).contains("accepts"), "no second payment");
    let problem = cloud.ask_until(400).await;
    assert_eq!(problem["code"], "plan_not_in_region", "{problem}");
    let shown = cloud.shown().await;
    assert!(!shown.contains(&order["region"]), "{shown:?}");
    assert!(!shown.is_empty(), "elsewhere it is sold as before");
    // Nothing was asked for at the cloud, and nothing was charged.
    assert_eq!(cloud.wire().count("POST", cloud.machines()), 0);
    let credits = shop.buyer.balance(&shop.server).await;
    assert_eq!(
        (credits.balance.micros(), credits.deposited.micros()),
        (0, 0)
    );
    cloud.restock();
    cloud.ask_until(402).await;
    assert!(cloud.shown().await.contains(&order["region"]));
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_at_vultr_is_not_sold() {
    what_is_gone_is_not_sold(Vendor::Vultr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_at_digitalocean_is_not_sold() {
    what_is_gone_is_not_sold(Vendor::DigitalOcean).await;
}

/// The catalogue's word stands when the cloud says nothing, fails, or knows the key no more; what is
/// then asked for and refused comes back as credit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_does_not_say_ends_no_sales() {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(Vendor::Vultr);
    let order = cloud.order();
    let questions = || Call::new("GET", "/v2/regions/{}/availability");
    for disturbance in [Disturbance::SilenceAfter, Disturbance::PageBefore] {
        cloud.wire().disturb(questions(), disturbance);
        // Longer than any answer counts.
        for _ in 0..6 {
            let answer = post(&shop.server, &order, &[]).await;
            assert_eq!(answer.status, 402, "{}", text(&answer));
            pause().await;
        }
        cloud.wire().calm();
    }
    shop.vultr.0.inject_times(vultr::Fault::RevokeKey, u32::MAX);
    injected("F105");
    for _ in 0..6 {
        let answer = post(&shop.server, &order, &[]).await;
        assert_eq!(answer.status, 402, "{}", text(&answer));
        pause().await;
    }
    assert!(cloud.shown().await.contains(&order["region"]));
    shop.check_wires();
}
