//! The deadly end of the engine's fail points, for `cargo xtask crash` only: at the named point the
//! process kills itself.
//!
//! Nothing is flushed, closed or said to anybody: as far as the database and the partners can see,
//! it is `kill -9` by somebody else at exactly this moment.

use std::io::Write as _;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, bail};
use compute_domain::operation::OperationKind;
use compute_engine::failpoints::{self, POSITIONS};

/// Where to die: `<kind>.<step>.<position>`, and `:n` behind it to die when it is reached for the
/// `n`-th time (the first when absent).
const VARIABLE: &str = "COMPUTE_FAILPOINT";

static TARGET: OnceLock<Target> = OnceLock::new();

#[derive(Debug)]
struct Target {
    name: String,
    /// How often it is still to be reached, the last time included.
    left: AtomicU32,
}

/// Arms the point that the environment names, if it names one.
///
/// # Errors
/// When there is no such point: nobody would ever die there.
pub(crate) fn arm() -> anyhow::Result<()> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let target = Target::parse(&text.to_string_lossy()).context(VARIABLE)?;
    if TARGET.set(target).is_ok() {
        failpoints::install(reached);
    }
    Ok(())
}

/// Prints every point that can be reached, one a line.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn list() -> anyhow::Result<()> {
    let mut text = names().join("\n");
    text.push('\n');
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("write to standard output")
}

/// From the engine's own list of steps, so that a new step cannot be forgotten.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    for kind in OperationKind::ALL {
        for step in kind.steps() {
            // What changes nothing outside is not announced: such a step has no beginning.
            let has_begin = step.has_effect();
            let positions = POSITIONS
                .iter()
                .filter(|position| has_begin || !position.starts_with("begin"));
            names.extend(positions.map(|position| format!("{kind}.{step}.{position}")));
        }
    }
    names
}

impl Target {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        let left: u32 = count
            .parse()
            .with_context(|| format!("{count:?} is no number"))?;
        if left == 0 || !names().iter().any(|known| known == name) {
            bail!("{text:?} is no point that can be reached");
        }
        Ok(Self {
            name: name.to_owned(),
            left: AtomicU32::new(left),
        })
    }

    /// Counts a point that was reached; true when it is the one to die at.
    fn is_met_by(&self, name: &str) -> bool {
        name == self.name && self.left.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

fn reached(name: &str) {
    if TARGET.get().is_some_and(|target| target.is_met_by(name)) {
        die(name);
    }
}

/// Never returns: the step at this point must not go on.
fn die(name: &str) -> ! {
    // The line is for the log only; without it the death is as good.
    let _ = writeln!(std::io::stderr(), "fail point {name} reached");
    // A shell sends the signal, because doing it here would be unsafe code.
    let sent = Command::new("sh").args(["-c", "kill -9 $PPID"]).status();
    let _ = writeln!(std::io::stderr(), "still alive: {sent:?}");
    // As sudden as the signal: no destructor runs and no buffer is written.
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_points_and_only_those_that_are_reached() {
        let names = names();
        assert!(names.contains(&"provision.settle.begin.before".to_owned()));
        assert!(names.contains(&"destroy.confirm_gone.result.after".to_owned()));
        assert!(!names.contains(&"provision.refund.begin.before".to_owned()));
        assert!(names.contains(&"topup.settle.effect.after".to_owned()));
        assert_eq!(names.len(), 65);
    }

    #[test]
    fn the_n_th_time_counts_and_nothing_else() {
        let target = Target::parse("provision.create.effect.after:2").unwrap();
        let met: Vec<bool> = [
            "provision.create.effect.after",
            "provision.settle.effect.after",
            "provision.create.effect.after",
            "provision.create.effect.after",
        ]
        .map(|name| target.is_met_by(name))
        .into();
        assert_eq!(met, [false, false, true, false]);
    }

    #[test]
    fn unknown_points_are_refused() {
        for text in [
            "",
            "provision",
            "provision.create.effect.after:0",
            "provision.create.effect.after:x",
            "provision.refund.begin.before",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
