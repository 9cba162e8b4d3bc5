//! Both databases get the same migrations, numbered without a gap.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Problem, sources};
use crate::workspace::Workspace;

const FOLDERS: [&str; 2] = ["migrations/sqlite", "migrations/postgres"];

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let mut names = Vec::new();
    for folder in FOLDERS {
        let path = workspace.root.join(folder);
        let files = if path.exists() {
            sources::find_files(&path, &["sql"])?
        } else {
            Vec::new()
        };
        names.push(
            files
                .iter()
                .filter_map(|file| file.strip_prefix(&path).ok())
                .map(|file| file.display().to_string())
                .collect::<BTreeSet<String>>(),
        );
    }
    match names.as_slice() {
        [sqlite, postgres] => Ok(compare(sqlite, postgres)),
        _ => Ok(Vec::new()),
    }
}

fn compare(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let [sqlite_folder, postgres_folder] = FOLDERS;
    for (folder, names, others) in [
        (sqlite_folder, sqlite, postgres),
        (postgres_folder, postgres, sqlite),
    ] {
        if names.is_empty() {
            problems.push(Problem::new(folder, "there is at least one migration"));
        }
        for name in others.difference(names) {
            problems.push(Problem::new(
                format!("{folder}/{name}: missing"),
                "each migration exists for both databases, under the same name",
            ));
        }
        for (index, name) in names.iter().enumerate() {
            let prefix = format!("{:04}_", index.saturating_add(1));
            if !name.starts_with(&prefix) {
                problems.push(Problem::new(
                    format!("{folder}/{name}"),
                    format!("migrations are numbered without a gap: here {prefix}<topic>.sql"),
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn equal_consecutive_names_pass() {
        let both = names(&["0001_start.sql", "0002_ledger.sql"]);
        assert_eq!(compare(&both, &both), Vec::new());
    }

    #[test]
    fn a_missing_twin_is_named() {
        let problems = compare(
            &names(&["0001_a.sql"]),
            &names(&["0001_a.sql", "0002_b.sql"]),
        );
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place, "migrations/sqlite/0002_b.sql: missing");
    }

    #[test]
    fn gaps_and_doubled_numbers_are_refused() {
        let gap = names(&["0001_a.sql", "0003_b.sql"]);
        assert_eq!(compare(&gap, &gap).len(), 2);
        let doubled = names(&["0001_a.sql", "0001_b.sql"]);
        assert_eq!(compare(&doubled, &doubled).len(), 2);
    }

    #[test]
    fn no_migration_at_all_is_refused() {
        assert_eq!(compare(&names(&[]), &names(&[])).len(), 2);
    }
}
