//! A wallet that buys and manages.

use std::time::{SystemTime, UNIX_EPOCH};

use compute_domain::money::Usd;
use compute_wallet::{EvmKey, auth_message};
use compute_x402::PaymentPayload;
use compute_x402::client::PaymentRequired;
use compute_x402::wire::v2;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::server::{PATIENCE, Server, pause};

pub(crate) const PROVISION: &str = "/compute/provision";

const TOPUP: &str = "/compute/credits/topup";

/// What a wallet has in credits; it always adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credits {
    pub(crate) balance: Usd,
    pub(crate) deposited: Usd,
    pub(crate) spent: Usd,
}

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
        challenge_in(&post(server, order, &[]).await)
    }

    /// Signs what the challenge asks for.
    pub(crate) async fn sign(&self, server: &Server, order: &Value) -> PaymentPayload {
        self.sign_first(&self.challenge(server, order).await)
    }

    /// Signs the first offer of a challenge.
    pub(crate) fn sign_first(&self, challenge: &PaymentRequired) -> PaymentPayload {
        let now_s = now_ms() / 1_000;
        challenge.pay(&challenge.offers()[0], &self.key, random(), now_s)
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
        self.signed_with(server, method, path, body, &[]).await
    }

    /// The same with more headers, which the signature does not cover.
    pub(crate) async fn signed_with(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        body: &str,
        more: &[(&str, String)],
    ) -> Answer {
        let headers = self.headers(method, path, body, now_ms(), &hex::encode(random::<16>()));
        let all = [borrowed(&headers), more.to_vec()].concat();
        server
            .client
            .send(method, path, &all, body.as_bytes())
            .await
            .unwrap()
    }

    /// Buys credits, and returns the whole reply.
    pub(crate) async fn top_up(&self, server: &Server, dollars: u32) -> Value {
        let body = json!({ "amount": dollars, "network": "base" }).to_string();
        let asked = self.signed(server, "POST", TOPUP, &body).await;
        let payment = self.sign_first(&challenge_in(&asked));
        let shown = [(payment.header_name(), payment.to_header())];
        self.signed_with(server, "POST", TOPUP, &body, &shown)
            .await
            .json(200)
            .unwrap()
    }

    /// What the wallet has in credits.
    pub(crate) async fn balance(&self, server: &Server) -> Credits {
        let reply = self
            .signed(server, "GET", "/compute/credits/balance", "")
            .await
            .json(200)
            .unwrap();
        let member = |name: &str| Usd::parse(reply[name].as_str().unwrap()).unwrap();
        let credits = Credits {
            balance: member("balance"),
            deposited: member("total_deposited"),
            spent: member("total_spent"),
        };
        assert_eq!(
            credits.balance.checked_add(credits.spent),
            Ok(credits.deposited),
            "{credits:?}"
        );
        credits
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

/// The challenge of version 2 in a 402.
pub(crate) fn challenge_in(answer: &Answer) -> PaymentRequired {
    assert_eq!(answer.status, 402, "{}", text(answer));
    let header = answer.header(v2::REQUIRED_HEADER).unwrap();
    PaymentRequired::from_header(header.as_bytes()).unwrap()
}

/// An amount that an answer has as a number.
pub(crate) fn dollars(number: &Value) -> Usd {
    assert!(number.is_number(), "{number} is not a number");
    Usd::parse(&number.to_string()).unwrap()
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
