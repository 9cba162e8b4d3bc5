use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, PlanFacts};
use super::changes::Job;
use super::machine::{CreateBody, Machine, Pace, Stage};
use super::{Fault, Options};
use crate::faults::Faults;
use crate::journal::Journal;
use crate::listen::wall_clock;

/// One thing that happened at the vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An SSH key was registered.
    KeyAdded {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The public key.
        ssh_key: String,
    },
    /// An SSH key was removed.
    KeyRemoved {
        /// Its id.
        id: String,
    },
    /// A machine was made, whatever the client was told. From here on it costs money.
    Created {
        /// Its id.
        id: String,
        /// Milliseconds since 1970.
        at_ms: u64,
        /// What was asked for.
        body: Box<CreateBody>,
        /// Its root password.
        password: String,
        /// By which request, when a wire has numbered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<usize>,
    },
    /// A machine was seen active for the first time.
    Booted {
        /// Its id.
        id: String,
    },
    /// A machine was switched off or on, or restarted. It shows a little later.
    Powered {
        /// Its id.
        id: String,
        /// Whether it is off now.
        is_halted: bool,
        /// By which request, when a wire has numbered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<usize>,
    },
    /// Another plan was asked for, and the vendor will see to it.
    ResizeAccepted {
        /// The machine's id.
        id: String,
        /// The job.
        job: String,
        /// The plan.
        plan: String,
        /// By which request, when a wire has numbered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<usize>,
    },
    /// A machine has another plan: from here on it costs what that costs.
    PlanChanged {
        /// The machine's id.
        id: String,
        /// The job.
        job: String,
        /// The plan.
        plan: String,
    },
    /// A change of plan was given up.
    ResizeFailed {
        /// The machine's id.
        id: String,
        /// The job.
        job: String,
    },
    /// A machine was set up anew; what was on its disk is lost.
    Reinstalled {
        /// Its id.
        id: String,
        /// Its new root password.
        password: String,
        /// By which request, when a wire has numbered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<usize>,
    },
    /// A machine was deleted: from here on it costs nothing.
    Deleted {
        /// Its id.
        id: String,
        /// Milliseconds since 1970.
        at_ms: u64,
        /// By which request, when a wire has numbered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<usize>,
    },
}

/// A refusal in the vendor's words.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) u16, pub(super) String);

pub(super) fn refuse<T>(status: u16, text: &str) -> Result<T, Refusal> {
    Err(Refusal(status, text.to_owned()))
}

/// Everything the double knows.
#[derive(Debug)]
pub(super) struct World {
    pub(super) api_key: String,
    pub(super) pace: Pace,
    pub(super) catalogue: Catalogue,
    pub(super) machines: Vec<Machine>,
    pub(super) keys: Vec<(String, String, String)>,
    pub(super) faults: Faults<Fault>,
    pub(super) journal: Journal<Event>,
    pub(super) calls: Vec<(String, String)>,
    pub(super) jobs: Vec<Job>,
    /// The answer about the account, as text.
    pub(super) account: String,
    made: usize,
}

impl World {
    pub(super) fn open(options: &Options) -> io::Result<Self> {
        let journal = Journal::open(options.journal.as_deref())?;
        let mut world = Self {
            api_key: options.api_key.clone(),
            pace: options.pace,
            catalogue: Catalogue::load()?,
            machines: Vec::new(),
            keys: Vec::new(),
            faults: Faults::default(),
            journal: Journal::open(None)?,
            calls: Vec::new(),
            jobs: Vec::new(),
            account: include_str!("../../fixtures/vultr/account.json").to_owned(),
            made: 0,
        };
        for event in journal.events() {
            world.apply(event);
        }
        world.journal = journal;
        Ok(world)
    }

