//! Transactions that a real Tempo EVM included, sent again: the double must say what the chain said.

use compute_mpp::tempo::{
    Call, KeySignature, RlpList, SenderSignature, Sponsorship, Transaction, TransactionBody,
};
use compute_payment_double::tempo::Options;
use compute_wallet::{EvmAddress, EvmSignature, Uint256};
use serde_json::{Value, json};

use crate::start_with;

fn cases() -> Vec<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../compute-mpp/tests/fixtures/tempo_receipts.json"
    );
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let real = cases.iter().filter(|it| it["origin"] != "edited");
    real.cloned().collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

fn address(value: &Value) -> EvmAddress {
    EvmAddress::parse_any_case(value.as_str().unwrap()).unwrap()
}

/// Puts the signed bytes together from what `eth_getTransactionByHash` said.
fn rebuild(transaction: &Value) -> Transaction {
    let word = |value: &Value| -> [u8; 32] { bytes(value).try_into().unwrap() };
    let call = |call: &Value| Call {
        to: Some(address(&call["to"])),
        value: Uint256::from(number(&call["value"])),
        input: bytes(&call["input"]),
    };
    let signature = &transaction["signature"];
    let mut plain = [0_u8; 65];
    plain[..32].copy_from_slice(&word(&signature["r"]));
    plain[32..64].copy_from_slice(&word(&signature["s"]));
    plain[64] = u8::try_from(number(&signature["yParity"])).unwrap();
    let body = TransactionBody {
        chain_id: number(&transaction["chainId"]),
        max_priority_fee_per_gas: number(&transaction["maxPriorityFeePerGas"]).into(),
        max_fee_per_gas: number(&transaction["maxFeePerGas"]).into(),
        gas_limit: number(&transaction["gas"]),
        calls: transaction["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(call)
            .collect(),
        access_list: Vec::new(),
        nonce_key: Uint256::from_be_bytes(word(&transaction["nonceKey"])),
        nonce: number(&transaction["nonce"]),
        valid_before: Some(number(&transaction["validBefore"])),
        valid_after: Some(number(&transaction["validAfter"])),
        fee_token: Some(address(&transaction["feeToken"])),
        authorization_list: RlpList::default(),
        key_authorization: None,
    };
    Transaction {
        body,
        sponsorship: Sponsorship::None,
        signature: SenderSignature::Own(KeySignature::Secp256k1(
            EvmSignature::from_bytes(&plain).unwrap(),
        )),
    }
}

/// The hash of a block is made up, and the filter over the log is left empty.
fn without_block_hashes(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.remove("blockHash");
        members.remove("logsBloom");
        for log in members
            .get_mut("logs")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            log.as_object_mut().unwrap().remove("blockHash");
        }
    }
    value
}

#[tokio::test]
async fn the_chain_said_the_same_of_the_same_transactions() {
    let cases = cases();
    assert_eq!(cases.len(), 7);
    let town = start_with(Options {
        first_block: number(&cases[0]["receipt"]["blockNumber"]) - 1,
        clock: Some(0),
        max_validity_s: 30,
        ..Options::default()
    })
    .await;
    town.chain
        .fund(address(&cases[0]["receipt"]["from"]), 1_000_000_000);
    // The recipient of the vectors held the token before.
    town.chain.fund(
        EvmAddress::parse("0x00000000000000000000000000000000000000aa").unwrap(),
        1,
    );
    for case in &cases {
        let (receipt, transaction) = (&case["receipt"], &case["transaction"]);
        town.chain
            .set_clock(receipt["blockTimestamp"].as_u64().unwrap());
        let sent = town.send(&rebuild(transaction)).await;
        assert_eq!(
            without_block_hashes(sent),
            without_block_hashes(receipt.clone()),
            "{}",
            case["name"]
        );
        let hash = json!([transaction["hash"]]);
        let found = town.result("eth_getTransactionByHash", hash.clone()).await;
        assert_eq!(
            without_block_hashes(found),
            without_block_hashes(transaction.clone())
        );
        let again = town.result("eth_getTransactionReceipt", hash).await;
        assert_eq!(
            without_block_hashes(again),
            without_block_hashes(receipt.clone())
        );
    }
}
