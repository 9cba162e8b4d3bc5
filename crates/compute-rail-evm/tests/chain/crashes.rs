//! The process dies at every call to the node and at every transaction of the database.

use std::sync::Arc;

use compute_engine::ports::{Rail as _, Settlement, Store};
use compute_testkit::crash::{Crash, MortalStore};
use compute_testkit::faults_log::injected;
use compute_testkit::node_proxy::{Moment, NodeFault};
use serde_json::json;

use crate::bill::Way;
use crate::cases;
use crate::till::{Terms, Till, unclear};
use crate::town::{Chain, Town};

cases! {
    "F003 F004", "dead before every call to the node, in turn: settled once (EIP-3009)", transfer_before;
    "F003 F041", "dead after every call to the node, in turn: settled once (EIP-3009)", transfer_after;
    "F003 F004", "dead before every call to the node, in turn: settled once (permit)", permit_before;
    "F003 F069", "dead after every call to the node, in turn: settled once (permit)", permit_after;
    "F003 F004", "dead before every call to the node, in turn: settled once (Permit2)", permit2_before;
    "F003 F041", "dead after every call to the node, in turn: settled once (Permit2)", permit2_after;
    "F003 F071", "dead at every call while a gap is filled and a price raised, in turn: settled once", tending;
    "F002 F005", "dead at every transaction of the database, in turn: settled once (all ways)", at_commits;
}

async fn transfer_before(town: &Town) {
    die_at_calls(&town.base, Way::Transfer, Moment::Before, "F004").await;
}

async fn transfer_after(town: &Town) {
    die_at_calls(&town.base, Way::Transfer, Moment::After, "F041").await;
}

async fn permit_before(town: &Town) {
    die_at_calls(&town.megaeth, Way::Permit, Moment::Before, "F004").await;
}

async fn permit_after(town: &Town) {
    die_at_calls(&town.megaeth, Way::Permit, Moment::After, "F069").await;
}

async fn permit2_before(town: &Town) {
    die_at_calls(&town.megaeth, Way::Sponsored, Moment::Before, "F004").await;
}

async fn permit2_after(town: &Town) {
    die_at_calls(&town.megaeth, Way::Sponsored, Moment::After, "F041").await;
}

async fn die_at_calls(chain: &Chain, way: Way, moment: Moment, fault: &'static str) {
    let mut till = Till::open(chain).await;
    let mut deaths = 0;
    for call in 1.. {
        let bill = till.bill(way).await;
        till.proxy.kill_at(call, moment);
        let survived = tokio::select! {
            outcome = till.settle(&bill) => Some(outcome),
            () = till.proxy.death() => None,
        };
        let has_died = survived.is_none();
        till.proxy.mend();
        till.restart();
        let evidence = till.insist(&bill).await;
        till.assert_moved_once(&bill, &evidence).await;
        let again = till.rail.settle(&bill.claimed).await;
        assert_eq!(again, Settlement::Settled(evidence));
        if !has_died {
            break;
        }
        injected("F003");
        injected(fault);
        deaths += 1;
    }
    assert!(
        deaths >= 8,
        "{deaths} calls are fewer than a settlement needs"
    );
    till.rail.tend().await;
    till.chain.mine(5).await;
    till.rail.tend().await;
    assert!(till.waiting().await.is_empty(), "nothing is left behind");
    assert_eq!(
        till.mined_and_failed().await.1,
        0,
        "nothing was sent for nothing"
    );
}

async fn tending(town: &Town) {
    let chain = &town.base;
    let mut deaths = 0;
    for call in 1.. {
        chain.settle_down().await;
        let mut till = Till::on_terms(chain, Terms::hasty()).await;
        let bill = till.bill(Way::Transfer).await;
        let high = NodeFault::Lie(json!("0x1"));
        till.proxy
            .break_calls("F071", "eth_getTransactionCount", "", high);
        unclear(&till.attempt(&bill).await);
        till.wait_until_sent(&bill).await;
        till.proxy.mend();
        till.change_terms(Terms::default());
        // The first round fills number 0, which is too cheap by the time of the second.
        chain.hold().await;
        till.rail.tend().await;
        chain.set_next_base_fee(20_000_000_000).await;
        chain.mine(1).await;
        till.pass(13);
        till.proxy.kill_at(call, Moment::After);
        let has_died = tokio::select! {
            () = till.rail.tend() => false,
            () = till.proxy.death() => true,
        };
        till.proxy.mend();
        till.restart();
        chain.release().await;
        for _ in 0..4 {
            till.pass(13);
            till.rail.tend().await;
        }
        let evidence = till.insist(&bill).await;
        till.assert_moved_once(&bill, &evidence).await;
        assert_eq!(till.mined_and_failed().await, (2, 0), "{call}");
        if !has_died {
            break;
        }
        injected("F003");
        deaths += 1;
    }
    assert!(deaths >= 8, "{deaths}");
}

async fn at_commits(town: &Town) {
    for way in Way::ALL {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let mut till = Till::open(chain).await;
        let whole = Arc::clone(&till.store);
        let mut deaths = 0;
        for transaction in 1.. {
            let bill = till.bill(way).await;
            let crash = Crash::default();
            let mortal: Arc<dyn Store> =
                Arc::new(MortalStore::new(Arc::clone(&whole), crash.clone()));
            till.restart_over(&mortal);
            crash.at_transaction(transaction);
            // A dead database and a dead process look the same to those who come after.
            let _ = till.settle(&bill).await;
            let has_died = crash.is_dead();
            till.restart_over(&whole);
            let evidence = till.insist(&bill).await;
            till.assert_moved_once(&bill, &evidence).await;
            if !has_died {
                break;
            }
            injected("F002");
            injected("F005");
            deaths += 1;
        }
        assert!(deaths >= 3, "{way:?}: {deaths}");
        assert_eq!(till.mined_and_failed().await.1, 0, "{way:?}");
    }
}
