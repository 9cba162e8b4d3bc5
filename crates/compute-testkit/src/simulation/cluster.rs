//! One to three replicas on one database: their processes, workers, ends and beginnings.

use core::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use compute_domain::money::Usd;
use compute_domain::prepaid::EarlyDestroy;
use compute_domain::time::Span;
use compute_engine::ports::{AnyRail, Caps, Provider, Rail, Store};
use compute_engine::{
    Adapters, AuthTerms, DestroyGuard, Engine, EngineConfig, SalesTerms, Sealer, SealingKey,
    Secrets, Timing,
};
use futures::future::LocalBoxFuture;
use secrecy::SecretBox;

use super::cloud::SimCloud;
use super::executor::{Executor, Victim, WORLD};
use super::hook::SimHook;
use super::rails::SimRail;
use super::reactor::{Reactor, ReplicaClock, lock};
use super::witness::Witness;
use crate::model_store::ModelStore;

/// Whether a replica does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Up,
    Frozen,
    Down,
}

/// One place in which processes run, one after the other.
pub(crate) struct Replica {
    pub(crate) condition: Condition,
    pub(crate) group: u32,
    pub(crate) engine: Arc<Engine>,
    pub(crate) skew: Arc<AtomicI64>,
    /// While its clock is not to be trusted its workers do nothing.
    pub(crate) is_guarded: Rc<Cell<bool>>,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) store: ModelStore,
    pub(crate) rails: Vec<Arc<SimRail>>,
    pub(crate) clouds: Vec<Arc<SimCloud>>,
    pub(crate) replicas: RefCell<Vec<Replica>>,
    pub(crate) witness: RefCell<Witness>,
    pub(crate) database_away_until: Arc<AtomicI64>,
    pub(crate) caps: Caps,
    groups: Cell<u32>,
    /// Set when all clients are done: workers look less often.
    pub(crate) is_quiet: Cell<bool>,
    pub(crate) clients: Cell<u32>,
}

impl World {
    pub(crate) fn new(
        reactor: &Arc<Reactor>,
        store: &ModelStore,
        rails: Vec<Arc<SimRail>>,
        clouds: Vec<Arc<SimCloud>>,
        caps: Caps,
    ) -> Rc<Self> {
        Rc::new(Self {
            reactor: Arc::clone(reactor),
            executor: Executor::new(Arc::clone(reactor)),
            store: store.clone(),
            rails,
            clouds,
            replicas: RefCell::default(),
            witness: RefCell::default(),
            database_away_until: Arc::default(),
            caps,
            groups: Cell::new(WORLD + 1),
            is_quiet: Cell::new(false),
            clients: Cell::new(0),
        })
    }

    fn next_group(&self) -> u32 {
        let group = self.groups.get();
        self.groups.set(group + 1);
        group
    }

    /// Opens a further place and starts its first process.
    pub(crate) fn add_replica(self: &Rc<Self>) {
        let skew: Arc<AtomicI64> = Arc::default();
        let is_guarded: Rc<Cell<bool>> = Rc::default();
        let group = self.next_group();
        let Some(engine) = self.new_engine(group, &skew) else {
            return;
        };
        self.staff(group, &engine, &is_guarded);
        self.replicas.borrow_mut().push(Replica {
            condition: Condition::Up,
            group,
            engine,
            skew,
            is_guarded,
        });
    }

    /// A new process in an old place; it has another name.
    pub(crate) fn restart(self: &Rc<Self>, index: usize) {
        let group = self.next_group();
        let skew = match self.replicas.borrow().get(index) {
            Some(replica) if replica.condition == Condition::Down => Arc::clone(&replica.skew),
            _ => return,
        };
        let Some(engine) = self.new_engine(group, &skew) else {
            return;
        };
        let is_guarded: Rc<Cell<bool>> = Rc::default();
        self.staff(group, &engine, &is_guarded);
        if let Some(replica) = self.replicas.borrow_mut().get_mut(index) {
            replica.condition = Condition::Up;
            replica.group = group;
            replica.engine = engine;
            replica.is_guarded = is_guarded;
        }
        self.reactor
            .log(&format_args!("replica {index} starts as {group}"));
    }

    /// Ends the process of a place; says what it was doing.
    pub(crate) fn crash(&self, index: usize) -> Vec<Victim> {
        let group = {
            let mut replicas = self.replicas.borrow_mut();
            match replicas.get_mut(index) {
                Some(replica) if replica.condition != Condition::Down => {
                    replica.condition = Condition::Down;
                    replica.group
                }
                _ => return Vec::new(),
            }
        };
        self.reactor.log(&format_args!("replica {index} dies"));
        self.executor.kill(group)
    }

