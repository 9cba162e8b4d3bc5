//! The one who kills: starts the server, ends it at a moment or a place, and starts it again.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::points;
use super::super::shop::{self, Partners, Programs, Settings, check_death, order_fault};
use super::book::Counts;
use super::dice::Dice;
use super::mischief;
use super::town::Town;
use crate::cargo;
use crate::interop::child::{Service, Stillborn};
use crate::postgres::Cluster;

/// Mean time from readiness to death.
const MEAN_MS: u64 = 300;

/// How soon after its start a server must serve again. It is a debug build on a machine that is
/// loaded by its clients.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a place is waited for before the server dies where it is.
const PLACE_LIMIT: Duration = Duration::from_secs(2);

/// Wait between two looks for a place.
const LOOK: Duration = Duration::from_millis(4);

/// Bytes of a file that can be written on a full disk. The database has more from its birth.
const FULL: &str = "16384";

/// Deaths in a row with hardly any time between them.
const BURST: u32 = 20;

const SIGKILL: i32 = 9;

/// How deaths came.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    pub(super) at_random: u32,
    /// By fail point, or by what the server waited for.
    pub(super) by_place: BTreeMap<String, u32>,
    /// Right after the start.
    pub(super) in_recovery: u32,
}

impl Deaths {
    pub(super) fn total(&self) -> u32 {
        self.at_random + self.in_recovery + self.at_places()
    }

    pub(super) fn at_places(&self) -> u32 {
        self.by_place.values().sum()
    }
}

#[derive(Debug)]
pub(super) struct Killer<'a> {
    pub(super) programs: &'a Programs,
    pub(super) folder: &'a Path,
    pub(super) settings: &'a Settings,
    pub(super) partners: &'a Partners,
    pub(super) town: &'a Town,
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) points: Vec<String>,
    pub(super) dice: Dice,
    pub(super) deaths: Deaths,
    pub(super) starts: u32,
    pub(super) slowest: Duration,
}

/// Where a server dies.
enum Place {
    Anywhere,
    Point(String),
    /// While it waits for a partner's answer to this.
    Waiting(&'static Wait),
}

/// Whom the server waits for.
#[derive(Debug, Clone, Copy)]
enum Partner {
    Facilitator,
    Tempo,
    Cloud,
}

/// A call during which the server dies.
#[derive(Debug)]
struct Wait {
    name: &'static str,
    /// What the partner is told to do, and by which word it tells that it did.
    orders: &'static [&'static str],
    word: &'static str,
    whose: Partner,
    /// Its id in the catalogue.
    fault: &'static str,
}

