use compute_mpp::tempo::{Fault, Modes, PayloadError, TempoError, TempoPayload};
use serde_json::{Value, json};

use super::{AMOUNT, terms};

fn parse(payload: &Value) -> Result<TempoPayload, PayloadError> {
    TempoPayload::parse(payload.as_object().unwrap())
}

#[test]
fn both_forms_are_read_in_any_case_and_unknown_members_are_ignored() {
    assert_eq!(
        parse(&json!({"type": "transaction", "signature": "0x76C0ff", "more": 1})),
        Ok(TempoPayload::Transaction(vec![0x76, 0xc0, 0xff]))
    );
    assert_eq!(
        parse(&json!({"type": "hash", "hash": format!("0x{}", "Ab".repeat(32))})),
        Ok(TempoPayload::Hash([0xab; 32]))
    );
}

#[test]
fn other_shapes_are_invalid_payloads() {
    let long = format!("0x{}", "00".repeat(16 * 1024 + 1));
    for (payload, expected) in [
        (json!({}), PayloadError::Type),
        (json!({"type": 1}), PayloadError::Type),
        (json!({"type": "card"}), PayloadError::Type),
        (json!({"spt": "spt_1"}), PayloadError::Type),
        (
            json!({"type": "transaction"}),
            PayloadError::Missing("signature"),
        ),
        (
            json!({"type": "transaction", "signature": ["0x76"]}),
            PayloadError::Missing("signature"),
        ),
        (
            json!({"type": "transaction", "signature": ""}),
            PayloadError::NotHex("signature"),
        ),
        (
            json!({"type": "transaction", "signature": "0x"}),
            PayloadError::NotHex("signature"),
        ),
        (
            json!({"type": "transaction", "signature": "76c0"}),
            PayloadError::NotHex("signature"),
        ),
        (
            json!({"type": "transaction", "signature": "0x76c"}),
            PayloadError::NotHex("signature"),
        ),
        (
            json!({"type": "transaction", "signature": "0x76zz"}),
            PayloadError::NotHex("signature"),
        ),
        (
            json!({"type": "transaction", "signature": long}),
            PayloadError::TooLong { max: 16384 },
        ),
        (json!({"type": "hash"}), PayloadError::Missing("hash")),
        (
            json!({"type": "hash", "hash": "0x1234"}),
            PayloadError::HashLength { found: 2 },
        ),
        (
            json!({"type": "hash", "hash": format!("0x{}", "zz".repeat(32))}),
            PayloadError::NotHex("hash"),
        ),
        (
            json!({"type": "proof", "signature": "0x00"}),
            PayloadError::Proof,
        ),
    ] {
        let error = parse(&payload).unwrap_err();
        assert_eq!(error, expected, "{payload}");
        assert_eq!(TempoError::from(error).fault(), Fault::InvalidPayload);
    }
}

#[test]
fn a_hash_is_taken_only_where_push_is_offered_and_nobody_else_pays_the_fee() {
    let hash = TempoPayload::Hash([1; 32]);
    let signed = TempoPayload::Transaction(vec![0x76]);
    let mut terms = terms();
    assert_eq!(terms.check_mode(&hash), Err(PayloadError::PushNotOffered));
    terms.modes = Modes::PullAndPush;
    assert_eq!(terms.check_mode(&hash), Ok(()));
    terms.fee_payer = true;
    assert_eq!(terms.check_mode(&hash), Err(PayloadError::PushNotOffered));
    assert_eq!(terms.check_mode(&signed), Ok(()));
}

#[test]
fn the_request_names_chain_and_modes() {
    let mut terms = terms();
    assert_eq!(
        serde_json::to_value(terms.request(AMOUNT)).unwrap(),
        json!({
            "amount": "1250000",
            "currency": "0x20C000000000000000000000b9537d11c60E8b50",
            "recipient": "0x00000000000000000000000000000000000000AA",
            "methodDetails": {"chainId": 4217, "supportedModes": ["pull"]},
        })
    );
    terms.modes = Modes::PullAndPush;
    terms.fee_payer = true;
    assert_eq!(
        Value::Object(terms.request(AMOUNT).method_details),
        json!({"chainId": 4217, "supportedModes": ["pull", "push"], "feePayer": true})
    );
}

#[test]
fn a_payload_shows_nothing_that_could_be_sent() {
    let shown = format!("{:?}", TempoPayload::Transaction(vec![0x76, 0xab]));
    assert_eq!(shown, "Transaction(2 bytes)");
}
