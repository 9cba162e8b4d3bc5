//! What happens to a machine that is there: another plan, its switch, a new start.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::machine::{Change, Stage};
use super::routes::{Answer, Number, not_found, number, parse};
use super::world::{Event, Refusal, World, random_text, random_uuid, refuse};
use super::{Fault, Shared, lock};
use crate::listen::wall_clock;

/// For how many looks a machine shows its old plan after the job is done.
const LATE: u32 = 1;

/// Work on a machine, as the vendor tells of it.
#[derive(Debug)]
pub(super) struct Job {
    id: String,
    machine: String,
    state: &'static str,
}

impl Event {
    /// The machine that it happened to.
    #[must_use]
    pub fn machine(&self) -> Option<&str> {
        match self {
            Self::KeyAdded { .. } | Self::KeyRemoved { .. } => None,
            Self::Created { id, .. }
            | Self::Booted { id }
            | Self::Powered { id, .. }
            | Self::ResizeAccepted { id, .. }
            | Self::PlanChanged { id, .. }
            | Self::ResizeFailed { id, .. }
            | Self::Reinstalled { id, .. }
            | Self::Deleted { id, .. } => Some(id),
        }
    }
}

impl World {
    pub(super) fn switch(&mut self, id: &str, is_halted: bool) {
        let now = wall_clock();
        self.change(id, |machine| {
            let before = machine.switched.map_or(machine.is_halted, |(_, it)| it);
            machine.switched = Some((machine.now(now), before));
            machine.is_halted = is_halted;
        });
    }

    pub(super) fn begin_change(&mut self, id: &str, job: &str, plan: &str) {
        let now = wall_clock();
        self.change(id, |machine| {
            machine.change = Some(Change {
                job: job.to_owned(),
                from: machine.body.plan.clone(),
                to: plan.to_owned(),
                since: machine.now(now),
                fails: false,
                is_over: false,
                late: LATE,
            });
        });
        self.jobs.push(Job {
            id: job.to_owned(),
            machine: id.to_owned(),
            state: "pending",
        });
    }

    pub(super) fn end_change(&mut self, id: &str, job: &str, plan: Option<&String>) {
        self.change(id, |machine| {
            if let Some(plan) = plan {
                machine.body.plan.clone_from(plan);
            }
            if let Some(change) = machine.change.as_mut().filter(|change| change.job == job) {
                change.is_over = true;
            }
        });
        let state = if plan.is_some() { "success" } else { "failed" };
        for own in self.jobs.iter_mut().filter(|own| own.id == job) {
            own.state = state;
        }
    }

    pub(super) fn begin_anew(&mut self, id: &str) {
        let now = wall_clock();
        self.change(id, |machine| {
            machine.booting_since = machine.now(now);
            machine.has_booted = false;
            machine.is_halted = false;
            machine.switched = None;
        });
    }

    /// Goes on with a machine's change, by a look at the machine or at its job.
    pub(super) fn go_on_with_change(&mut self, index: usize) -> Result<(), Refusal> {
        let (pace, now) = (self.pace, wall_clock());
        let Some(machine) = self.machines.get_mut(index) else {
            return Ok(());
        };
        if let Some(change) = machine.change.as_mut().filter(|change| change.is_over) {
            match change.late.checked_sub(1) {
                Some(left) => change.late = left,
                None => machine.change = None,
            }
            return Ok(());
        }
        let Some(change) = machine.change.clone() else {
            return Ok(());
        };
        if !machine.is_done(change.since, pace, now) {
            return Ok(());
        }
        let (id, job) = (machine.id.clone(), change.job);
        self.record(if change.fails {
            Event::ResizeFailed { id, job }
        } else {
            let plan = change.to;
            Event::PlanChanged { id, job, plan }
        })
    }

    fn accept_change(
        &mut self,
        index: usize,
        plan: &str,
        request: Option<usize>,
    ) -> Result<Vec<String>, Refusal> {
        let machine = self.machines.get(index).ok_or_else(not_found)?;
        let (id, region) = (machine.id.clone(), machine.body.region.clone());
        if let Some(change) = machine.changing() {
            if change.to == plan {
                return Ok(vec![change.job.clone()]);
            }
            return refuse(500, "Server is currently locked");
        }
        if !machine.has_booted {
            return refuse(500, "Server is not currently active");
        }
        if machine.body.plan == plan {
            return Ok(Vec::new());
        }
        if !self.upgrades_of(index).iter().any(|own| own == plan) {
            return refuse(400, "Invalid plan chosen.");
        }
        if self.is_out_of_stock(plan, &region) {
            return refuse(400, "Plan is not available in this location");
        }
        let fails = self.faults.take(|fault| *fault == Fault::FailResize);
        let job = random_uuid()?;
        self.record(Event::ResizeAccepted {
            id: id.clone(),
            job: job.clone(),
            plan: plan.to_owned(),
            request,
        })?;
        self.change(&id, |machine| {
            if let Some(change) = &mut machine.change {
                change.fails = fails.is_some();
            }
        });
        Ok(vec![job])
    }

