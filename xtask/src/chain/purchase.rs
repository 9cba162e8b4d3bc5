//! One purchase by one client, and what the chain says of it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::buyers::{Buyer, Method};
use super::report::Row;
use super::setup::Town;
use super::shops::{HOURS, OS_ID, PLAN, REGION, Shop};
use crate::interop::child;
use crate::interop::clients::Version;
use crate::interop::purchase::{is_hex, last_json, text};

/// Published clients give a purchase two minutes.
pub(super) const PURCHASE_LIMIT: Duration = Duration::from_secs(150);

/// How long after the answer the machine and the last move of the money may take.
const SETTLED_LIMIT: Duration = Duration::from_secs(60);

/// Wait between two looks at the chain.
const LOOK: Duration = Duration::from_millis(200);

/// The clients' own limits, which by default are below the price of a machine.
pub(super) const MAX_USD: u32 = 100;
pub(super) const MAX_ATOMIC: u32 = 100_000_000;

/// A purchase that is about to happen.
#[derive(Debug)]
pub(super) struct Purchase<'a> {
    pub(super) buyer: &'static Buyer,
    pub(super) town: &'a Town,
    pub(super) shop: &'a Shop,
    /// Where everything that is printed goes.
    pub(super) folder: &'a Path,
}

/// Who has how much of a token, in atomic units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Money {
    pub(super) buyer: u128,
    pub(super) treasury: u128,
    pub(super) hot_wallet: u128,
}

impl Money {
    /// After a purchase: the price went from the buyer to the treasury, and the hot wallet keeps nothing.
    pub(super) fn paid(self, price: u128) -> Option<Self> {
        Some(Self {
            buyer: self.buyer.checked_sub(price)?,
            treasury: self.treasury.checked_add(price)?,
            hot_wallet: self.hot_wallet,
        })
    }
}

