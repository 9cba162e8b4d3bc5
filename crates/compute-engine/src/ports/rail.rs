//! One way money can arrive.
//!
//! There are two families of rails, one a payment protocol. They differ in what a buyer shows, and so
//! in the types of offer and proof; what may become of a payment is the same for both.

use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::payment::{Evidence, Payment, RailLabel};
use compute_domain::time::Timestamp;
use compute_wallet::WalletAddress;
use compute_x402::{Amount, Offer, PaymentPayload, ProofKey, Recipient, TokenTerms};

use super::cards::CardDesk;
use crate::charge::{ChargeProof, ChargeSpec};
use crate::proof::StoredProof;

/// A payment protocol: what its rails are, and what their buyers show.
pub trait Protocol: core::fmt::Debug + Send + Sync + 'static {
    /// What is fixed about a rail.
    type Spec: core::fmt::Debug + Send + Sync;
    /// What is kept of a payment until it settles.
    type Proof: core::fmt::Debug + Send + Sync;
}

/// x402.
#[derive(Debug)]
pub enum X402 {}

/// The Payment authentication scheme.
#[derive(Debug)]
pub enum Mpp {}

impl Protocol for X402 {
    type Spec = RailSpec;
    type Proof = StoredProof;
}

impl Protocol for Mpp {
    type Spec = ChargeSpec;
    type Proof = ChargeProof;
}

/// What is fixed about a rail of x402.
#[derive(Debug, Clone)]
pub struct RailSpec {
    /// Its label: the `network` word of request bodies.
    pub label: RailLabel,
    /// Decimals of its token.
    pub decimals: u8,
    /// The token and its network.
    pub token: Arc<TokenTerms>,
    /// Who receives the money.
    pub pay_to: Recipient,
    /// How long a client may take to pay, in seconds.
    pub max_timeout_seconds: u32,
    /// What to print about it, such as `simulated` or the facilitator's host.
    pub settlement: String,
}

impl RailSpec {
    /// Our offer to be paid this amount over this rail.
    pub fn offer(&self, amount: Amount) -> Offer {
        Offer::new(
            Arc::clone(&self.token),
            self.pay_to.clone(),
            amount,
            self.max_timeout_seconds,
        )
    }
}

/// A payment that the claim transaction bound to its operation. Nothing else can be settled.
#[derive(Debug)]
pub struct ClaimedPayment<P: Protocol = X402> {
    payment: Payment,
    proof: P::Proof,
}

impl<P: Protocol> ClaimedPayment<P> {
    /// Only the saga makes these, from a stored claim.
    pub(crate) const fn new(payment: Payment, proof: P::Proof) -> Self {
        Self { payment, proof }
    }

    /// For the conformance suites, which play the saga's part.
    #[doc(hidden)]
    pub const fn for_conformance_suite(payment: Payment, proof: P::Proof) -> Self {
        Self::new(payment, proof)
    }

    /// Our record of it.
    pub const fn payment(&self) -> &Payment {
        &self.payment
    }

    /// What to send.
    pub const fn proof(&self) -> &P::Proof {
        &self.proof
    }
}

/// Whether a rail may be offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RailHealth {
    /// It can settle.
    Ready,
    /// It cannot; why.
    Withdrawn {
        /// For the operator.
        reason: String,
    },
}

/// The account that pays for what a rail sends to its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletBalance {
    /// The smallest unit of the chain's own coin, such as `wei`.
    pub unit: &'static str,
    /// What it held when the chain was last asked.
    pub held: u128,
    /// With less than this the rail is withdrawn; on some chains it follows the price of gas.
    pub floor: u128,
}

/// The payment network's word on a payment before it settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Nothing speaks against it.
    Fine,
    /// It would not settle.
    Refused {
        /// The network's code, such as `insufficient_funds`.
        code: String,
    },
}

/// The outcome of an attempt to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The money arrived.
    Settled(Evidence),
    /// The payment network refused; this attempt moved nothing.
    Declined {
        /// The network's code.
        code: String,
    },
    /// It may or may not have moved.
    Unknown {
        /// For the log.
        reason: String,
    },
    /// Certainly nothing was sent.
    NotSent {
        /// For the log.
        reason: String,
    },
}

