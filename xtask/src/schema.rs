//! `cargo xtask schema`: schemathesis sends what the API document allows, and what it forbids, and compares the answers
//! with the document (reliability.md 6.9).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo;
use crate::interop::child::{self, Service};
use crate::interop::empty;
use crate::packages::{self, Bundle, Registry};

const SERVER: &str = "compute-server";
const CLIENT: &str = "compute";

const TOOL: Bundle = Bundle {
    name: "PyPI schemathesis 4.32.5",
    folder: "schemathesis",
    registry: Registry::Pypi,
    packages: &["schemathesis==4.32.5", "eth-account==0.13.7"],
    programs: "schema",
};

/// Examples for each operation, unless the command says otherwise.
const EXAMPLES: &str = "200";

/// Always the same examples, unless the command names another number.
const SEED: &str = "1";

/// The wallet that buys: a key for play, which every developer's chain knows.
const WALLET: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Dollars on its account.
const CREDITS: &str = "100000";

/// How long one call of the command may take.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// Documented successes that no answer need be, each with its reason.
const UNREACHED: &[(&str, &str)] = &[(
    "POST /compute/provision 202",
    "the client sent its payment to the chain itself, which a development server does not let it; the tests of \
     compute-http (charges::sent) show it",
)];

const USAGE: &str = "\
usage: cargo xtask schema [examples [seed]]

Installs schemathesis from PyPI below target/interop, and lets it test a development server against the API document
that the server publishes, with a funded API key. Every documented success must be seen. 200 examples for each
operation unless another number is given.
";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_number = |word: &str| word.parse::<u32>().is_ok();
    let (examples, seed) = match words.as_slice() {
        [] => (EXAMPLES, SEED),
        [examples] if is_number(examples) => (*examples, SEED),
        [examples, seed] if is_number(examples) && is_number(seed) => (*examples, *seed),
        other => {
            print!("{USAGE}");
            return Ok(match other {
                ["--help"] => ExitCode::SUCCESS,
                _ => ExitCode::from(2),
            });
        }
    };
    packages::install([&TOOL])?;
    let mut build = cargo::cargo();
    build.args(["build", "--locked"]).args(cargo::AS_TESTS);
    cargo::run(&mut build)?;
    let folder = packages::workshop().join("schema");
    empty(&folder)?;
    let shop = Shop::open(folder)?;
    let api_key = shop.fund()?;
    let mut seed_shop = shop.tool("python", &api_key);
    seed_shop
        .arg(shop.program("seed.py"))
        .arg(shop.server.url());
    cargo::run(&mut seed_shop)?;
    let status = cargo::status(&mut shop.test(examples, seed, &api_key))?;
    let unseen = shop.unseen()?;
    for success in &unseen {
        println!("VIOLATION {success} is documented and was never answered");
    }
    println!("everything is kept in {}", shop.folder.display());
    if !unseen.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(cargo::exit_code(status))
}

/// A development server, with a folder for everything.
struct Shop {
    folder: PathBuf,
    programs: PathBuf,
    server: Service,
    /// Where the hooks listen to webhooks.
    receiver_port: u16,
}

impl Shop {
    fn open(folder: PathBuf) -> Result<Self> {
        let programs = cargo::target_dir().join("debug");
        let mut command = Command::new(programs.join(SERVER));
        command.current_dir(&folder).args([
            "dev",
            "--listen=127.0.0.1:0",
            "--database=sqlite:schema.db",
            "--log=warn",
            "--time-scale=1000",
            "--instances-total=100000",
            "--loopback-webhooks",
        ]);
        let server = Service::start(&mut command, &folder, "server")?;
        let config = "schemathesis.toml";
        fs::copy(TOOL.path().join(config), folder.join(config))
            .context("copy the configuration")?;
        Ok(Self {
            folder,
            programs,
            server,
            receiver_port: free_port()?,
        })
    }

