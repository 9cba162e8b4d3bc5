//! A cloud in memory that misbehaves on request.

mod changes;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use compute_domain::catalog::{
    Catalog, ImageNeeds, OsId, OsImage, Plan, PlanFamily, PlanId, ProviderId, ProviderInstanceId,
    Region, RegionId,
};
use compute_domain::id::OperationId;
use compute_domain::money::HourlyRate;
use compute_domain::time::{Clock, Timestamp};
use compute_engine::ports::{
    AccountState, ActionId, ActionState, Ambiguity, CreateSpec, Created, MachineState, MachineTag,
    Observed, Power, Provider, ProviderAccount, ProviderError, ResizeCheck, Stock,
};
use secrecy::SecretString;

use crate::crash::Crash;
use crate::scripted_stock::ScriptedStock;

pub use self::changes::ChangeFault;
use self::changes::{Change, Changes};

/// What the cloud does with the next create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateFault {
    /// The machine is made, but the answer is lost.
    MadeUnseen,
    /// Nothing is made, and the answer is lost.
    LostBefore,
    /// It refuses.
    Rejects,
    /// It has none left.
    SoldOut,
    /// It asks us to slow down.
    Throttles,
    /// It asks us not to come back for this many seconds.
    ThrottlesFor(u64),
    /// It refuses our credentials.
    Unauthorized,
    /// The process dies before anything is sent.
    DiesBefore,
    /// It makes a machine that never starts.
    NeverReady,
    /// It makes two machines and tells of one.
    Twice,
    /// The machine is made, and then the adapter panics.
    Panics,
}

/// A machine as the cloud knows it.
#[derive(Debug, Clone)]
pub struct ScriptedMachine {
    /// Its id.
    pub id: ProviderInstanceId,
    /// Our mark on it.
    pub tag: MachineTag,
    /// Whether it still exists.
    pub is_alive: bool,
    /// Its plan.
    pub plan: PlanId,
    /// Whether it is switched on.
    pub is_on: bool,
    change: Option<Change>,
    never_ready: bool,
    made_at_look: u32,
    made_at: Timestamp,
}

#[derive(Debug, Default)]
struct Cloud {
    orders: Vec<CreateSpec>,
    machines: Vec<ScriptedMachine>,
    faults: VecDeque<CreateFault>,
    refused_deletes: u32,
    ignored_deletes: u32,
    hidden_looks: u32,
    looks: u32,
    lists: u32,
    skew_ms: i64,
    fails_lists: bool,
    shown_plan: Option<PlanId>,
    suspends: bool,
    missed_looks: u32,
    failed_looks: u32,
    refuses: bool,
    account: Option<ProviderAccount>,
    hides_account: bool,
    rate_micros: i64,
    changes: Changes,
}

/// A provider over a cloud in memory. The cloud outlives the process that uses it.
#[derive(Debug)]
pub struct ScriptedProvider {
    clock: Arc<dyn Clock>,
    crash: Crash,
    cloud: Mutex<Cloud>,
    stock: ScriptedStock,
}

impl ScriptedProvider {
    /// An empty cloud that sells `vc2-1c-1gb` in `ewr` and `lax` for 0.007 USD an hour.
    pub fn new(clock: impl Clock + 'static, crash: Crash) -> Self {
        let cloud = Cloud {
            rate_micros: 7_000,
            ..Cloud::default()
        };
        Self {
            clock: Arc::new(clock),
            crash,
            cloud: Mutex::new(cloud),
            stock: ScriptedStock::default(),
        }
    }

    fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cloud, unless it refuses our credentials.
    fn answering(&self) -> Result<MutexGuard<'_, Cloud>, ProviderError> {
        let cloud = self.cloud();
        if cloud.refuses {
            return Err(ProviderError::Unauthorized);
        }
        Ok(cloud)
    }

    /// What it says it has left.
    pub const fn stock_script(&self) -> &ScriptedStock {
        &self.stock
    }

    /// Queues faults for the next creates.
    pub fn misbehave(&self, faults: impl IntoIterator<Item = CreateFault>) {
        self.cloud().faults.extend(faults);
    }

    /// The next `times` deletions are refused.
    pub fn refuse_deletes(&self, times: u32) {
        self.cloud().refused_deletes = times;
    }

    /// The next `times` deletions are accepted, and nothing is deleted.
    pub fn ignore_deletes(&self, times: u32) {
        self.cloud().ignored_deletes = times;
    }

    /// The next `looks` searches by mark show nothing.
    pub fn hide(&self, looks: u32) {
        self.cloud().hidden_looks = looks;
    }

    /// The next `looks` looks at single machines say that there is none.
    pub fn miss_looks(&self, looks: u32) {
        self.cloud().missed_looks = looks;
    }

    /// The next `looks` looks at single machines fail.
    pub fn fail_looks(&self, looks: u32) {
        self.cloud().failed_looks = looks;
    }

    /// How often it was asked for a single machine, and how often for all.
    pub fn looks(&self) -> (u32, u32) {
        let cloud = self.cloud();
        (cloud.looks, cloud.lists)
    }

    /// From now on its clock is ahead of everybody's by this much, in milliseconds, or behind.
    pub fn set_clock_skew(&self, millis: i64) {
        self.cloud().skew_ms = millis;
    }

    /// From now on its list cannot be read, or can again.
    pub fn fail_lists(&self, fails: bool) {
        self.cloud().fails_lists = fails;
    }

    /// From now on every machine is shown with this plan; with none before.
    pub fn show_plan(&self, plan: &PlanId) {
        self.cloud().shown_plan = Some(plan.clone());
    }

    /// From now on every machine that runs is stopped on the provider's own account, or runs again.
    pub fn suspend_all(&self, suspends: bool) {
        self.cloud().suspends = suspends;
    }

    /// From now on it refuses our credentials, whatever is asked, or accepts them again.
    pub fn refuse_credentials(&self, refuses: bool) {
        self.cloud().refuses = refuses;
    }

    /// From now on it tells this of our account; before the first time it is "scripted".
    pub fn set_account(&self, account: ProviderAccount) {
        self.cloud().account = Some(account);
    }

    /// From now on it does not answer when it is asked for our account, or answers again.
    pub fn hide_account(&self, hides: bool) {
        self.cloud().hides_account = hides;
    }

    /// Every machine vanishes.
    pub fn lose_all(&self) {
        for machine in &mut self.cloud().machines {
            machine.is_alive = false;
        }
    }

    /// The first `count` machines vanish.
    pub fn lose(&self, count: usize) {
        for machine in self.cloud().machines.iter_mut().take(count) {
            machine.is_alive = false;
        }
    }

    /// Puts a machine there that nobody asked this cloud for.
    pub fn add(&self, machine: ScriptedMachine) {
        self.cloud().machines.push(machine);
    }

    /// From the next catalogue on an hour costs this many micro-dollars.
    pub fn set_rate(&self, micros: i64) {
        self.cloud().rate_micros = micros;
    }

    /// What was asked for in every create that arrived, in order.
    pub fn orders(&self) -> Vec<CreateSpec> {
        self.cloud().orders.clone()
    }

    /// Everything that was ever made, by the cloud's own record.
    pub fn machines(&self) -> Vec<ScriptedMachine> {
        self.cloud().machines.clone()
    }

    /// The machines that exist.
    pub fn alive(&self) -> Vec<ScriptedMachine> {
        self.machines()
            .into_iter()
            .filter(|machine| machine.is_alive)
            .collect()
    }

    fn observed(&self, cloud: &Cloud, machine: &ScriptedMachine) -> Observed {
        let booted = !machine.never_ready && cloud.looks > machine.made_at_look;
        let state = match (machine.is_alive, booted) {
            (false, _) => MachineState::Gone,
            (true, false) => MachineState::Starting,
            (true, true) if cloud.suspends => MachineState::Suspended,
            (true, true) if machine.is_changing() => MachineState::Busy,
            (true, true) if !machine.is_on => MachineState::Stopped,
            (true, true) => MachineState::Ready,
        };
        Observed {
            machine: machine.id.clone(),
            tag: Some(machine.tag.clone()),
            plan: Some(
                cloud
                    .shown_plan
                    .clone()
                    .unwrap_or_else(|| machine.plan.clone()),
            ),
            state,
            address: booted.then_some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
            created_at: Some(machine.made_at),
        }
    }
}

