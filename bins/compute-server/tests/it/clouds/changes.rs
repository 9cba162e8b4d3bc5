//! Another plan, and the switch, at either cloud. What a machine has and whether it is on is read from the
//! clouds' own records.

use compute_testkit::faults_log::injected;
use compute_testkit::vultr;
use compute_vendor_double::contract::Vendor;
use compute_vendor_double::digitalocean;
use compute_vendor_double::wire::{Call, Disturbance};
use serde_json::{Value, json};

use super::{Cloud, Shop};
use crate::buyer::{dollars, text};
use crate::first_sale::id_of;
use crate::http::Answer;
use crate::on_both_databases;
use crate::server::{Backend, PATIENCE, pause};

on_both_databases!(
    a_machine_gets_another_plan_at_either_cloud,
    a_change_that_vultr_cannot_do_changes_nothing,
    a_change_that_digitalocean_cannot_do_changes_nothing,
    a_lost_answer_of_vultr_changes_the_plan_once,
    a_lost_answer_of_digitalocean_changes_the_plan_once,
    a_lost_answer_of_the_switch_leaves_no_machine_off,
    a_machine_is_switched_off_and_on_at_either_cloud,
);

/// What a machine is by the records of its cloud: its plan, and whether it is on.
type Truth = (String, bool);

impl Cloud<'_> {
    /// A plan that costs more, has a larger disk, and is of the same kind.
    const fn larger(self) -> &'static str {
        match self.vendor {
            Vendor::Vultr => "vc2-2c-4gb",
            Vendor::DigitalOcean => "do:s-1vcpu-2gb",
        }
    }

    /// One of another kind, with more of everything.
    const fn of_another_kind(self) -> &'static str {
        match self.vendor {
            Vendor::Vultr => "vhf-2c-4gb",
            Vendor::DigitalOcean => "do:s-2vcpu-4gb-amd",
        }
    }

    /// The only machine.
    fn machine(self) -> String {
        let live = self.live();
        let [machine] = &live[..] else {
            panic!("one machine, not {live:?}")
        };
        machine.clone()
    }

    fn truth(self) -> Truth {
        let machine = self.machine();
        match self.vendor {
            Vendor::Vultr => {
                let cloud = &self.shop.vultr.0;
                (cloud.plan_of(&machine).unwrap(), cloud.is_on(&machine))
            }
            Vendor::DigitalOcean => {
                let (cloud, id) = (&self.shop.ocean, machine.parse().unwrap());
                let (size, _) = cloud.size_of(id).unwrap();
                (format!("do:{size}"), cloud.is_on(id))
            }
        }
    }

    /// How often the only machine got another plan, and how often it was switched off.
    fn changes(self) -> (usize, usize) {
        let machine = self.machine();
        match self.vendor {
            Vendor::Vultr => {
                let history = self.shop.vultr.0.history(&machine);
                let count = |is: fn(&vultr::Event) -> bool| {
                    history.iter().filter(|event| is(event)).count()
                };
                (
                    count(|it| matches!(it, vultr::Event::PlanChanged { .. })),
                    count(|it| matches!(it, vultr::Event::Powered { is_halted, .. } if *is_halted)),
                )
            }
            Vendor::DigitalOcean => {
                let history = self.shop.ocean.history(machine.parse().unwrap());
                let count = |is: fn(&digitalocean::Event) -> bool| {
                    history.iter().filter(|event| is(event)).count()
                };
                (
                    count(|it| matches!(it, digitalocean::Event::Resized { .. })),
                    count(|it| matches!(it, digitalocean::Event::Powered { is_on, .. } if !*is_on)),
                )
            }
        }
    }

    /// Disturbs the request that changes the plan.
    fn disturb_change(self, disturbance: Disturbance) {
        match self.vendor {
            Vendor::Vultr => {
                let change = Call::new("PATCH", "/v2/instances/{}");
                self.wire().disturb(change, disturbance);
            }
            // The machine is switched off before.
            Vendor::DigitalOcean => self.disturb_action(1, disturbance),
        }
    }

    /// Disturbs an action of DigitalOcean: 0 switches off, 1 changes the size, 2 switches on.
    fn disturb_action(self, number: usize, disturbance: Disturbance) {
        let actions = || Call::new("POST", "/v2/droplets/{}/actions");
        for _ in 0..number {
            self.wire().disturb(actions(), Disturbance::Nothing);
        }
        self.wire().disturb(actions(), disturbance);
    }

    async fn details(self, id: &str) -> Value {
        let path = format!("/compute/instances/{id}");
        let shop = self.shop;
        let details = shop.buyer.signed(&shop.server, "GET", &path, "").await;
        details.json(200).unwrap()["order"].clone()
    }

    async fn post(self, id: &str, what: &str, body: &Value) -> Answer {
        let path = format!("/compute/instances/{id}/{what}");
        let (shop, body) = (self.shop, body.to_string());
        shop.buyer.signed(&shop.server, "POST", &path, &body).await
    }

    async fn resize(self, id: &str, plan: &str) -> Answer {
        let body = json!({ "plan": plan, "confirm_disk_resize": true });
        self.post(id, "resize", &body).await
    }

    /// The order once nothing is being changed any more.
    async fn settled(self, id: &str) -> Value {
        let looking = async {
            loop {
                let order = self.details(id).await;
                if order["metadata"].get("resize_pending").is_none() {
                    return order;
                }
                pause().await;
            }
        };
        let looked = tokio::time::timeout(PATIENCE, looking).await;
        looked.unwrap_or_else(|_| panic!("{id} is changed for ever"))
    }

    /// Nothing has changed, and the machine is on.
    async fn check_unchanged(self, id: &str, before: &Value, why: &str) {
        let after = self.settled(id).await;
        for member in ["plan", "our_hourly", "expires_at", "status"] {
            assert_eq!(after[member], before[member], "{member}: {why}");
        }
        let plan = before["plan"].as_str().unwrap().to_owned();
        assert_eq!(self.truth(), (plan, true), "{why}");
        assert_eq!(self.changes().0, 0, "{why}");
    }
}

