use compute_engine::ports::{Rail as _, RailHealth, WalletBalance};
use compute_testkit::faults_log;

use crate::{Market, ata, fee_payer, merchant, terms};

/// After this the rail is not offered, for a reason that says so much.
async fn withdrawn(market: &Market, word: &str) {
    match market.rail.health().await {
        RailHealth::Withdrawn { reason } => assert!(reason.contains(word), "{reason}"),
        RailHealth::Ready => panic!("still offered, in spite of: {word}"),
    }
}

#[tokio::test]
async fn a_rail_with_all_it_needs_is_offered() {
    let market = Market::open().await;
    assert_eq!(market.rail.health().await, RailHealth::Ready);
}

#[tokio::test]
async fn a_node_of_another_network_is_found_out() {
    let market = Market::open().await;
    market.node.misbehave(|it| {
        it.genesis = Some("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG".to_owned());
    });
    withdrawn(&market, "another network").await;
}

#[tokio::test]
async fn a_node_that_is_behind_is_left_out() {
    let market = Market::open().await;
    market
        .clock
        .advance(compute_domain::time::Span::from_secs(61));
    withdrawn(&market, "behind").await;
    market.node.misbehave(|it| it.refuse = 1);
    withdrawn(&market, "Node is behind").await;
}

#[tokio::test]
async fn a_node_without_history_cannot_show_what_was_paid() {
    let market = Market::open().await;
    market.node.misbehave(|it| it.has_no_history = true);
    withdrawn(&market, "history").await;
}

#[tokio::test]
async fn a_recipient_without_a_token_account_is_not_offered() {
    let market = Market::open().await;
    let account = *ata(&merchant()).as_bytes();
    faults_log::injected("F067");
    market.node.close_token_account(account);
    withdrawn(&market, &format!("create {}", ata(&merchant()))).await;
    let mint = *terms().mint().as_bytes();
    market
        .node
        .set_token_account(account, mint, *merchant().as_bytes(), 0);
    assert_eq!(market.rail.health().await, RailHealth::Ready);
    market
        .node
        .change_token_account(account, |it| it.is_frozen = true);
    withdrawn(&market, "frozen").await;
    market
        .node
        .set_token_account(account, [9; 32], *merchant().as_bytes(), 0);
    withdrawn(&market, "no token account").await;
}

#[tokio::test]
async fn the_mint_is_looked_at() {
    let market = Market::open().await;
    market.node.add_mint(*terms().mint().as_bytes(), 9);
    withdrawn(&market, "decimals").await;
}

#[tokio::test]
async fn an_empty_fee_payer_is_not_offered() {
    let market = Market::open().await;
    let account = *fee_payer().address().as_bytes();
    assert_eq!(market.rail.wallet(), None, "nobody has asked");
    market.node.fund(account, 19_999_999);
    withdrawn(&market, "19999999 lamports").await;
    let found = WalletBalance {
        unit: "lamports",
        held: 19_999_999,
        floor: 20_000_000,
    };
    assert_eq!(market.rail.wallet(), Some(found));
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_no_rail() {
    let market = Market::open().await;
    market.node.misbehave(|it| it.hang_up = 1);
    withdrawn(&market, "chain node failed").await;
}
