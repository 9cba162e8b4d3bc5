//! What the partners wrote down: the evidence that does not come from us.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The mark by which a machine names the operation it was made for.
const OPERATION: &str = "x402-op=";

/// A settlement of a payment network's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settlement {
    pub(super) from: String,
    pub(super) to: String,
    /// In atomic units of the token.
    pub(super) value: String,
    pub(super) transaction: String,
}

/// What a cloud's journal says.
#[derive(Debug, Default)]
pub(super) struct Machines {
    /// Id and root password of those that exist, oldest first.
    pub(super) alive: Vec<(String, String)>,
    /// How many were ever made.
    pub(super) made: usize,
    /// The operations they were made for.
    pub(super) operations: BTreeSet<String>,
    /// The root password of each that ever existed, by its id.
    pub(super) passwords: BTreeMap<String, String>,
    /// The plan that each was given later.
    pub(super) plans: BTreeMap<String, String>,
    /// The operation that each was made for.
    pub(super) made_for: BTreeMap<String, String>,
}

/// Reads the settlements of payment networks' journals, each oldest first.
pub(super) fn read_settlements(journals: &[PathBuf]) -> Result<Vec<Settlement>> {
    let mut all = Vec::new();
    for journal in journals {
        all.extend(settlements(&read(journal)?)?);
    }
    Ok(all)
}

/// Reads a cloud's journal.
pub(super) fn read_machines(journal: &Path) -> Result<Machines> {
    machines(&read(journal)?)
}

fn settlements(events: &[Value]) -> Result<Vec<Settlement>> {
    let settled = events.iter().filter(|event| kind(event) == "settled");
    settled
        .map(|settled| {
            Ok(Settlement {
                from: text(settled, "from")?.to_ascii_lowercase(),
                to: text(settled, "to")?,
                value: text(settled, "value")?,
                transaction: text(settled, "transaction")?,
            })
        })
        .collect()
}

fn machines(events: &[Value]) -> Result<Machines> {
    let mut machines = Machines::default();
    for event in events {
        match kind(event) {
            "created" => {
                machines.made += 1;
                let (operation, id) = (operation_of(event)?, text(event, "id")?);
                machines.operations.insert(operation.clone());
                machines.made_for.insert(id.clone(), operation);
                let password = text(event, "password")?;
                machines.passwords.insert(id.clone(), password.clone());
                machines.alive.push((id, password));
            }
            "plan_changed" => {
                machines
                    .plans
                    .insert(text(event, "id")?, text(event, "plan")?);
            }
            "reinstalled" => {
                let (id, password) = (text(event, "id")?, text(event, "password")?);
                for (own, present) in &mut machines.alive {
                    if *own == id {
                        present.clone_from(&password);
                    }
                }
                machines.passwords.insert(id, password);
            }
            "deleted" => {
                let id = text(event, "id")?;
                let before = machines.alive.len();
                machines.alive.retain(|(own, _)| *own != id);
                ensure!(
                    machines.alive.len() < before,
                    "{id} was deleted and did not exist"
                );
            }
            _ => {}
        }
    }
    Ok(machines)
}

fn operation_of(created: &Value) -> Result<String> {
    let tags = created.pointer("/body/tags").and_then(Value::as_array);
    tags.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find_map(|tag| tag.strip_prefix(OPERATION))
        .map(str::to_owned)
        .with_context(|| format!("a machine of no operation: {created}"))
}

fn read(journal: &Path) -> Result<Vec<Value>> {
    let lines =
        fs::read_to_string(journal).with_context(|| format!("read {}", journal.display()))?;
    lines
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("{} holds {line:?}", journal.display()))
        })
        .collect()
}

fn kind(event: &Value) -> &str {
    event
        .get("event")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn text(event: &Value, member: &str) -> Result<String> {
    let found = event.get(member).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("no {member} in {event}"))?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn created(id: &str, operation: &str) -> Value {
        json!({
            "event": "created", "id": id, "password": format!("pw-{id}"),
            "body": {"tags": ["x402compute-prod", format!("x402-op={operation}")]},
        })
    }

    #[test]
    fn settlements_are_picked_out_of_the_journal() {
        let settled = json!({
            "event": "settled", "from": "0x3", "to": "0x1", "value": "5", "transaction": "0x2",
        });
        let other = json!({"event": "balance_set"});
        let all = settlements(&[settled.clone(), other.clone(), settled]).unwrap();
        assert_eq!((all.len(), all[0].value.as_str()), (2, "5"));
        assert_eq!(settlements(&[other]).unwrap(), []);
        assert!(settlements(&[json!({"event": "settled"})]).is_err());
    }

    #[test]
    fn deleted_machines_are_not_alive() {
        let deleted = json!({"event": "deleted", "id": "a"});
        let all = machines(&[created("a", "1"), created("b", "1"), deleted.clone()]).unwrap();
        assert_eq!(all.alive, [("b".to_owned(), "pw-b".to_owned())]);
        assert_eq!((all.made, all.operations.len()), (2, 1));
        assert_eq!(all.passwords["a"], "pw-a");
        assert_eq!(all.made_for["b"], "1");
        assert!(machines(&[deleted]).is_err());
    }

    #[test]
    fn a_machine_without_our_mark_is_an_error() {
        let stray = json!({"event": "created", "id": "a", "password": "p", "body": {"tags": []}});
        assert!(machines(&[stray]).is_err());
    }
}
