//! Wallets that sign elsewhere: the command of the Open Wallet Standard keeps the key, and is asked to sign.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_wallet::{EvmAddress, SolanaAddress};
use serde::Deserialize;

/// Between two looks whether the command has ended, and looks until it is given up: a minute in all.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 3_000;

/// The longest answer of the command that is read.
const MAX_ANSWER: u64 = 1 << 16;

/// A wallet of `ows`.
#[derive(Debug, Clone)]
pub struct OwsWallet {
    program: PathBuf,
    name: String,
    chain: OwsChain,
    address: String,
}

/// Which of its accounts acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwsChain {
    /// That on EVM chains.
    #[default]
    Evm,
    /// That on Solana.
    Solana,
}

/// Why the command does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwsError {
    /// It cannot be run.
    #[error("{program}: {source}")]
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others could put another program in its place.
    #[error("{0} can be written by everybody: another program could stand in its place")]
    Writable(PathBuf),
    /// It ends with an error, or not at all.
    #[error(
        "ows {0} did not succeed: is the wallet there, and OWS_PASSPHRASE set if it needs one?"
    )]
    Failed(&'static str),
    /// It has no such wallet, or the wallet no account on the chain.
    #[error("ows knows no wallet {0} with an account on this chain; `ows wallet list` shows them")]
    Unknown(String),
    /// What it signs with cannot be read.
    #[error("ows answers with no signature that can be read")]
    Signature,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

impl OwsChain {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Evm => "eip155:",
            Self::Solana => "solana:",
        }
    }

    /// The chain as the command is told.
    const fn argument(self) -> &'static str {
        match self {
            Self::Evm => "eip155:8453",
            Self::Solana => "solana",
        }
    }

    /// The chain as a shop is told, and how the signature is written.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Evm => ("base", "hex"),
            Self::Solana => ("solana", "base64"),
        }
    }
}

impl OwsWallet {
    /// The wallet of this name or id. `program` is a path, or a name that is looked up as the system does.
    ///
    /// # Errors
    /// When the command cannot be run, or has no such wallet.
    pub fn open(program: &Path, name: &str, chain: OwsChain) -> Result<Self, OwsError> {
        check_program(program)?;
        let list = run(program, &["wallet", "list"], "wallet list")?;
        let address = address_in(&list, name, chain);
        let address = address.ok_or_else(|| OwsError::Unknown(name.to_owned()))?;
        Ok(Self {
            program: program.to_owned(),
            name: name.to_owned(),
            chain,
            address,
        })
    }

    /// The account's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(crate) const fn chain(&self) -> OwsChain {
        self.chain
    }

    /// Signs a message, on a thread that may wait.
    pub(crate) async fn sign(self: &Arc<Self>, message: String) -> Result<String, OwsError> {
        let wallet = Arc::clone(self);
        let signed = tokio::task::spawn_blocking(move || wallet.sign_now(&message));
        signed.await.map_err(|_| OwsError::Failed("sign message"))?
    }

    /// Signs typed data on an EVM chain, on a thread that may wait.
    pub(crate) async fn sign_typed(
        self: &Arc<Self>,
        chain_id: u64,
        typed: String,
    ) -> Result<String, OwsError> {
        let wallet = Arc::clone(self);
        let signed = tokio::task::spawn_blocking(move || {
            let chain = format!("eip155:{chain_id}");
            wallet.ask(&chain, &["--message", "", "--typed-data", &typed])
        });
        signed.await.map_err(|_| OwsError::Failed("sign message"))?
    }

    fn sign_now(&self, message: &str) -> Result<String, OwsError> {
        self.ask(self.chain.argument(), &["--message", message])
    }

    fn ask(&self, chain: &str, what: &[&str]) -> Result<String, OwsError> {
        let words = ["sign", "message", "--chain", chain, "--wallet", &self.name];
        let words = [words.as_slice(), what, &["--json"]].concat();
        let answer = run(&self.program, &words, "sign message")?;
        let signed: Signed = serde_json::from_str(&answer).map_err(|_| OwsError::Signature)?;
        let text = signed.signature.trim_start_matches("0x");
        let bytes = hex::decode(text).map_err(|_| OwsError::Signature)?;
        match (self.chain, bytes.len()) {
            (OwsChain::Evm, 65) => Ok(format!("0x{text}")),
            (OwsChain::Solana, 64) => Ok(STANDARD.encode(bytes)),
            _ => Err(OwsError::Signature),
        }
    }
}

