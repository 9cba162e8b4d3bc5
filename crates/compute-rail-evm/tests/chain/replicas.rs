//! Two replicas with one hot wallet.

use std::collections::BTreeSet;
use std::sync::Arc;

use compute_engine::ports::{Rail as _, Store};
use compute_store::Database;
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use futures::future::join_all;
use futures::join;

use crate::bill::{Bill, Way};
use crate::cases;
use crate::till::{PRICE, Terms, Till, unclear};
use crate::town::{Chain, Town, quantity};

cases! {
    "F071", "20 payments at once through two replicas on PostgreSQL: 20 transfers, no number twice", transfers;
    "F071", "20 permits and Permit2 payments at once through two replicas on PostgreSQL", permits;
    "F071", "two replicas raise the price of one transaction at once: it is raised once", one_price;
    "F055 F071", "one payment 16 times at once through two replicas: one transfer", one_payment;
}

async fn transfers(town: &Town) {
    crowd(&town.base, &[Way::Transfer]).await;
}

async fn permits(town: &Town) {
    crowd(&town.megaeth, &[Way::Permit, Way::Sponsored]).await;
}

async fn crowd(chain: &Chain, ways: &[Way]) {
    let database = TestDatabase::postgres().await;
    let till = Till::over(chain, Terms::default(), database.store()).await;
    let other = Database::connect(database.config()).await.unwrap();
    let other: Arc<dyn Store> = Arc::new(other);
    let replica = till.replica(&other);
    let mut bills: Vec<Bill> = Vec::new();
    for number in 0..20 {
        bills.push(till.bill(ways[number % ways.len()]).await);
    }
    injected("F071");
    // Each payment through one of them, all at once, and the line tended meanwhile.
    let settle = async |number: usize, bill: &Bill| {
        let rail = if number.is_multiple_of(2) {
            &till.rail
        } else {
            &replica
        };
        till.insist_through(rail, bill).await
    };
    let settling = bills
        .iter()
        .enumerate()
        .map(|(number, bill)| settle(number, bill));
    let (evidence, (), ()) = join!(join_all(settling), till.rail.tend(), replica.tend());
    for (bill, evidence) in bills.iter().zip(&evidence) {
        till.assert_moved_once(bill, evidence).await;
    }
    for _ in 0..4 {
        join!(till.rail.tend(), replica.tend());
        chain.mine(1).await;
    }
    assert_eq!(
        chain.balance(till.treasury).await,
        20 * PRICE,
        "everything is with the treasury"
    );
    assert!(till.waiting().await.is_empty());
    let receipts = till.receipts().await;
    let failed = receipts.iter().filter(|it| quantity(&it["status"]) == 0);
    assert_eq!(failed.count(), 0);
    let mut numbers = BTreeSet::new();
    for bill in &bills {
        for transaction in till.signed_for(bill).await {
            assert!(
                numbers.insert(transaction.nonce),
                "a number was given twice"
            );
        }
    }
}

async fn one_price(town: &Town) {
    let database = TestDatabase::postgres().await;
    town.base.settle_down().await;
    let mut till = Till::over(&town.base, Terms::hasty(), database.store()).await;
    let bill = till.bill(Way::Transfer).await;
    till.chain.hold().await;
    unclear(&till.attempt(&bill).await);
    till.wait_until_sent(&bill).await;
    till.chain.set_next_base_fee(20_000_000_000).await;
    till.chain.mine(1).await;
    till.pass(13);
    injected("F071");
    till.change_terms(Terms::default());
    let other = Database::connect(database.config()).await.unwrap();
    let other: Arc<dyn Store> = Arc::new(other);
    let replica = till.replica(&other);
    join!(
        till.rail.tend(),
        replica.tend(),
        till.rail.tend(),
        replica.tend()
    );
    assert_eq!(till.signed_for(&bill).await.len(), 2);
    till.chain.release().await;
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
}

async fn one_payment(town: &Town) {
    for way in Way::ALL {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let till = Till::open(chain).await;
        let replica = till.replica(&till.store);
        let bill = till.bill(way).await;
        injected("F055");
        injected("F071");
        let settle = async |number: usize| {
            let rail = if number.is_multiple_of(2) {
                &till.rail
            } else {
                &replica
            };
            rail.settle(&bill.claimed).await
        };
        join_all((0..16).map(settle)).await;
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
        assert_eq!(till.mined_and_failed().await.1, 0);
    }
}
