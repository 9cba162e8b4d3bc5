//! Verification: what a payment proves, in the order that costs the least.
//!
//! Everything here is pure. What only the chain knows (nonce used, balance, code at the payer's
//! address) is the facilitator's part.

mod echo;
mod error;
mod evm;
mod proof_key;
#[cfg(feature = "svm")]
mod svm;
mod window;

use compute_wallet::WalletAddress;

use crate::amount::Amount;
use crate::offer::Offer;
use crate::payload::{Body, PaymentPayload, Version};
use crate::token::{Method, TokenTerms};
use crate::wire::v2::EXACT;

pub use error::{Permit2Fault, VerifyError};
pub use proof_key::ProofKey;
pub use window::ValidityWindow;

/// What a payment is, whatever its price and age: made only by [`identify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identified {
    /// Who pays.
    pub payer: WalletAddress,
    /// Whether the payer's signature is proven.
    pub authority: Authority,
    /// The identity of the payment.
    pub proof_key: ProofKey,
    /// Whom the payer's signature names: who is paid (on Solana the token account), or whom a direct
    /// permit approves.
    pub pay_to: WalletAddress,
    /// How much is paid.
    pub value: Amount,
    /// Unix seconds; the token refuses up to and including this second.
    pub valid_after: u64,
    /// Unix seconds; the token refuses from this second on. On Solana only the chain knows how old
    /// the blockhash is, so nothing is promised: `u64::MAX`.
    pub valid_before: u64,
}

/// A payment that satisfies one of our offers: made only by [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Which of the offers it pays.
    pub offer_index: usize,
    /// Who pays.
    pub payer: WalletAddress,
    /// Whether the payer's signature is proven.
    pub authority: Authority,
    /// How much is paid, equal to the amount of the offer.
    pub value: Amount,
    /// The identity of the payment.
    pub proof_key: ProofKey,
    /// Unix seconds; from then on the payment can no longer settle. On Solana an estimate: a blockhash
    /// of this moment lives for 150 blocks, which take 60 to 90 s, and 150 s are allowed for. What
    /// cannot land any more is for the chain to say.
    pub valid_before: u64,
}

/// What stands behind a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The payer's own key signed it.
    Key,
    /// A key did not: the payer may be a contract, and only a call of its `isValidSignature`
    /// (ERC-1271) can tell. Until then nobody has authorized anything.
    Contract,
}

/// A payment taken apart by the method of a token, signature and all.
struct Parts {
    payer: WalletAddress,
    authority: Authority,
    proof_key: ProofKey,
    pay_to: WalletAddress,
    value: Option<Amount>,
    valid_after: u64,
    valid_before: u64,
}

/// Finds out who pays what with which proof, without regard to price and time.
///
/// A repeated payment is recognised by this even when its price or its time has passed.
///
/// # Errors
/// When scheme, network, shape or signature are not those of a payment in this token.
pub fn identify(payload: &PaymentPayload, token: &TokenTerms) -> Result<Identified, VerifyError> {
    check_scheme(payload)?;
    if !is_on_network(payload, token) {
        return Err(VerifyError::Network);
    }
    let parts = match token.method() {
        Method::Eip3009 {
            token,
            takes_contract_wallets,
        } => evm::Authorized::read(payload, token, *takes_contract_wallets)?.identify()?,
        Method::Permit { token, paths } => evm::permitted(payload, token, paths)?.identify()?,
        #[cfg(feature = "svm")]
        Method::Svm(token) => svm::Transfer::read(payload, token)?.identify()?,
    };
    Ok(Identified {
        payer: parts.payer,
        authority: parts.authority,
        proof_key: parts.proof_key,
        pay_to: parts.pay_to,
        value: parts.value.ok_or(VerifyError::Value(payload.version()))?,
        valid_after: parts.valid_after,
        valid_before: parts.valid_before,
    })
}

/// Checks a payment against our own offers; the echo of a client only selects one of them.
///
/// # Errors
/// The first failed check, in the order: scheme, network, offer, shape, recipient, value,
/// validity, signer.
pub fn verify(
    payload: &PaymentPayload,
    offers: &[Offer],
    window: ValidityWindow,
) -> Result<Verified, VerifyError> {
    check_scheme(payload)?;
    let (offer_index, offer) = select_offer(payload, offers)?;
    let parts = match offer.token().method() {
        Method::Eip3009 {
            token,
            takes_contract_wallets,
        } => {
            evm::Authorized::read(payload, token, *takes_contract_wallets)?.verify(offer, window)?
        }
        Method::Permit { token, paths } => {
            evm::permitted(payload, token, paths)?.verify(offer, window)?
        }
        #[cfg(feature = "svm")]
        Method::Svm(token) => svm::Transfer::read(payload, token)?.verify(offer, window)?,
    };
    Ok(Verified {
        offer_index,
        payer: parts.payer,
        authority: parts.authority,
        value: offer.amount(),
        proof_key: parts.proof_key,
        valid_before: parts.valid_before,
    })
}

/// Our own offer that a payment answers.
fn select_offer<'a>(
    payload: &PaymentPayload,
    offers: &'a [Offer],
) -> Result<(usize, &'a Offer), VerifyError> {
    let on_network = || {
        offers
            .iter()
            .enumerate()
            .filter(|(_, offer)| is_on_network(payload, offer.token()))
    };
    let first = on_network().next().ok_or(VerifyError::Network)?;
    match payload.accepted() {
        Some(accepted) if payload.version() == Version::V2 => on_network()
            .find(|(_, offer)| echo::is_echo_of(accepted, offer))
            .ok_or(VerifyError::Requirements),
        // A payment of version 1 names no offer, so any price we stand by may be the one it pays.
        _ => Ok(on_network()
            .find(|(_, offer)| is_paid_by(offer, payload.body()))
            .unwrap_or(first)),
    }
}

fn check_scheme(payload: &PaymentPayload) -> Result<(), VerifyError> {
    if payload.scheme() == EXACT {
        Ok(())
    } else {
        Err(VerifyError::UnsupportedScheme)
    }
}

/// Why a payload cannot be one of the method that an offer takes.
const fn unusable(body: &Body) -> VerifyError {
    match body {
        Body::Malformed(member) => VerifyError::Payload(member),
        _ => VerifyError::UnsupportedPayload,
    }
}

/// Version 1 payments may carry the CAIP-2 id too, because some clients echo what they were shown.
fn is_on_network(payload: &PaymentPayload, token: &TokenTerms) -> bool {
    match payload.version() {
        Version::V1 => token.network().is_named(payload.network()),
        Version::V2 => token.network().caip2() == payload.network(),
    }
}

fn is_paid_by(offer: &Offer, body: &Body) -> bool {
    let (to, value) = match body {
        Body::Authorization(signed) => (signed.authorization.to, signed.authorization.value),
        Body::Permit(signed) => (signed.permit.spender, signed.permit.value),
        Body::Permit2(signed) => (signed.transfer.to, signed.transfer.amount),
        #[cfg(feature = "svm")]
        Body::Transaction(text) => return svm::is_paid_by(offer, text),
        #[cfg(not(feature = "svm"))]
        Body::Transaction(_) => return false,
        Body::Unsupported | Body::Malformed(_) => return false,
    };
    WalletAddress::Evm(to) == offer.pay_to() && evm::amount_of(value) == Some(offer.amount())
}
