//! Machines that are switched, changed and set up anew.

use std::collections::VecDeque;

use compute_domain::catalog::{Plan, PlanId, ProviderInstanceId};
use compute_domain::money::HourlyRate;
use compute_engine::ports::{ActionId, ActionState, Power, ProviderError, ResizeCheck};
use secrecy::SecretString;

use super::{Cloud, ScriptedMachine, ScriptedProvider, unknown};

/// So many looks a change of plan takes.
const LOOKS: u32 = 2;

/// What the cloud does with the next change of plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeFault {
    /// It takes the change on, but the answer is lost.
    TakenUnseen,
    /// It hears nothing, and the answer is lost.
    LostBefore,
    /// It refuses.
    Rejects,
    /// It has no room for it.
    NoRoom,
    /// It asks us to slow down.
    Throttles,
    /// It refuses our credentials.
    Unauthorized,
    /// It takes the change on, and gives it up later.
    GivesUp,
    /// It takes the change on without a name for it, and forgets it.
    Forgets,
    /// The process dies before anything is sent.
    DiesBefore,
}

/// A change of plan under way, or given up.
#[derive(Debug, Clone)]
pub(super) struct Change {
    to: PlanId,
    looks_left: u32,
    gives_up: bool,
    has_given_up: bool,
}

/// How the cloud treats changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    faults: VecDeque<ChangeFault>,
    pub(super) needs_off: bool,
    sells_larger: bool,
    check: Option<ResizeCheck>,
    silent_checks: u32,
    lost_switches: u32,
    refused_switches: u32,
    lost_setups: u32,
    setups: u32,
    log: Vec<String>,
}

impl ScriptedMachine {
    pub(super) fn is_changing(&self) -> bool {
        self.change.as_ref().is_some_and(|it| !it.has_given_up)
    }
}

impl Changes {
    /// The plan, and one with four times of everything that costs four times as much.
    pub(super) fn with_larger(&self, plan: Plan) -> Vec<Plan> {
        let larger = self.sells_larger.then(|| larger(&plan)).flatten();
        [Some(plan), larger].into_iter().flatten().collect()
    }
}

fn larger(plan: &Plan) -> Option<Plan> {
    let times_four = |number: u32| number.saturating_mul(4);
    Some(Plan {
        id: PlanId::parse("vc2-4c-8gb").ok()?,
        vcpu_count: times_four(plan.vcpu_count),
        ram_mib: times_four(plan.ram_mib),
        disk_gb: times_four(plan.disk_gb),
        cost: HourlyRate::from_micros(plan.cost.micros().saturating_mul(4)).ok()?,
        ..plan.clone()
    })
}

impl Cloud {
    /// A look brings a change on by one step.
    pub(super) fn go_on_changing(&mut self, id: &ProviderInstanceId) {
        let machine = self.machines.iter_mut().find(|known| known.id == *id);
        let Some(machine) = machine.filter(|machine| machine.is_changing()) else {
            return;
        };
        let Some(change) = machine.change.as_mut() else {
            return;
        };
        if change.looks_left > 0 {
            change.looks_left -= 1;
            return;
        }
        if change.gives_up {
            change.has_given_up = true;
            return;
        }
        machine.plan = change.to.clone();
        machine.change = None;
        self.changes.log.push(format!("{id} has {}", machine.plan));
    }

    fn alive(&mut self, id: &ProviderInstanceId) -> Result<&mut ScriptedMachine, ProviderError> {
        let machine = self.machines.iter_mut().find(|known| known.id == *id);
        machine
            .filter(|machine| machine.is_alive)
            .ok_or_else(|| refusal("there is no such machine"))
    }
}

fn refusal(reason: &str) -> ProviderError {
    ProviderError::Rejected {
        reason: reason.to_owned(),
    }
}

impl ScriptedProvider {
    /// Sells `vc2-4c-8gb`, too, for four times as much.
    pub fn sell_larger(&self) {
        self.cloud().changes.sells_larger = true;
    }

    /// Machines must be off for a change of plan, and are left off.
    pub fn need_off(&self) {
        self.cloud().changes.needs_off = true;
    }

    /// Queues faults for the next changes of plan.
    pub fn misbehave_in_changes(&self, faults: impl IntoIterator<Item = ChangeFault>) {
        self.cloud().changes.faults.extend(faults);
    }

    /// What it says of changes before they begin.
    pub fn say_of_changes(&self, check: ResizeCheck) {
        self.cloud().changes.check = Some(check);
    }

    /// The next `times` questions about changes find no answer.
    pub fn answer_no_checks(&self, times: u32) {
        self.cloud().changes.silent_checks = times;
    }

