//! Machines that never come, that somebody removes, or that are there twice; a key that is revoked.

use compute_testkit::faults_log::injected;
use compute_testkit::vultr::{self, CreateBody};
use compute_vendor_double::contract::Vendor;
use compute_vendor_double::digitalocean::{Event, Habits};

use super::{Cloud, Shop};
use crate::buyer::pay;
use crate::first_sale::id_of;
use crate::ops::document;
use crate::server::{Backend, PATIENCE, pause};

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            pause().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

impl Cloud<'_> {
    /// From now on machines stay where they begin.
    fn never_boot(self) {
        match self.vendor {
            Vendor::Vultr => self.shop.vultr.0.inject_times(vultr::Fault::NeverReady, 10),
            Vendor::DigitalOcean => self.shop.ocean.set_habits(Habits {
                boot_looks: u32::MAX,
                ..Habits::default()
            }),
        }
    }

    fn revoke(self) {
        match self.vendor {
            Vendor::Vultr => self
                .shop
                .vultr
                .0
                .inject_times(vultr::Fault::RevokeKey, u32::MAX),
            Vendor::DigitalOcean => self.shop.ocean.revoke_token(),
        }
    }

    /// A second machine with every mark of the first that was made.
    fn duplicate(self) -> String {
        match self.vendor {
            Vendor::Vultr => {
                let journal = self.shop.vultr.0.journal();
                let body: &CreateBody = journal
                    .iter()
                    .find_map(|event| match event {
                        vultr::Event::Created { body, .. } => Some(&**body),
                        _ => None,
                    })
                    .unwrap();
                let body = serde_json::to_value(body).unwrap();
                self.shop.vultr.0.place(body).unwrap()
            }
            Vendor::DigitalOcean => {
                let journal = self.shop.ocean.journal();
                let body = journal
                    .iter()
                    .find_map(|event| match event {
                        Event::Created { body, .. } => Some(body),
                        _ => None,
                    })
                    .unwrap();
                self.shop.ocean.place(body).unwrap().to_string()
            }
        }
    }

    fn answered(self, status: u16) -> usize {
        let exchanges = self.wire().exchanges();
        let answered = exchanges.iter();
        answered
            .filter(|exchange| exchange.status == Some(status))
            .count()
    }
}

/// It never runs: it is taken back, and what was paid comes back.
async fn a_stuck_machine_is_taken_back(vendor: Vendor) {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(vendor);
    cloud.never_boot();
    let order = cloud.order();
    let payment = shop.buyer.sign(&shop.server, &order).await;
    let reply = pay(&shop.server, &order, &payment).await;
    let id = id_of(&reply.json(200).unwrap());
    injected("F108");
    shop.buyer.wait_for(&shop.server, &id, "failed").await;
    let (made, deleted) = cloud.history();
    assert_eq!(made, deleted);
    assert_eq!((cloud.live().len(), cloud.keys()), (0, 0));
    let credits = shop.buyer.balance(&shop.server).await;
    assert_eq!(credits.balance, credits.deposited);
    assert!(credits.balance.micros() > 0);
    shop.check_wires();
}

/// How many plans of a vendor are for sale.
async fn plans_of(shop: &Shop, vendor: &str) -> usize {
    let page = shop.get("/compute/plans").await;
    let plans = page["plans"].as_array().unwrap().iter();
    plans.filter(|plan| plan["provider"] == vendor).count()
}

