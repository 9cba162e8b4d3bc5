//! The command line of `cargo xtask fuzz`.

use anyhow::{Context, Result, bail};

pub(super) const USAGE: &str = "\
usage: cargo xtask fuzz [target...] [--runs N | --seconds N] [--seed S]
       cargo xtask fuzz [target...] --pack

Runs every decoder of the crates that others embed, or those that are named, under libFuzzer: 60 s each,
or as many inputs as --runs says. What is found lands in target/fuzz/artifacts; put it into the corpus of
the target (crates/compute-fuzz/corpus), where an ordinary test then replays it.
--pack commits the inputs of earlier runs, as few as cover the same code.
";

/// One change is worth so many seconds on each target.
const DEFAULT_SECONDS: u64 = 60;

/// The same inputs on every machine, as long as the code is the same.
const DEFAULT_SEED: u32 = 1;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) targets: Vec<String>,
    pub(super) runs: Option<u64>,
    pub(super) seconds: Option<u64>,
    pub(super) seed: u32,
    pub(super) pack: bool,
}

impl Options {
    /// `None` when the user asks for help.
    pub(super) fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            targets: Vec::new(),
            runs: None,
            seconds: None,
            seed: DEFAULT_SEED,
            pack: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words
                    .next()
                    .with_context(|| format!("{word} needs a number"))?;
                match value.parse::<u64>() {
                    Ok(number) if number > 0 => Ok(number),
                    _ => bail!("`{value}` is not a positive number"),
                }
            };
            match word.as_str() {
                "--runs" => options.runs = Some(number()?),
                "--seconds" => options.seconds = Some(number()?),
                "--seed" => options.seed = u32::try_from(number()?).context("a seed of 32 bits")?,
                "--pack" => options.pack = true,
                "--help" | "-h" => return Ok(None),
                other if other.starts_with('-') => bail!("unknown option `{other}`\n{USAGE}"),
                name => options.targets.push(name.to_owned()),
            }
        }
        Ok(Some(options))
    }

    /// What ends a run, in libFuzzer's words.
    pub(super) fn limits(&self) -> Vec<String> {
        let runs = self.runs.map(|runs| format!("-runs={runs}"));
        let seconds = match (self.runs, self.seconds) {
            (None, None) => Some(DEFAULT_SECONDS),
            (_, seconds) => seconds,
        };
        let seconds = seconds.map(|seconds| format!("-max_total_time={seconds}"));
        runs.into_iter().chain(seconds).collect()
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
    fn a_run_ends_after_a_minute_unless_something_else_is_asked() {
        let limits = |words: &[&str]| parse(words).unwrap().unwrap().limits();
        assert_eq!(limits(&[]), ["-max_total_time=60"]);
        assert_eq!(limits(&["amount", "--runs", "7"]), ["-runs=7"]);
        assert_eq!(limits(&["--seconds", "5"]), ["-max_total_time=5"]);
        let both = ["-runs=7", "-max_total_time=5"];
        assert_eq!(limits(&["--runs", "7", "--seconds", "5"]), both);
    }

    #[test]
    fn names_are_targets_and_nonsense_is_refused() {
        let options = parse(&["amount", "--seed", "3", "network"]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.targets, ["amount", "network"]);
        assert_eq!(options.seed, 3);
        assert!(parse(&["--runs"]).is_err());
        assert!(parse(&["--runs", "0"]).is_err());
        assert!(parse(&["--seed", "4294967296"]).is_err());
        assert!(parse(&["--speed", "9"]).is_err());
        assert_eq!(parse(&["--help"]).unwrap(), None);
    }
}
