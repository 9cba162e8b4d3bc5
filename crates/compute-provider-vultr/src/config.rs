use std::time::Duration;

use compute_outbound::{Allowance, BearerToken, ConfigError, OutboundClient, OutboundConfig};
use secrecy::SecretString;

/// The vendor's public address.
const BASE_URL: &str = "https://api.vultr.com/v2";

/// The largest answer that is read. The whole catalogue of plans has about 100 KiB.
const MAX_BODY_BYTES: usize = 4 << 20;

/// What an adapter for one vendor account is made from.
#[derive(Clone, Debug)]
pub struct VultrConfig {
    /// The API with its version, `https://api.vultr.com/v2`; plain http only on loopback.
    pub base_url: String,
    /// The account's API key.
    pub api_key: SecretString,
    /// The installation's mark, 1 to 6 lower-case letters. Machines with another mark are never
    /// seen, so that several installations can share an account.
    pub environment: String,
    /// A private certificate authority in PEM form.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// How long calls may take.
    pub timeouts: Timeouts,
    /// How often this process asks.
    pub allowance: Allowance,
}

/// How long calls may take. Together the parts of one call must stay below half a lease.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// DNS, TCP and TLS of one request.
    pub connect: Duration,
    /// One request that reads or deletes. The vendor's lists take up to 2 s.
    pub request: Duration,
    /// The request that makes a machine.
    pub create: Duration,
    /// A call that needs several requests, such as the catalogue.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            request: Duration::from_secs(8),
            create: Duration::from_secs(20),
            call: Duration::from_secs(28),
        }
    }
}

/// A third of what the vendor allows a client address: 30 requests a second (the introduction of its
/// document, 2026). Burst and refill of any second stay within that.
const USUAL: Allowance = Allowance {
    burst: 20,
    every: Duration::from_millis(100),
};

impl VultrConfig {
    /// The vendor's public API with the default time-outs and a third of its limit.
    #[must_use]
    pub fn new(api_key: SecretString, environment: impl Into<String>) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            api_key,
            environment: environment.into(),
            extra_roots_pem: None,
            timeouts: Timeouts::default(),
            allowance: USUAL,
        }
    }

    pub(crate) fn connect(&self) -> Result<OutboundClient, VultrConfigError> {
        let mark = &self.environment;
        if !(1..=6).contains(&mark.len()) || !mark.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(VultrConfigError::Environment);
        }
        let bearer = BearerToken::parse(self.api_key.clone()).map_err(VultrConfigError::Client)?;
        let config = OutboundConfig {
            bearer: Some(bearer),
            extra_roots_pem: self.extra_roots_pem.clone(),
            connect_timeout: self.timeouts.connect,
            read_timeout: self.timeouts.create.max(self.timeouts.request),
            total_timeout: self.timeouts.request,
            max_body_bytes: MAX_BODY_BYTES,
            ..OutboundConfig::new(&self.base_url)
        };
        OutboundClient::new(&config).map_err(VultrConfigError::Client)
    }
}

/// Why the adapter cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VultrConfigError {
    /// The mark is not 1 to 6 lower-case letters.
    #[error("the environment mark must be 1 to 6 lower-case letters")]
    Environment,
    /// The address, the key or the certificate authority cannot be used.
    #[error("the connection settings cannot be used")]
    Client(#[source] ConfigError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_before_anything_is_sent() {
        let check = |url: &str, key: &str, mark: &str, is_fine: bool| {
            let mut config = VultrConfig::new(key.into(), mark);
            config.base_url = url.to_owned();
            assert_eq!(config.connect().is_ok(), is_fine, "{url} {mark}");
        };
        check(BASE_URL, "key", "prod", true);
        check("http://127.0.0.1:1/v2", "key", "prod", true);
        check("http://api.vultr.com/v2", "key", "prod", false);
        check(BASE_URL, "two\nlines", "prod", false);
        for mark in ["", "PROD", "toolong", "a-b", "prod1"] {
            check(BASE_URL, "key", mark, false);
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let config = VultrConfig::new("very-secret".into(), "prod");
        assert!(!format!("{config:?}").contains("very-secret"));
    }
}
