use compute_engine::ports::{Lookup, Rail as _, RailHealth, Settlement};
use compute_payment_double::stripe::{Card, Fault, Flaw, SECRET_KEY, Token};
use compute_rail_stripe::StripeConfig;
use compute_testkit::faults_log;
use futures::future::join_all;

use crate::{
    CANCEL, GET, NOW_S, PAY, PRICE, Town, assert_unknown, claim, declined, good, rail_with,
};

#[tokio::test]
async fn a_repeat_is_the_recovery_of_our_own_answer() {
    let town = Town::open().await;
    let payment = town.pay(1, good());
    let first = town.rail.settle(&payment).await;
    assert_eq!(first, Settlement::Settled(town.evidence()));
    let challenge_id = payment.payment().challenge_id.clone().unwrap();
    assert_eq!(town.stripe.taken()[0].challenge_id, challenge_id);
    for rail in [&town.rail, &town.replica()] {
        assert_eq!(rail.settle(&payment).await, first);
        faults_log::injected("F081");
    }
    assert_eq!(town.stripe.taken().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_no_good_is_declined() {
    let flawed = |flaw| Token {
        flaw: Some(flaw),
        ..good()
    };
    for token in [
        flawed(Flaw::Expired),
        flawed(Flaw::Revoked),
        flawed(Flaw::Consumed),
        flawed(Flaw::OtherSeller),
        Token {
            max_amount: PRICE - 1,
            ..good()
        },
        Token {
            currency: "eur",
            ..good()
        },
    ] {
        let town = Town::open().await;
        let payment = town.pay(1, token.clone());
        let refused = declined("payment_token_refused");
        assert_eq!(town.rail.settle(&payment).await, refused, "{token:?}");
        assert!(town.stripe.taken().is_empty());
        assert_eq!(town.rail.health().await, RailHealth::Ready);
    }
    let town = Town::open().await;
    let outcome = town.rail.settle(&claim(1, "spt_unknown")).await;
    assert_eq!(outcome, declined("payment_token_refused"));
}

#[tokio::test]
async fn a_card_that_is_declined_is_declined() {
    for (word, code) in [
        ("generic_decline", "card_declined"),
        ("insufficient_funds", "insufficient_funds"),
        ("expired_card", "expired_card"),
        ("authentication_required", "payment_action_required"),
        ("card_velocity_exceeded", "card_limit_exceeded"),
        ("incorrect_cvc", "card_details_incorrect"),
        ("currency_not_supported", "card_not_supported"),
        ("processing_error", "card_issuer_unavailable"),
        ("stolen_card", "card_declined"),
        ("a sentence with 4242", "card_declined"),
    ] {
        let town = Town::open().await;
        let payment = town.with_card(1, Card::Declines(word));
        for _ in 0..2 {
            assert_eq!(town.rail.settle(&payment).await, declined(code));
        }
        assert!(town.stripe.taken().is_empty());
        assert_eq!(town.stripe.payments(), 1);
    }
}

#[tokio::test]
async fn what_waits_for_a_person_is_withdrawn_before_it_is_declined() {
    let town = Town::open().await;
    let payment = town.with_card(1, Card::WantsAction);
    for _ in 0..2 {
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, declined("payment_action_required"));
        faults_log::injected("F081");
    }
    assert_eq!(town.stripe.status("pi_0").unwrap(), "canceled");

    for fault in [Fault::DropBefore, Fault::StatusBefore(500)] {
        let town = Town::open().await;
        let payment = town.with_card(1, Card::WantsAction);
        town.stripe.disturb(CANCEL, fault);
        assert_unknown(&town.rail.settle(&payment).await);
        assert_eq!(town.stripe.status("pi_0").unwrap(), "requires_action");
    }
    // The cancellation happened, and a look says so.
    let town = Town::open().await;
    let payment = town.with_card(1, Card::WantsAction);
    town.stripe.disturb(CANCEL, Fault::DropAfter);
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, declined("payment_action_required"));
    // Nobody says whether it happened.
    let town = Town::open().await;
    let payment = town.with_card(1, Card::WantsAction);
    town.stripe.disturb(CANCEL, Fault::GarbageAfter);
    town.stripe.disturb(GET, Fault::DropBefore);
    assert_unknown(&town.rail.settle(&payment).await);
}

#[tokio::test]
async fn what_is_paid_before_it_can_be_withdrawn_is_settled() {
    let town = Town::open().await;
    let payment = town.with_card(1, Card::WantsAction);
    town.stripe.disturb(CANCEL, Fault::HoldBefore);
    let buyer = async {
        town.stripe.held(1).await;
        town.stripe.set_status("pi_0", "succeeded");
        town.stripe.release();
    };
    let (outcome, ()) = futures::join!(town.rail.settle(&payment), buyer);
    assert_eq!(outcome, Settlement::Settled(town.evidence()));
}

#[tokio::test]
async fn a_second_token_takes_nothing() {
    let town = Town::open().await;
    let first = town.pay(1, good());
    let evidence = town.rail.settle(&first).await;
    town.stripe.grant("spt_second", good());
    assert_unknown(&town.rail.settle(&claim(1, "spt_second")).await);
    assert_eq!(evidence, Settlement::Settled(town.evidence()));
}

