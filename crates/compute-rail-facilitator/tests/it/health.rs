use std::sync::Arc;

use compute_engine::ports::{Rail, RailHealth, RailSpec, Settlement};
use compute_rail_facilitator::{FacilitatorConfig, FacilitatorRail};
use compute_testkit::facilitator::{Fault, Network};
use compute_testkit::faults_log::injected;
use compute_x402::TokenTerms;
use compute_x402::networks::BASE_SEPOLIA_USDC;

use crate::{Market, Sight, rail_of, spec};

pub(crate) async fn reason(rail: &FacilitatorRail) -> String {
    match rail.health().await {
        RailHealth::Withdrawn { reason } => reason,
        RailHealth::Ready => "ready".to_owned(),
    }
}

#[tokio::test]
async fn a_facilitator_that_cannot_settle_here_withdraws_the_rail() {
    let market = Market::open(Sight::Blind).await;
    let say = |status, body: &str| Fault::Say {
        status,
        body: body.to_owned(),
    };
    for (fault, expected) in [
        (
            Fault::Unsupported {
                network: "base-sepolia".to_owned(),
            },
            "does not settle",
        ),
        (Fault::Down, "no usable answer"),
        (Fault::Hang, "no usable answer"),
        (say(308, ""), "final address"),
        (say(500, ""), "status 500"),
        (say(200, "<html>"), "kinds"),
    ] {
        market.facilitator.inject(fault.clone());
        let seen = reason(&market.rail).await;
        assert!(seen.contains(expected), "{fault:?}: {seen}");
        assert_eq!(reason(&market.rail).await, "ready");
    }
}

fn rail_with(market: &Market, spec: RailSpec, rpc_url: String) -> FacilitatorRail {
    let mut config = FacilitatorConfig::new(market.facilitator.url());
    config.rpc_url = Some(rpc_url.into());
    rail_of(spec, &config, &market.clock)
}

#[tokio::test]
async fn a_node_that_does_not_fit_withdraws_the_rail() {
    let market = Market::open(Sight::Node).await;
    assert_eq!(reason(&market.rail).await, "ready");
    let url = market.facilitator.rpc_url(Network::BaseSepolia);

    let rail = rail_with(&market, spec(), market.facilitator.rpc_url(Network::Base));
    assert_eq!(reason(&rail).await, "the node serves another chain");

    let known = BASE_SEPOLIA_USDC.eip3009_terms().unwrap();
    // The name of the main network's token, a common mistake.
    let named = TokenTerms::eip3009(
        known.network().clone(),
        known.as_evm().unwrap().contract(),
        "USD Coin",
        "2",
    );
    let wrong = RailSpec {
        token: Arc::new(named.unwrap()),
        ..spec()
    };
    let rail = rail_with(&market, wrong, url.clone());
    assert_eq!(reason(&rail).await, "the token has another EIP-712 domain");

    let rail = rail_with(
        &market,
        RailSpec {
            decimals: 18,
            ..spec()
        },
        url.clone(),
    );
    injected("F063");
    assert_eq!(reason(&rail).await, "the token has other decimals");

    market
        .clock
        .advance(compute_domain::time::Span::from_secs(120));
    assert_eq!(
        reason(&rail_with(&market, spec(), url)).await,
        "the node is behind"
    );
}

#[tokio::test]
async fn keys_in_urls_are_never_shown() {
    let market = Market::open(Sight::Blind).await;
    let rail = rail_with(&market, spec(), "http://127.0.0.1:9/v3/rpc-key".to_owned());
    let seen = format!("{} {rail:?}", reason(&rail).await);
    assert!(!seen.contains("rpc-key"), "{seen}");
}

#[tokio::test]
async fn a_facilitator_of_one_version_settles_payments_of_both() {
    for (version, network) in [(1, "base-sepolia"), (2, "eip155:84532")] {
        let market = Market::open(Sight::Blind).await;
        let body = format!(
            r#"{{"kinds":[{{"x402Version":{version},"scheme":"exact","network":"{network}"}}]}}"#
        );
        market.facilitator.inject(Fault::Say { status: 200, body });
        assert_eq!(reason(&market.rail).await, "ready");
        for (seed, sent) in [
            (1, compute_x402::Version::V1),
            (2, compute_x402::Version::V2),
        ] {
            let outcome = market.rail.settle(&market.pay_in(sent, seed)).await;
            assert!(matches!(outcome, Settlement::Settled(_)), "{outcome:?}");
        }
        let spoken: Vec<u64> = market
            .facilitator
            .journal()
            .iter()
            .filter_map(|event| match event {
                compute_testkit::facilitator::Event::Settled { x402_version, .. } => {
                    Some(*x402_version)
                }
                _ => None,
            })
            .collect();
        assert_eq!(spoken, [version, version]);
    }
}
