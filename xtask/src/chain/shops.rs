//! The shops: one of published software with its own facilitator or ours, and our server in two ways to settle.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::buyers::{BASE, Buyer, MEGAETH, Method, TOOLS};
use super::setup::Town;
use crate::cargo::AS_TESTS;
use crate::crash::http;
use crate::interop::child::Service;
use crate::interop::purchase::atomic_price;
use crate::interop::records::Keeper;
use crate::interop::shop::{Programs, configuration};

/// What stands before the port in what a shop of published software prints.
const MARK: &str = "http://127.0.0.1:";

/// What stands before the address of our server's facilitator in what it prints.
const SERVICE_MARK: &str = "facilitator for others: ";

/// Whom the server is paid for what it sells itself while it serves others.
const OTHER_TREASURY: &str = "0x000000000000000000000000000000000000dEaD";

/// What a client of that facilitator shows.
pub(super) const SERVICE_TOKEN: &str = "a-throwaway-token-of-the-chain-test";

/// What everybody buys.
pub(super) const PLAN: &str = "vc2-1c-1gb";
pub(super) const REGION: &str = "ewr";
pub(super) const OS_ID: u64 = 2284;

/// The shortest time that is sold.
pub(super) const HOURS: u64 = 24;

/// A running shop.
#[derive(Debug)]
pub(super) struct Shop {
    service: Service,
    chains: &'static [u64],
    /// Whether payers may approve its wallet directly.
    takes_permits: bool,
    /// Where the vendor's double notes the machines; a shop of published software has none.
    machines: Option<PathBuf>,
    _partners: Vec<Service>,
}

impl Shop {
    /// Published software verifies and settles, on both chains.
    pub(super) fn published(town: &Town, folder: &Path) -> Result<Self> {
        Ok(Self {
            service: start_published(town, folder)?,
            chains: &[BASE, MEGAETH],
            takes_permits: true,
            machines: None,
            _partners: Vec::new(),
        })
    }

    /// Published software sells, and our server verifies and settles for it, on both chains.
    pub(super) fn served(town: &Town, folder: &Path) -> Result<Self> {
        let treasury = town.treasury()?;
        // That server sells too, for an account of its own.
        let rails = embedded_rails(town, folder)?.replace(treasury, OTHER_TREASURY);
        let (url, partners) = Self::facilitator(&rails, treasury, folder)?;
        let mut command = TOOLS.command("shop.mjs");
        command
            .env("CHAIN_SETUP", &town.file)
            .env("FACILITATOR_URL", url)
            .env("FACILITATOR_TOKEN", SERVICE_TOKEN);
        Ok(Self {
            service: Service::start_guarded(&command, folder, "published", MARK)?,
            chains: &[BASE, MEGAETH],
            takes_permits: false,
            machines: None,
            _partners: partners,
        })
    }

    /// Our server, and a published facilitator that settles on both chains.
    pub(super) fn with_facilitator(town: &Town, folder: &Path) -> Result<Self> {
        let published = start_published(town, folder)?;
        let facilitator = format!("{}/facilitator", published.url());
        let theirs = [("facilitator_url", facilitator.as_str())];
        let base = rail(town, "base", BASE, &theirs)?;
        let megaeth = rail(town, "megaeth", MEGAETH, &theirs)?;
        let rails = format!("{base}{megaeth}");
        let shop = Self::serve(&rails, &[BASE, MEGAETH], folder, vec![published])?;
        // Nobody approves somebody else's facilitator.
        Ok(Self {
            takes_permits: false,
            ..shop
        })
    }

    /// Our server, which settles by itself on both chains.
    pub(super) fn embedded(town: &Town, folder: &Path) -> Result<Self> {
        let rails = embedded_rails(town, folder)?;
        Self::serve(&rails, &[BASE, MEGAETH], folder, Vec::new())
    }

    /// Our server with other rails than those of the EVM chains, and whom it needs.
    pub(super) fn with_rails(rails: &str, folder: &Path, partners: Vec<Service>) -> Result<Self> {
        Self::serve(rails, &[], folder, partners)
    }

    /// Our server as the facilitator of others: where they find it, and what it takes.
    pub(super) fn facilitator(
        rails: &str,
        recipient: &str,
        folder: &Path,
    ) -> Result<(String, Vec<Service>)> {
        let rails = format!("{rails}{}", serving(recipient));
        let Self {
            service,
            _partners: mut partners,
            ..
        } = Self::serve(&rails, &[], folder, Vec::new())?;
        let url = service.said_after(SERVICE_MARK)?;
        partners.push(service);
        Ok((url, partners))
    }

    fn serve(
        rails: &str,
        chains: &'static [u64],
        folder: &Path,
        mut partners: Vec<Service>,
    ) -> Result<Self> {
        let programs = Programs::build(AS_TESTS)?;
        let (vultr, machines) = programs.stand_in("vultr", folder)?;
        let file = folder.join("compute.toml");
        fs::write(&file, configuration(vultr.url(), rails)?)
            .with_context(|| format!("write {}", file.display()))?;
        let mut command = programs.server(folder);
        command.arg("serve").arg("--config").arg(&file);
        let service = Service::start(&mut command, folder, "serve")?;
        partners.push(vultr);
        Ok(Self {
            service,
            chains,
            takes_permits: true,
            machines: Some(machines),
            _partners: partners,
        })
    }

