//! Canonical JSON (RFC 8785): the form that challenges carry.

use serde::Serialize;
use serde_json::Value;

use crate::base64url;

/// Every integer up to here is exact in every implementation; beyond, canonical forms differ.
const MAX_EXACT_INTEGER: u64 = 1 << 53;

/// Base64url of the canonical form.
pub(crate) fn encode(value: &impl Serialize) -> Option<String> {
    let canonical = serde_json_canonicalizer::to_vec(value).ok()?;
    Some(base64url::encode(&canonical))
}

/// Whether every integer in it is the same number everywhere.
pub(crate) fn is_portable(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let integer = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
            integer.is_none_or(|integer| integer <= MAX_EXACT_INTEGER)
        }
        Value::Array(items) => items.iter().all(is_portable),
        Value::Object(members) => members.values().all(is_portable),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}
