//! The paying side: a hostile server can make it neither fall over nor pay something else.

use compute_wallet::Uint256;
use compute_x402::client::PaymentRequired;
use compute_x402::permit2::Sponsored;
use compute_x402::{Body, DecodeError, PaymentPayload, Version, decode};
use serde_json::Value;

use crate::shop::{self, BUYER, NOW_S};

/// Input that begins with `=` is the JSON of a header, with `{` a body, anything else a header.
fn read(data: &[u8]) -> Result<PaymentRequired, DecodeError> {
    match data {
        [b'=', json @ ..] => PaymentRequired::from_header(shop::to_header(json).as_bytes()),
        [b'{', ..] => PaymentRequired::from_body(data),
        _ => PaymentRequired::from_header(data),
    }
}

pub(super) fn challenge(data: &[u8]) {
    let Ok(required) = read(data) else {
        return;
    };
    let usual = match data {
        [b'{', ..] => Version::V1,
        _ => Version::V2,
    };
    assert_eq!(required.version(), usual);
    let json = plain(data);
    let accepts = json.get("accepts").and_then(Value::as_array);
    let accepts = accepts.expect("a challenge has a list of offers");
    assert!(required.offers().len() + required.permit_offers().len() <= accepts.len());
    let error = json.get("error").and_then(Value::as_str);
    assert_eq!(required.error(), error);
    for offer in required.offers() {
        // Some offer of the server says the same, read by somebody else.
        let is_asked = accepts.iter().any(|accept| {
            let text = |name| accept.get(name).and_then(Value::as_str);
            let amount = text("amount").or_else(|| text("maxAmountRequired"));
            let amounts = [text("amount"), text("maxAmountRequired"), amount];
            let amount = offer.amount().to_string();
            amounts.contains(&Some(amount.as_str()))
                && text("payTo").map(str::to_ascii_lowercase) == Some(offer.pay_to().to_string())
                && text("asset").map(str::to_ascii_lowercase)
                    == Some(offer.token().asset().to_string())
        });
        assert!(is_asked, "an offer that nobody made");
    }
}

fn plain(data: &[u8]) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    let json = match data {
        [b'=', json @ ..] => json.to_vec(),
        [b'{', ..] => data.to_vec(),
        _ => STANDARD
            .decode(data.trim_ascii())
            .or_else(|_| STANDARD_NO_PAD.decode(data.trim_ascii()))
            .expect("what is read is base64"),
    };
    serde_json::from_slice(&json).expect("what is read is JSON")
}

pub(super) fn pay(data: &[u8]) {
    let Ok(required) = read(data) else {
        return;
    };
    if let Some(offer) = required.offers().first() {
        let payment = required.pay(offer, &BUYER, [7; 32], NOW_S);
        check(&payment, required.version());
        let Body::Authorization(signed) = payment.body() else {
            panic!("not an authorization");
        };
        let authorization = &signed.authorization;
        assert_eq!(authorization.from, BUYER.address());
        assert_eq!(authorization.to, offer.pay_to());
        assert_eq!(authorization.value, Uint256::from(offer.amount().get()));
        assert!(signed.check_signature(offer.evm()).is_ok());
    }
    let Some(offer) = required.permit_offers().first() else {
        return;
    };
    let nonce = Uint256::from(3_u64);
    if let Some(payment) = required.pay_by_permit(offer, &BUYER, nonce, NOW_S) {
        check(&payment, required.version());
        let value = match payment.body() {
            Body::Authorization(signed) => signed.authorization.value,
            Body::Permit(signed) => signed.permit.value,
            other => panic!("not a permit: {other:?}"),
        };
        assert_eq!(value, Uint256::from(offer.amount().get()));
    }
    if let Some(payment) = required.pay_by_permit2(offer, &BUYER, [7; 32], Some(nonce), NOW_S) {
        check(&payment, required.version());
        let Body::Permit2(signed) = payment.body() else {
            panic!("not a Permit2 transfer");
        };
        let amount = Uint256::from(offer.amount().get());
        assert_eq!(signed.transfer.amount, amount);
        assert_eq!(signed.transfer.from, BUYER.address());
        // Version 1 has no place for the permit beside the transfer.
        let is_sponsored = matches!(signed.sponsored, Sponsored::Permit { .. });
        assert_eq!(is_sponsored, required.version() == Version::V2);
    }
}

/// What the client sends, a server can read, unless the challenge was too long or too deep for one.
fn check(payment: &PaymentPayload, version: Version) {
    assert_eq!(payment.version(), version);
    let header = payment.to_header();
    match decode(Some(header.as_bytes()), None) {
        Ok(read) => assert_eq!(read.as_ref(), Some(payment)),
        Err(error) => assert!(matches!(error, DecodeError::Header(_)), "{error:?}"),
    }
}
