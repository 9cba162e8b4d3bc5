//! Several facilitators: who is asked when the first one cannot be.

use std::sync::Arc;

use compute_engine::ports::{Check, ClaimedPayment, Lookup, Rail, RailHealth, Settlement};
use compute_rail_facilitator::{
    Access, Facilitator, FacilitatorConfig, FacilitatorConfigError, FacilitatorRail,
};
use compute_testkit::ambient::SeededEntropy;
use compute_testkit::facilitator::{Fault, Handle, Options, spawn};
use compute_testkit::rail_suite::run;
use tokio::net::TcpSocket;

use crate::health::reason;
use crate::{Market, NETWORK, rail, spec};

fn facilitator(url: String) -> Facilitator {
    Facilitator {
        url,
        access: Access::Open,
    }
}

/// A list of facilitators, and the node of the chain that counts.
fn list(urls: [String; 2], chain: &Handle) -> FacilitatorConfig {
    FacilitatorConfig {
        facilitators: urls.map(facilitator).into(),
        rpc_url: Some(chain.rpc_url(NETWORK).into()),
        ..FacilitatorConfig::default()
    }
}

async fn stand_in() -> Handle {
    spawn(Options::default()).await.unwrap()
}

/// An address that nobody listens on, and that nobody else gets while this is kept.
struct Gone(TcpSocket);

