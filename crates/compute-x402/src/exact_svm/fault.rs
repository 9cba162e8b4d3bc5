//! Why a payment on Solana is refused.

use crate::error_code::{ErrorCode, SvmCode};

/// The first check that a payment failed. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SvmFault {
    /// Not one well-formed transaction.
    #[error("the payment is not a Solana transaction")]
    Malformed(#[source] MalformedTransaction),
    /// More than two signatures are required, each at the fee payer's expense.
    #[error("the transaction requires more than two signatures")]
    ExcessiveSigners,
    /// Somebody else pays the fee.
    #[error("the fee payer is not the one that was offered")]
    FeePayer,
    /// A required signature is missing or wrong, or the authority of the transfer need not sign.
    #[error("the payer did not sign the transaction")]
    Signature,
    /// Accounts come from a lookup table, so nobody sees which they are.
    #[error("address lookup tables are not accepted here")]
    LookupTable,
    /// Not three to seven instructions.
    #[error("the transaction does not have three to seven instructions")]
    InstructionCount,
    /// The first instruction does not set the limit of compute units.
    #[error("the first instruction does not set the compute unit limit")]
    ComputeLimit,
    /// The limit of compute units is too high.
    #[error("the compute unit limit is too high")]
    ComputeLimitTooHigh,
    /// The second instruction does not set the price of a compute unit.
    #[error("the second instruction does not set the compute unit price")]
    ComputePrice,
    /// The price of a compute unit is too high.
    #[error("the compute unit price is too high")]
    ComputePriceTooHigh,
    /// The third instruction is not the one transfer that pays.
    #[error("the third instruction is not a checked transfer of a token")]
    NoTransfer,
    /// The fee payer's own tokens would be transferred.
    #[error("the fee payer is the one who would pay")]
    FeePayerTransferring,
    /// Another token, or another token program than that of the token.
    #[error("the payment is in another token")]
    Mint,
    /// The transfer goes to somebody else.
    #[error("the payment names another recipient")]
    Recipient,
    /// Payer and recipient are the same account, which buys for nothing.
    #[error("the payer is the recipient")]
    SelfPayment,
    /// The amount or the decimals are not those asked.
    #[error("the payment is not exactly the amount that was asked")]
    Amount,
    /// An instruction after the transfer is neither a memo nor an assertion of a wallet.
    #[error("an instruction after the transfer is not allowed")]
    UnknownInstruction(ExtraInstruction),
    /// An instruction is handed the fee payer's account, whose signature it could use.
    #[error("an instruction names the fee payer")]
    FeePayerInAccounts,
    /// Not exactly one memo where one was asked for.
    #[error("the transaction does not have exactly one memo")]
    MemoCount,
    /// Another memo than the one asked for.
    #[error("the memo is not the one that was asked for")]
    MemoMismatch,
}

/// The place of an instruction after the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraInstruction {
    /// The first after the transfer.
    Fourth,
    /// The second after the transfer.
    Fifth,
    /// The third after the transfer.
    Sixth,
    /// The last there may be.
    Seventh,
}

/// What makes a text or bytes no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedTransaction {
    /// No text where the transaction is expected.
    #[error("the member transaction is missing or no text")]
    NoText,
    /// Longer than a packet of the network.
    #[error("longer than 1 232 bytes")]
    TooLong,
    /// Not padded base64 of the standard alphabet.
    #[error("not base64")]
    NotBase64,
    /// The signatures are cut off, or more than fit.
    #[error("the list of signatures is cut off")]
    Signatures,
    /// The message is cut off, goes on too long, or is not in the one form that it has.
    #[error("the message is not in the wire form of Solana")]
    Message,
    /// A version of the message other than legacy and 0.
    #[error("the version of the message is neither legacy nor 0")]
    Version,
    /// An index is out of range, or the header contradicts the accounts.
    #[error("the message contradicts itself")]
    Unsound,
    /// Not as many signatures as the message requires.
    #[error("not as many signatures as are required")]
    SignatureCount,
    /// An account is listed twice.
    #[error("an account is listed twice")]
    DuplicateAccount,
}

impl SvmFault {
    /// The protocol code to answer with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::Svm(match self {
            // As on EVM chains, where no published code fits either.
            Self::SelfPayment => return ErrorCode::InvalidPayload,
            Self::Malformed(_) => SvmCode::NotDecodable,
            Self::ExcessiveSigners => SvmCode::ExcessiveSigners,
            Self::FeePayer => SvmCode::FeePayerMismatch,
            Self::Signature => SvmCode::SignatureInvalid,
            Self::LookupTable => SvmCode::LookupTable,
            Self::InstructionCount => SvmCode::InstructionsLength,
            Self::ComputeLimit => SvmCode::ComputeLimit,
            Self::ComputeLimitTooHigh => SvmCode::ComputeLimitTooHigh,
            Self::ComputePrice => SvmCode::ComputePrice,
            Self::ComputePriceTooHigh => SvmCode::ComputePriceTooHigh,
            Self::NoTransfer => SvmCode::NoTransfer,
            Self::FeePayerTransferring => SvmCode::FeePayerTransferring,
            Self::Mint => SvmCode::MintMismatch,
            Self::Recipient => SvmCode::RecipientMismatch,
            Self::Amount => SvmCode::AmountMismatch,
            Self::UnknownInstruction(ExtraInstruction::Fourth) => SvmCode::UnknownFourthInstruction,
            Self::UnknownInstruction(ExtraInstruction::Fifth) => SvmCode::UnknownFifthInstruction,
            Self::UnknownInstruction(ExtraInstruction::Sixth) => SvmCode::UnknownSixthInstruction,
            Self::UnknownInstruction(ExtraInstruction::Seventh) => {
                SvmCode::UnknownSeventhInstruction
            }
            Self::FeePayerInAccounts => SvmCode::FeePayerInAccounts,
            Self::MemoCount => SvmCode::MemoCount,
            Self::MemoMismatch => SvmCode::MemoMismatch,
        })
    }

    /// Whether the payment has the wrong shape (answer 400) rather than the wrong content (402).
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed(_))
    }
}

impl From<MalformedTransaction> for SvmFault {
    fn from(source: MalformedTransaction) -> Self {
        Self::Malformed(source)
    }
}

impl From<SvmFault> for ErrorCode {
    fn from(fault: SvmFault) -> Self {
        fault.code()
    }
}
