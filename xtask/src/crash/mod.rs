//! `cargo xtask crash`: `kill -9` at every fail point of every operation, on both databases.
//!
//! The matrix comes from the server itself, which prints its fail points from its list of steps, so
//! a new step is a hole in the matrix until a story reaches it.

mod buyer;
mod case;
pub(crate) mod http;
mod kills;
mod money;
mod options;
mod points;
mod records;
mod shop;
mod story;
mod verdict;
mod wallet;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Result, bail, ensure};

use self::case::{Case, Place, Survived};
use self::kills::Quota;
use self::options::{Database, Options};
use self::shop::{Programs, fresh_folder};
use self::story::Story;
use crate::cargo;
use crate::postgres::Cluster;

/// Points that no story reaches, each with its reason.
const UNREACHED: &[(&str, &str)] = &[
    ("resize.power_off.begin.before", OFF),
    ("resize.power_off.begin.after", OFF),
    ("resize.power_off.effect.after", OFF),
    ("resize.power_off.result.before", OFF),
    ("resize.power_off.result.after", OFF),
];

const OFF: &str = "the cloud of the matrix changes machines while they are on; the engine's own tests \
    and the simulation die there";

#[expect(
    clippy::disallowed_methods,
    reason = "the summary tells how long the matrix took"
)]
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{}", options::USAGE);
        return Ok(ExitCode::SUCCESS);
    };
    let programs = Programs::build()?;
    if options.kills.is_some() || options.minutes.is_some() {
        return run_kills(&programs, &options);
    }
    Programs::test()?;
    let cases = matrix(&programs.points()?, &options)?;
    let wants_postgres = cases.iter().any(|case| case.database == Database::Postgres);
    let cluster = wants_postgres.then(Cluster::start).transpose()?;
    let folder = cargo::target_dir().join("crash");
    fresh_folder(&folder)?;
    let place = Place {
        programs: &programs,
        cluster: cluster.as_ref(),
        folder: &folder,
    };
    let begin = Instant::now();
    let (deaths, failed, faults) = run_all(&cases, &place, options.jobs);
    for (database, faults) in &faults {
        kills::report::write(&format!("crash-matrix-{database}"), faults)?;
    }
    println!(
        "{} cases, {deaths} deaths, {failed} violations, {:.1?}",
        cases.len(),
        begin.elapsed()
    );
    if failed > 0 {
        bail!(
            "what the processes of failed cases wrote is in {}",
            folder.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Kills under load on every database of the options.
fn run_kills(programs: &Programs, options: &Options) -> Result<ExitCode> {
    let wants_postgres = options.databases.contains(&Database::Postgres);
    let cluster = wants_postgres.then(Cluster::start).transpose()?;
    let quota = Quota {
        kills: options.kills.unwrap_or(u32::MAX),
        minutes: options.minutes,
    };
    let (mut kills, mut violations) = (0, 0);
    for &database in &options.databases {
        let seed = options.seed.unwrap_or_else(fresh_seed);
        let outcome = kills::run(programs, database, cluster.as_ref(), seed, quota)?;
        kills += outcome.kills;
        violations += outcome.violations;
    }
    println!("{kills} kills, {violations} violations");
    Ok(if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A seed that was hardly ever used before.
#[expect(
    clippy::disallowed_methods,
    reason = "runs differ unless somebody asks for an old one"
)]
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(1, |since| u64::from(since.subsec_nanos()) + since.as_secs())
}

/// Every point in every story that reaches it, on every database.
fn matrix(points: &[String], options: &Options) -> Result<Vec<Case>> {
    ensure!(!points.is_empty(), "the server has no fail points");
    for point in points {
        let reason = UNREACHED.iter().find(|(own, _)| own == point);
        match (Story::reaching(point).is_empty(), reason) {
            (true, None) => {
                bail!("no story reaches {point}: write one, or say in UNREACHED why not")
            }
            (true, Some((_, reason))) => println!("left out: {point} ({reason})"),
            (false, Some(_)) => bail!("{point} is reached, and stands in UNREACHED"),
            (false, None) => {}
        }
    }
    let mut cases = Vec::new();
    for &database in &options.databases {
        for point in points {
            cases.extend(Story::reaching(point).into_iter().map(|story| Case {
                database,
                story,
                point: point.clone(),
            }));
        }
    }
    if let Some(only) = &options.only {
        cases.retain(|case| case.name().contains(only));
        ensure!(!cases.is_empty(), "no case has {only:?} in its name");
    }
    Ok(cases)
}

/// Faults by their ids in the catalogue, by the name of the database.
type Faults = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

/// Runs the cases side by side, prints a line for each, and counts deaths, violations and faults.
fn run_all(cases: &[Case], place: &Place<'_>, jobs: usize) -> (u32, u32, Faults) {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new((0, 0, Faults::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.min(cases.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else {
                        return;
                    };
                    let result = case.run(number, place);
                    // Held while the line is written, so that lines stay whole.
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    match &result {
                        Ok(survived) => {
                            counts.0 += survived.deaths;
                            if let Some(id) = points::fault_of(&case.point) {
                                let faults = counts.2.entry(case.database.name()).or_default();
                                *faults.entry(id).or_default() += u64::from(survived.deaths);
                            }
                        }
                        Err(_) => counts.1 += 1,
                    }
                    print_row(case, &result);
                }
            });
        }
    });
    counts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn print_row(case: &Case, result: &Result<Survived>) {
    let head = format!(
        "{:<9} {:<17} {:<40}",
        case.database.name(),
        case.story.name(),
        case.point
    );
    match result {
        Ok(survived) => println!(
            "{head} {} died, {:>6} ms",
            survived.deaths,
            survived.took.as_millis()
        ),
        Err(error) => println!("{head} VIOLATION\n    {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: Option<&str>) -> Options {
        Options {
            databases: Database::ALL.to_vec(),
            only: only.map(str::to_owned),
            jobs: 1,
            kills: None,
            minutes: None,
            seed: None,
        }
    }

    #[test]
    fn every_point_is_killed_at_in_each_of_its_stories_on_both_databases() {
        let points = [
            "provision.refund.result.after".to_owned(),
            "destroy.destroy.begin.after".to_owned(),
        ];
        let names: Vec<String> = matrix(&points, &options(None))
            .unwrap()
            .iter()
            .map(Case::name)
            .collect();
        assert_eq!(names.len(), 10);
        assert!(names.contains(&"postgres-sold-out-provision.refund.result.after".to_owned()));
        let cases = matrix(&points, &options(Some("sqlite-destroyed"))).unwrap();
        assert_eq!(cases.len(), 1);
        assert!(matrix(&points, &options(Some("nothing"))).is_err());
    }

    #[test]
    fn a_point_without_a_story_is_a_hole() {
        assert!(matrix(&["provision.paint.begin.after".to_owned()], &options(None)).is_err());
        assert!(matrix(&[], &options(None)).is_err());
    }
}
