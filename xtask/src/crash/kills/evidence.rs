//! What is true in the end: as owners see it, and as the partners wrote it down.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::buyer::text;
use super::super::http;
use super::super::money;
use super::super::records::{self, Machines, Settlement};
use super::super::shop::Partners;
use super::book::Goods;
use super::town::{Owner, Town};

/// A piece of work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) state: String,
    /// Why it failed; empty when it did not.
    pub(super) code: String,
    /// The transaction by which its money arrived; empty when none did.
    pub(super) transaction: String,
    /// Reason and amount, in millionths.
    pub(super) transfers: Vec<(String, u64)>,
}

/// An order with all work on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: String,
    pub(super) owner: usize,
    pub(super) status: String,
    /// Whether nothing will happen to it any more.
    pub(super) is_over: bool,
    pub(super) machine: String,
    pub(super) hours: u64,
    pub(super) ends_at: i64,
    pub(super) works: Vec<Work>,
}

/// What an owner has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// The number of the wallet that paid.
    pub(super) wallet: usize,
    pub(super) balance: u64,
    pub(super) deposited: u64,
}

/// Everything at rest.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// By id.
    pub(super) orders: BTreeMap<String, Order>,
    /// Top-ups by the id of their operation, with their owner.
    pub(super) topups: BTreeMap<String, (usize, Work)>,
    /// By the number of the owner.
    pub(super) accounts: BTreeMap<usize, Account>,
    pub(super) settlements: Vec<Settlement>,
    pub(super) machines: Machines,
    /// Owners of a single order that is over: nothing of theirs changes any more.
    done: BTreeSet<usize>,
    /// Orders that two owners see.
    shared: BTreeSet<String>,
}

impl Evidence {
    /// Reads everything again that can have changed since the last time.
    pub(super) fn refresh(&mut self, town: &Town, partners: &Partners) -> Result<()> {
        let url = town.url();
        for (number, owner) in town.owners().iter().enumerate() {
            if self.done.contains(&number) {
                continue;
            }
            let wallet = town.wallets.get(owner.wallet).context("no such wallet")?;
            let address = town.is_wallet(number).then_some(wallet.address.as_str());
            // What was over before the account was read has left its last trace in it.
            let is_over = !town.is_wallet(number) && self.has_nothing_open(number);
            let account = read_account(&url, owner, address)?;
            self.accounts.insert(number, account);
            if is_over {
                self.done.insert(number);
            }
            for id in list(&url, owner)? {
                self.read_order(&url, &id, number, owner)?;
            }
        }
        self.read_topups(town, &url)?;
        self.settlements = records::read_settlements(&partners.settlements())?;
        self.machines = records::read_machines(&partners.machines())?;
        Ok(())
    }

    fn has_nothing_open(&self, owner: usize) -> bool {
        let mut own = self.orders.values().filter(|order| order.owner == owner);
        own.clone().next().is_some() && own.all(|order| order.is_over)
    }

    fn read_order(&mut self, url: &str, id: &str, number: usize, owner: &Owner) -> Result<()> {
        if let Some(known) = self.orders.get(id) {
            if known.owner != number {
                self.shared.insert(id.to_owned());
            }
            if known.is_over {
                return Ok(());
            }
        }
        let path = format!("/compute/orders/{id}");
        let order = read_order(&ask(url, owner, &path)?, number)?;
        self.orders.insert(id.to_owned(), order);
        Ok(())
    }

    fn read_topups(&mut self, town: &Town, url: &str) -> Result<()> {
        let told: Vec<(usize, String)> = {
            let book = town.book();
            let topups = book
                .purchases
                .iter()
                .filter(|it| it.goods == Goods::Credits);
            topups
                .filter_map(|it| Some((it.owner, it.operation.clone()?)))
                .collect()
        };
        let owners = town.owners();
        for (number, id) in told {
            let is_over = |(_, work): &(usize, Work)| work.state != "running";
            if self.topups.get(&id).is_some_and(is_over) {
                continue;
            }
            let owner = owners.get(number).context("no such owner")?;
            let reply = ask(url, owner, &format!("/compute/operations/{id}"))?;
            let work = reply.get("operation").context("no operation")?;
            self.topups.insert(id, (number, read_work(work)?));
        }
        Ok(())
    }

