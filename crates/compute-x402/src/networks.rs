//! Networks under both their names, and the tokens that are known on them.

use std::borrow::Cow;

use compute_wallet::{EvmAddress, Namespace, SolanaAddress};

#[cfg(feature = "svm")]
use crate::exact_svm::{SvmTerms, TokenProgram};
use crate::token::{OfferError, PermitPaths, TokenTerms};

/// One network: its CAIP-2 id, used by version 2, and its word, used by version 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Network {
    caip2: Cow<'static, str>,
    v1_name: Cow<'static, str>,
}

/// A token as published lists describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownToken {
    /// Where it lives.
    pub network: &'static Network,
    /// Its ticker symbol.
    pub symbol: &'static str,
    /// Its contract in the letter case of EIP-55, which one published client compares.
    pub address: &'static str,
    /// The name in its EIP-712 domain; `USD Coin` on Base but `USDC` on Base Sepolia.
    pub domain_name: &'static str,
    /// The version in its EIP-712 domain.
    pub domain_version: &'static str,
    /// Digits after the decimal point.
    pub decimals: u8,
    /// Whether it has `transferWithAuthorization`.
    pub has_eip3009: bool,
}

impl Network {
    /// Base.
    pub const BASE: Self = Self::known("eip155:8453", "base");
    /// Base Sepolia, a test network.
    pub const BASE_SEPOLIA: Self = Self::known("eip155:84532", "base-sepolia");
    /// MegaETH.
    pub const MEGAETH: Self = Self::known("eip155:4326", "megaeth");
    /// Solana.
    pub const SOLANA: Self = Self::known("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "solana");
    /// Solana devnet, a test network.
    pub const SOLANA_DEVNET: Self =
        Self::known("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1", "solana-devnet");
    /// Solana testnet, a test network.
    pub const SOLANA_TESTNET: Self =
        Self::known("solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z", "solana-testnet");

    /// The networks this crate knows by name.
    pub const KNOWN: [Self; 6] = [
        Self::BASE,
        Self::BASE_SEPOLIA,
        Self::MEGAETH,
        Self::SOLANA,
        Self::SOLANA_DEVNET,
        Self::SOLANA_TESTNET,
    ];

    const fn known(caip2: &'static str, v1_name: &'static str) -> Self {
        Self {
            caip2: Cow::Borrowed(caip2),
            v1_name: Cow::Borrowed(v1_name),
        }
    }

    /// An EVM network; one without a known word carries its CAIP-2 id in version 1 too.
    #[must_use]
    pub fn evm(chain_id: u64) -> Self {
        let caip2 = format!("eip155:{chain_id}");
        let found = Self::KNOWN
            .into_iter()
            .find(|network| network.caip2 == caip2);
        found.unwrap_or_else(|| Self {
            v1_name: caip2.clone().into(),
            caip2: caip2.into(),
        })
    }

    /// Finds a network by its CAIP-2 id or by its word; any well-formed EVM id is a network.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let known = Self::KNOWN
            .into_iter()
            .find(|network| network.is_named(text));
        known.or_else(|| parse_chain_id(text).map(Self::evm))
    }

    /// The CAIP-2 id, as `eip155:8453`.
    #[must_use]
    pub fn caip2(&self) -> &str {
        &self.caip2
    }

    /// The word of version 1, as `base`.
    #[must_use]
    pub fn v1_name(&self) -> &str {
        &self.v1_name
    }

    /// Whether the text is one of the two names of this network, in exact letters.
    #[must_use]
    pub fn is_named(&self, text: &str) -> bool {
        self.caip2 == text || self.v1_name == text
    }

    /// The chain id, for EVM networks.
    #[must_use]
    pub fn chain_id(&self) -> Option<u64> {
        parse_chain_id(&self.caip2)
    }

    /// The family its addresses belong to.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        if self.caip2.starts_with("solana:") {
            Namespace::Solana
        } else {
            Namespace::Eip155
        }
    }
}

/// Reads `eip155:` and a canonical decimal below 2^64: no sign, no leading zero.
fn parse_chain_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("eip155:")?;
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if is_canonical {
        digits.parse().ok()
    } else {
        None
    }
}

impl KnownToken {
    /// The terms under which this token is paid with EIP-3009.
    ///
    /// # Errors
    /// When the token has no `transferWithAuthorization`.
    pub fn eip3009_terms(&self) -> Result<TokenTerms, OfferError> {
        if !self.has_eip3009 {
            return Err(OfferError::NoEip3009);
        }
        let address = EvmAddress::parse(self.address).map_err(OfferError::Address)?;
        TokenTerms::eip3009(
            self.network.clone(),
            address,
            self.domain_name,
            self.domain_version,
        )
    }

    /// The terms under which this token is paid by permit.
    ///
    /// # Errors
    /// When no way to pay is given.
    pub fn permit_terms(&self, paths: PermitPaths) -> Result<TokenTerms, OfferError> {
        let address = EvmAddress::parse(self.address).map_err(OfferError::Address)?;
        TokenTerms::permit(
            self.network.clone(),
            address,
            self.domain_name,
            self.domain_version,
            paths,
        )
    }

