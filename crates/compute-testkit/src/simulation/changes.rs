//! Machines of a cloud that are switched, changed and set up anew.

use compute_domain::catalog::{PlanId, ProviderId, ProviderInstanceId};
use compute_engine::ports::{ActionId, ActionState, Ambiguity, Power, ProviderError, ResizeCheck};
use secrecy::SecretString;

use super::cloud::SimCloud;
use super::machines::{Machine, State};
use super::reactor::lock;

/// A change of plan under way, or given up.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    to: PlanId,
    done_at: i64,
    gives_up: bool,
    has_given_up: bool,
}

impl Machine {
    pub(crate) fn is_changing(&self) -> bool {
        self.change.as_ref().is_some_and(|it| !it.has_given_up)
    }

    pub(super) fn go_on_changing(&mut self, now: i64) {
        let Some(change) = self.change.as_mut().filter(|it| it.done_at <= now) else {
            return;
        };
        if change.gives_up {
            change.has_given_up = true;
        } else {
            self.plan = change.to.clone();
            self.change = None;
        }
    }
}

fn refusal(reason: &str) -> ProviderError {
    ProviderError::Rejected {
        reason: reason.to_owned(),
    }
}

fn alive<'a>(
    state: &'a mut State,
    id: &ProviderInstanceId,
) -> Result<&'a mut Machine, ProviderError> {
    let found = state.machines.iter_mut().find(|machine| machine.id == *id);
    found
        .filter(|machine| machine.is_alive())
        .ok_or_else(|| refusal("there is no such machine"))
}

impl SimCloud {
    fn needs_off(&self) -> bool {
        self.id == ProviderId::DigitalOcean
    }

    pub(super) fn check_resize_now(
        &self,
        id: &ProviderInstanceId,
    ) -> Result<ResizeCheck, ProviderError> {
        alive(&mut lock(&self.state), id)?;
        Ok(if self.reactor.strikes(50) {
            ResizeCheck::OtherFamily
        } else {
            ResizeCheck::Possible {
                grows_disk: self.needs_off(),
            }
        })
    }

    pub(super) fn resize_now(
        &self,
        id: &ProviderInstanceId,
        to: &PlanId,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.age();
        let now = self.reactor.millis();
        let mut state = lock(&self.state);
        let machine = alive(&mut state, id)?;
        if machine.plan == *to || machine.is_changing() {
            return Ok(None);
        }
        if self.needs_off() && machine.is_on {
            return Err(refusal("the machine is on"));
        }
        if self.reactor.strikes(50) {
            self.reactor.fault("F117");
            let reason = "simulated".to_owned();
            return Err(ProviderError::NoCapacity { reason });
        }
        let gives_up = self.reactor.strikes(100);
        if gives_up {
            self.reactor.fault("F117");
        }
        machine.change = Some(Change {
            to: to.clone(),
            done_at: now + self.reactor.dice.range(1_000, 300_000),
            gives_up,
            has_given_up: false,
        });
        if self.reactor.strikes(50) {
            self.reactor.fault("F118");
            return Err(ProviderError::Ambiguous(Ambiguity::ServerError(502)));
        }
        Ok((!self.reactor.strikes(100)).then(|| ActionId(id.to_string())))
    }

    pub(super) fn action_now(&self, id: &ProviderInstanceId) -> ActionState {
        self.age();
        let state = lock(&self.state);
        let machine = state.machines.iter().find(|machine| machine.id == *id);
        match machine.and_then(|machine| machine.change.as_ref()) {
            Some(change) if change.has_given_up => ActionState::Failed,
            Some(_) => ActionState::Running,
            None => ActionState::Done,
        }
    }

    pub(super) fn switch_now(
        &self,
        id: &ProviderInstanceId,
        power: Power,
    ) -> Result<(), ProviderError> {
        self.age();
        let mut state = lock(&self.state);
        let machine = alive(&mut state, id)?;
        if machine.is_changing() {
            return Err(ProviderError::Throttled { retry_after: None });
        }
        machine.is_on = power != Power::Off;
        self.reactor.log(&format_args!("{id} {power:?}"));
        Ok(())
    }

    pub(super) fn set_up_anew_now(
        &self,
        id: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        let mut state = lock(&self.state);
        let machine = alive(&mut state, id)?;
        machine.is_on = true;
        machine.password.push_str("-anew");
        Ok(Some(SecretString::from(machine.password.clone())))
    }
}
