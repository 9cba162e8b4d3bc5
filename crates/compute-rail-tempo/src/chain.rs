//! The chain as its node tells of it: what is asked, and which answers say what.

use compute_evm::{Block, Call, Chain, Node, NodeError, abi};
use compute_mpp::tempo::VerifiedPull;
use compute_mpp::tempo::abi::word_of_address;
use compute_wallet::{Digest32, EvmAddress, Uint256};
use serde_json::{Value, json};

/// The method is not there (JSON-RPC), or not on this node (EIP-1474).
const NO_METHOD: [i64; 2] = [-32_601, -32_004];

/// The wait ended before the transaction was in a block (EIP-7966).
const TIMED_OUT: i64 = 4;

/// Counts of nonces in lanes other than the protocol's own are read here (`getNonce`).
const NONCE_MANAGER: EvmAddress = EvmAddress::new([
    0x4e, 0x4f, 0x4e, 0x43, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);

/// Selector of `getNonce(address,uint256)`.
const GET_NONCE: [u8; 4] = [0x89, 0x53, 0x58, 0x03];

/// A sentence of a node with a longer word may hold a signed transaction; a hash has 66 characters.
const MAX_WORD: usize = 66;

/// What a node's refusal of a transaction says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// The payer does not hold enough for amount and fee.
    Funds,
    /// Another transaction took its nonce.
    Nonce,
    /// It is too late for it.
    Expired,
    /// Its end is further away than the chain allows.
    Distant,
    /// It is too early for it.
    Early,
    /// It was carried out in a trial and undone.
    Reverts,
    /// The node does not speak of the transaction, or in words that mean nothing here.
    Unclear,
}

/// The chain that one rail settles on.
#[derive(Debug)]
pub(crate) struct TempoChain {
    pub(crate) evm: Chain,
    pub(crate) chain_id: u64,
    pub(crate) token: EvmAddress,
    /// Seconds that a machine behind the node's address may lag behind another one. What is older by
    /// the chain's own time is known to all of them, whichever answers.
    pub(crate) max_lag_s: u64,
}

impl TempoChain {
    pub(crate) const fn node(&self) -> &Node {
        self.evm.node()
    }

    /// What the chain has of a transaction, unread.
    pub(crate) async fn receipt(&self, hash: &Digest32) -> Result<Option<Value>, NodeError> {
        let params = json!([word(hash)]);
        self.node()
            .request("eth_getTransactionReceipt", params)
            .await
    }

    /// Whether the node has heard of a transaction, in a block or not.
    pub(crate) async fn is_known(&self, hash: &Digest32) -> Result<bool, NodeError> {
        let params = json!([word(hash)]);
        let found = self.node().request("eth_getTransactionByHash", params);
        Ok(found.await?.is_some())
    }

    /// Hands a transaction over and waits until it is in a block (EIP-7966): its receipt, unread.
    /// Nodes without such a wait only take it.
    pub(crate) async fn send(&self, raw: &[u8]) -> Result<Option<Value>, NodeError> {
        let params = || json!([format!("0x{}", hex::encode(raw))]);
        let sent = self
            .node()
            .request("eth_sendRawTransactionSync", params())
            .await;
        match sent {
            Err(NodeError::Refused { code, .. }) if NO_METHOD.contains(&code) => {
                let sent = self.node().request("eth_sendRawTransaction", params());
                sent.await.map(|_hash| None)
            }
            sent => sent,
        }
    }

    /// Carries a payment out without sending it: its transfer alone, then the transaction with its fee
    /// and its time. There are nodes that say yes to every transaction of this kind.
    pub(crate) async fn simulate(&self, pull: &VerifiedPull) -> Result<(), NodeError> {
        for call in &pull.transaction.body.calls {
            let data = format!("0x{}", hex::encode(&call.input));
            let transfer = Call {
                from: pull.payer,
                to: call.to.unwrap_or(self.token),
                data: &data,
                gas: None,
            };
            self.node().simulate(&transfer, None).await?;
        }
        let params = json!([pull.simulation(), "latest"]);
        self.node().request("eth_call", params).await.map(|_| ())
    }

