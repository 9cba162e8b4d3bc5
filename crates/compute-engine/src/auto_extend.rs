//! Extending a machine from its owner's credits before its time ends, as often as a cap allows.
//!
//! One transaction debits the credits, charges the cap, moves the end and writes the operation, with
//! the instance locked: whoever comes second sees the new end, and a crash leaves all or nothing. So no
//! end is extended twice, and no machine is paid for that is being taken down.

use compute_domain::id::InstanceId;
use compute_domain::instance::Instance;
use compute_domain::money::{Hours, Usd};
use compute_domain::owner::Scope;

use crate::ahead::extension_due;
use crate::engine::Engine;
use crate::error::{AuthFailure, Error};
use crate::identity::Caller;
use crate::ports::{AutoExtension, Tx};

/// How a machine is to be extended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoExtendTerms {
    /// By how much each time.
    pub hours: Hours,
    /// What all extensions together may cost, as long as it stays switched on.
    pub max_total: Usd,
}

impl AutoExtendTerms {
    fn check(self) -> Result<(), Error> {
        if self.max_total == Usd::ZERO {
            return Err(Error::Invalid {
                field: "max_total_usd",
                rule: "max_total_usd is more than 0".to_owned(),
            });
        }
        Ok(())
    }

    /// The wish for a machine that `caller` has, or is about to get. When it is not there yet, its end is
    /// a guess: whoever makes it plans anew, and if a replica that does not know wishes makes it, the
    /// guess is looked at again when it is due.
    pub(crate) fn for_new(self, instance: &Instance, caller: &Caller) -> AutoExtension {
        AutoExtension {
            instance: instance.id,
            hours: self.hours,
            max_total: self.max_total,
            spent: Usd::ZERO,
            api_key: match caller {
                Caller::ApiKey { id, .. } => Some(*id),
                Caller::Anonymous | Caller::Wallet(_) => None,
            },
            due_at: Some(extension_due(instance, instance.expires_at())),
            failures: 0,
            told: None,
        }
    }
}

impl Engine {
    /// Refuses a wish to spend credits of somebody who shows nothing that may spend them.
    pub(crate) fn check_auto_extend(
        caller: &Caller,
        terms: Option<AutoExtendTerms>,
    ) -> Result<(), Error> {
        let Some(terms) = terms else {
            return Ok(());
        };
        if matches!(caller, Caller::Anonymous) {
            return Err(AuthFailure::Required.into());
        }
        caller.require(Scope::Spend)?;
        terms.check()
    }

    /// Switches it on, with other terms, or off, for the caller's machine. What was spent counts on
    /// towards the new cap while it stays on. It is charged to the budget of the API key that sets it.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `WrongState` for a machine that is not active,
    /// `ScopeMissing` for a key that may not manage, or may not spend what it would switch on.
    pub async fn set_auto_extend(
        &self,
        caller: &Caller,
        id: InstanceId,
        terms: Option<AutoExtendTerms>,
    ) -> Result<Option<AutoExtension>, Error> {
        caller.require(Scope::Manage)?;
        Self::check_auto_extend(caller, terms)?;
        let (mut tx, instance) = self.lock_own(caller, id).await?;
        let set = self.write_wish(tx.as_mut(), caller, &instance, terms).await;
        // A signature's nonce is spent whatever comes of it; a refusal has written nothing else.
        tx.commit().await?;
        let set = set?;
        tracing::info!(instance.id = %id, is_on = set.is_some(), "auto extension set");
        Ok(set)
    }

    async fn write_wish(
        &self,
        tx: &mut dyn Tx,
        caller: &Caller,
        instance: &Instance,
        terms: Option<AutoExtendTerms>,
    ) -> Result<Option<AutoExtension>, Error> {
        let Some(terms) = terms else {
            tx.clear_auto_extension(instance.id).await?;
            return Ok(None);
        };
        self.check_extendable(instance)?;
        let before = tx.find_auto_extension(instance.id).await?;
        let wish = AutoExtension {
            spent: before.map_or(Usd::ZERO, |before| before.spent),
            ..terms.for_new(instance, caller)
        };
        tx.set_auto_extension(&wish).await?;
        Ok(Some(wish))
    }

    /// How the caller's machine is extended by itself, if it is.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id, `Unauthenticated` for an anonymous caller.
    pub async fn auto_extension(
        &self,
        caller: &Caller,
        id: InstanceId,
    ) -> Result<Option<AutoExtension>, Error> {
        caller.require(Scope::Read)?;
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let found = tx.find_instance(id).await?;
        let is_own = found.is_some_and(|found| Some(found.owner) == owner);
        let wish = match is_own {
            true => tx.find_auto_extension(id).await?,
            false => None,
        };
        tx.commit().await?;
        is_own.then_some(wish).ok_or(Error::NotFound)
    }
}
