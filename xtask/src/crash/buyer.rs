//! The client: it repeats its one payment until it has a final answer, whatever dies meanwhile.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::http::{self, Answer};
use super::story::Story;
use crate::cargo;

/// The wallet's private key. It is on no chain, and each case has a chain of its own.
const WALLET: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

const PROVISION: &str = "/compute/provision";

/// Wait between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// How long a story may take from one start of the server on, in looks.
const LOOKS: u32 = 3_000;

#[derive(Debug)]
pub(super) struct Buyer<'a> {
    tool: &'a Path,
    story: Story,
    /// The value of `X-Payment`.
    payment: String,
    /// What the server asked for, in atomic units.
    pub(super) price: String,
    api_key: Option<String>,
}

/// What the buyer knows in the end.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) id: String,
    /// The answer of the status URL.
    pub(super) status: Value,
    /// The order as its owner sees it.
    pub(super) order: Value,
    /// The root password, in stories that have one.
    pub(super) password: Option<String>,
}

impl<'a> Buyer<'a> {
    /// Asks for the price and signs a payment.
    pub(super) fn prepare(tool: &'a Path, story: Story, url: &str) -> Result<Self> {
        let body = story.body().to_string();
        let unpaid = http::send(url, "POST", PROVISION, &[], &body)?.json(402)?;
        let price = unpaid.pointer("/accepts/0/maxAmountRequired");
        let price = price
            .and_then(Value::as_str)
            .context("a 402 without a price")?;
        let payment = sign(tool, &[url, "payments", "1"])?;
        Ok(Self {
            tool,
            story,
            payment,
            price: price.to_owned(),
            api_key: None,
        })
    }

    /// Goes as far as the story goes; begins again after each death of the server.
    pub(super) fn pursue(&mut self, url: &str) -> Result<String> {
        let id = self.buy(url)?;
        let status = self.wait_for_rest(url, &id)?;
        let state = text(&status, "/operation/state");
        let wanted = if self.story.delivers() {
            "succeeded"
        } else {
            "failed"
        };
        ensure!(
            state == wanted,
            "the purchase is {state}, not {wanted}: {status}"
        );
        if self.story == Story::Destroyed {
            self.destroy(url, &id)?;
        }
        Ok(id)
    }

    /// Looks at everything once more.
    pub(super) fn look_back(&mut self, url: &str, id: &str) -> Result<Outcome> {
        let again = self.buy(url)?;
        ensure!(again == id, "the same payment bought {id} and {again}");
        let orders = self.owned(url, "GET", "/compute/instances")?.json(200)?;
        let orders = orders.get("instances").and_then(Value::as_array);
        let [order] = orders.map(Vec::as_slice).unwrap_or_default() else {
            bail!("the owner has not exactly one order: {orders:?}");
        };
        ensure!(
            text(order, "/id") == id,
            "the owner's order is not {id}: {order}"
        );
        let password = if self.story.has_password() {
            let path = format!("/compute/instances/{id}/password");
            let reply = self.owned(url, "POST", &path)?.json(200)?;
            Some(text(&reply, "/access/password").to_owned())
        } else {
            None
        };
        Ok(Outcome {
            id: id.to_owned(),
            status: self.show(url, id)?.json(200)?,
            order: order.clone(),
            password,
        })
    }

    /// Sends the payment until it is answered for good, and returns the order.
    fn buy(&self, url: &str) -> Result<String> {
        let body = self.story.body().to_string();
        let headers = [("x-payment", self.payment.as_str())];
        for _ in 0..LOOKS {
            let answer = http::send(url, "POST", PROVISION, &headers, &body)?;
            match answer.status {
                200 => return id_of(&answer.json(200)?, "/order/id"),
                status @ 500..=599 => {
                    let problem = answer.json(status)?;
                    // The shape of a refund. Anything else is said before the order was known.
                    if problem.pointer("/details/credited").is_some() {
                        return id_of(&problem, "/order_id");
                    }
                }
                _ => {
                    answer.json(200).context("a payment that is good")?;
                }
            }
            thread::sleep(LOOK);
        }
        bail!("the payment is never answered for good")
    }

    fn wait_for_rest(&self, url: &str, id: &str) -> Result<Value> {
        let mut status = Value::Null;
        for _ in 0..LOOKS {
            status = self.show(url, id)?.json(200)?;
            if text(&status, "/operation/state") != "running" {
                return Ok(status);
            }
            thread::sleep(LOOK);
        }
        bail!("the order never comes to rest: {status}")
    }

    /// The status of the order, for whoever shows the payment again.
    fn show(&self, url: &str, id: &str) -> Result<Answer> {
        let headers = [("x-payment", self.payment.as_str())];
        http::send(url, "GET", &format!("/compute/orders/{id}"), &headers, "")
    }

    fn destroy(&mut self, url: &str, id: &str) -> Result<()> {
        let path = format!("/compute/instances/{id}");
        self.owned(url, "DELETE", &path)?.json(200)?;
        let mut order = Value::Null;
        for _ in 0..LOOKS {
            order = self.owned(url, "GET", &path)?.json(200)?;
            if order.pointer("/order/destroyed_at").is_some() {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        bail!("the machine is never gone: {order}")
    }

    /// A request in the owner's name.
    fn owned(&mut self, url: &str, method: &str, path: &str) -> Result<Answer> {
        let api_key = match &self.api_key {
            Some(api_key) => api_key,
            None => self.api_key.insert(sign(self.tool, &[url, "api-key"])?),
        };
        http::send(url, method, path, &[("x-api-key", api_key)], "")
    }
}

/// What the signing tool prints.
fn sign(tool: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new(tool);
    command.args(words).env("COMPUTE_WALLET_KEY", WALLET);
    Ok(cargo::output(&mut command)?.trim().to_owned())
}

fn id_of(answer: &Value, pointer: &str) -> Result<String> {
    let id = text(answer, pointer);
    ensure!(!id.is_empty(), "no {pointer} in {answer}");
    Ok(id.to_owned())
}

/// A text inside an answer; empty when it is not there.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
