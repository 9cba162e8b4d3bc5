//! The catalogue of bad input on Solana, row by row (x402 reference, section 14.4).

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_wallet::SolanaKey;
use compute_x402::client::svm_payload_for;
use compute_x402::exact_svm::{MAX_WIRE_BYTES, SvmToken, SvmTransaction};
use compute_x402::{Offer, Recipient, TokenTerms, Version};
use serde_json::{Value, json};

use super::by_hand::{
    BUYER, ByHand, DESTINATION, FEE_PAYER, LIGHTHOUSE, LIMIT, MEMO_AT, MINT, SYSTEM, TOKEN_2022,
    TOKEN_AT, TRANSFER, UNIT_PRICE, transfer,
};
use super::{PRICE, account, merchant, terms};
use crate::catalogue::{Line, Sent, check_lines, elsewhere, refused};
use crate::shop::RESOURCE;

macro_rules! code {
    ($rest:literal) => {
        concat!("invalid_exact_svm_payload_", $rest)
    };
}

const DECODED: &str = code!("transaction_could_not_be_decoded");
const NO_TRANSFER: &str = code!("no_transfer_instruction");
const LENGTH: &str = code!("transaction_instructions_length");
const LIMIT_FIRST: &str = code!("transaction_instructions_compute_limit_instruction");
const TOO_DEAR: &str = code!("transaction_instructions_compute_price_instruction_too_high");
const TOO_MUCH: &str = code!("transaction_instructions_compute_limit_instruction_too_high");
const REACHED: &str = code!("transaction_fee_payer_included_in_instruction_accounts");

#[rustfmt::skip]
const LINES: &[Line] = &[
    refused("69", "no base64, cut off, or with more behind it", 400, DECODED, no_transaction),
    // The reference's own vector `v2-transaction-number` has this code, so it is the one to keep.
    refused("69", "a number for a text", 400, "invalid_payload", number),
    refused("70", "lies about places and lengths", 400, DECODED, lies),
    refused("71", "the buyer did not sign, or not this", 402, code!("signature_invalid"), not_signed),
    refused("72", "another fee payer", 402, "invalid_exact_svm_fee_payer_mismatch", other_fee_payer),
    refused("73", "the fee payer pays the price", 402, code!("transaction_fee_payer_transferring_funds"), fee_payer_pays),
    refused("74", "money of the fee payer besides", 402, code!("unknown_fourth_instruction"), system_transfer),
    refused("75", "a memo by the fee payer", 402, REACHED, memo_by_fee_payer),
    refused("76", "an account at the cost of the fee payer", 402, NO_TRANSFER, new_account),
    refused("77", "a unit price above the cap", 402, TOO_DEAR, unit_prices),
    refused("78", "a unit limit above the cap", 402, TOO_MUCH, unit_limit),
    refused("79", "the first two swapped", 402, LIMIT_FIRST, swapped),
    refused("79", "two instructions, or eight", 402, LENGTH, counts),
    refused("80", "a transfer that names no mint", 402, NO_TRANSFER, plain_transfer),
    refused("81", "another mint, or token program", 402, code!("mint_mismatch"), other_mint),
    refused("82", "another account", 402, code!("recipient_mismatch"), other_account),
    refused("83", "an atomic unit less, or more", 402, code!("amount_mismatch"), other_amounts),
    refused("84", "another memo", 402, code!("memo_mismatch"), other_memo),
    refused("84", "no memo, or two", 402, code!("memo_count"), memo_count),
    refused("85", "a third signer", 402, code!("excessive_signers"), third_signer),
    refused("86", "a lookup table", 402, "invalid_exact_svm_smart_wallet_alt_resolution_not_available", lookup_table),
    refused("87", "a durable nonce", 402, LIMIT_FIRST, durable_nonce),
    elsewhere("88", "an old blockhash, or none", "crates/compute-rail-solana/tests/it/check.rs: an_old_or_unknown_blockhash_is_refused"),
    elsewhere("89", "garbage in our slot", "crates/compute-rail-solana/tests/it/settle.rs: the_same_message_twice_before_it_is_in_moves_the_money_once"),
    elsewhere("90", "our account is missing", "crates/compute-rail-solana/tests/it/check.rs: our_own_missing_account_is_named"),
    elsewhere("91", "no money; what would fail", "crates/compute-rail-solana/tests/it/check.rs: a_payer_without_money_or_account_is_refused"),
    elsewhere("92", "a failure on the chain", "crates/compute-rail-solana/tests/it/spending.rs: a_payer_whose_transactions_fail_is_refused_for_a_while"),
];