    /// Finds a token by network and contract; letter case is ignored.
    #[must_use]
    pub fn find(network: &Network, address: &str) -> Option<&'static Self> {
        KNOWN_TOKENS
            .iter()
            .find(|token| token.network == network && token.address.eq_ignore_ascii_case(address))
    }
}

/// A token on Solana as published lists describe it; kept by SPL Token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownMint {
    /// Where it lives.
    pub network: &'static Network,
    /// Its ticker symbol.
    pub symbol: &'static str,
    /// Its mint, in base58.
    pub address: &'static str,
    /// Digits after the decimal point.
    pub decimals: u8,
}

impl KnownMint {
    /// The terms under which this token is paid, when `fee_payer` pays the fee.
    ///
    /// # Errors
    /// When the table is wrong, which its test rules out.
    #[cfg(feature = "svm")]
    pub fn terms(&self, fee_payer: SolanaAddress) -> Result<SvmTerms, OfferError> {
        let mint = SolanaAddress::parse(self.address).map_err(OfferError::Address)?;
        let (network, program) = (self.network.clone(), TokenProgram::Token);
        SvmTerms::new(network, mint, program, self.decimals, fee_payer)
            .map_err(|_| OfferError::NotSolana)
    }

    /// Finds a token by network and mint.
    #[must_use]
    pub fn find(network: &Network, mint: &SolanaAddress) -> Option<&'static Self> {
        let text = mint.to_string();
        KNOWN_MINTS
            .iter()
            .find(|known| known.network == network && known.address == text)
    }
}

/// USDC on Solana.
pub const SOLANA_USDC: KnownMint = KnownMint {
    network: &Network::SOLANA,
    symbol: "USDC",
    address: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    decimals: 6,
};

/// USDC on Solana devnet.
pub const SOLANA_DEVNET_USDC: KnownMint = KnownMint {
    network: &Network::SOLANA_DEVNET,
    symbol: "USDC",
    address: "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
    decimals: 6,
};

/// Every token on Solana this crate knows.
pub const KNOWN_MINTS: [KnownMint; 2] = [SOLANA_USDC, SOLANA_DEVNET_USDC];

/// USDC on Base.
pub const BASE_USDC: KnownToken = KnownToken {
    network: &Network::BASE,
    symbol: "USDC",
    address: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    domain_name: "USD Coin",
    domain_version: "2",
    decimals: 6,
    has_eip3009: true,
};

/// USDC on Base Sepolia.
pub const BASE_SEPOLIA_USDC: KnownToken = KnownToken {
    network: &Network::BASE_SEPOLIA,
    symbol: "USDC",
    address: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    domain_name: "USDC",
    domain_version: "2",
    decimals: 6,
    has_eip3009: true,
};

/// USDm on MegaETH: 18 decimals, and no EIP-3009.
pub const MEGAETH_USDM: KnownToken = KnownToken {
    network: &Network::MEGAETH,
    symbol: "USDM",
    address: "0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7",
    domain_name: "MegaUSD",
    domain_version: "1",
    decimals: 18,
    has_eip3009: false,
};

/// Every EVM token this crate knows.
pub const KNOWN_TOKENS: [KnownToken; 3] = [BASE_USDC, BASE_SEPOLIA_USDC, MEGAETH_USDM];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_found_by_either_name() {
        for network in Network::KNOWN {
            assert_eq!(Network::find(network.caip2()), Some(network.clone()));
            assert_eq!(Network::find(network.v1_name()), Some(network));
        }
    }

    #[test]
    fn a_chain_id_must_be_canonical() {
        for text in [
            "eip155:",
            "eip155:0",
            "eip155:08453",
            "eip155:+8453",
            "eip155:-1",
            "eip155:18446744073709551616",
            "eip155:8453 ",
            "Base",
            "base-goerli",
        ] {
            assert_eq!(Network::find(text), None, "{text:?}");
        }
        assert_eq!(
            Network::find("eip155:18446744073709551615").and_then(|network| network.chain_id()),
            Some(u64::MAX)
        );
    }

    #[test]
    fn a_network_without_a_word_uses_its_id_in_version_1() {
        let local = Network::evm(31_337);
        assert_eq!(
            (local.caip2(), local.v1_name()),
            ("eip155:31337", "eip155:31337")
        );
        assert_eq!(Network::evm(8453), Network::BASE);
    }

    #[test]
    fn known_mints_are_addresses_of_their_network() {
        for known in KNOWN_MINTS {
            let mint = SolanaAddress::parse(known.address).unwrap();
            assert_eq!(KnownMint::find(known.network, &mint), Some(&known));
            assert_eq!(known.network.namespace(), Namespace::Solana);
            assert_eq!(KnownMint::find(&Network::BASE, &mint), None);
        }
    }

    #[test]
    fn token_addresses_carry_their_checksum() {
        for token in KNOWN_TOKENS {
            assert!(
                EvmAddress::parse(token.address).is_ok(),
                "{}",
                token.address
            );
        }
        assert!(BASE_USDC.eip3009_terms().is_ok());
        assert_eq!(
            MEGAETH_USDM.eip3009_terms().err(),
            Some(OfferError::NoEip3009)
        );
    }
}
