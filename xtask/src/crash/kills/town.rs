//! What all clients and the one who kills share: where the server is, what was told, when to rest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::super::wallet::Wallet;
use super::book::Book;

/// Who owns orders and credits: a wallet, or whoever has the key that came with a purchase.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    /// The number of the wallet that paid.
    pub(super) wallet: usize,
    pub(super) api_key: String,
}

#[derive(Debug)]
pub(super) struct Town {
    pub(super) wallets: Vec<Wallet>,
    /// The wallets by their numbers, and after them all others as they come up.
    owners: Mutex<Vec<Owner>>,
    /// What a machine costs for a day, in millionths; an extension by a day costs the same.
    pub(super) price: u64,
    url: RwLock<String>,
    book: Mutex<Book>,
    gate: Mutex<Gate>,
    moved: Condvar,
    is_closing: AtomicBool,
}

/// Where clients wait while everything is counted.
#[derive(Debug, Default)]
struct Gate {
    is_shut: bool,
    waiting: usize,
}

impl Town {
    pub(super) fn new(wallets: Vec<Wallet>, price: u64, url: &str) -> Self {
        let owners = wallets.iter().enumerate().map(|(wallet, own)| Owner {
            wallet,
            api_key: own.api_key.clone(),
        });
        Self {
            owners: Mutex::new(owners.collect()),
            wallets,
            price,
            url: RwLock::new(url.to_owned()),
            book: Mutex::default(),
            gate: Mutex::default(),
            moved: Condvar::new(),
            is_closing: AtomicBool::new(false),
        }
    }

    /// Where the server is, or was last.
    pub(super) fn url(&self) -> String {
        let url = self.url.read().unwrap_or_else(PoisonError::into_inner);
        url.clone()
    }

    pub(super) fn moved_to(&self, url: &str) {
        let mut own = self.url.write().unwrap_or_else(PoisonError::into_inner);
        url.clone_into(&mut own);
    }

    pub(super) fn owners(&self) -> Vec<Owner> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.clone()
    }

    /// Notes an owner without a wallet of its own, and returns its number.
    pub(super) fn add_owner(&self, owner: Owner) -> usize {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.push(owner);
        owners.len().saturating_sub(1)
    }

    /// Whether an owner is one of the wallets.
    pub(super) fn is_wallet(&self, owner: usize) -> bool {
        owner < self.wallets.len()
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client between two purchases: it waits while the gate is shut. False when it is to go home.
    pub(super) fn pass(&self) -> bool {
        let mut gate = self.gate();
        if gate.is_shut {
            gate.waiting += 1;
            self.moved.notify_all();
            while gate.is_shut {
                gate = self
                    .moved
                    .wait(gate)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            gate.waiting = gate.waiting.saturating_sub(1);
        }
        !self.is_closing.load(Ordering::SeqCst)
    }

    /// Shuts the gate, and waits until every client has a final answer to what it began.
    pub(super) fn gather(&self, clients: usize, limit: Duration) -> Result<()> {
        let mut gate = self.gate();
        gate.is_shut = true;
        let (gate, timeout) = self
            .moved
            .wait_timeout_while(gate, limit, |gate| gate.waiting < clients)
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(
            !timeout.timed_out(),
            "{} clients never got a final answer, in {} s without deaths",
            clients.saturating_sub(gate.waiting),
            limit.as_secs()
        );
        Ok(())
    }

    pub(super) fn let_go(&self) {
        self.gate().is_shut = false;
        self.moved.notify_all();
    }

    /// The clients go home at the gate.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        self.let_go();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::SeqCst)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the clients go home however the run ends: nothing waits for them otherwise.
#[derive(Debug)]
pub(super) struct Closing<'a>(pub(super) &'a Town);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_gate_holds_everybody_until_it_opens() {
        let town = Town::new(Vec::new(), 1, "http://127.0.0.1:1");
        assert!(town.pass());
        thread::scope(|scope| {
            let client = scope.spawn(|| while town.pass() {});
            town.gather(1, Duration::from_secs(60)).unwrap();
            assert!(!client.is_finished());
            let closing = Closing(&town);
            drop(closing);
        });
        assert!(!town.pass());
    }

    #[test]
    fn a_client_that_never_comes_is_missed() {
        let town = Town::new(Vec::new(), 1, "http://127.0.0.1:1");
        assert!(town.gather(1, Duration::ZERO).is_err());
    }
}
