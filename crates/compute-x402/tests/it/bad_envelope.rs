//! Headers and envelopes that are no acceptable payment; none needs more than computing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use compute_x402::{DecodeError, Version, decode_headers};
use serde_json::{Value, json};

use crate::shop::{Answer, answer, answer_to, authorization, payment, refused, to_header};

fn v1() -> Value {
    payment(Version::V1, authorization())
}

fn v2() -> Value {
    payment(Version::V2, authorization())
}

/// Puts `value` at a JSON pointer, or removes what is there.
fn changed(mut json: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let members = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(members.insert(name.to_owned(), value)),
        None => drop(members.remove(name)),
    }
    json
}

fn check_raw(text: &[u8], status: u16, code: &str) {
    let header = STANDARD.encode(text);
    assert_eq!(answer(Some(&header), None), refused(status, code));
    assert_eq!(answer(None, Some(&header)), refused(status, code));
}

fn check(json: &Value, status: u16, code: &str) {
    assert_eq!(answer_to(json), refused(status, code), "{json}");
}

#[test]
fn the_payments_these_tests_damage_are_good() {
    assert!(matches!(answer_to(&v1()), Answer::Accepted(_)));
    assert!(matches!(answer_to(&v2()), Answer::Accepted(_)));
}

#[test]
fn an_empty_or_blank_header_is_no_payment() {
    for blank in [None, Some(""), Some("  \t ")] {
        assert_eq!(answer(blank, None), Answer::NoPayment);
        assert_eq!(answer(blank, blank), Answer::NoPayment);
        let good = to_header(&v2());
        assert!(matches!(answer(blank, Some(&good)), Answer::Accepted(_)));
    }
}

#[test]
fn what_is_not_base64_of_one_json_object_is_malformed() {
    for header in [
        "%%%",
        "eyJh IjoxfQ==",
        &URL_SAFE.encode("{\"a\":\"\u{3ff}\u{3ff}\"}"),
    ] {
        assert_eq!(
            answer(Some(header), None),
            refused(400, "invalid_payload"),
            "{header}"
        );
    }
    for text in [
        "hello",
        "null",
        "[]",
        "\"x\"",
        "42",
        "true",
        "{\"x402Version\":1",
        "{}{}",
    ] {
        check_raw(text.as_bytes(), 400, "invalid_payload");
    }
    check_raw(format!("{}x", v1()).as_bytes(), 400, "invalid_payload");
    check_raw(
        b"{\"x402Version\":1,\"a\":\"\xff\"}",
        400,
        "invalid_payload",
    );
    check_raw(
        format!("\u{feff}{}", v1()).as_bytes(),
        400,
        "invalid_payload",
    );
    check_raw(b"{}", 400, "invalid_x402_version");
}

#[test]
fn members_that_occur_twice_are_malformed() {
    check_raw(
        br#"{"x402Version":1,"x402Version":2}"#,
        400,
        "invalid_payload",
    );
    let twice = v1()
        .to_string()
        .replacen("\"value\":", "\"value\":\"1\",\"value\":", 1);
    check_raw(twice.as_bytes(), 400, "invalid_payload");
}

#[test]
fn deep_and_long_headers_are_refused_quickly() {
    check_raw("[".repeat(10_000).as_bytes(), 400, "invalid_payload");
    check_raw("{\"a\":".repeat(2_000).as_bytes(), 400, "invalid_payload");
    let crowded = format!("{{\"x402Version\":1,\"a\":[{}1]}}", "1,".repeat(5_000));
    check_raw(crowded.as_bytes(), 400, "invalid_payload");
    check_raw(&[b' '; 20_000], 400, "invalid_payload");
    check_raw(&vec![b'['; 10_000_000], 400, "invalid_payload");
}

#[test]
fn versions_other_than_1_and_2_are_refused() {
    for version in [
        "0", "3", "-1", "1.5", "1.0", "null", "true", "\"1\"", "1e30", "[1]",
    ] {
        let text = v2()
            .to_string()
            .replace("\"x402Version\":2", &format!("\"x402Version\":{version}"));
        check_raw(text.as_bytes(), 400, "invalid_x402_version");
    }
    let huge = v2().to_string().replace(
        "\"x402Version\":2",
        "\"x402Version\":1000000000000000000000000000000",
    );
    check_raw(huge.as_bytes(), 400, "invalid_x402_version");
    check(
        &changed(v2(), "/x402Version", None),
        400,
        "invalid_x402_version",
    );
}

#[test]
fn a_shape_of_the_other_version_is_malformed() {
    check(
        &changed(v1(), "/x402Version", Some(2.into())),
        400,
        "invalid_payload",
    );
    check(
        &changed(v2(), "/x402Version", Some(1.into())),
        400,
        "invalid_payload",
    );
}

#[test]
fn two_headers_must_be_identical() {
    let (first, second) = (to_header(&v1()), to_header(&v2()));
    assert!(matches!(
        answer(Some(&first), Some(&first)),
        Answer::Accepted(_)
    ));
    assert!(matches!(
        answer(Some(&second), Some(&second)),
        Answer::Accepted(_)
    ));
    assert_eq!(
        answer(Some(&first), Some(&second)),
        refused(400, "invalid_payload")
    );
}

#[test]
fn a_header_sent_twice_is_refused_even_when_equal() {
    let header = to_header(&v1());
    let bytes = header.as_bytes();
    assert_eq!(
        decode_headers([bytes, bytes], []).err(),
        Some(DecodeError::HeaderRepeated)
    );
    assert_eq!(
        decode_headers([], [bytes, b""]).err(),
        Some(DecodeError::HeaderRepeated)
    );
    assert!(decode_headers([bytes], [bytes]).unwrap().is_some());
    assert!(decode_headers([], []).unwrap().is_none());
}

