//! `cargo xtask lint`: the rules of this workspace that no compiler checks, one file a rule.

mod docs;
mod embedding;
mod failpoints;
mod graph;
mod manifests;
mod marks;
mod migrations;
mod sizes;
mod sources;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::layers;
use crate::workspace::Workspace;

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// What offends: a file, a line, an edge of the graph.
    place: String,
    /// The rule it breaks.
    rule: String,
}

impl Problem {
    fn new(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            rule: rule.into(),
        }
    }
}

type Check = fn(&Workspace) -> Result<Vec<Problem>>;

const CHECKS: &[(&str, Check)] = &[
    ("layers", graph::check),
    ("layer table", table::check),
    ("manifests", manifests::check),
    ("docs", docs::check),
    ("sizes", sizes::check),
    ("migrations", migrations::check),
    ("embedding", embedding::check),
    ("fail points", failpoints::check),
    ("open marks", marks::check),
];

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    match arguments {
        [] => {}
        [flag] if flag == "--print-layers" => {
            print!("{}", layers::markdown());
            return Ok(ExitCode::SUCCESS);
        }
        _ => bail!("usage: cargo xtask lint [--print-layers]"),
    }
    let workspace = Workspace::load()?;
    let mut count = 0_usize;
    for (name, check) in CHECKS {
        let problems = check(&workspace)?;
        let verdict = if problems.is_empty() { "ok" } else { "FAILED" };
        println!("{name}: {verdict}");
        for problem in &problems {
            println!("  {}\n    rule: {}", problem.place, problem.rule);
        }
        count = count.saturating_add(problems.len());
    }
    if count > 0 {
        println!("\nxtask lint: {count} problems");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
