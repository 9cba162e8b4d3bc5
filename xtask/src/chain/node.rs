//! A local node of anvil, and reading its chain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::buyers::TOOLS;
use crate::crash::http;
use crate::interop::child::Service;
use crate::packages::Bundle;

/// What stands before the port in what anvil prints.
const MARK: &str = "Listening on 127.0.0.1:";

/// `keccak256("Transfer(address,address,uint256)")`.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// A running node. It ends with us.
#[derive(Debug)]
pub(crate) struct Node(Service);

impl Node {
    /// Starts a chain of its own on a free port.
    pub(super) fn start(chain: u64, folder: &Path) -> Result<Self> {
        Self::start_with(&TOOLS, chain, &[], folder)
    }

    /// Starts a chain that an installation of anvil makes in the manner of some arguments.
    pub(crate) fn start_with(
        tools: &Bundle,
        chain: u64,
        manner: &[&str],
        folder: &Path,
    ) -> Result<Self> {
        let mut command = Command::new(program(tools)?);
        command
            .args(manner)
            .args(["--host", "127.0.0.1", "--port", "0", "--chain-id"])
            .arg(chain.to_string())
            // A transaction makes a block at once, and blocks keep coming for those who wait for some on top of theirs.
            .args(["--mixed-mining", "--block-time", "1"]);
        let name = format!("anvil-{chain}");
        Ok(Self(Service::start_guarded(&command, folder, &name, MARK)?))
    }

    /// Another program that answers as a node does.
    pub(crate) const fn of(service: Service) -> Self {
        Self(service)
    }

    pub(crate) fn url(&self) -> &str {
        self.0.url()
    }

    fn call(&self, method: &str, parameters: &Value) -> Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters});
        let answer = http::send(self.url(), "POST", "/", &[], &request.to_string())?.json(200)?;
        let result = answer.get("result").cloned();
        result.with_context(|| format!("{method} was answered {answer}"))
    }

    /// A number that a contract answers.
    fn read(&self, contract: &str, data: &str) -> Result<u128> {
        let answer = self.call(
            "eth_call",
            &json!([{"to": contract, "data": data}, "latest"]),
        )?;
        number(&answer).with_context(|| format!("{contract} answered {answer} to {data}"))
    }

    /// What an account has of a token, in atomic units.
    pub(crate) fn balance(&self, token: &str, owner: &str) -> Result<u128> {
        self.read(token, &format!("0x70a08231{}", word(owner)?))
    }

    /// What an account may fetch from another.
    pub(super) fn allowance(&self, token: &str, owner: &str, spender: &str) -> Result<u128> {
        let (owner, spender) = (word(owner)?, word(spender)?);
        self.read(token, &format!("0xdd62ed3e{owner}{spender}"))
    }

    /// The transfers of a token from one account in a transaction that succeeded: to whom and how much.
    pub(crate) fn transfers(
        &self,
        transaction: &str,
        token: &str,
        from: &str,
    ) -> Result<Vec<(String, u128)>> {
        let receipt = self.call("eth_getTransactionReceipt", &json!([transaction]))?;
        ensure!(
            receipt.get("status").and_then(Value::as_str) == Some("0x1"),
            "{transaction} did not succeed: {receipt}"
        );
        let logs = receipt.get("logs").and_then(Value::as_array);
        let from = format!("0x{}", word(from)?);
        let mut found = Vec::new();
        for log in logs.context("a receipt without logs")? {
            let text = |pointer| log.pointer(pointer).and_then(Value::as_str).unwrap_or("");
            let is_ours = text("/address").eq_ignore_ascii_case(token)
                && text("/topics/0") == TRANSFER
                && text("/topics/1") == from;
            if is_ours {
                let to = text("/topics/2").trim_start_matches("0x");
                let to = to.get(24..).context("a short topic")?;
                let value = number(log.get("data").unwrap_or(&Value::Null));
                found.push((format!("0x{to}"), value.context("a transfer of nothing")?));
            }
        }
        Ok(found)
    }
}

/// Anvil's program for this machine: the package brings it for several, of which npm installs the fitting one.
fn program(tools: &Bundle) -> Result<PathBuf> {
    let scope = tools.path().join("node_modules/@foundry-rs");
    let entries = fs::read_dir(&scope).with_context(|| format!("list {}", scope.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path().join("bin/anvil"))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "npm has no anvil for this machine; use Linux or macOS on x86-64 or arm64, then run:\n\n    \
                 rm -r {}\n",
                tools.path().display()
            )
        })
}

/// An address as an argument of a call: 64 lower-case hex digits.
fn word(address: &str) -> Result<String> {
    let digits = address
        .strip_prefix("0x")
        .filter(|digits| digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let digits = digits.with_context(|| format!("{address} is no address"))?;
    Ok(format!("{:0>64}", digits.to_ascii_lowercase()))
}

/// A word of 32 bytes as a number, if it is below 2^128.
fn number(word: &Value) -> Option<u128> {
    let digits = word.as_str()?.strip_prefix("0x")?;
    if digits.len() != 64 {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_addresses_and_numbers() {
        let address = "0xABcdef0123456789abcdef0123456789ABCDEF01";
        let expected = "000000000000000000000000abcdef0123456789abcdef0123456789abcdef01";
        assert_eq!(word(address).unwrap(), expected);
        assert!(word("0x12").is_err());
        assert!(word(expected).is_err());
        let text = |digits: &str| json!(format!("0x{digits:0>64}"));
        assert_eq!(number(&text("ff")), Some(255));
        assert_eq!(number(&text(&"f".repeat(32))), Some(u128::MAX));
        assert_eq!(number(&text(&"f".repeat(33))), None);
        assert_eq!(number(&json!("0xff")), None);
        assert_eq!(number(&json!(null)), None);
    }
}
