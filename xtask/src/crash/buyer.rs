//! The client: it repeats its purchases until each has a final answer, whatever dies meanwhile.

use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::http::{self, Answer};
use super::money;
use super::story::{LARGER, Story, TOPUP};
use super::verdict::{self, Verdict};
use super::wallet::Wallet;

/// The wallet's private key. It is on no chain, and each case has a chain of its own.
const WALLET: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

const PROVISION: &str = "/compute/provision";
const TOP_UP: &str = "/compute/credits/topup";

/// Wait between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// How long a story may take from one start of the server on, in looks.
const LOOKS: u32 = 3_000;

#[derive(Debug)]
pub(super) struct Buyer {
    wallet: Wallet,
    story: Story,
    /// What pays for the machine, and for the time once it is asked for.
    for_machine: Payment,
    for_time: OnceLock<Payment>,
    /// A value of `X-Payment`.
    for_credits: String,
    /// The key that came with the machine, for a buyer who showed nothing but a credential.
    management_key: OnceLock<String>,
    /// What the server asked for, in atomic units, which are millionths of a dollar.
    pub(super) price: u64,
}

/// A header that pays, and the same for every repeat.
#[derive(Debug)]
struct Payment {
    header: &'static str,
    value: String,
}

/// What the buyer knows in the end.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The order; of a top-up its operation.
    pub(super) id: String,
    /// The answer of the status URL.
    pub(super) status: Value,
    /// The order as its owner sees it; nothing when no machine was bought.
    pub(super) order: Value,
    /// The root password, in stories that have one.
    pub(super) password: Option<String>,
    /// The transactions that were told, oldest first.
    pub(super) transactions: Vec<String>,
    /// The owner's credits.
    pub(super) balance: u64,
}

impl Buyer {
    /// Asks for the price and signs payments.
    pub(super) fn prepare(tool: &Path, story: Story, url: &str) -> Result<Self> {
        // Nobody is asked for a payment who pays with credits.
        let priced = if story.pays_with_credits() {
            Story::Delivered
        } else {
            story
        };
        let body = priced.body().to_string();
        let answer = http::send(url, "POST", PROVISION, &[], &body)?;
        let unpaid = answer.json(402)?;
        let price = unpaid.pointer("/accepts/0/maxAmountRequired");
        let price = price.and_then(Value::as_str);
        let price = price.context("a 402 without a price")?.parse();
        let price = price.context("a price that is no number")?;
        let wallet = Wallet::open(tool, url, WALLET)?;
        Ok(Self {
            for_machine: pay(&wallet, story, &answer, price)?,
            for_time: OnceLock::new(),
            management_key: OnceLock::new(),
            for_credits: wallet.pay(TOPUP)?,
            wallet,
            story,
            price,
        })
    }

    /// Goes as far as the story goes; begins again after each death of the server.
    pub(super) fn pursue(&self, url: &str) -> Result<String> {
        let topup = self.story.tops_up().then(|| self.top_up(url)).transpose()?;
        if let (Some(id), false) = (topup, self.story.buys_machine()) {
            return Ok(id);
        }
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
        match self.story {
            Story::Destroyed => self.destroy(url, &id)?,
            Story::Lengthened | Story::ByCredentialLengthened => self.lengthen(url, &id)?,
            Story::Resized => self.resize(url, &id, "succeeded")?,
            Story::ResizeFailed => self.resize(url, &id, "failed")?,
            Story::SetUpAnew => self.set_up_anew(url, &id)?,
            _ => {}
        }
        Ok(id)
    }

