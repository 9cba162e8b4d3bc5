//! Clouds in memory, with records of their own that outlive every crash of ours.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use compute_domain::catalog::{Catalog, Plan, PlanId, ProviderId, ProviderInstanceId};
use compute_domain::id::OperationId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{
    AccountState, ActionId, ActionState, Ambiguity, CreateSpec, Created, MachineState, MachineTag,
    Observed, Power, Provider, ProviderAccount, ProviderError, ResizeCheck, Store, TxMode,
};
use secrecy::SecretString;

use super::bugs::Bug;
use super::links::{Delivery, InFlight, Link};
use super::machines::{Machine, State};
use super::reactor::{Reactor, lock};
use crate::model_store::ModelStore;

/// One cloud.
#[derive(Debug)]
pub(crate) struct SimCloud {
    pub(super) id: ProviderId,
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) link: Link,
    pub(super) state: Mutex<State>,
    store: ModelStore,
    bug: Option<Bug>,
}

impl SimCloud {
    pub(crate) fn new(
        id: ProviderId,
        reactor: &Arc<Reactor>,
        store: &ModelStore,
        bug: Option<Bug>,
    ) -> Self {
        let plans: &[(&str, i64)] = match id {
            ProviderId::Vultr => &[("vc2-1c-1gb", 7_000), ("vc2-2c-4gb", 30_000)],
            ProviderId::DigitalOcean => &[("do:s-1vcpu-1gb", 9_000), ("do:s-2vcpu-2gb", 27_000)],
        };
        let rates = plans.iter().map(|(id, rate)| ((*id).to_owned(), *rate));
        let state = State {
            rates: rates.collect(),
            ..State::default()
        };
        Self {
            id,
            reactor: Arc::clone(reactor),
            link: Link::new(Arc::clone(reactor)),
            state: Mutex::new(state),
            store: store.clone(),
            bug,
        }
    }

    /// No machine without a committed intent, and none beside one that anybody could see (O3).
    async fn check_intent(&self, tag: &MachineTag) {
        let Ok(mut tx) = self.store.begin(TxMode::Read).await else {
            return;
        };
        if tx
            .find_operation(tag.operation)
            .await
            .ok()
            .flatten()
            .is_none()
        {
            let detail = format!("{} asked for a machine before its commit", tag.operation);
            self.reactor.violate("P6", detail);
        }
    }

    pub(super) fn check_single(&self, tag: &MachineTag) {
        let now = self.reactor.millis();
        let state = lock(&self.state);
        let is_broken = |machine: &&Machine| {
            machine.tag.operation == tag.operation
                && machine.is_alive()
                && !machine.is_twin
                && machine.visible_at < now - 300_000
        };
        if let Some(machine) = state.machines.iter().find(is_broken) {
            let detail = format!(
                "{} asked for machine {} while {} was to be seen",
                tag.operation, tag.attempt, machine.id
            );
            self.reactor.violate("O3", detail);
        }
        let is_same = |machine: &&Machine| {
            machine.tag.operation == tag.operation
                && machine.tag.attempt == tag.attempt
                && !machine.is_twin
        };
        if state.machines.iter().filter(is_same).count() > 1 {
            let detail = format!("{} asked twice for machine {}", tag.operation, tag.attempt);
            self.reactor.violate("O3", detail);
        }
    }

    fn refusal(&self) -> Option<ProviderError> {
        let now = self.reactor.millis();
        if lock(&self.state).refuses_us_until > now {
            return Some(ProviderError::Unauthorized);
        }
        if self.reactor.strikes(10) {
            self.reactor.fault("F106");
            return Some(ProviderError::Throttled { retry_after: None });
        }
        None
    }

