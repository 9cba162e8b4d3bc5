//! The way to the collector: as to every other partner, through the one constructor of outgoing clients.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response};
use compute_outbound::{BearerToken, OutboundClient, OutboundConfig, OutboundRequest};
use opentelemetry_http::{HttpClient, HttpError};

use crate::settings::traces::TracesConfig;
use crate::telemetry::error_chain;

/// For one batch: connection and answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The most of an answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// A collector of traces.
#[derive(Debug)]
pub(super) struct Collector(OutboundClient);

impl Collector {
    /// # Errors
    /// When the address or the token cannot be used.
    pub(super) fn new(config: &TracesConfig) -> anyhow::Result<Self> {
        let token = config.token.as_ref();
        let token = token.map(|token| BearerToken::parse(token.expose().into()));
        let client = OutboundClient::new(&OutboundConfig {
            bearer: token.transpose().context("read the token")?,
            connect_timeout: PATIENCE,
            read_timeout: PATIENCE,
            total_timeout: PATIENCE,
            max_body_bytes: MAX_ANSWER,
            ..OutboundConfig::new(config.endpoint.expose())
        });
        client.map(Self).context("connect to the collector")
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// Of the request only the body is taken: the address is bound, and headers can come from the
    /// environment of the process.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let body = String::from_utf8(request.into_body().into())?;
        let request = OutboundRequest::post(&["v1", "traces"]).json_text(body);
        let answer = self.0.send(request).await.inspect_err(|error| {
            tracing::debug!(
                error = error_chain(error),
                "the collector of traces did not answer"
            );
        })?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status;
        Ok(response)
    }
}
