use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::time::{Clock, Entropy, Timestamp};
use compute_engine::StoredProof;
use compute_engine::ports::{
    ArrivalPage, Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec, RailUnavailable,
    SeenTransfer, Settlement,
};
use compute_evm::{Chain, Fate, Inbox, MAX_LIFE_S, Node};
use compute_wallet::WalletAddress;
use compute_x402::facilitator::{VerifyClass, classify_verify};
use compute_x402::{ErrorCode, Method, MethodCode};

use crate::config::{FacilitatorConfig, FacilitatorConfigError, Timeouts};
use crate::panel::Panel;
use crate::paying::{Paying, find_fault};
use crate::remote::{Needed, Remote};

/// Without a chain node an expired authorization is given this long to be confirmed by the
/// facilitator after all; then nobody is left to ask.
const EXPIRY_GRACE_S: u64 = 60;

/// How recently somebody else may have submitted a buyer's authorization, in seconds, for it to
/// count as this purchase's payment. Longer would let old transfers to the same account be shown.
const OBSERVED_S: u64 = 120;

/// A payment rail over one or more remote facilitators, for one token.
#[derive(Debug)]
pub struct FacilitatorRail {
    pub(crate) spec: RailSpec,
    pub(crate) panel: Panel,
    pub(crate) chain: Option<Chain>,
    /// The recipient of payments, where a node can be asked.
    inbox: Option<Inbox>,
    pub(crate) timeouts: Timeouts,
    pub(crate) clock: Arc<dyn Clock>,
}

