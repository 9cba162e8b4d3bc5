//! One purchase by one client, and what must follow from it.

use std::fmt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::child;
use super::clients::{self, Client, Output, Version};
use super::records::Expected;
use super::shop::{self, Shop};

/// Published clients give a purchase two minutes.
const PURCHASE_LIMIT: Duration = Duration::from_secs(150);

/// How long a machine may take from the answer until its owner sees it active.
const MACHINE_LIMIT: Duration = Duration::from_secs(90);

/// Wait between two looks at a machine.
const LOOK: Duration = Duration::from_secs(1);

/// The clients' own limits, which by default are below the price of a machine.
const MAX_USD: u32 = 100;
const MAX_ATOMIC: u32 = 100_000_000;

/// The shortest time that is sold.
const HOURS: u64 = 24;

/// A purchase that is about to happen.
#[derive(Debug)]
pub(super) struct Purchase<'a> {
    pub(super) client: &'a Client,
    pub(super) shop: &'a Shop,
}

/// A purchase that happened.
#[derive(Debug)]
pub(super) struct Bought {
    pub(super) order: String,
    /// From the start of the client to its end.
    pub(super) took: Duration,
    /// From the start of the client until the owner saw the machine active.
    pub(super) active_after: Duration,
}

impl fmt::Display for Bought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            order,
            took,
            active_after,
        } = self;
        write!(
            f,
            "bought {order} in {took:.1?}, active after {active_after:.1?}"
        )
    }
}

impl Purchase<'_> {
    /// Lets the client buy with a fresh key, and checks everybody's records.
    #[expect(
        clippy::disallowed_methods,
        reason = "the report tells how long a purchase took"
    )]
    pub(super) fn run(&self) -> Result<Bought> {
        let machines = self.shop.records.count_machines()?;
        let key = format!("0x{}", shop::random_hex::<32>()?);
        let body = self.body();
        let begin = Instant::now();
        let mut buyer = self.client.command();
        let said = self.ask(self.input(&mut buyer, &key, &body), "buy", PURCHASE_LIMIT)?;
        let took = begin.elapsed();

        let check = || -> Result<Bought> {
            let result = last_json(&said)?;
            let order = self.check_result(&result, &body)?;
            let hourly = self.wait_for_machine(&order, &result, &key, &body)?;
            let active_after = begin.elapsed();
            self.check_money(&result, &hourly, machines)?;
            Ok(Bought {
                order,
                took,
                active_after,
            })
        };
        check().with_context(|| format!("the client printed:\n{said}"))
    }

    /// Checks the price in the order and in the records of the partners.
    fn check_money(&self, result: &Value, hourly: &Value, machines: usize) -> Result<()> {
        let price = atomic_price(hourly, HOURS)?;
        let paid = result
            .pointer("/answer/order/payment_amount")
            .context("no payment_amount")?;
        ensure!(
            atomic_price(paid, 1)? == price,
            "{paid} was paid for {HOURS} h at {hourly}"
        );
        let expected = Expected {
            payer: text(result, "/payer")?,
            price,
            transaction: text(result, "/answer/tx_hash")?,
            x402_version: self.client.speaks.number(),
            body: &self.body(),
        };
        self.shop.records.check(&expected, machines)
    }

    fn body(&self) -> Value {
        json!({
            "plan": "vc2-1c-1gb",
            "region": "ewr",
            "os_id": 2284,
            "prepaid_hours": HOURS,
            "network": "base",
            "label": format!("interop-{}", self.client.bundle.folder),
        })
    }

    /// Gives a program what it needs to know.
    fn input<'c>(&self, command: &'c mut Command, key: &str, body: &Value) -> &'c mut Command {
        let network = self.shop.network;
        command
            .env("INTEROP_URL", self.shop.url())
            .env("INTEROP_KEY", key)
            .env("INTEROP_NETWORK", network.v1)
            .env("INTEROP_CHAIN", network.v2)
            .env("INTEROP_MAX_USD", MAX_USD.to_string())
            .env("INTEROP_MAX_ATOMIC", MAX_ATOMIC.to_string())
            .env("INTEROP_BODY", body.to_string())
            // Wallets that keep files keep them here.
            .env("HOME", &self.shop.folder)
            // Everything is on loopback.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
    }

    fn ask(&self, command: &mut Command, verb: &str, limit: Duration) -> Result<String> {
        let name = format!("{}-{}-{verb}", self.client.bundle.folder, self.shop.name);
        child::run(command, &self.shop.folder, &name, limit)
    }

    /// Checks what the client saw; the result is the order's id.
    fn check_result(&self, result: &Value, body: &Value) -> Result<String> {
        let answer = result.get("answer").context("no answer")?;
        ensure!(
            answer.get("success") == Some(&Value::Bool(true)),
            "no success"
        );
        // Published clients take these for signs of a failure.
        ensure!(
            answer.get("error").is_none() && answer.get("detail").is_none(),
            "also an error"
        );
        let order = answer.get("order").context("no order")?;
        for member in ["plan", "region", "label"] {
            ensure!(
                order.get(member) == body.get(member),
                "an order of another {member}"
            );
        }
        let status = text(order, "/status")?;
        ensure!(
            ["provisioning", "active"].contains(&status),
            "the order is {status}"
        );
        let transaction = text(answer, "/tx_hash")?;
        ensure!(
            is_hex(transaction, 64),
            "{transaction} is not a transaction"
        );
        ensure!(
            is_hex(text(result, "/payer")?, 40),
            "the payer is no address"
        );
        if self.client.output == Output::Whole {
            self.check_receipt(result, transaction)?;
        }
        Ok(text(order, "/id")?.to_owned())
    }

    fn check_receipt(&self, result: &Value, transaction: &str) -> Result<()> {
        ensure!(
            result.get("status") == Some(&json!(200)),
            "the status is not 200"
        );
        let receipt = result.get("receipt").context("no settlement header")?;
        ensure!(
            receipt.get("success") == Some(&Value::Bool(true)),
            "not settled: {receipt}"
        );
        let network = match self.client.speaks {
            Version::V1 => self.shop.network.v1,
            Version::V2 => self.shop.network.v2,
        };
        ensure!(
            text(receipt, "/network")? == network,
            "settled elsewhere: {receipt}"
        );
        ensure!(
            text(receipt, "/transaction")? == transaction,
            "two transactions: {receipt}"
        );
        let payer = text(receipt, "/payer")?;
        ensure!(
            payer.eq_ignore_ascii_case(text(result, "/payer")?),
            "{payer} paid"
        );
        Ok(())
    }

    /// Asks as the owner until the machine is active; the result is the plan's hourly price.
    fn wait_for_machine(
        &self,
        order: &str,
        result: &Value,
        key: &str,
        body: &Value,
    ) -> Result<Value> {
        let mut looks = MACHINE_LIMIT.as_secs().div_euclid(LOOK.as_secs());
        loop {
            let mut observer = clients::observer()?;
            self.input(&mut observer, key, body);
            if let Some(api_key) = result.get("api_key").and_then(Value::as_str) {
                observer.env("INTEROP_API_KEY", api_key);
            }
            let said = self.ask(&mut observer, "look", PURCHASE_LIMIT)?;
            let seen = last_json(&said)?;
            let instances = seen
                .get("instances")
                .and_then(Value::as_array)
                .context("no instances")?;
            let [instance] = instances.as_slice() else {
                bail!(
                    "the payer owns {} machines, not one:\n{said}",
                    instances.len()
                );
            };
            ensure!(
                text(instance, "/id")? == order,
                "the payer owns another machine:\n{said}"
            );
            if text(instance, "/status")? == "active" {
                return seen
                    .get("our_hourly")
                    .cloned()
                    .context("the plan has no price");
            }
            ensure!(looks > 0, "the machine does not become active:\n{said}");
            looks = looks.saturating_sub(1);
            thread::sleep(LOOK);
        }
    }
}

