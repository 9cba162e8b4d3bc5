//! The chain takes back what it has shown.

use compute_engine::ports::{Rail as _, Settlement};
use compute_testkit::faults_log::injected;
use compute_testkit::node_proxy::NodeFault;
use serde_json::json;

use crate::bill::Way;
use crate::cases;
use crate::till::{Terms, Till};
use crate::town::{Chain, Town};

cases! {
    "F054", "a transfer is taken back before it is deep enough: sent again, settled once", before_conclusion;
    "F054", "a settled transfer is taken back: the same transaction is sent again", after_conclusion;
    "F054", "a settled transfer is taken back: the next payments do not wait behind it", line_goes_on;
    "F054 F071", "a node without old blocks: the line goes on", no_old_blocks;
    "F054", "a permit is taken back with the transfer in flight: settled once", permit_taken_back;
}

fn chain_of(town: &Town, way: Way) -> &Chain {
    match way {
        Way::Transfer => &town.base,
        _ => &town.megaeth,
    }
}

/// Takes back every block after this one; nothing that was in them comes back by itself.
async fn take_back(chain: &Chain, to: u64) {
    let (head, _) = chain.head().await;
    chain.reorganize(head - to).await;
    injected("F054");
}

async fn before_conclusion(town: &Town) {
    for way in Way::ALL {
        let mut terms = Terms::hasty();
        terms.confirmations = 3;
        terms.finality_blocks = 6;
        let mut till = Till::on_terms(chain_of(town, way), terms.clone()).await;
        let bill = till.bill(way).await;
        let (before, _) = till.chain.head().await;
        crate::till::unclear(&till.attempt(&bill).await);
        till.wait_until_sent(&bill).await;
        till.wait_until_included(&bill).await;
        take_back(till.chain, before).await;
        till.assert_unpaid(&bill).await;
        terms.timeouts = Terms::default().timeouts;
        terms.timeouts.call = std::time::Duration::from_millis(500);
        till.change_terms(terms);
        let evidence = till.insist_while_mining(&bill).await;
        till.chain.mine(3).await;
        till.assert_moved_once(&bill, &evidence).await;
        assert_eq!(till.mined_and_failed().await.1, 0);
    }
}

async fn after_conclusion(town: &Town) {
    for way in Way::ALL {
        let till = Till::open(chain_of(town, way)).await;
        let bill = till.bill(way).await;
        let (before, _) = till.chain.head().await;
        let evidence = till.insist(&bill).await;
        till.come_to_rest().await;
        take_back(till.chain, before).await;
        till.assert_unpaid(&bill).await;
        assert_eq!(till.chain.count(till.hot).await, 0);
        for _ in 0..4 {
            till.rail.tend().await;
            till.chain.mine(1).await;
        }
        till.assert_paid_again(&bill, &evidence).await;
        assert_eq!(till.mined_and_failed().await.1, 0, "{way:?}");
        assert!(till.waiting().await.is_empty());
    }
}

async fn line_goes_on(town: &Town) {
    for way in Way::ALL {
        let till = Till::open(chain_of(town, way)).await;
        let (first, next) = (till.bill(way).await, till.bill(way).await);
        let (before, _) = till.chain.head().await;
        till.insist(&first).await;
        till.come_to_rest().await;
        take_back(till.chain, before).await;
        // It goes on behind numbers that the chain does not have any more.
        let (evidence, ()) = futures::join!(till.insist(&next), till.tend_on());
        till.assert_moved_once(&next, &evidence).await;
        for _ in 0..3 {
            till.rail.tend().await;
        }
        let Settlement::Settled(again) = till.settle(&first).await else {
            panic!("{way:?}: the first one is in again")
        };
        till.assert_paid_once(&first, &again).await;
        assert_eq!(till.mined_and_failed().await.1, 0, "{way:?}");
    }
}

async fn no_old_blocks(town: &Town) {
    let mut till = Till::on_terms(&town.base, Terms::hasty()).await;
    let (first, second) = (
        till.bill(Way::Transfer).await,
        till.bill(Way::Transfer).await,
    );
    let gap = NodeFault::Lie(json!("0x2"));
    till.proxy
        .break_calls("F071", "eth_getTransactionCount", "", gap);
    for bill in [&first, &second] {
        crate::till::unclear(&till.attempt(bill).await);
        till.wait_until_sent(bill).await;
    }
    till.proxy.mend();
    till.change_terms(Terms::default());
    // It knows the newest count, and not that of a block some time ago.
    let lacks = NodeFault::Refuse(-32_000, "missing trie node");
    till.proxy
        .break_calls("F071", "eth_getTransactionCount", ",\"0x", lacks);
    for _ in 0..2 {
        till.rail.tend().await;
    }
    for bill in [&first, &second] {
        let evidence = till.insist(bill).await;
        till.assert_paid_once(bill, &evidence).await;
    }
}

async fn permit_taken_back(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let bill = till.bill(Way::Permit).await;
    let (before, _) = till.chain.head().await;
    till.stop_before_pull(&bill).await;
    till.chain.hold().await;
    till.attempt_until(&bill, compute_engine::ports::Purpose::Pull)
        .await;
    take_back(till.chain, before).await;
    till.chain.release().await;
    till.change_terms(Terms::default());
    let (evidence, ()) = futures::join!(till.insist(&bill), till.tend_on());
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.mined_and_failed().await, (2, 0));
}