    /// An API key of an owner with credits, and its id.
    fn fund(&self) -> Result<[String; 2]> {
        self.call("topup", &["credits", "topup", CREDITS, "--yes"])?;
        let made = self.call("key", &["keys", "create", "--label", "schema"])?;
        let text = |pointer: &str| {
            let text = made.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned)
                .with_context(|| format!("no {pointer} in {made}"))
        };
        Ok([text("/reply/api_key")?, text("/reply/id")?])
    }

    /// Calls the command of our own, and reads the document it prints.
    fn call(&self, name: &str, words: &[&str]) -> Result<Value> {
        let mut command = Command::new(self.programs.join(CLIENT));
        command
            .args(["--json", "--url", self.server.url()])
            .args(words)
            .env("COMPUTE_KEY", WALLET)
            .env("COMPUTE_STATE_DIR", &self.folder)
            .current_dir(&self.folder);
        let said = child::run(&mut command, &self.folder, name, CALL_LIMIT)?;
        serde_json::from_str(&said).with_context(|| format!("{name} printed {said}"))
    }

    /// One of our programs for the tool.
    fn program(&self, name: &str) -> PathBuf {
        TOOL.path().join(name)
    }

    /// A program that was installed, with what ours need to know.
    fn tool(&self, name: &str, [api_key, id]: &[String; 2]) -> Command {
        let mut command = Command::new(TOOL.path().join("venv/bin").join(name));
        command
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", TOOL.path())
            .env("SCHEMA_API_KEY", api_key)
            .env("SCHEMA_API_KEY_ID", id)
            .env("SCHEMA_WALLET_KEY", WALLET)
            .env("SCHEMA_SEEN", self.seen())
            .env("SCHEMA_RECEIVER_PORT", self.receiver_port.to_string())
            .current_dir(&self.folder);
        command
    }

    fn test(&self, examples: &str, seed: &str, api_key: &[String; 2]) -> Command {
        let [key, _] = api_key;
        let mut command = self.tool("st", api_key);
        command
            .arg("run")
            .arg(format!("{}/openapi.json", self.server.url()))
            .args(["--max-examples", examples, "--checks", "all"])
            .args(["--phases", "examples,coverage,fuzzing,stateful"])
            .args([
                "--seed",
                seed,
                "--no-color",
                "--generation-database",
                "none",
            ])
            .args(["--header", &format!("X-API-Key: {key}")])
            .args(["--report", "ndjson", "--report-dir"])
            .arg(self.folder.join("report"));
        command
    }

    fn seen(&self) -> PathBuf {
        self.folder.join("seen")
    }

    /// Documented successes that no answer was, and a table of all answers.
    fn unseen(&self) -> Result<BTreeSet<String>> {
        let mut answers: BTreeMap<String, u64> = BTreeMap::new();
        for line in read(&self.seen())?.lines() {
            let count = answers.entry(line.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        for (answer, count) in &answers {
            println!("{count:>8}  {answer}");
        }
        let document = read(&self.document()?)?;
        let document: Value = serde_json::from_str(&document).context("the API document")?;
        let mut wanted = successes(&document)?;
        for (success, reason) in UNREACHED {
            ensure!(
                wanted.remove(*success),
                "{success} stands in UNREACHED and is not documented"
            );
            println!("left out: {success} ({reason})");
        }
        wanted.retain(|success| !answers.contains_key(success));
        Ok(wanted)
    }

    /// The document, as it is published.
    fn document(&self) -> Result<PathBuf> {
        let path = self.folder.join("openapi.json");
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--show-error", "--output"])
            .arg(&path)
            .arg(format!("{}/openapi.json", self.server.url()));
        cargo::output(&mut curl)?;
        Ok(path)
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("the port")?.port())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// `METHOD path status` of every documented success.
fn successes(document: &Value) -> Result<BTreeSet<String>> {
    let paths = document.get("paths").and_then(Value::as_object);
    let mut found = BTreeSet::new();
    for (path, operations) in paths.context("no paths in the API document")? {
        let operations = operations.as_object().context("operations of a path")?;
        for (method, operation) in operations {
            let answers = operation.get("responses").and_then(Value::as_object);
            for status in answers.into_iter().flat_map(serde_json::Map::keys) {
                if status.starts_with('2') {
                    found.insert(format!("{} {path} {status}", method.to_uppercase()));
                }
            }
        }
    }
    ensure!(!found.is_empty(), "the API document has no operations");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_documented_success_is_wanted() {
        let document = json!({"paths": {
            "/a": {
                "get": {"responses": {"200": {}, "404": {}}},
                "post": {"responses": {"201": {}, "402": {}}},
                "parameters": [],
            },
            "/b": {"delete": {"responses": {"202": {}}}},
        }});
        let wanted = ["DELETE /b 202", "GET /a 200", "POST /a 201"];
        assert_eq!(
            successes(&document).unwrap(),
            wanted.map(str::to_owned).into()
        );
        assert!(successes(&json!({})).is_err());
    }
}
