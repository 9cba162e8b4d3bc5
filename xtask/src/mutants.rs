//! `cargo xtask mutants`: changes the code that decides about money and identity in small ways, and expects some test of
//! the same crate to fail each time.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::postgres::{Cluster, TEST_VARIABLE};

const USAGE: &str = "\
usage: cargo xtask mutants [options]

  --package NAME   only this package; may be repeated
  --in-diff FILE   only mutants of lines that this diff changes
  --shard K/N      only the K-th of N equal parts, from 0
  --jobs N         mutants that are tried side by side (1)
  --iterate        leave out what an earlier run has caught

Mutates the code of compute-domain, compute-pricing, compute-wallet, compute-engine and compute-store that decides about
money and identity. Fails when fewer than 90 % of the mutants are caught.
";

/// The release that the figures were made with.
const VERSION: &str = "25.3.1";

/// So many of a hundred mutants must be caught.
const CAUGHT_MIN: usize = 90;

/// Longer than any test of these packages takes on a busy machine; a mutant that loops forever ends then.
const TEST_LIMIT_SECS: &str = "300";

/// What is mutated: a package and the files below its `src`.
const SUBJECTS: &[(&str, &[&str])] = &[
    (
        "compute-domain",
        &[
            "ledger.rs",
            "prepaid.rs",
            "money.rs",
            "payment.rs",
            "owner.rs",
            "request_key.rs",
        ],
    ),
    ("compute-pricing", &["**/*.rs"]),
    (
        "compute-wallet",
        &[
            "auth.rs",
            "signature.rs",
            "evm.rs",
            "eip191.rs",
            "eip712.rs",
        ],
    ),
    (
        "compute-engine",
        &[
            "ledger_chain.rs",
            "payment.rs",
            "purchase.rs",
            "names.rs",
            "credits.rs",
            "subject.rs",
            "extend.rs",
            "topup.rs",
            "identity.rs",
            "saga/settle.rs",
            "saga/teardown.rs",
            "saga/decide.rs",
        ],
    ),
    ("compute-store", &["ledger.rs", "ledger/*.rs", "lots.rs"]),
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    packages: Vec<String>,
    /// Passed on: `--in-diff`, `--shard`, `--jobs`, `--iterate`.
    words: Vec<String>,
}

impl Options {
    /// `None` when the user asks for help.
    fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .cloned()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--package" => {
                    let name = value()?;
                    if !SUBJECTS.iter().any(|(package, _)| *package == name) {
                        bail!("{name} has no code that is mutated");
                    }
                    options.packages.push(name);
                }
                "--in-diff" | "--shard" | "--jobs" => {
                    let value = value()?;
                    options.words.extend([word.clone(), value]);
                }
                "--iterate" => options.words.push(word.clone()),
                "--help" | "-h" => return Ok(None),
                other => bail!("unknown option `{other}`\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }

    fn wants(&self, package: &str) -> bool {
        self.packages.is_empty() || self.packages.iter().any(|wanted| wanted == package)
    }
}

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let tool = cargo::find_or_install("mutants", VERSION)?;
    let mut all = Tally::default();
    // The tests of engine and store need one; starting it costs little.
    let cluster = Cluster::start()?;
    for (package, files) in SUBJECTS {
        if !options.wants(package) {
            continue;
        }
        let tally = mutate(&tool, &cluster, package, files, &options.words)?;
        println!("{package}: {}", tally.sentence());
        all.add(tally);
    }
    for missed in &all.missed {
        println!("MISSED {missed}");
    }
    println!("in all: {}", all.sentence());
    Ok(if all.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn mutate(
    tool: &Path,
    cluster: &Cluster,
    package: &str,
    files: &[&str],
    words: &[String],
) -> Result<Tally> {
    let output = cargo::target_dir().join("mutants").join(package);
    fs::create_dir_all(&output).with_context(|| format!("make {}", output.display()))?;
    let mut mutants = Command::new(tool);
    mutants
        .current_dir(cargo::root())
        .args(["mutants", "--package", package, "--output"])
        .arg(&output)
        .args(["--timeout", TEST_LIMIT_SECS])
        .env(TEST_VARIABLE, cluster.url());
    for file in files {
        mutants.args(["--file", &format!("crates/{package}/src/{file}")]);
    }
    mutants.args(words);
    // 0: all caught, 2: some missed, 3: some ran out of time.
    let status = cargo::status(&mut mutants)?;
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("cargo-mutants ended with {status}");
    }
    Tally::read(&output.join("mutants.out"))
}

/// What became of mutants.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// A test failed, or never ended.
    caught: usize,
    missed: Vec<String>,
}

impl Tally {
    /// The lists that the tool leaves; those that did not compile say nothing about tests.
    fn read(folder: &Path) -> Result<Self> {
        let lines = |name: &str| -> Result<Vec<String>> {
            let path = folder.join(name);
            match fs::read_to_string(&path) {
                Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
                // A diff may leave nothing to mutate.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
            }
        };
        let caught = ["caught.txt", "timeout.txt", "previously_caught.txt"];
        let mut tally = Self {
            caught: 0,
            missed: lines("missed.txt")?,
        };
        for name in caught {
            tally.caught += lines(name)?.len();
        }
        Ok(tally)
    }

    fn add(&mut self, other: Self) {
        self.caught += other.caught;
        self.missed.extend(other.missed);
    }

    fn all(&self) -> usize {
        self.caught + self.missed.len()
    }

    /// Nothing to mutate is good.
    fn is_good(&self) -> bool {
        self.caught * 100 >= self.all() * CAUGHT_MIN
    }

    fn sentence(&self) -> String {
        let permille = (self.caught * 1_000).checked_div(self.all());
        let permille = permille.unwrap_or(1_000);
        format!(
            "{} of {} mutants caught, {}.{} %",
            self.caught,
            self.all(),
            permille / 10,
            permille % 10
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    #[test]
    fn packages_are_ours_and_the_rest_is_passed_on() {
        let options = parse(&["--package", "compute-pricing", "--shard", "0/4"]);
        let options = options.unwrap().unwrap();
        assert!(options.wants("compute-pricing"));
        assert!(!options.wants("compute-domain"));
        assert_eq!(options.words, ["--shard", "0/4"]);
        assert!(parse(&["--package", "compute-http"]).is_err());
        assert!(parse(&["--shard"]).is_err());
        assert!(parse(&["--speed"]).is_err());
    }

    #[test]
    fn nine_of_ten_are_enough() {
        let tally = |caught, missed| Tally {
            caught,
            missed: vec!["mutant".to_owned(); missed],
        };
        assert!(tally(9, 1).is_good());
        assert!(!tally(89, 11).is_good());
        assert!(tally(0, 0).is_good());
        assert_eq!(tally(9, 1).sentence(), "9 of 10 mutants caught, 90.0 %");
    }

    #[test]
    fn every_mutated_file_exists() {
        for (package, files) in SUBJECTS {
            for file in files.iter().filter(|file| !file.contains('*')) {
                let path = cargo::root().join(format!("crates/{package}/src/{file}"));
                assert!(path.is_file(), "{}", path.display());
            }
        }
    }
}
