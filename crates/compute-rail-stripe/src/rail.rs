//! The rail: what the engine asks of it.

use core::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use compute_domain::time::Clock;
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Mpp, Rail, RailHealth, RailUnavailable, Settlement,
};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms};
use compute_outbound::{HeaderValue, OutboundRequest};
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
    timeouts: StripeTimeouts,
    /// Until when, in unix seconds, our key counts as refused.
    refused_until_s: AtomicU64,
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
            refused_until_s: AtomicU64::new(0),
        })
    }

    pub(crate) fn note_refused_key(&self) {
        let until = self.clock.now().secs().saturating_add(KEY_REST_S);
        self.refused_until_s.store(until, Ordering::Relaxed);
    }

    async fn find_fault(&self) -> Result<(), StripeError> {
        let request = OutboundRequest::get(&INTENTS).query("limit", "1");
        self.api.get::<IgnoredAny>(request).await.into_result()?;
        if self.clock.now().secs() < self.refused_until_s.load(Ordering::Relaxed) {
            return Err(StripeError::Key);
        }
        Ok(())
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

    async fn health(&self) -> RailHealth {
        match tokio::time::timeout(self.timeouts.call, self.find_fault()).await {
            Ok(Ok(())) => RailHealth::Ready,
            Ok(Err(error)) => RailHealth::Withdrawn {
                reason: error.to_string(),
            },
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

    async fn lookup(&self, payment: &ClaimedPayment<Mpp>) -> Result<Lookup, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_lookup(payment))
            .await
            .map_err(|_| unavailable(&"time ran out"))?
    }
}
