//! What tools do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use compute_client::{Bought, Closed, Ending, Identity, Means, Outcome, Usd, Wishes};
use http::Method;
use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Desk;
use super::arguments::{Extend, Machine, Nothing, Plans, Provision, Quote, Resize, TopUp, Wait};
use super::told::{Told, WrongArguments, without_secrets};
use crate::commands::book::take_up;
use crate::commands::catalog::choose;
use crate::end::End;
use crate::goods::{self, Goods, PROVISION, TOPUP};

/// A call is answered within this time, because clients give up after a minute. The purchase goes on.
const ANSWER: Duration = Duration::from_secs(50);

/// How long a purchase goes on in all.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long each open purchase is asked about.
const RECOVER: Duration = Duration::from_secs(20);

/// Between two looks at a machine that starts, and the longest wait in seconds.
const LOOK: Duration = Duration::from_secs(2);
const MAX_WAIT_S: u64 = 300;

/// A purchase that is wanted.
struct Deal {
    path: String,
    body: Value,
    means: Means,
    max_price: Option<Usd>,
    name: String,
}

/// Calls a tool that there is.
pub(super) async fn call(desk: &Arc<Desk>, name: &str, arguments: JsonObject) -> Told {
    let told = dispatch(desk, name, arguments).await;
    told.unwrap_or_else(|error| Told::failed(&error))
}

async fn dispatch(desk: &Arc<Desk>, name: &str, arguments: JsonObject) -> Result<Told> {
    match name {
        "plans" => plans(desk, read(arguments)?).await,
        "quote" => quote(desk, read(arguments)?).await,
        "provision" => provision(desk, read(arguments)?).await,
        "show" => show(desk, read(arguments)?).await,
        "wait" => wait(desk, read(arguments)?).await,
        "extend" => extend(desk, read(arguments)?).await,
        "resize" => resize(desk, read(arguments)?).await,
        "password" => password(desk, read(arguments)?).await,
        "destroy" => destroy(desk, read(arguments)?).await,
        "credits_topup" => topup(desk, read(arguments)?).await,
        _ => {
            // The others are asked nothing.
            let Nothing {} = read(arguments)?;
            plain(desk, name).await
        }
    }
}

async fn plain(desk: &Desk, name: &str) -> Result<Told> {
    match name {
        "regions" => list(desk, "/compute/regions", "regions").await,
        "images" => list(desk, "/compute/os", "os_options").await,
        "list" => machines(desk).await,
        "credits_balance" => balance(desk).await,
        "budget" => budget(desk),
        "recover" => recover(desk).await,
        "history" => history(desk),
        _ => bail!("no tool is called {name}"),
    }
}

fn read<T: DeserializeOwned>(arguments: JsonObject) -> Result<T> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| WrongArguments(error).into())
}

async fn plans(desk: &Desk, wanted: Plans) -> Result<Told> {
    let (count, plans) = choose(desk.context.shop.plans().await?, &wanted.into());
    Ok(Told::done(json!({ "count": count, "plans": plans })))
}

async fn list(desk: &Desk, path: &str, member: &str) -> Result<Told> {
    let reply = desk.context.shop.get(path, &Identity::Nobody).await?;
    let found = reply.body.get(member).cloned().unwrap_or_default();
    Ok(Told::done(json!({ member: found })))
}

async fn quote(desk: &Desk, wanted: Quote) -> Result<Told> {
    let goods = Goods {
        plan: &wanted.plan,
        region: Some(&wanted.region),
        os: &wanted.os_id,
        hours: wanted.hours,
        label: None,
        ssh_public_key: None,
    };
    let body = goods.request(&desk.context).await?;
    // Of credits too the price is asked in money: it is the same.
    let means = match wanted.pay_with.into() {
        Means::Credits => Means::Any,
        means => means,
    };
    let quote = desk.context.buyer().quote(PROVISION, &body, means).await?;
    Ok(Told::done(json!({
        "price_usd": quote.offer.price(), "means": quote.offer.means().to_string(),
        "real_money": quote.offer.is_real(), "request": body,
    })))
}

