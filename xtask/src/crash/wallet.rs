//! Wallets: who pays and owns. A process of the signing tool stands behind each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::cargo;

/// An owner of machines and credits.
#[derive(Debug)]
pub(super) struct Wallet {
    /// In lower case.
    pub(super) address: String,
    pub(super) api_key: String,
    signer: Mutex<Signer>,
}

#[derive(Debug)]
struct Signer {
    child: Child,
    orders: ChildStdin,
    payments: BufReader<ChildStdout>,
}

impl Wallet {
    /// Starts the tool and has an API key made by a server that is not killed meanwhile.
    pub(super) fn open(tool: &Path, url: &str, private_key: &str) -> Result<Self> {
        let command = |words: &[&str]| {
            let mut command = Command::new(tool);
            command.arg(url).args(words);
            command.env("COMPUTE_WALLET_KEY", private_key);
            command
        };
        let api_key = cargo::output(&mut command(&["api-key"]))?.trim().to_owned();
        let mut child = command(&["signer"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the signing tool")?;
        let orders = child.stdin.take().context("the signing tool's input")?;
        let payments = child.stdout.take().context("the signing tool's output")?;
        let mut signer = Signer {
            child,
            orders,
            payments: BufReader::new(payments),
        };
        let address = signer.read()?.to_ascii_lowercase();
        Ok(Self {
            address,
            api_key,
            signer: Mutex::new(signer),
        })
    }

    /// A new payment: the value of `X-Payment`.
    pub(super) fn pay(&self, atomic_units: u64) -> Result<String> {
        self.sign(&atomic_units.to_string())
    }

    /// A credential for a challenge: the value of `Authorization` for one of `WWW-Authenticate`.
    pub(super) fn meet(&self, challenge: &str) -> Result<String> {
        self.sign(challenge)
    }

    fn sign(&self, order: &str) -> Result<String> {
        let mut signer = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(signer.orders, "{order}").context("ask for a payment")?;
        signer.read()
    }
}

impl Signer {
    fn read(&mut self) -> Result<String> {
        let mut line = String::new();
        self.payments
            .read_line(&mut line)
            .context("read what the signing tool prints")?;
        let line = line.trim();
        ensure!(!line.is_empty(), "the signing tool ended");
        Ok(line.to_owned())
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
