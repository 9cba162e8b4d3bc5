//! Money at the shop.

use anyhow::Result;
use serde_json::json;

use super::buy::{self, Deal};
use crate::args::Credits;
use crate::context::Context;
use crate::end::End;
use crate::goods::{self, TOPUP};
use crate::print::{self, cell};

pub(super) async fn run(context: &Context, wanted: &Credits) -> Result<End> {
    match wanted {
        Credits::Balance => balance(context).await,
        Credits::Topup {
            amount,
            pay,
            purchase,
        } => {
            context.who()?;
            let body = goods::topup(*amount, *pay)?;
            let deal = Deal {
                path: TOPUP,
                body: &body,
                means: *pay,
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
        print::say!("{} USD", cell(&reply.body, "/balance"));
    }
    Ok(End::Done)
}
