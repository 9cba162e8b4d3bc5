//! The line of the hot wallet: transactions that are lost, stuck, replaced, or behind a gap.

use compute_engine::ports::{Lookup, Purpose, Rail as _, RailHealth, Settlement};
use compute_testkit::faults_log::injected;
use compute_testkit::node_proxy::NodeFault;
use serde_json::{Value, json};

use crate::bill::{Bill, Way};
use crate::cases;
use crate::till::{PRICE, Terms, Till, not_sent, unclear};
use crate::town::Town;

cases! {
    "F071", "a transaction that the node forgets is sent again while we wait", forgotten_at_once;
    "F071", "a transaction that falls out of the pool is sent again", dropped_from_the_pool;
    "F071", "a transaction that is stuck for its price is paid more, and moves the money once", stuck;
    "F071", "above the highest price it waits, and goes on when the price falls", above_the_ceiling;
    "F040 F041", "a transaction that is mined after our time-out is found", mined_late;
    "F071", "a wallet that is used by hand takes a number: signed again at another one", used_by_hand;
    "F071", "a permit whose number is taken by hand is signed again", permit_used_by_hand;
    "F071", "a pull whose number is taken by hand is signed again", pull_used_by_hand;
    "F071", "a node that names a number too high leaves a gap, which is filled", gap;
    "F071", "one answer with a number far too high is not believed", glitch;
    "F071", "a filling that is too cheap is paid more", cheap_filling;
    "F071", "a count that is too high at every block: signed twice, moved once", count_ahead;
    "F071", "an older one of several prices is mined, long ago", older_sibling;
    "F145", "a wallet with a long past and a new database", long_past;
    "F145", "a database that is behind the wallet goes on at the chain's number", database_behind;
}

/// Signs and sends a payment to a chain that does not go on.
async fn send_and_hold<'a>(town: &'a Town, way: Way) -> (Till<'a>, Bill) {
    let chain = match way {
        Way::Transfer => &town.base,
        _ => &town.megaeth,
    };
    // The price that the case before has left would be another one.
    chain.settle_down().await;
    let till = Till::on_terms(chain, Terms::hasty()).await;
    let bill = till.bill(way).await;
    till.chain.hold().await;
    unclear(&till.attempt(&bill).await);
    till.wait_until_sent(&bill).await;
    (till, bill)
}

async fn forgotten_at_once(town: &Town) {
    for (chain, way) in [(&town.base, Way::Transfer), (&town.megaeth, Way::Permit)] {
        let till = Till::open(chain).await;
        let bill = till.bill(way).await;
        let forgets = NodeFault::Lie(json!(format!("0x{:064x}", 1)));
        till.proxy
            .break_times("F071", "eth_sendRawTransaction", forgets, 1);
        let Settlement::Settled(evidence) = till.settle(&bill).await else {
            panic!("one call is enough")
        };
        till.assert_paid_once(&bill, &evidence).await;
        let sent = till.proxy.calls("eth_sendRawTransaction");
        assert_eq!(sent[0], sent[1], "the same bytes");
    }
}

async fn dropped_from_the_pool(town: &Town) {
    for way in Way::ALL {
        let (mut till, bill) = send_and_hold(town, way).await;
        let [sent] = till.signed_for(&bill).await.try_into().unwrap();
        till.chain.drop_transaction(&sent.hash).await;
        injected("F071");
        till.chain.mine(1).await;
        assert_eq!(till.chain.count(till.hot).await, 0);
        till.rail.tend().await;
        till.chain.release().await;
        till.change_terms(Terms::default());
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
        assert_eq!(till.signed_for(&bill).await[0].hash, sent.hash);
    }
}

async fn stuck(town: &Town) {
    for way in [Way::Transfer, Way::Permit, Way::Sponsored] {
        let (mut till, bill) = send_and_hold(town, way).await;
        let first = till.signed_for(&bill).await;
        till.chain.set_next_base_fee(20_000_000_000).await;
        injected("F071");
        till.chain.mine(1).await;
        till.rail.tend().await;
        assert_eq!(till.signed_for(&bill).await, first, "not yet");
        till.pass(13);
        till.rail.tend().await;
        let both = till.signed_for(&bill).await;
        assert_eq!(both.len(), 2, "{both:?}");
        assert_eq!(both[0].nonce, both[1].nonce);
        assert!(both[1].max_cost > both[0].max_cost);
        till.chain.release().await;
        till.change_terms(Terms::default());
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
        assert_eq!(till.mined_and_failed().await.1, 0);
    }
}

