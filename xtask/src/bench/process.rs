//! A process under measurement: its address, its processor time, its memory.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::client;
use crate::cargo;

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server. It is killed when this value is dropped.
#[derive(Debug)]
pub(super) struct Running {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    first_answer_after: Duration,
}

impl Running {
    /// Starts a program that prints the URL it listens on, and waits for its first answer.
    /// Its other output goes to `<home>/log`.
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark reads the real clock"
    )]
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        words: &[String],
        home: &Path,
    ) -> Result<Self> {
        let log = home.join("log");
        let errors = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let begin = Instant::now();
        let mut child = Command::new(program)
            .args(words)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let output = child.stdout.take();
        // From here on an early return kills the child.
        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut running = Self {
            name,
            child,
            address: unspecified,
            first_answer_after: Duration::ZERO,
        };
        let (sender, receiver) = mpsc::channel();
        let reader = BufReader::new(output.context("the standard output of a child")?);
        thread::spawn(move || {
            // Reads on after the address is found, so that the child never waits for us.
            for line in reader.lines().map_while(Result::ok) {
                if let Some(address) = find_address(&line) {
                    let _ = sender.send(address);
                }
            }
        });
        running.address = receiver.recv_timeout(START_LIMIT).map_err(|_| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            anyhow!("{name} printed no http://<address>:<port>; its errors:\n{said}")
        })?;
        client::record(
            running.address,
            b"GET /compute/plans HTTP/1.1\r\nhost: bench\r\n\r\n",
        )
        .with_context(|| format!("first request to {name}"))?;
        running.first_answer_after = begin.elapsed();
        Ok(running)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the start of the process to its first answer.
    pub(super) fn first_answer_after(&self) -> Duration {
        self.first_answer_after
    }

    /// Resident memory in KiB.
    pub(super) fn resident_kib(&self) -> Result<u64> {
        let text = self.read("status")?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .context("no VmRSS in the status of a process")
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("read {path}: has {} died?", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads processor time.
#[derive(Debug)]
pub(super) struct Meter {
    ticks_per_second: u64,
}

impl Meter {
    pub(super) fn new() -> Result<Self> {
        let text = cargo::output(Command::new("getconf").arg("CLK_TCK"))?;
        match text.trim().parse() {
            Ok(ticks_per_second) if ticks_per_second > 0 => Ok(Self { ticks_per_second }),
            _ => bail!("getconf CLK_TCK answered {text:?}"),
        }
    }

    /// Time the process has spent on processors, in user and in system mode.
    pub(super) fn processor_time(&self, process: &Running) -> Result<Duration> {
        let ticks = ticks(&process.read("stat")?).context("unknown form of /proc/<pid>/stat")?;
        let micros = ticks.saturating_mul(1_000_000) / self.ticks_per_second;
        Ok(Duration::from_micros(micros))
    }
}

/// `utime` + `stime`, the fields 14 and 15 of proc(5); the name in field 2 may hold blanks, so count behind it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn find_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end =
        rest.find(|character: char| !(character.is_ascii_digit() || ".:".contains(character)));
    rest.get(..end.unwrap_or(rest.len()))?
        .trim_end_matches(['.', ':'])
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_a_sentence() {
        let wanted = Some(SocketAddr::from(([127, 0, 0, 1], 4021)));
        assert_eq!(find_address("listening on http://127.0.0.1:4021"), wanted);
        assert_eq!(
            find_address("  url: http://127.0.0.1:4021/compute, simulated"),
            wanted
        );
        assert_eq!(find_address("see http://127.0.0.1:4021."), wanted);
        assert_eq!(find_address("no address"), None);
        assert_eq!(find_address("http://localhost:80"), None);
    }

    #[test]
    fn ticks_are_user_and_system_time() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 200 0 0 0 17 5 0 0 20 0 3 0 100 1000 50\n";
        assert_eq!(ticks(stat), Some(22));
    }
}
