//! What a test wants to go wrong.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What happens to one request of a method. *After* means that the chain did what was asked.
///
/// As JSON `{"kind": "drop_after"}`, or with what it needs `{"kind": "status_after", "with": 504}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "with", rename_all = "snake_case")]
pub enum Fault {
    /// Nothing: it lets one request pass before the one that is meant.
    Nothing,
    /// The connection closes; the chain never sees the request.
    DropBefore,
    /// The chain does it, and the connection closes instead of an answer.
    DropAfter,
    /// The request waits until [`Handle::release`](super::Handle::release), and is carried out then.
    HoldBefore,
    /// The chain does it, and the answer waits until [`Handle::release`](super::Handle::release).
    HoldAfter,
    /// This status, and the chain does nothing.
    StatusBefore(u16),
    /// The chain does it and answers with this status.
    StatusAfter(u16),
    /// The chain does it and answers with text that is no JSON.
    GarbageAfter,
    /// For sending: the error code 4 of a wait that ended, with the hash; the chain never sees it.
    TimeOutBefore,
    /// For sending: the error code 4 of a wait that ended, with the hash; the chain has it.
    TimeOutAfter,
    /// For sending: the error `already known`; the chain has it.
    AlreadyKnownAfter,
    /// For sending: the chain takes the transaction and undoes its calls; only the fee is paid.
    /// For receipts: the answer says so, whatever is true.
    Reverted,
    /// For receipts: null, as if it were not included yet.
    Null,
    /// For whatever only looks: it is answered by a machine that is so many seconds behind.
    Behind(u64),
    /// For receipts: the hash of another transaction.
    WrongHash,
    /// For receipts: transfers with the memo of something else.
    OtherMemo,
    /// For receipts: an empty log.
    NoLogs,
    /// For receipts: a log that the chain took back.
    RemovedLogs,
    /// An error of JSON-RPC, and the chain does nothing.
    Error {
        /// The code.
        code: i64,
        /// The sentence.
        message: String,
    },
}

/// The faults that are still to come, by method, and how often each kind has struck.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pending: BTreeMap<String, VecDeque<Fault>>,
    struck: BTreeMap<String, u64>,
}

impl Faults {
    pub(super) fn push(&mut self, method: &str, fault: Fault) {
        self.pending
            .entry(method.to_owned())
            .or_default()
            .push_back(fault);
    }

    pub(super) fn take(&mut self, method: &str) -> Fault {
        let due = self.pending.get_mut(method).and_then(VecDeque::pop_front);
        let Some(fault) = due else {
            return Fault::Nothing;
        };
        let strikes = self.struck.entry(fault.kind()).or_default();
        *strikes = strikes.saturating_add(1);
        fault
    }

    pub(super) fn len(&self) -> usize {
        self.pending.values().map(VecDeque::len).sum()
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// How many are still to strike, and how often each kind has struck so far.
    pub(super) fn report(&self) -> Value {
        json!({"pending": self.len(), "struck": self.struck})
    }
}

impl Fault {
    /// The word by which it is ordered.
    fn kind(&self) -> String {
        let written = serde_json::to_value(self).unwrap_or_default();
        let kind = written.get("kind").and_then(Value::as_str);
        kind.unwrap_or_default().to_owned()
    }

    /// Changes a receipt into the one that the fault wants.
    pub(super) fn edit(&self, receipt: &mut Value) {
        let Some(members) = receipt.as_object_mut() else {
            return;
        };
        match self {
            Self::Null => *receipt = Value::Null,
            Self::WrongHash => {
                members.insert(
                    "transactionHash".to_owned(),
                    format!("0x{}", "ee".repeat(32)).into(),
                );
            }
            Self::Reverted => {
                members.insert("status".to_owned(), "0x0".into());
                // What is left of a reverted transaction is its fee, the last entry.
                if let Some(logs) = members.get_mut("logs").and_then(Value::as_array_mut) {
                    let fee = logs.pop();
                    logs.clear();
                    logs.extend(fee);
                }
            }
            Self::OtherMemo => {
                let logs = members.get_mut("logs").and_then(Value::as_array_mut);
                for log in logs.into_iter().flatten() {
                    if let Some(memo) = log.pointer_mut("/topics/3") {
                        *memo = format!("0x{}", "ee".repeat(32)).into();
                    }
                }
            }
            Self::NoLogs => {
                members.insert("logs".to_owned(), Value::Array(Vec::new()));
            }
            Self::RemovedLogs => {
                let logs = members.get_mut("logs").and_then(Value::as_array_mut);
                for log in logs.into_iter().flatten().filter_map(Value::as_object_mut) {
                    log.insert("removed".to_owned(), true.into());
                }
            }
            _ => {}
        }
    }
}
