//! What a server does without being asked: it looks after machines, and after the books.

use compute_domain::money::Usd;
use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};
use serde_json::{Value, json};

use crate::buyer::{Buyer, dollars, order};
use crate::first_sale::id_of;
use crate::http::Client;
use crate::on_both_databases;
use crate::ops::{document, plant_unpaid_credit};
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, PATIENCE, Server, pause};

on_both_databases!(
    a_lost_machine_becomes_credit,
    an_orphan_is_deleted_and_nothing_else,
    a_broken_promise_is_logged,
);

/// Twenty times faster in any case; these are minutes or hours otherwise.
const HURRY: &[(&str, &str)] = &[
    ("COMPUTE_SERVER_TIMING__WATCH_EVERY", "5s"),
    ("COMPUTE_SERVER_TIMING__WATCH_ROUND_EVERY", "5s"),
    ("COMPUTE_SERVER_TIMING__LOST_WINDOW", "20s"),
    ("COMPUTE_SERVER_TIMING__ORPHAN_AGE", "20s"),
    ("COMPUTE_SERVER_TIMING__ORPHAN_QUARANTINE", "20s"),
    ("COMPUTE_SERVER_TIMING__SWEEP_EVERY", "5s"),
    ("COMPUTE_SERVER_TIMING__AUDIT_EVERY", "5s"),
];

/// A shop with one machine sold.
struct Shop {
    cloud: vultr::Handle,
    /// Held, because it serves as long as it lives.
    _network: facilitator::Handle,
    server: Server,
    home: Home,
    buyer: Buyer,
    order: Value,
}

impl Shop {
    async fn open(backend: Backend) -> Self {
        let home = Home::new(backend).await;
        let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
        let network = facilitator::spawn(facilitator::Options::default())
            .await
            .unwrap();
        let server = serve_with(&home, &cloud.api_url(), &network, HURRY);
        let buyer = Buyer::new();
        let id = id_of(&buyer.buy(&server, &order()).await);
        let order = buyer.wait_for(&server, &id, "active").await;
        Self {
            cloud,
            _network: network,
            server,
            home,
            buyer,
            order,
        }
    }

    fn id(&self) -> &str {
        self.order["id"].as_str().unwrap()
    }

    fn machine(&self) -> &str {
        self.order["provider_instance_id"].as_str().unwrap()
    }

    /// The operation that delivered the machine, whose mark it carries.
    fn operation(&self) -> String {
        let story = document(&self.home, &["show", self.id()], 0);
        let id = &story["operations"][0]["operation"]["id"];
        id.as_str().unwrap().to_owned()
    }

    fn expect_good_books(&self) {
        let books = document(&self.home, &["audit"], 0);
        assert_eq!(books["ok"], true, "{books}");
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            pause().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, looking).await;
    assert!(waited.is_ok(), "never: {what}");
}

async fn a_lost_machine_becomes_credit(backend: Backend) {
    let shop = Shop::open(backend).await;
    // Somebody deletes it at the vendor's panel.
    let vendor = Client::new(&shop.cloud.url()).unwrap();
    let path = format!("/v2/instances/{}", shop.machine());
    let key = [("authorization", "Bearer test-key".to_owned())];
    let deleted = vendor.send("DELETE", &path, &key, b"").await.unwrap();
    assert_eq!(deleted.status, 204);

    let over = shop
        .buyer
        .wait_for(&shop.server, shop.id(), "destroyed")
        .await;
    let price = dollars(&over["payment_amount"]);
    let credited = shop.buyer.balance(&shop.server).await.balance;
    assert!(
        credited > Usd::ZERO && credited < price,
        "{credited} of {price}"
    );
    let story = document(&shop.home, &["show", shop.id()], 0);
    let transfer = &story["operations"][1]["transfers"][0];
    assert_eq!(transfer["reason"], "lost_machine", "{story}");
    assert_eq!(transfer["amount"], credited.to_string());
    shop.expect_good_books();
}

async fn an_orphan_is_deleted_and_nothing_else(backend: Backend) {
    let shop = Shop::open(backend).await;
    let operation = shop.operation();
    let machine = |fleet: &str, operation: &str| {
        let body = json!({
            "region": "ewr", "plan": "vc2-1c-1gb", "os_id": 2284,
            "tags": [fleet, format!("x402-op={operation}"), "x402-attempt=2"],
        });
        shop.cloud.place(body).unwrap()
    };
    // One that no order explains, one of another installation, and one of which only a database
    // that was lost could say whose it is.
    let orphan = machine("x402compute-prod", &operation);
    let foreign = machine("x402compute-other", &operation);
    let unknown = machine("x402compute-prod", "01a220b9-7420-7676-9902-71be6dcfb899");
    // The last one may mean that the database was restored from a backup: a human must look first.
    until("the quarantine begins", || {
        shop.server.log().contains("quarantine begins")
    })
    .await;
    injected("F145");
    until("the orphan waits", || {
        shop.server
            .log()
            .contains("nothing is destroyed unasked in quarantine")
    })
    .await;
    assert!(shop.cloud.machines().contains(&orphan));
    let now = document(&shop.home, &["quarantine"], 0);
    let cause = now["quarantine"]["cause"].as_str().unwrap();
    assert!(cause.contains(&unknown), "{cause}");
    let now = document(&shop.home, &["quarantine", "end"], 0);
    assert!(now["quarantine"].is_null(), "{now}");
    until("the orphan is gone", || {
        !shop.cloud.machines().contains(&orphan)
    })
    .await;
    let mut left = [shop.machine().to_owned(), foreign, unknown.clone()];
    left.sort();
    let mut machines = shop.cloud.machines();
    machines.sort();
    assert_eq!(machines, left);
    until("the stranger is reported", || {
        shop.server.log().contains("it is left alone")
    })
    .await;
    let suspects = document(&shop.home, &["suspects"], 0);
    let suspects = suspects["suspects"].as_array().unwrap();
    assert!(suspects.iter().any(|suspect| suspect["machine"] == unknown));
    shop.expect_good_books();
}

async fn a_broken_promise_is_logged(backend: Backend) {
    let shop = Shop::open(backend).await;
    until("the books are audited", || {
        shop.server.log().contains("the books were audited")
    })
    .await;
    assert!(!shop.server.log().contains("a promise is broken"));
    let operation = shop.operation().parse().unwrap();
    plant_unpaid_credit(&shop.home, operation).await;
    until("the auditor finds it", || {
        let log = shop.server.log();
        log.contains("a promise is broken") && log.contains(&shop.operation())
    })
    .await;
}
