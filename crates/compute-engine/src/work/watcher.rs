//! The reconciler: looks at every running machine now and then. One that its provider has lost for
//! good ends, and what its owner had prepaid becomes credit.
//!
//! Many machines are looked at by one list of their provider. It only shows that a machine is there: each
//! that it misses, or shows in a strange state, is asked for by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compute_domain::catalog::{PlanId, ProviderId, ProviderInstanceId};
use compute_domain::instance::{EndReason, Instance, InstanceState};
use compute_domain::operation::Operation;
use compute_domain::time::Timestamp;
use futures::future::join_all;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{
    Lease, MachineState, Observed, PlanDrift, ProviderError, Sighting, Tx, TxMode, Watched,
};

/// How many machines are looked at at once.
const BATCH: u32 = 50;

/// From how many machines of a provider on one list is asked for instead of each of them: a list costs a
/// few requests itself.
const LIST_FROM: usize = 5;

/// How many looks in a row must show another plan before an operator hears of it: a provider may show the
/// old one for a while after a change.
pub(crate) const DRIFT_LOOKS: u32 = 2;

/// How many batches one round takes: enough for thousands of machines, and an end.
const BATCHES: usize = 20;

/// A list in which more than this share of a provider's machines is missing proves little: one in
/// five, but one machine in any case.
const MISSING_MAX_PERCENT: usize = 20;

/// What a look shows of a machine that is there.
enum Seen {
    /// It may be used; with its address and its plan, when they are told.
    Running(Option<IpAddr>, Option<PlanId>),
    /// The provider has stopped it on its own account.
    Suspended,
    /// It is there, and that is all.
    There,
}

/// What the lists of this round show, by provider.
type Shown = BTreeMap<ProviderId, Glance>;

/// What one list is good for.
enum Glance {
    /// The machines that it shows to be there, and in no strange state.
    There(BTreeMap<ProviderInstanceId, Observed>),
    /// The provider is not to be asked now: nothing would come of it.
    NotNow,
    /// Nothing.
    Useless,
}

/// What the provider's list says of a machine that its provider does not know.
enum Verdict {
    /// It is there after all.
    There,
    /// It is gone.
    Gone,
    /// Nothing.
    Doubtful,
}

/// A provider's own list against what we have there.
struct Lists {
    /// The machines of our active instances.
    ours: BTreeSet<ProviderInstanceId>,
    /// What the provider shows, and since when it has existed.
    theirs: BTreeMap<ProviderInstanceId, Option<Timestamp>>,
}

