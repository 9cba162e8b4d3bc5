//! The orphan sweeper: finds machines with our mark that no live instance explains, watches them for a
//! while, and deletes them.
//!
//! The provider is listed before the database is read. What was asked for before the list was made is
//! then in the database, because the intent is committed before the call (reliability.md 2.6).
//! A machine of an operation that the database does not know is never deleted: then it is the
//! database that has lost something, for example because it was restored from a backup. It may have
//! lost extensions and replaced machines too, so at the first sight of such a machine everything that
//! is destroyed unasked stops until an operator has looked (reliability.md, L6).

use compute_domain::instance::{Instance, InstanceState};
use compute_domain::operation::Operation;
use compute_domain::time::{Span, Timestamp};

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{MachineState, MachineTag, Observed, Provider, Quarantine, Suspect, Tx, TxMode};

/// The duty's name among the leases.
const DUTY: &str = "sweeper";

/// How long one replica has the duty, unless it ends its round before.
const HELD: Span = Span::from_secs(300);

/// In how many rounds a machine must be unexplained.
const ROUNDS_MIN: u32 = 2;

/// What the database says about a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Explanation {
    /// It belongs to a live instance, or may come to.
    Ours,
    /// Its operation is known, and does not need it.
    Orphan,
    /// Nobody knows its operation.
    Stranger,
}

