//! `cargo xtask faults`: which faults of the catalogue some run has really injected, and which are open.
//!
//! Every runner leaves `target/faults/<runner>.json`, an object of counts by id, and replaces it in its next run. An id
//! counts only when the run injected the fault; nothing is counted by intention.

mod catalogue;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::catalogue::{CATALOGUE, Fault};
use crate::cargo;

const USAGE: &str = "\
usage: cargo xtask faults [options]

Reads target/faults/*.json, which the runners leave (sim, crash-sqlite, crash-postgres, race, tests, chain), and lists
for each fault of the catalogue who injected it how often; then the open ones.

  --open     list only the open ones
  --strict   fail when one is open
";

/// The variable that names the file to which tests append the faults they inject.
pub(crate) const LOG_VARIABLE: &str = "COMPUTE_FAULT_LOG";

/// How often each fault was injected, by id.
type Counts = BTreeMap<String, u64>;

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (mut only_open, mut is_strict) = (false, false);
    for word in arguments {
        match word.as_str() {
            "--open" => only_open = true,
            "--strict" => is_strict = true,
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            other => bail!("unknown option `{other}`\n{USAGE}"),
        }
    }
    let runs = read_runs(&folder())?;
    let report = Report::of(&runs)?;
    if !only_open {
        for line in &report.injected {
            println!("{line}");
        }
    }
    for line in &report.not_built {
        println!("{line}");
    }
    for line in &report.open {
        println!("{line}");
    }
    let runners: Vec<&str> = runs.keys().map(String::as_str).collect();
    println!(
        "{} faults: {} injected, {} open, {} of parts that are not built yet; runs read: {}",
        CATALOGUE.len(),
        report.injected.len(),
        report.open.len(),
        report.not_built.len(),
        if runners.is_empty() {
            "none".to_owned()
        } else {
            runners.join(", ")
        },
    );
    Ok(if is_strict && !report.open.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Where the runners leave their counts.
pub(crate) fn folder() -> PathBuf {
    cargo::target_dir().join("faults")
}

/// The file to which the tests of a runner append, made empty.
pub(crate) fn fresh_log(runner: &str) -> Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let log = folder.join(format!("{runner}.log"));
    fs::write(&log, "").with_context(|| format!("empty {}", log.display()))?;
    Ok(log)
}

/// Counts the lines of a log into the file of a runner.
pub(crate) fn count_log(log: &Path, runner: &str) -> Result<()> {
    let text = fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    let mut counts = Counts::new();
    for line in text.lines() {
        let count = counts.entry(line.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    let file = folder().join(format!("{runner}.json"));
    let json = serde_json::to_string_pretty(&counts).context("write counts as JSON")?;
    fs::write(&file, json).with_context(|| format!("write {}", file.display()))
}

fn read_runs(folder: &Path) -> Result<BTreeMap<String, Counts>> {
    let mut runs = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(runs);
    };
    for entry in entries {
        let path = entry.context("list the faults of runs")?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let counts = serde_json::from_str(&text)
            .with_context(|| format!("{} is no object of counts", path.display()))?;
        let runner = path.file_stem().unwrap_or_default().to_string_lossy();
        runs.insert(runner.into_owned(), counts);
    }
    Ok(runs)
}

/// The catalogue, sorted by what became of each fault.
#[derive(Debug, Default)]
struct Report {
    injected: Vec<String>,
    not_built: Vec<String>,
    open: Vec<String>,
}

impl Report {
    /// An id that the catalogue does not have is a slip of the pen in a runner, and must not pass for a proof.
    fn of(runs: &BTreeMap<String, Counts>) -> Result<Self> {
        for (runner, counts) in runs {
            if let Some(id) = counts.keys().find(|id| Fault::find(id).is_none()) {
                bail!("{runner} counts {id}, which is not in the catalogue");
            }
        }
        let mut report = Self::default();
        for Fault { id, text, missing } in CATALOGUE {
            let by: Vec<String> = runs
                .iter()
                .filter_map(|(runner, counts)| {
                    let count = counts.get(*id).filter(|count| **count > 0)?;
                    Some(format!("{runner} {count}"))
                })
                .collect();
            match missing {
                _ if !by.is_empty() => {
                    report
                        .injected
                        .push(format!("{id}  {text}: {}", by.join(", ")));
                }
                Some(part) => report
                    .not_built
                    .push(format!("{id}  {text}: not built ({part})")),
                None => report.open.push(format!("{id}  {text}: OPEN")),
            }
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(counts: &[(&str, &str, u64)]) -> BTreeMap<String, Counts> {
        let mut runs = BTreeMap::<String, Counts>::new();
        for (runner, id, count) in counts {
            let of_runner = runs.entry((*runner).to_owned()).or_default();
            of_runner.insert((*id).to_owned(), *count);
        }
        runs
    }

    #[test]
    fn a_fault_counts_only_when_it_was_injected() {
        let report = Report::of(&runs(&[
            ("sim", "F040", 17),
            ("race", "F040", 2),
            ("race", "F041", 0),
        ]))
        .unwrap();
        assert_eq!(report.injected.len(), 1);
        assert!(report.injected[0].ends_with("race 2, sim 17"), "{report:?}");
        assert!(report.open.iter().any(|line| line.starts_with("F041")));
        assert!(report.not_built.iter().any(|line| line.starts_with("F080")));
        let all = report.injected.len() + report.open.len() + report.not_built.len();
        assert_eq!(all, CATALOGUE.len());
    }

    #[test]
    fn an_unknown_id_is_an_error() {
        assert!(Report::of(&runs(&[("sim", "F999", 1)])).is_err());
    }

    #[test]
    fn the_catalogue_is_sorted_and_complete() {
        let ids: Vec<&str> = CATALOGUE.iter().map(|fault| fault.id).collect();
        assert!(ids.is_sorted());
        for (first, last) in [
            (1, 35),
            (40, 87),
            (100, 125),
            (130, 148),
            (150, 162),
            (240, 244),
            (254, 255),
        ] {
            for number in first..=last {
                let id = format!("F{number:03}");
                assert_eq!(ids.iter().filter(|one| **one == id).count(), 1, "{id}");
            }
        }
        assert_eq!(ids.len(), 35 + 48 + 26 + 19 + 13 + 5 + 2);
    }
}
