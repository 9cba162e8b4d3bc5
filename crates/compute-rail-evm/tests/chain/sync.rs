//! A node that answers when a transaction is in a block (EIP-7966), or does not.

use std::time::Duration;

use compute_engine::ports::Settlement;
use compute_testkit::node_proxy::NodeFault;
use serde_json::json;

use crate::bill::Way;
use crate::cases;
use crate::till::{Terms, Till};
use crate::town::{Chain, Town};

cases! {
    "-", "a node that waits for the block is handed the transaction once", waits;
    "F040 F041", "a node that does not wait, or not long enough, is handed it in the usual way", does_not_wait;
    "F044", "a receipt that is answered at once is not believed for itself", made_up_receipt;
}

const SYNC: &str = "eth_sendRawTransactionSync";
const USUAL: &str = "eth_sendRawTransaction";

async fn open(chain: &Chain) -> Till<'_> {
    let mut terms = Terms {
        sync_send: true,
        ..Terms::default()
    };
    // Half of it is what the node may take to wait.
    terms.timeouts.node = Duration::from_secs(1);
    Till::on_terms(chain, terms).await
}

async fn waits(town: &Town) {
    for way in Way::ALL {
        let chain = match way {
            Way::Transfer => &town.base,
            _ => &town.megaeth,
        };
        let till = open(chain).await;
        let bill = till.bill(way).await;
        let evidence = till.insist(&bill).await;
        till.assert_moved_once(&bill, &evidence).await;
        let sent = till.signed_for(&bill).await.len();
        assert_eq!(till.proxy.count(SYNC), sent, "{way:?}");
        if way == Way::Transfer {
            // It waited, so that nobody asked in the usual way, and the first look found it.
            assert_eq!(till.proxy.count(USUAL), 0);
        }
    }
}

async fn does_not_wait(town: &Town) {
    for fault in [
        NodeFault::Refuse(-32_601, "the method does not exist"),
        NodeFault::Refuse(
            -32_000,
            "the transaction was added but not processed in time",
        ),
        NodeFault::Silence,
        NodeFault::HangUp,
        NodeFault::BadGateway,
        NodeFault::Text("<html>"),
        NodeFault::LoseAnswer,
    ] {
        let till = open(&town.megaeth).await;
        let bill = till.bill(Way::Sponsored).await;
        till.proxy.break_calls("F041", SYNC, "", fault.clone());
        let outcome = till.settle(&bill).await;
        let Settlement::Settled(evidence) = outcome else {
            panic!("{fault:?}: {outcome:?}")
        };
        till.assert_moved_once(&bill, &evidence).await;
        assert_eq!(till.proxy.count(SYNC), 1, "{fault:?}");
        assert!(till.proxy.count(USUAL) > 0, "{fault:?}");
    }
}

async fn made_up_receipt(town: &Town) {
    for status in ["0x0", "0x1"] {
        let till = open(&town.base).await;
        let bill = till.bill(Way::Transfer).await;
        let receipt = json!({"status": status, "blockNumber": "0x1", "logs": []});
        till.proxy
            .break_calls("F044", SYNC, "", NodeFault::Lie(receipt));
        // Nothing was passed on: it is sent in the usual way in the end.
        let outcome = till.settle(&bill).await;
        let Settlement::Settled(evidence) = outcome else {
            panic!("{status}: {outcome:?}")
        };
        till.assert_paid_once(&bill, &evidence).await;
        assert!(till.proxy.count(USUAL) > 0, "{status}");
    }
}
