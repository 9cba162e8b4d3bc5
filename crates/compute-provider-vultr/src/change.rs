//! What is done to a machine between its first start and its end: another plan, its switch, a new start.

use compute_domain::catalog::{Plan, PlanId, ProviderInstanceId};
use compute_engine::ports::{ActionId, ActionState, Ambiguity, Power, ProviderError, ResizeCheck};
use compute_outbound::Urgency;
use secrecy::{ExposeSecret, SecretString};

use crate::classify::{Failure, of_resize};
use crate::provider::Vultr;
use crate::tag::Whose;

const UNREADABLE: ProviderError = ProviderError::Ambiguous(Ambiguity::Unreadable);

impl Vultr {
    // The vendor's list is the rule: which plans go together is not told by anything else.
    pub(crate) async fn check_plan(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        let row = self.client.size(machine.as_str()).await?;
        if row.id != machine.as_str() {
            return Err(UNREADABLE);
        }
        let plans = self.client.upgrades(machine.as_str()).await?;
        if plans.iter().any(|plan| plan == to.id.as_str()) {
            // Disks only ever grow here, and the vendor asks for no confirmation.
            return Ok(ResizeCheck::Possible { grows_disk: false });
        }
        let is_smaller =
            to.vcpu_count < row.vcpu_count || to.ram_mib < row.ram || to.disk_gb < row.disk;
        Ok(if is_smaller {
            ResizeCheck::Smaller
        } else {
            ResizeCheck::OtherFamily
        })
    }

    pub(crate) async fn change_plan(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.refuse_theirs(machine).await?;
        let changed = self.client.change_plan(machine.as_str(), to.as_str()).await;
        let changed = changed.map_err(of_resize)?;
        if changed.instance.id != machine.as_str() {
            return Err(UNREADABLE);
        }
        Ok(changed.job_ids.into_iter().next().map(ActionId))
    }

    pub(crate) async fn read_job(
        &self,
        machine: &ProviderInstanceId,
        action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        let job = match self.client.job(&action.0).await {
            Ok(job) => job,
            Err(Failure::NotFound) => return Ok(ActionState::Running),
            Err(failure) => return Err(failure.into()),
        };
        if job.vps_id.is_some_and(|id| id != machine.as_str()) {
            return Err(UNREADABLE);
        }
        Ok(job_state(&job.state))
    }

    pub(crate) async fn switch(
        &self,
        machine: &ProviderInstanceId,
        power: Power,
    ) -> Result<(), ProviderError> {
        self.refuse_theirs(machine).await?;
        // The vendor has no softer way to switch off, and a machine left off is paid for nothing.
        let (deed, urgency) = match power {
            Power::On => ("start", Urgency::Urgent),
            Power::Off => ("halt", Urgency::Usual),
            Power::Cycle => ("reboot", Urgency::Usual),
        };
        let switched = self.client.switch(machine.as_str(), deed, urgency).await;
        Ok(switched?)
    }

    // A copy of a database in another installation would use the switch of our machines. What cannot be
    // found out does not stand in the way: a machine of ours must not stay off.
    async fn refuse_theirs(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        let is_ours = self.keys().contains_key(machine);
        if is_ours {
            return Ok(());
        }
        let look = self.client.instance(machine.as_str());
        match tokio::time::timeout(self.timeouts.connect, look).await {
            Ok(Ok(row)) if self.note(machine, &row.tags) == Whose::Theirs => Err(theirs(machine)),
            _ => Ok(()),
        }
    }

