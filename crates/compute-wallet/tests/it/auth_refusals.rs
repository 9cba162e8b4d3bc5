use compute_wallet::{
    AuthClaim, AuthError, EvmKey, SolanaKey, WalletAddress, auth_message, authenticate,
};
use proptest::prelude::*;

use crate::auth_vectors::{NOW_MS, SKEW_MS, create_key, list_instances, list_instances_on_solana};

fn check(claim: &AuthClaim<'_>, expected: AuthError) {
    assert_eq!(
        authenticate(claim, NOW_MS, SKEW_MS),
        Err(expected),
        "{claim:?}"
    );
}

fn malformed(field: &'static str) -> AuthError {
    AuthError::Malformed { field }
}

/// A claim of `key` for a GET whose signature covers `target`.
fn sign(key: &EvmKey, address: &str, target: &str) -> String {
    let message = auth_message(
        "base",
        address,
        "GET",
        target,
        b"",
        "1767225600000",
        "nonce-0001",
    );
    key.sign_message(message.as_bytes()).to_hex()
}

fn get<'a>(address: &'a str, signature: &'a str, query: Option<&'a str>) -> AuthClaim<'a> {
    AuthClaim {
        address,
        signature,
        query,
        nonce: "nonce-0001",
        ..list_instances()
    }
}

#[test]
fn a_query_may_be_signed_or_left_out_and_nothing_else() {
    let key = EvmKey::from_bytes(&[3; 32]).unwrap();
    let address = key.address().to_string();
    let accepted = |target: &str, query| {
        let signature = sign(&key, &address, target);
        authenticate(&get(&address, &signature, query), NOW_MS, SKEW_MS).is_ok()
    };
    assert!(accepted("/compute/instances", None));
    assert!(accepted("/compute/instances", Some("wallet=0x1")));
    assert!(accepted(
        "/compute/instances?wallet=0x1",
        Some("wallet=0x1")
    ));
    assert!(!accepted(
        "/compute/instances?wallet=0x1",
        Some("wallet=0x2")
    ));
    assert!(!accepted("/compute/instances?wallet=0x1", None));
    assert!(!accepted("/compute/instances?", None));
    assert!(!accepted("/compute/instances/", None));
    assert!(!accepted("wallet=0x1", Some("wallet=0x1")));
}

#[test]
fn the_address_may_be_signed_as_it_was_sent() {
    let key = EvmKey::from_bytes(&[3; 32]).unwrap();
    let sent = key.address().to_checksum();
    let signature = sign(&key, &sent, "/compute/instances");
    let wallet = authenticate(&get(&sent, &signature, None), NOW_MS, SKEW_MS).unwrap();
    assert_eq!(wallet.address, WalletAddress::Evm(key.address()));
    let other = EvmKey::from_bytes(&[4; 32])
        .unwrap()
        .address()
        .to_checksum();
    check(&get(&other, &signature, None), AuthError::BadSignature);
}

#[test]
fn megaeth_is_an_evm_chain_of_its_own_name() {
    let key = EvmKey::from_bytes(&[3; 32]).unwrap();
    let address = key.address().to_string();
    let claim = get(&address, "", None);
    let message = auth_message(
        "megaeth",
        &address,
        "GET",
        claim.path,
        b"",
        claim.timestamp_ms,
        claim.nonce,
    );
    let signature = key.sign_message(message.as_bytes()).to_hex();
    let claim = AuthClaim {
        chain: "megaeth",
        signature: &signature,
        ..claim
    };
    assert!(authenticate(&claim, NOW_MS, SKEW_MS).is_ok());
    check(
        &AuthClaim {
            chain: "base",
            ..claim
        },
        AuthError::BadSignature,
    );
}

#[test]
fn other_chains_are_unknown() {
    for chain in ["", "Base", "ethereum", "robinhood", "eip155:8453", "base\n"] {
        check(
            &AuthClaim {
                chain,
                ..list_instances()
            },
            AuthError::UnknownChain,
        );
    }
}

#[test]
fn timestamps_are_decimal_milliseconds() {
    for timestamp_ms in [
        "",
        "-1",
        "+1767225600000",
        " 1767225600000",
        "1e12",
        "1767225600000.0",
        "١",
        "17672256000000000",
    ] {
        check(
            &AuthClaim {
                timestamp_ms,
                ..list_instances()
            },
            malformed("X-Auth-Timestamp"),
        );
    }
    // Seconds are a plausible mistake; they are simply long ago.
    check(
        &AuthClaim {
            timestamp_ms: "1767225600",
            ..list_instances()
        },
        AuthError::OutOfWindow,
    );
}

