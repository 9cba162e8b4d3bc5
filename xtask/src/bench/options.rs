//! The command line of `cargo xtask bench`.

use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(super) const USAGE: &str = "\
usage: cargo xtask bench [options] [-- <arguments for `compute-server dev`>]
       cargo xtask bench ledger [--rows N] [--debits N] [--database sqlite|postgres]
       cargo xtask bench payment
       cargo xtask bench challenge

  --rounds N        rounds per side and scenario (6)
  --seconds N       length of a round (3)
  --connections N   connections that send one request after the other (16)
  --requests N      paid requests in a round, each with a payment of its own (400)
";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) rounds: u32,
    pub(super) duration: Duration,
    pub(super) connections: usize,
    /// How many single-use requests a round has.
    pub(super) requests: usize,
    pub(super) server_arguments: Vec<String>,
}

impl Options {
    /// `None` when the user asks for help.
    pub(super) fn parse(arguments: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            rounds: 6,
            duration: Duration::from_secs(3),
            connections: 16,
            requests: 400,
            server_arguments: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a number"))
            };
            match word.as_str() {
                "--rounds" => options.rounds = number(value()?)?,
                "--seconds" => options.duration = Duration::from_secs(number(value()?)?),
                "--connections" => options.connections = number(value()?)?,
                "--requests" => options.requests = number(value()?)?,
                "--help" | "-h" => return Ok(None),
                "--" => {
                    options.server_arguments = words.cloned().collect();
                    break;
                }
                other => bail!("unknown option `{other}`\n{USAGE}"),
            }
        }
        Ok(Some(options))
    }
}

fn number<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<T> {
    match text.parse() {
        Ok(value) if value != T::default() => Ok(value),
        _ => bail!("`{text}` is not a positive number"),
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
    fn numbers_replace_the_defaults() {
        let options = parse(&["--rounds", "2", "--", "--config", "x"])
            .unwrap()
            .unwrap();
        assert_eq!(options.rounds, 2);
        assert_eq!(options.connections, 16);
        assert_eq!(options.server_arguments, ["--config", "x"]);
    }

    #[test]
    fn zero_nonsense_and_unknown_options_are_refused() {
        assert!(parse(&["--rounds", "0"]).is_err());
        assert!(parse(&["--seconds", "soon"]).is_err());
        assert!(parse(&["--connections"]).is_err());
        assert!(parse(&["--speed", "9"]).is_err());
        assert_eq!(parse(&["--help"]).unwrap(), None);
    }
}