/// An offer that asks for this memo, as far as it asks for one.
fn offer(memo: Option<&str>) -> Offer {
    let terms = match memo {
        Some(memo) => terms().with_memo(memo),
        None => terms(),
    };
    let token = Arc::new(TokenTerms::svm(SvmToken::new(terms)));
    Offer::new(token, Recipient::new(merchant()), PRICE, 90)
}

/// A payment with this for its transaction, in a version that brings its memo.
fn sent(transaction: Value, version: Version, memo: Option<&str>) -> Sent {
    let valid = SvmTransaction::from_wire(&ByHand::valid().wire()).unwrap();
    let mut json = svm_payload_for(version, &offer(memo), RESOURCE, &valid).to_json();
    json["payload"]["transaction"] = transaction;
    Sent::json(&json).to(offer(memo))
}

fn both(transaction: &Value) -> Vec<Sent> {
    [Version::V1, Version::V2]
        .map(|version| sent(transaction.clone(), version, None))
        .into()
}

fn wire(bytes: &[u8]) -> Vec<Sent> {
    both(&STANDARD.encode(bytes).into())
}

fn changed(change: impl FnOnce(&mut ByHand)) -> Vec<Sent> {
    wire(&ByHand::with(change).wire())
}

fn no_transaction() -> Vec<Sent> {
    let good = ByHand::valid().wire();
    let text = |text: &str| both(&text.into());
    let mut all = [text("%%%"), text(""), text("QUFBQQ==")].concat();
    all.extend(wire(&good[..good.len() - 1]));
    all.extend(wire(&[&good[..], &[0]].concat()));
    all
}

fn number() -> Vec<Sent> {
    [json!(7), json!(null), json!(["AA=="])]
        .iter()
        .flat_map(both)
        .collect()
}

fn lies() -> Vec<Sent> {
    let mut all = changed(|it| it.instructions[TRANSFER].accounts[0] = 99);
    all.extend(changed(|it| it.instructions[TRANSFER].program = 99));
    all.extend(changed(|it| {
        it.instructions[3].data = vec![b'x'; MAX_WIRE_BYTES];
    }));
    let good = ByHand::valid().wire();
    // One signature too many, and the same count in a longer form than it needs.
    let mut more = good.clone();
    more[0] = 3;
    all.extend(wire(&more));
    let overlong = [&[0x82, 0x00], &good[1..]].concat();
    all.extend(wire(&overlong));
    all
}

fn not_signed() -> Vec<Sent> {
    let good = ByHand::valid().wire();
    let mut missing = good.clone();
    missing[65..129].fill(0);
    let mut corrupt = good;
    corrupt[70] ^= 1;
    let mut all = wire(&missing);
    all.extend(wire(&corrupt));
    all.extend(changed(|it| it.keys = vec![SolanaKey::from_seed(&[8; 32])]));
    all
}

fn other_fee_payer() -> Vec<Sent> {
    changed(|it| it.accounts[0] = account(LIGHTHOUSE))
}

fn fee_payer_pays() -> Vec<Sent> {
    changed(|it| it.instructions[TRANSFER].accounts[3] = FEE_PAYER)
}

fn system_transfer() -> Vec<Sent> {
    changed(|it| {
        let system = it.add_account(account(SYSTEM));
        it.instructions.truncate(3);
        it.add_instruction(
            system,
            &[FEE_PAYER, BUYER],
            &[2, 0, 0, 0, 0, 202, 154, 59, 0, 0, 0, 0],
        );
    })
}

fn memo_by_fee_payer() -> Vec<Sent> {
    changed(|it| it.instructions[3].accounts = vec![FEE_PAYER])
}

