//! `serve` with two clouds, each behind a wire that loses and garbles. What was made and deleted is
//! read from the clouds' own records.

mod changes;
mod faults;
mod images;
mod passwords;
mod stock;
mod trouble;

use compute_domain::time::{Span, Timestamp};
use compute_testkit::{facilitator, vultr};
use compute_vendor_double::contract::Vendor;
use compute_vendor_double::digitalocean;
use compute_vendor_double::wire::{Call, Disturbance, Wire};
use serde_json::{Value, json};

use crate::buyer::{Buyer, order, post, text};
use crate::first_sale::id_of;
use crate::on_both_databases;
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, Server};

on_both_databases!(two_clouds_sell_side_by_side);

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

/// Waits that a fault makes long, and what they are here; divided by 20 like every other.
const SHORT: [(&str, &str); 15] = [
    ("COMPUTE_SERVER_TIMING__STOCK_LIFE", "10s"),
    ("COMPUTE_SERVER_TIMING__SOLD_OUT_FOR", "20s"),
    ("COMPUTE_SERVER_TIMING__FIND_WINDOW", "20s"),
    ("COMPUTE_SERVER_TIMING__FIND_LOOKS", "3"),
    ("COMPUTE_SERVER_TIMING__GONE_GAP", "10s"),
    ("COMPUTE_SERVER_TIMING__READY_WINDOW", "60s"),
    ("COMPUTE_SERVER_TIMING__WATCH_EVERY", "10s"),
    ("COMPUTE_SERVER_TIMING__WATCH_ROUND_EVERY", "10s"),
    ("COMPUTE_SERVER_TIMING__LOST_WINDOW", "20s"),
    ("COMPUTE_SERVER_TIMING__LOST_LOOKS", "3"),
    ("COMPUTE_SERVER_TIMING__LOST_FLEET_WINDOW", "40s"),
    ("COMPUTE_SERVER_TIMING__SWEEP_EVERY", "20s"),
    ("COMPUTE_SERVER_TIMING__ORPHAN_AGE", "20s"),
    ("COMPUTE_SERVER_TIMING__ORPHAN_QUARANTINE", "20s"),
    ("COMPUTE_SERVER_TIMING__RETRY_MAX", "10s"),
];

/// Both clouds and a server that sells them.
struct Shop {
    vultr: (vultr::Handle, Wire),
    ocean: digitalocean::Handle,
    _network: facilitator::Handle,
    home: Home,
    server: Server,
    buyer: Buyer,
}

impl Shop {
    async fn open(backend: Backend) -> Self {
        Self::open_after(backend, |_| ()).await
    }

    /// The same after a change of what DigitalOcean sells.
    async fn open_after(backend: Backend, change: impl FnOnce(&digitalocean::Handle)) -> Self {
        let wire = Wire::new(Vendor::Vultr);
        let options = vultr::Options::default();
        let cloud = vultr::spawn_behind(options, |router| wire.before(router));
        let cloud = cloud.await.unwrap();
        let options = digitalocean::Options::default();
        let ocean = digitalocean::spawn(options).await.unwrap();
        change(&ocean);
        let options = facilitator::Options::default();
        let network = facilitator::spawn(options).await.unwrap();
        let home = Home::new(backend).await;
        let ocean_url = ocean.url();
        let mut variables = vec![
            (
                "COMPUTE_SERVER_PROVIDERS__DIGITALOCEAN__TOKEN",
                "test-token",
            ),
            (
                "COMPUTE_SERVER_PROVIDERS__DIGITALOCEAN__BASE_URL",
                &ocean_url,
            ),
        ];
        variables.extend(SHORT);
        let server = serve_with(&home, &cloud.api_url(), &network, &variables);
        Self {
            vultr: (cloud, wire),
            ocean,
            _network: network,
            home,
            server,
            buyer: Buyer::new(),
        }
    }

