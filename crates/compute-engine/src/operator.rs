//! What an operator does about work that no program may decide.

use compute_domain::id::{InstanceId, OperationId, TransferId};
use compute_domain::instance::{EndReason, FailureCode, Instance};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationKind, OperationState, Progress, Step};
use compute_domain::payment::PaymentState;

use crate::engine::Engine;
use crate::error::Error;
use crate::order::{OperationView, view_of};
use crate::ports::{Finding, Lease, PlanDrift, Posted, Quarantine, Suspect, Tx, TxMode, Watched};
use crate::work::DRIFT_LOOKS;

/// How many operations one look shows.
const LIST_MAX: u32 = 200;

/// The network's "reason" of a payment that an operator gave up.
const GIVEN_UP: &str = "operator_refunded";

impl Engine {
    /// Operations that are stuck, or that have been running for longer than any should.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn unresolved(&self) -> Result<Vec<Operation>, Error> {
        let opened_before = self.now().minus(self.timing().alarm_after);
        let mut tx = self.store.begin(TxMode::Read).await?;
        let found = tx.list_unresolved(opened_before, LIST_MAX).await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// Everything about one operation.
    ///
    /// # Errors
    /// `NotFound` for an unknown id.
    pub async fn inspect(&self, id: OperationId) -> Result<OperationView, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let operation = tx.find_operation(id).await?.ok_or(Error::NotFound)?;
        let view = view_of(tx.as_mut(), operation).await?;
        tx.rollback().await?;
        Ok(view)
    }

    /// Machines that no live instance explains, and whether the sweeper will have each deleted: it
    /// does so when the database knows their operations.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn suspects(&self) -> Result<Vec<(Suspect, bool)>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let mut suspects = Vec::new();
        for suspect in tx.list_suspects().await? {
            let is_condemned = tx.find_operation(suspect.operation).await?.is_some();
            suspects.push((suspect, is_condemned));
        }
        tx.rollback().await?;
        Ok(suspects)
    }

    /// The quarantine, if there is one: nothing is destroyed without its owner's asking until it ends.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn quarantine(&self) -> Result<Option<Quarantine>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let found = tx.find_quarantine().await?;
        tx.rollback().await?;
        Ok(found)
    }

    /// Begins a quarantine, unless there is one; gives back the one that there is now.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn begin_quarantine(&self, cause: &str) -> Result<Quarantine, Error> {
        let quarantine = Quarantine {
            since: self.now(),
            cause: cause.to_owned(),
        };
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.begin_quarantine(&quarantine).await?;
        let there = tx.find_quarantine().await?;
        tx.commit().await?;
        tracing::warn!(cause, "an operator began a quarantine");
        Ok(there.unwrap_or(quarantine))
    }

    /// Ends the quarantine: an operator has compared the database with the world. Says whether there
    /// was one. Machines that were strange until now begin no new one.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn end_quarantine(&self) -> Result<bool, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let ended = tx.end_quarantine().await?;
        tx.commit().await?;
        if ended {
            tracing::warn!("an operator ended the quarantine");
        }
        Ok(ended)
    }

    /// Live instances whose machine has another plan at its provider, the oldest first, 200 at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn plan_drifts(&self) -> Result<Vec<PlanDrift>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let drifts = tx.list_plan_drifts(DRIFT_LOOKS, LIST_MAX).await?;
        tx.rollback().await?;
        Ok(drifts)
    }

    /// Live instances whose machine its provider does not know, though they have not been given up; the
    /// longest missing first, 200 at most.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn missing(&self) -> Result<Vec<Watched>, Error> {
        let looks = self.timing().lost_looks;
        let mut tx = self.store.begin(TxMode::Read).await?;
        let missing = tx.list_missing(looks, LIST_MAX).await?;
        tx.rollback().await?;
        Ok(missing)
    }

    /// Ends an instance whose machine is missing, as of the moment it was first missed: an operator
    /// has seen that it is gone. Says what its owner was credited. The reason stays in the history.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, `WrongState` unless its machine is missing,
    /// `OperationInProgress` while something else is done with it.
    pub async fn give_up(&self, id: InstanceId, reason: &str) -> Result<Usd, Error> {
        let mut tx = self.store.begin(TxMode::Write).await?;
        let instance = tx.lock_instance(id).await?.ok_or(Error::NotFound)?;
        let state = instance.state.name();
        let watched = tx.find_watched(id).await?;
        let missing = watched.filter(|watched| watched.misses >= self.timing().lost_looks);
        let Some(since) = missing.and_then(|watched| watched.missing_since) else {
            tx.rollback().await?;
            return Err(Error::WrongState { state });
        };
        let opened = self
            .open_destroy(tx.as_mut(), instance, EndReason::Lost, since)
            .await?;
        let Some(submitted) = opened else {
            tx.rollback().await?;
            return Err(Error::OperationInProgress {
                operation: None,
                instance: Some(id),
            });
        };
        let operation = submitted.operation();
        if let Some(lease) = &submitted.lease {
            let now = self.now();
            tx.append_event(operation, now, &lease.holder, "operator.give_up", reason)
                .await?;
            tx.release_lease(lease).await?;
        }
        let found = tx.find_operation(operation).await?.ok_or(Error::NotFound)?;
        let credited = view_of(tx.as_mut(), found).await?.credited();
        tx.commit().await?;
        tracing::warn!(instance.id = %id, "an operator gave a missing machine up");
        Ok(credited.unwrap_or(Usd::ZERO))
    }

    /// Every broken promise in all that is stored.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn audit(&self) -> Result<Vec<Finding>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let findings = tx.audit().await?;
        tx.rollback().await?;
        Ok(findings)
    }

    /// Has a stuck operation worked on again. Its last step is probed first, so nothing is done twice.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, `WrongState` unless it is stuck, `OperationInProgress` while
    /// somebody holds it.
    pub async fn retry(&self, id: OperationId) -> Result<Operation, Error> {
        let now = self.now();
        let (mut tx, mut operation, step, lease) = self.take_stuck(id).await?;
        operation.state = OperationState::Running(Progress {
            step,
            begun_at: step.has_effect().then_some(now),
            attempt: 0,
            run_at: now,
        });
        operation.finished_at = None;
        operation.data.overdue_looks = 0;
        operation.data.step_since = Some(now);
        tx.save_operation(&operation, &lease, now.plus(self.timing().lease))
            .await?;
        tx.append_event(id, now, &lease.holder, "operator.retry", "")
            .await?;
        tx.release_lease(&lease).await?;
        tx.commit().await?;
        tracing::warn!(operation.id = %id, "an operator has a stuck operation tried again");
        Ok(operation)
    }

    /// Ends an operation whose settlement nobody can find out about: the owner gets its price as
    /// credit, on the operator's account (`suspense`). Money that arrives all the same is then
    /// nobody's but the shop's.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, `WrongState` unless it is stuck before its payment settled,
    /// `OperationInProgress` while somebody holds it.
    pub async fn refund(&self, id: OperationId, reason: &str) -> Result<Usd, Error> {
        let now = self.now();
        let (mut tx, mut operation, step, lease) = self.take_stuck(id).await?;
        let payment = tx.payment_of(id).await?;
        let claimed = payment
            .filter(|payment| step == Step::Settle && payment.state == PaymentState::Claimed);
        let Some(payment) = claimed else {
            tx.rollback().await?;
            return Err(Error::WrongState { state: "settled" });
        };
        let price = payment.price;
        let transfer = Transfer {
            id: TransferId::generate(now, self.entropy.as_ref()),
            debit: Account::Suspense,
            credit: Account::Credits(payment.owner),
            amount: price,
            reason: TransferReason::OperatorRefund,
            cause: id.into(),
            created_at: now,
        };
        let code = FailureCode::OperatorRefunded;
        operation.data.settlement_unknown_since = None;
        let operation = operation.rest(OperationState::Failed { code }, now);
        tx.save_operation(&operation, &lease, now.plus(self.timing().lease))
            .await?;
        tx.save_payment(&payment.decline(GIVEN_UP.to_owned())?)
            .await?;
        if self
            .post(tx.as_mut(), &transfer, operation.instance)
            .await?
            != Posted::New
        {
            return Err(Error::Internal("a refund was posted before".into()));
        }
        self.fail_instance(tx.as_mut(), &operation, code).await?;
        tx.append_event(id, now, &lease.holder, "operator.refund", reason)
            .await?;
        tx.release_lease(&lease).await?;
        tx.commit().await?;
        tracing::warn!(operation.id = %id, amount = %price, reason, "an operator gave a refund");
        Ok(price)
    }

    /// An order that was never paid for ends with its operation; a machine that was to be extended
    /// goes on.
    async fn fail_instance(
        &self,
        tx: &mut dyn Tx,
        operation: &Operation,
        code: FailureCode,
    ) -> Result<(), Error> {
        let instance = match (operation.kind, operation.instance) {
            (OperationKind::Provision, Some(id)) => tx.lock_instance(id).await?,
            _ => None,
        };
        match instance.filter(Instance::is_live) {
            Some(instance) => {
                let failed = instance.fail(code, self.now())?;
                self.write_instance(tx, &failed, operation.id).await
            }
            None => Ok(()),
        }
    }

    async fn take_stuck(
        &self,
        id: OperationId,
    ) -> Result<(Box<dyn Tx>, Operation, Step, Lease), Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let until = now.plus(self.timing().lease);
        let lease = tx
            .lease_operation(id, &self.config.holder, now, until)
            .await?;
        let operation = tx.find_operation(id).await?.ok_or(Error::NotFound)?;
        let OperationState::Stuck { step, .. } = operation.state else {
            let state = operation.state.name();
            tx.rollback().await?;
            return Err(Error::WrongState { state });
        };
        let Some(lease) = lease else {
            tx.rollback().await?;
            return Err(Error::OperationInProgress {
                operation: Some(id),
                instance: operation.instance,
            });
        };
        Ok((tx, operation, step, lease))
    }
}
