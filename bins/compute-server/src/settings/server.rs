//! `[server]`: where it listens and how it presents itself.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use compute_http::{ForwardedHeader, Proxies, PublicUrl};
use compute_wallet::EvmKey;
use compute_x402::offer_receipt::ReceiptIssuer;

use super::check::{Check, is_loopback_url};
use super::section::section;
use super::value::Secret;

section! {
    /// Where the server listens and how it presents itself.
    Server {
        /// Where to listen. TLS ends at a proxy in front of it.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 4020)),
        /// The URL under which clients reach the server; challenges and status links are made from it. `https://` unless it is loopback. Needed by `serve`.
        public_url: Option<String> = None,
        /// Addresses of proxies whose word for the client's address is believed. Their connections are not limited per address.
        trusted_proxies: Vec<String> = Vec::new(),
        /// How many proxies every request passes, where they have no fixed addresses to name in `trusted_proxies`: each must add its entry, and nobody may reach the server past them. 0 to 8; 0 believes by address alone.
        trusted_hops: u32 = 0,
        /// The header in which the proxies name the client: `x-forwarded-for` or `forwarded` (RFC 7239). The other one is not read.
        forwarded_header: String = "x-forwarded-for".to_owned(),
        /// The installation's mark on machines, 1 to 6 lower-case letters: two installations can share a vendor account if their marks differ. Never change it while machines exist.
        environment: String = "prod".to_owned(),
        /// Whether challenges say how their route is called, so that facilitators can list it in their catalogues (x402 extension `bazaar`). Costs a few hundred bytes of every 402.
        bazaar: bool = false,
        /// A secret key, 64 hex digits, with which offers and receipts are signed (x402 extension `offer-receipt`): clients can then prove what they were asked for and what they paid. Not the key of `pay_to`. Costs a signature for every offer of a 402.
        receipt_key: Option<Secret> = None,
        /// A file that holds the key.
        receipt_key_file: Option<PathBuf> = None,
    }
}

/// The checked section.
#[derive(Debug)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) public_url: PublicUrl,
    pub(crate) proxies: Proxies,
    pub(crate) environment: String,
    pub(crate) bazaar: bool,
    pub(crate) issuer: Option<Arc<ReceiptIssuer>>,
}

impl Server {
    pub(super) fn check(&self, check: &mut Check<'_>) -> Option<ServerConfig> {
        let public_url = self.check_public_url(check);
        let proxies = self.check_proxies(check);
        let name = &self.environment;
        if !(1..=6).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
            check.problem("server.environment", "must be 1 to 6 lower-case letters");
        }
        let issuer = self.check_receipt_key(check);
        Some(ServerConfig {
            bazaar: self.bazaar,
            issuer,
            listen: self.listen,
            public_url: public_url?,
            proxies,
            environment: name.clone(),
        })
    }

    fn check_proxies(&self, check: &mut Check<'_>) -> Proxies {
        let mut addresses = Vec::new();
        for text in &self.trusted_proxies {
            match text.parse::<IpAddr>() {
                Ok(address) => addresses.push(address.to_canonical()),
                Err(_) => check.problem(
                    "server.trusted_proxies",
                    format!("{text:?} is not an address"),
                ),
            }
        }
        if self.trusted_hops > 8 {
            check.problem("server.trusted_hops", "must be 0 to 8");
        }
        if self.trusted_hops > 0 && !addresses.is_empty() {
            check.problem(
                "server.trusted_hops",
                "proxies are believed by their addresses or by their number, not by both",
            );
        }
        let header = ForwardedHeader::parse(&self.forwarded_header);
        if header.is_none() {
            check.problem(
                "server.forwarded_header",
                "must be x-forwarded-for or forwarded",
            );
        }
        Proxies {
            addresses,
            hops: usize::try_from(self.trusted_hops).unwrap_or(0),
            header: header.unwrap_or_default(),
        }
    }

    fn check_receipt_key(&self, check: &mut Check<'_>) -> Option<Arc<ReceiptIssuer>> {
        let key = "server.receipt_key";
        let (text, file) = (self.receipt_key.as_ref(), self.receipt_key_file.as_ref());
        let secret = check.secret(key, text, file)?;
        match EvmKey::from_hex(secret.expose()) {
            Ok(parsed) => Some(Arc::new(ReceiptIssuer::new(parsed))),
            Err(error) => {
                check.problem(key, error.to_string());
                None
            }
        }
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
