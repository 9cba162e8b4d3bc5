//! The rail: what the engine asks of it.

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::time::{Clock, Timestamp};
use compute_engine::ports::{
    ArrivalPage, Check, ClaimedPayment, Lookup, Mpp, Rail, RailHealth, RailUnavailable,
    SeenTransfer, Settlement,
};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms};
use compute_evm::{Chain, Inbox, Node};
use compute_wallet::{EvmAddress, WalletAddress};

use crate::chain::{TempoChain, told};
use crate::config::{TempoConfig, TempoConfigError, TempoTimeouts};
use crate::settle::unknown;

/// The address of every TIP-20 token begins with these bytes, and no account's does.
const TOKEN_PREFIX: [u8; 2] = [0x20, 0xc0];

/// A payment rail for one token on Tempo.
#[derive(Debug)]
pub struct TempoRail {
    spec: ChargeSpec,
    pub(crate) chain: TempoChain,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeouts: TempoTimeouts,
    pub(crate) looks: u32,
    inbox: Inbox,
}

impl TempoRail {
    /// A rail for the terms of `spec`; makes no connection. It keeps nothing: whatever it must know
    /// of a payment is in its proof and on the chain.
    ///
    /// # Errors
    /// [`TempoConfigError`] names what cannot be used.
    pub fn new(
        spec: ChargeSpec,
        config: &TempoConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TempoConfigError> {
        let ChargeTerms::Tempo(terms) = &spec.terms else {
            return Err(TempoConfigError::Terms);
        };
        if !is_token(terms.currency) {
            return Err(TempoConfigError::Terms);
        }
        if terms.recipient == EvmAddress::ZERO || is_token(terms.recipient) {
            return Err(TempoConfigError::Recipient);
        }
        if terms.fee_payer {
            return Err(TempoConfigError::FeePayer);
        }
        let node = Node::new(config.connect()?);
        Ok(Self {
            inbox: Inbox::new(terms.chain_id, terms.currency, [terms.recipient]),
            chain: TempoChain {
                evm: Chain::new(node, config.arrival_blocks),
                chain_id: terms.chain_id,
                token: terms.currency,
                max_lag_s: config.max_head_age_s,
            },
            spec,
            clock,
            timeouts: config.timeouts,
            looks: config.looks,
        })
    }

    async fn find_fault(&self) -> Result<(), String> {
        let head = self.chain.head().await.map_err(|error| told(&error))?;
        let oldest = head.time.saturating_add(self.chain.max_lag_s);
        if oldest < self.clock.now().secs() {
            return Err("the node is behind".to_owned());
        }
        let decimals = self.chain.decimals().await;
        if decimals.map_err(|error| told(&error))? != Some(self.spec.decimals.into()) {
            return Err("the token has other decimals, or is none".to_owned());
        }
        Ok(())
    }

    async fn try_arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        let from = cursor.map(str::parse).transpose();
        let from = from.map_err(|_| unavailable(&"the cursor is no block"))?;
        let part = self.inbox.read(&self.chain.evm, from).await;
        let part = part.map_err(|error| unavailable(&told(&error)))?;
        let at = Timestamp::from_secs(part.time);
        let seen = part.transfers.into_iter().map(|transfer| SeenTransfer {
            reference: transfer.transaction,
            log_index: transfer.log_index,
            payer: Some(WalletAddress::Evm(transfer.from)),
            atomic: transfer.amount,
            at,
        });
        Ok(ArrivalPage {
            transfers: seen.collect(),
            cursor: part.next_block.to_string(),
            read_up_to: at,
            has_more: part.has_more,
        })
    }
}

fn is_token(address: EvmAddress) -> bool {
    address.as_bytes().starts_with(&TOKEN_PREFIX)
}

pub(crate) fn unavailable(reason: &dyn fmt::Display) -> RailUnavailable {
    RailUnavailable {
        reason: reason.to_string(),
    }
}

#[async_trait]
impl Rail<Mpp> for TempoRail {
    fn spec(&self) -> &ChargeSpec {
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

    async fn check(&self, proof: &ChargeProof) -> Result<Check, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_check(proof))
            .await
            .map_err(|_| unavailable(&"time ran out"))?
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

    fn arrival_source(&self) -> Option<String> {
        Some(self.inbox.name())
    }

    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        tokio::time::timeout(self.timeouts.call, self.try_arrivals(cursor))
            .await
            .map_err(|_| unavailable(&"time ran out"))?
    }
}
