//! Pieces of work as their owner sees them: state, money, history. Never a payment's proof.

use compute_domain::id::OperationId;
use compute_domain::ledger::Transfer;
use compute_domain::operation::{Operation, OperationState};
use compute_engine::OperationView;
use compute_engine::ports::Event;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Dollars;
use super::receipt;
use crate::discovery::shapes;

/// One piece of work, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkItem {
    #[schema(value_type = String, format = "uuid")]
    id: OperationId,
    /// `provision`, `extend`, `topup`, `resize`, `power` or `destroy`.
    kind: &'static str,
    #[schema(schema_with = shapes::work_state)]
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    finished_at: Option<String>,
}

/// How the money for a piece of work went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MoneyItem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = shapes::settlement)]
    settlement: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<&'a str>,
    /// `false` when certainly nothing was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credited: Option<Dollars>,
    /// Since when the payment, which had settled, is gone from its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    payment_reverted_since: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryItem<'a> {
    #[schema(format = DateTime)]
    at: String,
    event: &'a str,
}

/// One movement of money.
#[derive(Debug, Serialize, ToSchema)]
struct TransferItem {
    reason: &'static str,
    amount: Dollars,
    #[schema(format = DateTime)]
    at: String,
}

/// One piece of work with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FullWorkItem<'a> {
    #[serde(flatten)]
    work: WorkItem,
    #[serde(flatten)]
    money: MoneyItem<'a>,
    transfers: Vec<TransferItem>,
    history: Vec<HistoryItem<'a>>,
}

impl WorkItem {
    pub(crate) fn new(operation: &Operation) -> Self {
        let (step, code) = match &operation.state {
            OperationState::Running(progress) => (Some(progress.step), None),
            OperationState::Succeeded => (None, None),
            OperationState::Failed { code } => (None, Some(*code)),
            OperationState::Stuck { code, step } => (Some(*step), Some(*code)),
        };
        Self {
            id: operation.id,
            kind: operation.kind.as_str(),
            state: operation.state.name(),
            step: step.map(|step| step.as_str()),
            code: code.map(|code| code.as_str()),
            created_at: operation.created_at.rfc3339(),
            finished_at: operation.finished_at.map(|at| at.rfc3339()),
        }
    }
}

impl<'a> MoneyItem<'a> {
    pub(crate) fn new(view: &'a OperationView) -> Self {
        let decline_code = receipt::decline_code(view);
        Self {
            settlement: receipt::settlement_word(view),
            tx_hash: receipt::tx_hash(view),
            charged: decline_code.map(|_| false),
            decline_code,
            credited: view.credited().map(Dollars),
            payment_reverted_since: view.reverted_since.map(|at| at.rfc3339()),
        }
    }
}

impl<'a> HistoryItem<'a> {
    pub(crate) fn list(events: &'a [Event]) -> Vec<Self> {
        let item = |event: &'a Event| Self {
            at: event.at.rfc3339(),
            event: &event.name,
        };
        events.iter().map(item).collect()
    }
}

impl TransferItem {
    fn new(transfer: &Transfer) -> Self {
        Self {
            reason: transfer.reason.as_str(),
            amount: Dollars(transfer.amount),
            at: transfer.created_at.rfc3339(),
        }
    }
}

impl<'a> FullWorkItem<'a> {
    pub(crate) fn new(view: &'a OperationView) -> Self {
        Self {
            work: WorkItem::new(&view.operation),
            money: MoneyItem::new(view),
            transfers: view.transfers.iter().map(TransferItem::new).collect(),
            history: HistoryItem::list(&view.history),
        }
    }
}
