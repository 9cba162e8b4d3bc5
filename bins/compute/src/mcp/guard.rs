//! Who may speak HTTP with this server: programs of this machine that know the token, and no page of a browser.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use compute_wallet::keccak256;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::context::{kept_secret, read_secret};

/// The token that is made when none is given.
const OWN_FILE: &str = "mcp-token";

/// The shortest token that is taken: 16 characters that cannot be guessed.
const MIN_LENGTH: usize = 16;

/// What a client must show. Only its digest is kept, and digests are compared in constant time.
pub(super) struct Token([u8; 32]);

impl Token {
    /// From the file, or else from the environment, or else a fresh one that only this user can read; and where
    /// it is.
    ///
    /// # Errors
    /// When it cannot be read or made, or could be guessed.
    pub(super) fn load(folder: &Path, file: Option<&Path>) -> Result<(Self, String)> {
        if let Some(text) = read_secret("COMPUTE_MCP_TOKEN", file)? {
            let place = match file {
                Some(file) => file.display().to_string(),
                None => "COMPUTE_MCP_TOKEN".to_owned(),
            };
            return Ok((Self::new(&text)?, place));
        }
        let path = folder.join(OWN_FILE);
        let text = kept_secret(folder, &path)?;
        Ok((Self::new(&text)?, path.display().to_string()))
    }

    fn new(text: &SecretString) -> Result<Self> {
        let text = text.expose_secret();
        ensure!(
            text.len() >= MIN_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic()),
            "a bearer token has at least {MIN_LENGTH} characters, without spaces"
        );
        Ok(Self(keccak256(text.as_bytes())))
    }

    fn is(&self, shown: &[u8]) -> bool {
        keccak256(shown).ct_eq(&self.0).into()
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The name that was looked up is not one of this machine: a page may have led it here.
    Host,
    /// A page of another place asks.
    Origin,
    /// The token is missing or wrong.
    Bearer,
}

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Bearer => StatusCode::UNAUTHORIZED,
        }
    }

    pub(super) const fn says(self) -> &'static str {
        match self {
            Self::Host => "the Host header names no address of this machine, or another port",
            Self::Origin => "pages of other places may not use this server",
            Self::Bearer => "send the header Authorization: Bearer with the token of this server",
        }
    }
}

/// Whether a request is let in to the server on this port.
pub(super) fn check(headers: &HeaderMap, token: &Token, port: u16) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_here = |host: &http::HeaderValue| {
        let authority = host
            .to_str()
            .ok()
            .and_then(|it| it.parse::<Authority>().ok());
        authority.is_some_and(|it| is_loopback(it.host()) && it.port_u16().unwrap_or(80) == port)
    };
    if !hosts.next().is_some_and(is_here) || hosts.next().is_some() {
        return Err(Refusal::Host);
    }
    let is_page_of_this_machine = |origin: &http::HeaderValue| {
        let uri = origin.to_str().ok().and_then(|it| it.parse::<Uri>().ok());
        uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(is_loopback)
        })
    };
    if !headers
        .get_all(header::ORIGIN)
        .iter()
        .all(is_page_of_this_machine)
    {
        return Err(Refusal::Origin);
    }
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let is_known = shown.next().is_some_and(|shown| {
        let (scheme, secret) = shown.as_bytes().split_at_checked(7).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"bearer ") && token.is(secret)
    });
    if !is_known || shown.next().is_some() {
        return Err(Refusal::Bearer);
    }
    Ok(())
}

/// Whether a name always means this machine.
fn is_loopback(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || plain.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn asked(lines: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let token = Token::new(&SECRET.into()).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        check(&headers, &token, 8080)
    }

    #[test]
    fn programs_of_this_machine_with_the_token_are_let_in() {
        let bearer = ("authorization", "Bearer 0123456789abcdef");
        for host in [
            "127.0.0.1:8080",
            "localhost:8080",
            "[::1]:8080",
            "LOCALHOST:8080",
        ] {
            assert_eq!(asked(&[("host", host), bearer]), Ok(()), "{host}");
        }
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:1",
        ] {
            let lines = [("host", "localhost:8080"), ("origin", origin), bearer];
            assert_eq!(asked(&lines), Ok(()), "{origin}");
        }
        let lower = ("authorization", "bearer 0123456789abcdef");
        assert_eq!(asked(&[("host", "localhost:8080"), lower]), Ok(()));
    }

    #[test]
    fn a_name_that_leads_here_from_outside_is_not() {
        let bearer = ("authorization", "Bearer 0123456789abcdef");
        assert_eq!(asked(&[bearer]), Err(Refusal::Host));
        for host in [
            "evil.example:8080",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example:8080",
            "127.0.0.1:8081",
            "127.0.0.1",
            "10.0.0.1:8080",
            "",
        ] {
            assert_eq!(
                asked(&[("host", host), bearer]),
                Err(Refusal::Host),
                "{host}"
            );
        }
        let twice = [("host", "localhost:8080"), ("host", "evil.example"), bearer];
        assert_eq!(asked(&twice), Err(Refusal::Host));
    }

    #[test]
    fn a_page_of_another_place_is_not() {
        let bearer = ("authorization", "Bearer 0123456789abcdef");
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "file://",
            "",
        ] {
            let lines = [("host", "localhost:8080"), ("origin", origin), bearer];
            assert_eq!(asked(&lines), Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn nobody_without_the_token_is() {
        let host = ("host", "localhost:8080");
        assert_eq!(asked(&[host]), Err(Refusal::Bearer));
        for shown in [
            "Bearer ",
            "Bearer 0123456789abcdeX",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "x",
        ] {
            assert_eq!(
                asked(&[host, ("authorization", shown)]),
                Err(Refusal::Bearer),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_token_that_could_be_guessed_is_none() {
        for text in ["", "short", "with space with space"] {
            assert!(Token::new(&text.into()).is_err(), "{text}");
        }
    }
}
