//! Transactions that their buyers sent: what counts is what the chain shows of them.

use compute_engine::ports::{Check, Lookup, Rail as _, Settlement};
use compute_mpp::tempo::abi::TokenTransfer;
use compute_mpp::tempo::{Transaction, TransactionBuilder};
use compute_payment_double::tempo::{Fault, USDC_E};
use compute_testkit::faults_log::injected;
use compute_wallet::{EvmAddress, Uint256};

use crate::{
    NOW_S, PRICE, RECEIPT, SEND, SYNC, Town, assert_unknown, buyer, declined, pulled, pushed, shop,
    signed, text,
};

impl Town {
    /// The buyer sends it by itself.
    fn send(&self, number: u8, transaction: &Transaction) -> String {
        self.fund(number, 5_000_000);
        text(self.chain.submit(&transaction.encode()).unwrap())
    }

    async fn refusal(&self, number: u8, from: EvmAddress, hash: &str) -> Option<String> {
        match self.rail.check(pushed(number, from, hash).proof()).await {
            Ok(Check::Fine) => None,
            Ok(Check::Refused { code }) => Some(code),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_payment_that_its_buyer_sent_settles_without_a_send_of_ours() {
    let town = Town::open().await;
    let hash = town.send(1, &signed(1));
    let payment = pushed(1, buyer(1).address(), &hash);
    assert_eq!(town.rail.check(payment.proof()).await, Ok(Check::Fine));
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
    let look = town.rail.lookup(&payment).await;
    assert_eq!(look, Ok(Lookup::Settled(town.evidence(1))));
    assert_eq!(town.chain.requests(SYNC) + town.chain.requests(SEND), 0);
}

/// The buyer's money has moved: a node that is away must not look like a refusal.
#[tokio::test]
async fn a_node_that_is_away_says_nothing_of_what_its_buyer_sent() {
    for fault in [
        Fault::DropBefore,
        Fault::StatusBefore(503),
        Fault::GarbageAfter,
    ] {
        let town = Town::open().await;
        let hash = town.send(1, &signed(1));
        let payment = pushed(1, buyer(1).address(), &hash);
        town.chain.disturb(RECEIPT, fault);
        assert_unknown(&town.rail.settle(&payment).await);
        let again = town.rail.settle(&payment).await;
        assert_eq!(again, Settlement::Settled(town.evidence(1)));
    }
}

#[tokio::test]
async fn one_payment_in_all_its_forms_is_one_transfer() {
    let town = Town::open().await;
    let payment = town.pay(1);
    let hash = text(signed(1).hash());
    let loud = format!("0x{}", hash.trim_start_matches("0x").to_ascii_uppercase());
    let outcome = town.rail.settle(&payment).await;
    let from = buyer(1).address();
    for form in [pushed(1, from, &hash), pushed(1, from, &loud)] {
        injected("F079");
        assert_eq!(town.rail.settle(&form).await, outcome);
    }
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
}

#[tokio::test]
async fn a_hash_of_something_else_is_refused() {
    let town = Town::open().await;
    let stranger = buyer(9).address();
    let plain = |to, amount: u128| {
        let transfer = TokenTransfer {
            to,
            amount: Uint256::from(amount),
            memo: None,
        };
        let payment = TransactionBuilder::transfer(4217, USDC_E, &transfer);
        payment.valid_before(NOW_S + 25).build().sign(&buyer(3))
    };
    let paid = town.send(1, &signed(1));
    let other = town.send(2, &signed(2));
    let without_memo = town.send(3, &plain(shop(), PRICE));
    let elsewhere = town.send(3, &plain(stranger, PRICE));
    for (number, from, hash) in [
        // Somebody else's payment, by whoever claims it.
        (1, stranger, &paid),
        (2, buyer(1).address(), &paid),
        (1, buyer(2).address(), &other),
        // The right account, and no memo of this challenge.
        (3, buyer(3).address(), &without_memo),
        (3, buyer(3).address(), &elsewhere),
    ] {
        injected("F078");
        let code = town.refusal(number, from, hash).await;
        assert_eq!(code.as_deref(), Some("wrong_payment"));
        let outcome = town.rail.settle(&pushed(number, from, hash)).await;
        assert_eq!(outcome, declined("wrong_payment"));
    }
}

#[tokio::test]
async fn a_hash_that_nobody_sent_is_not_found() {
    let town = Town::open().await;
    let payment = pushed(1, buyer(1).address(), &text([5; 32]));
    let code = town.refusal(1, buyer(1).address(), &text([5; 32])).await;
    assert_eq!(code.as_deref(), Some("transaction_not_found"));
    assert_unknown(&town.rail.settle(&payment).await);
    assert_eq!(town.rail.lookup(&payment).await, Ok(Lookup::NotYet));
}

#[tokio::test]
async fn a_transaction_that_was_undone_is_refused() {
    let town = Town::open().await;
    // The fee is paid from what the amount needs.
    town.fund(1, PRICE);
    let hash = text(town.chain.submit(&signed(1).encode()).unwrap());
    let code = town.refusal(1, buyer(1).address(), &hash).await;
    assert_eq!(code.as_deref(), Some("transaction_reverted"));
    let payment = pushed(1, buyer(1).address(), &hash);
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, declined("transaction_reverted"));
}

#[tokio::test]
async fn our_node_may_be_slower_than_the_buyers() {
    let town = Town::open().await;
    let hash = town.send(1, &signed(1));
    let payment = pushed(1, buyer(1).address(), &hash);
    town.chain.disturb(RECEIPT, Fault::Null);
    assert_eq!(town.rail.check(payment.proof()).await, Ok(Check::Fine));
    // Seen, but in no block after all looks: nobody is told to pay again.
    town.chain.disturb_times(RECEIPT, &Fault::Null, 2);
    assert!(town.rail.check(payment.proof()).await.is_err());
    town.chain.disturb_times(RECEIPT, &Fault::DropBefore, 1);
    assert!(town.rail.check(payment.proof()).await.is_err());
    let outcome = town.rail.settle(&payment).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
}

#[tokio::test]
async fn a_source_on_another_chain_is_no_proof() {
    let town = Town::open().await;
    let hash = town.send(1, &signed(1));
    let proof = pushed(1, buyer(1).address(), &hash);
    let mut json = proof.proof().credential.to_json();
    let source = format!("did:pkh:eip155:1:{}", buyer(1).address());
    json.as_object_mut()
        .unwrap()
        .insert("source".to_owned(), source.into());
    let mut astray = proof.proof().clone();
    astray.credential = compute_mpp::Credential::from_json(json).unwrap();
    assert!(town.rail.check(&astray).await.is_err());
    // And the same transaction is good to be pulled.
    let outcome = town.rail.settle(&pulled(1, &signed(1))).await;
    assert_eq!(outcome, Settlement::Settled(town.evidence(1)));
}
