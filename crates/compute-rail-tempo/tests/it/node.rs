//! What an operator is told of node and settings, and what nobody is told.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{Rail as _, RailHealth, Settlement};
use compute_engine::{ChargeSpec, ChargeTerms};
use compute_mpp::stripe::StripeDetails;
use compute_mpp::tempo::TempoTerms;
use compute_payment_double::tempo::{Fault, Options, PATH_USD, spawn};
use compute_rail_tempo::{TempoConfig, TempoConfigError, TempoRail};
use compute_testkit::ambient::ManualClock;
use compute_wallet::EvmAddress;
use tokio::net::TcpListener;

use crate::{NOW_S, SYNC, Town, rail_with, shop, signed, spec_of, terms};

fn make(spec: ChargeSpec, url: &str) -> Result<TempoRail, TempoConfigError> {
    let clock = ManualClock::at(Timestamp::from_secs(NOW_S));
    TempoRail::new(spec, &TempoConfig::new(url), Arc::new(clock))
}

#[tokio::test]
async fn a_rail_that_cannot_work_is_not_made() {
    let url = "http://127.0.0.1:1";
    let with = |change: fn(&mut TempoTerms)| {
        let mut terms = terms();
        change(&mut terms);
        make(spec_of(terms), url).err()
    };
    assert_eq!(with(|_| ()), None);
    let fee_payer = with(|it| it.fee_payer = true);
    assert_eq!(fee_payer, Some(TempoConfigError::FeePayer));
    let nobody = with(|it| it.recipient = EvmAddress::ZERO);
    assert_eq!(nobody, Some(TempoConfigError::Recipient));
    let token = with(|it| it.recipient = PATH_USD);
    assert_eq!(token, Some(TempoConfigError::Recipient));
    let no_token = with(|it| it.currency = shop());
    assert_eq!(no_token, Some(TempoConfigError::Terms));
    let card = ChargeSpec {
        terms: ChargeTerms::Stripe {
            details: StripeDetails {
                network_id: "profile_1".to_owned(),
                payment_method_types: vec!["card".to_owned()],
                metadata: Vec::new(),
            },
            currency: "usd".to_owned(),
        },
        ..spec_of(terms())
    };
    assert_eq!(make(card, url).err(), Some(TempoConfigError::Terms));
    let plain = make(spec_of(terms()), "http://rpc.example/key-1234");
    assert!(matches!(plain, Err(TempoConfigError::Node(_))));
}

#[tokio::test]
async fn a_node_that_lags_lies_or_is_silent_is_not_used() {
    let town = Town::open().await;
    assert_eq!(town.rail.health().await, RailHealth::Ready);
    town.clock.advance(Span::from_secs(60));
    assert_eq!(town.rail.health().await, RailHealth::Ready);
    town.clock.advance(Span::from_secs(1));
    let reason = "the node is behind".to_owned();
    assert_eq!(town.rail.health().await, RailHealth::Withdrawn { reason });
    let lenient = rail_with(&town.chain.url(), &town.clock, |config| {
        config.max_head_age_s = 61;
    });
    assert_eq!(lenient.health().await, RailHealth::Ready);

    for method in ["eth_chainId", "eth_getBlockByNumber", "eth_call"] {
        for fault in [
            Fault::DropBefore,
            Fault::StatusBefore(500),
            Fault::GarbageAfter,
        ] {
            town.chain.disturb(method, fault);
            let health = lenient.health().await;
            assert!(matches!(health, RailHealth::Withdrawn { .. }), "{method}");
        }
    }
    assert_eq!(lenient.health().await, RailHealth::Ready);
}

