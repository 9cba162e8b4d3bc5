//! What can be asked of the chain without changing it.

use compute_mpp::tempo::{Call, Transaction};
use compute_wallet::{Digest32, EvmAddress, Uint256, keccak256};
use serde_json::{Map, Value, json};

use super::bank::{INTRINSIC_GAS, PATH_USD, is_token};
use super::chain::{Block, Chain, fee};
use super::rpc::{BAD_PARAMS, NO_METHOD, REVERTED, RpcError};
use super::wire::{self, quantity, read_number};

/// What a wallet is advised to pay beside the base fee.
const PRIORITY_FEE: u128 = 1_000_000_000;
/// Decimals of every token of the chain.
const DECIMALS: u64 = 6;

/// Counts the nonces of all lanes but the protocol's own, which accounts have themselves.
const NONCE_MANAGER: EvmAddress = EvmAddress::new([
    0x4e, 0x4f, 0x4e, 0x43, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);

/// The two methods that send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Send {
    /// It answers with the hash.
    Hash,
    /// It waits, and answers with the receipt.
    Receipt,
}

impl Send {
    pub(super) fn of(method: &str) -> Option<Self> {
        match method {
            "eth_sendRawTransaction" => Some(Self::Hash),
            "eth_sendRawTransactionSync" => Some(Self::Receipt),
            _ => None,
        }
    }
}

/// Answers everything that changes nothing.
pub(super) fn answer(chain: &Chain, method: &str, params: &Value) -> Result<Value, RpcError> {
    let base_fee = chain.options.base_fee;
    match method {
        "eth_chainId" => Ok(quantity(chain.options.chain_id.into())),
        "net_version" => Ok(chain.options.chain_id.to_string().into()),
        "eth_blockNumber" => Ok(chain
            .latest()
            .map_or(Value::Null, |block| quantity(block.number.into()))),
        "eth_getBlockByNumber" => Ok(block_by_number(chain, params)),
        "eth_gasPrice" => Ok(quantity(base_fee.saturating_add(PRIORITY_FEE))),
        "eth_maxPriorityFeePerGas" => Ok(quantity(PRIORITY_FEE)),
        "eth_getTransactionCount" => {
            let sender = address_param(params, 0)?;
            let block = pinned(chain, params)?;
            let next = chain.nonce_at(sender, Uint256::default(), block);
            Ok(quantity(next.into()))
        }
        "eth_getTransactionReceipt" => Ok(chain
            .find(&hash_param(params)?)
            .map_or(Value::Null, wire::receipt)),
        "eth_getTransactionByHash" => Ok(chain
            .find(&hash_param(params)?)
            .map_or(Value::Null, wire::transaction)),
        "eth_getLogs" => {
            let filter = params.get(0).ok_or_else(|| bad("a filter"))?;
            Ok(wire::find_logs(chain, filter).into())
        }
        "eth_getCode" => Ok("0x".into()),
        "eth_call" => call(chain, request(params)?, pinned(chain, params)?),
        "eth_estimateGas" => estimate(chain, request(params)?).map(|gas| quantity(gas.into())),
        "eth_fillTransaction" => fill(chain, request(params)?),
        _ => Err(RpcError::new(
            NO_METHOD,
            format!("the method {method} does not exist/is not available"),
        )),
    }
}

fn block_by_number(chain: &Chain, params: &Value) -> Value {
    let wanted = match params.get(0).and_then(Value::as_str) {
        Some(text) if text.starts_with("0x") => read_number(text),
        // Finality is immediate: all tags but the first name the last block.
        Some("earliest") => Some(chain.options.first_block),
        _ => chain.latest().map(|block| block.number),
    };
    let base_fee = chain.options.base_fee;
    let mut blocks = chain.blocks.iter();
    if let Some(block) = blocks.find(|block| Some(block.number) == wanted) {
        return wire::block(block, base_fee);
    }
    // The chain is older than the double: two blocks a second, and nothing in them.
    match (chain.blocks.first(), wanted) {
        (Some(first), Some(number)) if number < first.number => {
            let age = first.number.saturating_sub(number).div_ceil(2);
            let older = Block {
                number,
                time: first.time.saturating_sub(age),
                transactions: Vec::new(),
            };
            wire::block(&older, base_fee)
        }
        _ => Value::Null,
    }
}

/// The block as of which is asked; a machine that does not have it says so.
fn pinned(chain: &Chain, params: &Value) -> Result<u64, RpcError> {
    let latest = chain.latest().map_or(0, |block| block.number);
    match params.get(1).and_then(Value::as_str).and_then(read_number) {
        Some(number) if number > latest => {
            Err(RpcError::new(super::rpc::REJECTED, "header not found"))
        }
        Some(number) => Ok(number),
        None => Ok(latest),
    }
}

