use std::str::FromStr;

use alloy_primitives::{Address, address};

/// A network with a token that moves by EIP-3009.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// Base, with USDC.
    Base,
    /// Base Sepolia, with its test USDC.
    BaseSepolia,
}

impl Network {
    /// Every network that can be played.
    pub const ALL: [Self; 2] = [Self::Base, Self::BaseSepolia];

    /// The name in x402 version 1.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::BaseSepolia => "base-sepolia",
        }
    }

    /// The name in x402 version 2 (CAIP-2).
    #[must_use]
    pub const fn caip2(self) -> &'static str {
        match self {
            Self::Base => "eip155:8453",
            Self::BaseSepolia => "eip155:84532",
        }
    }

    /// The chain id of EIP-155.
    #[must_use]
    pub const fn chain_id(self) -> u64 {
        match self {
            Self::Base => 8453,
            Self::BaseSepolia => 84_532,
        }
    }

    /// The token contract.
    #[must_use]
    pub const fn token(self) -> Address {
        match self {
            Self::Base => address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
            Self::BaseSepolia => address!("036CbD53842c5426634e7929541eC2318f3dCF7e"),
        }
    }

    /// The token's name in its EIP-712 domain. The two networks differ.
    #[must_use]
    pub const fn token_name(self) -> &'static str {
        match self {
            Self::Base => "USD Coin",
            Self::BaseSepolia => "USDC",
        }
    }

    /// The token's version in its EIP-712 domain.
    #[must_use]
    pub const fn token_version(self) -> &'static str {
        "2"
    }
}

/// The name is of no network that can be played.
#[derive(Debug, thiserror::Error)]
#[error("the networks are base and base-sepolia")]
pub struct UnknownNetwork;

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        let named = |network: &Self| network.name() == text || network.caip2() == text;
        Self::ALL.into_iter().find(named).ok_or(UnknownNetwork)
    }
}
