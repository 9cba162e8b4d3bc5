//! The reconciler: looks at every running machine now and then. One that its provider has lost for
//! good ends, and what its owner had prepaid becomes credit.

use std::collections::BTreeSet;
use std::net::IpAddr;

use compute_domain::catalog::{ProviderId, ProviderInstanceId};
use compute_domain::instance::{EndReason, Instance, InstanceState};
use compute_domain::time::Timestamp;
use futures::future::join_all;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{Lease, MachineState, Observed, ProviderError, Sighting, TxMode, Watched};

/// How many machines one round looks at.
const BATCH: u32 = 50;

/// A list in which more than this share of a provider's machines is missing proves nothing: one in
/// five, but one machine in any case.
const MISSING_MAX_PERCENT: usize = 20;

impl Engine {
    /// One round: looks at the machines that are due. Says how many there were.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn watch_machines(&self) -> Result<usize, Error> {
        let now = self.now();
        let next = now.plus(self.timing().watch_every);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let due = tx.claim_watched(now, next, BATCH).await?;
        tx.commit().await?;
        let looks = join_all(due.iter().map(|watched| self.watch(watched))).await;
        for (watched, look) in due.iter().zip(looks) {
            if let Err(error) = look {
                tracing::warn!(
                    instance.id = %watched.instance, error = %error, "a machine was not looked at"
                );
            }
        }
        Ok(due.len())
    }

    async fn watch(&self, watched: &Watched) -> Result<(), Error> {
        let Some(provider) = self.providers.get(&watched.provider) else {
            return Ok(());
        };
        match provider.observe(&watched.machine).await {
            Ok(seen) => self.note(watched, &seen).await,
            // No answer says nothing about the machine.
            Err(error) => {
                if error == ProviderError::Unauthorized {
                    tracing::error!(
                        provider.name = %watched.provider, "the provider refuses our credentials"
                    );
                }
                Ok(())
            }
        }
    }

    async fn note(&self, watched: &Watched, seen: &Observed) -> Result<(), Error> {
        let now = self.now();
        match seen.state {
            // A state that this build does not know: nothing is concluded from it.
            MachineState::Unclear => Ok(()),
            MachineState::Gone => self.missed(watched, now).await,
            MachineState::Suspended => self.sighted(watched, Some(now), None).await,
            _ => self.sighted(watched, None, seen.address).await,
        }
    }

    /// It is there.
    async fn sighted(
        &self,
        watched: &Watched,
        suspended: Option<Timestamp>,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some(instance) = tx.lock_instance(watched.instance).await? else {
            return Ok(());
        };
        let began = suspended.map(|now| instance.suspended_since.unwrap_or(now));
        let is_news = began.is_some() && instance.suspended_since.is_none();
        let sighting = Sighting {
            misses: 0,
            missing_since: None,
            suspended_since: began,
            address: address.filter(|address| instance.ip != Some(*address)),
        };
        tx.save_sighting(watched.instance, &sighting).await?;
        tx.commit().await?;
        if is_news {
            tracing::error!(
                instance.id = %watched.instance, "the provider has stopped a machine"
            );
        }
        Ok(())
    }

    /// Its provider does not know it.
    async fn missed(&self, watched: &Watched, now: Timestamp) -> Result<(), Error> {
        let timing = self.timing();
        let since = watched.missing_since.unwrap_or(now);
        let misses = watched.misses.saturating_add(1);
        let is_lost = misses >= timing.lost_looks && now.since(since) >= timing.lost_window;
        if is_lost && self.list_confirms_loss(watched).await? {
            return self.open_loss(watched, since).await;
        }
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some(instance) = tx.lock_instance(watched.instance).await? else {
            return Ok(());
        };
        let sighting = Sighting {
            misses,
            missing_since: Some(since),
            suspended_since: instance.suspended_since,
            address: None,
        };
        tx.save_sighting(watched.instance, &sighting).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A second witness: the provider's list, unless it misses so many machines that it is the list
    /// that is wrong.
    async fn list_confirms_loss(&self, watched: &Watched) -> Result<bool, Error> {
        let ours = self.active_machines(watched.provider).await?;
        let Some(provider) = self.providers.get(&watched.provider) else {
            return Ok(false);
        };
        let Ok(listed) = provider.list().await else {
            return Ok(false);
        };
        let listed: BTreeSet<ProviderInstanceId> = listed
            .into_iter()
            .filter(|machine| machine.state != MachineState::Gone)
            .map(|machine| machine.machine)
            .collect();
        if listed.contains(&watched.machine) {
            return Ok(false);
        }
        let missing = ours
            .iter()
            .filter(|machine| !listed.contains(*machine))
            .count();
        let tolerated = ours.len().saturating_mul(MISSING_MAX_PERCENT) / 100;
        if missing > tolerated.max(1) {
            tracing::error!(
                provider.name = %watched.provider, missing, live = ours.len(),
                "the provider lists too few of our machines; nothing is concluded"
            );
            return Ok(false);
        }
        Ok(true)
    }

    async fn active_machines(
        &self,
        provider: ProviderId,
    ) -> Result<Vec<ProviderInstanceId>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let machines = tx.list_active_machines(provider).await?;
        tx.rollback().await?;
        Ok(machines)
    }

    /// Ends an instance whose machine is lost, as of the moment it was first missed.
    async fn open_loss(&self, watched: &Watched, since: Timestamp) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let is_same = |instance: &Instance| matches!(&instance.state, InstanceState::Active(at) if at.machine == watched.machine);
        let locked = tx.lock_instance(watched.instance).await?;
        let Some(instance) = locked.filter(is_same) else {
            return Ok(());
        };
        if !self
            .may_destroy_unasked(tx.as_mut(), "lost", &watched.instance)
            .await?
        {
            return Ok(());
        }
        let opened = self
            .open_destroy(tx.as_mut(), instance, EndReason::Lost, since)
            .await?;
        let Some(lease) = opened.and_then(|submitted| submitted.lease) else {
            return Ok(());
        };
        tx.commit().await?;
        tracing::error!(
            instance.id = %watched.instance,
            "the provider has lost a machine; what was prepaid is its owner's credit"
        );
        self.let_go(&lease).await
    }

    /// Leaves an operation to the driver.
    pub(crate) async fn let_go(&self, lease: &Lease) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.release_lease(lease).await?;
        tx.commit().await?;
        Ok(())
    }
}
