//! Base64 JSON in headers: how it is written, and the strict way it is read.

use base64_simd::{STANDARD, STANDARD_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::strict_json::{JsonFault, parse_object};

/// The longest header value that is read, in bytes; larger ones are refused before decoding.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// A longer text is refused when most of it is blanks: stepping over them is slow.
const MAX_BLANK_BYTES: usize = 8 * 1024;

/// Why a header value is not base64 of one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Longer than [`MAX_HEADER_BYTES`].
    #[error("the header is longer than 16 KiB")]
    TooLarge,
    /// Not the standard base64 alphabet, or white space inside.
    #[error("the header is not base64")]
    NotBase64,
    /// Longer than 8 KiB, and blanks for the most part.
    #[error("the header is mostly blanks")]
    Blank,
    /// The decoded bytes are not UTF-8.
    #[error("the header does not decode to UTF-8")]
    NotUtf8,
    /// The decoded text is not JSON.
    #[error("the header does not decode to JSON")]
    NotJson,
    /// The decoded JSON is not an object.
    #[error("the header does not decode to a JSON object")]
    NotAnObject,
    /// Something follows the JSON object.
    #[error("the header has data after its JSON object")]
    TrailingData,
    /// A member name occurs twice in one object.
    #[error("the header has a JSON object with the same member twice")]
    DuplicateMember,
    /// More than 16 levels of nesting.
    #[error("the header nests JSON deeper than 16 levels")]
    TooDeep,
    /// Many times the names and values of any payment.
    #[error("the header holds too many JSON names and values")]
    TooManyValues,
}

/// Trims blanks around a header value; an empty rest means that nothing was sent.
#[must_use]
pub fn trim(raw: &[u8]) -> Option<&[u8]> {
    let trimmed = raw.trim_ascii();
    (!trimmed.is_empty()).then_some(trimmed)
}

/// Reads base64 of one JSON object.
///
/// # Errors
/// When the value breaks a rule of [`HeaderError`].
pub fn decode(raw: &[u8]) -> Result<Map<String, Value>, HeaderError> {
    Ok(parse_object(&decode_text(raw)?)?)
}

/// Reads base64 of a text: the standard alphabet, padded or not, without stray bits.
pub(crate) fn decode_text(raw: &[u8]) -> Result<String, HeaderError> {
    if raw.len() > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLarge);
    }
    let raw = raw.trim_ascii();
    let base64 = if raw.ends_with(b"=") {
        STANDARD
    } else {
        STANDARD_NO_PAD
    };
    let bytes = base64.decode_to_vec(raw);
    let bytes = bytes.map_err(|_| HeaderError::NotBase64)?;
    if bytes.len() > MAX_BLANK_BYTES && is_mostly_blank(&bytes) {
        return Err(HeaderError::Blank);
    }
    String::from_utf8(bytes).map_err(|_| HeaderError::NotUtf8)
}

/// In portions whose counts fit a byte: compilers turn that into a few instructions each.
fn is_mostly_blank(text: &[u8]) -> bool {
    let count = |portion: &[u8]| -> u8 {
        let blanks = portion.iter();
        blanks
            .map(|byte| u8::from(byte.is_ascii_whitespace()))
            .sum()
    };
    let blanks: usize = text.chunks(128).map(|it| usize::from(count(it))).sum();
    blanks > text.len() / 2
}

impl From<JsonFault> for HeaderError {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Syntax => Self::NotJson,
            JsonFault::TrailingData => Self::TrailingData,
            JsonFault::DuplicateMember => Self::DuplicateMember,
            JsonFault::TooDeep => Self::TooDeep,
            JsonFault::TooMany => Self::TooManyValues,
            JsonFault::NotAnObject => Self::NotAnObject,
        }
    }
}

/// Writes padded base64 of JSON. `capacity` is a guess of the JSON's length in bytes.
pub(crate) fn encode(value: &impl Serialize, capacity: usize) -> String {
    let mut json = Vec::with_capacity(capacity);
    #[expect(
        clippy::expect_used,
        reason = "the wire types have text keys and no failing member"
    )]
    serde_json::to_writer(&mut json, value).expect("wire types serialise into memory");
    STANDARD.encode_to_string(json)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(raw: &str, expected: HeaderError) {
        assert_eq!(decode(raw.as_bytes()), Err(expected), "{raw:.60}");
    }

    #[test]
    fn padding_and_outer_blanks_are_optional() {
        for raw in ["eyJhIjoxfQ==", "eyJhIjoxfQ", "  eyJhIjoxfQ==\t"] {
            assert!(decode(raw.as_bytes()).is_ok(), "{raw}");
        }
    }

    #[test]
    fn other_alphabets_and_inner_blanks_are_refused() {
        for raw in [
            "eyJhIjo xfQ==",
            "eyJhIjoi-_8ifQ==",
            "eyJhIjoxfQ===",
            "%%%",
            "eyJhIjoxfR==",
        ] {
            check(raw, HeaderError::NotBase64);
        }
    }

    #[test]
    fn the_size_is_checked_first() {
        check(&"%".repeat(MAX_HEADER_BYTES + 1), HeaderError::TooLarge);
        check(&"A".repeat(MAX_HEADER_BYTES), HeaderError::NotJson);
    }

    #[test]
    fn a_long_header_of_blanks_is_refused_and_a_short_one_is_not() {
        let blank = |count: usize| STANDARD.encode_to_string(format!("{{{}}}", " ".repeat(count)));
        assert!(decode(blank(MAX_BLANK_BYTES - 2).as_bytes()).is_ok());
        check(&blank(MAX_BLANK_BYTES), HeaderError::Blank);
        let written = format!("{{\"a\":\"{}\"}}", "a ".repeat(MAX_BLANK_BYTES / 2));
        assert!(decode(STANDARD.encode_to_string(written).as_bytes()).is_ok());
    }

    proptest! {
        // What is written is read back; arbitrary bytes are refused without a panic.
        #[test]
        fn written_headers_round_trip(members in prop::collection::btree_map(".{0,8}", ".{0,16}", 0..8)) {
            let read = decode(encode(&members, 64).as_bytes()).unwrap();
            prop_assert_eq!(serde_json::to_value(&members).unwrap(), Value::Object(read));
        }

        #[test]
        fn arbitrary_bytes_never_panic(raw in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&raw);
        }
    }
}
