use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolEvent, eip712_domain, sol};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::exact::bytes;
use super::ledger::{Event, SECONDS_PER_BLOCK, World, hash, text};
use super::network::Network;
use super::permit2::{PERMIT2, PROXY};
use super::{Fault, Shared, lock};

sol! {
    function authorizationState(address authorizer, bytes32 nonce) returns (bool);
    function balanceOf(address account) returns (uint256);
    function DOMAIN_SEPARATOR() returns (bytes32);
    function decimals() returns (uint8);
    function nonceBitmap(address owner, uint256 wordPos) returns (uint256);

    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    event Transfer(address indexed from, address indexed to, uint256 value);
}

type Answer = Result<Value, String>;

/// The blocks between the newest one and the newest final one.
const FINALITY_BLOCKS: u64 = 64;

pub(super) async fn call(
    State(shared): State<Shared>,
    Path(network): Path<String>,
    Json(request): Json<Value>,
) -> Response {
    let Ok(network) = network.parse::<Network>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut world = lock(&shared);
    if world
        .faults
        .take(|fault| *fault == Fault::NodeDown)
        .is_some()
    {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let id = request.get("id").cloned().unwrap_or_default();
    let method = request
        .get("method")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_search = method == "eth_getLogs";
    if is_search
        && world
            .faults
            .take(|fault| *fault == Fault::NodeWithoutLogs)
            .is_some()
    {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let params = request
        .get("params")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let reply = match answer(&world, network, method, &params) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(message) => {
            let error = json!({"code": -32602, "message": message});
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        }
    };
    Json(reply).into_response()
}

fn answer(world: &World, network: Network, method: &str, params: &[Value]) -> Answer {
    match method {
        "eth_chainId" => Ok(quantity(network.chain_id())),
        "eth_blockNumber" => Ok(quantity(world.head())),
        "eth_getBlockByNumber" => Ok(block(block_number(world, params.first())?)),
        "eth_call" => eth_call(world, network, params),
        "eth_getLogs" => eth_get_logs(world, network, params),
        "eth_getTransactionReceipt" => {
            let wanted = params.first().and_then(Value::as_str).unwrap_or_default();
            Ok(receipt(world, network, &wanted.to_ascii_lowercase()))
        }
        "eth_getTransactionByHash" => {
            let wanted = params.first().and_then(Value::as_str).unwrap_or_default();
            Ok(transaction(world, network, &wanted.to_ascii_lowercase()))
        }
        "eth_getCode" => {
            let account = params.first().and_then(Value::as_str);
            let has_code = account.and_then(bytes::<20>).is_some_and(|account| {
                let contracts = [PERMIT2, PROXY];
                network.has_permit2() && contracts.iter().any(|it| it.into_array() == account)
            });
            Ok(json!(if has_code { "0xfe" } else { "0x" }))
        }
        other => Err(format!("the method {other} does not exist")),
    }
}

fn quantity(value: u64) -> Value {
    Value::String(format!("{value:#x}"))
}

fn block(number: u64) -> Value {
    json!({
        "number": quantity(number),
        "hash": hash(&format!("block {number}")),
        "timestamp": quantity(number.saturating_mul(SECONDS_PER_BLOCK)),
    })
}

fn block_number(world: &World, tag: Option<&Value>) -> Result<u64, String> {
    let head = world.head();
    match tag.and_then(Value::as_str).unwrap_or("latest") {
        "latest" | "pending" => Ok(head),
        "safe" | "finalized" => Ok(head.saturating_sub(FINALITY_BLOCKS)),
        "earliest" => Ok(0),
        number => number
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| format!("invalid block {number}")),
    }
}

