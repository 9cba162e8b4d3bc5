//! Payments on Solana by way of the whole crate: challenge, header, decoding, verification.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_x402::client::{PaymentRequired, svm_payload_for};
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{SvmToken, TokenProgram};
use compute_x402::facilitator::request_body;
use compute_x402::networks::{KnownMint, SOLANA_USDC};
use compute_x402::{
    Amount, Authority, Challenge, ErrorCode, Network, Offer, Recipient, Resource, TokenTerms,
    ValidityWindow, VerifyError, Version, decode, identify, verify,
};
use serde_json::{Value, json};

use super::vectors::{self, amount, program, text, vectors};
use super::{PRICE, account, buyer, fee_payer, merchant, pay_to, terms};
use crate::shop::{self, Answer, NOW_S, RESOURCE, answer_at, refused, to_header};

/// The offer that a vector answers; memos are asked of version 2 only.
fn offer_of(vector: &Value) -> Offer {
    let terms = vectors::terms(vector, program(vector));
    let pay_to = text(&vector["payment_requirements"], "payTo");
    let seconds = vector["payment_requirements"]["maxTimeoutSeconds"].as_u64();
    Offer::new(
        Arc::new(TokenTerms::svm(SvmToken::new(terms))),
        Recipient::new(account(pay_to)),
        amount(vector),
        u32::try_from(seconds.unwrap()).unwrap(),
    )
}

fn answer_to_vector(vector: &Value) -> Answer {
    let header = to_header(&vector["payment_payload"]);
    match vector["payment_payload"]["x402Version"].as_u64() {
        Some(1) => answer_at(&[offer_of(vector)], NOW_S, Some(&header), None),
        _ => answer_at(&[offer_of(vector)], NOW_S, None, Some(&header)),
    }
}

#[test]
fn every_vector_gets_its_status_and_code() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 33);
    for vector in vectors {
        let (id, expected) = (&vector["id"], &vector["expected"]);
        match answer_to_vector(&vector) {
            Answer::Accepted(verified) => {
                assert_eq!(expected["valid"], true, "{id}");
                assert_eq!(
                    verified.payer,
                    account(text(expected, "payer")).into(),
                    "{id}"
                );
                assert_eq!(verified.value, amount(&vector), "{id}");
                assert_eq!(verified.authority, Authority::Key, "{id}");
                assert_eq!(verified.valid_before, NOW_S + 150, "{id}");
                let hash = STANDARD
                    .decode(text(&vector, "message_sha256_base64"))
                    .unwrap();
                let caip2 = offer_of(&vector).network().caip2().to_owned();
                let genesis = caip2.strip_prefix("solana:").unwrap();
                let proof = format!("svm:{genesis}:{}", hex::encode(hash));
                assert_eq!(verified.proof_key.as_str(), proof, "{id}");
            }
            Answer::Refused { status, code } => {
                assert_eq!(code, text(expected, "error"), "{id}");
                let is_undecodable = code.ends_with("could_not_be_decoded");
                assert_eq!(status, if is_undecodable { 400 } else { 402 }, "{id}");
            }
            Answer::NoPayment => panic!("{id} is no payment"),
        }
    }
}

fn offer() -> Offer {
    let token = Arc::new(TokenTerms::svm(SvmToken::new(terms().with_memo("m7"))));
    Offer::new(token, Recipient::new(merchant()), PRICE, 90)
}

fn payment(version: Version) -> Value {
    let draft_terms = match version {
        Version::V1 => terms(),
        Version::V2 => terms().with_memo("m7"),
    };
    let transaction = Draft::new(&draft_terms, pay_to(), PRICE, [9; 32]).sign(&buyer());
    svm_payload_for(version, &offer(), RESOURCE, &transaction.unwrap()).to_json()
}

fn answer(json: &Value) -> Answer {
    answer_at(&[offer()], NOW_S, Some(&to_header(json)), None)
}

#[test]
fn both_versions_pay_and_only_the_second_brings_the_memo() {
    for version in [Version::V1, Version::V2] {
        assert!(
            matches!(answer(&payment(version)), Answer::Accepted(_)),
            "{version:?}"
        );
    }
    let transaction = Draft::new(&terms(), pay_to(), PRICE, [9; 32]).sign(&buyer());
    let bare = svm_payload_for(Version::V2, &offer(), RESOURCE, &transaction.unwrap());
    let refusal = refused(402, "invalid_exact_svm_payload_memo_count");
    assert_eq!(answer(&bare.to_json()), refusal);
}

