//! Rows 25 to 50: authorizations of EIP-3009.

use std::sync::Arc;

use compute_wallet::{EvmKey, Uint256};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::networks::BASE_SEPOLIA_USDC;
use compute_x402::{Amount, Network, Offer, Recipient, TokenTerms, Version};
use serde_json::{Value, json};

use super::{Sent, both, changed};
use crate::shop::{NOW_S, PRICE, RESOURCE, address, authorization, buyer, offer, payment};

const BOTH: [Version; 2] = [Version::V1, Version::V2];

/// The same payment in both versions with one member of the authorization replaced.
fn with_member(name: &str, value: Option<&Value>) -> Vec<Sent> {
    let pointer = format!("/payload/authorization/{name}");
    both(|version| {
        let json = payment(version, authorization());
        changed(json, &pointer, value.cloned())
    })
}

fn with_members(names: &[&str], values: &[Value]) -> Vec<Sent> {
    let mut sent = Vec::new();
    for name in names {
        sent.extend(
            values
                .iter()
                .flat_map(|value| with_member(name, Some(value))),
        );
    }
    sent
}

/// Properly signed, in both versions.
fn signed(change: impl Fn(&mut Authorization)) -> Vec<Sent> {
    BOTH.map(|version| signed_in(version, &change)).into()
}

fn signed_in(version: Version, change: impl Fn(&mut Authorization)) -> Sent {
    let mut authorization = authorization();
    change(&mut authorization);
    Sent::json(&payment(version, authorization))
}

fn with_signature(signature: impl Into<Value>) -> Vec<Sent> {
    let signature = signature.into();
    both(|version| {
        let json = payment(version, authorization());
        changed(json, "/payload/signature", Some(signature.clone()))
    })
}

fn good_signature() -> String {
    let json = payment(Version::V1, authorization());
    let signature = json.pointer("/payload/signature").unwrap();
    signature.as_str().unwrap().to_owned()
}

/// The good signature with another recovery value.
fn with_v(change: impl Fn(u8) -> u8) -> Vec<Sent> {
    let good = good_signature();
    let v = u8::from_str_radix(&good[130..], 16).unwrap();
    with_signature(format!("{}{:02x}", &good[..130], change(v)))
}

fn vectors(ids: &[&str]) -> Vec<Sent> {
    ids.iter().map(|id| Sent::vector(id)).collect()
}

fn all(groups: impl IntoIterator<Item = Vec<Sent>>) -> Vec<Sent> {
    groups.into_iter().flatten().collect()
}

pub(super) fn member_missing() -> Vec<Sent> {
    let names = ["from", "to", "value", "validAfter", "validBefore", "nonce"];
    let missing = names.iter().map(|name| with_member(name, None));
    let wrong = with_members(&names, &[Value::Null, json!(1), json!({})]);
    all(missing.chain([wrong]))
}

pub(super) fn values() -> Vec<Sent> {
    let too_large =
        "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let texts = [
        "-1", "1e6", "0x10", "1.0", " 1", "+1", "1_000", "", "٩", too_large,
    ];
    let mut values: Vec<Value> = texts.map(Value::from).into();
    values.extend([json!(90_000_000), "9".repeat(79).into()]);
    with_members(&["value"], &values)
}

fn other_values(version: Version) -> Vec<Sent> {
    let small = [0, 1, PRICE - 1, PRICE + 1, u128::MAX].map(Uint256::from);
    // More than 128 bits is a number all the same: refused by its value, not by its shape.
    let large = [Uint256::from_be_bytes([0xff; 32])];
    let values = small.into_iter().chain(large);
    values
        .map(|value| signed_in(version, |it| it.value = value))
        .collect()
}

pub(super) fn other_values_v1() -> Vec<Sent> {
    all([
        other_values(Version::V1),
        vectors(&["eip3009-v1-base-overpay"]),
    ])
}

pub(super) fn other_values_v2() -> Vec<Sent> {
    let ids = ["eip3009-v2-base-underpay", "eip3009-v2-base-overpay"];
    all([other_values(Version::V2), vectors(&ids)])
}

pub(super) fn nonces() -> Vec<Sent> {
    let nonces = [
        String::new(),
        "0x".to_owned(),
        format!("0x{}", "44".repeat(31)),
        format!("0x{}", "44".repeat(33)),
        "44".repeat(32),
        format!("0x{}", "zz".repeat(32)),
    ];
    with_members(&["nonce"], &nonces.map(Value::from))
}

pub(super) fn addresses() -> Vec<Sent> {
    let texts = [
        "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F",
        "1a642f0E3c3aF545E7AcBD38b07251B3990914F1",
        "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu",
        "",
    ];
    with_members(&["from", "to"], &texts.map(Value::from))
}

pub(super) fn zero_address() -> Vec<Sent> {
    let zero = Value::from("0x0000000000000000000000000000000000000000");
    with_member("from", Some(&zero))
}

pub(super) fn expired() -> Vec<Sent> {
    let times = [0, NOW_S - 1, NOW_S, NOW_S + 5];
    let signed = times.map(|time| signed(|it| it.valid_before = time));
    all(signed
        .into_iter()
        .chain([vectors(&["eip3009-v2-base-expired"])]))
}

