use compute_mpp::tempo::{AttributionMemo, P256Signature, ReceiptView};
use compute_mpp::tempo::{
    KeySignature, SenderSignature, TempoCharge, TransactionBuilder, find_payment,
};
use compute_payment_double::tempo::{FEE_MANAGER, Options, USDC_E};
use compute_wallet::{EvmAddress, EvmKey, Uint256};
use serde_json::json;

use crate::{AMOUNT, NOW, buyer, payment, shop, signed, start, start_with, terms, text};

#[tokio::test]
async fn a_payment_moves_money_once_and_is_recorded() {
    let town = start().await;
    town.chain.fund(buyer().address(), 5_000_000);
    let transaction = signed("one");
    let receipt = ReceiptView::parse(&town.send(&transaction).await).unwrap();
    let terms = terms();
    let charge = TempoCharge {
        terms: &terms,
        amount: AMOUNT,
        realm: "shop.example",
        challenge_id: "one",
    };
    let paid = find_payment(&receipt, &charge, &buyer().address(), &transaction.hash()).unwrap();

    let fee = 5_000_000 - AMOUNT - town.chain.balance(buyer().address());
    assert!(fee > 0);
    assert_eq!(town.chain.balance(shop()), AMOUNT);
    assert_eq!(town.chain.balance(FEE_MANAGER), fee);
    let [record] = &town.chain.transfers()[..] else {
        panic!("one payment");
    };
    let memo = AttributionMemo::of("shop.example", "one", None);
    assert_eq!(record.from, buyer().address().to_string());
    assert_eq!(record.to, shop().to_string());
    assert_eq!(record.amount, AMOUNT);
    assert_eq!(record.memo, Some(text(*memo.as_bytes())));
    assert_eq!(record.transaction_hash, text(transaction.hash()));
    assert_eq!(
        (record.block, record.log_index),
        (paid.block, paid.transfer_log_index)
    );
}

#[tokio::test]
async fn an_expiring_nonce_pays_once_in_every_spelling() {
    let town = start().await;
    town.chain.fund(buyer().address(), 5_000_000);
    let transaction = signed("one");
    town.send(&transaction).await;
    assert_eq!(town.refusal(&transaction).await, "already known");
    let mut respelled = transaction.encode();
    *respelled.last_mut().unwrap() -= 27;
    let refused = town.chain.submit(&respelled).unwrap_err();
    assert_eq!(refused, "already known");

    // The same calls for another price of gas are another transaction.
    let mut dearer = payment("one").build();
    dearer.max_fee_per_gas += 1;
    town.send(&dearer.sign(&buyer())).await;
    assert_eq!(town.chain.transfers().len(), 2);
}

#[tokio::test]
async fn a_second_signature_over_one_payment_is_refused() {
    use p256::ecdsa::signature::hazmat::PrehashSigner as _;
    use p256::ecdsa::{Signature, SigningKey};
    let town = start().await;
    let key = SigningKey::from_slice(&[5; 32]).unwrap();
    let body = payment("one").build();
    let hash = body.sender_hash(false);
    let forms = [false, true].map(|prehash| {
        let message: [u8; 32] = if prehash {
            <sha2::Sha256 as sha2::Digest>::digest(hash).into()
        } else {
            hash
        };
        let signature: Signature = key.sign_prehash(&message).unwrap();
        let signature = P256Signature::new(signature, *key.verifying_key(), prehash);
        let signature = SenderSignature::Own(KeySignature::P256(signature));
        body.clone().with_signature(signature)
    });
    let [first, second] = forms;
    assert_ne!(first.hash(), second.hash());
    town.chain.fund(first.sender().unwrap(), 5_000_000);
    town.send(&first).await;
    assert_eq!(town.refusal(&second).await, "expiring nonce already used");
    assert_eq!(town.chain.transfers().len(), 1);
}

#[tokio::test]
async fn the_window_of_validity_is_the_chains() {
    let town = start_with(Options {
        clock: Some(NOW),
        max_validity_s: 30,
        ..Options::default()
    })
    .await;
    town.chain.fund(buyer().address(), 5_000_000);
    let refused =
        async |builder: TransactionBuilder| town.refusal(&builder.build().sign(&buyer())).await;
    assert_eq!(
        refused(payment("a").valid_before(NOW)).await,
        "transaction valid_before has passed"
    );
    assert_eq!(
        refused(payment("a").valid_before(NOW + 31)).await,
        "expiring nonce valid_before is too far ahead"
    );
    assert_eq!(
        refused(payment("a").valid_after(NOW + 1)).await,
        "transaction is not valid yet"
    );
    town.chain.advance_clock(1);
    town.send(&payment("a").valid_after(NOW + 1).build().sign(&buyer()))
        .await;
    assert_eq!(town.chain.transfers().len(), 1);
}

