//! The command line of `cargo xtask crash`.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

pub(super) const USAGE: &str = "\
usage: cargo xtask crash [options]

Builds the server with fail points below target/failpoints. For every fail point and database: the server takes a
payment, kills itself at the point, is started again, dies once more if recovery passes the same point, and the client
repeats its payment until it has a final answer. Then the records of the facilitator and of the cloud must agree with
what the client was told.

  --database sqlite|postgres|both   (both)
  --only TEXT                       only cases whose name contains the text
  --jobs N                          cases that run side by side (6)

With --kills or --minutes, instead: sixteen clients buy, lengthen and destroy while the server is killed at random and at
named places and the stand-ins misbehave, and every 50 kills everything comes to rest and is reckoned up.

  --kills N                         kills on each database
  --minutes M                       no more kills after this many minutes on each database
  --seed S                          the seed of an earlier run
";

/// Cases mostly wait, so there may be more of them than processors.
const JOBS: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub(super) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) databases: Vec<Database>,
    pub(super) only: Option<String>,
    pub(super) jobs: usize,
    pub(super) kills: Option<u32>,
    pub(super) minutes: Option<u64>,
    pub(super) seed: Option<u64>,
}

impl Options {
    /// `None` when the user asks for help.
    pub(super) fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            databases: Database::ALL.to_vec(),
            only: None,
            jobs: JOBS,
            kills: None,
            minutes: None,
            seed: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--database" => options.databases = databases(value()?)?,
                "--only" => options.only = Some(value()?.clone()),
                "--jobs" => {
                    options.jobs = match value()?.parse() {
                        Ok(jobs) if jobs > 0 => jobs,
                        _ => bail!("--jobs needs a positive number"),
                    };
                }
                "--kills" => options.kills = Some(number(word, value()?)?),
                "--minutes" => options.minutes = Some(number(word, value()?)?),
                "--seed" => options.seed = Some(number(word, value()?)?),
                "--help" | "-h" => return Ok(None),
                other => bail!("unknown option `{other}`\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }
}

fn number<N: FromStr>(option: &str, word: &str) -> Result<N> {
    let number = word.parse().ok();
    number.with_context(|| format!("{option} needs a number, not `{word}`"))
}

fn databases(word: &str) -> Result<Vec<Database>> {
    if word == "both" {
        return Ok(Database::ALL.to_vec());
    }
    let one = Database::ALL.into_iter().find(|one| one.name() == word);
    let one = one.with_context(|| format!("`{word}` is not sqlite, postgres or both"))?;
    Ok(vec![one])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    #[test]
    fn both_databases_are_the_default() {
        let options = parse(&["--only", "settle"]).unwrap().unwrap();
        assert_eq!(options.databases, Database::ALL);
        assert_eq!(options.only.as_deref(), Some("settle"));
        let options = parse(&["--database", "sqlite", "--jobs", "1"])
            .unwrap()
            .unwrap();
        assert_eq!(
            (options.databases, options.jobs),
            (vec![Database::Sqlite], 1)
        );
        let options = parse(&["--kills", "9", "--seed", "7"]).unwrap().unwrap();
        assert_eq!((options.kills, options.seed), (Some(9), Some(7)));
        assert_eq!(options.minutes, None);
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            &["--database", "mysql"][..],
            &["--jobs", "0"],
            &["--only"],
            &["--kills", "many"],
            &["--speed"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        assert_eq!(parse(&["--help"]).unwrap(), None);
    }
}