#[tokio::test]
async fn another_chain_or_token_is_not_used() {
    let options = Options {
        chain_id: 42_431,
        clock: Some(NOW_S),
        ..Options::default()
    };
    let chain = spawn(options).await.unwrap();
    let reason = |rail: RailHealth| match rail {
        RailHealth::Withdrawn { reason } => reason,
        RailHealth::Ready => panic!("it must not be used"),
    };
    let rail = make(spec_of(terms()), &chain.url()).unwrap();
    assert!(reason(rail.health().await).contains("another chain"));
    let elsewhere = TempoTerms {
        chain_id: 42_431,
        ..terms()
    };
    let other_decimals = ChargeSpec {
        decimals: 18,
        ..spec_of(elsewhere)
    };
    let rail = make(other_decimals, &chain.url()).unwrap();
    assert!(reason(rail.health().await).contains("decimals"));
}

#[tokio::test]
async fn nothing_is_sent_to_a_node_that_is_gone() {
    let town = Town::open().await;
    let payment = town.pay(1);
    // Nobody listens on the first port.
    let rail = rail_with("http://127.0.0.1:1", &town.clock, |_| ());
    crate::assert_unknown(&rail.settle(&payment).await);
    assert!(rail.check(payment.proof()).await.is_err());
    assert!(rail.lookup(&payment).await.is_err());
    assert!(matches!(rail.health().await, RailHealth::Withdrawn { .. }));
}

/// Answers one question with `null`, and is gone by then.
async fn answer_once(listener: TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") {
        stream.readable().await.unwrap();
        let mut bytes = [0; 4096];
        match stream.try_read(&mut bytes) {
            Ok(0) => panic!("the question ended early"),
            Ok(count) => asked.extend(bytes.iter().take(count)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    drop(listener);
    let body = r#"{"jsonrpc":"2.0","id":1,"result":null}"#;
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ";
    let answer = format!("{head}{}\r\n\r\n{body}", body.len());
    stream.writable().await.unwrap();
    let written = stream.try_write(answer.as_bytes()).unwrap();
    assert_eq!(written, answer.len());
}

#[tokio::test]
async fn a_node_that_went_away_after_the_first_look_leaves_everything_open() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rail = rail_with(&url, &town.clock, |_| ());
    // Its buyer may send the transaction as well as we.
    let (outcome, ()) = tokio::join!(rail.settle(&payment), answer_once(listener));
    crate::assert_unknown(&outcome);
}

#[tokio::test]
async fn a_node_that_hangs_does_not_hold_up_a_call() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let impatient = rail_with(&town.chain.url(), &town.clock, |config| {
        config.timeouts.call = Duration::from_millis(200);
    });
    town.chain.disturb(SYNC, Fault::HoldAfter);
    crate::assert_unknown(&impatient.settle(&payment).await);
    for _ in 0..2 {
        town.chain.disturb(crate::RECEIPT, Fault::HoldBefore);
    }
    assert!(impatient.lookup(&payment).await.is_err());
    assert!(impatient.check(payment.proof()).await.is_err());
    town.chain.disturb("eth_chainId", Fault::HoldBefore);
    let health = impatient.health().await;
    assert!(matches!(health, RailHealth::Withdrawn { .. }));
    town.chain.calm();
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    assert_eq!(town.times_paid(1), 1);
}

#[tokio::test]
async fn neither_reasons_nor_debug_show_transactions_or_keys() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let raw = hex::encode(signed(1).encode());
    town.chain.disturb(
        SYNC,
        Fault::Error {
            code: -32_000,
            message: format!("cannot take 0x{raw}"),
        },
    );
    let outcome = format!("{:?}", town.rail.settle(&payment).await);
    assert!(outcome.contains("-32000"), "{outcome}");
    assert!(!outcome.contains(&raw), "{outcome}");
    let url = "http://127.0.0.1:1/secret-key?token=secret-key";
    let rail = rail_with(url, &town.clock, |_| ());
    let shown = [
        format!("{:?}", TempoConfig::new(url)),
        format!("{rail:?}"),
        format!("{:?}", rail.settle(&payment).await),
        format!("{:?}", rail.lookup(&payment).await),
        format!("{:?}", rail.health().await),
    ];
    for text in shown {
        assert!(!text.contains("secret-key"), "{text}");
        assert!(!text.contains(&raw), "{text}");
    }
}
