//! The switch of a machine, and its protection against its own owner.

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::Instance;
use compute_domain::operation::{Operation, OperationKind, PowerAction, SwitchUse};
use compute_domain::owner::Scope;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::Tx;
use crate::purchase::Submitted;
use crate::subject::{Opened, digest_of};

impl Engine {
    /// Uses the switch of the caller's machine, or sets it up anew. Its prepaid time goes on whatever
    /// its power. Setting up anew erases its disk, and where it has a root password, brings a new one,
    /// which can be taken once.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `WrongState` unless it is active,
    /// `OperationInProgress` while something else is done with it, `NotOffered` for what its provider
    /// does not have.
    pub async fn switch(
        &self,
        caller: &Caller,
        id: InstanceId,
        action: PowerAction,
    ) -> Result<Submitted, Error> {
        caller.require(Scope::Manage)?;
        let (mut tx, instance) = self.lock_own(caller, id).await?;
        let opened = self.open_switch(tx.as_mut(), &instance, action).await;
        // A signature's nonce is spent whatever comes of it; a refusal has written nothing else.
        tx.commit().await?;
        opened
    }

    /// Protects the caller's machine against being destroyed by its owner, or lifts that. It expires
    /// all the same. Doing it twice is harmless.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `WrongState` for one that is over.
    pub async fn protect(
        &self,
        caller: &Caller,
        id: InstanceId,
        is_protected: bool,
    ) -> Result<Instance, Error> {
        caller.require(Scope::Manage)?;
        let (mut tx, mut instance) = self.lock_own(caller, id).await?;
        if let Err(refusal) = self.check_extendable(&instance) {
            tx.commit().await?;
            return Err(refusal);
        }
        instance.is_protected = is_protected;
        tx.save_instance(&instance).await?;
        tx.commit().await?;
        tracing::info!(instance.id = %id, is_protected, "deletion protection set");
        Ok(instance)
    }

    /// Opens a transaction with the caller's instance locked in it.
    pub(crate) async fn lock_own(
        &self,
        caller: &Caller,
        id: InstanceId,
    ) -> Result<(Box<dyn Tx>, Instance), Error> {
        let (mut tx, owner) = self.open_for(caller).await?;
        let found = tx.lock_instance(id).await?;
        match found.filter(|found| Some(found.owner) == owner) {
            Some(instance) => Ok((tx, instance)),
            None => {
                tx.commit().await?;
                Err(Error::NotFound)
            }
        }
    }

    async fn open_switch(
        &self,
        tx: &mut dyn Tx,
        instance: &Instance,
        action: PowerAction,
    ) -> Result<Submitted, Error> {
        self.check_extendable(instance)?;
        self.check_idle(tx, instance.id).await?;
        let provider = self
            .providers
            .get(&instance.provider)
            .ok_or(Error::ProviderUnavailable)?;
        if action == PowerAction::Reinstall && !provider.reinstalls() {
            return Err(Error::NotOffered);
        }
        let now = self.now();
        let mut operation = Operation::open(
            OperationId::generate(now, self.entropy.as_ref()),
            OperationKind::Power,
            instance.owner,
            Some(instance.id),
            digest_of(&("power", instance.id, action)),
            now,
        );
        operation.data.switch = Some(SwitchUse {
            action,
            is_accepted: false,
            was_unclear: false,
        });
        let Opened { operation, lease } = self.open_operation(tx, operation).await?;
        let detail = format!("{{\"action\":\"{action}\"}}");
        tx.append_event(operation.id, now, &self.config.holder, "opened", &detail)
            .await?;
        tracing::info!(
            operation.id = %operation.id, instance.id = %instance.id, %action, "power action opened"
        );
        Ok(Submitted::leased(&operation, lease))
    }
}