/// Nothing is concluded from a key that does not work any more, but nothing new is sold by it either.
async fn a_revoked_key_ends_nothing(vendor: Vendor) {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(vendor);
    let id = cloud.buy().await;
    cloud.revoke();
    injected("F105");
    until("many looks", || cloud.answered(401) >= 6).await;
    let (name, other) = match vendor {
        Vendor::Vultr => ("vultr", "digitalocean"),
        Vendor::DigitalOcean => ("digitalocean", "vultr"),
    };
    let withdrawn = async {
        while plans_of(&shop, name).await > 0 {
            pause().await;
        }
    };
    let withdrawn = tokio::time::timeout(PATIENCE, withdrawn).await;
    assert!(withdrawn.is_ok(), "its plans are for sale still");
    assert!(plans_of(&shop, other).await > 0);
    let ready = shop.get("/readyz").await;
    assert_eq!(ready["ready"], true, "the other one sells");
    let reason = ready["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with(name), "{reason}");
    let known = document(&shop.home, &["providers"], 0);
    let rows = known["providers"].as_array().unwrap();
    let row = rows.iter().find(|row| row["provider"] == name).unwrap();
    assert!(row["refused_since"].is_string(), "{known}");
    shop.buyer.wait_for(&shop.server, &id, "active").await;
    let credits = shop.buyer.balance(&shop.server).await;
    assert_eq!(credits.balance.micros(), 0, "nothing was given back");
    assert_eq!(cloud.live().len(), 1);
    shop.check_wires();
}

/// Only the machine that the order has stays.
async fn a_duplicate_goes_and_the_machine_stays(vendor: Vendor) {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(vendor);
    let id = cloud.buy().await;
    let own = cloud.live();
    let duplicate = cloud.duplicate();
    injected("F103");
    until("the duplicate is deleted", || cloud.live() == own).await;
    let (_, deleted) = cloud.history();
    assert_eq!(deleted, [duplicate]);
    shop.buyer.wait_for(&shop.server, &id, "active").await;
    shop.destroy(&id).await;
    assert_eq!((cloud.live().len(), cloud.keys()), (0, 0));
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_machine_of_vultr_is_taken_back() {
    a_stuck_machine_is_taken_back(Vendor::Vultr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_machine_of_digitalocean_is_taken_back() {
    a_stuck_machine_is_taken_back(Vendor::DigitalOcean).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_of_vultr_ends_nothing() {
    a_revoked_key_ends_nothing(Vendor::Vultr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_of_digitalocean_ends_nothing() {
    a_revoked_key_ends_nothing(Vendor::DigitalOcean).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_at_vultr_goes_and_the_machine_stays() {
    a_duplicate_goes_and_the_machine_stays(Vendor::Vultr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_at_digitalocean_goes_and_the_machine_stays() {
    a_duplicate_goes_and_the_machine_stays(Vendor::DigitalOcean).await;
}

/// Somebody removes the machine at the vendor's panel: its end is known, and the rest is credited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_somebody_removed_is_credited() {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    let id = cloud.buy().await;
    for droplet in shop.ocean.droplets() {
        shop.ocean.remove(droplet);
    }
    injected("F112");
    shop.buyer.wait_for(&shop.server, &id, "destroyed").await;
    let (_, deleted) = cloud.history();
    assert!(deleted.is_empty());
    shop.check_wires();
}

/// It is its owner's all the same, and is shown as stopped by its provider.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_its_provider_stops_stays_its_owners() {
    let shop = Shop::open(Backend::Sqlite).await;
    for vendor in [Vendor::Vultr, Vendor::DigitalOcean] {
        let cloud = shop.cloud(vendor);
        let id = cloud.buy().await;
        match vendor {
            Vendor::Vultr => {
                let machine = cloud.live().remove(0);
                let states = ["suspended", "stopped", "none"].map(str::to_owned);
                let fault = vultr::Fault::SetState { machine, states };
                shop.vultr.0.inject(fault);
            }
            Vendor::DigitalOcean => {
                let droplet = shop.ocean.droplets().remove(0);
                shop.ocean.set_status(droplet, "archive", false);
            }
        }
        injected("F113");
        let path = format!("/compute/instances/{id}");
        let shown = async {
            loop {
                let details = shop.buyer.signed(&shop.server, "GET", &path, "").await;
                let order = details.json(200).unwrap()["order"].clone();
                if !order["metadata"]["suspended_since"].is_null() {
                    return order;
                }
                pause().await;
            }
        };
        let order = tokio::time::timeout(PATIENCE, shown).await.unwrap();
        assert_eq!(order["status"], "active", "{order}");
        let (made, deleted) = cloud.history();
        assert_eq!((made.len(), deleted.len()), (1, 0));
    }
    shop.check_wires();
}
