//! What the crates that others embed bring along: nothing that waits or talks, and nothing of Solana unasked.

use anyhow::Result;

use super::Problem;
use crate::cargo;
use crate::workspace::Workspace;

/// Whose trees are looked at, the whole way down.
const EMBEDDED: &[&str] = &["compute-wallet", "compute-mpp", "compute-x402"];

/// The feature that brings the crates of Solana.
const SVM: &str = "compute-x402/svm";

const WAITS_OR_TALKS: &[&str] = &[
    "async-std",
    "axum",
    "hyper",
    "mio",
    "reqwest",
    "rustls",
    "sqlx",
    "tokio",
    "tower",
];

pub(super) fn check(_: &Workspace) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for name in EMBEDDED {
        for used in below(&tree(name, None)?) {
            if is_solana(&used) {
                let rule = format!("{name} brings crates of Solana with its feature `svm` alone");
                problems.push(Problem::new(format!("{name} -> {used}"), rule));
            } else if WAITS_OR_TALKS.contains(&used.as_str()) {
                let rule = format!("{name} neither waits nor talks, nor does what it stands on");
                problems.push(Problem::new(format!("{name} -> {used}"), rule));
            }
        }
    }
    // Were their names no longer found where they must be, the first rule would hold of itself.
    let with_svm = below(&tree("compute-x402", Some(SVM))?);
    if !with_svm.iter().any(|used| is_solana(used)) {
        problems.push(Problem::new(
            SVM,
            "the crates of Solana are known by their names",
        ));
    }
    Ok(problems)
}

fn is_solana(name: &str) -> bool {
    name.starts_with("solana-") || name.starts_with("spl-") || name == "wincode"
}

fn tree(name: &str, feature: Option<&str>) -> Result<String> {
    let mut tree = cargo::cargo();
    tree.args(["tree", "--locked", "--package", name])
        .args(["--edges", "normal,build", "--target", "all"])
        .args(["--prefix", "none"]);
    if let Some(feature) = feature {
        tree.args(["--features", feature]);
    }
    cargo::output(&mut tree)
}

/// The names of the crates in a tree, each once, the first left out.
fn below(tree: &str) -> Vec<String> {
    let mut names: Vec<String> = tree
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_gives_names_once() {
        let tree = "compute-x402 v0.1.0 (/w)\nbase64 v0.22.1\nhex v0.4.3\nbase64 v0.22.1 (*)\n";
        assert_eq!(below(tree), ["base64", "hex"]);
    }

    #[test]
    fn crates_of_solana_are_known_by_name() {
        assert!(is_solana("solana-message") && is_solana("wincode"));
        assert!(!is_solana("ed25519-dalek") && !is_solana("bs58"));
    }
}
