use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use compute_testkit::journal::Journal;
use compute_testkit::listen::wall_clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actions::Action;
use super::catalogue::{Catalogue, Row};
use super::droplet::{CreateBody, Droplet};
use super::keys::{Key, check};
use super::{Habits, Options};

/// Beyond 32 bits, as the vendor's ids may be.
const FIRST_DROPLET: u64 = 5_000_000_001;
const FIRST_ACTION: u64 = 7_000_000_001;
const FIRST_KEY: u64 = 512_190;

/// One thing that happened at the vendor. `request` is the number of the exchange on the wire that
/// did it; what happened past the API has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An SSH key was registered.
    KeyAdded {
        /// Its id.
        id: u64,
        /// Its name.
        name: String,
        /// The public key.
        public_key: String,
        /// By which request.
        request: Option<usize>,
    },
    /// An SSH key was removed.
    KeyRemoved {
        /// Its id.
        id: u64,
        /// By which request.
        request: Option<usize>,
    },
    /// A droplet was made, whatever the client was told. From here on it costs money.
    Created {
        /// Its id.
        id: u64,
        /// Milliseconds since 1970.
        at_ms: u64,
        /// What was asked for.
        body: Value,
        /// By which request.
        request: Option<usize>,
    },
    /// A droplet was seen active for the first time.
    Booted {
        /// Its id.
        id: u64,
    },
    /// Something is to be done to a droplet.
    ActionBegun {
        /// The action.
        action: u64,
        /// The droplet.
        id: u64,
        /// What: `power_off`, `power_on`, `reboot` or `resize`.
        kind: String,
        /// The size, of a resize.
        size: Option<String>,
        /// Whether the disk grows with it.
        grows_disk: bool,
        /// Whether it will end `errored`.
        fails: bool,
        /// Milliseconds since 1970.
        at_ms: u64,
        /// By which request.
        request: Option<usize>,
    },
    /// It is done.
    ActionDone {
        /// The action.
        action: u64,
        /// The droplet.
        id: u64,
    },
    /// It was given up, without an effect.
    ActionErrored {
        /// The action.
        action: u64,
        /// The droplet.
        id: u64,
    },
    /// A droplet was switched off or on.
    Powered {
        /// Its id.
        id: u64,
        /// Whether it is on now.
        is_on: bool,
    },
    /// A droplet has another size: from here on it costs what that costs.
    Resized {
        /// Its id.
        id: u64,
        /// The size.
        size: String,
        /// Its disk now, in GB.
        disk: u64,
    },
    /// A droplet went by itself, or by somebody at the panel.
    Vanished {
        /// Its id.
        id: u64,
    },
    /// A droplet was deleted: from here on it costs nothing.
    Deleted {
        /// Its id.
        id: u64,
        /// Milliseconds since 1970.
        at_ms: u64,
        /// By which request.
        request: Option<usize>,
    },
    /// A tag was removed from the account and all that carried it.
    TagRemoved {
        /// Its name.
        name: String,
        /// By which request.
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
    pub(super) token: String,
    pub(super) link_host: String,
    pub(super) account_status: String,
    pub(super) habits: Habits,
    pub(super) limit: usize,
    pub(super) sold_out: Vec<(String, Option<String>)>,
    pub(super) fails_next_placement: bool,
    pub(super) catalogue: Catalogue,
    pub(super) droplets: Vec<Droplet>,
    /// Deleted droplets that lists still show, and in how many.
    pub(super) ghosts: Vec<(Droplet, u32)>,
    /// Droplets whose placement failed; their actions are still known.
    pub(super) failed: Vec<Droplet>,
    /// What was done to droplets since they were made.
    pub(super) actions: Vec<Action>,
    /// Kinds of actions whose next one fails.
    pub(super) failing: Vec<String>,
    /// Sizes that do not fit on the servers of the droplets.
    pub(super) too_large: Vec<String>,
    pub(super) tags: BTreeSet<String>,
    pub(super) keys: Vec<Key>,
    pub(super) journal: Journal<Event>,
    made: usize,
    keys_made: u64,
}

