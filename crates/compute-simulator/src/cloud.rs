//! The simulated cloud: a vendor's catalogue and rules, machines that exist on paper.

mod account;
mod machine_id;
mod rules;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::catalog::{Catalog, Plan, PlanId, ProviderId, ProviderInstanceId};
use compute_domain::id::OperationId;
use compute_domain::operation::MachineSpec;
use compute_domain::time::{Clock, Entropy, Span};
use compute_engine::ports::{
    AccountState, ActionId, ActionState, Ambiguity, CreateSpec, Created, MachineState, Observed,
    Power, Provider, ProviderAccount, ProviderError, ResizeCheck,
};
use secrecy::SecretString;

use self::account::{Account, Machine};
use self::machine_id::MachineId;
use crate::catalogue;
use crate::error::{JournalError, SimulatorError};
use crate::permit::DevPermit;

/// How a simulated cloud acts where real ones differ from day to day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloudBehaviour {
    /// From the making of a machine until it runs and has an address; none is possible.
    pub boot_time: Span,
    /// Plans sold besides the vendor's own: copies of those under new names, for measurements.
    pub more_plans: usize,
    /// Whether every reading of the catalogue finds other prices, each by a few micro-dollars.
    pub moves_prices: bool,
}

impl Default for CloudBehaviour {
    /// Three seconds: long enough to see a machine start, short enough to wait for.
    fn default() -> Self {
        Self {
            boot_time: Span::from_secs(3),
            more_plans: 0,
            moves_prices: false,
        }
    }
}

/// A cloud that plays one vendor.
///
/// It sells that vendor's real plans and follows its rules about SSH keys and passwords. The
/// account belongs to one installation: nobody else's machines are in it.
#[derive(Debug)]
pub struct SimulatedCloud {
    provider: ProviderId,
    catalog: Catalog,
    behaviour: CloudBehaviour,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    account: Mutex<Account>,
    /// How often the catalogue was read.
    readings: AtomicU32,
}

impl SimulatedCloud {
    /// A cloud that plays `provider`. Its machines outlive the process when there is a journal.
    ///
    /// # Errors
    /// When the journal cannot be read or written, is not one, or is held by another process.
    pub fn new(
        provider: ProviderId,
        _permit: DevPermit,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        journal_path: Option<PathBuf>,
        behaviour: CloudBehaviour,
    ) -> Result<Self, SimulatorError> {
        let mut catalog = catalogue::load(provider)?;
        catalogue::add_copies(&mut catalog, behaviour.more_plans);
        let account = Mutex::new(Account::open(journal_path.as_deref())?);
        Ok(Self {
            provider,
            catalog,
            behaviour,
            clock,
            entropy,
            account,
            readings: AtomicU32::new(0),
        })
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        // Every change of the account is one call that cannot stop half way.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vendor's rules, in the vendor's words.
    fn check(&self, machine: &MachineSpec) -> Result<(), ProviderError> {
        let refuse = |reason: &str| {
            Err(ProviderError::Rejected {
                reason: reason.to_owned(),
            })
        };
        let Some(plan) = catalogue::find_plan(&self.catalog, &machine.plan) else {
            return refuse("Invalid plan chosen.");
        };
        if plan.locations.binary_search(&machine.region).is_err() {
            return refuse("Plan is not available in this location");
        }
        if !catalogue::has_image(&self.catalog, &machine.os) {
            return refuse("Invalid image.");
        }
        if machine.ssh_keys.is_empty() && !self.offers_root_password() {
            return refuse("An SSH key is required.");
        }
        Ok(())
    }

    fn look(&self, machine: Machine) -> Observed {
        let known = MachineId::parse(&machine.id);
        let now = self.clock.now();
        let ready = known.filter(|id| id.is_ready(now, self.behaviour.boot_time));
        let state = match ready {
            None => MachineState::Starting,
            Some(_) if machine.is_on => MachineState::Ready,
            Some(_) => MachineState::Stopped,
        };
        Observed {
            machine: machine.id,
            tag: Some(machine.tag),
            plan: Some(machine.plan),
            state,
            address: ready.map(MachineId::address),
            created_at: known.map(MachineId::created_at),
        }
    }
}

#[async_trait]
impl Provider for SimulatedCloud {
    fn id(&self) -> ProviderId {
        self.provider
    }

