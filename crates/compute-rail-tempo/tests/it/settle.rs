//! Sending: whatever happens on the way, the answer is true and the money moves at most once.

use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, Rail as _, Settlement};
use compute_mpp::tempo::TransactionBuilder;
use compute_mpp::tempo::abi::TokenTransfer;
use compute_payment_double::tempo::{Fault, USDC_E};

use crate::{
    AN_AGE, MAX_LAG, NOW_S, PRICE, RECEIPT, SEND, SYNC, Town, assert_unknown, declined, payment_of,
    pulled, shop, signed, text,
};

/// A transfer to somebody else.
fn gift() -> TokenTransfer {
    TokenTransfer {
        to: crate::buyer(9).address(),
        amount: 1_u64.into(),
        memo: None,
    }
}

fn error(code: i64, message: &str) -> Fault {
    Fault::Error {
        code,
        message: message.to_owned(),
    }
}

#[tokio::test]
async fn a_payment_settles_with_the_place_of_its_transfer() {
    let town = Town::open().await;
    let outcome = town.rail.settle(&town.pay(1)).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    assert_eq!(town.chain.balance(shop()), PRICE);
    let Settlement::Settled(evidence) = outcome else {
        panic!("it settled");
    };
    assert_eq!(evidence.reference, text(signed(1).hash()));
    assert_eq!(town.chain.requests(SYNC), 1);
}

#[tokio::test]
async fn a_lost_or_garbled_answer_is_made_good_by_a_look_at_the_chain() {
    for fault in [
        Fault::DropAfter,
        Fault::StatusAfter(502),
        Fault::GarbageAfter,
        Fault::TimeOutAfter,
        Fault::AlreadyKnownAfter,
        Fault::WrongHash,
        Fault::OtherMemo,
        Fault::NoLogs,
        Fault::RemovedLogs,
        Fault::Null,
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(SYNC, fault.clone());
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence(1)), "{fault:?}");
        assert_eq!(town.chain.faults_left(), 0);
        assert_eq!(town.rail.settle(&payment).await, outcome);
        assert_eq!(town.times_paid(1), 1);
    }
}

#[tokio::test]
async fn what_did_not_reach_the_chain_is_unknown_and_settles_when_it_is_repeated() {
    for fault in [
        Fault::DropBefore,
        Fault::StatusBefore(500),
        Fault::StatusBefore(429),
        Fault::TimeOutBefore,
        error(-32_005, "limit exceeded"),
        error(-32_000, "already known"),
        error(-32_000, "txpool is full"),
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(SYNC, fault.clone());
        assert_unknown(&town.rail.settle(&payment).await);
        assert_eq!(town.times_paid(1), 0, "{fault:?}");
        assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
        // A restart in between changes nothing: all there is to know is in the proof.
        let outcome = town.replica().settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    }
}

#[tokio::test]
async fn money_that_moved_is_unknown_while_the_node_does_not_show_it() {
    for fault in [
        Fault::Null,
        Fault::DropBefore,
        Fault::StatusAfter(500),
        Fault::GarbageAfter,
        Fault::WrongHash,
        Fault::OtherMemo,
        Fault::NoLogs,
        Fault::RemovedLogs,
        error(-32_005, "limit exceeded"),
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(SYNC, Fault::DropAfter);
        // The look before it is sent, and two after it.
        town.disturb_receipts([Fault::Nothing, fault.clone(), fault.clone()]);
        assert_unknown(&town.rail.settle(&payment).await);
        assert_eq!((town.times_paid(1), town.chain.faults_left()), (1, 0));

        town.chain.disturb(RECEIPT, fault.clone());
        let look = town.rail.lookup(&payment).await;
        match fault {
            Fault::Null => assert_eq!(look, Ok(Lookup::NotYet)),
            _ => assert!(look.is_err(), "{fault:?}: {look:?}"),
        }
        let evidence = town.evidence(1);
        let replica = town.replica();
        let look = replica.lookup(&payment).await;
        assert_eq!(look, Ok(Lookup::Settled(evidence.clone())), "{fault:?}");
        let again = replica.settle(&payment).await;
        assert_eq!(again, Settlement::Settled(evidence));
        assert_eq!(town.times_paid(1), 1);
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_asked_first_is_sent_nothing_and_says_nothing() {
    for fault in [
        Fault::DropBefore,
        Fault::StatusBefore(503),
        Fault::GarbageAfter,
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(RECEIPT, fault);
        assert_unknown(&town.rail.settle(&payment).await);
        assert_eq!(town.chain.requests(SYNC), 0);
        assert_eq!(town.times_paid(1), 0);
    }
}

/// Its buyer has the transaction, too: that we sent nothing does not mean that nobody has.
#[tokio::test]
async fn what_its_buyer_sent_is_never_called_unsent() {
    for fault in [
        Fault::DropBefore,
        Fault::StatusBefore(503),
        Fault::GarbageAfter,
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.submit(&signed(1).encode()).unwrap();
        let seen = town.rail.check(payment.proof()).await;
        assert_eq!(seen, Ok(compute_engine::ports::Check::Fine));
        town.chain.disturb(RECEIPT, fault);
        assert_unknown(&town.rail.settle(&payment).await);
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    }
}

#[tokio::test]
async fn a_transaction_that_was_undone_is_declined_and_never_pays() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.disturb(SYNC, Fault::Reverted);
    let code = "transaction_reverted";
    assert_eq!(town.rail.settle(&payment).await, declined(code));
    assert_eq!(town.rail.settle(&payment).await, declined(code));
    let never = Lookup::Never {
        code: code.to_owned(),
    };
    assert_eq!(town.rail.lookup(&payment).await, Ok(never));
    assert_eq!(town.times_paid(1), 0);
    assert_eq!(town.chain.requests(SYNC), 1);
}

#[tokio::test]
async fn one_word_that_it_was_undone_is_not_enough() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.rail.settle(&payment).await;
    town.chain.disturb(RECEIPT, Fault::Reverted);
    assert!(town.rail.lookup(&payment).await.is_err());
    town.chain.disturb(RECEIPT, Fault::Reverted);
    assert_unknown(&town.rail.settle(&payment).await);
    let settled = Lookup::Settled(town.evidence(1));
    assert_eq!(town.rail.lookup(&payment).await, Ok(settled));
}

