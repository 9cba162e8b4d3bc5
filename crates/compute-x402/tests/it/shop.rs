//! A seller on Base, a buyer, and the seller's answer to any pair of headers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_wallet::{EvmAddress, EvmKey, Uint256};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::networks::BASE_USDC;
use compute_x402::{
    Amount, DecodeError, Offer, PaymentPayload, Recipient, Resource, ValidityWindow, Verified,
    Version, decode, verify,
};
use serde_json::Value;

pub(crate) const NOW_S: u64 = 1_767_225_600;
pub(crate) const PRICE: u128 = 90_000_000;
pub(crate) const PAY_TO: &str = "0x60555990d56622d2D39dCd444404Ef8e596e370E";

pub(crate) const RESOURCE: Resource<'static> = Resource {
    url: "https://compute.example/compute/provision",
    description: "720 h of vc2-1c-1gb",
    mime_type: "application/json",
};

/// What the seller answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    NoPayment,
    Refused { status: u16, code: String },
    Accepted(Verified),
}

pub(crate) fn refused(status: u16, code: &str) -> Answer {
    Answer::Refused {
        status,
        code: code.to_owned(),
    }
}

pub(crate) fn address(text: &str) -> EvmAddress {
    EvmAddress::parse_any_case(text).unwrap()
}

pub(crate) fn buyer() -> EvmKey {
    EvmKey::from_bytes(&[1; 32]).unwrap()
}

pub(crate) fn offer() -> Offer {
    let token = Arc::new(BASE_USDC.eip3009_terms().unwrap());
    Offer::new(
        token,
        Recipient::new(address(PAY_TO)),
        Amount::new(PRICE),
        300,
    )
}

pub(crate) fn authorization() -> Authorization {
    Authorization {
        from: buyer().address(),
        to: address(PAY_TO),
        value: Uint256::from(PRICE),
        valid_after: NOW_S - 600,
        valid_before: NOW_S + 300,
        nonce: [4; 32],
    }
}

/// A payment of the buyer with this authorization, as JSON that a test can damage.
pub(crate) fn payment(version: Version, authorization: Authorization) -> Value {
    let signed = sign(offer().token().as_evm().unwrap(), authorization, &buyer());
    payload_for(version, &offer(), RESOURCE, &signed).to_json()
}

pub(crate) fn to_header(json: &Value) -> String {
    STANDARD.encode(json.to_string())
}

pub(crate) fn answer(x_payment: Option<&str>, payment_signature: Option<&str>) -> Answer {
    answer_at(&[offer()], NOW_S, x_payment, payment_signature)
}

pub(crate) fn answer_at(
    offers: &[Offer],
    now_s: u64,
    x_payment: Option<&str>,
    payment_signature: Option<&str>,
) -> Answer {
    let read = decode(
        x_payment.map(str::as_bytes),
        payment_signature.map(str::as_bytes),
    );
    answer_for(read, offers, now_s)
}

/// What the seller answers to what was read.
pub(crate) fn answer_for(
    read: Result<Option<PaymentPayload>, DecodeError>,
    offers: &[Offer],
    now_s: u64,
) -> Answer {
    let payload = match read {
        Ok(Some(payload)) => payload,
        Ok(None) => return Answer::NoPayment,
        Err(error) => return refused(400, error.code().as_str()),
    };
    match verify(&payload, offers, ValidityWindow::at(now_s)) {
        Ok(verified) => Answer::Accepted(verified),
        Err(error) => refused(
            if error.is_malformed() { 400 } else { 402 },
            error.code().as_str(),
        ),
    }
}

/// What the seller answers to a payment given as JSON.
pub(crate) fn answer_to(json: &Value) -> Answer {
    answer(Some(&to_header(json)), None)
}