// x402 reference, 14.4 rows 69 and 70. Whatever is no text is refused before any network is looked
// at, so it has the code of the envelope.
#[test]
fn what_is_no_transaction_is_malformed() {
    let undecodable = "invalid_exact_svm_payload_transaction_could_not_be_decoded";
    for (transaction, code) in [
        (json!(""), undecodable),
        (json!("!"), undecodable),
        (json!("AAAA"), undecodable),
        (json!(7), "invalid_payload"),
        (Value::Null, "invalid_payload"),
        (json!({}), "invalid_payload"),
    ] {
        for version in [Version::V1, Version::V2] {
            let mut payment = payment(version);
            payment["payload"]["transaction"] = transaction.clone();
            assert_eq!(answer(&payment), refused(400, code), "{transaction}");
        }
    }
}

// 14.1 row 19.
#[test]
fn a_payment_of_another_method_is_malformed() {
    let mut on_solana = payment(Version::V1);
    let signed = shop::payment(Version::V1, shop::authorization());
    on_solana["payload"] = signed["payload"].clone();
    assert_eq!(answer(&on_solana), refused(400, "invalid_payload"));
    on_solana["payload"]["transaction"] = payment(Version::V1)["payload"]["transaction"].clone();
    assert_eq!(answer(&on_solana), refused(400, "invalid_payload"));

    let mut on_base = signed;
    on_base["payload"] = payment(Version::V1)["payload"].clone();
    assert_eq!(shop::answer_to(&on_base), refused(400, "invalid_payload"));
}

#[test]
fn a_price_that_was_valid_until_recently_is_found() {
    let cheaper = offer().with_amount(Amount::new(1));
    for version in [Version::V1, Version::V2] {
        let header = to_header(&payment(version));
        let decoded = decode(Some(header.as_bytes()), None).unwrap().unwrap();
        let window = ValidityWindow::at(NOW_S);
        let found = verify(&decoded, &[cheaper.clone(), offer()], window).unwrap();
        assert_eq!(found.offer_index, 1, "{version:?}");
        let error = verify(&decoded, std::slice::from_ref(&cheaper), window).unwrap_err();
        assert!(error.may_be_another_price(), "{version:?}: {error}");
    }
    let error = verify(&decode_v1(), &[on_devnet()], ValidityWindow::at(NOW_S)).unwrap_err();
    assert_eq!(error, VerifyError::Network);
    assert!(!error.may_be_another_price());
}

fn decode_v1() -> compute_x402::PaymentPayload {
    let header = to_header(&payment(Version::V1));
    decode(Some(header.as_bytes()), None).unwrap().unwrap()
}

fn on_devnet() -> Offer {
    let known = compute_x402::networks::SOLANA_DEVNET_USDC;
    let token = SvmToken::new(known.terms(fee_payer().address()).unwrap());
    Offer::new(
        Arc::new(TokenTerms::svm(token)),
        Recipient::new(merchant()),
        PRICE,
        90,
    )
}

#[test]
fn a_repeat_is_recognised_at_any_price_by_its_message() {
    let mut garbage = payment(Version::V1);
    let wire = STANDARD.decode(garbage["payload"]["transaction"].as_str().unwrap());
    let mut wire = wire.unwrap();
    wire[1..65].fill(5);
    garbage["payload"]["transaction"] = STANDARD.encode(wire).into();
    let header = to_header(&garbage);
    let garbage = decode(Some(header.as_bytes()), None).unwrap().unwrap();
    let other_price = offer().with_amount(Amount::new(1));
    let (first, second) = (
        identify(&decode_v1(), other_price.token()).unwrap(),
        identify(&garbage, offer().token()).unwrap(),
    );
    assert_eq!(first, second);
    assert_eq!(
        (first.payer, first.value),
        (buyer().address().into(), PRICE)
    );
    assert_eq!(first.pay_to, pay_to().destination(&terms()).into());
    let verified = verify(&garbage, &[offer()], ValidityWindow::at(NOW_S)).unwrap();
    assert_eq!(verified.proof_key, first.proof_key);
    // In another token it is no payment at all, whoever signed it.
    let mint = compute_wallet::SolanaAddress::new([6; 32]);
    let other = compute_x402::exact_svm::SvmTerms::new(
        Network::SOLANA,
        mint,
        TokenProgram::Token,
        6,
        fee_payer().address(),
    );
    let other = TokenTerms::svm(SvmToken::new(other.unwrap()));
    assert!(identify(&decode_v1(), &other).is_err());
}