impl World {
    pub(super) fn open(options: &Options) -> io::Result<Self> {
        let journal = Journal::open(options.journal.as_deref())?;
        let mut world = Self {
            token: options.token.clone(),
            link_host: options.link_host.clone(),
            account_status: "active".to_owned(),
            habits: options.habits,
            limit: usize::MAX,
            sold_out: Vec::new(),
            fails_next_placement: false,
            catalogue: Catalogue::load()?,
            droplets: Vec::new(),
            ghosts: Vec::new(),
            failed: Vec::new(),
            actions: Vec::new(),
            failing: Vec::new(),
            too_large: Vec::new(),
            tags: BTreeSet::new(),
            keys: Vec::new(),
            journal: Journal::open(None)?,
            made: 0,
            keys_made: 0,
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
            Event::KeyAdded {
                id,
                name,
                public_key,
                ..
            } => {
                self.keys_made = self.keys_made.saturating_add(1);
                self.keys.push(Key {
                    id: *id,
                    name: name.clone(),
                    public_key: public_key.clone(),
                    fingerprint: check(public_key).unwrap_or_default(),
                });
            }
            Event::KeyRemoved { id, .. } => self.keys.retain(|key| key.id != *id),
            Event::Created {
                id, at_ms, body, ..
            } => self.add(*id, *at_ms, body),
            Event::Booted { id } => self.change(*id, |droplet| droplet.has_booted = true),
            Event::ActionBegun { .. }
            | Event::ActionDone { .. }
            | Event::ActionErrored { .. }
            | Event::Powered { .. }
            | Event::Resized { .. } => self.apply_action(event),
            Event::Vanished { id } => self.droplets.retain(|droplet| droplet.id != *id),
            Event::Deleted { id, .. } => {
                let lists = self.habits.ghost_lists;
                let gone = self.droplets.extract_if(.., |droplet| droplet.id == *id);
                self.ghosts.extend(gone.map(|droplet| (droplet, lists)));
            }
            Event::TagRemoved { name, .. } => {
                self.tags.remove(name);
                for droplet in &mut self.droplets {
                    droplet.body.tags.retain(|tag| tag != name);
                }
            }
        }
    }

    fn add(&mut self, id: u64, at_ms: u64, body: &Value) {
        let body: CreateBody = serde_json::from_value(body.clone()).unwrap_or_default();
        self.tags.extend(body.tags.iter().cloned());
        let size = self.catalogue.size(&body.size);
        let number = u64::try_from(self.made).unwrap_or_default();
        self.droplets.push(Droplet {
            id,
            number: self.made,
            action: FIRST_ACTION.saturating_add(number),
            has_gpu: size.is_some_and(super::catalogue::Row::has_gpu),
            is_off: false,
            disk: size.map_or(0, |row| row.number("disk")),
            is_busy: false,
            body,
            created: Duration::from_millis(at_ms),
            has_booted: false,
            looks: 0,
            lists: 0,
            views: 0,
            forced: None,
        });
        self.made = self.made.saturating_add(1);
    }

    pub(super) fn change(&mut self, id: u64, change: impl FnOnce(&mut Droplet)) {
        if let Some(droplet) = self.droplets.iter_mut().find(|it| it.id == id) {
            change(droplet);
        }
    }

    fn is_sold_out(&self, size: &str, region: &str) -> bool {
        let mut sold_out = self.sold_out.iter();
        sold_out.any(|(own, there)| own == size && there.as_deref().is_none_or(|it| it == region))
    }

    /// A row of the list of sizes, without the regions where nothing of it is left.
    pub(super) fn size_now(&self, row: &Row) -> String {
        const REGIONS: &str = "\"regions\":[";
        let size = row.text_of("slug");
        if !self.sold_out.iter().any(|(own, _)| own == size) {
            return row.text.clone();
        }
        let text = &row.text;
        let split = text.split_once(REGIONS);
        let Some((head, (list, tail))) = split.and_then(|(a, b)| Some((a, b.split_once(']')?)))
        else {
            return text.clone();
        };
        let left = list.split(',').filter(|region| {
            let region = region.trim().trim_matches('"');
            !self.is_sold_out(size, region)
        });
        let left: Vec<&str> = left.collect();
        format!("{head}{REGIONS}{}]{tail}", left.join(","))
    }

