//! Buys, reads, extends, resizes and destroys a machine, as an agent would, and prints each exchange.
//! The machine is paid with a payment, its extension with credits. Then a second one is bought by challenge
//! and credential (MPP), with nothing but an account on Tempo.
//!
//! Start `cargo run --release -p compute-server -- dev` first. The wallet is made on the spot and
//! every signature is a real one (EIP-3009, EIP-191, Tempo); only the money is simulated.
#![expect(
    clippy::print_stdout,
    reason = "printing the exchanges is what it is for"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "indexing JSON gives null for what is missing"
)]

mod charge;
mod credential;
mod credits;
mod http;
mod resize;
mod show;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use compute_wallet::{EvmKey, auth_message};
use compute_x402::client::PaymentRequired;
use compute_x402::wire::v2;
use compute_x402::{PaymentPayload, SettlementResponse};
use serde_json::{Value, json};

use self::http::{Answer, Client};

/// How long a machine may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// The example pays on this network only: a signature for it is worth nothing anywhere.
const TEST_NETWORK: &str = "eip155:84532";

#[derive(Debug, Parser)]
#[command(about = "Buys, extends, resizes and destroys a machine on a development server")]
struct Arguments {
    /// Where the development server is.
    #[arg(long, env = "COMPUTE_URL", default_value = "http://127.0.0.1:4020")]
    url: String,
    /// The plan to buy, one of Vultr (the order names an image of Vultr); the cheapest without one.
    #[arg(long)]
    plan: Option<String>,
    /// Keep the machine and make an API key for it, to go on by hand.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let agent = Agent {
        client: Client::new(&arguments.url)?,
        key: EvmKey::from_bytes(&random()?).context("make a key")?,
    };
    println!("A new wallet: {}", agent.key.address().to_checksum());

    let order = agent.choose(arguments.plan.as_deref()).await?;
    let id = agent.buy(&order).await?;
    agent.wait_until_active(&id).await?;
    if arguments.keep {
        return agent.make_api_key(&arguments.url, &id).await;
    }
    agent.read_password(&id).await?;
    agent.top_up().await?;
    agent.extend(&id).await?;
    agent.resize(&id).await?;
    agent.destroy(&id).await?;
    charge::Payer::new(&agent.client)?
        .buy_and_end(&order)
        .await?;
    println!("\nDone: bought, listed, read, extended, resized and destroyed {id}.");
    Ok(())
}

struct Agent {
    client: Client,
    key: EvmKey,
}

impl Agent {
    /// Looks at the catalogue and writes the order.
    async fn choose(&self, wanted: Option<&str>) -> Result<Value> {
        show::step("What is for sale?");
        let answer = self.client.send("GET", "/compute/plans", &[], &[]).await?;
        show::exchange("GET", "/compute/plans", &[], &Value::Null, &answer);
        let catalogue = answer.json(200)?;
        let plans = catalogue["plans"]
            .as_array()
            .context("the catalogue has no plans")?;
        let is_wanted = |plan: &&Value| match wanted {
            Some(id) => plan["id"] == id,
            None => plan["provider"] == "vultr",
        };
        let plan = plans
            .iter()
            .filter(is_wanted)
            .min_by_key(|plan| cheapest_first(plan))
            .context("no such plan is sold")?;
        let region = plan["locations"]
            .get(0)
            .context("the plan is sold nowhere")?;
        Ok(json!({
            "plan": plan["id"], "region": region, "os_id": 2284,
            "label": "paid-flow", "prepaid_hours": 24, "network": "base",
        }))
    }

    async fn buy(&self, order: &Value) -> Result<String> {
        let asked = "Ask for it without paying: 402, with the price";
        let reply = self
            .pay_for("/compute/provision", order, Signed::No, asked)
            .await?;
        let id = reply["order"]["id"]
            .as_str()
            .context("the order has no id")?;
        Ok(id.to_owned())
    }

    /// Asks, is told the price, signs, pays.
    async fn pay_for(
        &self,
        path: &str,
        body: &Value,
        signed: Signed,
        asked: &str,
    ) -> Result<Value> {
        show::step(asked);
        let unpaid = self.post(path, body, signed, None).await?;
        ensure!(unpaid.status == 402, "expected 402, got {}", unpaid.status);
        let challenge = unpaid
            .header(v2::REQUIRED_HEADER)
            .context("the 402 has no PAYMENT-REQUIRED")?;
        let challenge = PaymentRequired::from_header(challenge.as_bytes())?;
        let offer = challenge
            .offers()
            .first()
            .context("no offer that this example can pay")?;
        let network = offer.token().network().caip2();
        ensure!(
            network == TEST_NETWORK,
            "{network} is no test network: refusing to pay"
        );
        println!(
            "\nSigning: {} atomic units of {} on {network} to {}, valid once.",
            offer.amount(),
            offer.evm().domain_name(),
            offer.pay_to().to_checksum(),
        );
        let payment = challenge.pay(offer, &self.key, random()?, now_ms()? / 1_000);

        show::step("The same request again, with the signed payment");
        let paid = self.post(path, body, signed, Some(&payment)).await?;
        let reply = paid.json(200)?;
        if let Some(receipt) = paid.header(v2::RESPONSE_HEADER) {
            let receipt = SettlementResponse::decode(receipt.as_bytes())?;
            println!(
                "\nReceipt: settled in transaction {} on {}.",
                receipt.transaction, receipt.network
            );
        }
        Ok(reply)
    }

