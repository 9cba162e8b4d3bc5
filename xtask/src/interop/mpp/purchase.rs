//! One payment by one client, and what the chain says of it.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::tempo::{TempoChain, Till};
use super::{Client, MPPX};
use crate::interop::child::{self, Service};
use crate::interop::purchase::{is_hex, last_json, text};

/// What the shop of published software asks for, in dollars and in atomic units of USDC.e.
const PRICE: (&str, u128) = ("1.25", 1_250_000);

/// A payment costs a fraction of a cent.
const MAX_FEE: u128 = 100_000;

/// Published clients give a purchase two minutes.
const LIMIT: Duration = Duration::from_secs(150);

/// A payment that happened.
#[derive(Debug)]
pub(super) struct Paid {
    transaction: String,
    /// Atomic units of USDC.e.
    pub(super) price: u128,
    fee: u128,
    took: Duration,
}

impl fmt::Display for Paid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            transaction,
            price,
            fee,
            took,
        } = self;
        write!(
            f,
            "paid {price} and a fee of {fee} millionths in {took:.1?}: {transaction}"
        )
    }
}

/// Starts the shop of published software.
pub(super) fn published_shop(chain: &TempoChain, folder: &Path) -> Result<Service> {
    let mut command = MPPX.command("shop.mjs");
    command
        .env("TEMPO_RPC", chain.url())
        .env("TEMPO_TREASURY", chain.treasury()?)
        .env("SHOP_PRICE", PRICE.0);
    Service::start(&mut command, folder, "shop")
}

/// A request that is paid.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) path: &'a str,
    pub(super) body: &'a Value,
    /// Whose key is sent with it.
    pub(super) api_key: Option<&'a str>,
}

/// Lets a client buy once from published software, and checks what it saw and where the money is.
pub(super) fn buy(
    client: &Client,
    chain: &TempoChain,
    shop: &Service,
    folder: &Path,
) -> Result<Paid> {
    let body = json!({"plan": "vc2-1c-1gb", "label": client.wallet});
    let request = Request {
        path: "/compute/provision",
        body: &body,
        api_key: None,
    };
    let (paid, result) = pay(client, chain, (shop, &chain.till()?), folder, &request)?;
    ensure!(
        result.pointer("/answer/order") == Some(&body),
        "another order"
    );
    ensure!(paid.price == PRICE.1, "{} was paid", paid.price);
    Ok(paid)
}

/// Lets a client pay for a request once, and checks what it saw and where the money is.
#[expect(
    clippy::disallowed_methods,
    reason = "the report tells how long a payment took"
)]
pub(super) fn pay(
    client: &Client,
    chain: &TempoChain,
    (shop, till): (&Service, &Till),
    folder: &Path,
    request: &Request<'_>,
) -> Result<(Paid, Value)> {
    let wallet = chain.buyer(client.wallet)?;
    let Till { recipient, token } = till;
    let balances = || -> Result<(u128, u128)> {
        let buyer = chain.balance(token, wallet.address)?;
        Ok((buyer, chain.balance(token, recipient)?))
    };
    let before = balances()?;
    let begin = Instant::now();
    let mut command = client.bundle.command(client.script);
    if let Some(api_key) = request.api_key {
        command.env("INTEROP_API_KEY", api_key);
    }
    command
        .env("INTEROP_URL", shop.url())
        .env("INTEROP_PATH", request.path)
        .env("INTEROP_RPC", chain.url())
        .env("INTEROP_KEY", wallet.key)
        .env("INTEROP_BODY", request.body.to_string())
        // Wallets that keep files keep them here.
        .env("HOME", folder)
        // Everything is on loopback.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    let said = child::run(&mut command, folder, client.wallet, LIMIT)?;
    let took = begin.elapsed();

    let result = last_json(&said)?;
    check_answer(&result, wallet.address)
        .with_context(|| format!("the client printed:\n{said}"))?;
    let transaction = text(&result, "/receipt/reference")?.to_owned();
    let transfers = chain.transfers(&transaction, token, wallet.address)?;
    let (price, fees): (Vec<_>, Vec<_>) = transfers
        .iter()
        .partition(|(to, _)| to.eq_ignore_ascii_case(recipient));
    let [(_, price)] = price.as_slice() else {
        bail!("not one payment of the price: {transfers:?}");
    };
    let fee = fees.iter().map(|(_, amount)| amount).sum();
    ensure!(fee <= MAX_FEE, "a fee of {fee}");
    let after = balances()?;
    let spent = before.0.checked_sub(after.0);
    let earned = after.1.checked_sub(before.1);
    ensure!(
        spent == price.checked_add(fee) && earned == Some(*price),
        "balances of buyer and treasury: {before:?}, then {after:?}"
    );
    let paid = Paid {
        transaction,
        price: *price,
        fee,
        took,
    };
    Ok((paid, result))
}

/// Checks what the client saw.
fn check_answer(result: &Value, payer: &str) -> Result<()> {
    ensure!(text(result, "/payer")? == payer, "another wallet paid");
    ensure!(
        result.get("status") == Some(&json!(200)),
        "the status is not 200"
    );
    ensure!(
        text(result, "/receipt/status")? == "success"
            && text(result, "/receipt/method")? == "tempo",
        "another receipt"
    );
    let transaction = text(result, "/receipt/reference")?;
    ensure!(
        is_hex(transaction, 64),
        "{transaction} is not a transaction"
    );
    Ok(())
}