async fn check_refused(answer: Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", text(&answer));
    assert_eq!(answer.json(status).unwrap()["code"], code);
}

async fn a_machine_gets_another_plan_at_either_cloud(backend: Backend) {
    let shop = Shop::open(backend).await;
    for vendor in [Vendor::Vultr, Vendor::DigitalOcean] {
        let cloud = shop.cloud(vendor);
        let id = cloud.buy().await;
        let before = cloud.details(&id).await;
        let reply = cloud.resize(&id, cloud.larger()).await.json(200).unwrap();
        assert_eq!(reply["to_plan"], cloud.larger());
        assert_eq!(reply["from_plan"], before["plan"]);
        let after = cloud.settled(&id).await;
        assert_eq!(after["plan"], cloud.larger());
        assert_eq!(after["status"], "active");
        assert_eq!(after["our_hourly"], reply["new_hourly"]);
        assert!(dollars(&after["our_hourly"]) > dollars(&before["our_hourly"]));
        let end = |order: &Value| order["expires_at"].as_str().unwrap().to_owned();
        assert!(end(&after) < end(&before), "{after}");
        assert_eq!(cloud.truth(), (cloud.larger().to_owned(), true));
        let switched_off = usize::from(vendor == Vendor::DigitalOcean);
        assert_eq!(cloud.changes(), (1, switched_off));
        // There is no way back to a smaller disk.
        let first = before["plan"].as_str().unwrap();
        check_refused(cloud.resize(&id, first).await, 400, "resize_downgrade").await;
        assert_eq!(cloud.history().0.len(), 1, "no second machine");
        shop.destroy(&id).await;
    }
    shop.check_wires();
}

fn fails(status: u16, text: &str) -> Disturbance {
    let text = text.to_owned();
    Disturbance::FailBefore { status, text }
}

/// What cannot be had leaves everything as it was, and the machine on.
async fn a_change_that_cannot_be_had_changes_nothing(backend: Backend, vendor: Vendor) {
    let shop = Shop::open(backend).await;
    let cloud = shop.cloud(vendor);
    let id = cloud.buy().await;
    let before = cloud.details(&id).await;

    let refused = cloud.resize(&id, cloud.of_another_kind()).await;
    check_refused(refused, 400, "resize_other_family").await;
    let strange = match vendor {
        Vendor::Vultr => "do:s-1vcpu-2gb",
        Vendor::DigitalOcean => "vc2-2c-4gb",
    };
    let refused = cloud.resize(&id, strange).await;
    check_refused(refused, 400, "resize_other_provider").await;
    if vendor == Vendor::DigitalOcean {
        let body = json!({ "plan": cloud.larger() });
        let refused = cloud.post(&id, "resize", &body).await;
        check_refused(refused, 400, "disk_resize_confirmation_required").await;
    }
    cloud
        .check_unchanged(&id, &before, "refused by a rule")
        .await;
    assert_eq!(cloud.changes().1, 0, "it was never switched off");

    let refusals = match vendor {
        Vendor::Vultr => vec![
            (fails(400, "Plan is not available in this location"), 503),
            (fails(400, "Invalid plan chosen."), 502),
        ],
        Vendor::DigitalOcean => vec![
            (
                fails(422, "Size is too large to fit on your droplet's server"),
                503,
            ),
            (fails(422, "Size is not available in this region."), 503),
            (
                fails(
                    422,
                    "This size is not available because it has a smaller disk.",
                ),
                502,
            ),
        ],
    };
    for (refusal, status) in refusals {
        cloud.disturb_change(refusal.clone());
        injected("F117");
        let answer = cloud.resize(&id, cloud.larger()).await;
        assert_eq!(answer.status, status, "{refusal:?}: {}", text(&answer));
        assert_eq!(cloud.wire().pending(), 0, "{refusal:?} has come");
        let why = format!("{refusal:?}");
        cloud.check_unchanged(&id, &before, &why).await;
    }

    // It is accepted, and fails afterwards.
    match vendor {
        Vendor::Vultr => shop.vultr.0.inject(vultr::Fault::FailResize),
        Vendor::DigitalOcean => shop.ocean.fail_next_action("resize"),
    }
    injected("F117");
    cloud.resize(&id, cloud.larger()).await;
    cloud.check_unchanged(&id, &before, "it failed").await;
    let credits = shop.buyer.balance(&shop.server).await;
    assert_eq!(credits.balance.micros(), 0, "nothing was given back");

    // Nothing of that stands in the way of the next one.
    cloud.resize(&id, cloud.larger()).await.json(200).unwrap();
    assert_eq!(cloud.settled(&id).await["plan"], cloud.larger());
    assert_eq!(cloud.truth(), (cloud.larger().to_owned(), true));
    assert_eq!(cloud.history().0.len(), 1, "no second machine");
    shop.check_wires();
}

