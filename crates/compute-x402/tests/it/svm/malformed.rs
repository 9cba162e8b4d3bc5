//! Texts and bytes that are no transaction.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use compute_wallet::SolanaAddress;
use compute_x402::exact_svm::{MAX_WIRE_BYTES, MalformedTransaction, SvmFault, SvmTransaction};
use serde_json::{Value, json};

use super::answer;
use super::by_hand::{BUDGET_AT, BUYER, ByHand, FEE_PAYER, MEMO_AT, TRANSFER, compact, signed};
use super::{account, buyer};

fn refuse(wire: &[u8], expected: MalformedTransaction) {
    let fault = answer(wire).unwrap_err();
    assert_eq!(fault, SvmFault::Malformed(expected));
    assert!(fault.is_malformed());
    assert_eq!(
        fault.code().as_str(),
        "invalid_exact_svm_payload_transaction_could_not_be_decoded"
    );
}

fn refuse_hand(change: impl FnOnce(&mut ByHand), expected: MalformedTransaction) {
    refuse(&ByHand::with(change).wire(), expected);
}

#[test]
fn the_member_is_a_text() {
    for payload in [
        json!({}),
        json!({"transaction": null}),
        json!({"transaction": 7}),
        json!({"transaction": ["AA=="]}),
        json!({"Transaction": "AA=="}),
    ] {
        let Value::Object(payload) = payload else {
            panic!("an object")
        };
        let outcome = SvmTransaction::from_payload(&payload);
        assert_eq!(outcome, Err(MalformedTransaction::NoText.into()));
    }
}

#[test]
fn only_padded_standard_base64_is_read() {
    // Two bytes more in the memo, so that the length asks for padding.
    let mut by_hand = ByHand::valid();
    while by_hand.wire().len() % 3 != 1 {
        by_hand.instructions[3].data.push(b'x');
    }
    let wire = by_hand.wire();
    let good = STANDARD.encode(&wire);
    assert!(good.ends_with("=="));
    assert!(SvmTransaction::decode(&good).is_ok());
    let stray_bits = {
        let body = good.trim_end_matches('=');
        let (head, last) = body.split_at(body.len() - 1);
        let next = char::from(last.as_bytes()[0] + 1);
        format!("{head}{next}==")
    };
    for text in [
        STANDARD_NO_PAD.encode(&wire),
        good.replacen('A', "-", 1),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        good.replacen('A', " ", 1),
        stray_bits,
        "%%%".to_owned(),
        URL_SAFE.encode([0xff; 66]),
    ] {
        let outcome = SvmTransaction::decode(&text);
        assert_eq!(
            outcome,
            Err(MalformedTransaction::NotBase64.into()),
            "{text}"
        );
    }
    let empty = SvmTransaction::decode("");
    assert_eq!(empty, Err(MalformedTransaction::Signatures.into()));
}

#[test]
fn the_length_is_looked_at_first() {
    let fill = |by_hand: &mut ByHand, bytes: usize| {
        while by_hand.wire().len() < bytes {
            by_hand.instructions[3].data.push(b'x');
        }
    };
    let longest = ByHand::with(|it| fill(it, MAX_WIRE_BYTES));
    assert_eq!(longest.wire().len(), MAX_WIRE_BYTES);
    assert!(answer(&longest.wire()).is_ok());
    let text = STANDARD.encode(longest.wire());
    assert!(SvmTransaction::decode(&text).is_ok());
    refuse_hand(
        |it| fill(it, MAX_WIRE_BYTES + 1),
        MalformedTransaction::TooLong,
    );
    let text = "%".repeat(text.len() + 1);
    assert_eq!(
        SvmTransaction::decode(&text),
        Err(MalformedTransaction::TooLong.into())
    );
    // Not one byte more than the network carries, also where base64 has the same length.
    let longer = STANDARD.encode([0; MAX_WIRE_BYTES + 1]);
    assert_eq!(
        SvmTransaction::decode(&longer),
        Err(MalformedTransaction::TooLong.into())
    );
}

#[test]
fn nothing_is_missing_and_nothing_follows() {
    for by_hand in [ByHand::valid(), ByHand::with(|it| it.version = None)] {
        let wire = by_hand.wire();
        for length in 0..wire.len() {
            let fault = answer(&wire[..length]).unwrap_err();
            assert!(fault.is_malformed(), "{length}: {fault}");
        }
        let more = [&wire[..], &[0]].concat();
        refuse(&more, MalformedTransaction::Message);
    }
}

// Each number has one form; a longer one would be another text of the same payment.
#[test]
fn numbers_are_in_their_short_form() {
    let message = ByHand::valid().message();
    let (accounts_at, instructions_at) = (4, 5 + 8 * 32 + 32);
    assert_eq!((message[accounts_at], message[instructions_at]), (8, 4));
    let last = message.len() - 1;
    for at in [accounts_at, instructions_at, instructions_at + 2, last] {
        for long in [
            vec![message[at] | 0x80, 0],
            vec![message[at] | 0x80, 0x80, 0],
        ] {
            let changed = [&message[..at], &long, &message[at + 1..]].concat();
            refuse(&signed(&changed, &[buyer()]), MalformedTransaction::Message);
        }
    }
    let wire = ByHand::valid().wire();
    refuse(
        &[&[0x82, 0], &wire[1..]].concat(),
        MalformedTransaction::Signatures,
    );
}

