//! What the chain tells about a payment that the facilitator lost.

use std::collections::BTreeSet;

use compute_domain::payment::Evidence;
use compute_engine::ports::{ClaimedPayment, Lookup, Rail, Settlement};
use compute_testkit::facilitator::Fault;
use compute_testkit::faults_log::injected;
use compute_x402::Version;

use crate::{LIFE_S, Market, Sight};

const USED: &str = "invalid_exact_evm_nonce_already_used";
const EXPIRED: &str = "invalid_exact_evm_payload_authorization_valid_before";

/// Twelve blocks of two seconds and a little more.
const UNTIL_FIRM_S: u32 = 30;

async fn settled(market: &Market, payment: &ClaimedPayment) -> Evidence {
    match market.rail.lookup(payment).await {
        Ok(Lookup::Settled(evidence)) => evidence,
        other => panic!("{other:?}"),
    }
}

fn never(code: &str) -> Lookup {
    Lookup::Never {
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn a_payment_submitted_by_somebody_else_has_arrived() {
    let market = Market::open(Sight::Node).await;
    let payment = market.pay(1);
    market.front_run(&payment);
    // A facilitator that does not know it refuses it as used; only the chain knows better.
    market.facilitator.inject(Fault::RefuseRepeats);
    injected("F046");
    assert!(matches!(
        market.rail.settle(&payment).await,
        Settlement::Unknown { .. }
    ));
    let evidence = settled(&market, &payment).await;
    assert_eq!(evidence.log_index, Some(1));
    assert_eq!(market.times_moved(&payment), 1);
}

/// Two of one payer beside one of another.
#[tokio::test]
async fn payments_in_one_transaction_are_told_apart() {
    let market = Market::open(Sight::Node).await;
    let payments =
        [(1, 1), (1, 2), (2, 3)].map(|(payer, nonce)| market.pay_under(Version::V2, payer, nonce));
    market.land_together(payments.each_ref());
    injected("F053");
    let mut transactions = BTreeSet::new();
    for (payment, log_index) in payments.iter().zip([1, 3, 5]) {
        let Settlement::Settled(evidence) = market.rail.settle(payment).await else {
            panic!("{payment:?}")
        };
        assert_eq!(evidence.log_index, Some(log_index));
        assert_eq!(settled(&market, payment).await, evidence);
        assert_eq!(market.times_moved(payment), 1);
        transactions.insert(evidence.reference);
    }
    assert_eq!(transactions.len(), 1, "{transactions:?}");
}

#[tokio::test]
async fn lookup_and_settlement_show_the_same_transfer() {
    let market = Market::open(Sight::Node).await;
    let payment = market.pay(1);
    let Settlement::Settled(evidence) = market.rail.settle(&payment).await else {
        panic!()
    };
    assert_eq!(settled(&market, &payment).await, evidence);
    // Also much later, when the authorization has expired and blocks have been added.
    market.advance(5 * 3600);
    assert_eq!(settled(&market, &payment).await, evidence);
}

#[tokio::test]
async fn a_cancelled_payment_is_void_once_that_is_final() {
    let market = Market::open(Sight::Node).await;
    let payment = market.pay(1);
    market.cancel(&payment);
    injected("F047");
    market.rail.lookup(&payment).await.unwrap_err();
    market.advance(UNTIL_FIRM_S);
    assert_eq!(market.rail.lookup(&payment).await, Ok(never(USED)));
}

#[tokio::test]
async fn an_expired_payment_is_void_once_that_is_final() {
    let market = Market::open(Sight::Node).await;
    let payment = market.pay(1);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    market.advance(u32::try_from(LIFE_S).unwrap() + 2);
    market.rail.lookup(&payment).await.unwrap_err();
    market.advance(UNTIL_FIRM_S);
    assert_eq!(market.rail.lookup(&payment).await, Ok(never(EXPIRED)));
}

#[tokio::test]
async fn a_broken_node_says_nothing() {
    let market = Market::open(Sight::Node).await;
    let payment = market.pay(1);
    market.facilitator.inject(Fault::NodeDown);
    market.rail.lookup(&payment).await.unwrap_err();
    market.facilitator.inject(Fault::NodeDown);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    settled(&market, &payment).await;
}

#[tokio::test]
async fn without_a_node_a_repeat_is_the_only_question() {
    let market = Market::open(Sight::Blind).await;
    let payment = market.pay(1);
    market.facilitator.inject(Fault::SettleThenHang);
    assert!(matches!(
        market.rail.settle(&payment).await,
        Settlement::Unknown { .. }
    ));
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    assert!(matches!(
        market.rail.settle(&payment).await,
        Settlement::Settled(_)
    ));
    // Nobody is left to ask once it has expired.
    market.advance(u32::try_from(LIFE_S).unwrap() + 61);
    market.rail.lookup(&payment).await.unwrap_err();
}
