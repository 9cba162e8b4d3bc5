//! Requests signed by a wallet: none is anybody's but those the wallet signed.

use compute_wallet::{AuthClaim, Namespace, Nonce, WalletAddress, auth_message, authenticate};

use crate::shop::{BUYER, SVM_BUYER};

/// The one request that the buyers sign: method, path, query, time, nonce and body.
pub(crate) const LINES: [&str; 6] = [
    "POST",
    "/compute/provision",
    "dry=1",
    "1767225600000",
    "00112233445566778899aabbccddeeff",
    "{\"plan\":\"a\"}",
];

const NOW_MS: i64 = 1_767_225_600_000;
const SKEW_MS: i64 = 300_000;

/// Ten lines: chain, address, signature, encoding, time, nonce, method, path, query, body.
pub(super) fn headers(data: &[u8]) {
    let mut lines = data.splitn(10, |byte| *byte == b'\n');
    let mut bytes = || lines.next().unwrap_or_default();
    let mut fields = [""; 9];
    for field in &mut fields {
        let Ok(text) = std::str::from_utf8(bytes()) else {
            return;
        };
        *field = text;
    }
    let body = bytes();
    let [
        chain,
        address,
        signature,
        encoding,
        timestamp_ms,
        nonce,
        method,
        path,
        query,
    ] = fields;
    let claim = AuthClaim {
        chain,
        address,
        signature,
        encoding: (!encoding.is_empty()).then_some(encoding),
        timestamp_ms,
        nonce,
        method,
        path,
        query: (!query.is_empty()).then_some(query),
        body,
    };
    check_nonce(nonce);
    let Ok(wallet) = authenticate(&claim, NOW_MS, SKEW_MS) else {
        return;
    };
    let buyer = match chain {
        "solana" => WalletAddress::Solana(SVM_BUYER.address()),
        _ => WalletAddress::Evm(BUYER.address()),
    };
    assert_eq!(wallet.address, buyer, "somebody else's signature");
    assert_eq!(wallet.nonce.as_str(), nonce);
    assert_eq!(timestamp_ms.parse(), Ok(wallet.signed_at_ms));
    assert!((wallet.signed_at_ms - NOW_MS).abs() <= SKEW_MS);
    // What the buyers signed, and nothing else; the query alone may be missing from it.
    let [
        signed_method,
        signed_path,
        signed_query,
        signed_time,
        signed_nonce,
        signed_body,
    ] = LINES;
    assert!(method.eq_ignore_ascii_case(signed_method));
    assert_eq!((timestamp_ms, nonce), (signed_time, signed_nonce));
    assert_eq!(body, signed_body.as_bytes());
    assert_eq!(path, signed_path);
    let _ = signed_query;
    let lower = wallet.address.to_string();
    assert!(address.eq_ignore_ascii_case(&lower));
    let text = match wallet.address.namespace() {
        Namespace::Eip155 => lower.as_str(),
        Namespace::Solana => address,
    };
    let message = auth_message(chain, text, method, path, body, timestamp_ms, nonce);
    assert_eq!(message.lines().count(), 9);
}

fn check_nonce(text: &str) {
    if let Ok(nonce) = Nonce::parse(text) {
        assert_eq!(nonce.as_str(), text);
        assert!((8..=128).contains(&text.len()));
    }
}
