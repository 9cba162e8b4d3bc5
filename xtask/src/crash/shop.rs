//! The server with its partners, all processes of their own, in a folder of their own.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::http;
use super::story::Story;
use crate::cargo;
use crate::interop::child::{Service, Stillborn};

/// The account that receives the money.
pub(super) const PAY_TO: &str = "0x1111111111111111111111111111111111111111";

/// The programs, and the feature that gives the server its fail points.
const SERVER: &str = "compute-server";
const STAND_INS: &str = "compute-stand-ins";
const TOOL: &str = "bench_requests";
const FEATURE: &str = "compute-server/failpoints";

/// Secrets of a database that lives for seconds.
const SECRET: &str = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The key that the double of the cloud accepts.
const VENDOR_KEY: &str = "test-key";

/// How much faster than in real life everything waits.
const TIME_SCALE: &str = "100";

/// Each death can cost an order a machine, and so can its story.
const MACHINE_ATTEMPTS: &str = "5";

const SIGKILL: i32 = 9;

/// The built programs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) server: PathBuf,
    pub(super) tool: PathBuf,
    stand_ins: PathBuf,
}

impl Programs {
    /// Builds them into a folder of their own, so that no other command ever finds a server with
    /// fail points.
    pub(super) fn build() -> Result<Self> {
        let target = failpoints_target();
        let mut build = cargo::cargo();
        build
            .env("CARGO_TARGET_DIR", &target)
            .args(["build", "--locked", "-p", SERVER, "-p", "compute-testkit"])
            .args(["--features", FEATURE])
            .args(["--bin", SERVER, "--bin", STAND_INS])
            .args(["--example", TOOL]);
        cargo::run(&mut build)?;
        let folder = target.join("debug");
        Ok(Self {
            server: folder.join(SERVER),
            tool: folder.join("examples").join(TOOL),
            stand_ins: folder.join(STAND_INS),
        })
    }

    /// Runs the tests behind the feature: no other command builds with it.
    pub(super) fn test() -> Result<()> {
        let mut test = cargo::cargo();
        test.env("CARGO_TARGET_DIR", failpoints_target())
            .args(["test", "--quiet", "--locked", "-p", SERVER])
            .args(["--features", FEATURE])
            .args(["--bin", SERVER, "failpoints::"]);
        cargo::run(&mut test)
    }

