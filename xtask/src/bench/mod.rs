//! `cargo xtask bench`: the release server against a floor, a bare axum handler that returns the same bytes.
//!
//! Both run side by side on the same machine and take turns under the same load, so that the ratios hold even where
//! the absolute figures do not. This process generates the load; server and floor are processes of their own.

mod challenge;
mod client;
mod figures;
mod ledger;
mod options;
mod payment;
mod process;
mod round;
mod scenario;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::figures::{Ratio, Side};
use self::options::Options;
use self::process::{Meter, Running};
use self::scenario::Scenario;
use crate::cargo;

/// Resident memory that the server may hold after the run.
const MAX_RESIDENT_KIB: u64 = 60 * 1024;

/// With the vendors' own 333, the plans that the measurements ask for.
const MORE_PLANS: &str = "27";

/// More machines than any run buys; a development server sells few.
const INSTANCES: &str = "1000000";

/// Starts per side of which the median counts.
const STARTS: usize = 5;

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        Some((part, rest)) if part == "challenge" => return challenge::run(rest),
        Some((part, rest)) if part == "ledger" => return ledger::run(rest),
        Some((part, rest)) if part == "payment" => return payment::run(rest),
        _ => {}
    }
    let Some(options) = Options::parse(arguments)? else {
        print!("{}", options::USAGE);
        return Ok(ExitCode::SUCCESS);
    };
    let bench = Bench::prepare(options)?;
    let server = bench.start_server()?;
    let mut kept = true;
    for scenario in scenario::all(&bench.tools()?) {
        kept &= bench.compare(&server, &scenario)?;
    }
    kept &= report_memory(&server)?;
    kept &= bench.compare_refreshing(&server)?;
    drop(server);
    bench.report_starts()?;
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn plans_of(server: &Running) -> Result<client::Answer> {
    let request = b"GET /compute/plans HTTP/1.1\r\nhost: bench\r\n\r\n";
    client::record(server.address(), request)
}

fn report_memory(server: &Running) -> Result<bool> {
    let resident = server.resident_kib()?;
    let kept = resident <= MAX_RESIDENT_KIB;
    let verdict = if kept { "kept" } else { "BROKEN" };
    println!(
        "resident memory of the server after the run: {} MiB (bound {} MiB: {verdict})",
        resident / 1024,
        MAX_RESIDENT_KIB / 1024,
    );
    Ok(kept)
}

/// The built programs and a folder for what they write.
#[derive(Debug)]
struct Bench {
    options: Options,
    folder: PathBuf,
    release: PathBuf,
    meter: Meter,
}

impl Bench {
    fn prepare(options: Options) -> Result<Self> {
        let mut build = cargo::cargo();
        build.args([
            "build",
            "--release",
            "--locked",
            "-p",
            "compute-server",
            "-p",
            "compute-http",
        ]);
        build.args(["--bin", "compute-server", "--example", "floor"]);
        if scenario::has_tool()? {
            build.args(["--example", scenario::TOOL]);
        }
        cargo::run(&mut build)?;
        let folder = cargo::target_dir().join("bench");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let release = cargo::target_dir().join("release");
        Ok(Self {
            options,
            folder,
            release,
            meter: Meter::new()?,
        })
    }

    /// Where the program that signs requests is, if it exists.
    fn tools(&self) -> Result<Option<PathBuf>> {
        Ok(scenario::has_tool()?.then(|| self.release.join("examples").join(scenario::TOOL)))
    }

    /// A server with as many plans as the measurements ask for.
    fn start_server(&self) -> Result<Running> {
        let server = self.start_server_with(&["--more-plans", MORE_PLANS])?;
        let answer = plans_of(&server)?;
        let count = format!("\"count\":{}", scenario::PLANS);
        if !answer.text().contains(&count) {
            bail!("the server does not sell {} plans", scenario::PLANS);
        }
        Ok(server)
    }