    /// What is still going on.
    pub(super) fn unrest(&self) -> Vec<String> {
        let mut unrest = Vec::new();
        for id in &self.shared {
            unrest.push(format!("the order {id} has two owners"));
        }
        let works = self.orders.values().flat_map(|order| &order.works);
        let works = works.chain(self.topups.values().map(|(_, work)| work));
        for work in works.filter(|work| work.state == "running") {
            unrest.push(format!("{} {} is running", work.kind, work.id));
        }
        let active: BTreeSet<&str> = self.active().map(|order| order.machine.as_str()).collect();
        let alive = self.machines.alive.iter().map(|(id, _)| id.as_str());
        let alive: BTreeSet<&str> = alive.collect();
        for id in alive.difference(&active) {
            unrest.push(format!("machine {id} lives for no active order"));
        }
        for id in active.difference(&alive) {
            unrest.push(format!(
                "an active order has the machine {id:?}, which is gone"
            ));
        }
        unrest
    }

    pub(super) fn active(&self) -> impl Iterator<Item = &Order> {
        self.orders
            .values()
            .filter(|order| order.status == "active")
    }
}

/// The ids of all orders of an owner, page by page.
fn list(url: &str, owner: &Owner) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut path = "/compute/instances?limit=200".to_owned();
    loop {
        let page = ask(url, owner, &path)?;
        let rows = page.get("instances").and_then(Value::as_array);
        let rows = rows.context("a list without instances")?;
        ids.extend(rows.iter().map(|row| text(row, "/id").to_owned()));
        let next = text(&page, "/next_cursor");
        if next.is_empty() {
            return Ok(ids);
        }
        path = format!("/compute/instances?limit=200&cursor={next}");
    }
}

fn ask(url: &str, owner: &Owner, path: &str) -> Result<Value> {
    let headers = [("x-api-key", owner.api_key.as_str())];
    let answer = http::send(url, "GET", path, &headers, "")?;
    answer.json(200).with_context(|| format!("GET {path}"))
}

/// Reads what an owner has, who is the wallet of this address or none.
fn read_account(url: &str, owner: &Owner, address: Option<&str>) -> Result<Account> {
    let reply = ask(url, owner, "/compute/credits/balance")?;
    let whose = text(&reply, "/wallet").to_ascii_lowercase();
    ensure!(
        whose == address.unwrap_or_default(),
        "the balance of {whose:?} was told, not that of {address:?}"
    );
    let amount = |name: &str| reply.get(name).and_then(money::micros);
    let read = || {
        Some(Account {
            wallet: owner.wallet,
            balance: amount("balance")?,
            deposited: amount("total_deposited")?,
        })
    };
    read().with_context(|| format!("not a balance: {reply}"))
}

fn read_order(reply: &Value, owner: usize) -> Result<Order> {
    let works = reply.get("operations").and_then(Value::as_array);
    let works: Result<Vec<Work>> = works
        .context("an order without operations")?
        .iter()
        .map(read_work)
        .collect();
    let works = works?;
    let status = text(reply, "/order/status");
    let is_gone = reply.pointer("/order/destroyed_at").is_some();
    let is_at_rest = works.iter().all(|work| work.state != "running");
    let hours = reply.pointer("/order/prepaid_hours");
    Ok(Order {
        id: text(reply, "/order/id").to_owned(),
        owner,
        status: status.to_owned(),
        is_over: is_at_rest && (is_gone || status == "failed"),
        machine: text(reply, "/order/provider_instance_id").to_owned(),
        hours: hours.and_then(Value::as_u64).context("no hours")?,
        ends_at: money::seconds(text(reply, "/order/expires_at")).context("no end")?,
        works,
    })
}

fn read_work(row: &Value) -> Result<Work> {
    let transfers = row.get("transfers").and_then(Value::as_array);
    let transfers: Option<Vec<(String, u64)>> = transfers
        .context("work without transfers")?
        .iter()
        .map(|row| {
            let amount = row.get("amount").and_then(money::micros)?;
            Some((text(row, "/reason").to_owned(), amount))
        })
        .collect();
    Ok(Work {
        id: text(row, "/id").to_owned(),
        kind: text(row, "/kind").to_owned(),
        state: text(row, "/state").to_owned(),
        code: text(row, "/code").to_owned(),
        transaction: text(row, "/tx_hash").to_ascii_lowercase(),
        transfers: transfers.with_context(|| format!("no amounts in {row}"))?,
    })
}
