//! A cloud as the engine uses it: refused credentials are noted whatever was asked, and nothing is
//! concluded about machines by credentials that belong to another account than theirs.
//!
//! Another account answers "unknown" to everything: each machine would be gone, each delete done, each
//! list empty. So before a process believes the first such answer it asks once whose account it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::catalog::{Catalog, Plan, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::OperationId;
use compute_domain::time::{Clock, Timestamp};
use secrecy::SecretString;

use crate::ports::{
    AccountRecord, AccountState, ActionId, ActionState, CreateSpec, Created, MachineState,
    Observed, Power, Provider, ProviderAccount, ProviderError, ResizeCheck, Stock, Store,
    StoreError, TxMode,
};

/// Why no new machines of a provider are sold. What was sold goes on, and may be extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It is switched off in the configuration.
    SwitchedOff,
    /// It refuses our credentials.
    Refused,
    /// Our credentials belong to another account than our machines.
    OtherAccount,
    /// It has locked our account.
    Locked,
    /// Our account may have no more machines.
    Full,
}

impl core::fmt::Display for Closed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::SwitchedOff => "switched off in the configuration",
            Self::Refused => "it refuses our credentials",
            Self::OtherAccount => "our credentials belong to another account than our machines",
            Self::Locked => "it has locked our account",
            Self::Full => "our account may have no more machines",
        })
    }
}

/// What this process knows of its account.
#[derive(Debug)]
struct Known {
    /// As the database had it at the last look.
    record: AccountRecord,
    /// How many live instances there were then; only counted where there is a limit.
    live: u64,
    /// Since when it refuses our credentials; not written down yet.
    refusal: Option<Timestamp>,
    /// Whether our credentials have shown that they belong to the recorded account.
    is_ours: bool,
}

