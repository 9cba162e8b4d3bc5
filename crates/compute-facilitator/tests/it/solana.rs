//! Payments on Solana.

use std::sync::Arc;

use compute_domain::payment::Evidence;
use compute_engine::ports::Settlement;
use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::client::svm_payload_for;
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{SvmPayTo, SvmTerms, SvmToken, SvmTransaction};
use compute_x402::facilitator::{
    SettleClass, Supported, VerifyClass, classify_settle, classify_verify, request_body,
};
use compute_x402::networks::SOLANA_USDC;
use compute_x402::{Amount, Network, Offer, Recipient, TokenTerms, Version};
use http::StatusCode;
use serde_json::{Value, json};

use crate::double::{Desk, Double, RESOURCE, SOLANA_MERCHANT};

const SIGNATURE: &str =
    "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW";
const PRICE: Amount = Amount::new(90);

fn fee_payer() -> SolanaAddress {
    SolanaKey::from_seed(&[0xfe; 32]).address()
}

fn terms() -> SvmTerms {
    SOLANA_USDC.terms(fee_payer()).unwrap()
}

fn buyer() -> SolanaKey {
    SolanaKey::from_seed(&[3; 32])
}

fn desk() -> Desk {
    let mut double = Double::new();
    double.spec.token = Arc::new(TokenTerms::svm(SvmToken::new(terms())));
    double.signer = fee_payer().into();
    double.settlement = Settlement::Settled(Evidence {
        reference: SIGNATURE.to_owned(),
        log_index: None,
    });
    Desk::new(double)
}

fn transaction(pay_to: SvmPayTo) -> SvmTransaction {
    let terms = terms();
    let draft = Draft::new(&terms, pay_to, PRICE, [7; 32]);
    draft.with_memo("unique").sign(&buyer()).unwrap()
}

fn question(version: Version, pay_to: SvmPayTo, transaction: &SvmTransaction) -> Value {
    let token = Arc::new(TokenTerms::svm(SvmToken::new(terms())));
    let offer = Offer::new(token, Recipient::new(pay_to.address()), PRICE, 90);
    let payment = svm_payload_for(version, &offer, RESOURCE, transaction);
    request_body(version, &payment, &offer, RESOURCE)
}

fn ask(version: Version) -> Value {
    let pay_to = SvmPayTo::Wallet(SOLANA_MERCHANT);
    question(version, pay_to, &transaction(pay_to))
}

#[tokio::test]
async fn the_account_that_pays_fees_is_named() {
    let (status, answer) = desk().get("/supported").await;
    assert_eq!(status, StatusCode::OK);
    let account = fee_payer().to_string();
    let kind = |version: u8, network: &str| {
        json!({"x402Version": version, "scheme": "exact", "network": network,
            "extra": {"feePayer": account}})
    };
    let expected = json!([
        kind(1, "solana"),
        kind(2, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
    ]);
    assert_eq!(answer["kinds"], expected);
    assert_eq!(answer["signers"]["solana:*"], json!([account]));
    // Our own client finds it there.
    let supported = Supported::parse(answer.to_string().as_bytes()).unwrap();
    for version in [Version::V1, Version::V2] {
        assert!(supported.supports_fee_payer(version, &Network::SOLANA, &fee_payer()));
    }
}

#[tokio::test]
async fn a_payment_is_verified_and_settled_in_both_versions() {
    for (version, network) in [
        (Version::V1, "solana"),
        (Version::V2, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
    ] {
        let desk = desk();
        let payer = buyer().address();
        let (status, answer) = desk.post("/verify", ask(version)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer, json!({"isValid": true, "payer": payer.to_string()}));
        let class = classify_verify(200, answer.to_string().as_bytes(), &Network::SOLANA);
        let valid = VerifyClass::Valid {
            payer: Some(payer.into()),
        };
        assert_eq!(class, valid);
        let (status, answer) = desk.post("/settle", ask(version)).await;
        assert_eq!(status, StatusCode::OK);
        let expected = json!({
            "success": true, "transaction": SIGNATURE, "network": network, "amount": "90",
            "payer": payer.to_string(),
        });
        assert_eq!(answer, expected);
        let class = classify_settle(200, answer.to_string().as_bytes(), &Network::SOLANA);
        assert!(matches!(class, SettleClass::Settled { .. }), "{class:?}");
    }
}

// Whoever sees a payment can write into the signature that is still to be made.
#[tokio::test]
async fn one_message_settles_once_however_it_is_written() {
    let desk = desk();
    let pay_to = SvmPayTo::Wallet(SOLANA_MERCHANT);
    let transaction = transaction(pay_to);
    let written = SvmTransaction::from_wire(&transaction.with_fee_payer_signature([7; 64]));
    let (first, second) = (
        question(Version::V2, pay_to, &transaction),
        question(Version::V1, pay_to, &written.unwrap()),
    );
    let payload = |question: &Value| question["paymentPayload"]["payload"].clone();
    assert_ne!(payload(&first), payload(&second));
    let (_, answer) = desk.post("/settle", first).await;
    assert_eq!(answer["success"], true);
    let (_, answer) = desk.post("/settle", second).await;
    assert_eq!(answer["errorReason"], "duplicate_settlement");
    assert_eq!(desk.asked().len(), 1);
}

#[tokio::test]
async fn a_token_account_of_the_list_is_paid_itself() {
    let desk = desk();
    let pay_to = SvmPayTo::TokenAccount(SOLANA_MERCHANT);
    let body = question(Version::V2, pay_to, &transaction(pay_to));
    let (_, answer) = desk.post("/verify", body).await;
    assert_eq!(answer["isValid"], true);
    assert_eq!(desk.asked(), ["check"]);
}

#[tokio::test]
async fn what_our_own_checks_refuse_never_reaches_the_chain() {
    let stranger = SvmPayTo::Wallet(SolanaAddress::new([8; 32]));
    let other_account = {
        let mut body = ask(Version::V2);
        for place in [
            "/paymentRequirements/extra/feePayer",
            "/paymentPayload/accepted/extra/feePayer",
        ] {
            *body.pointer_mut(place).unwrap() = json!(SolanaAddress::new([9; 32]).to_string());
        }
        body
    };
    let cheaper = {
        let mut body = ask(Version::V1);
        body["paymentRequirements"]["maxAmountRequired"] = json!("89");
        body
    };
    let elsewhere = {
        let mut body = ask(Version::V1);
        body["paymentRequirements"]["payTo"] = json!(SOLANA_MERCHANT.to_string());
        let pay_to = SvmPayTo::Wallet(SolanaAddress::new([8; 32]));
        let other = question(Version::V1, pay_to, &transaction(pay_to));
        body["paymentPayload"] = other["paymentPayload"].clone();
        body
    };
    for (body, code) in [
        (
            question(Version::V2, stranger, &transaction(stranger)),
            "invalid_payment_requirements",
        ),
        (
            other_account,
            "invalid_exact_svm_fee_payer_not_managed_by_facilitator",
        ),
        (cheaper, "invalid_exact_svm_payload_amount_mismatch"),
        (elsewhere, "invalid_exact_svm_payload_recipient_mismatch"),
    ] {
        let desk = desk();
        for (path, reason) in [("/verify", "invalidReason"), ("/settle", "errorReason")] {
            let (status, answer) = desk.post(path, &body).await;
            assert_eq!((status, &answer[reason]), (StatusCode::OK, &json!(code)));
        }
        assert_eq!(desk.asked(), [""; 0], "{code}");
    }
}
