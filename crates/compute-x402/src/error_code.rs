//! The error codes of the protocol, as clients show them and logs search them.

mod method;
mod svm;

use std::fmt;

use serde::{Serialize, Serializer};

pub use method::MethodCode;
pub use svm::SvmCode;

use crate::payload::DecodeError;
use crate::verify::VerifyError;

/// Foreign codes are cut here, so that a facilitator cannot fill logs or headers.
const MAX_FOREIGN_CHARS: usize = 128;

/// Why a payment is asked for, refused or unsettled.
///
/// [`ErrorCode::as_str`] gives the spelling this project emits; [`ErrorCode::from_wire`] also
/// reads the spellings of other implementations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// No payment was sent.
    PaymentRequired,
    /// The payment cannot be decoded or has the wrong shape.
    InvalidPayload,
    /// `x402Version` is neither 1 nor 2.
    InvalidX402Version,
    /// The scheme is not `exact`.
    UnsupportedScheme,
    /// The network is not among those offered.
    InvalidNetwork,
    /// The echoed offer is not one of ours.
    InvalidPaymentRequirements,
    /// The client changed an extension it had to echo.
    ExtensionEchoMismatch,
    /// The payer holds less than the amount.
    InsufficientFunds,
    /// The authorization pays somebody else.
    EvmRecipientMismatch,
    /// The authorized value differs from the amount (version 1 spelling).
    EvmAuthorizationValue,
    /// The authorized value differs from the amount (version 2 spelling).
    EvmAuthorizationValueMismatch,
    /// The authorization is not valid yet.
    EvmValidAfter,
    /// The authorization expires too soon, or too far ahead.
    EvmValidBefore,
    /// The signature is malformed or not the payer's.
    EvmSignature,
    /// The nonce of the authorization was used or cancelled.
    EvmNonceAlreadyUsed,
    /// An ERC-6492 signature would call a contract factory nobody allowed.
    Eip6492FactoryNotAllowed,
    /// The transfer failed when it was simulated.
    EvmSimulationFailed,
    /// The transaction was mined and reverted.
    InvalidTransactionState,
    /// The transaction succeeded without the expected transfer.
    EvmTransferEventMismatch,
    /// Nobody knows yet whether the payment settled.
    SettlementPending,
    /// The same payment is being settled already.
    DuplicateSettlement,
    /// Verification could not be carried out.
    UnexpectedVerifyError,
    /// Settlement failed in an unknown way.
    UnexpectedSettleError,
    /// A code that only one way of paying knows.
    Method(MethodCode),
    /// A refusal of a payment on Solana.
    Svm(SvmCode),
    /// A code of another implementation, cut to 128 printable characters.
    Foreign(ForeignCode),
}

/// A code this crate has no meaning for; at most 128 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ForeignCode(Box<str>);

