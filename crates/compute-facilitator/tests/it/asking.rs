//! `/supported` and `/verify`.

use compute_engine::ports::{Check, RailUnavailable};
use compute_wallet::EvmAddress;
use compute_x402::exact_evm::Authorization;
use compute_x402::facilitator::{Supported, VerifyClass, classify_verify};
use compute_x402::{Network, Version};
use http::StatusCode;
use serde_json::json;

use crate::double::{Desk, Double, NOW_S, SIGNER, authorization, buyer, question};

#[tokio::test]
async fn everybody_may_see_what_is_settled() {
    let desk = Desk::new(Double::new());
    let (status, answer) = desk.get("/supported").await;
    assert_eq!(status, StatusCode::OK);
    let supported = Supported::parse(answer.to_string().as_bytes()).unwrap();
    for version in [Version::V1, Version::V2] {
        assert!(supported.supports(version, &Network::BASE));
    }
    assert_eq!(answer["signers"]["eip155:*"], json!([SIGNER.to_checksum()]));
    assert_eq!(answer["extensions"], json!([]));
}

#[tokio::test]
async fn a_payment_that_would_settle_is_valid_in_both_versions() {
    for version in [Version::V1, Version::V2] {
        let desk = Desk::new(Double::new());
        let body = question(version, authorization());
        let (status, answer) = desk.post("/verify", body).await;
        let payer = buyer().address().to_checksum();
        assert_eq!((status, &answer["isValid"]), (StatusCode::OK, &json!(true)));
        assert_eq!(answer["payer"], payer);
        assert_eq!(desk.asked(), ["check"]);
    }
}

#[tokio::test]
async fn what_our_own_checks_refuse_never_reaches_the_chain() {
    let good = authorization;
    for (authorization, code) in [
        (
            Authorization {
                to: EvmAddress::new([8; 20]),
                ..good()
            },
            "invalid_payment_requirements",
        ),
        (
            Authorization {
                value: 89_u128.into(),
                ..good()
            },
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            Authorization {
                valid_before: NOW_S,
                ..good()
            },
            "invalid_exact_evm_payload_authorization_valid_before",
        ),
    ] {
        let desk = Desk::new(Double::new());
        for path in ["/verify", "/settle"] {
            let body = question(Version::V2, authorization);
            let (status, answer) = desk.post(path, body).await;
            assert_eq!(status, StatusCode::OK);
            let reason = match path {
                "/verify" => &answer["invalidReason"],
                _ => &answer["errorReason"],
            };
            assert_eq!(reason, code, "{path}");
        }
        assert_eq!(desk.asked(), [""; 0], "{code}");
    }
}

#[tokio::test]
async fn another_token_or_network_is_a_no() {
    let desk = Desk::new(Double::new());
    let own = question(Version::V2, authorization());
    for (member, value) in [
        ("network", "eip155:84532"),
        ("asset", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
    ] {
        let mut body = own.clone();
        body["paymentRequirements"][member] = json!(value);
        let (status, answer) = desk.post("/verify", body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["invalidReason"], "invalid_network");
    }
    let mut body = own;
    body["paymentRequirements"]["scheme"] = json!("upto");
    let (status, answer) = desk.post("/verify", body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["invalidReason"], "unsupported_scheme");
    assert_eq!(desk.asked(), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_request_with_an_answer() {
    let desk = Desk::new(Double::new());
    let own = question(Version::V2, authorization());
    let without = |member: &str| {
        let mut body = own.clone();
        body.as_object_mut().unwrap().remove(member);
        body.to_string()
    };
    let with = |pointer: &str, value: serde_json::Value| {
        let mut body = own.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    let deep = format!("{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for (body, code) in [
        (String::new(), "invalid_payload"),
        ("null".to_owned(), "invalid_payload"),
        (format!("{own} "), "none"),
        (format!("{own}x"), "invalid_payload"),
        (deep, "invalid_payload"),
        (" ".repeat(64 * 1024) + "{}", "invalid_payload"),
        (without("paymentPayload"), "invalid_payload"),
        (
            without("paymentRequirements"),
            "invalid_payment_requirements",
        ),
        (with("/x402Version", json!(1)), "invalid_x402_version"),
        (
            with("/paymentPayload/x402Version", json!(3)),
            "invalid_x402_version",
        ),
        (
            with("/paymentRequirements/amount", json!(90)),
            "invalid_payment_requirements",
        ),
        (
            with("/paymentRequirements/payTo", json!("0x1")),
            "invalid_payment_requirements",
        ),
    ] {
        let (status, answer) = desk.post("/verify", &body).await;
        if code == "none" {
            assert_eq!((status, &answer["isValid"]), (StatusCode::OK, &json!(true)));
            continue;
        }
        let short: String = body.chars().take(80).collect();
        let expected = match body.len() {
            0..=65_536 => StatusCode::BAD_REQUEST,
            _ => StatusCode::PAYLOAD_TOO_LARGE,
        };
        assert_eq!(status, expected, "{short}: {answer}");
        assert_eq!(answer["isValid"], false, "{short}");
        assert_eq!(answer["invalidReason"], code, "{short}");
    }
}

#[tokio::test]
async fn the_chain_has_the_last_word() {
    let code = "insufficient_funds".to_owned();
    let refusing = Double {
        check: Ok(Check::Refused { code }),
        ..Double::new()
    };
    let desk = Desk::new(refusing);
    let (status, answer) = desk
        .post("/verify", question(Version::V2, authorization()))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["invalidReason"], "insufficient_funds");
    let silent = Double {
        check: Err(RailUnavailable {
            reason: "http://node/secret".to_owned(),
        }),
        ..Double::new()
    };
    let desk = Desk::new(silent);
    let (status, answer) = desk
        .post("/verify", question(Version::V2, authorization()))
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.to_string().contains("secret"), "{answer}");
    // Our own client takes it for no verdict.
    let class = classify_verify(503, answer.to_string().as_bytes(), &Network::BASE);
    assert_eq!(class, VerifyClass::Unavailable);
}
