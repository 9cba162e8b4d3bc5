//! A node that is down, slow, lies or lags: never a refusal, never a settlement without the money.

use compute_engine::ports::{Check, Lookup, Rail as _, Settlement};
use compute_testkit::node_proxy::NodeFault;
use compute_x402::permit2::PERMIT2;
use serde_json::{Value, json};

use crate::bill::Way;
use crate::cases;
use crate::till::{PRICE, Terms, Till, not_sent, unclear};
use crate::town::{Chain, Town};

cases! {
    "F048 F049", "a node that does not answer at the check refuses nobody", at_check;
    "F048", "a node that limits requests is no contract wallet that says no", limited_at_vouch;
    "F049", "a node that does not answer before the signature: not sent, and settled later", before_signing;
    "F040 F041", "a node that does not answer when it is sent to: settled once", when_sending;
    "F040 F041", "a node that does not answer for the receipt: unclear, and settled once", when_waiting;
    "F044", "receipts held back beyond finality are no sign that another took the number", no_receipts;
    "F073", "a node that stays at an old head while we wait: unclear, and settled once", old_head_waiting;
    "F073", "answers from heads of different age: never a refusal, and settled once", mixed_heads;
    "F044", "a receipt of success without the transfer settles nothing", receipt_without_logs;
    "F044", "a made-up receipt settles nothing", made_up_receipt;
    "F044", "the receipt of another payment settles nothing", foreign_receipt;
    "F073", "a node of another chain refuses nobody", another_chain;
    "F073", "a node of another chain, behind, or without a head withdraws the rail", unhealthy_node;
    "F063", "other decimals, another domain or no code withdraw the rail", unhealthy_token;
}

