//! The cloud behind the counter.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use async_trait::async_trait;
use compute_domain::catalog::{Catalog, Plan, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::OperationId;
use compute_domain::money::Usd;
use compute_domain::operation::MachineSpec;
use compute_domain::setup::UserData;
use compute_domain::time::Timestamp;
use secrecy::SecretString;

/// The mark by which a machine is found again at its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineTag {
    /// The installation, 1 to 6 lower-case letters: two shops may share one vendor account.
    pub environment: String,
    /// The operation that asked for it.
    pub operation: OperationId,
    /// Which of the operation's machines it is, from 1.
    pub attempt: u32,
}

/// What to make, and how to mark it.
#[derive(Debug, Clone)]
pub struct CreateSpec {
    /// The machine.
    pub machine: MachineSpec,
    /// Its mark.
    pub tag: MachineTag,
    /// What it does at its first start.
    pub user_data: Option<UserData>,
}

/// A machine the provider says it made.
#[derive(Debug)]
pub struct Created {
    /// Its id at the provider.
    pub machine: ProviderInstanceId,
    /// Its root password, when the provider tells one. It is told once.
    pub root_password: Option<SecretString>,
}

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineState {
    /// Being made or booting for the first time.
    Starting,
    /// Running and not busy.
    Ready,
    /// Switched off; still billed.
    Stopped,
    /// Running, but the provider is working on it.
    Busy,
    /// Stopped by the provider.
    Suspended,
    /// The provider does not know it.
    Gone,
    /// A state this build does not know: nothing may be concluded.
    Unclear,
}

/// A look at one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its id at the provider.
    pub machine: ProviderInstanceId,
    /// Our mark on it, when it carries one of this installation.
    pub tag: Option<MachineTag>,
    /// What it is doing.
    pub state: MachineState,
    /// The size it has now, when the provider says; while it is being changed, the old one or the new.
    pub plan: Option<PlanId>,
    /// Its public address; never an unspecified or private one.
    pub address: Option<IpAddr>,
    /// When the provider says it was made.
    pub created_at: Option<Timestamp>,
}

/// What a provider says of another plan for a machine, before anything moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResizeCheck {
    /// It can be had, as far as the provider tells.
    Possible {
        /// Whether its disk grows, which cannot be undone. Only where that needs a confirmation.
        grows_disk: bool,
    },
    /// The plan is smaller than the machine, or has a smaller disk.
    Smaller,
    /// The plan is not one that this machine can be changed to.
    OtherFamily,
    /// This machine cannot be changed at all.
    Never,
}

/// The provider's name for work that it does on a machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub String);

/// How far the provider's work on a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionState {
    /// Under way, or in a state that this build does not know.
    Running,
    /// Done.
    Done,
    /// Given up by the provider.
    Failed,
}

/// What the switch of a machine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Switch it on.
    On,
    /// Cut its power.
    Off,
    /// Restart it.
    Cycle,
}

/// Whether the provider lets our account make machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// Yes.
    Open,
    /// Yes, but the provider has something to say to its owner.
    Warned,
    /// No.
    Locked,
}

/// Our account at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderAccount {
    /// What tells it from other accounts, when the provider says; not a secret, and no address of a
    /// person.
    pub id: Option<String>,
    /// Whether it may make machines.
    pub state: AccountState,
    /// What it can still spend, when it is prepaid and the provider says; nothing when it owes.
    pub funds: Option<Usd>,
    /// How many machines it may have, when the provider says.
    pub machine_limit: Option<u32>,
}

/// The plans that can be had now, by region. Of regions that are not in it nothing is said.
pub type Stock = BTreeMap<RegionId, BTreeSet<PlanId>>;

/// Why it cannot be told whether the effect happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// No complete answer came.
    #[error("no complete answer")]
    NoAnswer,
    /// The provider answered with a failure of its own.
    #[error("the provider failed with status {0}")]
    ServerError(u16),
    /// The answer could not be read.
    #[error("the answer could not be read")]
    Unreadable,
}

/// Why a provider call did not succeed. Only `Ambiguous` may have had an effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It answered and refused; nothing happened.
    #[error("the provider refused: {reason}")]
    Rejected {
        /// The vendor's words, for our log only.
        reason: String,
    },
    /// It has none left, or our account may have no more; nothing happened.
    #[error("the provider has no capacity: {reason}")]
    NoCapacity {
        /// The vendor's words, for our log only.
        reason: String,
    },
    /// It asks us to slow down; nothing happened.
    #[error("the provider asks us to slow down")]
    Throttled {
        /// How long, when it says so.
        retry_after: Option<Duration>,
    },
    /// It could not be reached; nothing was sent.
    #[error("the provider could not be reached")]
    Unreachable,
    /// It refused our credentials; nothing happened.
    #[error("the provider refused our credentials")]
    Unauthorized,
    /// It may or may not have happened.
    #[error("the outcome at the provider is unknown")]
    Ambiguous(#[source] Ambiguity),
}

/// A cloud vendor.
///
/// Contract: (1) every call returns within half a lease (30 s by default), by its own time-out;
/// (2) `create` never retries by itself; (3) `destroy` of an absent machine succeeds; (4) `observe`
/// of an absent machine is `Gone`, not an error; (5) `find` returns all machines of an operation,
/// oldest first, and sees only this installation's; (6) every failure that may have had an effect
/// is `Ambiguous`; (7) `power` of a machine that is as it should be already succeeds, and says nothing
/// of when it takes effect; (8) `resize` never retries by itself, and asking for the plan that the
/// machine has, or is being given, is harmless.
#[async_trait]
pub trait Provider: Send + Sync + core::fmt::Debug {
    /// Which vendor this is or plays.
    fn id(&self) -> ProviderId;
    /// Whether it can make a machine without an SSH key and tell its root password.
    fn offers_root_password(&self) -> bool;
    /// Everything it sells now.
    async fn catalog(&self) -> Result<Catalog, ProviderError>;
    /// What can be had in a region now, and in others when the same answer tells it; nothing where
    /// the catalogue is all there is to know. Credentials that do not count are `Unauthorized`, never
    /// a region with nothing in it.
    async fn stock(&self, _region: &RegionId) -> Result<Option<Stock>, ProviderError> {
        Ok(None)
    }
    /// Makes a machine.
    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError>;
    /// The probe after an unclear `create`: every machine of this operation, all attempts.
    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError>;
    /// Looks at one machine.
    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError>;
    /// Deletes a machine.
    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError>;
    /// Every machine of this installation.
    async fn list(&self) -> Result<Vec<Observed>, ProviderError>;
    /// Whether a machine must be off before its plan changes. It is never switched on by itself then.
    fn resizes_when_off(&self) -> bool;
    /// Whether the machine can be given this plan, by the provider's own rules; changes nothing.
    /// `Rejected` when the provider does not know the machine, `Throttled` while it is busy with it.
    async fn check_resize(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError>;
    /// Has the machine given another plan; says under which name, when the provider tells. `Throttled`
    /// while the provider is busy with the machine.
    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError>;
    /// How far the provider's work on a machine is. One that it does not know is `Running`.
    async fn action(
        &self,
        machine: &ProviderInstanceId,
        action: &ActionId,
    ) -> Result<ActionState, ProviderError>;
    /// Uses the machine's switch.
    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError>;
    /// Whether a machine can be set up anew, with an empty disk.
    fn reinstalls(&self) -> bool;
    /// Sets a machine up anew, as it was ordered; its disk is lost. Gives its new root password, when
    /// the provider tells one.
    async fn reinstall(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError>;
    /// Our account there.
    async fn account(&self) -> Result<ProviderAccount, ProviderError>;
}