/// The last line of what a program printed, as JSON.
pub(crate) fn last_json(said: &str) -> Result<Value> {
    let line = said.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("no JSON in the last line of:\n{said}"))
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("no text at {pointer}"))
}

pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.strip_prefix("0x").is_some_and(|rest| {
        rest.len() == digits && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Dollars an hour, a JSON number with at most six decimals, times hours, in atomic units of a token with six.
pub(crate) fn atomic_price(hourly: &Value, hours: u64) -> Result<u64> {
    let read = || {
        let text = hourly.as_number()?.to_string();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{decimals:0<6}");
        if decimals.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse::<u64>().ok()?.checked_mul(hours)
    };
    read().with_context(|| format!("{hourly} is no price"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_digit_by_digit() {
        assert_eq!(atomic_price(&json!(0.007), 24).unwrap(), 168_000);
        assert_eq!(atomic_price(&json!(0.008_051), 24).unwrap(), 193_224);
        assert_eq!(atomic_price(&json!(2), 24).unwrap(), 48_000_000);
        for other in [
            json!(0.000_000_1),
            json!(-1),
            json!("0.007"),
            json!(1e300),
            json!(null),
        ] {
            assert!(atomic_price(&other, 24).is_err(), "{other}");
        }
    }

    #[test]
    fn the_last_line_counts() {
        assert_eq!(
            last_json("a warning\n{\"a\":1}\n").unwrap(),
            json!({"a": 1})
        );
        assert!(last_json("{}\nan error\n").is_err());
        assert!(last_json("").is_err());
    }

    #[test]
    fn hashes_and_addresses_have_their_length() {
        assert!(is_hex("0xAb", 2));
        for other in ["ab", "0xabc", "0xag", "0x"] {
            assert!(!is_hex(other, 2), "{other}");
        }
    }
}
