//! What the rail asks of a chain node.

mod client;

use async_trait::async_trait;
use compute_wallet::SolanaAddress;

pub(crate) use client::NodeClient;

/// A node of Solana.
#[async_trait]
pub(crate) trait Rpc: Send + Sync + core::fmt::Debug {
    /// The hash of the first block, which names the network.
    async fn genesis_hash(&self) -> Result<String, RpcError>;
    /// The height of the newest block that can never be undone.
    async fn final_height(&self) -> Result<u64, RpcError>;
    /// The last block height at which the newest blockhash is valid.
    async fn last_valid_height(&self) -> Result<u64, RpcError>;
    /// Whether a transaction with this blockhash may still be included.
    async fn is_blockhash_valid(&self, blockhash: &[u8; 32]) -> Result<bool, RpcError>;
    /// The time of the oldest block that the node still has, in Unix seconds.
    async fn oldest_time(&self) -> Result<u64, RpcError>;
    /// An account, if it exists.
    async fn account(
        &self,
        address: &SolanaAddress,
        commitment: Commitment,
    ) -> Result<Option<Account>, RpcError>;
    /// Why a transaction would fail now; nothing when it would not. Signatures are not looked at.
    async fn simulate(&self, wire: &[u8]) -> Result<Option<String>, RpcError>;
    /// Hands over a signed transaction. That it answered proves nothing, and neither does an error.
    async fn send(&self, wire: &[u8]) -> Result<(), RpcError>;
    /// Where a transaction stands; nothing when the node does not know it.
    async fn status(&self, signature: &str, reach: Reach) -> Result<Option<Status>, RpcError>;
    /// Final transactions that touch an account, the newest first: older than `before`, newer than
    /// `until`, `limit` at most.
    async fn signatures(
        &self,
        account: &SolanaAddress,
        before: Option<&str>,
        until: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Listed>, RpcError>;
    /// What a confirmed transaction did.
    async fn record(&self, signature: &str) -> Result<Option<Record>, RpcError>;
}

/// How sure the state must be that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commitment {
    /// Two thirds of the stake voted for it.
    Confirmed,
    /// It can never be undone.
    Finalized,
}

/// How far back a transaction is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Among the newest blocks.
    Recent,
    /// In all that the node has.
    History,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) lamports: u64,
    /// The program that it belongs to.
    pub(crate) owner: SolanaAddress,
    pub(crate) data: Vec<u8>,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) slot: u64,
    /// Whether it was carried out and failed.
    pub(crate) is_failed: bool,
    /// `None`: only seen.
    pub(crate) commitment: Option<Commitment>,
}

/// A transaction in the list of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) signature: String,
    /// Whether it was carried out and failed.
    pub(crate) is_failed: bool,
}

/// What a transaction did, as the node tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) slot: u64,
    pub(crate) wire: Vec<u8>,
    pub(crate) is_failed: bool,
    pub(crate) before: Vec<TokenBalance>,
    pub(crate) after: Vec<TokenBalance>,
}

/// What a token account holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenBalance {
    /// Its place among the accounts of the transaction.
    pub(crate) account: usize,
    pub(crate) mint: String,
    /// Whose it is, when the node says so.
    pub(crate) owner: Option<String>,
    pub(crate) amount: u128,
}

/// What a node did not do. The text is for the log; it never holds the node's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain node failed: {0}")]
pub(crate) struct RpcError(pub(crate) String);

impl RpcError {
    pub(crate) fn new(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}
