//! Two chains with contracts, wallets and money.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::buyers::{BASE, BUYERS, MEGAETH, TOOLS};
use super::node::Node;
use crate::cargo;
use crate::interop::child;
use crate::interop::purchase::{last_json, text};

/// The wallet from which the contracts are tried; no client buys with it.
const TRIAL: &str = "contracts";

/// The chains' programs end within seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// The chains, and who lives there.
#[derive(Debug)]
pub(super) struct Town {
    base: Node,
    megaeth: Node,
    /// What the program that made it says of it.
    setup: Value,
    /// The file with the same.
    pub(super) file: PathBuf,
}

/// An account that can sign.
#[derive(Debug)]
pub(super) struct Wallet<'a> {
    pub(super) address: &'a str,
    pub(super) key: &'a str,
}

impl Town {
    /// Starts the nodes, and puts contracts, wallets and money on the chains.
    pub(super) fn build(folder: &Path) -> Result<Self> {
        let base = Node::start(BASE, folder)?;
        let megaeth = Node::start(MEGAETH, folder)?;
        let nodes = json!({ BASE.to_string(): base.url(), MEGAETH.to_string(): megaeth.url() });
        let wallets: Vec<&str> = BUYERS.iter().map(|it| it.wallet).chain([TRIAL]).collect();
        let mut command = TOOLS.command("setup.mjs");
        command
            .env("CHAIN_NODES", nodes.to_string())
            .env("CHAIN_BUYERS", json!(wallets).to_string())
            .env(
                "CHAIN_CONTRACTS",
                cargo::root().join("xtask/chain/contracts"),
            );
        let said = child::run(&mut command, folder, "setup", LIMIT).context("make the chains")?;
        let setup = last_json(&said)?;
        let file = folder.join("setup.json");
        fs::write(&file, setup.to_string()).with_context(|| format!("write {}", file.display()))?;
        Ok(Self {
            base,
            megaeth,
            setup,
            file,
        })
    }

    /// Tries the contracts on the chains; the result is what they proved.
    pub(super) fn check_contracts(&self, folder: &Path) -> Result<Vec<String>> {
        let mut command = TOOLS.command("contracts.mjs");
        command.env("CHAIN_SETUP", &self.file);
        let said = child::run(&mut command, folder, "contracts", LIMIT)?;
        let passed = last_json(&said)?;
        let passed = passed.get("passed").and_then(Value::as_array);
        let names = passed.context("nothing was tried")?.iter();
        Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    pub(super) fn node(&self, chain: u64) -> &Node {
        if chain == BASE {
            &self.base
        } else {
            &self.megaeth
        }
    }

    /// The dollar of a chain.
    pub(super) fn token(&self, chain: u64) -> Result<&str> {
        text(&self.setup, &format!("/chains/{chain}/token"))
    }

    /// Decimals of that dollar.
    pub(super) fn decimals(&self, chain: u64) -> Result<u32> {
        let value = self.setup.pointer(&format!("/chains/{chain}/decimals"));
        let decimals = value
            .and_then(Value::as_u64)
            .and_then(|it| it.try_into().ok());
        decimals.with_context(|| format!("no decimals of the token on {chain}"))
    }

    pub(super) fn permit2(&self, chain: u64) -> Result<&str> {
        text(&self.setup, &format!("/chains/{chain}/permit2"))
    }

    /// Where the money of all sales belongs.
    pub(super) fn treasury(&self) -> Result<&str> {
        text(&self.setup, "/treasury")
    }

    /// The wallet of whoever settles. Nobody else can pay for gas.
    pub(super) fn hot_wallet(&self) -> Result<Wallet<'_>> {
        self.wallet("/hotWallet")
    }

    pub(super) fn buyer(&self, name: &str) -> Result<Wallet<'_>> {
        self.wallet(&format!("/buyers/{name}"))
    }

    fn wallet(&self, place: &str) -> Result<Wallet<'_>> {
        Ok(Wallet {
            address: text(&self.setup, &format!("{place}/address"))?,
            key: text(&self.setup, &format!("{place}/key"))?,
        })
    }
}