    /// Looks at everything once more.
    pub(super) fn look_back(&self, url: &str, id: &str) -> Result<Outcome> {
        let again = self.pursue(url)?;
        ensure!(again == id, "the same payment bought {id} and {again}");
        let mut transactions = Vec::new();
        if self.story.tops_up() {
            let path = format!("/compute/operations/{}", self.top_up(url)?);
            let status = self.owned(url, "GET", &path)?.json(200)?;
            transactions.push(text(&status, "/operation/tx_hash").to_owned());
        }
        let (order, status) = if self.story.buys_machine() {
            (self.only_order(url, id)?, self.show(url, id)?.json(200)?)
        } else {
            (Value::Null, Value::Null)
        };
        let works = status.get("operations").and_then(Value::as_array);
        let told = works.into_iter().flatten().map(|row| text(row, "/tx_hash"));
        transactions.extend(told.filter(|hash| !hash.is_empty()).map(str::to_owned));
        let password = if self.story.has_password() {
            let path = format!("/compute/instances/{id}/password");
            let reply = self.owned(url, "POST", &path)?.json(200)?;
            Some(text(&reply, "/access/password").to_owned())
        } else {
            None
        };
        let account = self
            .owned(url, "GET", "/compute/credits/balance")?
            .json(200)?;
        let balance = account.get("balance").and_then(money::micros);
        Ok(Outcome {
            id: id.to_owned(),
            status,
            order,
            password,
            transactions,
            balance: balance.context("no balance")?,
        })
    }

    fn only_order(&self, url: &str, id: &str) -> Result<Value> {
        let orders = self.owned(url, "GET", "/compute/instances")?.json(200)?;
        let orders = orders.get("instances").and_then(Value::as_array);
        let [order] = orders.map(Vec::as_slice).unwrap_or_default() else {
            bail!("the owner has not exactly one order: {orders:?}");
        };
        ensure!(
            text(order, "/id") == id,
            "the owner's order is not {id}: {order}"
        );
        Ok(order.clone())
    }

    fn top_up(&self, url: &str) -> Result<String> {
        let body = json!({"amount": TOPUP / 1_000_000, "network": "base"});
        let headers = [
            ("x-payment", self.for_credits.as_str()),
            ("x-api-key", self.wallet.api_key.as_str()),
        ];
        let reply = purchase(url, TOP_UP, &headers, &body)?;
        ensure!(
            reply.get("deposited").and_then(money::micros) == Some(TOPUP),
            "a top-up of {TOPUP} was answered {reply}"
        );
        id_of(&reply, "/operation_id")
    }

    /// Buys the machine, and returns the order.
    fn buy(&self, url: &str) -> Result<String> {
        let headers = if self.story.pays_with_credits() {
            vec![
                ("x-api-key", self.wallet.api_key.as_str()),
                ("idempotency-key", "the-machine"),
            ]
        } else {
            vec![self.for_machine.header()]
        };
        let reply = purchase(url, PROVISION, &headers, &self.story.body())?;
        self.keep_key(&reply)?;
        // A refund names the order otherwise than a sale.
        id_of(&reply, "/order/id").or_else(|_| id_of(&reply, "/order_id"))
    }

    /// Its text is told until it is used, and every time the same.
    fn keep_key(&self, reply: &Value) -> Result<()> {
        if !self.story.is_by_credential() {
            return Ok(());
        }
        let told = text(reply, "/management_api_key");
        let kept = match self.management_key.get() {
            Some(kept) => kept,
            None => {
                ensure!(!told.is_empty(), "no key came with the machine: {reply}");
                self.management_key.get_or_init(|| told.to_owned())
            }
        };
        ensure!(
            told.is_empty() || told == kept,
            "two keys were told for one purchase"
        );
        Ok(())
    }

