//! The probe: `Never` is said only when no block can hold the transaction any more.

use compute_engine::ports::{Lookup, Rail as _};
use compute_mpp::tempo::Transaction;
use compute_payment_double::tempo::Fault;
use compute_wallet::Uint256;

use crate::{LIFE_S, RECEIPT, SYNC, Town, buyer, payment_of, pulled, signed, text};

fn never(code: &str) -> Lookup {
    Lookup::Never {
        code: code.to_owned(),
    }
}

/// A payment without an end, in a lane of counted nonces; each gas is another transaction.
fn endless(number: u8, lane: u64, nonce: u64, gas: u64) -> Transaction {
    let lane = Uint256::from(lane);
    let mut body = payment_of(number).lane(lane, nonce).build();
    body.valid_before = None;
    body.gas_limit += gas;
    body.sign(&buyer(number))
}

#[tokio::test]
async fn a_payment_is_open_until_its_end_is_surely_past() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let life = u32::try_from(LIFE_S).unwrap();
    for seconds in [0, life - 1, 1, 4] {
        town.advance(seconds);
        assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    }
    town.advance(1);
    let over = never("transaction_expired");
    assert_eq!(town.rail.lookup(&payment).await, Ok(over));
    assert_eq!(town.chain.requests(SYNC), 0);
}

#[tokio::test]
async fn our_own_clock_ends_nothing() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let day = compute_domain::time::Span::from_hours(24);
    town.clock.advance(day);
    assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
}

#[tokio::test]
async fn a_receipt_that_comes_with_the_last_block_is_seen() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.submit(&signed(1).encode()).unwrap();
    town.advance(crate::AN_AGE);
    // The first look is answered by a machine that is behind.
    town.chain.disturb(RECEIPT, Fault::Null);
    let settled = Lookup::Settled(town.evidence(1));
    assert_eq!(town.rail.lookup(&payment).await, Ok(settled));
    // And the second one may find no answer.
    town.disturb_receipts([Fault::Null, Fault::DropBefore]);
    assert!(town.rail.lookup(&payment).await.is_err());
}

#[tokio::test]
async fn a_payment_without_end_is_void_when_its_nonce_is_taken() {
    for lane in [0, 7] {
        let town = Town::open().await;
        town.fund(1, 9_000_000);
        let payment = pulled(1, &endless(1, lane, 1, 0));
        assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
        town.chain.submit(&endless(1, lane, 0, 1).encode()).unwrap();
        town.advance(crate::AN_AGE);
        assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
        town.chain.submit(&endless(1, lane, 1, 1).encode()).unwrap();
        let used = never("nonce_used");
        assert_eq!(town.rail.lookup(&payment).await, Ok(used), "lane {lane}");
    }
}

#[tokio::test]
async fn a_payment_that_took_its_nonce_itself_is_settled() {
    let town = Town::open().await;
    town.fund(1, 5_000_000);
    let transaction = endless(1, 7, 0, 0);
    town.chain.submit(&transaction.encode()).unwrap();
    let look = town.rail.lookup(&pulled(1, &transaction)).await;
    assert_eq!(look, Ok(Lookup::Settled(town.evidence(1))));
    assert_eq!(town.evidence(1).reference, text(transaction.hash()));
}

#[tokio::test]
async fn a_node_of_another_chain_does_not_end_payments() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let other = compute_payment_double::tempo::spawn(compute_payment_double::tempo::Options {
        chain_id: 42_431,
        clock: Some(town.chain.now() + 1_000),
        ..Default::default()
    });
    let other = other.await.unwrap();
    let astray = crate::rail_with(&other.url(), &town.clock, |_| ());
    assert!(astray.lookup(&payment).await.is_err());
}

#[tokio::test]
async fn a_look_that_fails_anywhere_says_nothing() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.advance(crate::AN_AGE);
    for method in ["eth_chainId", "eth_getBlockByNumber", RECEIPT] {
        for fault in [
            Fault::DropAfter,
            Fault::StatusBefore(500),
            Fault::GarbageAfter,
        ] {
            town.chain.disturb(method, fault.clone());
            let look = town.rail.lookup(&payment).await;
            assert!(look.is_err(), "{method} {fault:?}: {look:?}");
            assert_eq!(town.chain.faults_left(), 0);
        }
    }
}