fn new_account() -> Vec<Sent> {
    changed(|it| {
        let program = it.add_account(account("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"));
        it.add_instruction(program, &[FEE_PAYER, DESTINATION], &[1]);
        it.instructions.swap(TRANSFER, 4);
    })
}

fn unit_prices() -> Vec<Sent> {
    let price = |price: u64| {
        changed(move |it| {
            it.instructions[UNIT_PRICE].data = [&[3][..], &price.to_le_bytes()].concat();
        })
    };
    let mut all = price(u64::MAX);
    all.extend(price(5_000_000_000_001));
    all
}

fn unit_limit() -> Vec<Sent> {
    changed(|it| {
        it.instructions[LIMIT].data = [&[2][..], &1_400_000_u32.to_le_bytes()].concat();
    })
}

fn swapped() -> Vec<Sent> {
    changed(|it| it.instructions.swap(LIMIT, UNIT_PRICE))
}

fn counts() -> Vec<Sent> {
    let mut all = changed(|it| it.instructions.truncate(2));
    all.extend(changed(|it| {
        it.instructions.extend(vec![it.instructions[3].clone(); 4]);
    }));
    all
}

fn plain_transfer() -> Vec<Sent> {
    changed(|it| {
        it.instructions[TRANSFER].data = [&[3][..], &PRICE.get().to_le_bytes()[..8]].concat();
    })
}

fn other_mint() -> Vec<Sent> {
    let mut all = changed(|it| it.accounts[usize::from(MINT)] = account(LIGHTHOUSE));
    all.extend(changed(|it| {
        it.accounts[usize::from(TOKEN_AT)] = account(TOKEN_2022);
    }));
    all
}

fn other_account() -> Vec<Sent> {
    let mut all = changed(|it| it.accounts[usize::from(DESTINATION)] = account(LIGHTHOUSE));
    all.extend(changed(|it| {
        it.accounts[usize::from(DESTINATION)] = merchant()
    }));
    all
}

fn other_amounts() -> Vec<Sent> {
    let amount = |amount| changed(move |it| it.instructions[TRANSFER].data = transfer(amount, 6));
    let mut all = amount(89_999_999);
    all.extend(amount(90_000_001));
    all
}

fn with_memo(change: impl FnOnce(&mut ByHand)) -> Sent {
    let text = STANDARD.encode(ByHand::with(change).wire());
    sent(text.into(), Version::V2, Some("m1"))
}

fn other_memo() -> Vec<Sent> {
    vec![with_memo(|it| it.instructions[3].data = b"m2".to_vec())]
}

fn memo_count() -> Vec<Sent> {
    vec![
        with_memo(|it| it.instructions.truncate(3)),
        with_memo(|it| it.add_instruction(MEMO_AT, &[], b"m1")),
    ]
}

fn third_signer() -> Vec<Sent> {
    changed(|it| {
        let third = SolanaKey::from_seed(&[8; 32]);
        it.accounts.insert(2, third.address());
        it.header = [3, 2, 4];
        it.keys.push(third);
    })
}

fn lookup_table() -> Vec<Sent> {
    changed(|it| it.lookups = vec![(account(LIGHTHOUSE), vec![0], vec![])])
}

fn durable_nonce() -> Vec<Sent> {
    changed(|it| {
        let system = it.add_account(account(SYSTEM));
        it.add_instruction(system, &[BUYER], &[4, 0, 0, 0]);
        let advance = it.instructions.pop().unwrap();
        it.instructions.insert(0, advance);
        it.instructions.truncate(7);
    })
}

#[test]
fn every_line_is_answered_as_written() {
    check_lines(LINES);
}

#[test]
fn every_row_is_there() {
    let expected: BTreeSet<String> = (69..=92).map(|row: u8| row.to_string()).collect();
    let found: BTreeSet<String> = LINES.iter().map(|line| line.row.to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_unchanged_payment_is_accepted() {
    for sent in [changed(|_| ()), vec![with_memo(|_| ())]].concat() {
        assert!(matches!(sent.answer(), crate::shop::Answer::Accepted(_)));
    }
}