async fn above_the_ceiling(town: &Town) {
    let (mut till, bill) = send_and_hold(town, Way::Transfer).await;
    till.chain.set_next_base_fee(200_000_000_000).await;
    injected("F071");
    till.chain.mine(1).await;
    till.pass(13);
    till.rail.tend().await;
    assert_eq!(
        till.signed_for(&bill).await.len(),
        1,
        "nothing above the ceiling is signed"
    );
    assert!(matches!(
        till.rail.health().await,
        RailHealth::Withdrawn { .. }
    ));
    till.chain.set_next_base_fee(1_000_000_000).await;
    till.chain.mine(1).await;
    till.chain.release().await;
    till.change_terms(Terms::default());
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
}

async fn mined_late(town: &Town) {
    for way in Way::ALL {
        let (mut till, bill) = send_and_hold(town, way).await;
        injected("F040");
        injected("F041");
        assert_eq!(till.rail.lookup(&bill.claimed).await, Ok(Lookup::NotYet));
        till.chain.release().await;
        till.change_terms(Terms::default());
        if way == Way::Permit {
            assert_eq!(till.rail.lookup(&bill.claimed).await, Ok(Lookup::NotYet));
            let evidence = till.insist(&bill).await;
            till.assert_paid_once(&bill, &evidence).await;
            continue;
        }
        let Ok(Lookup::Settled(evidence)) = till.rail.lookup(&bill.claimed).await else {
            panic!("{way:?}: the transfer is there to be seen")
        };
        till.assert_paid_once(&bill, &evidence).await;
    }
}

/// The pool forgets what waits for the wallet's next number, and a transaction by hand takes it.
async fn take_number(till: &Till<'_>, hash: &str) {
    let count = till.chain.count(till.hot).await;
    till.chain.drop_transaction(hash).await;
    till.chain.act_at(till.hot, count).await;
    injected("F071");
    till.chain.release().await;
    assert_eq!(till.chain.count(till.hot).await, count + 1);
}

async fn used_by_hand(town: &Town) {
    for way in [Way::Transfer, Way::Sponsored] {
        let (mut till, bill) = send_and_hold(town, way).await;
        let [first] = till.signed_for(&bill).await.try_into().unwrap();
        take_number(&till, &first.hash).await;
        unclear(&till.settle(&bill).await);
        assert_eq!(
            till.signed_for(&bill).await.len(),
            1,
            "not before it is certain"
        );
        till.chain.mine(5).await;
        till.change_terms(Terms::default());
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
        let both = till.signed_for(&bill).await;
        assert_eq!(both.len(), 2);
        assert_ne!(both[0].nonce, both[1].nonce);
        assert_eq!(till.mined_and_failed().await.1, 0);
    }
}

async fn permit_used_by_hand(town: &Town) {
    let (mut till, bill) = send_and_hold(town, Way::Permit).await;
    let [first] = till.signed_for(&bill).await.try_into().unwrap();
    take_number(&till, &first.hash).await;
    till.chain.mine(5).await;
    till.change_terms(Terms::default());
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(
        till.mined_and_failed().await,
        (3, 0),
        "by hand, permit, transfer"
    );
}

async fn pull_used_by_hand(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let bill = till.bill(Way::Permit).await;
    till.stop_before_pull(&bill).await;
    till.chain.hold().await;
    till.attempt_until(&bill, Purpose::Pull).await;
    let sent = till.signed_for(&bill).await;
    let pull = sent.iter().find(|it| it.purpose == Purpose::Pull).unwrap();
    take_number(&till, &pull.hash).await;
    till.chain.mine(5).await;
    till.change_terms(Terms::default());
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(
        till.mined_and_failed().await,
        (3, 0),
        "permit, by hand, transfer"
    );
}

async fn gap(town: &Town) {
    for (chain, way) in [(&town.base, Way::Transfer), (&town.megaeth, Way::Permit)] {
        let mut till = Till::on_terms(chain, Terms::hasty()).await;
        let (bill, next) = (till.bill(way).await, till.bill(way).await);
        let count = till.chain.count(till.hot).await;
        let high = NodeFault::Lie(json!(format!("{:#x}", count + 3)));
        till.proxy
            .break_calls("F071", "eth_getTransactionCount", "", high);
        unclear(&till.attempt(&bill).await);
        till.wait_until_sent(&bill).await;
        till.proxy.mend();
        assert_eq!(
            till.chain.count(till.hot).await,
            count,
            "nothing can be mined"
        );
        // A payment that comes meanwhile waits in the same line.
        unclear(&till.attempt(&next).await);
        till.change_terms(Terms::default());
        for _ in 0..3 {
            till.rail.tend().await;
        }
        for bill in [&bill, &next] {
            let evidence = till.insist(bill).await;
            till.assert_paid_once(bill, &evidence).await;
        }
        assert_eq!(till.mined_and_failed().await.1, 0);
        assert!(till.chain.count(till.hot).await >= count + 5);
        till.rail.tend().await;
        assert!(till.waiting().await.is_empty());
    }
}