    /// Sends a purchase and prints the exchange, but for the signature of the wallet.
    async fn post(
        &self,
        path: &str,
        body: &Value,
        signed: Signed,
        payment: Option<&PaymentPayload>,
    ) -> Result<Answer> {
        let text = body.to_string();
        let mut shown = vec![("content-type", "application/json".to_owned())];
        shown.extend(payment.map(|payment| (payment.header_name(), payment.to_header())));
        let mut headers = shown.clone();
        if signed == Signed::Yes {
            headers.extend(self.signature("POST", path, &text)?);
        }
        let answer = self
            .client
            .send("POST", path, &headers, text.as_bytes())
            .await?;
        show::exchange("POST", path, &shown, body, &answer);
        Ok(answer)
    }

    async fn wait_until_active(&self, id: &str) -> Result<()> {
        show::step("Wait until the machine runs");
        let path = format!("/compute/instances/{id}");
        let mut waited = Duration::ZERO;
        loop {
            let answer = self.signed("GET", &path).await?;
            let order = answer.json(200)?["order"].clone();
            match order["status"].as_str() {
                Some("active") => {
                    show::exchange("GET", &path, &[], &Value::Null, &answer);
                    break;
                }
                Some("pending" | "provisioning") if waited < PATIENCE => {
                    println!("  {} …", order["status"]);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    waited += Duration::from_secs(1);
                }
                _ => bail!("the machine did not start: {order}"),
            }
        }
        show::step("List what this wallet owns");
        let list = self.signed("GET", "/compute/instances").await?;
        show::exchange("GET", "/compute/instances", &[], &Value::Null, &list);
        let instances = list.json(200)?;
        let owns = instances["instances"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["id"] == id));
        ensure!(owns, "the list lacks the machine");
        Ok(())
    }

    /// The root password is shown once, ever.
    async fn read_password(&self, id: &str) -> Result<()> {
        let path = format!("/compute/instances/{id}/password");
        for (title, expected) in [
            ("Read the root password", 200),
            ("Read it again: it is gone", 409),
        ] {
            show::step(title);
            let answer = self.signed("POST", &path).await?;
            show::exchange("POST", &path, &[], &Value::Null, &answer);
            answer.json(expected)?;
        }
        Ok(())
    }

    /// An API key acts for its wallet; it is shown once.
    async fn make_api_key(&self, url: &str, id: &str) -> Result<()> {
        show::step("Make an API key, so that curl can act for this wallet");
        let path = "/compute/api-keys";
        let body = json!({ "label": "curl" }).to_string();
        let answer = self.signed_with("POST", path, &body).await?;
        show::exchange("POST", path, &[], &Value::Null, &answer);
        let made = answer.json(201)?;
        let api_key = made["api_key"].as_str().context("the answer has no key")?;
        println!("\nGo on by hand:\n  export URL={url} ID={id} KEY={api_key}");
        println!("  curl -s -H \"X-API-Key: $KEY\" $URL/compute/instances/$ID");
        Ok(())
    }

    async fn signed(&self, method: &str, path: &str) -> Result<Answer> {
        self.signed_with(method, path, "").await
    }

    async fn signed_with(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(self.signature(method, path, body)?);
        self.client
            .send(method, path, &headers, body.as_bytes())
            .await
    }

    /// Headers in the name of the wallet: the signature covers method, path, body, time and a nonce
    /// that is good once.
    fn signature(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<[(&'static str, String); 6]> {
        let address = self.key.address().to_string();
        let timestamp = now_ms()?.to_string();
        let nonce = hex::encode(random::<16>()?);
        let message = auth_message(
            "base",
            &address,
            method,
            path,
            body.as_bytes(),
            &timestamp,
            &nonce,
        );
        let signature = self.key.sign_message(message.as_bytes());
        Ok([
            ("x-auth-signature", signature.to_hex()),
            ("x-auth-address", address),
            ("x-auth-chain", "base".to_owned()),
            ("x-auth-timestamp", timestamp),
            ("x-auth-nonce", nonce),
            ("x-auth-sig-encoding", "hex".to_owned()),
        ])
    }
}

/// What a plan costs a day, as it is compared.
fn cheapest_first(plan: &Value) -> Decimal {
    plan["our_daily"].to_string().parse().unwrap_or_default()
}

/// Whether a request says whose it is. A payment alone says so, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signed {
    Yes,
    No,
}

/// A price as it is compared: whole and fraction, without floating point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Decimal(u64, String);

impl Default for Decimal {
    /// Dearer than everything, so that what has no price is not chosen.
    fn default() -> Self {
        Self(u64::MAX, String::new())
    }
}

impl std::str::FromStr for Decimal {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self(whole.parse()?, fraction.to_owned()))
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).context("random bytes")?;
    Ok(bytes)
}

fn now_ms() -> Result<u64> {
    #[expect(clippy::disallowed_methods, reason = "a client has its own clock")]
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("read the clock")?;
    u64::try_from(since.as_millis()).context("read the clock")
}
