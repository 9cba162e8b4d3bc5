use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, Url, redirect};
use secrecy::ExposeSecret as _;

use crate::answer::Answer;
use crate::config::{ConfigError, OutboundConfig, origin};
use crate::error::OutboundError;
use crate::mask::Mask;
use crate::request::OutboundRequest;
use crate::tls;

/// An HTTP client for one peer. Cloning is cheap and shares the connections.
///
/// It sends each request at most once, and speaks HTTP/1.1 only, so that a broken connection
/// concerns exactly one request.
#[derive(Clone)]
pub struct OutboundClient {
    http: Client,
    base: Url,
    max_body_bytes: usize,
    kept_headers: Vec<HeaderName>,
    mask: Mask,
}

impl OutboundClient {
    /// Builds a client; makes no connection.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot be used.
    pub fn new(config: &OutboundConfig) -> Result<Self, ConfigError> {
        let base = config.parse_base_url()?;
        let tls = tls::client_config(config.extra_roots_pem.as_deref())?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut mask = Mask::of_url(&base);
        if let Some(bearer) = &config.bearer {
            headers.insert(AUTHORIZATION, bearer.header()?);
            mask.add(bearer.text());
        }
        let loopback = [
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        ];
        #[expect(clippy::disallowed_methods, reason = "this is the one constructor")]
        let mut http = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            // Plain http is allowed to this name, so no resolver may point it elsewhere.
            .resolve_to_addrs("localhost", &loopback)
            .connect_timeout(config.connect_timeout)
            .timeout(config.total_timeout)
            .read_timeout(config.read_timeout)
            .pool_idle_timeout(config.idle_timeout)
            .user_agent(concat!("x402compute/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers);
        if let Some((host, addresses)) = &config.pinned {
            http = http.resolve_to_addrs(host, addresses);
        }
        let http = http.build().map_err(|_| ConfigError::Build)?;
        Ok(Self {
            http,
            base,
            max_body_bytes: config.max_body_bytes,
            kept_headers: config.kept_headers.clone(),
            mask,
        })
    }

    /// Scheme, host and port of the peer: the part of its URL that may be logged.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(&self.base)
    }

    /// Host and full path as they will be sent, without scheme and query, such as
    /// `api.example/v2/verify`: what a token for one request is bound to. The port stands behind the
    /// host where it is not the usual one.
    #[must_use]
    pub fn host_and_path(&self, request: &OutboundRequest) -> String {
        let url = request.url(&self.base);
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}"));
        format!("{host}{}{}", port.unwrap_or_default(), url.path())
    }

    /// Sends one request and reads the whole answer. Any complete answer is `Ok`, also a redirect
    /// or an error status. Where its body repeats a credential of ours, there are asterisks.
    ///
    /// # Errors
    /// [`OutboundError::NotSent`] when no byte of the request was written,
    /// [`OutboundError::Unknown`] when it may have arrived.
    pub async fn send(&self, request: OutboundRequest) -> Result<Answer, OutboundError> {
        let mut mask = Cow::Borrowed(&self.mask);
        let mut builder = self
            .http
            .request(request.method.clone(), request.url(&self.base));
        if let Some((kind, body)) = request.body {
            builder = builder.header(CONTENT_TYPE, kind).body(body);
        }
        if let Some(bearer) = &request.bearer {
            let value = bearer.header().map_err(OutboundError::unencodable)?;
            builder = builder.header(AUTHORIZATION, value);
            mask.to_mut().add(bearer.text());
        }
        if let Some(user) = &request.basic {
            builder = builder.basic_auth(user.expose_secret(), None::<&str>);
            mask.to_mut().add(user.expose_secret());
        }
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some(timeout) = request.total_timeout {
            builder = builder.timeout(timeout);
        }
        let mut response = builder.send().await.map_err(OutboundError::from_send)?;
        let status = response.status();
        let body = mask.apply(self.read_body(&mut response, status).await?);
        let headers = response.headers();
        Ok(Answer::new(status, headers, &self.kept_headers, body))
    }

    async fn read_body(
        &self,
        response: &mut reqwest::Response,
        status: StatusCode,
    ) -> Result<Bytes, OutboundError> {
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |length| length > self.max_body_bytes) {
            return Err(OutboundError::oversized(status));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| OutboundError::from_body(error, status))?
        {
            if body.len().saturating_add(chunk.len()) > self.max_body_bytes {
                return Err(OutboundError::oversized(status));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

impl fmt::Debug for OutboundClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundClient")
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base: &str, request: &OutboundRequest, expected: &str) {
        let client = OutboundClient::new(&OutboundConfig::new(base)).unwrap();
        assert_eq!(client.host_and_path(request), expected);
    }

    #[test]
    fn what_a_token_is_bound_to_has_the_whole_path_and_no_query() {
        let verify = || OutboundRequest::post(&["verify"]);
        check(
            "https://api.example/platform/v2/x402",
            &verify(),
            "api.example/platform/v2/x402/verify",
        );
        check("https://api.example:443/", &verify(), "api.example/verify");
        check(
            "http://127.0.0.1:4021/?key=1",
            &verify().query("page", "2"),
            "127.0.0.1:4021/verify",
        );
        check(
            "https://[2001:db8::1]:8443/x%20y",
            &OutboundRequest::get(&["a/b"]),
            "[2001:db8::1]:8443/x%20y/a%2Fb",
        );
    }
}