impl FacilitatorRail {
    /// A rail for the token and recipient of `spec`; sends nothing. The entropy makes the tokens of
    /// facilitators that want a fresh one for each request.
    ///
    /// # Errors
    /// [`FacilitatorConfigError`] names the setting that cannot be used.
    pub fn new(
        spec: RailSpec,
        config: &FacilitatorConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, FacilitatorConfigError> {
        let node = config.connect_node()?;
        if node.is_some() && spec.token.as_svm().is_some() {
            return Err(FacilitatorConfigError::NodeOnSolana);
        }
        if let Method::Permit { paths, .. } = spec.token.method()
            && (paths.spender().is_some() || paths.permit2_separator().is_none())
        {
            return Err(FacilitatorConfigError::DirectPermit);
        }
        let inbox = match (spec.token.as_evm(), spec.pay_to.address(), &node) {
            (Some(token), WalletAddress::Evm(pay_to), Some(_)) => {
                Some(Inbox::new(token.chain_id(), token.contract(), [pay_to]))
            }
            _ => None,
        };
        Ok(Self {
            inbox,
            spec,
            panel: config.connect(&clock, &entropy)?,
            chain: node.map(|http| Chain::new(Node::new(http), config.confirmations)),
            timeouts: config.timeouts,
            clock,
        })
    }

    async fn look_at_chain(&self) -> Result<(), String> {
        let Some(chain) = &self.chain else {
            return Ok(());
        };
        let Some(token) = self.spec.token.as_evm() else {
            return Err("the token is not on an EVM chain".to_owned());
        };
        let now_s = self.clock.now().secs();
        let mut fault = chain.find_fault(token, self.spec.decimals, now_s).await;
        if let (Ok(None), Method::Permit { .. }) = (&fault, self.spec.token.method()) {
            fault = chain.find_missing_permit2().await;
        }
        match fault {
            Ok(None) => Ok(()),
            Ok(Some(fault)) => Err(fault.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    // Checking moves nothing, so whoever gives a verdict may be asked.
    async fn try_check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        if let Some(code) = find_fault(proof, self.clock.now()) {
            let code = code.as_str().to_owned();
            return Ok(Check::Refused { code });
        }
        let mut last = unavailable("no facilitator is configured".to_owned());
        for (_, remote) in self.panel.order() {
            match self.check_at(remote, proof).await {
                Ok(check) => return Ok(check),
                Err(error) => {
                    remote.leave_out(&error.reason);
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn check_at(
        &self,
        remote: &Remote,
        proof: &StoredProof,
    ) -> Result<Check, RailUnavailable> {
        let answer = remote.post("verify", proof, self.timeouts.verify).await;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        let status = answer.status.as_u16();
        match classify_verify(status, &answer.body, proof.offer.network()) {
            VerifyClass::Valid { payer } => {
                let own = Paying::of(proof).map(|own| own.payer());
                if payer.is_some() && payer != own {
                    return Err(unavailable(
                        "the facilitator names another payer".to_owned(),
                    ));
                }
                Ok(Check::Fine)
            }
            VerifyClass::Invalid { code } => Ok(self.reconsider(proof, code).await),
            VerifyClass::Refused { status } => {
                let usual = || format!("/verify refused our request with status {status}");
                let reason = remote.find_refusal(&answer).unwrap_or_else(usual);
                Err(unavailable(reason))
            }
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
        let is_used = match code {
            ErrorCode::EvmNonceAlreadyUsed => true,
            // Facilitators simulate these, and when that fails look for a reason: that the payer
            // has less than the price, or that Permit2 is not approved, is so after the payment.
            ErrorCode::InsufficientFunds
            | ErrorCode::Method(
                MethodCode::PERMIT2_NONCE
                | MethodCode::PERMIT2_ALLOWANCE
                | MethodCode::PERMIT2_SIMULATION,
            ) => matches!(proof.offer.token().method(), Method::Permit { .. }),
            _ => false,
        };
        let (true, Some(chain), Some(paying)) = (is_used, &self.chain, Paying::of(proof)) else {
            return refused;
        };
        let since_s = self.clock.now().secs().saturating_sub(OBSERVED_S);
        match paying.was_paid_since(chain, since_s).await {
            Ok(true) => Check::Fine,
            _ => refused,
        }
    }

    async fn try_lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        if self.chain.is_none() {
            return self.guess(payment);
        }
        let found = match self.fate_of(payment).await? {
            Fate::Paid(evidence) => Lookup::Settled(evidence),
            Fate::Open => return Ok(Lookup::NotYet),
            Fate::Void(code) => Lookup::Never {
                code: code.as_str().to_owned(),
            },
            Fate::Unclear(reason) => return Err(unavailable(reason.to_owned())),
        };
        self.panel.set_holder(&payment.payment().proof_key, None);
        Ok(found)
    }

    pub(crate) async fn fate_of(&self, payment: &ClaimedPayment) -> Result<Fate, RailUnavailable> {
        let paying = Paying::of(payment.proof()).ok_or_else(no_payment)?;
        let chain = self.chain.as_ref();
        let chain = chain.ok_or_else(|| unavailable("no chain node is set".to_owned()))?;
        let claimed_s = payment.payment().claimed_at.secs();
        let fate = paying.fate(chain, claimed_s.saturating_sub(MAX_LIFE_S));
        fate.await.map_err(|error| unavailable(error.to_string()))
    }

    async fn try_arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        let (Some(chain), Some(inbox)) = (&self.chain, &self.inbox) else {
            return Err(unavailable("no chain node is set".to_owned()));
        };
        let from = cursor.map(str::parse).transpose();
        let from = from.map_err(|_| unavailable("the cursor is no block".to_owned()))?;
        let part = inbox.read(chain, from).await;
        let part = part.map_err(|error| unavailable(error.to_string()))?;
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

    // Without a node the only source is the facilitator, and the only question to it is to settle
    // again: safe, because the token takes each authorization once, and Solana each transaction.
    fn guess(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        let paying = Paying::of(payment.proof()).ok_or_else(no_payment)?;
        let end_s = paying.ends_at(payment.payment().claimed_at);
        let last_s = end_s.saturating_add(EXPIRY_GRACE_S);
        if self.clock.now().secs() < last_s {
            return Ok(Lookup::NotYet);
        }
        Err(unavailable(
            "the payment expired unconfirmed, and no chain node is set".to_owned(),
        ))
    }
}

fn no_payment() -> RailUnavailable {
    unavailable("the stored proof is no payment in this token".to_owned())
}

pub(crate) fn unknown(reason: &str) -> Settlement {
    Settlement::Unknown {
        reason: reason.to_owned(),
    }
}

pub(crate) const fn unavailable(reason: String) -> RailUnavailable {
    RailUnavailable { reason }
}

#[async_trait]
impl Rail for FacilitatorRail {
    fn spec(&self) -> &RailSpec {
        &self.spec
    }

    async fn health(&self) -> RailHealth {
        let look = async {
            self.panel.look(&Needed::of(&self.spec.token)).await?;
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
        let settle = self.try_settle(payment);
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

    fn arrival_source(&self) -> Option<String> {
        self.inbox.as_ref().map(Inbox::name)
    }

    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        let too_late = |_| unavailable("time ran out".to_owned());
        let arrivals = self.try_arrivals(cursor);
        tokio::time::timeout(self.timeouts.call, arrivals)
            .await
            .map_err(too_late)?
    }
}
