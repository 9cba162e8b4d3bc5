//! EIP-3009 authorizations that must not buy anything, and the odd ones that must.

use compute_wallet::{EvmKey, Uint256};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::networks::BASE_SEPOLIA_USDC;
use compute_x402::{
    Amount, Network, Offer, PaymentPayload, Recipient, TokenTerms, ValidityWindow, VerifyError,
    Version, identify, verify,
};
use serde_json::{Value, json};

use crate::shop::{
    Answer, NOW_S, PRICE, RESOURCE, address, answer_to, authorization, buyer, offer, payment,
    refused,
};

const BOTH: [Version; 2] = [Version::V1, Version::V2];

/// The same payment in both versions with one member of the authorization replaced.
fn with_member(name: &str, value: Option<Value>) -> [Value; 2] {
    BOTH.map(|version| {
        let mut json = payment(version, authorization());
        let members = json
            .pointer_mut("/payload/authorization")
            .unwrap()
            .as_object_mut()
            .unwrap();
        match &value {
            Some(value) => drop(members.insert(name.to_owned(), value.clone())),
            None => drop(members.remove(name)),
        }
        json
    })
}

fn with_signature(signature: Value) -> Value {
    let mut json = payment(Version::V1, authorization());
    *json.pointer_mut("/payload/signature").unwrap() = signature;
    json
}

fn check_malformed(name: &str, value: Value) {
    for json in with_member(name, Some(value)) {
        assert_eq!(answer_to(&json), refused(400, "invalid_payload"), "{json}");
    }
}

/// Signs the authorization properly and expects this code in both versions.
fn check_signed(authorization: Authorization, code_v1: &str, code_v2: &str) {
    for (version, code) in BOTH.into_iter().zip([code_v1, code_v2]) {
        let answer = answer_to(&payment(version, authorization));
        assert_eq!(answer, refused(402, code), "{authorization:?}");
    }
}

fn check_signature(signature: Value, expected: Answer) {
    assert_eq!(answer_to(&with_signature(signature)), expected);
}

fn good_signature() -> String {
    let json = payment(Version::V1, authorization());
    json.pointer("/payload/signature")
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn every_member_is_needed() {
    for name in ["from", "to", "value", "validAfter", "validBefore", "nonce"] {
        for json in with_member(name, None) {
            assert_eq!(answer_to(&json), refused(400, "invalid_payload"), "{name}");
        }
        check_malformed(name, Value::Null);
        check_malformed(name, json!(1));
        check_malformed(name, json!({}));
    }
}

#[test]
fn a_value_is_a_decimal_string_below_2_to_the_256() {
    let too_large =
        "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    for value in [
        "-1", "1e6", "0x10", "1.0", " 1", "+1", "1_000", "", "٩", too_large,
    ] {
        check_malformed("value", value.into());
    }
    check_malformed("value", json!(90_000_000));
    check_malformed("value", "9".repeat(79).into());
}

#[test]
fn the_value_must_be_the_amount_exactly() {
    let code = "invalid_exact_evm_payload_authorization_value";
    for value in [0, 1, PRICE - 1, PRICE + 1, u128::MAX] {
        let value = Uint256::from(value);
        check_signed(
            Authorization {
                value,
                ..authorization()
            },
            code,
            &format!("{code}_mismatch"),
        );
    }
    // More than 128 bits is a number all the same: refused by its value, not by its shape.
    let value = Uint256::from_be_bytes([0xff; 32]);
    check_signed(
        Authorization {
            value,
            ..authorization()
        },
        code,
        &format!("{code}_mismatch"),
    );
}

#[test]
fn a_nonce_is_32_bytes_of_prefixed_hex() {
    for nonce in [
        "",
        "0x",
        &format!("0x{}", "44".repeat(31)),
        &format!("0x{}", "44".repeat(33)),
        &"44".repeat(32),
        &format!("0x{}", "zz".repeat(32)),
    ] {
        check_malformed("nonce", nonce.into());
    }
}

#[test]
fn addresses_are_20_bytes_of_prefixed_hex() {
    for name in ["from", "to"] {
        for text in [
            "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F",
            "1a642f0E3c3aF545E7AcBD38b07251B3990914F1",
            "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
            "",
        ] {
            check_malformed(name, text.into());
        }
    }
}

#[test]
fn the_zero_address_never_signed_anything() {
    let zero = "0x0000000000000000000000000000000000000000";
    for json in with_member("from", Some(zero.into())) {
        assert_eq!(
            answer_to(&json),
            refused(402, "invalid_exact_evm_payload_signature")
        );
    }
}

