//! The double, through real HTTP.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod faults;
mod payments;
mod real_receipts;
mod stripe;
mod views;

use compute_mpp::tempo::{Modes, TempoCharge, TempoTerms, Transaction, TransactionBuilder};
use compute_outbound::{OutboundClient, OutboundConfig, OutboundError, OutboundRequest};
use compute_payment_double::tempo::{Handle, Options, USDC_E, spawn};
use compute_wallet::{EvmAddress, EvmKey};
use serde_json::{Value, json};

const NOW: u64 = 1_796_126_400;
const AMOUNT: u128 = 1_250_000;

/// A chain whose clock stands, and a client of its node.
struct Town {
    chain: Handle,
    client: OutboundClient,
}

async fn start() -> Town {
    start_with(Options {
        clock: Some(NOW),
        ..Options::default()
    })
    .await
}

async fn start_with(options: Options) -> Town {
    let chain = spawn(options).await.unwrap();
    let config = OutboundConfig::new(chain.url());
    let client = OutboundClient::new(&config).unwrap();
    Town { chain, client }
}

impl Town {
    /// The whole answer: `result` or `error`.
    async fn ask(&self, method: &str, params: Value) -> Result<Value, OutboundError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = OutboundRequest::post(&[]).json(&body).unwrap();
        let answer = self.client.send(request).await?;
        Ok(answer
            .json()
            .unwrap_or_else(|_| json!(answer.status.as_u16())))
    }

    async fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await.unwrap();
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        answer["result"].clone()
    }

    async fn error(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await.unwrap();
        assert!(answer.get("error").is_some(), "{method}: {answer}");
        answer["error"].clone()
    }

    async fn send(&self, transaction: &Transaction) -> Value {
        self.result("eth_sendRawTransactionSync", json!([raw(transaction)]))
            .await
    }

    async fn refusal(&self, transaction: &Transaction) -> String {
        let error = self
            .error("eth_sendRawTransaction", json!([raw(transaction)]))
            .await;
        error["message"].as_str().unwrap().to_owned()
    }
}

fn raw(transaction: &Transaction) -> String {
    format!("0x{}", hex::encode(transaction.encode()))
}

fn text(hash: [u8; 32]) -> String {
    format!("0x{}", hex::encode(hash))
}

fn buyer() -> EvmKey {
    EvmKey::from_bytes(&[0x11; 32]).unwrap()
}

fn shop() -> EvmAddress {
    EvmAddress::new([0xaa; 20])
}

fn terms() -> TempoTerms {
    TempoTerms {
        chain_id: 4217,
        currency: USDC_E,
        recipient: shop(),
        modes: Modes::Pull,
        fee_payer: false,
        takes_key_authorization: false,
    }
}

/// A payment of a challenge with this id, not signed yet.
fn payment(challenge_id: &str) -> TransactionBuilder {
    let terms = terms();
    let charge = TempoCharge {
        terms: &terms,
        amount: AMOUNT,
        realm: "shop.example",
        challenge_id,
    };
    TransactionBuilder::payment(&charge, None, NOW + 25)
}

fn signed(challenge_id: &str) -> Transaction {
    payment(challenge_id).build().sign(&buyer())
}
