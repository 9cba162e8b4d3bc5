use std::sync::Arc;

use compute_domain::payment::Evidence;
use compute_engine::ports::{Lookup, Purpose, Rail as _, SentState, Settlement, Store, TxMode};
use compute_testkit::faults_log;
use compute_testkit::model_store::{CommitFate, ModelStore, StoreHook};
use compute_x402::Version;
use futures::future::{BoxFuture, FutureExt as _, join_all, ready};

use crate::{AN_AGE, Market, PRICE, TOO_OLD, declined, reference};

fn is_unknown(outcome: &Settlement) -> bool {
    matches!(outcome, Settlement::Unknown { .. })
}

#[tokio::test]
async fn a_payment_settles_and_is_written_down() {
    let market = Market::open().await;
    for (version, payer) in [(Version::V1, 3), (Version::V2, 4)] {
        let payment = market.pay_in(version, payer);
        let outcome = market.rail.settle(&payment).await;
        let row = market.row(&payment).await.unwrap();
        let evidence = Evidence {
            reference: row.hash.clone(),
            log_index: Some(0),
        };
        assert_eq!(outcome, Settlement::Settled(evidence.clone()));
        assert_eq!(market.times_moved(&payment), 1);
        assert!(market.node.carried_out().contains(&row.hash));
        assert!(matches!(row.state, SentState::Mined { .. }), "{row:?}");
        assert_eq!((row.purpose, row.nonce), (Purpose::Settle, None));
        let lane = format!(
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:{}",
            market.rail.fee_payer()
        );
        assert_eq!(row.lane.as_str(), lane);
        assert_eq!(
            market.rail.lookup(&payment).await,
            Ok(Lookup::Settled(evidence))
        );
    }
    assert_eq!(market.merchant_has(), 2 * PRICE);
}

