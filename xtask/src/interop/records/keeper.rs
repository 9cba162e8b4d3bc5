//! Who keeps a journal, and so how it reads.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The mark of all machines of an installation with the default environment.
const FLEET: &str = "x402compute-prod";

/// The mark that names the operation a machine was made for.
const OPERATION: &str = "x402-op=";

/// The environment that `dev` writes on its machines.
const DEV_ENVIRONMENT: &str = "dev";

/// The program that writes the journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The facilitator and the cloud beside `serve`: `{"event": "created", …}`.
    StandIns,
    /// The simulators inside `dev`: `{"created": {…}}`.
    Simulators,
}

/// Money that moved. Texts are as they were written.
#[derive(Debug)]
pub(crate) struct Settlement {
    /// A network, as either version of x402 calls it.
    pub(crate) network: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// In atomic units of the token.
    pub(crate) value: String,
    /// What only a facilitator knows.
    pub(crate) facilitated: Option<Facilitated>,
}

/// How a facilitator was asked, and what it answered.
#[derive(Debug)]
pub(crate) struct Facilitated {
    pub(crate) transaction: String,
    pub(crate) x402_version: u64,
}

/// A machine that was made.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What was asked for, by the names of the order; a simulator keeps no image.
    pub(crate) asked: Vec<(&'static str, Value)>,
    /// The operation it was made for.
    pub(crate) operation: String,
}

impl Keeper {
    /// The settlements, oldest first.
    pub(crate) fn settlements(self, journal: &Path) -> Result<Vec<Settlement>> {
        let events = self.read(journal, "settled")?;
        events.iter().map(|event| self.settlement(event)).collect()
    }

    fn settlement(self, event: &Value) -> Result<Settlement> {
        let value = text(event, "/value")?;
        match self {
            Self::StandIns => Ok(Settlement {
                network: text(event, "/network")?,
                from: text(event, "/from")?,
                to: text(event, "/to")?,
                value,
                facilitated: Some(Facilitated {
                    transaction: text(event, "/transaction")?,
                    x402_version: event
                        .get("x402_version")
                        .and_then(Value::as_u64)
                        .with_context(|| format!("no x402_version in {event}"))?,
                }),
            }),
            Self::Simulators => {
                let proof_key = text(event, "/proof_key")?;
                let parts: Vec<&str> = proof_key.split(':').collect();
                let ["eip3009", chain, _token, payer, _nonce] = parts.as_slice() else {
                    anyhow::bail!("{proof_key} is no EIP-3009 authorization");
                };
                let from = text(event, "/payer")?;
                ensure!(
                    payer.eq_ignore_ascii_case(&from),
                    "{from} paid with the authorization {proof_key}"
                );
                Ok(Settlement {
                    network: format!("eip155:{chain}"),
                    from,
                    to: text(event, "/pay_to")?,
                    value,
                    facilitated: None,
                })
            }
        }
    }

    /// The machines that were made, oldest first.
    pub(crate) fn machines(self, journal: &Path) -> Result<Vec<Machine>> {
        let events = self.read(journal, "created")?;
        events.iter().map(|event| self.machine(event)).collect()
    }

    fn machine(self, event: &Value) -> Result<Machine> {
        let (asked, members, operation) = match self {
            Self::StandIns => {
                let asked = event.get("body").unwrap_or(&Value::Null);
                let members = ["plan", "region", "os_id"].as_slice();
                (asked, members, operation_of_tags(event)?)
            }
            Self::Simulators => {
                let environment = text(event, "/tag/environment")?;
                ensure!(
                    environment == DEV_ENVIRONMENT,
                    "a machine without our mark: {event}"
                );
                let members = ["plan", "region"].as_slice();
                (event, members, text(event, "/tag/operation")?)
            }
        };
        let member = |name: &&'static str| (*name, asked.get(name).cloned().unwrap_or_default());
        Ok(Machine {
            asked: members.iter().map(member).collect(),
            operation,
        })
    }

    /// How many machines are gone again.
    pub(crate) fn count_deleted(self, journal: &Path) -> Result<usize> {
        let word = match self {
            Self::StandIns => "deleted",
            Self::Simulators => "destroyed",
        };
        Ok(self.read(journal, word)?.len())
    }

    /// The events of one kind in a journal, oldest first.
    fn read(self, journal: &Path, kind: &str) -> Result<Vec<Value>> {
        let content =
            fs::read_to_string(journal).with_context(|| format!("read {}", journal.display()))?;
        let mut events = Vec::new();
        for line in content.lines() {
            let event: Value = serde_json::from_str(line)
                .with_context(|| format!("{} holds {line:?}", journal.display()))?;
            match self {
                Self::StandIns if event.get("event").and_then(Value::as_str) == Some(kind) => {
                    events.push(event);
                }
                Self::StandIns => {}
                Self::Simulators => events.extend(event.get(kind).cloned()),
            }
        }
        Ok(events)
    }
}

/// The operation that a machine says it was made for.
fn operation_of_tags(machine: &Value) -> Result<String> {
    let tags: Vec<&str> = machine
        .pointer("/body/tags")
        .and_then(Value::as_array)
        .map(|tags| tags.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    ensure!(
        tags.contains(&FLEET),
        "a machine without our mark: {machine}"
    );
    let operation = tags.iter().find_map(|tag| tag.strip_prefix(OPERATION));
    operation
        .map(str::to_owned)
        .with_context(|| format!("a machine of no operation: {machine}"))
}

fn text(event: &Value, pointer: &str) -> Result<String> {
    event
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("no text at {pointer} in {event}"))
}