#[tokio::test]
async fn a_node_that_cannot_wait_is_asked_to_take_the_transaction() {
    for code in [-32_601, -32_004] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(SYNC, error(code, "no such method"));
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
        assert_eq!(town.chain.requests(SEND), 1);
    }
    // Its receipt may be late, and its answer lost.
    for fault in [Fault::Nothing, Fault::DropAfter] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(SYNC, error(-32_601, "no such method"));
        town.chain.disturb(SEND, fault);
        town.disturb_receipts([Fault::Nothing, Fault::Null]);
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    }
}

#[tokio::test]
async fn the_canonical_form_is_sent_whatever_the_buyer_wrote() {
    let town = Town::open().await;
    town.fund(1, 5_000_000);
    let mut raw = signed(1).encode();
    *raw.last_mut().unwrap() -= 27;
    let spelled = format!("0x{}", hex::encode(raw).to_ascii_uppercase());
    let payload = serde_json::json!({"type": "transaction", "signature": spelled});
    let payment = crate::claim(1, None, payload);
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    let again = town.rail.settle(&pulled(1, &signed(1))).await;
    assert_eq!(again, outcome);
    assert_eq!(town.times_paid(1), 1);
}

#[tokio::test]
async fn who_sent_it_does_not_matter() {
    let town = Town::open().await;
    let payment = town.pay(1);
    town.chain.submit(&signed(1).encode()).unwrap();
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    assert_eq!(town.chain.requests(SYNC), 0);
}

#[tokio::test]
async fn two_replicas_at_once_move_the_money_once() {
    let town = Town::open().await;
    let payment = town.pay(1);
    // Both have looked before one of them sends.
    town.chain.disturb(SYNC, Fault::HoldBefore);
    town.chain.disturb(SYNC, Fault::HoldBefore);
    let other = town.replica();
    let release = async {
        town.chain.arrived(SYNC, 2).await;
        town.chain.release();
    };
    let (one, two, ()) = tokio::join!(town.rail.settle(&payment), other.settle(&payment), release);
    assert_eq!(one, Settlement::Settled(town.evidence(1)));
    assert_eq!(two, one);
    assert_eq!(town.times_paid(1), 1);
}

#[tokio::test]
async fn a_refusal_counts_when_the_chain_says_the_same() {
    let town = Town::open().await;
    // Another transaction took the nonce, in a block that every machine has.
    town.fund(2, 5_000_000);
    let counted = |gas: u64| {
        let mut body = payment_of(2).lane(7_u64.into(), 0).build();
        body.valid_before = None;
        body.gas_limit += gas;
        body.sign(&crate::buyer(2))
    };
    let other = town.chain.submit(
        &TransactionBuilder::transfer(4217, USDC_E, &gift())
            .lane(7_u64.into(), 0)
            .build()
            .sign(&crate::buyer(2))
            .encode(),
    );
    other.unwrap();
    let payment = pulled(2, &counted(0));
    assert_unknown(&town.rail.settle(&payment).await);
    town.advance(MAX_LAG);
    assert_eq!(town.rail.settle(&payment).await, declined("nonce_used"));

    // Its time is over on the chain, with a margin.
    let late = town.pay(3);
    town.advance(AN_AGE);
    let outcome = town.rail.settle(&late).await;
    assert_eq!(outcome, declined("transaction_expired"));
    let paid: Vec<_> = [2, 3].map(|it| town.times_paid(it)).into();
    assert_eq!(paid, [0, 0]);
}

