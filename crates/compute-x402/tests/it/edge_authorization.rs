//! Authorizations at the edges of what is good, and the identity of payments; the bad ones are rows of the catalogue.

use compute_wallet::Uint256;
use compute_x402::exact_evm::Authorization;
use compute_x402::networks::BASE_SEPOLIA_USDC;
use compute_x402::{
    Amount, PaymentPayload, ValidityWindow, VerifyError, Version, identify, verify,
};

use crate::shop::{Answer, NOW_S, PRICE, answer_to, authorization, buyer, offer, payment};

const BOTH: [Version; 2] = [Version::V1, Version::V2];

#[test]
fn the_first_and_the_last_good_second_are_good() {
    let edges = [NOW_S + 6, NOW_S + 3600, NOW_S + 86_400].map(|end| (NOW_S - 600, end));
    for (valid_after, valid_before) in edges.into_iter().chain([(NOW_S, NOW_S + 300)]) {
        for version in BOTH {
            let json = payment(
                version,
                Authorization {
                    valid_after,
                    valid_before,
                    ..authorization()
                },
            );
            let answer = answer_to(&json);
            assert!(
                matches!(answer, Answer::Accepted(_)),
                "{valid_after} {valid_before}"
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