    pub(crate) fn index_of(&self, group: u32) -> Option<usize> {
        let replicas = self.replicas.borrow();
        replicas.iter().position(|replica| replica.group == group)
    }

    pub(crate) fn set_condition(&self, index: usize, condition: Condition) {
        if let Some(replica) = self.replicas.borrow_mut().get_mut(index)
            && replica.condition != Condition::Down
        {
            replica.condition = condition;
            if condition == Condition::Frozen {
                self.executor.freeze(replica.group);
            } else {
                self.executor.thaw(replica.group);
            }
        }
    }

    fn new_engine(&self, number: u32, skew: &Arc<AtomicI64>) -> Option<Arc<Engine>> {
        let clock = Arc::new(ReplicaClock {
            reactor: Arc::clone(&self.reactor),
            skew: Arc::clone(skew),
        });
        let hook = SimHook {
            reactor: Arc::clone(&self.reactor),
            away_until: Arc::clone(&self.database_away_until),
        };
        let store: Arc<dyn Store> = Arc::new(self.store.hooked(Arc::new(hook)));
        let providers = self.clouds.iter().map(|cloud| {
            let provider: Arc<dyn Provider> = Arc::<SimCloud>::clone(cloud);
            provider
        });
        let rails = self.rails.iter().map(|rail| {
            let rail: Arc<dyn Rail> = Arc::<SimRail>::clone(rail);
            rail
        });
        let adapters = Adapters {
            store,
            providers: providers.collect(),
            rails: rails.map(AnyRail::from).collect(),
            clock: Arc::<ReplicaClock>::clone(&clock),
            entropy: Arc::new(self.reactor.dice.split()),
            timer: clock,
        };
        let secrets = Secrets {
            sealer: Sealer::new(
                SealingKey {
                    id: 1,
                    key: SecretBox::new(Box::new([7; 32])),
                },
                Vec::new(),
            ),
            api_key_pepper: SecretBox::new(Box::new([8; 32])),
        };
        let config = self.config(number)?;
        match Engine::new(config, adapters, secrets) {
            Ok(engine) => Some(Arc::new(engine)),
            Err(error) => {
                self.reactor.violate("internal", error.to_string());
                None
            }
        }
    }

    fn config(&self, number: u32) -> Option<EngineConfig> {
        let first = self.rails.first()?;
        Some(EngineConfig {
            environment: "sim".to_owned(),
            holder: format!("process-{number}"),
            sales: SalesTerms {
                markup: BTreeMap::new(),
                price_grace: Span::from_secs(300),
                catalog_max_age: Span::from_hours(24 * 365),
                default_rail: first.spec().label.clone(),
                early_destroy: EarlyDestroy::Credit { min_hours: 24 },
                topup_min: usd(1)?,
                topup_max: usd(100_000)?,
                blocked_payers: BTreeSet::new(),
                switched_off: BTreeSet::new(),
                alarm_below: BTreeMap::new(),
            },
            auth: AuthTerms {
                clock_skew: Span::from_secs(300),
                nonce_ttl: Span::from_secs(900),
                max_api_keys: 3,
            },
            mpp: None,
            caps: self.caps,
            guard: DestroyGuard {
                count: 5,
                permille: 100,
            },
            timing: Timing {
                watch_every: Span::from_secs(900),
                ready_look: Span::from_secs(10),
                ..Timing::default()
            },
        })
    }

    /// Runs a request's work on the replica that took it.
    pub(crate) fn spawn_on(
        &self,
        group: u32,
        label: &'static str,
        work: LocalBoxFuture<'static, ()>,
    ) {
        self.executor.spawn(group, label, work);
    }
}

fn usd(dollars: i64) -> Option<Usd> {
    Usd::from_micros(dollars * 1_000_000).ok()
}

/// Counts what a crash interrupted (reliability.md 5.1).
pub(crate) fn count_victims(reactor: &Reactor, victims: &[Victim]) {
    let mut tally = lock(&reactor.tally);
    for victim in victims {
        let has_committed = victim.commits > 0;
        let id = match (victim.label, has_committed) {
            ("buy", false) => "F001",
            ("buy", true) => "F012",
            ("spend", _) => "F016",
            ("password", true) => "F027",
            ("api-key", true) => "F028",
            ("destroy", _) => "F025",
            ("read", true) => "F029",
            ("expire", true) => "F026",
            ("sweep", true) => "F030",
            _ => continue,
        };
        tally.fault(id);
    }
}

/// The skew that a replica's clock has from now on.
pub(crate) fn set_skew(replica: &Replica, millis: i64) {
    replica.skew.store(millis, Ordering::Relaxed);
}
