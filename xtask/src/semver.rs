//! `cargo xtask semver`: the public API of the crates that others embed, against what is committed.
//!
//! A text that is committed beside each crate, and not a comparison with a published release: it needs no network and
//! no history, a change of the API is a change that a reader of the commit sees, and nothing is published yet.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo;

const USAGE: &str = "\
usage: cargo xtask semver [--bless]

Compares the public API of compute-wallet, compute-mpp and compute-x402 with crates/<crate>/public-api.txt. Fails when they differ;
--bless commits the API as it is now.
";

/// The release that writes the committed form, and reads what rustdoc of the pinned toolchain writes.
const VERSION: &str = "0.52.0";

/// The crates that others embed, and their features: what each adds is listed by itself.
const CRATES: &[(&str, &[&str])] = &[
    ("compute-wallet", &[]),
    ("compute-mpp", &[]),
    ("compute-x402", &["svm"]),
];

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let is_blessed = match arguments {
        [] => false,
        [flag] if flag == "--bless" => true,
        [flag] if flag == "--help" || flag == "-h" => {
            print!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        _ => bail!("{USAGE}"),
    };
    let tool = cargo::find_or_install("public-api", VERSION)?;
    let mut is_same = true;
    for (name, features) in CRATES {
        let now = describe(&tool, name, features)?;
        let path = snapshot(name);
        if is_blessed {
            fs::write(&path, &now).with_context(|| format!("write {}", path.display()))?;
            continue;
        }
        let committed =
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let difference = Difference::between(&committed, &now);
        println!("{name}: {}", difference.sentence());
        difference.print();
        is_same &= difference.is_empty();
    }
    if is_same {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nWhat is gone or changed breaks others: after a release it needs the next incompatible version.\n\
         Write every change into the CHANGELOG of the crate, then run `cargo xtask semver --bless`."
    );
    Ok(ExitCode::FAILURE)
}

fn snapshot(name: &str) -> PathBuf {
    cargo::root()
        .join("crates")
        .join(name)
        .join("public-api.txt")
}

/// The API with the default features, and below it what each further feature adds.
fn describe(tool: &Path, name: &str, features: &[&str]) -> Result<String> {
    let default = list(tool, name, None)?;
    let mut text = format!("# {name}, the default features\n{default}");
    let known: BTreeSet<&str> = default.lines().collect();
    for feature in features {
        let with = list(tool, name, Some(feature))?;
        text.push_str(&format!("\n# with the feature {feature}\n"));
        for line in with.lines().filter(|line| !known.contains(line)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// One line for each public item, impls of foreign traits included, blanket and automatic ones left out.
fn list(tool: &Path, name: &str, feature: Option<&str>) -> Result<String> {
    // Apart from the builds of other commands, whose caches the flags would spoil.
    let target = cargo::target_dir().join("api");
    let mut rustdoc = cargo::cargo();
    rustdoc
        .args(["rustdoc", "--quiet", "--locked", "--lib", "--package", name])
        .arg("--target-dir")
        .arg(&target);
    rustdoc.args(feature.map(|feature| format!("--features={feature}")));
    rustdoc
        .args(["--", "-Zunstable-options", "--output-format=json"])
        // The JSON of rustdoc is unstable; toolchain and reader are both pinned.
        .env("RUSTC_BOOTSTRAP", "1");
    cargo::run(&mut rustdoc)?;
    let json = target
        .join("doc")
        .join(name.replace('-', "_"))
        .with_extension("json");
    let mut list = Command::new(tool);
    list.args(["public-api", "-ss", "--color=never", "--rustdoc-json"])
        .arg(json);
    cargo::output(&mut list)
}

/// What two descriptions do not share.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    gone: Vec<String>,
    new: Vec<String>,
}

impl Difference {
    fn between(committed: &str, now: &str) -> Self {
        let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
        let (committed, now) = (lines(committed), lines(now));
        Self {
            gone: committed.difference(&now).cloned().collect(),
            new: now.difference(&committed).cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }

    fn sentence(&self) -> String {
        if self.is_empty() {
            return "the public API is the committed one".to_owned();
        }
        format!(
            "{} lines are gone or changed, {} are new",
            self.gone.len(),
            self.new.len()
        )
    }

    fn print(&self) {
        for line in &self.gone {
            println!("  - {line}");
        }
        for line in &self.new {
            println!("  + {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_gone_and_new() {
        let difference = Difference::between("a\nb(u8)\n", "a\nb(u16)\nc\n");
        assert_eq!(difference.gone, ["b(u8)"]);
        assert_eq!(difference.new, ["b(u16)", "c"]);
        assert_eq!(
            difference.sentence(),
            "1 lines are gone or changed, 2 are new"
        );
        assert!(Difference::between("a\nb\n", "b\na\n").is_empty());
    }

    #[test]
    fn the_described_crates_have_a_committed_description() {
        for (name, features) in CRATES {
            let text = fs::read_to_string(snapshot(name)).unwrap();
            assert!(text.starts_with(&format!("# {name}, the default features\n")));
            for feature in *features {
                assert!(text.contains(&format!("# with the feature {feature}\n")));
            }
        }
    }
}