#[test]
fn a_length_that_lies_costs_nothing() {
    let message = ByHand::valid().message();
    let (accounts_at, instructions_at) = (4, 5 + 8 * 32 + 32);
    for at in [
        accounts_at,
        instructions_at,
        instructions_at + 2,
        instructions_at + 3,
        message.len() - 1,
    ] {
        for lie in [vec![message[at] + 1], compact(127), compact(65_535)] {
            let changed = [&message[..at], &lie, &message[at + 1..]].concat();
            let fault = answer(&signed(&changed, &[buyer()])).unwrap_err();
            assert!(fault.is_malformed(), "{at}: {fault}");
        }
    }
}

#[test]
fn only_versions_that_we_know_are_read() {
    for version in [1, 2, 127] {
        refuse_hand(
            |it| it.version = Some(version),
            MalformedTransaction::Message,
        );
    }
    // Version 1 carries limits and fees in a place of its own (SIMD-0385).
    let valid = ByHand::valid();
    let mut message = vec![0x81];
    message.extend(valid.header);
    message.extend([0; 4]);
    message.extend([9; 32]);
    message.extend([4, 8]);
    message.extend(valid.accounts.iter().flat_map(SolanaAddress::as_bytes));
    for instruction in &valid.instructions {
        let (accounts, data) = (instruction.accounts.len(), instruction.data.len());
        message.push(instruction.program);
        message.push(u8::try_from(accounts).unwrap());
        message.extend(u16::try_from(data).unwrap().to_le_bytes());
    }
    for instruction in &valid.instructions {
        message.extend([&instruction.accounts[..], &instruction.data].concat());
    }
    let in_our_order = signed(&message, &[buyer()]);
    refuse(&in_our_order, MalformedTransaction::Version);
    let in_its_own_order = [&message[..], &in_our_order[1..129]].concat();
    refuse(&in_its_own_order, MalformedTransaction::Signatures);
}

#[test]
fn every_index_names_an_account() {
    use MalformedTransaction::Unsound;
    for version in [None, Some(0)] {
        let refuse = |change: &dyn Fn(&mut ByHand)| {
            refuse_hand(
                |it| {
                    it.version = version;
                    change(it);
                },
                Unsound,
            );
        };
        refuse(&|it| it.instructions[TRANSFER].accounts[0] = 8);
        refuse(&|it| it.instructions[3].accounts = vec![255]);
        refuse(&|it| it.instructions[3].program = 8);
        // The fee payer's account is no program.
        refuse(&|it| it.instructions[3].program = FEE_PAYER);
        refuse(&|it| it.header[1] = 2);
        refuse(&|it| it.header[2] = 7);
        refuse(&|it| it.header[2] = 255);
    }
}

#[test]
fn an_account_is_listed_once() {
    refuse_hand(
        |it| {
            it.add_account(buyer().address());
        },
        MalformedTransaction::DuplicateAccount,
    );
    // A second entry for the fee payer would let an instruction name it under another index.
    refuse_hand(
        |it| {
            let again = it.add_account(it.accounts[usize::from(FEE_PAYER)]);
            it.instructions[3].accounts = vec![again];
        },
        MalformedTransaction::DuplicateAccount,
    );
}

#[test]
fn there_are_as_many_signatures_as_are_required() {
    refuse_hand(|it| it.keys.clear(), MalformedTransaction::SignatureCount);
    refuse_hand(
        |it| it.keys.push(buyer()),
        MalformedTransaction::SignatureCount,
    );
    refuse_hand(
        |it| it.header = [1, 0, 4],
        MalformedTransaction::SignatureCount,
    );
    let unsigned = [&[0][..], &ByHand::valid().message()].concat();
    refuse(&unsigned, MalformedTransaction::SignatureCount);
    refuse_hand(|it| it.header = [0, 0, 4], MalformedTransaction::Unsound);
    let wire = ByHand::valid().wire();
    for count in [19, 127, 128, 255] {
        refuse(
            &[&[count][..], &wire[1..]].concat(),
            MalformedTransaction::Signatures,
        );
    }
}

#[test]
fn a_lookup_table_without_use_is_refused() {
    refuse_hand(
        |it| {
            let table = account("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");
            it.lookups = vec![(table, vec![], vec![])];
        },
        MalformedTransaction::Unsound,
    );
}

// What a small packet can hold is looked at in small time, however many parts it has.
#[test]
fn many_small_parts_are_bounded_by_the_packet() {
    let crowded = ByHand::with(|it| {
        while it.wire().len() + 3 <= MAX_WIRE_BYTES {
            it.add_instruction(MEMO_AT, &[], &[]);
        }
    });
    assert!(crowded.instructions.len() > 200);
    assert_eq!(answer(&crowded.wire()), Err(SvmFault::InstructionCount));
    let crowded = ByHand::with(|it| {
        while it.wire().len() < MAX_WIRE_BYTES {
            it.instructions[3].accounts.push(BUYER);
        }
    });
    assert!(answer(&crowded.wire()).is_ok());
    let crowded = ByHand::with(|it| it.instructions[0].program = BUDGET_AT + 100);
    refuse(&crowded.wire(), MalformedTransaction::Unsound);
}
