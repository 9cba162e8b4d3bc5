//! Published clients at our own server: a machine, the key to it, and more time by that key.

use std::fmt;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::purchase::{self, Paid, Request};
use super::tempo::{CHAIN, TempoChain, Till};
use super::{Client, MPPX};
use crate::interop::child::{self, Service};
use crate::interop::purchase::{last_json, text};
use crate::interop::shop::{self, Programs};

/// One client signs for a minute, or until a second after the challenge; the real chain's present rules take
/// half a minute.
pub(super) const SHORT_LIFE: &str = "25s";

/// The setting's default.
pub(super) const USUAL_LIFE: &str = "5m";

/// The token that `dev` takes.
const PATH_USD: &str = "0x20c0000000000000000000000000000000000000";

/// How long a machine may take until it is active.
const LOOKS: u32 = 90;
const LOOK: Duration = Duration::from_secs(1);
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// Our server with its partners.
#[derive(Debug)]
pub(super) struct Sale {
    name: &'static str,
    till: Till,
    server: Service,
    _partners: Vec<Service>,
}

/// A machine and more time for it.
#[derive(Debug)]
pub(super) struct Bought {
    name: &'static str,
    order: String,
    machine: Paid,
    time: Paid,
}

impl fmt::Display for Bought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            order,
            machine,
            time,
        } = self;
        write!(f, "{name}: {order}: {machine}; more time: {time}")
    }
}

/// `compute-server serve` with the chain, and a cloud on loopback; its challenges live so long.
pub(super) fn serve(
    programs: &Programs,
    chain: &TempoChain,
    challenge_life: &str,
    folder: &Path,
) -> Result<Sale> {
    shop::create(folder)?;
    let (vultr, _) = programs.stand_in("vultr", folder)?;
    let till = chain.till()?;
    let (secret, recipient) = (shop::random_hex::<32>()?, &till.recipient);
    let rpc_url = chain.url();
    let rails = format!(
        r#"[mpp]
secret = "{secret}"
challenge_life = "{challenge_life}"

[mpp.tempo]
recipient = "{recipient}"
rpc_url = "{rpc_url}"
"#
    );
    let file = folder.join("compute.toml");
    fs::write(&file, shop::configuration(vultr.url(), &rails)?)
        .with_context(|| format!("write {}", file.display()))?;
    let mut command = programs.server(folder);
    command.arg("serve").arg("--config").arg(&file);
    Ok(Sale {
        name: "serve",
        till,
        server: Service::start(&mut command, folder, "serve")?,
        _partners: vec![vultr],
    })
}

/// `compute-server dev` with the chain: the cloud is simulated, the money is not.
pub(super) fn dev(programs: &Programs, chain: &TempoChain, folder: &Path) -> Result<Sale> {
    shop::create(folder)?;
    let mut command = programs.server(folder);
    command.args(["dev", "--listen", "127.0.0.1:0"]);
    command.args(["--tempo-rpc", chain.url(), "--tempo-chain"]);
    command.arg(CHAIN.to_string());
    Ok(Sale {
        name: "dev",
        till: Till {
            recipient: shop::DEV_RECIPIENT.to_owned(),
            token: PATH_USD.to_owned(),
        },
        server: Service::start(&mut command, folder, "dev")?,
        _partners: Vec::new(),
    })
}

impl Sale {
    /// Whether a client's transactions fit the chain: `dev` keeps the usual challenge life, in which one
    /// client signs for a minute, and this chain takes half of it.
    pub(super) fn takes(&self, client: &Client) -> bool {
        self.name != "dev" || client.wallet != "pympp"
    }

    /// The last lines of the server's log.
    pub(super) fn log(&self) -> String {
        self.server.last_lines(20)
    }
}

/// Lets a client buy a machine, and with the key that it gets more time for it.
pub(super) fn buy(
    client: &Client,
    chain: &TempoChain,
    sale: &Sale,
    folder: &Path,
) -> Result<Bought> {
    let body = json!({
        "plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284, "prepaid_hours": 24,
        "label": format!("interop-{}", client.wallet),
    });
    let request = Request {
        path: "/compute/provision",
        body: &body,
        api_key: None,
    };
    let (machine, said) =
        purchase::pay(client, chain, (&sale.server, &sale.till), folder, &request)?;
    let order = text(&said, "/answer/order/id")?.to_owned();
    let key = text(&said, "/answer/management_api_key")?;
    ensure!(
        text(&said, "/answer/tx_hash")? == text(&said, "/receipt/reference")?,
        "order and receipt name different transactions"
    );
    for member in ["id", "last4"] {
        text(&said, &format!("/answer/management_api_key_{member}"))?;
    }
    text(&said, "/answer/management_note")?;
    wait_until_active(sale, &order, key, folder)?;

    let (path, body) = (
        format!("/compute/instances/{order}/extend"),
        json!({ "extend_hours": 24 }),
    );
    let request = Request {
        path: &path,
        body: &body,
        api_key: Some(key),
    };
    let (time, said) = purchase::pay(client, chain, (&sale.server, &sale.till), folder, &request)?;
    ensure!(
        said.pointer("/answer/extended_hours") == Some(&json!(24)),
        "the time was not extended: {said}"
    );
    ensure!(
        time.price == machine.price,
        "a day costs {}, and once more {}",
        machine.price,
        time.price
    );
    Ok(Bought {
        name: sale.name,
        order,
        machine,
        time,
    })
}

fn wait_until_active(sale: &Sale, order: &str, key: &str, folder: &Path) -> Result<()> {
    for _ in 0..LOOKS {
        let mut command = MPPX.command("look.mjs");
        command
            .env("INTEROP_URL", sale.server.url())
            .env("INTEROP_PATH", format!("/compute/instances/{order}"))
            .env("INTEROP_API_KEY", key);
        let said = child::run(&mut command, folder, "look", LOOK_LIMIT)?;
        if text(&last_json(&said)?, "/answer/order/status")? == "active" {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    bail!("{order} does not become active")
}
