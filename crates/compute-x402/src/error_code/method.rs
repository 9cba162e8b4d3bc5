//! Codes that only one way of paying knows.

/// A code of permits or Permit2 (x402 reference, section 6.2), or one of this project for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MethodCode(&'static str);

impl MethodCode {
    /// A direct permit approves somebody else (own code).
    pub const PERMIT_SPENDER: Self = Self("invalid_permit_spender");
    /// A permit is not the next one of its owner (own code).
    pub const PERMIT_NONCE: Self = Self("invalid_permit_nonce");
    /// A Permit2 transfer names another contract than the proxy.
    pub const PERMIT2_SPENDER: Self = Self("invalid_permit2_spender");
    /// A Permit2 transfer pays somebody else.
    pub const PERMIT2_RECIPIENT: Self = Self("invalid_permit2_recipient_mismatch");
    /// A Permit2 transfer expires too soon, or too far ahead.
    pub const PERMIT2_DEADLINE: Self = Self("permit2_deadline_expired");
    /// A Permit2 transfer is not valid yet.
    pub const PERMIT2_NOT_YET: Self = Self("permit2_not_yet_valid");
    /// A Permit2 transfer is for another amount.
    pub const PERMIT2_AMOUNT: Self = Self("permit2_amount_mismatch");
    /// A Permit2 transfer moves another token.
    pub const PERMIT2_TOKEN: Self = Self("permit2_token_mismatch");
    /// A Permit2 transfer is not signed by its payer.
    pub const PERMIT2_SIGNATURE: Self = Self("invalid_permit2_signature");
    /// A Permit2 transfer was used or cancelled.
    pub const PERMIT2_NONCE: Self = Self("permit2_invalid_nonce");
    /// The payer never approved Permit2 and sent no permit for it: answer 412.
    pub const PERMIT2_ALLOWANCE: Self = Self("permit2_allowance_required");
    /// A sponsored permit is for another amount than its transfer.
    pub const PERMIT2_2612_AMOUNT: Self = Self("permit2_2612_amount_mismatch");
    /// A Permit2 transfer failed when it was simulated.
    pub const PERMIT2_SIMULATION: Self = Self("permit2_simulation_failed");
    /// The extension with the sponsored permit cannot be read.
    pub const EIP2612_FORMAT: Self = Self("invalid_eip2612_extension_format");
    /// A sponsored permit is not the payer's.
    pub const EIP2612_FROM: Self = Self("eip2612_from_mismatch");
    /// A sponsored permit is for another token.
    pub const EIP2612_ASSET: Self = Self("eip2612_asset_mismatch");
    /// A sponsored permit approves somebody else than Permit2.
    pub const EIP2612_SPENDER: Self = Self("eip2612_spender_not_permit2");
    /// A sponsored permit expires too soon.
    pub const EIP2612_DEADLINE: Self = Self("eip2612_deadline_expired");
    /// A sponsored permit is not signed by the payer (own code).
    pub const EIP2612_SIGNATURE: Self = Self("eip2612_invalid_signature");

    /// Every code of this kind.
    pub const ALL: [Self; 19] = [
        Self::PERMIT_SPENDER,
        Self::PERMIT_NONCE,
        Self::PERMIT2_SPENDER,
        Self::PERMIT2_RECIPIENT,
        Self::PERMIT2_DEADLINE,
        Self::PERMIT2_NOT_YET,
        Self::PERMIT2_AMOUNT,
        Self::PERMIT2_TOKEN,
        Self::PERMIT2_SIGNATURE,
        Self::PERMIT2_NONCE,
        Self::PERMIT2_ALLOWANCE,
        Self::PERMIT2_2612_AMOUNT,
        Self::PERMIT2_SIMULATION,
        Self::EIP2612_FORMAT,
        Self::EIP2612_FROM,
        Self::EIP2612_ASSET,
        Self::EIP2612_SPENDER,
        Self::EIP2612_DEADLINE,
        Self::EIP2612_SIGNATURE,
    ];

    /// The spelling on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    pub(super) fn find(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.0 == text)
    }
}
