//! A facilitator that demands a fresh token of Coinbase's kind on every request.

use compute_domain::time::Span;
use compute_engine::ports::{Check, Rail, Settlement};
use compute_rail_facilitator::{Access, CdpKey, Facilitator, FacilitatorConfig};
use compute_testkit::facilitator::{CdpAccount, Fault, Options, spawn};

use crate::Market;
use crate::health::reason;

const REFUSED: &str = "the facilitator refuses our credentials, status 401";

fn ed25519() -> CdpAccount {
    CdpAccount::ed25519(&[7; 32]).unwrap()
}

/// A facilitator that demands the tokens of an account, and a rail that has its key.
async fn open(account: CdpAccount) -> Market {
    let key = CdpKey::parse(&account.key_id, &account.secret.as_str().into()).unwrap();
    let key = key.with_audience(account.audience.clone());
    let options = Options {
        account: Some(account),
        ..Options::default()
    };
    let facilitator = spawn(options).await.unwrap();
    let config = FacilitatorConfig {
        facilitators: vec![Facilitator {
            url: facilitator.deep_url(),
            access: Access::Cdp(Box::new(key)),
        }],
        ..FacilitatorConfig::default()
    };
    Market::with(facilitator, config)
}

#[tokio::test]
async fn every_call_carries_a_token_of_its_own() {
    let mut named = ed25519();
    named.audience = vec!["cdp_service".to_owned()];
    for account in [ed25519(), CdpAccount::es256().unwrap(), named] {
        let market = open(account).await;
        let payment = market.pay(1);
        for _ in 0..2 {
            assert_eq!(reason(&market.rail).await, "ready");
            let check = market.rail.check(payment.proof()).await;
            assert_eq!(check, Ok(Check::Fine));
        }
        let outcome = market.rail.settle(&payment).await;
        assert!(matches!(outcome, Settlement::Settled(_)), "{outcome:?}");
        assert!(market.facilitator.refusals().is_empty());
        let calls = ["/supported", "/verify", "/settle"].map(|path| market.facilitator.calls(path));
        assert_eq!(calls, [2, 2, 1]);
    }
}

/// A good rail whose credentials become bad by `spoil`: nothing is sold, and nothing moves.
async fn check_refused(spoil: impl FnOnce(&Market), cause: &str, expected: &str) {
    let market = open(ed25519()).await;
    assert_eq!(reason(&market.rail).await, "ready");
    let payment = market.pay(1);
    spoil(&market);
    let error = market.rail.check(payment.proof()).await.unwrap_err();
    assert!(error.reason.contains(expected), "{cause}: {error}");
    let outcome = market.rail.settle(&payment).await;
    let Settlement::NotSent { reason: said } = outcome else {
        panic!("{cause}: {outcome:?}")
    };
    assert!(said.contains(expected), "{cause}: {said}");
    let health = reason(&market.rail).await;
    assert!(health.contains(expected), "{cause}: {health}");
    assert_eq!(market.facilitator.refusals(), [cause; 3]);
    assert_eq!(market.times_moved(&payment), 0);
}

#[tokio::test]
async fn refused_credentials_withdraw_the_rail_and_settle_nothing() {
    let spoil = |market: &Market| market.facilitator.demand(CdpAccount::es256().unwrap());
    check_refused(spoil, "the signature is not this key's", REFUSED).await;

    let mut another_id = ed25519();
    another_id.key_id = "organizations/test/apiKeys/2".to_owned();
    let cause = "the header names another algorithm, type or key";
    let spoil = |market: &Market| market.facilitator.demand(another_id);
    check_refused(spoil, cause, REFUSED).await;

    let mut audience = ed25519();
    audience.audience = vec!["cdp_service".to_owned()];
    let spoil = |market: &Market| market.facilitator.demand(audience);
    check_refused(spoil, "another audience", REFUSED).await;
}

#[tokio::test]
async fn a_token_lives_two_minutes_and_a_wrong_clock_is_named() {
    let cause = "the token is not valid now";
    // Beyond the life of a token, whatever this test itself takes.
    let spoil = |market: &Market| market.facilitator.advance_clock(120);
    check_refused(spoil, cause, REFUSED).await;
    let spoil = |market: &Market| market.clock.advance(Span::from_secs(3600));
    check_refused(spoil, cause, "s away from ours").await;
}

#[tokio::test]
async fn a_refusal_counts_for_a_while_even_when_supported_is_open_to_everybody() {
    let market = open(ed25519()).await;
    let payment = market.pay(1);
    market.facilitator.inject(Fault::Say {
        status: 401,
        body: "Unauthorized".to_owned(),
    });
    market.rail.check(payment.proof()).await.unwrap_err();
    assert_eq!(reason(&market.rail).await, REFUSED);
    market.advance(59);
    assert_eq!(reason(&market.rail).await, REFUSED);
    market.advance(1);
    assert_eq!(reason(&market.rail).await, "ready");
}
