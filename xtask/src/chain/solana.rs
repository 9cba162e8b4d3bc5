//! Purchases on Solana: real token programs in LiteSVM, published clients, and what the node says afterwards.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::buyers::{PROGRAMS, library};
use super::purchase::{MAX_ATOMIC, MAX_USD, Money, PURCHASE_LIMIT, scale, wait};
use super::report::{self, Row};
use super::shops::{HOURS, OS_ID, PLAN, REGION, SERVICE_TOKEN, Shop, write_secret};
use crate::crash::http;
use crate::interop::child::{self, Service};
use crate::interop::clients::{Client, Output, Version};
use crate::interop::purchase::{last_json, text};
use crate::interop::shop::create;
use crate::packages::{Bundle, Registry};

const NETWORK: &str = "solana";
const CHAIN: &str = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";

/// What stands before the port, and before the rest, in what the node prints.
const MARK: &str = "http://127.0.0.1:";
const SETUP_MARK: &str = "setup: ";

/// A payment costs two signatures and, at most, what the scripts offer for each unit: 5 000 lamports twice, and 200.
const MAX_FEE_LAMPORTS: u64 = 10_200;

/// The node, and the scripts that pay with the same library.
const NODE: Client = Client {
    bundle: Bundle {
        name: "x402-compute scripts",
        folder: "solana",
        registry: Registry::Pypi,
        packages: &["solders==0.29.0", "requests==2.34.2"],
        programs: PROGRAMS,
    },
    script: "solana-x402-compute.py",
    speaks: Version::V1,
    output: Output::Whole,
};

const FETCH_V2: Client = Client {
    bundle: Bundle {
        name: "npm @x402/fetch 2.27.0",
        folder: "solana-fetch-v2",
        registry: Registry::Npm,
        packages: &["@x402/fetch@2.27.0", "@x402/svm@2.27.0"],
        programs: PROGRAMS,
    },
    script: "solana-fetch-v2.mjs",
    speaks: Version::V2,
    output: Output::Whole,
};

const PYPI_V2: Client = Client {
    bundle: Bundle {
        name: "PyPI x402 2.25.0",
        folder: "solana-pypi-v2",
        registry: Registry::Pypi,
        packages: &["x402[svm,httpx]==2.25.0"],
        programs: PROGRAMS,
    },
    script: "solana-pypi-v2.py",
    speaks: Version::V2,
    output: Output::Whole,
};

/// A client with a wallet of its own.
#[derive(Debug, Clone, Copy)]
struct Buyer {
    wallet: &'static str,
    client: &'static Client,
    script: &'static str,
}

/// Everybody, in the order in which they buy.
const BUYERS: &[Buyer] = &[
    Buyer {
        wallet: "x402-fetch-v1",
        client: library(0),
        script: "x402-fetch-v1-svm.mjs",
    },
    buyer("x402-fetch-v2", &FETCH_V2),
    buyer("x402-pypi-v2", &PYPI_V2),
    buyer("x402-compute", &NODE),
];

const fn buyer(wallet: &'static str, client: &'static Client) -> Buyer {
    Buyer {
        wallet,
        client,
        script: client.script,
    }
}

/// What must be installed besides the clients of the other chains.
pub(super) fn bundles() -> impl Iterator<Item = &'static Bundle> {
    [&NODE.bundle, &FETCH_V2.bundle, &PYPI_V2.bundle].into_iter()
}

/// Who settles, and who is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// Our server itself, for a wallet.
    Embedded,
    /// Our server itself, for a token account that belongs to no wallet's address.
    TokenAccount,
    /// Another one of our servers.
    OurService,
    /// The facilitator of the published libraries.
    Published,
}

const SCENES: [Scene; 4] = [
    Scene::Embedded,
    Scene::TokenAccount,
    Scene::OurService,
    Scene::Published,
];

