//! What is done to a droplet that is there: one thing at a time, over after some looks.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::droplet::{Droplet, date};
use super::lists::{Filter, page};
use super::routes::{Answer, Number, not_found, number, parse};
use super::world::{Event, Refusal, World, now_ms, refuse};
use super::{Shared, lock};

/// Beyond those of the creates.
const FIRST_ACTION: u64 = 8_000_000_001;

/// Something that is done to a droplet, or was.
#[derive(Clone, Debug)]
pub(super) struct Action {
    id: u64,
    droplet: u64,
    kind: String,
    size: Option<String>,
    grows_disk: bool,
    fails: bool,
    looks: u32,
    state: &'static str,
    begun: Duration,
}

/// The body of an action. Unknown members are refused, to catch adapters that rely on one the vendor
/// ignores.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionBody {
    #[serde(rename = "type")]
    kind: String,
    size: Option<String>,
    disk: Option<bool>,
}

impl Event {
    /// The droplet that it happened to.
    #[must_use]
    pub const fn droplet(&self) -> Option<u64> {
        match self {
            Self::KeyAdded { .. } | Self::KeyRemoved { .. } | Self::TagRemoved { .. } => None,
            Self::Created { id, .. }
            | Self::Booted { id }
            | Self::ActionBegun { id, .. }
            | Self::ActionDone { id, .. }
            | Self::ActionErrored { id, .. }
            | Self::Powered { id, .. }
            | Self::Resized { id, .. }
            | Self::Vanished { id }
            | Self::Deleted { id, .. } => Some(*id),
        }
    }
}

impl World {
    pub(super) fn apply_action(&mut self, event: &Event) {
        match event {
            Event::ActionBegun {
                action,
                id,
                kind,
                size,
                grows_disk,
                fails,
                at_ms,
                ..
            } => {
                self.change(*id, |droplet| droplet.is_busy = true);
                self.actions.push(Action {
                    id: *action,
                    droplet: *id,
                    kind: kind.clone(),
                    size: size.clone(),
                    grows_disk: *grows_disk,
                    fails: *fails,
                    looks: 0,
                    state: "in-progress",
                    begun: Duration::from_millis(*at_ms),
                });
            }
            Event::ActionDone { action, id } => self.end(*action, *id, "completed"),
            Event::ActionErrored { action, id } => self.end(*action, *id, "errored"),
            Event::Powered { id, is_on } => self.change(*id, |droplet| droplet.is_off = !is_on),
            Event::Resized { id, size, disk } => {
                let has_gpu = self
                    .catalogue
                    .size(size)
                    .map(super::catalogue::Row::has_gpu);
                self.change(*id, |droplet| {
                    droplet.body.size.clone_from(size);
                    droplet.disk = *disk;
                    droplet.has_gpu = has_gpu.unwrap_or(droplet.has_gpu);
                });
            }
            _ => {}
        }
    }

    fn end(&mut self, action: u64, droplet: u64, state: &'static str) {
        for own in self.actions.iter_mut().filter(|own| own.id == action) {
            own.state = state;
        }
        self.change(droplet, |droplet| droplet.is_busy = false);
    }

    /// A look at a droplet, or at what is done to it, which may be over by that.
    pub(super) fn look_at_actions(&mut self, droplet: u64) -> Result<(), Refusal> {
        let needed = self.habits.action_looks.max(1);
        let mut running = self.actions.iter_mut();
        let is_running = |own: &&mut Action| own.droplet == droplet && own.state == "in-progress";
        let Some(action) = running.find(is_running) else {
            return Ok(());
        };
        action.looks = action.looks.saturating_add(1);
        if action.looks < needed {
            return Ok(());
        }
        let action = action.clone();
        let (id, own) = (droplet, action.id);
        if action.fails {
            return self.record(Event::ActionErrored { action: own, id });
        }
        if let Some(effect) = self.effect(&action) {
            self.record(effect)?;
        }
        self.record(Event::ActionDone { action: own, id })
    }

    fn effect(&self, action: &Action) -> Option<Event> {
        let id = action.droplet;
        match (action.kind.as_str(), &action.size) {
            ("power_off", _) => Some(Event::Powered { id, is_on: false }),
            ("power_on" | "power_cycle", _) => Some(Event::Powered { id, is_on: true }),
            ("resize", Some(size)) => {
                let size = size.clone();
                let droplet = self.droplets.iter().find(|it| it.id == id)?;
                let offered = self.catalogue.size(&size)?.number("disk");
                let disk = if action.grows_disk {
                    offered.max(droplet.disk)
                } else {
                    droplet.disk
                };
                Some(Event::Resized { id, size, disk })
            }
            _ => None,
        }
    }

