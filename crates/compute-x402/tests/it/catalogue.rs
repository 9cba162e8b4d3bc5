//! The catalogue of bad input, row by row (x402 reference, section 14): what is sent, and what is answered.
//!
//! One row of the reference is one or more lines here, each with one answer. Rows that only a chain can answer name
//! the test that asks one.

mod authorization;
pub(crate) mod envelope;
mod permit;

use std::collections::BTreeSet;

use compute_x402::{Offer, Version, decode_headers};
use serde_json::Value;

use crate::shop::{self, Answer, NOW_S, to_header};

/// What a buyer sends to whom and when.
#[derive(Clone)]
pub(crate) struct Sent {
    offers: Vec<Offer>,
    now_s: u64,
    x_payment: Vec<Vec<u8>>,
    payment_signature: Vec<Vec<u8>>,
}

/// How a line is proven.
pub(crate) enum Proof {
    /// Every one of these gets this status and this code; `200` is accepted.
    Pure {
        status: u16,
        code: &'static str,
        sent: fn() -> Vec<Sent>,
    },
    /// Only a chain, or the shop's memory, knows: the file, and what the test in it is called.
    Elsewhere(&'static str),
}

pub(crate) struct Line {
    pub(crate) row: &'static str,
    what: &'static str,
    proof: Proof,
}

pub(crate) const fn refused(
    row: &'static str,
    what: &'static str,
    status: u16,
    code: &'static str,
    sent: fn() -> Vec<Sent>,
) -> Line {
    let proof = Proof::Pure { status, code, sent };
    Line { row, what, proof }
}

const fn accepted(row: &'static str, what: &'static str, sent: fn() -> Vec<Sent>) -> Line {
    refused(row, what, 200, "", sent)
}

pub(crate) const fn elsewhere(row: &'static str, what: &'static str, test: &'static str) -> Line {
    let proof = Proof::Elsewhere(test);
    Line { row, what, proof }
}

const PAYLOAD: &str = "invalid_payload";
const VERSION: &str = "invalid_x402_version";
const SCHEME: &str = "unsupported_scheme";
const NETWORK: &str = "invalid_network";
const REQUIREMENTS: &str = "invalid_payment_requirements";
const VALUE_V1: &str = "invalid_exact_evm_payload_authorization_value";
const VALUE_V2: &str = "invalid_exact_evm_payload_authorization_value_mismatch";
const VALID_BEFORE: &str = "invalid_exact_evm_payload_authorization_valid_before";
const VALID_AFTER: &str = "invalid_exact_evm_payload_authorization_valid_after";
const RECIPIENT: &str = "invalid_exact_evm_payload_recipient_mismatch";
const SIGNATURE: &str = "invalid_exact_evm_payload_signature";

#[rustfmt::skip]
const LINES: &[Line] = &[
    // 14.1 Header and envelope
    refused("1", "empty header, or blanks", 402, "payment_required", envelope::blank),
    refused("2", "not base64", 400, PAYLOAD, envelope::not_base64),
    refused("3", "base64 of plain text", 400, PAYLOAD, envelope::plain_text),
    refused("4", "JSON that is no object", 400, PAYLOAD, envelope::no_object),
    refused("5", "an empty object", 400, VERSION, envelope::empty_object),
    refused("6", "bytes after the document", 400, PAYLOAD, envelope::trailing_bytes),
    refused("7", "a member twice", 400, PAYLOAD, envelope::twice),
    refused("8", "nesting 10 000 deep", 400, PAYLOAD, envelope::deep),
    refused("9", "no UTF-8; a byte order mark", 400, PAYLOAD, envelope::not_utf8),
    refused("10", "over the limit", 400, PAYLOAD, envelope::long),
    refused("11", "another version, or none", 400, VERSION, envelope::versions),
    refused("12", "the shape of the other version", 400, PAYLOAD, envelope::other_shape),
    refused("13", "both headers, different", 400, PAYLOAD, envelope::two_headers),
    refused("14", "the same header twice", 400, PAYLOAD, envelope::repeated),
    refused("15", "another scheme, or none", 402, SCHEME, envelope::schemes),
    refused("16", "another network, or none", 402, NETWORK, envelope::networks),
    refused("17", "a chain id that is none", 402, NETWORK, envelope::chain_ids),
    refused("18", "no payload", 400, PAYLOAD, envelope::no_payload),
    refused("19", "two methods, or that of another chain", 400, PAYLOAD, envelope::two_methods),
    refused("20", "no accepted offer", 400, PAYLOAD, envelope::no_accepted),
    refused("21", "a cheaper offer echoed", 402, REQUIREMENTS, envelope::cheaper),
    refused("22", "another offer echoed", 402, REQUIREMENTS, envelope::other_offer),
    refused("22", "another network echoed", 402, NETWORK, envelope::other_network),
    refused("23", "extensions of a wrong shape", 400, PAYLOAD, envelope::extensions),
    accepted("24", "the URL of another service", envelope::other_url),
    // 14.2 EIP-3009
    refused("25", "a member missing", 400, PAYLOAD, authorization::member_missing),
    refused("26", "a value that is no number", 400, PAYLOAD, authorization::values),
    refused("27", "another value, version 1", 402, VALUE_V1, authorization::other_values_v1),
    refused("27", "another value, version 2", 402, VALUE_V2, authorization::other_values_v2),
    refused("28", "a nonce that is none", 400, PAYLOAD, authorization::nonces),
    refused("29", "an address that is none", 400, PAYLOAD, authorization::addresses),
    refused("29", "the zero address", 402, SIGNATURE, authorization::zero_address),
    refused("30", "expired, or within 6 s", 402, VALID_BEFORE, authorization::expired),
    refused("31", "not valid yet", 402, VALID_AFTER, authorization::not_yet),
    refused("32", "a time that is none", 400, PAYLOAD, authorization::times),
    refused("33", "valid for a year", 402, VALID_BEFORE, authorization::long_valid),
    refused("34", "another recipient", 402, RECIPIENT, authorization::other_recipient),
    refused("35", "a signature of another length", 402, SIGNATURE, authorization::lengths),
    refused("35", "a signature that is no text", 400, PAYLOAD, authorization::no_text),
    refused("36", "r = s = 0; v = 29", 402, SIGNATURE, authorization::out_of_range),
    refused("37", "s in the upper half", 402, SIGNATURE, authorization::high_s),
    accepted("38", "v = 0 or 1", authorization::zero_based),
    refused("39", "the short form of EIP-2098", 402, SIGNATURE, authorization::eip2098),
    refused("40", "not the payer's", 402, SIGNATURE, authorization::not_the_payers),
    refused("41", "another domain", 402, SIGNATURE, authorization::other_domains),
    refused("42", "a wrapper of ERC-6492", 402, "eip6492_factory_not_allowed", authorization::erc6492),
    elsewhere("43", "a contract that says no", "crates/compute-rail-evm/tests/chain/wallets.rs: a wallet that refuses, reverts, burns its gas or answers in 4 bytes (row 43)"),
    elsewhere("44", "a payer without funds", "crates/compute-rail-evm/tests/chain/races.rs: rows 44, 46, 47, 56, 64 and 67 of bad input have their codes"),
    elsewhere("45", "a nonce that somebody else submitted", "crates/compute-rail-evm/tests/chain/races.rs: somebody submits the payment before us: settled by that transaction"),
    elsewhere("46", "a nonce that was cancelled", "crates/compute-rail-evm/tests/chain/races.rs: rows 44, 46, 47, 56, 64 and 67 of bad input have their codes"),
    elsewhere("47", "a blocked payer; a paused token", "crates/compute-rail-evm/tests/chain/races.rs: rows 44, 46, 47, 56, 64 and 67 of bad input have their codes"),
    accepted("48", "addresses in lower case", authorization::lower_case),
    elsewhere("49", "the payment of an earlier order", "bins/compute-server/tests/it/replay.rs: payment_already_used"),
    refused("50", "payer and recipient are one", 402, PAYLOAD, authorization::self_payment),
    // 14.3 Permit and Permit2
    refused("50a", "scheme permit-erc20", 402, SCHEME, permit::permit_erc20),
    refused("51", "another spender", 402, "invalid_permit_spender", permit::other_spender),
    refused("52", "an amount of 6 decimals", 402, VALUE_V2, permit::six_decimals),
    refused("53", "an open allowance, version 1", 402, VALUE_V1, permit::open_allowance_v1),
    refused("53", "an open allowance, version 2", 402, VALUE_V2, permit::open_allowance_v2),
    refused("54", "a deadline within 6 s", 402, VALID_BEFORE, permit::deadlines),
    refused("55", "s in the upper half", 402, SIGNATURE, permit::high_s),
    elsewhere("56", "a nonce ahead of the counter", "crates/compute-rail-evm/tests/chain/races.rs: rows 44, 46, 47, 56, 64 and 67 of bad input have their codes"),
    elsewhere("57", "a nonce just used, same request", "bins/compute-server/tests/it/replay.rs: a_payment_shown_again_gives_the_same_result_after_a_restart"),
    elsewhere("58", "a nonce just used, other request", "bins/compute-server/tests/it/replay.rs: payment_already_used"),
    refused("59", "EIP-3009 for a token without it", 402, SIGNATURE, permit::eip3009),
    refused("60", "another spender than the proxy", 402, "invalid_permit2_spender", permit::no_proxy),
    refused("61", "another recipient", 402, "invalid_permit2_recipient_mismatch", permit::other_recipient),
    refused("62", "another token", 402, "permit2_token_mismatch", permit::other_token),
    refused("62", "another amount", 402, "permit2_amount_mismatch", permit::other_amounts),
    refused("63", "deadline passed", 402, "permit2_deadline_expired", permit::permit2_deadlines),
    refused("63", "not valid yet", 402, "permit2_not_yet_valid", permit::permit2_not_yet),
    elsewhere("64", "a nonce bit that is set", "crates/compute-rail-evm/tests/chain/races.rs: rows 44, 46, 47, 56, 64 and 67 of bad input have their codes"),
    refused("65", "a sponsored open allowance", 402, "permit2_2612_amount_mismatch", permit::sponsored_amounts),
    refused("66", "a sponsored permit of another owner", 402, "eip2612_from_mismatch", permit::sponsored_owner),
    refused("66", "a sponsored permit for another token", 402, "eip2612_asset_mismatch", permit::sponsored_asset),
    refused("66", "a sponsored permit for another spender", 402, "eip2612_spender_not_permit2", permit::sponsored_spender),
    refused("66", "an old sponsored permit", 402, "eip2612_deadline_expired", permit::sponsored_deadline),
    refused("66", "a sponsored permit that is none", 402, "invalid_eip2612_extension_format", permit::sponsored_format),
    refused("66", "a sponsored permit of another signer", 402, "eip2612_invalid_signature", permit::sponsored_signer),
    elsewhere("67", "no allowance and no sponsored permit", "crates/compute-rail-evm/tests/chain/races.rs: rows 44, 46, 47, 56, 64 and 67 of bad input have their codes"),
    refused("68", "a value over 256 bits; a number for a text", 400, PAYLOAD, permit::not_numbers),
];

impl Sent {
    /// A header of either version, as it is.
    pub(crate) fn header(value: impl Into<Vec<u8>>) -> Self {
        Self {
            offers: vec![shop::offer()],
            now_s: NOW_S,
            x_payment: vec![value.into()],
            payment_signature: Vec::new(),
        }
    }

