//! `ops arrivals`, `ops assign`, `ops reverted`: what chains show and payments do not explain, and the
//! other way round.

use std::fmt::Write as _;

use anyhow::anyhow;
use compute_domain::WalletAddress;
use compute_domain::arrival::Arrival;
use compute_domain::id::ArrivalId;
use compute_domain::money::Usd;
use compute_engine::ports::RevertedPayment;
use compute_engine::{ArrivalsView, Engine, Error};
use serde_json::{Value, json};

use super::Answer;
use super::arguments::OpsCommand;
use super::table::Table;

/// Answers one of the three; others are not asked of it.
pub(super) async fn answer(command: &OpsCommand, engine: &Engine) -> anyhow::Result<Answer> {
    match command {
        OpsCommand::Assign { id, wallet, reason } => {
            let outcome = engine.assign_arrival(*id, wallet, reason).await;
            let amount = outcome.map_err(|error| refusal(error, *id))?;
            let document = assigned_json(*id, wallet, amount);
            Ok(Answer::new(assigned(*id, wallet, amount), document))
        }
        OpsCommand::Reverted => {
            let gone = engine.reverted().await?;
            Ok(Answer::new(reverted(&gone), reverted_json(&gone)))
        }
        _ => {
            let view = engine.arrivals().await?;
            Ok(Answer::new(arrivals(&view), arrivals_json(&view)))
        }
    }
}

fn arrivals(view: &ArrivalsView) -> String {
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

fn arrivals_json(view: &ArrivalsView) -> Value {
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

fn assigned(id: ArrivalId, wallet: &WalletAddress, amount: Usd) -> String {
    format!("Arrival {id} is credit now: the owner of {wallet} got {amount} USD.\n")
}

fn assigned_json(id: ArrivalId, wallet: &WalletAddress, amount: Usd) -> Value {
    json!({
        "arrival": id.to_string(),
        "wallet": wallet.to_string(),
        "credited": amount.to_string(),
    })
}

fn reverted(reverted: &[RevertedPayment]) -> String {
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
            super::text::payer(&gone.payment),
        ]);
    }
    format!(
        "{}\nServers look for them once a minute and send them again while the chain takes them. What was delivered stays delivered: decide about it with compute-server ops show <operation>\n",
        table.text(0)
    )
}

fn reverted_json(reverted: &[RevertedPayment]) -> Value {
    let reverted: Vec<Value> = reverted
        .iter()
        .map(|gone| {
            json!({
                "operation": gone.payment.operation.to_string(),
                "payment": gone.payment.id.to_string(),
                "since": gone.since.rfc3339(),
                "price": gone.payment.price.to_string(),
                "rail": gone.payment.rail.as_str(),
                "payer": gone.payment.payer.map(|payer| payer.to_string()),
                "reference": gone.payment.evidence().map(|shown| shown.reference.clone()),
            })
        })
        .collect();
    json!({ "reverted": reverted })
}

/// Why an arrival was not assigned, in an operator's words.
fn refusal(error: Error, id: ArrivalId) -> anyhow::Error {
    match error {
        Error::NotFound => anyhow!("there is no arrival {id}"),
        Error::WrongState { state } => {
            anyhow!("arrival {id} is {state}, not unmatched: nothing was done")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use compute_domain::arrival::ArrivalState;
    use compute_domain::money::AssetAmount;
    use compute_domain::payment::RailLabel;
    use compute_domain::time::Timestamp;
    use compute_engine::ports::ArrivalSource;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn stray() -> Arrival {
        Arrival {
            id: "00000000-0000-0000-0000-000000000001".parse().unwrap(),
            source: "eip155:8453/token/pay-to".into(),
            rail: RailLabel::parse("base").unwrap(),
            reference: "0xab".into(),
            log_index: 4,
            payer: Some("0xcd".into()),
            asset: AssetAmount {
                atomic: 7_000_000,
                decimals: 6,
            },
            transfers: 1,
            at: NOW,
            state: ArrivalState::Unmatched,
        }
    }

    fn source() -> ArrivalSource {
        ArrivalSource {
            source: "eip155:8453/token/pay-to".into(),
            cursor: "77".into(),
            started_at: NOW,
            read_up_to: NOW,
            small_atomic: 12,
            small_transfers: 3,
        }
    }

    fn view(waiting: Vec<Arrival>, unmatched: Vec<Arrival>) -> ArrivalsView {
        ArrivalsView {
            sources: vec![source()],
            waiting,
            unmatched,
        }
    }

    #[test]
    fn an_operator_is_told_what_to_do_about_money_without_a_payment() {
        let nothing = ArrivalsView {
            sources: Vec::new(),
            ..view(Vec::new(), Vec::new())
        };
        assert!(arrivals(&nothing).starts_with("No server has read"));
        let calm = arrivals(&view(Vec::new(), Vec::new()));
        assert!(calm.contains("No money is in suspense"), "{calm}");
        let mut together = stray();
        (together.payer, together.transfers) = (None, 9);
        let told = arrivals(&view(vec![stray()], vec![together]));
        for words in ["still undecided", "ops assign", "many", "0xcd", "7.00"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let document = arrivals_json(&view(Vec::new(), vec![stray()]));
        assert_eq!(document["unmatched"][0]["amount"], "7.00");
        assert_eq!(document["sources"][0]["small_transfers"], 3);
    }

    #[test]
    fn a_refusal_says_what_the_arrival_is() {
        let id = stray().id;
        let refused = refusal(Error::WrongState { state: "matched" }, id).to_string();
        assert!(refused.contains("is matched, not unmatched"), "{refused}");
        let unknown = refusal(Error::NotFound, id).to_string();
        assert!(unknown.contains("no arrival"), "{unknown}");
    }

    #[test]
    fn no_payment_is_gone_in_words() {
        assert!(reverted(&[]).starts_with("Every settled payment"));
        assert_eq!(reverted_json(&[])["reverted"], serde_json::json!([]));
    }
}
