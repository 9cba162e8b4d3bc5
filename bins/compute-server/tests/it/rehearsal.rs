//! `serve` with main-network identities, against stand-ins that keep their own records.

use compute_testkit::{facilitator, vultr};

use crate::buyer::{Buyer, order, pay};
use crate::on_both_databases;
use crate::server::{Backend, Home, Server};

const KEY: &str = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

on_both_databases!(a_sale_is_in_the_records_of_cloud_and_facilitator);

async fn a_sale_is_in_the_records_of_cloud_and_facilitator(backend: Backend) {
    let home = Home::new(backend).await;
    let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
    let network = facilitator::spawn(facilitator::Options::default())
        .await
        .unwrap();
    let server = serve(&home, &cloud.api_url(), &network);
    let buyer = Buyer::new();

    let payment = buyer.sign(&server, &order()).await;
    assert_eq!(payment.network(), "eip155:8453");
    let reply = pay(&server, &order(), &payment).await.json(200).unwrap();
    let id = reply["order"]["id"].as_str().unwrap().to_owned();
    buyer.wait_for(&server, &id, "active").await;

    let payer = buyer.key.address().to_string();
    let settled: Vec<_> = network
        .journal()
        .into_iter()
        .filter_map(|event| match event {
            facilitator::Event::Settled {
                from, transaction, ..
            } => Some((from, transaction)),
            _ => None,
        })
        .collect();
    assert_eq!(
        settled,
        [(payer, reply["tx_hash"].as_str().unwrap().to_owned())]
    );
    assert_eq!(cloud.machines().len(), 1);

    let path = format!("/compute/instances/{id}");
    assert_eq!(buyer.signed(&server, "DELETE", &path, "").await.status, 200);
    buyer.wait_for(&server, &id, "destroyed").await;
    assert!(cloud.machines().is_empty());
}

/// `serve` as an operator configures it, with the stand-ins as its partners.
pub(crate) fn serve(home: &Home, cloud_url: &str, network: &facilitator::Handle) -> Server {
    serve_with(home, cloud_url, network, &[])
}

/// The same with some variables that are added, or replace the usual ones; a list of facilitators
/// replaces the single one.
pub(crate) fn serve_with(
    home: &Home,
    cloud_url: &str,
    network: &facilitator::Handle,
    variables: &[(&str, &str)],
) -> Server {
    let database = home.database_url();
    let (facilitator_url, rpc_url) = (network.url(), network.rpc_url(facilitator::Network::Base));
    let sealing_keys = format!("[{{id=1,key=\"{KEY}\"}}]");
    let mut usual = vec![
        ("COMPUTE_SERVER_SERVER__LISTEN", "127.0.0.1:0"),
        ("COMPUTE_SERVER_SERVER__PUBLIC_URL", "http://127.0.0.1:4020"),
        ("COMPUTE_SERVER_METRICS__ENABLED", "false"),
        ("COMPUTE_SERVER_DATABASE__URL", &database),
        ("COMPUTE_SERVER_DATABASE__MODE", "test"),
        ("COMPUTE_SERVER_TIMING__SCALE_DIVISOR", "20"),
        ("COMPUTE_SERVER_SECRETS__SEALING_KEYS", &sealing_keys),
        ("COMPUTE_SERVER_SECRETS__API_KEY_PEPPER", KEY),
        ("COMPUTE_SERVER_PROVIDERS__VULTR__API_KEY", "test-key"),
        ("COMPUTE_SERVER_PROVIDERS__VULTR__BASE_URL", cloud_url),
        ("COMPUTE_SERVER_RAILS__BASE__CHAIN", "eip155:8453"),
        (
            "COMPUTE_SERVER_RAILS__BASE__PAY_TO",
            "0x1111111111111111111111111111111111111111",
        ),
        (
            "COMPUTE_SERVER_RAILS__BASE__FACILITATOR_URL",
            &facilitator_url,
        ),
        ("COMPUTE_SERVER_RAILS__BASE__RPC_URL", &rpc_url),
    ];
    let list = "COMPUTE_SERVER_RAILS__BASE__FACILITATORS";
    if variables.iter().any(|(name, _)| *name == list) {
        usual.retain(|(name, _)| *name != "COMPUTE_SERVER_RAILS__BASE__FACILITATOR_URL");
    }
    Server::start(home, &["serve"], &[usual.as_slice(), variables].concat())
}
