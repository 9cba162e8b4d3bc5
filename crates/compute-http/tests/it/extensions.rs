//! What a shop adds to challenges and settlements when its operator wants it.

use std::sync::Arc;

use compute_http::Settings;
use compute_wallet::{EvmKey, EvmSignature, recover_digest};
use compute_x402::SettlementResponse;
use compute_x402::offer_receipt::ReceiptIssuer;
use serde_json::{Map, Value, json};

use crate::shop::{ORDER, Shop, URL, extend_path, settings};
use crate::visitor::{TOPUP, Visitor};

async fn open(bazaar: bool, signs: bool) -> Shop {
    let key = || EvmKey::from_bytes(&[1; 32]).unwrap();
    Shop::open_with(Settings {
        bazaar,
        issuer: signs.then(|| Arc::new(ReceiptIssuer::new(key()))),
        ..settings()
    })
    .await
}

async fn challenge(shop: &Shop, path: &str, body: &str) -> Map<String, Value> {
    let asked = shop.ask_at(path, body).await;
    let header = asked.header("payment-required").unwrap();
    // Node refuses more than 16 KiB of headers in all.
    assert!(header.len() < 8_000, "{} bytes", header.len());
    compute_x402::header::decode(header.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_route_says_how_it_is_called_only_when_asked_to() {
    for (bazaar, count) in [(false, 1), (true, 2)] {
        let shop = open(bazaar, false).await;
        let required = challenge(&shop, "/compute/provision", ORDER).await;
        let extensions = required["extensions"].as_object().unwrap();
        assert_eq!(extensions.len(), count);
        assert_eq!(extensions.contains_key("bazaar"), bazaar);
    }
}

#[tokio::test]
async fn the_example_of_a_route_is_a_request_that_it_takes() {
    let shop = open(true, false).await;
    let path = "/compute/provision";
    let required = challenge(&shop, path, ORDER).await;
    let input = &required["extensions"]["bazaar"]["info"]["input"];
    assert_eq!(
        (&input["type"], &input["method"]),
        (&json!("http"), &json!("POST"))
    );
    let asked = shop.ask_at(path, &input["body"].to_string()).await;
    assert_eq!(asked.status, 402, "{asked:?}");
    // What the schema calls known is known, and what it requires is required.
    let schema = &required["extensions"]["bazaar"]["schema"]["properties"]["input"];
    let schema = &schema["properties"]["body"];
    let known = schema["properties"].as_object().unwrap();
    for member in known.keys() {
        let mut body = input["body"].clone();
        body[member] = json!({});
        let refused = shop.ask_at(path, &body.to_string()).await;
        assert_eq!(refused.status, 400, "{member}");
        assert!(!refused.body.contains("unknown field"), "{refused:?}");
    }
    for required in schema["required"].as_array().unwrap() {
        let mut body = input["body"].clone();
        let members = body.as_object_mut().unwrap();
        members.remove(required.as_str().unwrap());
        let asked = shop.ask_at(path, &body.to_string()).await;
        assert_eq!(asked.status, 400, "without {required}");
    }
}

#[tokio::test]
async fn more_time_and_credits_say_how_they_are_asked_for_too() {
    let shop = open(true, false).await;
    let visitor = Visitor::new(1);
    let path = extend_path(&visitor.machine(&shop).await);
    let required = challenge(&shop, &path, "").await;
    let bazaar = &required["extensions"]["bazaar"];
    assert_eq!(bazaar["routeTemplate"], "/compute/instances/:id/extend");
    let body = bazaar["info"]["input"]["body"].to_string();
    assert_eq!(shop.ask_at(&path, &body).await.status, 402);
    let asked = visitor.post(&shop, TOPUP, r#"{"amount":2}"#).await;
    let header = asked.header("payment-required").unwrap();
    let required: Map<String, Value> = compute_x402::header::decode(header.as_bytes()).unwrap();
    let body = &required["extensions"]["bazaar"]["info"]["input"]["body"];
    let asked = visitor.post(&shop, TOPUP, &body.to_string()).await;
    assert_eq!(asked.status, 402, "{asked:?}");
}

#[tokio::test]
async fn offers_and_receipts_are_signed_when_there_is_a_key() {
    let shop = open(false, true).await;
    let required = challenge(&shop, "/compute/provision", ORDER).await;
    let signed = required["extensions"]["offer-receipt"]["info"]["offers"]
        .as_array()
        .unwrap();
    let accepts = required["accepts"].as_array().unwrap();
    assert_eq!(signed.len(), accepts.len());
    for (index, (signed, offer)) in signed.iter().zip(accepts).enumerate() {
        assert_eq!(signed["acceptIndex"], index);
        for member in ["scheme", "network", "asset", "payTo", "amount"] {
            assert_eq!(signed["payload"][member], offer[member], "{member}");
        }
        assert_eq!(
            signed["payload"]["resourceUrl"],
            required["resource"]["url"]
        );
    }
    let bought = Visitor::new(1).buy(&shop).await;
    let header = bought.header("payment-response").unwrap();
    let settled = SettlementResponse::decode(header.as_bytes()).unwrap();
    let receipt = &settled.extensions.as_ref().unwrap()["offer-receipt"]["info"]["receipt"];
    assert_eq!(
        receipt["payload"]["transaction"],
        settled.transaction.as_ref()
    );
    assert_eq!(
        receipt["payload"]["payer"],
        settled.payer.as_deref().unwrap()
    );
    let url = format!("{URL}/compute/provision");
    assert_eq!(receipt["payload"]["resourceUrl"], url);
    // A signature by somebody: whose it is over which bytes, the vectors of the protocol crate tell.
    let signature = EvmSignature::parse(receipt["signature"].as_str().unwrap()).unwrap();
    assert!(recover_digest(&[1; 32], &signature).is_ok());
}
