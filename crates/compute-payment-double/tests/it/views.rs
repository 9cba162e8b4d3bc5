use compute_mpp::tempo::abi::{TRANSFER_TOPIC, word_of_address};
use compute_mpp::tempo::verify_transaction;
use compute_mpp::tempo::{LogView, TempoCharge};
use compute_payment_double::tempo::USDC_E;
use compute_wallet::EvmAddress;
use serde_json::json;

use crate::{AMOUNT, NOW, buyer, shop, signed, start, terms, text};

#[tokio::test]
async fn the_clock_makes_blocks() {
    let town = start().await;
    assert_eq!(town.result("eth_chainId", json!([])).await, "0x1079");
    let before = town.result("eth_blockNumber", json!([])).await;
    assert_eq!(town.result("eth_blockNumber", json!([])).await, before);
    town.chain.advance_clock(10);
    let block = town
        .result("eth_getBlockByNumber", json!(["latest", false]))
        .await;
    assert_eq!(block["timestamp"], format!("{:#x}", NOW + 10));
    assert_ne!(block["number"], before);
    let same = json!([block["number"], false]);
    assert_eq!(town.result("eth_getBlockByNumber", same).await, block);
}

#[tokio::test]
async fn tokens_answer_what_wallets_ask() {
    let town = start().await;
    town.chain.fund(buyer().address(), 255);
    let holder = hex::encode(word_of_address(&buyer().address()));
    for (data, expected) in [
        (format!("0x70a08231{holder}"), format!("0x{:064x}", 255)),
        ("0x313ce567".to_owned(), format!("0x{:064x}", 6)),
    ] {
        let call = json!([{"to": USDC_E.to_string(), "data": data}, "latest"]);
        assert_eq!(town.result("eth_call", call).await, expected);
    }
}

#[tokio::test]
async fn a_simulation_tells_what_sending_would() {
    let town = start().await;
    let terms = terms();
    let charge = TempoCharge {
        terms: &terms,
        amount: AMOUNT,
        realm: "shop.example",
        challenge_id: "one",
    };
    let verified = verify_transaction(&signed("one"), &charge, NOW + 300, None, NOW).unwrap();
    let call = json!([verified.simulation(), "latest"]);

    let error = town.error("eth_call", call.clone()).await;
    assert_eq!(
        error["message"],
        "insufficient funds for gas * price + value"
    );
    town.chain.fund(buyer().address(), AMOUNT);
    let error = town.error("eth_call", call.clone()).await;
    assert_eq!(error["code"], 3);
    town.chain.fund(buyer().address(), 100_000);
    town.result("eth_call", call.clone()).await;
    assert_eq!(town.chain.transactions(), 0);

    town.chain.advance_clock(25);
    let error = town.error("eth_call", call).await;
    assert_eq!(error["message"], "transaction valid_before has passed");
}

#[tokio::test]
async fn the_log_is_searched_by_token_topics_and_blocks() {
    let town = start().await;
    let (one, other) = (EvmAddress::new([1; 20]), EvmAddress::new([2; 20]));
    town.chain.deposit(one, shop(), 5, None);
    town.chain.deposit(one, other, 6, None);
    town.chain.deposit(other, shop(), 7, Some([3; 32]));
    let search = async |filter| {
        let logs = town.result("eth_getLogs", json!([filter])).await;
        let logs: Vec<LogView> = logs
            .as_array()
            .unwrap()
            .iter()
            .map(|log| LogView::parse(log).unwrap())
            .collect();
        logs.iter().map(|log| log.data[31]).collect::<Vec<_>>()
    };
    let topic = |address| text(word_of_address(&address));
    let all = json!({"fromBlock": "0x0", "toBlock": "latest"});
    assert_eq!(search(all.clone()).await, [5, 6, 7, 7]);
    let with = |name: &str, value| {
        let mut filter = all.clone();
        filter[name] = value;
        filter
    };
    let to_shop = json!([text(TRANSFER_TOPIC), null, topic(shop())]);
    assert_eq!(search(with("topics", to_shop)).await, [5, 7]);
    let any = json!([
        [text(TRANSFER_TOPIC)],
        [topic(one)],
        [topic(shop()), topic(other)]
    ]);
    assert_eq!(search(with("topics", any)).await, [5, 6]);
    assert_eq!(
        search(with("address", json!([USDC_E.to_checksum()]))).await,
        [5, 6, 7, 7]
    );
    let look_alike = json!("0x20c000000000000000000000b9537d11c60e8b51");
    assert_eq!(search(with("address", look_alike)).await, [0_u8; 0]);
    assert_eq!(
        search(json!({"fromBlock": "0x3ea", "toBlock": "0x3ea"})).await,
        [6]
    );
}

#[tokio::test]
async fn unknown_things_are_null_and_unknown_methods_errors() {
    let town = start().await;
    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash"] {
        let found = town.result(method, json!([text([1; 32])])).await;
        assert!(found.is_null());
    }
    let error = town.error("eth_mine", json!([])).await;
    assert_eq!(error["code"], -32601);
    let error = town.error("eth_sendRawTransaction", json!(["0x76"])).await;
    assert_eq!(error["code"], -32000);
}
