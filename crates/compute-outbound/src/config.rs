use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::HeaderName;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

/// What an [`OutboundClient`](crate::OutboundClient) is made from.
///
/// Start from [`OutboundConfig::new`] and change what differs.
#[derive(Clone)]
pub struct OutboundConfig {
    /// Where the requests go: `https://`, or `http://` to a loopback address. May hold a path and a
    /// query (node providers put their key there); both are kept out of every log and error.
    pub base_url: String,
    /// Sent as `Authorization: Bearer …` on every request.
    pub bearer: Option<BearerToken>,
    /// A private certificate authority in PEM form, trusted besides the bundled public roots.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Longest wait for DNS, TCP and TLS together. Keep it below the two others: only then is a
    /// peer that hangs in the handshake reported as not sent.
    pub connect_timeout: Duration,
    /// Longest silence, both before the answer and inside it.
    pub read_timeout: Duration,
    /// Longest time from the start of a request to the last byte of its answer.
    pub total_timeout: Duration,
    /// Largest accepted answer body, in bytes.
    pub max_body_bytes: usize,
    /// How long an idle connection is kept for another request: short, so that a peer's own idle
    /// limit rarely turns a request into an unknown outcome.
    pub idle_timeout: Duration,
    /// Headers of answers that are kept beside the usual ones, all their lines: for peers that say
    /// in a header of their own what a caller must know.
    pub kept_headers: Vec<HeaderName>,
    /// The addresses of the host, when they were looked up before: nothing else is connected to.
    pub pinned: Option<(String, Vec<SocketAddr>)>,
}

impl OutboundConfig {
    /// A configuration for `base_url` with the defaults: connect 10 s, silence 30 s, total 60 s,
    /// body 1 MiB, idle connections kept 10 s.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            bearer: None,
            extra_roots_pem: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(60),
            max_body_bytes: 1 << 20,
            idle_timeout: Duration::from_secs(10),
            kept_headers: Vec::new(),
            pinned: None,
        }
    }

    pub(crate) fn parse_base_url(&self) -> Result<Url, ConfigError> {
        let url = Url::parse(&self.base_url).map_err(|_| ConfigError::BaseUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::UserInfo);
        }
        if url.fragment().is_some() || url.cannot_be_a_base() {
            return Err(ConfigError::BaseUrl);
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_loopback(&url) => Ok(url),
            "http" => Err(ConfigError::PlainHttp),
            _ => Err(ConfigError::Scheme),
        }
    }
}

impl fmt::Debug for OutboundConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundConfig")
            .field("origin", &self.parse_base_url().map(|url| origin(&url)))
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

/// Scheme, host and port: what may be printed of a URL whose path or query can hold a key.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

// `localhost` counts because the client pins that name to the loopback addresses.
fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// A credential for the `Authorization` header; it prints as nothing and is wiped when dropped.
#[derive(Clone)]
pub struct BearerToken(SecretString);

impl BearerToken {
    /// Takes a token as the vendor issued it.
    ///
    /// # Errors
    /// [`ConfigError::Bearer`] unless it is 1 to 4096 visible ASCII characters.
    pub fn parse(raw: SecretString) -> Result<Self, ConfigError> {
        let text = raw.expose_secret();
        if text.is_empty() || text.len() > 4096 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ConfigError::Bearer);
        }
        Ok(Self(raw))
    }

    pub(crate) fn text(&self) -> &str {
        self.0.expose_secret()
    }

    pub(crate) fn header(&self) -> Result<http::HeaderValue, ConfigError> {
        let mut value = http::HeaderValue::from_str(&format!("Bearer {}", self.text()))
            .map_err(|_| ConfigError::Bearer)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// Why a client could not be made. No variant repeats the offending text, which may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not an absolute URL without a fragment.
    #[error("the base URL is not an absolute URL")]
    BaseUrl,
    /// A name or password before the host: credentials have their own field.
    #[error("the base URL holds credentials before the host")]
    UserInfo,
    /// Neither `https` nor `http`.
    #[error("the base URL is neither https nor http")]
    Scheme,
    /// `http://` to something else than this machine.
    #[error("plain http is allowed only to a loopback address")]
    PlainHttp,
    /// The token cannot stand in a header.
    #[error("the bearer token is empty, too long, or holds characters a header cannot carry")]
    Bearer,
    /// The private authority is not a PEM list of usable certificates.
    #[error("the extra root certificates cannot be used")]
    ExtraRoots,
    /// The TLS or HTTP library refused the settings.
    #[error("the client could not be built from these settings")]
    Build,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<&str, ConfigError>) {
        let parsed = OutboundConfig::new(url)
            .parse_base_url()
            .map(|url| origin(&url));
        assert_eq!(parsed, expected.map(str::to_owned), "{url}");
    }

    #[test]
    fn https_goes_anywhere() {
        check("https://api.vultr.com/v2", Ok("https://api.vultr.com"));
        check("https://192.0.2.1:8443/", Ok("https://192.0.2.1:8443"));
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        check("http://127.0.0.1:4021", Ok("http://127.0.0.1:4021"));
        check("http://127.9.9.9/", Ok("http://127.9.9.9"));
        check("http://[::1]:4021", Ok("http://[::1]:4021"));
        check("http://localhost:4021/v2", Ok("http://localhost:4021"));
        // Decimal, octal and hexadecimal spellings are normalised before the test.
        check("http://2130706433/", Ok("http://127.0.0.1"));
        for url in [
            "http://api.vultr.com/v2",
            "http://192.168.0.1/",
            "http://0.0.0.0/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            check(url, Err(ConfigError::PlainHttp));
        }
    }

    #[test]
    fn other_urls_are_refused() {
        check("ftp://127.0.0.1/", Err(ConfigError::Scheme));
        check(
            "https://user:secret@api.example/",
            Err(ConfigError::UserInfo),
        );
        check("/v2/plans", Err(ConfigError::BaseUrl));
        check("https://api.example/#part", Err(ConfigError::BaseUrl));
        check("mailto:someone@example.org", Err(ConfigError::BaseUrl));
    }

    #[test]
    fn tokens_that_would_break_the_header_are_refused() {
        for bad in ["", "two words", "line\r\nX-Evil: 1", "ünicode"] {
            assert_eq!(
                BearerToken::parse(bad.into()).err(),
                Some(ConfigError::Bearer)
            );
        }
    }

    #[test]
    fn debug_shows_neither_token_nor_path() {
        let mut config = OutboundConfig::new("https://rpc.example/v3/path-key?apikey=query-key");
        config.bearer = Some(BearerToken::parse("bearer-key".into()).unwrap());
        let shown = format!("{config:?} {:?}", config.bearer);
        assert!(shown.contains("https://rpc.example"));
        assert!(!shown.contains("key"), "{shown}");
    }
}
