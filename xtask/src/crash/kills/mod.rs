//! `cargo xtask crash --kills N`: the server is killed at random and at named places while clients
//! buy, and all promises are checked against the database, the owners' views and the partners' records.

mod book;
mod check;
mod client;
mod dice;
mod evidence;
mod killer;
mod mischief;
pub(super) mod report;
mod town;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::client::Client;
use self::dice::Dice;
use self::evidence::Evidence;
use self::killer::{Deaths, Killer, now, second_is_refused};
use self::town::{Closing, Town};
use super::http;
use super::options::Database;
use super::shop::{self, Partners, Programs, Settings, fresh_folder};
use super::wallet::Wallet;
use crate::cargo;
use crate::interop::child::Service;
use crate::postgres::Cluster;

const CLIENTS: usize = 16;

/// Two clients share a wallet, so that purchases meet on one balance.
const WALLETS: usize = 8;

/// Deaths between two reckonings.
const RECKON_EVERY: u32 = 50;

/// Deaths between two series of deaths in recovery.
const BURST_EVERY: u32 = 250;

/// One in so many deaths comes after trouble with the database: a full disk, or its own crash.
const TROUBLE: u64 = 25;

/// How long clients may take to get a final answer once nothing dies any more.
const ANSWER_LIMIT: Duration = Duration::from_secs(240);

/// How long everything may take to come to rest after that.
const REST_LIMIT: Duration = Duration::from_secs(90);

/// How long a run may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    pub(super) kills: u32,
    pub(super) minutes: Option<u64>,
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) kills: u32,
    pub(super) violations: usize,
}

/// Kills the server on one database until the quota is met; a violation ends the run and keeps the
/// folder.
pub(super) fn run(
    programs: &Programs,
    database: Database,
    cluster: Option<&Cluster>,
    seed: u64,
    quota: Quota,
) -> Result<Outcome> {
    let folder = cargo::target_dir()
        .join("kills")
        .join(format!("{}-{seed}", database.name()));
    fresh_folder(&folder)?;
    let url = match (database, cluster) {
        (Database::Postgres, Some(cluster)) => cluster.create_database("kills")?,
        _ => "sqlite:crash.db".to_owned(),
    };
    println!("{}: seed {seed}", database.name());
    let partners = Partners::open(programs, &folder)?;
    let settings = settings(&url, &partners);
    let mut dice = Dice::new(seed);
    let server = shop::start(programs, &folder, &settings, 1, None)?;
    let town = open_town(programs, server.url(), &mut dice)?;
    let killer = Killer {
        programs,
        folder: &folder,
        settings: &settings,
        partners: &partners,
        town: &town,
        cluster: cluster.filter(|_| database == Database::Postgres),
        points: programs.points()?,
        dice: Dice::new(dice.next()),
        deaths: Deaths::default(),
        starts: 1,
        slowest: Duration::ZERO,
    };
    let mut run = Run {
        database,
        url: &url,
        killer,
        evidence: Evidence::default(),
    };
    let violations = run
        .live(server, quota, &mut dice)
        .unwrap_or_else(|error| vec![format!("{error:#}")]);
    let mut counts = town.book().counts.clone();
    mischief::count(&partners, &mut counts)?;
    report::write(&format!("crash-{}", database.name()), &counts.faults)?;
    let kills = report::print(&run.killer, &run.evidence, &counts);
    for violation in &violations {
        println!("VIOLATION {violation}");
    }
    println!(
        "{}: {kills} kills, {} violations",
        database.name(),
        violations.len()
    );
    if violations.is_empty() {
        drop(partners);
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    } else {
        let told = folder.join("told.txt");
        fs::write(&told, town.book().text())
            .with_context(|| format!("write {}", told.display()))?;
        println!("seed {seed}; everything is kept in {}", folder.display());
    }
    Ok(Outcome {
        kills,
        violations: violations.len(),
    })
}

/// `serve` as in the matrix, without limits that only so many clients at once would meet.
fn settings(url: &str, partners: &Partners) -> Settings {
    let mut settings = shop::settings(url, partners);
    for (name, value) in [
        // Calls to partners are not scaled below two seconds, and a lease must outlast them.
        ("TIMING__LEASE", "200s"),
        // Everybody wants the one plan again at once.
        ("TIMING__SOLD_OUT_FOR", "1s"),
        ("LIMITS__PURCHASES_PER_MINUTE", "100000"),
        ("LIMITS__INSTANCES_PER_OWNER", "10000"),
        ("LIMITS__INSTANCES_TOTAL", "100000"),
    ] {
        settings.push((name, value.to_owned()));
    }
    settings
}

fn open_town(programs: &Programs, url: &str, dice: &mut Dice) -> Result<Town> {
    let body = json!({
        "plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284, "prepaid_hours": 24, "network": "base",
    });
    let path = "/compute/provision";
    let unpaid = http::send(url, "POST", path, &[], &body.to_string())?.json(402)?;
    let price = unpaid.pointer("/accepts/0/maxAmountRequired");
    let price = price
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok());
    let price = price.context("a 402 without a price")?;
    let wallets: Result<Vec<Wallet>> = (0..WALLETS)
        .map(|_| Wallet::open(&programs.tool, url, &dice.hex()))
        .collect();
    Ok(Town::new(wallets?, price, url))
}

