//! Money at the shop.

use anyhow::Result;
use compute_client::Means;
use serde_json::{Value, json};

use super::buy::{self, Deal};
use crate::args::Credits;
use crate::context::Context;
use crate::end::End;
use crate::print::{self, cell};

pub(super) async fn run(context: &Context, wanted: &Credits) -> Result<End> {
    match wanted {
        Credits::Balance => balance(context).await,
        Credits::Topup { amount, purchase } => {
            context.who()?;
            // As a number: what is written has no more digits than the amount.
            let number: Value = serde_json::from_str(&amount.to_string())?;
            let body = json!({ "amount": number, "network": "base" });
            let deal = Deal {
                path: "/compute/credits/topup",
                body: &body,
                means: Means::Base,
                terms: purchase,
                what: format!("{amount} USD of credits"),
            };
            buy::finish(context, &deal).await
        }
    }
}

async fn balance(context: &Context) -> Result<End> {
    let reply = context
        .shop
        .get("/compute/credits/balance", context.who()?)
        .await?;
    if context.global.json {
        print::document(&json!({ "result": "done", "reply": reply.body }));
    } else {
        println!("{} USD", cell(&reply.body, "/balance"));
    }
    Ok(End::Done)
}
