//! What has served its time is forgotten, and nothing else.

use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{ChainTransaction, Lane, Purpose, SentState, TxMode};
use compute_testkit::market::now;

use crate::world::World;

const DAYS_90: Span = Span::from_hours(90 * 24);

fn lane() -> Lane {
    Lane::parse("eip155:8453:0xaa").unwrap()
}

fn sent(number: u64, state: SentState, moment: Timestamp) -> ChainTransaction {
    ChainTransaction {
        hash: format!("0x{number:064x}"),
        lane: lane(),
        nonce: Some(number),
        purpose: Purpose::Settle,
        proof_key: None,
        group: None,
        raw: vec![7],
        max_cost: 1,
        valid_until: None,
        state,
        created_at: moment,
        concluded_at: (state != SentState::Open).then_some(moment),
    }
}

async fn add(world: &World, transactions: &[ChainTransaction]) {
    let mut tx = world.market.store.begin(TxMode::Write).await.unwrap();
    tx.lock_lane(&lane(), now(&world.market)).await.unwrap();
    for transaction in transactions {
        tx.add_chain_transaction(transaction).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn is_known(world: &World, transaction: &ChainTransaction) -> bool {
    let mut tx = world.market.store.begin(TxMode::Read).await.unwrap();
    let found = tx.find_chain_transaction(&transaction.hash).await.unwrap();
    found.is_some()
}

#[tokio::test]
async fn what_was_sent_is_forgotten_90_days_after_its_conclusion() {
    let world = World::open().await;
    let start = now(&world.market);
    let concluded = sent(0, SentState::Mined { block: 5 }, start);
    let open = sent(1, SentState::Open, start);
    let late = sent(2, SentState::Void, start.plus(Span::from_millis(1)));
    add(&world, &[concluded.clone(), open.clone(), late.clone()]).await;
    world.market.clock.advance(DAYS_90);
    world.market.engine.clean_up().await.unwrap();
    assert!(is_known(&world, &concluded).await);
    world.market.clock.advance(Span::from_millis(1));
    world.market.engine.clean_up().await.unwrap();
    assert!(!is_known(&world, &concluded).await);
    assert!(is_known(&world, &open).await);
    assert!(is_known(&world, &late).await);
}

#[tokio::test]
async fn one_round_forgets_more_than_one_batch() {
    let world = World::open().await;
    let start = now(&world.market);
    let void = |number| sent(number, SentState::Void, start);
    let all: Vec<_> = (0..2_001).map(void).collect();
    add(&world, &all).await;
    world.market.clock.advance(DAYS_90);
    world.market.clock.advance(Span::from_millis(1));
    world.market.engine.clean_up().await.unwrap();
    for transaction in &all {
        assert!(!is_known(&world, transaction).await);
    }
}