    /// Every fail point of this build.
    pub(super) fn points(&self) -> Result<Vec<String>> {
        let text = cargo::output(Command::new(&self.server).arg("failpoints"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn failpoints_target() -> PathBuf {
    cargo::target_dir().join("failpoints")
}

/// The stand-ins: processes of their own that nobody kills.
#[derive(Debug)]
pub(super) struct Partners {
    pub(super) facilitator: Service,
    /// A node of the Tempo chain.
    pub(super) tempo: Service,
    pub(super) cloud: Service,
    folder: PathBuf,
}

impl Partners {
    pub(super) fn open(programs: &Programs, folder: &Path) -> Result<Self> {
        let stand_in = |partner: &str, words: &[&str]| {
            let mut command = Command::new(&programs.stand_ins);
            command.arg(partner).arg("--journal");
            command.arg(journal(folder, partner)).args(words);
            Service::start(&mut command, folder, partner)
        };
        let partners = Self {
            facilitator: stand_in("facilitator", &["--network", "base"])?,
            tempo: stand_in("tempo", &[])?,
            cloud: stand_in("vultr", &["--api-key", VENDOR_KEY])?,
            folder: folder.to_owned(),
        };
        partners.refuse_repeats()?;
        Ok(partners)
    }

    /// As real facilitators: what is settled is not confirmed a second time, so that only the chain
    /// can tell.
    pub(super) fn refuse_repeats(&self) -> Result<()> {
        order_fault(&self.facilitator, r#"{"kind":"refuse_repeats"}"#)
    }

    /// Where each network writes its settlements down.
    pub(super) fn settlements(&self) -> [PathBuf; 2] {
        ["facilitator", "tempo"].map(|partner| journal(&self.folder, partner))
    }

    pub(super) fn machines(&self) -> PathBuf {
        journal(&self.folder, "vultr")
    }
}

/// The partners, and the server while it lives.
#[derive(Debug)]
pub(super) struct Shop<'a> {
    programs: &'a Programs,
    folder: PathBuf,
    settings: Settings,
    partners: Partners,
    server: Service,
    starts: u32,
}

impl<'a> Shop<'a> {
    /// Starts everything; the server is to die at `point`.
    pub(super) fn open(
        programs: &'a Programs,
        folder: &Path,
        database: &str,
        story: Story,
        point: &str,
    ) -> Result<Self> {
        let partners = Partners::open(programs, folder)?;
        if let Some(fault) = story.faults() {
            order_fault(&partners.cloud, &fault.to_string())?;
        }
        let mut settings = settings(database, &partners);
        settings.push(("TIMING__READY_WINDOW", story.ready_window().to_owned()));
        let server = start(programs, folder, &settings, 1, Some(point))?;
        Ok(Self {
            programs,
            folder: folder.to_owned(),
            settings,
            partners,
            server,
            starts: 1,
        })
    }

    pub(super) fn url(&self) -> &str {
        self.server.url()
    }

    /// Starts the server again after its death, to die at `point` once more, or to live. Whether it lives: recovery
    /// can come to the point before clients are let in.
    pub(super) fn reopen(&mut self, point: Option<&str>) -> Result<bool> {
        self.starts += 1;
        let settings = &self.settings;
        match start(self.programs, &self.folder, settings, self.starts, point) {
            Ok(server) => self.server = server,
            Err(error) => {
                let (Some(end), Some(point)) = (error.downcast_ref::<Stillborn>(), point) else {
                    return Err(error);
                };
                check_death(end.status, &end.said, point)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the server dies within a time. Any other end than the expected death is an error.
    pub(super) fn dies(&mut self, limit: Duration, point: &str) -> Result<bool> {
        let Some(status) = self.server.wait(limit)? else {
            return Ok(false);
        };
        let log = self.server.last_lines(20);
        check_death(status, &log, point)?;
        Ok(true)
    }

    pub(super) const fn partners(&self) -> &Partners {
        &self.partners
    }
}

pub(super) fn check_death(status: ExitStatus, log: &str, point: &str) -> Result<()> {
    let said = log.contains(&format!("fail point {point} reached"));
    if status.signal() != Some(SIGKILL) || !said {
        bail!("the server ended with {status}, and not at the fail point:\n{log}");
    }
    Ok(())
}

fn journal(folder: &Path, partner: &str) -> PathBuf {
    folder.join(format!("{partner}.jsonl"))
}

/// Lets a partner do something wrong.
pub(super) fn order_fault(partner: &Service, fault: &str) -> Result<()> {
    let answer = http::send(partner.url(), "POST", "/control/faults", &[], fault)?;
    if answer.status != 204 {
        bail!("the fault {fault} was answered {}", answer.status);
    }
    Ok(())
}

/// Names without their prefix, and values.
pub(super) type Settings = Vec<(&'static str, String)>;

/// `serve` with main-network identities.
pub(super) fn settings(database: &str, partners: &Partners) -> Settings {
    let Partners {
        facilitator,
        tempo,
        cloud,
        ..
    } = partners;
    vec![
        // The port changes with each start; clients use the one that is printed.
        ("SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("SERVER__PUBLIC_URL", "http://127.0.0.1:4020".to_owned()),
        ("DATABASE__URL", database.to_owned()),
        ("DATABASE__MODE", "test".to_owned()),
        ("DATABASE__MAX_CONNECTIONS", "4".to_owned()),
        ("LIMITS__EXEMPT_LOOPBACK", "true".to_owned()),
        ("LOG__FILTER", "info,compute_engine=debug".to_owned()),
        ("TIMING__SCALE_DIVISOR", TIME_SCALE.to_owned()),
        ("TIMING__MACHINE_ATTEMPTS", MACHINE_ATTEMPTS.to_owned()),
        (
            "SECRETS__SEALING_KEYS",
            format!("[{{id=1,key=\"{SECRET}\"}}]"),
        ),
        ("SECRETS__API_KEY_PEPPER", SECRET.to_owned()),
        ("PROVIDERS__VULTR__API_KEY", VENDOR_KEY.to_owned()),
        ("PROVIDERS__VULTR__BASE_URL", format!("{}/v2", cloud.url())),
        ("RAILS__BASE__CHAIN", "eip155:8453".to_owned()),
        ("RAILS__BASE__PAY_TO", PAY_TO.to_owned()),
        ("RAILS__BASE__FACILITATOR_URL", facilitator.url().to_owned()),
        (
            "RAILS__BASE__RPC_URL",
            format!("{}/rpc/base", facilitator.url()),
        ),
        ("MPP__SECRET", SECRET.to_owned()),
        ("MPP__TEMPO__RECIPIENT", PAY_TO.to_owned()),
        ("MPP__TEMPO__RPC_URL", tempo.url().to_owned()),
    ]
}

/// Starts the server, with nothing of the caller's environment but the path.
pub(super) fn start(
    programs: &Programs,
    folder: &Path,
    settings: &Settings,
    number: u32,
    point: Option<&str>,
) -> Result<Service> {
    let mut command = Command::new(&programs.server);
    command.arg("serve");
    prepare(&mut command, folder, settings);
    if let Some(point) = point {
        command.env("COMPUTE_FAILPOINT", point);
    }
    Service::start(&mut command, folder, &format!("server-{number}"))
}

/// Starts a server that lives on when a file cannot grow. Its log is lost, because it could not grow
/// either.
pub(super) fn start_without_log(
    programs: &Programs,
    folder: &Path,
    settings: &Settings,
    number: u32,
) -> Result<Service> {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" serve 2>/dev/null"]);
    command.arg(&programs.server);
    prepare(&mut command, folder, settings);
    Service::start(&mut command, folder, &format!("server-{number}"))
}

fn prepare(command: &mut Command, folder: &Path, settings: &Settings) {
    command.current_dir(folder).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    for (name, value) in settings {
        command.env(format!("COMPUTE_SERVER_{name}"), value);
    }
}

/// Makes an empty folder.
pub(super) fn fresh_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ordered_death_counts() {
        let killed = ExitStatus::from_raw(SIGKILL);
        let log = "started\nfail point a.b.c reached\n";
        assert!(check_death(killed, log, "a.b.c").is_ok());
        assert!(check_death(killed, log, "a.b.d").is_err());
        assert!(check_death(ExitStatus::from_raw(6), log, "a.b.c").is_err());
        assert!(check_death(ExitStatus::from_raw(0), "", "a.b.c").is_err());
    }
}
