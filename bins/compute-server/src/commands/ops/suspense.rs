//! `ops arrivals`, `ops assign`, `ops reverted`: what chains show and payments do not explain, and the
//! other way round.

use std::fmt::Write as _;

use anyhow::anyhow;
use compute_domain::WalletAddress;
use compute_domain::arrival::Arrival;
use compute_domain::id::ArrivalId;
use compute_domain::money::Usd;
use compute_engine::ports::RevertedPayment;
use compute_engine::{ArrivalsView, Error};
use serde_json::{Value, json};

use super::table::Table;

pub(super) fn arrivals(view: &ArrivalsView) -> String {
    let mut text = String::new();
    if view.sources.is_empty() {
        text.push_str("No server has read yet what arrives.\n");
        return text;
    }
    let mut sources = Table::new(&["source", "read up to", "small transfers not booked yet"]);
    for source in &view.sources {
        sources.row([
            source.source.clone(),
            source.read_up_to.rfc3339(),
            source.small_transfers.to_string(),
        ]);
    }
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{}", sources.text(0));
    if !view.waiting.is_empty() {
        let _ = writeln!(
            text,
            "A payment that is still undecided may explain these:\n{}",
            table(&view.waiting)
        );
    }
    if view.unmatched.is_empty() {
        text.push_str("No money is in suspense for want of a payment.\n");
        return text;
    }
    let _ = writeln!(
        text,
        "No payment explains these; they are in suspense:\n{}",
        table(&view.unmatched)
    );
    text.push_str(
        "To make one somebody's credit: compute-server ops assign <arrival> --wallet <address> --reason \"…\"\n",
    );
    text
}

fn table(arrivals: &[Arrival]) -> String {
    let head = [
        "arrival",
        "when",
        "USD",
        "rail",
        "from",
        "transfers",
        "transaction",
    ];
    let mut table = Table::new(&head);
    for arrival in arrivals {
        table.row([
            arrival.id.to_string(),
            arrival.at.rfc3339(),
            arrival.worth().to_string(),
            arrival.rail.to_string(),
            arrival.payer.clone().unwrap_or_else(|| "many".to_owned()),
            arrival.transfers.to_string(),
            arrival.reference.clone(),
        ]);
    }
    table.text(0)
}

pub(super) fn arrivals_json(view: &ArrivalsView) -> Value {
    let sources: Vec<Value> = view
        .sources
        .iter()
        .map(|source| {
            json!({
                "source": source.source,
                "cursor": source.cursor,
                "read_up_to": source.read_up_to.rfc3339(),
                "small_transfers": source.small_transfers,
                "small_atomic_amount": source.small_atomic.to_string(),
            })
        })
        .collect();
    let of = |arrivals: &[Arrival]| arrivals.iter().map(arrival).collect::<Vec<Value>>();
    json!({
        "sources": sources,
        "waiting": of(&view.waiting),
        "unmatched": of(&view.unmatched),
    })
}

fn arrival(arrival: &Arrival) -> Value {
    json!({
        "id": arrival.id.to_string(),
        "state": arrival.state.name(),
        "source": arrival.source,
        "rail": arrival.rail.as_str(),
        "reference": arrival.reference,
        "log_index": arrival.log_index,
        "payer": arrival.payer,
        "amount": arrival.worth().to_string(),
        "atomic_amount": arrival.asset.atomic.to_string(),
        "transfers": arrival.transfers,
        "at": arrival.at.rfc3339(),
    })
}

pub(super) fn assigned(id: ArrivalId, wallet: &WalletAddress, amount: Usd) -> String {
    format!("Arrival {id} is credit now: the owner of {wallet} got {amount} USD.\n")
}

pub(super) fn assigned_json(id: ArrivalId, wallet: &WalletAddress, amount: Usd) -> Value {
    json!({
        "arrival": id.to_string(),
        "wallet": wallet.to_string(),
        "credited": amount.to_string(),
    })
}

pub(super) fn reverted(reverted: &[RevertedPayment]) -> String {
    if reverted.is_empty() {
        return "Every settled payment is in its chain, as far as is known.\n".to_owned();
    }
    let mut table = Table::new(&["operation", "gone since", "USD", "rail", "payer"]);
    for gone in reverted {
        table.row([
            gone.payment.operation.to_string(),
            gone.since.rfc3339(),
            gone.payment.price.to_string(),
            gone.payment.rail.to_string(),
            gone.payment.payer.to_string(),
        ]);
    }
    format!(
        "{}\nServers look for them once a minute and send them again while the chain takes them. What was delivered stays delivered: decide about it with compute-server ops show <operation>\n",
        table.text(0)
    )
}

pub(super) fn reverted_json(reverted: &[RevertedPayment]) -> Value {
    let reverted: Vec<Value> = reverted
        .iter()
        .map(|gone| {
            json!({
                "operation": gone.payment.operation.to_string(),
                "payment": gone.payment.id.to_string(),
                "since": gone.since.rfc3339(),
                "price": gone.payment.price.to_string(),
                "rail": gone.payment.rail.as_str(),
                "payer": gone.payment.payer.to_string(),
                "reference": gone.payment.evidence().map(|shown| shown.reference.clone()),
            })
        })
        .collect();
    json!({ "reverted": reverted })
}

/// Why an arrival was not assigned, in an operator's words.
pub(super) fn refusal(error: Error, id: ArrivalId) -> anyhow::Error {
    match error {
        Error::NotFound => anyhow!("there is no arrival {id}"),
        Error::WrongState { state } => {
            anyhow!("arrival {id} is {state}, not unmatched: nothing was done")
        }
        other => other.into(),
    }
}
