//! Signs requests for programs that cannot: `cargo xtask bench` and `cargo xtask crash` use none of
//! our crates, so that they start within seconds.
//!
//! ```text
//! bench_requests <url> api-key            an API key of the wallet
//! bench_requests <url> payments <count>   so many values of X-Payment, one a line
//! bench_requests <url> signer             the wallet's address, then line by line for each amount in
//!                                         atomic units that comes in a value of X-Payment, and for each
//!                                         value of WWW-Authenticate one of Authorization
//! ```
//!
//! The wallet is the one whose private key is in `COMPUTE_WALLET_KEY`; without it, each key and
//! each payment comes from a fresh one. Wallets that are made here hold nothing anywhere.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

#[path = "paid_flow/credential.rs"]
mod credential;
#[path = "paid_flow/http.rs"]
mod http;

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use compute_mpp::client;
use compute_wallet::{EvmKey, Uint256, auth_message};
use compute_x402::PaymentPayload;
use compute_x402::client::{PayableOffer, PaymentRequired, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::wire::v2;
use serde_json::json;

use self::http::Client;

/// What the payments buy: the body that `xtask/src/bench/scenario.rs` sends.
const PROVISION: &str =
    r#"{"plan":"vc2-1c-1gb","region":"ewr","os_id":2284,"label":"bench","prepaid_hours":24}"#;

/// Payments are signed long before the last of them is sent. Servers take up to a day.
const VALIDITY_S: u64 = 3_600;

/// How far back payments begin, so that clocks may differ.
const BACKDATE_S: u64 = 600;

#[derive(Debug, Parser)]
#[command(about = "Signs requests for programs that cannot")]
struct Arguments {
    /// The server, `http://<address>:<port>`.
    url: String,
    #[command(subcommand)]
    wanted: Wanted,
}

#[derive(Debug, Subcommand)]
enum Wanted {
    /// Makes an API key and prints it.
    ApiKey,
    /// Prints payments for a machine.
    Payments { count: usize },
    /// Prints a payment of each amount, and a credential for each challenge, that it reads.
    Signer,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let client = Client::new(&arguments.url)?;
    match arguments.wanted {
        Wanted::ApiKey => println!("{}", make_api_key(&client).await?),
        Wanted::Payments { count } => {
            let offer = ask_for_offer(&client).await?;
            for _ in 0..count {
                let payment = pay(&offer, offer.amount().get(), &wallet()?)?;
                println!("{}", payment.to_header());
            }
        }
        Wanted::Signer => sign_on(&ask_for_offer(&client).await?, &wallet()?)?,
    }
    Ok(())
}

async fn make_api_key(client: &Client) -> Result<String> {
    let path = "/compute/api-keys";
    let headers = sign_request(&wallet()?, "POST", path)?;
    let reply = client.send("POST", path, &headers, b"").await?.json(201)?;
    let text = reply.get("api_key").and_then(|text| text.as_str());
    Ok(text.context("the reply has no api_key")?.to_owned())
}

async fn ask_for_offer(client: &Client) -> Result<PayableOffer> {
    let headers = [("content-type", "application/json".to_owned())];
    let answer = client
        .send("POST", "/compute/provision", &headers, PROVISION.as_bytes())
        .await?;
    ensure!(answer.status == 402, "expected 402, got {}", answer.status);
    let challenge = answer
        .header(v2::REQUIRED_HEADER)
        .context("the 402 has no PAYMENT-REQUIRED")?;
    let challenge = PaymentRequired::from_header(challenge.as_bytes())?;
    let offer = challenge.offers().first();
    Ok(offer.context("no offer that can be paid here")?.clone())
}

/// Signs payments until nobody asks for more.
fn sign_on(offer: &PayableOffer, wallet: &EvmKey) -> Result<()> {
    println!("{}", wallet.address());
    for line in std::io::stdin().lines() {
        let line = line.context("read an amount or a challenge")?;
        let payment = match line.trim().parse() {
            Ok(amount) => pay(offer, amount, wallet)?.to_header(),
            Err(_) => meet(line.trim(), wallet)?,
        };
        println!("{payment}");
        std::io::stdout().flush().context("print a payment")?;
    }
    Ok(())
}

/// A credential for the challenge of the method `tempo` in a value of `WWW-Authenticate`.
fn meet(challenges: &str, wallet: &EvmKey) -> Result<String> {
    let now_s = now_ms()? / 1_000;
    let offers = client::offers([challenges.as_bytes()], now_s)?;
    let mut offers = offers.into_iter();
    let offer = offers.find(|offer| offer.method() == "tempo");
    let offer = offer.context("no challenge that can be paid here")?;
    credential::answer(offer, wallet, now_s, "bench")
}

/// A payment of version 1: the header `X-Payment` is its.
fn pay(offer: &PayableOffer, amount: u128, wallet: &EvmKey) -> Result<PaymentPayload> {
    let now_s = now_ms()? / 1_000;
    let authorization = Authorization {
        from: wallet.address(),
        to: offer.pay_to(),
        value: Uint256::from(amount),
        valid_after: now_s.saturating_sub(BACKDATE_S),
        valid_before: now_s.saturating_add(VALIDITY_S),
        nonce: random()?,
    };
    let signed = sign(offer.evm(), authorization, wallet);
    let envelope = json!({
        "x402Version": 1,
        "scheme": v2::EXACT,
        "network": offer.token().network().v1_name(),
        "payload": signed.to_json(),
    });
    Ok(PaymentPayload::from_json(envelope)?)
}

/// The headers that sign a request without a body.
fn sign_request(wallet: &EvmKey, method: &str, path: &str) -> Result<[(&'static str, String); 5]> {
    let address = wallet.address().to_string();
    let timestamp = now_ms()?.to_string();
    let nonce = hex::encode(random::<16>()?);
    let message = auth_message("base", &address, method, path, b"", &timestamp, &nonce);
    Ok([
        (
            "x-auth-signature",
            wallet.sign_message(message.as_bytes()).to_hex(),
        ),
        ("x-auth-address", address),
        ("x-auth-chain", "base".to_owned()),
        ("x-auth-timestamp", timestamp),
        ("x-auth-nonce", nonce),
    ])
}

fn wallet() -> Result<EvmKey> {
    let key = match std::env::var_os("COMPUTE_WALLET_KEY") {
        Some(text) => EvmKey::from_hex(&text.to_string_lossy()).context("COMPUTE_WALLET_KEY")?,
        None => EvmKey::from_bytes(&random()?).context("make a key")?,
    };
    Ok(key)
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