#[test]
fn at_least_six_seconds_and_at_most_a_day_must_remain() {
    let code = "invalid_exact_evm_payload_authorization_valid_before";
    for valid_before in [
        0,
        NOW_S - 1,
        NOW_S,
        NOW_S + 5,
        NOW_S + 86_401,
        NOW_S + 31_536_000,
        u64::MAX,
    ] {
        check_signed(
            Authorization {
                valid_before,
                ..authorization()
            },
            code,
            code,
        );
    }
    for valid_before in [NOW_S + 6, NOW_S + 3600, NOW_S + 86_400] {
        for version in BOTH {
            let json = payment(
                version,
                Authorization {
                    valid_before,
                    ..authorization()
                },
            );
            assert!(
                matches!(answer_to(&json), Answer::Accepted(_)),
                "{valid_before}"
            );
        }
    }
}

#[test]
fn a_seller_may_demand_more_validity_but_not_less() {
    let json = payment(
        Version::V1,
        Authorization {
            valid_before: NOW_S + 60,
            ..authorization()
        },
    );
    let payload = PaymentPayload::from_json(json).unwrap();
    let verify_with = |seconds| {
        verify(
            &payload,
            &[offer()],
            ValidityWindow::at(NOW_S).with_min_validity(seconds),
        )
        .map(drop)
    };
    assert_eq!(verify_with(60), Ok(()));
    assert_eq!(verify_with(61), Err(VerifyError::ValidBefore));
    let late = ValidityWindow::at(NOW_S + 55).with_min_validity(0);
    assert_eq!(
        verify(&payload, &[offer()], late).map(drop),
        Err(VerifyError::ValidBefore)
    );
}

#[test]
fn a_payment_must_be_valid_already() {
    let code = "invalid_exact_evm_payload_authorization_valid_after";
    for valid_after in [NOW_S + 1, u64::MAX] {
        check_signed(
            Authorization {
                valid_after,
                ..authorization()
            },
            code,
            code,
        );
    }
    let json = payment(
        Version::V1,
        Authorization {
            valid_after: NOW_S,
            ..authorization()
        },
    );
    assert!(matches!(answer_to(&json), Answer::Accepted(_)));
}

#[test]
fn times_are_decimal_strings_of_64_bits() {
    for name in ["validAfter", "validBefore"] {
        for text in [
            "-1",
            "1.5",
            "18446744073709551616",
            "2026-01-01T00:00:00Z",
            "",
            "0x1",
        ] {
            check_malformed(name, text.into());
        }
        check_malformed(name, json!(NOW_S));
    }
}

#[test]
fn another_recipient_is_refused() {
    let to = address("0x5555555555555555555555555555555555555555");
    let code = "invalid_exact_evm_payload_recipient_mismatch";
    check_signed(
        Authorization {
            to,
            ..authorization()
        },
        code,
        code,
    );
}

#[test]
fn paying_oneself_buys_nothing() {
    let payer = buyer();
    let own_offer = Offer::new(
        std::sync::Arc::new(offer().token().clone()),
        Recipient::new(payer.address()),
        Amount::new(PRICE),
        300,
    );
    let authorization = Authorization {
        to: payer.address(),
        ..authorization()
    };
    let signed = sign(own_offer.token().as_evm().unwrap(), authorization, &payer);
    let payload = payload_for(Version::V2, &own_offer, RESOURCE, &signed);
    let error = verify(&payload, &[own_offer], ValidityWindow::at(NOW_S)).unwrap_err();
    assert_eq!(
        (error, error.is_malformed()),
        (VerifyError::SelfPayment, false)
    );
    assert_eq!(error.code().as_str(), "invalid_payload");
}

#[test]
fn signatures_are_65_canonical_bytes() {
    let bad = || refused(402, "invalid_exact_evm_payload_signature");
    let good = good_signature();
    let rs = &good[..130];
    for text in [
        "0x".to_owned(),
        "0x1".to_owned(),
        "0xzz".to_owned(),
        rs.to_owned(),
        format!("{good}00"),
        format!("0x{}", "11".repeat(5 * 1024)),
        format!("0x{}1b", "00".repeat(64)),
        format!("{rs}1d"),
        format!("{rs}25"),
    ] {
        check_signature(text.into(), bad());
    }
    for value in [json!(1), Value::Null, json!([])] {
        check_signature(value, refused(400, "invalid_payload"));
    }
}