    pub(super) fn url(&self) -> &str {
        self.service.url()
    }

    /// The last lines of its log.
    pub(super) fn log(&self) -> String {
        self.service.last_lines(20)
    }

    pub(super) fn sells_to(&self, buyer: &Buyer) -> bool {
        self.chains.contains(&buyer.chain) && (self.takes_permits || buyer.method != Method::Permit)
    }

    /// Whether payers may approve its wallet directly.
    pub(super) const fn takes_permits(&self) -> bool {
        self.takes_permits
    }

    /// What a machine for the shortest time costs, in micro-dollars.
    pub(super) fn price(&self) -> Result<u64> {
        let answer = http::send(self.url(), "GET", "/compute/plans", &[], "")?.json(200)?;
        let plans = answer.get("plans").and_then(Value::as_array);
        let plan = plans
            .context("no plans")?
            .iter()
            .find(|plan| plan.get("id").and_then(Value::as_str) == Some(PLAN));
        let hourly = plan.and_then(|plan| plan.get("our_hourly"));
        atomic_price(hourly.context("the plan has no price")?, HOURS)
    }

    /// Machines that the vendor made so far, if this shop has a vendor.
    pub(super) fn count_machines(&self) -> Result<Option<usize>> {
        let Some(journal) = &self.machines else {
            return Ok(None);
        };
        Ok(Some(Keeper::StandIns.machines(journal)?.len()))
    }

    /// Checks that the machine after the `before` first is the one that was bought, and that there is no other. `None`
    /// when it is not made yet.
    pub(super) fn find_machine(&self, before: Option<usize>) -> Result<Option<()>> {
        let (Some(journal), Some(before)) = (&self.machines, before) else {
            return Ok(Some(()));
        };
        let machines = Keeper::StandIns.machines(journal)?;
        let machine = match machines.get(before..).unwrap_or_default() {
            [] => return Ok(None),
            [machine] => machine,
            many => bail!("the vendor made {} machines for one purchase", many.len()),
        };
        let body = json!({"plan": PLAN, "region": REGION, "os_id": OS_ID});
        for (member, found) in &machine.asked {
            ensure!(
                Some(found) == body.get(member),
                "the vendor made another machine: {machine:?}"
            );
        }
        Ok(Some(()))
    }

    /// Checks that the vendor made one machine a purchase, each for an operation of its own, and took none back.
    pub(super) fn check_totals(&self, purchases: usize) -> Result<()> {
        let Some(journal) = &self.machines else {
            println!("{purchases} purchases");
            return Ok(());
        };
        let machines = Keeper::StandIns.machines(journal)?;
        let mut operations: Vec<&str> = machines.iter().map(|it| it.operation.as_str()).collect();
        operations.sort_unstable();
        operations.dedup();
        let deleted = Keeper::StandIns.count_deleted(journal)?;
        ensure!(
            machines.len() == purchases && operations.len() == purchases && deleted == 0,
            "after {purchases} purchases the vendor made {} machines for {} operations, and deleted {deleted}",
            machines.len(),
            operations.len(),
        );
        println!("{purchases} purchases, and the vendor made one machine for each");
        Ok(())
    }
}

/// The section of a server that settles for somebody.
fn serving(recipient: &str) -> String {
    format!(
        "[facilitator]\nenabled = true\nlisten = \"127.0.0.1:0\"\ntoken = \"{SERVICE_TOKEN}\"\n\
         recipients = [\"{recipient}\"]\n\n"
    )
}

fn start_published(town: &Town, folder: &Path) -> Result<Service> {
    let mut command = TOOLS.command("shop.mjs");
    command.env("CHAIN_SETUP", &town.file);
    Service::start_guarded(&command, folder, "published", MARK)
}

/// Both rails of our server when it settles by itself.
fn embedded_rails(town: &Town, folder: &Path) -> Result<String> {
    let key = folder.join("hot-wallet-key");
    write_secret(&key, town.hot_wallet()?.key)?;
    let key = key.to_str().context("a folder whose name is no text")?;
    let own = [("settlement", "embedded"), ("hot_wallet_key_file", key)];
    let base = rail(town, "base", BASE, &own)?;
    let megaeth = rail(town, "megaeth", MEGAETH, &own)?;
    // Nodes of that chain answer when a transaction is in a block, and so does anvil.
    let megaeth = format!("{}\nsync_send = true\n\n", megaeth.trim_end());
    Ok(format!("{base}{megaeth}"))
}

/// A rail whose money belongs to the treasury.
fn rail(town: &Town, label: &str, chain: u64, settings: &[(&str, &str)]) -> Result<String> {
    let treasury = town.treasury()?;
    let rpc_url = town.node(chain).url();
    let mut text = format!(
        "[rails.{label}]\nchain = \"eip155:{chain}\"\npay_to = \"{treasury}\"\nrpc_url = \"{rpc_url}\"\n"
    );
    for (name, value) in settings {
        text.push_str(&format!("{name} = {}\n", json!(value)));
    }
    text.push('\n');
    Ok(text)
}

/// Writes a file that only its owner may read.
pub(super) fn write_secret(path: &Path, content: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}
