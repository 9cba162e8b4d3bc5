//! A wallet that buys and manages.

use std::time::{SystemTime, UNIX_EPOCH};

use compute_wallet::{EvmKey, auth_message};
use compute_x402::PaymentPayload;
use compute_x402::client::PaymentRequired;
use compute_x402::wire::v2;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::server::{PATIENCE, Server, pause};

pub(crate) const PROVISION: &str = "/compute/provision";

#[derive(Debug)]
pub(crate) struct Buyer {
    pub(crate) key: EvmKey,
}

impl Buyer {
    pub(crate) fn new() -> Self {
        Self {
            key: EvmKey::from_bytes(&random()).unwrap(),
        }
    }

    /// Sends a purchase without a payment and reads the challenge of version 2.
    pub(crate) async fn challenge(&self, server: &Server, order: &Value) -> PaymentRequired {
        let answer = post(server, order, &[]).await;
        assert_eq!(answer.status, 402, "{}", text(&answer));
        PaymentRequired::from_header(answer.header(v2::REQUIRED_HEADER).unwrap().as_bytes())
            .unwrap()
    }

    /// Signs what the challenge asks for.
    pub(crate) async fn sign(&self, server: &Server, order: &Value) -> PaymentPayload {
        let challenge = self.challenge(server, order).await;
        challenge.pay(
            &challenge.offers()[0],
            &self.key,
            random(),
            now_ms() / 1_000,
        )
    }

    /// Buys, and returns the whole reply.
    pub(crate) async fn buy(&self, server: &Server, order: &Value) -> Value {
        let payment = self.sign(server, order).await;
        pay(server, order, &payment).await.json(200).unwrap()
    }

    /// A request in the name of the wallet.
    pub(crate) async fn signed(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        body: &str,
    ) -> Answer {
        let headers = self.headers(method, path, body, now_ms(), &hex::encode(random::<16>()));
        server
            .client
            .send(method, path, &borrowed(&headers), body.as_bytes())
            .await
            .unwrap()
    }

    pub(crate) fn headers(
        &self,
        method: &str,
        path: &str,
        body: &str,
        timestamp_ms: u64,
        nonce: &str,
    ) -> Vec<(&'static str, String)> {
        let address = self.key.address().to_string();
        let timestamp = timestamp_ms.to_string();
        let message = auth_message(
            "base",
            &address,
            method,
            path,
            body.as_bytes(),
            &timestamp,
            nonce,
        );
        vec![
            (
                "x-auth-signature",
                self.key.sign_message(message.as_bytes()).to_hex(),
            ),
            ("x-auth-address", address),
            ("x-auth-chain", "base".to_owned()),
            ("x-auth-timestamp", timestamp),
            ("x-auth-nonce", nonce.to_owned()),
            ("content-type", "application/json".to_owned()),
        ]
    }

    /// Looks at an instance until it has a status.
    pub(crate) async fn wait_for(&self, server: &Server, id: &str, status: &str) -> Value {
        let path = format!("/compute/instances/{id}");
        let looking = async {
            loop {
                let order = self
                    .signed(server, "GET", &path, "")
                    .await
                    .json(200)
                    .unwrap()["order"]
                    .clone();
                if order["status"] == status {
                    return order;
                }
                pause().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking)
            .await
            .unwrap_or_else(|_| panic!("{id} is never {status}"))
    }
}

/// An order of a machine that every server in these tests sells.
pub(crate) fn order() -> Value {
    json!({
        "plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284,
        "label": "first", "prepaid_hours": 24, "network": "base",
    })
}

pub(crate) async fn post(server: &Server, order: &Value, headers: &[(&str, String)]) -> Answer {
    let mut all = vec![("content-type", "application/json".to_owned())];
    all.extend_from_slice(headers);
    server
        .client
        .send("POST", PROVISION, &all, order.to_string().as_bytes())
        .await
        .unwrap()
}

pub(crate) async fn pay(server: &Server, order: &Value, payment: &PaymentPayload) -> Answer {
    post(
        server,
        order,
        &[(payment.header_name(), payment.to_header())],
    )
    .await
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

pub(crate) fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, String)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.clone()))
        .collect()
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a client has its own clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
