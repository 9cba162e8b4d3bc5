//! Verification: what a payment proves, in the order that costs the least.
//!
//! Everything here is pure. What only the chain knows (nonce used, balance, code at the payer's
//! address) is the facilitator's part.

use std::fmt;

use compute_wallet::{EvmAddress, SignatureError, WalletAddress};
use serde_json::{Map, Value};

use crate::amount::Amount;
use crate::error_code::ErrorCode;
use crate::exact_evm::{Authorization, SignatureFault, SignedAuthorization};
use crate::offer::{Offer, TokenTerms};
use crate::payload::{Body, PaymentPayload, Version};
use crate::wire::v2::EXACT;

/// Reference facilitators refuse less than 6 s: three blocks on Base.
const MIN_VALIDITY_S: u64 = 6;

/// Own rule: an unsettled proof must die within a day, so that its fate is decided then.
const MAX_VALIDITY_S: u64 = 86_400;

/// The identity of a payment, built from decoded bytes: `eip3009:<chain>:<token>:<from>:<nonce>`.
///
/// Two payments with one key are one payment, however their headers are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProofKey(String);

/// The moment of verification and how long a payment must still be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidityWindow {
    now_s: u64,
    min_validity_s: u64,
}

/// What a payment is, whatever its price and age: made only by [`identify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identified {
    /// Who pays; the signature is theirs.
    pub payer: WalletAddress,
    /// The identity of the payment.
    pub proof_key: ProofKey,
    /// Who is paid.
    pub pay_to: WalletAddress,
    /// How much is paid.
    pub value: Amount,
    /// Unix seconds; the token refuses up to and including this second.
    pub valid_after: u64,
    /// Unix seconds; the token refuses from this second on.
    pub valid_before: u64,
}

/// A payment that satisfies one of our offers: made only by [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Which of the offers it pays.
    pub offer_index: usize,
    /// Who pays; the signature is theirs.
    pub payer: WalletAddress,
    /// How much is paid, equal to the amount of the offer.
    pub value: Amount,
    /// The identity of the payment.
    pub proof_key: ProofKey,
    /// Unix seconds; from then on the payment can no longer settle.
    pub valid_before: u64,
}

/// Why a decoded payment is refused. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The scheme is not `exact`.
    #[error("only the scheme exact is accepted here")]
    UnsupportedScheme,
    /// The network is none of those offered.
    #[error("this network is not offered here")]
    Network,
    /// The echoed offer is not one of ours.
    #[error("the payment answers an offer that was not made here")]
    Requirements,
    /// A member of the payload is missing or malformed.
    #[error("the payment member {0} is missing or malformed")]
    Payload(&'static str),
    /// The payload belongs to a method that is not built.
    #[error("only EIP-3009 authorizations are accepted for this offer")]
    UnsupportedPayload,
    /// The authorization pays somebody else.
    #[error("the payment names another recipient")]
    Recipient,
    /// Payer and recipient are the same account, which buys for nothing.
    #[error("the payer is the recipient")]
    SelfPayment,
    /// The value differs from the amount asked.
    #[error("the payment is not exactly the amount that was asked")]
    Value(Version),
    /// It expires too soon to settle, or more than a day ahead.
    #[error("the payment expires too soon or more than a day ahead")]
    ValidBefore,
    /// It is not valid yet.
    #[error("the payment is not valid yet")]
    ValidAfter,
    /// The signature is not canonical or not the payer's.
    #[error("the signature does not authorize this payment")]
    Signature(#[source] SignatureError),
    /// The signature is wrapped for a wallet that does not exist yet.
    #[error("wallets that are not deployed yet cannot pay here")]
    FactoryNotAllowed,
}

impl VerifyError {
    /// The protocol code to answer with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnsupportedScheme => ErrorCode::UnsupportedScheme,
            Self::Network => ErrorCode::InvalidNetwork,
            Self::Requirements => ErrorCode::InvalidPaymentRequirements,
            Self::Payload(_) | Self::UnsupportedPayload | Self::SelfPayment => {
                ErrorCode::InvalidPayload
            }
            Self::Recipient => ErrorCode::EvmRecipientMismatch,
            Self::Value(Version::V1) => ErrorCode::EvmAuthorizationValue,
            Self::Value(Version::V2) => ErrorCode::EvmAuthorizationValueMismatch,
            Self::ValidBefore => ErrorCode::EvmValidBefore,
            Self::ValidAfter => ErrorCode::EvmValidAfter,
            Self::Signature(_) => ErrorCode::EvmSignature,
            Self::FactoryNotAllowed => ErrorCode::Eip6492FactoryNotAllowed,
        }
    }

    /// Whether the payment has the wrong shape (answer 400) rather than the wrong content (402).
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        matches!(self, Self::Payload(_) | Self::UnsupportedPayload)
    }
}

impl From<SignatureFault> for VerifyError {
    fn from(fault: SignatureFault) -> Self {
        match fault {
            SignatureFault::Erc6492 => Self::FactoryNotAllowed,
            SignatureFault::Refused(source) => Self::Signature(source),
        }
    }
}

impl ValidityWindow {
    /// Verifies at `now_s` (Unix seconds); 6 s of validity must remain.
    #[must_use]
    pub const fn at(now_s: u64) -> Self {
        Self {
            now_s,
            min_validity_s: MIN_VALIDITY_S,
        }
    }

