//! Rows 50a to 68: permits and Permit2, in USDm, which has no EIP-3009.

use std::sync::Arc;

use compute_wallet::{EvmAddress, EvmKey, Uint256};
use compute_x402::client::{sign, sign_permit};
use compute_x402::exact_evm::{Authorization, SignedAuthorization};
use compute_x402::networks::MEGAETH_USDM;
use compute_x402::permit::Permit;
use compute_x402::permit2::{
    EXACT_PROXY, PERMIT2, Permit2Transfer, SPONSORING_EXTENSION, SignedPermit2, Sponsored,
};
use compute_x402::token::EvmToken;
use compute_x402::{Amount, Offer, PermitPaths, Recipient, Version};
use serde_json::{Value, json};

use super::{Sent, changed};
use crate::shop::{NOW_S, PAY_TO, address, authorization, buyer};

const PRICE: u128 = 90_000_000_000_000_000_000;
const CHAIN_ID: u64 = 4326;

fn offer() -> Offer {
    let paths = PermitPaths::none()
        .with_spender(address(PAY_TO))
        .with_permit2(CHAIN_ID);
    let token = MEGAETH_USDM.permit_terms(paths).unwrap();
    let pay_to = Recipient::new(address(PAY_TO));
    Offer::new(Arc::new(token), pay_to, Amount::new(PRICE), 300)
}

fn token() -> EvmToken {
    offer().token().as_evm().unwrap().clone()
}

fn stranger() -> EvmAddress {
    address("0x5555555555555555555555555555555555555555")
}

fn sent(version: Version, payload: &Value, extensions: Option<Value>) -> Sent {
    let json = match version {
        Version::V1 => json!({
            "x402Version": 1, "scheme": "exact", "network": "megaeth", "payload": payload,
        }),
        Version::V2 => json!({
            "x402Version": 2, "accepted": offer().to_v2(), "payload": payload,
            "extensions": extensions,
        }),
    };
    Sent::json(&json).to(offer())
}

fn vectors(ids: &[&str]) -> Vec<Sent> {
    ids.iter().map(|id| Sent::vector(id)).collect()
}

fn permit() -> Permit {
    Permit {
        owner: buyer().address(),
        spender: address(PAY_TO),
        value: Uint256::from(PRICE),
        nonce: Uint256::from(3_u64),
        deadline: NOW_S + 300,
    }
}

/// A permit in both of its envelopes: under its own names, and in the members of an authorization.
fn permit_payloads(permit: Permit) -> [Value; 2] {
    let signature = buyer().sign_digest(&permit.digest(&token()));
    let authorization = Authorization {
        from: permit.owner,
        to: permit.spender,
        value: permit.value,
        valid_after: 0,
        valid_before: permit.deadline,
        nonce: permit.nonce.to_be_bytes(),
    };
    [
        sign_permit(&token(), permit, &buyer()).to_json(),
        SignedAuthorization::new(authorization, &signature).to_json(),
    ]
}

fn permits(versions: &[Version], change: impl Fn(&mut Permit)) -> Vec<Sent> {
    let mut permit = permit();
    change(&mut permit);
    let mut all = Vec::new();
    for version in versions {
        all.extend(permit_payloads(permit).map(|payload| sent(*version, &payload, None)));
    }
    all
}

const BOTH: [Version; 2] = [Version::V1, Version::V2];

fn transfer() -> Permit2Transfer {
    Permit2Transfer {
        from: buyer().address(),
        token: token().contract(),
        amount: Uint256::from(PRICE),
        spender: EXACT_PROXY,
        nonce: Uint256::from(77_u64),
        deadline: NOW_S + 300,
        to: address(PAY_TO),
        valid_after: NOW_S - 600,
    }
}

fn signed(transfer: Permit2Transfer) -> Value {
    let paths = PermitPaths::none().with_permit2(CHAIN_ID);
    let digest = transfer.digest(paths.permit2_separator().unwrap());
    SignedPermit2::new(transfer, &buyer().sign_digest(&digest), Sponsored::Absent).to_json()
}

