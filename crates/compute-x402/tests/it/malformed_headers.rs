//! Every raw header of `malformed-headers.json`, against two sellers.

use serde_json::Value;

use crate::shop::{self, Answer};
use compute_x402::{Offer, Recipient};

const CASES: &str = include_str!("../fixtures/malformed-headers.json");

/// The payments of the file are made to `0x3333…` and expire in 2100.
const PAY_TO: &str = "0x3333333333333333333333333333333333333333";
const JUST_BEFORE_EXPIRY_S: u64 = 4_102_444_800 - 300;

fn cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(CASES).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn check_all(offers: &[Offer], now_s: u64) {
    assert_eq!(cases().len(), 105);
    for case in cases() {
        let value = case["value"].as_str();
        let answer = match case["header"].as_str() {
            Some("X-PAYMENT") => shop::answer_at(offers, now_s, value, None),
            Some("PAYMENT-SIGNATURE") => shop::answer_at(offers, now_s, None, value),
            other => panic!("unknown header {other:?}"),
        };
        let (status, code) = match answer {
            Answer::NoPayment => (402, "payment_required".to_owned()),
            Answer::Refused { status, code } => (status, code),
            Answer::Accepted(_) => panic!("{} was accepted", case["id"]),
        };
        let permits = |list: &Value, wanted: Value| {
            let list = list.as_array().unwrap();
            list.contains(&wanted) || list.contains(&Value::from("*"))
        };
        assert!(
            permits(&case["expected"]["status"], status.into()),
            "{}: {status}",
            case["id"]
        );
        assert!(
            permits(&case["expected"]["error"], code.clone().into()),
            "{}: {code}",
            case["id"]
        );
    }
}

#[test]
fn a_seller_that_is_not_the_recipient_refuses_them_all() {
    check_all(&[shop::offer()], shop::NOW_S);
}

#[test]
fn the_recipient_refuses_them_all_while_they_are_valid() {
    let token = std::sync::Arc::new(shop::offer().token().clone());
    let pay_to = Recipient::new(shop::address(PAY_TO));
    let offer = Offer::new(token, pay_to, shop::offer().amount(), 300);
    check_all(&[offer], JUST_BEFORE_EXPIRY_S);
}
