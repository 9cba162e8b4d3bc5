//! The two ways to run the server: `dev`, and `serve` among stand-ins.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::child::Service;
use super::records::{Keeper, Records};
use crate::cargo;

/// The key that the double of the vendor accepts.
const VENDOR_KEY: &str = "test-key";

/// Who is paid in `dev`.
pub(crate) const DEV_RECIPIENT: &str = "0x1111111111111111111111111111111111111111";

/// A network, in the words of both versions of x402.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    pub(super) v1: &'static str,
    pub(super) v2: &'static str,
}

pub(super) const BASE: Network = Network {
    v1: "base",
    v2: "eip155:8453",
};
pub(super) const BASE_SEPOLIA: Network = Network {
    v1: "base-sepolia",
    v2: "eip155:84532",
};

/// A running server with its partners.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) name: &'static str,
    pub(super) network: Network,
    /// What the partners wrote down.
    pub(super) records: Records,
    /// Where everything that is printed goes.
    pub(super) folder: PathBuf,
    server: Service,
    _partners: Vec<Service>,
}

/// The programs under test.
#[derive(Debug)]
pub(crate) struct Programs {
    server: PathBuf,
    stand_ins: PathBuf,
}

impl Programs {
    /// Builds them, and whatever else the selection names.
    pub(crate) fn build(selection: &[&str]) -> Result<Self> {
        cargo::run(cargo::cargo().args(["build", "--locked"]).args(selection))?;
        let folder = cargo::target_dir().join("debug");
        Ok(Self {
            server: folder.join("compute-server"),
            stand_ins: folder.join("compute-stand-ins"),
        })
    }

    pub(crate) fn server(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.server);
        command.current_dir(folder);
        for (name, _) in std::env::vars_os() {
            // The developer's own configuration is not what is tested.
            if name.to_string_lossy().starts_with("COMPUTE_SERVER_") {
                command.env_remove(&name);
            }
        }
        command
    }

    pub(crate) fn stand_in(&self, partner: &str, folder: &Path) -> Result<(Service, PathBuf)> {
        let journal = folder.join(format!("{partner}.jsonl"));
        let mut command = Command::new(&self.stand_ins);
        command.arg(partner).arg("--journal").arg(&journal);
        if partner == "vultr" {
            command.args(["--api-key", VENDOR_KEY]);
        }
        Ok((Service::start(&mut command, folder, partner)?, journal))
    }
}

impl Shop {
    /// `compute-server dev`: a simulated cloud, simulated settlement, a test network.
    pub(super) fn dev(programs: &Programs, folder: &Path) -> Result<Self> {
        create(folder)?;
        let mut command = programs.server(folder);
        command.args(["dev", "--listen", "127.0.0.1:0"]);
        Ok(Self {
            name: "dev",
            network: BASE_SEPOLIA,
            // `dev` keeps them beside its database.
            records: Records {
                keeper: Keeper::Simulators,
                settlements: folder.join("compute-dev.db.settled-base"),
                machines: folder.join("compute-dev.db.vultr"),
                network: BASE_SEPOLIA,
                pay_to: DEV_RECIPIENT.to_owned(),
            },
            folder: folder.to_owned(),
            server: Service::start(&mut command, folder, "dev")?,
            _partners: Vec::new(),
        })
    }

    /// `compute-server serve` as for real money, with a facilitator and a cloud on loopback.
    pub(super) fn serve(programs: &Programs, folder: &Path) -> Result<Self> {
        create(folder)?;
        let (facilitator, settlements) = programs.stand_in("facilitator", folder)?;
        let (vultr, machines) = programs.stand_in("vultr", folder)?;
        let pay_to = format!("0x{}", random_hex::<20>()?);
        let file = folder.join("compute.toml");
        let Network {
            v1: word,
            v2: chain,
        } = BASE;
        let facilitator_url = facilitator.url();
        let rails = format!(
            r#"[rails.base]
chain = "{chain}"
pay_to = "{pay_to}"
facilitator_url = "{facilitator_url}"
rpc_url = "{facilitator_url}/rpc/{word}"
"#
        );
        let text = configuration(vultr.url(), &rails)?;
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let mut command = programs.server(folder);
        command.arg("serve").arg("--config").arg(&file);
        Ok(Self {
            name: "serve",
            network: BASE,
            records: Records {
                keeper: Keeper::StandIns,
                settlements,
                machines,
                network: BASE,
                pay_to,
            },
            folder: folder.to_owned(),
            server: Service::start(&mut command, folder, "serve")?,
            _partners: vec![facilitator, vultr],
        })
    }

    pub(super) fn url(&self) -> &str {
        self.server.url()
    }

    /// The last lines of the server's log.
    pub(super) fn log(&self) -> String {
        self.server.last_lines(20)
    }
}

pub(crate) fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))
}

/// The configuration of a server whose machines come from a double, and whose rails are given.
pub(crate) fn configuration(vultr: &str, rails: &str) -> Result<String> {
    // The public URL must be known before the server listens, so the port cannot be left to it.
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .context("find a free port")?;
    let sealing_key = random_hex::<32>()?;
    let pepper = random_hex::<32>()?;
    Ok(format!(
        r#"[server]
listen = "{address}"
public_url = "http://{address}"

[database]
url = "sqlite:serve.db"

[secrets]
sealing_keys = [{{ id = 1, key = "{sealing_key}" }}]
api_key_pepper = "{pepper}"

[pricing]
markup_bps = 1500

[providers.vultr]
api_key = "{VENDOR_KEY}"
base_url = "{vultr}/v2"

{rails}"#
    ))
}

/// Fresh random bytes as lower-case hex.
pub(crate) fn random_hex<const N: usize>() -> Result<String> {
    let mut bytes = [0_u8; N];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