fn transfers(change: impl Fn(&mut Permit2Transfer)) -> Vec<Sent> {
    let mut transfer = transfer();
    change(&mut transfer);
    BOTH.map(|version| sent(version, &signed(transfer), None))
        .into()
}

/// A good transfer with a permit for Permit2 beside it.
fn extension(asset: EvmAddress, key: &EvmKey, change: impl Fn(&mut Permit)) -> Value {
    let mut permit = Permit {
        spender: PERMIT2,
        ..permit()
    };
    change(&mut permit);
    let permit = Box::new(sign_permit(&token(), permit, key));
    let sponsored = Sponsored::Permit { asset, permit };
    json!({ SPONSORING_EXTENSION: sponsored.to_extension().unwrap() })
}

fn sponsored_by(extension: Value) -> Sent {
    sent(Version::V2, &signed(transfer()), Some(extension))
}

fn sponsored(change: impl Fn(&mut Permit)) -> Sent {
    sponsored_by(extension(token().contract(), &buyer(), change))
}

#[test]
fn the_payments_these_rows_damage_are_good() {
    let mut good = permits(&BOTH, |_| ());
    good.extend(transfers(|_| ()));
    good.push(sponsored(|_| ()));
    for sent in good {
        let answer = sent.answer();
        assert!(
            matches!(answer, crate::shop::Answer::Accepted(_)),
            "{answer:?}"
        );
    }
}

pub(super) fn permit_erc20() -> Vec<Sent> {
    vectors(&["erc2612-usdm-permit-erc20"])
}

pub(super) fn other_spender() -> Vec<Sent> {
    let mut sent = permits(&BOTH, |it| it.spender = stranger());
    sent.extend(permits(&BOTH, |it| it.spender = PERMIT2));
    sent.extend(vectors(&["erc2612-usdm-wrong-spender"]));
    sent
}

pub(super) fn six_decimals() -> Vec<Sent> {
    let mut sent = permits(&[Version::V2], |it| {
        it.value = Uint256::from(90_000_000_u64)
    });
    sent.extend(vectors(&["erc2612-usdm-six-decimals"]));
    sent
}

fn open_allowance(version: Version) -> Vec<Sent> {
    let values = [Uint256::from_be_bytes([0xff; 32]), Uint256::from(PRICE + 1)];
    let with = |value| permits(&[version], |it| it.value = value);
    values.into_iter().flat_map(with).collect()
}

pub(super) fn open_allowance_v1() -> Vec<Sent> {
    open_allowance(Version::V1)
}

pub(super) fn open_allowance_v2() -> Vec<Sent> {
    open_allowance(Version::V2)
}

pub(super) fn deadlines() -> Vec<Sent> {
    let times = [0, NOW_S, NOW_S + 5, NOW_S + 86_401, u64::MAX];
    let with = |time| permits(&BOTH, |it| it.deadline = time);
    let mut sent: Vec<Sent> = times.into_iter().flat_map(with).collect();
    sent.extend(vectors(&["erc2612-usdm-deadline"]));
    sent
}

pub(super) fn high_s() -> Vec<Sent> {
    vectors(&["erc2612-usdm-high-s"])
}

pub(super) fn eip3009() -> Vec<Sent> {
    let authorization = Authorization {
        value: Uint256::from(PRICE),
        ..authorization()
    };
    let signed = sign(&token(), authorization, &buyer()).to_json();
    let mut sent: Vec<Sent> = BOTH.map(|version| sent(version, &signed, None)).into();
    sent.extend(vectors(&["erc2612-usdm-random-nonce"]));
    sent
}

pub(super) fn no_proxy() -> Vec<Sent> {
    [stranger(), address(PAY_TO), PERMIT2]
        .into_iter()
        .flat_map(|spender| transfers(|it| it.spender = spender))
        .collect()
}

pub(super) fn other_recipient() -> Vec<Sent> {
    transfers(|it| it.to = stranger())
}