async fn provision(desk: &Arc<Desk>, wanted: Provision) -> Result<Told> {
    let goods = Goods {
        plan: &wanted.plan,
        region: Some(&wanted.region),
        os: &wanted.os_id,
        hours: wanted.hours,
        label: wanted.label.as_deref(),
        ssh_public_key: wanted.ssh_public_key.as_deref(),
    };
    let deal = Deal {
        path: PROVISION.to_owned(),
        body: goods.request(&desk.context).await?,
        means: wanted.pay_with.into(),
        max_price: wanted.max_price_usd,
        name: wanted.idempotency_key,
    };
    buy(desk, deal).await
}

async fn extend(desk: &Arc<Desk>, wanted: Extend) -> Result<Told> {
    let deal = Deal {
        path: goods::machine(&wanted.id, "/extend")?,
        body: json!({ "extend_hours": wanted.hours }),
        means: wanted.pay_with.into(),
        max_price: wanted.max_price_usd,
        name: wanted.idempotency_key,
    };
    buy(desk, deal).await
}

async fn topup(desk: &Arc<Desk>, wanted: TopUp) -> Result<Told> {
    let deal = Deal {
        path: TOPUP.to_owned(),
        body: goods::topup(wanted.amount_usd, Means::Any)?,
        means: Means::Any,
        max_price: None,
        name: wanted.idempotency_key,
    };
    buy(desk, deal).await
}

/// Buys under every limit. The purchase goes on when its call was broken off, or has waited long enough.
///
/// Over stdio the process ends with its input, and a purchase on its way ends with it. The book wrote it
/// down before it was sent and counts it as open, and `recover` finishes it with the same payment.
#[expect(
    clippy::disallowed_methods,
    reason = "what is being paid must not end with the call that asked for it"
)]
async fn buy(desk: &Arc<Desk>, deal: Deal) -> Result<Told> {
    let context = &desk.context;
    context.who()?;
    let (cap, ..) = context.book.totals()?;
    if !context.is_play && cap.or(context.global.spend_cap).is_none() {
        let error =
            "there is no limit on what may be spent in all, and without one a model buys nothing";
        return Ok(Told::not_allowed("no_cap", error));
    }
    let max_price = match (desk.max_price, deal.max_price) {
        (Some(own), Some(wanted)) => Some(own.min(wanted)),
        (own, wanted) => own.or(wanted),
    };
    let wishes = Wishes {
        means: deal.means,
        max_price,
        ceiling: context.global.spend_cap,
        real_money: !context.is_play,
        patience: PATIENCE,
        name: Some(deal.name.clone()),
    };
    let (mine, name) = (Arc::clone(desk), deal.name);
    let purchase = tokio::spawn(async move {
        let buyer = mine.context.buyer();
        buyer.buy(&deal.path, &deal.body, &wishes).await
    });
    match tokio::time::timeout(ANSWER, purchase).await {
        Ok(ended) => {
            let outcome = ended.context("the purchase broke off; call recover")??;
            Ok(outcome_of(desk, outcome).await)
        }
        Err(_) => Ok(Told::unknown(&name, "the shop has not answered yet")),
    }
}

async fn outcome_of(desk: &Desk, outcome: Outcome) -> Told {
    match outcome {
        Outcome::Paid(bought) => Told::done(told_of(bought)),
        Outcome::Credited { amount, bought } => {
            let mut told = told_of(bought);
            if let Some(members) = told.as_object_mut() {
                members.insert("credited_usd".to_owned(), json!(amount));
                let error =
                    "it was paid and could not be delivered: the money is credited at the shop";
                members.insert("error".to_owned(), error.into());
            }
            Told::new(End::Credited, told)
        }
        Outcome::Known(closed) => known(desk, &closed).await,
        Outcome::Refused(problem) => Told::refused(&problem),
        Outcome::Unknown { id, last } => Told::unknown(&id, &last),
        _ => Told::new(
            End::Failed,
            json!({ "error": "the purchase came to an end that this program does not know" }),
        ),
    }
}

fn told_of(bought: Bought) -> Value {
    json!({
        "id": bought.id, "price_usd": bought.price, "means": bought.means.to_string(),
        "reply": without_secrets(bought.reply.body),
        "is_key_missing": bought.is_key_missing,
        "book": match bought.unwritten {
            None => "written".to_owned(),
            Some(error) => format!("{error}: it counts as open until recover"),
        },
    })
}

