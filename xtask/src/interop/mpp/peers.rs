//! Published libraries, and the chain's own types, each behind a program that answers questions.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{MPPX, PYMPP};
use crate::cargo;
use crate::packages::{self, Bundle};

/// Tells the tests of our crate where the libraries are.
const PEERS: &str = "COMPUTE_MPP_PEERS";

/// The package that reads them, which is a workspace of its own.
const PEER: &str = "tempo-peer";

/// The golden transactions of the crate that reads them for us.
const GOLDEN: &str = "crates/compute-mpp/tests/fixtures/tempo_transactions.json";

/// In the name of a payment that still wants a sponsor's signature: such forms go from a client to a server, and never
/// to the chain.
const HALF_SIGNED: &str = "not yet co-signed";

/// What is not compared: what the chain's types do not say.
const NOT_ASKED: &[&str] = &["name", "note", "raw", "feePayer", "feePayerSignHash"];

/// Runs the tests in which our crate and the libraries read what the other wrote.
pub(super) fn compare() -> Result<()> {
    let peers = json!({
        MPPX.name: words(&MPPX, "peer.mjs")?,
        PYMPP.name: words(&PYMPP, "peer.py")?,
    });
    let mut tests = cargo::cargo();
    tests
        .args([
            "test",
            "-q",
            "--locked",
            "-p",
            "compute-mpp",
            "--test",
            "peers",
        ])
        .env(PEERS, peers.to_string());
    cargo::run(&mut tests)
}

/// The command that runs a program, from any folder.
fn words(bundle: &Bundle, program: &str) -> Result<Vec<String>> {
    let path = bundle.path().join(program);
    let path = path.to_str().context("a folder whose name is no text")?;
    let command = bundle.command(path);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_str().map(str::to_owned));
    words
        .collect::<Option<_>>()
        .context("a command that is no text")
}

/// Checks the golden transactions; what is asked goes to a folder.
pub(super) fn check_golden(folder: &Path) -> Result<String> {
    let peer = build()?;
    let path = cargo::root().join(GOLDEN);
    let json = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let golden: Value = serde_json::from_str(&json).context("parse the golden transactions")?;
    let good = cases(&golden, "good")?;
    for (case, answer) in good.iter().zip(ask(&peer, &good, folder)?) {
        check_good(case, &answer).with_context(|| text(case, "name").to_owned())?;
    }
    let bad = cases(&golden, "undecodable")?;
    for (case, answer) in bad.iter().zip(ask(&peer, &bad, folder)?) {
        ensure!(
            answer.get("error").is_some(),
            "the chain reads {case}: {answer}"
        );
    }
    Ok(format!(
        "the chain's types read {} golden transactions as they are described, and refuse {}",
        good.len(),
        bad.len()
    ))
}

/// The program, built when it is not there.
fn build() -> Result<PathBuf> {
    let target = packages::workshop().join(PEER);
    let manifest = cargo::root().join("xtask/interop").join(PEER);
    let mut command = cargo::cargo();
    command
        .args(["build", "--locked", "--manifest-path"])
        .arg(manifest.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target);
    cargo::run(&mut command)?;
    Ok(target.join("debug").join(PEER))
}

/// The golden transactions of a kind.
fn cases<'a>(golden: &'a Value, kind: &str) -> Result<Vec<&'a Value>> {
    let all = golden.get(kind).and_then(Value::as_array);
    let all = all.with_context(|| format!("no transactions that are {kind}"))?;
    Ok(all
        .iter()
        .filter(|case| !text(case, "name").contains(HALF_SIGNED))
        .collect())
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// One answer for each transaction.
fn ask(peer: &Path, cases: &[&Value], folder: &Path) -> Result<Vec<Value>> {
    let path = folder.join("transactions.txt");
    let lines: String = cases
        .iter()
        .map(|case| format!("{}\n", text(case, "raw")))
        .collect();
    fs::write(&path, lines).with_context(|| format!("write {}", path.display()))?;
    let questions = File::open(&path).with_context(|| format!("read {}", path.display()))?;
    let said = cargo::output(Command::new(peer).stdin(questions))?;
    let answers: Vec<Value> = said
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("parse the answers")?;
    ensure!(answers.len() == cases.len(), "not one answer a transaction");
    Ok(answers)
}

/// Everything that the golden data say must be in the answer.
fn check_good(case: &Value, answer: &Value) -> Result<()> {
    let members = case.as_object().context("no object")?;
    for (name, expected) in members {
        let asked = !NOT_ASKED.contains(&name.as_str());
        let found = answer.get(name).unwrap_or(&Value::Null);
        ensure!(
            !asked || found == expected,
            "{name} is {found}, not {expected}: {answer}"
        );
    }
    Ok(())
}
