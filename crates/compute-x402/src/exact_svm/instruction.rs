//! The few instructions that a payment is made of, byte by byte.
//!
//! Exactly the bytes that are documented: what programs would let pass at the end of an
//! instruction is refused, so that nothing is signed that was not looked at.

use compute_wallet::SolanaAddress;

use crate::amount::Amount;
use crate::exact_svm::programs::{COMPUTE_BUDGET, TokenProgram};

/// Numbers of instructions in their programs.
const SET_COMPUTE_UNIT_LIMIT: u8 = 2;
const SET_COMPUTE_UNIT_PRICE: u8 = 3;
const TRANSFER_CHECKED: u8 = 12;

/// One instruction, its accounts looked up.
#[derive(Debug)]
pub(super) struct Instruction<'a> {
    pub(super) program: SolanaAddress,
    pub(super) accounts: Vec<SolanaAddress>,
    pub(super) data: &'a [u8],
}

/// The transfer of a transaction, as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SvmTransfer {
    /// The program that keeps the token.
    pub token_program: TokenProgram,
    /// The token account that pays.
    pub source: SolanaAddress,
    /// The token.
    pub mint: SolanaAddress,
    /// The token account that is paid.
    pub destination: SolanaAddress,
    /// Who permits the transfer: the owner of the source, or somebody the owner delegated to.
    pub authority: SolanaAddress,
    /// How much, in the token's smallest unit.
    pub amount: Amount,
    /// Digits after the decimal point; the token refuses another number than its own.
    pub decimals: u8,
}

impl Instruction<'_> {
    /// Reads `SetComputeUnitLimit`.
    pub(super) fn compute_unit_limit(&self) -> Option<u32> {
        let [SET_COMPUTE_UNIT_LIMIT, units @ ..] = self.data else {
            return None;
        };
        let units = u32::from_le_bytes(units.try_into().ok()?);
        (self.program == COMPUTE_BUDGET).then_some(units)
    }

    /// Reads `SetComputeUnitPrice`, in millionths of a lamport.
    pub(super) fn compute_unit_price(&self) -> Option<u64> {
        let [SET_COMPUTE_UNIT_PRICE, price @ ..] = self.data else {
            return None;
        };
        let price = u64::from_le_bytes(price.try_into().ok()?);
        (self.program == COMPUTE_BUDGET).then_some(price)
    }

    /// Reads `TransferChecked` with the four accounts of a single authority.
    pub(super) fn transfer_checked(&self) -> Option<SvmTransfer> {
        let [TRANSFER_CHECKED, amount @ .., decimals] = self.data else {
            return None;
        };
        let &[source, mint, destination, authority] = self.accounts.as_slice() else {
            return None;
        };
        let amount = u64::from_le_bytes(amount.try_into().ok()?);
        Some(SvmTransfer {
            token_program: TokenProgram::find(&self.program)?,
            source,
            mint,
            destination,
            authority,
            amount: Amount::new(amount.into()),
            decimals: *decimals,
        })
    }
}

/// Writes `SetComputeUnitLimit`.
pub(super) fn set_compute_unit_limit(units: u32) -> Vec<u8> {
    [&[SET_COMPUTE_UNIT_LIMIT][..], &units.to_le_bytes()].concat()
}

/// Writes `SetComputeUnitPrice`, in millionths of a lamport.
pub(super) fn set_compute_unit_price(micro_lamports: u64) -> Vec<u8> {
    [&[SET_COMPUTE_UNIT_PRICE][..], &micro_lamports.to_le_bytes()].concat()
}

/// Writes `TransferChecked`.
pub(super) fn transfer_checked(amount: u64, decimals: u8) -> Vec<u8> {
    [&[TRANSFER_CHECKED][..], &amount.to_le_bytes(), &[decimals]].concat()
}
