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
use crate::ports::{Lease, MachineState, Observed, ProviderError, Sighting, Tx, TxMode, Watched};

/// How many machines are looked at at once.
const BATCH: u32 = 50;

/// How many batches one round takes: enough for thousands of machines, and an end.
const BATCHES: usize = 20;

/// A list in which more than this share of a provider's machines is missing proves nothing: one in
/// five, but one machine in any case.
const MISSING_MAX_PERCENT: usize = 20;

/// What the provider's list says of a machine that its provider does not know.
enum Listed {
    /// It is there after all.
    There,
    /// It is gone.
    Gone,
    /// Nothing.
    Doubtful,
}

/// The instance, while it still runs on that machine.
pub(crate) async fn lock_placed(
    tx: &mut dyn Tx,
    watched: &Watched,
) -> Result<Option<Instance>, Error> {
    let locked = tx.lock_instance(watched.instance).await?;
    Ok(locked.filter(|instance| {
        matches!(&instance.state, InstanceState::Active(at) if at.machine == watched.machine)
    }))
}

impl Engine {
    /// One round: looks at the machines that are due. Says how many there were.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn watch_machines(&self) -> Result<usize, Error> {
        let mut looked = 0;
        for _ in 0..BATCHES {
            let count = self.watch_some().await?;
            looked += count;
            if count < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(looked)
    }

    async fn watch_some(&self) -> Result<usize, Error> {
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
        if is_lost {
            match self.consult_list(watched, since).await? {
                // Two witnesses disagree: it counts as there until it is missed anew.
                Listed::There => return self.sighted(watched, None, None).await,
                Listed::Gone if self.open_loss(watched, since).await? => return Ok(()),
                Listed::Gone | Listed::Doubtful => {}
            }
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

    /// A second witness: the provider's list. It may be the list that is wrong when it misses many of our machines,
    /// so then it must do so for long, and show others of them: a list that shows none may be another account's.
    async fn consult_list(&self, watched: &Watched, since: Timestamp) -> Result<Listed, Error> {
        let ours = self.active_machines(watched.provider).await?;
        let Some(provider) = self.providers.get(&watched.provider) else {
            return Ok(Listed::Doubtful);
        };
        let Ok(listed) = provider.list().await else {
            return Ok(Listed::Doubtful);
        };
        let listed: BTreeSet<ProviderInstanceId> = listed
            .into_iter()
            .filter(|machine| machine.state != MachineState::Gone)
            .map(|machine| machine.machine)
            .collect();
        if listed.contains(&watched.machine) {
            return Ok(Listed::There);
        }
        let missing = ours
            .iter()
            .filter(|machine| !listed.contains(*machine))
            .count();
        let tolerated = ours.len().saturating_mul(MISSING_MAX_PERCENT) / 100;
        if missing <= tolerated.max(1) {
            return Ok(Listed::Gone);
        }
        let is_long = self.now().since(since) >= self.timing().lost_fleet_window;
        if is_long && missing < ours.len() {
            return Ok(Listed::Gone);
        }
        tracing::error!(
            provider.name = %watched.provider, missing, live = ours.len(),
            "the provider knows too few of our machines; nothing is concluded"
        );
        Ok(Listed::Doubtful)
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

    /// Ends an instance whose machine is lost, as of the moment it was first missed. False when it has
    /// to wait.
    async fn open_loss(&self, watched: &Watched, since: Timestamp) -> Result<bool, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some(instance) = lock_placed(tx.as_mut(), watched).await? else {
            return Ok(false);
        };
        if !self
            .may_destroy_unasked(tx.as_mut(), "lost", &watched.instance)
            .await?
        {
            return Ok(false);
        }
        let opened = self
            .open_destroy(tx.as_mut(), instance, EndReason::Lost, since)
            .await?;
        let Some(lease) = opened.and_then(|submitted| submitted.lease) else {
            return Ok(false);
        };
        tx.commit().await?;
        tracing::error!(
            instance.id = %watched.instance,
            "the provider has lost a machine; what was prepaid is its owner's credit"
        );
        self.let_go(&lease).await?;
        Ok(true)
    }

    /// Leaves an operation to the driver.
    pub(crate) async fn let_go(&self, lease: &Lease) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.release_lease(lease).await?;
        tx.commit().await?;
        Ok(())
    }
}
