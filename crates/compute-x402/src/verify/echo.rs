//! Whether the offer that a version 2 payment echoes is one of ours.

use std::borrow::Cow;

use compute_wallet::WalletAddress;
use serde_json::{Map, Value};

use crate::amount::Amount;
use crate::offer::Offer;
use crate::payload::Version;

/// Compares meaning, not bytes: letter case of EVM addresses is free, further members are ignored.
/// Our `extra` must be contained in theirs (x402 v2, as the reference server compares).
pub(super) fn is_echo_of(accepted: &Map<String, Value>, offer: &Offer) -> bool {
    let namespace = offer.network().namespace();
    let text = |name: &str| accepted.get(name).and_then(Value::as_str);
    let address = |name: &str| WalletAddress::parse(namespace, text(name)?).ok();
    let seconds = accepted.get("maxTimeoutSeconds").and_then(Value::as_u64);
    text("amount").and_then(|text| Amount::parse(text).ok()) == Some(offer.amount())
        && address("asset") == Some(offer.token().asset())
        && address("payTo") == Some(offer.pay_to())
        && seconds == Some(offer.max_timeout_seconds().into())
        && has_our_extra(accepted, offer)
}

fn has_our_extra(accepted: &Map<String, Value>, offer: &Offer) -> bool {
    let ours = offer.token().extra(Version::V2);
    let theirs = accepted.get("extra").and_then(Value::as_object);
    let is_same = |(name, own): (&str, &Option<Cow<'_, str>>)| {
        let Some(own) = own else {
            return true;
        };
        let text = theirs.and_then(|extra| extra.get(name)?.as_str());
        // An address may come back in another letter case; nothing else may.
        text.is_some_and(|text| {
            text == own || (name == "spender" && text.eq_ignore_ascii_case(own))
        })
    };
    [
        ("name", &ours.name),
        ("version", &ours.version),
        ("assetTransferMethod", &ours.asset_transfer_method),
        ("primaryType", &ours.primary_type),
        ("spender", &ours.spender),
        ("feePayer", &ours.fee_payer),
        ("memo", &ours.memo),
    ]
    .into_iter()
    .all(is_same)
}