    fn cloud(&self, vendor: Vendor) -> Cloud<'_> {
        Cloud { shop: self, vendor }
    }

    async fn get(&self, path: &str) -> Value {
        self.server.get(path, &[]).await.json(200).unwrap()
    }

    /// One more day, paid with credits; the machine's end is a day later.
    async fn extend(&self, id: &str) {
        let path = format!("/compute/instances/{id}");
        let end = async || {
            let details = self.buyer.signed(&self.server, "GET", &path, "").await;
            let text = details.json(200).unwrap()["order"]["expires_at"].clone();
            Timestamp::parse(text.as_str().unwrap()).unwrap()
        };
        let before = end().await;
        let body = json!({"extend_hours": 24, "use_credits": true}).to_string();
        let extend = format!("{path}/extend");
        let answer = self.buyer.signed(&self.server, "POST", &extend, &body);
        answer.await.json(200).unwrap();
        assert_eq!(end().await, before.plus(Span::from_hours(24)));
    }

    async fn destroy(&self, id: &str) {
        let path = format!("/compute/instances/{id}");
        let answer = self.buyer.signed(&self.server, "DELETE", &path, "").await;
        assert_eq!(answer.status, 200, "{}", text(&answer));
        self.buyer.wait_for(&self.server, id, "destroyed").await;
    }

    fn check_wires(&self) {
        for wire in [&self.vultr.1, self.ocean.wire()] {
            assert_eq!(wire.violations(), Vec::<String>::new());
        }
    }
}

/// One of the clouds, by its own records.
#[derive(Clone, Copy)]
struct Cloud<'a> {
    shop: &'a Shop,
    vendor: Vendor,
}

impl Cloud<'_> {
    fn wire(self) -> Wire {
        match self.vendor {
            Vendor::Vultr => self.shop.vultr.1.clone(),
            Vendor::DigitalOcean => self.shop.ocean.wire().clone(),
        }
    }

    /// The machines that exist.
    fn live(self) -> Vec<String> {
        match self.vendor {
            Vendor::Vultr => self.shop.vultr.0.machines(),
            Vendor::DigitalOcean => {
                let droplets = self.shop.ocean.droplets();
                droplets.iter().map(u64::to_string).collect()
            }
        }
    }

    /// The machines that were ever made, and those that were deleted, each in order.
    fn history(self) -> (Vec<String>, Vec<String>) {
        let (mut made, mut deleted) = (Vec::new(), Vec::new());
        match self.vendor {
            Vendor::Vultr => {
                for event in self.shop.vultr.0.journal() {
                    match event {
                        vultr::Event::Created { id, .. } => made.push(id),
                        vultr::Event::Deleted { id, .. } => deleted.push(id),
                        _ => {}
                    }
                }
            }
            Vendor::DigitalOcean => {
                for event in self.shop.ocean.journal() {
                    match event {
                        digitalocean::Event::Created { id, .. } => made.push(id.to_string()),
                        digitalocean::Event::Deleted { id, .. } => deleted.push(id.to_string()),
                        _ => {}
                    }
                }
            }
        }
        (made, deleted)
    }

    /// The keys of customers that are registered.
    fn keys(self) -> usize {
        match self.vendor {
            Vendor::Vultr => {
                let journal = self.shop.vultr.0.journal();
                let count =
                    |is: fn(&vultr::Event) -> bool| journal.iter().filter(|it| is(it)).count();
                count(|it| matches!(it, vultr::Event::KeyAdded { .. }))
                    - count(|it| matches!(it, vultr::Event::KeyRemoved { .. }))
            }
            Vendor::DigitalOcean => self.shop.ocean.ssh_keys().len(),
        }
    }

    fn machines(self) -> &'static str {
        match self.vendor {
            Vendor::Vultr => "/v2/instances",
            Vendor::DigitalOcean => "/v2/droplets",
        }
    }

    fn disturb(self, method: &str, disturbance: Disturbance) {
        let path = match method {
            "DELETE" => format!("{}/{{}}", self.machines()),
            _ => self.machines().to_owned(),
        };
        self.wire().disturb(Call::new(method, &path), disturbance);
    }

    /// An order with a key, which needs no password.
    fn order(self) -> Value {
        let mut order = order();
        order["ssh_public_key"] = KEY.into();
        if self.vendor == Vendor::DigitalOcean {
            order["plan"] = "do:s-1vcpu-1gb".into();
            order["region"] = "nyc3".into();
            order["os_id"] = "ubuntu-24-04-x64".into();
        }
        order
    }

    /// Buys a machine, and returns the id of its order when it runs.
    async fn buy(self) -> String {
        let (shop, order) = (self.shop, self.order());
        let id = id_of(&shop.buyer.buy(&shop.server, &order).await);
        let active = shop.buyer.wait_for(&shop.server, &id, "active").await;
        assert!(
            active["ip_address"]
                .as_str()
                .unwrap()
                .starts_with("203.0.113.")
        );
        let live = self.live();
        assert_eq!(live, [active["provider_instance_id"].as_str().unwrap()]);
        id
    }
}

