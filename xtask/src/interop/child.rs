//! Processes: servers that run beside us, and programs that end by themselves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long a server may take to print its address.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Wait between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);

/// A process whose output goes to files. It is killed when this value is dropped.
#[derive(Debug)]
struct Process {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Process {
    fn spawn(command: &mut Command, folder: &Path, name: &str) -> Result<Self> {
        let output = folder.join(format!("{name}.out"));
        let errors = folder.join(format!("{name}.err"));
        let create =
            |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&output)?)
            .stderr(create(&errors)?)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self {
            child,
            output,
            errors,
        })
    }

    /// What it has said so far, on both channels.
    fn said(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
        format!("{}{}", read(&self.output), read(&self.errors))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that is ready.
#[derive(Debug)]
pub(crate) struct Service {
    process: Process,
    url: String,
}

impl Service {
    /// Starts a program and waits until it prints the URL that it listens on.
    pub(crate) fn start(command: &mut Command, folder: &Path, name: &str) -> Result<Self> {
        let mut process = Process::spawn(command, folder, name)?;
        for _ in 0..START_LIMIT.as_millis().div_ceil(LOOK.as_millis()) {
            let said = fs::read_to_string(&process.output).unwrap_or_default();
            if let Some(url) = find_url(&said) {
                return Ok(Self { process, url });
            }
            if let Some(status) = process.child.try_wait().context("look at a process")? {
                bail!("{name} ended with {status}:\n{}", process.said());
            }
            thread::sleep(LOOK);
        }
        bail!("{name} printed no address:\n{}", process.said())
    }

    /// `http://127.0.0.1:NNNN`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How it ended, when it ends within a time; `None` when it runs on.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        for _ in 0..limit.as_millis().div_ceil(LOOK.as_millis()) {
            let status = self.process.child.try_wait().context("look at a process")?;
            if status.is_some() {
                return Ok(status);
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// The number by which the operating system knows it.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Kills it without a warning, and tells how it ended: it may have died by itself before.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus> {
        // An error means that it has ended already, which the status tells.
        let _ = self.process.child.kill();
        self.process.child.wait().context("wait for a process")
    }

    /// The last lines of its log.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        let said = self.process.said();
        let mut lines: Vec<&str> = said.lines().rev().take(count).collect();
        lines.reverse();
        lines.join("\n")
    }
}

/// Runs a program that must end well within a time, and returns its standard output.
/// The error holds everything that it printed.
pub(super) fn run(
    command: &mut Command,
    folder: &Path,
    name: &str,
    limit: Duration,
) -> Result<String> {
    let mut process = Process::spawn(command, folder, name)?;
    for _ in 0..limit.as_millis().div_ceil(LOOK.as_millis()) {
        if let Some(status) = process.child.try_wait().context("look at a process")? {
            if !status.success() {
                bail!("{name} ended with {status}:\n{}", process.said());
            }
            return fs::read_to_string(&process.output)
                .with_context(|| format!("read what {name} printed"));
        }
        thread::sleep(LOOK);
    }
    bail!(
        "{name} was not done after {} s:\n{}",
        limit.as_secs(),
        process.said()
    )
}

/// A loopback URL with a port inside a complete line.
fn find_url(text: &str) -> Option<String> {
    const HEAD: &str = "http://127.0.0.1:";
    // A line that is not complete yet may lack digits.
    let complete = text.get(..text.rfind('\n')?)?;
    let (_, rest) = complete.split_once(HEAD)?;
    let digits = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    let port: u16 = rest.get(..digits)?.parse().ok()?;
    Some(format!("{HEAD}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_in_a_complete_line() {
        let url = Some("http://127.0.0.1:4020".to_owned());
        assert_eq!(find_url("listening on http://127.0.0.1:4020\n"), url);
        assert_eq!(find_url("{\"vultr\":\"http://127.0.0.1:4020\"}\nmore"), url);
        assert_eq!(find_url("listening on http://127.0.0.1:40"), None);
        assert_eq!(find_url("listening on nothing\n"), None);
    }

    #[test]
    fn a_program_that_fails_shows_what_it_printed() {
        let folder = std::env::temp_dir().join(format!("interop-child-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let script = |text: &str, limit| {
            run(
                Command::new("sh").args(["-c", text]),
                &folder,
                "script",
                limit,
            )
        };
        let limit = Duration::from_secs(60);
        assert_eq!(script("echo good; echo bad >&2", limit).unwrap(), "good\n");
        let error = script("echo good; echo bad >&2; exit 3", limit)
            .unwrap_err()
            .to_string();
        assert!(error.contains("good\nbad\n"), "{error}");
        let error = script("echo on; exec sleep 600", Duration::from_millis(500)).unwrap_err();
        assert!(error.to_string().contains("not done"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
