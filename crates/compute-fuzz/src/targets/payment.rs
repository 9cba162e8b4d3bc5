//! Signed payments: nothing verifies but what a buyer signed, and then it means just that.

use alloy_primitives::{Address, U256};
use compute_wallet::{EvmAddress, Namespace, Uint256, WalletAddress};
use compute_x402::exact_evm::SignedAuthorization;
use compute_x402::facilitator::request_body;
use compute_x402::{
    Amount, Authority, Body, Offer, PaymentPayload, ValidityWindow, Verified, VerifyError, Version,
    decode, identify, verify,
};
use serde_json::Value;

use super::eip712;
use crate::edits;
use crate::shop::{self, CONTRACT_OFFERS, NOW_S, OFFERS, RESOURCE, Way};

pub(super) fn eip3009(data: &[u8]) {
    check(data, &shop::EIP3009);
}

pub(super) fn permit(data: &[u8]) {
    check(data, &shop::PERMIT);
}

pub(super) fn permit2(data: &[u8]) {
    check(data, &shop::PERMIT2);
}

fn check(data: &[u8], way: &Way) {
    let raw = edits::read(data, &way.payments).into_header();
    let Ok(Some(payment)) = decode(Some(&raw), None) else {
        return;
    };
    check_body(&payment);
    let verified = verify(&payment, &*OFFERS, ValidityWindow::at(NOW_S));
    match &verified {
        Ok(verified) => check_meaning(&payment, verified, way),
        Err(error) => assert!(!error.code().as_str().is_empty() && !error.to_string().is_empty()),
    }
    if let Body::Authorization(signed) = payment.body() {
        check_contract(&payment, signed, &verified);
    }
    check_request(&payment);
}

/// Only the keys of buyers make a payment, so it is one of those they made.
fn check_meaning(payment: &PaymentPayload, verified: &Verified, way: &Way) {
    let ways = [way, &*shop::EIP3009, &*shop::PERMIT, &*shop::PERMIT2];
    let known = ways.iter().any(|way| way.meanings.contains(verified));
    assert!(known, "a payment that nobody made: {verified:?}");
    let offer = OFFERS.get(verified.offer_index).expect("an offer of ours");
    assert_eq!(verified.value, offer.amount());
    assert_eq!(verified.authority, Authority::Key);
    // The document itself says so, read by somebody else.
    let (value, payer) = plain(payment).expect("a value and a payer");
    assert_eq!(value, U256::from(offer.amount().get()));
    let payer = WalletAddress::parse(Namespace::Eip155, &payer);
    assert_eq!(payer, Ok(verified.payer));

    let identified = identify(payment, offer.token()).expect("what is verified is identified");
    assert_eq!(identified.payer, verified.payer);
    assert_eq!(identified.proof_key, verified.proof_key);
    assert_eq!(identified.value, verified.value);
    assert_eq!(identified.valid_before, verified.valid_before);
    assert!(identified.valid_after <= NOW_S && identified.valid_before >= NOW_S + 6);

    // A dearer offer, or one to somebody else, is not paid.
    let dearer = offer.amount().get().checked_add(1).map(Amount::new);
    let dearer = offer.with_amount(dearer.expect("a price"));
    assert!(verify(payment, &[dearer], ValidityWindow::at(NOW_S)).is_err());
    // Stored and sent again, it is the same payment.
    let again = PaymentPayload::from_json(payment.to_json());
    assert_eq!(again.as_ref(), Ok(payment));
}

/// Value and payer as a plain reader finds them.
fn plain(payment: &PaymentPayload) -> Option<(U256, String)> {
    let json = payment.to_json();
    let text = |pointer: &str| json.pointer(pointer)?.as_str().map(str::to_owned);
    let (value, payer) = match payment.body() {
        Body::Authorization(_) => (
            "/payload/authorization/value",
            "/payload/authorization/from",
        ),
        Body::Permit(_) => ("/payload/permit/value", "/payload/permit/owner"),
        Body::Permit2(_) => (
            "/payload/permit2Authorization/permitted/amount",
            "/payload/permit2Authorization/from",
        ),
        _ => return None,
    };
    let value = U256::from_str_radix(&text(value)?, 10).ok()?;
    Some((value, text(payer)?))
}

