//! Purchases.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use compute_client::{Bought, Closed, Ending, Means, Order, Outcome, Quote, Usd, Wishes};
use serde_json::{Value, json};

use crate::args::{Extend, Machine, Provision, Purchase};
use crate::context::Context;
use crate::end::End;
use crate::goods::{self, Goods, PROVISION};
use crate::print::{self, cell};

/// Between two looks at a machine that starts.
const LOOK: Duration = Duration::from_secs(2);

/// Looks until it is given up: some machines take half an hour.
const LOOKS: u32 = 1_800;

/// A purchase with what the command line says about it.
pub(super) struct Deal<'a> {
    pub(super) path: &'a str,
    pub(super) body: &'a Value,
    pub(super) means: Means,
    pub(super) terms: &'a Purchase,
    /// In words, for the question.
    pub(super) what: String,
}

pub(super) async fn quote(context: &Context, machine: &Machine) -> Result<End> {
    let body = body_of(context, machine).await?;
    tell_price(context, PROVISION, &body, means_of_quote(machine.pay)).await
}

pub(super) async fn provision(context: &Context, order: &Provision) -> Result<End> {
    if order.purchase.idempotency_key.is_some() && order.machine.region.is_none() {
        bail!("with --idempotency-key name the --region, too: the same again must be the same");
    }
    let body = body_of(context, &order.machine).await?;
    let deal = Deal {
        path: PROVISION,
        body: &body,
        means: order.machine.pay,
        terms: &order.purchase,
        what: format!("{} h of {}", order.machine.hours, order.machine.plan),
    };
    let (end, bought) = make(context, &deal).await?;
    let Some(bought) = bought else {
        return Ok(end);
    };
    if order.wait && end == End::Done {
        return wait(context, bought).await;
    }
    tell(context, end, &bought, None);
    Ok(end)
}

pub(super) async fn extend(context: &Context, order: &Extend) -> Result<End> {
    let path = goods::machine(&order.id, "/extend")?;
    let body = json!({ "extend_hours": order.hours });
    let deal = Deal {
        path: &path,
        body: &body,
        means: order.pay,
        terms: &order.purchase,
        what: format!("{} h more of {}", order.hours, order.id),
    };
    finish(context, &deal).await
}

/// Makes a purchase and says what it came to.
pub(super) async fn finish(context: &Context, deal: &Deal<'_>) -> Result<End> {
    let (end, bought) = make(context, deal).await?;
    if let Some(bought) = bought {
        tell(context, end, &bought, None);
    }
    Ok(end)
}

/// The request for a machine.
async fn body_of(context: &Context, machine: &Machine) -> Result<Value> {
    let key = match &machine.ssh_key {
        Some(path) => {
            let key = fs::read_to_string(path);
            Some(key.with_context(|| format!("read {}", path.display()))?)
        }
        None => None,
    };
    let goods = Goods {
        plan: &machine.plan,
        region: machine.region.as_deref(),
        os: &machine.os,
        hours: machine.hours,
        label: machine.label.as_deref(),
        ssh_public_key: key.as_deref(),
    };
    goods.request(context).await
}

/// Of credits too the price is asked in money: it is the same.
const fn means_of_quote(means: Means) -> Means {
    match means {
        Means::Credits => Means::Any,
        means => means,
    }
}

async fn tell_price(context: &Context, path: &str, body: &Value, means: Means) -> Result<End> {
    let Quote { offer, .. } = context.buyer().quote(path, body, means).await?;
    if context.global.json {
        print::document(&json!({
            "result": "done", "price_usd": offer.price(), "means": offer.means().to_string(),
            "real_money": offer.is_real(), "request": body,
        }));
    } else {
        let kind = if offer.is_real() { "USD" } else { "test USD" };
        print::say!("{} {kind}, by {}", offer.price(), offer.means());
    }
    Ok(End::Done)
}

/// Buys, or says what became of the attempt; what was bought when there is something to tell of it.
async fn make(context: &Context, deal: &Deal<'_>) -> Result<(End, Option<Bought>)> {
    if deal.terms.dry_run {
        let end = tell_price(context, deal.path, deal.body, means_of_quote(deal.means)).await?;
        return Ok((end, None));
    }
    let mut wishes = Wishes {
        means: deal.means,
        max_price: deal.terms.max_price,
        ceiling: context.global.spend_cap,
        real_money: !context.is_play,
        patience: Duration::from_secs(deal.terms.patience),
        name: deal.terms.idempotency_key.clone(),
    };
    if !context.is_play && !context.global.yes {
        wishes.max_price = Some(agree(context, deal, &wishes).await?);
    }
    let outcome = context.buyer().buy(deal.path, deal.body, &wishes).await?;
    Ok(settle(context, outcome))
}

/// Asks whoever sits there; what was agreed to is the most that is paid.
async fn agree(context: &Context, deal: &Deal<'_>, wishes: &Wishes) -> Result<Usd> {
    let means = means_of_quote(deal.means);
    let quote = context.buyer().quote(deal.path, deal.body, means).await?;
    let price = quote.offer.price();
    if let Some(limit) = wishes.max_price.filter(|limit| price <= *limit) {
        // The limit is the agreement.
        return Ok(limit);
    }
    if !io::stdin().is_terminal() {
        bail!(
            "{} costs {price} USD: agree with --yes, or with --max-price {price}",
            deal.what
        );
    }
    let answer = print::question(format_args!("Pay {price} USD for {}?", deal.what))?;
    if !matches!(answer.as_str(), "y" | "Y" | "yes") {
        bail!("nothing was bought");
    }
    Ok(price)
}