impl Engine {
    /// One round over every provider, unless another replica does one. Says how many machines it had
    /// deleted.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn sweep_orphans(&self) -> Result<usize, Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let is_ours = tx
            .acquire_lease(DUTY, &self.config.holder, now, now.plus(HELD))
            .await?;
        tx.commit().await?;
        if !is_ours {
            return Ok(0);
        }
        self.tell_of_quarantine().await?;
        let mut deleted = 0;
        for provider in self.providers.values() {
            match provider.list().await {
                Ok(listed) => match self.sweep(provider.as_ref(), listed).await {
                    Ok(count) => deleted += count,
                    // One provider's trouble is not the others'.
                    Err(error) => tracing::error!(
                        provider.name = %provider.id(), error = %error, "machines were not swept"
                    ),
                },
                Err(error) => tracing::warn!(
                    provider.name = %provider.id(), error = %error, "machines were not listed"
                ),
            }
        }
        Ok(deleted)
    }

    /// Compares what the providers have with the database, before anything ends by itself: machines
    /// whose operations the database does not know begin a quarantine. True when every provider
    /// answered.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn compare_machines(&self) -> Result<bool, Error> {
        let mut is_complete = true;
        for provider in self.providers.values() {
            match provider.list().await {
                Ok(listed) => self.note_strangers(provider.as_ref(), &listed).await?,
                Err(error) => {
                    is_complete = false;
                    tracing::error!(
                        provider.name = %provider.id(), error = %error,
                        "nothing ends by itself before a provider's machines were compared with the database"
                    );
                }
            }
        }
        self.tell_of_quarantine().await?;
        Ok(is_complete)
    }

    async fn note_strangers(
        &self,
        provider: &dyn Provider,
        listed: &[Observed],
    ) -> Result<(), Error> {
        let now = self.now();
        let unexplained = self.unexplained(listed, now).await?;
        let mut tx = self.store.begin(TxMode::Write).await?;
        for (machine, tag, explanation) in unexplained {
            if explanation == Explanation::Stranger {
                self.note(tx.as_mut(), provider, machine, tag, explanation)
                    .await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Counts one more round in which nothing explains a machine. The first sight of one whose
    /// operation the database does not know begins a quarantine.
    async fn note(
        &self,
        tx: &mut dyn Tx,
        provider: &dyn Provider,
        machine: &Observed,
        tag: &MachineTag,
        explanation: Explanation,
    ) -> Result<Suspect, Error> {
        let (id, machine) = (provider.id(), &machine.machine);
        let suspect = tx.suspect(id, machine, tag.operation, self.now()).await?;
        if explanation == Explanation::Stranger && suspect.rounds == 1 {
            self.begin_quarantine_for(tx, &suspect).await?;
        }
        Ok(suspect)
    }

    /// An operator who misses the beginning hears of it again.
    async fn tell_of_quarantine(&self) -> Result<(), Error> {
        if let Some(quarantine) = self.quarantine().await? {
            tracing::error!(
                quarantine.since = %quarantine.since.rfc3339(), quarantine.cause = quarantine.cause,
                "there is a quarantine: nothing is destroyed without its owner's asking until it ends"
            );
        }
        Ok(())
    }

    async fn sweep(&self, provider: &dyn Provider, listed: Vec<Observed>) -> Result<usize, Error> {
        let now = self.now();
        let unexplained = self.unexplained(&listed, now).await?;
        let mut tx = self.store.begin(TxMode::Write).await?;
        let mut still = Vec::new();
        let mut condemned = Vec::new();
        for (machine, tag, explanation) in unexplained {
            let suspect = self
                .note(tx.as_mut(), provider, machine, tag, explanation)
                .await?;
            still.push(machine.machine.clone());
            if self.is_condemned(&suspect, explanation, now) {
                condemned.push(suspect);
            }
        }
        // A list without anything may be a mistake, and who is forgotten begins anew.
        if !listed.is_empty() {
            tx.acquit_others(provider.id(), &still).await?;
        }
        tx.commit().await?;
        let mut deleted = 0;
        for suspect in condemned {
            if !self.delete_orphan(provider, &suspect).await? {
                break;
            }
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Those of the machines with our mark that nothing explains. Only reads, so that a long list keeps
    /// no purchase waiting; a suspect has all its rounds to be explained in.
    async fn unexplained<'a>(
        &self,
        listed: &'a [Observed],
        now: Timestamp,
    ) -> Result<Vec<(&'a Observed, &'a MachineTag, Explanation)>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let mut unexplained = Vec::new();
        for machine in listed {
            let Some(tag) = &machine.tag else { continue };
            let explanation = self.explain(tx.as_mut(), machine, tag, now).await?;
            if explanation != Explanation::Ours {
                unexplained.push((machine, tag, explanation));
            }
        }
        tx.rollback().await?;
        Ok(unexplained)
    }

    async fn explain(
        &self,
        tx: &mut dyn Tx,
        machine: &Observed,
        tag: &MachineTag,
        now: Timestamp,
    ) -> Result<Explanation, Error> {
        if machine.state == MachineState::Gone {
            return Ok(Explanation::Ours);
        }
        // At any age: an operation is written before its machine is asked for.
        let Some(operation) = tx.find_operation(tag.operation).await? else {
            return Ok(Explanation::Stranger);
        };
        // By a date that has not come the provider's clock is wrong, and says nothing of any age. Then
        // only our own clock counts: from the first sight on, as for every suspect.
        let is_young = machine
            .created_at
            .is_some_and(|at| at <= now && now.since(at) < self.timing().orphan_age);
        if is_young {
            return Ok(Explanation::Ours);
        }
        let instance = match operation.instance {
            Some(id) => tx.find_instance(id).await?,
            None => None,
        };
        Ok(match instance {
            Some(instance) if needs(&instance, &operation, machine) => Explanation::Ours,
            _ => Explanation::Orphan,
        })
    }

    fn is_condemned(&self, suspect: &Suspect, explanation: Explanation, now: Timestamp) -> bool {
        let watched = now.since(suspect.first_seen_at);
        let is_sure = suspect.rounds >= ROUNDS_MIN && watched >= self.timing().orphan_quarantine;
        match explanation {
            Explanation::Ours => false,
            Explanation::Orphan => is_sure,
            Explanation::Stranger => {
                if is_sure {
                    tracing::error!(
                        provider.name = %suspect.provider, machine = %suspect.machine,
                        operation.id = %suspect.operation,
                        "a machine of an operation that the database does not know; it is left alone"
                    );
                }
                false
            }
        }
    }

    async fn begin_quarantine_for(&self, tx: &mut dyn Tx, suspect: &Suspect) -> Result<(), Error> {
        let Suspect {
            provider,
            machine,
            operation,
            first_seen_at,
            ..
        } = suspect;
        let cause = format!(
            "machine {machine} at {provider} belongs to operation {operation}, which this database does not know"
        );
        let quarantine = Quarantine {
            since: *first_seen_at,
            cause,
        };
        if tx.begin_quarantine(&quarantine).await? {
            tracing::error!(
                cause = quarantine.cause,
                "the database may be older than the world: quarantine begins"
            );
        }
        Ok(())
    }

    /// False when too many machines were destroyed lately, or in quarantine.
    async fn delete_orphan(
        &self,
        provider: &dyn Provider,
        suspect: &Suspect,
    ) -> Result<bool, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        if !self
            .may_destroy_unasked(tx.as_mut(), "orphan", &suspect.machine)
            .await?
        {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        match provider.destroy(&suspect.machine).await {
            Ok(()) => tracing::error!(
                provider.name = %suspect.provider, machine = %suspect.machine,
                operation.id = %suspect.operation, "an orphan machine was deleted"
            ),
            // It stays a suspect, and the next round tries again.
            Err(error) => tracing::error!(
                provider.name = %suspect.provider, machine = %suspect.machine, error = %error,
                "an orphan machine was not deleted"
            ),
        }
        Ok(true)
    }
}

/// Whether this machine is the instance's, or may still become it.
fn needs(instance: &Instance, operation: &Operation, machine: &Observed) -> bool {
    match (&instance.state, instance.placement()) {
        // What is over needs no machine.
        (InstanceState::Destroyed { .. } | InstanceState::Failed { .. }, _) => false,
        (_, Some(placement)) => placement.machine == machine.machine,
        // No machine yet: while somebody works on it, any of them may be adopted or taken back.
        (_, None) => operation.progress().is_some(),
    }
}
