//! Ends a replica at a named fail point: between two instructions, where no await lets go.
//!
//! The engine's fail points exist only when the feature `failpoints` compiles them in. A fail point
//! can only call a function, so the process is ended by unwinding, which the executor catches.

use core::cell::RefCell;
use std::sync::Arc;

use super::reactor::{Reactor, lock};

/// What unwinds.
pub(crate) use compute_engine::failpoints::Ended as Crashed;

struct Trap {
    reactor: Arc<Reactor>,
    countdown: u32,
    wanted: Option<String>,
}

thread_local! {
    static TRAP: RefCell<Option<Trap>> = const { RefCell::new(None) };
}

/// Makes fail points of this thread known to a run.
pub(crate) fn watch(reactor: &Arc<Reactor>) {
    #[cfg(feature = "failpoints")]
    compute_engine::failpoints::install(reached);
    let trap = Trap {
        reactor: Arc::clone(reactor),
        countdown: 0,
        wanted: None,
    };
    TRAP.with_borrow_mut(|present| *present = Some(trap));
}

/// The run is over.
pub(crate) fn forget() {
    TRAP.with_borrow_mut(|present| *present = None);
}

/// The `n`-th fail point from now on ends its process.
pub(crate) fn arm(n: u32) {
    TRAP.with_borrow_mut(|trap| {
        if let Some(trap) = trap {
            trap.countdown = n;
        }
    });
}

/// The next time this very point is reached, it ends its process.
pub(crate) fn arm_at(name: &str) {
    TRAP.with_borrow_mut(|trap| {
        if let Some(trap) = trap {
            trap.wanted = Some(name.to_owned());
        }
    });
}

/// Ends the process that the task at hand belongs to.
pub(crate) fn die(place: &str) -> ! {
    std::panic::resume_unwind(Box::new(Crashed(place.to_owned())))
}

/// No fail point ends anything any more.
pub(crate) fn disarm() {
    TRAP.with_borrow_mut(|trap| {
        if let Some(trap) = trap {
            trap.countdown = 0;
            trap.wanted = None;
        }
    });
}

#[cfg_attr(
    not(feature = "failpoints"),
    expect(dead_code, reason = "only fail points call it")
)]
fn reached(name: &str) {
    let is_due = TRAP.with_borrow_mut(|trap| {
        let Some(trap) = trap else { return false };
        lock(&trap.reactor.tally).point_reached(name);
        if trap.wanted.as_deref() == Some(name) {
            trap.wanted = None;
        } else {
            if trap.countdown != 1 {
                trap.countdown = trap.countdown.saturating_sub(1);
                return false;
            }
            trap.countdown = 0;
        }
        let mut tally = lock(&trap.reactor.tally);
        tally.crashed_at(name);
        for id in faults_of(name) {
            tally.fault(id);
        }
        true
    });
    if is_due {
        die(name);
    }
}

/// Which crashes of reliability.md 5.1 dying at this point is.
fn faults_of(name: &str) -> &'static [&'static str] {
    let parts: Vec<&str> = name.splitn(3, '.').collect();
    let (Some(kind), Some(step), Some(position)) = (parts.first(), parts.get(1), parts.get(2))
    else {
        return &[];
    };
    match (*kind, *step, *position) {
        ("provision", "settle", "begin.before") => &["F001"],
        ("provision", "settle", "begin.after") => &["F002"],
        ("provision", "settle", "effect.after" | "result.before") => &["F005", "F031"],
        ("provision", "settle", _) => &["F006"],
        ("provision", "create", "begin.before" | "begin.after") => &["F006"],
        ("provision", "create", "effect.after" | "result.before") => &["F011"],
        ("provision", "create", _) => &["F012"],
        ("provision", "await_ready", _) => &["F013"],
        ("provision", "destroy" | "confirm_gone", _) => &["F014"],
        ("provision", "refund", "result.after") => &["F015"],
        ("provision", "refund", _) => &["F014"],
        ("topup", ..) => &["F017"],
        ("extend", _, "begin.before" | "begin.after") => &["F018"],
        ("extend", _, "effect.after") => &["F019"],
        ("extend", ..) => &["F020"],
        ("destroy", ..) => &["F025"],
        ("resize", "power_off", "begin.before" | "begin.after") => &["F021"],
        ("resize", "power_off", _) => &["F022"],
        ("resize", "change", "begin.before") => &["F021"],
        ("resize", "change", _) => &["F023"],
        ("resize", ..) => &["F024"],
        _ => &[],
    }
}

/// Whether a name is one of the engine's fail points, for reports of what was never reached.
pub(crate) fn all_points() -> Vec<String> {
    use compute_domain::operation::OperationKind;
    let mut names = Vec::new();
    for kind in OperationKind::ALL {
        for step in kind.steps() {
            for position in compute_engine::failpoints::POSITIONS {
                if step.has_effect() || !position.starts_with("begin") {
                    names.push(format!("{kind}.{step}.{position}"));
                }
            }
        }
    }
    names
}
