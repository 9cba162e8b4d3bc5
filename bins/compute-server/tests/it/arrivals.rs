//! Money that nobody announced, as the operator of a whole server meets it.

use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};
use serde_json::Value;

use crate::buyer::{Buyer, order};
use crate::on_both_databases;
use crate::ops::document;
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, PATIENCE, pause};

on_both_databases!(an_unsolicited_transfer_is_in_suspense_until_an_operator_decides);

/// Where the rehearsal's rail is paid.
const PAY_TO: &str = "0x1111111111111111111111111111111111111111";

/// Longer than twelve blocks.
const UNTIL_FINAL_S: u64 = 60;

/// What `ops arrivals` says once it is what the test waits for.
async fn arrivals(home: &Home, is_there: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let said = document(home, &["arrivals"], 0);
            if is_there(&said) {
                return said;
            }
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

async fn an_unsolicited_transfer_is_in_suspense_until_an_operator_decides(backend: Backend) {
    let home = Home::new(backend).await;
    let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
    let network = facilitator::spawn(facilitator::Options::default())
        .await
        .unwrap();
    let often = [("COMPUTE_SERVER_TIMING__ARRIVALS_EVERY", "2s")];
    let server = serve_with(&home, &cloud.api_url(), &network, &often);
    arrivals(&home, |said| said["sources"][0]["source"].is_string()).await;

    let buyer = Buyer::new();
    buyer.buy(&server, &order()).await;
    let base = facilitator::Network::Base;
    let sender = buyer.key.address().to_string();
    injected("F085");
    let gift = network.send(base, &sender, PAY_TO, 7_000_000).unwrap();
    for _ in 0..3 {
        network.send(base, &sender, PAY_TO, 300).unwrap();
    }
    network.advance_clock(UNTIL_FINAL_S);
    let said = arrivals(&home, |said| {
        said["sources"][0]["small_transfers"] == 3 && said["unmatched"][0].is_object()
    })
    .await;
    // The payment's own money is the payment's.
    assert_eq!(said["waiting"], serde_json::json!([]));
    let unmatched = said["unmatched"].as_array().unwrap();
    assert_eq!(unmatched.len(), 1, "{said}");
    assert_eq!(unmatched[0]["reference"], gift);
    assert_eq!(unmatched[0]["amount"], "7.00");
    assert_eq!(unmatched[0]["payer"], sender);
    assert_eq!(buyer.balance(&server).await.balance.to_string(), "0.00");
    assert_eq!(document(&home, &["audit"], 0)["ok"], true);
    let log = server.log();
    assert!(
        log.contains("money arrived that no payment explains"),
        "{log}"
    );

    let id = unmatched[0]["id"].as_str().unwrap();
    let words = [
        "assign",
        id,
        "--wallet",
        &sender,
        "--reason",
        "sent by mistake",
    ];
    let assigned = document(&home, &words, 0);
    assert_eq!(assigned["credited"], "7.00");
    assert_eq!(buyer.balance(&server).await.balance.to_string(), "7.00");
    let said = document(&home, &["arrivals"], 0);
    assert_eq!(said["unmatched"], serde_json::json!([]));
    assert_eq!(document(&home, &["audit"], 0)["ok"], true);
    assert_eq!(
        document(&home, &["reverted"], 0)["reverted"],
        serde_json::json!([])
    );
}