    fn start_server_with(&self, options: &[&str]) -> Result<Running> {
        let mut words = vec![
            "dev".to_owned(),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
            "--instances-total".to_owned(),
            INSTANCES.to_owned(),
        ];
        words.extend(options.iter().map(|&word| word.to_owned()));
        words.extend(self.options.server_arguments.iter().cloned());
        // A fresh database for each start.
        let home = tempdir(&self.folder, "server")?;
        Running::start(
            "server",
            &self.release.join("compute-server"),
            &words,
            &home,
        )
    }

    fn start_floor(&self, answer: &[u8]) -> Result<Running> {
        let home = tempdir(&self.folder, "floor")?;
        let file = home.join("answer");
        fs::write(&file, answer).with_context(|| format!("write {}", file.display()))?;
        let words = ["127.0.0.1:0".to_owned(), file.display().to_string()];
        Running::start("floor", &self.release.join("examples/floor"), &words, &home)
    }

    /// Runs one scenario on both sides in turn; false when its bound is broken.
    fn compare(&self, server: &Running, scenario: &Scenario) -> Result<bool> {
        let work = scenario.prepare(server.address(), 1)?;
        let answer = client::record(server.address(), work.sample()?)?;
        if answer.status() != scenario.status {
            bail!(
                "{}: the server answered {}:\n{}",
                scenario.name,
                answer.status(),
                answer.text()
            );
        }
        let floor = self.start_floor(answer.bytes())?;
        self.take_turns(server, &floor, scenario)
    }

    /// Compares a server whose catalogue changes all the time with one that is left alone.
    fn compare_refreshing(&self, quiet: &Running) -> Result<bool> {
        let every = scenario::NEW_PRICES_EVERY_MS.to_string();
        let options = ["--more-plans", MORE_PLANS, "--new-prices-every", &every];
        let moving = self.start_server_with(&options)?;
        let before = plans_of(&moving)?;
        let kept = self.take_turns(&moving, quiet, &scenario::refreshing())?;
        if plans_of(&moving)?.body() == before.body() {
            bail!("no new prices came");
        }
        Ok(kept)
    }

    fn take_turns(&self, server: &Running, floor: &Running, scenario: &Scenario) -> Result<bool> {
        let (mut ours, mut bare) = (Side::default(), Side::default());
        for turn in 0..self.options.rounds {
            let work = scenario.prepare(server.address(), self.options.requests)?;
            let load = round::Load {
                work: &work,
                status: scenario.status,
                connections: self.options.connections,
                duration: self.options.duration,
            };
            // Who goes first alternates too: the second finds a warmer or a more tired machine.
            if turn % 2 == 0 {
                ours.add(load.run(server, &self.meter)?);
                bare.add(load.run(floor, &self.meter)?);
            } else {
                bare.add(load.run(floor, &self.meter)?);
                ours.add(load.run(server, &self.meter)?);
            }
        }
        Ok(figures::report(scenario, &mut ours, &mut bare))
    }

    /// Starts both sides several times and compares the median times to the first answer.
    fn report_starts(&self) -> Result<()> {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        let answer = b"HTTP/1.1 200 OK\r\n\r\n".as_slice();
        for _ in 0..STARTS {
            ours.push(self.start_server()?.first_answer_after());
            bare.push(self.start_floor(answer)?.first_answer_after());
        }
        let (ours, bare) = (figures::median(&mut ours), figures::median(&mut bare));
        println!(
            "start to first answer, median of {STARTS}: server {} ms, floor {} ms, ratio {}",
            ours.as_millis(),
            bare.as_millis(),
            Ratio::of(ours.as_micros(), bare.as_micros()),
        );
        Ok(())
    }
}

/// A new folder below `parent`.
fn tempdir(parent: &std::path::Path, name: &str) -> Result<PathBuf> {
    let number = fs::read_dir(parent)
        .with_context(|| format!("list {}", parent.display()))?
        .count();
    let folder = parent.join(format!("{number}-{name}"));
    fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
