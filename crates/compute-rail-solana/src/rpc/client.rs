//! The node over HTTP, by the client library of Solana on the one transport of this project.
//!
//! The library names the requests and reads the envelopes; it does not open connections of its own,
//! because time, size and trust of outgoing calls are decided in one place. Answers are read into
//! types of ours: those of the library panic on data that a node should not send.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_outbound::{OutboundClient, OutboundRequest};
use compute_wallet::SolanaAddress;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_client::client_error::{ClientError, ClientErrorKind};
use solana_client::nonblocking::rpc_client::RpcClient;
use solana_client::rpc_client::RpcClientConfig;
use solana_client::rpc_request::RpcRequest;
use solana_client::rpc_response::{Response, RpcBlockhash};
use solana_client::rpc_sender::{RpcSender, RpcTransportStats};

use super::{Account, Commitment, Listed, Reach, Record, Rpc, RpcError, Status, TokenBalance};

/// A node behind a client that is bound to its address.
pub(crate) struct NodeClient(RpcClient);

impl NodeClient {
    pub(crate) fn new(http: OutboundClient) -> Self {
        let config = RpcClientConfig::default();
        Self(RpcClient::new_sender(Transport(http), config))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: RpcRequest,
        params: Value,
    ) -> Result<T, RpcError> {
        let answer = self.0.send(request, params).await;
        answer.map_err(|error| RpcError(format!("{request}: {error}")))
    }

    async fn ask_in_context<T: DeserializeOwned>(
        &self,
        request: RpcRequest,
        params: Value,
    ) -> Result<T, RpcError> {
        let answer: Response<T> = self.ask(request, params).await?;
        Ok(answer.value)
    }
}

#[async_trait]
impl Rpc for NodeClient {
    async fn genesis_hash(&self) -> Result<String, RpcError> {
        self.ask(RpcRequest::GetGenesisHash, json!([])).await
    }

    async fn final_height(&self) -> Result<u64, RpcError> {
        let params = json!([{ "commitment": Commitment::Finalized.as_str() }]);
        self.ask(RpcRequest::GetBlockHeight, params).await
    }

    async fn last_valid_height(&self) -> Result<u64, RpcError> {
        let params = json!([{ "commitment": Commitment::Confirmed.as_str() }]);
        let newest: RpcBlockhash = self
            .ask_in_context(RpcRequest::GetLatestBlockhash, params)
            .await?;
        Ok(newest.last_valid_block_height)
    }

    async fn is_blockhash_valid(&self, blockhash: &[u8; 32]) -> Result<bool, RpcError> {
        let text = bs58::encode(blockhash).into_string();
        let params = json!([text, { "commitment": Commitment::Confirmed.as_str() }]);
        self.ask_in_context(RpcRequest::IsBlockhashValid, params)
            .await
    }

    async fn oldest_time(&self) -> Result<u64, RpcError> {
        let slot: u64 = self
            .ask(RpcRequest::GetFirstAvailableBlock, json!([]))
            .await?;
        self.ask(RpcRequest::GetBlockTime, json!([slot])).await
    }

    async fn account(
        &self,
        address: &SolanaAddress,
        commitment: Commitment,
    ) -> Result<Option<Account>, RpcError> {
        let config = json!({ "encoding": "base64", "commitment": commitment.as_str() });
        let params = json!([address.to_string(), config]);
        let found: Option<AccountReply> = self
            .ask_in_context(RpcRequest::GetAccountInfo, params)
            .await?;
        found.map(TryInto::try_into).transpose()
    }

    async fn simulate(&self, wire: &[u8]) -> Result<Option<String>, RpcError> {
        let config = json!({
            "encoding": "base64",
            "commitment": Commitment::Confirmed.as_str(),
            "sigVerify": false,
            "replaceRecentBlockhash": false,
        });
        let params = json!([STANDARD.encode(wire), config]);
        let outcome: SimulationReply = self
            .ask_in_context(RpcRequest::SimulateTransaction, params)
            .await?;
        Ok(outcome.err.map(|error| printable(&error.to_string())))
    }

    async fn send(&self, wire: &[u8]) -> Result<(), RpcError> {
        // It was simulated; and the rail sends it again itself, until it is in or too old.
        let config = json!({ "encoding": "base64", "skipPreflight": true, "maxRetries": 0 });
        let params = json!([STANDARD.encode(wire), config]);
        let _signature: Value = self.ask(RpcRequest::SendTransaction, params).await?;
        Ok(())
    }

    async fn status(&self, signature: &str, reach: Reach) -> Result<Option<Status>, RpcError> {
        let config = json!({ "searchTransactionHistory": reach == Reach::History });
        let params = json!([[signature], config]);
        let mut found: Vec<Option<StatusReply>> = self
            .ask_in_context(RpcRequest::GetSignatureStatuses, params)
            .await?;
        let status = found.pop().ok_or_else(unreadable)?;
        Ok(status.map(|status| Status {
            slot: status.slot,
            is_failed: status.err.is_some(),
            commitment: Commitment::read(status.confirmation_status.as_deref()),
        }))
    }

