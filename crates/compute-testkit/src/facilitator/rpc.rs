use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolCall, SolEvent, eip712_domain, sol};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::exact::bytes;
use super::ledger::{Event, SECONDS_PER_BLOCK, World, hash, text};
use super::network::Network;
use super::{Fault, Shared, lock};

sol! {
    function authorizationState(address authorizer, bytes32 nonce) returns (bool);
    function balanceOf(address account) returns (uint256);
    function DOMAIN_SEPARATOR() returns (bytes32);
    function decimals() returns (uint8);

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
        U256::from(6)
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
    let logs: Vec<Value> = world
        .journal
        .events()
        .iter()
        // Blocks first: writing the logs of a long history takes too long.
        .filter(|event| block_of(event).is_some_and(|block| (first..=last).contains(&block)))
        .flat_map(|event| logs_of(event, network))
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
    for event in world.journal.events() {
        let (Event::Settled {
            network: on,
            transaction,
            block: at,
            ..
        }
        | Event::Canceled {
            network: on,
            transaction,
            block: at,
            ..
        }
        | Event::Reverted {
            network: on,
            transaction,
            block: at,
        }) = event
        else {
            continue;
        };
        if on == network.name() && transaction == wanted {
            let is_reverted = matches!(event, Event::Reverted { .. });
            return json!({
                "transactionHash": transaction,
                "blockNumber": quantity(*at),
                "blockHash": hash(&format!("block {at}")),
                "status": quantity(u64::from(!is_reverted)),
                "logs": logs_of(event, network),
            });
        }
    }
    Value::Null
}

fn logs_of(event: &Event, network: Network) -> Vec<Value> {
    let word = |text: &str| format!("0x{:0>64}", text.trim_start_matches("0x"));
    match event {
        Event::Settled {
            network: on,
            from,
            to,
            value,
            nonce,
            transaction,
            block,
            ..
        } if on == network.name() => {
            let value = U256::from_str_radix(value, 10).unwrap_or_default();
            let used = AuthorizationUsed::SIGNATURE_HASH.to_string();
            let moved = Transfer::SIGNATURE_HASH.to_string();
            vec![
                log(
                    network,
                    0,
                    transaction,
                    *block,
                    &[used, word(from), nonce.clone()],
                    "0x",
                ),
                log(
                    network,
                    1,
                    transaction,
                    *block,
                    &[moved, word(from), word(to)],
                    &B256::from(value).to_string(),
                ),
            ]
        }
        Event::Canceled {
            network: on,
            from,
            nonce,
            transaction,
            block,
        } if on == network.name() => {
            let canceled = AuthorizationCanceled::SIGNATURE_HASH.to_string();
            let topics = [canceled, word(from), nonce.clone()];
            vec![log(network, 0, transaction, *block, &topics, "0x")]
        }
        _ => Vec::new(),
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