/// Whoever holds a signed transaction can send it until its end, and the purse may be filled by then.
#[tokio::test]
async fn an_empty_purse_declines_nothing_while_the_transaction_is_good() {
    let town = Town::open().await;
    let payment = pulled(1, &signed(1));
    assert_unknown(&town.rail.settle(&payment).await);
    town.fund(1, crate::PLENTY);
    town.chain.submit(&signed(1).encode()).unwrap();
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));

    let poor = pulled(2, &signed(2));
    assert_unknown(&town.rail.settle(&poor).await);
    assert_eq!(town.rail.lookup(&poor).await, Ok(Lookup::NotYet));
    town.advance(AN_AGE);
    let outcome = town.rail.settle(&poor).await;
    assert_eq!(outcome, declined("transaction_expired"));
}

#[tokio::test]
async fn a_refusal_that_the_chain_does_not_confirm_proves_nothing() {
    for message in [
        "nonce too low",
        "transaction valid_before has passed",
        "access key is not authorized",
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(SYNC, error(-32_000, message));
        assert_unknown(&town.rail.settle(&payment).await);
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    }
    // Nor does one behind which the transaction is in.
    for message in [
        "insufficient funds for gas * price + value",
        "nonce too low",
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.disturb(SYNC, Fault::HoldBefore);
        town.chain.disturb(SYNC, error(-32_000, message));
        let other = town.replica();
        let rest = async {
            town.chain.arrived(SYNC, 1).await;
            town.chain.submit(&signed(1).encode()).unwrap();
            other.settle(&payment).await
        };
        let release = async {
            let told = rest.await;
            town.chain.release();
            told
        };
        let (held, told) = tokio::join!(town.rail.settle(&payment), release);
        assert_eq!(held, Settlement::Settled(town.evidence(1)));
        assert_eq!(told, held);
    }
}

#[tokio::test]
async fn a_refusal_that_comes_from_the_payment_itself_is_seen_through() {
    for message in [
        "insufficient funds for gas * price + value",
        "Expiring nonce transaction replay: tx hash already seen and not expired",
    ] {
        let town = Town::open().await;
        let payment = town.pay(1);
        town.chain.submit(&signed(1).encode()).unwrap();
        // The first two looks are answered by a machine that does not have the block yet.
        town.disturb_receipts([Fault::Null, Fault::Null]);
        town.chain.disturb(SYNC, error(-32_000, message));
        let outcome = town.rail.settle(&payment).await;
        assert_eq!(outcome, Settlement::Settled(town.evidence(1)), "{message}");
        assert_eq!(town.chain.faults_left(), 0);
    }
}

#[tokio::test]
async fn a_stored_proof_that_does_not_pay_is_never_sent() {
    let town = Town::open().await;
    town.fund(1, 5_000_000);
    // Signed for the challenge of somebody else.
    let stolen = payment_of(2).build().sign(&crate::buyer(1));
    let outcome = town.rail.settle(&pulled(1, &stolen)).await;
    assert_eq!(outcome, declined("wrong_payment"));
    assert_eq!(town.chain.requests(SYNC), 0);
    // Nor one that waits for a sponsor.
    let open = payment_of(1).build().sign_sponsored(&crate::buyer(1));
    let outcome = town.rail.settle(&pulled(1, &open)).await;
    assert!(matches!(outcome, Settlement::NotSent { .. }), "{outcome:?}");
    assert_eq!(town.chain.requests(SYNC), 0);
}

#[tokio::test]
async fn a_transaction_is_good_to_send_until_its_last_second() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let last = u32::try_from(crate::LIFE_S - 1).unwrap();
    town.advance(last);
    assert_eq!(town.chain.now(), NOW_S + crate::LIFE_S - 1);
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
}

#[tokio::test]
async fn the_seconds_between_check_and_claim_spoil_nothing() {
    let town = Town::open().await;
    let good = town.pay(1);
    let late = compute_domain::time::Timestamp::from_secs(NOW_S + crate::LIFE_S - 2);
    let payment = compute_domain::payment::Payment {
        claimed_at: late,
        ..good.payment().clone()
    };
    let payment = ClaimedPayment::<Mpp>::for_conformance_suite(payment, good.proof().clone());
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
}