struct Run<'a> {
    database: Database,
    url: &'a str,
    killer: Killer<'a>,
    evidence: Evidence,
}

impl Run<'_> {
    /// Clients, mischief and deaths, until the quota is met or a promise is broken.
    fn live(&mut self, server: Service, quota: Quota, dice: &mut Dice) -> Result<Vec<String>> {
        let (town, partners) = (self.killer.town, self.killer.partners);
        let is_calm = &AtomicBool::new(false);
        thread::scope(|scope| {
            let _closing = Closing(town);
            for number in 0..CLIENTS {
                let own = Dice::new(dice.next());
                scope.spawn(move || {
                    if let Some(mut client) = Client::new(town, number, own) {
                        client.live();
                    }
                });
            }
            let own = Dice::new(dice.next());
            scope.spawn(move || {
                mischief::make(town, partners, own, || is_calm.load(Ordering::SeqCst));
            });
            self.kill(server, quota, is_calm)
        })
    }

    fn kill(&mut self, server: Service, quota: Quota, is_calm: &AtomicBool) -> Result<Vec<String>> {
        let begin = now();
        let limit = quota
            .minutes
            .map(|minutes| Duration::from_secs(60 * minutes));
        let mut next_burst = BURST_EVERY / 2;
        self.killer.kill_soon(server)?;
        loop {
            let before = self.killer.deaths.total();
            let goal = quota.kills.min(before.saturating_add(RECKON_EVERY));
            let is_late = || limit.is_some_and(|limit| begin.elapsed() >= limit);
            while self.killer.deaths.total() < goal && !is_late() {
                if self.killer.deaths.total() >= next_burst {
                    next_burst = next_burst.saturating_add(BURST_EVERY);
                    self.killer.burst()?;
                } else if self.killer.dice.one_in(TROUBLE) {
                    match self.database {
                        Database::Sqlite => self.killer.fill_disk()?,
                        Database::Postgres => self.killer.crash_database()?,
                    }
                } else {
                    self.killer.round()?;
                }
            }
            let is_last = self.killer.deaths.total() >= quota.kills || is_late();
            let server = self.reckon(is_last, is_calm)?;
            let violations = self.violations()?;
            if is_last || !violations.is_empty() {
                if is_last && self.database == Database::Sqlite {
                    second_is_refused(&mut self.killer)?;
                }
                return Ok(violations);
            }
            let deaths = self.killer.deaths.total();
            let counts = self.killer.town.book().counts.clone();
            println!(
                "{}: {deaths} kills in {} s, {} requests, {} acknowledged, no violation",
                self.database.name(),
                begin.elapsed().as_secs(),
                counts.requests,
                counts.acknowledged
            );
            is_calm.store(false, Ordering::SeqCst);
            self.killer.town.let_go();
            self.killer.kill_soon(server)?;
        }
    }
}

impl Run<'_> {
    /// Lets everything come to rest under a server that nobody kills.
    fn reckon(&mut self, is_last: bool, is_calm: &AtomicBool) -> Result<Service> {
        let (town, partners) = (self.killer.town, self.killer.partners);
        is_calm.store(true, Ordering::SeqCst);
        mischief::calm_down(partners)?;
        let server = self.killer.serve(None)?;
        town.gather(CLIENTS, ANSWER_LIMIT)?;
        if is_last {
            // Whatever is at rest should be as it was: everything is read once more.
            self.evidence = Evidence::default();
        }
        let begin = now();
        loop {
            self.evidence.refresh(town, partners)?;
            if self.evidence.unrest().is_empty() || begin.elapsed() >= REST_LIMIT {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The promises that are broken now, by all witnesses.
    fn violations(&self) -> Result<Vec<String>> {
        let wallets = self.killer.town.wallets.iter();
        let addresses: Vec<String> = wallets.map(|wallet| wallet.address.clone()).collect();
        let mut found = check::violations(&self.killer.town.book(), &self.evidence, &addresses);
        let audit = self.operator(&["audit"])?;
        let findings = audit.get("findings").and_then(Value::as_array);
        for finding in findings.context("an audit without findings")? {
            found.push(format!("the audit finds {finding}"));
        }
        let list = self.operator(&["list"])?;
        let open = list.get("operations").and_then(Value::as_array);
        for operation in open.context("a list without operations")? {
            found.push(format!("an operator would have to look at {operation}"));
        }
        Ok(found)
    }

    /// What the operator's command says, beside the running server.
    fn operator(&self, words: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.killer.programs.server);
        command
            .arg("ops")
            .args(words)
            .args(["--json", "--database", self.url]);
        command.current_dir(self.killer.folder).env_clear();
        let output = command.output().context("start the operator's command")?;
        // 1 is bad news, which the document tells.
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "ops {words:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("what ops prints is no JSON")
    }
}