impl Scene {
    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::TokenAccount => "token-account",
            Self::OurService => "our-service",
            Self::Published => "published-facilitator",
        }
    }

    /// Whose money grows.
    const fn recipient(self) -> &'static str {
        match self {
            Self::TokenAccount => "till",
            Self::Embedded | Self::OurService | Self::Published => "treasury",
        }
    }

    /// Who can pay. Most published clients pay the account that belongs to whatever an offer names.
    fn buyers(self) -> impl Iterator<Item = &'static Buyer> {
        let finds_out = |buyer: &&Buyer| buyer.wallet == "x402-compute";
        let takes_all = self != Self::TokenAccount;
        BUYERS.iter().filter(move |it| takes_all || finds_out(it))
    }

    fn open(self, town: &Town, folder: &Path) -> Result<Shop> {
        let (treasury, till) = (town.wallet("treasury")?, town.wallet("till")?);
        let embedded = |pay_to: &str, more: &str| -> Result<String> {
            let key = folder.join("fee-payer-key");
            write_secret(&key, town.wallet("feePayer")?.key)?;
            let key = json!(key.to_str().context("a folder whose name is no text")?);
            let node = town.node.url();
            Ok(rail(
                pay_to,
                &format!(
                    "settlement = \"embedded\"\nrpc_url = \"{node}\"\n\
                     fee_payer_key_file = {key}\n{more}"
                ),
            ))
        };
        let remote = |url: &str, more: &str| -> Result<String> {
            let fee_payer = town.wallet("feePayer")?.address;
            Ok(rail(
                treasury.address,
                &format!("facilitator_url = \"{url}\"\nfee_payer = \"{fee_payer}\"\n{more}"),
            ))
        };
        match self {
            Self::Embedded => {
                Shop::with_rails(&embedded(treasury.address, "")?, folder, Vec::new())
            }
            Self::TokenAccount => {
                let rail = embedded(till.account, "pay_to_is_token_account = true\n")?;
                Shop::with_rails(&rail, folder, Vec::new())
            }
            Self::OurService => {
                // That server sells too, for an account of its own.
                let own = embedded(till.account, "pay_to_is_token_account = true\n")?;
                let beside = folder.join("service");
                create(&beside)?;
                let (url, partners) = Shop::facilitator(&own, treasury.address, &beside)?;
                let token = format!("facilitator_token = \"{SERVICE_TOKEN}\"\n");
                Shop::with_rails(&remote(&url, &token)?, folder, partners)
            }
            Self::Published => {
                let mut command = FETCH_V2.bundle.command("solana-facilitator.mjs");
                command
                    .env("SOLANA_KEY", town.wallet("feePayer")?.key)
                    .env("SOLANA_CHAIN", CHAIN)
                    .env("SOLANA_RPC", town.node.url());
                let facilitator =
                    Service::start_guarded(&command, folder, "published-facilitator", MARK)?;
                let rail = remote(facilitator.url(), "")?;
                Shop::with_rails(&rail, folder, vec![facilitator])
            }
        }
    }
}

fn rail(pay_to: &str, settings: &str) -> String {
    format!("[rails.solana]\nchain = \"{CHAIN}\"\npay_to = \"{pay_to}\"\n{settings}\n")
}

/// Lets everybody buy from our server, whoever settles.
pub(super) fn run(folder: &Path) -> Result<()> {
    let town = Town::build(folder)?;
    println!("\nsolana: a node is ready, {}", folder.display());
    for scene in SCENES {
        let folder = folder.join(scene.name());
        create(&folder)?;
        visit(scene, &town, &folder).with_context(|| format!("solana, {}", scene.name()))?;
    }
    Ok(())
}

fn visit(scene: Scene, town: &Town, folder: &Path) -> Result<()> {
    let shop = scene.open(town, folder)?;
    println!("\n{}\n{}", scene.name(), report::HEAD);
    for buyer in scene.buyers() {
        let purchase = Purchase {
            buyer,
            town,
            shop: &shop,
            recipient: scene.recipient(),
            folder,
        };
        let row = purchase.run().with_context(|| {
            format!(
                "{} on solana\nthe end of the shop's log:\n{}",
                buyer.client.bundle.name,
                shop.log()
            )
        })?;
        println!("{row}");
    }
    shop.check_totals(scene.buyers().count())
}

/// A node, and who lives there.
#[derive(Debug)]
struct Town {
    node: Service,
    setup: Value,
}

