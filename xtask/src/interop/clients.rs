//! The published clients, each pinned to one release.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::packages::{Bundle, Registry};

/// A client that somebody else published.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) bundle: Bundle,
    /// The program that buys with it.
    pub(crate) script: &'static str,
    pub(crate) speaks: Version,
    pub(crate) output: Output,
}

/// The version of x402 in which a client pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// How much of the server's answer a client lets its caller see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Status, settlement header and body.
    Whole,
    /// The body alone. Such a client is a wallet too, and makes API keys.
    Body,
}

/// Where their programs are.
const PROGRAMS: &str = "interop";

/// Every client of a library. They buy with private keys that they are given.
pub(crate) const LIBRARIES: &[Client] = &[
    Client {
        bundle: Bundle {
            name: "npm x402-fetch 1.2.0",
            folder: "x402-fetch-v1",
            registry: Registry::Npm,
            packages: &["x402-fetch@1.2.0"],
            programs: PROGRAMS,
        },
        script: "x402-fetch-v1.mjs",
        speaks: Version::V1,
        output: Output::Whole,
    },
    Client {
        bundle: Bundle {
            name: "npm @x402/fetch 2.27.0",
            folder: OBSERVER,
            registry: Registry::Npm,
            packages: &["@x402/fetch@2.27.0", "@x402/evm@2.27.0", "viem@2.57.20"],
            programs: PROGRAMS,
        },
        script: "x402-fetch-v2.mjs",
        speaks: Version::V2,
        output: Output::Whole,
    },
    Client {
        bundle: Bundle {
            name: "PyPI x402 1.0.0",
            folder: "x402-pypi-v1",
            registry: Registry::Pypi,
            packages: &["x402==1.0.0"],
            programs: PROGRAMS,
        },
        script: "x402-pypi-v1.py",
        speaks: Version::V1,
        output: Output::Whole,
    },
    Client {
        bundle: Bundle {
            name: "PyPI x402 2.25.0",
            folder: "x402-pypi-v2",
            registry: Registry::Pypi,
            packages: &["x402[evm,httpx]==2.25.0"],
            programs: PROGRAMS,
        },
        script: "x402-pypi-v2.py",
        speaks: Version::V2,
        output: Output::Whole,
    },
];

/// The program of the Open Wallet Standard: it keeps its keys to itself and knows main networks only.
pub(super) const WALLET: Client = Client {
    bundle: Bundle {
        name: "npm @open-wallet-standard/core 1.2.4",
        folder: "ows",
        registry: Registry::Npm,
        packages: &["@open-wallet-standard/core@1.2.4"],
        programs: PROGRAMS,
    },
    script: "ows.mjs",
    speaks: Version::V2,
    output: Output::Body,
};

/// The folder of the client whose libraries `owner.mjs` needs.
pub(super) const OBSERVER: &str = "x402-fetch-v2";

/// Every client.
pub(super) fn all() -> impl Iterator<Item = &'static Client> {
    LIBRARIES.iter().chain([&WALLET])
}

impl Client {
    /// The command that runs its program, without its input.
    pub(crate) fn command(&self) -> Command {
        self.bundle.command(self.script)
    }
}

/// The command that asks a server what the owner of a key has.
pub(super) fn observer() -> Result<Command> {
    let client = LIBRARIES
        .iter()
        .find(|client| client.bundle.folder == OBSERVER);
    Ok(client
        .context("no client has the libraries of owner.mjs")?
        .bundle
        .command("owner.mjs"))
}

impl Version {
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}
