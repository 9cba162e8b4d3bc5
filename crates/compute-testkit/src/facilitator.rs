//! A stand-in for a remote x402 facilitator, with a chain of its own.
//!
//! It checks signatures with the alloy libraries, not with this workspace's own code, so that an
//! error of ours cannot confirm itself. Its ledger plays the token contract: balances, one-time
//! nonces, transactions. `POST /rpc/{network}` answers as a node of that chain would.

mod cdp;
mod control;
mod exact;
mod ledger;
mod network;
mod permit2;
mod routes;
mod rpc;
mod wire;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use cdp::CdpAccount;
pub use control::Fault;
pub use ledger::Event;
pub use network::Network;

use crate::listen::{Listening, listen};
use ledger::World;

/// Where a second copy of the facilitator's paths is.
const DEEP_PATH: &str = "/platform/v2/x402";

/// How a stand-in is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port on loopback; 0 takes a free one.
    pub port: u16,
    /// Where the journal is kept; `None` keeps it in memory.
    pub journal: Option<PathBuf>,
    /// The networks it settles on.
    pub networks: Vec<Network>,
    /// What every account holds at first, in atomic units of the token.
    pub opening_balance: u128,
    /// The account whose tokens it demands on every request; `None` serves everybody.
    pub account: Option<CdpAccount>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            journal: None,
            networks: Network::ALL.to_vec(),
            opening_balance: 1_000_000_000_000,
            account: None,
        }
    }
}

/// A running stand-in. It stops when this is dropped.
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

/// Starts a stand-in in this process.
///
/// # Errors
/// When the port is taken, or the journal cannot be read or written.
pub async fn spawn(options: Options) -> io::Result<Handle> {
    let shared = Arc::new(Mutex::new(World::open(&options)?));
    let listening = listen(options.port, routes::router(Arc::clone(&shared))).await?;
    Ok(Handle { listening, shared })
}

impl Handle {
    /// The facilitator's base URL, `http://127.0.0.1:NNNN`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// The same facilitator below a path, as a hosted one has it.
    #[must_use]
    pub fn deep_url(&self) -> String {
        format!("{}{DEEP_PATH}", self.url())
    }

    /// The URL of the chain node of a network.
    #[must_use]
    pub fn rpc_url(&self, network: Network) -> String {
        format!("{}/rpc/{}", self.url(), network.name())
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

    /// The chain's time, and the facilitator's, in Unix seconds.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        lock(&self.shared).now()
    }

    /// Moves the chain's clock, and the facilitator's, ahead.
    pub fn advance_clock(&self, seconds: u64) {
        lock(&self.shared).advance_clock(seconds);
    }

    /// The payer cancels a nonce on the chain.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn cancel(&self, network: Network, from: &str, nonce: &str) -> io::Result<()> {
        lock(&self.shared).cancel(network, from, nonce)
    }

    /// Somebody else submits a signed transfer, past the facilitator.
    ///
    /// # Errors
    /// The token's objection as a code of x402, or what is wrong with the body of `/settle`.
    pub fn land(&self, settle_body: &serde_json::Value) -> Result<(), String> {
        self.land_together(core::slice::from_ref(settle_body))
    }

    /// Somebody else submits signed transfers in one transaction, past the facilitator.
    ///
    /// # Errors
    /// As [`Handle::land`]; the transfers before the one that is refused have moved then.
    pub fn land_together(&self, settle_bodies: &[serde_json::Value]) -> Result<(), String> {
        let bodies: Vec<String> = settle_bodies.iter().map(ToString::to_string).collect();
        let bodies: Vec<&[u8]> = bodies.iter().map(String::as_bytes).collect();
        lock(&self.shared).land(&bodies)
    }

    /// Somebody sends tokens to an account, asked by nobody; the transaction.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn send(&self, network: Network, from: &str, to: &str, amount: u128) -> io::Result<String> {
        lock(&self.shared).send(network, from, to, amount)
    }

    /// Sets what an account holds, in atomic units.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn set_balance(&self, network: Network, address: &str, amount: u128) -> io::Result<()> {
        lock(&self.shared).set_balance(network, address, amount)
    }

    /// What happened so far, oldest first.
    #[must_use]
    pub fn journal(&self) -> Vec<Event> {
        lock(&self.shared).journal.events().to_vec()
    }

    /// How often a path was asked for, such as `/settle`.
    #[must_use]
    pub fn calls(&self, path: &str) -> usize {
        lock(&self.shared)
            .calls
            .iter()
            .filter(|called| *called == path)
            .count()
    }

    /// Why it refused credentials so far, oldest first.
    #[must_use]
    pub fn refusals(&self) -> Vec<&'static str> {
        lock(&self.shared).refusals.clone()
    }

    /// From now on it demands the tokens of another account.
    pub fn demand(&self, account: CdpAccount) {
        lock(&self.shared).account = Some(account);
    }

    /// Waits for as long as it runs.
    pub async fn forever(self) {
        self.listening.forever().await;
    }
}