async fn glitch(town: &Town) {
    for way in Way::ALL {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let till = Till::open(chain).await;
        let bill = till.bill(way).await;
        let high = NodeFault::Lie(json!("0xffff"));
        till.proxy
            .break_times("F071", "eth_getTransactionCount", high, 1);
        not_sent(&till.settle(&bill).await);
        assert_eq!(till.signed_for(&bill).await, []);
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
        assert_eq!(till.signed_for(&bill).await[0].nonce, Some(0));
    }
}

async fn long_past(town: &Town) {
    let till = Till::open(&town.base).await;
    for nonce in 0..20 {
        let hash = till.chain.act_at(till.hot, nonce).await;
        till.chain.expect_success(&hash).await;
    }
    injected("F145");
    till.chain.mine(4).await;
    let bill = till.bill(Way::Transfer).await;
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.signed_for(&bill).await[0].nonce, Some(20));
}

async fn cheap_filling(town: &Town) {
    let mut till = Till::on_terms(&town.base, Terms::hasty()).await;
    let bill = till.bill(Way::Transfer).await;
    let high = NodeFault::Lie(json!("0x1"));
    till.proxy
        .break_calls("F071", "eth_getTransactionCount", "", high);
    unclear(&till.attempt(&bill).await);
    till.wait_until_sent(&bill).await;
    till.proxy.mend();
    till.chain.hold().await;
    till.change_terms(Terms::default());
    till.rail.tend().await;
    let fillings = async || {
        let mut open = till.waiting().await;
        open.retain(|it| it.purpose == Purpose::Fill);
        open
    };
    assert_eq!(fillings().await.len(), 1);
    till.chain.set_next_base_fee(20_000_000_000).await;
    till.chain.mine(1).await;
    assert_eq!(till.chain.count(till.hot).await, 0, "too cheap");
    till.pass(13);
    till.rail.tend().await;
    assert_eq!(fillings().await.len(), 2, "paid more");
    till.chain.release().await;
    till.pass(13);
    till.rail.tend().await;
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    till.rail.tend().await;
    assert!(till.waiting().await.is_empty());
    assert_eq!(till.mined_and_failed().await, (2, 0));
}

async fn count_ahead(town: &Town) {
    for way in Way::ALL {
        let (mut till, bill) = send_and_hold(town, way).await;
        let high = NodeFault::Lie(json!("0x5"));
        till.proxy
            .break_calls("F071", "eth_getTransactionCount", "", high);
        for _ in 0..50 {
            unclear(&till.settle(&bill).await);
            if till.signed_for(&bill).await.len() > 1 {
                break;
            }
        }
        assert_eq!(till.signed_for(&bill).await.len(), 2);
        till.proxy.mend();
        till.chain.release().await;
        till.change_terms(Terms::default());
        till.rail.tend().await;
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
        for _ in 0..5 {
            till.rail.tend().await;
            till.chain.mine(2).await;
        }
        till.assert_moved_once(&bill, &evidence).await;
        assert_eq!(
            till.mined_and_failed().await.1,
            1,
            "{way:?}: the second costs its gas"
        );
        assert!(till.waiting().await.is_empty());
        // The line goes on.
        let next = till.bill(way).await;
        let evidence = till.insist(&next).await;
        till.assert_paid_once(&next, &evidence).await;
    }
}

async fn older_sibling(town: &Town) {
    for way in Way::ALL {
        let (mut till, bill) = send_and_hold(town, way).await;
        till.pass(13);
        // The dearer one never reaches the pool.
        let forgets = NodeFault::Lie(json!(format!("0x{:064x}", 1)));
        till.proxy
            .break_calls("F071", "eth_sendRawTransaction", "", forgets);
        till.rail.tend().await;
        assert_eq!(till.signed_for(&bill).await.len(), 2);
        till.chain.release().await;
        till.chain.mine(9).await;
        till.proxy.mend();
        till.change_terms(Terms::default());
        let Settlement::Settled(evidence) = till.settle(&bill).await else {
            panic!("{way:?}: the older one is in")
        };
        till.assert_paid_once(&bill, &evidence).await;
        assert_eq!(till.mined_and_failed().await.1, 0);
    }
}

async fn database_behind(town: &Town) {
    let till = Till::open(&town.base).await;
    for nonce in 0..3 {
        let hash = till.chain.act_at(till.hot, nonce).await;
        till.chain.expect_success(&hash).await;
    }
    injected("F145");
    let bill = till.bill(Way::Transfer).await;
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.signed_for(&bill).await[0].nonce, Some(3));
    assert_eq!(till.takings().await, PRICE);
    assert_ne!(
        till.chain.transaction(&evidence.reference).await,
        Value::Null
    );
}