    /// The answers to the next `times` uses of a switch are lost, after their effect.
    pub fn lose_switches(&self, times: u32) {
        self.cloud().changes.lost_switches = times;
    }

    /// The next `times` uses of a switch are refused for now.
    pub fn refuse_switches(&self, times: u32) {
        self.cloud().changes.refused_switches = times;
    }

    /// The next `times` answers with a new root password are lost.
    pub fn lose_setups(&self, times: u32) {
        self.cloud().changes.lost_setups = times;
    }

    /// Every use of a switch and every change of plan, in order.
    pub fn changes(&self) -> Vec<String> {
        self.cloud().changes.log.clone()
    }

    pub(super) fn checked_resize(&self) -> Result<ResizeCheck, ProviderError> {
        let mut cloud = self.cloud();
        if cloud.changes.silent_checks > 0 {
            cloud.changes.silent_checks -= 1;
            return Err(unknown());
        }
        let check = cloud.changes.check;
        Ok(check.unwrap_or(ResizeCheck::Possible { grows_disk: false }))
    }

    pub(super) fn begin_change(
        &self,
        id: &ProviderInstanceId,
        to: &PlanId,
    ) -> Result<Option<ActionId>, ProviderError> {
        let mut cloud = self.cloud();
        let fault = cloud.changes.faults.pop_front();
        if fault == Some(ChangeFault::DiesBefore) {
            self.crash.now();
        }
        if self.crash.is_dead() {
            return Err(unknown());
        }
        match fault {
            Some(ChangeFault::LostBefore) => return Err(unknown()),
            Some(ChangeFault::Rejects) => return Err(refusal("scripted")),
            Some(ChangeFault::NoRoom) => {
                let reason = "scripted".to_owned();
                return Err(ProviderError::NoCapacity { reason });
            }
            Some(ChangeFault::Throttles) => {
                return Err(ProviderError::Throttled { retry_after: None });
            }
            Some(ChangeFault::Unauthorized) => return Err(ProviderError::Unauthorized),
            Some(ChangeFault::Forgets) => return Ok(None),
            _ => {}
        }
        let needs_off = cloud.changes.needs_off;
        let machine = cloud.alive(id)?;
        if machine.plan == *to || machine.is_changing() {
            return Ok(None);
        }
        if needs_off && machine.is_on {
            return Err(refusal("the machine is on"));
        }
        machine.change = Some(Change {
            to: to.clone(),
            looks_left: LOOKS,
            gives_up: fault == Some(ChangeFault::GivesUp),
            has_given_up: false,
        });
        cloud.changes.log.push(format!("{id} becomes {to}"));
        if fault == Some(ChangeFault::TakenUnseen) {
            return Err(unknown());
        }
        Ok(Some(ActionId("scripted".to_owned())))
    }

    pub(super) fn change_state(&self, id: &ProviderInstanceId) -> ActionState {
        let cloud = self.cloud();
        let machine = cloud.machines.iter().find(|known| known.id == *id);
        match machine.and_then(|machine| machine.change.as_ref()) {
            Some(change) if change.has_given_up => ActionState::Failed,
            Some(_) => ActionState::Running,
            None => ActionState::Done,
        }
    }

    pub(super) fn switch(
        &self,
        id: &ProviderInstanceId,
        power: Power,
    ) -> Result<(), ProviderError> {
        let mut cloud = self.cloud();
        if self.crash.is_dead() {
            return Err(unknown());
        }
        if cloud.changes.refused_switches > 0 {
            cloud.changes.refused_switches -= 1;
            return Err(ProviderError::Throttled { retry_after: None });
        }
        let machine = cloud.alive(id)?;
        if machine.is_changing() {
            return Err(ProviderError::Throttled { retry_after: None });
        }
        machine.is_on = power != Power::Off;
        cloud.changes.log.push(format!("{id} {power:?}"));
        if cloud.changes.lost_switches > 0 {
            cloud.changes.lost_switches -= 1;
            return Err(unknown());
        }
        Ok(())
    }

    pub(super) fn set_up_anew(
        &self,
        id: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        let mut cloud = self.cloud();
        if self.crash.is_dead() {
            return Err(unknown());
        }
        cloud.alive(id)?.is_on = true;
        cloud.changes.setups += 1;
        cloud.changes.log.push(format!("{id} anew"));
        if cloud.changes.lost_setups > 0 {
            cloud.changes.lost_setups -= 1;
            return Err(unknown());
        }
        let password = format!("root-of-{id}-anew-{}", cloud.changes.setups);
        Ok(Some(SecretString::from(password)))
    }
}