    /// Header values in the order they came.
    pub(crate) fn headers(x_payment: &[&str], payment_signature: &[&str]) -> Self {
        let bytes = |values: &[&str]| values.iter().map(|it| it.as_bytes().to_vec()).collect();
        Self {
            x_payment: bytes(x_payment),
            payment_signature: bytes(payment_signature),
            ..Self::header("")
        }
    }

    /// Text, not always JSON, inside the header.
    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        use base64::Engine as _;
        Self::header(base64::engine::general_purpose::STANDARD.encode(text))
    }

    pub(crate) fn json(json: &Value) -> Self {
        Self::header(to_header(json))
    }

    /// To a seller with these offers.
    pub(crate) fn to(self, offer: Offer) -> Self {
        let offers = vec![offer];
        Self { offers, ..self }
    }

    /// A payment of `evm-vectors.json`.
    pub(crate) fn vector(id: &str) -> Self {
        let vector = crate::evm_vectors::vector(id);
        let sent = Self::header(vector["http_header"]["value"].as_str().unwrap());
        Self {
            offers: vec![crate::evm_vectors::offer(&vector)],
            now_s: vector["verify_at"].as_u64().unwrap(),
            ..sent
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        let read = decode_headers(
            self.x_payment.iter().map(Vec::as_slice),
            self.payment_signature.iter().map(Vec::as_slice),
        );
        shop::answer_for(read, &self.offers, self.now_s)
    }
}

/// The same in both versions.
pub(crate) fn both(make: impl Fn(Version) -> Value) -> Vec<Sent> {
    [Version::V1, Version::V2]
        .map(|version| Sent::json(&make(version)))
        .into()
}

/// Puts `value` at a JSON pointer, or removes what is there.
pub(crate) fn changed(mut json: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let members = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(members.insert(name.to_owned(), value)),
        None => drop(members.remove(name)),
    }
    json
}