/// Whatever was read reads back from what is written, and hashes as another library hashes it.
fn check_body(payment: &PaymentPayload) {
    let payload = match payment.body() {
        Body::Authorization(signed) => signed.to_json(),
        Body::Permit(signed) => signed.to_json(),
        Body::Permit2(signed) => signed.to_json(),
        Body::Transaction(text) => {
            assert_eq!(
                payment.to_json().pointer("/payload/transaction"),
                Some(&Value::from(text.as_str()))
            );
            return;
        }
        _ => return,
    };
    let mut json = payment.to_json();
    if let Some(member) = json.get_mut("payload") {
        *member = payload;
    }
    let again = PaymentPayload::from_json(json).expect("a payload of ours");
    check_digests(payment.body());
    match (payment.body(), again.body()) {
        (Body::Authorization(read), Body::Authorization(again)) => {
            assert_eq!(read.authorization, again.authorization);
            assert_eq!(read.parse_signature(), again.parse_signature());
            assert_eq!(read.to_json(), again.to_json());
        }
        (read, again) => assert_eq!(read, again),
    }
}

fn check_digests(body: &Body) {
    let [usdc, usdm] = &*OFFERS;
    let token = |offer: &'static Offer| offer.token().as_evm().expect("an EVM token");
    match body {
        Body::Authorization(signed) => {
            eip712::check_authorization(&signed.authorization, token(usdc));
        }
        Body::Permit(signed) => eip712::check_permit(&signed.permit, token(usdm)),
        Body::Permit2(signed) => eip712::check_transfer(&signed.transfer),
        _ => {}
    }
}

/// With contract wallets only the authority changes, and only for signatures a contract may take.
fn check_contract(
    payment: &PaymentPayload,
    signed: &SignedAuthorization,
    by_key: &Result<Verified, VerifyError>,
) {
    let by_contract = verify(payment, &*CONTRACT_OFFERS, ValidityWindow::at(NOW_S));
    let Ok(verified) = &by_contract else {
        // An offer more may turn one refusal into another, never a payment into a refusal.
        if let Ok(verified) = by_key {
            assert_ne!(verified.offer_index, 0, "contracts shut out a key");
        }
        return;
    };
    match verified.authority {
        Authority::Key => assert_eq!(by_key.as_ref(), Ok(verified)),
        Authority::Contract => {
            let signature = signed.contract_signature().expect("a contract's signature");
            assert!(!signature.is_empty() && signature.len() <= 2_048);
            assert!(by_key.is_err(), "a contract for a key");
        }
    }
}

/// A facilitator sees our own offer, whatever the payment says.
fn check_request(payment: &PaymentPayload) {
    let [offer, _] = &*OFFERS;
    let size = payment.to_json().to_string().len();
    let body = request_body(payment.version(), payment, offer, RESOURCE);
    let amount = match payment.version() {
        Version::V1 => "/paymentRequirements/maxAmountRequired",
        Version::V2 => "/paymentPayload/accepted/amount",
    };
    let amount = body.pointer(amount).and_then(Value::as_str);
    assert_eq!(amount, Some(offer.amount().to_string().as_str()));
    assert!(
        body.to_string().len() <= size + 4_096,
        "a request that grows"
    );
}

pub(super) fn to_alloy(address: &EvmAddress) -> Address {
    Address::from(*address.as_bytes())
}

pub(super) fn to_word(value: Uint256) -> U256 {
    U256::from_be_bytes(value.to_be_bytes())
}

/// The digest that another library finds for this struct.
pub(super) fn digest_of(
    message: &impl alloy_sol_types::SolStruct,
    domain: &alloy_sol_types::Eip712Domain,
) -> [u8; 32] {
    message.eip712_signing_hash(domain).0
}
