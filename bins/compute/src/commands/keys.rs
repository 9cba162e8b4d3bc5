//! Keys that act for the wallet.

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use crate::args::Keys;
use crate::context::Context;
use crate::end::End;
use crate::goods;
use crate::print::{self, cell};

const PATH: &str = "/compute/api-keys";

pub(super) async fn run(context: &Context, wanted: &Keys) -> Result<End> {
    let who = context.who()?;
    let reply = match wanted {
        Keys::Create {
            label,
            budget,
            expires,
        } => {
            let wanted = [
                ("label", label.clone()),
                ("budget_usd", budget.map(|budget| budget.to_string())),
                ("expires_at", expires.clone()),
            ];
            let members = wanted
                .into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))));
            let body = Value::Object(members.collect());
            context
                .shop
                .ask(Method::POST, PATH, Some(&body), who)
                .await?
        }
        Keys::List => context.shop.get(PATH, who).await?,
        Keys::Revoke { id } => {
            let path = format!("{PATH}/{}", goods::checked(id)?);
            context.shop.ask(Method::DELETE, &path, None, who).await?
        }
    };
    if context.global.json {
        print::document(&json!({ "result": "done", "reply": reply.body }));
        return Ok(End::Done);
    }
    match wanted {
        Keys::Create { .. } => {
            print::say!("{}", reply.text("/api_key"));
            print::progress("keep it: it is shown only this once");
        }
        Keys::List => {
            let columns = [
                "/id",
                "/label",
                "/key_last4",
                "/spent_usd",
                "/budget_usd",
                "/created_at",
                "/expires_at",
                "/revoked_at",
            ];
            let titles = [
                "ID", "LABEL", "ENDS IN", "SPENT", "BUDGET", "CREATED", "EXPIRES", "REVOKED",
            ];
            let mut rows = vec![titles.map(str::to_owned).to_vec()];
            let keys = ["/keys", "/api_keys"]
                .iter()
                .find_map(|at| reply.body.pointer(at));
            let keys = keys
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let row = |key: &Value| columns.iter().map(|column| cell(key, column)).collect();
            rows.extend(keys.iter().map(row));
            print::table(&rows);
        }
        Keys::Revoke { id } => print::say!("{id} is revoked"),
    }
    Ok(End::Done)
}