impl ErrorCode {
    /// The spelling this project emits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::PaymentRequired => "payment_required",
            Self::InvalidPayload => "invalid_payload",
            Self::InvalidX402Version => "invalid_x402_version",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::InvalidNetwork => "invalid_network",
            Self::InvalidPaymentRequirements => "invalid_payment_requirements",
            Self::ExtensionEchoMismatch => "extension_echo_mismatch",
            Self::InsufficientFunds => "insufficient_funds",
            Self::EvmRecipientMismatch => "invalid_exact_evm_payload_recipient_mismatch",
            Self::EvmAuthorizationValue => "invalid_exact_evm_payload_authorization_value",
            Self::EvmAuthorizationValueMismatch => {
                "invalid_exact_evm_payload_authorization_value_mismatch"
            }
            Self::EvmValidAfter => "invalid_exact_evm_payload_authorization_valid_after",
            Self::EvmValidBefore => "invalid_exact_evm_payload_authorization_valid_before",
            Self::EvmSignature => "invalid_exact_evm_payload_signature",
            Self::EvmNonceAlreadyUsed => "invalid_exact_evm_nonce_already_used",
            Self::Eip6492FactoryNotAllowed => "eip6492_factory_not_allowed",
            Self::EvmSimulationFailed => "invalid_exact_evm_transaction_simulation_failed",
            Self::InvalidTransactionState => "invalid_transaction_state",
            Self::EvmTransferEventMismatch => "invalid_exact_evm_transfer_event_mismatch",
            Self::SettlementPending => "settlement_pending",
            Self::DuplicateSettlement => "duplicate_settlement",
            Self::UnexpectedVerifyError => "unexpected_verify_error",
            Self::UnexpectedSettleError => "unexpected_settle_error",
            Self::Method(code) => code.as_str(),
            Self::Svm(code) => code.as_str(),
            Self::Foreign(code) => &code.0,
        }
    }

    /// Reads a code in this project's spelling or in one of other implementations.
    #[must_use]
    pub fn from_wire(text: &str) -> Self {
        // Cleaned first: a code must not become another one by being repeated.
        Self::from_printable(&ForeignCode::sanitise(text).0)
    }

    fn from_printable(text: &str) -> Self {
        match text {
            "payment_required" => Self::PaymentRequired,
            "invalid_payload"
            | "invalid_format"
            | "unsupported_payload_type"
            | "invalid_payment" => Self::InvalidPayload,
            "invalid_x402_version" => Self::InvalidX402Version,
            "unsupported_scheme"
            | "invalid_scheme"
            | "invalid_exact_evm_scheme"
            | "invalid_exact_svm_unsupported_scheme" => Self::UnsupportedScheme,
            "invalid_network"
            | "invalid_exact_evm_network_mismatch"
            | "invalid_exact_svm_network_mismatch"
            | "unsupported_chain"
            | "chain_id_mismatch" => Self::InvalidNetwork,
            "invalid_payment_requirements"
            | "accepted_requirements_mismatch"
            | "asset_mismatch" => Self::InvalidPaymentRequirements,
            "extension_echo_mismatch" => Self::ExtensionEchoMismatch,
            "insufficient_funds"
            | "invalid_exact_evm_insufficient_balance"
            | "permit2_insufficient_balance" => Self::InsufficientFunds,
            "invalid_exact_evm_payload_recipient_mismatch"
            | "invalid_exact_evm_recipient_mismatch"
            | "recipient_mismatch" => Self::EvmRecipientMismatch,
            "invalid_exact_evm_payload_authorization_value"
            | "invalid_exact_evm_authorization_value" => Self::EvmAuthorizationValue,
            "invalid_exact_evm_payload_authorization_value_mismatch" | "invalid_payment_amount" => {
                Self::EvmAuthorizationValueMismatch
            }
            "invalid_exact_evm_payload_authorization_valid_after" | "invalid_payment_early" => {
                Self::EvmValidAfter
            }
            "invalid_exact_evm_payload_authorization_valid_before"
            | "invalid_payment_expired"
            | "payment_expired" => Self::EvmValidBefore,
            "invalid_exact_evm_payload_signature"
            | "invalid_exact_evm_signature"
            | "invalid_exact_evm_failed_to_parse_signature"
            | "invalid_signature" => Self::EvmSignature,
            "invalid_exact_evm_nonce_already_used" => Self::EvmNonceAlreadyUsed,
            "eip6492_factory_not_allowed" | "invalid_exact_evm_payload_undeployed_smart_wallet" => {
                Self::Eip6492FactoryNotAllowed
            }
            _ => Self::from_wire_of_settlement(text),
        }
    }

    /// The codes of simulation and settlement, apart to keep each table readable.
    fn from_wire_of_settlement(text: &str) -> Self {
        match text {
            "invalid_exact_evm_transaction_simulation_failed" | "transaction_simulation" => {
                Self::EvmSimulationFailed
            }
            "invalid_transaction_state"
            | "invalid_exact_evm_transaction_failed"
            | "invalid_exact_svm_transaction_failed" => Self::InvalidTransactionState,
            "invalid_exact_evm_transfer_event_mismatch" => Self::EvmTransferEventMismatch,
            "settlement_pending" => Self::SettlementPending,
            "duplicate_settlement" => Self::DuplicateSettlement,
            "unexpected_verify_error" => Self::UnexpectedVerifyError,
            "unexpected_settle_error" | "unexpected_error" => Self::UnexpectedSettleError,
            _ => match (MethodCode::find(text), SvmCode::from_wire(text)) {
                (Some(code), _) => Self::Method(code),
                (None, Some(code)) => Self::Svm(code),
                (None, None) => Self::Foreign(ForeignCode::sanitise(text)),
            },
        }
    }
}

