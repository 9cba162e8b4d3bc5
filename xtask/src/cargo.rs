//! Calling cargo and other programs from inside `cargo xtask`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};

/// The root of the workspace: the parent of this crate's folder.
pub(crate) fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or_else(|| own.clone(), PathBuf::from)
}

/// All that the tests need, built as they are built: with another selection cargo unifies other features, and
/// compiles most dependencies once more.
pub(crate) const AS_TESTS: &[&str] = &["--workspace", "--bins", "--tests"];

/// A cargo command in the workspace's root.
///
/// `cargo run` describes the package it runs in `CARGO_PKG_*` and `CARGO_MANIFEST_*`. Build scripts that watch
/// these (ring's does) would be rebuilt whenever cargo runs inside xtask after it ran outside, so they are removed.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root());
    leave_run(&mut command);
    command
}

/// Takes from a command what `cargo run` says of us.
pub(crate) fn leave_run(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// The folder that holds `debug/` and `release/`.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Shows the command, runs it with our own output, and returns how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    println!("$ {}", shown(command));
    command
        .status()
        .with_context(|| format!("start {}", shown(command)))
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command quietly and returns its standard output; on failure the error holds what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {}", shown(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}\n{}{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("read the output of {}", shown(command)))
}

/// Our exit code for a child that ended like this.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    if status.success() {
        return ExitCode::SUCCESS;
    }
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// The pinned release of a tool that cargo runs by this word, below the target folder; installed when it is not there.
pub(crate) fn find_or_install(word: &str, version: &str) -> Result<PathBuf> {
    let (name, folder) = (format!("cargo-{word}"), target_dir().join("tools"));
    let tool = folder.join("bin").join(&name);
    let is_pinned = || {
        let said = output(Command::new(&tool).args([word, "--version"]));
        said.is_ok_and(|text| text.split_whitespace().any(|it| it == version))
    };
    if is_pinned() {
        return Ok(tool);
    }
    let mut install = cargo();
    install
        .args([
            "install",
            "--locked",
            "--force",
            "--version",
            version,
            "--root",
        ])
        .arg(&folder)
        .arg(&name);
    if !status(&mut install)?.success() || !is_pinned() {
        bail!(
            "{name} {version} is not here and could not be installed; run:\n\n    \
             cargo install --locked --version {version} --root {} {name}\n",
            folder.display()
        );
    }
    Ok(tool)
}
