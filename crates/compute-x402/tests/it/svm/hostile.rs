//! Well-formed transactions that do not pay, or that take more from us than the fee.

use compute_wallet::SolanaKey;
use compute_x402::exact_svm::{ExtraInstruction, SvmFault, SvmLimits, SvmPayTo, SvmTransaction};
use compute_x402::{Amount, ErrorCode};

use super::by_hand::{
    BUDGET_AT, BUYER, ByHand, DESTINATION, FEE_PAYER, LIGHTHOUSE, LIMIT, MEMO_AT, MINT, SOURCE,
    SYSTEM, TOKEN_2022, TOKEN_AT, TRANSFER, transfer,
};
use super::{PRICE, account, answer, answer_on, buyer, fee_payer, merchant, pay_to, terms};

/// A change of a valid payment, signed by the buyer, is refused for this reason.
pub(crate) fn refuse(change: impl FnOnce(&mut ByHand), expected: SvmFault) {
    let outcome = answer(&ByHand::with(change).wire());
    assert_eq!(outcome, Err(expected));
    assert!(!expected.is_malformed());
}

/// A change of a valid payment, signed by the buyer, is still one.
pub(crate) fn accept(change: impl FnOnce(&mut ByHand)) {
    let verified = answer(&ByHand::with(change).wire()).unwrap();
    assert_eq!(verified.payer, buyer().address());
    assert_eq!(verified.transfer.amount, PRICE);
}

#[test]
fn the_unchanged_payment_is_valid_in_both_versions() {
    accept(|_| ());
    accept(|it| it.version = None);
}

#[test]
fn every_other_signer_must_have_signed() {
    refuse(
        |it| it.keys = vec![SolanaKey::from_seed(&[8; 32])],
        SvmFault::Signature,
    );
    let mut wire = ByHand::valid().wire();
    wire[65..129].fill(0);
    assert_eq!(answer(&wire), Err(SvmFault::Signature));
}

// Somebody who signs nothing permits nothing; only the chain would notice.
#[test]
fn the_authority_must_be_a_signer() {
    refuse(
        |it| {
            let stranger = it.add_account(account(LIGHTHOUSE));
            it.instructions[TRANSFER].accounts[3] = stranger;
        },
        SvmFault::Signature,
    );
    refuse(
        |it| {
            it.header = [1, 0, 4];
            it.keys.clear();
        },
        SvmFault::Signature,
    );
    // The same without terms: whoever the fee payer is, its slot proves nothing.
    let unsigned = ByHand::with(|it| {
        it.header = [1, 0, 4];
        it.keys.clear();
        it.instructions[TRANSFER].accounts[3] = FEE_PAYER;
    });
    let transaction = SvmTransaction::from_wire(&unsigned.wire()).unwrap();
    assert_eq!(transaction.identify(), Err(SvmFault::FeePayerTransferring));
}

#[test]
fn a_third_signer_is_too_dear_even_when_it_signs() {
    let third = SolanaKey::from_seed(&[8; 32]);
    refuse(
        |it| {
            it.accounts.insert(2, third.address());
            it.header = [3, 2, 4];
            it.keys.push(third);
        },
        SvmFault::ExcessiveSigners,
    );
}

#[test]
fn the_fee_payer_is_ours() {
    refuse(
        |it| it.accounts[0] = account(LIGHTHOUSE),
        SvmFault::FeePayer,
    );
}

#[test]
fn the_fee_payer_does_not_pay_the_price() {
    refuse(
        |it| it.instructions[TRANSFER].accounts[3] = FEE_PAYER,
        SvmFault::FeePayerTransferring,
    );
}

#[test]
fn no_instruction_reaches_the_fee_payer() {
    let money = [2, 0, 0, 0, 0, 202, 154, 59, 0, 0, 0, 0];
    refuse(
        |it| {
            let system = it.add_account(account(SYSTEM));
            it.add_instruction(system, &[FEE_PAYER, BUYER], &money);
        },
        SvmFault::UnknownInstruction(ExtraInstruction::Fifth),
    );
    refuse(
        |it| it.instructions[3].accounts = vec![FEE_PAYER],
        SvmFault::FeePayerInAccounts,
    );
    refuse(
        |it| {
            let lighthouse = it.add_account(account(LIGHTHOUSE));
            it.add_instruction(lighthouse, &[BUYER, FEE_PAYER], &[1]);
        },
        SvmFault::FeePayerInAccounts,
    );
    refuse(
        |it| it.instructions[LIMIT].accounts = vec![FEE_PAYER],
        SvmFault::FeePayerInAccounts,
    );
    refuse(
        |it| it.instructions[TRANSFER].accounts[0] = FEE_PAYER,
        SvmFault::FeePayerInAccounts,
    );
}

