//! Sends to addresses that strangers name: to public hosts, by https on port 443, and nowhere else.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use compute_engine::ports::{Courier, Handed};
use compute_outbound::{
    HeaderName, HeaderValue, OutboundClient, OutboundError, OutboundRequest, PublicRules, PublicUrl,
};

use crate::telemetry::error_chain;

/// The header that carries time and signatures.
const SIGNATURE: HeaderName = HeaderName::from_static("x-compute-signature");

/// For everything: the lookup of the name, the connection, and the whole answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most of an answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// The courier of this shop.
#[derive(Debug)]
pub(crate) struct PublicCourier {
    own_host: String,
    allows_loopback: bool,
    patience: Duration,
}

impl PublicCourier {
    pub(crate) const fn new(own_host: String, allows_loopback: bool) -> Self {
        Self {
            own_host,
            allows_loopback,
            patience: PATIENCE,
        }
    }

    const fn rules(&self) -> PublicRules<'_> {
        PublicRules {
            own_host: Some(self.own_host.as_str()),
            allows_loopback: self.allows_loopback,
        }
    }

    /// Looks the name up, once, and sends to where it leads now.
    async fn send(&self, url: &str, body: &str, signature: &str) -> Handed {
        let url = match PublicUrl::parse(url, self.rules()) {
            Ok(url) => url,
            // The rules may have become stricter since it was registered.
            Err(fault) => return failed(&fault),
        };
        let addresses = match url.resolve().await {
            Ok(addresses) => addresses,
            Err(fault) => return failed(&fault),
        };
        self.send_to(&url, addresses, body, signature).await
    }

    /// Sends to these addresses, once; what the name leads to is not asked again.
    async fn send_to(
        &self,
        url: &PublicUrl,
        addresses: Vec<SocketAddr>,
        body: &str,
        signature: &str,
    ) -> Handed {
        let client = url.config(addresses).and_then(|mut config| {
            config.connect_timeout = self.patience;
            config.read_timeout = self.patience;
            config.total_timeout = self.patience;
            config.max_body_bytes = MAX_ANSWER;
            OutboundClient::new(&config)
        });
        let client = match client {
            Ok(client) => client,
            Err(fault) => return failed(&fault),
        };
        let Ok(signature) = HeaderValue::from_str(signature) else {
            return failed(&"the signature cannot be sent");
        };
        let request = OutboundRequest::post(&[])
            .json_text(body.to_owned())
            .header(SIGNATURE, signature);
        match client.send(request).await {
            Ok(answer) => Handed::Answered(answer.status.as_u16()),
            Err(OutboundError::NotSent { .. }) => failed(&"the host could not be connected to"),
            Err(error @ OutboundError::Unknown { .. }) => {
                tracing::debug!(
                    error = error_chain(&error),
                    "a delivery ended without an answer"
                );
                failed(&error)
            }
        }
    }
}

fn failed(reason: &dyn Display) -> Handed {
    Handed::Failed(reason.to_string())
}

#[async_trait]
impl Courier for PublicCourier {
    fn check(&self, url: &str) -> Result<String, String> {
        PublicUrl::parse(url, self.rules())
            .map(|url| url.as_str().to_owned())
            .map_err(|fault| fault.to_string())
    }

    async fn hand(&self, url: &str, body: &str, signature: &str) -> Handed {
        let sent = self.send(url, body, signature);
        match tokio::time::timeout(self.patience, sent).await {
            Ok(handed) => handed,
            Err(_) => Handed::Failed("time ran out".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