/// The answer to "did it happen?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The money arrived, whoever sent it.
    Settled(Evidence),
    /// Not yet; settling the same proof again is safe.
    NotYet,
    /// It did not, and never can any more.
    Never {
        /// The reason, as a code.
        code: String,
    },
}

/// The payment network could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment network could not be asked: {reason}")]
pub struct RailUnavailable {
    /// For the log.
    pub reason: String,
}

/// A transfer of our token to an address of ours that is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTransfer {
    /// The transaction, as [`Evidence`] names it.
    pub reference: String,
    /// Its place in the transaction or its block, as [`Evidence`] names it.
    pub log_index: u32,
    /// The wallet that sent it, when its chain says so.
    pub payer: Option<WalletAddress>,
    /// How much, in atomic units; above zero.
    pub atomic: u128,
    /// When it was in a block at the latest, by the chain's clock.
    pub at: Timestamp,
}

/// A bounded part of what has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivalPage {
    /// Every final transfer from others in this part, oldest first.
    pub transfers: Vec<SeenTransfer>,
    /// Where the next part begins.
    pub cursor: String,
    /// Up to when everything final is in this part or an earlier one, by the chain's clock.
    pub read_up_to: Timestamp,
    /// Whether more is final already.
    pub has_more: bool,
}

/// A payment rail.
///
/// Contract: (1) every call returns within its own time-out, shorter than half a lease (30 s);
/// (2) `settle` of one proof may be repeated any number of times and moves the money at most once;
/// (3) `Declined`, `NotSent` and `Never` are said only when no money moved by that attempt, or at
/// all; whatever is unclear is `Unknown` or `RailUnavailable`; (4) `check` and `lookup` move nothing.
#[async_trait]
pub trait Rail<P: Protocol = X402>: Send + Sync + core::fmt::Debug {
    /// What is fixed about it.
    fn spec(&self) -> &P::Spec;
    /// Whether it can settle now. Asked in the background, never for one request.
    async fn health(&self) -> RailHealth;
    /// Which account at its payment network is paid, as the network names it; none where there is no
    /// such thing, or before [`Rail::health`] has found it out. It is kept with each claim.
    fn account(&self) -> Option<String> {
        None
    }
    /// What pays for its work on the chain, as [`Rail::health`] last found it; asks nobody. None where
    /// somebody else pays, or before it was found out.
    fn wallet(&self) -> Option<WalletBalance> {
        None
    }
    /// Balance, nonce, simulation: what only the network knows. Moves nothing.
    async fn check(&self, proof: &P::Proof) -> Result<Check, RailUnavailable>;
    /// Whether the payer, a contract, says that it signed this payment (ERC-1271): what a payment
    /// identified as [`Authority::Contract`](compute_x402::Authority) needs before it counts as the
    /// payer's. No rail vouches for what it cannot ask.
    async fn vouch(&self, _payload: &PaymentPayload) -> Result<bool, RailUnavailable> {
        Ok(false)
    }
    /// Makes the money move.
    async fn settle(&self, payment: &ClaimedPayment<P>) -> Settlement;
    /// The probe after an unclear `settle`.
    async fn lookup(&self, payment: &ClaimedPayment<P>) -> Result<Lookup, RailUnavailable>;
    /// What becomes of payments after they settled, where their network has a say in it.
    fn card_desk(&self) -> Option<&dyn CardDesk> {
        None
    }
    /// One round over what this rail itself has under way on its network. Moves no money but the
    /// shop's own; most rails have nothing to do.
    async fn tend(&self) {}
    /// Which addresses this rail's money arrives at: chain, token and addresses as one name. Rails
    /// with the same name see the same transfers. `None` when this rail cannot see them.
    fn arrival_source(&self) -> Option<String> {
        None
    }
    /// The next bounded part of the final transfers to those addresses. Without a cursor nothing is
    /// read: the cursor of the present moment is returned. Transfers between those addresses, and
    /// those of nothing, are left out. (5) What was returned once is never taken back by the chain.
    async fn arrivals(&self, _cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        Err(RailUnavailable {
            reason: "this rail cannot see what arrives".to_owned(),
        })
    }
}