    pub(crate) async fn set_up_anew(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        // Nothing but a question is sent so far, whatever becomes of it.
        let look = self.client.instance(machine.as_str());
        let row = tokio::time::timeout(self.timeouts.request, look).await;
        let row = row.map_err(|_| ProviderError::Unreachable)?;
        let row = row.map_err(|failure| match ProviderError::from(failure) {
            ProviderError::Ambiguous(_) => ProviderError::Unreachable,
            error => error,
        })?;
        if self.note(machine, &row.tags) == Whose::Theirs {
            return Err(theirs(machine));
        }
        let made = self.client.reinstall(machine.as_str()).await?;
        if made.id != machine.as_str() {
            return Err(UNREADABLE);
        }
        let is_told = |password: &_| !ExposeSecret::<str>::expose_secret(password).is_empty();
        Ok(made.default_password.filter(is_told))
    }
}

fn theirs(machine: &ProviderInstanceId) -> ProviderError {
    tracing::error!(
        provider.name = "vultr", %machine,
        "a machine of another installation is not touched"
    );
    ProviderError::Rejected {
        reason: "the machine belongs to another installation".to_owned(),
    }
}

// `success` alone is documented.
fn job_state(state: &str) -> ActionState {
    match state.to_ascii_lowercase().as_str() {
        "success" => ActionState::Done,
        "failed" => ActionState::Failed,
        word if word.starts_with("error") => ActionState::Failed,
        _ => ActionState::Running,
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    use super::*;
    use crate::wire::{AccountAnswer, ChangedAnswer, CreatedRow, InstanceAnswer, JobAnswer};
    use crate::wire::{SizedRow, UpgradesAnswer};

    /// The vendor's document, whose examples are answers; see the fixtures of the double.
    const DOCUMENT: &str =
        include_str!("../../compute-vendor-double/fixtures/openapi/vultr.subset.json");

    fn example<T: DeserializeOwned>(path: &str, method: &str, status: &str) -> T {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let answer = &document["paths"][path][method]["responses"][status];
        let examples = &answer["content"]["application/json"]["examples"];
        let (_, example) = examples.as_object().unwrap().iter().next().unwrap();
        serde_json::from_str(&example["value"].to_string()).unwrap()
    }

    #[test]
    fn the_examples_of_the_vendor_are_read() {
        let upgrades: UpgradesAnswer =
            example("/v2/instances/{instance-id}/upgrades", "get", "200");
        assert_eq!(upgrades.upgrades.plans.len(), 6);
        let changed: ChangedAnswer = example("/v2/instances/{instance-id}", "patch", "202");
        assert_eq!(changed.instance.id, "cb676a46-66fd-4dfb-b839-443f2e6c0b60");
        let job = "b3123d06-ec83-456c-ac71-ae8c4bc95e18";
        assert_eq!(changed.job_ids, [job]);
        let sized: InstanceAnswer<SizedRow> =
            example("/v2/instances/{instance-id}", "patch", "202");
        let sized = sized.instance;
        assert_eq!((sized.vcpu_count, sized.ram, sized.disk), (1, 1_024, 25));
        let job: JobAnswer = example("/v2/instances/jobs/{job-id}", "get", "200");
        assert_eq!(job_state(&job.job.state), ActionState::Done);
        assert_eq!(
            job.job.vps_id.as_deref(),
            Some(changed.instance.id.as_str())
        );
        let anew: InstanceAnswer<CreatedRow> =
            example("/v2/instances/{instance-id}/reinstall", "post", "202");
        assert!(anew.instance.default_password.is_some());
        let account: AccountAnswer = example("/v2/account", "get", "200");
        let funds = crate::account::read(&account.account).funds;
        assert_eq!(funds.map(|funds| funds.micros()), Some(40_300_000));
    }

    #[test]
    fn a_job_ends_by_the_words_that_are_known() {
        for (word, state) in [
            ("success", ActionState::Done),
            ("failed", ActionState::Failed),
            ("error", ActionState::Failed),
            ("errored", ActionState::Failed),
            ("Error: no room", ActionState::Failed),
            ("pending", ActionState::Running),
            ("running", ActionState::Running),
            ("unsuccessful?", ActionState::Running),
            ("", ActionState::Running),
        ] {
            assert_eq!(job_state(word), state, "{word}");
        }
    }
}