/// A read of a token, or a payment that is only tried.
fn call(chain: &Chain, object: &Map<String, Value>, block: u64) -> Result<Value, RpcError> {
    if object.get("calls").is_some_and(Value::is_array) {
        simulate(chain, object)?;
        return Ok(word(1));
    }
    let token = address_member(object, "to").ok_or_else(|| bad("to"))?;
    let data = data_member(object)?;
    if token == NONCE_MANAGER {
        return count_nonces(chain, &data, block);
    }
    if !is_token(token) {
        return Ok("0x".into());
    }
    match (token_function(&data), data.get(4..36)) {
        (Some("balanceOf"), Some(holder)) => {
            let holder: Digest32 = holder.try_into().map_err(|_| bad("data"))?;
            let holder = compute_mpp::tempo::abi::address_of_word(&holder)
                .ok_or_else(|| reverted("dirty address"))?;
            Ok(word(chain.bank.balance(token, holder)))
        }
        (Some("decimals"), _) => Ok(word(DECIMALS.into())),
        (Some("totalSupply"), _) => Ok(word(u128::from(u64::MAX))),
        (Some("currency"), _) => Ok(text("USD")),
        (Some("symbol" | "name"), _) => Ok(text(if token == PATH_USD {
            "pathUSD"
        } else {
            "USDC.e"
        })),
        _ => {
            simulate(chain, object)?;
            Ok(word(1))
        }
    }
}

/// The function of a token that call data names, among those that are read.
fn token_function(data: &[u8]) -> Option<&'static str> {
    const READS: [(&str, &str); 6] = [
        ("balanceOf", "balanceOf(address)"),
        ("decimals", "decimals()"),
        ("symbol", "symbol()"),
        ("name", "name()"),
        ("currency", "currency()"),
        ("totalSupply", "totalSupply()"),
    ];
    let selector = data.get(..4)?;
    READS
        .iter()
        .find(|(_, signature)| keccak256(signature.as_bytes()).starts_with(selector))
        .map(|(name, _)| *name)
}

/// `getNonce(address,uint256)`.
fn count_nonces(chain: &Chain, data: &[u8], block: u64) -> Result<Value, RpcError> {
    let selector = &keccak256(b"getNonce(address,uint256)");
    let (called, words) = data.split_first_chunk::<4>().ok_or_else(|| bad("data"))?;
    let (words, rest) = words.as_chunks::<32>();
    let ([account, lane], [], true) = (words, rest, selector.starts_with(called)) else {
        return Err(reverted("unknown function"));
    };
    let account = compute_mpp::tempo::abi::address_of_word(account)
        .ok_or_else(|| reverted("dirty address"))?;
    let lane = Uint256::from_be_bytes(*lane);
    if lane == Uint256::default() {
        return Err(reverted("ProtocolNonceNotSupported"));
    }
    Ok(word(chain.nonce_at(account, lane, block).into()))
}

/// Tries the calls on a copy of the balances; with a price and a limit of gas, the fee too.
fn simulate(chain: &Chain, object: &Map<String, Value>) -> Result<u64, RpcError> {
    let calls = calls_member(object)?;
    let sender = address_member(object, "from").unwrap_or(EvmAddress::ZERO);
    let mut bank = chain.bank.clone();
    let (gas, price) = (number_member(object, "gas"), price_member(object));
    if let (Some(gas), Some(price)) = (gas, price) {
        chain
            .gas_price(price, PRIORITY_FEE)
            .map_err(|rejection| RpcError::new(super::rpc::REJECTED, rejection.0))?;
        let only = calls
            .first()
            .and_then(|call| call.to)
            .filter(|to| is_token(*to));
        let token = address_member(object, "feeToken")
            .or(only)
            .unwrap_or(PATH_USD);
        bank.debit(token, sender, fee(gas, price)).map_err(|_| {
            RpcError::new(
                super::rpc::REJECTED,
                "insufficient funds for gas * price + value",
            )
        })?;
    }
    if number_member(object, "validBefore").is_some_and(|before| before <= chain.time()) {
        return Err(RpcError::new(
            super::rpc::REJECTED,
            "transaction valid_before has passed",
        ));
    }
    let outcome = bank.run(sender, &calls);
    match outcome.revert {
        Some(reason) => Err(reverted(reason)),
        None => Ok(outcome.gas),
    }
}

fn estimate(chain: &Chain, object: &Map<String, Value>) -> Result<u64, RpcError> {
    // Wallets estimate before they have a price.
    let mut free = object.clone();
    free.remove("gas");
    simulate(chain, &free).map(|gas| gas.max(INTRINSIC_GAS))
}

