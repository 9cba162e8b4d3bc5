//! What an operator decides about a rail of Stripe.

use core::fmt;
use std::time::Duration;

use compute_outbound::{ConfigError, OutboundClient, OutboundConfig};
use secrecy::SecretString;

/// A page of a hundred PaymentIntents with everything that may hang on them.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What a rail of Stripe needs.
pub struct StripeConfig {
    /// The seller's secret key (`sk_…`, `rk_…`).
    pub secret_key: SecretString,
    /// The secret under which Stripe signs its webhooks (`whsec_…`); none where none are taken.
    pub webhook_secret: Option<SecretString>,
    /// Where the API is: `https://`, or `http://` to a loopback address.
    pub base_url: String,
    /// The version of the API that is asked for in every call.
    pub version: String,
    /// A private certificate authority of the API, in PEM form.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// How long things may take.
    pub timeouts: StripeTimeouts,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripeTimeouts {
    /// One request.
    pub request: Duration,
    /// One call of the rail: shorter than half a lease.
    pub call: Duration,
}

impl Default for StripeTimeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            call: Duration::from_secs(25),
        }
    }
}

/// Why the rail cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeConfigError {
    /// The API's address cannot be used.
    #[error("the settings of the API cannot be used")]
    Api(#[source] ConfigError),
    /// The version cannot stand in a header.
    #[error("the version of the API is no version")]
    Version,
    /// Another method, or a currency without a known minimum.
    #[error("the terms are not those of a card payment in a currency with a known minimum")]
    Terms,
}

impl StripeConfig {
    /// Stripe's own API, in the version that this crate was written for, with the usual patience.
    #[must_use]
    pub fn new(secret_key: impl Into<SecretString>) -> Self {
        Self {
            secret_key: secret_key.into(),
            webhook_secret: None,
            base_url: "https://api.stripe.com".to_owned(),
            version: "2026-07-29.preview".to_owned(),
            extra_roots_pem: None,
            timeouts: StripeTimeouts::default(),
        }
    }

    pub(crate) fn connect(&self) -> Result<OutboundClient, StripeConfigError> {
        OutboundClient::new(&OutboundConfig {
            extra_roots_pem: self.extra_roots_pem.clone(),
            max_body_bytes: MAX_ANSWER_BYTES,
            connect_timeout: self.timeouts.request / 2,
            read_timeout: self.timeouts.request,
            total_timeout: self.timeouts.request,
            ..OutboundConfig::new(self.base_url.clone())
        })
        .map_err(StripeConfigError::Api)
    }
}

impl fmt::Debug for StripeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeConfig")
            .field("version", &self.version)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
