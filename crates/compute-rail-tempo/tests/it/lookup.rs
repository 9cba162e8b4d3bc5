//! The probe: `Never` is said only when no block can hold the transaction any more.

use compute_engine::ports::{Lookup, Rail as _};
use compute_mpp::tempo::abi::TokenTransfer;
use compute_mpp::tempo::{Transaction, TransactionBuilder};
use compute_payment_double::tempo::{Fault, USDC_E};
use compute_wallet::Uint256;

use crate::{LIFE_S, LOGS, MAX_LAG, RECEIPT, SYNC, Town, buyer, payment_of, pulled, signed, text};

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

/// What takes a nonce and pays nothing here.
fn other(lane: u64, nonce: u64) -> Transaction {
    let gift = TokenTransfer {
        to: buyer(9).address(),
        amount: 1_u64.into(),
        memo: None,
    };
    let gift = TransactionBuilder::transfer(4217, USDC_E, &gift);
    gift.lane(lane.into(), nonce).build().sign(&buyer(1))
}

#[tokio::test]
async fn a_payment_is_open_until_its_end_is_surely_past() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let life = u32::try_from(LIFE_S).unwrap();
    for seconds in [0, life - 1, 1, MAX_LAG - 1] {
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

/// The head is told by one machine, and the receipt looked for on another one that lags.
#[tokio::test]
async fn a_machine_that_lags_gives_no_payment_up() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let lag = Fault::Behind(MAX_LAG.into());
    town.advance(u32::try_from(LIFE_S - 1).unwrap());
    town.chain.submit(&signed(1).encode()).unwrap();
    for seconds in [1, 5, 30, MAX_LAG - 37] {
        town.advance(seconds);
        town.chain.disturb_times(RECEIPT, &lag, 9);
        town.chain.disturb_times(LOGS, &lag, 9);
        let look = town.rail.lookup(&payment).await;
        assert_eq!(look, Ok(Lookup::NotYet), "{seconds}");
        town.chain.calm();
    }
    // Now the slowest machine has it, too.
    town.advance(1);
    town.chain.disturb_times(RECEIPT, &lag, 9);
    let settled = Lookup::Settled(town.evidence(1));
    assert_eq!(town.rail.lookup(&payment).await, Ok(settled));
}

/// No machine should lag by more than that; one that does is not asked alone.
#[tokio::test]
async fn one_machine_that_stands_still_gives_no_payment_up() {
    for method in [RECEIPT, "eth_getBlockByNumber"] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.submit(&signed(1).encode()).unwrap();
        town.advance(crate::AN_AGE);
        let dead = Fault::Behind(crate::AN_AGE.into());
        town.chain.disturb(RECEIPT, Fault::Null);
        town.chain.disturb_times(method, &dead, 2);
        let look = town.rail.lookup(&payment).await;
        assert!(!matches!(look, Ok(Lookup::Never { .. })), "{method}");
    }
}

#[tokio::test]
async fn a_nonce_that_a_lagging_machine_knows_to_be_free_gives_no_payment_up() {
    let town = Town::open().await;
    town.fund(1, 5_000_000);
    let transaction = endless(1, 7, 0, 0);
    let payment = pulled(1, &transaction);
    town.chain.submit(&transaction.encode()).unwrap();
    let lag = Fault::Behind(MAX_LAG.into());
    for seconds in [20, MAX_LAG - 21] {
        town.advance(seconds);
        town.chain.disturb_times(RECEIPT, &lag, 9);
        town.chain.disturb_times(LOGS, &lag, 9);
        let look = town.rail.lookup(&payment).await;
        assert_eq!(look, Ok(Lookup::NotYet), "{seconds}");
        town.chain.calm();
    }
    town.advance(1);
    town.chain.disturb_times(RECEIPT, &lag, 9);
    let settled = Lookup::Settled(town.evidence(1));
    assert_eq!(town.rail.lookup(&payment).await, Ok(settled));
}

#[tokio::test]
async fn a_payment_without_end_is_void_when_its_nonce_is_taken() {
    for lane in [0, 7] {
        let town = Town::open().await;
        town.fund(1, 9_000_000);
        let payment = pulled(1, &endless(1, lane, 1, 0));
        assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
        town.chain.submit(&other(lane, 0).encode()).unwrap();
        town.advance(crate::AN_AGE);
        assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
        town.chain.submit(&other(lane, 1).encode()).unwrap();
        town.advance(MAX_LAG - 1);
        assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
        town.advance(1);
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
    for method in ["eth_chainId", "eth_getBlockByNumber", RECEIPT, LOGS] {
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