#[test]
fn nonces_are_8_to_128_plain_characters() {
    let longest = "n".repeat(128);
    let too_long = "n".repeat(129);
    for nonce in [
        "",
        "1234567",
        "1234567 ",
        "12345678\n",
        "1234567é",
        "12345678;",
        &too_long,
    ] {
        check(
            &AuthClaim {
                nonce,
                ..list_instances()
            },
            malformed("X-Auth-Nonce"),
        );
    }
    for nonce in ["12345678", "a-b_c-d_", &longest] {
        check(
            &AuthClaim {
                nonce,
                ..list_instances()
            },
            AuthError::BadSignature,
        );
    }
}

#[test]
fn request_lines_cannot_smuggle_a_line_break() {
    for method in ["", "GET ", "GET\n", "GÉT", "M-SEARCH"] {
        check(
            &AuthClaim {
                method,
                ..list_instances()
            },
            malformed("method"),
        );
    }
    for path in [
        "",
        "compute/instances",
        "/a\nb",
        "/a\u{7f}",
        "/a\u{85}b",
        "/a?b",
    ] {
        check(
            &AuthClaim {
                path,
                ..list_instances()
            },
            malformed("path"),
        );
    }
    check(
        &AuthClaim {
            query: Some("a\rb"),
            ..list_instances()
        },
        malformed("query"),
    );
}

#[test]
fn addresses_belong_to_the_chain() {
    for address in [
        "",
        "0x",
        "0x1a642f0e3c3af545e7acbd38b07251b3990914f",
        "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
    ] {
        check(
            &AuthClaim {
                address,
                ..list_instances()
            },
            malformed("X-Auth-Address"),
        );
    }
    let address = list_instances().address;
    check(
        &AuthClaim {
            address,
            ..list_instances_on_solana()
        },
        malformed("X-Auth-Address"),
    );
}

#[test]
fn signatures_have_their_length_and_encoding() {
    let huge = "1".repeat(20_000);
    let long = "11".repeat(66);
    let short = "11".repeat(64);
    for signature in ["", "0x", "0xzz", "0x1", &long, &short, &huge] {
        check(
            &AuthClaim {
                signature,
                ..list_instances()
            },
            malformed("X-Auth-Signature"),
        );
    }
    for signature in ["", "AAAA", "not base64!", &huge] {
        check(
            &AuthClaim {
                signature,
                ..list_instances_on_solana()
            },
            malformed("X-Auth-Signature"),
        );
    }
    for encoding in ["", "utf8", "base64"] {
        check(
            &AuthClaim {
                encoding: Some(encoding),
                ..list_instances()
            },
            malformed("X-Auth-Sig-Encoding"),
        );
    }
    check(
        &AuthClaim {
            encoding: Some("base64url"),
            ..list_instances_on_solana()
        },
        malformed("X-Auth-Sig-Encoding"),
    );
}

