//! A chain node: the Ethereum JSON-RPC interface over HTTP.

use compute_outbound::{OutboundClient, OutboundRequest};
use compute_wallet::EvmAddress;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::abi::read_quantity;

/// A node that speaks the Ethereum JSON-RPC interface.
#[derive(Clone, Debug)]
pub struct Node {
    http: OutboundClient,
}

/// What a node did not do. The text is for the log; it never holds the node's address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It was not reached: nothing of what was asked of it was done.
    #[error("the chain node was not reached: {0}")]
    NotSent(String),
    /// It gave no usable answer: what was asked of it may have been done.
    #[error("the chain node failed: {0}")]
    Unusable(String),
    /// It answered with an error of the interface.
    #[error("the chain node refused {method}: {message} (error {code})")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// The code of JSON-RPC.
        code: i64,
        /// Its sentence: at most 200 printable characters.
        message: String,
    },
}

impl NodeError {
    /// An answer that cannot be used, with the reason.
    #[must_use]
    pub fn unusable(reason: &str) -> Self {
        Self::Unusable(reason.to_owned())
    }

    /// Whether a simulated call was carried out and failed: code 3, or the word that nodes use.
    #[must_use]
    pub fn is_revert(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Unusable(_) => false,
            Self::Refused { code, message, .. } => *code == 3 || message.contains("revert"),
        }
    }

    /// Whether a simulated call was carried out and failed, by its own doing or because its gas ran
    /// out. Everything else is the node's: that it limits requests, or lacks the block.
    #[must_use]
    pub fn is_failed_call(&self) -> bool {
        // The words of the machines that nodes run, none of which has a code of its own for it.
        const FAILURES: [&str; 6] = [
            "out of gas",
            "outofgas",
            "opcode",
            "jump",
            "stack",
            "gas required",
        ];
        let Self::Refused { message, .. } = self else {
            return false;
        };
        let message = message.to_ascii_lowercase();
        self.is_revert() || FAILURES.iter().any(|it| message.contains(it))
    }
}

/// A block's number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Unix seconds.
    pub time: u64,
    /// Wei per gas that every transaction pays (EIP-1559); `None` on chains without.
    pub base_fee: Option<u128>,
}

/// A call to simulate or to estimate: nothing is sent.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Who would send it.
    pub from: EvmAddress,
    /// The contract.
    pub to: EvmAddress,
    /// `0x` hex.
    pub data: &'a str,
    /// The most gas it may burn, where that must be bounded.
    pub gas: Option<u64>,
}

/// A transaction as a node knows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// The contract; absent for a creation.
    pub to: Option<String>,
    /// Calldata as `0x` hex.
    pub input: String,
}

/// A log entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// The contract that wrote it.
    pub address: String,
    /// What can be searched.
    pub topics: Vec<String>,
    /// What cannot.
    pub data: String,
    /// Its block, as a quantity.
    pub block_number: String,
    /// Its transaction.
    pub transaction_hash: String,
    /// Its place in the block, as a quantity.
    pub log_index: String,
    /// Whether a reorganisation took it back.
    #[serde(default)]
    pub removed: bool,
}

/// What became of a mined transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    transaction_hash: Option<String>,
    status: String,
    block_number: String,
    /// What it logged; nothing when it failed.
    pub logs: Vec<Log>,
}

impl Receipt {
    /// Whether it succeeded; a reverted one moved nothing.
    #[must_use]
    pub fn is_success(&self) -> bool {
        read_quantity(&self.status) == Some(1)
    }

    /// The block it is in.
    #[must_use]
    pub fn block(&self) -> Option<u64> {
        read_quantity(&self.block_number)
    }
}

impl Log {
    /// Whether its first topics are these.
    #[must_use]
    pub fn has_topics(&self, expected: &[&str]) -> bool {
        let is_same = |(own, wanted): (&String, &&str)| own.eq_ignore_ascii_case(wanted);
        self.topics.len() >= expected.len() && self.topics.iter().zip(expected).all(is_same)
    }

    /// Whether this contract wrote it.
    #[must_use]
    pub fn is_from(&self, contract: EvmAddress) -> bool {
        EvmAddress::parse_any_case(&self.address).is_ok_and(|address| address == contract)
    }

