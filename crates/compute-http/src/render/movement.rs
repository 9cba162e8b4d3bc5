//! Movements of an owner's money, as JSON and as a row of a table. Amounts are exact decimal texts.

use std::borrow::Cow;

use compute_domain::id::{InstanceId, OperationId, TransferId};
use compute_domain::ledger::Account;
use compute_engine::ports::Movement;
use serde::Serialize;
use utoipa::ToSchema;

/// The columns of the table, for good: new ones are only ever added at the end.
pub(crate) const COLUMNS: [&str; 11] = [
    "time",
    "id",
    "reason",
    "effect",
    "amount_usd",
    "balance_usd",
    "seq",
    "network",
    "order_id",
    "operation_id",
    "tx_hash",
];

/// One movement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Movement)]
pub(crate) struct MovementItem<'a> {
    #[schema(value_type = String, format = "uuid")]
    id: TransferId,
    at: String,
    reason: &'static str,
    /// What it did to the credits: `credit`, `debit`, or `none` for what went past them.
    effect: &'static str,
    amount: String,
    /// The credits after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    /// Counts the movements of the credits, from 1 and without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    /// How the money travelled, when it came or went over a payment network.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    order_id: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    operation_id: Option<OperationId>,
    /// By which the payment for that work arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<&'a str>,
}

impl<'a> MovementItem<'a> {
    pub(crate) fn new(movement: &'a Movement) -> Self {
        let transfer = &movement.transfer;
        let network = match (&transfer.debit, &transfer.credit) {
            (Account::Clearing(rail), _) | (_, Account::Clearing(rail)) => Some(rail.as_str()),
            _ => None,
        };
        let effect = match (&transfer.debit, &transfer.credit) {
            (Account::Credits(_), _) => "debit",
            (_, Account::Credits(_)) => "credit",
            _ => "none",
        };
        Self {
            id: transfer.id,
            at: transfer.created_at.rfc3339(),
            reason: transfer.reason.as_str(),
            effect,
            amount: transfer.amount.to_string(),
            balance: movement.link.map(|link| link.balance_after.to_string()),
            seq: movement.link.map(|link| link.seq),
            network,
            order_id: movement.instance,
            operation_id: transfer.cause.operation(),
            tx_hash: movement.reference.as_deref(),
        }
    }

    /// Its cells, in the order of [`COLUMNS`].
    pub(crate) fn cells(&self) -> [Cow<'_, str>; COLUMNS.len()] {
        let shown = |value: Option<String>| Cow::Owned(value.unwrap_or_default());
        [
            Cow::Borrowed(self.at.as_str()),
            Cow::Owned(self.id.to_string()),
            Cow::Borrowed(self.reason),
            Cow::Borrowed(self.effect),
            Cow::Borrowed(self.amount.as_str()),
            Cow::Borrowed(self.balance.as_deref().unwrap_or_default()),
            shown(self.seq.map(|seq| seq.to_string())),
            Cow::Borrowed(self.network.unwrap_or_default()),
            shown(self.order_id.map(|id| id.to_string())),
            shown(self.operation_id.map(|id| id.to_string())),
            Cow::Borrowed(self.tx_hash.unwrap_or_default()),
        ]
    }
}