/// A rail of either protocol, for all that is the same for both.
#[derive(Debug, Clone)]
pub enum AnyRail {
    /// Of x402.
    X402(Arc<dyn Rail>),
    /// Of the Payment authentication scheme.
    Mpp(Arc<dyn Rail<Mpp>>),
}

impl AnyRail {
    /// Its label.
    pub fn label(&self) -> &RailLabel {
        match self {
            Self::X402(rail) => &rail.spec().label,
            Self::Mpp(rail) => &rail.spec().label,
        }
    }

    /// Decimals of its token or currency.
    pub fn decimals(&self) -> u8 {
        match self {
            Self::X402(rail) => rail.spec().decimals,
            Self::Mpp(rail) => rail.spec().decimals,
        }
    }

    /// As [`Rail::health`].
    pub async fn health(&self) -> RailHealth {
        match self {
            Self::X402(rail) => rail.health().await,
            Self::Mpp(rail) => rail.health().await,
        }
    }

    /// As [`Rail::account`].
    pub fn account(&self) -> Option<String> {
        match self {
            Self::X402(rail) => rail.account(),
            Self::Mpp(rail) => rail.account(),
        }
    }

    /// As [`Rail::wallet`].
    pub fn wallet(&self) -> Option<WalletBalance> {
        match self {
            Self::X402(rail) => rail.wallet(),
            Self::Mpp(rail) => rail.wallet(),
        }
    }

    /// As [`Rail::card_desk`].
    pub fn card_desk(&self) -> Option<&dyn CardDesk> {
        match self {
            Self::X402(rail) => rail.card_desk(),
            Self::Mpp(rail) => rail.card_desk(),
        }
    }

    /// As [`Rail::tend`].
    pub async fn tend(&self) {
        match self {
            Self::X402(rail) => rail.tend().await,
            Self::Mpp(rail) => rail.tend().await,
        }
    }

    /// As [`Rail::arrival_source`].
    pub fn arrival_source(&self) -> Option<String> {
        match self {
            Self::X402(rail) => rail.arrival_source(),
            Self::Mpp(rail) => rail.arrival_source(),
        }
    }

    /// As [`Rail::arrivals`].
    ///
    /// # Errors
    /// When the network cannot be asked.
    pub async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        match self {
            Self::X402(rail) => rail.arrivals(cursor).await,
            Self::Mpp(rail) => rail.arrivals(cursor).await,
        }
    }
}

impl From<Arc<dyn Rail>> for AnyRail {
    fn from(rail: Arc<dyn Rail>) -> Self {
        Self::X402(rail)
    }
}

impl From<Arc<dyn Rail<Mpp>>> for AnyRail {
    fn from(rail: Arc<dyn Rail<Mpp>>) -> Self {
        Self::Mpp(rail)
    }
}

/// A rail that settles payments for other shops too: what a facilitator service needs of it.
///
/// Contract: as of [`Rail`]; and one proof is settled once, whether for us, for others, or both.
#[async_trait]
pub trait Settler: Rail {
    /// The token as others may be paid in it; `None` when nobody but this shop can be.
    fn terms_for_others(&self) -> Option<Arc<TokenTerms>>;
    /// As [`Rail::check`], but what was used before is refused, however it was used: whether it
    /// paid another shop is not known here.
    async fn check_for_others(&self, proof: &StoredProof) -> Result<Check, RailUnavailable>;
    /// The account that sends the transactions.
    fn signer(&self) -> WalletAddress;
    /// Makes the money of a verified payment move, and names the transaction that was sent for it.
    async fn settle_for_others(
        &self,
        proof: &StoredProof,
        proof_key: &ProofKey,
    ) -> (Settlement, Option<String>);
}
