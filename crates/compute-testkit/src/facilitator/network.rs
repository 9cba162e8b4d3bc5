use std::str::FromStr;

use alloy_primitives::{Address, address};

/// A network with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// Base, with USDC.
    Base,
    /// Base Sepolia, with its test USDC.
    BaseSepolia,
    /// MegaETH, with USDm, which has no EIP-3009: it is paid through Permit2.
    Megaeth,
}

impl Network {
    /// Every network that can be played.
    pub const ALL: [Self; 3] = [Self::Base, Self::BaseSepolia, Self::Megaeth];

    /// The name in x402 version 1.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::BaseSepolia => "base-sepolia",
            Self::Megaeth => "megaeth",
        }
    }

    /// The name in x402 version 2 (CAIP-2).
    #[must_use]
    pub const fn caip2(self) -> &'static str {
        match self {
            Self::Base => "eip155:8453",
            Self::BaseSepolia => "eip155:84532",
            Self::Megaeth => "eip155:4326",
        }
    }

    /// The chain id of EIP-155.
    #[must_use]
    pub const fn chain_id(self) -> u64 {
        match self {
            Self::Base => 8453,
            Self::BaseSepolia => 84_532,
            Self::Megaeth => 4326,
        }
    }

    /// The token contract.
    #[must_use]
    pub const fn token(self) -> Address {
        match self {
            Self::Base => address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
            Self::BaseSepolia => address!("036CbD53842c5426634e7929541eC2318f3dCF7e"),
            Self::Megaeth => address!("FAfDdbb3FC7688494971a79cc65DCa3EF82079E7"),
        }
    }

    /// The token's name in its EIP-712 domain. The networks differ.
    #[must_use]
    pub const fn token_name(self) -> &'static str {
        match self {
            Self::Base => "USD Coin",
            Self::BaseSepolia => "USDC",
            Self::Megaeth => "MegaUSD",
        }
    }

    /// The token's version in its EIP-712 domain.
    #[must_use]
    pub const fn token_version(self) -> &'static str {
        match self {
            Self::Base | Self::BaseSepolia => "2",
            Self::Megaeth => "1",
        }
    }

    /// Decimals of the token.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        match self {
            Self::Base | Self::BaseSepolia => 6,
            Self::Megaeth => 18,
        }
    }

    /// Whether the token is paid through Permit2.
    #[must_use]
    pub const fn has_permit2(self) -> bool {
        matches!(self, Self::Megaeth)
    }
}

/// The name is of no network that can be played.
#[derive(Debug, thiserror::Error)]
#[error("the networks are base, base-sepolia and megaeth")]
pub struct UnknownNetwork;

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        let named = |network: &Self| network.name() == text || network.caip2() == text;
        Self::ALL.into_iter().find(named).ok_or(UnknownNetwork)
    }
}