    fn upgrades_of(&self, index: usize) -> Vec<String> {
        let Some(machine) = self.machines.get(index) else {
            return Vec::new();
        };
        let Some(plan) = self.catalogue.plan(&machine.body.plan) else {
            return Vec::new();
        };
        let is_forbidden = |own: &str| {
            let forbids =
                |fault: &Fault| matches!(fault, Fault::ForbidUpgrade { plan } if plan == own);
            self.faults.any(forbids)
        };
        let upgrades = self.catalogue.upgrades(plan, &machine.body.region);
        let upgrades = upgrades.filter(|own| !is_forbidden(own));
        upgrades.map(str::to_owned).collect()
    }

    /// A machine as it is shown now, without a look that lets time pass.
    fn shown(&self, index: usize) -> Value {
        let machine = self.machines.get(index);
        let stage = machine.map_or(Stage::Pending, |machine| {
            machine.stage(self.pace, wall_clock())
        });
        self.view(index, stage).unwrap_or_default()
    }
}

pub(super) async fn upgrades(State(shared): State<Shared>, Path(id): Path<String>) -> Answer {
    let world = lock(&shared);
    let index = world.index_of(&id).ok_or_else(not_found)?;
    let plans = world.upgrades_of(index);
    Ok(Json(json!({"upgrades": {"plans": plans}})).into_response())
}

/// Any other member would change or even erase the machine: an adapter that sends one is wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanBody {
    plan: String,
}

pub(super) async fn change_plan(
    State(shared): State<Shared>,
    request: Number,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let body: PlanBody = parse(&body)?;
    let mut world = lock(&shared);
    let index = world.index_of(&id).ok_or_else(not_found)?;
    let jobs = world.accept_change(index, &body.plan, number(request))?;
    let answer = Json(json!({"instance": world.shown(index), "job_ids": jobs}));
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

pub(super) async fn job(State(shared): State<Shared>, Path(id): Path<String>) -> Answer {
    let mut world = lock(&shared);
    let unknown = || Refusal(404, "Invalid job ID.".to_owned());
    let job = world.jobs.iter().find(|job| job.id == id);
    let machine = job.ok_or_else(unknown)?.machine.clone();
    if let Some(index) = world.index_of(&machine) {
        let has_change = world.machines.get_mut(index).is_some_and(|machine| {
            machine.look();
            machine.changing().is_some()
        });
        if has_change {
            world.go_on_with_change(index)?;
        }
    }
    let job = world.jobs.iter().find(|job| job.id == id);
    let state = job.ok_or_else(unknown)?.state;
    let date = "2026-05-05 14:54:34";
    let view = json!({"id": id, "vps_id": machine, "type": "UPGRADE", "state": state,
        "info": "", "added_at": date, "updated_at": date});
    Ok(Json(json!({"job": view})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReinstallBody {
    #[serde(default)]
    hostname: Option<String>,
}

pub(super) async fn reinstall(
    State(shared): State<Shared>,
    request: Number,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let body: ReinstallBody = parse(&body)?;
    let mut world = lock(&shared);
    let index = world.index_of(&id).ok_or_else(not_found)?;
    let is_changing = world
        .machines
        .get(index)
        .is_some_and(|machine| machine.changing().is_some());
    if is_changing {
        return refuse(500, "Server is currently locked");
    }
    let password = random_text()?;
    world.record(Event::Reinstalled {
        id: id.clone(),
        password: password.clone(),
        request: number(request),
    })?;
    if let Some(hostname) = body.hostname {
        world.change(&id, |machine| machine.body.hostname = hostname);
    }
    let mut view = world.view(index, Stage::Pending).unwrap_or_default();
    if let Some(members) = view.as_object_mut() {
        members.insert("default_password".to_owned(), Value::String(password));
    }
    Ok((StatusCode::ACCEPTED, Json(json!({"instance": view}))).into_response())
}

pub(super) async fn power(
    State(shared): State<Shared>,
    request: Number,
    Path((id, action)): Path<(String, String)>,
) -> Answer {
    let mut world = lock(&shared);
    let index = world.index_of(&id).ok_or_else(not_found)?;
    let is_halted = match action.as_str() {
        "halt" => true,
        "start" | "reboot" => false,
        _ => return refuse(404, "Invalid route."),
    };
    let is_changing = world
        .machines
        .get(index)
        .is_some_and(|machine| machine.changing().is_some());
    if is_changing {
        return refuse(500, "Server is currently locked");
    }
    world.record(Event::Powered {
        id,
        is_halted,
        request: number(request),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
