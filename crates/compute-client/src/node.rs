//! A node of a chain, which knows what must be known before a payment is signed.

use compute_outbound::{
    ConfigError, OutboundClient, OutboundConfig, OutboundError, OutboundRequest,
};
use compute_wallet::{EvmAddress, Uint256};
use serde::Deserialize;
use serde_json::{Value, json};

/// `nonces(address)` of ERC-2612.
const NONCES: &str = "7ecebe00";

/// A node of a chain, asked by JSON-RPC over HTTP.
#[derive(Debug, Clone)]
pub struct Node {
    http: OutboundClient,
}

/// Why a node does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Its address cannot be used.
    #[error("the address of the node cannot be used: {0}")]
    Address(#[from] ConfigError),
    /// It does not answer.
    #[error("the node does not answer: {0}")]
    Unanswered(#[from] OutboundError),
    /// It answers with an error, or with what the method does not answer.
    #[error("the node does not answer {0} as it should")]
    Foreign(&'static str),
    /// It is a node of another chain.
    #[error("the node is of chain {found}, and the payment is on chain {wanted}")]
    OtherChain {
        /// Which it is of.
        found: u64,
        /// Which it should be of.
        wanted: u64,
    },
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Value,
}

impl Node {
    /// The node at `url`: `https://`, or `http://` on this machine. A key in its path is kept out of every error.
    ///
    /// # Errors
    /// When the URL is no such address.
    pub fn new(url: &str) -> Result<Self, NodeError> {
        let http = OutboundClient::new(&OutboundConfig::new(url))?;
        Ok(Self { http })
    }

    async fn call(&self, method: &'static str, params: Value) -> Result<Value, NodeError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = OutboundRequest::post(&[]).json(&body)?;
        let answer = self.http.send(request).await?;
        let told: Answer = answer.json().map_err(|_| NodeError::Foreign(method))?;
        if !answer.status.is_success() || !told.error.is_null() {
            return Err(NodeError::Foreign(method));
        }
        Ok(told.result)
    }

    /// How many permits an owner has used up of a token on an EVM chain: the number of the next one.
    pub(crate) async fn permit_nonce(
        &self,
        chain_id: u64,
        token: EvmAddress,
        owner: EvmAddress,
    ) -> Result<Uint256, NodeError> {
        let chain = self.call("eth_chainId", json!([])).await?;
        let found = chain.as_str().and_then(|text| text.strip_prefix("0x"));
        let found = found.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let found = found.ok_or(NodeError::Foreign("eth_chainId"))?;
        if found != chain_id {
            let wanted = chain_id;
            return Err(NodeError::OtherChain { found, wanted });
        }
        let data = format!(
            "0x{NONCES}{}{}",
            "0".repeat(24),
            hex::encode(owner.as_bytes())
        );
        let asked = json!([{ "to": token.to_string(), "data": data }, "latest"]);
        let answer = self.call("eth_call", asked).await?;
        let word = answer.as_str().and_then(|text| text.strip_prefix("0x"));
        let mut bytes = [0_u8; 32];
        let is_word = word.is_some_and(|word| hex::decode_to_slice(word, &mut bytes).is_ok());
        if !is_word {
            return Err(NodeError::Foreign("eth_call"));
        }
        Ok(Uint256::from_be_bytes(bytes))
    }
}

#[cfg(feature = "solana")]
mod solana {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use compute_wallet::SolanaAddress;
    use compute_x402::exact_svm::{SvmPayTo, SvmTerms};
    use serde_json::{Value, json};

    use super::{Node, NodeError};

    /// The length of a token account; those of Token-2022 may be longer.
    const TOKEN_ACCOUNT: usize = 165;

    impl Node {
        /// A blockhash that a payment may name for about a minute.
        pub(crate) async fn recent_blockhash(&self) -> Result<[u8; 32], NodeError> {
            const METHOD: &str = "getLatestBlockhash";
            let answer = self
                .call(METHOD, json!([{ "commitment": "confirmed" }]))
                .await?;
            let text = answer.pointer("/value/blockhash").and_then(Value::as_str);
            // Written as addresses are: 32 bytes in base58.
            let hash = text.and_then(|text| SolanaAddress::parse(text).ok());
            let hash = hash.ok_or(NodeError::Foreign(METHOD))?;
            Ok(*hash.as_bytes())
        }

        /// What a recipient is: a wallet, or an account of the token.
        pub(crate) async fn recipient(
            &self,
            address: SolanaAddress,
            terms: &SvmTerms,
        ) -> Result<SvmPayTo, NodeError> {
            const METHOD: &str = "getAccountInfo";
            let options = json!({ "encoding": "base64", "commitment": "confirmed" });
            let answer = self
                .call(METHOD, json!([address.to_string(), options]))
                .await?;
            let account = answer.get("value").ok_or(NodeError::Foreign(METHOD))?;
            if account.is_null() {
                return Ok(SvmPayTo::Wallet(address));
            }
            let owner = account.get("owner").and_then(Value::as_str);
            let owner = owner.ok_or(NodeError::Foreign(METHOD))?;
            if owner != terms.token_program().address().to_string() {
                return Ok(SvmPayTo::Wallet(address));
            }
            let data = account.pointer("/data/0").and_then(Value::as_str);
            let data = data.and_then(|data| STANDARD.decode(data).ok());
            let data = data.ok_or(NodeError::Foreign(METHOD))?;
            // An account begins with its mint. What is kept by the program and is no account of this token
            // receives nothing.
            let mint = data.get(..32);
            if data.len() < TOKEN_ACCOUNT || mint != Some(terms.mint().as_bytes().as_slice()) {
                return Err(NodeError::Foreign(METHOD));
            }
            Ok(SvmPayTo::TokenAccount(address))
        }
    }
}