pub(super) fn not_yet() -> Vec<Sent> {
    let signed = [NOW_S + 1, u64::MAX].map(|time| signed(|it| it.valid_after = time));
    all(signed
        .into_iter()
        .chain([vectors(&["eip3009-v2-base-not-yet"])]))
}

pub(super) fn times() -> Vec<Sent> {
    let texts = [
        "-1",
        "1.5",
        "18446744073709551616",
        "2026-01-01T00:00:00Z",
        "",
        "0x1",
    ];
    let mut values: Vec<Value> = texts.map(Value::from).into();
    values.push(json!(NOW_S));
    with_members(&["validAfter", "validBefore"], &values)
}

pub(super) fn long_valid() -> Vec<Sent> {
    let times = [NOW_S + 86_401, NOW_S + 31_536_000, u64::MAX];
    all(times.map(|time| signed(|it| it.valid_before = time)))
}

pub(super) fn other_recipient() -> Vec<Sent> {
    let other = address("0x5555555555555555555555555555555555555555");
    let signed = signed(|it| it.to = other);
    all([signed, vectors(&["eip3009-v2-base-wrong-recipient"])])
}

pub(super) fn lengths() -> Vec<Sent> {
    let good = good_signature();
    all([
        "0x".to_owned(),
        "0x1".to_owned(),
        "0xzz".to_owned(),
        good[..130].to_owned(),
        format!("{good}00"),
        format!("0x{}", "11".repeat(5 * 1024)),
    ]
    .map(with_signature))
}

pub(super) fn no_text() -> Vec<Sent> {
    all([json!(1), Value::Null, json!([])].map(with_signature))
}

pub(super) fn out_of_range() -> Vec<Sent> {
    let zeros = with_signature(format!("0x{}1b", "00".repeat(64)));
    all([zeros, with_v(|_| 29), with_v(|_| 37)])
}

pub(super) fn high_s() -> Vec<Sent> {
    vectors(&["eip3009-v2-base-high-s"])
}

pub(super) fn zero_based() -> Vec<Sent> {
    all([with_v(|v| v - 27), vectors(&["eip3009-v2-base-v-0-1"])])
}

pub(super) fn eip2098() -> Vec<Sent> {
    vectors(&["eip3009-v2-base-eip2098"])
}

pub(super) fn not_the_payers() -> Vec<Sent> {
    let stranger = EvmKey::from_bytes(&[2; 32]).unwrap();
    let token = offer().token().as_evm().unwrap().clone();
    let by_stranger = sign(&token, authorization(), &stranger);
    let by_stranger =
        both(|version| payload_for(version, &offer(), RESOURCE, &by_stranger).to_json());
    // The other recovery value names another key, and another nonce another message.
    let flipped = with_v(|v| 55 - v);
    let other_nonce = Value::from(format!("0x{}", "05".repeat(32)));
    all([
        by_stranger,
        flipped,
        with_member("nonce", Some(&other_nonce)),
    ])
}

pub(super) fn other_domains() -> Vec<Sent> {
    let usdc = offer().token().as_evm().unwrap().contract();
    let sepolia_usdc = address(BASE_SEPOLIA_USDC.address);
    let domains = [
        (Network::BASE_SEPOLIA, usdc, "USD Coin", "2"),
        (Network::BASE, usdc, "USDC", "2"),
        (Network::BASE, usdc, "USD Coin", "1"),
        (Network::BASE, sepolia_usdc, "USD Coin", "2"),
    ];
    let signed = domains.map(|(network, contract, name, domain_version)| {
        let token = TokenTerms::eip3009(network, contract, name, domain_version).unwrap();
        let signed = sign(token.as_evm().unwrap(), authorization(), &buyer());
        both(|version| payload_for(version, &offer(), RESOURCE, &signed).to_json())
    });
    let ids = ["eip3009-v2-base-wrong-chain", "eip3009-v2-base-wrong-name"];
    all(signed.into_iter().chain([vectors(&ids)]))
}

pub(super) fn erc6492() -> Vec<Sent> {
    let wrapped = format!("0x{}{}", "ab".repeat(500), "6492".repeat(16));
    all([
        with_signature(wrapped),
        vectors(&["eip3009-v2-base-eip6492"]),
    ])
}

pub(super) fn lower_case() -> Vec<Sent> {
    let mut json = payment(Version::V2, authorization());
    for pointer in [
        "/payload/authorization/from",
        "/payload/authorization/to",
        "/accepted/asset",
        "/accepted/payTo",
    ] {
        let lower = json
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_lowercase();
        json = changed(json, pointer, Some(lower.into()));
    }
    all([
        vec![Sent::json(&json)],
        vectors(&["eip3009-v2-base-lowercase"]),
    ])
}

pub(super) fn self_payment() -> Vec<Sent> {
    let payer = buyer();
    let token = Arc::new(offer().token().clone());
    let own = Offer::new(
        token,
        Recipient::new(payer.address()),
        Amount::new(PRICE),
        300,
    );
    let authorization = Authorization {
        to: payer.address(),
        ..authorization()
    };
    let signed = sign(own.token().as_evm().unwrap(), authorization, &payer);
    let sent = BOTH.map(|version| payload_for(version, &own, RESOURCE, &signed).to_json());
    sent.map(|json| Sent::json(&json).to(own.clone())).into()
}
