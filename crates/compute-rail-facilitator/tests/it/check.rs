use compute_engine::ports::{Check, Rail};
use compute_testkit::facilitator::Fault;
use compute_testkit::faults_log::injected;

use crate::{Market, Sight};

const USED: &str = "invalid_exact_evm_nonce_already_used";

fn refused(code: &str) -> Check {
    Check::Refused {
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn a_refusal_is_passed_on_whatever_its_status() {
    let market = Market::open(Sight::Blind).await;
    let payment = market.pay(1);
    for status in [200, 400, 412] {
        let reason = "insufficient_funds".to_owned();
        market.facilitator.inject(Fault::Invalid { reason, status });
        let seen = market.rail.check(payment.proof()).await;
        assert_eq!(seen, Ok(refused("insufficient_funds")));
    }
    assert_eq!(market.rail.check(payment.proof()).await, Ok(Check::Fine));
}

#[tokio::test]
async fn no_verdict_is_no_yes() {
    let market = Market::open(Sight::Blind).await;
    let payment = market.pay(1);
    let say = |status, body: &str| Fault::Say {
        status,
        body: body.to_owned(),
    };
    for fault in [
        Fault::Down,
        Fault::Hang,
        Fault::Throttle { retry_after: 1 },
        say(200, "{}"),
        say(200, "<html>"),
        say(401, "{}"),
        say(500, r#"{"isValid":true}"#),
        say(200, r#"{"isValid":"true"}"#),
        say(308, ""),
        say(
            200,
            &format!(r#"{{"isValid":true,"payer":"0x{}"}}"#, "11".repeat(20)),
        ),
        say(
            200,
            r#"{"isValid":false,"invalidReason":"unexpected_verify_error"}"#,
        ),
    ] {
        market.facilitator.inject(fault.clone());
        let seen = market.rail.check(payment.proof()).await;
        assert!(seen.is_err(), "{fault:?} {seen:?}");
    }
}

#[tokio::test]
async fn a_cancelled_payment_is_refused() {
    for sight in [Sight::Blind, Sight::Node] {
        let market = Market::open(sight).await;
        let cancelled = market.pay(1);
        market.cancel(&cancelled);
        injected("F047");
        let seen = market.rail.check(cancelled.proof()).await;
        assert_eq!(seen, Ok(refused(USED)));
    }
}

/// Somebody who saw the authorization submitted it: the money reached us all the same.
#[tokio::test]
async fn a_payment_that_an_observer_submitted_is_good_where_the_chain_shows_it() {
    let market = Market::open(Sight::Node).await;
    let spent = market.pay(2);
    market.front_run(&spent);
    assert_eq!(market.rail.check(spent.proof()).await, Ok(Check::Fine));
    let blind = Market::open(Sight::Blind).await;
    let spent = blind.pay(2);
    blind.front_run(&spent);
    assert_eq!(blind.rail.check(spent.proof()).await, Ok(refused(USED)));
}
