//! Reading the members of a payload: exact types, no leniency, and the name of what is wrong.

use compute_wallet::{Digest32, EvmAddress, Uint256};
use serde_json::{Map, Value};

/// Reads a text member; names it when it is missing or malformed.
pub(crate) fn read<T>(
    members: &Map<String, Value>,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, &'static str> {
    members
        .get(name)
        .and_then(Value::as_str)
        .and_then(parse)
        .ok_or(name)
}

/// Reads an object member; names it when it is missing or something else.
pub(crate) fn read_object<'a>(
    members: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a Map<String, Value>, &'static str> {
    members.get(name).and_then(Value::as_object).ok_or(name)
}

/// The signature text, not yet looked at.
pub(crate) fn read_signature(members: &Map<String, Value>) -> Result<String, &'static str> {
    read(members, "signature", |text| Some(text.to_owned()))
}

pub(crate) fn read_address(text: &str) -> Option<EvmAddress> {
    EvmAddress::parse_any_case(text).ok()
}

pub(crate) fn read_uint(text: &str) -> Option<Uint256> {
    Uint256::parse_decimal(text).ok()
}

/// Unix seconds below 2^64.
pub(crate) fn read_time(text: &str) -> Option<u64> {
    read_uint(text)?.to_u64()
}

/// `0x` and 64 hex digits.
pub(crate) fn read_nonce(text: &str) -> Option<Digest32> {
    let mut nonce = [0_u8; 32];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut nonce).ok()?;
    Some(nonce)
}
