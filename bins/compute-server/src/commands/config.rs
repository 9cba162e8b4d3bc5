//! `config check` and `config docs`.

use std::io::Write as _;

use anyhow::Context as _;

use super::ConfigArguments;
use crate::settings;

/// Prints the effective configuration, then checks it.
///
/// # Errors
/// When there is any problem.
pub(crate) fn check(arguments: &ConfigArguments) -> anyhow::Result<()> {
    let loaded = settings::load(arguments.config.as_deref())?;
    let mut text = String::new();
    for (key, value, source) in loaded.effective() {
        text.push_str(&format!("{key} = {value}  # {source}\n"));
    }
    print(&text)?;
    loaded.check()?;
    print("\nThe configuration has no problems.\n")
}

/// Prints the manual.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn docs() -> anyhow::Result<()> {
    print(&settings::manual::markdown())
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("write to standard output")
}
