//! A client: random deeds, one after the other, at either replica.

use std::sync::Arc;

use compute_domain::id::InstanceId;
use compute_domain::instance::InstanceState;
use compute_engine::{Caller, Engine, Error, Page, Submitted};

use super::history::{Outcome, Record};
use super::shop::Shop;
use crate::explain::explain;
use crate::market::Buyer;

pub(super) struct Client {
    pub(super) shop: Arc<Shop>,
    random: u64,
    number: u32,
    done: u32,
}

impl Client {
    pub(super) const fn new(shop: Arc<Shop>, seed: u64, number: u32) -> Self {
        let stream = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        #[expect(clippy::as_conversions, reason = "widening in a const fn")]
        let random = stream ^ (number as u64 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self {
            shop,
            random,
            number,
            done: 0,
        }
    }

    pub(super) async fn run(&mut self, operations: u32) {
        for _ in 0..operations {
            self.done += 1;
            let account = self.pick(self.shop.buyers.len());
            self.do_something(account).await;
        }
    }

    /// A number below `bound`: splitmix64.
    pub(super) fn pick(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap_or(0)
    }

    /// Either replica.
    pub(super) fn replica(&mut self) -> Arc<Engine> {
        let [first, second] = &self.shop.replicas;
        let replicas = [Arc::clone(first), Arc::clone(second)];
        let number = self.pick(2);
        let [first, second] = replicas;
        if number == 0 { first } else { second }
    }

    pub(super) fn buyer(&self, account: usize) -> &Buyer {
        self.shop
            .buyers
            .get(account)
            .unwrap_or_else(|| unreachable!("accounts are picked among the buyers"))
    }

    /// A name that no other purchase has.
    pub(super) fn fresh_name(&self) -> String {
        format!("purchase-{}-{}", self.number, self.done)
    }

    pub(super) async fn sign_in(&self, engine: &Engine, account: usize) -> Result<Caller, Error> {
        self.buyer(account).sign_in(engine, "POST", "/x").await
    }

    pub(super) fn record(&self, account: usize, deed: &'static str, asked: u64, outcome: Outcome) {
        let answered = self.shop.moment();
        self.shop.record(Record {
            account,
            deed,
            asked,
            answered,
            outcome,
        });
    }

    /// One of the account's running machines.
    pub(super) async fn some_machine(
        &mut self,
        engine: &Engine,
        account: usize,
    ) -> Option<InstanceId> {
        let active = self.machines(engine, account).await;
        let number = self.pick(active.len());
        active.get(number).copied()
    }

    /// The account's running machines.
    pub(super) async fn machines(&self, engine: &Engine, account: usize) -> Vec<InstanceId> {
        let listed = async {
            let caller = self.sign_in(engine, account).await?;
            engine.instances(&caller, Page::default()).await
        };
        let Ok(page) = listed.await else {
            return Vec::new();
        };
        page.instances
            .iter()
            .filter(|instance| matches!(instance.state, InstanceState::Active(_)))
            .map(|instance| instance.id)
            .collect()
    }
}

/// Works on something in the background, as the server does.
#[expect(clippy::disallowed_methods, reason = "a server's work is a task")]
pub(super) fn work(engine: &Arc<Engine>, submitted: Submitted) {
    let engine = Arc::clone(engine);
    tokio::spawn(async move { engine.work(submitted).await });
}

/// A refusal that is in order when many do things at once; anything else is an anomaly.
pub(super) fn refused(error: &Error) -> Outcome {
    Outcome::Refused(match error {
        Error::InsufficientCredits { .. } => "insufficient credits",
        Error::BudgetExceeded { .. } => "budget exceeded",
        Error::LimitReached { .. } => "limit reached",
        Error::OperationInProgress { .. } => "in progress",
        Error::WrongState { .. } => "wrong state",
        Error::PasswordTaken => "password taken",
        Error::PasswordNotReady => "password not ready",
        Error::RequestKeyReused { .. } => "key reused",
        Error::PaymentAlreadyUsed => "payment used",
        // It pays another amount than this request costs, and had not bought anything yet.
        Error::PaymentRequired {
            problem: Some(_), ..
        } => "payment refused",
        Error::Unauthenticated(_) => "not authenticated",
        // Two transactions that waited for each other, or a pool that was empty: nothing was done.
        Error::Unavailable(_) => "unavailable",
        other => return Outcome::Wrong(explain(other)),
    })
}
