//! Payments on Solana: vectors, hostile transactions, and both sides talking to each other.

mod by_hand;
mod catalogue;
mod cost;
mod hostile;
mod malformed;
mod paying;
mod properties;
mod selling;
mod vectors;

use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::exact_svm::{
    SvmFault, SvmLimits, SvmPayTo, SvmTerms, SvmTransaction, SvmVerified, TokenProgram,
};
use compute_x402::{Amount, Network};

pub(crate) const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
pub(crate) const PRICE: Amount = Amount::new(90_000_000);

pub(crate) fn account(base58: &str) -> SolanaAddress {
    SolanaAddress::parse(base58).unwrap()
}

pub(crate) fn buyer() -> SolanaKey {
    SolanaKey::from_seed(&[3; 32])
}

pub(crate) fn fee_payer() -> SolanaKey {
    SolanaKey::from_seed(&[1; 32])
}

pub(crate) fn merchant() -> SolanaAddress {
    SolanaKey::from_seed(&[2; 32]).address()
}

pub(crate) fn terms() -> SvmTerms {
    let (mint, payer) = (account(USDC), fee_payer().address());
    SvmTerms::new(Network::SOLANA, mint, TokenProgram::Token, 6, payer).unwrap()
}

pub(crate) fn pay_to() -> SvmPayTo {
    SvmPayTo::Wallet(merchant())
}

/// The server's answer to the bytes of a transaction, under the usual terms.
pub(crate) fn answer(wire: &[u8]) -> Result<SvmVerified, SvmFault> {
    answer_on(&terms(), wire)
}

pub(crate) fn answer_on(terms: &SvmTerms, wire: &[u8]) -> Result<SvmVerified, SvmFault> {
    let transaction = SvmTransaction::from_wire(wire)?;
    transaction.verify(terms, &pay_to(), PRICE, &SvmLimits::default())
}
