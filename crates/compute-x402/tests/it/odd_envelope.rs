//! Headers and envelopes that look odd and are good; those that are bad are rows of the catalogue.

use compute_x402::decode_headers;
use serde_json::{Value, json};

use crate::catalogue::changed;
use crate::catalogue::envelope::{v1, v2};
use crate::shop::{Answer, answer, answer_to, refused, to_header};

fn check_accepted(json: &Value) {
    assert!(matches!(answer_to(json), Answer::Accepted(_)), "{json}");
}

#[test]
fn the_payments_these_tests_damage_are_good() {
    check_accepted(&v1());
    check_accepted(&v2());
}

#[test]
fn a_blank_header_beside_a_payment_is_no_payment() {
    let good = to_header(&v2());
    for blank in [None, Some(""), Some("  \t ")] {
        assert_eq!(answer(blank, None), Answer::NoPayment);
        assert!(matches!(answer(blank, Some(&good)), Answer::Accepted(_)));
    }
}

#[test]
fn two_identical_headers_are_one_payment() {
    for json in [v1(), v2()] {
        let header = to_header(&json);
        let answer = answer(Some(&header), Some(&header));
        assert!(matches!(answer, Answer::Accepted(_)));
        let bytes = header.as_bytes();
        assert!(decode_headers([bytes], [bytes]).unwrap().is_some());
    }
    assert!(decode_headers([], []).unwrap().is_none());
}

#[test]
fn either_name_of_a_network_is_good_in_version_1() {
    check_accepted(&changed(v1(), "/network", Some("eip155:8453".into())));
}

#[test]
fn a_scheme_or_network_of_another_type_is_malformed() {
    for pointer in ["/scheme", "/network"] {
        let json = changed(v1(), pointer, Some(1.into()));
        assert_eq!(answer_to(&json), refused(400, "invalid_payload"));
    }
}

#[test]
fn an_echo_may_say_the_same_in_other_letters_and_say_more() {
    let lower = |pointer: &str| {
        let json = v2();
        let text = json
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_lowercase();
        changed(json, pointer, Some(text.into()))
    };
    for json in [
        lower("/accepted/asset"),
        lower("/accepted/payTo"),
        changed(v2(), "/accepted/extra/recentBlockhash", Some("x".into())),
        changed(v2(), "/accepted/more", Some(json!([1]))),
        changed(v2(), "/extensions", Some(Value::Null)),
        changed(
            changed(v2(), "/scheme", Some("exact".into())),
            "/network",
            Some("x".into()),
        ),
    ] {
        check_accepted(&json);
    }
}

#[test]
fn a_payment_id_has_16_to_128_characters() {
    for id in ["sixteen-chars_ok", &"a".repeat(128)] {
        let extension = json!({"payment-identifier": {"info": {"id": id}}});
        check_accepted(&changed(v2(), "/extensions", Some(extension)));
    }
}
