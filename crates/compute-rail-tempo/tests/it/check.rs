//! Before the claim: what only the chain knows.

use compute_domain::time::Span;
use compute_engine::ports::{Check, Rail as _};
use compute_mpp::tempo::abi::TokenTransfer;
use compute_mpp::tempo::{Transaction, TransactionBuilder};
use compute_payment_double::tempo::{Fault, USDC_E};
use compute_wallet::Uint256;

use crate::{
    LIFE_S, LOGS, MAX_LAG, NOW_S, PRICE, RECEIPT, SEND, SYNC, Town, buyer, payment_of, pulled,
    signed,
};

fn refused(code: &str) -> Result<Check, compute_engine::ports::RailUnavailable> {
    Ok(Check::Refused {
        code: code.to_owned(),
    })
}

/// What takes the first nonce of a lane of the first buyer and pays nothing here.
fn gift(lane: u64) -> Transaction {
    let gift = TokenTransfer {
        to: buyer(9).address(),
        amount: 1_u64.into(),
        memo: None,
    };
    let gift = TransactionBuilder::transfer(4217, USDC_E, &gift);
    gift.lane(lane.into(), 0).build().sign(&buyer(1))
}

async fn check(town: &Town, number: u8, transaction: &Transaction) -> Option<String> {
    match town.rail.check(pulled(number, transaction).proof()).await {
        Ok(Check::Fine) => None,
        Ok(Check::Refused { code }) => Some(code),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_good_payment_is_fine_before_and_after_it_was_sent() {
    let town = Town::open().await;
    let payment = town.pay(1);
    assert_eq!(town.rail.check(payment.proof()).await, Ok(Check::Fine));
    // A repeat after a lost answer, or the buyer sent it too.
    town.chain.submit(&signed(1).encode()).unwrap();
    assert_eq!(town.rail.check(payment.proof()).await, Ok(Check::Fine));
    assert_eq!(town.times_paid(1), 1);
    assert_eq!(town.chain.requests(SYNC) + town.chain.requests(SEND), 0);
}

#[tokio::test]
async fn a_purse_that_is_too_small_is_named() {
    let town = Town::open().await;
    for (number, held) in [(1, 0), (2, PRICE - 1), (3, PRICE)] {
        town.fund(number, held);
        let code = check(&town, number, &signed(number)).await;
        assert_eq!(code.as_deref(), Some("insufficient_funds"), "{held}");
    }
}

#[tokio::test]
async fn a_trial_that_fails_is_refused_by_its_reason() {
    let town = Town::open().await;
    town.fund(1, 5_000_000);
    for (code, message, expected) in [
        (3, "execution reverted: Paused", "simulation_failed"),
        (-32_000, "out of gas", "simulation_failed"),
        (
            -32_000,
            "Expiring nonce 'valid_before' 9 exceeds max allowed 8 (must be within 30s)",
            "transaction_valid_too_long",
        ),
        (
            -32_000,
            "transaction not valid yet: current block timestamp 8 < validAfter 9",
            "transaction_not_yet_valid",
        ),
        (
            -32_000,
            "insufficient fee token balance: have 0, need 12178",
            "insufficient_funds",
        ),
    ] {
        let message = message.to_owned();
        town.chain
            .disturb("eth_call", Fault::Error { code, message });
        let code = check(&town, 1, &signed(1)).await;
        assert_eq!(code.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_node_that_says_yes_to_every_transaction_is_not_enough() {
    let town = Town::open().await;
    town.fund(1, PRICE - 1);
    // The transfer is tried for itself, and what the node says of the whole is not asked then.
    let code = check(&town, 1, &signed(1)).await;
    assert_eq!(code.as_deref(), Some("insufficient_funds"));
    assert_eq!(town.chain.requests("eth_call"), 1);
    // Most nodes say no more than that it failed; then the purse is asked.
    let message = "execution reverted: custom error 0x832f98b5".to_owned();
    let undone = Fault::Error { code: 3, message };
    town.chain.disturb("eth_call", undone.clone());
    let code = check(&town, 1, &signed(1)).await;
    assert_eq!(code.as_deref(), Some("insufficient_funds"));
    // With the amount and without the fee the whole is what fails.
    town.fund(1, 1);
    let code = check(&town, 1, &signed(1)).await;
    assert_eq!(code.as_deref(), Some("insufficient_funds"));
    assert_eq!(town.chain.requests("eth_call"), 5);
    town.chain.disturb("eth_call", undone);
    let code = check(&town, 1, &signed(1)).await;
    assert_eq!(code.as_deref(), Some("simulation_failed"));
}

#[tokio::test]
async fn what_speaks_against_a_payment_may_be_that_it_was_just_made() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.disturb("eth_call", Fault::HoldBefore);
    let meanwhile = async {
        town.chain.arrived("eth_call", 1).await;
        town.chain.submit(&signed(1).encode()).unwrap();
        // What the buyer has left does not suffice for a second one.
        town.chain.release();
    };
    town.chain.disturb(
        "eth_call",
        Fault::Error {
            code: 3,
            message: "execution reverted: InsufficientBalance".to_owned(),
        },
    );
    let proof = payment.proof();
    let (checked, ()) = tokio::join!(town.rail.check(proof), meanwhile);
    assert_eq!(checked, Ok(Check::Fine));
    assert_eq!(town.rail.check(proof).await, Ok(Check::Fine));
}

#[tokio::test]
async fn time_is_judged_before_the_claim() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let early = payment_of(1).valid_after(NOW_S + 10).build();
    let code = check(&town, 1, &early.sign(&buyer(1))).await;
    assert_eq!(code.as_deref(), Some("transaction_not_yet_valid"));
    // Five seconds is what sending takes.
    let life = u32::try_from(LIFE_S).unwrap();
    town.advance(life - 5);
    assert_eq!(town.rail.check(payment.proof()).await, Ok(Check::Fine));
    town.clock.advance(Span::from_secs(1));
    let late = town.rail.check(payment.proof()).await;
    assert_eq!(late, refused("transaction_expired"));
    // A chain that is ahead of us knows better.
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.advance_clock(LIFE_S);
    let late = town.rail.check(payment.proof()).await;
    assert_eq!(late, refused("transaction_expired"));
}

#[tokio::test]
async fn counted_nonces_must_be_next() {
    let town = Town::open().await;
    town.fund(1, 9_000_000);
    for lane in [0_u64, 7] {
        let in_lane = |nonce: u64, gas: u64| {
            let payment = payment_of(1).valid_before(NOW_S + 300);
            let mut body = payment.lane(Uint256::from(lane), nonce).build();
            body.gas_limit += gas;
            body.sign(&buyer(1))
        };
        assert_eq!(check(&town, 1, &in_lane(0, 0)).await, None);
        let code = check(&town, 1, &in_lane(1, 0)).await;
        assert_eq!(code.as_deref(), Some("nonce_too_high"));
        town.chain.submit(&gift(lane).encode()).unwrap();
        // Not before every machine has the block in which it was taken.
        let used = pulled(1, &in_lane(0, 0));
        assert!(town.rail.check(used.proof()).await.is_err());
        town.advance(MAX_LAG);
        let code = check(&town, 1, &in_lane(0, 0)).await;
        assert_eq!(code.as_deref(), Some("nonce_used"));
        assert_eq!(check(&town, 1, &in_lane(1, 0)).await, None);
    }
}

#[tokio::test]
async fn a_payment_of_something_else_is_refused_unasked() {
    let town = Town::open().await;
    town.fund(1, 5_000_000);
    let stolen = payment_of(2).build().sign(&buyer(1));
    let code = check(&town, 1, &stolen).await;
    assert_eq!(code.as_deref(), Some("wrong_payment"));
    assert_eq!(town.chain.requests("eth_call"), 0);
}

#[tokio::test]
async fn what_was_undone_is_refused() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.disturb(SYNC, Fault::Reverted);
    town.rail.settle(&payment).await;
    let checked = town.rail.check(payment.proof()).await;
    assert_eq!(checked, refused("transaction_reverted"));
}

#[tokio::test]
async fn a_node_that_does_not_answer_refuses_nobody() {
    let town = Town::open().await;
    let payment = town.pay(1);
    for method in [crate::RECEIPT, "eth_call"] {
        for fault in [
            Fault::DropBefore,
            Fault::StatusBefore(500),
            Fault::GarbageAfter,
            Fault::Error {
                code: -32_005,
                message: "limit exceeded".to_owned(),
            },
        ] {
            town.chain.disturb(method, fault.clone());
            let checked = town.rail.check(payment.proof()).await;
            assert!(checked.is_err(), "{method} {fault:?}: {checked:?}");
            assert_eq!(town.chain.faults_left(), 0);
        }
    }
    town.chain.submit(&signed(1).encode()).unwrap();
    for fault in [
        Fault::WrongHash,
        Fault::OtherMemo,
        Fault::NoLogs,
        Fault::RemovedLogs,
    ] {
        town.chain.disturb(crate::RECEIPT, fault.clone());
        let checked = town.rail.check(payment.proof()).await;
        assert!(checked.is_err(), "{fault:?}: {checked:?}");
    }
}

/// The payer has paid, and is told to pay again by nobody whose machine lags.
#[tokio::test]
async fn a_nonce_that_the_payment_itself_took_is_no_refusal() {
    let lag = Fault::Behind(MAX_LAG.into());
    for lane in [0_u64, 7] {
        let town = Town::open().await;
        town.fund(1, 5_000_000);
        let payment = payment_of(1).valid_before(NOW_S + 300);
        let transaction = payment.lane(lane.into(), 0).build().sign(&buyer(1));
        town.chain.submit(&transaction.encode()).unwrap();
        let payment = pulled(1, &transaction);
        for seconds in [1, MAX_LAG - 2] {
            town.advance(seconds);
            town.chain.disturb_times(RECEIPT, &lag, 2);
            town.chain.disturb("eth_getTransactionByHash", lag.clone());
            town.chain.disturb(LOGS, lag.clone());
            let checked = town.rail.check(payment.proof()).await;
            assert!(checked.is_err(), "lane {lane}, {seconds}: {checked:?}");
            assert_eq!(town.chain.faults_left(), 0);
        }
        assert_eq!(town.rail.check(payment.proof()).await, Ok(Check::Fine));
    }
    // What is remembered of an expiring nonce is the payment itself.
    let town = Town::open().await;
    let payment = town.pay(1);
    let message = "expiring nonce already used".to_owned();
    let code = -32_000;
    town.chain
        .disturb("eth_call", Fault::Error { code, message });
    assert!(town.rail.check(payment.proof()).await.is_err());
}

#[tokio::test]
async fn what_the_node_has_heard_of_is_refused_for_nothing() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.submit(&signed(1).encode()).unwrap();
    town.chain.disturb_times(RECEIPT, &Fault::Null, 2);
    let message = "execution reverted: InsufficientBalance".to_owned();
    town.chain
        .disturb("eth_call", Fault::Error { code: 3, message });
    assert!(town.rail.check(payment.proof()).await.is_err());
    assert_eq!(town.chain.faults_left(), 0);
}

#[tokio::test]
async fn a_nonce_that_went_to_the_same_challenge_is_no_refusal() {
    let town = Town::open().await;
    town.fund(1, 5_000_000);
    let in_lane = |gas: u64| {
        let payment = payment_of(1).valid_before(NOW_S + 300);
        let mut body = payment.lane(7_u64.into(), 0).build();
        body.gas_limit += gas;
        body.sign(&buyer(1))
    };
    town.chain.submit(&in_lane(1).encode()).unwrap();
    let payment = pulled(1, &in_lane(0));
    assert_eq!(town.rail.check(payment.proof()).await, Ok(Check::Fine));
    // It is the evidence as soon as no machine can show anything else.
    crate::assert_unknown(&town.rail.settle(&payment).await);
    town.advance(MAX_LAG);
    let settled = compute_engine::ports::Settlement::Settled(town.evidence(1));
    assert_eq!(town.rail.settle(&payment).await, settled);
    assert_eq!(town.times_paid(1), 1);
}
