use compute_engine::ports::{Check, Rail as _};
use compute_x402::Version;

use crate::{Market, ata, merchant};

async fn check(market: &Market, payer: u8) -> Check {
    let payment = market.pay(payer);
    check_of(market, &payment).await
}

async fn check_of(market: &Market, payment: &compute_engine::ports::ClaimedPayment) -> Check {
    let outcome = market.rail.check(payment.proof()).await.unwrap();
    // Whatever came of it, nobody got a transaction that could be carried out.
    assert_eq!(market.node.complete_transactions(), Vec::<Vec<u8>>::new());
    outcome
}

fn refused(code: &str) -> Check {
    Check::Refused {
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn a_payment_of_either_version_is_fine() {
    let market = Market::open().await;
    for version in [Version::V1, Version::V2] {
        let payment = market.pay_in(version, 3);
        assert_eq!(check_of(&market, &payment).await, Check::Fine);
    }
}

#[tokio::test]
async fn a_payer_without_money_or_account_is_refused() {
    let market = Market::open().await;
    let poor = market.buyer(3, crate::PRICE - 1);
    let payment = market.pay_by(Version::V2, &poor);
    assert_eq!(
        check_of(&market, &payment).await,
        refused("insufficient_funds")
    );
    market
        .node
        .close_token_account(*ata(&poor.address()).as_bytes());
    assert_eq!(
        check_of(&market, &payment).await,
        refused("insufficient_funds")
    );
}

#[tokio::test]
async fn our_own_missing_account_is_named() {
    let market = Market::open().await;
    market
        .node
        .close_token_account(*ata(&merchant()).as_bytes());
    let expected = "invalid_exact_svm_payload_transaction_receiver_ata_not_found";
    assert_eq!(check(&market, 3).await, refused(expected));
}

#[tokio::test]
async fn an_old_or_unknown_blockhash_is_refused() {
    let market = Market::open().await;
    let payment = market.pay(3);
    market.advance(151);
    let expected = refused("transaction_simulation_failed");
    assert_eq!(check_of(&market, &payment).await, expected);
}

#[tokio::test]
async fn what_would_fail_on_the_chain_is_refused() {
    let market = Market::open().await;
    let payment = market.pay(3);
    let buyer = market.buyer(3, crate::PRICE).address();
    market
        .node
        .change_token_account(*ata(&buyer).as_bytes(), |it| it.is_frozen = true);
    let expected = refused("transaction_simulation_failed");
    assert_eq!(check_of(&market, &payment).await, expected);
}

#[tokio::test]
async fn a_node_without_an_answer_is_no_verdict() {
    let market = Market::open().await;
    let payment = market.pay(3);
    market.node.misbehave(|it| it.hang_up = 1);
    market.rail.check(payment.proof()).await.unwrap_err();
    market.node.misbehave(|it| it.refuse = 1);
    market.rail.check(payment.proof()).await.unwrap_err();
    assert_eq!(check_of(&market, &payment).await, Check::Fine);
}

#[tokio::test]
async fn what_was_signed_before_is_no_new_payment() {
    let market = Market::open().await;
    let payment = market.pay(3);
    market.rail.settle(&payment).await;
    market.buyer(3, crate::PRICE);
    let outcome = market.rail.check(payment.proof()).await;
    assert_eq!(outcome, Ok(refused("duplicate_settlement")));
}
