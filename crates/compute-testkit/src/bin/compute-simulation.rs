//! Runs seeds of the deterministic simulation and reports what they met.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool reports on its standard output"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use compute_testkit::simulation::{Bug, Report, RunOptions, Tally, fail_points, run};

/// A planted bug must be found within so many seeds.
const BUG_SEEDS: u64 = 200;

/// One seed in so many is run twice, and both runs must be the same.
const TWICE_EVERY: u64 = 25;

/// Deterministic simulation: one seed is one run.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Plant this bug and look for it; `all` for one after the other, `list` for their names.
    #[arg(long)]
    bug: Option<String>,
    /// Run this one seed and tell everything that happens.
    #[arg(long)]
    replay: Option<u64>,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where to write how often each fault was injected.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Go on after a violation.
    #[arg(long)]
    keep_going: bool,
}

/// What many seeds came to.
#[derive(Debug, Default)]
struct Summary {
    tally: Tally,
    calls: u64,
    least_calls: u64,
    faults: u64,
    runs: u64,
    twice: u64,
    failed: Vec<Report>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let bug = match arguments.bug.as_deref() {
        Some("list") => {
            for bug in Bug::all() {
                println!("{bug}");
            }
            return Ok(ExitCode::SUCCESS);
        }
        Some("all") => return hunt(&arguments, &Bug::all()),
        Some(name) => Some(Bug::parse(name).with_context(|| format!("no bug is called {name}"))?),
        None => None,
    };
    // A panic of the code under test is a violation that its seed replays.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seed) = arguments.replay {
        let report = run(seed, &RunOptions { bug, tells: true });
        println!("{report}");
        return Ok(exit_code(report.violation.is_none()));
    }
    if let Some(bug) = bug {
        return hunt(&arguments, &[bug]);
    }
    #[expect(clippy::disallowed_methods, reason = "how long it took, for people")]
    let began = Instant::now();
    let summary = run_range(&arguments, None);
    print_summary(&summary, began.elapsed().as_millis());
    if let Some(path) = &arguments.json {
        write_json(path, &summary.tally.faults)?;
    }
    for report in &summary.failed {
        println!(
            "{report}\n  replay: cargo xtask sim --replay {}",
            report.seed
        );
    }
    Ok(exit_code(summary.failed.is_empty()))
}

/// Looks for each bug; every one must be found.
fn hunt(arguments: &Arguments, bugs: &[Bug]) -> Result<ExitCode> {
    let mut missed = Vec::new();
    for bug in bugs {
        let range = Arguments {
            seeds: BUG_SEEDS,
            start: arguments.start,
            bug: None,
            replay: None,
            jobs: arguments.jobs,
            json: None,
            keep_going: false,
        };
        let summary = run_range(&range, Some(*bug));
        match summary.failed.first() {
            Some(report) => {
                let promise = report.violation.as_ref().map_or("", |v| v.promise.as_str());
                println!(
                    "{bug}: found at seed {} by {promise}, run {}",
                    report.seed,
                    report.seed - arguments.start + 1
                );
            }
            None => {
                println!("{bug}: NOT FOUND in {BUG_SEEDS} seeds");
                missed.push(bug.to_string());
            }
        }
    }
    if !missed.is_empty() {
        println!("not found: {}", missed.join(", "));
    }
    Ok(exit_code(missed.is_empty()))
}

fn run_range(arguments: &Arguments, bug: Option<Bug>) -> Summary {
    let next = AtomicU64::new(arguments.start);
    let end = arguments.start.saturating_add(arguments.seeds);
    let summary = Mutex::new(Summary::default());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let options = RunOptions { bug, tells: false };
                    let mut report = run(seed, &options);
                    let is_twice = bug.is_none() && seed.is_multiple_of(TWICE_EVERY);
                    if is_twice && run(seed, &options).hash != report.hash {
                        report
                            .violation
                            .get_or_insert(compute_testkit::simulation::Violation {
                                promise: "determinism".to_owned(),
                                detail: "two runs of this seed differ".to_owned(),
                                at_ms: 0,
                            });
                    }
                    if report.violation.is_some() && !arguments.keep_going {
                        is_over.store(true, Ordering::Relaxed);
                    }
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.take(report, is_twice);
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failed.sort_by_key(|report| report.seed);
    summary
}

impl Summary {
    fn take(&mut self, report: Report, is_twice: bool) {
        self.tally.add(&report.tally);
        self.calls += report.calls;
        self.faults += report.faults;
        if report.violation.is_none() {
            self.least_calls = match self.least_calls {
                0 => report.calls,
                least => least.min(report.calls),
            };
        }
        self.runs += 1;
        self.twice += u64::from(is_twice);
        if report.violation.is_some() {
            self.failed.push(report);
        }
    }
}

fn print_summary(summary: &Summary, millis: u128) {
    let runs = summary.runs.max(1);
    println!("outcomes");
    print_counts(&summary.tally.outcomes);
    println!("faults");
    print_counts(&summary.tally.faults);
    let points = fail_points();
    let is_hit = |name: &&String| summary.tally.crashed.contains_key(*name);
    let hit = points.iter().filter(is_hit).count();
    println!("crash points: {hit} of {}", points.len());
    for name in &points {
        let reached = summary.tally.reached.get(name).copied().unwrap_or(0);
        let crashed = summary.tally.crashed.get(name).copied().unwrap_or(0);
        println!("  {name}: {crashed} crashes, reached {reached} times");
    }
    println!("operator's repairs: {}", summary.tally.repairs);
    println!(
        "{} seeds in {}.{:03} s ({} run twice), {} seeds a minute",
        summary.runs,
        millis / 1_000,
        millis % 1_000,
        summary.twice,
        u128::from(runs) * 60_000 / millis.max(1)
    );
    println!(
        "a seed: {} calls ({} at least), {} faults; violations: {}",
        summary.calls / runs,
        summary.least_calls,
        summary.faults / runs,
        summary.failed.len()
    );
}

fn print_counts(counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        println!("  {name}: {count}");
    }
}

fn write_json(path: &PathBuf, faults: &BTreeMap<String, u64>) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).context("make the folder of the report")?;
    }
    let text = serde_json::to_string_pretty(faults)?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn exit_code(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