#[test]
fn only_the_scheme_exact_is_supported() {
    for scheme in ["upto", "Exact", "EXACT", "", "exact "] {
        check(
            &changed(v1(), "/scheme", Some(scheme.into())),
            402,
            "unsupported_scheme",
        );
        check(
            &changed(v2(), "/accepted/scheme", Some(scheme.into())),
            402,
            "unsupported_scheme",
        );
    }
    check(&changed(v1(), "/scheme", None), 402, "unsupported_scheme");
    check(
        &changed(v2(), "/accepted/scheme", None),
        402,
        "unsupported_scheme",
    );
    check(
        &changed(v1(), "/scheme", Some(1.into())),
        400,
        "invalid_payload",
    );
}

#[test]
fn only_offered_networks_are_valid() {
    for network in [
        "base-goerli",
        "base-sepolia",
        "Base",
        "eip155:84532",
        "eip155:08453",
        "eip155:+8453",
        "eip155:9999999999999999999999999999999999999999",
        "solana",
        "",
    ] {
        check(
            &changed(v1(), "/network", Some(network.into())),
            402,
            "invalid_network",
        );
        check(
            &changed(v2(), "/accepted/network", Some(network.into())),
            402,
            "invalid_network",
        );
    }
    check(
        &changed(v2(), "/accepted/network", Some("base".into())),
        402,
        "invalid_network",
    );
    check(&changed(v1(), "/network", None), 402, "invalid_network");
    let caip2 = changed(v1(), "/network", Some("eip155:8453".into()));
    assert!(matches!(answer_to(&caip2), Answer::Accepted(_)));
}

#[test]
fn the_payload_must_be_an_authorization_and_nothing_besides() {
    for payload in [
        None,
        Some(Value::Null),
        Some(json!({})),
        Some(json!([])),
        Some("x".into()),
    ] {
        check(
            &changed(v1(), "/payload", payload.clone()),
            400,
            "invalid_payload",
        );
        check(&changed(v2(), "/payload", payload), 400, "invalid_payload");
    }
    for other in [
        "transaction",
        "permit",
        "permit2Authorization",
        "permitSignature",
    ] {
        let both = changed(v1(), &format!("/payload/{other}"), Some("AAAA".into()));
        check(&both, 400, "invalid_payload");
        let alone = changed(v1(), "/payload", Some(json!({ other: "AAAA" })));
        check(&alone, 400, "invalid_payload");
    }
    check(
        &changed(v1(), "/payload", Some(json!({"foo": 1}))),
        400,
        "invalid_payload",
    );
}

#[test]
fn the_echoed_offer_must_be_there_and_ours() {
    for accepted in [
        None,
        Some(Value::Null),
        Some(json!([])),
        Some("exact".into()),
    ] {
        check(
            &changed(v2(), "/accepted", accepted),
            400,
            "invalid_payload",
        );
    }
    let other = "0x5555555555555555555555555555555555555555";
    for (pointer, value) in [
        ("/accepted/amount", json!("1")),
        ("/accepted/amount", json!("090000000")),
        ("/accepted/amount", json!(90_000_000)),
        ("/accepted/payTo", json!(other)),
        ("/accepted/asset", json!(other)),
        ("/accepted/maxTimeoutSeconds", json!(301)),
        ("/accepted/maxTimeoutSeconds", json!("300")),
        ("/accepted/extra/name", json!("USDC")),
        ("/accepted/extra/version", json!("1")),
        ("/accepted/extra", json!(null)),
    ] {
        check(
            &changed(v2(), pointer, Some(value)),
            402,
            "invalid_payment_requirements",
        );
    }
    for pointer in [
        "/accepted/amount",
        "/accepted/payTo",
        "/accepted/asset",
        "/accepted/extra",
    ] {
        check(
            &changed(v2(), pointer, None),
            402,
            "invalid_payment_requirements",
        );
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
        changed(v2(), "/resource", None),
        changed(v2(), "/resource", Some(Value::Null)),
        changed(
            v2(),
            "/resource/url",
            Some("https://elsewhere.example/".into()),
        ),
        changed(v2(), "/extensions", Some(Value::Null)),
        changed(
            changed(v2(), "/scheme", Some("exact".into())),
            "/network",
            Some("x".into()),
        ),
    ] {
        assert!(matches!(answer_to(&json), Answer::Accepted(_)), "{json}");
    }
}

#[test]
fn extensions_are_an_object_and_a_payment_id_has_16_to_128_characters() {
    for extensions in [json!([]), json!("x"), json!(1)] {
        check(
            &changed(v2(), "/extensions", Some(extensions)),
            400,
            "invalid_payload",
        );
    }
    check(
        &changed(v2(), "/resource", Some("https://x.example".into())),
        400,
        "invalid_payload",
    );
    let with_id = |id: Value| {
        changed(
            v2(),
            "/extensions",
            Some(json!({"payment-identifier": {"info": {"id": id}}})),
        )
    };
    for id in [
        json!("abc"),
        json!("a".repeat(129)),
        json!("sixteen chars !!"),
        json!(7),
    ] {
        check(&with_id(id), 400, "invalid_payload");
    }
    for id in ["sixteen-chars_ok", &"a".repeat(128)] {
        assert!(matches!(
            answer_to(&with_id(id.into())),
            Answer::Accepted(_)
        ));
    }
}
