//! Settling for other shops: what a facilitator service asks of the rail.

use compute_domain::WalletAddress;
use compute_engine::StoredProof;
use compute_engine::ports::{Check, Settlement, Settler as _};
use compute_rail_solana::SolanaConfigError;
use compute_testkit::rail_suite::record_sale;
use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::client::svm_payload_for;
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{SvmPayTo, SvmToken};
use compute_x402::facilitator::request_body;
use compute_x402::facilitator::service::{FacilitatorRequest, RequestError};
use compute_x402::{
    Amount, Offer, ProofKey, Recipient, TokenTerms, ValidityWindow, Version, verify,
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{Market, NOW_S, PRICE, ata, declined, fee_payer, merchant, reference, resource, terms};

/// A wallet of another shop.
fn other() -> SolanaAddress {
    SolanaKey::from_seed(&[0x61; 32]).address()
}

/// A token account of another shop, whose owner nobody knows.
fn till() -> SolanaAddress {
    SolanaKey::from_seed(&[0x62; 32]).address()
}

/// A market whose fee payer serves two other shops, both with an account for the token.
async fn open() -> Market {
    let market = Market::with(|config| config.other_recipients = vec![other(), till()]).await;
    let mint = *terms().mint().as_bytes();
    let accounts = [(ata(&other()), other()), (till(), merchant())];
    for (account, owner) in accounts {
        market
            .node
            .set_token_account(*account.as_bytes(), mint, *owner.as_bytes(), 0);
    }
    market
}

/// What another shop asks about a payment that this buyer made, for what it offered.
fn question(
    market: &Market,
    version: Version,
    buyer: &SolanaKey,
    pay_to: SvmPayTo,
    memo: Option<&str>,
) -> Value {
    let mut terms = terms();
    if let Some(memo) = memo {
        terms = terms.with_memo(memo);
    }
    let price = Amount::new(PRICE.into());
    let unique = hex::encode(market.node.blockhash());
    let draft = Draft::new(&terms, pay_to, price, market.node.blockhash());
    let draft = draft.with_memo(memo.unwrap_or(&unique));
    let transaction = draft.sign(buyer).unwrap();
    let mut token = SvmToken::new(terms.clone());
    if let SvmPayTo::TokenAccount(_) = pay_to {
        token = token.to_token_accounts();
    }
    let token = std::sync::Arc::new(TokenTerms::svm(token));
    let offer = Offer::new(token, Recipient::new(pay_to.address()), price, 90);
    let resource = resource();
    let payload = svm_payload_for(version, &offer, resource.as_resource(), &transaction);
    request_body(version, &payload, &offer, resource.as_resource())
}

/// A question as the service hands it to the rail.
fn proof_of(market: &Market, question: &Value) -> (StoredProof, ProofKey) {
    let request = FacilitatorRequest::parse(question.to_string().as_bytes()).unwrap();
    let offer = request
        .offer(&market.rail.terms_for_others().unwrap())
        .unwrap();
    let window = ValidityWindow::at(NOW_S);
    let verified = verify(request.payment(), std::slice::from_ref(&offer), window).unwrap();
    let proof = StoredProof {
        payload: request.payment().clone(),
        offer,
        resource: resource(),
    };
    (proof, verified.proof_key)
}

fn asked(market: &Market, buyer: u8, pay_to: SvmPayTo) -> (StoredProof, ProofKey) {
    let buyer = market.buyer(buyer, PRICE);
    let question = question(market, Version::V2, &buyer, pay_to, None);
    proof_of(market, &question)
}

fn refused(code: &str) -> Check {
    Check::Refused {
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn a_payment_to_another_shop_settles_once() {
    let market = open().await;
    let shop = SvmPayTo::Wallet(other());
    for (version, buyer) in [(Version::V1, 3), (Version::V2, 4)] {
        let buyer = market.buyer(buyer, PRICE);
        let question = question(&market, version, &buyer, shop, None);
        let (proof, key) = proof_of(&market, &question);
        assert_eq!(market.rail.check_for_others(&proof).await, Ok(Check::Fine));
        let (settlement, named) = market.rail.settle_for_others(&proof, &key).await;
        let transaction = reference(&settlement).unwrap();
        assert!(market.node.carried_out().contains(&transaction));
        assert_eq!(named, None);
        let payer = *buyer.address().as_bytes();
        assert_eq!(market.node.times_paid_by(payer), 1);
        // Whoever verifies it once more is told that it is used.
        let used = refused("duplicate_settlement");
        assert_eq!(market.rail.check_for_others(&proof).await, Ok(used));
        // Who settles it once more is told of the same transaction, and nothing is sent.
        let sent = market.node.times_sent();
        let (again, _) = market.rail.settle_for_others(&proof, &key).await;
        assert_eq!(reference(&again), Some(transaction));
        assert_eq!(market.node.times_sent(), sent);
    }
    let paid = market.node.tokens(*ata(&other()).as_bytes());
    assert_eq!((paid, market.merchant_has()), (2 * PRICE, 0));
    let signer = market.rail.signer();
    assert_eq!(signer, WalletAddress::Solana(fee_payer().address()));
}

#[tokio::test]
async fn a_shop_may_be_paid_into_its_token_account_itself() {
    let market = open().await;
    let (proof, key) = asked(&market, 3, SvmPayTo::TokenAccount(till()));
    assert_eq!(market.rail.check_for_others(&proof).await, Ok(Check::Fine));
    let (settlement, _) = market.rail.settle_for_others(&proof, &key).await;
    assert!(reference(&settlement).is_some(), "{settlement:?}");
    assert_eq!(market.node.tokens(*till().as_bytes()), PRICE);
}

// Anybody can make an account that belongs to a token account, and nobody can use what is in it.
#[tokio::test]
async fn what_belongs_to_a_token_account_is_not_paid() {
    let market = open().await;
    let mint = *terms().mint().as_bytes();
    let lost = *ata(&till()).as_bytes();
    market
        .node
        .set_token_account(lost, mint, *till().as_bytes(), 0);
    let (proof, key) = asked(&market, 3, SvmPayTo::Wallet(till()));
    let code = "invalid_exact_svm_payload_recipient_mismatch";
    let check = market.rail.check_for_others(&proof).await;
    assert_eq!(check, Ok(refused(code)));
    let (settlement, _) = market.rail.settle_for_others(&proof, &key).await;
    assert_eq!(settlement, declined(code));
    assert!(market.node.complete_transactions().is_empty());
}

#[tokio::test]
async fn nobody_else_is_paid() {
    let market = open().await;
    let stranger = SolanaKey::from_seed(&[0x63; 32]).address();
    let mint = *terms().mint().as_bytes();
    for recipient in [stranger, merchant()] {
        let account = *ata(&recipient).as_bytes();
        market
            .node
            .set_token_account(account, mint, *recipient.as_bytes(), 0);
        let (proof, key) = asked(&market, 3, SvmPayTo::Wallet(recipient));
        let code = "invalid_payment_requirements";
        let check = market.rail.check_for_others(&proof).await;
        assert_eq!(check, Ok(refused(code)));
        let (settlement, _) = market.rail.settle_for_others(&proof, &key).await;
        assert_eq!(settlement, declined(code));
    }
    assert!(market.node.complete_transactions().is_empty());
}

#[tokio::test]
async fn a_shop_without_an_account_is_told_so() {
    let market = open().await;
    market.node.close_token_account(*ata(&other()).as_bytes());
    let (proof, _) = asked(&market, 3, SvmPayTo::Wallet(other()));
    let code = "invalid_exact_svm_payload_transaction_receiver_ata_not_found";
    let check = market.rail.check_for_others(&proof).await;
    assert_eq!(check, Ok(refused(code)));
}

// As when an account of this shop was put on the list after a sale.
#[tokio::test]
async fn what_this_shop_sold_for_is_not_settled_for_another() {
    let market = open().await;
    let (proof, key) = asked(&market, 3, SvmPayTo::Wallet(other()));
    let payment = market.claim(proof.clone());
    record_sale(&market.store, payment.payment()).await;
    let (settlement, _) = market.rail.settle_for_others(&proof, &key).await;
    assert_eq!(settlement, declined("duplicate_settlement"));
    assert!(market.node.complete_transactions().is_empty());
}

#[tokio::test]
async fn the_memo_of_an_offer_is_asked_for() {
    let market = open().await;
    let buyer = market.buyer(3, PRICE);
    let shop = SvmPayTo::Wallet(other());
    let asked = question(&market, Version::V2, &buyer, shop, Some("order 7"));
    let (proof, key) = proof_of(&market, &asked);
    let (settlement, _) = market.rail.settle_for_others(&proof, &key).await;
    assert!(reference(&settlement).is_some(), "{settlement:?}");
    // The same payment for an offer with another memo.
    let mut other_memo = asked;
    other_memo["paymentRequirements"]["extra"]["memo"] = json!("order 8");
    other_memo["paymentPayload"]["accepted"]["extra"]["memo"] = json!("order 8");
    let request = FacilitatorRequest::parse(other_memo.to_string().as_bytes()).unwrap();
    let offer = request
        .offer(&market.rail.terms_for_others().unwrap())
        .unwrap();
    let error = verify(request.payment(), &[offer], ValidityWindow::at(NOW_S)).unwrap_err();
    assert_eq!(
        error.code().as_str(),
        "invalid_exact_svm_payload_memo_mismatch"
    );
}

#[tokio::test]
async fn what_an_offer_must_name_is_asked_for() {
    let market = open().await;
    let buyer = market.buyer(3, PRICE);
    let shop = SvmPayTo::Wallet(other());
    let terms = market.rail.terms_for_others().unwrap();
    let offer = |version, change: fn(&mut Value)| {
        let mut question = question(&market, version, &buyer, shop, None);
        change(&mut question["paymentRequirements"]);
        let request = FacilitatorRequest::parse(question.to_string().as_bytes()).unwrap();
        request.offer(&terms)
    };
    let error = |version, change| offer(version, change).unwrap_err();
    assert!(offer(Version::V1, |_| ()).is_ok());
    let stranger = |it: &mut Value| it["extra"]["feePayer"] = json!(merchant().to_string());
    let found = error(Version::V2, stranger);
    assert_eq!(found, RequestError::FeePayer);
    let code = "invalid_exact_svm_fee_payer_not_managed_by_facilitator";
    assert_eq!(found.code().as_str(), code);
    let missing = RequestError::Requirement("extra.feePayer");
    assert_eq!(error(Version::V1, |it| it["extra"] = json!({})), missing);
    assert_eq!(error(Version::V2, |it| it["extra"] = json!(null)), missing);
    let memo = RequestError::Requirement("extra.memo");
    let number = |it: &mut Value| it["extra"]["memo"] = json!(7);
    assert_eq!(error(Version::V2, number), memo);
    // A memo that no client of version 1 writes.
    let text = |it: &mut Value| it["extra"]["memo"] = json!("order 7");
    assert_eq!(error(Version::V1, text), memo);
}

#[tokio::test]
async fn what_is_pending_is_named_and_found_later() {
    let market = Market::with(|config| {
        config.other_recipients = vec![other()];
        config.timeouts.call = std::time::Duration::from_millis(300);
    })
    .await;
    let mint = *terms().mint().as_bytes();
    let account = *ata(&other()).as_bytes();
    market
        .node
        .set_token_account(account, mint, *other().as_bytes(), 0);
    let (proof, key) = asked(&market, 3, SvmPayTo::Wallet(other()));
    market.node.misbehave(|it| it.hold = true);
    let outcomes = join_all((0..3).map(|_| market.rail.settle_for_others(&proof, &key))).await;
    for (settlement, named) in outcomes {
        assert!(matches!(settlement, Settlement::Unknown { .. }));
        assert!(named.is_some());
    }
    market.node.include_held();
    let (settlement, _) = market.rail.settle_for_others(&proof, &key).await;
    assert_eq!(reference(&settlement), market.node.carried_out().pop());
    assert_eq!(market.node.tokens(account), PRICE);
}

#[tokio::test]
async fn the_fee_payer_is_nobodys_recipient() {
    let market = open().await;
    let mut config = compute_rail_solana::SolanaConfig::new(market.node.url(), fee_payer());
    config.other_recipients = vec![other(), fee_payer().address()];
    let clock = std::sync::Arc::new(market.clock.clone());
    let store = std::sync::Arc::clone(&market.store);
    let rail = compute_rail_solana::SolanaRail::new(crate::spec(), config, store, clock);
    assert_eq!(rail.err(), Some(SolanaConfigError::RecipientIsFeePayer));
}
