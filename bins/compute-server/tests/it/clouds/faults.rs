//! Ways in which a create, a list or a delete can go wrong, at either cloud.

use compute_testkit::faults_log::injected;
use compute_vendor_double::contract::Vendor;
use compute_vendor_double::digitalocean;
use compute_vendor_double::wire::Disturbance;

use super::Shop;
use crate::buyer::{pay, post, text};
use crate::first_sale::id_of;
use crate::server::{Backend, PATIENCE, pause};

fn fails(status: u16) -> (Disturbance, Disturbance) {
    let text = || "Internal error.".to_owned();
    (
        Disturbance::FailBefore {
            status,
            text: text(),
        },
        Disturbance::FailAfter {
            status,
            text: text(),
        },
    )
}

/// Every way in which a create, a list or a delete can go wrong without being refused.
async fn every_fault_delivers_one_machine(vendor: Vendor) {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(vendor);
    let (before, after) = fails(500);
    let creates = [
        ("F100", Disturbance::DropAfter),
        ("F100", Disturbance::SilenceAfter),
        ("F101", after.clone()),
        ("F101", Disturbance::PageAfter),
        ("F120", Disturbance::HalfAfter),
        ("F100", Disturbance::DropBefore),
        ("F101", before.clone()),
        (
            "F106",
            Disturbance::Throttle {
                retry_after: Some(1),
            },
        ),
    ];
    let deletes = [
        Disturbance::DropAfter,
        Disturbance::DropBefore,
        after,
        before,
        Disturbance::PageAfter,
    ];
    let orders = creates.len();
    for (number, (fault, disturbance)) in creates.into_iter().enumerate() {
        cloud.disturb("POST", disturbance.clone());
        // The first look for what was made goes wrong too.
        cloud.disturb("GET", Disturbance::PageBefore);
        let id = cloud.buy().await;
        injected(fault);
        let (made, _) = cloud.history();
        assert_eq!(made.len(), number + 1, "{disturbance:?} made one machine");
        cloud.disturb("DELETE", deletes[number % deletes.len()].clone());
        shop.destroy(&id).await;
        injected("F109");
        assert_eq!(cloud.live(), Vec::<String>::new());
        cloud.wire().calm();
    }
    let (made, deleted) = cloud.history();
    assert_eq!(made, deleted, "each machine was deleted once, and no other");
    assert_eq!(made.len(), orders);
    assert_eq!(cloud.keys(), 0);
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_vultr_delivers_one_machine() {
    every_fault_delivers_one_machine(Vendor::Vultr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_digitalocean_delivers_one_machine() {
    every_fault_delivers_one_machine(Vendor::DigitalOcean).await;
}

/// What cannot be delivered comes back, and nothing is left at the cloud.
async fn what_is_refused_is_credited(vendor: Vendor, status: u16, texts: &[&str]) {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(vendor);
    for words in texts {
        let refusal = Disturbance::FailBefore {
            status,
            text: (*words).to_owned(),
        };
        cloud.disturb("POST", refusal);
        let order = cloud.order();
        let payment = shop.buyer.sign(&shop.server, &order).await;
        let answer = pay(&shop.server, &order, &payment).await;
        assert!(matches!(answer.status, 502 | 503), "{}", text(&answer));
        let problem = answer.json(answer.status).unwrap();
        assert!(problem["details"]["credited"].is_number(), "{problem}");
        injected("F104");
        if problem["code"] == "no_capacity" {
            // The plan is not offered there for a while.
            let hidden = post(&shop.server, &order, &[]).await.json(400).unwrap();
            assert_eq!(hidden["code"], "plan_not_in_region", "{hidden}");
            let back = async {
                while post(&shop.server, &order, &[]).await.status != 402 {
                    pause().await;
                }
            };
            tokio::time::timeout(PATIENCE, back).await.unwrap();
        }
    }
    assert_eq!(cloud.history().0.len(), 0);
    assert_eq!(cloud.keys(), 0);
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vultr_refuses_is_credited() {
    let limit = "Server add failed: You have reached the maximum number of active instances for this account.";
    let texts = [
        "Plan is not available in this location",
        limit,
        "Invalid os_id.",
    ];
    what_is_refused_is_credited(Vendor::Vultr, 400, &texts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_digitalocean_refuses_is_credited() {
    let texts = [
        "Size is not available in this region.",
        "creating this/these droplet(s) will exceed your droplet limit",
        "You specified an invalid image for Droplet creation.",
    ];
    what_is_refused_is_credited(Vendor::DigitalOcean, 422, &texts).await;
}

/// DigitalOcean's own: late lists, late tags, a delete that must wait, a placement that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digitalocean_may_be_late() {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    shop.ocean.set_habits(digitalocean::Habits {
        boot_looks: 8,
        hidden_lists: 2,
        hidden_looks: 2,
        untagged_looks: 6,
        ghost_lists: 3,
        tags_list_gpus: false,
        refuses_early_delete: true,
        action_looks: 6,
    });
    cloud.disturb("POST", Disturbance::DropAfter);
    let id = cloud.buy().await;
    shop.destroy(&id).await;
    injected("F100");

    // It is accepted, and then it is not there.
    shop.ocean.fail_next_placement();
    let order = cloud.order();
    let id = id_of(&shop.buyer.buy(&shop.server, &order).await);
    shop.buyer.wait_for(&shop.server, &id, "failed").await;
    injected("F102");
    let credits = shop.buyer.balance(&shop.server).await;
    assert!(credits.balance.micros() > 0, "{credits:?}");

    let (made, deleted) = cloud.history();
    assert_eq!((made.len(), deleted.len()), (2, 1));
    assert_eq!((cloud.live().len(), cloud.keys()), (0, 0));
    shop.check_wires();
}
