//! A double of the Vultr API, version 2.
//!
//! Answers have the shapes of the vendor's documentation and of notes by its users; the catalogue
//! is a stored answer of the real service. Machines boot as they are looked at, or as time passes.
//! What happened is in the journal, and `POST /control/faults` makes the next calls go wrong.

mod catalogue;
mod changes;
mod control;
mod machine;
mod routes;
mod world;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
pub use control::Fault;
pub use machine::{CreateBody, Pace};
pub use world::Event;

use crate::listen::{Listening, listen};
use world::World;

/// How a double is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// The key that is accepted.
    pub api_key: String,
    /// Where the journal is kept; `None` keeps it in memory.
    pub journal: Option<PathBuf>,
    /// How machines boot.
    pub pace: Pace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            api_key: "test-key".to_owned(),
            journal: None,
            pace: Pace::Looks(2),
        }
    }
}

/// A running double. It stops when this is dropped.
#[derive(Debug)]
pub struct Handle {
    listening: Listening,
    shared: Shared,
}

type Shared = Arc<Mutex<World>>;

// A poisoned lock means that a handler panicked, which has failed the test already.
fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a double in this process.
///
/// # Errors
/// When the port is taken, or the journal cannot be read or written.
pub async fn spawn(options: Options) -> io::Result<Handle> {
    spawn_behind(options, |router| router).await
}

/// The same behind something that sees every request first.
///
/// # Errors
/// As [`spawn`].
pub async fn spawn_behind(
    options: Options,
    wrap: impl FnOnce(Router) -> Router,
) -> io::Result<Handle> {
    let shared = Arc::new(Mutex::new(World::open(&options)?));
    let router = wrap(routes::router(Arc::clone(&shared)));
    let listening = listen(options.port, router).await?;
    Ok(Handle { listening, shared })
}

impl Handle {
    /// `http://127.0.0.1:NNNN`, the root of the control endpoints.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// The base URL of the API itself.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("{}/v2", self.url())
    }

    /// Lets the next matching call go wrong.
    pub fn inject(&self, fault: Fault) {
        self.inject_times(fault, 1);
    }

    /// Lets the next `times` matching calls go wrong.
    pub fn inject_times(&self, fault: Fault, times: u32) {
        lock(&self.shared).faults.add(fault, times);
    }

    /// Ends all faults that have not struck yet, and the lasting ones.
    pub fn clear_faults(&self) {
        lock(&self.shared).faults.clear();
    }

    /// What happened so far, oldest first.
    #[must_use]
    pub fn journal(&self) -> Vec<Event> {
        lock(&self.shared).journal.events().to_vec()
    }

    /// The ids of the machines that exist, oldest first.
    #[must_use]
    pub fn machines(&self) -> Vec<String> {
        lock(&self.shared)
            .machines
            .iter()
            .map(|machine| machine.id.clone())
            .collect()
    }

    /// What happened to one machine so far, oldest first.
    #[must_use]
    pub fn history(&self, id: &str) -> Vec<Event> {
        let mut events = self.journal();
        events.retain(|event| event.machine() == Some(id));
        events
    }

    /// Whether a machine is on in truth, whatever is shown already. A machine that is gone is not.
    #[must_use]
    pub fn is_on(&self, id: &str) -> bool {
        let shared = lock(&self.shared);
        let mut machines = shared.machines.iter();
        machines.any(|machine| machine.id == id && !machine.is_halted)
    }

    /// The plan that a machine has in truth.
    #[must_use]
    pub fn plan_of(&self, id: &str) -> Option<String> {
        let shared = lock(&self.shared);
        let machine = shared.machines.iter().find(|machine| machine.id == id)?;
        Some(machine.body.plan.clone())
    }

    /// Tells this of the account from now on, as JSON text.
    pub fn set_account(&self, answer: &str) {
        answer.clone_into(&mut lock(&self.shared).account);
    }

    /// Makes a machine past the API, as somebody at the vendor's panel would.
    ///
    /// # Errors
    /// The vendor's words when the body cannot be accepted.
    pub fn place(&self, body: serde_json::Value) -> Result<String, String> {
        let body = serde_json::from_value(body).map_err(|error| error.to_string())?;
        lock(&self.shared)
            .create(body, None)
            .map(|(id, _)| id)
            .map_err(|refusal| refusal.1)
    }

    /// How often a method and path were asked for, such as `("GET", "/v2/plans")`.
    #[must_use]
    pub fn calls(&self, method: &str, path: &str) -> usize {
        let shared = lock(&self.shared);
        shared
            .calls
            .iter()
            .filter(|(m, p)| m == method && p == path)
            .count()
    }

    /// Waits for as long as it runs.
    pub async fn forever(self) {
        self.listening.forever().await;
    }
}
