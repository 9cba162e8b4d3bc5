//! `X-Auth` vectors, computed with eth-account 0.14 and solders 0.29.

use compute_wallet::{AuthClaim, AuthError, authenticate};

pub(crate) const NOW_MS: i64 = 1_767_225_600_000;
pub(crate) const SKEW_MS: i64 = 300_000;

const EVM: &str = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1";
const SOLANA: &str = "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu";
const SOLANA_HEX: &str = "83351803576398d53fdbaa3eb1a7a6409ba88e6f48656869d885046baa4ed1ef0380f6c6d4702c7c98e91aa6dffcf47b56961559bc706908f6cf7b0f13ae0c0c";

/// Vector A: a POST with a body.
pub(crate) fn create_key() -> AuthClaim<'static> {
    AuthClaim {
        chain: "base",
        address: EVM,
        signature: "0x36db3040b2fd0df8aa08d4846a85137a65b59889d6645e0cff201f457c7bb7bb4e94b46e60d51e3fc19a58b73ec4142af39ac57df7414c4e62df614815c915911b",
        encoding: Some("hex"),
        timestamp_ms: "1767225600000",
        nonce: "00112233445566778899aabbccddeeff",
        method: "POST",
        path: "/compute/api-keys",
        query: None,
        body: br#"{"label":"my-agent"}"#,
    }
}

/// Vector B: a GET without a body.
pub(crate) fn list_instances() -> AuthClaim<'static> {
    AuthClaim {
        signature: "0xc894e3efd73846c12b1a30e81d71b7927090a4886dd16c6c554856e60d966d191cae5622e8d33809284130523958c356c8e49e16cf092e40f0a08d1512fd31ba1b",
        method: "GET",
        path: "/compute/instances",
        body: b"",
        ..create_key()
    }
}

/// Vector C: the same GET by a Solana wallet.
pub(crate) fn list_instances_on_solana() -> AuthClaim<'static> {
    AuthClaim {
        chain: "solana",
        address: SOLANA,
        signature: "gzUYA1djmNU/26o+saemQJuojm9IZWhp2IUEa6pO0e8DgPbG1HAsfJjpGqbf/PR7VpYVWbxwaQj2z3sPE64MDA==",
        encoding: Some("base64"),
        ..list_instances()
    }
}

fn check(claim: &AuthClaim<'_>, expected: &str) {
    let wallet = authenticate(claim, NOW_MS, SKEW_MS).unwrap();
    assert_eq!(wallet.address.to_string(), expected);
    assert_eq!(wallet.signed_at_ms, NOW_MS);
    assert_eq!(wallet.nonce.as_str(), claim.nonce);
    assert_eq!(wallet.nonce.to_string(), claim.nonce);
}

#[test]
fn the_vectors_authenticate() {
    check(&create_key(), EVM);
    check(&list_instances(), EVM);
    check(&list_instances_on_solana(), SOLANA);
}

#[test]
fn evm_texts_may_differ_in_case_and_prefix() {
    let claim = create_key();
    let upper = claim.signature.replace("0x", "").to_uppercase();
    check(
        &AuthClaim {
            signature: &upper,
            encoding: None,
            ..claim
        },
        EVM,
    );
    let checksummed = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1";
    check(
        &AuthClaim {
            address: checksummed,
            method: "post",
            ..claim
        },
        EVM,
    );
    let zero_based = format!("{}00", &claim.signature[..130]);
    check(
        &AuthClaim {
            signature: &zero_based,
            ..claim
        },
        EVM,
    );
}

#[test]
fn solana_signatures_come_in_three_encodings() {
    let claim = list_instances_on_solana();
    let base58 = bs58::encode(hex::decode(SOLANA_HEX).unwrap()).into_string();
    check(
        &AuthClaim {
            encoding: None,
            ..claim
        },
        SOLANA,
    );
    check(
        &AuthClaim {
            encoding: Some("hex"),
            signature: SOLANA_HEX,
            ..claim
        },
        SOLANA,
    );
    check(
        &AuthClaim {
            encoding: Some("base58"),
            signature: &base58,
            ..claim
        },
        SOLANA,
    );
    let unpadded = claim.signature.trim_end_matches('=');
    check(
        &AuthClaim {
            signature: unpadded,
            ..claim
        },
        SOLANA,
    );
}

#[test]
fn the_window_is_inclusive_to_the_millisecond() {
    for claim in [list_instances(), list_instances_on_solana()] {
        for (offset_ms, is_inside) in [
            (0, true),
            (SKEW_MS, true),
            (-SKEW_MS, true),
            (SKEW_MS + 1, false),
            (-SKEW_MS - 1, false),
        ] {
            let outcome = authenticate(&claim, NOW_MS + offset_ms, SKEW_MS).map(drop);
            let expected = if is_inside {
                Ok(())
            } else {
                Err(AuthError::OutOfWindow)
            };
            assert_eq!(outcome, expected, "{offset_ms}");
        }
    }
}

#[test]
fn extreme_clocks_are_outside_the_window() {
    for now_ms in [i64::MIN, 0, i64::MAX] {
        let outcome = authenticate(&list_instances(), now_ms, SKEW_MS);
        assert_eq!(outcome, Err(AuthError::OutOfWindow));
    }
    assert!(authenticate(&list_instances(), NOW_MS, -1).is_ok());
    assert!(authenticate(&list_instances(), NOW_MS + 1, -1).is_err());
}

#[test]
fn a_claim_shows_itself_without_what_is_worth_stealing() {
    let claim = create_key();
    let shown = format!("{claim:?}");
    for part in [claim.address, claim.method, claim.path] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(!shown.contains(claim.signature), "{shown}");
    assert!(!shown.contains("my-agent"), "{shown}");
}
