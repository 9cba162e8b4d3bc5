//! The rail: what the engine asks of it.

use core::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use compute_domain::time::Clock;
use compute_engine::ports::{
    CardDesk, Check, ClaimedPayment, Lookup, Mpp, Rail, RailHealth, RailUnavailable, Settlement,
};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms};
use compute_outbound::{HeaderValue, OutboundRequest};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::{Api, StripeError};
use crate::config::{StripeConfig, StripeConfigError, StripeTimeouts};
use crate::settle::{INTENTS, unknown};

/// A key that may look at payments but not take them is not found out by looking: for so many
/// seconds after it was refused the rail is withdrawn.
const KEY_REST_S: u64 = 600;

/// A payment rail for cards in one currency.
#[derive(Debug)]
pub struct StripeRail {
    spec: ChargeSpec,
    pub(crate) api: Api,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeouts: StripeTimeouts,
    pub(crate) webhook_secret: Option<SecretString>,
    /// Until when, in unix seconds, our key counts as refused.
    refused_until_s: AtomicU64,
    /// The account that the key belongs to: a key never changes its account.
    account: OnceLock<String>,
}

/// The longest name of an account that is believed.
const MAX_ACCOUNT: usize = 64;

#[derive(Deserialize)]
struct Account {
    id: String,
}

impl StripeRail {
    /// A rail for the terms of `spec`; makes no connection. It keeps nothing: whatever it must know
    /// of a payment is in its proof and at Stripe.
    ///
    /// # Errors
    /// [`StripeConfigError`] names what cannot be used.
    pub fn new(
        spec: ChargeSpec,
        config: &StripeConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StripeConfigError> {
        let ChargeTerms::Stripe { currency, .. } = &spec.terms else {
            return Err(StripeConfigError::Terms);
        };
        if compute_mpp::stripe::minimum(currency).is_none() {
            return Err(StripeConfigError::Terms);
        }
        let version = HeaderValue::from_str(&config.version);
        let version = version.map_err(|_| StripeConfigError::Version)?;
        Ok(Self {
            spec,
            api: Api::new(config.connect()?, config.secret_key.clone(), version),
            clock,
            timeouts: config.timeouts,
            webhook_secret: config.webhook_secret.clone(),
            refused_until_s: AtomicU64::new(0),
            account: OnceLock::new(),
        })
    }

    pub(crate) fn note_refused_key(&self) {
        let until = self.clock.now().secs().saturating_add(KEY_REST_S);
        self.refused_until_s.store(until, Ordering::Relaxed);
    }

    /// Why nothing can be sold; for the operator.
    async fn find_fault(&self) -> Result<(), String> {
        let request = OutboundRequest::get(&INTENTS).query("limit", "1");
        let listed = self.api.get::<IgnoredAny>(request).await.into_result();
        listed.map_err(|error| error.to_string())?;
        // What is sold must be found again in the account that it was paid to.
        let account = self.account_id().await;
        account.map_err(|error| format!("the key does not tell its account: {error}"))?;
        if self.clock.now().secs() < self.refused_until_s.load(Ordering::Relaxed) {
            return Err(StripeError::Key.to_string());
        }
        Ok(())
    }
}

impl StripeRail {
    /// The account that our key belongs to; asked for once.
    pub(crate) async fn account_id(&self) -> Result<&str, StripeError> {
        if let Some(known) = self.account.get() {
            return Ok(known);
        }
        let request = OutboundRequest::get(&["v1", "account"]);
        let Account { id } = self.api.get(request).await.into_result()?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !id.starts_with("acct_") || id.len() > MAX_ACCOUNT || !id.bytes().all(is_allowed) {
            return Err(crate::api::unknown("the account has no name that is known"));
        }
        Ok(self.account.get_or_init(|| id))
    }

    /// Whether our key is of the account that the payment was claimed for: what another account does
    /// not know may still be in that one. Why not, for the log.
    pub(crate) async fn expect_account(&self, payment: &ClaimedPayment<Mpp>) -> Result<(), String> {
        let Some(claimed_for) = &payment.proof().account else {
            return Ok(());
        };
        match self.account_id().await {
            Ok(own) if own == claimed_for => Ok(()),
            Ok(own) => {
                tracing::error!(
                    account.claimed = claimed_for,
                    account.own = own,
                    "the secret key of Stripe is of another account than the payment was claimed for"
                );
                Err("the key is of another account".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

pub(crate) fn unavailable(reason: &dyn fmt::Display) -> RailUnavailable {
    RailUnavailable {
        reason: reason.to_string(),
    }
}

#[async_trait]
impl Rail<Mpp> for StripeRail {
    fn spec(&self) -> &ChargeSpec {
        &self.spec
    }

    fn account(&self) -> Option<String> {
        self.account.get().cloned()
    }

    async fn health(&self) -> RailHealth {
        match tokio::time::timeout(self.timeouts.call, self.find_fault()).await {
            Ok(Ok(())) => RailHealth::Ready,
            Ok(Err(reason)) => RailHealth::Withdrawn { reason },
            Err(_) => RailHealth::Withdrawn {
                reason: "time ran out".to_owned(),
            },
        }
    }

    /// Only taking the money shows whether a card has any.
    async fn check(&self, _proof: &ChargeProof) -> Result<Check, RailUnavailable> {
        Ok(Check::Fine)
    }

    async fn settle(&self, payment: &ClaimedPayment<Mpp>) -> Settlement {
        tokio::time::timeout(self.timeouts.call, self.try_settle(payment))
            .await
            .unwrap_or_else(|_| unknown("time ran out"))
    }

    fn card_desk(&self) -> Option<&dyn CardDesk> {
        Some(self)
    }

    async fn lookup(&self, payment: &ClaimedPayment<Mpp>) -> Result<Lookup, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_lookup(payment))
            .await
            .map_err(|_| unavailable(&"time ran out"))?
    }
}
