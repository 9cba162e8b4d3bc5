//! Client, server and facilitator of this crate, talking to each other.

use compute_x402::challenge::payment_identifier_extension;
use compute_x402::client::PaymentRequired;
use compute_x402::discovery::{BAZAAR, bazaar_extension};
use compute_x402::facilitator::request_body;
use compute_x402::offer_receipt::{OFFER_RECEIPT, ReceiptIssuer};
use compute_x402::permit2::{SPONSORING_EXTENSION, sponsoring_extension};
use compute_x402::{
    Challenge, DecodeError, ErrorCode, PaymentPayload, ValidityWindow, Version, decode, header,
    verify,
};
use serde_json::{Map, Value, json};

use crate::shop::{NOW_S, RESOURCE, authorization, buyer, offer, payment, to_header};

fn challenge_body() -> Vec<u8> {
    let offers = [offer()];
    let challenge = Challenge::new(RESOURCE, &offers, &ErrorCode::PaymentRequired);
    serde_json::to_vec(&challenge.v1_body("base")).unwrap()
}

fn challenge_header() -> String {
    let offers = [offer()];
    Challenge::new(RESOURCE, &offers, &ErrorCode::PaymentRequired).payment_required("base")
}

fn pay(required: &PaymentRequired) -> PaymentPayload {
    assert_eq!(required.error(), Some("payment_required"));
    let [chosen] = required.offers() else {
        panic!("one offer")
    };
    assert_eq!(chosen.amount(), offer().amount());
    assert_eq!(chosen.token().asset(), offer().token().asset());
    required.pay(chosen, &buyer(), [9; 32], NOW_S)
}

#[test]
fn a_client_pays_what_the_challenge_asks_in_both_versions() {
    let v1 = pay(&PaymentRequired::from_body(&challenge_body()).unwrap());
    let v2 = pay(&PaymentRequired::from_header(challenge_header().as_bytes()).unwrap());
    assert_eq!(
        (v1.header_name(), v2.header_name()),
        ("x-payment", "payment-signature")
    );
    for sent in [v1, v2] {
        let header = sent.to_header();
        let received = decode(None, Some(header.as_bytes())).unwrap().unwrap();
        assert_eq!(received, sent);
        let verified = verify(&received, &[offer()], ValidityWindow::at(NOW_S)).unwrap();
        assert_eq!(verified.payer, buyer().address().into());
        assert_eq!(verified.valid_before, NOW_S + 300);
    }
}

/// Who asks for years gets an hour: a payment that seems to have failed is not taken up much later.
#[test]
fn a_client_signs_for_an_hour_at_most() {
    let mut body: Value = serde_json::from_slice(&challenge_body()).unwrap();
    body["accepts"][0]["maxTimeoutSeconds"] = 31_536_000.into();
    let required = PaymentRequired::from_body(body.to_string().as_bytes()).unwrap();
    let payment = required.pay(&required.offers()[0], &buyer(), [9; 32], NOW_S);
    let verified = verify(&payment, &[offer()], ValidityWindow::at(NOW_S)).unwrap();
    assert_eq!(verified.valid_before, NOW_S + 3_600);
}

