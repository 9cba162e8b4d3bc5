//! The shipped binary has no fail points: places where tests make the process die.

use anyhow::Result;

use super::Problem;
use crate::cargo;
use crate::workspace::Workspace;

const BINARY: &str = "compute-server";

pub(super) fn check(_: &Workspace) -> Result<Vec<Problem>> {
    let tree = cargo::output(cargo::cargo().args([
        "tree",
        "--locked",
        "--package",
        BINARY,
        "--edges",
        "normal,build,features",
        "--target",
        "all",
        "--prefix",
        "none",
    ]))?;
    Ok(enabled(&tree)
        .into_iter()
        .map(|line| {
            Problem::new(
                line,
                format!("the default features of {BINARY} enable no `failpoints`"),
            )
        })
        .collect())
}

/// The lines of a feature tree that enable fail points.
fn enabled(tree: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = tree
        .lines()
        .filter(|line| line.contains("feature \"failpoints\""))
        .map(|line| line.trim_end_matches("(*)").trim_end())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enabled_feature_is_found_once() {
        let tree = "compute-server v0.1.0 (/w)\ncompute-engine feature \"failpoints\"\n\
                    compute-engine feature \"failpoints\" (*)\nserde feature \"default\"\n";
        assert_eq!(enabled(tree), ["compute-engine feature \"failpoints\""]);
    }

    #[test]
    fn a_crate_that_merely_has_the_feature_passes() {
        assert_eq!(
            enabled("compute-engine feature \"default\"\n"),
            Vec::<&str>::new()
        );
    }
}