    fn create_there(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let reason = "simulated".to_owned();
        if lock(&self.state).sold_out_until > self.reactor.millis() {
            return Err(ProviderError::NoCapacity { reason });
        }
        if self.reactor.strikes(15) {
            return Err(ProviderError::Rejected { reason });
        }
        if self.reactor.strikes(20) {
            return Err(unclear());
        }
        self.age();
        let id = self.make(spec, false);
        if self.reactor.strikes(20) {
            self.reactor.fault("F103");
            self.make(spec, true);
        }
        if self.reactor.strikes(30) {
            self.reactor.fault("F101");
            return Err(ProviderError::Ambiguous(Ambiguity::ServerError(502)));
        }
        let mut state = lock(&self.state);
        let machine = state.machines.iter().find(|machine| machine.id == id);
        let own = machine.map_or_else(String::new, |machine| machine.password.clone());
        let mut told = own.clone();
        if self.bug == Some(Bug::PasswordMixedUp) && !state.last_password.is_empty() {
            told.clone_from(&state.last_password);
        }
        state.last_password = own;
        Ok(Created {
            machine: id,
            root_password: spec
                .machine
                .ssh_keys
                .is_empty()
                .then(|| SecretString::from(told)),
        })
    }

    fn seen(&self, machine: &mut Machine) -> Observed {
        let now = self.reactor.millis();
        machine.looks += 1;
        let is_ready = machine.ready_at.is_some_and(|at| at <= now);
        let state = match () {
            () if machine.suspended_until > now => MachineState::Suspended,
            () if !is_ready => MachineState::Starting,
            () if machine.is_changing() => MachineState::Busy,
            () if !machine.is_on => MachineState::Stopped,
            () => MachineState::Ready,
        };
        let is_flapping = machine.flaps && machine.looks < 6;
        let last = if is_flapping && machine.looks.is_multiple_of(2) {
            8
        } else {
            7
        };
        Observed {
            machine: machine.id.clone(),
            tag: Some(machine.tag.clone()),
            plan: Some(machine.plan.clone()),
            state,
            address: is_ready.then_some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))),
            created_at: Some(Timestamp::from_millis(machine.made_at)),
        }
    }

    fn list_now(&self, wanted: impl Fn(&Machine) -> bool) -> Vec<Observed> {
        self.age();
        let now = self.reactor.millis();
        let mut state = lock(&self.state);
        let shown = state.machines.iter_mut().filter(|machine| {
            let is_there = machine.is_alive() || machine.lists_until > now;
            machine.visible_at <= now && is_there && wanted(machine)
        });
        shown.map(|machine| self.seen(machine)).collect()
    }

    fn destroy_now(&self, id: &ProviderInstanceId) -> Result<(), ProviderError> {
        let now = self.reactor.millis();
        let reason = "locked".to_owned();
        let mut state = lock(&self.state);
        let found = state.machines.iter_mut().find(|machine| machine.id == *id);
        let Some(machine) = found.filter(|machine| machine.is_alive()) else {
            return Ok(());
        };
        if machine.stubborn > 0 {
            machine.stubborn -= 1;
            return Err(ProviderError::Rejected { reason });
        }
        if machine.deaf > 0 {
            machine.deaf -= 1;
            self.reactor.fault("F110");
            state.deleted.insert(id.clone());
            return Ok(());
        }
        machine.ended = Some((now, true));
        if self.reactor.strikes(100) {
            machine.lists_until = now + self.reactor.dice.range(0, 60_000);
        }
        Ok(())
    }

    fn observe_now(&self, id: &ProviderInstanceId) -> Observed {
        self.age();
        let now = self.reactor.millis();
        let mut state = lock(&self.state);
        let found = state.machines.iter_mut().find(|machine| machine.id == *id);
        match found.filter(|machine| machine.is_alive() && machine.visible_at <= now) {
            Some(machine) => {
                if machine.flaps && machine.looks < 6 {
                    self.reactor.fault("F107");
                }
                self.seen(machine)
            }
            None => gone(id),
        }
    }

    /// The planted bug: whoever was told "deleted" looks no further.
    fn is_trusted(&self, id: &ProviderInstanceId) -> bool {
        self.bug == Some(Bug::DeleteTrusted) && lock(&self.state).deleted.contains(id)
    }

    /// Something that has an effect: the way there and back.
    async fn change<T>(
        &self,
        effect: impl FnOnce() -> Result<T, ProviderError> + Send,
    ) -> Result<T, ProviderError>
    where
        T: Send,
    {
        match self.link.ask().await {
            Delivery::NotSent => return Err(ProviderError::Unreachable),
            Delivery::Lost => return Err(unclear()),
            Delivery::Arrived => {}
        }
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let outcome = effect();
        if self.link.answer().await {
            outcome
        } else {
            Err(unclear())
        }
    }

    /// A question that changes nothing: the way there and back.
    async fn look<T>(&self, answer: impl FnOnce() -> T + Send) -> Result<T, ProviderError> {
        match self.link.ask().await {
            Delivery::NotSent => return Err(ProviderError::Unreachable),
            Delivery::Lost => return Err(unclear()),
            Delivery::Arrived => {}
        }
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let told = answer();
        if self.link.answer().await {
            Ok(told)
        } else {
            Err(unclear())
        }
    }
}