#[test]
fn a_zero_based_recovery_value_is_accepted() {
    let good = good_signature();
    let v = u8::from_str_radix(&good[130..], 16).unwrap();
    let zero_based = format!("{}{:02x}", &good[..130], v - 27);
    assert!(matches!(
        answer_to(&with_signature(zero_based.into())),
        Answer::Accepted(_)
    ));
    let flipped = format!("{}{:02x}", &good[..130], 55 - v);
    check_signature(
        flipped.into(),
        refused(402, "invalid_exact_evm_payload_signature"),
    );
}

#[test]
fn a_wrapper_for_an_undeployed_wallet_is_refused_by_name() {
    let wrapped = format!("0x{}{}", "ab".repeat(500), "6492".repeat(16));
    check_signature(wrapped.into(), refused(402, "eip6492_factory_not_allowed"));
}

#[test]
fn somebody_elses_signature_is_refused() {
    let stranger = EvmKey::from_bytes(&[2; 32]).unwrap();
    let signed = sign(
        offer().token().as_evm().unwrap(),
        authorization(),
        &stranger,
    );
    let payload = payload_for(Version::V1, &offer(), RESOURCE, &signed);
    let answer = answer_to(&payload.to_json());
    assert_eq!(answer, refused(402, "invalid_exact_evm_payload_signature"));
}

#[test]
fn a_signature_for_another_domain_is_refused() {
    let usdc = offer().token().clone();
    let terms =
        |network, asset, name, version| TokenTerms::eip3009(network, asset, name, version).unwrap();
    for token in [
        terms(
            Network::BASE_SEPOLIA,
            usdc.as_evm().unwrap().contract(),
            "USD Coin",
            "2",
        ),
        terms(
            Network::BASE,
            usdc.as_evm().unwrap().contract(),
            "USDC",
            "2",
        ),
        terms(
            Network::BASE,
            usdc.as_evm().unwrap().contract(),
            "USD Coin",
            "1",
        ),
        terms(
            Network::BASE,
            address(BASE_SEPOLIA_USDC.address),
            "USD Coin",
            "2",
        ),
    ] {
        let signed = sign(token.as_evm().unwrap(), authorization(), &buyer());
        for version in BOTH {
            let json = payload_for(version, &offer(), RESOURCE, &signed).to_json();
            assert_eq!(
                answer_to(&json),
                refused(402, "invalid_exact_evm_payload_signature")
            );
        }
    }
}

#[test]
fn letter_case_of_addresses_is_free() {
    let mut json = payment(Version::V2, authorization());
    for pointer in [
        "/payload/authorization/from",
        "/payload/authorization/to",
        "/accepted/asset",
    ] {
        let member = json.pointer_mut(pointer).unwrap();
        *member = member.as_str().unwrap().to_lowercase().into();
    }
    assert!(matches!(answer_to(&json), Answer::Accepted(_)));
}

#[test]
fn an_old_price_we_still_stand_by_is_accepted_in_both_versions() {
    let offers = [offer().with_amount(Amount::new(PRICE + 5)), offer()];
    for version in BOTH {
        let payload = PaymentPayload::from_json(payment(version, authorization())).unwrap();
        let verified = verify(&payload, &offers, ValidityWindow::at(NOW_S)).unwrap();
        assert_eq!(
            (verified.offer_index, verified.value),
            (1, Amount::new(PRICE))
        );
    }
}

#[test]
fn a_payment_is_identified_after_its_price_and_time_have_passed() {
    let value = Uint256::from(7_u128);
    let valid_before = NOW_S - 86_400;
    let old = Authorization {
        value,
        valid_before,
        ..authorization()
    };
    for version in BOTH {
        let payload = PaymentPayload::from_json(payment(version, old)).unwrap();
        let identified = identify(&payload, offer().token()).unwrap();
        assert_eq!(identified.payer, buyer().address().into());
        assert_eq!(identified.pay_to, offer().pay_to());
        assert_eq!(
            (identified.value, identified.valid_before),
            (Amount::new(7), valid_before)
        );
        let verified = PaymentPayload::from_json(payment(version, authorization())).unwrap();
        let verified = verify(&verified, &[offer()], ValidityWindow::at(NOW_S)).unwrap();
        assert_eq!(identified.proof_key, verified.proof_key);
    }
}

#[test]
fn nobody_is_identified_by_a_signature_they_did_not_make() {
    let mut json = payment(Version::V1, authorization());
    *json.pointer_mut("/payload/authorization/value").unwrap() = "90000001".into();
    let payload = PaymentPayload::from_json(json).unwrap();
    assert!(matches!(
        identify(&payload, offer().token()),
        Err(VerifyError::Signature(_))
    ));
    let sepolia = BASE_SEPOLIA_USDC.eip3009_terms().unwrap();
    assert_eq!(identify(&payload, &sepolia), Err(VerifyError::Network));
}
