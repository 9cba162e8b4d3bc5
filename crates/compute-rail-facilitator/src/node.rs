//! A chain node: JSON-RPC over HTTP, reads only.

use compute_outbound::{OutboundClient, OutboundRequest};
use compute_wallet::EvmAddress;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::abi::read_quantity;

/// A node that speaks the Ethereum JSON-RPC interface.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    http: OutboundClient,
}

/// The node gave no usable answer. The text is for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain node failed: {0}")]
pub(crate) struct NodeError(pub(crate) String);

/// A block's number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) number: u64,
    /// Unix seconds.
    pub(crate) time: u64,
}

/// A log entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    pub(crate) address: String,
    pub(crate) topics: Vec<String>,
    pub(crate) data: String,
    pub(crate) block_number: String,
    pub(crate) transaction_hash: String,
    pub(crate) log_index: String,
    #[serde(default)]
    pub(crate) removed: bool,
}

/// What became of a mined transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    status: String,
    pub(crate) logs: Vec<Log>,
}

impl Receipt {
    /// Whether it succeeded; a reverted one moved nothing.
    pub(crate) fn is_success(&self) -> bool {
        read_quantity(&self.status) == Some(1)
    }
}

impl Log {
    pub(crate) fn has_topics(&self, expected: &[&str]) -> bool {
        let is_same = |(own, wanted): (&String, &&str)| own.eq_ignore_ascii_case(wanted);
        self.topics.len() >= expected.len() && self.topics.iter().zip(expected).all(is_same)
    }

    pub(crate) fn is_from(&self, contract: EvmAddress) -> bool {
        EvmAddress::parse_any_case(&self.address).is_ok_and(|address| address == contract)
    }

    pub(crate) fn index(&self) -> Option<u32> {
        read_quantity(&self.log_index)?.try_into().ok()
    }
}

#[derive(Deserialize)]
struct Reply<T> {
    result: Option<T>,
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    #[serde(default)]
    code: i64,
}

#[derive(Deserialize)]
struct BlockReply {
    number: String,
    timestamp: String,
}

impl Node {
    pub(crate) const fn new(http: OutboundClient) -> Self {
        Self { http }
    }

    pub(crate) async fn chain_id(&self) -> Result<u64, NodeError> {
        let id: Option<String> = self.ask("eth_chainId", json!([])).await?;
        id.as_deref().and_then(read_quantity).ok_or_else(unreadable)
    }

    /// The newest block, or the one with this number.
    pub(crate) async fn block(&self, number: Option<u64>) -> Result<Block, NodeError> {
        let block: Option<BlockReply> = self
            .ask("eth_getBlockByNumber", json!([tag(number), false]))
            .await?;
        let block = block.ok_or_else(|| NodeError("it does not have the block".to_owned()))?;
        let read = |text: &str| read_quantity(text).ok_or_else(unreadable);
        Ok(Block {
            number: read(&block.number)?,
            time: read(&block.timestamp)?,
        })
    }

    /// The answer of a contract as it was at a block, the newest when none is given.
    pub(crate) async fn call(
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
    pub(crate) async fn logs(
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
    pub(crate) async fn receipt(&self, transaction: &str) -> Result<Option<Receipt>, NodeError> {
        self.ask("eth_getTransactionReceipt", json!([transaction]))
            .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<Option<T>, NodeError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        // Errors of the client never show the URL, which may hold the node provider's key.
        let request = OutboundRequest::post(&[]).json(&body);
        let answer = match request {
            Ok(request) => self.http.send(request).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| NodeError(error.to_string()))?;
        if !answer.status.is_success() {
            return Err(NodeError(format!(
                "{method}: status {}",
                answer.status.as_u16()
            )));
        }
        let reply: Reply<T> = answer.json().map_err(|_| unreadable())?;
        match reply.error {
            Some(error) => Err(NodeError(format!("{method}: error {}", error.code))),
            None => Ok(reply.result),
        }
    }
}

fn tag(number: Option<u64>) -> String {
    number.map_or_else(|| "latest".to_owned(), |number| format!("{number:#x}"))
}

fn unreadable() -> NodeError {
    NodeError("its answer cannot be read".to_owned())
}
