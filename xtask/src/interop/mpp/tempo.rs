//! A local chain of Tempo with USDC.e, and wallets that have some.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::MPPX;
use crate::chain::node::Node;
use crate::interop::child;
use crate::interop::purchase::{last_json, text};
use crate::interop::shop::Programs;

/// Published clients know this chain, and its token, by heart.
pub(super) const CHAIN: u64 = 4217;

/// Before this release of the chain's rules its expiring nonces are ordinary ones.
const RULES: &[&str] = &["--network", "tempo", "--hardfork", "T4"];

/// The chain is ready within seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// The chain, and who lives there. It ends with us.
#[derive(Debug)]
pub(crate) struct TempoChain {
    node: Node,
    /// What the program that made it says of it.
    setup: Value,
}

/// Where money is paid in.
#[derive(Debug)]
pub(crate) struct Till {
    pub(crate) recipient: String,
    pub(crate) token: String,
}

/// An account that can sign.
#[derive(Debug)]
pub(crate) struct Wallet<'a> {
    pub(crate) address: &'a str,
    pub(crate) key: &'a str,
}

impl TempoChain {
    /// Starts the node, puts the token and these buyers' money there, and proves it by two payments.
    pub(crate) fn start(buyers: &[&str], folder: &Path) -> Result<Self> {
        let node = Node::start_with(&MPPX, CHAIN, RULES, folder)?;
        let mut command = MPPX.command("setup.mjs");
        command
            .env("TEMPO_RPC", node.url())
            .env("TEMPO_BUYERS", json!(buyers).to_string());
        let said = child::run(&mut command, folder, "setup", LIMIT).context("make the chain")?;
        let setup = last_json(&said)?;
        Ok(Self { node, setup })
    }

    /// The project's own stand-in, with the accounts of another chain: there everybody has enough.
    pub(crate) fn stand_in(&self, programs: &Programs, folder: &Path) -> Result<Self> {
        let (service, _journal) = programs.stand_in("tempo", folder)?;
        Ok(Self {
            node: Node::of(service),
            setup: self.setup.clone(),
        })
    }

    /// Where the node answers JSON-RPC.
    pub(crate) fn url(&self) -> &str {
        self.node.url()
    }

    /// Who is paid.
    pub(crate) fn treasury(&self) -> Result<&str> {
        text(&self.setup, "/treasury")
    }

    pub(crate) fn buyer(&self, name: &str) -> Result<Wallet<'_>> {
        Ok(Wallet {
            address: text(&self.setup, &format!("/buyers/{name}/address"))?,
            key: text(&self.setup, &format!("/buyers/{name}/key"))?,
        })
    }

    /// The treasury, in USDC.e.
    pub(crate) fn till(&self) -> Result<Till> {
        Ok(Till {
            recipient: self.treasury()?.to_owned(),
            token: text(&self.setup, "/token")?.to_owned(),
        })
    }

    /// What an account has, in atomic units of a token.
    pub(crate) fn balance(&self, token: &str, owner: &str) -> Result<u128> {
        self.node.balance(token, owner)
    }

    /// What an account paid in a transaction that succeeded, fees too: to whom and how much of a token.
    pub(crate) fn transfers(
        &self,
        transaction: &str,
        token: &str,
        from: &str,
    ) -> Result<Vec<(String, u128)>> {
        self.node.transfers(transaction, token, from)
    }
}
