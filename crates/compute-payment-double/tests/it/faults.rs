use compute_outbound::OutboundRequest;
use compute_payment_double::tempo::Fault;
use serde_json::{Value, json};

use crate::{AMOUNT, Town, buyer, raw, shop, signed, start, text};

const SYNC: &str = "eth_sendRawTransactionSync";
const RECEIPT: &str = "eth_getTransactionReceipt";

async fn rich() -> Town {
    let town = start().await;
    town.chain.fund(buyer().address(), 5_000_000);
    town
}

#[tokio::test]
async fn before_and_after_differ_by_whether_money_moved() {
    for (fault, moved) in [
        (Fault::DropBefore, 0),
        (Fault::DropAfter, AMOUNT),
        (Fault::StatusBefore(500), 0),
        (Fault::StatusAfter(502), AMOUNT),
        (Fault::GarbageAfter, AMOUNT),
        (Fault::TimeOutBefore, 0),
        (Fault::TimeOutAfter, AMOUNT),
        (Fault::AlreadyKnownAfter, AMOUNT),
        (Fault::WrongHash, AMOUNT),
        (Fault::OtherMemo, AMOUNT),
        (Fault::NoLogs, AMOUNT),
        (Fault::RemovedLogs, AMOUNT),
        (Fault::Reverted, 0),
    ] {
        let town = rich().await;
        town.chain.disturb(SYNC, fault.clone());
        let answer = town.ask(SYNC, json!([raw(&signed("one"))])).await;
        assert_eq!(town.chain.balance(shop()), moved, "{fault:?}");
        assert_eq!(town.chain.faults_left(), 0);
        match fault {
            Fault::DropBefore | Fault::DropAfter => assert!(answer.is_err()),
            Fault::StatusBefore(code) | Fault::StatusAfter(code) => {
                assert_eq!(answer.unwrap(), code);
            }
            Fault::GarbageAfter => assert_eq!(answer.unwrap(), 200),
            Fault::TimeOutBefore | Fault::TimeOutAfter => {
                let error = answer.unwrap()["error"].clone();
                assert_eq!(error["code"], 4);
                assert_eq!(error["data"], text(signed("one").hash()));
            }
            Fault::AlreadyKnownAfter => {
                assert_eq!(answer.unwrap()["error"]["message"], "already known");
            }
            _ => {
                let honest = town.chain.receipt(&signed("one").hash()).unwrap();
                let told = &answer.unwrap()["result"];
                assert_eq!(*told == honest, fault == Fault::Reverted, "{fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_transaction_that_the_chain_undoes_costs_its_fee() {
    let town = rich().await;
    town.chain.disturb(SYNC, Fault::Reverted);
    let receipt = town.send(&signed("one")).await;
    assert_eq!(receipt["status"], "0x0");
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 1);
    assert!(town.chain.balance(buyer().address()) < 5_000_000);
    assert!(town.chain.transfers().is_empty());
}

#[tokio::test]
async fn receipts_can_be_late_and_lie() {
    let town = rich().await;
    town.send(&signed("one")).await;
    town.chain.disturb_times(RECEIPT, &Fault::Null, 2);
    town.chain.disturb(RECEIPT, Fault::Reverted);
    let hash = json!([text(signed("one").hash())]);
    let ask = async || town.result(RECEIPT, hash.clone()).await;
    assert_eq!(ask().await, Value::Null);
    assert_eq!(ask().await, Value::Null);
    assert_eq!(ask().await["status"], "0x0");
    assert_eq!(ask().await["status"], "0x1");
}

#[tokio::test]
async fn what_is_held_goes_on_when_it_is_released() {
    for (fault, before) in [(Fault::HoldBefore, 0), (Fault::HoldAfter, AMOUNT)] {
        let town = rich().await;
        town.chain.disturb(SYNC, fault.clone());
        let transaction = signed("one");
        let watch = async {
            town.chain.arrived(SYNC, 1).await;
            if fault == Fault::HoldAfter {
                // It is counted before its effect; the effect shows in the chain.
                while town.chain.transactions() == 0 {
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(town.chain.balance(shop()), before);
            town.chain.release();
        };
        let (receipt, ()) = tokio::join!(town.send(&transaction), watch);
        assert_eq!(receipt["status"], "0x1");
        assert_eq!(town.chain.balance(shop()), AMOUNT);
    }
}

#[tokio::test]
async fn faults_come_in_order_and_can_be_taken_back() {
    let town = rich().await;
    town.chain.disturb("eth_chainId", Fault::Nothing);
    town.chain.disturb(
        "eth_chainId",
        Fault::Error {
            code: -32005,
            message: "limit exceeded".to_owned(),
        },
    );
    town.chain.disturb("eth_chainId", Fault::DropBefore);
    town.result("eth_chainId", json!([])).await;
    let error = town.error("eth_chainId", json!([])).await;
    assert_eq!(error["code"], -32005);
    town.chain.calm();
    town.result("eth_chainId", json!([])).await;
    assert_eq!(town.chain.requests("eth_chainId"), 3);
}

/// What runs as a process of its own is disturbed over HTTP.
#[tokio::test]
async fn faults_are_ordered_and_counted_over_http() {
    let town = rich().await;
    let order = |body: Value| {
        let request = OutboundRequest::post(&["control", "faults"]).json(&body);
        town.client.send(request.unwrap())
    };
    let report = || async {
        let request = OutboundRequest::get(&["control", "faults"]);
        town.client.send(request).await.unwrap().json::<Value>()
    };
    let lost = json!({"method": SYNC, "kind": "drop_after"});
    assert_eq!(order(lost).await.unwrap().status.as_u16(), 204);
    let late = json!({"method": RECEIPT, "kind": "status_before", "with": 504});
    assert_eq!(order(late).await.unwrap().status.as_u16(), 204);
    let unknown = json!({"method": RECEIPT, "kind": "explode"});
    assert_eq!(order(unknown).await.unwrap().status.as_u16(), 422);
    assert_eq!(report().await.unwrap()["pending"], 2);

    let sent = town.ask(SYNC, json!([raw(&signed("one"))])).await;
    assert!(sent.is_err());
    assert_eq!(town.chain.balance(shop()), AMOUNT);
    let told = json!({"pending": 1, "struck": {"drop_after": 1}});
    assert_eq!(report().await.unwrap(), told);

    let calm = OutboundRequest::delete(&["control", "faults"]);
    assert_eq!(town.client.send(calm).await.unwrap().status.as_u16(), 204);
    assert_eq!(report().await.unwrap()["pending"], 0);
}