impl Gone {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

/// Two facilitators. The market's own is the first, and its chain is the one that counts.
async fn pair() -> (Market, Handle) {
    let (first, second) = (stand_in().await, stand_in().await);
    let config = list([first.url(), second.url()], &first);
    (Market::with(first, config), second)
}

/// The same, but the market's own, whose chain counts, is the second.
async fn pair_on_second() -> (Handle, Market) {
    let (first, second) = (stand_in().await, stand_in().await);
    let config = list([first.url(), second.url()], &second);
    (first, Market::with(second, config))
}

fn is_settled(outcome: &Settlement) -> bool {
    matches!(outcome, Settlement::Settled(_))
}

fn is_unknown(outcome: &Settlement) -> bool {
    matches!(outcome, Settlement::Unknown { .. })
}

fn is_not_sent(outcome: &Settlement) -> bool {
    matches!(outcome, Settlement::NotSent { .. })
}

async fn check_sells(market: &Market, payment: &ClaimedPayment) {
    let check = market.rail.check(payment.proof()).await;
    assert_eq!(check, Ok(Check::Fine));
    let outcome = market.rail.settle(payment).await;
    assert!(is_settled(&outcome), "{outcome:?}");
    assert_eq!(market.times_moved(payment), 1);
}

#[tokio::test]
async fn the_first_one_is_asked_while_it_is_well() {
    let (market, second) = pair().await;
    assert_eq!(reason(&market.rail).await, "ready");
    check_sells(&market, &market.pay(1)).await;
    assert_eq!(second.calls("/supported"), 1);
    assert_eq!((second.calls("/verify"), second.calls("/settle")), (0, 0));
}

#[tokio::test]
async fn the_second_one_sells_when_the_first_is_gone() {
    let (first, second) = (Gone::new(), stand_in().await);
    let config = list([first.url(), second.url()], &second);
    let market = Market::with(second, config.clone());
    // Also before the first look at their health.
    check_sells(&market, &market.pay(1)).await;
    assert_eq!(reason(&market.rail).await, "ready");
    check_sells(&market, &market.pay(2)).await;
    // Settling alone finds its way, too: the server was started anew between the two.
    let market = Market {
        rail: rail(&config, &market.clock),
        way: market.way,
        ..market
    };
    let payment = market.pay(3);
    assert!(is_settled(&market.rail.settle(&payment).await));
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn the_second_one_gives_the_verdict_that_the_first_does_not_give() {
    for fault in [
        Fault::Say {
            status: 503,
            body: "<html>".to_owned(),
        },
        Fault::Down,
        Fault::Throttle { retry_after: 1 },
        Fault::Say {
            status: 401,
            body: String::new(),
        },
    ] {
        let (first, market) = pair_on_second().await;
        first.inject(fault.clone());
        check_sells(&market, &market.pay(1)).await;
        assert_eq!(first.calls("/settle"), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_verdict_is_not_asked_for_twice() {
    let (market, second) = pair().await;
    market.facilitator.inject(Fault::Invalid {
        reason: "insufficient_funds".to_owned(),
        status: 400,
    });
    let check = market.rail.check(market.pay(1).proof()).await;
    assert!(matches!(check, Ok(Check::Refused { .. })), "{check:?}");
    assert_eq!(second.calls("/verify"), 0);
}

#[tokio::test]
async fn health_is_kept_for_each_and_one_is_enough() {
    let (first, market) = pair_on_second().await;
    first.inject(Fault::Unsupported {
        network: "base-sepolia".to_owned(),
    });
    assert_eq!(reason(&market.rail).await, "ready");
    let payment = market.pay(1);
    assert!(is_settled(&market.rail.settle(&payment).await));
    assert_eq!(first.calls("/settle"), 0);
    // It is asked again once it is well.
    assert_eq!(reason(&market.rail).await, "ready");
    let check = market.rail.check(market.pay(2).proof()).await;
    assert_eq!(check, Ok(Check::Fine));
    assert_eq!(first.calls("/verify"), 1);

    for handle in [&first, &market.facilitator] {
        handle.inject(Fault::Throttle { retry_after: 1 });
    }
    let withdrawn = reason(&market.rail).await;
    assert_eq!(withdrawn.matches("status 429").count(), 2, "{withdrawn}");
    assert!(withdrawn.contains(&first.url()), "{withdrawn}");
}

#[tokio::test]
async fn what_the_first_may_have_settled_is_looked_up_and_settled_nowhere_else() {
    let (market, second) = pair().await;
    let payment = market.pay(1);
    let rail = &market.rail;
    market.facilitator.inject(Fault::SettleThenDrop);
    assert!(is_unknown(&rail.settle(&payment).await));
    // It stays away, the second one is well, and the chain's node says nothing.
    market.facilitator.inject_times(Fault::NodeDown, 2);
    market.facilitator.inject(Fault::Down);
    rail.lookup(&payment).await.unwrap_err();
    assert!(is_unknown(&rail.settle(&payment).await));
    let found = rail.lookup(&payment).await;
    assert!(matches!(found, Ok(Lookup::Settled(_))), "{found:?}");
    // Even one who settles again now asks nobody: the chain has it.
    let asked = market.facilitator.calls("/settle");
    assert!(is_settled(&rail.settle(&payment).await));
    assert_eq!(market.facilitator.calls("/settle"), asked);
    assert_eq!(second.calls("/settle"), 0);
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn a_restart_does_not_forget_that_the_first_was_asked() {
    let (market, second) = pair().await;
    let payment = market.pay(1);
    market.facilitator.inject(Fault::SettleThenDrop);
    assert!(is_unknown(&market.rail.settle(&payment).await));
    let gone = Gone::new();
    let config = list([gone.url(), second.url()], &market.facilitator);
    let after = rail(&config, &market.clock);
    market.facilitator.inject(Fault::NodeDown);
    assert!(is_not_sent(&after.settle(&payment).await));
    assert!(is_settled(&after.settle(&payment).await));
    assert_eq!(second.calls("/settle"), 0);
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn who_was_asked_is_asked_again_while_it_can_be() {
    let (market, second) = pair().await;
    let payment = market.pay(1);
    market.facilitator.inject(Fault::Hang);
    assert!(is_unknown(&market.rail.settle(&payment).await));
    // It is left out for new payments, but this one may be in its hands.
    assert!(is_settled(&market.rail.settle(&payment).await));
    assert_eq!(market.facilitator.calls("/settle"), 2);
    assert_eq!(second.calls("/settle"), 0);
}

#[tokio::test]
async fn the_second_settles_when_the_first_is_gone_and_the_chain_has_nothing() {
    let (first, market) = pair_on_second().await;
    let payment = market.pay(1);
    first.inject(Fault::Hang);
    assert!(is_unknown(&market.rail.settle(&payment).await));
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    drop(first);
    // While the chain says nothing, the second one gets nothing.
    market.facilitator.inject(Fault::NodeDown);
    assert!(is_not_sent(&market.rail.settle(&payment).await));
    assert_eq!(market.facilitator.calls("/settle"), 0);
    assert!(is_settled(&market.rail.settle(&payment).await));
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn a_refusal_of_our_request_goes_to_the_second_in_the_next_attempt_only() {
    for status in [401, 402, 403, 404] {
        let (first, market) = pair_on_second().await;
        let payment = market.pay(1);
        first.inject(Fault::Say {
            status,
            body: String::new(),
        });
        assert!(is_not_sent(&market.rail.settle(&payment).await));
        assert_eq!(market.facilitator.calls("/settle"), 0);
        assert!(is_settled(&market.rail.settle(&payment).await), "{status}");
        assert_eq!(first.calls("/settle"), 1, "{status}");
    }
}

/// The money is here, and the node does not find by which transaction: that is no "nothing was sent".
#[tokio::test]
async fn a_used_authorization_that_cannot_be_traced_is_unknown() {
    let (market, second) = pair().await;
    let payment = market.pay(1);
    market.front_run(&payment);
    market.facilitator.inject(Fault::NodeWithoutLogs);
    assert!(is_unknown(&market.rail.settle(&payment).await));
    assert_eq!(market.facilitator.calls("/settle"), 0);
    assert_eq!(second.calls("/settle"), 0);
    assert!(is_settled(&market.rail.settle(&payment).await));
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn who_fails_to_settle_one_payment_is_left_out_for_the_next() {
    let (first, market) = pair_on_second().await;
    let (payment, next) = (market.pay(1), market.pay(2));
    first.inject(Fault::Say {
        status: 503,
        body: "<html>".to_owned(),
    });
    assert!(is_unknown(&market.rail.settle(&payment).await));
    assert!(is_settled(&market.rail.settle(&next).await));
    assert_eq!(
        (first.calls("/settle"), market.facilitator.calls("/settle")),
        (1, 1)
    );
}

/// A buyer decides what stands in a payment, and a firewall may answer to that.
#[tokio::test]
async fn an_answer_403_to_a_payment_withdraws_no_rail() {
    let (first, market) = pair_on_second().await;
    let payment = market.pay(1);
    for stand_in in [&first, &market.facilitator] {
        stand_in.inject(Fault::Say {
            status: 403,
            body: "<html>".to_owned(),
        });
    }
    assert!(market.rail.check(payment.proof()).await.is_err());
    assert_eq!(market.rail.health().await, RailHealth::Ready);
}

#[tokio::test]
async fn a_list_with_a_dead_first_keeps_the_contract_of_the_port() {
    let (first, second) = (Gone::new(), stand_in().await);
    let config = list([first.url(), second.url()], &second);
    run(&Market::with(second, config)).await;
}

#[tokio::test]
async fn a_choice_needs_a_chain_node() {
    let refused = |config: &FacilitatorConfig| {
        let clock = Arc::new(compute_testkit::ambient::WallClock);
        FacilitatorRail::new(spec(), config, clock, Arc::new(SeededEntropy::new(1))).err()
    };
    let url = || "https://facilitator.example".to_owned();
    let mut config = FacilitatorConfig::new(url());
    assert_eq!(refused(&config), None);
    config.facilitators.push(facilitator(url()));
    assert_eq!(
        refused(&config),
        Some(FacilitatorConfigError::ChoiceWithoutNode)
    );
    config.facilitators.clear();
    assert_eq!(
        refused(&config),
        Some(FacilitatorConfigError::NoFacilitator)
    );
}
