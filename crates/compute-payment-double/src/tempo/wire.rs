//! The chain's words in JSON.

use compute_mpp::tempo::{Call, KeySignature, SenderSignature, Sponsorship, Transaction};
use compute_wallet::{Digest32, EvmAddress, EvmSignature, Uint256, keccak256};
use serde_json::{Map, Value, json};

use super::chain::{Block, Chain, Included};

/// `0x` and hex digits without leading zeros.
pub(super) fn quantity(number: u128) -> Value {
    format!("{number:#x}").into()
}

pub(super) fn bytes(bytes: &[u8]) -> Value {
    format!("0x{}", hex::encode(bytes)).into()
}

fn number(number: u64) -> Value {
    quantity(number.into())
}

fn wide(number: Uint256) -> Value {
    let digits = hex::encode(number.to_be_bytes());
    match digits.trim_start_matches('0') {
        "" => "0x0".into(),
        digits => format!("0x{digits}").into(),
    }
}

fn address(address: EvmAddress) -> Value {
    address.to_string().into()
}

/// The hash of a block follows from its number: nothing here is ever taken back.
pub(super) fn block_hash(number: u64) -> Digest32 {
    keccak256(format!("block {number}").as_bytes())
}

pub(super) fn block(block: &Block, base_fee: u128) -> Value {
    let parent = block.number.saturating_sub(1);
    let hashes: Vec<Value> = block.transactions.iter().map(|it| bytes(it)).collect();
    json!({
        "number": number(block.number),
        "hash": bytes(&block_hash(block.number)),
        "parentHash": bytes(&block_hash(parent)),
        "timestamp": number(block.time),
        "baseFeePerGas": quantity(base_fee),
        "gasLimit": "0x1dcd6500",
        "gasUsed": "0x0",
        "miner": address(EvmAddress::ZERO),
        "extraData": "0x",
        "logsBloom": bytes(&[0; 256]),
        "transactions": hashes,
        "uncles": [],
    })
}

/// What `eth_getTransactionReceipt` says.
pub(super) fn receipt(included: &Included) -> Value {
    let to = included
        .transaction
        .as_ref()
        .and_then(|transaction| transaction.body.calls.first()?.to);
    json!({
        "type": "0x76",
        "status": if included.succeeded { "0x1" } else { "0x0" },
        "cumulativeGasUsed": number(included.gas),
        "logs": logs(included),
        "logsBloom": bytes(&[0; 256]),
        "transactionHash": bytes(&included.hash),
        "transactionIndex": "0x0",
        "blockHash": bytes(&block_hash(included.block)),
        "blockNumber": number(included.block),
        "gasUsed": number(included.gas),
        "effectiveGasPrice": quantity(included.gas_price),
        "blobGasPrice": "0x1",
        "from": address(included.from),
        "to": to.map_or(Value::Null, address),
        "contractAddress": null,
        "blockTimestamp": included.time,
        "feePayer": address(included.fee_payer),
    })
}

/// The entries of a transaction in the log; each block has one transaction, so places begin at zero.
pub(super) fn logs(included: &Included) -> Vec<Value> {
    let entry = |(at, event): (u64, &super::bank::Event)| {
        let topics: Vec<Value> = event.topics.iter().map(|it| bytes(it)).collect();
        json!({
            "address": address(event.token),
            "topics": topics,
            "data": bytes(&Uint256::from(event.amount).to_be_bytes()),
            "blockHash": bytes(&block_hash(included.block)),
            "blockNumber": number(included.block),
            "blockTimestamp": number(included.time),
            "transactionHash": bytes(&included.hash),
            "transactionIndex": "0x0",
            "logIndex": number(at),
            "removed": false,
        })
    };
    (0..).zip(&included.events).map(entry).collect()
}

/// What `eth_getTransactionByHash` says.
pub(super) fn transaction(included: &Included) -> Value {
    let Some(transaction) = &included.transaction else {
        return Value::Null;
    };
    let mut object = fields(transaction);
    for (name, value) in [
        ("hash", bytes(&included.hash)),
        ("blockHash", bytes(&block_hash(included.block))),
        ("blockNumber", number(included.block)),
        ("transactionIndex", "0x0".into()),
        ("from", address(included.from)),
        ("blockTimestamp", number(included.time)),
        ("signature", sender_signature(&transaction.signature)),
    ] {
        object.insert(name.to_owned(), value);
    }
    object.into()
}