    /// What an account holds of the token.
    pub(crate) async fn balance(&self, account: EvmAddress) -> Result<u128, NodeError> {
        let data = abi::balance_of(account);
        let held = self.node().call(self.token, &data, None).await?;
        abi::read_uint(&held).ok_or_else(|| NodeError::unusable("the token does not say a balance"))
    }

    pub(crate) async fn decimals(&self) -> Result<Option<u128>, NodeError> {
        let stated = self.node().call(self.token, abi::DECIMALS, None).await?;
        Ok(abi::read_uint(&stated))
    }

    /// The newest block, if the node serves this chain.
    pub(crate) async fn head(&self) -> Result<Block, NodeError> {
        if self.node().chain_id().await? != self.chain_id {
            return Err(NodeError::unusable("the node serves another chain"));
        }
        self.node().block(None).await
    }

    /// How many nonces of a lane are taken in blocks that every machine of the node has by now.
    pub(crate) async fn nonces_taken(
        &self,
        account: EvmAddress,
        lane: Uint256,
        head: Block,
    ) -> Result<u64, NodeError> {
        let firm_s = head.time.saturating_sub(self.max_lag_s);
        // Asked as of a block: a machine without that block says so instead of answering.
        let firm = self.last_block_until(head, firm_s).await?;
        self.next_nonce(account, lane, Some(firm)).await
    }

    /// The next nonce of a lane at a block, the newest when none is given.
    pub(crate) async fn next_nonce(
        &self,
        account: EvmAddress,
        lane: Uint256,
        block: Option<u64>,
    ) -> Result<u64, NodeError> {
        if lane == Uint256::default() {
            return self.node().transaction_count(account, block).await;
        }
        let mut data = GET_NONCE.to_vec();
        data.extend_from_slice(&word_of_address(&account));
        data.extend_from_slice(&lane.to_be_bytes());
        let data = format!("0x{}", hex::encode(data));
        let count = self.node().call(NONCE_MANAGER, &data, block).await?;
        let count = abi::read_uint(&count).and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| NodeError::unusable("it does not count nonces in lanes"))
    }
}

impl Objection {
    /// Reads a refusal. Only words that can have no other sense count: nodes differ, and what is not
    /// understood proves nothing.
    pub(crate) fn of(error: &NodeError) -> Self {
        const WORDS: [(&str, Objection); 15] = [
            ("insufficient funds", Objection::Funds),
            ("insufficient fee token balance", Objection::Funds),
            ("insufficientbalance", Objection::Funds),
            ("insufficient balance", Objection::Funds),
            ("nonce too low", Objection::Nonce),
            ("nonce already used", Objection::Nonce),
            ("nonce transaction replay", Objection::Nonce),
            ("valid_before has passed", Objection::Expired),
            ("transaction expired", Objection::Expired),
            ("too close to current time", Objection::Expired),
            ("must be > current time", Objection::Expired),
            ("must be within", Objection::Distant),
            ("too far ahead", Objection::Distant),
            ("not valid yet", Objection::Early),
            ("too far in the future", Objection::Early),
        ];
        let NodeError::Refused { message, .. } = error else {
            return Self::Unclear;
        };
        let message = message.to_ascii_lowercase();
        let named = WORDS.iter().find(|(words, _)| message.contains(words));
        match named {
            Some((_, objection)) => *objection,
            None if error.is_failed_call() => Self::Reverts,
            None => Self::Unclear,
        }
    }

    /// The code that a buyer is told.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Funds => "insufficient_funds",
            Self::Nonce => "nonce_used",
            Self::Expired => "transaction_expired",
            Self::Distant => "transaction_valid_too_long",
            Self::Early => "transaction_not_yet_valid",
            Self::Reverts | Self::Unclear => "simulation_failed",
        }
    }
}

/// Whether a transaction may be under way after such an answer to sending it.
pub(crate) fn may_be_under_way(error: &NodeError) -> bool {
    match error {
        NodeError::NotSent(_) => false,
        NodeError::Unusable(_) => true,
        NodeError::Refused { code, message, .. } => {
            *code == TIMED_OUT || message.to_ascii_lowercase().contains("already known")
        }
    }
}