/// It was bought before: how its machine is now, if it is for one.
async fn known(desk: &Desk, closed: &Closed) -> Told {
    let end = match closed.ending {
        Ending::Credited => End::Credited,
        _ => End::Done,
    };
    let mut told = json!({
        "id": closed.id, "price_usd": closed.price, "already_bought": true,
        "order_id": closed.order,
    });
    let context = &desk.context;
    // How it is now is an extra: that it was bought is known without it.
    if !closed.order.is_empty()
        && let Ok(order) = context.shop.order(&closed.order, &context.identity).await
        && let Some(members) = told.as_object_mut()
    {
        members.insert("order".to_owned(), json!(order));
    }
    Told::new(end, told)
}

async fn machines(desk: &Desk) -> Result<Told> {
    let context = &desk.context;
    let orders = context.shop.orders(context.who()?).await?;
    Ok(Told::done(
        json!({ "instances": without_secrets(orders.into()) }),
    ))
}

async fn show(desk: &Desk, wanted: Machine) -> Result<Told> {
    let path = format!("/compute/orders/{}", goods::checked(&wanted.id)?);
    let context = &desk.context;
    let reply = context.shop.get(&path, context.who()?).await?;
    Ok(Told::done(json!({ "reply": without_secrets(reply.body) })))
}

async fn wait(desk: &Desk, wanted: Wait) -> Result<Told> {
    let context = &desk.context;
    let (id, who) = (goods::checked(&wanted.id)?, context.who()?);
    let limit = Duration::from_secs(wanted.seconds.min(MAX_WAIT_S));
    let until = tokio::time::Instant::now() + limit;
    loop {
        let order = context.shop.order(id, who).await?;
        let is_on_its_way = order.is_on_its_way();
        if !is_on_its_way || tokio::time::Instant::now() + LOOK > until {
            return Ok(Told::done(
                json!({ "is_on_its_way": is_on_its_way, "order": order }),
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn resize(desk: &Desk, wanted: Resize) -> Result<Told> {
    let path = goods::machine(&wanted.id, "/resize")?;
    let body = json!({
        "plan": wanted.plan, "confirm_disk_resize": wanted.confirm_disk_resize,
        "dry_run": wanted.dry_run,
    });
    ask(desk, Method::POST, &path, Some(&body)).await
}

async fn destroy(desk: &Desk, wanted: Machine) -> Result<Told> {
    ask(desk, Method::DELETE, &goods::machine(&wanted.id, "")?, None).await
}

async fn ask(desk: &Desk, method: Method, path: &str, body: Option<&Value>) -> Result<Told> {
    let context = &desk.context;
    let reply = context.shop.ask(method, path, body, context.who()?).await?;
    Ok(Told::done(json!({ "reply": without_secrets(reply.body) })))
}

async fn password(desk: &Desk, wanted: Machine) -> Result<Told> {
    let path = goods::machine(&wanted.id, "/password")?;
    let context = &desk.context;
    let reply = context
        .shop
        .ask(Method::POST, &path, None, context.who()?)
        .await?;
    Ok(Told::done(json!({ "reply": reply.body })))
}

async fn balance(desk: &Desk) -> Result<Told> {
    let context = &desk.context;
    let reply = context
        .shop
        .get("/compute/credits/balance", context.who()?)
        .await?;
    Ok(Told::done(json!({ "reply": reply.body })))
}

fn budget(desk: &Desk) -> Result<Told> {
    let (cap, spent, open) = desk.context.book.totals()?;
    let outside = desk.context.global.spend_cap;
    let limit = match (cap, outside) {
        (Some(own), Some(other)) => Some(own.min(other)),
        (own, other) => own.or(other),
    };
    Ok(Told::done(json!({
        "cap_usd": limit, "max_price_usd": desk.max_price, "spent_usd": spent, "open_usd": open,
        "left_usd": limit.map(|limit| limit.minus(spent).minus(open)),
    })))
}

async fn recover(desk: &Desk) -> Result<Told> {
    let found = take_up(&desk.context, RECOVER, |_| {}).await?;
    let purchases = without_secrets(found.purchases.into());
    Ok(Told::new(
        found.end,
        json!({ "purchases": purchases, "open_at_other_shops": found.elsewhere }),
    ))
}

fn history(desk: &Desk) -> Result<Told> {
    let purchases = desk.context.book.closed()?;
    Ok(Told::done(json!({ "purchases": purchases })))
}