async fn two_clouds_sell_side_by_side(backend: Backend) {
    let shop = Shop::open(backend).await;
    let ids = |list: &Value| -> Vec<String> {
        let rows = list.as_array().unwrap().iter();
        rows.map(|row| row["id"].to_string().replace('"', ""))
            .collect()
    };
    let plans = ids(&shop.get("/compute/plans").await["plans"]);
    let regions = ids(&shop.get("/compute/regions").await["regions"]);
    let images = ids(&shop.get("/compute/os").await["os_options"]);
    for (list, wanted) in [
        (&plans, ["vc2-1c-1gb", "do:s-1vcpu-1gb"]),
        (&regions, ["ewr", "nyc3"]),
        (&images, ["2284", "ubuntu-24-04-x64"]),
    ] {
        for id in wanted {
            assert!(list.iter().any(|it| it == id), "{id} of {list:?}");
        }
    }

    let clouds = [Vendor::Vultr, Vendor::DigitalOcean].map(|vendor| shop.cloud(vendor));
    let mut orders = Vec::new();
    for (cloud, provider) in clouds.iter().zip(["vultr", "digitalocean"]) {
        let id = cloud.buy().await;
        let path = format!("/compute/instances/{id}");
        let details = shop.buyer.signed(&shop.server, "GET", &path, "").await;
        let details = details.json(200).unwrap();
        assert_eq!(details["order"]["provider"], provider);
        assert_eq!(details["order"]["plan"], cloud.order()["plan"]);
        orders.push(id);
    }
    let path = "/compute/instances";
    let list = shop.buyer.signed(&shop.server, "GET", path, "").await;
    let list = list.json(200).unwrap();
    assert_eq!(list["instances"].as_array().map(Vec::len), Some(2));
    shop.buyer.top_up(&shop.server, 10).await;
    for id in &orders {
        shop.extend(id).await;
        shop.destroy(id).await;
    }
    for cloud in clouds {
        let (made, deleted) = cloud.history();
        assert_eq!((made.len(), &made), (1, &deleted));
        assert_eq!((cloud.live().len(), cloud.keys()), (0, 0));
    }
    shop.check_wires();
    assert!(!shop.server.log().contains("test-token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn digitalocean_needs_a_key_before_it_asks_for_money() {
    let shop = Shop::open(Backend::Sqlite).await;
    let cloud = shop.cloud(Vendor::DigitalOcean);
    let mut order = cloud.order();
    order.as_object_mut().unwrap().remove("ssh_public_key");
    let refused = post(&shop.server, &order, &[]).await;
    let problem = refused.json(400).unwrap();
    assert_eq!(problem["code"], "ssh_key_required", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("ssh_public_key"), "{detail}");
    assert_eq!(cloud.wire().count("POST", "/v2/account/keys"), 0);
    // A contradiction between plan and provider is one as well.
    let mut order = cloud.order();
    order["provider"] = json!("vultr");
    assert_eq!(post(&shop.server, &order, &[]).await.status, 400);
    shop.check_wires();
}

/// A cloud that never answered takes nothing from the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_is_away_does_not_end_the_others_sales() {
    let shop = Shop::open(Backend::Sqlite).await;
    let Shop {
        vultr,
        ocean,
        _network: network,
        home,
        server,
        buyer,
    } = shop;
    drop((server, ocean, home));
    let home = Home::new(Backend::Sqlite).await;
    let variables = [
        (
            "COMPUTE_SERVER_PROVIDERS__DIGITALOCEAN__TOKEN",
            "test-token",
        ),
        (
            "COMPUTE_SERVER_PROVIDERS__DIGITALOCEAN__BASE_URL",
            "http://127.0.0.1:9",
        ),
    ];
    let server = serve_with(&home, &vultr.0.api_url(), &network, &variables);
    let plans = server.get("/compute/plans", &[]).await.json(200).unwrap();
    let plans = plans["plans"].as_array().unwrap();
    assert!(plans.iter().all(|plan| plan["provider"] == "vultr"));
    buyer.buy(&server, &order()).await;
    assert_eq!(vultr.0.machines().len(), 1);
}
