//! Taking a machine down, because its owner asks, its time is over, or its provider lost it.

use compute_domain::id::{InstanceId, OperationId, TransferId};
use compute_domain::instance::{EndReason, FailureCode, Instance, InstanceState};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationKind, OperationState};
use compute_domain::owner::Scope;
use compute_domain::prepaid::Prepaid;
use compute_domain::time::Timestamp;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::{Opened, Posted, Tx};
use crate::purchase::Submitted;
use crate::subject::digest_of;

impl Engine {
    /// Takes the caller's machine down; what its prepaid value leaves by the policy becomes the
    /// owner's credit at once. Asking again joins the same work, whether it still runs or is done.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `WrongState` for an order that never became a
    /// machine, `OperationInProgress` while something else is being done with it, `Protected` until its
    /// owner lifts the protection.
    pub async fn destroy(&self, caller: &Caller, id: InstanceId) -> Result<Submitted, Error> {
        caller.require(Scope::Manage)?;
        let (mut tx, owner) = self.open_for(caller).await?;
        let locked = tx.lock_instance(id).await?;
        let Some(instance) = locked.filter(|found| Some(found.owner) == owner) else {
            tx.commit().await?;
            return Err(Error::NotFound);
        };
        let busy = Error::OperationInProgress {
            operation: None,
            instance: Some(id),
        };
        match instance.state {
            InstanceState::Destroying { .. } | InstanceState::Destroyed { .. } => {
                let operations = tx.operations_of(id).await?;
                tx.commit().await?;
                operations
                    .iter()
                    .rfind(|operation| operation.kind == OperationKind::Destroy)
                    .map(Submitted::replay)
                    .ok_or(Error::NotFound)
            }
            InstanceState::Pending | InstanceState::Provisioning(_) => {
                tx.commit().await?;
                Err(busy)
            }
            InstanceState::Failed { .. } => {
                tx.commit().await?;
                Err(Error::WrongState {
                    state: instance.state.name(),
                })
            }
            InstanceState::Active(_) if instance.is_protected => {
                tx.commit().await?;
                Err(Error::Protected)
            }
            InstanceState::Active(_) => {
                let now = self.now();
                self.release_hanging_extension(tx.as_mut(), id).await?;
                self.release_hanging_change(tx.as_mut(), id).await?;
                let opened = self
                    .open_destroy(tx.as_mut(), instance, EndReason::Requested, now)
                    .await?;
                tx.commit().await?;
                opened.ok_or(busy)
            }
        }
    }

    /// Lets an extension go whose payment nobody can find out about, so that it does not keep the
    /// owner from ending the machine; if its money arrives, it becomes credit. One that somebody is
    /// working on at this moment stays: it will be known soon.
    async fn release_hanging_extension(
        &self,
        tx: &mut dyn Tx,
        id: InstanceId,
    ) -> Result<(), Error> {
        let operations = tx.operations_of(id).await?;
        let hanging = operations.into_iter().find(|operation| {
            operation.kind == OperationKind::Extend
                && operation.holds_instance()
                && operation.data.settlement_unknown_since.is_some()
        });
        let Some(mut hanging) = hanging else {
            return Ok(());
        };
        let now = self.now();
        let until = now.plus(self.timing().lease);
        let lease = tx
            .lease_operation(hanging.id, &self.config.holder, now, until)
            .await?;
        let Some(lease) = lease else {
            return Ok(());
        };
        hanging.data.hold_released_at = Some(now);
        tx.save_operation(&hanging, &lease, until).await?;
        tx.append_event(hanging.id, now, &lease.holder, "hold.released", "")
            .await?;
        Ok(tx.release_lease(&lease).await?)
    }

