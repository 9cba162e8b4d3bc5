//! Why a payment is refused, and the protocol code of each reason.

use compute_wallet::SignatureError;

use crate::error_code::{ErrorCode, MethodCode};
use crate::exact_evm::SignatureFault;
#[cfg(feature = "svm")]
use crate::exact_svm::SvmFault;
use crate::payload::Version;

/// Why a decoded payment is refused. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// The payload belongs to a method that this offer does not take.
    #[error("the payment is signed for another method than this offer takes")]
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
    /// A permit approves somebody else than the facilitator that would use it.
    #[error("the permit approves another spender")]
    PermitSpender,
    /// A rule of Permit2 payments is broken.
    #[error("{0}")]
    Permit2(Permit2Fault),
    /// The signature is wrapped for a wallet that does not exist yet.
    #[error("wallets that are not deployed yet cannot pay here")]
    FactoryNotAllowed,
    /// A rule of payments on Solana is broken.
    #[cfg(feature = "svm")]
    #[error("{0}")]
    Svm(SvmFault),
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
            Self::PermitSpender => ErrorCode::Method(MethodCode::PERMIT_SPENDER),
            Self::Permit2(fault) => ErrorCode::Method(fault.code()),
            Self::FactoryNotAllowed => ErrorCode::Eip6492FactoryNotAllowed,
            #[cfg(feature = "svm")]
            Self::Svm(fault) => fault.code(),
        }
    }

    /// Whether the payment has the wrong shape (answer 400) rather than the wrong content (402).
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::Payload(_) | Self::UnsupportedPayload => true,
            #[cfg(feature = "svm")]
            Self::Svm(fault) => fault.is_malformed(),
            _ => false,
        }
    }

    /// Whether the payment may be right at another price: one that was valid until recently, or one
    /// that another server sees already.
    #[must_use]
    pub const fn may_be_another_price(&self) -> bool {
        match self {
            Self::Value(_) | Self::Requirements | Self::Permit2(Permit2Fault::Amount) => true,
            #[cfg(feature = "svm")]
            Self::Svm(fault) => matches!(fault, SvmFault::Amount),
            _ => false,
        }
    }
}

/// Which rule of Permit2 payments is broken (x402 reference, section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Permit2Fault {
    /// The transfer may be carried out by another contract than the protocol's proxy.
    #[error("the Permit2 transfer names another spender than the x402 proxy")]
    Spender,
    /// The transfer pays somebody else.
    #[error("the Permit2 transfer pays another recipient")]
    Recipient,
    /// It expires too soon to settle, or more than a day ahead.
    #[error("the Permit2 transfer expires too soon or more than a day ahead")]
    Deadline,
    /// It is not valid yet.
    #[error("the Permit2 transfer is not valid yet")]
    NotYet,
    /// The amount differs from the amount asked.
    #[error("the Permit2 transfer is not exactly the amount that was asked")]
    Amount,
    /// The token differs from the token asked.
    #[error("the Permit2 transfer moves another token")]
    Token,
    /// The signature is not canonical or not the payer's.
    #[error("the signature does not authorize this Permit2 transfer")]
    Signature,
    /// The sponsored permit cannot be read.
    #[error("the extension eip2612GasSponsoring cannot be read")]
    SponsoredFormat,
    /// The sponsored permit is somebody else's.
    #[error("the sponsored permit is not the payer's")]
    SponsoredFrom,
    /// The sponsored permit is for another token.
    #[error("the sponsored permit is for another token")]
    SponsoredAsset,
    /// The sponsored permit approves somebody else than Permit2.
    #[error("the sponsored permit does not approve Permit2")]
    SponsoredSpender,
    /// The sponsored permit expires too soon.
    #[error("the sponsored permit expires too soon")]
    SponsoredDeadline,
    /// The sponsored permit is for another amount than the transfer, which the proxy refuses.
    #[error("the sponsored permit is for another amount than the transfer")]
    SponsoredAmount,
    /// The sponsored permit is not signed by the payer.
    #[error("the signature of the sponsored permit is not the payer's")]
    SponsoredSignature,
}

impl Permit2Fault {
    const fn code(self) -> MethodCode {
        match self {
            Self::Spender => MethodCode::PERMIT2_SPENDER,
            Self::Recipient => MethodCode::PERMIT2_RECIPIENT,
            Self::Deadline => MethodCode::PERMIT2_DEADLINE,
            Self::NotYet => MethodCode::PERMIT2_NOT_YET,
            Self::Amount => MethodCode::PERMIT2_AMOUNT,
            Self::Token => MethodCode::PERMIT2_TOKEN,
            Self::Signature => MethodCode::PERMIT2_SIGNATURE,
            Self::SponsoredFormat => MethodCode::EIP2612_FORMAT,
            Self::SponsoredFrom => MethodCode::EIP2612_FROM,
            Self::SponsoredAsset => MethodCode::EIP2612_ASSET,
            Self::SponsoredSpender => MethodCode::EIP2612_SPENDER,
            Self::SponsoredDeadline => MethodCode::EIP2612_DEADLINE,
            Self::SponsoredAmount => MethodCode::PERMIT2_2612_AMOUNT,
            Self::SponsoredSignature => MethodCode::EIP2612_SIGNATURE,
        }
    }
}

impl From<Permit2Fault> for VerifyError {
    fn from(fault: Permit2Fault) -> Self {
        Self::Permit2(fault)
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

#[cfg(feature = "svm")]
impl From<SvmFault> for VerifyError {
    fn from(fault: SvmFault) -> Self {
        Self::Svm(fault)
    }
}