/// An account that can sign.
#[derive(Debug)]
struct Wallet<'a> {
    address: &'a str,
    key: &'a str,
    /// Where it has its dollars.
    account: &'a str,
}

impl Town {
    fn build(folder: &Path) -> Result<Self> {
        let names: Vec<_> = BUYERS.iter().map(|it| it.wallet).collect();
        let mut command = NODE.bundle.command("solana_node.py");
        command.env("SOLANA_BUYERS", json!(names).to_string());
        let node = Service::start_guarded(&command, folder, "solana-node", MARK)?;
        let said = node.said_after(SETUP_MARK)?;
        let setup = serde_json::from_str(&said).context("the node's setup is no JSON")?;
        Ok(Self { node, setup })
    }

    fn wallet(&self, name: &str) -> Result<Wallet<'_>> {
        let member = |member: &str| text(&self.setup, &format!("/wallets/{name}/{member}"));
        Ok(Wallet {
            address: member("address")?,
            key: member("key")?,
            account: member("account")?,
        })
    }

    fn decimals(&self) -> Result<u32> {
        let decimals = self.setup.get("decimals").and_then(Value::as_u64);
        let decimals = decimals.and_then(|it| it.try_into().ok());
        decimals.context("no decimals")
    }

    fn call(&self, method: &str, parameters: &Value) -> Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters});
        let answer = http::send(self.node.url(), "POST", "/", &[], &request.to_string())?;
        let answer = answer.json(200)?;
        let result = answer.get("result").cloned();
        result.with_context(|| format!("{method} was answered {answer}"))
    }

    /// What a wallet has of the token, in atomic units; nothing when it has no account for it.
    fn balance(&self, wallet: &Wallet<'_>) -> Result<u128> {
        let found = self.call(
            "getAccountInfo",
            &json!([wallet.account, {"encoding": "base64"}]),
        )?;
        if found.get("value").is_none_or(Value::is_null) {
            return Ok(0);
        }
        let answer = self.call("getTokenAccountBalance", &json!([wallet.account]))?;
        let amount = text(&answer, "/value/amount")?;
        amount
            .parse()
            .with_context(|| format!("{amount} is no amount"))
    }

    fn lamports(&self, wallet: &Wallet<'_>) -> Result<u64> {
        let answer = self.call("getBalance", &json!([wallet.address]))?;
        let lamports = answer.get("value").and_then(Value::as_u64);
        lamports.context("a balance that is no number")
    }
}

/// A purchase that is about to happen.
#[derive(Debug)]
struct Purchase<'a> {
    buyer: &'static Buyer,
    town: &'a Town,
    shop: &'a Shop,
    /// Whose money grows.
    recipient: &'static str,
    folder: &'a Path,
}