fn eth_call(world: &World, network: Network, params: &[Value]) -> Answer {
    let block = block_number(world, params.get(1))?;
    let call = params.first().ok_or("no call")?;
    let input = call
        .get("data")
        .or_else(|| call.get("input"))
        .and_then(Value::as_str);
    let data = input
        .and_then(|text| hex::decode(text.strip_prefix("0x")?).ok())
        .ok_or("invalid call data")?;
    let to = call.get("to").and_then(Value::as_str).and_then(bytes::<20>);
    if to == Some(PERMIT2.into_array()) && network.has_permit2() {
        let call = nonceBitmapCall::abi_decode(&data).map_err(|_| "execution reverted")?;
        let used = world.used_nonces(network, &text(call.owner), block);
        let used = used.into_iter().filter(|nonce| *nonce >> 8 == call.wordPos);
        let bits = used.map(|nonce| U256::from(1) << (nonce & U256::from(0xff)));
        let word = bits.fold(U256::ZERO, |word, bit| word | bit);
        return Ok(Value::String(B256::from(word).to_string()));
    }
    if to != Some(network.token().into_array()) {
        // A call of an address without code returns nothing.
        return Ok(Value::String("0x".to_owned()));
    }
    let word = if let Ok(call) = authorizationStateCall::abi_decode(&data) {
        let (from, nonce) = (text(call.authorizer), call.nonce.to_string());
        U256::from(u8::from(
            world.nonce_use(network, &from, &nonce, block).is_some(),
        ))
    } else if let Ok(call) = balanceOfCall::abi_decode(&data) {
        world.balance(network.name(), &text(call.account))
    } else if decimalsCall::abi_decode(&data).is_ok() {
        U256::from(network.decimals())
    } else if DOMAIN_SEPARATORCall::abi_decode(&data).is_ok() {
        let domain = eip712_domain! {
            name: network.token_name(),
            version: network.token_version(),
            chain_id: network.chain_id(),
            verifying_contract: network.token(),
        };
        domain.separator().into()
    } else {
        return Err("execution reverted".to_owned());
    };
    Ok(Value::String(B256::from(word).to_string()))
}

fn eth_get_logs(world: &World, network: Network, params: &[Value]) -> Answer {
    let filter = params.first().ok_or("no filter")?;
    let first = block_number(world, filter.get("fromBlock"))?;
    let last = block_number(world, filter.get("toBlock"))?;
    if last.saturating_sub(first) > 10_000 {
        return Err("block range is too wide: at most 10000 blocks".to_owned());
    }
    let address = filter
        .get("address")
        .and_then(Value::as_str)
        .and_then(bytes::<20>);
    if address != Some(network.token().into_array()) {
        return Ok(json!([]));
    }
    let wanted = filter
        .get("topics")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    // Blocks first: writing the logs of a long history takes too long.
    let events = world
        .journal
        .events()
        .iter()
        .filter(|event| block_of(event).is_some_and(|block| (first..=last).contains(&block)));
    let logs: Vec<Value> = logs_of(events, network)
        .into_iter()
        .filter(|log| matches_topics(log, &wanted))
        .collect();
    Ok(Value::Array(logs))
}

const fn block_of(event: &Event) -> Option<u64> {
    match event {
        Event::Settled { block, .. }
        | Event::Canceled { block, .. }
        | Event::Reverted { block, .. } => Some(*block),
        Event::BalanceSet { .. } => None,
    }
}

fn matches_topics(log: &Value, wanted: &[Value]) -> bool {
    let same = |a: &Value, b: &Value| match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => false,
    };
    wanted.iter().enumerate().all(|(index, wanted)| {
        let Some(own) = log.get("topics").and_then(|topics| topics.get(index)) else {
            return wanted.is_null();
        };
        match wanted {
            Value::Null => true,
            Value::Array(any) => any.iter().any(|one| same(one, own)),
            one => same(one, own),
        }
    })
}

