//! What the rail shows of what reaches its addresses.

use compute_domain::operation::{Operation, OperationKind};
use compute_domain::payment::{Evidence, Payment};
use compute_engine::ports::{ClaimOutcome, Rail as _, SeenTransfer, TxMode};
use compute_testkit::faults_log::injected;
use compute_testkit::node_proxy::NodeFault;
use compute_wallet::{EvmAddress, WalletAddress};

use crate::bill::{Bill, Way};
use crate::cases;
use crate::till::{PRICE, Terms, Till};
use crate::town::{Chain, Town};

cases! {
    "F085", "money that nobody announced is shown once it is final, and not before", unannounced;
    "F085", "what payers pay is shown as it was settled; what is swept is not", sweeps;
    "F085", "nothing, other tokens and what goes elsewhere are not shown", no_arrivals;
    "F085", "many blocks and many tiny transfers come in parts, each once, from a node with limits", parts;
    "F085", "a node of another chain, or one that is away, shows nothing", wrong_node;
    "F085 F054", "what the chain takes back before it is final is never shown", taken_back;
    "F054", "a payment that the chain took back is noted until it is in again", noted;
}

impl Till<'_> {
    /// Where payers pay to.
    fn pay_to(&self) -> EvmAddress {
        match self.rail.spec().pay_to.address() {
            WalletAddress::Evm(pay_to) => pay_to,
            WalletAddress::Solana(_) => panic!("an EVM chain has EVM accounts"),
        }
    }

    /// Where what arrives from now on begins.
    async fn mark(&self) -> String {
        let page = self.rail.arrivals(None).await.unwrap();
        assert_eq!((page.transfers, page.has_more), (Vec::new(), false));
        page.cursor
    }

    /// Everything that is final after a mark, and where it ends.
    async fn shown_since(&self, mark: &str) -> (Vec<SeenTransfer>, String, usize) {
        let (mut shown, mut cursor, mut parts) = (Vec::new(), mark.to_owned(), 0);
        loop {
            let page = self.rail.arrivals(Some(&cursor)).await.unwrap();
            shown.extend(page.transfers);
            cursor = page.cursor;
            parts += 1;
            if !page.has_more {
                return (shown, cursor, parts);
            }
        }
    }

    /// Writes a payment down as a saga does that has settled it.
    async fn write_down(&self, bill: &Bill, evidence: &Evidence) -> Payment {
        let payment = bill.claimed.payment().clone();
        let now = payment.claimed_at;
        let operation = Operation::open(
            payment.operation,
            OperationKind::Topup,
            payment.owner,
            None,
            [9; 32],
            now,
        );
        let mut tx = self.store.begin(TxMode::Write).await.unwrap();
        tx.ensure_owner(payment.owner, payment.payer.as_ref().unwrap(), now)
            .await
            .unwrap();
        tx.open_operation(&operation, "till", now).await.unwrap();
        let claimed = tx.claim_payment(&payment, b"sealed").await.unwrap();
        assert_eq!(claimed, ClaimOutcome::Claimed);
        let settled = payment.settle(evidence.clone(), now).unwrap();
        tx.save_payment(&settled).await.unwrap();
        tx.commit().await.unwrap();
        settled
    }

    async fn is_reverted(&self, payment: &Payment) -> bool {
        let mut tx = self.store.begin(TxMode::Read).await.unwrap();
        let since = tx.reverted_since(payment.id).await.unwrap();
        tx.rollback().await.unwrap();
        since.is_some()
    }
}

async fn unannounced(town: &Town) {
    for chain in [&town.base, &town.megaeth] {
        let till = Till::open(chain).await;
        let stranger = chain.fresh_key().address();
        chain.mint(stranger, 3 * PRICE).await;
        let mark = till.mark().await;
        let mut sent = Vec::new();
        for to in [till.pay_to(), till.treasury] {
            sent.push(chain.transfer(stranger, to, PRICE + 1).await);
        }
        injected("F085");
        let (shown, mark, _) = till.shown_since(&mark).await;
        assert_eq!(shown, [], "not final yet");
        chain.mine(3).await;
        let (shown, mark, _) = till.shown_since(&mark).await;
        let moved = chain.moves_of(stranger).await;
        assert_eq!(moved.len(), 2);
        for ((seen, hash), moved) in shown.iter().zip(&sent).zip(&moved) {
            assert_eq!(seen.reference, *hash);
            assert_eq!(seen.log_index, moved.log_index);
            assert_eq!(seen.payer, Some(WalletAddress::Evm(stranger)));
            assert_eq!(seen.atomic, PRICE + 1);
        }
        assert_eq!(shown.len(), 2);
        chain.mine(1).await;
        assert_eq!(till.shown_since(&mark).await.0, []);
    }
}

