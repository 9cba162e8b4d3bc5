use compute_engine::ports::{Lookup, Rail as _, Settlement};
use compute_payment_double::stripe::{Card, Fault};
use compute_testkit::faults_log;

use crate::{CANCEL, GET, LIST, PAY, Town, assert_unknown, good, never};

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