    /// Ends a change of plan, or the use of a switch, that has taken longer than a machine takes to
    /// start, so that it neither keeps the owner from ending the machine nor the machine from
    /// expiring: what it would still do is of no use then. One that somebody is working on at this
    /// moment stays.
    pub(crate) async fn release_hanging_change(
        &self,
        tx: &mut dyn Tx,
        id: InstanceId,
    ) -> Result<(), Error> {
        let now = self.now();
        let operations = tx.operations_of(id).await?;
        let hanging = operations.into_iter().find(|operation| {
            matches!(operation.kind, OperationKind::Resize | OperationKind::Power)
                && operation.holds_instance()
                && now.since(operation.created_at) >= self.timing().ready_window
        });
        let Some(hanging) = hanging else {
            return Ok(());
        };
        let until = now.plus(self.timing().lease);
        let lease = tx
            .lease_operation(hanging.id, &self.config.holder, now, until)
            .await?;
        let Some(lease) = lease else {
            return Ok(());
        };
        let is_done = hanging
            .data
            .change
            .as_ref()
            .is_some_and(|change| change.is_done);
        let state = if is_done {
            OperationState::Succeeded
        } else {
            let code = FailureCode::InstanceGone;
            OperationState::Failed { code }
        };
        let ended = hanging.rest(state, now);
        tx.save_operation(&ended, &lease, until).await?;
        tx.append_event(ended.id, now, &lease.holder, "change.abandoned", "")
            .await?;
        Ok(tx.release_lease(&lease).await?)
    }

    /// Opens the destruction of an active instance in the caller's transaction, and settles what its
    /// prepaid value is worth at `ended_at`; `None`, and nothing written, when another operation
    /// holds the instance.
    pub(crate) async fn open_destroy(
        &self,
        tx: &mut dyn Tx,
        instance: Instance,
        reason: EndReason,
        ended_at: Timestamp,
    ) -> Result<Option<Submitted>, Error> {
        let now = self.now();
        let id = instance.id;
        let provision = tx.provision_of(id).await?;
        let mut operation = Operation::open(
            OperationId::generate(now, self.entropy.as_ref()),
            OperationKind::Destroy,
            instance.owner,
            Some(id),
            digest_of(&("destroy", id)),
            now,
        );
        operation.data.marked_by = provision.map(|provision| provision.id);
        let until = now.plus(self.timing().lease);
        let lease = match tx
            .open_operation(&operation, &self.config.holder, until)
            .await?
        {
            Opened::Leased(lease) => lease,
            Opened::InstanceBusy => return Ok(None),
        };
        let prepaid = tx.lots_of(id).await?;
        let credit = self
            .credit_rest(tx, &operation, &prepaid, reason, ended_at)
            .await?;
        tx.save_lots(id, &prepaid.close(ended_at)).await?;
        self.write_instance(tx, &instance.begin_destroy(reason)?, operation.id)
            .await?;
        let detail = format!("{{\"reason\":\"{reason}\",\"credit\":\"{credit}\"}}");
        tx.append_event(operation.id, now, &self.config.holder, "opened", &detail)
            .await?;
        tracing::info!(
            operation.id = %operation.id, instance.id = %id, reason = %reason, credit = %credit,
            "destruction opened"
        );
        Ok(Some(Submitted::leased(&operation, lease)))
    }

    /// Makes what the policy leaves of the prepaid value the owner's credit.
    async fn credit_rest(
        &self,
        tx: &mut dyn Tx,
        operation: &Operation,
        prepaid: &Prepaid,
        reason: EndReason,
        ended_at: Timestamp,
    ) -> Result<Usd, Error> {
        let ending = prepaid
            .ending(self.config.sales.early_destroy, ended_at)
            .map_err(|error| Error::Internal(Box::new(error)))?;
        let (credit, reason) = match reason {
            EndReason::Requested => (ending.credit, TransferReason::EarlyDestroy),
            // It is no fault of the owner's, so nothing is kept.
            EndReason::Lost => (ending.left, TransferReason::LostMachine),
            EndReason::Expired => return Ok(Usd::ZERO),
        };
        if credit == Usd::ZERO {
            return Ok(credit);
        }
        let transfer = Transfer {
            id: TransferId::generate(ended_at, self.entropy.as_ref()),
            debit: Account::Sales,
            credit: Account::Credits(operation.owner),
            amount: credit,
            reason,
            cause: operation.id.into(),
            created_at: self.now(),
        };
        match self.post(tx, &transfer, operation.instance).await? {
            Posted::New => {
                self.freeze_given(tx, operation.id, operation.owner, credit)
                    .await?;
                Ok(credit)
            }
            Posted::Already | Posted::Insufficient => Err(Error::Internal(
                "the credit of a new operation was posted before".into(),
            )),
        }
    }
}
