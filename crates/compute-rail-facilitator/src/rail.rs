use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use compute_domain::payment::Evidence;
use compute_domain::time::Clock;
use compute_engine::StoredProof;
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec, RailUnavailable, Settlement,
};
use compute_outbound::{Answer, OutboundClient, OutboundError, OutboundRequest};
use compute_wallet::WalletAddress;
use compute_x402::facilitator::{
    SettleClass, Supported, UnknownReason, VerifyClass, classify_settle, classify_verify,
    request_body,
};
use compute_x402::{ErrorCode, Version};

use crate::chain::{Chain, Fate, Mined};
use crate::config::{FacilitatorConfig, FacilitatorConfigError, Timeouts};
use crate::node::Node;
use crate::transfer::AuthorizedTransfer;

/// Without a chain node an expired authorization is given this long to be confirmed by the
/// facilitator after all; then nobody is left to ask.
const EXPIRY_GRACE_S: u64 = 60;

/// The longest an authorization may live, in seconds; its use cannot be older.
const MAX_LIFE_S: u64 = 86_400;

/// How recently somebody else may have submitted a buyer's authorization, in seconds, for it to
/// count as this purchase's payment. Longer would let old transfers to the same account be shown.
const OBSERVED_S: u64 = 120;

/// The bits of `versions`.
const SPEAKS_V1: u8 = 1;
const SPEAKS_V2: u8 = 2;

/// A payment rail over one remote facilitator, for one token.
#[derive(Debug)]
pub struct FacilitatorRail {
    spec: RailSpec,
    facilitator: OutboundClient,
    chain: Option<Chain>,
    timeouts: Timeouts,
    clock: Arc<dyn Clock>,
    /// What the last look at `/supported` found; 0 before the first.
    versions: AtomicU8,
}

