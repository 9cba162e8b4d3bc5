use compute_domain::time::{Clock as _, Span};
use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, Rail as _, Settlement};
use compute_payment_double::stripe::{Card, Fault, OTHER_KEY};
use compute_testkit::faults_log;

use crate::{CANCEL, GET, LIST, PAY, Town, assert_unknown, good, never, rail_with};

/// The same payment, without the account that was to be paid.
fn unaccounted(payment: &ClaimedPayment<Mpp>) -> ClaimedPayment<Mpp> {
    let mut proof = payment.proof().clone();
    proof.account = None;
    ClaimedPayment::for_conformance_suite(payment.payment().clone(), proof)
}

/// The same payment, claimed at this moment.
fn claimed_now(town: &Town, payment: &ClaimedPayment<Mpp>) -> ClaimedPayment<Mpp> {
    let mut record = payment.payment().clone();
    record.claimed_at = town.clock.now();
    record.void_after = record.claimed_at.plus(Span::from_hours(20));
    ClaimedPayment::for_conformance_suite(record, payment.proof().clone())
}

#[tokio::test]
async fn money_whose_answer_was_lost_is_found() {
    let town = Town::open().await;
    let payment = town.pay(1, good());
    town.stripe.disturb(PAY, Fault::DropAfter);
    assert_unknown(&town.rail.settle(&payment).await);
    let found = town.replica().lookup(&payment).await;
    assert_eq!(found, Ok(Lookup::Settled(town.evidence())));
}

#[tokio::test]
async fn what_stripe_does_not_know_is_not_yet_and_later_never() {
    let town = Town::open().await;
    let payment = town.pay(1, good());
    assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    town.advance(20 * 3_600 + 599);
    assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    assert_unknown(&town.rail.settle(&payment).await);
    town.advance(1);
    for fault in [
        Fault::DropBefore,
        Fault::StatusBefore(500),
        Fault::StatusBefore(429),
        Fault::GarbageAfter,
    ] {
        town.stripe.disturb(LIST, fault);
        assert!(town.rail.lookup(&payment).await.is_err());
    }
    let look = town.rail.lookup(&payment).await;
    assert_eq!(look, Ok(never("payment_not_found")));
    assert!(town.stripe.taken().is_empty());
}

#[tokio::test]
async fn ours_is_found_behind_hundreds_of_others() {
    let town = Town::open().await;
    let payment = town.pay(0, good());
    let first = town.rail.settle(&payment).await;
    for number in 1..=210 {
        let other = town.with_card(number, Card::Processes);
        assert_unknown(&town.rail.settle(&other).await);
    }
    let found = town.rail.lookup(&payment).await;
    assert_eq!(found, Ok(Lookup::Settled(town.evidence())));
    assert_eq!(first, Settlement::Settled(town.evidence()));
    // A part of the list proves nothing.
    town.stripe.disturb(LIST, Fault::Nothing);
    town.stripe.disturb(LIST, Fault::StatusBefore(500));
    assert!(town.rail.lookup(&payment).await.is_err());
}

#[tokio::test]
async fn another_account_knows_nothing_of_a_payment() {
    let town = Town::open().await;
    let payment = town.pay(1, good());
    town.stripe.disturb(PAY, Fault::DropAfter);
    assert_unknown(&town.rail.settle(&payment).await);
    let stranger = rail_with(&town.clock, town.stripe.url(), OTHER_KEY);
    for seconds in [0, 20 * 3_600 + 600] {
        town.advance(seconds);
        assert!(stranger.lookup(&payment).await.is_err());
        let outcome = stranger.settle(&payment).await;
        let is_told = matches!(
            outcome,
            Settlement::Unknown { .. } | Settlement::NotSent { .. }
        );
        assert!(is_told, "{outcome:?}");
    }
    let found = town.replica().lookup(&payment).await;
    assert_eq!(found, Ok(Lookup::Settled(town.evidence())));
}

#[tokio::test]
async fn without_the_account_of_its_claim_a_payment_is_never_given_up() {
    let town = Town::open().await;
    let payment = unaccounted(&town.pay(1, good()));
    town.advance(20 * 3_600 + 600);
    assert!(town.rail.lookup(&payment).await.is_err());
}

/// What was sold long after it does not make the search for a payment longer.
#[tokio::test]
async fn the_list_ends_where_a_payment_cannot_be() {
    let town = Town::open().await;
    let payment = town.pay(0, good());
    town.advance(21 * 3_600);
    for number in 1..=110 {
        let other = claimed_now(&town, &town.with_card(number, Card::Processes));
        assert_unknown(&town.rail.settle(&other).await);
    }
    town.stripe.disturb(LIST, Fault::Nothing);
    town.stripe.disturb(LIST, Fault::StatusBefore(500));
    let look = town.rail.lookup(&payment).await;
    assert_eq!(look, Ok(never("payment_not_found")));
}

#[tokio::test]
async fn what_is_under_way_is_not_known_until_it_is_decided() {
    let town = Town::open().await;
    let payment = town.with_card(1, Card::Processes);
    assert_unknown(&town.rail.settle(&payment).await);
    assert!(town.rail.lookup(&payment).await.is_err());
    town.stripe.set_status("pi_0", "succeeded");
    let found = town.rail.lookup(&payment).await;
    assert_eq!(found, Ok(Lookup::Settled(town.evidence())));

    let town = Town::open().await;
    let payment = town.with_card(1, Card::Processes);
    assert_unknown(&town.rail.settle(&payment).await);
    town.stripe.set_status("pi_0", "requires_payment_method");
    faults_log::injected("F081");
    let look = town.rail.lookup(&payment).await;
    assert_eq!(look, Ok(never("payment_failed")));
    assert_eq!(town.stripe.status("pi_0").unwrap(), "canceled");
    let look = town.rail.lookup(&payment).await;
    assert_eq!(look, Ok(never("payment_canceled")));
}

#[tokio::test]
async fn what_waits_for_a_person_is_withdrawn() {
    let town = Town::open().await;
    let payment = town.with_card(1, Card::WantsAction);
    town.stripe.disturb(PAY, Fault::DropAfter);
    assert_unknown(&town.rail.settle(&payment).await);
    town.stripe.disturb(CANCEL, Fault::DropBefore);
    town.stripe.disturb(GET, Fault::DropBefore);
    assert!(town.rail.lookup(&payment).await.is_err());
    let look = town.rail.lookup(&payment).await;
    assert_eq!(look, Ok(never("payment_action_required")));
    assert_eq!(town.stripe.status("pi_0").unwrap(), "canceled");
    assert!(town.stripe.taken().is_empty());
}

#[tokio::test]
async fn what_is_paid_before_it_can_be_withdrawn_is_found() {
    let town = Town::open().await;
    let payment = town.with_card(1, Card::WantsAction);
    town.stripe.disturb(PAY, Fault::DropAfter);
    assert_unknown(&town.rail.settle(&payment).await);
    town.stripe.disturb(CANCEL, Fault::HoldBefore);
    let buyer = async {
        town.stripe.held(1).await;
        town.stripe.set_status("pi_0", "succeeded");
        town.stripe.release();
    };
    let (found, ()) = futures::join!(town.rail.lookup(&payment), buyer);
    assert_eq!(found, Ok(Lookup::Settled(town.evidence())));
}
