//! Answers of facilitators: what they mean is bounded, and never better than what they say.

use compute_x402::facilitator::{
    SettleClass, Supported, VerifyClass, classify_settle, classify_verify,
};
use compute_x402::result::SettlementResponse;
use compute_x402::{ErrorCode, Network, Version};
use serde_json::Value;

use crate::shop;

/// Foreign codes and transactions are cut or left out beyond this.
const MAX_TEXT: usize = 128;

/// The status in two bytes, then the body.
fn split(data: &[u8]) -> (u16, &[u8]) {
    match data {
        [high, low, body @ ..] => (u16::from_be_bytes([*high, *low]), body),
        _ => (200, data),
    }
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name)?.as_str()
}

fn check_code(code: &ErrorCode) {
    let text = code.as_str();
    assert!(text.len() <= MAX_TEXT);
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert_eq!(
        ErrorCode::from_wire(text).as_str(),
        text,
        "a code that changes"
    );
}

pub(super) fn settle(data: &[u8]) {
    let (status, body) = split(data);
    let plain: Value = serde_json::from_slice(body).unwrap_or_default();
    let success = plain.get("success").and_then(Value::as_bool);
    for network in [Network::BASE, Network::SOLANA] {
        match classify_settle(status, body, &network) {
            SettleClass::Settled { transaction, .. } => {
                assert_eq!(success, Some(true));
                assert_eq!(text(&plain, "transaction"), Some(transaction.as_str()));
                assert!(text(&plain, "network").is_some_and(|name| network.is_named(name)));
                assert!((1..=MAX_TEXT).contains(&transaction.len()));
                assert!(transaction.bytes().all(|byte| byte.is_ascii_graphic()));
                let is_hash = transaction.len() == 66 && transaction.starts_with("0x");
                assert!(is_hash || network == Network::SOLANA);
            }
            SettleClass::Declined { code } => {
                // Only a plain no: nothing was sent, or what was sent is known to have failed.
                assert_eq!(success, Some(false));
                check_code(&code);
                let is_sent = text(&plain, "transaction").is_some_and(is_word);
                assert!(!is_sent || code == ErrorCode::InvalidTransactionState);
                assert_ne!(code, ErrorCode::SettlementPending);
                assert_ne!(code, ErrorCode::EvmNonceAlreadyUsed);
            }
            SettleClass::Refused { status: refused } => {
                assert_eq!((success, refused), (None, status));
                assert!((400..500).contains(&status));
            }
            SettleClass::Unknown { transaction, .. } => {
                assert!(transaction.is_none_or(|it| it.len() <= MAX_TEXT));
            }
        }
    }
}

fn is_word(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn verify(data: &[u8]) {
    let (status, body) = split(data);
    let plain: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_valid = plain.get("isValid").and_then(Value::as_bool);
    match classify_verify(status, body, &Network::BASE) {
        VerifyClass::Valid { payer } => {
            assert_eq!(is_valid, Some(true));
            assert!((200..300).contains(&status));
            if let Some(payer) = payer {
                let named = text(&plain, "payer").map(str::to_ascii_lowercase);
                assert_eq!(named, Some(payer.to_string()));
            }
        }
        VerifyClass::Invalid { code } => {
            assert_eq!(is_valid, Some(false));
            check_code(&code);
        }
        VerifyClass::Refused { status: refused } => {
            assert_eq!((is_valid, refused), (None, status));
        }
        VerifyClass::Unavailable => {}
    }
}

pub(super) fn supported(data: &[u8]) {
    let plain = serde_json::from_slice::<Value>(data).ok();
    let kinds = plain
        .as_ref()
        .and_then(|body| body.get("kinds")?.as_array());
    let Ok(supported) = Supported::parse(data) else {
        assert!(kinds.is_none(), "a list was overlooked");
        return;
    };
    let kinds = kinds.expect("a list");
    assert!(supported.kinds().len() <= kinds.len());
    for kind in supported.kinds() {
        let is_named = kinds.iter().any(|plain| {
            text(plain, "scheme") == Some(&kind.scheme)
                && text(plain, "network") == Some(&kind.network)
                && plain.get("x402Version").and_then(Value::as_u64)
                    == Some(kind.version.number().into())
        });
        assert!(is_named, "a kind that nobody named");
    }
    for version in [Version::V1, Version::V2] {
        let is_supported = kinds.iter().any(|kind| {
            text(kind, "scheme") == Some("exact")
                && text(kind, "network").is_some_and(|name| Network::BASE.is_named(name))
                && kind.get("x402Version").and_then(Value::as_u64) == Some(version.number().into())
        });
        assert_eq!(supported.supports(version, &Network::BASE), is_supported);
    }
}

pub(super) fn settlement_header(data: &[u8]) {
    let raw = match data {
        [b'{', ..] => shop::to_header(data).into_bytes(),
        _ => data.to_vec(),
    };
    let Ok(response) = SettlementResponse::decode(&raw) else {
        return;
    };
    let json = serde_json::to_string(&response).expect("a settlement is JSON");
    let header = shop::to_header(json.as_bytes());
    if header.len() <= compute_x402::header::MAX_HEADER_BYTES {
        let again = SettlementResponse::decode(header.as_bytes());
        assert_eq!(again.as_ref(), Ok(&response), "written and read again");
    }
}
