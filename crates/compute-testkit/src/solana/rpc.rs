//! The JSON-RPC interface of the node.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::chain::{EMPTY_SLOTS, FINALITY_BLOCKS, Landed, TokenState, World};
use super::wire::Transaction;
use super::{Key, Shared, TOKEN_PROGRAM};
use crate::listen::hang_up;

const MAIN_NET: &str = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";
const CLOCK: &str = "SysvarC1ock11111111111111111111111111111111";
const SYSTEM: &str = "11111111111111111111111111111111";

type Answer = Result<Value, (i64, &'static str)>;

pub(super) async fn call(State(shared): State<Shared>, Json(request): Json<Value>) -> Response {
    let mut world = shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if world.misbehaviour.hang_up > 0 {
        world.misbehaviour.hang_up -= 1;
        return hang_up();
    }
    let method = request.get("method").and_then(Value::as_str);
    let method = method.unwrap_or_default();
    let params = request.get("params").cloned().unwrap_or_default();
    let answer = answer(&mut world, method, &params);
    if method == "sendTransaction" && std::mem::take(&mut world.misbehaviour.land_then_hang_up) {
        return hang_up();
    }
    let id = request.get("id").cloned().unwrap_or_default();
    Json(match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, message)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    })
    .into_response()
}

fn answer(world: &mut World, method: &str, params: &Value) -> Answer {
    if world.misbehaviour.refuse > 0 {
        world.misbehaviour.refuse -= 1;
        return Err((-32_005, "Node is behind by 42 slots"));
    }
    let text = |place: usize| {
        params
            .get(place)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let value = match method {
        "getGenesisHash" => {
            let genesis = world.misbehaviour.genesis.clone();
            return Ok(genesis.unwrap_or_else(|| MAIN_NET.to_owned()).into());
        }
        "getBlockHeight" => {
            let is_final = params.pointer("/0/commitment") == Some(&"finalized".into());
            let height = if is_final {
                world.final_height()
            } else {
                world.height
            };
            return Ok(height.into());
        }
        "getFirstAvailableBlock" => return Ok(1.into()),
        "getBlockTime" => return Ok(world.misbehaviour.oldest_s.into()),
        "getLatestBlockhash" => {
            let hash = world.new_blockhash();
            json!({ "blockhash": bs58::encode(hash).into_string(),
                    "lastValidBlockHeight": world.last_valid_height() })
        }
        "isBlockhashValid" => world.is_valid(&key(text(0)).unwrap_or_default()).into(),
        "getAccountInfo" => {
            let is_final = params.pointer("/1/commitment") == Some(&"finalized".into());
            account(world, text(0), is_final)
        }
        "simulateTransaction" => {
            let transaction = read(world, text(0))?;
            json!({ "err": world.find_failure(&transaction), "logs": [] })
        }
        "sendTransaction" => {
            read(world, text(0))?;
            let wire = STANDARD.decode(text(0)).unwrap_or_default();
            let name = world.send(&wire);
            return name.map(Into::into).ok_or(UNREADABLE);
        }
        "getSignatureStatuses" => statuses(world, params),
        "getTransaction" if world.misbehaviour.has_no_history => {
            return Err((
                -32_011,
                "Transaction history is not available from this node",
            ));
        }
        "getTransaction" => return Ok(record(world, text(0))),
        "getSignaturesForAddress" => return Ok(signatures(world, params)),
        _ => return Err((-32_601, "Method not found")),
    };
    let slot = world.height.saturating_add(EMPTY_SLOTS);
    Ok(json!({ "context": { "slot": slot }, "value": value }))
}

const UNREADABLE: (i64, &str) = (-32_602, "invalid transaction");

fn read(world: &mut World, base64: &str) -> Result<Transaction, (i64, &'static str)> {
    let wire = STANDARD.decode(base64).map_err(|_| UNREADABLE)?;
    world.see(&wire);
    Transaction::read(&wire).ok_or(UNREADABLE)
}

/// The final transactions of an account, the newest first.
fn signatures(world: &World, params: &Value) -> Value {
    let address = params.get(0).and_then(Value::as_str).and_then(key);
    let named = |place: &str| params.pointer(place).and_then(Value::as_str);
    let order = |name: &str| world.landed.get(name).map(|landed| landed.order);
    let before = named("/1/before").and_then(order).unwrap_or(usize::MAX);
    let until = named("/1/until").and_then(order);
    let limit = params.pointer("/1/limit").and_then(Value::as_u64);
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(1_000);
    let mut found: Vec<_> = world
        .landed
        .iter()
        .filter(|(_, landed)| address.is_some_and(|key| landed.touched.contains(&key)))
        .filter(|(_, landed)| landed.height <= world.final_height())
        .filter(|(_, landed)| landed.order < before && until.is_none_or(|it| landed.order > it))
        .collect();
    found.sort_by_key(|(_, landed)| core::cmp::Reverse(landed.order));
    let listed = found.into_iter().take(limit).map(|(name, landed)| {
        json!({
            "signature": name,
            "slot": landed.height.saturating_add(EMPTY_SLOTS),
            "err": failure(landed),
            "confirmationStatus": "finalized",
        })
    });
    listed.collect()
}

fn statuses(world: &mut World, params: &Value) -> Value {
    let blocks = world.misbehaviour.blocks_per_look;
    world.advance(blocks);
    let searches = params.pointer("/1/searchTransactionHistory") == Some(&true.into());
    let names = params.get(0).and_then(Value::as_array);
    let names = names.into_iter().flatten();
    names
        .map(|name| status(world, name.as_str().unwrap_or_default(), searches))
        .collect()
}

fn status(world: &World, name: &str, searches: bool) -> Value {
    if world.misbehaviour.claim_success {
        return json!({ "slot": 7, "confirmations": null, "err": null,
                       "confirmationStatus": "finalized" });
    }
    let hidden = world.misbehaviour.forget || (world.misbehaviour.hide_recent && !searches);
    let Some(landed) = world.landed.get(name).filter(|_| !hidden) else {
        return Value::Null;
    };
    let is_final = landed.height.saturating_add(FINALITY_BLOCKS) <= world.height;
    json!({
        "slot": landed.height.saturating_add(EMPTY_SLOTS),
        "confirmations": if is_final { Value::Null } else { 1.into() },
        "err": failure(landed),
        "confirmationStatus": if is_final { "finalized" } else { "confirmed" },
    })
}

fn failure(landed: &Landed) -> Value {
    if landed.is_failed {
        json!({ "InstructionError": [2, { "Custom": 1 }] })
    } else {
        Value::Null
    }
}

fn record(world: &World, name: &str) -> Value {
    let Some(landed) = world
        .landed
        .get(name)
        .filter(|_| !world.misbehaviour.forget)
    else {
        return Value::Null;
    };
    let balances = |list: &[(usize, TokenState)]| -> Value {
        if world.misbehaviour.hide_balances {
            return json!([]);
        }
        list.iter()
            .map(|(place, token)| {
                json!({ "accountIndex": place, "mint": bs58::encode(token.mint).into_string(),
                        "owner": bs58::encode(token.owner).into_string(),
                        "uiTokenAmount": { "amount": token.amount.to_string(), "decimals": 6 } })
            })
            .collect()
    };
    json!({
        "slot": landed.height.saturating_add(EMPTY_SLOTS),
        "transaction": [STANDARD.encode(&landed.wire), "base64"],
        "meta": { "err": failure(landed), "preTokenBalances": balances(&landed.before),
                  "postTokenBalances": balances(&landed.after) },
    })
}

fn account(world: &World, address: &str, is_final: bool) -> Value {
    let (lamports, owner, data) = match key(address) {
        _ if address == CLOCK => {
            let behind = if is_final { FINALITY_BLOCKS } else { 0 };
            let now_s = world.now_ms.saturating_sub(behind * 400) / 1_000;
            (1, SYSTEM, [&[0; 32][..], &now_s.to_le_bytes()].concat())
        }
        Some(key) => match find(world, &key) {
            Some(found) => found,
            None => return Value::Null,
        },
        None => return Value::Null,
    };
    json!({ "lamports": lamports, "owner": owner, "executable": false, "rentEpoch": 0,
            "data": [STANDARD.encode(data), "base64"] })
}

fn find(world: &World, key: &Key) -> Option<(u64, &'static str, Vec<u8>)> {
    if let Some(token) = world.tokens.get(key) {
        let mut data = [&token.mint[..], &token.owner, &token.amount.to_le_bytes()].concat();
        data.resize(108, 0);
        data.push(if token.is_frozen { 2 } else { 1 });
        data.resize(165, 0);
        return Some((2_039_280, TOKEN_PROGRAM, data));
    }
    if let Some(decimals) = world.mints.get(key) {
        let mut data = vec![0; 44];
        data.extend([*decimals, 1]);
        data.resize(82, 0);
        return Some((1_461_600, TOKEN_PROGRAM, data));
    }
    let lamports = world.lamports.get(key)?;
    Some((*lamports, SYSTEM, Vec::new()))
}

fn key(base58: &str) -> Option<Key> {
    bs58::decode(base58).into_vec().ok()?.try_into().ok()
}
