use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_x402::challenge::payment_identifier_extension;
use compute_x402::networks::BASE_SEPOLIA_USDC;
use compute_x402::{Amount, Challenge, ErrorCode, Offer, Recipient, Resource};
use serde_json::{Value, json};

use crate::shop::{PAY_TO, RESOURCE, address, offer};

const REQUIRED: ErrorCode = ErrorCode::PaymentRequired;

fn sepolia_offer() -> Offer {
    let token = std::sync::Arc::new(BASE_SEPOLIA_USDC.eip3009_terms().unwrap());
    Offer::new(
        token,
        Recipient::new(address(PAY_TO)),
        Amount::new(10_000),
        300,
    )
}

fn header(challenge: &Challenge<'_>, network: &str) -> Value {
    let bytes = STANDARD
        .decode(challenge.payment_required(network))
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn the_version_1_body_is_exactly_what_old_clients_read() {
    let offers = [offer()];
    let body = Challenge::new(RESOURCE, &offers, &REQUIRED);
    let text = serde_json::to_string(&body.v1_body("base")).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"x402Version":1,"error":"payment_required","accepts":[{"scheme":"exact","#,
            r#""network":"base","maxAmountRequired":"90000000","#,
            r#""asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","#,
            r#""payTo":"0x60555990d56622d2D39dCd444404Ef8e596e370E","#,
            r#""resource":"https://compute.example/compute/provision","#,
            r#""description":"720 h of vc2-1c-1gb","mimeType":"application/json","#,
            r#""maxTimeoutSeconds":300,"extra":{"name":"USD Coin","version":"2"}}]}"#
        )
    );
}

#[test]
fn the_version_2_header_carries_the_resource_once() {
    let offers = [offer()];
    let challenge = Challenge::new(RESOURCE, &offers, &REQUIRED);
    assert_eq!(
        header(&challenge, "base"),
        json!({
            "x402Version": 2,
            "error": "payment_required",
            "resource": {
                "url": "https://compute.example/compute/provision",
                "description": "720 h of vc2-1c-1gb",
                "mimeType": "application/json",
            },
            "accepts": [{
                "scheme": "exact",
                "network": "eip155:8453",
                "amount": "90000000",
                "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
                "payTo": "0x60555990d56622d2D39dCd444404Ef8e596e370E",
                "maxTimeoutSeconds": 300,
                "extra": {"name": "USD Coin", "version": "2"},
            }],
            "extensions": {},
        })
    );
}

#[test]
fn version_1_lists_the_asked_network_only_and_version_2_lists_it_first() {
    let offers = [offer(), sepolia_offer()];
    let challenge = Challenge::new(RESOURCE, &offers, &REQUIRED);
    for (network, first) in [("base", 0), ("base-sepolia", 1), ("eip155:84532", 1)] {
        let body = serde_json::to_value(challenge.v1_body(network)).unwrap();
        let accepts = body["accepts"].as_array().unwrap();
        assert_eq!(accepts.len(), 1);
        assert_eq!(accepts[0]["network"], offers[first].network().v1_name());
        let accepts = header(&challenge, network)["accepts"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(accepts.len(), 2);
        assert_eq!(accepts[0]["network"], offers[first].network().caip2());
    }
    let body = serde_json::to_value(challenge.v1_body("megaeth")).unwrap();
    assert_eq!(body["accepts"], json!([]));
    assert_eq!(
        header(&challenge, "megaeth")["accepts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn long_descriptions_are_cut_at_500_characters() {
    let description = "é".repeat(600);
    let offers = [offer()];
    let resource = Resource {
        description: &description,
        ..RESOURCE
    };
    let challenge = Challenge::new(resource, &offers, &REQUIRED);
    let cut = "é".repeat(500);
    assert_eq!(
        header(&challenge, "base")["resource"]["description"],
        cut.as_str()
    );
    let body = serde_json::to_value(challenge.v1_body("base")).unwrap();
    assert_eq!(body["accepts"][0]["description"], cut.as_str());
}

#[test]
fn the_header_stays_below_8000_bytes_with_an_extension_and_six_offers() {
    let offers = std::array::from_fn::<_, 6, _>(|_| offer());
    let extensions = payment_identifier_extension();
    let challenge =
        Challenge::new(RESOURCE, &offers, &ErrorCode::EvmSignature).with_extensions(&extensions);
    let value = challenge.payment_required("base");
    assert!(value.len() < 8_000, "{}", value.len());
    let json = header(&challenge, "base");
    assert_eq!(json["error"], "invalid_exact_evm_payload_signature");
    assert_eq!(
        json["extensions"]["payment-identifier"]["info"]["required"],
        false
    );
}