async fn a_change_that_vultr_cannot_do_changes_nothing(backend: Backend) {
    a_change_that_cannot_be_had_changes_nothing(backend, Vendor::Vultr).await;
}

async fn a_change_that_digitalocean_cannot_do_changes_nothing(backend: Backend) {
    a_change_that_cannot_be_had_changes_nothing(backend, Vendor::DigitalOcean).await;
}

fn disturbances() -> Vec<Disturbance> {
    let text = || "Internal error.".to_owned();
    vec![
        Disturbance::DropAfter,
        Disturbance::DropBefore,
        Disturbance::FailAfter {
            status: 500,
            text: text(),
        },
        fails(500, "Internal error."),
        Disturbance::Throttle {
            retry_after: Some(1),
        },
        Disturbance::PageAfter,
        Disturbance::HalfAfter,
    ]
}

/// Whatever becomes of one answer, the machine has the plan that is told, once, and is on.
async fn check_lost_answers(cloud: Cloud<'_>, disturb: impl Fn(Disturbance), cases: usize) {
    let shop = cloud.shop;
    let made = cloud.history().0.len();
    for (number, disturbance) in disturbances().into_iter().take(cases).enumerate() {
        let id = cloud.buy().await;
        disturb(disturbance.clone());
        injected("F118");
        cloud.resize(&id, cloud.larger()).await.json(200).unwrap();
        let after = cloud.settled(&id).await;
        assert_eq!(after["plan"], cloud.larger(), "{disturbance:?}");
        assert_eq!(after["status"], "active", "{disturbance:?}");
        let truth = (cloud.larger().to_owned(), true);
        assert_eq!(cloud.truth(), truth, "{disturbance:?}");
        assert_eq!(cloud.changes().0, 1, "{disturbance:?}");
        assert_eq!(cloud.history().0.len(), made + number + 1);
        assert_eq!(cloud.wire().pending(), 0, "{disturbance:?} has come");
        shop.destroy(&id).await;
    }
    shop.check_wires();
}

async fn a_lost_answer_of_vultr_changes_the_plan_once(backend: Backend) {
    let shop = Shop::open(backend).await;
    let cloud = shop.cloud(Vendor::Vultr);
    check_lost_answers(cloud, |it| cloud.disturb_change(it), usize::MAX).await;
}

async fn a_lost_answer_of_digitalocean_changes_the_plan_once(backend: Backend) {
    let shop = Shop::open(backend).await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    check_lost_answers(cloud, |it| cloud.disturb_change(it), usize::MAX).await;
}

/// To switch it off, and to switch it on again.
async fn a_lost_answer_of_the_switch_leaves_no_machine_off(backend: Backend) {
    let shop = Shop::open(backend).await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    for number in [0, 2] {
        check_lost_answers(cloud, |it| cloud.disturb_action(number, it), 5).await;
    }
}

/// The vendor accepts to switch it on, and does not do it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_does_not_come_on_is_switched_on_again() {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    let id = cloud.buy().await;
    shop.ocean.fail_next_action("power_off");
    shop.ocean.fail_next_action("power_on");
    injected("F117");
    cloud.resize(&id, cloud.larger()).await.json(200).unwrap();
    assert_eq!(cloud.settled(&id).await["plan"], cloud.larger());
    assert_eq!(cloud.truth(), (cloud.larger().to_owned(), true));
    let history = shop.ocean.history(cloud.machine().parse().unwrap());
    let failed = history
        .iter()
        .filter(|event| matches!(event, digitalocean::Event::ActionErrored { .. }));
    assert_eq!(failed.count(), 2);
    shop.check_wires();
}