static WAITS: &[Wait] = &[
    Wait {
        name: "settling, and the money moved",
        orders: &[r#"{"kind":"settle_then_hang"}"#],
        word: "settle_then_hang",
        whose: Partner::Facilitator,
        fault: "F003",
    },
    Wait {
        name: "sending, and the chain has it",
        orders: &[r#"{"method":"eth_sendRawTransactionSync","kind":"hold_after"}"#],
        word: "hold_after",
        whose: Partner::Tempo,
        fault: "F003",
    },
    Wait {
        name: "sending, and the chain does not have it",
        orders: &[r#"{"method":"eth_sendRawTransactionSync","kind":"hold_before"}"#],
        word: "hold_before",
        whose: Partner::Tempo,
        fault: "F004",
    },
    Wait {
        name: "creating, and the machine exists",
        orders: &[r#"{"kind":"create_then_hang"}"#],
        word: "create_then_hang",
        whose: Partner::Cloud,
        fault: "F007",
    },
    Wait {
        name: "creating, and nothing exists",
        orders: &[r#"{"kind":"hang_before_create"}"#],
        word: "hang_before_create",
        whose: Partner::Cloud,
        fault: "F008",
    },
    Wait {
        name: "creating, and the machine shows late",
        orders: &[
            r#"{"kind":"hide_created","looks":9}"#,
            r#"{"kind":"create_then_hang"}"#,
        ],
        word: "create_then_hang",
        whose: Partner::Cloud,
        fault: "F009",
    },
];

impl Killer<'_> {
    /// Starts the server, and lets the clients find it.
    pub(super) fn serve(&mut self, point: Option<&str>) -> Result<Service> {
        self.starts += 1;
        let begin = now();
        let server = shop::start(
            self.programs,
            self.folder,
            self.settings,
            self.starts,
            point,
        )?;
        let took = begin.elapsed();
        self.slowest = self.slowest.max(took);
        ensure!(took <= START_LIMIT, "start {} took {took:.1?}", self.starts);
        self.town.moved_to(server.url());
        Ok(server)
    }

    /// One life and death of the server.
    pub(super) fn round(&mut self) -> Result<()> {
        match self.choose() {
            Place::Anywhere => {
                let server = self.serve(None)?;
                self.kill_soon(server)
            }
            Place::Point(point) => self.die_at(&point),
            Place::Waiting(wait) => self.die_waiting(wait),
        }
    }

    fn choose(&mut self) -> Place {
        match self.dice.below(20) {
            0..=11 => Place::Anywhere,
            12..=16 => match self.dice.pick(&self.points) {
                Some(point) => Place::Point(point.clone()),
                None => Place::Anywhere,
            },
            _ => self
                .dice
                .pick(WAITS)
                .map_or(Place::Anywhere, Place::Waiting),
        }
    }

    /// Kills a server after a random while.
    pub(super) fn kill_soon(&mut self, server: Service) -> Result<()> {
        thread::sleep(self.dice.about(MEAN_MS));
        end(server)?;
        self.deaths.at_random += 1;
        Ok(())
    }

    fn die_at(&mut self, point: &str) -> Result<()> {
        let nth = self.dice.below(3) + 1;
        match self.serve(Some(&format!("{point}:{nth}"))) {
            Ok(mut server) => {
                let Some(status) = server.wait(PLACE_LIMIT)? else {
                    end(server)?;
                    self.deaths.at_random += 1;
                    return Ok(());
                };
                check_death(status, &server.last_lines(400), point)?;
            }
            // Recovery can come to the place before clients are let in.
            Err(error) => match error.downcast_ref::<Stillborn>() {
                Some(end) => check_death(end.status, &end.said, point)?,
                None => return Err(error),
            },
        }
        self.note(point, points::fault_of(point));
        Ok(())
    }

    fn die_waiting(&mut self, wait: &Wait) -> Result<()> {
        let partner = match wait.whose {
            Partner::Facilitator => &self.partners.facilitator,
            Partner::Tempo => &self.partners.tempo,
            Partner::Cloud => &self.partners.cloud,
        };
        let strikes = || {
            Ok(mischief::strikes(
                &mischief::report(partner.url())?,
                wait.word,
            ))
        };
        let before: Result<u64> = strikes();
        let before = before?;
        for order in wait.orders {
            order_fault(partner, order)?;
        }
        let server = self.serve(None)?;
        let begin = now();
        while begin.elapsed() < PLACE_LIMIT {
            let after: Result<u64> = strikes();
            if after? > before {
                end(server)?;
                self.note(wait.name, Some(wait.fault));
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        end(server)?;
        self.deaths.at_random += 1;
        Ok(())
    }

    /// Deaths in a row, each right after a start: recovery itself is killed again and again.
    pub(super) fn burst(&mut self) -> Result<()> {
        for _ in 0..BURST {
            let server = self.serve(None)?;
            thread::sleep(Duration::from_millis(self.dice.below(40)));
            end(server)?;
            self.deaths.in_recovery += 1;
        }
        self.town.book().counts.inject("F033");
        Ok(())
    }

    /// Lets the disk be full for a while under a server, which must live on until it is killed.
    pub(super) fn fill_disk(&mut self) -> Result<()> {
        self.starts += 1;
        let server =
            shop::start_without_log(self.programs, self.folder, self.settings, self.starts)?;
        self.town.moved_to(server.url());
        thread::sleep(self.dice.about(MEAN_MS));
        let before = self.town.book().counts.unavailable;
        limit_files(&server, FULL)?;
        thread::sleep(self.dice.about(MEAN_MS));
        // In half of the cases it dies on a full disk, in the other there is space again.
        if self.dice.one_in(2) {
            limit_files(&server, "unlimited")?;
        }
        self.kill_soon(server)?;
        self.count_trouble("F132", before);
        Ok(())
    }

    /// Lets the database crash and come back under a server, which must live on until it is killed.
    pub(super) fn crash_database(&mut self) -> Result<()> {
        let Some(cluster) = self.cluster else {
            return Ok(());
        };
        let server = self.serve(None)?;
        thread::sleep(self.dice.about(MEAN_MS));
        let before = self.town.book().counts.unavailable;
        cluster.crash()?;
        self.kill_soon(server)?;
        self.count_trouble("F135", before);
        Ok(())
    }

    /// Counts trouble with the database if a client has met it.
    fn count_trouble(&self, fault: &'static str, before: u64) {
        let counts = &mut self.town.book().counts;
        if counts.unavailable > before {
            counts.inject(fault);
        }
    }

    fn note(&mut self, place: &str, fault: Option<&'static str>) {
        let count = self.deaths.by_place.entry(place.to_owned()).or_default();
        *count += 1;
        if let Some(fault) = fault {
            let counts: &mut Counts = &mut self.town.book().counts;
            counts.inject(fault);
        }
    }
}

/// Lets no write of a server's go beyond so many bytes of a file.
fn limit_files(server: &Service, bytes: &str) -> Result<()> {
    let mut command = Command::new("prlimit");
    command.arg("--pid").arg(server.id().to_string());
    cargo::output(command.arg(format!("--fsize={bytes}:unlimited"))).map(drop)
}

/// Kills a server, which must have lived until now.
fn end(mut server: Service) -> Result<()> {
    let status = server.kill()?;
    ensure!(
        status.signal() == Some(SIGKILL),
        "the server ended by itself with {status}:\n{}",
        server.last_lines(40)
    );
    Ok(())
}

/// The present moment.
#[expect(
    clippy::disallowed_methods,
    reason = "a process is killed after a time that has passed for everybody"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Whether a second server on the same SQLite file refuses to start.
pub(super) fn second_is_refused(killer: &mut Killer<'_>) -> Result<()> {
    killer.starts += 1;
    let second = shop::start(
        killer.programs,
        killer.folder,
        killer.settings,
        killer.starts,
        None,
    );
    let error = second.err().context("two servers have one SQLite file")?;
    let text = format!("{error:#}");
    ensure!(text.contains("ended with exit status"), "{text}");
    killer.town.book().counts.inject("F131");
    Ok(())
}
