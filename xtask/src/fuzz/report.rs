//! What libFuzzer says about a run.

use std::path::Path;

use anyhow::{Context, Result};

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    executions: u64,
    seconds: u64,
    /// Edges of the program that any input has reached.
    edges: u64,
    /// Executions after which no new edge was found.
    last_new_edge: u64,
    find: Option<String>,
}

impl Outcome {
    pub(super) fn read(is_success: bool, log: &str, path: &Path) -> Result<Self> {
        let stat = |name: &str| {
            log.lines()
                .filter_map(|line| line.strip_prefix(name))
                .filter_map(|rest| rest.trim().parse().ok())
                .next_back()
        };
        let (edges, last_new_edge) = edges(log);
        let find = (!is_success).then(|| {
            let said = log.lines().skip_while(|line| !line.contains("panicked at"));
            let said: Vec<&str> = said.take(2).collect();
            let artifact = log
                .lines()
                .find_map(|line| line.split("Test unit written to ").nth(1));
            format!(
                "{} {} ({})",
                said.join(" "),
                artifact.unwrap_or("no input was kept"),
                path.display()
            )
        });
        Ok(Self {
            executions: stat("stat::number_of_executed_units:")
                .or_else(|| find.is_some().then_some(0))
                .with_context(|| format!("no number of executions in {}", path.display()))?,
            seconds: done_after(log).unwrap_or(0),
            edges,
            last_new_edge,
            find,
        })
    }

    pub(super) const fn is_find(&self) -> bool {
        self.find.is_some()
    }

    pub(super) fn sentence(&self) -> String {
        let Self {
            executions,
            seconds,
            edges,
            last_new_edge,
            find,
        } = self;
        let verdict = find
            .as_ref()
            .map_or_else(|| "no find".to_owned(), |find| format!("FIND {find}"));
        format!(
            "{executions} executions in {seconds} s, {edges} edges, the last new one after {last_new_edge}; {verdict}"
        )
    }
}

/// `Done 20000 runs in 3 second(s)`.
fn done_after(log: &str) -> Option<u64> {
    let line = log.lines().rfind(|line| line.starts_with("Done "))?;
    let (_, rest) = line.split_once(" runs in ")?;
    rest.split(' ').next()?.parse().ok()
}

/// The edges at the end, and the execution that found the last of them: `#4711 NEW cov: 109 ft: …`.
fn edges(log: &str) -> (u64, u64) {
    let mut last = (0, 0);
    for line in log.lines().filter_map(|line| line.strip_prefix('#')) {
        let mut words = line.split_whitespace();
        let run = words.next().and_then(|word| word.parse::<u64>().ok());
        let edges = words
            .skip_while(|word| *word != "cov:")
            .nth(1)
            .and_then(|word| word.parse::<u64>().ok());
        if let (Some(run), Some(edges)) = (run, edges)
            && edges > last.0
        {
            last = (edges, run);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
#2\tINITED cov: 90 ft: 91 corp: 1/1b exec/s: 0 rss: 26Mb
#40\tNEW    cov: 109 ft: 175 corp: 25/415b lim: 4 exec/s: 0 rss: 27Mb
#99\tREDUCE cov: 109 ft: 175 corp: 25/414b lim: 4 exec/s: 0 rss: 27Mb
#20000\tDONE   cov: 109 ft: 175 corp: 25/414b lim: 4096 exec/s: 0 rss: 27Mb
Done 20000 runs in 3 second(s)
stat::number_of_executed_units: 20000
";

    #[test]
    fn a_run_tells_executions_edges_and_time() {
        let outcome = Outcome::read(true, LOG, Path::new("log")).unwrap();
        assert!(!outcome.is_find());
        assert_eq!(
            outcome.sentence(),
            "20000 executions in 3 s, 109 edges, the last new one after 40; no find"
        );
    }

    #[test]
    fn a_find_names_the_promise_and_the_input() {
        let log = "thread '<unnamed>' (1) panicked at src/x.rs:74:5:\nassertion failed: y\n\
                   artifact_prefix='a/'; Test unit written to a/crash-1\n\
                   stat::number_of_executed_units: 12\n";
        let outcome = Outcome::read(false, log, Path::new("log")).unwrap();
        assert!(outcome.is_find());
        let sentence = outcome.sentence();
        for part in [
            "12 executions",
            "x.rs:74",
            "assertion failed: y",
            "a/crash-1",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
    }

    #[test]
    fn a_log_without_figures_is_no_success() {
        assert!(Outcome::read(true, "", Path::new("log")).is_err());
    }
}
