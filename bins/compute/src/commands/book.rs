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
        Some(cap) => print::say!("cap    {cap} USD, {} left", cap.minus(spent).minus(open)),
        None => print::say!("cap    none; `compute budget --set 25` sets one"),
    }
    print::say!("spent  {spent} USD\nopen   {open} USD");
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
    let is_json = context.global.json;
    let row = |row: &Value| {
        if !is_json {
            print_row(row);
        }
    };
    let found = take_up(context, Duration::from_secs(patience), row).await?;
    if is_json {
        print::document(&json!({
            "result": found.end.word(), "purchases": found.purchases,
            "open_at_other_shops": found.elsewhere,
        }));
        return Ok(found.end);
    }
    if found.purchases.is_empty() {
        print::say!("nothing is open at {}", context.shop.origin());
    }
    for shop in &found.elsewhere {
        print::progress(&format!(
            "something is open at {shop}: --url takes you there"
        ));
    }
    Ok(found.end)
}

/// What became of open purchases.
#[derive(Debug)]
pub(crate) struct Found {
    /// `Unknown` when one of them still has no end.
    pub(crate) end: End,
    pub(crate) purchases: Vec<Value>,
    /// Other shops where something is open.
    pub(crate) elsewhere: Vec<String>,
}

/// Takes up what is open at this shop, and tells of each.
///
/// # Errors
/// When the book cannot be read.
pub(crate) async fn take_up(
    context: &Context,
    patience: Duration,
    mut tell: impl FnMut(&Value),
) -> Result<Found> {
    let origin = context.shop.origin();
    let (mine, others): (Vec<Open>, Vec<Open>) = context
        .book
        .open()?
        .into_iter()
        .partition(|open| open.shop == origin);
    let mut found = Found {
        end: End::Done,
        purchases: Vec::new(),
        elsewhere: others.into_iter().map(|open| open.shop).collect(),
    };
    for open in &mine {
        let row = match context.buyer().take_up(open, patience).await {
            // One that cannot be taken up here keeps no other from it.
            Err(error) => {
                found.end = End::Unknown;
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
                found.end = End::Unknown;
                json!({ "id": open.id, "result": "unknown", "error": last })
            }
            Ok(_) => json!({ "id": open.id, "result": "failed" }),
        };
        tell(&row);
        found.purchases.push(row);
    }
    Ok(found)
}

fn print_row(row: &Value) {
    let text = |member: &str| row.get(member).and_then(Value::as_str).unwrap_or_default();
    let order = row
        .pointer("/reply/order/id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    print::say!(
        "{}: {} {order}{}",
        text("id"),
        text("result"),
        text("error")
    );
    if let Some(key) = row
        .pointer("/reply/management_api_key")
        .and_then(Value::as_str)
    {
        print::say!("  key (keep it): {key}");
    }
}