/// What is told at once, and what there is to tell later.
fn settle(context: &Context, outcome: Outcome) -> (End, Option<Bought>) {
    match outcome {
        Outcome::Paid(bought) => (End::Done, Some(bought)),
        Outcome::Credited { bought, .. } => (End::Credited, Some(bought)),
        Outcome::Known(closed) => (known(context, &closed), None),
        Outcome::Refused(problem) => {
            if context.global.json {
                print::document(&json!({
                    "result": End::Refused.word(), "charged": false, "code": problem.code,
                    "error": problem.detail, "request_id": problem.request_id,
                }));
            } else {
                let said = if problem.code.is_empty() {
                    "no reason"
                } else {
                    &problem.code
                };
                print::tell!(
                    "compute: refused, nothing was charged: {} ({said})",
                    problem.detail
                );
            }
            (End::Refused, None)
        }
        Outcome::Unknown { id, last } => {
            unknown(context, &id, &last);
            (End::Unknown, None)
        }
        _ => (End::Failed, None),
    }
}

/// Says that it was bought before.
fn known(context: &Context, closed: &Closed) -> End {
    let end = match closed.ending {
        Ending::Credited => End::Credited,
        _ => End::Done,
    };
    if context.global.json {
        print::document(&json!({
            "result": end.word(), "id": closed.id, "price_usd": closed.price,
            "already_bought": true, "order_id": closed.order,
        }));
    } else {
        print::say!(
            "{} was bought before, for {} USD, and is not bought again",
            closed.id,
            closed.price
        );
    }
    end
}

/// Says that nobody knows.
fn unknown(context: &Context, id: &str, last: &str) {
    let advice =
        "it may have been paid: do not buy it again; `compute recover` asks for the same purchase";
    if context.global.json {
        print::document(&json!({
            "result": End::Unknown.word(), "id": id, "error": last, "advice": advice,
        }));
    } else {
        print::tell!("compute: what became of {id} is not known: {last}\n{advice}");
    }
}

/// Says what was bought.
pub(super) fn tell(context: &Context, end: End, bought: &Bought, order: Option<&Order>) {
    let reply = &bought.reply;
    if let Some(error) = &bought.unwritten {
        let id = &bought.id;
        print::progress(&format!(
            "the book could not be written ({error}): {id} stays open there until `compute recover`"
        ));
    }
    if bought.is_key_missing {
        let id = &bought.id;
        print::progress(&format!(
            "the key that acts for you could not be read: {id} stays open until `compute recover` has got it"
        ));
    }
    if context.global.json {
        let mut told = json!({
            "result": end.word(), "id": bought.id, "price_usd": bought.price,
            "means": bought.means.to_string(), "reply": reply.body,
        });
        if let (Some(order), Some(members)) = (order, told.as_object_mut()) {
            members.insert("order".to_owned(), json!(order));
        }
        print::document(&told);
        return;
    }
    if end == End::Credited {
        let amount = cell(&reply.body, "/details/credited");
        print::say!(
            "{} {amount} USD are credited at the shop.",
            reply.problem().detail
        );
        return;
    }
    let id = cell(&reply.body, "/order/id");
    let thing = if id.is_empty() {
        "Bought".to_owned()
    } else {
        id
    };
    print::say!("{thing}: {} USD by {}", bought.price, bought.means);
    for (title, pointer) in [
        ("transaction", "/tx_hash"),
        ("balance", "/new_balance"),
        ("until", "/order/expires_at"),
        ("status", "/order/status"),
        ("key (keep it)", "/management_api_key"),
    ] {
        let value = cell(&reply.body, pointer);
        if !value.is_empty() {
            print::say!("  {title}: {value}");
        }
    }
    if let Some(order) = order {
        print::say!("  now {}: {}", order.status, order.ip_address);
    }
}

/// Waits until a machine runs, or never will.
async fn wait(context: &Context, bought: Bought) -> Result<End> {
    let id = bought.reply.text("/order/id").to_owned();
    let mut status = String::new();
    for _ in 0..LOOKS {
        // A look that fails is no end: the machine is bought.
        match context.shop.order(&id, &context.identity).await {
            Ok(order) if !order.is_on_its_way() => {
                let end = if order.status == "active" {
                    End::Done
                } else {
                    End::Credited
                };
                tell(context, end, &bought, Some(&order));
                return Ok(end);
            }
            Ok(order) if order.status != status => {
                print::waiting(context.global.json, &format!("{id} is {} …", order.status));
                status = order.status;
            }
            Ok(_) => {}
            Err(error) => print::waiting(context.global.json, &format!("{id}: {error}")),
        }
        tokio::time::sleep(LOOK).await;
    }
    tell(context, End::Done, &bought, None);
    print::progress("it is bought, and takes longer than usual: `compute show` tells more");
    Ok(End::Done)
}
