//! The layer table of `docs/ARCHITECTURE.md` is the one of `xtask/src/layers.rs`.

use anyhow::Result;

use super::{Problem, sources};
use crate::layers;
use crate::workspace::Workspace;

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const BEGIN: &str = "<!-- layers:begin -->";
const END: &str = "<!-- layers:end -->";

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Problem>> {
    let path = workspace.root.join(DOCUMENT);
    if !path.exists() {
        return Ok(vec![Problem::new(
            DOCUMENT,
            "the architecture document exists",
        )]);
    }
    Ok(compare(&sources::read(&path)?, &layers::markdown())
        .into_iter()
        .collect())
}

fn compare(document: &str, table: &str) -> Option<Problem> {
    let between = document
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .map(|(between, _)| between.trim());
    match between {
        None => Some(Problem::new(
            DOCUMENT,
            format!("the layer table stands between {BEGIN} and {END}"),
        )),
        Some(found) if found == table.trim() => None,
        Some(found) => {
            let place = found
                .lines()
                .zip(table.lines())
                .find(|(found, wanted)| found != wanted)
                .map_or("the number of rows", |(found, _)| found);
            Some(Problem::new(
                format!("{DOCUMENT}: {place}"),
                "the layer table is the one that `cargo xtask lint --print-layers` prints",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_table_passes() {
        assert_eq!(
            compare(
                &format!("text\n{BEGIN}\n\n| a |\n| b |\n\n{END}\nmore"),
                "| a |\n| b |\n"
            ),
            None
        );
    }

    #[test]
    fn another_row_is_named() {
        let problem = compare(&format!("{BEGIN}\n| a |\n| c |\n{END}"), "| a |\n| b |\n").unwrap();
        assert_eq!(problem.place, format!("{DOCUMENT}: | c |"));
    }

    #[test]
    fn missing_markers_and_missing_rows_are_refused() {
        assert!(compare("| a |", "| a |").is_some());
        assert!(compare(&format!("{BEGIN}\n| a |\n{END}"), "| a |\n| b |\n").is_some());
    }
}