fn fields(transaction: &Transaction) -> Map<String, Value> {
    let body = &transaction.body;
    let fee_payer = match &transaction.sponsorship {
        Sponsorship::Signed(signature) => plain_signature(signature).into(),
        _ => Value::Null,
    };
    let bound = |seconds: Option<u64>| seconds.map_or(Value::Null, number);
    let calls: Vec<Value> = body.calls.iter().map(call).collect();
    let mut object = Map::new();
    for (name, value) in [
        ("type", "0x76".into()),
        ("aaAuthorizationList", json!([])),
        ("accessList", json!([])),
        ("calls", calls.into()),
        ("chainId", number(body.chain_id)),
        ("feePayerSignature", fee_payer),
        ("feeToken", body.fee_token.map_or(Value::Null, address)),
        ("gas", number(body.gas_limit)),
        ("keyAuthorization", Value::Null),
        ("maxFeePerGas", quantity(body.max_fee_per_gas)),
        (
            "maxPriorityFeePerGas",
            quantity(body.max_priority_fee_per_gas),
        ),
        ("nonce", number(body.nonce)),
        ("nonceKey", wide(body.nonce_key)),
        ("validAfter", bound(body.valid_after)),
        ("validBefore", bound(body.valid_before)),
    ] {
        object.insert(name.to_owned(), value);
    }
    object
}

fn call(call: &Call) -> Value {
    json!({
        "to": call.to.map_or(Value::Null, address),
        "value": wide(call.value),
        "input": bytes(&call.input),
        "data": null,
    })
}

fn sender_signature(signature: &SenderSignature) -> Value {
    let (SenderSignature::Own(key) | SenderSignature::Keychain { inner: key, .. }) = signature;
    let mut object = match key {
        KeySignature::Secp256k1(signature) => {
            let mut object = plain_signature(signature);
            object.insert("type".to_owned(), "secp256k1".into());
            object
        }
        KeySignature::P256(_) => kind("p256"),
        KeySignature::WebAuthn(_) => kind("webAuthn"),
    };
    if let SenderSignature::Keychain { root, .. } = signature {
        object.insert("userAddress".to_owned(), address(*root));
    }
    object.into()
}

fn kind(name: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), name.into())])
}

fn plain_signature(signature: &EvmSignature) -> Map<String, Value> {
    let bytes_of = signature.to_bytes();
    let (r, rest) = bytes_of.split_at(32);
    let (s, v) = rest.split_at(32);
    let parity = u128::from(v == [28]);
    Map::from_iter([
        ("r".to_owned(), bytes(r)),
        ("s".to_owned(), bytes(s)),
        ("yParity".to_owned(), quantity(parity)),
        ("v".to_owned(), quantity(parity)),
    ])
}

/// The entries of the log that fit a filter of `eth_getLogs`.
pub(super) fn find_logs(chain: &Chain, filter: &Value) -> Vec<Value> {
    let latest = chain.latest().map_or(0, |block| block.number);
    let bound = |name: &str, default: u64| match filter.get(name).and_then(Value::as_str) {
        Some("earliest") => 0,
        Some(text) => read_number(text).unwrap_or(latest),
        None => default,
    };
    let (from, to) = (bound("fromBlock", latest), bound("toBlock", latest));
    chain
        .included
        .iter()
        .filter(|it| from <= it.block && it.block <= to)
        .flat_map(logs)
        .filter(|log| {
            fits(filter.get("address"), log.get("address"))
                && topics_fit(filter.get("topics"), log.get("topics"))
        })
        .collect()
}

fn topics_fit(filter: Option<&Value>, topics: Option<&Value>) -> bool {
    let places = filter
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    (0..)
        .zip(places)
        .all(|(at, wanted): (usize, _)| fits(Some(wanted), topics.and_then(|it| it.get(at))))
}

/// Whether a place of a filter admits a value: nothing admits all, a list each of its members.
fn fits(wanted: Option<&Value>, found: Option<&Value>) -> bool {
    let is_same = |one: &Value| match (one.as_str(), found.and_then(Value::as_str)) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    };
    match wanted {
        None | Some(Value::Null) => true,
        Some(Value::Array(any)) => any.is_empty() || any.iter().any(is_same),
        Some(one) => is_same(one),
    }
}

/// A quantity of JSON-RPC.
pub(super) fn read_number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}
