//! Nobody makes the fee payer sign anything but our own settlement.

use std::sync::Arc;

use compute_engine::StoredProof;
use compute_engine::ports::{Check, Rail as _, Settlement, Settler as _};
use compute_rail_solana::{SolanaConfig, SolanaRail};
use compute_testkit::faults_log;
use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::client::svm_payload_for;
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{SvmLimits, SvmPayTo, SvmTerms, SvmToken, TokenProgram};
use compute_x402::{
    Amount, Network, Offer, PaymentPayload, Recipient, TokenTerms, Version, identify,
};
use serde_json::Value;

use crate::{Market, PRICE, fee_payer, merchant, resource, terms};

/// Transactions of other libraries, good and hostile.
const VECTORS: &str = include_str!("../../../compute-x402/tests/fixtures/svm-vectors.json");

fn key(file: &Value, name: &str) -> SolanaKey {
    let seed = hex::decode(file["accounts"][name]["seed_hex"].as_str().unwrap()).unwrap();
    SolanaKey::from_seed(&seed.try_into().unwrap())
}

fn account(value: &Value) -> SolanaAddress {
    SolanaAddress::parse(value.as_str().unwrap()).unwrap()
}

fn offer_of(requirements: &Value) -> Offer {
    let network = Network::find(requirements["network"].as_str().unwrap()).unwrap();
    let (mint, fee_payer) = (
        account(&requirements["asset"]),
        account(&requirements["extra"]["feePayer"]),
    );
    let terms = SvmTerms::new(network, mint, TokenProgram::Token, 6, fee_payer).unwrap();
    let terms = match requirements["extra"]["memo"].as_str() {
        Some(memo) => terms.with_memo(memo),
        None => terms,
    };
    let amount = requirements.get("amount");
    let amount = amount.unwrap_or(&requirements["maxAmountRequired"]);
    Offer::new(
        Arc::new(TokenTerms::svm(SvmToken::new(terms))),
        Recipient::new(account(&requirements["payTo"])),
        Amount::parse(amount.as_str().unwrap()).unwrap(),
        u32::try_from(requirements["maxTimeoutSeconds"].as_u64().unwrap()).unwrap(),
    )
}

/// Whatever the rail is asked to settle, it refuses for this reason, and signs nothing.
async fn refuses(market: &Market, rail: &SolanaRail, proof: StoredProof, code: &str) {
    let mut payment = market.pay(3);
    let refused = Check::Refused {
        code: code.to_owned(),
    };
    let refused_again = refused.clone();
    assert_eq!(rail.check(&proof).await, Ok(refused));
    assert_eq!(rail.check_for_others(&proof).await, Ok(refused_again));
    // As if somebody had got it past every check before, under whatever name.
    let record = payment.payment().clone();
    let name = identify(&payment.proof().payload, payment.proof().offer.token());
    let name = name.unwrap().proof_key;
    let (for_another, _) = rail.settle_for_others(&proof, &name).await;
    payment = compute_engine::ports::ClaimedPayment::for_conformance_suite(record, proof);
    let outcome = rail.settle(&payment).await;
    let expected = Settlement::Declined {
        code: code.to_owned(),
    };
    assert_eq!((outcome, for_another), (expected.clone(), expected));
    let signed = market.node.complete_transactions();
    assert!(signed.is_empty(), "{code}: something was signed");
    assert_eq!(
        market.row(&payment).await,
        None,
        "{code}: something was written down"
    );
}

#[tokio::test]
async fn every_hostile_transaction_stays_unsigned() {
    let market = Market::open().await;
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let victim = || key(&file, "fee_payer");
    let mut tried = 0;
    for vector in file["vectors"].as_array().unwrap() {
        if vector["expected"]["valid"] == true {
            continue;
        }
        let offer = offer_of(&vector["payment_requirements"]);
        let mut spec = crate::spec();
        spec.token = Arc::new(offer.token().clone());
        spec.pay_to = Recipient::new(offer.pay_to());
        let config = SolanaConfig::new(market.node.url(), victim());
        let clock = Arc::new(market.clock.clone());
        let rail = SolanaRail::new(spec, config, Arc::clone(&market.store), clock).unwrap();
        let proof = StoredProof {
            payload: PaymentPayload::from_json(vector["payment_payload"].clone()).unwrap(),
            offer,
            resource: resource(),
        };
        faults_log::injected("F064");
        let code = vector["expected"]["error"].as_str().unwrap();
        refuses(&market, &rail, proof, code).await;
        tried += 1;
    }
    assert_eq!(tried, 25);
}

/// A payment that is right for the offer it was stored with.
fn proof_for(market: &Market, token: SvmToken, cost: (u32, u64)) -> StoredProof {
    let offer = Offer::new(
        Arc::new(TokenTerms::svm(token.clone())),
        Recipient::new(merchant()),
        Amount::new(PRICE.into()),
        90,
    );
    let pay_to = SvmPayTo::Wallet(merchant());
    let draft = Draft::new(
        token.terms(),
        pay_to,
        offer.amount(),
        market.node.blockhash(),
    );
    let transaction = draft
        .with_cost(cost.0, cost.1)
        .sign(&market.buyer(3, PRICE))
        .unwrap();
    StoredProof {
        payload: svm_payload_for(Version::V2, &offer, resource().as_resource(), &transaction),
        offer,
        resource: resource(),
    }
}

// What is stored beside a payment decides what was agreed, and not what our key is used for.
#[tokio::test]
async fn an_offer_that_is_not_ours_is_not_signed_for() {
    let market = Market::open().await;
    let usual = (20_000, 1);
    let mint = SolanaAddress::new([6; 32]);
    let of = |network, mint, payer| {
        SvmToken::new(SvmTerms::new(network, mint, TokenProgram::Token, 6, payer).unwrap())
    };
    let (ours, usdc) = (fee_payer().address(), terms().mint());
    for (token, cost, code) in [
        (
            of(Network::SOLANA, usdc, SolanaAddress::new([8; 32])),
            usual,
            "invalid_exact_svm_fee_payer_not_managed_by_facilitator",
        ),
        (
            of(Network::SOLANA, mint, ours),
            usual,
            "invalid_exact_svm_payload_mint_mismatch",
        ),
        (
            of(Network::SOLANA_DEVNET, usdc, ours),
            usual,
            "invalid_network",
        ),
        (
            SvmToken::new(terms()).with_limits(SvmLimits {
                max_units: u32::MAX,
                max_unit_price_micro_lamports: u64::MAX,
            }),
            (400_000, 100_001),
            "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high",
        ),
    ] {
        let proof = proof_for(&market, token, cost);
        refuses(&market, &market.rail, proof, code).await;
    }
    // The same maker of payments makes one that settles.
    let proof = proof_for(&market, SvmToken::new(terms()), usual);
    let payment = market.claim(proof);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::Settled(_)), "{outcome:?}");
}

// A stored proof under the name of another payment would be settled once for each name.
#[tokio::test]
async fn a_proof_under_another_name_is_not_signed() {
    let market = Market::open().await;
    let (one, two) = (market.pay(3), market.pay(4));
    let record = one.payment().clone();
    let other = StoredProof::clone(two.proof());
    let mixed = compute_engine::ports::ClaimedPayment::for_conformance_suite(record, other);
    let outcome = market.rail.settle(&mixed).await;
    assert!(matches!(outcome, Settlement::NotSent { .. }), "{outcome:?}");
    assert!(market.node.complete_transactions().is_empty());
}
