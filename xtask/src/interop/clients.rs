//! The published clients, each pinned to one release.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A client that somebody else published.
#[derive(Debug)]
pub(super) struct Client {
    /// Its name and release for people.
    pub(super) name: &'static str,
    /// Its folder below `target/interop`.
    pub(super) folder: &'static str,
    pub(super) registry: Registry,
    /// What is installed, in the words of the registry's installer.
    pub(super) packages: &'static [&'static str],
    /// The program in `xtask/interop` that buys with it.
    pub(super) script: &'static str,
    pub(super) speaks: Version,
    pub(super) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registry {
    Npm,
    Pypi,
}

/// The version of x402 in which a client pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// How much of the server's answer a client lets its caller see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Status, settlement header and body.
    Whole,
    /// The body alone. Such a client is a wallet too, and makes API keys.
    Body,
}

/// Every client of a library. They buy with private keys that they are given.
pub(super) const LIBRARIES: &[Client] = &[
    Client {
        name: "npm x402-fetch 1.2.0",
        folder: "x402-fetch-v1",
        registry: Registry::Npm,
        packages: &["x402-fetch@1.2.0"],
        script: "x402-fetch-v1.mjs",
        speaks: Version::V1,
        output: Output::Whole,
    },
    Client {
        name: "npm @x402/fetch 2.27.0",
        folder: OBSERVER,
        registry: Registry::Npm,
        packages: &["@x402/fetch@2.27.0", "@x402/evm@2.27.0", "viem@2.57.20"],
        script: "x402-fetch-v2.mjs",
        speaks: Version::V2,
        output: Output::Whole,
    },
    Client {
        name: "PyPI x402 1.0.0",
        folder: "x402-pypi-v1",
        registry: Registry::Pypi,
        packages: &["x402==1.0.0"],
        script: "x402-pypi-v1.py",
        speaks: Version::V1,
        output: Output::Whole,
    },
    Client {
        name: "PyPI x402 2.25.0",
        folder: "x402-pypi-v2",
        registry: Registry::Pypi,
        packages: &["x402[evm,httpx]==2.25.0"],
        script: "x402-pypi-v2.py",
        speaks: Version::V2,
        output: Output::Whole,
    },
];

/// The program of the Open Wallet Standard: it keeps its keys to itself and knows main networks only.
pub(super) const WALLET: Client = Client {
    name: "npm @open-wallet-standard/core 1.2.4",
    folder: "ows",
    registry: Registry::Npm,
    packages: &["@open-wallet-standard/core@1.2.4"],
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
    pub(super) fn command(&self, workshop: &Path) -> Command {
        let folder = workshop.join(self.folder);
        let interpreter = match self.registry {
            Registry::Npm => PathBuf::from("node"),
            Registry::Pypi => folder.join("venv/bin/python"),
        };
        let mut command = Command::new(interpreter);
        command.arg(self.script).current_dir(folder);
        command
    }
}

/// The command that asks a server what the owner of a key has.
pub(super) fn observer(workshop: &Path) -> Command {
    let mut command = Command::new("node");
    command
        .arg("owner.mjs")
        .current_dir(workshop.join(OBSERVER));
    command
}

impl Version {
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}