#[tokio::test]
async fn an_unclear_answer_is_unknown_and_a_repeat_pays_once() {
    for (fault, taken) in [
        (Fault::DropBefore, 0),
        (Fault::DropAfter, 1),
        (Fault::StatusBefore(429), 0),
        (Fault::StatusBefore(409), 0),
        (Fault::StatusBefore(500), 0),
        (Fault::StatusBefore(400), 0),
        (Fault::StatusBefore(302), 0),
        (Fault::StatusAfter(503), 1),
        (Fault::GarbageAfter, 1),
        (Fault::Altered("amount", ""), 1),
        (Fault::Altered("amount_received", ""), 1),
        (Fault::Altered("currency", "eur"), 1),
        (Fault::Altered("metadata", ""), 1),
        (Fault::Altered("status", "a new word"), 1),
        (Fault::Altered("status", "processing"), 1),
        (Fault::Altered("id", "pi_/../x"), 1),
    ] {
        let town = Town::open().await;
        let payment = town.pay(1, good());
        town.stripe.disturb(PAY, fault.clone());
        let outcome = town.rail.settle(&payment).await;
        assert!(
            matches!(outcome, Settlement::Unknown { .. }),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(town.stripe.taken().len(), taken, "{fault:?}");
        let look = town.rail.lookup(&payment).await;
        assert_eq!(
            look == Ok(Lookup::NotYet),
            taken == 0,
            "{fault:?}: {look:?}"
        );
        let again = town.replica().settle(&payment).await;
        assert_eq!(again, Settlement::Settled(town.evidence()), "{fault:?}");
    }
}

#[tokio::test]
async fn an_error_that_stripe_remembers_stays_unknown_and_takes_nothing() {
    let town = Town::open().await;
    let payment = town.pay(1, good());
    town.stripe.disturb(PAY, Fault::StatusSaved(500));
    for _ in 0..3 {
        assert_unknown(&town.rail.settle(&payment).await);
    }
    assert!(town.stripe.taken().is_empty());
}

#[tokio::test]
async fn at_once_or_in_turn_the_money_is_taken_once() {
    let town = Town::open().await;
    let payment = town.pay(1, good());
    town.stripe.disturb(PAY, Fault::HoldBefore);
    let replica = town.replica();
    let others = async {
        town.stripe.held(1).await;
        let outcomes = join_all((0..8).map(|_| replica.settle(&payment))).await;
        outcomes.iter().for_each(assert_unknown);
        assert!(town.stripe.taken().is_empty());
        town.stripe.release();
    };
    let (outcome, ()) = futures::join!(town.rail.settle(&payment), others);
    assert_eq!(outcome, Settlement::Settled(town.evidence()));
}

#[tokio::test]
async fn no_money_is_asked_for_when_the_key_may_be_forgotten() {
    let town = Town::open().await;
    let (paid, open) = (town.pay(1, good()), town.pay(2, good()));
    let first = town.rail.settle(&paid).await;
    town.stripe.disturb(PAY, Fault::DropBefore);
    assert_unknown(&town.rail.settle(&open).await);
    town.advance(86_400);
    assert_eq!(town.rail.settle(&paid).await, first);
    let outcome = town.rail.settle(&open).await;
    assert_eq!(outcome, declined("payment_not_found"));
    assert_eq!(first, Settlement::Settled(town.evidence()));
}

#[tokio::test]
async fn a_refused_key_withdraws_the_rail() {
    for status in [401, 403] {
        let town = Town::open().await;
        let payment = town.pay(1, good());
        assert_eq!(town.rail.health().await, RailHealth::Ready);
        town.stripe.refuse_key(Some(status));
        let outcome = town.rail.settle(&payment).await;
        assert!(matches!(outcome, Settlement::NotSent { .. }), "{outcome:?}");
        let health = town.rail.health().await;
        assert!(matches!(health, RailHealth::Withdrawn { .. }), "{status}");
        town.stripe.refuse_key(None);
        town.advance(600);
        assert_eq!(town.rail.health().await, RailHealth::Ready);
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence()));
    }
    let town = Town::open().await;
    let stranger = rail_with(&town.clock, town.stripe.url(), "sk_other");
    assert!(matches!(
        stranger.health().await,
        RailHealth::Withdrawn { .. }
    ));
}

#[tokio::test]
async fn nothing_is_sent_to_nobody() {
    let town = Town::open().await;
    let payment = town.pay(1, good());
    let nobody = rail_with(&town.clock, "http://127.0.0.1:1".to_owned(), SECRET_KEY);
    let outcome = nobody.settle(&payment).await;
    assert!(matches!(outcome, Settlement::NotSent { .. }), "{outcome:?}");
    assert!(nobody.lookup(&payment).await.is_err());
}

#[tokio::test]
async fn no_secret_is_shown() {
    let town = Town::open().await;
    let payment = claim(1, "spt_topsecret");
    town.stripe.disturb(PAY, Fault::GarbageAfter);
    let shown = format!(
        "{:?} {:?} {:?} {NOW_S}",
        town.rail,
        StripeConfig::new(SECRET_KEY.to_owned()),
        town.rail.settle(&payment).await,
    );
    assert!(!shown.contains(SECRET_KEY), "{shown}");
    assert!(!shown.contains("spt_topsecret"), "{shown}");
}
