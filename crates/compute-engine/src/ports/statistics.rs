//! How much there is of everything, for an operator's dials, as business verbs.
//!
//! The questions read indexes and small tables, but for [`Statistics::sum_accounts`], which reads the
//! whole ledger and is asked seldom.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::operation::OperationKind;
use compute_domain::payment::RailLabel;
use compute_domain::text_enum;
use compute_domain::time::Timestamp;

use super::outbox::Lane;
use super::store::StoreError;

/// Things that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// How many.
    pub count: u64,
    /// Since when the oldest does; none when nothing waits.
    pub since: Option<Timestamp>,
}

/// Operations that are not at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWork {
    /// Their kind.
    pub kind: OperationKind,
    /// Whether they wait for a human.
    pub is_stuck: bool,
    /// How many, and when the oldest was opened.
    pub queue: Queue,
}

text_enum! {
    /// Where a live machine is in its life.
    LiveState {
        /// Claimed; its payment has not settled yet.
        Pending = "pending",
        /// Paid for, and being made.
        Provisioning = "provisioning",
        /// Running.
        Active = "active",
        /// Being taken down.
        Destroying = "destroying",
    }
}

/// Live machines of one provider in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveMachines {
    /// Who runs them.
    pub provider: ProviderId,
    /// Where they are in their life.
    pub state: LiveState,
    /// How many.
    pub count: u64,
    /// How many of them the provider did not know when they were last looked at.
    pub missing: u64,
    /// How many of them the provider has stopped on its own account.
    pub suspended: u64,
    /// How many of them are past their time.
    pub overdue: u64,
}

/// What a sending account has signed that its chain has not concluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// The chain and the account.
    pub lane: Lane,
    /// How many transactions, and when the oldest was signed.
    pub queue: Queue,
}

/// The accounts of the ledger, those of all owners together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKind {
    /// What arrived over a rail, with the sign turned.
    Clearing(RailLabel),
    /// What all owners have as credit.
    Credits,
    /// What was sold.
    Sales,
    /// What nobody can explain, or is set aside.
    Suspense,
}

/// What an account holds, by its transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSum {
    /// The account.
    pub account: AccountKind,
    /// Micro-dollars; below zero where more went out than came in.
    pub micros: i64,
}

/// How much there is of everything.
///
/// Contract: (1) what there is none of may be left out of a list; (2) the lists are in no order.
#[async_trait]
pub trait Statistics: Send {
    /// Operations that run or are stuck.
    async fn count_open_work(&mut self) -> Result<Vec<OpenWork>, StoreError>;
    /// Open operations whose money may have moved without our knowing.
    async fn count_unknown_settlements(&mut self) -> Result<Queue, StoreError>;
    /// Live machines.
    async fn count_machines(&mut self, now: Timestamp) -> Result<Vec<LiveMachines>, StoreError>;
    /// Signed transactions that are still open.
    async fn count_sending(&mut self) -> Result<Vec<Sending>, StoreError>;
    /// Refunds to cards that are under way.
    async fn count_refunds(&mut self) -> Result<Queue, StoreError>;
    /// What every account of the ledger holds. Reads all of it.
    async fn sum_accounts(&mut self) -> Result<Vec<AccountSum>, StoreError>;
}
