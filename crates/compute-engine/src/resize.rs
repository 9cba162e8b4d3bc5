//! Giving a machine another plan, with what is left of its prepaid value.

use compute_domain::catalog::PlanId;
use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::instance::{Instance, Placement, Resizing};
use compute_domain::money::{HourlyRate, Usd};
use compute_domain::operation::{Operation, OperationKind, PlanChange, Step};
use compute_domain::owner::Scope;
use compute_domain::time::{Span, Timestamp};

use crate::engine::Engine;
use crate::error::{Error, ResizeRefusal};
use crate::identity::Caller;
use crate::ports::{ProviderError, ResizeCheck, Tx, TxMode};
use crate::purchase::Submitted;
use crate::subject::{Opened, digest_of};

/// A request for another plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizeRequest {
    /// The plan to come.
    pub plan: PlanId,
    /// Whether the disk may grow for good.
    pub confirm_disk: bool,
}

/// What a change of plan comes to, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResizePlan {
    /// The instance as it is.
    pub instance: Instance,
    /// The plan to come.
    pub to: PlanId,
    /// What an hour will cost.
    pub rate: HourlyRate,
    /// What is left of the prepaid value; all of it is kept.
    pub left: Usd,
    /// When it was looked at.
    pub at: Timestamp,
    /// End of the prepaid time with the plan as it is.
    pub old_expires_at: Timestamp,
    /// The same with the plan to come, were it there now.
    pub new_expires_at: Timestamp,
    /// Whether the disk grows for good.
    pub grows_disk: bool,
}

impl ResizePlan {
    /// The time that is left with the plan as it is.
    pub fn time_before(&self) -> Span {
        self.old_expires_at.since(self.at)
    }

    /// The time that is left with the plan to come.
    pub fn time_after(&self) -> Span {
        self.new_expires_at.since(self.at)
    }
}

impl Engine {
    /// What giving the caller's machine another plan would come to; changes nothing.
    ///
    /// # Errors
    /// As [`Engine::resize`].
    pub async fn plan_resize(
        &self,
        caller: &Caller,
        id: InstanceId,
        request: &ResizeRequest,
    ) -> Result<ResizePlan, Error> {
        caller.require(Scope::Manage)?;
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let looked = self.look_at_resize(tx.as_mut(), owner, id, request).await;
        // A signature's nonce is spent whatever comes of it.
        tx.commit().await?;
        self.ask_provider(looked?, request).await
    }

    /// Gives the caller's machine another plan. What is left of the prepaid value is kept and counted
    /// anew once the provider has brought it about; until then, and when it fails, plan, rate and end
    /// stay as they are.
    ///
    /// # Errors
    /// `NotFound` for a foreign or unknown id; `WrongState` unless it is active; `OperationInProgress`
    /// while something else is done with it; `UnknownPlan`, `PlanNotInRegion` and `ResizeRefused` when
    /// the rules forbid it; `LimitReached` when all instances would cost too much;
    /// `ProviderUnavailable` when its provider could not be asked.
    pub async fn resize(
        &self,
        caller: &Caller,
        id: InstanceId,
        request: &ResizeRequest,
    ) -> Result<(Submitted, ResizePlan), Error> {
        let asked = self.plan_resize(caller, id, request).await?;
        // The provider was asked in between, so everything of ours is looked at again, under a lock.
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.lock_instance(id).await?;
        let owner = asked.instance.owner;
        let plan = self
            .look_at_resize(tx.as_mut(), Some(owner), id, request)
            .await;
        let plan = match plan {
            Ok(plan) => ResizePlan {
                grows_disk: asked.grows_disk,
                ..plan
            },
            Err(refusal) => {
                tx.rollback().await?;
                return Err(refusal);
            }
        };
        let submitted = self.open_resize(tx.as_mut(), &plan, request).await;
        match submitted {
            Ok(submitted) => {
                tx.commit().await?;
                Ok((submitted, plan))
            }
            Err(error) => {
                tx.rollback().await?;
                Err(error)
            }
        }
    }

    /// Everything that can be said without the provider.
    async fn look_at_resize(
        &self,
        tx: &mut dyn Tx,
        owner: Option<OwnerId>,
        id: InstanceId,
        request: &ResizeRequest,
    ) -> Result<ResizePlan, Error> {
        let found = tx.find_instance(id).await?;
        let instance = found
            .filter(|found| Some(found.owner) == owner)
            .ok_or(Error::NotFound)?;
        self.check_extendable(&instance)?;
        self.check_idle(tx, id).await?;
        let rate = self.resized_rate(&instance, request)?;
        let now = self.now();
        let prepaid = tx.lots_of(id).await?;
        let fault = |error| Error::Internal(Box::new(error));
        let left = prepaid.left(now).map_err(fault)?;
        if left < rate.usd() {
            let rate = rate.usd();
            return Err(ResizeRefusal::TooLittleLeft { left, rate }.into());
        }
        let operation = OperationId::generate(now, self.entropy.as_ref());
        let converted = prepaid.convert(operation, rate, now).map_err(fault)?;
        let new_expires_at = converted
            .expires_at()
            .ok_or_else(|| Error::Internal("a conversion left no time".into()))?;
        Ok(ResizePlan {
            to: request.plan.clone(),
            rate,
            left,
            at: now,
            old_expires_at: instance.expires_at(),
            new_expires_at,
            grows_disk: false,
            instance,
        })
    }