    fn begin(&mut self, id: u64, body: ActionBody, request: Option<usize>) -> Result<u64, Refusal> {
        let droplet = self.droplets.iter().find(|it| it.id == id);
        let droplet = droplet.ok_or_else(not_found)?;
        let (status, is_locked) = droplet.status();
        if status == "new" || is_locked {
            return refuse(422, "Droplet already has a pending event.");
        }
        match (body.kind.as_str(), status) {
            ("power_off", "off") => return refuse(422, "Droplet is already powered off."),
            ("power_on", "active") => return refuse(422, "Droplet is already powered on."),
            ("reboot", "off") => return refuse(422, "Droplet is currently powered off."),
            ("power_off" | "power_on" | "power_cycle" | "reboot", _) => {}
            ("resize", _) => self.check_resize(droplet, &body)?,
            _ => return refuse(422, "This action is not one of the double."),
        }
        let made = u64::try_from(self.actions.len()).unwrap_or_default();
        let action = FIRST_ACTION.saturating_add(made);
        let mut failing = self.failing.iter();
        let failing = failing.position(|kind| *kind == body.kind);
        let fails = failing.map(|index| self.failing.remove(index)).is_some();
        self.record(Event::ActionBegun {
            action,
            id,
            kind: body.kind,
            size: body.size,
            grows_disk: body.disk.unwrap_or(false),
            fails,
            at_ms: now_ms(),
            request,
        })?;
        Ok(action)
    }

    fn check_resize(&self, droplet: &Droplet, body: &ActionBody) -> Result<(), Refusal> {
        let wanted = body.size.as_deref().unwrap_or_default();
        let Some(size) = self.catalogue.size(wanted) else {
            return refuse(422, "You specified an invalid size for Droplet resize.");
        };
        if droplet.status().0 != "off" {
            return refuse(422, "Droplet must be off prior to resizing");
        }
        if wanted == droplet.body.size && size.number("disk") <= droplet.disk {
            return refuse(422, "Droplet already has this size.");
        }
        let region = &droplet.body.region;
        let is_sold_out = self.sold_out.iter().any(|(size, place)| {
            size == wanted && place.as_ref().is_none_or(|place| place == region)
        });
        if !size.is("available") || !size.lists("regions", region) || is_sold_out {
            return refuse(422, "Size is not available in this region.");
        }
        if size.number("disk") < droplet.disk {
            let text = "This size is not available because it has a smaller disk.";
            return refuse(422, text);
        }
        if self.too_large.iter().any(|own| own == wanted) {
            return refuse(422, "Size is too large to fit on your droplet's server");
        }
        Ok(())
    }

    fn action_view(&self, action: &Action) -> Value {
        let droplet = self.droplets.iter().find(|it| it.id == action.droplet);
        let slug = droplet.map_or("nyc3", |it| it.body.region.as_str());
        let region = self.catalogue.region(slug);
        let is_over = action.state != "in-progress";
        json!({
            "id": action.id,
            "status": action.state,
            "type": action.kind,
            "started_at": date(action.begun),
            "completed_at": is_over.then(|| date(action.begun)),
            "resource_id": action.droplet,
            "resource_type": "droplet",
            "region": region.map(|row| row.value.clone()),
            "region_slug": slug,
        })
    }
}

pub(super) async fn begin(
    State(shared): State<Shared>,
    request: Number,
    Path(id): Path<u64>,
    body: Bytes,
) -> Answer {
    let mut world = lock(&shared);
    let action = world.begin(id, parse(&body)?, number(request))?;
    let action = world.actions.iter().find(|own| own.id == action);
    let view = world.action_view(action.ok_or_else(not_found)?);
    Ok((StatusCode::CREATED, Json(json!({ "action": view }))).into_response())
}

pub(super) async fn list(State(shared): State<Shared>, Path(id): Path<u64>) -> Answer {
    let mut world = lock(&shared);
    world.look_at_actions(id)?;
    let droplet = world.droplets.iter().find(|it| it.id == id);
    let create = droplet.ok_or_else(not_found)?;
    let create = create.action_view(&world.catalogue, false).to_string();
    let own = world.actions.iter().filter(|own| own.droplet == id);
    let own = own.rev().map(|own| world.action_view(own).to_string());
    let rows: Vec<String> = own.chain([create]).collect();
    let path = format!("/v2/droplets/{id}/actions");
    let filter = Filter::default();
    page(&world.link_host, &path, "actions", &rows, &filter)
}

pub(super) async fn read(State(shared): State<Shared>, Path(id): Path<u64>) -> Answer {
    let mut world = lock(&shared);
    let action = world.actions.iter().find(|own| own.id == id);
    if let Some(droplet) = action.map(|own| own.droplet) {
        world.look_at_actions(droplet)?;
    }
    if let Some(action) = world.actions.iter().find(|own| own.id == id) {
        let view = world.action_view(action);
        return Ok(Json(json!({ "action": view })).into_response());
    }
    let live = world.droplets.iter().map(|it| (it, false));
    let failed = world.failed.iter().map(|it| (it, true));
    let found = live.chain(failed).find(|(it, _)| it.action == id);
    let (droplet, is_errored) = found.ok_or_else(not_found)?;
    let view = droplet.action_view(&world.catalogue, is_errored);
    Ok(Json(json!({ "action": view })).into_response())
}
