//! One challenge, and another transaction than the one that was shown: the money is found by its memo.

use compute_domain::payment::Evidence;
use compute_engine::ports::{Lookup, Rail as _, Settlement};
use compute_mpp::tempo::Transaction;
use compute_payment_double::tempo::Fault;

use crate::{
    AN_AGE, LOGS, MAX_LAG, NOW_S, PLENTY, PRICE, RECEIPT, SYNC, Town, buyer, declined, payment_of,
    pulled, pushed, shop, signed, text,
};

/// The same challenge, paid by another transaction of the same account.
fn another(number: u8) -> Transaction {
    let mut body = payment_of(number).valid_after(NOW_S - 7).build();
    body.gas_limit += 1;
    body.sign(&buyer(number))
}

/// The evidence of a settlement is what the watch of arrivals reads, once.
async fn assert_arrives_once(town: &Town, start: &str, evidence: &Evidence) {
    let page = town.rail.arrivals(Some(start)).await.unwrap();
    let seen: Vec<_> = page.transfers.iter().collect();
    let [seen] = seen.as_slice() else {
        panic!("{seen:?}");
    };
    assert_eq!(seen.reference, evidence.reference);
    assert_eq!(Some(seen.log_index), evidence.log_index);
}

#[tokio::test]
async fn a_challenge_that_another_transaction_paid_is_settled_by_it() {
    let town = Town::open().await;
    let start = town.rail.arrivals(None).await.unwrap().cursor;
    let payment = town.pay(1);
    let hash = town.chain.submit(&another(1).encode()).unwrap();
    // Nothing is known before the end of what was shown.
    assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
    town.advance(AN_AGE);
    let evidence = town.evidence(1);
    assert_eq!(evidence.reference, text(hash));
    let settled = Lookup::Settled(evidence.clone());
    assert_eq!(town.rail.lookup(&payment).await, Ok(settled.clone()));
    assert_eq!(town.replica().lookup(&payment).await, Ok(settled));
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(evidence.clone()));
    assert_arrives_once(&town, &start, &evidence).await;
    assert_eq!((town.times_paid(1), town.chain.requests(SYNC)), (1, 1));
}

#[tokio::test]
async fn a_nonce_that_went_to_the_same_challenge_is_no_loss() {
    let town = Town::open().await;
    town.fund(1, PLENTY);
    let in_lane = |gas: u64| {
        let mut body = payment_of(1).lane(7_u64.into(), 0).build();
        body.gas_limit += gas;
        body.sign(&buyer(1))
    };
    let payment = pulled(1, &in_lane(0));
    town.chain.submit(&in_lane(1).encode()).unwrap();
    town.advance(MAX_LAG);
    let settled = Settlement::Settled(town.evidence(1));
    assert_eq!(town.rail.settle(&payment).await, settled);
}

#[tokio::test]
async fn a_transaction_that_was_undone_may_have_been_repeated() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.disturb(SYNC, Fault::Reverted);
    town.chain.disturb(LOGS, Fault::DropBefore);
    crate::assert_unknown(&town.rail.settle(&payment).await);
    town.chain.submit(&another(1).encode()).unwrap();
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
}

#[tokio::test]
async fn a_hash_of_something_else_does_not_hide_what_was_paid() {
    let town = Town::open().await;
    town.fund(1, PLENTY);
    let gift = compute_mpp::tempo::abi::TokenTransfer {
        to: buyer(9).address(),
        amount: 1_u64.into(),
        memo: None,
    };
    let currency = compute_payment_double::tempo::USDC_E;
    let gift = compute_mpp::tempo::TransactionBuilder::transfer(4217, currency, &gift)
        .valid_before(NOW_S + 25)
        .build()
        .sign(&buyer(1));
    let hash = text(town.chain.submit(&gift.encode()).unwrap());
    let payment = pushed(1, buyer(1).address(), &hash);
    let code = "wrong_payment".to_owned();
    let never = Lookup::Never { code };
    assert_eq!(town.rail.lookup(&payment).await, Ok(never));
    let paid = text(town.chain.submit(&signed(1).encode()).unwrap());
    let Ok(Lookup::Settled(evidence)) = town.rail.lookup(&payment).await else {
        panic!("it was paid");
    };
    assert_eq!(evidence.reference, paid);
}

#[tokio::test]
async fn what_is_no_payment_of_the_challenge_settles_nothing() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let (payer, stranger) = (buyer(1).address(), buyer(9).address());
    let memo = |number: u8| {
        let own = payment_of(number).build();
        let input = own.calls.first().unwrap().input.clone();
        Some(<[u8; 32]>::try_from(input.get(68..).unwrap()).unwrap())
    };
    // Without its memo, or with that of another challenge.
    town.chain.deposit(payer, shop(), PRICE, None);
    town.chain.deposit(payer, shop(), PRICE, memo(2));
    // Too much, too little, from somebody else, to somebody else.
    town.chain.deposit(payer, shop(), PRICE + 1, memo(1));
    town.chain.deposit(payer, shop(), PRICE - 1, memo(1));
    town.chain.deposit(stranger, shop(), PRICE, memo(1));
    town.chain.deposit(payer, stranger, PRICE, memo(1));
    town.advance(AN_AGE);
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, declined("transaction_expired"));
}

#[tokio::test]
async fn a_search_that_fails_gives_nothing_up() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.submit(&another(1).encode()).unwrap();
    town.advance(AN_AGE);
    for fault in [
        Fault::DropBefore,
        Fault::StatusAfter(500),
        Fault::GarbageAfter,
        Fault::Error {
            code: -32_005,
            message: "limit exceeded".to_owned(),
        },
    ] {
        town.chain.disturb(LOGS, fault.clone());
        let look = town.rail.lookup(&payment).await;
        assert!(look.is_err(), "{fault:?}: {look:?}");
        assert_eq!(town.chain.faults_left(), 0);
    }
    // What the log shows counts with its receipt.
    let looks_for_its_own = 4;
    town.chain
        .disturb_times(RECEIPT, &Fault::Null, looks_for_its_own + 1);
    assert!(town.rail.lookup(&payment).await.is_err());
    assert_eq!(town.chain.faults_left(), 0);
    let settled = Lookup::Settled(town.evidence(1));
    assert_eq!(town.rail.lookup(&payment).await, Ok(settled));
}

/// After a long downtime the challenge is still found, among many blocks.
#[tokio::test]
async fn a_challenge_of_long_ago_is_found() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.submit(&another(1).encode()).unwrap();
    for _ in 0..3_000 {
        town.advance(2);
        town.chain.deposit(buyer(9).address(), shop(), 1, None);
    }
    town.advance(5 * 24 * 3_600);
    let settled = Lookup::Settled(town.evidence(1));
    assert_eq!(town.rail.lookup(&payment).await, Ok(settled));
}