fn gone(id: &ProviderInstanceId) -> Observed {
    Observed {
        machine: id.clone(),
        tag: None,
        plan: None,
        state: MachineState::Gone,
        address: None,
        created_at: None,
    }
}

pub(super) const fn unclear() -> ProviderError {
    ProviderError::Ambiguous(Ambiguity::NoAnswer)
}

#[async_trait]
impl Provider for SimCloud {
    fn id(&self) -> ProviderId {
        self.id
    }

    fn offers_root_password(&self) -> bool {
        self.id == ProviderId::Vultr
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.look(|| self.catalog_now()).await?
    }

    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        self.check_intent(&spec.tag).await;
        let mut outcome = self.create_once(spec).await;
        if self.bug == Some(Bug::CreateRetried) && outcome.as_ref().is_err_and(|e| *e == unclear())
        {
            outcome = self.create_once(spec).await;
        }
        let told = outcome.as_ref().map(|created| created.machine.to_string());
        self.reactor.log(&format_args!(
            "create {} {}: {told:?}",
            spec.tag.operation, spec.tag.attempt
        ));
        outcome
    }

    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError> {
        let found = self
            .look(|| self.list_now(|machine| machine.tag.operation == operation))
            .await?;
        if self.bug == Some(Bug::NoTagSearch) {
            return Ok(Vec::new());
        }
        let still = found.into_iter();
        Ok(still
            .filter(|seen| !self.is_trusted(&seen.machine))
            .collect())
    }

    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError> {
        if self.is_trusted(machine) {
            return Ok(gone(machine));
        }
        self.look(|| self.observe_now(machine)).await
    }

    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        self.change(|| {
            let outcome = self.destroy_now(machine);
            self.reactor
                .log(&format_args!("destroy {machine}: {outcome:?}"));
            outcome
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Observed>, ProviderError> {
        let is_empty = lock(&self.state).empty_lists_until > self.reactor.millis();
        self.look(|| {
            if is_empty {
                Vec::new()
            } else {
                self.list_now(|_| true)
            }
        })
        .await
    }

    fn resizes_when_off(&self) -> bool {
        self.id == ProviderId::DigitalOcean
    }

    async fn check_resize(
        &self,
        machine: &ProviderInstanceId,
        _to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        self.look(|| self.check_resize_now(machine)).await?
    }

    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        _grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.change(|| self.resize_now(machine, to)).await
    }

    async fn action(
        &self,
        machine: &ProviderInstanceId,
        _action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        self.look(|| self.action_now(machine)).await
    }

    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError> {
        self.change(|| self.switch_now(machine, power)).await
    }

    fn reinstalls(&self) -> bool {
        self.offers_root_password()
    }

    async fn reinstall(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        self.change(|| self.set_up_anew_now(machine)).await
    }

    async fn account(&self) -> Result<ProviderAccount, ProviderError> {
        self.look(|| ProviderAccount {
            id: Some(self.id.to_string()),
            state: AccountState::Open,
            funds: None,
            machine_limit: None,
        })
        .await
    }
}

impl SimCloud {
    async fn create_once(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        let call = InFlight::new(&self.reactor, "F008");
        let sent = self.link.ask().await;
        call.done();
        match sent {
            Delivery::NotSent => return Err(ProviderError::Unreachable),
            Delivery::Lost => return Err(unclear()),
            Delivery::Arrived => {}
        }
        let outcome = self.create_there(spec);
        let call = InFlight::new(&self.reactor, if outcome.is_ok() { "F007" } else { "F008" });
        let is_heard = self.link.answer().await;
        call.done();
        if is_heard {
            return outcome;
        }
        if outcome.is_ok() {
            self.reactor.fault("F100");
        }
        Err(unclear())
    }
}