#[tokio::test]
async fn a_transaction_that_is_lost_is_sent_again() {
    let market = Market::open().await;
    faults_log::injected("F065");
    market.node.misbehave(|it| it.drop_sends = 3);
    let payment = market.pay(3);
    assert!(reference(&market.rail.settle(&payment).await).is_some());
    assert_eq!(market.node.times_sent(), 4);
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_transfer_does_not_matter() {
    let market = Market::open().await;
    market.node.misbehave(|it| it.land_then_hang_up = true);
    let payment = market.pay(3);
    assert!(reference(&market.rail.settle(&payment).await).is_some());
    assert_eq!(
        (market.node.times_sent(), market.times_moved(&payment)),
        (1, 1)
    );
}

// Accepted, and in no block: nobody may say that it failed before it cannot be in one any more.
#[tokio::test]
async fn what_never_lands_is_declined_only_after_its_last_block() {
    let market = Market::impatient().await;
    faults_log::injected("F065");
    market.node.misbehave(|it| it.hold = true);
    let payment = market.pay(3);
    let outcome = market.rail.settle(&payment).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    let row = market.row(&payment).await.unwrap();
    assert_eq!(row.state, SentState::Open);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    // Too old for the newest block, but not for one that can still become final.
    market.advance(151);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    market.rail.tend().await;
    assert_eq!(market.row(&payment).await.unwrap().state, SentState::Open);
    market.advance(80);
    let never = Lookup::Never {
        code: TOO_OLD.to_owned(),
    };
    assert_eq!(market.rail.lookup(&payment).await, Ok(never.clone()));
    assert_eq!(market.row(&payment).await.unwrap().state, SentState::Void);
    assert_eq!(market.rail.settle(&payment).await, declined(TOO_OLD));
    market.node.include_held();
    assert_eq!(market.rail.lookup(&payment).await, Ok(never));
    assert_eq!(market.times_moved(&payment), 0);
}

#[tokio::test]
async fn what_lands_late_is_found() {
    let market = Market::impatient().await;
    market.node.misbehave(|it| it.hold = true);
    let payment = market.pay(3);
    assert!(is_unknown(&market.rail.settle(&payment).await));
    market.node.include_held();
    let found = market.rail.lookup(&payment).await;
    assert!(matches!(found, Ok(Lookup::Settled(_))), "{found:?}");
    assert!(reference(&market.rail.settle(&payment).await).is_some());
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn the_background_finds_what_nobody_asks_for_and_sends_what_was_lost() {
    let market = Market::impatient().await;
    market.node.misbehave(|it| it.drop_sends = u32::MAX);
    let payment = market.pay(3);
    assert!(is_unknown(&market.rail.settle(&payment).await));
    market.node.misbehave(|it| it.drop_sends = 0);
    let other = market.replica(None);
    other.tend().await;
    assert_eq!(market.times_moved(&payment), 1);
    assert_eq!(market.row(&payment).await.unwrap().state, SentState::Open);
    other.tend().await;
    let state = market.row(&payment).await.unwrap().state;
    assert!(matches!(state, SentState::Mined { .. }), "{state:?}");
}

// A node says yes to each sender of the same bytes.
#[tokio::test]
async fn the_same_message_twice_before_it_is_in_moves_the_money_once() {
    let market = Market::impatient().await;
    market.node.misbehave(|it| it.hold = true);
    let payment = market.pay(3);
    faults_log::injected("F066");
    let outcomes = join_all((0..4).map(|_| market.rail.settle(&payment))).await;
    assert!(outcomes.iter().all(is_unknown), "{outcomes:?}");
    assert!(market.node.times_sent() > 1);
    let sent = market.node.complete_transactions();
    assert!(
        sent.iter().all(|wire| *wire == sent[0]),
        "one transaction only"
    );
    market.node.include_held();
    let outcome = market.rail.settle(&payment).await;
    assert_eq!(reference(&outcome), market.node.carried_out().pop());
    assert_eq!(market.times_moved(&payment), 1);
    assert_eq!(market.merchant_has(), PRICE);
}

#[tokio::test]
async fn two_replicas_at_once_move_the_money_once() {
    let market = Market::open().await;
    let (payment, other) = (market.pay(3), market.replica(None));
    let (one, two) = tokio::join!(market.rail.settle(&payment), other.settle(&payment));
    assert!(reference(&one).is_some(), "{one:?}");
    assert_eq!(reference(&one), reference(&two));
    assert_eq!(market.times_moved(&payment), 1);
}

#[tokio::test]
async fn a_transaction_that_fails_on_the_chain_is_declined_for_ever() {
    let market = Market::open().await;
    market.node.misbehave(|it| it.fail_execution = 1);
    let payment = market.pay(3);
    let failed = declined("invalid_transaction_state");
    assert_eq!(market.rail.settle(&payment).await, failed);
    let state = market.row(&payment).await.unwrap().state;
    assert!(matches!(state, SentState::Failed { .. }), "{state:?}");
    let sent = market.node.times_sent();
    assert_eq!(market.rail.settle(&payment).await, failed);
    let never = Lookup::Never {
        code: "invalid_transaction_state".to_owned(),
    };
    assert_eq!(market.rail.lookup(&payment).await, Ok(never));
    assert_eq!(
        (market.node.times_sent(), market.times_moved(&payment)),
        (sent, 0)
    );
}

// The database came back from a backup that knows nothing of the transaction.
#[tokio::test]
async fn a_lost_row_does_not_lose_the_payment() {
    let market = Market::open().await;
    let payment = market.pay(3);
    let first = market.rail.settle(&payment).await;
    let sent = market.node.times_sent();
    let empty: Arc<dyn Store> = Arc::new(ModelStore::new());
    let restored = market.replica(Some(empty));
    for age in [0, AN_AGE] {
        market.advance(age);
        let found = restored.lookup(&payment).await;
        let Ok(Lookup::Settled(evidence)) = found else {
            panic!("{found:?}");
        };
        assert_eq!(Some(evidence.reference), reference(&first));
        assert_eq!(restored.settle(&payment).await, first);
    }
    assert_eq!(
        (market.node.times_sent(), market.times_moved(&payment)),
        (sent, 1)
    );
}

#[tokio::test]
async fn what_was_never_signed_is_open_while_it_can_be_and_never_after() {
    let market = Market::open().await;
    let payment = market.pay(3);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    // The blockhash is old, but a node that is a little behind would say the same too early.
    market.advance(160);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    market.advance(AN_AGE);
    let never = Lookup::Never {
        code: TOO_OLD.to_owned(),
    };
    assert_eq!(market.rail.lookup(&payment).await, Ok(never));
    assert_eq!(market.rail.settle(&payment).await, declined(TOO_OLD));
    assert_eq!(market.node.times_sent(), 0);
}

#[tokio::test]
async fn a_large_sum_waits_for_finality() {
    let market = Market::with(|config| {
        config.finalized_above = u128::from(PRICE) - 1;
        config.timeouts.call = std::time::Duration::from_millis(300);
    })
    .await;
    let payment = market.pay(3);
    let outcome = market.rail.settle(&payment).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert_eq!(market.times_moved(&payment), 1);
    assert_eq!(market.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    market.advance(32);
    assert!(reference(&market.rail.settle(&payment).await).is_some());
}

#[tokio::test]
async fn a_node_that_is_away_is_asked_again() {
    let market = Market::open().await;
    let payment = market.pay(3);
    market.node.misbehave(|it| it.hang_up = 1);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::NotSent { .. }), "{outcome:?}");
    assert_eq!(market.row(&payment).await, None);
    market.node.misbehave(|it| it.hang_up = 1);
    market.rail.lookup(&payment).await.unwrap_err();
    assert!(reference(&market.rail.settle(&payment).await).is_some());
}

/// A database that confirms nothing.
#[derive(Debug)]
struct Deaf(CommitFate);

impl StoreHook for Deaf {
    fn before_commit(&self, mode: TxMode) -> BoxFuture<'_, CommitFate> {
        let fate = match mode {
            TxMode::Write => self.0,
            TxMode::Read => CommitFate::Apply,
        };
        ready(fate).boxed()
    }
}

// I1: what is not certainly written down is not sent, nor shown to anybody.
#[tokio::test]
async fn nothing_is_sent_that_was_not_written_down() {
    for fate in [CommitFate::Fail, CommitFate::ApplyUnheard] {
        let market = Market::open().await;
        let payment = market.pay(3);
        let store = Arc::new(ModelStore::new());
        let deaf = market.replica(Some(Arc::new(store.hooked(Arc::new(Deaf(fate))))));
        let outcome = deaf.settle(&payment).await;
        assert!(is_unknown(&outcome), "{fate:?}: {outcome:?}");
        assert!(market.node.complete_transactions().is_empty(), "{fate:?}");
        // The next try finds the row, or makes it.
        let recovered = market.replica(Some(store));
        assert!(reference(&recovered.settle(&payment).await).is_some());
        assert_eq!(market.times_moved(&payment), 1);
    }
}