    /// Its place in the block.
    #[must_use]
    pub fn index(&self) -> Option<u32> {
        read_quantity(&self.log_index)?.try_into().ok()
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Reply<T> {
    /// `null` says that there is no such thing; a reply without this member says nothing.
    #[serde(default = "Option::default", deserialize_with = "present")]
    result: Option<Option<T>>,
    error: Option<ReplyError>,
}

fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct ReplyError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockReply {
    number: String,
    timestamp: String,
    base_fee_per_gas: Option<String>,
}

impl Node {
    /// A node behind a client that is bound to its address.
    #[must_use]
    pub const fn new(http: OutboundClient) -> Self {
        Self { http }
    }

    /// The chain it serves.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn chain_id(&self) -> Result<u64, NodeError> {
        let id: Option<String> = self.ask("eth_chainId", json!([])).await?;
        id.as_deref().and_then(read_quantity).ok_or_else(unreadable)
    }

    /// The newest block, or the one with this number.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn block(&self, number: Option<u64>) -> Result<Block, NodeError> {
        let block: Option<BlockReply> = self
            .ask("eth_getBlockByNumber", json!([tag(number), false]))
            .await?;
        let block = block.ok_or_else(|| NodeError::unusable("it does not have the block"))?;
        let read = |text: &str| read_quantity(text).ok_or_else(unreadable);
        Ok(Block {
            number: read(&block.number)?,
            time: read(&block.timestamp)?,
            base_fee: match block.base_fee_per_gas {
                Some(text) => Some(read_wei(&text).ok_or_else(unreadable)?),
                None => None,
            },
        })
    }

    /// The answer of a contract as it was at a block, the newest when none is given.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn call(
        &self,
        to: EvmAddress,
        data: &str,
        block: Option<u64>,
    ) -> Result<String, NodeError> {
        let call = json!({"to": to.to_string(), "data": data});
        let answer: Option<String> = self.ask("eth_call", json!([call, tag(block)])).await?;
        answer.ok_or_else(unreadable)
    }

    /// Log entries of a contract in a range of blocks, both ends included.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn logs(
        &self,
        contract: EvmAddress,
        topics: &Value,
        (first, last): (u64, u64),
    ) -> Result<Vec<Log>, NodeError> {
        let filter = json!({
            "address": contract.to_string(),
            "topics": topics,
            "fromBlock": tag(Some(first)),
            "toBlock": tag(Some(last)),
        });
        let logs: Option<Vec<Log>> = self.ask("eth_getLogs", json!([filter])).await?;
        logs.ok_or_else(unreadable)
    }

    /// The receipt of a transaction, once it is mined.
    ///
    /// # Errors
    /// When it does not answer, or with the receipt of another transaction.
    pub async fn receipt(&self, transaction: &str) -> Result<Option<Receipt>, NodeError> {
        let receipt: Option<Receipt> = self
            .ask("eth_getTransactionReceipt", json!([transaction]))
            .await?;
        let named = receipt.as_ref().and_then(|it| it.transaction_hash.as_ref());
        if named.is_some_and(|hash| !hash.eq_ignore_ascii_case(transaction)) {
            return Err(NodeError::unusable("the receipt of another transaction"));
        }
        Ok(receipt)
    }

    /// The code of an account; empty for one without.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn code(&self, account: EvmAddress) -> Result<Vec<u8>, NodeError> {
        let params = json!([account.to_string(), "latest"]);
        let code: Option<String> = self.ask("eth_getCode", params).await?;
        let digits = code.as_deref().and_then(|text| text.strip_prefix("0x"));
        digits
            .and_then(|digits| hex::decode(digits).ok())
            .ok_or_else(unreadable)
    }

    /// What an account holds, in wei.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn balance(&self, account: EvmAddress) -> Result<u128, NodeError> {
        let params = json!([account.to_string(), "latest"]);
        let balance: Option<String> = self.ask("eth_getBalance", params).await?;
        balance.as_deref().and_then(read_wei).ok_or_else(unreadable)
    }

    /// How many transactions of an account are mined at a block, the newest when none is given: the
    /// number of its next one.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn transaction_count(
        &self,
        account: EvmAddress,
        block: Option<u64>,
    ) -> Result<u64, NodeError> {
        let params = json!([account.to_string(), tag(block)]);
        let count: Option<String> = self.ask("eth_getTransactionCount", params).await?;
        count
            .as_deref()
            .and_then(read_quantity)
            .ok_or_else(unreadable)
    }

    /// What the node suggests to pay above the base fee, in wei per gas.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn priority_fee(&self) -> Result<u128, NodeError> {
        let fee: Option<String> = self.ask("eth_maxPriorityFeePerGas", json!([])).await?;
        fee.as_deref().and_then(read_wei).ok_or_else(unreadable)
    }

    /// Carries a call out without sending it, at a block, the newest when none is given.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when it reverts; else when the node does not answer.
    pub async fn simulate(&self, call: &Call<'_>, block: Option<u64>) -> Result<String, NodeError> {
        let params = json!([call.to_json(), tag(block)]);
        let answer: Option<String> = self.ask("eth_call", params).await?;
        answer.ok_or_else(unreadable)
    }

    /// The gas that a call would take at the newest block: not `pending`, which not every node has.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when it reverts; else when the node does not answer.
    pub async fn estimate_gas(&self, call: &Call<'_>) -> Result<u64, NodeError> {
        let params = json!([call.to_json(), "latest"]);
        let gas: Option<String> = self.ask("eth_estimateGas", params).await?;
        gas.as_deref()
            .and_then(read_quantity)
            .ok_or_else(unreadable)
    }

    /// Hands over a signed transaction. That it answered proves nothing, and neither does an error:
    /// only a receipt does.
    ///
    /// # Errors
    /// When it does not answer, or says that it does not take the transaction.
    pub async fn send_raw(&self, raw: &[u8]) -> Result<(), NodeError> {
        let params = json!([format!("0x{}", hex::encode(raw))]);
        let _hash: Option<Value> = self.ask("eth_sendRawTransaction", params).await?;
        Ok(())
    }

    /// Hands over a signed transaction, and waits until it is in a block (EIP-7966), for as long as
    /// the node wants to. What it answered proves as little as above, and an error leaves everything
    /// open.
    ///
    /// # Errors
    /// When it does not answer in time, or does not know the method.
    pub async fn send_raw_and_wait(&self, raw: &[u8]) -> Result<(), NodeError> {
        // The time is ours to limit: not every node takes it as a second parameter.
        let params = json!([format!("0x{}", hex::encode(raw))]);
        let _receipt: Option<Value> = self.ask("eth_sendRawTransactionSync", params).await?;
        Ok(())
    }

    /// A transaction by its hash, mined or not.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn transaction(&self, hash: &str) -> Result<Option<Transaction>, NodeError> {
        self.ask("eth_getTransactionByHash", json!([hash])).await
    }

    /// Asks what has no method of its own here: a dialect of one kind of chain. `null` is `None`.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn request(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Option<Value>, NodeError> {
        self.ask(method, params).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Option<T>, NodeError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        // Errors of the client never show the URL, which may hold the node provider's key.
        let request = OutboundRequest::post(&[]).json(&body);
        let answer = match request {
            Ok(request) => self.http.send(request).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| {
            let reason = error.to_string();
            if error.is_not_sent() {
                NodeError::NotSent(reason)
            } else {
                NodeError::Unusable(reason)
            }
        })?;
        if !answer.status.is_success() {
            return Err(NodeError::Unusable(format!(
                "{method}: status {}",
                answer.status.as_u16()
            )));
        }
        let reply: Reply<T> = answer.json().map_err(|_| unreadable())?;
        match reply.error {
            Some(error) => Err(NodeError::Refused {
                method,
                code: error.code,
                message: printable(&error.message),
            }),
            None => reply.result.ok_or_else(unreadable),
        }
    }
}

