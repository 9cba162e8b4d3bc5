//! `cargo xtask abuse`: attacks a server over raw sockets, and looks at how an orderly client fares
//! meanwhile, and how much memory the attack costs (reliability.md 6.11).

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;
use crate::interop::child::{self, Service};

const SERVER: &str = "compute-server";
const CLIENT: &str = "compute-abuse";

/// Open files that one side needs.
const FILES: u32 = 11_000;

/// Questions of one window, and windows of one measurement: the middle one counts, so that a burst of
/// somebody else's work on this machine does not.
const QUESTIONS: &str = "500";
const WINDOWS: usize = 3;

/// How long one window may take.
const WINDOW_LIMIT: Duration = Duration::from_secs(120);

/// What the slowest of a hundred answers may cost under attack, in terms of the same in quiet.
const SLOWER: u64 = 10;

/// Memory that an attack may cost, in KiB.
const GROWTH: u64 = 64 * 1_024;

/// How long an attack lasts before its effect is looked at, once all of it has come: not long, for whoever floods is
/// turned away soon.
const BUILD_UP: Duration = Duration::from_millis(100);

/// Kinds of attack, and how many connections each has at once.
const ATTACKS: &[(&str, u32)] = &[
    ("idle", 10_000),
    ("slow-heads", 1_000),
    ("header-bombs", 16),
    ("rapid-reset", 16),
    ("endless-head", 16),
    ("pings", 16),
    ("settings", 16),
    ("open-streams", 64),
    ("tiny-windows", 64),
];

const USAGE: &str = "\
usage: cargo xtask abuse [attack...]