    /// Of a payment nobody but itself says who asks for the time; a credential does not say that.
    fn lengthen(&self, url: &str, id: &str) -> Result<()> {
        let path = format!("/compute/instances/{id}/extend");
        let body = json!({"extend_hours": 24, "network": "base"});
        let key = self.management_key.get().map(String::as_str);
        let key = key.map(|key| ("x-api-key", key));
        let payment = match self.for_time.get() {
            Some(payment) => payment,
            None => {
                let headers: Vec<_> = key.into_iter().collect();
                let answer = http::send(url, "POST", &path, &headers, &body.to_string())?;
                ensure!(answer.status == 402, "expected 402, got {answer:?}");
                let payment = pay(&self.wallet, self.story, &answer, self.price)?;
                self.for_time.get_or_init(|| payment)
            }
        };
        let headers: Vec<_> = key.into_iter().chain([payment.header()]).collect();
        let reply = purchase(url, &path, &headers, &body)?;
        ensure!(
            text(&reply, "/order/id") == id,
            "an extension was answered {reply}"
        );
        Ok(())
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

    /// The status of the order, for whoever shows the payment again, or for the owner.
    fn show(&self, url: &str, id: &str) -> Result<Answer> {
        let path = format!("/compute/orders/{id}");
        if self.story.pays_with_credits() || self.story.is_by_credential() {
            return self.owned(url, "GET", &path);
        }
        let headers = [self.for_machine.header()];
        http::send(url, "GET", &path, &headers, "")
    }

    fn destroy(&self, url: &str, id: &str) -> Result<()> {
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

    /// Asks for the larger plan once: who asks again after a failure gets another try.
    fn resize(&self, url: &str, id: &str, wanted: &str) -> Result<()> {
        let path = format!("/compute/instances/{id}/resize");
        let body = json!({"plan": LARGER, "confirm_disk_resize": true});
        self.do_once(url, id, "resize", &path, &body, wanted)
    }

    fn set_up_anew(&self, url: &str, id: &str) -> Result<()> {
        let path = format!("/compute/instances/{id}/actions");
        let body = json!({"action": "reinstall"});
        self.do_once(url, id, "power", &path, &body, "succeeded")
    }

    /// Has something done that costs nothing, unless it was begun before, and waits for its end.
    fn do_once(
        &self,
        url: &str,
        id: &str,
        kind: &str,
        path: &str,
        body: &Value,
        wanted: &str,
    ) -> Result<()> {
        let headers = [("x-api-key", self.wallet.api_key.as_str())];
        let mut is_asked = false;
        let mut state = String::new();
        for _ in 0..LOOKS {
            let status = self.show(url, id)?.json(200)?;
            let works = status.get("operations").and_then(Value::as_array);
            let mut works = works.into_iter().flatten();
            let work = works.find(|row| text(row, "/kind") == kind);
            match work {
                Some(work) => {
                    text(work, "/state").clone_into(&mut state);
                    if state != "running" {
                        ensure!(state == wanted, "the {kind} is {state}: {work}");
                        return Ok(());
                    }
                }
                // An answer that says no is a fault: whatever died, nothing of it stood in the way.
                None if !is_asked => {
                    let answer = http::send(url, "POST", path, &headers, &body.to_string())?;
                    is_asked = true;
                    let may_be = match wanted {
                        "failed" => [200, 502, 503],
                        _ => [200; 3],
                    };
                    ensure!(
                        may_be.contains(&answer.status),
                        "the {kind} was answered {answer:?}"
                    );
                }
                None => bail!("the {kind} was accepted and is not there: {status}"),
            }
            thread::sleep(LOOK);
        }
        bail!("the {kind} of {id} never comes to rest, it is {state}")
    }

    /// A request in the owner's name.
    fn owned(&self, url: &str, method: &str, path: &str) -> Result<Answer> {
        let own = self.management_key.get().unwrap_or(&self.wallet.api_key);
        http::send(url, method, path, &[("x-api-key", own)], "")
    }
}

impl Payment {
    fn header(&self) -> (&'static str, &str) {
        (self.header, &self.value)
    }
}

/// Pays what a 402 asks for, in the way of the story.
fn pay(wallet: &Wallet, story: Story, unpaid: &Answer, price: u64) -> Result<Payment> {
    let (header, value) = if story.is_by_credential() {
        let challenge = unpaid.header("www-authenticate");
        let challenge = challenge.context("a 402 without a challenge")?;
        ("authorization", wallet.meet(challenge)?)
    } else {
        ("x-payment", wallet.pay(price)?)
    };
    Ok(Payment { header, value })
}

/// Sends a purchase until it is answered for good; the answer when it was made, or made and undone.
fn purchase(url: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Value> {
    for _ in 0..LOOKS {
        let answer = http::send(url, "POST", path, headers, &body.to_string())?;
        match verdict::of_purchase(&answer) {
            Verdict::Made(reply) | Verdict::Refunded(reply) => return Ok(reply),
            Verdict::Again => thread::sleep(LOOK),
            Verdict::Refused(reply) => bail!("a good purchase was refused: {reply}"),
            Verdict::Wrong(what) => bail!("{what}"),
        }
    }
    bail!("POST {path} is never answered for good")
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