    /// Demands that more seconds of validity remain; fewer than 6 mean 6.
    #[must_use]
    pub const fn with_min_validity(self, seconds: u64) -> Self {
        let min_validity_s = if seconds > MIN_VALIDITY_S {
            seconds
        } else {
            MIN_VALIDITY_S
        };
        Self {
            min_validity_s,
            ..self
        }
    }

    fn check(self, authorization: &Authorization) -> Result<(), VerifyError> {
        let earliest = self.now_s.saturating_add(self.min_validity_s);
        let latest = self.now_s.saturating_add(MAX_VALIDITY_S);
        if authorization.valid_before < earliest || authorization.valid_before > latest {
            return Err(VerifyError::ValidBefore);
        }
        if authorization.valid_after > self.now_s {
            return Err(VerifyError::ValidAfter);
        }
        Ok(())
    }
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
    let signed = signed_authorization(payload)?;
    signed.check_signature(token)?;
    let authorization = &signed.authorization;
    Ok(Identified {
        payer: authorization.from.into(),
        proof_key: ProofKey::eip3009(token, authorization),
        pay_to: authorization.to.into(),
        value: amount_of(authorization).ok_or(VerifyError::Value(payload.version()))?,
        valid_after: authorization.valid_after,
        valid_before: authorization.valid_before,
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
    let on_network = || {
        offers
            .iter()
            .enumerate()
            .filter(|(_, offer)| is_on_network(payload, offer.token()))
    };
    let (first_index, first) = on_network().next().ok_or(VerifyError::Network)?;
    let (offer_index, offer) = match payload.accepted() {
        Some(accepted) if payload.version() == Version::V2 => on_network()
            .find(|(_, offer)| is_echo_of(accepted, offer))
            .ok_or(VerifyError::Requirements)?,
        // A payment of version 1 names no offer, so any price we stand by may be the one it pays.
        _ => match payload.body() {
            Body::Eip3009(signed) => on_network()
                .find(|(_, offer)| is_paid_by(offer, &signed.authorization))
                .unwrap_or((first_index, first)),
            Body::Unsupported | Body::Malformed(_) => (first_index, first),
        },
    };
    let signed = signed_authorization(payload)?;
    let authorization = &signed.authorization;
    if WalletAddress::Evm(authorization.to) != offer.pay_to() {
        return Err(VerifyError::Recipient);
    }
    if authorization.from == authorization.to {
        return Err(VerifyError::SelfPayment);
    }
    if amount_of(authorization) != Some(offer.amount()) {
        return Err(VerifyError::Value(payload.version()));
    }
    window.check(authorization)?;
    signed.check_signature(offer.token())?;
    Ok(Verified {
        offer_index,
        payer: authorization.from.into(),
        value: offer.amount(),
        proof_key: ProofKey::eip3009(offer.token(), authorization),
        valid_before: authorization.valid_before,
    })
}

fn check_scheme(payload: &PaymentPayload) -> Result<(), VerifyError> {
    if payload.scheme() == EXACT {
        Ok(())
    } else {
        Err(VerifyError::UnsupportedScheme)
    }
}

/// Version 1 payments may carry the CAIP-2 id too, because some clients echo what they were shown.
fn is_on_network(payload: &PaymentPayload, token: &TokenTerms) -> bool {
    match payload.version() {
        Version::V1 => token.network().is_named(payload.network()),
        Version::V2 => token.network().caip2() == payload.network(),
    }
}

/// The shape of the payload, down to the form of its signature: no curve operation yet.
fn signed_authorization(payload: &PaymentPayload) -> Result<&SignedAuthorization, VerifyError> {
    match payload.body() {
        Body::Eip3009(signed) => {
            signed.parse_signature()?;
            Ok(signed)
        }
        Body::Unsupported => Err(VerifyError::UnsupportedPayload),
        Body::Malformed(member) => Err(VerifyError::Payload(member)),
    }
}

/// A value beyond 128 bits is a number, but no amount that was ever asked.
fn amount_of(authorization: &Authorization) -> Option<Amount> {
    authorization.value.to_u128().map(Amount::new)
}

fn is_paid_by(offer: &Offer, authorization: &Authorization) -> bool {
    WalletAddress::Evm(authorization.to) == offer.pay_to()
        && amount_of(authorization) == Some(offer.amount())
}

/// Compares meaning, not bytes: letter case of addresses is free, further members are ignored.
/// Our `extra` must be contained in theirs (x402 v2, as the reference server compares).
fn is_echo_of(accepted: &Map<String, Value>, offer: &Offer) -> bool {
    let text = |name: &str| accepted.get(name).and_then(Value::as_str);
    let address = |name: &str| text(name).and_then(|text| EvmAddress::parse_any_case(text).ok());
    let extra = |name: &str| {
        accepted
            .get("extra")
            .and_then(|extra| extra.get(name)?.as_str())
    };
    let seconds = accepted.get("maxTimeoutSeconds").and_then(Value::as_u64);
    text("amount").and_then(|text| Amount::parse(text).ok()) == Some(offer.amount())
        && address("asset") == Some(offer.token().asset())
        && address("payTo").map(WalletAddress::Evm) == Some(offer.pay_to())
        && seconds == Some(offer.max_timeout_seconds().into())
        && extra("name") == Some(offer.token().domain_name())
        && extra("version") == Some(offer.token().domain_version())
}

impl ProofKey {
    fn eip3009(token: &TokenTerms, authorization: &Authorization) -> Self {
        Self(format!(
            "eip3009:{}:{}:{}:0x{}",
            token.chain_id(),
            token.asset(),
            authorization.from,
            hex::encode(authorization.nonce)
        ))
    }

    /// The text, fit for a unique column.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