/// A provider, and what is known of our account there.
#[derive(Debug)]
pub(crate) struct Cloud {
    provider: Arc<dyn Provider>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

impl Cloud {
    pub(crate) fn new(
        provider: Arc<dyn Provider>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let known = Known {
            record: AccountRecord::unknown(provider.id()),
            live: 0,
            refusal: None,
            is_ours: false,
        };
        Self {
            provider,
            store,
            clock,
            known: Mutex::new(known),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it sells no new machines, by what was last known.
    pub(crate) fn closed(&self) -> Option<Closed> {
        let known = self.known();
        let told = known.record.told;
        let is_full = |limit: u32| known.live >= u64::from(limit);
        if known.record.other.is_some() {
            Some(Closed::OtherAccount)
        } else if known.refusal.or(known.record.refused_since).is_some() {
            Some(Closed::Refused)
        } else if told.is_some_and(|told| told.state == AccountState::Locked) {
            Some(Closed::Locked)
        } else if told
            .and_then(|told| told.machine_limit)
            .is_some_and(is_full)
        {
            Some(Closed::Full)
        } else {
            None
        }
    }

    /// Since when it refuses our credentials, when that is not written down yet.
    pub(crate) fn unwritten_refusal(&self) -> Option<Timestamp> {
        self.known().refusal
    }

    /// Takes what the database says. `is_written` when it says what [`Cloud::unwritten_refusal`] said.
    pub(crate) fn learn(&self, record: AccountRecord, live: u64, is_written: bool) {
        let mut known = self.known();
        if is_written {
            known.refusal = None;
        }
        // An operator has accepted another account: which one these credentials belong to is open again.
        if known.record.account != record.account && known.record.account.is_some() {
            known.is_ours = false;
        }
        known.live = live;
        known.record = record;
    }

    /// Its catalogue was read: our credentials count again.
    pub(crate) fn readmit(&self) {
        let mut known = self.known();
        known.refusal = None;
        known.record.refused_since = None;
    }

    fn refuse(&self) {
        let mut known = self.known();
        if known.refusal.or(known.record.refused_since).is_none() {
            known.refusal = Some(self.clock.now());
            tracing::error!(
                provider.name = %self.provider.id(),
                "the provider refuses our credentials: nothing new of it is sold until its catalogue can be read again"
            );
        }
    }

    fn noted<T>(&self, answer: Result<T, ProviderError>) -> Result<T, ProviderError> {
        if matches!(answer, Err(ProviderError::Unauthorized)) {
            self.refuse();
        }
        answer
    }

    /// Sends nothing while the credentials are known to belong to another account.
    fn gate(&self) -> Result<(), ProviderError> {
        if self.known().record.other.is_some() {
            return Err(ProviderError::Unreachable);
        }
        Ok(())
    }

    /// Asks for the account, and writes down what the provider tells of it.
    ///
    /// # Errors
    /// The inner error is the provider's.
    pub(crate) async fn look_at_account(
        &self,
    ) -> Result<Result<AccountRecord, ProviderError>, StoreError> {
        let seen = match self.noted(self.provider.account().await) {
            Ok(seen) => seen,
            Err(error) => return Ok(Err(error)),
        };
        let mut tx = self.store.begin(TxMode::Write).await?;
        let now = self.clock.now();
        let record = tx.note_account(self.provider.id(), &seen, now).await?;
        tx.commit().await?;
        let mut known = self.known();
        let is_other = record.other.is_some();
        if is_other && known.record.other != record.other {
            tracing::error!(
                provider.name = %self.provider.id(),
                account.recorded = record.account, account.seen = record.other,
                "our credentials belong to another account than our machines: nothing is sold, and nothing is concluded about any of them"
            );
        }
        known.is_ours = !is_other;
        known.record = record.clone();
        Ok(Ok(record))
    }

    /// Whether an answer that a machine is not there may be believed.
    async fn require_own_account(&self) -> Result<(), ProviderError> {
        if self.known().is_ours {
            return Ok(());
        }
        match self.look_at_account().await {
            Ok(Ok(_)) => self.gate(),
            // It tells nothing of accounts.
            Ok(Err(ProviderError::Rejected { .. })) => {
                self.known().is_ours = true;
                Ok(())
            }
            Ok(Err(ProviderError::Unauthorized)) => Err(ProviderError::Unauthorized),
            Ok(Err(error)) => {
                tracing::warn!(
                    provider.name = %self.provider.id(), error = %error,
                    "whose account it is was not told: nothing is concluded about machines"
                );
                Err(ProviderError::Unreachable)
            }
            Err(error) => {
                tracing::warn!(
                    provider.name = %self.provider.id(), error = %error,
                    "whose account it is could not be written down: nothing is concluded about machines"
                );
                Err(ProviderError::Unreachable)
            }
        }
    }
}

#[async_trait]
impl Provider for Cloud {
    fn id(&self) -> ProviderId {
        self.provider.id()
    }

    fn offers_root_password(&self) -> bool {
        self.provider.offers_root_password()
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.noted(self.provider.catalog().await)
    }

    async fn stock(&self, region: &RegionId) -> Result<Option<Stock>, ProviderError> {
        self.noted(self.provider.stock(region).await)
    }

    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        self.gate()?;
        self.noted(self.provider.create(spec).await)
    }

    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError> {
        self.gate()?;
        let found = self.noted(self.provider.find(operation).await)?;
        if found.is_empty() {
            self.require_own_account().await?;
        }
        Ok(found)
    }

    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError> {
        self.gate()?;
        let seen = self.noted(self.provider.observe(machine).await)?;
        if seen.state == MachineState::Gone {
            self.require_own_account().await?;
        }
        Ok(seen)
    }

    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        self.gate()?;
        // Deleting what is not there succeeds.
        self.require_own_account().await?;
        self.noted(self.provider.destroy(machine).await)
    }

    async fn list(&self) -> Result<Vec<Observed>, ProviderError> {
        self.gate()?;
        let listed = self.noted(self.provider.list().await)?;
        self.require_own_account().await?;
        Ok(listed)
    }

    fn resizes_when_off(&self) -> bool {
        self.provider.resizes_when_off()
    }

    async fn check_resize(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        // From here on a refusal may be for want of one right that selling does not need: it is the
        // caller's affair, and does not end the sale.
        self.gate()?;
        self.provider.check_resize(machine, to).await
    }

    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.gate()?;
        self.provider.resize(machine, to, grow_disk).await
    }

    async fn action(
        &self,
        machine: &ProviderInstanceId,
        action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        self.gate()?;
        self.provider.action(machine, action).await
    }

    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError> {
        self.gate()?;
        self.provider.power(machine, power).await
    }

    fn reinstalls(&self) -> bool {
        self.provider.reinstalls()
    }

    async fn reinstall(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        self.gate()?;
        self.provider.reinstall(machine).await
    }

    async fn account(&self) -> Result<ProviderAccount, ProviderError> {
        self.noted(self.provider.account().await)
    }
}