// With a durable nonce a payment would never expire.
#[test]
fn there_are_three_to_seven_instructions() {
    accept(|it| it.instructions.truncate(3));
    let with_memos = |count| {
        move |it: &mut ByHand| {
            it.instructions
                .extend(vec![it.instructions[3].clone(); count]);
        }
    };
    accept(with_memos(3));
    refuse(|it| it.instructions.truncate(2), SvmFault::InstructionCount);
    refuse(|it| it.instructions.clear(), SvmFault::InstructionCount);
    refuse(with_memos(4), SvmFault::InstructionCount);
}

#[test]
fn only_memos_and_wallet_assertions_follow_the_transfer() {
    accept(|it| {
        let lighthouse = it.add_account(account(LIGHTHOUSE));
        it.add_instruction(lighthouse, &[BUYER, DESTINATION], &[1, 2]);
    });
    for (memos, place) in [
        (0, ExtraInstruction::Fourth),
        (1, ExtraInstruction::Fifth),
        (2, ExtraInstruction::Sixth),
        (3, ExtraInstruction::Seventh),
    ] {
        for program in [BUDGET_AT, TOKEN_AT] {
            refuse(
                |it| {
                    let memo = it.instructions[3].clone();
                    it.instructions.truncate(3);
                    it.instructions.extend(vec![memo; memos]);
                    it.add_instruction(program, &[SOURCE, MINT, DESTINATION, BUYER], &[5]);
                },
                SvmFault::UnknownInstruction(place),
            );
        }
    }
}