#[test]
fn the_high_s_twin_of_a_good_signature_is_refused() {
    // n − s of vector A, with the other recovery value.
    let claim = create_key();
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let low = hex::decode(&claim.signature[66..130]).unwrap();
    let mut high = hex::decode(order).unwrap();
    let mut borrow = 0_i16;
    for (digit, subtrahend) in high.iter_mut().zip(&low).rev() {
        let difference = i16::from(*digit) - i16::from(*subtrahend) - borrow;
        borrow = i16::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let signature = format!("{}{}1c", &claim.signature[..66], hex::encode(high));
    check(
        &AuthClaim {
            signature: &signature,
            ..claim
        },
        AuthError::BadSignature,
    );
}

/// The parts of a claim that a signature covers, as owned bytes that a test can damage.
fn damaged(claim: &AuthClaim<'_>, part: usize, at: usize, bit: u8) -> Option<[Vec<u8>; 8]> {
    let mut parts = [
        claim.chain.as_bytes().to_vec(),
        claim.address.as_bytes().to_vec(),
        claim.signature.as_bytes().to_vec(),
        claim.timestamp_ms.as_bytes().to_vec(),
        claim.nonce.as_bytes().to_vec(),
        claim.method.as_bytes().to_vec(),
        claim.path.as_bytes().to_vec(),
        claim.body.to_vec(),
    ];
    let length = parts[part].len();
    *parts[part].get_mut(at % length.max(1))? ^= 1 << bit;
    Some(parts)
}

/// Letter case of a method, and of hex, is no content.
fn says_the_same(claim: &AuthClaim<'_>, parts: &[Vec<u8>; 8]) -> bool {
    let is_evm = claim.chain != "solana";
    claim.method.as_bytes() != parts[5] && parts[5].eq_ignore_ascii_case(claim.method.as_bytes())
        || is_evm
            && claim.address.as_bytes() != parts[1]
            && parts[1].eq_ignore_ascii_case(claim.address.as_bytes())
        || is_evm
            && claim.signature.as_bytes() != parts[2]
            && parts[2].eq_ignore_ascii_case(claim.signature.as_bytes())
}

proptest! {
    // A claim with one flipped bit, in any part the signature covers, is refused.
    #[test]
    fn one_flipped_bit_is_refused(which in 0_usize..3, part in 0_usize..8, at: usize, bit in 0_u8..8) {
        let claim = [create_key(), list_instances(), list_instances_on_solana()][which];
        let Some(parts) = damaged(&claim, part, at, bit) else { return Ok(()) };
        prop_assume!(!says_the_same(&claim, &parts));
        let [chain, address, signature, timestamp_ms, nonce, method, path, body] = &parts;
        let texts = [chain, address, signature, timestamp_ms, nonce, method, path]
            .map(|bytes| std::str::from_utf8(bytes));
        let [Ok(chain), Ok(address), Ok(signature), Ok(timestamp_ms), Ok(nonce), Ok(method), Ok(path)] = texts
        else { return Ok(()) };
        let claim = AuthClaim { chain, address, signature, timestamp_ms, nonce, method, path, body, ..claim };
        prop_assert!(authenticate(&claim, NOW_MS, SKEW_MS).is_err());
    }

    // Any texts at all give an answer, never a panic, and never a wallet.
    #[test]
    fn arbitrary_claims_never_panic(
        chain in "base|megaeth|solana|.{0,8}",
        texts in prop::array::uniform7(".{0,140}"),
        encoding in prop::option::of("hex|base64|base58|.{0,8}"),
        query in prop::option::of(".{0,20}"),
        body in prop::collection::vec(any::<u8>(), 0..64),
        now_ms: i64,
        skew_ms: i64,
    ) {
        let [address, signature, timestamp_ms, nonce, method, path, _] = &texts;
        let claim = AuthClaim {
            chain: &chain, address, signature, encoding: encoding.as_deref(), timestamp_ms, nonce,
            method, path, query: query.as_deref(), body: &body,
        };
        prop_assert!(authenticate(&claim, now_ms, skew_ms).is_err());
    }

    // Whoever signs the message is authenticated, on every chain, whatever is asked.
    #[test]
    fn what_was_signed_authenticates(
        seed in 1_u8..255,
        path in "/[a-z/0-9-]{0,40}",
        body in prop::collection::vec(any::<u8>(), 0..200),
        nonce in "[A-Za-z0-9_-]{8,128}",
        method in "GET|POST|DELETE",
    ) {
        let time = NOW_MS.to_string();
        let evm = EvmKey::from_bytes(&[seed; 32]).unwrap();
        let solana = SolanaKey::from_seed(&[seed; 32]);
        for chain in ["base", "megaeth", "solana"] {
            let address = if chain == "solana" { solana.address().to_string() } else { evm.address().to_string() };
            let message = auth_message(chain, &address, &method, &path, &body, &time, &nonce);
            let signature = if chain == "solana" { hex::encode(solana.sign(message.as_bytes())) } else { evm.sign_message(message.as_bytes()).to_hex() };
            let claim = AuthClaim {
                chain, address: &address, signature: &signature, encoding: Some("hex"), timestamp_ms: &time,
                nonce: &nonce, method: &method, path: &path, query: None, body: &body,
            };
            let wallet = authenticate(&claim, NOW_MS, SKEW_MS).unwrap();
            prop_assert_eq!(wallet.address.to_string(), address);
        }
    }
}