    /// Writes the event down, then lets it happen.
    pub(super) fn record(&mut self, event: Event) -> Result<(), Refusal> {
        self.apply(&event);
        self.journal
            .append(event)
            .map_err(|error| Refusal(500, error.to_string()))
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::KeyAdded { id, name, ssh_key } => {
                self.keys.push((id.clone(), name.clone(), ssh_key.clone()));
            }
            Event::KeyRemoved { id } => self.keys.retain(|(own, ..)| own != id),
            Event::Created {
                id, at_ms, body, ..
            } => {
                let created = Duration::from_millis(*at_ms);
                self.machines.push(Machine::new(
                    id.clone(),
                    self.made,
                    CreateBody::clone(body),
                    created,
                ));
                self.made = self.made.saturating_add(1);
            }
            Event::Booted { id } => self.change(id, |machine| machine.has_booted = true),
            Event::Powered { id, is_halted, .. } => self.switch(id, *is_halted),
            Event::ResizeAccepted { id, job, plan, .. } => self.begin_change(id, job, plan),
            Event::PlanChanged { id, job, plan } => self.end_change(id, job, Some(plan)),
            Event::ResizeFailed { id, job } => self.end_change(id, job, None),
            Event::Reinstalled { id, .. } => self.begin_anew(id),
            Event::Deleted { id, .. } => self.machines.retain(|machine| &machine.id != id),
        }
    }

    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Machine)) {
        if let Some(machine) = self.machines.iter_mut().find(|machine| machine.id == id) {
            change(machine);
        }
    }

    pub(super) fn create(
        &mut self,
        body: CreateBody,
        request: Option<usize>,
    ) -> Result<(String, String), Refusal> {
        self.check_create(&body)?;
        let (id, password) = (random_uuid()?, random_text()?);
        self.record(Event::Created {
            id: id.clone(),
            at_ms: now_ms(),
            body: Box::new(body),
            password: password.clone(),
            request,
        })?;
        if let Some(Fault::HideCreated { looks }) = self
            .faults
            .take(|fault| matches!(fault, Fault::HideCreated { .. }))
        {
            self.change(&id, |machine| machine.hidden_looks = looks);
        }
        if self
            .faults
            .take(|fault| *fault == Fault::NeverReady)
            .is_some()
        {
            self.change(&id, |machine| machine.is_stuck = true);
        }
        Ok((id, password))
    }

    fn check_create(&self, body: &CreateBody) -> Result<(), Refusal> {
        let Some(plan) = self.catalogue.plan(&body.plan) else {
            return refuse(400, "Invalid plan chosen.");
        };
        if !self
            .catalogue
            .regions
            .iter()
            .any(|region| region.id == body.region)
        {
            return refuse(400, "Invalid location chosen.");
        }
        if !plan.locations.contains(&body.region) {
            return refuse(400, "Invalid plan chosen.");
        }
        if !plan.deploy_ondemand {
            let text =
                "Server add failed: Please open a support request for access to this product.";
            return refuse(400, text);
        }
        if plan.storage_type == "block_storage" {
            return refuse(
                400,
                "Server add failed: One or more block devices are required.",
            );
        }
        if self.is_out_of_stock(&body.plan, &body.region) {
            return refuse(400, "Plan is not available in this location");
        }
        if body
            .os_id
            .is_none_or(|id| self.catalogue.image_name(id).is_none())
        {
            return refuse(400, "Invalid os_id.");
        }
        if !body
            .sshkey_id
            .iter()
            .all(|id| self.keys.iter().any(|(own, ..)| own == id))
        {
            return refuse(400, "Invalid SSH key ID.");
        }
        if body.tags.len() > 50 || body.tags.iter().any(|tag| tag.chars().count() > 512) {
            return refuse(400, "Invalid tags.");
        }
        if body
            .user_data
            .as_ref()
            .is_some_and(|data| STANDARD.decode(data).is_err())
        {
            return refuse(400, "Invalid user_data: expected base64.");
        }
        Ok(())
    }

    pub(super) fn is_out_of_stock(&self, plan: &str, region: &str) -> bool {
        self.faults.any(|fault| match fault {
            Fault::OutOfStock {
                plan: sold_out,
                region: place,
            } => sold_out == plan && place.as_ref().is_none_or(|place| place == region),
            _ => false,
        })
    }

    /// Looks at one machine, which may let it boot. `None` when there is none to be seen.
    pub(super) fn observe(&mut self, index: usize) -> Result<Option<serde_json::Value>, Refusal> {
        let (pace, now) = (self.pace, wall_clock());
        let Some(machine) = self.machines.get_mut(index) else {
            return Ok(None);
        };
        if !machine.look() {
            return Ok(None);
        }
        machine.settle(pace, now);
        self.go_on_with_change(index)?;
        let Some(machine) = self.machines.get(index) else {
            return Ok(None);
        };
        let stage = machine.stage(pace, now);
        let first_time = stage == Stage::Up && !machine.has_booted;
        let view = self.view(index, stage);
        if let (true, Some(machine)) = (first_time, self.machines.get(index)) {
            let id = machine.id.clone();
            self.record(Event::Booted { id })?;
        }
        Ok(view)
    }

    pub(super) fn view(&self, index: usize, stage: Stage) -> Option<serde_json::Value> {
        let machine = self.machines.get(index)?;
        let plan: Option<&PlanFacts> = self.catalogue.plan(machine.shown_plan());
        let os = machine
            .body
            .os_id
            .and_then(|id| self.catalogue.image_name(id));
        Some(machine.view(stage, plan, os.unwrap_or_default()))
    }

    pub(super) fn index_of(&self, id: &str) -> Option<usize> {
        self.machines.iter().position(|machine| machine.id == id)
    }

    pub(super) fn force(&mut self, id: &str, states: [String; 3]) {
        self.change(id, |machine| machine.forced = Some(states));
    }
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(wall_clock().as_millis()).unwrap_or(u64::MAX)
}

fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Refusal(500, error.to_string()))?;
    Ok(bytes)
}

pub(super) fn random_uuid() -> Result<String, Refusal> {
    Ok(uuid::Builder::from_random_bytes(random()?)
        .into_uuid()
        .to_string())
}

pub(super) fn random_text() -> Result<String, Refusal> {
    Ok(format!("Pw-{}", hex::encode(random::<12>()?)))
}
