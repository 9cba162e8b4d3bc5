//! The cloud behind the counter.

use core::time::Duration;
use std::net::IpAddr;

use async_trait::async_trait;
use compute_domain::catalog::{Catalog, ProviderId, ProviderInstanceId};
use compute_domain::id::OperationId;
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
    /// Its public address; never an unspecified or private one.
    pub address: Option<IpAddr>,
    /// When the provider says it was made.
    pub created_at: Option<Timestamp>,
}

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
/// is `Ambiguous`.
#[async_trait]
pub trait Provider: Send + Sync + core::fmt::Debug {
    /// Which vendor this is or plays.
    fn id(&self) -> ProviderId;
    /// Whether it can make a machine without an SSH key and tell its root password.
    fn offers_root_password(&self) -> bool;
    /// Everything it sells now.
    async fn catalog(&self) -> Result<Catalog, ProviderError>;
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
}
