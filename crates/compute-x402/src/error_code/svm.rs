//! The codes of scheme `exact` on Solana.

/// Why a payment on Solana is refused, in the spelling of published facilitators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SvmCode {
    /// The text is not one well-formed transaction.
    NotDecodable,
    /// The fee payer that was offered is none of the facilitator's accounts.
    FeePayerNotManaged,
    /// More signatures are required than the facilitator pays for.
    ExcessiveSigners,
    /// Somebody else than the offered account pays the fee.
    FeePayerMismatch,
    /// A required signature is missing or wrong.
    SignatureInvalid,
    /// Accounts come from an address lookup table.
    LookupTable,
    /// Too few or too many instructions.
    InstructionsLength,
    /// The first instruction does not set the limit of compute units.
    ComputeLimit,
    /// The limit of compute units is too high.
    ComputeLimitTooHigh,
    /// The second instruction does not set the price of a compute unit.
    ComputePrice,
    /// The price of a compute unit is too high.
    ComputePriceTooHigh,
    /// The third instruction is no `TransferChecked`.
    NoTransfer,
    /// The fee payer's own tokens would be transferred.
    FeePayerTransferring,
    /// Another token is transferred.
    MintMismatch,
    /// Somebody else receives the tokens.
    RecipientMismatch,
    /// The amount or the decimals differ.
    AmountMismatch,
    /// The fourth instruction is of a program that is not allowed.
    UnknownFourthInstruction,
    /// The fifth instruction is of a program that is not allowed.
    UnknownFifthInstruction,
    /// The sixth instruction is of a program that is not allowed.
    UnknownSixthInstruction,
    /// The seventh instruction is of a program that is not allowed.
    UnknownSeventhInstruction,
    /// An instruction is handed the fee payer's account.
    FeePayerInAccounts,
    /// Not exactly one memo where one was asked for.
    MemoCount,
    /// The memo is not the one that was asked for.
    MemoMismatch,
    /// The token account that is paid does not exist.
    ReceiverAccountNotFound,
    /// The transaction failed when it was simulated.
    SimulationFailed,
}

impl SvmCode {
    const ALL: [Self; 25] = [
        Self::NotDecodable,
        Self::FeePayerNotManaged,
        Self::ExcessiveSigners,
        Self::FeePayerMismatch,
        Self::SignatureInvalid,
        Self::LookupTable,
        Self::InstructionsLength,
        Self::ComputeLimit,
        Self::ComputeLimitTooHigh,
        Self::ComputePrice,
        Self::ComputePriceTooHigh,
        Self::NoTransfer,
        Self::FeePayerTransferring,
        Self::MintMismatch,
        Self::RecipientMismatch,
        Self::AmountMismatch,
        Self::UnknownFourthInstruction,
        Self::UnknownFifthInstruction,
        Self::UnknownSixthInstruction,
        Self::UnknownSeventhInstruction,
        Self::FeePayerInAccounts,
        Self::MemoCount,
        Self::MemoMismatch,
        Self::ReceiverAccountNotFound,
        Self::SimulationFailed,
    ];

    /// The spelling this project emits.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDecodable => "invalid_exact_svm_payload_transaction_could_not_be_decoded",
            Self::FeePayerNotManaged => "invalid_exact_svm_fee_payer_not_managed_by_facilitator",
            Self::ExcessiveSigners => "invalid_exact_svm_payload_excessive_signers",
            Self::FeePayerMismatch => "invalid_exact_svm_fee_payer_mismatch",
            Self::SignatureInvalid => "invalid_exact_svm_payload_signature_invalid",
            Self::LookupTable => "invalid_exact_svm_smart_wallet_alt_resolution_not_available",
            Self::InstructionsLength => "invalid_exact_svm_payload_transaction_instructions_length",
            Self::ComputeLimit => {
                "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction"
            }
            Self::ComputeLimitTooHigh => {
                "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction_too_high"
            }
            Self::ComputePrice => {
                "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction"
            }
            Self::ComputePriceTooHigh => {
                "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high"
            }
            Self::NoTransfer => "invalid_exact_svm_payload_no_transfer_instruction",
            Self::FeePayerTransferring => {
                "invalid_exact_svm_payload_transaction_fee_payer_transferring_funds"
            }
            Self::MintMismatch => "invalid_exact_svm_payload_mint_mismatch",
            Self::RecipientMismatch => "invalid_exact_svm_payload_recipient_mismatch",
            Self::AmountMismatch => "invalid_exact_svm_payload_amount_mismatch",
            Self::UnknownFourthInstruction => {
                "invalid_exact_svm_payload_unknown_fourth_instruction"
            }
            Self::UnknownFifthInstruction => "invalid_exact_svm_payload_unknown_fifth_instruction",
            Self::UnknownSixthInstruction => "invalid_exact_svm_payload_unknown_sixth_instruction",
            Self::UnknownSeventhInstruction => {
                "invalid_exact_svm_payload_unknown_seventh_instruction"
            }
            Self::FeePayerInAccounts => {
                "invalid_exact_svm_payload_transaction_fee_payer_included_in_instruction_accounts"
            }
            Self::MemoCount => "invalid_exact_svm_payload_memo_count",
            Self::MemoMismatch => "invalid_exact_svm_payload_memo_mismatch",
            Self::ReceiverAccountNotFound => {
                "invalid_exact_svm_payload_transaction_receiver_ata_not_found"
            }
            Self::SimulationFailed => "transaction_simulation_failed",
        }
    }

    /// Reads a code in this project's spelling or in that of the first published facilitator.
    pub(super) fn from_wire(text: &str) -> Option<Self> {
        let own = Self::ALL.into_iter().find(|code| code.as_str() == text);
        own.or_else(
            || match text.strip_prefix("invalid_exact_svm_payload_transaction_")? {
                "instruction_not_spl_token_transfer_checked"
                | "instruction_not_token_2022_transfer_checked"
                | "not_a_transfer_instruction" => Some(Self::NoTransfer),
                "transfer_to_incorrect_ata" => Some(Self::RecipientMismatch),
                "amount_mismatch" => Some(Self::AmountMismatch),
                "simulation_failed" => Some(Self::SimulationFailed),
                _ => None,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_code::ErrorCode;

    #[test]
    fn every_own_code_reads_back_as_itself() {
        for code in SvmCode::ALL {
            assert_eq!(ErrorCode::from_wire(code.as_str()), ErrorCode::Svm(code));
            assert_eq!(ErrorCode::Svm(code).as_str(), code.as_str());
        }
    }

    #[test]
    fn older_spellings_are_understood_and_unknown_ones_pass_through() {
        let read = |text: &str| {
            ErrorCode::from_wire(&format!("invalid_exact_svm_payload_transaction_{text}"))
        };
        assert_eq!(
            read("transfer_to_incorrect_ata"),
            ErrorCode::Svm(SvmCode::RecipientMismatch)
        );
        assert_eq!(
            read("amount_mismatch"),
            ErrorCode::Svm(SvmCode::AmountMismatch)
        );
        assert_eq!(
            read("not_a_transfer_instruction"),
            ErrorCode::Svm(SvmCode::NoTransfer)
        );
        assert_eq!(
            read("simulation_failed"),
            ErrorCode::Svm(SvmCode::SimulationFailed)
        );
        assert!(matches!(
            read("sender_ata_not_found"),
            ErrorCode::Foreign(_)
        ));
    }
}
