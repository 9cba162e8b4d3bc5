//! Payment headers: what is read is written back, and a second reader finds the same.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use compute_x402::header::MAX_HEADER_BYTES;
use compute_x402::{DecodeError, PaymentPayload, Version, decode, decode_headers};
use serde_json::Value;

use crate::edits;
use crate::shop;

/// A payment of version 1 is longer than this, most of what is none is not.
const SHORT: usize = 256;

pub(super) fn v1(data: &[u8]) {
    let raw = edits::read(data, &shop::EIP3009.payments).into_header();
    let read = decode(Some(&raw), None);
    check(&raw, read, Version::V1);
}

pub(super) fn v2(data: &[u8]) {
    let raw = edits::read(data, &shop::PERMIT2.payments).into_header();
    let read = decode(None, Some(&raw));
    check(&raw, read, Version::V2);
}

fn check(raw: &[u8], read: Result<Option<PaymentPayload>, DecodeError>, usual: Version) {
    // Either version may come in either header, once or in both. Short ones show it as well as long ones.
    if raw.len() <= SHORT {
        assert_eq!(read, decode(Some(raw), Some(raw)), "both headers");
        assert_eq!(read, decode_headers([raw], []), "one of many headers");
    }
    match &read {
        Ok(Some(payment)) => {
            check_second_reader(raw, payment);
            check_written(payment, usual);
        }
        Ok(None) => assert!(raw.trim_ascii().is_empty(), "a payment was overlooked"),
        Err(error) => assert!(!error.code().as_str().is_empty()),
    }
}

/// A plain reader, which knows no limits, reads the same document.
fn check_second_reader(raw: &[u8], payment: &PaymentPayload) {
    assert!(raw.len() <= MAX_HEADER_BYTES, "a long header was read");
    let trimmed = raw.trim_ascii();
    let bytes = STANDARD
        .decode(trimmed)
        .or_else(|_| STANDARD_NO_PAD.decode(trimmed))
        .expect("what is read is base64");
    let plain: Value = serde_json::from_slice(&bytes).expect("what is read is JSON");
    let json = payment.to_json();
    assert_eq!(plain, json, "two readers disagree");
    let version = plain.get("x402Version").and_then(Value::as_u64);
    assert_eq!(version, Some(payment.version().number().into()));
    let terms = match payment.version() {
        Version::V1 => Some(&plain),
        Version::V2 => plain.get("accepted"),
    };
    for (name, read) in [("scheme", payment.scheme()), ("network", payment.network())] {
        let text = terms.and_then(|terms| terms.get(name)?.as_str());
        assert_eq!(text.unwrap_or_default(), read);
    }
}

fn check_written(payment: &PaymentPayload, usual: Version) {
    let header = payment.to_header();
    // Escapes of control characters and numbers in full are the longest that JSON grows.
    assert!(header.len() <= 8 * MAX_HEADER_BYTES, "a header that grows");
    if header.len() > MAX_HEADER_BYTES {
        return;
    }
    let (first, second) = match usual {
        Version::V1 => (Some(header.as_bytes()), None),
        Version::V2 => (None, Some(header.as_bytes())),
    };
    let again = decode(first, second).expect("what was written is read");
    assert_eq!(again.as_ref(), Some(payment), "written and read again");
}
