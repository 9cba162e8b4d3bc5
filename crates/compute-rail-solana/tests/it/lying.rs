//! A node that says what is not so.

use compute_domain::time::Span;
use compute_engine::ports::{Lookup, Rail as _, SentState, Settlement};

use crate::{AN_AGE, Market, TOO_OLD, reference};

#[tokio::test]
async fn a_success_that_nothing_shows_is_not_believed() {
    let market = Market::impatient().await;
    market.node.misbehave(|it| {
        it.drop_sends = u32::MAX;
        it.claim_success = true;
    });
    let payment = market.pay(3);
    let outcome = market.rail.settle(&payment).await;
    assert_eq!(reference(&outcome), None, "{outcome:?}");
    let look = market.rail.lookup(&payment).await;
    assert!(
        !matches!(look, Ok(Lookup::Settled(_) | Lookup::Never { .. })),
        "{look:?}"
    );
}

#[tokio::test]
async fn a_record_without_the_transfer_is_not_believed() {
    let market = Market::open().await;
    market.node.misbehave(|it| it.hide_balances = true);
    let payment = market.pay(3);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    market.rail.lookup(&payment).await.unwrap_err();
    assert_eq!(market.row(&payment).await.unwrap().state, SentState::Open);
    market.node.misbehave(|it| it.hide_balances = false);
    assert!(reference(&market.rail.settle(&payment).await).is_some());
}

#[tokio::test]
async fn a_failure_that_the_record_denies_is_not_believed() {
    let market = Market::open().await;
    market.node.misbehave(|it| it.fail_execution = 1);
    let payment = market.pay(3);
    // The status says success, the record a failure.
    market.node.misbehave(|it| it.claim_success = true);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    assert_eq!(market.row(&payment).await.unwrap().state, SentState::Open);
}

#[tokio::test]
async fn what_is_only_in_the_history_is_found_there_before_anything_is_given_up() {
    let market = Market::impatient().await;
    market.node.misbehave(|it| it.hide_recent = true);
    let payment = market.pay(3);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
    market.advance(AN_AGE);
    let look = market.rail.lookup(&payment).await;
    assert!(matches!(look, Ok(Lookup::Settled(_))), "{look:?}");
}

// A node without its old blocks finds nothing in them, and nobody was paid back for that.
#[tokio::test]
async fn a_node_that_threw_its_blocks_away_cannot_say_never() {
    let market = Market::impatient().await;
    market.node.misbehave(|it| it.hide_recent = true);
    let payment = market.pay(3);
    market.rail.settle(&payment).await;
    market.advance(AN_AGE);
    market.clock.advance(Span::from_hours(2));
    let claimed_s = payment.payment().claimed_at.secs();
    market.node.misbehave(|it| {
        it.forget = true;
        it.oldest_s = claimed_s + 60;
    });
    market.rail.lookup(&payment).await.unwrap_err();
    assert_eq!(market.row(&payment).await.unwrap().state, SentState::Open);
    market.node.misbehave(|it| {
        it.forget = false;
        it.oldest_s = 0;
    });
    let look = market.rail.lookup(&payment).await;
    assert!(matches!(look, Ok(Lookup::Settled(_))), "{look:?}");
}

#[tokio::test]
async fn a_blockhash_that_is_called_old_costs_nothing() {
    let market = Market::open().await;
    let payment = market.pay(3);
    market.node.misbehave(|it| it.blockhashes_are_old = true);
    let outcome = market.rail.settle(&payment).await;
    assert!(
        matches!(outcome, Settlement::Declined { .. }),
        "{outcome:?}"
    );
    assert_eq!(market.node.times_sent(), 0);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    market.advance(AN_AGE);
    let never = Lookup::Never {
        code: TOO_OLD.to_owned(),
    };
    assert_eq!(market.rail.lookup(&payment).await, Ok(never));
}