/// What may be written down of an error: a node might repeat what it was sent, or its own address.
pub(crate) fn told(error: &NodeError) -> String {
    let is_harmless = |word: &str| word.len() <= MAX_WORD && !word.contains("://");
    match error {
        NodeError::Refused {
            method,
            code,
            message,
        } if !message.split_whitespace().all(is_harmless) => {
            format!("the chain node refused {method} (error {code})")
        }
        error => error.to_string(),
    }
}

pub(crate) fn word(hash: &Digest32) -> String {
    format!("0x{}", hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use compute_wallet::keccak256;

    use super::*;

    fn refused(code: i64, message: &str) -> NodeError {
        NodeError::Refused {
            method: "eth_sendRawTransactionSync",
            code,
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_selector_is_the_hash_of_its_signature() {
        assert!(keccak256(b"getNonce(address,uint256)").starts_with(&GET_NONCE));
        assert!(NONCE_MANAGER.as_bytes().starts_with(b"NONCE"));
    }

    #[test]
    fn refusals_are_read_by_their_words() {
        for (message, expected) in [
            (
                "insufficient funds for gas * price + value",
                Objection::Funds,
            ),
            ("execution reverted: InsufficientBalance", Objection::Funds),
            ("Nonce too low: next nonce 5, tx nonce 4", Objection::Nonce),
            ("expiring nonce already used", Objection::Nonce),
            // A Tempo EVM, and the pools of nodes.
            (
                "'valid_before' 9 is too close to current time (min allowed: 12)",
                Objection::Expired,
            ),
            (
                "Tempo tx valid_before (9) must be > current time + 3s (12)",
                Objection::Expired,
            ),
            (
                "'valid_after' 9 is too far in the future (max allowed: 8)",
                Objection::Early,
            ),
            (
                "transaction expired: current block timestamp 9 >= validBefore 8",
                Objection::Expired,
            ),
            (
                "Expiring nonce 'valid_before' 9 exceeds max allowed 8 (must be within 30s)",
                Objection::Distant,
            ),
            (
                "Expiring nonce transaction replay: tx hash already seen and not expired",
                Objection::Nonce,
            ),
            (
                "insufficient fee token balance: have 0, need 12178",
                Objection::Funds,
            ),
            (
                "transaction not valid yet: current block timestamp 8 < validAfter 9",
                Objection::Early,
            ),
            (
                "Insufficient liquidity for fee token: 0x20",
                Objection::Unclear,
            ),
            (
                "Access key expired: expiry 7 <= current time 8",
                Objection::Unclear,
            ),
            ("transaction valid_before has passed", Objection::Expired),
            ("transaction is not valid yet", Objection::Early),
            ("execution reverted: Paused", Objection::Reverts),
            ("already known", Objection::Unclear),
            ("limit exceeded", Objection::Unclear),
            ("", Objection::Unclear),
        ] {
            let found = Objection::of(&refused(-32_000, message));
            assert_eq!(found, expected, "{message}");
        }
        assert_eq!(Objection::of(&refused(3, "")), Objection::Reverts);
        let garbled = NodeError::unusable("nonce too low");
        assert_eq!(Objection::of(&garbled), Objection::Unclear);
    }

    #[test]
    fn only_a_clear_no_means_that_nothing_is_under_way() {
        assert!(may_be_under_way(&refused(4, "timed out")));
        assert!(may_be_under_way(&refused(-32_000, "Already known")));
        assert!(may_be_under_way(&NodeError::unusable("status 502")));
        assert!(!may_be_under_way(&NodeError::NotSent(
            "no connection".to_owned()
        )));
        assert!(!may_be_under_way(&refused(-32_000, "nonce too low")));
    }

    #[test]
    fn what_is_written_down_repeats_neither_transactions_nor_addresses() {
        let harmless = refused(-32_000, "nonce too low");
        assert_eq!(told(&harmless), harmless.to_string());
        let hash = refused(4, &format!("{} is not in a block", word(&[7; 32])));
        assert_eq!(told(&hash), hash.to_string());
        for secret in [
            format!("cannot decode 0x76{}", "ab".repeat(40)),
            "forbidden: https://rpc.example/key-1234".to_owned(),
        ] {
            let told = told(&refused(-32_000, &secret));
            assert_eq!(
                told,
                "the chain node refused eth_sendRawTransactionSync (error -32000)"
            );
        }
    }
}