impl Purchase<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the report tells how long a purchase took"
    )]
    fn run(&self) -> Result<Row> {
        let decimals = self.town.decimals()?;
        let price = scale(self.shop.price()?, decimals)?;
        let before = self.money()?;
        let machines = self.shop.count_machines()?;
        let fee_payer = self.town.wallet("feePayer")?;
        let lamports = self.town.lamports(&fee_payer)?;
        let begin = Instant::now();
        let said = self.buy()?;
        let took = begin.elapsed();
        let check = || -> Result<Money> {
            let transaction = self.check_result(&last_json(&said)?)?;
            self.check_transfer(&transaction, price)?;
            let expected = before.paid(price).context("too poor to pay")?;
            let after = self.money()?;
            ensure!(after == expected, "expected {expected:?}, found {after:?}");
            wait(|| self.shop.find_machine(machines))?.context("the vendor made no machine")?;
            let spent = lamports.checked_sub(self.town.lamports(&fee_payer)?);
            ensure!(
                spent.is_some_and(|spent| (10_000..=MAX_FEE_LAMPORTS).contains(&spent)),
                "the fee payer spent {spent:?} lamports"
            );
            Ok(after)
        };
        let after = check().with_context(|| format!("the client printed:\n{said}"))?;
        Ok(Row {
            network: NETWORK,
            client: self.buyer.client.bundle.name,
            version: self.buyer.client.speaks.number(),
            method: "SPL",
            price,
            decimals,
            before,
            after,
            took,
        })
    }

    fn buy(&self) -> Result<String> {
        let mut command = self.buyer.client.bundle.command(self.buyer.script);
        command
            .env("INTEROP_URL", self.shop.url())
            .env("INTEROP_KEY", self.town.wallet(self.buyer.wallet)?.key)
            .env("INTEROP_NETWORK", NETWORK)
            .env("INTEROP_CHAIN", CHAIN)
            .env("INTEROP_RPC", self.town.node.url())
            .env("INTEROP_MAX_USD", MAX_USD.to_string())
            .env("INTEROP_MAX_ATOMIC", MAX_ATOMIC.to_string())
            .env("INTEROP_BODY", self.body().to_string())
            // Everything is on loopback.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        child::run(&mut command, self.folder, self.buyer.wallet, PURCHASE_LIMIT)
    }

    fn body(&self) -> Value {
        json!({
            "plan": PLAN,
            "region": REGION,
            "os_id": OS_ID,
            "prepaid_hours": HOURS,
            "network": NETWORK,
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
        ensure!(
            order.get("label") == self.body().get("label"),
            "an order of another label"
        );
        let receipt = result.get("receipt").context("no settlement header")?;
        let network = match self.buyer.client.speaks {
            Version::V1 => NETWORK,
            Version::V2 => CHAIN,
        };
        ensure!(
            receipt.get("success") == Some(&json!(true)) && text(receipt, "/network")? == network,
            "not settled here: {receipt}"
        );
        let transaction = text(answer, "/tx_hash")?;
        ensure!(
            text(receipt, "/transaction")? == transaction,
            "two transactions: {receipt}"
        );
        let wallet = self.town.wallet(self.buyer.wallet)?.address;
        for payer in [text(receipt, "/payer")?, text(result, "/payer")?] {
            ensure!(payer == wallet, "{payer} paid, not {wallet}");
        }
        Ok(transaction.to_owned())
    }

    /// Checks that the transaction moved the price from the buyer to whom the shop is for, and nothing else.
    fn check_transfer(&self, transaction: &str, price: u128) -> Result<()> {
        let options = json!({"encoding": "base64", "maxSupportedTransactionVersion": 0});
        let found = self
            .town
            .call("getTransaction", &json!([transaction, options]))?;
        ensure!(
            found.pointer("/meta/err") == Some(&Value::Null),
            "{transaction} did not succeed: {found}"
        );
        let held = |when: &str, wallet: &str| -> Result<u128> {
            let balances = found
                .pointer(&format!("/meta/{when}"))
                .and_then(Value::as_array);
            let mut of_wallet = balances
                .context("no balances")?
                .iter()
                .filter(|it| it.get("owner").and_then(Value::as_str) == Some(wallet));
            let (Some(one), None) = (of_wallet.next(), of_wallet.next()) else {
                bail!("{wallet} does not have one account in {transaction}");
            };
            let amount = text(one, "/uiTokenAmount/amount")?;
            amount
                .parse()
                .with_context(|| format!("{amount} is no amount"))
        };
        let change = |wallet: &str| -> Result<(u128, u128)> {
            Ok((
                held("preTokenBalances", wallet)?,
                held("postTokenBalances", wallet)?,
            ))
        };
        let (before, after) = change(self.town.wallet(self.buyer.wallet)?.address)?;
        ensure!(
            before.checked_sub(price) == Some(after),
            "the buyer paid from {before} to {after}"
        );
        let (before, after) = change(self.town.wallet(self.recipient)?.address)?;
        ensure!(
            before.checked_add(price) == Some(after),
            "the recipient got from {before} to {after}"
        );
        Ok(())
    }

    fn money(&self) -> Result<Money> {
        let balance = |name: &str| self.town.balance(&self.town.wallet(name)?);
        Ok(Money {
            buyer: balance(self.buyer.wallet)?,
            treasury: balance(self.recipient)?,
            hot_wallet: balance("feePayer")?,
        })
    }
}