    /// Makes a droplet; its id and the id of its action.
    pub(super) fn create(
        &mut self,
        body: &Value,
        request: Option<usize>,
    ) -> Result<(u64, u64), Refusal> {
        let wanted: CreateBody = match serde_json::from_value(body.clone()) {
            Ok(wanted) => wanted,
            Err(error) => {
                return refuse(422, &format!("request payload validation failed: {error}"));
            }
        };
        self.check(&wanted)?;
        let number = u64::try_from(self.made).unwrap_or_default();
        let id = FIRST_DROPLET.saturating_add(number);
        self.record(Event::Created {
            id,
            at_ms: now_ms(),
            body: body.clone(),
            request,
        })?;
        if std::mem::take(&mut self.fails_next_placement) {
            let failed = self.droplets.extract_if(.., |droplet| droplet.id == id);
            self.failed.extend(failed);
            self.record(Event::Vanished { id })?;
        }
        Ok((id, FIRST_ACTION.saturating_add(number)))
    }

    fn check(&self, body: &CreateBody) -> Result<(), Refusal> {
        if !is_hostname(&body.name) {
            return refuse(
                422,
                "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)",
            );
        }
        let Some(size) = self.catalogue.size(&body.size) else {
            return refuse(422, "You specified an invalid size for Droplet creation.");
        };
        if !size.is("available") || body.size.ends_with("-spot") {
            return refuse(422, "This size is unavailable.");
        }
        if !self
            .catalogue
            .region(&body.region)
            .is_some_and(|it| it.is("available"))
        {
            return refuse(422, "Region is not available");
        }
        if !size.lists("regions", &body.region) || self.is_sold_out(&body.size, &body.region) {
            return refuse(422, "Size is not available in this region.");
        }
        let image = self.catalogue.image(&body.image);
        let Some(image) = image.filter(|row| row.text_of("status") != "retired") else {
            return refuse(422, "You specified an invalid image for Droplet creation.");
        };
        if !image.lists("regions", &body.region) {
            return refuse(422, "Image is not available in this region.");
        }
        if image.number("min_disk_size") > size.number("disk") {
            return refuse(422, "The image does not fit on the disk of this size.");
        }
        self.check_belongings(body)
    }

    /// Keys, tags, and the room in the account.
    fn check_belongings(&self, body: &CreateBody) -> Result<(), Refusal> {
        let is_registered = |wanted: &Value| {
            let named = wanted
                .as_str()
                .map_or_else(|| wanted.to_string(), str::to_owned);
            self.keys.iter().any(|key| key.is(&named))
        };
        if !body.ssh_keys.iter().all(is_registered) {
            return refuse(
                422,
                "You specified invalid SSH key identifiers for Droplet creation.",
            );
        }
        let is_tag = |tag: &String| {
            (1..=255).contains(&tag.len())
                && tag
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
        };
        if !body.tags.iter().all(is_tag) {
            return refuse(
                422,
                "Tag names may hold letters, numbers, colons, dashes and underscores.",
            );
        }
        if self.droplets.len() >= self.limit {
            return refuse(
                422,
                "creating this/these droplet(s) will exceed your droplet limit",
            );
        }
        Ok(())
    }

    pub(super) fn add_key(
        &mut self,
        name: String,
        public_key: String,
        request: Option<usize>,
    ) -> Result<u64, Refusal> {
        let fingerprint = check(&public_key)?;
        if self.keys.iter().any(|key| key.fingerprint == fingerprint) {
            return refuse(422, "SSH Key is already in use on your account");
        }
        let id = FIRST_KEY.saturating_add(self.keys_made);
        self.record(Event::KeyAdded {
            id,
            name,
            public_key,
            request,
        })?;
        Ok(id)
    }

    /// Lets droplets that were looked at often enough finish booting.
    pub(super) fn boot(&mut self) -> Result<(), Refusal> {
        let habits = self.habits;
        let ready = self.droplets.iter().filter(|it| it.boots_now(habits));
        let ready: Vec<u64> = ready.map(|it| it.id).collect();
        for id in ready {
            self.record(Event::Booted { id })?;
        }
        Ok(())
    }

    pub(super) fn vanish(&mut self, id: u64) {
        // The journal of a test that removes by hand lives in memory.
        let _ = self.record(Event::Vanished { id });
    }

    pub(super) fn force(&mut self, id: u64, status: &str, is_locked: bool) {
        self.change(id, |droplet| {
            droplet.has_booted = true;
            droplet.forced = Some((status.to_owned(), is_locked));
        });
    }
}

fn is_hostname(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    (1..=255).contains(&name.len())
        && name.bytes().all(is_allowed)
        && name.ends_with(|last: char| last.is_ascii_alphanumeric())
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(wall_clock().as_millis()).unwrap_or(u64::MAX)
}
