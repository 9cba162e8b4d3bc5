//! The book: limits, ends, and what has none yet.

use std::time::Duration;

use anyhow::Result;
use compute_client::{Open, Outcome};
use serde_json::{Value, json};

use crate::args::Budget;
use crate::context::Context;
use crate::end::End;
use crate::print;

pub(super) fn budget(context: &Context, wanted: &Budget) -> Result<End> {
    if wanted.unlimited {
        context.book.set_cap(None)?;
    } else if let Some(cap) = wanted.set {
        context.book.set_cap(Some(cap))?;
    }
    let (cap, spent, open) = context.book.totals()?;
    if context.global.json {
        print::document(&json!({
            "result": "done", "cap_usd": cap, "spent_usd": spent, "open_usd": open,
        }));
        return Ok(End::Done);
    }
    match cap {
        Some(cap) => println!("cap    {cap} USD, {} left", cap.minus(spent).minus(open)),
        None => println!("cap    none; `compute budget --set 25` sets one"),
    }
    println!("spent  {spent} USD\nopen   {open} USD");
    Ok(End::Done)
}

pub(super) fn history(context: &Context) -> Result<End> {
    let closed = context.book.closed()?;
    if context.global.json {
        print::document(&json!({ "result": "done", "purchases": closed }));
        return Ok(End::Done);
    }
    let titles = ["PURCHASE", "USD", "END", "WHAT", "MACHINE"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(closed.iter().map(|it| {
        vec![
            it.id.clone(),
            it.price.to_string(),
            format!("{:?}", it.ending).to_lowercase(),
            it.path.clone(),
            it.order.clone(),
        ]
    }));
    print::table(&rows);
    Ok(End::Done)
}

pub(super) async fn recover(context: &Context, patience: u64) -> Result<End> {
    let patience = Duration::from_secs(patience);
    let origin = context.shop.origin();
    let (mine, others): (Vec<Open>, Vec<Open>) = context
        .book
        .open()?
        .into_iter()
        .partition(|open| open.shop == origin);
    let mut told = Vec::new();
    let mut end = End::Done;
    for open in &mine {
        let row = match context.buyer().take_up(open, patience).await {
            // One that cannot be taken up here keeps no other from it.
            Err(error) => {
                end = End::Unknown;
                json!({ "id": open.id, "result": "unknown", "error": error.to_string() })
            }
            Ok(Outcome::Paid(bought)) => json!({
                "id": open.id, "result": "done", "price_usd": open.price, "reply": bought.reply.body,
            }),
            Ok(Outcome::Credited { amount, bought }) => json!({
                "id": open.id, "result": "credited", "credited_usd": amount, "reply": bought.reply.body,
            }),
            Ok(Outcome::Refused(problem)) => json!({
                "id": open.id, "result": "refused", "charged": false, "error": problem.detail,
            }),
            Ok(Outcome::Unknown { last, .. }) => {
                end = End::Unknown;
                json!({ "id": open.id, "result": "unknown", "error": last })
            }
            Ok(_) => json!({ "id": open.id, "result": "failed" }),
        };
        if !context.global.json {
            print_row(&row);
        }
        told.push(row);
    }
    if context.global.json {
        let elsewhere: Vec<&str> = others.iter().map(|open| open.shop.as_str()).collect();
        print::document(&json!({
            "result": end.word(), "purchases": told, "open_at_other_shops": elsewhere,
        }));
    } else {
        if told.is_empty() {
            println!("nothing is open at {origin}");
        }
        for open in &others {
            print::progress(&format!(
                "{} is open at {}: --url takes you there",
                open.id, open.shop
            ));
        }
    }
    Ok(end)
}

fn print_row(row: &Value) {
    let text = |member: &str| row.get(member).and_then(Value::as_str).unwrap_or_default();
    let order = row
        .pointer("/reply/order/id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    println!(
        "{}: {} {order}{}",
        text("id"),
        text("result"),
        text("error")
    );
    if let Some(key) = row
        .pointer("/reply/management_api_key")
        .and_then(Value::as_str)
    {
        println!("  key (keep it): {key}");
    }
}
