//! One crate, one sentence: in its manifest, its README, its crate doc and the architecture document.

use anyhow::Result;

use super::{Problem, sources};
use crate::workspace::{Member, Workspace};

const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let architecture = workspace.root.join(ARCHITECTURE);
    let architecture = if architecture.exists() {
        sources::read(&architecture)?
    } else {
        String::new()
    };
    let mut problems = Vec::new();
    for member in &workspace.members {
        check_member(workspace, member, &architecture, &mut problems)?;
    }
    Ok(problems)
}

fn check_member(
    workspace: &Workspace,
    member: &Member,
    architecture: &str,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let Some(sentence) = member.description.as_deref() else {
        let manifest = member.manifest();
        let place = workspace.relative(&manifest).display().to_string();
        problems.push(Problem::new(
            place,
            "every crate says in one sentence what it is for (`description`)",
        ));
        return Ok(());
    };
    let readme = member.folder.join("README.md");
    let place = workspace.relative(&readme).display().to_string();
    if !readme.exists() {
        problems.push(Problem::new(place, "every crate has a README.md"));
    } else if !matches!(readme_sentence(&sources::read(&readme)?), Some(found) if found == sentence)
    {
        problems.push(Problem::new(
            place,
            format!("the first line after the title is: {sentence}"),
        ));
    }
    if let Some(source) = &member.main_source {
        let text = sources::read(source)?;
        if crate_doc(&text) != Some(sentence) {
            let place = workspace.relative(source).display().to_string();
            problems.push(Problem::new(
                place,
                format!("the first line of the crate doc is: {sentence}"),
            ));
        }
    }
    if !architecture.contains(sentence) {
        problems.push(Problem::new(
            ARCHITECTURE,
            format!("{} is described by: {sentence}", member.name),
        ));
    }
    Ok(())
}

/// The first line of text below the title.
fn readme_sentence(readme: &str) -> Option<&str> {
    let mut lines = readme
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.next().filter(|title| title.starts_with("# "))?;
    lines.next()
}

fn crate_doc(source: &str) -> Option<&str> {
    source.lines().next()?.strip_prefix("//!").map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_a_readme_follows_its_title() {
        assert_eq!(
            readme_sentence("# compute-a\n\nOne sentence.\nMore.\n"),
            Some("One sentence.")
        );
        assert_eq!(readme_sentence("One sentence.\n"), None);
        assert_eq!(readme_sentence("# compute-a\n"), None);
    }

    #[test]
    fn the_crate_doc_is_the_first_line() {
        assert_eq!(
            crate_doc("//! One sentence.\n//!\n//! More."),
            Some("One sentence.")
        );
        assert_eq!(crate_doc("use std::fmt;\n//! late"), None);
    }
}