Attacks a development server with idle and slow connections, with headers that are too large, and with
floods of HTTP/2, while an orderly client asks it. Without arguments, in every way there is.
";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut attacks = ATTACKS.to_vec();
    if arguments.iter().any(|word| word == "--help") {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.is_empty() {
        attacks.retain(|(kind, _)| arguments.iter().any(|wanted| wanted == kind));
        if attacks.len() != arguments.len() {
            print!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    let mut build = cargo::cargo();
    build.args(["build", "--locked"]).args(cargo::AS_TESTS);
    cargo::run(&mut build)?;
    let folder = cargo::target_dir().join("abuse");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let siege = Siege::begin(folder)?;
    let is_fine = siege.endure(&attacks)?;
    Ok(ExitCode::from(u8::from(!is_fine)))
}

/// A server, and how it does when nobody attacks it.
struct Siege {
    folder: PathBuf,
    programs: PathBuf,
    server: Service,
    quiet: Figures,
    visits: AtomicU8,
    attacks: AtomicU8,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// What 99 of 100 answers took at most, in microseconds.
    p99: u64,
    /// The server's resident memory afterwards, in KiB.
    memory: u64,
}

impl Siege {
    fn begin(folder: PathBuf) -> Result<Self> {
        let programs = cargo::target_dir().join("debug");
        let mut command = with_files(&programs.join(SERVER))?;
        command.current_dir(&folder).args([
            "dev",
            "--listen=127.0.0.1:0",
            "--database=sqlite:abuse.db",
            "--log=warn",
            "--count-loopback",
        ]);
        let server = Service::start(&mut command, &folder, "server")?;
        let mut siege = Self {
            folder,
            programs,
            server,
            quiet: Figures { p99: 0, memory: 0 },
            visits: AtomicU8::new(1),
            attacks: AtomicU8::new(1),
        };
        // The first questions warm it up.
        siege.measure()?;
        siege.quiet = siege.measure()?;
        let Figures { p99, memory } = siege.quiet;
        println!("{:14} p99 {p99:>8} us             {memory:>8} KiB", "quiet");
        Ok(siege)
    }

    /// Every attack in turn; whether all of them were endured.
    fn endure(&self, attacks: &[(&str, u32)]) -> Result<bool> {
        let mut is_fine = true;
        for &(kind, connections) in attacks {
            let mut seen = self.attacked(kind, connections)?;
            if self.is_slow(seen) {
                // A machine that others use, too, can be slow for once, but hardly twice in the same attack.
                println!("{kind:14} p99 {:>8} us: once more", seen.p99);
                seen = self.attacked(kind, connections)?;
            }
            let factor = seen.p99 / self.quiet.p99.max(1);
            let growth = seen.memory.saturating_sub(self.quiet.memory);
            println!(
                "{kind:14} p99 {:>8} us  {factor:>3} times  {growth:>+8} KiB",
                seen.p99
            );
            if self.is_slow(seen) {
                println!("VIOLATION {kind}: more than {SLOWER} times as slow as in quiet");
                is_fine = false;
            }
            if growth > GROWTH {
                println!("VIOLATION {kind}: more than {GROWTH} KiB of memory");
                is_fine = false;
            }
        }
        // And everybody is served as before.
        self.measure().context("after the attacks")?;
        Ok(is_fine)
    }

    const fn is_slow(&self, seen: Figures) -> bool {
        seen.p99 > self.quiet.p99.saturating_mul(SLOWER)
    }

    /// How the orderly client fares during an attack.
    fn attacked(&self, kind: &str, connections: u32) -> Result<Figures> {
        let attack = Attack::begin(self, kind, connections)?;
        thread::sleep(BUILD_UP);
        let seen = self.measure().with_context(|| format!("during {kind}"))?;
        attack.end()?;
        Ok(seen)
    }

    /// Asks in an orderly way.
    fn measure(&self) -> Result<Figures> {
        let mut p99s = Vec::new();
        for _ in 0..WINDOWS {
            let mut visit = Command::new(self.programs.join(CLIENT));
            visit.arg("--server").arg(self.address());
            // As many clients, one after the other: each stays below the limits of the server.
            let number = self.visits.fetch_add(1, Ordering::Relaxed);
            visit.args(["visit", "--count", QUESTIONS, "--from"]);
            visit.arg(format!("127.0.2.{number}"));
            let said = child::run(&mut visit, &self.folder, "visit", WINDOW_LIMIT)?;
            p99s.push(p99(&said)?);
        }
        p99s.sort_unstable();
        let p99 = p99s.get(WINDOWS / 2).copied().context("no window")?;
        Ok(Figures {
            p99,
            memory: resident_kib(self.server.id())?,
        })
    }

    fn address(&self) -> &str {
        self.server.url().trim_start_matches("http://")
    }
}

/// An attack, until this is dropped.
struct Attack {
    kind: String,
    child: Child,
    input: Option<ChildStdin>,
}

impl Attack {
    fn begin(siege: &Siege, kind: &str, connections: u32) -> Result<Self> {
        let mut command = with_files(&siege.programs.join(CLIENT))?;
        let network = siege.attacks.fetch_add(1, Ordering::Relaxed);
        command
            .args(["--server", siege.address(), "attack", kind, "--connections"])
            .arg(connections.to_string())
            .args(["--network", &network.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("start an attack")?;
        let output = child.stdout.take().context("the output of an attack")?;
        let attack = Self {
            kind: kind.to_owned(),
            input: child.stdin.take(),
            child,
        };
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .context("wait for an attack to begin")?;
        ensure!(
            line == "begun\n",
            "the attack {kind} did not begin: {line:?}"
        );
        Ok(attack)
    }

    fn end(mut self) -> Result<()> {
        drop(self.input.take());
        let status = self.child.wait().context("wait for an attack to end")?;
        ensure!(
            status.success(),
            "the attack {} ended with {status}",
            self.kind
        );
        Ok(())
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that may open as many files as this machine allows.
fn with_files(program: &Path) -> Result<Command> {
    let allowed = cargo::output(Command::new("sh").args(["-c", "ulimit -Hn"]))?;
    let allowed = allowed.trim();
    match allowed.parse::<u32>() {
        Ok(number) if number < FILES => {
            bail!(
                "a process may open {number} files here, and {FILES} are needed: raise the hard limit (ulimit -Hn {FILES})"
            );
        }
        // A number, or "unlimited".
        _ => {}
    }
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\""])
        .arg(program);
    Ok(command)
}

/// Of the figures that a visit printed.
fn p99(said: &str) -> Result<u64> {
    let mut figures = Vec::new();
    for line in said.lines() {
        figures.push(line.parse::<u64>().context("a figure of a visit")?);
    }
    figures.sort_unstable();
    let place = figures.len().saturating_mul(99) / 100;
    figures
        .get(place)
        .copied()
        .context("a visit without figures")
}

fn resident_kib(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .context("no VmRSS in the status of a process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_a_hundred_counts() {
        let figures: Vec<String> = (1..=500).rev().map(|it| it.to_string()).collect();
        assert_eq!(p99(&figures.join("\n")).unwrap(), 496);
        assert!(p99("").is_err());
        assert!(p99("12 ms").is_err());
    }
}
