//! `/settle`.

use compute_domain::payment::Evidence;
use compute_engine::ports::{RailUnavailable, Settlement};
use compute_x402::facilitator::{SettleClass, UnknownReason, classify_settle};
use compute_x402::{Network, Version};
use http::StatusCode;
use serde_json::json;

use crate::double::{Desk, Double, authorization, buyer, question};

const HASH: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

fn settling(settlement: Settlement) -> Desk {
    Desk::new(Double {
        settlement,
        ..Double::new()
    })
}

fn settled() -> Settlement {
    Settlement::Settled(Evidence {
        reference: HASH.to_owned(),
        log_index: Some(3),
    })
}

#[tokio::test]
async fn a_settlement_is_named_with_its_transaction_and_network() {
    for (version, network) in [(Version::V1, "base"), (Version::V2, "eip155:8453")] {
        let desk = settling(settled());
        let (status, answer) = desk
            .post("/settle", question(version, authorization()))
            .await;
        assert_eq!(status, StatusCode::OK);
        let expected = json!({
            "success": true, "transaction": HASH, "network": network, "amount": "90",
            "payer": buyer().address().to_checksum(),
        });
        assert_eq!(answer, expected);
        // The proof names the payment, whatever the version.
        let nonce = "04".repeat(32);
        let asked = desk.asked();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].ends_with(&format!(":0x{nonce}")), "{asked:?}");
        let class = classify_settle(200, answer.to_string().as_bytes(), &Network::BASE);
        assert!(matches!(class, SettleClass::Settled { .. }), "{class:?}");
    }
}

#[tokio::test]
async fn one_payment_is_settled_for_one_request() {
    let desk = settling(settled());
    let body = question(Version::V2, authorization());
    let (_, answer) = desk.post("/settle", &body).await;
    assert_eq!(answer["success"], true);
    for version in [Version::V2, Version::V1] {
        let (status, answer) = desk
            .post("/settle", question(version, authorization()))
            .await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["success"], false);
        assert_eq!(answer["errorReason"], "duplicate_settlement");
    }
    assert_eq!(desk.asked().len(), 1);
}

#[tokio::test]
async fn an_unknown_outcome_is_pending_and_names_what_was_sent() {
    let desk = settling(Settlement::Unknown {
        reason: "secret".to_owned(),
    });
    let (status, answer) = desk
        .post("/settle", question(Version::V2, authorization()))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["success"], false);
    assert_eq!(answer["errorReason"], "settlement_pending");
    assert_eq!(answer["transaction"], "0xabc");
    assert!(!answer.to_string().contains("secret"));
    let class = classify_settle(200, answer.to_string().as_bytes(), &Network::BASE);
    let is_pending = matches!(
        class,
        SettleClass::Unknown {
            reason: UnknownReason::Pending,
            ..
        }
    );
    assert!(is_pending, "{class:?}");
}

#[tokio::test]
async fn a_refusal_and_a_failure_to_send_differ() {
    let desk = settling(Settlement::Declined {
        code: "insufficient_funds".to_owned(),
    });
    let body = question(Version::V2, authorization());
    let (status, answer) = desk.post("/settle", &body).await;
    assert_eq!(
        (status, &answer["errorReason"]),
        (StatusCode::OK, &json!("insufficient_funds"))
    );
    assert_eq!(answer["transaction"], "");
    let desk = settling(Settlement::NotSent {
        reason: "secret".to_owned(),
    });
    let (status, answer) = desk.post("/settle", &body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["success"], false);
    assert!(!answer.to_string().contains("secret"));
    // Never taken for a definite no by a client.
    let class = classify_settle(503, answer.to_string().as_bytes(), &Network::BASE);
    assert!(matches!(class, SettleClass::Unknown { .. }), "{class:?}");
}

#[tokio::test]
async fn a_contract_must_vouch_for_its_signature_before_anything_is_sent() {
    let mut body = question(Version::V2, authorization());
    body["paymentPayload"]["payload"]["signature"] = json!(format!("0x{}", "ab".repeat(97)));
    for (vouches, status, code) in [
        (Ok(true), StatusCode::OK, None),
        (
            Ok(false),
            StatusCode::OK,
            Some("invalid_exact_evm_payload_signature"),
        ),
        (
            Err(RailUnavailable {
                reason: "away".to_owned(),
            }),
            StatusCode::SERVICE_UNAVAILABLE,
            Some("unexpected_settle_error"),
        ),
    ] {
        let desk = Desk::new(Double {
            vouches,
            settlement: settled(),
            ..Double::new()
        });
        let (found, answer) = desk.post("/settle", &body).await;
        assert_eq!(found, status);
        assert_eq!(answer["success"], code.is_none());
        if let Some(code) = code {
            assert_eq!(answer["errorReason"], code);
            assert_eq!(desk.asked(), ["vouch"]);
        }
    }
}