/// Adds to a request what the wallet left open.
fn fill(chain: &Chain, object: &Map<String, Value>) -> Result<Value, RpcError> {
    let gas = estimate(chain, object)?;
    let mut filled = object.clone();
    let price = chain
        .options
        .base_fee
        .saturating_mul(2)
        .saturating_add(PRIORITY_FEE);
    for (name, value) in [
        ("type", json!("0x76")),
        ("chainId", quantity(chain.options.chain_id.into())),
        ("gas", quantity(gas.into())),
        ("maxFeePerGas", quantity(price)),
        ("maxPriorityFeePerGas", quantity(PRIORITY_FEE)),
        ("nonce", json!("0x0")),
        ("nonceKey", json!("0x0")),
        ("accessList", json!([])),
        ("aaAuthorizationList", json!([])),
    ] {
        filled.entry(name).or_insert(value);
    }
    Ok(json!({"raw": "0x", "tx": filled}))
}

/// The hash under which a transaction will be known, for the data of an error.
pub(super) fn hash_of(raw: &[u8]) -> Option<Value> {
    let transaction = Transaction::decode(raw).ok()?;
    Some(wire::bytes(&transaction.hash()))
}

pub(super) fn bytes_param(params: &Value, at: usize) -> Result<Vec<u8>, RpcError> {
    params
        .get(at)
        .and_then(Value::as_str)
        .and_then(read_bytes)
        .ok_or_else(|| bad("hex"))
}

fn hash_param(params: &Value) -> Result<Digest32, RpcError> {
    bytes_param(params, 0)?
        .try_into()
        .map_err(|_| bad("a hash"))
}

fn address_param(params: &Value, at: usize) -> Result<EvmAddress, RpcError> {
    params
        .get(at)
        .and_then(Value::as_str)
        .and_then(|text| EvmAddress::parse_any_case(text).ok())
        .ok_or_else(|| bad("an address"))
}

fn request(params: &Value) -> Result<&Map<String, Value>, RpcError> {
    params
        .get(0)
        .and_then(Value::as_object)
        .ok_or_else(|| bad("an object"))
}

fn calls_member(object: &Map<String, Value>) -> Result<Vec<Call>, RpcError> {
    let one = |object: &Map<String, Value>| {
        Ok(Call {
            to: address_member(object, "to"),
            value: Uint256::from(number_member(object, "value").unwrap_or_default()),
            input: data_member(object)?,
        })
    };
    match object.get("calls").and_then(Value::as_array) {
        Some(calls) => calls
            .iter()
            .map(|call| one(call.as_object().ok_or_else(|| bad("calls"))?))
            .collect(),
        None => Ok(vec![one(object)?]),
    }
}

fn address_member(object: &Map<String, Value>, name: &str) -> Option<EvmAddress> {
    EvmAddress::parse_any_case(object.get(name)?.as_str()?).ok()
}

fn data_member(object: &Map<String, Value>) -> Result<Vec<u8>, RpcError> {
    let text = ["data", "input"]
        .iter()
        .find_map(|name| object.get(*name)?.as_str());
    // Some clients leave the prefix out, and nodes take it.
    text.map_or(Some(Vec::new()), |it| {
        read_bytes(it).or_else(|| hex::decode(it).ok())
    })
    .ok_or_else(|| bad("data"))
}

fn number_member(object: &Map<String, Value>, name: &str) -> Option<u64> {
    read_number(object.get(name)?.as_str()?)
}

fn price_member(object: &Map<String, Value>) -> Option<u128> {
    number_member(object, "maxFeePerGas").map(u128::from)
}

fn read_bytes(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?).ok()
}

fn word(number: u128) -> Value {
    wire::bytes(&Uint256::from(number).to_be_bytes())
}

/// A short text as the ABI encodes it: where it begins, how long it is, its bytes.
fn text(text: &str) -> Value {
    let length = u64::try_from(text.len()).unwrap_or_default();
    let mut bytes = Uint256::from(32_u64).to_be_bytes().to_vec();
    bytes.extend(Uint256::from(length).to_be_bytes());
    let mut padded = text.as_bytes().to_vec();
    padded.resize(32, 0);
    bytes.extend(padded);
    wire::bytes(&bytes)
}

fn reverted(reason: &str) -> RpcError {
    RpcError {
        code: REVERTED,
        message: format!("execution reverted: {reason}"),
        data: Some("0x".into()),
    }
}

fn bad(what: &str) -> RpcError {
    RpcError::new(BAD_PARAMS, format!("invalid params: expected {what}"))
}
