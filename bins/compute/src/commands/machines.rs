//! Machines that were bought.

use std::io::{self, IsTerminal as _};

use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};

use crate::args::Resize;
use crate::context::Context;
use crate::end::End;
use crate::goods;
use crate::print::{self, cell};

pub(super) async fn list(context: &Context) -> Result<End> {
    let orders = context.shop.orders(context.who()?).await?;
    if context.global.json {
        print::document(&json!({ "result": "done", "instances": orders }));
        return Ok(End::Done);
    }
    let columns = [
        "/id",
        "/status",
        "/plan",
        "/region",
        "/ip_address",
        "/expires_at",
        "/label",
    ];
    let titles = [
        "ID", "STATUS", "PLAN", "REGION", "ADDRESS", "UNTIL", "LABEL",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    let row = |order: &Value| columns.iter().map(|column| cell(order, column)).collect();
    rows.extend(orders.iter().map(row));
    print::table(&rows);
    Ok(End::Done)
}

pub(super) async fn show(context: &Context, id: &str) -> Result<End> {
    let path = format!("/compute/orders/{}", goods::checked(id)?);
    let reply = context.shop.get(&path, context.who()?).await?;
    if context.global.json {
        print::document(&json!({ "result": "done", "reply": reply.body }));
        return Ok(End::Done);
    }
    for (title, pointer) in [
        ("id", "/order/id"),
        ("status", "/order/status"),
        ("plan", "/order/plan"),
        ("region", "/order/region"),
        ("address", "/order/ip_address"),
        ("hourly", "/order/our_hourly"),
        ("until", "/order/expires_at"),
        ("label", "/order/label"),
        ("payment", "/settlement"),
    ] {
        let value = cell(&reply.body, pointer);
        if !value.is_empty() {
            print::say!("{title:<8} {value}");
        }
    }
    Ok(End::Done)
}

pub(super) async fn resize(context: &Context, wanted: &Resize) -> Result<End> {
    let body = json!({
        "plan": wanted.plan, "confirm_disk_resize": wanted.confirm_disk_resize,
        "dry_run": wanted.dry_run,
    });
    let path = goods::machine(&wanted.id, "/resize")?;
    ask(context, Method::POST, &path, Some(&body)).await
}

pub(super) async fn password(context: &Context, id: &str) -> Result<End> {
    let path = goods::machine(id, "/password")?;
    let reply = context
        .shop
        .ask(Method::POST, &path, None, context.who()?)
        .await?;
    if context.global.json {
        print::document(&json!({ "result": "done", "reply": reply.body }));
    } else {
        print::say!(
            "{}@{} {}",
            reply.text("/access/username"),
            reply.text("/access/ip_address"),
            reply.text("/access/password")
        );
        print::progress("it is shown only this once");
    }
    Ok(End::Done)
}

pub(super) async fn destroy(context: &Context, id: &str) -> Result<End> {
    context.who()?;
    if !context.global.yes && !context.is_play {
        if !io::stdin().is_terminal() {
            bail!("destroying {id} deletes everything on it: agree with --yes");
        }
        let answer = print::question(format_args!("Destroy {id} and everything on it?"))?;
        if !matches!(answer.as_str(), "y" | "Y" | "yes") {
            bail!("nothing was destroyed");
        }
    }
    let path = goods::machine(id, "")?;
    ask(context, Method::DELETE, &path, None).await
}

/// Asks for something that costs nothing, and shows what was answered.
async fn ask(context: &Context, method: Method, path: &str, body: Option<&Value>) -> Result<End> {
    let reply = context.shop.ask(method, path, body, context.who()?).await?;
    if context.global.json {
        print::document(&json!({ "result": "done", "reply": reply.body }));
        return Ok(End::Done);
    }
    let members = reply.body.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(_, value)| !value.is_object() && !value.is_array()) {
        print::say!("{name}: {}", cell(value, ""));
    }
    Ok(End::Done)
}
