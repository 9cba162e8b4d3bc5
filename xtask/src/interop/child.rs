//! Processes: servers that run beside us, and programs that end by themselves.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long a server may take to print its address.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Wait between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);

/// The start of the address in what our own servers print.
const OWN_MARK: &str = "http://127.0.0.1:";

/// The guardian leads a process group, in which it runs a program until its standard input closes. That happens however
/// its owner ends. Signals to the group of the terminal do not reach it, and a program that ends takes it along.
const GUARDIAN: &str = r#"
("$@"; kill -9 -$$) &
read -r _ || :
kill -9 -$$
"#;

/// A process whose output goes to files. It is killed when this value is dropped.
#[derive(Debug)]
struct Process {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Process {
    fn spawn(command: &mut Command, input: Stdio, folder: &Path, name: &str) -> Result<Self> {
        let output = folder.join(format!("{name}.out"));
        let errors = folder.join(format!("{name}.err"));
        let create =
            |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
        let child = command
            .stdin(input)
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
        // Closing its input is the sign for a guardian. Others may have ended by themselves, which is as good.
        if self.child.stdin.take().is_none() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A server ended before it had an address.
#[derive(Debug)]
pub(crate) struct Stillborn {
    name: String,
    pub(crate) status: ExitStatus,
    /// What it said, on both channels.
    pub(crate) said: String,
}

impl fmt::Display for Stillborn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, status, said } = self;
        write!(f, "{name} ended with {status}:\n{said}")
    }
}

impl Error for Stillborn {}

/// A server that is ready.
#[derive(Debug)]
pub(crate) struct Service {
    process: Process,
    url: String,
}

impl Service {
    /// Starts a program and waits until it prints the URL that it listens on.
    pub(crate) fn start(command: &mut Command, folder: &Path, name: &str) -> Result<Self> {
        let process = Process::spawn(command, Stdio::null(), folder, name)?;
        Self::wait_for_address(process, name, OWN_MARK)
    }

    /// Starts a program that ends when we do, however that happens, and waits until it prints its address behind a mark.
    /// Of the command its words, its folder and the variables that it adds count.
    pub(crate) fn start_guarded(
        command: &Command,
        folder: &Path,
        name: &str,
        mark: &str,
    ) -> Result<Self> {
        let mut guardian = Command::new("sh");
        guardian
            .args(["-c", GUARDIAN, "guardian"])
            .arg(command.get_program())
            .args(command.get_args())
            .process_group(0);
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                guardian.env(key, value);
            }
        }
        if let Some(place) = command.get_current_dir() {
            guardian.current_dir(place);
        }
        let process = Process::spawn(&mut guardian, Stdio::piped(), folder, name)?;
        Self::wait_for_address(process, name, mark)
    }

    fn wait_for_address(mut process: Process, name: &str, mark: &str) -> Result<Self> {
        for _ in 0..START_LIMIT.as_millis().div_ceil(LOOK.as_millis()) {
            let said = fs::read_to_string(&process.output).unwrap_or_default();
            if let Some(url) = find_url(&said, mark) {
                return Ok(Self { process, url });
            }
            if let Some(status) = process.child.try_wait().context("look at a process")? {
                let (name, said) = (name.to_owned(), process.said());
                return Err(Stillborn { name, status, said }.into());
            }
            thread::sleep(LOOK);
        }
        bail!("{name} printed no address:\n{}", process.said())
    }

    /// `http://127.0.0.1:NNNN`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The rest of the line that it printed, or prints soon, behind a mark.
    pub(crate) fn said_after(&self, mark: &str) -> Result<String> {
        for _ in 0..START_LIMIT.as_millis().div_ceil(LOOK.as_millis()) {
            let said = self.process.said();
            let line = said.lines().find_map(|line| line.strip_prefix(mark));
            if let Some(line) = line {
                return Ok(line.trim().to_owned());
            }
            thread::sleep(LOOK);
        }
        bail!(
            "it never said {mark:?}; the last lines: {}",
            self.last_lines(20)
        )
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
pub(crate) fn run(
    command: &mut Command,
    folder: &Path,
    name: &str,
    limit: Duration,
) -> Result<String> {
    let mut process = Process::spawn(command, Stdio::null(), folder, name)?;
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

/// The URL of a loopback port, whose number follows a mark inside a complete line.
fn find_url(text: &str, mark: &str) -> Option<String> {
    // A line that is not complete yet may lack digits.
    let complete = text.get(..text.rfind('\n')?)?;
    let (_, rest) = complete.split_once(mark)?;
    let digits = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    let port: u16 = rest.get(..digits)?.parse().ok()?;
    Some(format!("http://127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_found_in_a_complete_line() {
        let find = |text| find_url(text, OWN_MARK);
        let url = Some("http://127.0.0.1:4020".to_owned());
        assert_eq!(find("listening on http://127.0.0.1:4020\n"), url);
        assert_eq!(find("{\"vultr\":\"http://127.0.0.1:4020\"}\nmore"), url);
        assert_eq!(find("listening on http://127.0.0.1:40"), None);
        assert_eq!(find("listening on nothing\n"), None);
        assert_eq!(
            find_url("Listening on 127.0.0.1:4020\n", " 127.0.0.1:"),
            url
        );
    }

    #[test]
    fn what_is_guarded_ends_with_its_owner() {
        let folder = std::env::temp_dir().join(format!("interop-guard-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let start = |text: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", text]);
            Service::start_guarded(&command, &folder, "guarded", "port ")
        };
        let service = start("echo pid $$ port 7; exec sleep 600").unwrap();
        assert_eq!(service.url(), "http://127.0.0.1:7");
        let said = service.process.said();
        let pid = said.split(' ').nth(1).unwrap();
        let is_running = || Path::new("/proc").join(pid).join("exe").exists();
        assert!(is_running());
        drop(service);
        // The guardian kills it before it is waited for; how soon it is gone is up to the system.
        while is_running() {
            thread::yield_now();
        }
        let error = start("echo nothing").unwrap_err().to_string();
        assert!(
            error.contains("ended") && error.contains("nothing"),
            "{error}"
        );
        fs::remove_dir_all(&folder).unwrap();
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