#[tokio::test]
async fn counted_nonces_come_in_order_in_their_lanes() {
    let town = start().await;
    town.chain.fund(buyer().address(), 9_000_000);
    let in_lane = |lane: u64, nonce| {
        let lane = Uint256::from(lane);
        payment("a").lane(lane, nonce).build().sign(&buyer())
    };
    assert_eq!(town.refusal(&in_lane(7, 1)).await, "nonce too high");
    town.send(&in_lane(7, 0)).await;
    assert_eq!(town.refusal(&in_lane(7, 0)).await, "already known");
    let mut again = payment("b").lane(Uint256::from(7_u64), 0).build();
    again.gas_limit += 1;
    assert_eq!(town.refusal(&again.sign(&buyer())).await, "nonce too low");
    town.send(&in_lane(7, 1)).await;
    town.send(&in_lane(0, 0)).await;
    let count = json!([buyer().address().to_string(), "latest"]);
    assert_eq!(town.result("eth_getTransactionCount", count).await, "0x1");
}

#[tokio::test]
async fn who_cannot_pay_the_fee_is_refused_and_who_cannot_pay_the_rest_pays_the_fee() {
    let town = start().await;
    let transaction = signed("one");
    assert_eq!(
        town.refusal(&transaction).await,
        "insufficient funds for gas * price + value"
    );
    town.chain.fund(buyer().address(), AMOUNT);
    let receipt = town.send(&transaction).await;
    assert_eq!(receipt["status"], "0x0");
    assert_eq!(town.chain.balance(shop()), 0);
    assert!(town.chain.balance(buyer().address()) < AMOUNT);
    assert!(town.chain.transfers().is_empty());
}

#[tokio::test]
async fn a_sponsor_pays_the_fee_of_another() {
    let town = start().await;
    let sponsor = EvmKey::from_bytes(&[0x22; 32]).unwrap();
    town.chain.fund(buyer().address(), AMOUNT);
    town.chain.fund(sponsor.address(), 1_000_000);
    let open = payment("one").build().sign_sponsored(&buyer());
    assert_eq!(town.refusal(&open).await, "missing fee payer signature");
    let receipt = town.send(&open.co_sign(&sponsor, USDC_E).unwrap()).await;
    assert_eq!(receipt["feePayer"], sponsor.address().to_string());
    assert_eq!(town.chain.balance(buyer().address()), 0);
    assert!(town.chain.balance(sponsor.address()) < 1_000_000);
    assert_eq!(town.chain.balance(shop()), AMOUNT);
}

#[tokio::test]
async fn transactions_of_other_chains_and_to_tokens_are_refused() {
    let town = start().await;
    town.chain.fund(buyer().address(), 5_000_000);
    let mut other = payment("one").build();
    other.chain_id = 42431;
    assert_eq!(
        town.refusal(&other.sign(&buyer())).await,
        "invalid chain id for signer"
    );
    let transfer = compute_mpp::tempo::abi::TokenTransfer {
        to: USDC_E,
        amount: Uint256::from(1_u64),
        memo: None,
    };
    let to_token = TransactionBuilder::transfer(4217, USDC_E, &transfer)
        .valid_before(NOW + 25)
        .build()
        .sign(&buyer());
    assert_eq!(town.send(&to_token).await["status"], "0x0");
}

#[tokio::test]
async fn money_can_arrive_without_a_request() {
    let town = start().await;
    let stranger = EvmAddress::new([9; 20]);
    let hash = town.chain.deposit(stranger, shop(), 7, Some([3; 32]));
    assert_eq!(town.chain.balance(shop()), 7);
    let records = town.chain.transfers();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].memo, Some(text([3; 32])));
    let receipt = town
        .result("eth_getTransactionReceipt", json!([text(hash)]))
        .await;
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn who_observes_hears_of_money_before_its_sender() {
    use std::sync::{Arc, Mutex};
    let town = start().await;
    town.chain.fund(buyer().address(), 5_000_000);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let journal = Arc::clone(&heard);
    town.chain
        .observe(move |record| journal.lock().unwrap().push(record.clone()));
    town.chain.disturb(
        "eth_sendRawTransactionSync",
        compute_payment_double::tempo::Fault::DropAfter,
    );
    let sent = json!([crate::raw(&signed("one"))]);
    town.ask("eth_sendRawTransactionSync", sent)
        .await
        .unwrap_err();
    assert_eq!(*heard.lock().unwrap(), town.chain.transfers());
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn everybody_may_hold_something_at_first() {
    let options = Options {
        clock: Some(NOW),
        opening_balance: 2_000_000,
        ..Options::default()
    };
    let town = start_with(options).await;
    assert_eq!(town.chain.balance(buyer().address()), 2_000_000);
    town.send(&signed("one")).await;
    assert_eq!(town.chain.balance(shop()), 2_000_000 + AMOUNT);
    let left = town.chain.balance(buyer().address());
    assert!((1..2_000_000 - AMOUNT).contains(&left), "{left}");
}