/// The instance, while it still runs on that machine.
async fn lock_placed(tx: &mut dyn Tx, watched: &Watched) -> Result<Option<Instance>, Error> {
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
        let mut shown = Shown::new();
        for _ in 0..BATCHES {
            let count = self.watch_some(&mut shown).await?;
            looked += count;
            if count < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(looked)
    }

    async fn watch_some(&self, shown: &mut Shown) -> Result<usize, Error> {
        let now = self.now();
        let next = now.plus(self.timing().watch_every);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let due = tx.claim_watched(now, next, BATCH).await?;
        tx.commit().await?;
        self.glance(&due, shown).await;
        let looks = due.iter();
        let looks = looks.map(|watched| self.watch(watched, shown.get(&watched.provider)));
        let looks = join_all(looks).await;
        let mut missing: BTreeMap<ProviderId, Vec<Watched>> = BTreeMap::new();
        for (watched, look) in due.iter().zip(looks) {
            match look {
                Ok(None) => {}
                Ok(Some(lost)) => missing.entry(lost.provider).or_default().push(lost),
                Err(error) => not_looked_at(watched, &error),
            }
        }
        for (provider, missing) in missing {
            self.judge(provider, &missing).await?;
        }
        Ok(due.len())
    }

    /// Asks for the lists of providers with many machines to look at, once a round.
    async fn glance(&self, due: &[Watched], shown: &mut Shown) {
        let mut counts: BTreeMap<ProviderId, usize> = BTreeMap::new();
        for watched in due {
            *counts.entry(watched.provider).or_default() += 1;
        }
        for (id, count) in counts {
            if count < LIST_FROM || shown.contains_key(&id) {
                continue;
            }
            if let Some(provider) = self.providers.get(&id) {
                shown.insert(id, Glance::of(id, provider.list().await));
            }
        }
    }

    /// Gives back the machine when it has been missing for so long that it may be lost.
    async fn watch(
        &self,
        watched: &Watched,
        glance: Option<&Glance>,
    ) -> Result<Option<Watched>, Error> {
        let Some(provider) = self.providers.get(&watched.provider) else {
            return Ok(None);
        };
        let shown = match glance {
            Some(Glance::There(machines)) => machines.get(&watched.machine).cloned(),
            Some(Glance::NotNow) => return Ok(None),
            Some(Glance::Useless) | None => None,
        };
        let answer = match shown {
            Some(seen) => Ok(seen),
            None => provider.observe(&watched.machine).await,
        };
        // No answer says nothing about the machine; refused credentials are noted where they are met.
        let Ok(seen) = answer else {
            return Ok(None);
        };
        let seen = match seen.state {
            MachineState::Gone => return self.missed(watched).await,
            // A state that this build does not know: it is there, and nothing more is concluded.
            MachineState::Unclear => Seen::There,
            MachineState::Suspended => Seen::Suspended,
            _ => Seen::Running(seen.address, seen.plan),
        };
        self.sighted(watched, seen).await?;
        Ok(None)
    }

    /// It is there.
    async fn sighted(&self, watched: &Watched, seen: Seen) -> Result<(), Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some(instance) = tx.lock_instance(watched.instance).await? else {
            return Ok(tx.rollback().await?);
        };
        let before = instance.suspended_since;
        let (suspended_since, address, plan) = match seen {
            Seen::Running(address, plan) => (None, address, plan),
            Seen::Suspended => (Some(before.unwrap_or(now)), None, None),
            Seen::There => (before, None, None),
        };
        let sighting = Sighting {
            misses: 0,
            missing_since: None,
            suspended_since,
            address: address.filter(|address| instance.ip != Some(*address)),
        };
        tx.save_sighting(watched.instance, &sighting).await?;
        let drift = match plan {
            Some(plan) => self.compare_plan(tx.as_mut(), &instance, &plan).await?,
            None => None,
        };
        tx.commit().await?;
        if let Some(drift) = drift.filter(|drift| drift.looks == DRIFT_LOOKS) {
            tracing::error!(
                instance.id = %watched.instance, plan = %instance.plan, plan.seen = %drift.plan,
                "a machine has another plan at its provider than its order says; what its owner pays stays"
            );
        }
        if suspended_since.is_some() && before.is_none() {
            tracing::error!(
                instance.id = %watched.instance, "the provider has stopped a machine"
            );
        }
        Ok(())
    }

    /// Notes when a machine's plan is not its instance's and nothing that changes it is under way.
    async fn compare_plan(
        &self,
        tx: &mut dyn Tx,
        instance: &Instance,
        seen: &PlanId,
    ) -> Result<Option<PlanDrift>, Error> {
        if instance.plan == *seen {
            tx.forget_plan_drift(instance.id).await?;
            return Ok(None);
        }
        let operations = tx.operations_of(instance.id).await?;
        if operations.iter().any(Operation::holds_instance) {
            return Ok(None);
        }
        let drift = tx.note_plan_drift(instance.id, seen, self.now()).await?;
        Ok(Some(drift))
    }

    /// Its provider does not know it.
    async fn missed(&self, watched: &Watched) -> Result<Option<Watched>, Error> {
        let (now, timing) = (self.now(), self.timing());
        let since = watched.missing_since.unwrap_or(now);
        let misses = watched.misses.saturating_add(1);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some(instance) = lock_placed(tx.as_mut(), watched).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let sighting = Sighting {
            misses,
            missing_since: Some(since),
            suspended_since: instance.suspended_since,
            address: None,
        };
        tx.save_sighting(watched.instance, &sighting).await?;
        tx.commit().await?;
        let may_be_lost = misses >= timing.lost_looks && now.since(since) >= timing.lost_window;
        Ok(may_be_lost.then(|| Watched {
            misses,
            missing_since: Some(since),
            ..watched.clone()
        }))
    }

    /// Asks a second witness about machines that are missing: the provider's list, once for all.
    async fn judge(&self, provider: ProviderId, missing: &[Watched]) -> Result<(), Error> {
        let Some(lists) = self.lists_of(provider).await? else {
            return Ok(());
        };
        for watched in missing {
            let judged = match lists.verdict(watched, self) {
                // Two witnesses disagree: it counts as there until it is missed anew.
                Verdict::There => self.sighted(watched, Seen::There).await,
                Verdict::Gone => self.open_loss(watched).await,
                Verdict::Doubtful => Ok(()),
            };
            if let Err(error) = judged {
                not_looked_at(watched, &error);
            }
        }
        Ok(())
    }

    async fn lists_of(&self, id: ProviderId) -> Result<Option<Lists>, Error> {
        let Some(provider) = self.providers.get(&id) else {
            return Ok(None);
        };
        // Read first: what was made in between is then at worst too much in the other list.
        let mut tx = self.store.begin(TxMode::Read).await?;
        let ours = tx.list_active_machines(id).await?;
        tx.rollback().await?;
        let listed = match provider.list().await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(
                    provider.name = %id, error = %error,
                    "machines are missing, and the provider did not list what it has"
                );
                return Ok(None);
            }
        };
        let alive = listed
            .into_iter()
            .filter(|machine| machine.state != MachineState::Gone)
            .map(|machine| (machine.machine, machine.created_at));
        Ok(Some(Lists {
            ours: ours.into_iter().collect(),
            theirs: alive.collect(),
        }))
    }

    /// Ends an instance whose machine is lost, as of the moment it was first missed; not yet when too
    /// many are ended at present.
    async fn open_loss(&self, watched: &Watched) -> Result<(), Error> {
        let since = watched.missing_since.unwrap_or_else(|| self.now());
        let mut tx = self.store.begin(TxMode::Write).await?;
        let Some(instance) = lock_placed(tx.as_mut(), watched).await? else {
            return Ok(tx.rollback().await?);
        };
        if !self
            .may_destroy_unasked(tx.as_mut(), "lost", &watched.instance)
            .await?
        {
            return Ok(tx.rollback().await?);
        }
        self.release_hanging_change(tx.as_mut(), watched.instance)
            .await?;
        let opened = self
            .open_destroy(tx.as_mut(), instance, EndReason::Lost, since)
            .await?;
        let Some(lease) = opened.and_then(|submitted| submitted.lease) else {
            return Ok(tx.rollback().await?);
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

impl Glance {
    fn of(id: ProviderId, listed: Result<Vec<Observed>, ProviderError>) -> Self {
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(
                    provider.name = %id, error = %error, "machines were not listed for a look at them"
                );
                return match error {
                    ProviderError::Unauthorized
                    | ProviderError::Unreachable
                    | ProviderError::Throttled { .. } => Self::NotNow,
                    _ => Self::Useless,
                };
            }
        };
        let is_usual = |machine: &Observed| {
            matches!(
                machine.state,
                MachineState::Ready | MachineState::Stopped | MachineState::Busy
            )
        };
        let there = listed.into_iter().filter(is_usual);
        Self::There(there.map(|seen| (seen.machine.clone(), seen)).collect())
    }
}

