//! `cargo xtask crash`: `kill -9` at every fail point of every operation, on both databases.
//!
//! The matrix comes from the server itself, which prints its fail points from its list of steps, so
//! a new step is a hole in the matrix until a story reaches it.

mod buyer;
mod case;
mod http;
mod options;
mod records;
mod shop;
mod story;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use self::case::{Case, Place, Survived};
use self::options::{Database, Options};
use self::shop::{Programs, fresh_folder};
use self::story::Story;
use crate::cargo;
use crate::postgres::Cluster;

/// Points that no story reaches, each with its reason.
const UNREACHED: &[(&str, &str)] = &[];

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
    let (deaths, failed) = run_all(&cases, &place, options.jobs);
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

/// Runs the cases side by side, prints a line for each, and counts deaths and violations.
fn run_all(cases: &[Case], place: &Place<'_>, jobs: usize) -> (u32, u32) {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new((0, 0));
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
                        Ok(survived) => counts.0 += survived.deaths,
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
        "{:<9} {:<12} {:<40}",
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
        assert_eq!(names.len(), 6);
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
