//! Who may depend on whom.

use anyhow::Result;

use super::Problem;
use crate::layers::{self, Externals, LAYERS, Place, Row};
use crate::workspace::{Kind, Member, Workspace};

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for row in LAYERS {
        if workspace.member(row.name).is_none() {
            problems.push(Problem::new(
                row.name,
                "every crate of the table in xtask/src/layers.rs is a member of the workspace",
            ));
        }
    }
    for member in &workspace.members {
        match layers::find_row(&member.name) {
            Some(row) => check_member(workspace, member, row, &mut problems),
            None => problems.push(Problem::new(
                &member.name,
                "every member has a row in the table of xtask/src/layers.rs",
            )),
        }
    }
    Ok(problems)
}

fn check_member(workspace: &Workspace, member: &Member, row: &Row, problems: &mut Vec<Problem>) {
    for dependency in &member.dependencies {
        let edge = format!("{} -> {}", member.name, dependency.name);
        let ours = workspace.member(&dependency.name).is_some();
        if ours && row.embeddable && !row.ours.contains(&dependency.name.as_str()) {
            problems.push(Problem::new(
                edge,
                "an embeddable crate has no crate of the marketplace in its tree, not even in its tests",
            ));
        } else if ours && row.place == Place::Outside {
            problems.push(Problem::new(
                edge,
                "a crate outside the layers uses none of ours",
            ));
        } else if dependency.kind == Kind::Dev {
            // Tests and examples may reach across; cargo itself refuses cycles of libraries.
        } else if ours {
            problems.extend(our_rule(row, &dependency.name).map(|rule| Problem::new(edge, rule)));
        } else {
            problems
                .extend(external_rule(row, &dependency.name).map(|rule| Problem::new(edge, rule)));
        }
    }
}

/// The rule that this edge between two of our crates breaks.
fn our_rule(row: &Row, used: &str) -> Option<String> {
    let place = layers::find_row(used)?.place;
    if let (Place::DevOnly(_), Place::Layer(_) | Place::Outside) = (place, row.place) {
        return Some(format!("{used} is a dev-dependency only"));
    }
    if let (Place::Layer(own) | Place::DevOnly(own), Place::Layer(other) | Place::DevOnly(other)) =
        (row.place, place)
        && other >= own
    {
        return Some(format!(
            "a crate uses lower layers only ({} is on {own}, {used} on {other})",
            row.name
        ));
    }
    if row.ours.contains(&used) {
        return None;
    }
    Some(format!(
        "{} may use {} (xtask/src/layers.rs)",
        row.name,
        listed(row.ours)
    ))
}

/// The rule that this edge to a crate of others breaks.
fn external_rule(row: &Row, used: &str) -> Option<String> {
    match &row.externals {
        Externals::Any => None,
        Externals::Only(names) if names.contains(&used) => None,
        Externals::Only(names) => Some(format!(
            "{} may use, of the crates of others, {}",
            row.name,
            listed(names)
        )),
        Externals::Not(names) if names.contains(&used) => Some(format!(
            "{} must not use {} (xtask/src/layers.rs)",
            row.name,
            listed(names)
        )),
        Externals::Not(_) => None,
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none of ours".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::workspace::Dependency;

    fn workspace(changed: &str, dependencies: &[(&str, Kind)]) -> Workspace {
        let members = LAYERS
            .iter()
            .map(|row| Member {
                name: row.name.to_owned(),
                description: None,
                folder: PathBuf::new(),
                main_source: None,
                dependencies: dependencies
                    .iter()
                    .filter(|_| row.name == changed)
                    .map(|(name, kind)| Dependency {
                        name: (*name).to_owned(),
                        kind: *kind,
                    })
                    .collect(),
            })
            .collect();
        Workspace {
            root: PathBuf::new(),
            members,
        }
    }

    fn rules(changed: &str, used: &str, kind: Kind) -> Vec<String> {
        let problems = check(&workspace(changed, &[(used, kind)])).unwrap();
        problems
            .into_iter()
            .map(|problem| {
                assert_eq!(problem.place, format!("{changed} -> {used}"));
                problem.rule
            })
            .collect()
    }

    #[test]
    fn edges_of_the_table_pass() {
        assert!(rules("compute-engine", "compute-domain", Kind::Normal).is_empty());
        assert!(rules("compute-x402", "compute-wallet", Kind::Normal).is_empty());
        assert!(rules("compute-store", "sqlx", Kind::Normal).is_empty());
    }

    #[test]
    fn an_edge_upwards_or_sideways_is_refused() {
        assert!(
            rules("compute-domain", "compute-engine", Kind::Normal)[0].contains("lower layers")
        );
        assert!(rules("compute-http", "compute-store", Kind::Build)[0].contains("lower layers"));
    }

    #[test]
    fn an_edge_downwards_that_the_table_does_not_name_is_refused() {
        assert!(
            rules("compute-store", "compute-x402", Kind::Normal)[0]
                .contains("compute-store may use")
        );
    }

    #[test]
    fn the_test_kit_is_a_dev_dependency_only() {
        assert!(rules("compute-http", "compute-testkit", Kind::Dev).is_empty());
        assert!(
            rules("compute-http", "compute-testkit", Kind::Normal)[0]
                .contains("dev-dependency only")
        );
        assert!(
            rules("compute-server", "compute-testkit", Kind::Build)[0]
                .contains("dev-dependency only")
        );
    }

    #[test]
    fn embeddable_crates_keep_the_marketplace_out_of_their_tests_too() {
        assert!(rules("compute-wallet", "compute-domain", Kind::Dev)[0].contains("embeddable"));
        assert!(rules("compute-x402", "compute-testkit", Kind::Dev)[0].contains("embeddable"));
        assert!(rules("compute-x402", "axum", Kind::Dev).is_empty());
    }

    #[test]
    fn forbidden_externals_are_refused() {
        assert!(rules("compute-engine", "tokio", Kind::Normal)[0].contains("must not use"));
        assert!(rules("compute-engine", "tokio", Kind::Dev).is_empty());
        assert!(
            rules("compute-domain", "hex", Kind::Normal)[0].contains("of the crates of others")
        );
        assert!(rules("compute-domain", "serde", Kind::Normal).is_empty());
    }

    #[test]
    fn xtask_uses_none_of_ours() {
        assert_eq!(rules("xtask", "compute-wallet", Kind::Dev).len(), 1);
    }

    #[test]
    fn members_and_rows_must_match() {
        let mut workspace = workspace("", &[]);
        workspace.members[0].name = "compute-surprise".to_owned();
        let problems = check(&workspace).unwrap();
        assert_eq!(problems.len(), 2);
    }
}
