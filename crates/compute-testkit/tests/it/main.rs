//! The stand-ins, asked through real HTTP, and the database in memory.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that cannot do its part fails the test"
)]

mod facilitator;
mod model_bugs;
mod model_hooks;
mod model_store;
mod simulation;
mod vultr;

use compute_outbound::{Answer, OutboundClient, OutboundConfig, OutboundError, OutboundRequest};
use serde_json::Value;

fn client(url: &str, key: Option<&str>) -> OutboundClient {
    let mut config = OutboundConfig::new(url);
    config.bearer = key.map(|key| compute_outbound::BearerToken::parse(key.into()).unwrap());
    OutboundClient::new(&config).unwrap()
}

async fn get(client: &OutboundClient, path: &[&str]) -> Answer {
    client.send(OutboundRequest::get(path)).await.unwrap()
}

async fn post(
    client: &OutboundClient,
    path: &[&str],
    body: &Value,
) -> Result<Answer, OutboundError> {
    client
        .send(OutboundRequest::post(path).json(body).unwrap())
        .await
}

fn body(answer: &Answer) -> Value {
    answer.json().unwrap()
}

fn temporary(name: &str) -> std::path::PathBuf {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    std::env::temp_dir().join(format!("{name}-{}.jsonl", hex::encode(random)))
}
