//! Direct permits: two transactions, of which others may run ahead of the first.

use compute_engine::ports::{Check, Lookup, Purpose, Rail as _, Settlement};
use compute_testkit::faults_log::injected;
use futures::join;

use crate::bill::Way;
use crate::cases;
use crate::till::{PRICE, Terms, Till, refusal, refused, unclear};
use crate::town::Town;

cases! {
    "F068", "somebody submits the permit before us: one transaction of ours", run_ahead;
    "F068", "somebody submits the permit while ours is in flight: settled", run_ahead_in_flight;
    "F068", "two permits of one owner at once: one after the other, both settle", consecutive;
    "F068", "two permits with one number: the second is refused", same_number;
    "F069", "the process dies between permit and transfer: taken once", dies_between;
    "F069", "the approval is taken back before the transfer: nothing is signed for it", revoked_before;
    "F069", "the approval is taken back while the transfer is in flight: never a second one", revoked_in_flight;
    "F047", "the payer spends the money between permit and transfer: declined, and never taken later", drained_between;
    "F071", "a permit waits in line behind another payment of its owner", waits_for_owner;
}

async fn run_ahead(town: &Town) {
    let till = Till::open(&town.megaeth).await;
    let bill = till.bill(Way::Permit).await;
    let (to, data) = till.call_of(&bill).await;
    let hash = till.chain.observe(to, &data).await;
    till.chain.expect_success(&hash).await;
    injected("F068");
    assert_eq!(till.check(&bill).await, Check::Fine);
    assert_eq!(till.rail.lookup(&bill.claimed).await, Ok(Lookup::NotYet));
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.mined_and_failed().await, (1, 0));
    assert_eq!(refused(till.check(&bill).await), "invalid_permit_nonce");
}

async fn run_ahead_in_flight(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let bill = till.bill(Way::Permit).await;
    let (to, data) = till.call_of(&bill).await;
    till.chain.hold().await;
    unclear(&till.attempt(&bill).await);
    till.wait_until_sent(&bill).await;
    till.chain.observe(to, &data).await;
    injected("F068");
    till.chain.release().await;
    till.change_terms(Terms::default());
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(
        till.mined_and_failed().await,
        (2, 1),
        "our permit failed, and that is all"
    );
}

async fn consecutive(town: &Town) {
    let till = Till::open(&town.megaeth).await;
    let key = till.chain.fresh_key();
    till.chain.mint(key.address(), 2 * PRICE).await;
    let first = till.bill_of(Way::Permit, &key, 0).await;
    let second = till.bill_of(Way::Permit, &key, 1).await;
    assert_eq!(
        refused(till.check(&second).await),
        "invalid_permit_nonce",
        "not yet"
    );
    injected("F068");
    let (one, two) = join!(till.settle(&second), till.settle(&first));
    for outcome in [&one, &two] {
        assert!(
            !matches!(outcome, Settlement::Declined { .. }),
            "{outcome:?}"
        );
    }
    till.insist(&first).await;
    till.insist(&second).await;
    assert_eq!(till.chain.balance(till.treasury).await, 2 * PRICE);
    assert_eq!(till.chain.balance(key.address()).await, 0);
    assert_eq!(till.moves(&first).await.len(), 2);
    assert_eq!(till.mined_and_failed().await, (4, 0));
}

async fn same_number(town: &Town) {
    let till = Till::open(&town.megaeth).await;
    let key = till.chain.fresh_key();
    till.chain.mint(key.address(), 2 * PRICE).await;
    let first = till.bill_of(Way::Permit, &key, 0).await;
    till.chain.wait_seconds(2).await;
    let second = till.bill_of(Way::Permit, &key, 0).await;
    let key_of = |bill: &crate::bill::Bill| bill.claimed.payment().proof_key.clone();
    assert_eq!(key_of(&first), key_of(&second), "one can be claimed");
    let evidence = till.insist(&first).await;
    injected("F068");
    assert_eq!(refused(till.check(&second).await), "invalid_permit_nonce");
    till.assert_paid_once(&first, &evidence).await;
}

async fn dies_between(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let bill = till.bill(Way::Permit).await;
    till.stop_before_pull(&bill).await;
    assert_eq!(till.chain.allowance(bill.payer, till.hot).await, PRICE);
    injected("F069");
    till.change_terms(Terms::default());
    assert_eq!(till.rail.lookup(&bill.claimed).await, Ok(Lookup::NotYet));
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.mined_and_failed().await, (2, 0));
}

async fn revoked_before(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let bill = till.bill(Way::Permit).await;
    till.stop_before_pull(&bill).await;
    till.chain.approve(bill.payer, till.hot, 0).await;
    injected("F069");
    till.change_terms(Terms::default());
    unclear(&till.settle(&bill).await);
    till.chain.mine(5).await;
    assert_eq!(refusal(till.settle(&bill).await), "invalid_permit_nonce");
    assert_eq!(till.mined_and_failed().await, (1, 0), "the permit alone");
    till.assert_unpaid(&bill).await;
}

async fn revoked_in_flight(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let bill = till.bill(Way::Permit).await;
    till.stop_before_pull(&bill).await;
    till.chain.hold().await;
    till.attempt_until(&bill, Purpose::Pull).await;
    till.wait_until_sent(&bill).await;
    till.chain.revoke_next(bill.payer, till.hot).await;
    injected("F069");
    till.chain.release().await;
    till.change_terms(Terms::default());
    unclear(&till.settle(&bill).await);
    till.chain.mine(5).await;
    assert_eq!(refusal(till.settle(&bill).await), "invalid_permit_nonce");
    // What was refused is not taken when the approval comes back.
    till.chain.approve(bill.payer, till.hot, PRICE).await;
    for _ in 0..3 {
        till.rail.tend().await;
    }
    assert_eq!(till.mined_and_failed().await, (2, 1));
    till.assert_unpaid(&bill).await;
}

async fn drained_between(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let bill = till.bill(Way::Permit).await;
    till.stop_before_pull(&bill).await;
    till.chain.drain(bill.payer).await;
    injected("F047");
    till.change_terms(Terms::default());
    assert_eq!(refusal(till.settle(&bill).await), "insufficient_funds");
    till.chain.mint(bill.payer, PRICE).await;
    for _ in 0..3 {
        till.rail.tend().await;
    }
    assert_eq!(till.mined_and_failed().await, (1, 0));
    till.assert_unpaid(&bill).await;
}

async fn waits_for_owner(town: &Town) {
    let mut till = Till::on_terms(&town.megaeth, Terms::hasty()).await;
    let key = till.chain.fresh_key();
    till.chain.mint(key.address(), 2 * PRICE).await;
    let first = till.bill_of(Way::Permit, &key, 0).await;
    let second = till.bill_of(Way::Permit, &key, 1).await;
    till.stop_before_pull(&first).await;
    injected("F071");
    till.change_terms(Terms::default());
    // Its permit would take away what the first was approved for.
    assert_eq!(till.check(&second).await, Check::Fine);
    crate::till::not_sent(&till.settle(&second).await);
    assert_eq!(till.signed_for(&second).await, []);
    till.insist(&first).await;
    till.insist(&second).await;
    assert_eq!(till.chain.balance(till.treasury).await, 2 * PRICE);
    assert_eq!(till.mined_and_failed().await, (4, 0));
}