    /// Today's price of the plan, where the machine is.
    fn resized_rate(
        &self,
        instance: &Instance,
        request: &ResizeRequest,
    ) -> Result<HourlyRate, Error> {
        if request.plan == instance.plan {
            return Err(ResizeRefusal::SamePlan.into());
        }
        let shelf = self.shelf()?;
        let Some(plan) = shelf.find_plan(&request.plan) else {
            // Its provider sells nothing at present.
            return Err(match shelf.withheld(&request.plan) {
                Some(_) => Error::CatalogUnavailable,
                None => Error::UnknownPlan,
            });
        };
        if plan.plan.provider != instance.provider {
            let provider = instance.provider;
            return Err(ResizeRefusal::OtherProvider { provider }.into());
        }
        let sold = &plan.plan;
        if sold.locations.binary_search(&instance.region).is_err() {
            return Err(Error::PlanNotInRegion {
                locations: sold.locations.clone(),
            });
        }
        self.rate_in(plan, &instance.region)
    }

    /// Refuses while something else is being done with the instance.
    pub(crate) async fn check_idle(&self, tx: &mut dyn Tx, id: InstanceId) -> Result<(), Error> {
        let operations = tx.operations_of(id).await?;
        let holder = operations
            .into_iter()
            .find(|operation| operation.holds_instance());
        holder.map_or(Ok(()), |holder| {
            Err(Error::OperationInProgress {
                operation: Some(holder.id),
                instance: Some(id),
            })
        })
    }

    /// The provider's own rules.
    async fn ask_provider(
        &self,
        plan: ResizePlan,
        request: &ResizeRequest,
    ) -> Result<ResizePlan, Error> {
        let provider = self
            .providers
            .get(&plan.instance.provider)
            .ok_or(Error::ProviderUnavailable)?;
        let shelf = self.shelf()?;
        let target = shelf.find_plan(&request.plan).ok_or(Error::UnknownPlan)?;
        let Some(Placement { machine, .. }) = plan.instance.placement() else {
            return Err(Error::Internal("an active instance has no machine".into()));
        };
        let check = match provider.check_resize(machine, &target.plan).await {
            Ok(check) => check,
            Err(ProviderError::Rejected { reason }) => {
                tracing::warn!(
                    instance.id = %plan.instance.id, %reason, "the provider refuses a look at a change"
                );
                ResizeCheck::Never
            }
            Err(error) => {
                tracing::warn!(
                    instance.id = %plan.instance.id, %error, "a change of plan could not be looked at"
                );
                return Err(Error::ProviderUnavailable);
            }
        };
        let refusal = match check {
            ResizeCheck::Possible { grows_disk: true } if !request.confirm_disk => {
                ResizeRefusal::DiskNotConfirmed
            }
            ResizeCheck::Possible { grows_disk } => return Ok(ResizePlan { grows_disk, ..plan }),
            ResizeCheck::Smaller => ResizeRefusal::Smaller,
            ResizeCheck::OtherFamily => ResizeRefusal::OtherFamily,
            ResizeCheck::Never => ResizeRefusal::Never,
        };
        Err(refusal.into())
    }

    async fn open_resize(
        &self,
        tx: &mut dyn Tx,
        plan: &ResizePlan,
        request: &ResizeRequest,
    ) -> Result<Submitted, Error> {
        let (now, instance) = (plan.at, &plan.instance);
        let switches_off = self
            .providers
            .get(&instance.provider)
            .is_some_and(|provider| provider.resizes_when_off());
        let mut operation = Operation::open(
            OperationId::generate(now, self.entropy.as_ref()),
            OperationKind::Resize,
            instance.owner,
            Some(instance.id),
            digest_of(&("resize", instance.id, &request.plan)),
            now,
        );
        if !switches_off {
            operation = operation.advance(Step::Change, now, now);
        }
        operation.data.seen_alive = true;
        operation.data.change = Some(PlanChange {
            to: plan.to.clone(),
            rate: plan.rate,
            grow_disk: plan.grows_disk && request.confirm_disk,
            switches_off,
            action: None,
            is_done: false,
            given_up: None,
            idle_since: None,
        });
        let under_way = instance.clone().begin_resize(Resizing {
            to: plan.to.clone(),
            rate: plan.rate,
            expires_at: plan.new_expires_at,
        })?;
        let Opened { operation, lease } = self.open_operation(tx, operation).await?;
        let (before, after) = (instance.place_rate(), under_way.place_rate());
        let most = self.config.caps.hourly_total;
        if before != after && !tx.change_place(instance.owner, before, after, most).await? {
            return Err(Error::LimitReached { is_own: false });
        }
        tx.save_instance(&under_way).await?;
        let detail = format!("{{\"from\":\"{}\",\"to\":\"{}\"}}", instance.plan, plan.to);
        tx.append_event(operation.id, now, &self.config.holder, "opened", &detail)
            .await?;
        tracing::info!(
            operation.id = %operation.id, instance.id = %instance.id, from = %instance.plan,
            to = %plan.to, left = %plan.left, "change of plan opened"
        );
        Ok(Submitted::leased(&operation, lease))
    }
}