impl Purchase<'_> {
    /// Lets the client buy, and checks the chain and the vendor.
    #[expect(
        clippy::disallowed_methods,
        reason = "the report tells how long a purchase took"
    )]
    pub(super) fn run(&self) -> Result<Row> {
        let Buyer {
            client,
            chain,
            network,
            method,
            ..
        } = *self.buyer;
        let decimals = self.town.decimals(chain)?;
        let price = scale(self.shop.price()?, decimals)?;
        let before = self.money()?;
        let machines = self.shop.count_machines()?;
        let begin = Instant::now();
        let said = self.buy()?;
        let took = begin.elapsed();
        let check = || -> Result<Money> {
            let transaction = self.check_result(&last_json(&said)?)?;
            self.check_transfer(&transaction, price)?;
            let after = self.wait_for_money(before.paid(price).context("too poor to pay")?)?;
            self.wait_for_machine(machines)?;
            self.check_allowance()?;
            Ok(after)
        };
        let after = check().with_context(|| format!("the client printed:\n{said}"))?;
        Ok(Row {
            network,
            client: client.bundle.name,
            version: client.speaks.number(),
            method: method.name(),
            price,
            decimals,
            before,
            after,
            took,
        })
    }

    /// Runs the client; the result is what it printed.
    fn buy(&self) -> Result<String> {
        let Buyer {
            client,
            wallet,
            network,
            chain,
            ..
        } = *self.buyer;
        let mut command = client.command();
        command
            .env("INTEROP_URL", self.shop.url())
            .env("INTEROP_KEY", self.town.buyer(wallet)?.key)
            .env("INTEROP_NETWORK", network)
            .env("INTEROP_CHAIN", format!("eip155:{chain}"))
            .env("INTEROP_MAX_USD", MAX_USD.to_string())
            .env("INTEROP_MAX_ATOMIC", MAX_ATOMIC.to_string())
            .env("INTEROP_BODY", self.body().to_string())
            // Everything is on loopback.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        if self.buyer.method != Method::Eip3009 {
            command.env("INTEROP_RPC", self.town.node(chain).url());
        }
        child::run(&mut command, self.folder, wallet, PURCHASE_LIMIT)
    }

    fn body(&self) -> Value {
        json!({
            "plan": PLAN,
            "region": REGION,
            "os_id": OS_ID,
            "prepaid_hours": HOURS,
            "network": self.buyer.network,
            "label": self.buyer.wallet,
        })
    }

    /// Checks what the client saw; the result is the transaction that paid.
    fn check_result(&self, result: &Value) -> Result<String> {
        ensure!(
            result.get("status") == Some(&json!(200)),
            "the status is not 200"
        );
        let answer = result.get("answer").context("no answer")?;
        ensure!(answer.get("success") == Some(&json!(true)), "no success");
        let order = answer.get("order").context("no order")?;
        for member in ["plan", "region", "label"] {
            ensure!(
                order.get(member) == self.body().get(member),
                "an order of another {member}"
            );
        }
        let receipt = result.get("receipt").context("no settlement header")?;
        ensure!(
            receipt.get("success") == Some(&json!(true)),
            "not settled: {receipt}"
        );
        let network = match self.buyer.client.speaks {
            Version::V1 => self.buyer.network.to_owned(),
            Version::V2 => format!("eip155:{}", self.buyer.chain),
        };
        ensure!(
            text(receipt, "/network")? == network,
            "settled elsewhere: {receipt}"
        );
        let transaction = text(answer, "/tx_hash")?;
        ensure!(
            is_hex(transaction, 64),
            "{transaction} is not a transaction"
        );
        ensure!(
            text(receipt, "/transaction")? == transaction,
            "two transactions: {receipt}"
        );
        let wallet = self.town.buyer(self.buyer.wallet)?.address;
        for payer in [text(receipt, "/payer")?, text(result, "/payer")?] {
            ensure!(
                payer.eq_ignore_ascii_case(wallet),
                "{payer} paid, not {wallet}"
            );
        }
        Ok(transaction.to_owned())
    }

    /// Checks that the transaction moved the price out of the buyer's hands, once, to us.
    fn check_transfer(&self, transaction: &str, price: u128) -> Result<()> {
        let Buyer { wallet, chain, .. } = *self.buyer;
        let (token, buyer) = (self.town.token(chain)?, self.town.buyer(wallet)?);
        let transfers = self
            .town
            .node(chain)
            .transfers(transaction, token, buyer.address)?;
        let [(to, value)] = transfers.as_slice() else {
            bail!(
                "{transaction} made {} transfers of the buyer",
                transfers.len()
            );
        };
        // Permit2 pays whom the offer names: the hot wallet, which hands the money on, where one offer serves direct
        // permits too.
        let recipient = match self.buyer.method {
            Method::Permit2 if self.shop.takes_permits() => self.town.hot_wallet()?.address,
            Method::Eip3009 | Method::Permit | Method::Permit2 => self.town.treasury()?,
        };
        ensure!(
            *value == price && to.eq_ignore_ascii_case(recipient),
            "{value} went to {to}, not {price} to {recipient}"
        );
        Ok(())
    }

    /// Waits until everybody has what is expected.
    fn wait_for_money(&self, expected: Money) -> Result<Money> {
        let found = wait(|| Ok(Some(self.money()?).filter(|found| *found == expected)))?;
        let Some(found) = found else {
            bail!("expected {expected:?}, found {:?}", self.money()?);
        };
        Ok(found)
    }

    fn wait_for_machine(&self, before: Option<usize>) -> Result<()> {
        wait(|| self.shop.find_machine(before))?.context("the vendor made no machine")
    }

    /// Checks that nobody may fetch more of the buyer's money than he paid.
    fn check_allowance(&self) -> Result<()> {
        let Buyer { wallet, chain, .. } = *self.buyer;
        let (token, node) = (self.town.token(chain)?, self.town.node(chain));
        let owner = self.town.buyer(wallet)?.address;
        for spender in [self.town.hot_wallet()?.address, self.town.permit2(chain)?] {
            let open = node.allowance(token, owner, spender)?;
            ensure!(open == 0, "{spender} may still fetch {open}");
        }
        Ok(())
    }

    fn money(&self) -> Result<Money> {
        let Buyer { wallet, chain, .. } = *self.buyer;
        let (token, node) = (self.town.token(chain)?, self.town.node(chain));
        Ok(Money {
            buyer: node.balance(token, self.town.buyer(wallet)?.address)?,
            treasury: node.balance(token, self.town.treasury()?)?,
            hot_wallet: node.balance(token, self.town.hot_wallet()?.address)?,
        })
    }
}

/// Looks until there is something to see; `None` when the time is over.
pub(super) fn wait<T>(mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    for _ in 0..SETTLED_LIMIT.as_millis().div_ceil(LOOK.as_millis()) {
        if let Some(seen) = look()? {
            return Ok(Some(seen));
        }
        thread::sleep(LOOK);
    }
    Ok(None)
}

/// Micro-dollars in atomic units of a token.
pub(super) fn scale(micros: u64, decimals: u32) -> Result<u128> {
    let unit = decimals
        .checked_sub(6)
        .and_then(|more| 10_u128.checked_pow(more));
    let scaled = unit.and_then(|unit| unit.checked_mul(micros.into()));
    scaled.with_context(|| format!("{micros} micro-dollars in {decimals} decimals"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_dollars_become_atomic_units() {
        assert_eq!(scale(178_584, 6).unwrap(), 178_584);
        assert_eq!(scale(178_584, 18).unwrap(), 178_584_000_000_000_000);
        assert!(scale(1, 5).is_err());
        assert!(scale(u64::MAX, 60).is_err());
    }

    #[test]
    fn the_price_goes_from_the_buyer_to_the_treasury_alone() {
        let before = Money {
            buyer: 5,
            treasury: 1,
            hot_wallet: 2,
        };
        let after = Money {
            buyer: 2,
            treasury: 4,
            hot_wallet: 2,
        };
        assert_eq!(before.paid(3), Some(after));
        assert_eq!(before.paid(6), None);
    }
}
