//! A double of the DigitalOcean API, version 2.
//!
//! Answers have the shapes of the vendor's document and of notes by its users; the catalogue is a
//! stored answer of the real service. Droplets boot, appear, and get their tags as they are looked
//! at. What happened is in the journal, with the number of the request that did it.

mod actions;
mod catalogue;
mod droplet;
mod keys;
mod lists;
mod routes;
mod world;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compute_testkit::listen::{Listening, listen};
use serde_json::Value;

pub use keys::fingerprint;
pub use world::Event;

use crate::wire::Wire;
use world::World;

/// How a double is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// The token that is accepted.
    pub token: String,
    /// Where the journal is kept; `None` keeps it in memory.
    pub journal: Option<PathBuf>,
    /// How it lags behind.
    pub habits: Habits,
    /// The host in the links to other pages.
    pub link_host: String,
}

/// What a double shows late, counted in looks, and how it treats what is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// A droplet is active at this look at it, counted from 1.
    pub boot_looks: u32,
    /// A new droplet is missing in this many lists that would show it.
    pub hidden_lists: u32,
    /// A new droplet is 404 at this many looks.
    pub hidden_looks: u32,
    /// A new droplet has no tags in this many lists and looks.
    pub untagged_looks: u32,
    /// A deleted droplet still stands in this many lists.
    pub ghost_lists: u32,
    /// Whether a list by tag shows GPU droplets.
    pub tags_list_gpus: bool,
    /// Whether a droplet that is `new`, or that something is done to, refuses to be deleted.
    pub refuses_early_delete: bool,
    /// What is done to a droplet is over at this look at either, counted from 1.
    pub action_looks: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            boot_looks: 2,
            hidden_lists: 0,
            hidden_looks: 0,
            untagged_looks: 0,
            ghost_lists: 0,
            tags_list_gpus: true,
            refuses_early_delete: false,
            action_looks: 2,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            token: "test-token".to_owned(),
            journal: None,
            habits: Habits::default(),
            link_host: "https://api.digitalocean.com".to_owned(),
        }
    }
}

/// A running double. It stops when this is dropped.
#[derive(Debug)]
pub struct Handle {
    listening: Listening,
    shared: Shared,
    wire: Wire,
}

type Shared = Arc<Mutex<World>>;

// A poisoned lock means that a handler panicked, which has failed the test already.
fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a double in this process, behind a wire.
///
/// # Errors
/// When the port is taken, or the journal cannot be read or written.
pub async fn spawn(options: Options) -> io::Result<Handle> {
    let wire = Wire::new(crate::contract::Vendor::DigitalOcean);
    let shared = Arc::new(Mutex::new(World::open(&options)?));
    let router = wire.before(routes::router(Arc::clone(&shared)));
    let listening = listen(options.port, router).await?;
    Ok(Handle {
        listening,
        shared,
        wire,
    })
}

impl Handle {
    /// The base URL of the API: `http://127.0.0.1:NNNN`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// The wire before it.
    #[must_use]
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// What happened so far, oldest first.
    #[must_use]
    pub fn journal(&self) -> Vec<Event> {
        lock(&self.shared).journal.events().to_vec()
    }

    /// The ids of the droplets that exist, oldest first.
    #[must_use]
    pub fn droplets(&self) -> Vec<u64> {
        lock(&self.shared).droplets.iter().map(|it| it.id).collect()
    }

    /// The tags of the account.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        lock(&self.shared).tags.iter().cloned().collect()
    }

    /// The ids of the SSH keys of the account.
    #[must_use]
    pub fn ssh_keys(&self) -> Vec<u64> {
        lock(&self.shared).keys.iter().map(|it| it.id).collect()
    }

    /// Changes what is shown late from now on.
    pub fn set_habits(&self, habits: Habits) {
        lock(&self.shared).habits = habits;
    }

    /// Makes a droplet past the API, as somebody at the vendor's panel would.
    ///
    /// # Errors
    /// The vendor's words when the body cannot be accepted.
    pub fn place(&self, body: &Value) -> Result<u64, String> {
        let mut world = lock(&self.shared);
        world
            .create(body, None)
            .map(|made| made.0)
            .map_err(|it| it.1)
    }

    /// Removes a droplet past the API.
    pub fn remove(&self, id: u64) {
        lock(&self.shared).vanish(id);
    }

    /// The placement of the next droplet fails after its create was accepted: it vanishes.
    pub fn fail_next_placement(&self) {
        lock(&self.shared).fails_next_placement = true;
    }

    /// The next action of this kind on any droplet is accepted and ends `errored`, without an effect.
    pub fn fail_next_action(&self, kind: &str) {
        lock(&self.shared).failing.push(kind.to_owned());
    }

    /// No droplet can be changed to a size: it does not fit on their servers.
    pub fn fill_hosts(&self, size: &str) {
        lock(&self.shared).too_large.push(size.to_owned());
    }

    /// What happened to one droplet so far, oldest first.
    #[must_use]
    pub fn history(&self, id: u64) -> Vec<Event> {
        let mut events = self.journal();
        events.retain(|event| event.droplet() == Some(id));
        events
    }

    /// Whether a droplet is on in truth. One that is gone is not.
    #[must_use]
    pub fn is_on(&self, id: u64) -> bool {
        let world = lock(&self.shared);
        world.droplets.iter().any(|it| it.id == id && !it.is_off)
    }

    /// The size of a droplet and its disk in GB.
    #[must_use]
    pub fn size_of(&self, id: u64) -> Option<(String, u64)> {
        let world = lock(&self.shared);
        let droplet = world.droplets.iter().find(|it| it.id == id)?;
        Some((droplet.body.size.clone(), droplet.disk))
    }

    /// Shows a droplet in this status, and locked or not, from now on.
    pub fn set_status(&self, id: u64, status: &str, is_locked: bool) {
        lock(&self.shared).force(id, status, is_locked);
    }

    /// No droplet of a size can be had, in a region or everywhere.
    pub fn sell_out(&self, size: &str, region: Option<&str>) {
        let sold_out = (size.to_owned(), region.map(str::to_owned));
        lock(&self.shared).sold_out.push(sold_out);
    }

    /// Everything can be had again.
    pub fn restock(&self) {
        lock(&self.shared).sold_out.clear();
    }

    /// How many droplets the account may have.
    pub fn set_limit(&self, droplets: usize) {
        lock(&self.shared).limit = droplets;
    }

    /// The token is accepted no more.
    pub fn revoke_token(&self) {
        lock(&self.shared).token.clear();
    }

    /// The status of the account, such as `locked`.
    pub fn set_account_status(&self, status: &str) {
        status.clone_into(&mut lock(&self.shared).account_status);
    }

    /// Rebuilds an image: its slug moves to a new id, and the old one is retired.
    pub fn rebuild_image(&self, slug: &str) {
        lock(&self.shared).catalogue.rebuild_image(slug);
    }

    /// Takes an image out of a region.
    pub fn withdraw_image(&self, slug: &str, region: &str) {
        lock(&self.shared).catalogue.withdraw_image(slug, region);
    }

    /// Adds a size to the catalogue, as text.
    ///
    /// # Errors
    /// When it is not a size.
    pub fn add_size(&self, row: &str) -> serde_json::Result<()> {
        lock(&self.shared).catalogue.add_size(row)
    }
}
