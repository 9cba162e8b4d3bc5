//! What an operation does at the provider, and asks of it.

use std::sync::Arc;

use compute_domain::instance::{Instance, Placement};
use compute_domain::operation::{PlanChange, PowerAction, SwitchUse};
use compute_domain::setup::UserData;
use secrecy::SecretString;

use super::decide::Work;
use crate::engine::Engine;
use crate::ports::{
    ActionId, ActionState, CreateSpec, Created, MachineState, MachineTag, Observed, Power,
    Provider, ProviderError,
};

impl Engine {
    pub(super) fn provider_of(&self, work: &Work) -> Result<&Arc<dyn Provider>, ProviderError> {
        // A provider that is no longer configured is as good as one that does not answer.
        work.instance
            .as_ref()
            .and_then(|instance| self.providers.get(&instance.provider))
            .ok_or(ProviderError::Unreachable)
    }

    pub(super) async fn create_machine(
        &self,
        work: &Work,
        user_data: Option<UserData>,
    ) -> Result<Created, ProviderError> {
        let machine = work
            .operation
            .data
            .spec
            .clone()
            .ok_or_else(|| ProviderError::Rejected {
                reason: "the operation has no machine to make".to_owned(),
            })?;
        let tag = MachineTag {
            environment: self.config.environment.clone(),
            operation: work.operation.id,
            attempt: work.operation.data.machine_attempt,
        };
        let spec = CreateSpec {
            machine,
            tag,
            user_data,
        };
        let created = self.provider_of(work)?.create(&spec).await;
        self.note_create(&spec.machine, &created);
        created
    }

    pub(super) async fn observe(&self, work: &Work) -> Result<Observed, ProviderError> {
        let placement = placement_of(work)?;
        self.provider_of(work)?.observe(&placement.machine).await
    }

    pub(super) async fn destroy_machine(&self, work: &Work) -> Result<(), ProviderError> {
        let placement = placement_of(work)?;
        self.provider_of(work)?.destroy(&placement.machine).await
    }

    pub(super) async fn power(
        &self,
        work: &Work,
        power: Power,
    ) -> Result<Option<SecretString>, ProviderError> {
        let machine = &placement_of(work)?.machine;
        self.provider_of(work)?.power(machine, power).await?;
        Ok(None)
    }

    pub(super) async fn change_plan(&self, work: &Work) -> Result<Option<ActionId>, ProviderError> {
        let (machine, change) = (&placement_of(work)?.machine, change_of(work)?);
        let provider = self.provider_of(work)?;
        provider.resize(machine, &change.to, change.grow_disk).await
    }

    /// The provider's word on its own work is asked for as long as the machine does not show the plan,
    /// and when it shows it, too: it may still be busy.
    pub(super) async fn observe_change(
        &self,
        work: &Work,
    ) -> Result<(Observed, Option<ActionState>), ProviderError> {
        let (machine, change) = (&placement_of(work)?.machine, change_of(work)?);
        let provider = self.provider_of(work)?;
        // First the work, then the machine: what is done is then to be seen.
        let state = match &change.action {
            Some(action) => {
                let action = ActionId(action.clone());
                let state = provider.action(machine, &action).await;
                if let Err(error) = &state {
                    tracing::warn!(
                        operation.id = %work.operation.id, %error,
                        "the provider does not tell of its work; the machine does"
                    );
                }
                Some(state.unwrap_or(ActionState::Running))
            }
            None => None,
        };
        Ok((provider.observe(machine).await?, state))
    }

    pub(super) async fn use_switch(
        &self,
        work: &Work,
    ) -> Result<Option<SecretString>, ProviderError> {
        let Some(SwitchUse {
            action,
            is_accepted,
            ..
        }) = work.operation.data.switch
        else {
            return Err(ProviderError::Rejected {
                reason: "the operation does not say what to do".to_owned(),
            });
        };
        match action {
            PowerAction::Start => self.power(work, Power::On).await,
            PowerAction::Stop => self.power(work, Power::Off).await,
            // A restart that left the machine off is not repeated but finished.
            PowerAction::Reboot if is_accepted => self.power(work, Power::On).await,
            PowerAction::Reboot => self.power(work, Power::Cycle).await,
            PowerAction::Reinstall => {
                let machine = &placement_of(work)?.machine;
                self.provider_of(work)?.reinstall(machine).await
            }
        }
    }

    /// Gone means: the provider does not know it any more, and lists nothing with its mark and id.
    pub(super) async fn confirm_gone(&self, work: &Work) -> Result<bool, ProviderError> {
        let placement = placement_of(work)?;
        let provider = self.provider_of(work)?;
        if provider.observe(&placement.machine).await?.state != MachineState::Gone {
            return Ok(false);
        }
        let marked_by = work.operation.data.marked_by.unwrap_or(work.operation.id);
        let listed = provider.find(marked_by).await?;
        Ok(!listed.iter().any(|machine| {
            machine.machine == placement.machine && machine.state != MachineState::Gone
        }))
    }
}

fn placement_of(work: &Work) -> Result<&Placement, ProviderError> {
    let placement = work.instance.as_ref().and_then(Instance::placement);
    placement.ok_or_else(|| ProviderError::Rejected {
        reason: "the instance has no machine".to_owned(),
    })
}

fn change_of(work: &Work) -> Result<&PlanChange, ProviderError> {
    let change = work.operation.data.change.as_ref();
    change.ok_or_else(|| ProviderError::Rejected {
        reason: "the operation does not say what is to change".to_owned(),
    })
}
