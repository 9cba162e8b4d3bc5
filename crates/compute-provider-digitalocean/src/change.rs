//! What is done to a machine between its first start and its end: another size, and its switch.

use compute_domain::catalog::{Plan, PlanId, ProviderInstanceId, RegionId};
use compute_engine::ports::{ActionId, ActionState, Power, ProviderError, ResizeCheck};
use compute_outbound::Urgency;

use crate::classify::{Failure, PENDING_EVENT, of_power, of_resize, unreadable};
use crate::convert;
use crate::mark::Whose;
use crate::provider::{DigitalOcean, number_of, rejected};
use crate::wire::{ActionBody, ActionRow, SizedRow};

const NOT_OURS: &str = "the plan is not one of DigitalOcean";

impl DigitalOcean {
    pub(crate) async fn check_size(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        let id = number_of(machine)?;
        let row = self.client.size(id).await?;
        if row.id != id {
            return Err(unreadable().into());
        }
        check(&row, to)
    }

    pub(crate) async fn change_size(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        grow_disk: bool,
    ) -> Result<ActionId, ProviderError> {
        let id = number_of(machine)?;
        let slug = convert::slug(to).ok_or_else(|| rejected(NOT_OURS))?;
        self.refuse_theirs(id).await?;
        let body = ActionBody {
            kind: "resize",
            size: Some(slug),
            disk: Some(grow_disk),
        };
        let begun = self.client.act(id, &body, Urgency::Usual).await;
        let begun = begun.map_err(of_resize)?;
        check_resource(&begun, id)?;
        Ok(ActionId(begun.id.to_string()))
    }

    pub(crate) async fn read_action(
        &self,
        machine: &ProviderInstanceId,
        action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        let id = number_of(machine)?;
        let Ok(number) = action.0.parse::<u64>() else {
            return Ok(ActionState::Running);
        };
        let row = match self.client.action(number).await {
            Ok(row) => row,
            Err(Failure::NotFound) => return Ok(ActionState::Running),
            Err(failure) => return Err(failure.into()),
        };
        check_resource(&row, id)?;
        Ok(match row.status.as_str() {
            "completed" => ActionState::Done,
            "errored" => ActionState::Failed,
            _ => ActionState::Running,
        })
    }

    pub(crate) async fn switch(
        &self,
        machine: &ProviderInstanceId,
        power: Power,
    ) -> Result<(), ProviderError> {
        let id = number_of(machine)?;
        self.refuse_theirs(id).await?;
        // A machine left off is paid for nothing. A restart asks the system itself, which keeps what it
        // has not written yet; one that does not listen any more can be switched off and on.
        let (kind, urgency, as_wished) = match power {
            Power::On => (
                "power_on",
                Urgency::Urgent,
                ["already powered on", "already on"].as_slice(),
            ),
            Power::Off => (
                "power_off",
                Urgency::Usual,
                ["already powered off", "already off"].as_slice(),
            ),
            Power::Cycle => ("reboot", Urgency::Usual, [].as_slice()),
        };
        let body = ActionBody {
            kind,
            size: None,
            disk: None,
        };
        match self.client.act(id, &body, urgency).await {
            Ok(begun) => check_resource(&begun, id),
            Err(failure) => of_power(failure, as_wished),
        }
    }

    // A copy of a database in another installation would use the switch of our machines. What cannot be
    // found out does not stand in the way: a machine of ours must not stay off.
    async fn refuse_theirs(&self, id: u64) -> Result<(), ProviderError> {
        if self.knows(id) {
            return Ok(());
        }
        let look = self.client.droplet(id);
        match tokio::time::timeout(self.timeouts.connect, look).await {
            Ok(Ok(row)) if self.note(&row) == Whose::Theirs => {
                tracing::error!(
                    provider.name = "digitalocean",
                    machine = id,
                    "a machine of another installation is not touched"
                );
                Err(rejected("the machine belongs to another installation"))
            }
            _ => Ok(()),
        }
    }
}

fn check_resource(action: &ActionRow, machine: u64) -> Result<(), ProviderError> {
    if action.resource_id.is_some_and(|id| id != machine) {
        return Err(unreadable().into());
    }
    Ok(())
}

// The vendor has no list of what goes together: its rules as far as they are known, and the safe side
// where they are not.
fn check(row: &SizedRow, to: &Plan) -> Result<ResizeCheck, ProviderError> {
    let region = row
        .region
        .as_ref()
        .and_then(|region| region.slug.as_deref());
    let (Some(from), Some(disk), Some(region)) = (row.size_slug.as_deref(), row.disk, region)
    else {
        return Err(unreadable().into());
    };
    let Some(slug) = convert::slug(&to.id) else {
        return Ok(ResizeCheck::OtherFamily);
    };
    let is_gpu = |slug: &str| slug.starts_with("gpu-");
    if row.gpu_info.is_some() || is_gpu(from) || is_gpu(slug) || to.gpu.is_some() {
        return Ok(ResizeCheck::Never);
    }
    // Put away by the vendor: it has neither power nor a host.
    if row.status == "archive" {
        return Ok(ResizeCheck::Never);
    }
    // Its size may be about to change, and it takes no other order now.
    if row.locked {
        let retry_after = Some(PENDING_EVENT);
        return Err(ProviderError::Throttled { retry_after });
    }
    let region = RegionId::parse(region).map_err(|_| ProviderError::from(unreadable()))?;
    if family(from) != family(slug) || !to.locations.contains(&region) {
        return Ok(ResizeCheck::OtherFamily);
    }
    // Also when the disk is to stay as it is.
    if to.disk_gb < disk {
        return Ok(ResizeCheck::Smaller);
    }
    Ok(ResizeCheck::Possible {
        grows_disk: to.disk_gb > disk,
    })
}

// The kind of processors and their maker: `s-2vcpu-4gb-amd` is of `s` and `amd`.
fn family(slug: &str) -> (&str, Option<&str>) {
    let kind = slug.split('-').next().unwrap_or(slug);
    let maker = slug.rsplit('-').next();
    (kind, maker.filter(|maker| ["amd", "intel"].contains(maker)))
}

#[cfg(test)]
#[path = "change/tests.rs"]
mod tests;
