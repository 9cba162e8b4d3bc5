//! A node of Solana on loopback: it carries out the one kind of transaction that pays, keeps balances,
//! and misbehaves on request.
//!
//! Transactions are read and their signatures checked here without this workspace's own code, so that
//! an error of ours cannot confirm itself.

mod chain;
mod rpc;
mod wire;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::post;

use chain::World;
pub use chain::{Misbehaviour, TokenState};

use crate::listen::{Listening, listen};

/// An account: 32 bytes.
pub type Key = [u8; 32];

/// SPL Token.
pub const TOKEN_PROGRAM: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";

type Shared = Arc<Mutex<World>>;

/// The node; it stops when this is dropped.
#[derive(Debug)]
pub struct SolanaNode {
    world: Shared,
    listening: Listening,
}

impl SolanaNode {
    /// Starts a node of the main network, whose time is `now_s` and stands still.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn spawn(now_s: u64) -> io::Result<Self> {
        let world = Arc::new(Mutex::new(World::new(now_s)));
        let router = Router::new()
            .route("/", post(rpc::call))
            .with_state(Arc::clone(&world));
        Ok(Self {
            world,
            listening: listen(0, router).await?,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// What it does wrong from now on.
    pub fn misbehave(&self, change: impl FnOnce(&mut Misbehaviour)) {
        change(&mut self.world().misbehaviour);
    }

    /// Gives an account lamports.
    pub fn fund(&self, account: Key, lamports: u64) {
        self.world().lamports.insert(account, lamports);
    }

    /// What an account has, in lamports.
    #[must_use]
    pub fn lamports(&self, account: Key) -> u64 {
        self.world().lamports.get(&account).copied().unwrap_or(0)
    }

    /// Makes a token with so many decimals.
    pub fn add_mint(&self, mint: Key, decimals: u8) {
        self.world().mints.insert(mint, decimals);
    }

    /// Makes or changes a token account.
    pub fn set_token_account(&self, account: Key, mint: Key, owner: Key, amount: u64) {
        let state = TokenState {
            mint,
            owner,
            amount,
            is_frozen: false,
        };
        self.world().tokens.insert(account, state);
    }

    /// Changes a token account that is there.
    pub fn change_token_account(&self, account: Key, change: impl FnOnce(&mut TokenState)) {
        if let Some(state) = self.world().tokens.get_mut(&account) {
            change(state);
        }
    }

    /// Closes a token account.
    pub fn close_token_account(&self, account: Key) {
        self.world().tokens.remove(&account);
    }

    /// What a token account holds.
    #[must_use]
    pub fn tokens(&self, account: Key) -> u64 {
        self.world().tokens.get(&account).map_or(0, |it| it.amount)
    }

    /// Somebody moves tokens between two accounts, in a transaction of their own; its signature. It
    /// fails when there are too few.
    pub fn send_tokens(&self, source: Key, destination: Key, amount: u64) -> String {
        self.world().send_tokens(source, destination, amount)
    }

    /// A fresh blockhash.
    #[must_use]
    pub fn blockhash(&self) -> Key {
        self.world().new_blockhash()
    }

    /// Makes blocks, each 400 ms after the last.
    pub fn advance(&self, blocks: u64) {
        self.world().advance(blocks);
    }

    /// The time of the newest block, in Unix seconds.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.world().now_ms / 1_000
    }

    /// Carries out what it was handed and held back.
    pub fn include_held(&self) {
        self.world().include_held();
    }

    /// The complete transactions that it was handed by any method, simulations too: whoever has one
    /// can have it carried out.
    #[must_use]
    pub fn complete_transactions(&self) -> Vec<Vec<u8>> {
        self.world().complete.clone()
    }

    /// How often a transaction was handed over to be sent.
    #[must_use]
    pub fn times_sent(&self) -> usize {
        self.world().times_sent
    }

    /// The transactions that were carried out, failed ones too, by their first signature in base58.
    #[must_use]
    pub fn carried_out(&self) -> Vec<String> {
        self.world().landed.keys().cloned().collect()
    }

    /// How often a token account was paid exactly so much.
    #[must_use]
    pub fn times_paid(&self, destination: Key, amount: u64) -> usize {
        let world = self.world();
        let paid = world.payments.iter();
        paid.filter(|it| **it == (destination, amount)).count()
    }

    /// How often a buyer's transfer was carried out.
    #[must_use]
    pub fn times_paid_by(&self, payer: Key) -> usize {
        self.world()
            .payers
            .iter()
            .filter(|it| **it == payer)
            .count()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
