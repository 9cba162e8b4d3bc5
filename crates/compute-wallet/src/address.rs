//! An address of either family of chains.

use std::fmt;
use std::str::FromStr;

use crate::{EvmAddress, SolanaAddress};

/// Who holds a wallet, whatever the family of its chain.
///
/// `Display` is the canonical key: lower-case hex for EVM chains, base58 for Solana. An EVM
/// address names the same holder on every EVM chain, so no chain id is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalletAddress {
    /// An account of any EVM chain.
    Evm(EvmAddress),
    /// An account of Solana.
    Solana(SolanaAddress),
}

/// A family of chains, named as in CAIP-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// EVM chains.
    Eip155,
    /// Solana clusters.
    Solana,
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Wrong length, alphabet or prefix.
    #[error("not an address of this chain")]
    Malformed,
    /// Mixed letter case that disagrees with EIP-55.
    #[error("the letter case of this address does not match its checksum")]
    Checksum,
    /// Neither `eip155` nor `solana`.
    #[error("no such family of chains")]
    UnknownNamespace,
}

impl WalletAddress {
    /// Reads an address of the given family; the letter case of EVM addresses is ignored.
    ///
    /// # Errors
    /// When the text is not an address of that family.
    pub fn parse(namespace: Namespace, text: &str) -> Result<Self, AddressError> {
        match namespace {
            Namespace::Eip155 => EvmAddress::parse_any_case(text).map(Self::Evm),
            Namespace::Solana => SolanaAddress::parse(text).map(Self::Solana),
        }
    }

    /// The family this address belongs to.
    #[must_use]
    pub const fn namespace(&self) -> Namespace {
        match self {
            Self::Evm(_) => Namespace::Eip155,
            Self::Solana(_) => Namespace::Solana,
        }
    }
}

impl Namespace {
    /// The CAIP-2 word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eip155 => "eip155",
            Self::Solana => "solana",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Namespace {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "eip155" => Ok(Self::Eip155),
            "solana" => Ok(Self::Solana),
            _ => Err(AddressError::UnknownNamespace),
        }
    }
}

impl fmt::Display for WalletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(address) => address.fmt(f),
            Self::Solana(address) => address.fmt(f),
        }
    }
}

impl FromStr for WalletAddress {
    type Err = AddressError;

    /// The two written forms exclude each other: base58 has no digit zero, EVM text begins with it.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let namespace = if text.starts_with("0x") {
            Namespace::Eip155
        } else {
            Namespace::Solana
        };
        Self::parse(namespace, text)
    }
}

impl From<EvmAddress> for WalletAddress {
    fn from(address: EvmAddress) -> Self {
        Self::Evm(address)
    }
}

impl From<SolanaAddress> for WalletAddress {
    fn from(address: SolanaAddress) -> Self {
        Self::Solana(address)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_read_only_in_its_own_family() {
        let evm = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1";
        let solana = "9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu";
        assert!(WalletAddress::parse(Namespace::Eip155, evm).is_ok());
        assert!(WalletAddress::parse(Namespace::Solana, solana).is_ok());
        assert!(WalletAddress::parse(Namespace::Solana, evm).is_err());
        assert!(WalletAddress::parse(Namespace::Eip155, solana).is_err());
        assert_eq!(
            "cosmos".parse::<Namespace>(),
            Err(AddressError::UnknownNamespace)
        );
    }

    proptest! {
        // The canonical text names exactly one address, whatever its family.
        #[test]
        fn canonical_text_round_trips(evm: [u8; 20], solana: [u8; 32]) {
            for address in [
                WalletAddress::Evm(EvmAddress::new(evm)),
                WalletAddress::Solana(SolanaAddress::new(solana)),
            ] {
                let text = address.to_string();
                prop_assert_eq!(text.parse::<WalletAddress>(), Ok(address));
                prop_assert_eq!(WalletAddress::parse(address.namespace(), &text), Ok(address));
                prop_assert_eq!(address.namespace().as_str().parse(), Ok(address.namespace()));
            }
        }
    }
}
