//! What the database remembers of machines at their providers, as business verbs.

use std::net::IpAddr;

use async_trait::async_trait;
use compute_domain::catalog::{PlanId, ProviderId, ProviderInstanceId};
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::time::Timestamp;

use super::store::StoreError;

/// A live machine and how often it was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The instance.
    pub instance: InstanceId,
    /// Who runs it.
    pub provider: ProviderId,
    /// The machine.
    pub machine: ProviderInstanceId,
    /// How often in a row the provider did not know it.
    pub misses: u32,
    /// Since when.
    pub missing_since: Option<Timestamp>,
}

/// What a look at a live machine found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// How often in a row the provider did not know it.
    pub misses: u32,
    /// Since when.
    pub missing_since: Option<Timestamp>,
    /// Since when the provider has it stopped on its own account.
    pub suspended_since: Option<Timestamp>,
    /// Its address, when it was seen with one; none leaves the known one.
    pub address: Option<IpAddr>,
}

/// A machine at a provider that no live instance explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Who runs it.
    pub provider: ProviderId,
    /// The machine.
    pub machine: ProviderInstanceId,
    /// The operation whose mark it carries.
    pub operation: OperationId,
    /// When it was first found unexplained.
    pub first_seen_at: Timestamp,
    /// In how many rounds it was found so.
    pub rounds: u32,
}

/// An active instance whose machine has another plan at its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanDrift {
    /// The instance.
    pub instance: InstanceId,
    /// The plan that the provider shows.
    pub plan: PlanId,
    /// Since when it shows it.
    pub since: Timestamp,
    /// In how many looks in a row.
    pub looks: u32,
}

/// A time in which nothing is destroyed without its owner's asking, whatever the clock and the
/// database say: the database may be older than the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Since when.
    pub since: Timestamp,
    /// Why, for the operator.
    pub cause: String,
}

/// What machines do at their providers, and what was done to them without their owners' asking.
#[async_trait]
pub trait Watch: Send {
    /// Takes up to `limit` active instances that are due for a look and that no operation holds, and
    /// makes them due again at `next`.
    async fn claim_watched(
        &mut self,
        now: Timestamp,
        next: Timestamp,
        limit: u32,
    ) -> Result<Vec<Watched>, StoreError>;
    /// An active instance's machine and how often it was missed, whoever holds it.
    async fn find_watched(&mut self, instance: InstanceId) -> Result<Option<Watched>, StoreError>;
    /// Active instances whose machine was missed at least `misses` times in a row, the longest missing
    /// first.
    async fn list_missing(&mut self, misses: u32, limit: u32) -> Result<Vec<Watched>, StoreError>;
    /// Writes what a look found; does nothing when the instance is not active any more.
    async fn save_sighting(
        &mut self,
        instance: InstanceId,
        sighting: &Sighting,
    ) -> Result<(), StoreError>;
    /// Notes that a look at an instance's machine showed another plan than the instance's; another than
    /// before begins anew.
    async fn note_plan_drift(
        &mut self,
        instance: InstanceId,
        plan: &PlanId,
        now: Timestamp,
    ) -> Result<PlanDrift, StoreError>;
    /// Forgets that it did; says whether it had.
    async fn forget_plan_drift(&mut self, instance: InstanceId) -> Result<bool, StoreError>;
    /// Those of active instances that at least `looks` looks in a row showed, the oldest first.
    async fn list_plan_drifts(
        &mut self,
        looks: u32,
        limit: u32,
    ) -> Result<Vec<PlanDrift>, StoreError>;
    /// The machines of a provider's active instances, in any order.
    async fn list_active_machines(
        &mut self,
        provider: ProviderId,
    ) -> Result<Vec<ProviderInstanceId>, StoreError>;
    /// How many instances are live.
    async fn count_live(&mut self) -> Result<u64, StoreError>;
    /// Notes that a machine was found unexplained in this round.
    async fn suspect(
        &mut self,
        provider: ProviderId,
        machine: &ProviderInstanceId,
        operation: OperationId,
        now: Timestamp,
    ) -> Result<Suspect, StoreError>;
    /// Forgets the suspects of a provider that are not among `still`.
    async fn acquit_others(
        &mut self,
        provider: ProviderId,
        still: &[ProviderInstanceId],
    ) -> Result<(), StoreError>;
    /// All suspects, oldest first.
    async fn list_suspects(&mut self) -> Result<Vec<Suspect>, StoreError>;
    /// The quarantine, if there is one.
    async fn find_quarantine(&mut self) -> Result<Option<Quarantine>, StoreError>;
    /// Begins one, unless there is one already; says whether it did.
    async fn begin_quarantine(&mut self, quarantine: &Quarantine) -> Result<bool, StoreError>;
    /// Ends it; says whether there was one.
    async fn end_quarantine(&mut self) -> Result<bool, StoreError>;
    /// Notes a destruction that no owner asked for; `subject` names the machine or instance.
    async fn note_unasked_destruction(
        &mut self,
        cause: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// How many different ones there were since a moment, that one included: what is tried again and
    /// again counts once.
    async fn count_unasked_destructions(&mut self, since: Timestamp) -> Result<u64, StoreError>;
    /// Forgets those before a moment; how many.
    async fn forget_unasked_destructions(&mut self, before: Timestamp) -> Result<u64, StoreError>;
}