    async fn signatures(
        &self,
        account: &SolanaAddress,
        before: Option<&str>,
        until: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Listed>, RpcError> {
        let config = json!({
            "commitment": Commitment::Finalized.as_str(),
            "before": before,
            "until": until,
            "limit": limit,
        });
        let params = json!([account.to_string(), config]);
        let found: Vec<ListedReply> = self
            .ask(RpcRequest::GetSignaturesForAddress, params)
            .await?;
        let read = |listed: ListedReply| Listed {
            signature: listed.signature,
            is_failed: listed.err.is_some(),
        };
        Ok(found.into_iter().map(read).collect())
    }

    async fn record(&self, signature: &str) -> Result<Option<Record>, RpcError> {
        let config = json!({
            "encoding": "base64",
            "commitment": Commitment::Confirmed.as_str(),
            "maxSupportedTransactionVersion": 0,
        });
        let params = json!([signature, config]);
        let found: Option<RecordReply> = self.ask(RpcRequest::GetTransaction, params).await?;
        found.map(TryInto::try_into).transpose()
    }
}

impl Commitment {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }

    fn read(text: Option<&str>) -> Option<Self> {
        [Self::Confirmed, Self::Finalized]
            .into_iter()
            .find(|known| text == Some(known.as_str()))
    }
}

impl core::fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NodeClient").finish_non_exhaustive()
    }
}

/// The transport of this project in the place of the library's.
struct Transport(OutboundClient);

#[async_trait]
impl RpcSender for Transport {
    async fn send(&self, request: RpcRequest, params: Value) -> Result<Value, ClientError> {
        let fail = |reason: String| ClientError::from(ClientErrorKind::Custom(reason));
        let body = request.build_request_json(1, params);
        // Errors of the client never show the URL, which may hold the node provider's key.
        let answer = match OutboundRequest::post(&[]).json(&body) {
            Ok(request) => self.0.send(request).await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error| fail(error.to_string()))?;
        if !answer.status.is_success() {
            return Err(fail(format!("status {}", answer.status.as_u16())));
        }
        let reply: Reply = answer
            .json()
            .map_err(|_| fail("its answer cannot be read".to_owned()))?;
        match reply.error {
            Some(error) => {
                let message = printable(&error.message);
                Err(fail(format!("{message} (error {})", error.code)))
            }
            None => Ok(reply.result),
        }
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats {
            elapsed_time: Duration::ZERO,
            ..RpcTransportStats::default()
        }
    }

    fn url(&self) -> String {
        self.0.origin()
    }
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    result: Value,
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct AccountReply {
    lamports: u64,
    owner: String,
    data: (String, String),
}

#[derive(Deserialize)]
struct SimulationReply {
    err: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusReply {
    slot: u64,
    err: Option<Value>,
    confirmation_status: Option<String>,
}

#[derive(Deserialize)]
struct ListedReply {
    signature: String,
    err: Option<Value>,
}

#[derive(Deserialize)]
struct RecordReply {
    slot: u64,
    transaction: (String, String),
    meta: MetaReply,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaReply {
    err: Option<Value>,
    pre_token_balances: Option<Vec<BalanceReply>>,
    post_token_balances: Option<Vec<BalanceReply>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BalanceReply {
    account_index: usize,
    mint: String,
    owner: Option<String>,
    ui_token_amount: AmountReply,
}

#[derive(Deserialize)]
struct AmountReply {
    amount: String,
}

impl TryFrom<AccountReply> for Account {
    type Error = RpcError;

    fn try_from(reply: AccountReply) -> Result<Self, RpcError> {
        Ok(Self {
            lamports: reply.lamports,
            owner: SolanaAddress::parse(&reply.owner).map_err(|_| unreadable())?,
            data: read_base64(&reply.data)?,
        })
    }
}

impl TryFrom<RecordReply> for Record {
    type Error = RpcError;

    fn try_from(reply: RecordReply) -> Result<Self, RpcError> {
        Ok(Self {
            slot: reply.slot,
            wire: read_base64(&reply.transaction)?,
            is_failed: reply.meta.err.is_some(),
            before: read_balances(reply.meta.pre_token_balances)?,
            after: read_balances(reply.meta.post_token_balances)?,
        })
    }
}

fn read_balances(replies: Option<Vec<BalanceReply>>) -> Result<Vec<TokenBalance>, RpcError> {
    let read = |reply: BalanceReply| {
        Ok(TokenBalance {
            account: reply.account_index,
            mint: reply.mint,
            owner: reply.owner,
            amount: reply
                .ui_token_amount
                .amount
                .parse()
                .map_err(|_| unreadable())?,
        })
    };
    replies.unwrap_or_default().into_iter().map(read).collect()
}

fn read_base64((text, encoding): &(String, String)) -> Result<Vec<u8>, RpcError> {
    if encoding != "base64" {
        return Err(unreadable());
    }
    STANDARD.decode(text).map_err(|_| unreadable())
}

fn printable(text: &str) -> String {
    let is_printable = |character: &char| matches!(character, ' '..='~');
    text.chars().filter(is_printable).take(200).collect()
}

fn unreadable() -> RpcError {
    RpcError::new("its answer cannot be read")
}
