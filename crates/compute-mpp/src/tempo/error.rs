//! What is wrong with a payment, and whose problem type that is.

use compute_wallet::EvmAddress;

/// The problem type that a refusal is answered with; in both cases nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not the payload that the method wants: `invalid-payload`.
    InvalidPayload,
    /// A well-formed payload that does not pay this challenge: `verification-failed`.
    VerificationFailed,
}

/// Why a payload is not one of the method `tempo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// `type` is missing, no text, or none of the known ones.
    #[error("the member type must be \"transaction\" or \"hash\"")]
    Type,
    /// The member that carries the proof is missing or no text.
    #[error("the member {0} must be a text")]
    Missing(&'static str),
    /// Not `0x` and an even number of hex digits.
    #[error("the member {0} must be 0x and hex digits")]
    NotHex(&'static str),
    /// Longer than a transaction may be.
    #[error("the transaction must not be longer than {max} bytes")]
    TooLong {
        /// The bound in bytes.
        max: usize,
    },
    /// A hash that is not 32 bytes.
    #[error("the member hash must be 32 bytes, found {found}")]
    HashLength {
        /// Bytes found.
        found: usize,
    },
    /// A signed statement for a charge of nothing; this seller charges something.
    #[error("a proof pays only charges of zero; send a transaction")]
    Proof,
    /// The buyer sent the payment itself, and the challenge did not allow that.
    #[error("the challenge does not support the mode push; send a signed transaction")]
    PushNotOffered,
}

/// Why bytes are not a Tempo transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the transaction is empty")]
    Empty,
    /// Longer than a transaction may be.
    #[error("the transaction must not be longer than {max} bytes, found {found}")]
    TooLong {
        /// The bound in bytes.
        max: usize,
        /// Bytes found.
        found: usize,
    },
    /// Another type of transaction.
    #[error("the transaction must begin with 0x76, found {found:#04x}")]
    Type {
        /// The first byte.
        found: u8,
    },
    /// Bytes after the end of the transaction or of a list in it.
    #[error("{found} bytes follow the last item")]
    TrailingBytes {
        /// How many.
        found: usize,
    },
    /// Cut off, or another form of RLP than the only allowed one.
    #[error("the field {field} is not canonical RLP")]
    NotCanonical {
        /// Which field.
        field: &'static str,
    },
    /// A list where bytes belong, or the reverse.
    #[error("the field {field} must be {expected}")]
    Kind {
        /// Which field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// Leading zeros, or too many bytes.
    #[error("the field {field} must be an integer of its width without leading zeros")]
    Integer {
        /// Which field.
        field: &'static str,
    },
    /// Wrong number of bytes.
    #[error("the field {field} must be {expected} bytes, found {found}")]
    Width {
        /// Which field.
        field: &'static str,
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Neither 14 nor 15 items.
    #[error("the transaction must have 14 or 15 items, found {found}")]
    ItemCount {
        /// Items found.
        found: usize,
    },
    /// A call with other than three members.
    #[error("a call must have 3 members, found {found}")]
    CallMembers {
        /// Members found.
        found: usize,
    },
    /// A transaction that does nothing.
    #[error("the transaction must have at least one call")]
    NoCalls,
    /// The signature of the sender breaks a rule.
    #[error("the sender's signature is refused")]
    Signature(#[source] SignatureError),
    /// The signature of the fee payer breaks a rule.
    #[error("the fee payer's signature is refused")]
    FeePayerSignature(#[source] SignatureError),
}

/// Why a signature of a Tempo transaction is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The 65 bytes of a plain signature break a rule, or recover to nobody.
    #[error("the secp256k1 signature is refused")]
    Secp256k1(#[source] compute_wallet::SignatureError),
    /// The first byte names no known type, or there is none.
    #[error("the signature type is unknown")]
    UnknownType,
    /// Not the length of its type.
    #[error("a signature of this type cannot have {found} bytes")]
    Length {
        /// Bytes found, with the type byte.
        found: usize,
    },
    /// `r` or `s` is zero or not below the order of P-256.
    #[error("a P256 signature value is out of range")]
    OutOfRange,
    /// The malleable twin of a good P-256 signature.
    #[error("the P256 signature is not in its low-s form")]
    HighS,
    /// The public key is no point of P-256.
    #[error("the P256 public key is not on the curve")]
    NotOnCurve,
    /// The flag of a P-256 signature is neither 0 nor 1.
    #[error("the prehash flag of a P256 signature must be 0 or 1")]
    PrehashFlag,
    /// The authenticator data or the client data of a passkey.
    #[error("the passkey signed something else: {0}")]
    Passkey(&'static str),
    /// The first version of access keys, which the chain no longer takes.
    #[error("keychain signatures of version 1 are no longer accepted by the chain")]
    KeychainV1,
    /// An access key inside an access key.
    #[error("a keychain signature must not hold another one")]
    NestedKeychain,
    /// Several owners.
    #[error("multisig signatures are not supported")]
    Multisig,
    /// The public key did not sign this.
    #[error("the signature was not made over this transaction")]
    NotSigner,
}

/// Why a payload does not pay a challenge. Nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TempoError {
    /// The payload has the wrong shape.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The bytes are not a transaction.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A transaction that waits for a sponsor, and none was offered.
    #[error("the challenge does not offer to pay the fees, and the transaction wants it")]
    SponsorshipNotOffered,
    /// The fee payer envelope names another sender than the signature does.
    #[error("the envelope names the sender {named}, the signature is of {signer}")]
    EnvelopeSender {
        /// Whom the envelope names.
        named: EvmAddress,
        /// Who signed.
        signer: EvmAddress,
    },
    /// Another chain.
    #[error("expected a transaction for chain {expected}, found chain {found}")]
    Chain {
        /// The chain of the challenge.
        expected: u64,
        /// The chain of the transaction.
        found: u64,
    },
    /// Code would be delegated to.
    #[error("expected no authorization list in the transaction")]
    AuthorizationList,
    /// A new access key would be authorised.
    #[error("expected no key authorization in the transaction")]
    KeyAuthorization,
    /// A contract would be made.
    #[error("expected transfers only, found a contract creation")]
    ContractCreation,
    /// More or fewer calls than the payment needs.
    #[error("expected exactly one call, found {found}")]
    CallCount {
        /// Calls found.
        found: usize,
    },
    /// The call carries value, which the chain does not have.
    #[error("expected a call without value")]
    CallValue,
    /// The call goes to another contract than the token.
    #[error("expected a call of the token {expected}, found {found}")]
    Token {
        /// The token of the challenge.
        expected: EvmAddress,
        /// Whom the call goes to.
        found: EvmAddress,
    },
    /// The call data is no transfer.
    #[error("expected transferWithMemo with 100 bytes, found {0}")]
    CallData(&'static str),
    /// Somebody else would be paid.
    #[error("expected a transfer to {expected}, found one to {found}")]
    Recipient {
        /// The recipient of the challenge.
        expected: EvmAddress,
        /// Who would be paid.
        found: EvmAddress,
    },
    /// Another amount.
    #[error("expected {expected} base units, found {found}")]
    Amount {
        /// The amount of the challenge.
        expected: u128,
        /// The amount of the transfer, in decimal digits.
        found: compute_wallet::Uint256,
    },
    /// A transfer without a memo, or with the memo of something else.
    #[error("expected the memo of this challenge, found {0}")]
    Memo(&'static str),
    /// An expiring nonce that breaks its own rules.
    #[error("an expiring nonce needs the nonce 0 and validBefore")]
    ExpiringNonce,
    /// It can no longer be included, or hardly.
    #[error("expected validBefore at {earliest} or later, found {found}")]
    TooLate {
        /// Unix seconds.
        earliest: u64,
        /// Unix seconds.
        found: u64,
    },
    /// It would stay valid long after the challenge.
    #[error("expected validBefore at {latest} or earlier, found {found}")]
    TooLong {
        /// Unix seconds.
        latest: u64,
        /// Unix seconds.
        found: u64,
    },
    /// It cannot be included yet.
    #[error("expected validAfter at {now} or earlier, found {found}")]
    TooEarly {
        /// Unix seconds.
        now: u64,
        /// Unix seconds.
        found: u64,
    },
    /// The signature is somebody else's or nobody's.
    #[error("the sender's signature is refused")]
    Signature(#[source] SignatureError),
    /// The signature of a third party that pays the fees.
    #[error("the fee payer's signature is refused")]
    FeePayerSignature(#[source] SignatureError),
    /// `source` is not a did of an account of this chain.
    #[error("expected the source did:pkh:eip155:{chain_id}:0x…, found another text")]
    SourceForm {
        /// The chain of the challenge.
        chain_id: u64,
    },
    /// `source` names somebody else.
    #[error("the source names {named}, the transaction is of {signer}")]
    SourceAccount {
        /// Whom the credential names.
        named: EvmAddress,
        /// Who signed.
        signer: EvmAddress,
    },
}

impl TempoError {
    /// The problem type to answer with.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            // A signature that breaks a rule is a payment that fails, not a shape that is wrong.
            Self::Decode(DecodeError::Signature(_) | DecodeError::FeePayerSignature(_)) => {
                Fault::VerificationFailed
            }
            Self::Payload(_) | Self::Decode(_) | Self::SponsorshipNotOffered => {
                Fault::InvalidPayload
            }
            _ => Fault::VerificationFailed,
        }
    }
}

/// Why a receipt shows no payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The transaction was included and undone: the payer lost its fee and nothing else.
    #[error("the transaction was reverted")]
    Reverted,
    /// The transaction succeeded and pays something else.
    #[error("the transaction does not pay this challenge: {0}")]
    WrongPayment(&'static str),
    /// The node's answer is cut, contradictory or about something else: it proves nothing.
    #[error("the receipt proves nothing: {0}")]
    Unclear(&'static str),
}
