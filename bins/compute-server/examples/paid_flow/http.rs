//! The smallest HTTP client that will do: one connection for each request, loopback only.

use anyhow::{Context as _, Result, ensure};
use axum::http::{HeaderMap, Method, Request, Uri, header::HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Sends requests to one server.
#[derive(Debug)]
pub(crate) struct Client {
    authority: String,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// A client for `http://host:port`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        ensure!(
            uri.scheme_str() == Some("http"),
            "{url}: a development server is http://127.0.0.1:<port>"
        );
        let authority = uri.authority().context("the URL has no host")?;
        Ok(Self {
            authority: authority.to_string(),
        })
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer> {
        let stream = TcpStream::connect(&self.authority).await.with_context(|| {
            format!(
                "nobody answers at {}; is `compute-server dev` running?",
                self.authority
            )
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes())?)
            .uri(path)
            .header(HOST, &self.authority);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body,
            })
        };
        // The connection must be driven while the exchange waits; it may end first, or never.
        tokio::pin!(exchange, connection);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended?;
                exchange.await
            }
        }
    }
}

impl Answer {
    /// The body, if the status is the expected one.
    pub(crate) fn json(&self, status: u16) -> Result<Value> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!(
            self.status == status,
            "expected status {status}, got {}: {text}",
            self.status
        );
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {text}"))
    }

    /// One header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