impl Lists {
    /// It may be the list that is wrong when it misses many of our machines. Then it is believed only
    /// after long, and only while it shows one of ours that is older than the loss: one that shows
    /// none may be another account's, in which newer machines were bought.
    fn verdict(&self, watched: &Watched, engine: &Engine) -> Verdict {
        if self.theirs.contains_key(&watched.machine) {
            return Verdict::There;
        }
        let is_missing = |machine: &&ProviderInstanceId| !self.theirs.contains_key(*machine);
        let missing = self.ours.iter().filter(is_missing).count();
        let tolerated = self.ours.len().saturating_mul(MISSING_MAX_PERCENT) / 100;
        if missing <= tolerated.max(1) {
            return Verdict::Gone;
        }
        let since = watched.missing_since.unwrap_or_else(|| engine.now());
        let is_long = engine.now().since(since) >= engine.timing().lost_fleet_window;
        let shows_an_older_one = self.ours.iter().any(|machine| {
            let created_at = self.theirs.get(machine).copied().flatten();
            created_at.is_some_and(|at| at < since)
        });
        if is_long && shows_an_older_one {
            return Verdict::Gone;
        }
        tracing::error!(
            provider.name = %watched.provider, missing, live = self.ours.len(),
            "the provider knows too few of our machines; nothing is concluded"
        );
        Verdict::Doubtful
    }
}

fn not_looked_at(watched: &Watched, error: &Error) {
    tracing::warn!(instance.id = %watched.instance, error = %error, "a machine was not looked at");
}
