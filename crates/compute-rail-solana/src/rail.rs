//! The rail: what the engine asks of it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use compute_domain::time::Clock;
use compute_engine::StoredProof;
use compute_engine::ports::{
    ArrivalPage, Check, ClaimedPayment, Lane, Lookup, Rail, RailHealth, RailSpec, RailUnavailable,
    Settlement, Store, WalletBalance,
};
use compute_wallet::{SolanaAddress, WalletAddress};
use compute_x402::exact_svm::SvmToken;

use crate::book::{Book, Failures};
use crate::config::{SolanaConfig, SolanaConfigError, SolanaTimeouts};
use crate::fee_payer::{FeePayer, Shop};
use crate::rpc::{NodeClient, Rpc};

/// A payment rail that settles by itself, for one token on one Solana network.
#[derive(Debug)]
pub struct SolanaRail {
    pub(crate) spec: RailSpec,
    pub(crate) token: SvmToken,
    pub(crate) node: Arc<dyn Rpc>,
    pub(crate) fee_payer: FeePayer,
    pub(crate) book: Book,
    pub(crate) timeouts: SolanaTimeouts,
    pub(crate) min_balance_lamports: u64,
    pub(crate) finalized_above: u128,
    /// What the fee payer had when its node was last asked for the rail's health.
    pub(crate) wallet: Mutex<Option<WalletBalance>>,
}

impl SolanaRail {
    /// A rail for the token and recipient of `spec`; sends nothing. What it signs is kept in the
    /// store.
    ///
    /// # Errors
    /// [`SolanaConfigError`] names what cannot be used.
    pub fn new(
        spec: RailSpec,
        config: SolanaConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SolanaConfigError> {
        let node = NodeClient::new(config.connect()?);
        let token = spec.token.as_svm().ok_or(SolanaConfigError::Token)?.clone();
        let fee_payer = config.fee_payer.address();
        if token.terms().fee_payer() != fee_payer {
            return Err(SolanaConfigError::FeePayer);
        }
        let recipient = token.pay_to(&spec.pay_to.address());
        let recipient = recipient.ok_or(SolanaConfigError::Recipient)?;
        if spec.pay_to.address() == WalletAddress::Solana(fee_payer)
            || config.other_recipients.contains(&fee_payer)
            || recipient.destination(token.terms()) == fee_payer
        {
            return Err(SolanaConfigError::RecipientIsFeePayer);
        }
        let network = token.terms().network().clone();
        let lane = Lane::parse(&format!("{}:{fee_payer}", network.caip2()));
        let lane = lane.map_err(|_| SolanaConfigError::Token)?;
        let mint = token.terms().mint();
        let others = config.other_recipients;
        Ok(Self {
            node: Arc::new(node),
            fee_payer: FeePayer::new(config.fee_payer, network, mint, config.limits, others),
            book: Book {
                store,
                clock,
                lane,
                max_lamports_per_day: config.max_lamports_per_day,
                max_failures_per_payer: config.max_failures_per_payer,
                failures: Failures::default(),
            },
            timeouts: config.timeouts,
            min_balance_lamports: config.min_balance_lamports,
            finalized_above: config.finalized_above,
            wallet: Mutex::default(),
            token,
            spec,
        })
    }

    /// The account that pays fees.
    #[must_use]
    pub fn fee_payer(&self) -> SolanaAddress {
        self.fee_payer.address()
    }
}

pub(crate) fn unknown(reason: &str) -> Settlement {
    Settlement::Unknown {
        reason: reason.to_owned(),
    }
}

pub(crate) fn unavailable(reason: &str) -> RailUnavailable {
    RailUnavailable {
        reason: reason.to_owned(),
    }
}

#[async_trait]
impl Rail for SolanaRail {
    fn spec(&self) -> &RailSpec {
        &self.spec
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

    fn wallet(&self) -> Option<WalletBalance> {
        *self.wallet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_check(Shop::Own, proof))
            .await
            .map_err(|_| unavailable("time ran out"))?
    }

    async fn settle(&self, payment: &ClaimedPayment) -> Settlement {
        tokio::time::timeout(self.timeouts.call, self.try_settle(payment))
            .await
            .unwrap_or_else(|_| unknown("time ran out"))
    }

    async fn lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_lookup(payment))
            .await
            .map_err(|_| unavailable("time ran out"))?
    }

    async fn tend(&self) {
        match tokio::time::timeout(self.timeouts.call, self.try_tend()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(
                payment.rail = %self.spec.label, error = %error,
                "what waits for the chain was not looked at now"
            ),
            Err(_) => tracing::info!(payment.rail = %self.spec.label, "a round took too long"),
        }
    }

    fn arrival_source(&self) -> Option<String> {
        self.inbox_name()
    }

    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_arrivals(cursor))
            .await
            .map_err(|_| unavailable("time ran out"))?
    }
}