#[test]
fn a_recipient_that_is_a_token_account_is_paid_itself() {
    let destination = pay_to().destination(&terms());
    let token = SvmToken::new(terms()).to_token_accounts();
    let token = Arc::new(TokenTerms::svm(token));
    let offer = Offer::new(token, Recipient::new(destination), PRICE, 90);
    let header = to_header(&payment(Version::V1));
    let answer = answer_at(&[offer], NOW_S, Some(&header), None);
    assert!(matches!(answer, Answer::Accepted(_)), "{answer:?}");
}

#[test]
fn an_offer_names_the_fee_payer_and_the_memo_where_it_is_read() {
    let (offer, fee_payer) = (offer(), fee_payer().address().to_string());
    let resource = RESOURCE.to_wire();
    let v1 = serde_json::to_value(offer.to_v1(&resource)).unwrap();
    assert_eq!(v1["network"], "solana");
    assert_eq!(v1["extra"], json!({ "feePayer": fee_payer }));
    let v2 = serde_json::to_value(offer.to_v2()).unwrap();
    assert_eq!(v2["extra"], json!({ "feePayer": fee_payer, "memo": "m7" }));
    assert_eq!(
        (&v2["asset"], &v2["payTo"]),
        (&json!(super::USDC), &json!(merchant().to_string()))
    );
    assert_eq!(offer.token().as_evm(), None);
}

#[test]
fn an_echo_with_another_fee_payer_or_memo_is_no_offer_of_ours() {
    for name in ["feePayer", "memo"] {
        let mut changed = payment(Version::V2);
        changed["accepted"]["extra"][name] = merchant().to_string().into();
        assert_eq!(
            answer(&changed),
            refused(402, "invalid_payment_requirements")
        );
    }
}

#[test]
fn a_client_pays_what_the_challenge_asks() {
    let offers = [shop::offer(), offer()];
    let challenge = Challenge::new(RESOURCE, &offers, &ErrorCode::PaymentRequired);
    let header = challenge.payment_required("solana");
    let body = serde_json::to_vec(&challenge.v1_body("solana")).unwrap();
    for required in [
        PaymentRequired::from_header(header.as_bytes()).unwrap(),
        PaymentRequired::from_body(&body).unwrap(),
    ] {
        let [asked] = required.svm_offers() else {
            panic!("one offer on Solana: {required:?}");
        };
        assert_eq!((asked.amount(), asked.pay_to()), (PRICE, merchant()));
        assert_eq!(
            KnownMint::find(asked.network(), &asked.mint()),
            Some(&SOLANA_USDC)
        );
        let asked_terms = asked.known_terms().unwrap();
        let draft = Draft::new(&asked_terms, pay_to(), asked.amount(), [9; 32]);
        let payment = required.pay_by_transaction(asked, &draft.sign(&buyer()).unwrap());
        let verified = verify(&payment, &offers, ValidityWindow::at(NOW_S)).unwrap();
        assert_eq!(verified.offer_index, 1);
    }
}

#[test]
fn a_facilitator_is_sent_the_transaction_and_our_own_offer() {
    let payload = decode_v1();
    let resource = Resource::new("https://compute.example/x", "a thing", "text/plain");
    for (version, network) in [
        (Version::V1, "solana"),
        (Version::V2, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
    ] {
        let body = request_body(version, &payload, &offer(), resource);
        let requirements = &body["paymentRequirements"];
        assert_eq!(requirements["network"], network);
        assert_eq!(
            requirements["extra"]["feePayer"],
            fee_payer().address().to_string()
        );
        assert_eq!(
            body["paymentPayload"]["payload"],
            payload.to_json()["payload"]
        );
    }
}