/// The address of a wallet in what `ows wallet list` prints: blocks of lines, one block a wallet.
fn address_in(list: &str, name: &str, chain: OwsChain) -> Option<String> {
    let is_wanted = |block: &&str| {
        let mut lines = block.lines();
        lines.any(|line| {
            let value = line.strip_prefix("Name:").or(line.strip_prefix("ID:"));
            value.is_some_and(|value| value.trim() == name)
        })
    };
    let block = list.split("\n\n").find(is_wanted)?;
    let mut lines = block.lines().map(str::trim);
    let line = lines.find(|line| line.starts_with(chain.prefix()))?;
    let address = line.split_whitespace().last()?;
    match chain {
        OwsChain::Evm => EvmAddress::parse_any_case(address)
            .ok()
            .map(|it| it.to_string()),
        OwsChain::Solana => SolanaAddress::parse(address).ok().map(|it| it.to_string()),
    }
}

/// A program at a path that everybody may write is nobody's.
fn check_program(program: &Path) -> Result<(), OwsError> {
    #[cfg(unix)]
    if program.components().count() > 1 {
        use std::os::unix::fs::PermissionsExt as _;
        let found = std::fs::metadata(program).map_err(failed(program))?;
        if found.permissions().mode() & 0o002 != 0 {
            return Err(OwsError::Writable(program.to_owned()));
        }
    }
    Ok(())
}

fn failed(program: &Path) -> impl FnOnce(std::io::Error) -> OwsError {
    let program = program.to_owned();
    move |source| OwsError::Program { program, source }
}

/// What the command prints. What it says beside is nobody's here: it may speak of secrets.
fn run(program: &Path, words: &[&str], what: &'static str) -> Result<String, OwsError> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed(program))?;
    // Read beside the waiting, so that it never waits for a reader.
    let stdout = child.stdout.take().ok_or(OwsError::Failed(what))?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout
            .take(MAX_ANSWER)
            .read_to_string(&mut text)
            .map(|_| text)
    });
    if !wait(&mut child).map_err(failed(program))? {
        return Err(OwsError::Failed(what));
    }
    let text = reader.join().map_err(|_| OwsError::Failed(what))?;
    text.map_err(failed(program))
}

/// Whether it ends well, and in time.
fn wait(child: &mut Child) -> std::io::Result<bool> {
    for _ in 0..LOOKS {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 1.2.4 prints it.
    const LIST: &str = "ID:      5d6f1c2e-0000-4000-8000-000000000001\nName:    other\n  \
        eip155:1 (ethereum) → 0x1111111111111111111111111111111111111111\nCreated: 2026-01-01\n\n\
        ID:      5d6f1c2e-0000-4000-8000-000000000002\nName:    treasury\n  \
        eip155:1 (ethereum) → 0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1\n  \
        solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp (solana) → 9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu\n\
        Created: 2026-01-01\n";

    #[test]
    fn a_wallet_is_found_by_name_or_id() {
        let evm = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1";
        for name in ["treasury", "5d6f1c2e-0000-4000-8000-000000000002"] {
            let found = address_in(LIST, name, OwsChain::Evm).unwrap();
            assert_eq!(found.to_lowercase(), evm);
        }
        let solana = address_in(LIST, "treasury", OwsChain::Solana);
        assert_eq!(
            solana.as_deref(),
            Some("9hSR6S7WPtxmTojgo6GG3k4yDPecgJY292j7xrsUGWBu")
        );
        assert_eq!(address_in(LIST, "other", OwsChain::Solana), None);
        assert_eq!(address_in(LIST, "treas", OwsChain::Evm), None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_command_signs_and_its_key_stays_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("ows");
        let list = folder.path().join("list");
        std::fs::write(&list, LIST).unwrap();
        let signature = "ab".repeat(65);
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = wallet ]; then cat {}; exit; fi\n\
             [ \"$8\" = the-message ] || exit 1\necho '{{\"signature\":\"{signature}\",\"recovery_id\":0}}'\n",
            list.display()
        );
        std::fs::write(&program, script).unwrap();
        let mode = |mode| std::fs::set_permissions(&program, PermissionsExt::from_mode(mode));
        mode(0o700).unwrap();
        let wallet = OwsWallet::open(&program, "treasury", OwsChain::Evm).unwrap();
        let wallet = Arc::new(wallet);
        let signed = wallet.sign("the-message".to_owned()).await.unwrap();
        assert_eq!(signed, format!("0x{signature}"));
        let refused = wallet.sign("another".to_owned()).await;
        assert!(matches!(refused, Err(OwsError::Failed(_))), "{refused:?}");
        mode(0o702).unwrap();
        let open = OwsWallet::open(&program, "treasury", OwsChain::Evm);
        assert!(matches!(open, Err(OwsError::Writable(_))), "{open:?}");
    }
}