#[test]
fn the_third_instruction_is_the_one_transfer_we_know() {
    let set = |data: Vec<u8>| move |it: &mut ByHand| it.instructions[TRANSFER].data = data;
    let good = transfer(90_000_000, 6);
    for data in [
        [&[3][..], &good[1..9]].concat(), // Transfer, which names no mint
        [&[3][..], &good[1..]].concat(),
        good[..9].to_vec(),
        [&good[..], &[0]].concat(),
        vec![12],
        Vec::new(),
    ] {
        refuse(set(data), SvmFault::NoTransfer);
    }
    refuse(
        |it| it.instructions[TRANSFER].program = MEMO_AT,
        SvmFault::NoTransfer,
    );
    // Fewer accounts are none; more are those of a multisignature or of a hook.
    refuse(
        |it| it.instructions[TRANSFER].accounts.truncate(3),
        SvmFault::NoTransfer,
    );
    refuse(
        |it| it.instructions[TRANSFER].accounts.push(BUYER),
        SvmFault::NoTransfer,
    );
    refuse(
        |it| {
            let ata = account("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
            let program = it.add_account(ata);
            it.add_instruction(program, &[FEE_PAYER, DESTINATION], &[1]);
            it.instructions.swap(TRANSFER, 4);
        },
        SvmFault::NoTransfer,
    );
}

#[test]
fn another_token_or_token_program_does_not_pay() {
    refuse(
        |it| it.accounts[usize::from(MINT)] = account(LIGHTHOUSE),
        SvmFault::Mint,
    );
    refuse(
        |it| it.accounts[usize::from(TOKEN_AT)] = account(TOKEN_2022),
        SvmFault::Mint,
    );
}

#[test]
fn only_the_merchants_account_is_paid() {
    let set = |to| move |it: &mut ByHand| it.accounts[usize::from(DESTINATION)] = to;
    refuse(set(account(LIGHTHOUSE)), SvmFault::Recipient);
    // The wallet itself holds no tokens.
    refuse(set(merchant()), SvmFault::Recipient);
    refuse(
        |it| it.instructions[TRANSFER].accounts[2] = SOURCE,
        SvmFault::Recipient,
    );
}

// A token program carries out a transfer from an account to itself, and nothing moves.
#[test]
fn the_payer_is_not_the_recipient() {
    let from_itself = |it: &mut ByHand| it.instructions[TRANSFER].accounts[0] = DESTINATION;
    refuse(from_itself, SvmFault::SelfPayment);
    assert_eq!(SvmFault::SelfPayment.code(), ErrorCode::InvalidPayload);
    let merchant = SolanaKey::from_seed(&[2; 32]);
    refuse(
        |it| {
            it.accounts[usize::from(BUYER)] = merchant.address();
            it.keys = vec![merchant];
        },
        SvmFault::SelfPayment,
    );
}

#[test]
fn the_amount_and_its_decimals_are_exact() {
    let set = |data| move |it: &mut ByHand| it.instructions[TRANSFER].data = data;
    refuse(set(transfer(89_999_999, 6)), SvmFault::Amount);
    refuse(set(transfer(90_000_001, 6)), SvmFault::Amount);
    refuse(set(transfer(0, 6)), SvmFault::Amount);
    refuse(set(transfer(u64::MAX, 6)), SvmFault::Amount);
    refuse(set(transfer(90_000_000, 5)), SvmFault::Amount);
    refuse(set(transfer(90_000_000, 0)), SvmFault::Amount);
    // A price beyond what a transfer can carry is never met, whatever its low bits are.
    let transaction = SvmTransaction::from_wire(&ByHand::valid().wire()).unwrap();
    let beyond = Amount::new((1 << 64) + 90_000_000);
    let outcome = transaction.verify(&terms(), &pay_to(), beyond, &SvmLimits::default());
    assert_eq!(outcome, Err(SvmFault::Amount));
}

#[test]
fn a_memo_that_is_asked_for_is_there_once() {
    let asked = terms().with_memo("m1");
    let check = |change: fn(&mut ByHand)| {
        answer_on(&asked, &ByHand::with(change).wire()).map(|it| it.payer)
    };
    assert_eq!(check(|_| ()), Ok(buyer().address()));
    assert_eq!(
        check(|it| it.instructions.truncate(3)),
        Err(SvmFault::MemoCount)
    );
    let twice = |it: &mut ByHand| it.add_instruction(MEMO_AT, &[], b"m1");
    assert_eq!(check(twice), Err(SvmFault::MemoCount));
    let other_too = |it: &mut ByHand| it.add_instruction(MEMO_AT, &[], b"m2");
    assert_eq!(check(other_too), Err(SvmFault::MemoCount));
    for memo in [&b"m2"[..], b"m", b"m11", b"", b"M1", b" m1"] {
        let wire = ByHand::with(|it| it.instructions[3].data = memo.into()).wire();
        assert_eq!(answer_on(&asked, &wire), Err(SvmFault::MemoMismatch));
    }
    // Without one asked for, a memo is the client's own business.
    accept(|it| it.instructions[3].data = vec![0xff; 9]);
}

#[test]
fn accounts_of_a_lookup_table_are_not_taken_on_trust() {
    let table = account(LIGHTHOUSE);
    refuse(
        |it| it.lookups = vec![(table, vec![0], vec![])],
        SvmFault::LookupTable,
    );
    refuse(
        |it| {
            it.lookups = vec![(table, vec![0], vec![])];
            it.instructions[TRANSFER].accounts[2] = 8;
        },
        SvmFault::LookupTable,
    );
    let hidden = ByHand::with(|it| {
        it.lookups = vec![(table, vec![0], vec![])];
        it.instructions[TRANSFER].accounts[3] = 8;
    });
    let transaction = SvmTransaction::from_wire(&hidden.wire()).unwrap();
    assert_eq!(transaction.identify(), Err(SvmFault::NoTransfer));
}

#[test]
fn a_fee_payer_that_is_paid_itself_is_out_of_reach_too() {
    let ours = fee_payer().address();
    let paid = ByHand::with(|it| it.instructions[TRANSFER].accounts[2] = FEE_PAYER);
    let transaction = SvmTransaction::from_wire(&paid.wire()).unwrap();
    let pay_to = SvmPayTo::TokenAccount(ours);
    let outcome = transaction.verify(&terms(), &pay_to, PRICE, &SvmLimits::default());
    assert_eq!(outcome, Err(SvmFault::FeePayerInAccounts));
}
