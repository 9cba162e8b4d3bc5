use compute_wallet::EvmKey;
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::{Amount, PaymentPayload, ValidityWindow, Version, decode, identify, verify};
use proptest::prelude::*;

use crate::shop::{NOW_S, RESOURCE, authorization, buyer, offer, payment, to_header};

proptest! {
    // A header with one flipped bit is refused, or still is the very same payment.
    #[test]
    fn one_flipped_bit_never_makes_another_payment(is_v2: bool, at: prop::sample::Index, bit in 0_u8..8) {
        let version = if is_v2 { Version::V2 } else { Version::V1 };
        let good = PaymentPayload::from_json(payment(version, authorization())).unwrap();
        let expected = verify(&good, &[offer()], ValidityWindow::at(NOW_S)).unwrap();
        let mut text = good.to_json().to_string().into_bytes();
        let index = at.index(text.len());
        text[index] ^= 1 << bit;
        let header = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &text);
        if let Ok(Some(payload)) = decode(Some(header.as_bytes()), None)
            && let Ok(verified) = verify(&payload, &[offer()], ValidityWindow::at(NOW_S))
        {
            prop_assert_eq!(verified, expected);
        }
    }

    // Arbitrary headers are decoded or refused, never a panic, and never verified.
    #[test]
    fn arbitrary_headers_never_pay(first in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)), second in prop::option::of("[A-Za-z0-9+/]{0,200}={0,2}")) {
        if let Ok(Some(payload)) = decode(first.as_deref(), second.as_deref().map(str::as_bytes)) {
            prop_assert!(verify(&payload, &[offer()], ValidityWindow::at(NOW_S)).is_err());
        }
    }

    // Arbitrary JSON in every member of the envelope gives an answer, never a panic.
    #[test]
    fn arbitrary_members_never_panic(member in prop::sample::select(vec![
        "/scheme", "/network", "/payload", "/payload/signature", "/payload/authorization",
        "/payload/authorization/from", "/payload/authorization/value", "/payload/authorization/nonce",
        "/payload/authorization/validBefore",
    ]), text in ".{0,80}", number: i64, kind in 0_u8..4) {
        let mut json = payment(Version::V1, authorization());
        *json.pointer_mut(member).unwrap() = match kind {
            0 => text.clone().into(),
            1 => number.into(),
            2 => serde_json::json!([text]),
            _ => serde_json::json!({ text: number }),
        };
        if let Ok(Some(payload)) = decode(Some(to_header(&json).as_bytes()), None) {
            let _ = verify(&payload, &[offer()], ValidityWindow::at(NOW_S));
            let _ = identify(&payload, offer().token());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // Whoever signs the asked amount in time has paid, and exactly that.
    #[test]
    fn a_signed_payment_verifies(seed in 1_u8..=255, nonce: [u8; 32], amount: u128, age in 0_u64..100_000, rest in 6_u64..=86_400, is_v2: bool) {
        let version = if is_v2 { Version::V2 } else { Version::V1 };
        let key = EvmKey::from_bytes(&[seed; 32]);
        let key = match key { Ok(key) if key.address() != buyer().address() => key, _ => buyer() };
        let offer = offer().with_amount(Amount::new(amount));
        let authorization = Authorization {
            from: key.address(), value: amount.into(), nonce,
            valid_after: NOW_S - age, valid_before: NOW_S + rest, ..authorization()
        };
        let signed = sign(offer.token().as_evm().unwrap(), authorization, &key);
        let header = payload_for(version, &offer, RESOURCE, &signed).to_header();
        let payload = decode(Some(header.as_bytes()), None).unwrap().unwrap();
        let verified = verify(&payload, &[offer], ValidityWindow::at(NOW_S)).unwrap();
        prop_assert_eq!(verified.payer, key.address().into());
        prop_assert_eq!(verified.value, Amount::new(amount));
        prop_assert!(verified.proof_key.as_str().ends_with(&hex::encode(nonce)));
    }
}