impl ScriptedProvider {
    fn make(
        &self,
        cloud: &mut Cloud,
        spec: &CreateSpec,
        fault: Option<&CreateFault>,
    ) -> Result<ProviderInstanceId, ProviderError> {
        let id = format!("machine-{}", cloud.machines.len() + 1);
        let id = ProviderInstanceId::parse(&id).map_err(|_| unknown())?;
        cloud.machines.push(ScriptedMachine {
            id: id.clone(),
            tag: spec.tag.clone(),
            is_alive: true,
            plan: spec.machine.plan.clone(),
            is_on: true,
            change: None,
            never_ready: fault == Some(&CreateFault::NeverReady),
            made_at_look: cloud.looks,
            made_at: Timestamp::from_millis(
                self.clock.now().millis().saturating_add(cloud.skew_ms),
            ),
        });
        Ok(id)
    }
}

fn unknown() -> ProviderError {
    ProviderError::Ambiguous(Ambiguity::NoAnswer)
}

#[async_trait]
impl Provider for ScriptedProvider {
    fn id(&self) -> ProviderId {
        ProviderId::Vultr
    }

    fn offers_root_password(&self) -> bool {
        true
    }

    #[expect(clippy::unwrap_used, reason = "constants of the double")]
    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        drop(self.answering()?);
        let region = |id: &str| Region {
            id: RegionId::parse(id).unwrap(),
            city: "City".to_owned(),
            country: "US".to_owned(),
            continent: "North America".to_owned(),
        };
        let regions: Vec<Region> = ["ewr", "lax", "syd"].map(region).into();
        let plan = Plan {
            id: PlanId::parse("vc2-1c-1gb").unwrap(),
            provider: ProviderId::Vultr,
            family: PlanFamily::Vps,
            vcpu_count: 1,
            ram_mib: 1_024,
            disk_gb: 25,
            bandwidth_gb: 1_024,
            gpu: None,
            cost: HourlyRate::from_micros(self.cloud().rate_micros).unwrap(),
            regional_cost: std::collections::BTreeMap::new(),
            locations: regions
                .iter()
                .take(2)
                .map(|region| region.id.clone())
                .collect(),
        };
        let image = OsImage {
            id: OsId::parse("2284").unwrap(),
            name: "Ubuntu 24.04 LTS x64".to_owned(),
            arch: "x64".to_owned(),
            family: "ubuntu".to_owned(),
            aliases: Vec::new(),
            needs: ImageNeeds::default(),
        };
        Ok(Catalog {
            plans: if self.stock.is_withdrawn() {
                Vec::new()
            } else {
                self.cloud().changes.with_larger(plan)
            },
            regions,
            images: vec![image],
        })
    }

    async fn stock(&self, region: &RegionId) -> Result<Option<Stock>, ProviderError> {
        self.stock.answer(region).await
    }

    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        let mut cloud = self.answering()?;
        let fault = cloud.faults.pop_front();
        if fault == Some(CreateFault::DiesBefore) {
            self.crash.now();
        }
        if self.crash.is_dead() {
            return Err(unknown());
        }
        cloud.orders.push(spec.clone());
        let reason = "scripted".to_owned();
        match fault {
            Some(CreateFault::LostBefore) => return Err(unknown()),
            Some(CreateFault::Rejects) => return Err(ProviderError::Rejected { reason }),
            Some(CreateFault::SoldOut) => return Err(ProviderError::NoCapacity { reason }),
            Some(CreateFault::Throttles) => {
                return Err(ProviderError::Throttled { retry_after: None });
            }
            Some(CreateFault::ThrottlesFor(secs)) => {
                let retry_after = Some(Duration::from_secs(secs));
                return Err(ProviderError::Throttled { retry_after });
            }
            Some(CreateFault::Unauthorized) => return Err(ProviderError::Unauthorized),
            _ => {}
        }
        let id = self.make(&mut cloud, spec, fault.as_ref())?;
        if fault == Some(CreateFault::Twice) {
            self.make(&mut cloud, spec, None)?;
        }
        if fault == Some(CreateFault::MadeUnseen) {
            return Err(unknown());
        }
        if fault == Some(CreateFault::Panics) {
            drop(cloud);
            break_off();
        }
        let password = SecretString::from(format!("root-of-{id}"));
        Ok(Created {
            machine: id,
            root_password: Some(password),
        })
    }

    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError> {
        let mut cloud = self.answering()?;
        if cloud.hidden_looks > 0 {
            cloud.hidden_looks -= 1;
            return Ok(Vec::new());
        }
        let ours = cloud
            .machines
            .iter()
            .filter(|m| m.tag.operation == operation && m.is_alive);
        Ok(ours.map(|machine| self.observed(&cloud, machine)).collect())
    }

    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError> {
        let mut cloud = self.answering()?;
        cloud.looks += 1;
        if cloud.failed_looks > 0 {
            cloud.failed_looks -= 1;
            return Err(unknown());
        }
        cloud.go_on_changing(machine);
        let is_missed = cloud.missed_looks > 0;
        cloud.missed_looks = cloud.missed_looks.saturating_sub(1);
        let known = cloud.machines.iter().find(|known| known.id == *machine);
        Ok(match known.filter(|_| !is_missed) {
            Some(known) => self.observed(&cloud, known),
            None => Observed {
                machine: machine.clone(),
                tag: None,
                plan: None,
                state: MachineState::Gone,
                address: None,
                created_at: None,
            },
        })
    }

    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        let mut cloud = self.answering()?;
        if self.crash.is_dead() {
            return Err(unknown());
        }
        if cloud.refused_deletes > 0 {
            cloud.refused_deletes -= 1;
            return Err(ProviderError::Rejected {
                reason: "locked".to_owned(),
            });
        }
        if cloud.ignored_deletes > 0 {
            cloud.ignored_deletes -= 1;
            return Ok(());
        }
        if let Some(known) = cloud.machines.iter_mut().find(|known| known.id == *machine) {
            known.is_alive = false;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Observed>, ProviderError> {
        let mut cloud = self.answering()?;
        cloud.lists += 1;
        if cloud.fails_lists {
            return Err(unknown());
        }
        let alive = cloud.machines.iter().filter(|machine| machine.is_alive);
        Ok(alive
            .map(|machine| self.observed(&cloud, machine))
            .collect())
    }

    fn resizes_when_off(&self) -> bool {
        self.cloud().changes.needs_off
    }

    async fn check_resize(
        &self,
        _machine: &ProviderInstanceId,
        _to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        self.checked_resize()
    }

    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        _grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.begin_change(machine, to)
    }

    async fn action(
        &self,
        machine: &ProviderInstanceId,
        _action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        Ok(self.change_state(machine))
    }

    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError> {
        self.switch(machine, power)
    }

    fn reinstalls(&self) -> bool {
        true
    }

    async fn reinstall(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        self.set_up_anew(machine)
    }

    async fn account(&self) -> Result<ProviderAccount, ProviderError> {
        let cloud = self.answering()?;
        if cloud.hides_account {
            return Err(unknown());
        }
        Ok(cloud.account.clone().unwrap_or(ProviderAccount {
            id: Some("scripted".to_owned()),
            state: AccountState::Open,
            funds: None,
            machine_limit: None,
        }))
    }
}

#[expect(clippy::panic, reason = "the fault itself")]
fn break_off() -> ! {
    panic!("scripted")
}
