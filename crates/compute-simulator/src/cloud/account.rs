//! The machines that exist in a simulated account, now and after a restart.

use std::collections::HashMap;
use std::path::Path;

use compute_domain::catalog::{PlanId, ProviderInstanceId, RegionId};
use compute_domain::id::OperationId;
use compute_engine::ports::MachineTag;
use serde::{Deserialize, Serialize};

use crate::error::{JournalError, SimulatorError};
use crate::journal::Journal;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Record {
    Created {
        machine: ProviderInstanceId,
        tag: WrittenTag,
        plan: PlanId,
        region: RegionId,
    },
    Destroyed {
        machine: ProviderInstanceId,
    },
    Resized {
        machine: ProviderInstanceId,
        plan: PlanId,
        /// The plan whose disk it has.
        disk_of: PlanId,
    },
    Switched {
        machine: ProviderInstanceId,
        is_on: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTag {
    environment: String,
    operation: OperationId,
    attempt: u32,
}

/// A machine that exists.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) id: ProviderInstanceId,
    pub(super) tag: MachineTag,
    pub(super) plan: PlanId,
    pub(super) region: RegionId,
    /// The plan whose disk it has: a change of plan need not change the disk.
    pub(super) disk_of: PlanId,
    pub(super) is_on: bool,
    /// Counts machines of the account, so that those of one millisecond keep their order.
    serial: u64,
}

/// The account: what exists, and where that is written down.
#[derive(Debug)]
pub(super) struct Account {
    machines: HashMap<ProviderInstanceId, Machine>,
    next_serial: u64,
    journal: Journal,
}

impl Account {
    /// Opens the account, with the machines of earlier runs when there is a journal.
    pub(super) fn open(journal: Option<&Path>) -> Result<Self, SimulatorError> {
        let (journal, records) = Journal::open(journal)?;
        let mut account = Self {
            machines: HashMap::new(),
            next_serial: 0,
            journal,
        };
        for record in records {
            match record {
                Record::Created {
                    machine,
                    tag,
                    plan,
                    region,
                } => account.remember(machine, tag.into(), plan, region),
                Record::Destroyed { machine } => drop(account.machines.remove(&machine)),
                Record::Resized {
                    machine,
                    plan,
                    disk_of,
                } => account.change(&machine, |known| {
                    known.plan = plan;
                    known.disk_of = disk_of;
                }),
                Record::Switched { machine, is_on } => {
                    account.change(&machine, |known| known.is_on = is_on);
                }
            }
        }
        Ok(account)
    }

    /// Adds a machine; after an error it does not exist.
    pub(super) fn add(
        &mut self,
        machine: &ProviderInstanceId,
        tag: &MachineTag,
        plan: &PlanId,
        region: &RegionId,
    ) -> Result<(), JournalError> {
        self.journal.append(&Record::Created {
            machine: machine.clone(),
            tag: tag.into(),
            plan: plan.clone(),
            region: region.clone(),
        })?;
        self.remember(machine.clone(), tag.clone(), plan.clone(), region.clone());
        Ok(())
    }

    /// Gives a machine another plan, and that plan's disk or the one it has.
    pub(super) fn resize(
        &mut self,
        machine: &ProviderInstanceId,
        plan: &PlanId,
        disk_of: &PlanId,
    ) -> Result<(), JournalError> {
        self.journal.append(&Record::Resized {
            machine: machine.clone(),
            plan: plan.clone(),
            disk_of: disk_of.clone(),
        })?;
        self.change(machine, |known| {
            known.plan = plan.clone();
            known.disk_of = disk_of.clone();
        });
        Ok(())
    }

    /// Switches a machine on or off.
    pub(super) fn switch(
        &mut self,
        machine: &ProviderInstanceId,
        is_on: bool,
    ) -> Result<(), JournalError> {
        self.journal.append(&Record::Switched {
            machine: machine.clone(),
            is_on,
        })?;
        self.change(machine, |known| known.is_on = is_on);
        Ok(())
    }

    fn change(&mut self, machine: &ProviderInstanceId, change: impl FnOnce(&mut Machine)) {
        if let Some(known) = self.machines.get_mut(machine) {
            change(known);
        }
    }

    /// Takes a machine away, if it is there; after an error it still exists.
    pub(super) fn remove(&mut self, machine: &ProviderInstanceId) -> Result<(), JournalError> {
        if self.machines.contains_key(machine) {
            self.journal.append(&Record::Destroyed {
                machine: machine.clone(),
            })?;
            self.machines.remove(machine);
        }
        Ok(())
    }

    /// The machine with this id.
    pub(super) fn find(&self, machine: &ProviderInstanceId) -> Option<&Machine> {
        self.machines.get(machine)
    }

    /// The machines that `is_wanted`, oldest first.
    pub(super) fn select(&self, is_wanted: impl Fn(&MachineTag) -> bool) -> Vec<Machine> {
        let mut found: Vec<Machine> = self
            .machines
            .values()
            .filter(|machine| is_wanted(&machine.tag))
            .cloned()
            .collect();
        found.sort_unstable_by_key(|machine| machine.serial);
        found
    }

    fn remember(
        &mut self,
        id: ProviderInstanceId,
        tag: MachineTag,
        plan: PlanId,
        region: RegionId,
    ) {
        let machine = Machine {
            id: id.clone(),
            tag,
            disk_of: plan.clone(),
            plan,
            region,
            is_on: true,
            serial: self.next_serial,
        };
        self.next_serial = self.next_serial.saturating_add(1);
        self.machines.insert(id, machine);
    }
}

impl From<WrittenTag> for MachineTag {
    fn from(tag: WrittenTag) -> Self {
        Self {
            environment: tag.environment,
            operation: tag.operation,
            attempt: tag.attempt,
        }
    }
}

impl From<&MachineTag> for WrittenTag {
    fn from(tag: &MachineTag) -> Self {
        Self {
            environment: tag.environment.clone(),
            operation: tag.operation,
            attempt: tag.attempt,
        }
    }
}
