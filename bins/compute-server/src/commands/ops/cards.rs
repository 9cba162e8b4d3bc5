//! `ops refund --to-card`, `ops refunds`, `ops disputes`: card payments that go back to their buyers, or may
//! have to.

use std::fmt::Write as _;

use anyhow::anyhow;
use compute_domain::id::OperationId;
use compute_domain::reserve::{DisputeState, Reserve, ReserveState};
use compute_engine::{CardRefund, DisputeView, Engine, Error};
use serde_json::{Value, json};

use super::Answer;
use super::arguments::OpsCommand;
use super::table::{Table, clean};

/// Answers one of the three; others are not asked of it.
pub(super) async fn answer(command: &OpsCommand, engine: &Engine) -> anyhow::Result<Answer> {
    match command {
        OpsCommand::Refund {
            id,
            reason,
            amount,
            key,
            ..
        } => {
            let order = CardRefund {
                operation: *id,
                amount: *amount,
                name: key.clone(),
                reason: reason.clone(),
            };
            let outcome = engine.refund_to_card(&order).await;
            let (reserve, is_new) = outcome.map_err(|error| refusal(error, *id))?;
            Ok(Answer::new(
                refunded(&reserve, *id, is_new),
                json!({ "operation": id.to_string(), "new": is_new, "refund": refund(&reserve) }),
            ))
        }
        OpsCommand::Disputes => {
            let views = engine.disputes(false).await?;
            let document: Vec<Value> = views.iter().map(dispute).collect();
            let mut text = disputes(&views);
            if views.is_empty() {
                text.push_str("Nobody has disputed a payment.\n");
            }
            Ok(Answer::new(text, json!({ "disputes": document })))
        }
        _ => {
            let found = engine.card_refunds().await?;
            let document: Vec<Value> = found.iter().map(refund).collect();
            let mut text = refunds(&found);
            if found.is_empty() {
                text.push_str("Nothing was given back to a card.\n");
            }
            Ok(Answer::new(text, json!({ "refunds": document })))
        }
    }
}

/// What `ops list` has to say of card payments: open disputes, and refunds that are not done.
pub(super) async fn add_to_list(answer: &mut Answer, engine: &Engine) -> anyhow::Result<()> {
    let views = engine.disputes(true).await?;
    let mut held = engine.card_refunds().await?;
    held.retain(|reserve| reserve.state == ReserveState::Held);
    if !views.is_empty() {
        let _ = write!(
            answer.text,
            "\n{}\nThese payments are disputed: answer at the payment network. What was left of them as credit is frozen.\n",
            disputes(&views)
        );
    }
    if !held.is_empty() {
        let _ = write!(
            answer.text,
            "\n{}\nThese refunds are on their way.\n",
            refunds(&held)
        );
    }
    if let Value::Object(document) = &mut answer.document {
        let views = views.iter().map(dispute).collect();
        document.insert("disputes".to_owned(), Value::Array(views));
        let held = held.iter().map(refund).collect();
        document.insert("refunds".to_owned(), Value::Array(held));
    }
    Ok(())
}

fn refunded(reserve: &Reserve, id: OperationId, is_new: bool) -> String {
    let amount = reserve.amount;
    let name = clean(&reserve.name);
    let what = match &reserve.state {
        ReserveState::Held if is_new => format!(
            "{amount} USD are taken from the credit and go back to the card. A running server sends them"
        ),
        ReserveState::Held => format!("{amount} USD are on their way back to the card"),
        ReserveState::Paid { reference } => {
            format!("{amount} USD went back to the card ({})", clean(reference))
        }
        ReserveState::Released { code } => format!(
            "the payment network refused to give {amount} USD back ({}): they are credit again",
            clean(code)
        ),
    };
    format!("Operation {id}, refund {name}: {what}.\nWhere it is: compute-server ops refunds\n")
}

fn refunds(reserves: &[Reserve]) -> String {
    if reserves.is_empty() {
        return String::new();
    }
    let head = [
        "refund", "name", "begun", "amount", "state", "shown by", "reason",
    ];
    let mut table = Table::new(&head);
    for reserve in reserves {
        let shown = match &reserve.state {
            ReserveState::Held => "-",
            ReserveState::Paid { reference } => reference,
            ReserveState::Released { code } => code,
        };
        table.row([
            reserve.id.to_string(),
            reserve.name.clone(),
            reserve.created_at.rfc3339(),
            reserve.amount.to_string(),
            word(&reserve.state).to_owned(),
            shown.to_owned(),
            reserve.note.clone(),
        ]);
    }
    table.text(0)
}

const fn word(state: &ReserveState) -> &'static str {
    match state {
        ReserveState::Held => "pending",
        ReserveState::Paid { .. } => "succeeded",
        ReserveState::Released { .. } => "failed",
    }
}

fn disputes(views: &[DisputeView]) -> String {
    if views.is_empty() {
        return String::new();
    }
    let head = [
        "dispute",
        "payment",
        "operation",
        "opened",
        "amount",
        "frozen",
        "state",
        "status",
    ];
    let mut table = Table::new(&head);
    for view in views {
        let dispute = &view.dispute;
        table.row([
            dispute.reference.clone(),
            view.payment.clone().unwrap_or_default(),
            view.operation.to_string(),
            dispute.opened_at.rfc3339(),
            dispute.amount.to_string(),
            view.frozen.to_string(),
            dispute.state.to_string(),
            dispute.status.clone(),
        ]);
    }
    table.text(0)
}

fn refund(reserve: &Reserve) -> Value {
    let (reference, code) = match &reserve.state {
        ReserveState::Held => (None, None),
        ReserveState::Paid { reference } => (Some(reference), None),
        ReserveState::Released { code } => (None, Some(code)),
    };
    json!({
        "id": reserve.id.to_string(),
        "name": reserve.name,
        "amount": reserve.amount.to_string(),
        "state": word(&reserve.state),
        "reference": reference,
        "refused_because": code,
        "reason": reserve.note,
        "owner": reserve.owner.to_string(),
        "begun_at": reserve.created_at.rfc3339(),
    })
}

fn dispute(view: &DisputeView) -> Value {
    let dispute = &view.dispute;
    json!({
        "dispute": dispute.reference,
        "rail": dispute.rail.as_str(),
        "payment": view.payment,
        "operation": view.operation.to_string(),
        "owner": dispute.owner.to_string(),
        "amount": dispute.amount.to_string(),
        "frozen": view.frozen.to_string(),
        "paid_back": view.paid.to_string(),
        "state": dispute.state.as_str(),
        "is_open": dispute.state == DisputeState::Open,
        "status": dispute.status,
        "opened_at": dispute.opened_at.rfc3339(),
        "seen_at": dispute.seen_at.rfc3339(),
    })
}

/// Why nothing was given back, in an operator's words.
fn refusal(error: Error, id: OperationId) -> anyhow::Error {
    match error {
        Error::NotFound => anyhow!("there is no operation {id}"),
        Error::WrongState {
            state: "not_by_card",
        } => {
            anyhow!("operation {id} was not paid by card: nothing was done")
        }
        Error::WrongState {
            state: "other_amount",
        } => anyhow!(
            "a refund of operation {id} has this name and another amount: nothing was done; name another one with --key"
        ),
        Error::WrongState {
            state: "no_such_amount",
        } => {
            anyhow!("the card's currency has no such amount: nothing was done")
        }
        Error::InsufficientCredits { balance, .. } => anyhow!(
            "of the payment for operation {id}, {balance} USD are left as credit that can go back: nothing was done"
        ),
        other => other.into(),
    }
}