impl FacilitatorRail {
    /// A rail for the token and recipient of `spec`; sends nothing.
    ///
    /// # Errors
    /// [`FacilitatorConfigError`] names the setting that cannot be used.
    pub fn new(
        spec: RailSpec,
        config: &FacilitatorConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FacilitatorConfigError> {
        let node = config.connect_node()?;
        Ok(Self {
            spec,
            facilitator: config.connect()?,
            chain: node.map(|http| Chain::new(Node::new(http), config.confirmations)),
            timeouts: config.timeouts,
            clock,
            versions: AtomicU8::new(0),
        })
    }

    // The facilitator need not speak the version of the payment: the signed part is the same.
    fn version_for(&self, proof: &StoredProof) -> Version {
        match self.versions.load(Ordering::Relaxed) {
            SPEAKS_V1 => Version::V1,
            SPEAKS_V2 => Version::V2,
            _ => proof.payload.version(),
        }
    }

    async fn post(
        &self,
        path: &str,
        proof: &StoredProof,
        timeout: Duration,
    ) -> Result<Answer, OutboundError> {
        let version = self.version_for(proof);
        let resource = proof.resource.as_resource();
        let body = request_body(version, &proof.payload, &proof.offer, resource);
        let request = OutboundRequest::post(&[path])
            .json(&body)?
            .total_timeout(timeout);
        self.facilitator.send(request).await
    }

    async fn look_at_supported(&self) -> Result<(), String> {
        let answer = self
            .facilitator
            .send(OutboundRequest::get(&["supported"]))
            .await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.is_redirection() {
            return Err("the facilitator has moved: configure its final address".to_owned());
        }
        if !answer.status.is_success() {
            return Err(format!("/supported: status {}", answer.status.as_u16()));
        }
        let supported = Supported::parse(&answer.body).map_err(|error| error.to_string())?;
        let network = self.spec.token.network();
        let bit = |version, bit| {
            if supported.supports(version, network) {
                bit
            } else {
                0
            }
        };
        let versions = bit(Version::V1, SPEAKS_V1) | bit(Version::V2, SPEAKS_V2);
        if versions == 0 {
            return Err(format!(
                "the facilitator does not settle on {}",
                network.caip2()
            ));
        }
        self.versions.store(versions, Ordering::Relaxed);
        Ok(())
    }

    async fn look_at_chain(&self) -> Result<(), String> {
        let Some(chain) = &self.chain else {
            return Ok(());
        };
        let now_s = self.clock.now().secs();
        match chain
            .find_fault(&self.spec.token, self.spec.decimals, now_s)
            .await
        {
            Ok(None) => Ok(()),
            Ok(Some(fault)) => Err(fault.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    // A facilitator's yes. It must name our payer, and with a node the chain must agree: there
    // were facilitators that reported reverted transactions as success.
    async fn confirm(
        &self,
        proof: &StoredProof,
        transaction: String,
        payer: Option<WalletAddress>,
    ) -> Settlement {
        let Some(transfer) = AuthorizedTransfer::of(proof) else {
            return unknown("the stored proof is no payment in this token");
        };
        if payer.is_some_and(|payer| payer != WalletAddress::Evm(transfer.from)) {
            return self.contradiction("the facilitator names another payer");
        }
        let Some(chain) = &self.chain else {
            let reference = transaction.to_ascii_lowercase();
            return Settlement::Settled(Evidence {
                reference,
                log_index: None,
            });
        };
        match chain.mined(&transfer, &transaction).await {
            Ok(Mined::Paid(evidence)) => Settlement::Settled(evidence),
            Ok(Mined::Without) => {
                self.contradiction("the transaction does not hold the payment's transfer")
            }
            Ok(Mined::Missing) => unknown("our node does not have the transaction yet"),
            Err(error) => Settlement::Unknown {
                reason: error.to_string(),
            },
        }
    }

    fn contradiction(&self, reason: &str) -> Settlement {
        tracing::error!(
            payment.rail = %self.spec.label,
            facilitator = %self.facilitator.origin(),
            reason,
            "the facilitator contradicts itself or the chain"
        );
        unknown(reason)
    }

    async fn try_settle(&self, proof: &StoredProof) -> Settlement {
        let answer = match self.post("settle", proof, self.timeouts.settle).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_sent() => {
                return Settlement::NotSent {
                    reason: error.to_string(),
                };
            }
            Err(error) => {
                return Settlement::Unknown {
                    reason: error.to_string(),
                };
            }
        };
        let status = answer.status.as_u16();
        match classify_settle(status, &answer.body, proof.offer.network()) {
            SettleClass::Settled { transaction, payer } => {
                self.confirm(proof, transaction, payer).await
            }
            SettleClass::Declined { code } => self.believe(proof, code).await,
            SettleClass::Refused { status } => {
                let reason = format!("the facilitator refused our request with status {status}");
                tracing::error!(payment.rail = %self.spec.label, reason, "settling is impossible");
                Settlement::NotSent { reason }
            }
            SettleClass::Unknown {
                reason: UnknownReason::Contradiction,
                ..
            } => self.contradiction("success without a usable transaction on this network"),
            SettleClass::Unknown { reason, .. } => unknown(describe(reason)),
        }
    }

    async fn try_check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        let answer = self.post("verify", proof, self.timeouts.verify).await;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        let status = answer.status.as_u16();
        match classify_verify(status, &answer.body, proof.offer.network()) {
            VerifyClass::Valid { payer } => {
                let own = AuthorizedTransfer::of(proof).map(|own| WalletAddress::Evm(own.from));
                if payer.is_some() && payer != own {
                    return Err(unavailable(
                        "the facilitator names another payer".to_owned(),
                    ));
                }
                Ok(Check::Fine)
            }
            VerifyClass::Invalid { code } => Ok(self.reconsider(proof, code).await),
            VerifyClass::Refused { status } => Err(unavailable(format!(
                "/verify refused our request with status {status}"
            ))),
            VerifyClass::Unavailable => Err(unavailable(format!(
                "/verify gave no verdict, status {status}"
            ))),
        }
    }

    // A spent nonce may be the buyer's own payment to us, submitted by somebody who saw it (x402.md
    // 13.4): the money is here, so the order is due. Only the chain can tell; without a node the
    // proof is refused. The claim's unique proof key keeps one transfer from buying twice.
    async fn reconsider(&self, proof: &StoredProof, code: ErrorCode) -> Check {
        let refused = Check::Refused {
            code: code.as_str().to_owned(),
        };
        if code != ErrorCode::EvmNonceAlreadyUsed {
            return refused;
        }
        let (Some(chain), Some(transfer)) = (&self.chain, AuthorizedTransfer::of(proof)) else {
            return refused;
        };
        let since_s = self.clock.now().secs().saturating_sub(OBSERVED_S);
        match chain.was_paid_since(&transfer, since_s).await {
            Ok(true) => Check::Fine,
            _ => refused,
        }
    }

    // The facilitator refuses, but the money may have moved all the same: somebody else submitted
    // the authorization, and what is refused is the second use of it. The chain knows; without a
    // node, only a reason that a used authorization cannot cause is believed (reliability.md 2.3).
    async fn believe(&self, proof: &StoredProof, code: ErrorCode) -> Settlement {
        let declined = Settlement::Declined {
            code: code.as_str().to_owned(),
        };
        let (Some(chain), Some(transfer)) = (&self.chain, AuthorizedTransfer::of(proof)) else {
            return if follows_a_used_nonce(&code) {
                unknown("refused for a reason that a payment by somebody else may have caused")
            } else {
                declined
            };
        };
        let since_s = self.clock.now().secs().saturating_sub(MAX_LIFE_S);
        match chain.fate(&transfer, since_s).await {
            Ok(Fate::Paid(evidence)) => Settlement::Settled(evidence),
            Ok(Fate::Open | Fate::Void(_)) => declined,
            Ok(Fate::Unclear(reason)) => unknown(reason),
            Err(error) => Settlement::Unknown {
                reason: error.to_string(),
            },
        }
    }

    async fn try_lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        let transfer = AuthorizedTransfer::of(payment.proof());
        let transfer = transfer.ok_or_else(|| {
            unavailable("the stored proof is no payment in this token".to_owned())
        })?;
        let Some(chain) = &self.chain else {
            return self.guess(&transfer);
        };
        let since_s = payment
            .payment()
            .claimed_at
            .secs()
            .saturating_sub(MAX_LIFE_S);
        match chain.fate(&transfer, since_s).await {
            Ok(Fate::Paid(evidence)) => Ok(Lookup::Settled(evidence)),
            Ok(Fate::Open) => Ok(Lookup::NotYet),
            Ok(Fate::Void(code)) => Ok(Lookup::Never {
                code: code.as_str().to_owned(),
            }),
            Ok(Fate::Unclear(reason)) => Err(unavailable(reason.to_owned())),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }

    // Without a node the only source is the facilitator, and the only question to it is to settle
    // again: safe, because the token takes each authorization once.
    fn guess(&self, transfer: &AuthorizedTransfer) -> Result<Lookup, RailUnavailable> {
        let last_s = transfer.valid_before.saturating_add(EXPIRY_GRACE_S);
        if self.clock.now().secs() < last_s {
            return Ok(Lookup::NotYet);
        }
        Err(unavailable(
            "the authorization expired unconfirmed, and no chain node is set".to_owned(),
        ))
    }
}

/// Whether a facilitator may give this reason because the authorization was used a moment before.
fn follows_a_used_nonce(code: &ErrorCode) -> bool {
    matches!(code, ErrorCode::InvalidTransactionState)
        || code.as_str().ends_with("_transaction_failed")
        || code.as_str().ends_with("simulation_failed")
}

fn unknown(reason: &str) -> Settlement {
    Settlement::Unknown {
        reason: reason.to_owned(),
    }
}

const fn describe(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::Pending => "the facilitator waits for the chain",
        UnknownReason::AlreadyUsed => "the authorization was used before, perhaps by us",
        UnknownReason::Contradiction => "success without a usable transaction",
        UnknownReason::UnclearFailure => "the facilitator failed without a clear reason",
        UnknownReason::NoAnswer => "the facilitator gave no verdict",
    }
}

const fn unavailable(reason: String) -> RailUnavailable {
    RailUnavailable { reason }
}

#[async_trait]
impl Rail for FacilitatorRail {
    fn spec(&self) -> &RailSpec {
        &self.spec
    }

    async fn health(&self) -> RailHealth {
        let look = async {
            self.look_at_supported().await?;
            self.look_at_chain().await
        };
        match tokio::time::timeout(self.timeouts.call, look).await {
            Ok(Ok(())) => RailHealth::Ready,
            Ok(Err(reason)) => RailHealth::Withdrawn { reason },
            Err(_) => RailHealth::Withdrawn {
                reason: "time ran out".to_owned(),
            },
        }
    }

    async fn check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        let too_late = |_| unavailable("time ran out".to_owned());
        let check = self.try_check(proof);
        tokio::time::timeout(self.timeouts.call, check)
            .await
            .map_err(too_late)?
    }

    async fn settle(&self, payment: &ClaimedPayment) -> Settlement {
        let settle = self.try_settle(payment.proof());
        tokio::time::timeout(self.timeouts.call, settle)
            .await
            .unwrap_or_else(|_| unknown("time ran out"))
    }

    async fn lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        let too_late = |_| unavailable("time ran out".to_owned());
        let lookup = self.try_lookup(payment);
        tokio::time::timeout(self.timeouts.call, lookup)
            .await
            .map_err(too_late)?
    }
}
