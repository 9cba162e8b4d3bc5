//! The programs that the published clients need.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{cargo, machine};

/// A language with its installer.
#[derive(Debug)]
struct Tool {
    what: &'static str,
    /// Commands that succeed where it is present and new enough.
    probes: &'static [&'static [&'static str]],
    debian: &'static [&'static str],
}

const NODE: Tool = Tool {
    what: "Node.js 18 or newer with npm",
    probes: &[
        &[
            "node",
            "-e",
            "process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)",
        ],
        &["npm", "--version"],
    ],
    debian: &["nodejs", "npm"],
};

const PYTHON: Tool = Tool {
    what: "Python 3.10 or newer with its venv module",
    probes: &[&[
        "python3",
        "-c",
        "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))",
    ]],
    debian: &["python3", "python3-venv"],
};

/// Makes sure that Node.js and Python are here, installing them where that is possible.
pub(crate) fn require() -> Result<()> {
    [NODE, PYTHON].iter().try_for_each(Tool::require)
}

impl Tool {
    fn is_here(&self) -> bool {
        self.probes.iter().all(|words| match words.split_first() {
            Some((program, words)) => cargo::output(Command::new(program).args(words)).is_ok(),
            None => true,
        })
    }

    fn require(&self) -> Result<()> {
        if self.is_here() {
            return Ok(());
        }
        machine::install_packages(self.debian)?;
        if self.is_here() {
            return Ok(());
        }
        let line = if machine::is_debian() {
            format!("sudo apt-get install -y {}", self.debian.join(" "))
        } else {
            format!("install {}, so that they are on the PATH", self.what)
        };
        bail!(
            "the published clients need {}; run:\n\n    {line}\n",
            self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn tool(probes: &'static [&'static [&'static str]]) -> Tool {
        Tool {
            what: "a tool",
            probes,
            debian: &[],
        }
    }

    #[test]
    fn every_probe_must_succeed() {
        assert!(tool(&[&["true"], &["true", "x"]]).is_here());
        assert!(!tool(&[&["true"], &["false"]]).is_here());
        assert!(!tool(&[&["no-such-program-anywhere"]]).is_here());
    }
}
