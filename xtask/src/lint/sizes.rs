//! A source file has one topic; one that grew past the limit has two.

use anyhow::Result;

use super::{Problem, sources};
use crate::workspace::Workspace;

const MAX_LINES: usize = 600;
/// Expected of a file; longer ones are worth a second look.
const USUAL_LINES: usize = 400;
/// First line of a file that a program writes; such tables are free.
const GENERATED: &str = "// @generated";

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mut sizes = Vec::new();
    for path in sources::find_files(&workspace.root, &["rs"])? {
        let text = sources::read(&path)?;
        if text.starts_with(GENERATED) {
            continue;
        }
        let lines = text.lines().count();
        let place = workspace.relative(&path).display().to_string();
        if lines > MAX_LINES {
            problems.push(Problem::new(
                format!("{place}: {lines} lines"),
                format!("a source file has at most {MAX_LINES} lines"),
            ));
        }
        sizes.push((lines, place));
    }
    sizes.sort_by(|a, b| b.cmp(a));
    for (lines, place) in sizes.iter().filter(|(lines, _)| *lines > USUAL_LINES) {
        println!("  over {USUAL_LINES} lines: {lines} {place}");
    }
    if let Some((lines, place)) = sizes.first() {
        println!(
            "  {} source files, the biggest has {lines} lines: {place}",
            sizes.len()
        );
    }
    Ok(problems)
}
