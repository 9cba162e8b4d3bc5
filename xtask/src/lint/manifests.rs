//! Manifests: lints and versions come from the workspace, and a crate's folder bears its name.

use anyhow::Result;

use super::{Problem, sources};
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for member in &workspace.members {
        let path = member.manifest();
        let place = workspace.relative(&path).display().to_string();
        if member
            .folder
            .file_name()
            .is_none_or(|folder| folder.to_string_lossy() != member.name)
        {
            problems.push(Problem::new(
                &place,
                format!("the folder of {} bears its name", member.name),
            ));
        }
        problems.extend(
            check_text(&sources::read(&path)?)
                .into_iter()
                .map(|(line, rule)| Problem::new(format!("{place}: {line}"), rule)),
        );
    }
    Ok(problems)
}

/// The offending lines of a manifest and the rules they break.
///
/// This reads the few forms of TOML that our manifests use; any other form of a dependency is refused.
fn check_text(manifest: &str) -> Vec<(String, &'static str)> {
    let mut problems = Vec::new();
    let mut section = String::new();
    let mut inherits_lints = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') && line.ends_with(']') {
            section = line.trim_matches(['[', ']']).to_owned();
            if !is_dependency_table(&section) && section.contains("dependencies.") {
                problems.push((
                    line.to_owned(),
                    "a dependency is one line below [dependencies]",
                ));
            }
        } else if section == "lints" {
            inherits_lints |= without_spaces(line) == "workspace=true";
        } else if is_dependency_table(&section) && is_entry(line) && !inherits(line) {
            problems.push((
                line.to_owned(),
                "a dependency comes from [workspace.dependencies]: `name.workspace = true`",
            ));
        }
    }
    if !inherits_lints {
        problems.push((
            "[lints]".to_owned(),
            "every crate has `[lints] workspace = true`",
        ));
    }
    problems
}

fn is_dependency_table(section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or(section);
    matches!(
        last,
        "dependencies" | "dev-dependencies" | "build-dependencies"
    )
}

/// Whether the line begins an entry (and does not go on with a list of features or is a comment).
fn is_entry(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_' || first == '"')
        && line.contains('=')
}

fn inherits(line: &str) -> bool {
    let line = without_spaces(line);
    line.contains(".workspace=true")
        || line.contains("{workspace=true")
        || line.contains(",workspace=true")
}

fn without_spaces(line: &str) -> String {
    line.chars()
        .filter(|character| !character.is_whitespace())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(manifest: &str) -> Vec<String> {
        check_text(manifest)
            .into_iter()
            .map(|(line, _)| line)
            .collect()
    }

    #[test]
    fn inherited_lints_and_versions_pass() {
        let manifest = "[package]\nname = \"a\"\n[dependencies]\nserde.workspace = true # why\n\
                        tokio = { workspace = true, features = [\n  \"rt\",\n] }\n\n[lints]\nworkspace = true\n";
        assert_eq!(rules(manifest), Vec::<String>::new());
    }

    #[test]
    fn missing_lints_are_refused() {
        assert_eq!(
            rules("[package]\nname = \"a\"\n[workspace]\nworkspace = true\n"),
            ["[lints]"]
        );
    }

    #[test]
    fn own_versions_are_refused_in_every_table() {
        let manifest = "[lints]\nworkspace = true\n[dependencies]\nserde = \"1\"\n[dev-dependencies]\n\
                        rand = { version = \"1\" }\n[target.'cfg(unix)'.build-dependencies]\ncc = \"1\"\n\
                        [dependencies.hyper]\nversion = \"1\"\n";
        assert_eq!(
            rules(manifest),
            [
                "serde = \"1\"",
                "rand = { version = \"1\" }",
                "cc = \"1\"",
                "[dependencies.hyper]"
            ]
        );
    }
}