impl ForeignCode {
    fn sanitise(text: &str) -> Self {
        let is_printable = |character: &char| matches!(character, ' '..='~');
        let printable: String = text
            .chars()
            .filter(is_printable)
            .take(MAX_FOREIGN_CHARS)
            .collect();
        Self(printable.into_boxed_str())
    }
}

impl From<DecodeError> for ErrorCode {
    fn from(error: DecodeError) -> Self {
        error.code()
    }
}

impl From<VerifyError> for ErrorCode {
    fn from(error: VerifyError) -> Self {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: [ErrorCode; 23] = [
        ErrorCode::PaymentRequired,
        ErrorCode::InvalidPayload,
        ErrorCode::InvalidX402Version,
        ErrorCode::UnsupportedScheme,
        ErrorCode::InvalidNetwork,
        ErrorCode::InvalidPaymentRequirements,
        ErrorCode::ExtensionEchoMismatch,
        ErrorCode::InsufficientFunds,
        ErrorCode::EvmRecipientMismatch,
        ErrorCode::EvmAuthorizationValue,
        ErrorCode::EvmAuthorizationValueMismatch,
        ErrorCode::EvmValidAfter,
        ErrorCode::EvmValidBefore,
        ErrorCode::EvmSignature,
        ErrorCode::EvmNonceAlreadyUsed,
        ErrorCode::Eip6492FactoryNotAllowed,
        ErrorCode::EvmSimulationFailed,
        ErrorCode::InvalidTransactionState,
        ErrorCode::EvmTransferEventMismatch,
        ErrorCode::SettlementPending,
        ErrorCode::DuplicateSettlement,
        ErrorCode::UnexpectedVerifyError,
        ErrorCode::UnexpectedSettleError,
    ];

    #[test]
    fn every_own_code_reads_back_as_itself() {
        for code in OWN {
            assert_eq!(ErrorCode::from_wire(code.as_str()), code);
        }
        for code in MethodCode::ALL {
            let read = ErrorCode::from_wire(code.as_str());
            assert_eq!(read, ErrorCode::Method(code));
        }
    }

    #[test]
    fn a_foreign_code_passes_through_cut_and_printable() {
        let code = ErrorCode::from_wire(&format!("new\u{7}_code\n{}", "x".repeat(500)));
        assert!(code.as_str().starts_with("new_codex"));
        assert_eq!(code.as_str().len(), MAX_FOREIGN_CHARS);
    }

    // Found by fuzzing: such a code was foreign at first, and known once it was repeated.
    #[test]
    fn a_code_with_unprintable_characters_is_the_code_without_them() {
        let code = ErrorCode::from_wire("invalid_exact_evm_nonce\u{7f}_already_used\n");
        assert_eq!(code, ErrorCode::EvmNonceAlreadyUsed);
    }

    proptest! {
        // Whatever a facilitator sends, what we repeat is short and printable.
        #[test]
        fn any_code_is_short_and_printable(text in ".{0,300}") {
            let code = ErrorCode::from_wire(&text);
            prop_assert!(code.as_str().len() <= MAX_FOREIGN_CHARS);
            prop_assert!(code.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let again = ErrorCode::from_wire(code.as_str());
            prop_assert_eq!(again.as_str(), code.as_str());
        }
    }
}
