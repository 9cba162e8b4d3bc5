//! Taking a machine down, because its owner asks or its time is over.

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::{EndReason, Instance, InstanceState};
use compute_domain::operation::{Operation, OperationKind};
use sha2::{Digest, Sha256};

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::{Opened, Tx};
use crate::provision::Submitted;

impl Engine {
    /// Takes the caller's machine down. Asking again joins the same work, whether it still runs or
    /// is done.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `WrongState` for an order that never became a
    /// machine, `OperationInProgress` while something else is being done with it.
    pub async fn destroy(&self, caller: &Caller, id: InstanceId) -> Result<Submitted, Error> {
        let (mut tx, owner) = self.open_for(caller).await?;
        let locked = tx.lock_instance(id).await?;
        let Some(instance) = locked.filter(|found| Some(found.owner) == owner) else {
            tx.commit().await?;
            return Err(Error::NotFound);
        };
        match instance.state {
            InstanceState::Destroying { .. } | InstanceState::Destroyed { .. } => {
                let latest = tx.latest_operation(id).await?;
                tx.commit().await?;
                latest
                    .map(|operation| Submitted::replay(&operation))
                    .ok_or(Error::NotFound)
            }
            InstanceState::Pending | InstanceState::Provisioning(_) => {
                tx.commit().await?;
                Err(Error::OperationInProgress { instance: id })
            }
            InstanceState::Failed { .. } => {
                tx.commit().await?;
                Err(Error::WrongState {
                    state: instance.state.name(),
                })
            }
            InstanceState::Active(_) => {
                let opened = self
                    .open_destroy(tx.as_mut(), instance, EndReason::Requested)
                    .await?;
                tx.commit().await?;
                opened.ok_or(Error::OperationInProgress { instance: id })
            }
        }
    }

    /// Opens the destruction of an active instance in the caller's transaction; `None` when another
    /// operation holds the instance.
    pub(crate) async fn open_destroy(
        &self,
        tx: &mut dyn Tx,
        instance: Instance,
        reason: EndReason,
    ) -> Result<Option<Submitted>, Error> {
        let now = self.now();
        let id = instance.id;
        let marked_by = tx.provision_of(id).await?.map(|provision| provision.id);
        let digest = Sha256::digest(format!("destroy {id}").as_bytes()).into();
        let mut operation = Operation::open(
            OperationId::generate(now, self.entropy.as_ref()),
            OperationKind::Destroy,
            instance.owner,
            id,
            None,
            digest,
            now,
        );
        operation.data.marked_by = marked_by;
        let until = now.plus(self.timing().lease);
        let lease = match tx
            .open_operation(&operation, &self.config.holder, until)
            .await?
        {
            Opened::Leased(lease) => lease,
            Opened::InstanceBusy => return Ok(None),
        };
        tx.save_instance(&instance.begin_destroy(reason)?).await?;
        let detail = format!("{{\"reason\":\"{reason}\"}}");
        tx.append_event(operation.id, now, &self.config.holder, "opened", &detail)
            .await?;
        tracing::info!(
            operation.id = %operation.id, instance.id = %id, reason = %reason, "destruction opened"
        );
        Ok(Some(Submitted::leased(&operation, lease)))
    }
}