async fn a_machine_is_switched_off_and_on_at_either_cloud(backend: Backend) {
    let shop = Shop::open(backend).await;
    for vendor in [Vendor::Vultr, Vendor::DigitalOcean] {
        let cloud = shop.cloud(vendor);
        let id = cloud.buy().await;
        let before = cloud.details(&id).await;
        for (action, is_on) in [
            ("stop", false),
            ("stop", false),
            ("start", true),
            ("start", true),
            ("reboot", true),
        ] {
            let body = json!({ "action": action });
            let reply = cloud.post(&id, "actions", &body).await.json(200).unwrap();
            assert_eq!(reply["status"], "done", "{action}: {reply}");
            assert_eq!(cloud.truth().1, is_on, "{action}");
            let after = cloud.details(&id).await;
            assert_eq!(after["expires_at"], before["expires_at"], "{action}");
        }
        assert_eq!(cloud.history().0.len(), 1);
        shop.destroy(&id).await;
    }
    shop.check_wires();
}

/// Whatever becomes of one answer, the machine ends as it was asked for.
async fn a_lost_answer_leaves_the_machine_as_wished(vendor: Vendor) {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(vendor);
    let id = cloud.buy().await;
    for disturbance in disturbances() {
        for (action, deed, is_on) in [
            ("stop", "halt", false),
            ("start", "start", true),
            ("reboot", "reboot", true),
        ] {
            match vendor {
                Vendor::Vultr => {
                    let call = Call::new("POST", &format!("/v2/instances/{{}}/{deed}"));
                    // There is no body of which a half could arrive.
                    cloud.wire().disturb(call, disturbance.clone());
                }
                Vendor::DigitalOcean => cloud.disturb_action(0, disturbance.clone()),
            }
            injected("F118");
            let body = json!({ "action": action });
            let reply = cloud.post(&id, "actions", &body).await.json(200).unwrap();
            assert_eq!(reply["status"], "done", "{action} {disturbance:?}: {reply}");
            assert_eq!(cloud.truth().1, is_on, "{action} {disturbance:?}");
            assert_eq!(cloud.wire().pending(), 0, "{action} {disturbance:?}");
        }
    }
    assert_eq!(cloud.history().0.len(), 1, "no second machine");
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_vultr_leaves_the_machine_as_wished() {
    a_lost_answer_leaves_the_machine_as_wished(Vendor::Vultr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_digitalocean_leaves_the_machine_as_wished() {
    a_lost_answer_leaves_the_machine_as_wished(Vendor::DigitalOcean).await;
}

/// A new start erases the disk and brings another password, also when the answer with it is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_set_up_anew_has_a_password_that_works() {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(Vendor::Vultr);
    let mut order = cloud.order();
    order.as_object_mut().unwrap().remove("ssh_public_key");
    let id = id_of(&shop.buyer.buy(&shop.server, &order).await);
    shop.buyer.wait_for(&shop.server, &id, "active").await;
    let password = async || {
        let path = format!("/compute/instances/{id}/password");
        let answer = shop.buyer.signed(&shop.server, "POST", &path, "").await;
        let reply = answer.json(200).unwrap();
        let password = &reply["access"]["password"];
        password
            .as_str()
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("{reply}"))
    };
    let first = password().await;
    for disturbance in [Disturbance::Nothing, Disturbance::DropAfter] {
        let call = Call::new("POST", "/v2/instances/{}/reinstall");
        cloud.wire().disturb(call, disturbance.clone());
        let body = json!({ "action": "reinstall" });
        let reply = cloud.post(&id, "actions", &body).await.json(200).unwrap();
        assert_eq!(reply["status"], "done", "{disturbance:?}: {reply}");
        let history = shop.vultr.0.history(&cloud.machine());
        let newest = history.iter().rev().find_map(|event| match event {
            vultr::Event::Reinstalled { password, .. } => Some(password.clone()),
            _ => None,
        });
        let told = password().await;
        assert_eq!(Some(&told), newest.as_ref(), "{disturbance:?}");
        assert_ne!(told, first);
        assert_eq!(cloud.wire().pending(), 0, "{disturbance:?} has come");
    }
    assert_eq!(cloud.history().0.len(), 1, "no second machine");
    shop.check_wires();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_digitalocean_does_not_have_is_not_supported() {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    let id = cloud.buy().await;
    let sent = cloud.changes();
    let body = json!({ "action": "reinstall" });
    let refused = cloud.post(&id, "actions", &body).await;
    check_refused(refused, 400, "not_supported").await;
    assert_eq!(cloud.changes(), sent);
    shop.check_wires();
}