/// Every line gets its answer, or its test is where it is said to be.
pub(crate) fn check_lines(lines: &[Line]) {
    for Line { row, what, proof } in lines {
        let (status, code, sent) = match proof {
            Proof::Pure { status, code, sent } => (status, code, sent()),
            Proof::Elsewhere(place) => {
                check_place(row, place);
                continue;
            }
        };
        assert!(!sent.is_empty(), "row {row} sends nothing");
        for (number, sent) in sent.iter().enumerate() {
            let (answered, with) = match sent.answer() {
                Answer::NoPayment => (402, "payment_required".to_owned()),
                Answer::Refused { status, code } => (status, code),
                Answer::Accepted(_) => (200, String::new()),
            };
            let place = format!("row {row}, {what}, input {number}");
            assert_eq!((answered, with.as_str()), (*status, *code), "{place}");
        }
    }
}

fn check_place(row: &str, place: &str) {
    let (file, test) = place.split_once(": ").unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(file));
    let text = text.unwrap_or_else(|error| panic!("row {row}, {file}: {error}"));
    assert!(text.contains(test), "row {row}: {file} has no `{test}`");
}

#[test]
fn every_line_is_answered_as_written() {
    check_lines(LINES);
}

#[test]
fn every_row_is_there() {
    let mut expected: BTreeSet<String> = (1..=68).map(|row: u8| row.to_string()).collect();
    expected.insert("50a".to_owned());
    let found: BTreeSet<String> = LINES.iter().map(|line| line.row.to_owned()).collect();
    assert_eq!(found, expected);
}

// 43–47, 49, 56–58, 64 and 67; the others are computing alone.
#[test]
fn only_what_needs_a_chain_or_a_memory_is_elsewhere() {
    let is_elsewhere = |line: &&Line| matches!(line.proof, Proof::Elsewhere(_));
    let rows: Vec<&str> = LINES.iter().filter(is_elsewhere).map(|it| it.row).collect();
    let expected = [
        "43", "44", "45", "46", "47", "49", "56", "57", "58", "64", "67",
    ];
    assert_eq!(rows, expected);
}
