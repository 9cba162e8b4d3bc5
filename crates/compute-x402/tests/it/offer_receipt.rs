//! Signed offers and receipts, byte for byte as the published library makes them.

use std::sync::Arc;

use compute_wallet::{EvmKey, WalletAddress};
use compute_x402::networks::BASE_USDC;
use compute_x402::offer_receipt::ReceiptIssuer;
use compute_x402::{Amount, Network, Offer, Recipient, SettlementHeaders, SettlementResponse};
use serde_json::{Value, json};

use crate::shop::address;

const VECTORS: &str = include_str!("../fixtures/offer-receipt.json");

fn vectors() -> (Value, ReceiptIssuer) {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let key = EvmKey::from_hex(vectors["key"].as_str().unwrap()).unwrap();
    let issuer = ReceiptIssuer::new(key);
    let signer = issuer.address().to_checksum();
    assert_eq!(vectors["signer"], signer);
    (vectors, issuer)
}

#[test]
fn an_offer_is_signed_as_the_published_library_signs_it() {
    let (vectors, issuer) = vectors();
    let expected = &vectors["offer"];
    let pay_to = address(expected["payload"]["payTo"].as_str().unwrap());
    let token = Arc::new(BASE_USDC.eip3009_terms().unwrap());
    let offer = Offer::new(token, Recipient::new(pay_to), Amount::new(90_000_000), 300);
    let url = expected["payload"]["resourceUrl"].as_str().unwrap();
    let extension = issuer.offers([&offer, &offer], url, 1_767_225_900);
    let offers = extension["info"]["offers"].as_array().unwrap();
    assert_eq!(offers.len(), 2);
    for (index, signed) in offers.iter().enumerate() {
        assert_eq!(signed["format"], "eip712");
        assert_eq!(signed["acceptIndex"], index);
        assert_eq!(signed["payload"], expected["payload"]);
        assert_eq!(signed["signature"], expected["signature"]);
    }
}

#[test]
fn a_receipt_is_signed_as_the_published_library_signs_it() {
    let (vectors, issuer) = vectors();
    let expected = &vectors["receipt"];
    let text = |name: &str| expected["payload"][name].as_str().unwrap();
    let payer = WalletAddress::Evm(address(text("payer")));
    let (url, transaction) = (text("resourceUrl"), text("transaction"));
    let extension = issuer.receipt(&Network::BASE, url, &payer, 1_767_225_600, transaction);
    let signed = &extension["info"]["receipt"];
    assert_eq!(signed["payload"], expected["payload"]);
    assert_eq!(signed["signature"], expected["signature"]);
    let headers = SettlementHeaders::settled(&Network::BASE, transaction, &payer);
    let v1 = headers.x_payment_response.clone();
    let headers = headers.with_extensions(json!({ "offer-receipt": extension }));
    let read = SettlementResponse::decode(headers.payment_response.as_bytes()).unwrap();
    assert!(read.success);
    let receipt = &read.extensions.unwrap()["offer-receipt"]["info"]["receipt"];
    assert_eq!(receipt["signature"], expected["signature"]);
    // Clients of version 1 know no extensions.
    assert_eq!(headers.x_payment_response, v1);
}
