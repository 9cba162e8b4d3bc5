//! A payment that a wallet signs which keeps its key: EIP-3009, as typed data.

use std::sync::Arc;

use compute_wallet::{EvmAddress, EvmSignature, Uint256};
use compute_x402::PaymentPayload;
use compute_x402::client::{LONGEST_VALIDITY_S, PayableOffer};
use compute_x402::exact_evm::{Authorization, SignedAuthorization};
use serde_json::{Map, Value, json};

use super::OfferError;
use crate::clock::{now_s, random};
use crate::ows::{OwsError, OwsWallet};

/// How far back an authorization begins, in seconds, so that clocks may differ.
const BACKDATE_S: u64 = 600;

/// Lets the wallet sign a transfer, and checks that it signed this one.
pub(super) async fn pay(
    asked: &Value,
    offer: &PayableOffer,
    wallet: &Arc<OwsWallet>,
) -> Result<PaymentPayload, OfferError> {
    let entry = entry_of(asked, offer).ok_or(OfferError::Unreadable)?;
    let seconds = entry.get("maxTimeoutSeconds").and_then(Value::as_u64);
    let seconds = seconds.ok_or(OfferError::Unreadable)?;
    let seconds = seconds.min(LONGEST_VALIDITY_S);
    let from = EvmAddress::parse_any_case(wallet.address()).map_err(|_| OfferError::NoKey)?;
    let now_s = now_s();
    let authorization = Authorization {
        from,
        to: offer.pay_to(),
        value: Uint256::from(offer.amount().get()),
        valid_after: now_s.saturating_sub(BACKDATE_S),
        valid_before: now_s.saturating_add(seconds),
        nonce: random().map_err(OfferError::Chance)?,
    };
    let chain_id = offer.evm().chain_id();
    let typed = typed_data(offer, &authorization).to_string();
    let text = wallet.sign_typed(chain_id, typed).await?;
    let signature = EvmSignature::parse(&text).map_err(|_| OwsError::Signature)?;
    let signed = SignedAuthorization::new(authorization, &signature);
    // A signature over anything else is worth nothing at the shop, and is not sent.
    let checked = signed.check_signature(offer.evm());
    checked.map_err(|_| OwsError::Signature)?;
    let mut envelope = Map::from_iter([
        ("x402Version".to_owned(), json!(2)),
        ("accepted".to_owned(), entry.clone()),
        ("payload".to_owned(), signed.to_json()),
    ]);
    for name in ["resource", "extensions"] {
        if let Some(echo) = asked.get(name).filter(|echo| echo.is_object()) {
            envelope.insert(name.to_owned(), echo.clone());
        }
    }
    PaymentPayload::from_json(envelope.into()).map_err(|_| OfferError::Unreadable)
}

/// The entry that an offer was read from, which its payment repeats.
fn entry_of<'a>(asked: &'a Value, offer: &PayableOffer) -> Option<&'a Value> {
    let entries = asked.get("accepts")?.as_array()?;
    entries.iter().find(|entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_address = |name: &str, wanted: EvmAddress| {
            EvmAddress::parse_any_case(text(name)).is_ok_and(|found| found == wanted)
        };
        text("scheme") == "exact"
            && offer.token().network().is_named(text("network"))
            && is_address("asset", offer.evm().contract())
            && is_address("payTo", offer.pay_to())
            && text("amount") == offer.amount().get().to_string()
    })
}

/// The typed data of `TransferWithAuthorization`, as wallets take it.
fn typed_data(offer: &PayableOffer, authorization: &Authorization) -> Value {
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let token = offer.evm();
    json!({
        "types": {
            "EIP712Domain": [
                field("name", "string"), field("version", "string"),
                field("chainId", "uint256"), field("verifyingContract", "address"),
            ],
            "TransferWithAuthorization": [
                field("from", "address"), field("to", "address"), field("value", "uint256"),
                field("validAfter", "uint256"), field("validBefore", "uint256"),
                field("nonce", "bytes32"),
            ],
        },
        "primaryType": "TransferWithAuthorization",
        "domain": {
            "name": token.domain_name(), "version": token.domain_version(),
            "chainId": token.chain_id(), "verifyingContract": token.contract().to_checksum(),
        },
        "message": {
            "from": authorization.from.to_checksum(), "to": authorization.to.to_checksum(),
            "value": authorization.value.to_string(),
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": format!("0x{}", hex::encode(authorization.nonce)),
        },
    })
}
