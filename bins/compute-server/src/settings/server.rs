//! `[server]`: where it listens and how it presents itself.

use std::net::{IpAddr, SocketAddr};

use compute_http::PublicUrl;

use super::check::{Check, is_loopback_url};
use super::section::section;

section! {
    /// Where the server listens and how it presents itself.
    Server {
        /// Where to listen. TLS ends at a proxy in front of it.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 4020)),
        /// The URL under which clients reach the server; challenges and status links are made from it. `https://` unless it is loopback. Needed by `serve`.
        public_url: Option<String> = None,
        /// Addresses of proxies whose `X-Forwarded-For` is believed. Their connections are not limited per address.
        trusted_proxies: Vec<String> = Vec::new(),
        /// The installation's mark on machines, 1 to 6 lower-case letters: two installations can share a vendor account if their marks differ. Never change it while machines exist.
        environment: String = "prod".to_owned(),
    }
}

/// The checked section.
#[derive(Debug)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: PublicUrl,
    pub(crate) trusted_proxies: Vec<IpAddr>,
    pub(crate) environment: String,
}

impl Server {
    pub(super) fn check(&self, check: &mut Check<'_>) -> Option<ServerConfig> {
        let public_url = self.check_public_url(check);
        let mut trusted_proxies = Vec::new();
        for text in &self.trusted_proxies {
            match text.parse::<IpAddr>() {
                Ok(address) => trusted_proxies.push(address.to_canonical()),
                Err(_) => check.problem(
                    "server.trusted_proxies",
                    format!("{text:?} is not an address"),
                ),
            }
        }
        let name = &self.environment;
        if !(1..=6).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
            check.problem("server.environment", "must be 1 to 6 lower-case letters");
        }
        Some(ServerConfig {
            listen: self.listen,
            public_url: public_url?,
            trusted_proxies,
            environment: name.clone(),
        })
    }

    fn check_public_url(&self, check: &mut Check<'_>) -> Option<PublicUrl> {
        let key = "server.public_url";
        let Some(text) = &self.public_url else {
            check.problem(
                key,
                "is needed: clients are told to pay for, and to come back to, this URL",
            );
            return None;
        };
        let parsed = PublicUrl::parse(text);
        if parsed.is_err() {
            check.problem(
                key,
                "must be an absolute http or https URL without query or fragment",
            );
        } else if !text.starts_with("https://") && !is_loopback_url(text) {
            check.problem(
                key,
                "must be https:// unless it is loopback: payments would travel in the clear",
            );
        }
        parsed.ok()
    }
}