impl Call<'_> {
    fn to_json(&self) -> Value {
        let mut call = json!({
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "data": self.data,
        });
        if let (Some(gas), Some(members)) = (self.gas, call.as_object_mut()) {
            members.insert("gas".to_owned(), json!(format!("{gas:#x}")));
        }
        call
    }
}

/// Reads an amount of wei, which needs more than 64 bits.
fn read_wei(text: &str) -> Option<u128> {
    let digits = text.strip_prefix("0x")?;
    if digits.starts_with('+') {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

fn printable(text: &str) -> String {
    let is_printable = |character: &char| matches!(character, ' '..='~');
    text.chars().filter(is_printable).take(200).collect()
}

fn tag(number: Option<u64>) -> String {
    number.map_or_else(|| "latest".to_owned(), |number| format!("{number:#x}"))
}

fn unreadable() -> NodeError {
    NodeError::unusable("its answer cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_leaves_its_result_out_is_not_null() {
        let read = |text: &str| serde_json::from_str::<Reply<String>>(text).unwrap().result;
        assert_eq!(read(r#"{"jsonrpc":"2.0","id":1}"#), None);
        assert_eq!(read(r#"{"result":null}"#), Some(None));
        assert_eq!(read(r#"{"result":"0x1"}"#), Some(Some("0x1".to_owned())));
    }

    #[test]
    fn what_was_not_sent_was_not_undone_either() {
        let error = NodeError::NotSent("execution reverted".to_owned());
        assert!(!error.is_revert() && !error.is_failed_call());
    }
}
