use proptest::prelude::*;

use super::*;

const HASH: &str = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";

fn settle(status: u16, body: &str) -> SettleClass {
    classify_settle(status, body.as_bytes(), &Network::BASE)
}

#[test]
fn a_transaction_on_solana_is_a_signature() {
    let signature =
        "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW";
    let answer = |transaction: &str| {
        let body =
            format!(r#"{{"success":true,"transaction":"{transaction}","network":"solana"}}"#);
        classify_settle(200, body.as_bytes(), &Network::SOLANA)
    };
    let settled = |transaction: &str| matches!(answer(transaction), SettleClass::Settled { transaction: it, .. } if it == transaction);
    assert!(settled(signature));
    for other in [
        "pending",
        HASH,
        &signature[..63],
        &format!("{signature}1"),
        &signature.replace('V', "0"),
    ] {
        assert!(!settled(other), "{other}");
    }
}

fn check_unknown(status: u16, body: &str, expected: UnknownReason) {
    match settle(status, body) {
        SettleClass::Unknown { reason, .. } => assert_eq!(reason, expected, "{body}"),
        other => panic!("{body} is {other:?}"),
    }
}

fn check_declined(status: u16, body: &str, expected: ErrorCode) {
    assert_eq!(
        settle(status, body),
        SettleClass::Declined { code: expected },
        "{body}"
    );
}

#[test]
fn success_with_a_hash_on_the_asked_network_is_settled() {
    for network in ["base", "eip155:8453"] {
        for status in [200, 500] {
            let body = format!(
                r#"{{"success":true,"transaction":"{HASH}","network":"{network}","payer":"0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"}}"#
            );
            let SettleClass::Settled {
                transaction, payer, ..
            } = settle(status, &body)
            else {
                panic!("{body} is not settled");
            };
            assert_eq!(transaction, HASH);
            let payer = payer.map(|payer| payer.to_string());
            assert_eq!(
                payer.as_deref(),
                Some("0x1a642f0e3c3af545e7acbd38b07251b3990914f1")
            );
        }
    }
}

#[test]
fn success_without_proof_is_unknown() {
    for body in [
        r#"{"success":true}"#.to_owned(),
        r#"{"success":true,"transaction":"","network":"base"}"#.to_owned(),
        r#"{"success":true,"transaction":"pending","network":"base"}"#.to_owned(),
        format!(r#"{{"success":true,"transaction":"{HASH}","network":"base-sepolia"}}"#),
        format!(r#"{{"success":true,"transaction":"{HASH}"}}"#),
        format!(r#"{{"success":true,"transaction":"{HASH}","network":"Base"}}"#),
    ] {
        check_unknown(200, &body, UnknownReason::Contradiction);
    }
}

#[test]
fn waiting_facilitators_leave_the_outcome_unknown() {
    for code in [
        "settlement_pending",
        "unexpected_settle_error",
        "unexpected_error",
        "settle_exact_svm_transaction_confirmation_timed_out",
    ] {
        let body = format!(r#"{{"success":false,"errorReason":"{code}","transaction":"{HASH}"}}"#);
        check_unknown(500, &body, UnknownReason::Pending);
        let SettleClass::Unknown { transaction, .. } = settle(200, &body) else {
            panic!("{code}")
        };
        assert_eq!(transaction.as_deref(), Some(HASH));
    }
}

#[test]
fn a_used_authorization_may_be_our_own_first_try() {
    for body in [
        r#"{"success":false,"errorReason":"duplicate_settlement","transaction":""}"#,
        r#"{"success":false,"errorReason":"invalid_exact_evm_nonce_already_used"}"#,
        r#"{"success":false,"errorReason":"x: FiatTokenV2: authorization is used or canceled"}"#,
        r#"{"success":false,"errorReason":"invalid_transaction_state","errorMessage":"reverted: FiatTokenV2: authorization is used or canceled"}"#,
    ] {
        check_unknown(200, body, UnknownReason::AlreadyUsed);
    }
}

#[test]
fn failed_checks_are_declined_whatever_the_status() {
    for status in [200, 400, 402, 412, 500] {
        let body = r#"{"success":false,"errorReason":"insufficient_funds","transaction":"","network":"base"}"#;
        check_declined(status, body, ErrorCode::InsufficientFunds);
    }
    check_declined(
        200,
        r#"{"success":false,"errorReason":"invalid_exact_evm_signature"}"#,
        ErrorCode::EvmSignature,
    );
    check_declined(
        200,
        r#"{"success":false,"errorReason":"permit2_simulation_failed"}"#,
        ErrorCode::from_wire("permit2_simulation_failed"),
    );
}

#[test]
fn a_reverted_transaction_is_declined_but_other_sent_ones_are_unknown() {
    let reverted = format!(
        r#"{{"success":false,"errorReason":"invalid_exact_evm_transaction_failed","transaction":"{HASH}"}}"#
    );
    check_declined(200, &reverted, ErrorCode::InvalidTransactionState);
    let sent =
        format!(r#"{{"success":false,"errorReason":"invalid_payload","transaction":"{HASH}"}}"#);
    check_unknown(200, &sent, UnknownReason::UnclearFailure);
    check_unknown(
        200,
        r#"{"success":false,"errorReason":"invalid_exact_evm_transfer_event_mismatch"}"#,
        UnknownReason::UnclearFailure,
    );
}

#[test]
fn failures_without_a_known_code_are_unknown() {
    for body in [
        r#"{"success":false}"#,
        r#"{"success":false,"errorReason":""}"#,
        r#"{"success":false,"errorReason":7}"#,
        r#"{"success":false,"errorReason":"something_new"}"#,
    ] {
        check_unknown(200, body, UnknownReason::UnclearFailure);
    }
}

#[test]
fn unreadable_answers_follow_their_status() {
    for status in [200, 202, 308, 408, 425, 429, 500, 502, 503, 504] {
        for body in ["", "<html>busy</html>", "[]", r#"{"success":"true"}"#] {
            check_unknown(status, body, UnknownReason::NoAnswer);
        }
    }
    for status in [400, 401, 403, 404, 405, 413, 422] {
        assert_eq!(settle(status, "no"), SettleClass::Refused { status });
    }
}

#[test]
fn verification_fails_closed() {
    let verify = |status, body: &str| classify_verify(status, body.as_bytes(), &Network::BASE);
    let yes = r#"{"isValid":true,"payer":"0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"}"#;
    assert!(matches!(
        verify(200, yes),
        VerifyClass::Valid { payer: Some(_) }
    ));
    for status in [301, 400, 429, 500, 503] {
        assert_eq!(verify(status, yes), VerifyClass::Unavailable);
    }
    for status in [200, 400, 412, 500] {
        let no = r#"{"isValid":false,"invalidReason":"invalid_payment_expired"}"#;
        assert_eq!(
            verify(status, no),
            VerifyClass::Invalid {
                code: ErrorCode::EvmValidBefore
            }
        );
    }
    for body in [
        "",
        "<html>",
        r#"{"isValid":"true"}"#,
        r#"{"isValid":false}"#,
        r#"{"isValid":false,"invalidReason":"unexpected_verify_error"}"#,
    ] {
        assert_eq!(verify(200, body), VerifyClass::Unavailable, "{body}");
    }
    assert_eq!(verify(401, "no"), VerifyClass::Refused { status: 401 });
}

proptest! {
    // No answer makes us believe in money that did not move: settled needs all three signs.
    #[test]
    fn arbitrary_answers_never_settle(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let class = classify_settle(status, &body, &Network::BASE);
        let is_settled = matches!(class, SettleClass::Settled { .. });
        prop_assert!(!is_settled);
    }
}
