use std::time::Duration;

use compute_outbound::{Allowance, BearerToken, ConfigError, OutboundClient, OutboundConfig};
use secrecy::SecretString;

/// The vendor's public address.
const BASE_URL: &str = "https://api.digitalocean.com";

/// The largest answer that is read: 200 droplets, each with its size, image and region, have about
/// 1 MiB.
const MAX_BODY_BYTES: usize = 8 << 20;

/// What an adapter for one vendor account is made from.
#[derive(Clone, Debug)]
pub struct DigitalOceanConfig {
    /// The API without its version, `https://api.digitalocean.com`; plain http only on loopback.
    pub base_url: String,
    /// A token of the account, with the scopes that the README names.
    pub token: SecretString,
    /// The installation's mark, 1 to 6 lower-case letters. Machines with another mark are never
    /// touched, so that several installations can share an account.
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
    /// One request that reads or deletes, and all requests about an SSH key before a create.
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

/// Half of what the vendor allows a token: 5000 requests an hour, 250 a minute (the introduction of
/// its document, 2026-08). A burst and a minute's refill stay below the one, the refill below the
/// other.
const USUAL: Allowance = Allowance {
    burst: 80,
    every: Duration::from_millis(1_440),
};

impl DigitalOceanConfig {
    /// The vendor's public API with the default time-outs and half of its limits.
    #[must_use]
    pub fn new(token: SecretString, environment: impl Into<String>) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            token,
            environment: environment.into(),
            extra_roots_pem: None,
            timeouts: Timeouts::default(),
            allowance: USUAL,
        }
    }

    pub(crate) fn connect(&self) -> Result<OutboundClient, DigitalOceanConfigError> {
        let mark = &self.environment;
        if !(1..=6).contains(&mark.len()) || !mark.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(DigitalOceanConfigError::Environment);
        }
        let bearer =
            BearerToken::parse(self.token.clone()).map_err(DigitalOceanConfigError::Client)?;
        let config = OutboundConfig {
            bearer: Some(bearer),
            extra_roots_pem: self.extra_roots_pem.clone(),
            connect_timeout: self.timeouts.connect,
            read_timeout: self.timeouts.create.max(self.timeouts.request),
            total_timeout: self.timeouts.request,
            max_body_bytes: MAX_BODY_BYTES,
            ..OutboundConfig::new(&self.base_url)
        };
        OutboundClient::new(&config).map_err(DigitalOceanConfigError::Client)
    }
}

/// Why the adapter cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigitalOceanConfigError {
    /// The mark is not 1 to 6 lower-case letters.
    #[error("the environment mark must be 1 to 6 lower-case letters")]
    Environment,
    /// The address, the token or the certificate authority cannot be used.
    #[error("the connection settings cannot be used")]
    Client(#[source] ConfigError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_before_anything_is_sent() {
        let check = |url: &str, token: &str, mark: &str, is_fine: bool| {
            let mut config = DigitalOceanConfig::new(token.into(), mark);
            config.base_url = url.to_owned();
            assert_eq!(config.connect().is_ok(), is_fine, "{url} {mark}");
        };
        check(BASE_URL, "token", "prod", true);
        check("http://127.0.0.1:1", "token", "prod", true);
        check("http://api.digitalocean.com", "token", "prod", false);
        check(BASE_URL, "two\nlines", "prod", false);
        for mark in ["", "PROD", "toolong", "a-b", "prod1"] {
            check(BASE_URL, "token", mark, false);
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let config = DigitalOceanConfig::new("very-secret".into(), "prod");
        assert!(!format!("{config:?}").contains("very-secret"));
    }

    #[test]
    fn the_usual_pace_is_half_of_the_vendors_limits() {
        let in_span =
            |span: Duration| u128::from(USUAL.burst) + span.as_millis() / USUAL.every.as_millis();
        assert!(in_span(Duration::from_secs(60)) <= 125);
        assert!(in_span(Duration::from_secs(3_600)) <= 2_600);
    }
}