async fn sweeps(town: &Town) {
    for way in Way::ALL {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let till = Till::open(chain).await;
        let mark = till.mark().await;
        let bill = till.bill(way).await;
        let evidence = till.insist(&bill).await;
        till.come_to_rest().await;
        till.sweep().await;
        till.come_to_rest().await;
        chain.mine(4).await;
        assert_eq!(chain.balance(till.treasury).await, PRICE, "{way:?}");
        let (shown, _, _) = till.shown_since(&mark).await;
        let [one] = shown.as_slice() else {
            panic!("{way:?}: {shown:?}")
        };
        assert_eq!(one.reference, evidence.reference, "{way:?}");
        assert_eq!(Some(one.log_index), evidence.log_index, "{way:?}");
        assert_eq!(one.payer, Some(WalletAddress::Evm(bill.payer)));
        assert_eq!(one.atomic, PRICE);
    }
}

async fn no_arrivals(town: &Town) {
    let chain = &town.base;
    let till = Till::open(chain).await;
    let stranger = chain.fresh_key().address();
    chain.mint(stranger, PRICE).await;
    let mark = till.mark().await;
    chain.transfer(stranger, till.treasury, 0).await;
    chain
        .transfer(stranger, chain.fresh_key().address(), PRICE / 2)
        .await;
    // An approval has the same shape and another name.
    chain.approve(stranger, till.treasury, PRICE).await;
    injected("F085");
    chain.mine(4).await;
    assert_eq!(till.shown_since(&mark).await.0, []);
}

async fn parts(town: &Town) {
    let chain = &town.base;
    let till = Till::open(chain).await;
    let stranger = chain.fresh_key().address();
    chain.mint(stranger, PRICE).await;
    let mark = till.mark().await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        for _ in 0..5 {
            sent.push(chain.transfer(stranger, till.treasury, 1).await);
        }
        chain.mine(600).await;
    }
    injected("F085");
    // As a node does for which this is too much.
    for fault in [
        NodeFault::Refuse(-32_005, "query returns more than 10000 results"),
        NodeFault::HangUp,
    ] {
        till.proxy.break_times("F085", "eth_getLogs", fault, 1);
    }
    let (shown, _, parts) = till.shown_since(&mark).await;
    let shown: Vec<_> = shown.into_iter().map(|seen| seen.reference).collect();
    assert_eq!(shown, sent);
    assert!(parts >= 3, "{parts} parts");
}

async fn wrong_node(town: &Town) {
    let till = Till::open(&town.base).await;
    let mark = till.mark().await;
    town.base.mint(till.treasury, PRICE).await;
    town.base.mine(4).await;
    for (method, fault) in [
        ("eth_chainId", NodeFault::Lie(serde_json::json!("0x1"))),
        ("eth_getLogs", NodeFault::HangUp),
        ("eth_getLogs", NodeFault::Lie(serde_json::json!(null))),
        ("eth_getLogs", NodeFault::Text("<html>")),
        ("eth_getBlockByNumber", NodeFault::BadGateway),
    ] {
        till.proxy.break_calls("F085", method, "", fault);
        assert!(till.rail.arrivals(Some(&mark)).await.is_err(), "{method}");
        assert!(till.rail.arrivals(None).await.is_err() || method == "eth_getLogs");
        till.proxy.mend();
    }
    assert!(till.rail.arrivals(Some("no block")).await.is_err());
    let (shown, _, _) = till.shown_since(&mark).await;
    assert_eq!(shown.len(), 1);
}

/// Takes back every block after this one.
async fn take_back(chain: &Chain, to: u64) {
    let (head, _) = chain.head().await;
    chain.reorganize(head - to).await;
    injected("F054");
}

async fn taken_back(town: &Town) {
    let chain = &town.base;
    let till = Till::open(chain).await;
    let stranger = chain.fresh_key().address();
    chain.mint(stranger, PRICE).await;
    let mark = till.mark().await;
    let (before, _) = chain.head().await;
    chain.transfer(stranger, till.treasury, PRICE).await;
    chain.mine(1).await;
    let (shown, mark, _) = till.shown_since(&mark).await;
    assert_eq!(shown, []);
    take_back(chain, before).await;
    injected("F085");
    chain.mine(6).await;
    assert_eq!(till.shown_since(&mark).await.0, []);
    assert_eq!(chain.balance(till.treasury).await, 0);
}

async fn noted(town: &Town) {
    for way in [Way::Transfer, Way::Permit] {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let mut till = Till::open(chain).await;
        let bill = till.bill(way).await;
        let (before, _) = chain.head().await;
        let evidence = till.insist(&bill).await;
        let payment = till.write_down(&bill, &evidence).await;
        till.come_to_rest().await;
        assert!(!till.is_reverted(&payment).await);
        chain.hold().await;
        take_back(chain, before).await;
        // The looks of the last minute are over.
        till.pass(61);
        till.rail.tend().await;
        assert!(till.is_reverted(&payment).await, "{way:?}");
        // Another process, an hour later: it is not forgotten.
        till.pass(3_700);
        till.restart();
        till.rail.tend().await;
        assert!(till.is_reverted(&payment).await, "{way:?}");
        chain.release().await;
        for _ in 0..8 {
            till.pass(61);
            till.rail.tend().await;
            chain.mine(1).await;
        }
        assert!(!till.is_reverted(&payment).await, "{way:?}");
        assert_eq!(till.moves(&bill).await.len(), 1);
        till.change_terms(Terms::default());
    }
}