#[test]
fn one_authorization_is_one_proof_in_every_spelling() {
    let keys = [Version::V1, Version::V2].map(|version| {
        let text = payment(version, authorization()).to_string();
        let upper = text.replace(&"04".repeat(32), &"04".repeat(32).to_uppercase());
        let payload = PaymentPayload::from_json(serde_json::from_str(&upper).unwrap()).unwrap();
        verify(&payload, &[offer()], ValidityWindow::at(NOW_S))
            .unwrap()
            .proof_key
    });
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_client_leaves_out_what_it_cannot_pay() {
    let mut body: Value = serde_json::from_slice(&challenge_body()).unwrap();
    let good = body["accepts"][0].clone();
    let changed = |pointer: &str, value: Value| {
        let mut offer = good.clone();
        *offer.pointer_mut(pointer).unwrap() = value;
        offer
    };
    let mut permit2 = good.clone();
    permit2["extra"]["assetTransferMethod"] = "permit2".into();
    body["accepts"] = json!([
        changed("/scheme", "upto".into()),
        changed("/network", "solana".into()),
        changed("/network", "unknown".into()),
        changed("/maxAmountRequired", "1.5".into()),
        changed("/extra", Value::Null),
        changed("/payTo", "me".into()),
        permit2,
        7,
        good,
    ]);
    let required = PaymentRequired::from_body(body.to_string().as_bytes()).unwrap();
    assert_eq!(required.offers().len(), 1);
}

#[test]
fn a_client_refuses_what_is_no_challenge() {
    assert_eq!(PaymentRequired::from_body(b"{}"), Err(DecodeError::Version));
    assert!(PaymentRequired::from_body(b"<html>").is_err());
    assert!(PaymentRequired::from_header(b"%%%").is_err());
    let no_list = PaymentRequired::from_body(br#"{"x402Version":1}"#);
    assert_eq!(no_list, Err(DecodeError::Member("accepts")));
    let other = PaymentRequired::from_body(br#"{"x402Version":2,"accepts":[]}"#);
    assert_eq!(other, Err(DecodeError::Version));
}

#[test]
fn a_client_refuses_an_extension_that_no_payment_may_echo() {
    let mut json = header::decode(challenge_header().as_bytes()).unwrap();
    let mut read = |extensions: Value| {
        json.insert("extensions".to_owned(), extensions);
        PaymentRequired::from_header(to_header(&json.clone().into()).as_bytes())
    };
    let with_id = |id: Value| json!({"payment-identifier": {"info": {"id": id}}});
    for id in [json!("short"), json!(7), Value::Null] {
        let refused = Err(DecodeError::Member("extensions.payment-identifier"));
        assert_eq!(read(with_id(id)), refused);
    }
    // What is no object is no extension: it is left out of the payment.
    for extensions in [with_id(json!("sixteen-chars_ok")), json!([1]), json!("x")] {
        let sent = pay(&read(extensions.clone()).unwrap());
        let echo = sent.to_json().get("extensions").cloned();
        assert_eq!(echo, Some(extensions).filter(Value::is_object));
    }
}

#[test]
fn a_stored_payment_is_the_same_payment() {
    for version in [Version::V1, Version::V2] {
        let mut json = payment(version, authorization());
        json["anything"] = json!({"more": [1, 2.5, null]});
        let payload = PaymentPayload::from_json(json.clone()).unwrap();
        assert_eq!(payload.to_json(), json);
        assert_eq!(
            PaymentPayload::from_json(payload.to_json()).unwrap(),
            payload
        );
    }
}

// Found by fuzzing: without care the nearest number that is read is not the one that was written.
#[test]
fn a_payment_with_an_awkward_number_reads_back_as_itself() {
    let mut json = payment(Version::V2, authorization());
    for bits in (0..2_000_u64).map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
        let number = f64::from_bits(bits);
        if number.is_finite() {
            json["anything"] = json!(number);
            let sent = PaymentPayload::from_json(json.clone()).unwrap();
            let read = decode(None, Some(sent.to_header().as_bytes())).unwrap();
            assert_eq!(read, Some(sent), "{number:e}");
        }
    }
}

#[test]
fn debug_shows_no_signature() {
    let payload = PaymentPayload::from_json(payment(Version::V1, authorization())).unwrap();
    let text = format!("{payload:?}");
    assert_eq!(
        text,
        r#"PaymentPayload { version: V1, network: "base", .. }"#
    );
}

#[test]
fn a_facilitator_gets_our_offer_and_a_signature_tokens_accept() {
    let mut json = payment(Version::V1, authorization());
    let signature = json["payload"]["signature"].as_str().unwrap().to_owned();
    let v = u8::from_str_radix(&signature[130..], 16).unwrap();
    json["payload"]["signature"] = format!("{}{:02x}", &signature[..130], v - 27).into();
    json["network"] = "eip155:8453".into();
    let payload = PaymentPayload::from_json(json).unwrap();

    let v1 = request_body(Version::V1, &payload, &offer(), RESOURCE);
    assert_eq!(v1["x402Version"], 1);
    assert_eq!(v1["paymentPayload"], payment(Version::V1, authorization()));
    assert_eq!(v1["paymentRequirements"]["maxAmountRequired"], "90000000");
    assert_eq!(v1["paymentRequirements"]["resource"], RESOURCE.url);

    let v2 = request_body(Version::V2, &payload, &offer(), RESOURCE);
    assert_eq!(v2["paymentPayload"], payment(Version::V2, authorization()));
    assert_eq!(v2["paymentRequirements"], v2["paymentPayload"]["accepted"]);
    assert_eq!(v2["paymentRequirements"]["network"], "eip155:8453");
}

#[test]
fn a_facilitator_sees_neither_a_false_echo_nor_loses_the_extensions() {
    let mut json = payment(Version::V2, authorization());
    json["resource"]["url"] = "https://elsewhere.example".into();
    json["accepted"]["extra"]["more"] = 1.into();
    json["extensions"] = json!({"bazaar": {"info": {}}});
    let payload = PaymentPayload::from_json(json).unwrap();
    assert_eq!(payload.resource_url(), Some("https://elsewhere.example"));
    let body = request_body(Version::V2, &payload, &offer(), RESOURCE);
    assert_eq!(body["paymentPayload"]["resource"]["url"], RESOURCE.url);
    assert_eq!(body["paymentPayload"]["accepted"], json!(offer().to_v2()));
    assert_eq!(
        body["paymentPayload"]["extensions"],
        json!({"bazaar": {"info": {}}})
    );
}

#[test]
fn a_client_may_echo_more_than_all_extensions_of_a_seller() {
    let issuer = ReceiptIssuer::new(buyer());
    let offer = offer();
    let offers = std::iter::repeat_n(&offer, 5);
    let schema: Map<String, Value> = (0..45)
        .map(|i| (format!("member_{i}"), json!({ "type": "string" })))
        .collect();
    let mut json = payment(Version::V2, authorization());
    json["extensions"] = json!({
        "payment-identifier": payment_identifier_extension()["payment-identifier"],
        (SPONSORING_EXTENSION): sponsoring_extension(),
        (OFFER_RECEIPT): issuer.offers(offers, RESOURCE.url, NOW_S),
        (BAZAAR): bazaar_extension(&json!({ "a": 1 }), &json!({ "properties": schema }), &json!({})),
    });
    let read = decode(None, Some(to_header(&json).as_bytes()));
    assert_eq!(read.unwrap().unwrap().to_json(), json);
}
