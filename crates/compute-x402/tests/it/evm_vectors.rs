//! Every payment of `evm-vectors.json`: digests, signatures and this project's answer.

use std::sync::Arc;

use compute_wallet::EvmKey;
use compute_x402::client::sign;
use compute_x402::exact_evm::{Authorization, SignedAuthorization};
use compute_x402::networks::{KnownToken, MEGAETH_USDM};
use compute_x402::{
    Amount, Authority, Network, Offer, PermitPaths, Recipient, TokenTerms, decode, identify,
};
use serde_json::Value;

use crate::shop::{self, Answer, address};

const VECTORS: &str = include_str!("../fixtures/evm-vectors.json");

fn vectors(is_wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter();
    vectors
        .filter(|vector| is_wanted(vector["kind"].as_str().unwrap()))
        .cloned()
        .collect()
}

/// The payment of this name.
pub(crate) fn vector(id: &str) -> Value {
    let found = vectors(|_| true)
        .into_iter()
        .find(|vector| vector["id"] == id);
    found.unwrap_or_else(|| panic!("no vector {id}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is no text"))
}

/// The offer the payment answers; name and version of the domain come from our own table.
pub(crate) fn offer(vector: &Value) -> Offer {
    let requirements = &vector["payment_requirements"];
    let network = Network::find(text(requirements, "network")).unwrap();
    let known = KnownToken::find(&network, text(requirements, "asset")).unwrap_or(&MEGAETH_USDM);
    let pay_to = address(text(requirements, "payTo"));
    let token = if known.has_eip3009 {
        known.eip3009_terms().unwrap()
    } else {
        let paths = PermitPaths::none().with_permit2(4326);
        known
            .permit_terms(match requirements["extra"]["primaryType"].as_str() {
                Some(_) => paths.with_spender(pay_to),
                None => paths,
            })
            .unwrap()
    };
    let amount = requirements
        .get("amount")
        .unwrap_or(&requirements["maxAmountRequired"]);
    let amount = Amount::parse(amount.as_str().unwrap()).unwrap();
    Offer::new(Arc::new(token), Recipient::new(pay_to), amount, 300)
}

fn answer(vector: &Value, offers: &[Offer]) -> Answer {
    let now_s = vector["verify_at"].as_u64().unwrap();
    let value = vector["http_header"]["value"].as_str();
    match text(&vector["http_header"], "name") {
        "X-PAYMENT" => shop::answer_at(offers, now_s, value, None),
        _ => shop::answer_at(offers, now_s, None, value),
    }
}

#[test]
fn every_payment_gets_its_expected_answer() {
    let vectors = vectors(|_| true);
    assert_eq!(vectors.len(), 29);
    for vector in vectors {
        let expected = &vector["expected"];
        match answer(&vector, &[offer(&vector)]) {
            Answer::Accepted(verified) => {
                // Only the token's counter knows that this permit is not the next one.
                let by_chain = text(&vector, "id") == "erc2612-usdm-nonce-7";
                assert!(expected["valid"] == true || by_chain, "{}", vector["id"]);
                let signer = text(&vector, "signer_address").to_lowercase();
                let payer = expected["payer"].as_str().map(str::to_lowercase);
                assert_eq!(
                    verified.payer.to_string(),
                    payer.unwrap_or(signer),
                    "{}",
                    vector["id"]
                );
                assert_eq!(verified.authority, Authority::Key, "{}", vector["id"]);
            }
            Answer::Refused { status, code } => {
                assert_eq!(
                    (status, code.as_str()),
                    (402, text(expected, "error")),
                    "{}",
                    vector["id"]
                );
            }
            Answer::NoPayment => panic!("{} has a payment", vector["id"]),
        }
    }
}

#[test]
fn a_payment_for_another_method_is_never_identified() {
    let wrong_method = TokenTerms::eip3009(
        Network::MEGAETH,
        address(MEGAETH_USDM.address),
        MEGAETH_USDM.domain_name,
        MEGAETH_USDM.domain_version,
    )
    .unwrap();
    let vectors = vectors(|kind| kind != "eip3009");
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        // With a Base offer only, and even with an offer that wrongly trusts USDm with EIP-3009.
        let value = text(&vector["http_header"], "value").as_bytes();
        let payload = decode(Some(value), None).unwrap().unwrap();
        for token in [shop::offer().token(), &wrong_method] {
            assert!(identify(&payload, token).is_err(), "{}", vector["id"]);
        }
    }
}