    fn offers_root_password(&self) -> bool {
        match self.provider {
            ProviderId::Vultr => true,
            ProviderId::DigitalOcean => false,
        }
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        let mut catalog = self.catalog.clone();
        if self.behaviour.moves_prices {
            let reading = self.readings.fetch_add(1, Ordering::Relaxed);
            catalogue::move_prices(&mut catalog, reading);
        }
        Ok(catalog)
    }

    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        self.check(&spec.machine)?;
        let id = MachineId::generate(&*self.clock, &*self.entropy).to_string();
        // The id is 34 characters of digits, letters and hyphens; a catalogue id takes 96.
        let machine = ProviderInstanceId::parse(&id)
            .map_err(|_| ProviderError::Ambiguous(Ambiguity::Unreadable))?;
        let (plan, region) = (&spec.machine.plan, &spec.machine.region);
        self.account()
            .add(&machine, &spec.tag, plan, region)
            .map_err(server_error)?;
        // Vultr sets a password even when there is an SSH key.
        let root_password = self
            .offers_root_password()
            .then(|| root_password(&*self.entropy));
        Ok(Created {
            machine,
            root_password,
        })
    }

    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError> {
        let found = self.account().select(|tag| tag.operation == operation);
        Ok(found
            .into_iter()
            .map(|machine| self.look(machine))
            .collect())
    }

    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError> {
        let found = self.account().find(machine).cloned();
        Ok(found.map_or_else(|| gone(machine), |machine| self.look(machine)))
    }

    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        self.account().remove(machine).map_err(server_error)
    }

    async fn list(&self) -> Result<Vec<Observed>, ProviderError> {
        let all = self.account().select(|_| true);
        Ok(all.into_iter().map(|machine| self.look(machine)).collect())
    }

    fn resizes_when_off(&self) -> bool {
        self.provider == ProviderId::DigitalOcean
    }

    async fn check_resize(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        let account = self.account();
        let known = account.find(machine).ok_or_else(no_machine)?;
        Ok(rules::check_resize(self.provider, &self.catalog, known, to))
    }

    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError> {
        let mut account = self.account();
        let known = account.find(machine).ok_or_else(no_machine)?;
        if known.plan == *to {
            return Ok(None);
        }
        let refuse = |reason: &str| {
            let reason = reason.to_owned();
            Err(ProviderError::Rejected { reason })
        };
        if self.resizes_when_off() && known.is_on {
            return refuse("The machine must be powered off.");
        }
        let Some(plan) = catalogue::find_plan(&self.catalog, to) else {
            return refuse("Invalid plan chosen.");
        };
        let check = rules::check_resize(self.provider, &self.catalog, known, plan);
        let ResizeCheck::Possible { .. } = check else {
            return refuse("Invalid plan chosen.");
        };
        let takes_disk = grow_disk || !self.resizes_when_off();
        let disk_of = if takes_disk { to } else { &known.disk_of }.clone();
        account
            .resize(machine, to, &disk_of)
            .map_err(server_error)?;
        Ok(None)
    }

    async fn action(
        &self,
        _machine: &ProviderInstanceId,
        _action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        // What is done here is done at once and has no name: an action with one is unknown.
        Ok(ActionState::Running)
    }

    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError> {
        let mut account = self.account();
        account.find(machine).ok_or_else(no_machine)?;
        let is_on = match power {
            Power::On | Power::Cycle => true,
            Power::Off => false,
        };
        account.switch(machine, is_on).map_err(server_error)
    }

    fn reinstalls(&self) -> bool {
        self.offers_root_password()
    }

    async fn reinstall(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        let mut account = self.account();
        account.find(machine).ok_or_else(no_machine)?;
        if !self.reinstalls() {
            let reason = "there is no such thing here".to_owned();
            return Err(ProviderError::Rejected { reason });
        }
        account.switch(machine, true).map_err(server_error)?;
        Ok(Some(root_password(&*self.entropy)))
    }

    async fn account(&self) -> Result<ProviderAccount, ProviderError> {
        Ok(ProviderAccount {
            id: Some(format!("simulated-{}", self.provider)),
            state: AccountState::Open,
            funds: None,
            machine_limit: None,
        })
    }
}

fn no_machine() -> ProviderError {
    ProviderError::Rejected {
        reason: "there is no such machine".to_owned(),
    }
}

fn gone(machine: &ProviderInstanceId) -> Observed {
    Observed {
        machine: machine.clone(),
        tag: None,
        plan: None,
        state: MachineState::Gone,
        address: None,
        created_at: None,
    }
}

/// A vendor that cannot write answers 500 and leaves the asker in doubt; so does this one.
fn server_error(error: JournalError) -> ProviderError {
    tracing::error!(?error, "the simulated cloud cannot write its journal");
    ProviderError::Ambiguous(Ambiguity::ServerError(500))
}

/// 20 characters of 64 possible ones: 120 bits.
fn root_password(entropy: &dyn Entropy) -> SecretString {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut chance = [0_u8; 20];
    entropy.fill(&mut chance);
    let letter = |byte: &u8| {
        ALPHABET
            .get(usize::from(byte & 63))
            .copied()
            .map(char::from)
    };
    chance.iter().filter_map(letter).collect::<String>().into()
}
