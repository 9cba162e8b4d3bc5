//! The method `tempo` against the golden transactions and receipts.

mod memos_and_proofs;
mod payloads;
mod properties;
mod receipts;
mod signatures;
mod strictness;
mod transactions;
mod verification;

use compute_mpp::tempo::{Modes, TempoCharge, TempoTerms};
use compute_wallet::{EvmAddress, EvmKey};
use serde_json::Value;

pub(crate) const REALM: &str = "compute.example";
pub(crate) const CHALLENGE: &str = "afhx-b_qwCzqZsjqdQqNXauepweP8lhnpWyYU4Yhfe8";
pub(crate) const AMOUNT: u128 = 1_250_000;
/// The moment at which the vectors are judged: 2026-12-01T12:00:00Z.
pub(crate) const NOW: u64 = 1_796_126_400;
/// The challenge of the vectors lives for five minutes.
pub(crate) const EXPIRES: u64 = NOW + 300;

pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The terms of the vectors.
pub(crate) fn terms() -> TempoTerms {
    TempoTerms {
        chain_id: 4217,
        currency: EvmAddress::parse("0x20C000000000000000000000b9537d11c60E8b50").unwrap(),
        recipient: EvmAddress::parse("0x00000000000000000000000000000000000000aa").unwrap(),
        modes: Modes::Pull,
        fee_payer: false,
        takes_key_authorization: false,
    }
}

pub(crate) fn charge(terms: &TempoTerms) -> TempoCharge<'_> {
    TempoCharge {
        terms,
        amount: AMOUNT,
        realm: REALM,
        challenge_id: CHALLENGE,
    }
}

/// The key of the first account of the vectors.
pub(crate) fn key() -> EvmKey {
    EvmKey::from_bytes(&[0x11; 32]).unwrap()
}

pub(crate) fn bytes(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

pub(crate) fn hash(text: &Value) -> [u8; 32] {
    bytes(text).try_into().unwrap()
}

pub(crate) fn address(text: &Value) -> EvmAddress {
    EvmAddress::parse_any_case(text.as_str().unwrap()).unwrap()
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

pub(crate) fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}