pub(super) fn other_token() -> Vec<Sent> {
    transfers(|it| it.token = stranger())
}

pub(super) fn other_amounts() -> Vec<Sent> {
    let amounts = [0, PRICE - 1, PRICE + 1].map(Uint256::from);
    let largest = [Uint256::from_be_bytes([0xff; 32])];
    let with = |amount| transfers(|it| it.amount = amount);
    amounts.into_iter().chain(largest).flat_map(with).collect()
}

pub(super) fn permit2_deadlines() -> Vec<Sent> {
    let times = [0, NOW_S, NOW_S + 5, NOW_S + 86_401, u64::MAX];
    let with = |time| transfers(|it| it.deadline = time);
    times.into_iter().flat_map(with).collect()
}

pub(super) fn permit2_not_yet() -> Vec<Sent> {
    transfers(|it| it.valid_after = NOW_S + 1)
}

pub(super) fn sponsored_amounts() -> Vec<Sent> {
    let largest = Uint256::from_be_bytes([0xff; 32]);
    let mut sent = vec![
        sponsored(|it| it.value = largest),
        sponsored(|it| it.value = Uint256::from(PRICE - 1)),
    ];
    sent.extend(vectors(&["permit2-eip2612-usdm-maxuint"]));
    sent
}

pub(super) fn sponsored_owner() -> Vec<Sent> {
    vec![sponsored(|it| it.owner = stranger())]
}

pub(super) fn sponsored_asset() -> Vec<Sent> {
    vec![sponsored_by(extension(stranger(), &buyer(), |_| ()))]
}

pub(super) fn sponsored_spender() -> Vec<Sent> {
    [stranger(), EXACT_PROXY, address(PAY_TO)]
        .map(|spender| sponsored(|it| it.spender = spender))
        .into()
}

pub(super) fn sponsored_deadline() -> Vec<Sent> {
    [0, NOW_S, NOW_S + 5]
        .map(|time| sponsored(|it| it.deadline = time))
        .into()
}

pub(super) fn sponsored_format() -> Vec<Sent> {
    let good = extension(token().contract(), &buyer(), |_| ());
    let info = format!("/{SPONSORING_EXTENSION}/info");
    let with = |name: &str, value| changed(good.clone(), &format!("{info}/{name}"), value);
    let mut broken: Vec<Value> = ["from", "asset", "spender", "amount", "nonce", "deadline"]
        .into_iter()
        .flat_map(|name| [with(name, None), with(name, Some(json!(1)))])
        .collect();
    broken.push(with("signature", Some("0x".into())));
    broken.push(with("signature", Some(Value::Null)));
    broken.push(changed(good.clone(), &info, Some(json!("x"))));
    broken.into_iter().map(sponsored_by).collect()
}

pub(super) fn sponsored_signer() -> Vec<Sent> {
    let stranger = EvmKey::from_bytes(&[2; 32]).unwrap();
    vec![sponsored_by(extension(
        token().contract(),
        &stranger,
        |_| (),
    ))]
}

pub(super) fn not_numbers() -> Vec<Sent> {
    let too_large =
        json!("115792089237316195423570985008687907853269984665640564039457584007913129639936");
    let [named, borrowed] = permit_payloads(permit());
    let through = signed(transfer());
    let places = [
        (&named, "/permit/value", too_large.clone()),
        (&named, "/permit/nonce", json!(3)),
        (&named, "/permit/nonce", too_large.clone()),
        (&borrowed, "/authorization/value", too_large.clone()),
        (&borrowed, "/authorization/nonce", json!(3)),
        (
            &through,
            "/permit2Authorization/permitted/amount",
            too_large.clone(),
        ),
        (&through, "/permit2Authorization/nonce", too_large),
        (&through, "/permit2Authorization/nonce", json!(77)),
    ];
    let mut all = Vec::new();
    for (payload, pointer, value) in places {
        let payload = changed(payload.clone(), pointer, Some(value));
        all.extend(BOTH.map(|version| sent(version, &payload, None)));
    }
    all
}