/// Ways in which a node does not answer; the first takes as long as it is waited for.
fn silences() -> Vec<NodeFault> {
    vec![
        NodeFault::Silence,
        NodeFault::HangUp,
        NodeFault::BadGateway,
        NodeFault::Text("<html>welcome</html>"),
        NodeFault::Text("{}"),
        NodeFault::Text("null"),
        NodeFault::Text(r#"{"jsonrpc":"2.0","id":1,"result":{"x":[1]}}"#),
        NodeFault::Refuse(-32_005, "limit exceeded"),
        NodeFault::Refuse(-32_000, "header not found"),
        NodeFault::Lie(Value::Null),
    ]
}

fn chain_of(town: &Town, way: Way) -> &Chain {
    match way {
        Way::Transfer => &town.base,
        _ => &town.megaeth,
    }
}

async fn at_check(town: &Town) {
    for way in Way::ALL {
        let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        for fault in silences() {
            till.proxy.break_all("F049", fault.clone());
            let check = till.rail.check(bill.claimed.proof()).await;
            assert!(check.is_err(), "{way:?} {fault:?}: {check:?}");
            till.proxy.mend();
            // Each question in turn is the one that is not answered.
            for method in ["eth_call", "eth_getBlockByNumber", "eth_getCode"] {
                till.proxy.break_calls("F048", method, "", fault.clone());
                let check = till.rail.check(bill.claimed.proof()).await;
                assert!(
                    !matches!(check, Ok(Check::Refused { .. })),
                    "{method} {fault:?}: {check:?}"
                );
                till.proxy.mend();
            }
            if fault == NodeFault::Silence {
                continue;
            }
            for call in 1..6 {
                till.proxy
                    .break_after("F048", "eth_call", call, fault.clone());
                let check = till.rail.check(bill.claimed.proof()).await;
                assert!(
                    !matches!(check, Ok(Check::Refused { .. })),
                    "{call} {fault:?}: {check:?}"
                );
                till.proxy.mend();
            }
        }
        assert_eq!(till.check(&bill).await, Check::Fine);
        till.assert_unpaid(&bill).await;
    }
}

async fn limited_at_vouch(town: &Town) {
    let till = Till::on_terms(&town.base, Terms::hasty()).await;
    let bill = till
        .bill_of_contract(till.chain.wallet("honest"), &town.owner())
        .await;
    let proof = bill.claimed.proof();
    for fault in silences() {
        for method in ["eth_call", "eth_getCode"] {
            till.proxy.break_calls("F048", method, "", fault.clone());
            let vouched = till.rail.vouch(&proof.payload).await;
            assert!(vouched.is_err(), "{method} {fault:?}: {vouched:?}");
            let check = till.rail.check(proof).await;
            assert!(check.is_err(), "{method} {fault:?}: {check:?}");
            till.proxy.mend();
        }
    }
    assert_eq!(till.rail.vouch(&proof.payload).await, Ok(true));
}

async fn before_signing(town: &Town) {
    for (number, way) in Way::ALL.into_iter().enumerate() {
        let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        for fault in silences().into_iter().skip(number).step_by(4) {
            till.proxy.break_all("F049", fault.clone());
            not_sent(&till.settle(&bill).await);
            assert!(till.rail.lookup(&bill.claimed).await.is_err(), "{fault:?}");
            till.rail.tend().await;
            till.proxy.mend();
            for method in [
                "eth_estimateGas",
                "eth_getTransactionCount",
                "eth_getBalance",
            ] {
                till.proxy.break_calls("F049", method, "", fault.clone());
                not_sent(&till.settle(&bill).await);
                till.proxy.mend();
            }
        }
        assert_eq!(till.signed_for(&bill).await, []);
        till.assert_unpaid(&bill).await;
        let till = patient(till);
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
}

/// Nothing is broken any more, and there is time.
fn patient(mut till: Till<'_>) -> Till<'_> {
    till.change_terms(Terms::default());
    till
}

async fn when_sending(town: &Town) {
    for (number, way) in Way::ALL.into_iter().enumerate() {
        // Two of them for each way: what matters is that one is not told from the other.
        let faults = [
            NodeFault::LoseAnswer,
            NodeFault::HangUp,
            NodeFault::BadGateway,
            NodeFault::Text("<html>"),
            NodeFault::Refuse(-32_000, "insufficient funds for gas * price + value"),
            // It says yes and forgets.
            NodeFault::Lie(json!(format!("0x{:064x}", 7))),
        ];
        for fault in faults.into_iter().cycle().skip(2 * number).take(2) {
            let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
            let bill = till.bill(way).await;
            till.proxy
                .break_calls("F041", "eth_sendRawTransaction", "", fault.clone());
            let outcome = till.attempt(&bill).await;
            let is_right = match &outcome {
                Settlement::Unknown { .. } => true,
                Settlement::Settled(_) => fault == NodeFault::LoseAnswer,
                _ => false,
            };
            assert!(is_right, "{way:?} {fault:?}: {outcome:?}");
            till.proxy.mend();
            let till = patient(till);
            let evidence = till.insist(&bill).await;
            till.assert_paid_once(&bill, &evidence).await;
        }
    }
}

async fn when_waiting(town: &Town) {
    for (number, way) in Way::ALL.into_iter().enumerate() {
        let faults = [
            NodeFault::HangUp,
            NodeFault::BadGateway,
            NodeFault::Text("<html>"),
            NodeFault::Refuse(-32_005, "limit exceeded"),
            NodeFault::Lie(Value::Null),
            NodeFault::Silence,
        ];
        for fault in faults.into_iter().cycle().skip(2 * number).take(2) {
            let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
            let bill = till.bill(way).await;
            till.proxy
                .break_calls("F040", "eth_getTransactionReceipt", "", fault.clone());
            unclear(&till.attempt(&bill).await);
            let look = till.rail.lookup(&bill.claimed).await;
            assert!(
                !matches!(look, Ok(Lookup::Never { .. })),
                "{way:?} {fault:?}: {look:?}"
            );
            till.proxy.mend();
            let till = patient(till);
            let evidence = till.insist(&bill).await;
            till.assert_paid_once(&bill, &evidence).await;
        }
    }
}

async fn no_receipts(town: &Town) {
    for way in Way::ALL {
        let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        // The permit is in; it is the transfer whose receipt is held back.
        if way == Way::Permit {
            till.proxy
                .break_calls("F044", "eth_estimateGas", "23b872dd", NodeFault::HangUp);
            unclear(&till.attempt(&bill).await);
            till.proxy.mend();
        }
        till.proxy.break_calls(
            "F044",
            "eth_getTransactionReceipt",
            "",
            NodeFault::Lie(Value::Null),
        );
        for _ in 0..4 {
            let outcome = till.attempt(&bill).await;
            assert!(
                !matches!(outcome, Settlement::Declined { .. }),
                "{way:?}: {outcome:?}"
            );
            till.chain.mine(5).await;
            till.rail.tend().await;
            let look = till.rail.lookup(&bill.claimed).await;
            assert!(
                !matches!(look, Ok(Lookup::Never { .. })),
                "{way:?}: {look:?}"
            );
        }
        till.proxy.mend();
        let till = patient(till);
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
}

async fn old_head_waiting(town: &Town) {
    for way in Way::ALL {
        let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        let (head, _) = till.chain.head().await;
        till.proxy.break_all("F073", NodeFault::OldHead(head));
        for _ in 0..2 {
            unclear(&till.attempt(&bill).await);
            let look = till.rail.lookup(&bill.claimed).await;
            assert!(
                matches!(look, Ok(Lookup::NotYet) | Err(_)),
                "{way:?}: {look:?}"
            );
            till.rail.tend().await;
            till.chain.mine(4).await;
        }
        till.proxy.mend();
        let till = patient(till);
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
}

async fn mixed_heads(town: &Town) {
    for way in Way::ALL {
        for method in [
            "eth_call",
            "eth_estimateGas",
            "eth_getBlockByNumber",
            "eth_getTransactionReceipt",
        ] {
            let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
            let bill = till.bill(way).await;
            let (head, _) = till.chain.head().await;
            till.proxy
                .break_calls("F073", method, "", NodeFault::OldHead(head));
            for _ in 0..2 {
                let outcome = till.attempt(&bill).await;
                assert!(
                    !matches!(outcome, Settlement::Declined { .. }),
                    "{way:?} {method}: {outcome:?}"
                );
                let look = till.rail.lookup(&bill.claimed).await;
                assert!(
                    !matches!(look, Ok(Lookup::Never { .. })),
                    "{way:?} {method}: {look:?}"
                );
                till.chain.mine(4).await;
            }
            till.proxy.mend();
            let till = patient(till);
            let evidence = till.insist(&bill).await;
            till.assert_paid_once(&bill, &evidence).await;
            let (_, failed) = till.mined_and_failed().await;
            assert_eq!(failed, 0, "{way:?} {method}");
        }
    }
}

async fn receipt_without_logs(town: &Town) {
    for way in Way::ALL {
        let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        till.proxy.break_all("F044", NodeFault::NoLogs);
        for _ in 0..2 {
            match till.attempt(&bill).await {
                // The log of the token shows the transfer that the receipt hides.
                Settlement::Settled(evidence) => till.assert_moved_once(&bill, &evidence).await,
                refused @ Settlement::Declined { .. } => panic!("{way:?}: {refused:?}"),
                _ => till.chain.mine(4).await,
            }
            let look = till.rail.lookup(&bill.claimed).await;
            assert!(
                !matches!(look, Ok(Lookup::Never { .. })),
                "{way:?}: {look:?}"
            );
        }
        till.proxy.mend();
        let till = patient(till);
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
}

async fn made_up_receipt(town: &Town) {
    for way in Way::ALL {
        let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        let (head, _) = till.chain.head().await;
        till.proxy.break_calls(
            "F044",
            "eth_sendRawTransaction",
            "",
            NodeFault::Lie(json!("0x1")),
        );
        let receipt = json!({"status": "0x1", "blockNumber": format!("{head:#x}"), "logs": []});
        till.proxy.break_calls(
            "F044",
            "eth_getTransactionReceipt",
            "",
            NodeFault::Lie(receipt),
        );
        for _ in 0..2 {
            let outcome = till.attempt(&bill).await;
            assert!(
                !matches!(
                    outcome,
                    Settlement::Settled(_) | Settlement::Declined { .. }
                ),
                "{way:?}: {outcome:?}"
            );
        }
        till.assert_unpaid(&bill).await;
        till.proxy.mend();
        let till = patient(till);
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
}

async fn foreign_receipt(town: &Town) {
    for way in Way::ALL {
        let mut till = Till::on_terms(chain_of(town, way), Terms::default()).await;
        let key = till.chain.fresh_key();
        till.chain.mint(key.address(), 2 * PRICE).await;
        if way == Way::Approved {
            till.chain.approve(key.address(), PERMIT2, 2 * PRICE).await;
        }
        // The same payer, amount and recipient.
        let first = till.bill_of(way, &key, 0).await;
        let evidence = till.insist(&first).await;
        let receipt = till.chain.receipt(&evidence.reference).await;
        let second = till.bill_of(way, &key, 0).await;
        till.change_terms(Terms::hasty());
        till.proxy.break_calls(
            "F044",
            "eth_sendRawTransaction",
            "",
            NodeFault::Lie(json!("0x1")),
        );
        till.proxy.break_calls(
            "F044",
            "eth_getTransactionReceipt",
            "",
            NodeFault::Lie(receipt),
        );
        for _ in 0..2 {
            let outcome = till.attempt(&second).await;
            unclear(&outcome);
            let look = till.rail.lookup(&second.claimed).await;
            assert!(
                !matches!(look, Ok(Lookup::Settled(_) | Lookup::Never { .. })),
                "{look:?}"
            );
        }
        till.proxy.mend();
        let till = patient(till);
        till.insist(&second).await;
        assert_eq!(till.moves(&second).await.len(), 2, "{way:?}");
    }
}

async fn another_chain(town: &Town) {
    for way in Way::ALL {
        let till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        till.proxy
            .break_calls("F073", "eth_chainId", "", NodeFault::Lie(json!("0x1")));
        let reverts = NodeFault::Refuse(3, "execution reverted");
        till.proxy
            .break_calls("F073", "eth_estimateGas", "", reverts);
        let outcome = till.settle(&bill).await;
        assert!(
            matches!(
                outcome,
                Settlement::NotSent { .. } | Settlement::Unknown { .. }
            ),
            "{way:?}: {outcome:?}"
        );
        // There the payment has expired.
        till.proxy.break_calls(
            "F073",
            "eth_getBlockByNumber",
            "",
            NodeFault::Lie(json!({"number": "0xffff", "timestamp": "0xffffffffff"})),
        );
        for _ in 0..2 {
            let outcome = till.settle(&bill).await;
            assert!(
                !matches!(outcome, Settlement::Declined { .. }),
                "{way:?}: {outcome:?}"
            );
            let look = till.rail.lookup(&bill.claimed).await;
            assert!(
                !matches!(look, Ok(Lookup::Never { .. })),
                "{way:?}: {look:?}"
            );
        }
        till.proxy.mend();
        let till = patient(till);
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
}

async fn unhealthy_node(town: &Town) {
    for chain in [&town.base, &town.megaeth] {
        let till = Till::on_terms(chain, Terms::hasty()).await;
        till.assert_ready().await;
        till.proxy
            .break_calls("F073", "eth_chainId", "", NodeFault::Lie(json!("0x1")));
        assert!(till.withdrawn().await.contains("another chain"));
        till.proxy.mend();
        let (head, _) = chain.head().await;
        chain.wait_seconds(90).await;
        till.catch_up().await;
        till.assert_ready().await;
        till.proxy.break_all("F073", NodeFault::OldHead(head));
        assert!(till.withdrawn().await.contains("behind"));
        till.proxy.mend();
        till.proxy.break_calls(
            "F073",
            "eth_getBlockByNumber",
            "",
            NodeFault::Lie(Value::Null),
        );
        assert!(till.withdrawn().await.contains("block"));
        till.proxy.mend();
        for fault in silences() {
            till.proxy.break_all("F073", fault);
            assert!(!till.withdrawn().await.is_empty());
            till.proxy.mend();
        }
        till.assert_ready().await;
    }
}

async fn unhealthy_token(town: &Town) {
    for chain in [&town.base, &town.megaeth] {
        let till = Till::open(chain).await;
        let number = |digits: &str| NodeFault::Lie(json!(format!("0x{digits:0>64}")));
        for (fault, reason) in [
            (number("7"), "decimals"),
            (NodeFault::Lie(json!("0x")), "decimals"),
        ] {
            till.proxy
                .break_calls("F063", "eth_call", "0x313ce567", fault);
            assert!(till.withdrawn().await.contains(reason));
            till.proxy.mend();
        }
        for fault in [number("7"), NodeFault::Lie(json!("0x"))] {
            till.proxy
                .break_calls("F063", "eth_call", "0x3644e515", fault);
            assert!(till.withdrawn().await.contains("domain"));
            till.proxy.mend();
        }
        till.assert_ready().await;
    }
    let till = Till::open(&town.megaeth).await;
    for (needle, reason) in [("22d473030f", "Permit2"), ("402085c248", "proxy")] {
        till.proxy
            .break_calls("F063", "eth_getCode", needle, NodeFault::Lie(json!("0x")));
        assert!(till.withdrawn().await.contains(reason));
        till.proxy.mend();
    }
    till.assert_ready().await;
}