fn receipt(world: &World, network: Network, wanted: &str) -> Value {
    let own: Vec<&Event> = world
        .journal
        .events()
        .iter()
        .filter(|event| transaction_in(event, network) == Some(wanted))
        .collect();
    let Some((first, at)) = own
        .first()
        .and_then(|event| Some((event, block_of(event)?)))
    else {
        return Value::Null;
    };
    let is_reverted = matches!(first, Event::Reverted { .. });
    json!({
        "transactionHash": wanted,
        "blockNumber": quantity(at),
        "blockHash": hash(&format!("block {at}")),
        "status": quantity(u64::from(!is_reverted)),
        "logs": logs_of(own, network),
    })
}

/// A payment that is alone in its transaction was a call of the proxy; several went through a
/// contract of somebody's own.
fn transaction(world: &World, network: Network, wanted: &str) -> Value {
    let events = world.journal.events().iter();
    let own: Vec<&Event> = events
        .filter(|event| transaction_in(event, network) == Some(wanted))
        .collect();
    let (to, input) = match own.as_slice() {
        [] => return Value::Null,
        [
            Event::Settled {
                calldata: Some(data),
                ..
            },
        ] => (PROXY, data.as_str()),
        _ => (Address::repeat_byte(0xba), "0x"),
    };
    json!({ "hash": wanted, "to": text(to), "input": input })
}

/// The transaction of an event on a network.
fn transaction_in(event: &Event, network: Network) -> Option<&str> {
    match event {
        Event::Settled {
            network: on,
            transaction,
            ..
        }
        | Event::Canceled {
            network: on,
            transaction,
            ..
        }
        | Event::Reverted {
            network: on,
            transaction,
            ..
        } if on == network.name() => Some(transaction),
        _ => None,
    }
}

/// The log entries of events in their order. A transaction of several events counts them on.
fn logs_of<'a>(events: impl IntoIterator<Item = &'a Event>, network: Network) -> Vec<Value> {
    let mut next_index = BTreeMap::<&str, u64>::new();
    let mut logs = Vec::new();
    for event in events {
        let Some(transaction) = transaction_in(event, network) else {
            continue;
        };
        let index = next_index.entry(transaction).or_default();
        for log in logs_from(event, network, *index) {
            logs.push(log);
            *index = index.saturating_add(1);
        }
    }
    logs
}

/// The log entries of one event, the first of which has this index.
fn logs_from(event: &Event, network: Network, index: u64) -> Vec<Value> {
    let word = |text: &str| format!("0x{:0>64}", text.trim_start_matches("0x"));
    match event {
        Event::Settled {
            from,
            to,
            value,
            nonce,
            transaction,
            block,
            ..
        } => {
            let value = U256::from_str_radix(value, 10).unwrap_or_default();
            let used = AuthorizationUsed::SIGNATURE_HASH.to_string();
            let used = [used, word(from), nonce.clone()];
            let moved = Transfer::SIGNATURE_HASH.to_string();
            let moved = [moved, word(from), word(to)];
            let value = B256::from(value).to_string();
            let after = index.saturating_add(1);
            if network.has_permit2() {
                return vec![log(network, index, transaction, *block, &moved, &value)];
            }
            vec![
                log(network, index, transaction, *block, &used, "0x"),
                log(network, after, transaction, *block, &moved, &value),
            ]
        }
        Event::Canceled {
            from,
            nonce,
            transaction,
            block,
            ..
        } => {
            let canceled = AuthorizationCanceled::SIGNATURE_HASH.to_string();
            let topics = [canceled, word(from), nonce.clone()];
            vec![log(network, index, transaction, *block, &topics, "0x")]
        }
        Event::Reverted { .. } | Event::BalanceSet { .. } => Vec::new(),
    }
}

fn log(
    network: Network,
    index: u64,
    transaction: &str,
    block: u64,
    topics: &[String],
    data: &str,
) -> Value {
    json!({
        "address": text(network.token()),
        "topics": topics,
        "data": data,
        "blockNumber": quantity(block),
        "blockHash": hash(&format!("block {block}")),
        "transactionHash": transaction,
        "transactionIndex": "0x0",
        "logIndex": quantity(index),
        "removed": false,
    })
}