#[test]
fn our_digests_and_signatures_equal_those_of_other_libraries() {
    let mut compared = 0;
    for vector in vectors(|kind| kind == "eip3009") {
        let message = &vector["typed_data"]["message"];
        let time = |name| text(message, name).parse().unwrap();
        let authorization = Authorization {
            from: address(text(message, "from")),
            to: address(text(message, "to")),
            value: compute_wallet::Uint256::parse_decimal(text(message, "value")).unwrap(),
            valid_after: time("validAfter"),
            valid_before: time("validBefore"),
            nonce: hex::decode(&text(message, "nonce")[2..])
                .unwrap()
                .try_into()
                .unwrap(),
        };
        let domain = &vector["typed_data"]["domain"];
        let network = Network::evm(domain["chainId"].as_u64().unwrap());
        let asset = address(text(domain, "verifyingContract"));
        let token = TokenTerms::eip3009(
            network,
            asset,
            text(domain, "name"),
            text(domain, "version"),
        )
        .unwrap();
        let digest = format!(
            "0x{}",
            hex::encode(authorization.digest(token.as_evm().unwrap()))
        );
        assert_eq!(
            digest,
            text(&vector["signing"], "digest"),
            "{}",
            vector["id"]
        );
        let key = EvmKey::from_hex(text(&vector, "signer_private_key")).unwrap();
        let signed: SignedAuthorization = sign(token.as_evm().unwrap(), authorization, &key);
        assert_eq!(
            signed.to_json()["signature"],
            vector["signing"]["signature"],
            "{}",
            vector["id"]
        );
        compared += 1;
    }
    assert_eq!(compared, 17);
}

// The header of the public script, with Python spacing, as the product's API reference prints it.
#[test]
fn a_payment_of_the_public_script_is_accepted() {
    const HEADER: &str = "eyJ4NDAyVmVyc2lvbiI6IDEsICJzY2hlbWUiOiAiZXhhY3QiLCAibmV0d29yayI6ICJiYXNlIiwgInBheWxvYWQiOiB7InNpZ25hdHVyZSI6ICIweDFjMjc5MmM4NjNjYTVhYjYyY2Y0MzgwODk5MDg5Mzg3OTBhZjI2NzBiMzc1MTNjNjE1ZjIwMDJiODM2ZTY2N2IyZTNiY2MxNjM3ODI1Y2YwNWRiYmEwYWQ3MzA2ZWZlNGMyYzUzNzU2ZDMyYjQyZWQzOTkwY2U3MmQ0OTlkYTdmMWIiLCAiYXV0aG9yaXphdGlvbiI6IHsiZnJvbSI6ICIweDFhNjQyZjBFM2MzYUY1NDVFN0FjQkQzOGIwNzI1MUIzOTkwOTE0RjEiLCAidG8iOiAiMHgzMzI1YTc4NDI1RjE3YTdFNDg3RWI1NjY2YjJiRmQ5M2FCYjA2YzcwIiwgInZhbHVlIjogIjIxNjAwMCIsICJ2YWxpZEFmdGVyIjogIjAiLCAidmFsaWRCZWZvcmUiOiAiMTc2NzIyOTIwMCIsICJub25jZSI6ICIweDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQwNDA0MDQifX19";
    let token = Arc::new(shop::offer().token().clone());
    let pay_to = Recipient::new(address("0x3325a78425F17a7E487Eb5666b2bFd93aBb06c70"));
    let offer = Offer::new(token, pay_to, Amount::new(216_000), 300);
    let Answer::Accepted(verified) = shop::answer_at(&[offer], shop::NOW_S, Some(HEADER), None)
    else {
        panic!("refused");
    };
    assert_eq!(
        verified.proof_key.as_str(),
        format!(
            "eip3009:8453:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913:0x1a642f0e3c3af545e7acbd38b07251b3990914f1:0x{}",
            "04".repeat(32)
        )
    );
}
