//! Deterministic simulation: one seed is one run.
//!
//! Real engines, one to three of them on one database in memory, sell machines of two clouds over four
//! payment networks to hostile and honest customers, while processes die, freeze and come back, wires
//! are cut, partners lie, and time flies. One thread, one generator, one virtual clock: the same seed
//! gives the same run, byte for byte. After each commit the promises about money are checked; in the
//! end, when nothing moves any more, all of them, against the partners' own records.

mod bugs;
mod chain;
mod changes;
mod chaos;
mod cloud;
mod cluster;
mod dice;
mod errands;
mod executor;
mod hook;
mod links;
mod machines;
mod people;
mod rails;
mod reactor;
mod shopping;
mod staff;
mod tally;
mod trap;
mod verdict;
mod witness;
mod workload;

use core::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use compute_domain::catalog::ProviderId;
use compute_domain::operation::OperationState;
use compute_engine::Engine;
use compute_engine::ports::Caps;
use compute_wallet::EvmKey;

pub use bugs::Bug;
pub use reactor::Violation;
pub use tally::Tally;

use crate::market::START;
use crate::model_store::ModelStore;
use cloud::SimCloud;
use cluster::{World, count_victims};
use executor::{Stepped, WORLD};
use people::Person;
use rails::SimRail;
use reactor::{Reactor, lock};

/// The most customers a run has.
const PEOPLE_MAX: usize = 20;

/// How many steps a run may take; one that takes more goes round in circles.
const STEPS_MAX: u64 = 5_000_000;

/// How one seed is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// With this bug planted.
    pub bug: Option<Bug>,
    /// Telling what happens on standard error.
    pub tells: bool,
}

/// What came of one seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Equal for equal runs: every event, and what is stored in the end.
    pub hash: String,
    /// How often a port or the engine was called.
    pub calls: u64,
    /// How many faults were injected.
    pub faults: u64,
    /// The counts.
    pub tally: Tally,
    /// The first broken promise.
    pub violation: Option<Violation>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, hash, .. } = self;
        write!(
            f,
            "seed {seed}: {} calls, {} faults, {hash}",
            self.calls, self.faults
        )?;
        match &self.violation {
            Some(violation) => write!(
                f,
                "\n  {} broken after {} s: {}",
                violation.promise,
                violation.at_ms / 1_000,
                violation.detail
            ),
            None => Ok(()),
        }
    }
}

/// Names of all fail points of the engine, for reports of what no run has reached.
pub fn fail_points() -> Vec<String> {
    trap::all_points()
}

/// The wallets of all runs, made once: a key costs as much as a signature.
fn wallets() -> &'static [Arc<EvmKey>] {
    static WALLETS: OnceLock<Vec<Arc<EvmKey>>> = OnceLock::new();
    WALLETS.get_or_init(|| {
        let numbers = (1..=u8::MAX).take(PEOPLE_MAX);
        let keys = numbers.filter_map(|number| EvmKey::from_bytes(&[number; 32]).ok());
        keys.map(Arc::new).collect()
    })
}

/// Runs one seed.
pub fn run(seed: u64, options: &RunOptions) -> Report {
    let reactor = Arc::new(Reactor::new(seed, START, options.tells));
    trap::watch(&reactor);
    let store = match options.bug {
        Some(Bug::Store(bug)) => ModelStore::with_bug(bug),
        _ => ModelStore::new(),
    };
    // One run in eight is calm.
    let is_stormy = !seed.is_multiple_of(8);
    let world = build(&reactor, &store, options.bug);
    reactor.is_stormy.store(is_stormy, Ordering::Relaxed);
    let mut simulation = Simulation { world, steps: 0 };
    simulation.play(is_stormy);
    let violation = reactor.violation();
    let Simulation { world, .. } = simulation;
    tear_down(&world);
    trap::forget();
    let tally = lock(&reactor.tally).clone();
    let [a, b, c, d, ..] = store.digest();
    Report {
        seed,
        hash: format!(
            "{:016x}-{:08x}",
            reactor.hash(),
            u32::from_be_bytes([a, b, c, d])
        ),
        calls: reactor.calls(),
        faults: tally.faults.values().sum(),
        tally,
        violation,
    }
}

fn build(reactor: &Arc<Reactor>, store: &ModelStore, bug: Option<Bug>) -> Rc<World> {
    let rails = [
        ("base", 8_453, 6),
        ("base-sepolia", 84_532, 6),
        ("megaeth", 4_326, 18),
        ("solana-like", 900, 9),
    ];
    let rails = rails.iter().filter_map(|(label, chain, decimals)| {
        SimRail::new(label, *chain, *decimals, reactor, store, bug).map(Arc::new)
    });
    let clouds = [ProviderId::Vultr, ProviderId::DigitalOcean];
    let clouds = clouds
        .iter()
        .map(|id| Arc::new(SimCloud::new(*id, reactor, store, bug)));
    let dice = &reactor.dice;
    let is_tight = dice.chance(250);
    let caps = Caps {
        instances_per_owner: if is_tight { 2 } else { 20 },
        instances_total: if is_tight { 12 } else { 500 },
        hourly_total: None,
    };
    let world = World::new(reactor, store, rails.collect(), clouds.collect(), caps);
    for _ in 0..=dice.below(3) {
        world.add_replica();
    }
    world
}

/// The run under way.
struct Simulation {
    world: Rc<World>,
    steps: u64,
}

impl Simulation {
    /// The workload with its faults, then calm, then time, then the verdict.
    fn play(&mut self, is_stormy: bool) {
        let world = Rc::clone(&self.world);
        self.open(is_stormy);
        let began = world.reactor.millis();
        while world.clients.get() > 0 && !world.reactor.is_violated() {
            // Faults end after a day and a half, whoever is still waiting.
            if world.reactor.millis() - began > 36 * 3_600_000 {
                world.reactor.is_stormy.store(false, Ordering::Relaxed);
            }
            if !self.step() {
                return;
            }
        }
        chaos::calm(&world);
        self.pass(20 * 60_000);
        world.is_quiet.set(true);
        self.pass(48 * 3_600_000);
        self.repair();
        self.come_to_rest();
        if !world.reactor.is_violated() {
            verdict::judge(&world, is_stormy);
        }
    }

    fn open(&self, is_stormy: bool) {
        let world = &self.world;
        let dice = &world.reactor.dice;
        let count = dice.index(PEOPLE_MAX - 2) + 3;
        let keys = wallets().iter().take(count).cloned().enumerate();
        let people = keys.map(|(number, key)| Person::new(number, key));
        let people: Rc<Vec<Rc<Person>>> = Rc::new(people.collect());
        let acts = u32::try_from(90 / count.max(1)).unwrap_or(1).max(4);
        world
            .clients
            .set(u32::try_from(people.len()).unwrap_or(u32::MAX));
        for person in people.iter() {
            let life = workload::live(
                Rc::clone(world),
                Rc::clone(person),
                Rc::clone(&people),
                acts,
            );
            world.executor.spawn(WORLD, "client", Box::pin(life));
        }
        if is_stormy {
            let storm = chaos::storm(Rc::clone(world), trap::all_points());
            world.executor.spawn(WORLD, "storm", Box::pin(storm));
        }
    }

    /// One step, and the checks that follow it; false when the run cannot go on.
    fn step(&mut self) -> bool {
        let reactor = &self.world.reactor;
        self.steps += 1;
        if self.steps > STEPS_MAX {
            reactor.violate("liveness", "the run does not end".to_owned());
        }
        match self.world.executor.step() {
            Stepped::Ran => {}
            Stepped::Idle => {
                reactor.violate("liveness", "nobody can go on".to_owned());
            }
            Stepped::Crashed(group, first) => {
                if let Some(index) = self.world.index_of(group) {
                    let mut victims = self.world.crash(index);
                    victims.push(first);
                    count_victims(reactor, &victims);
                    chaos::come_back(&self.world, index, 0);
                }
            }
        }
        if reactor.take_written() {
            for finding in self.world.store.audit_quick() {
                reactor.violate(finding.promise, finding.detail);
            }
        }
        !reactor.is_violated()
    }

    /// Lets time pass.
    fn pass(&mut self, millis: i64) {
        let until = self.world.reactor.millis() + millis;
        while self.world.reactor.millis() < until && self.step() {}
    }

    /// A machine may reach its end just now: what was begun is let come to its own.
    fn come_to_rest(&mut self) {
        for _ in 0..48 {
            let snapshot = self.world.store.snapshot();
            let mut operations = snapshot.operations.iter();
            if !operations.any(|row| matches!(row.state, OperationState::Running(_))) {
                return;
            }
            self.pass(300_000);
        }
    }

    /// What an operator does about work that is stuck and machines that are missing, and the time it
    /// takes.
    fn repair(&mut self) {
        let stuck = self.world.store.snapshot().operations.into_iter();
        let stuck = stuck.filter(|row| matches!(row.state, OperationState::Stuck { .. }));
        let stuck: Vec<_> = stuck.map(|row| row.id).collect();
        if self.world.reactor.is_violated() {
            return;
        }
        let world = Rc::clone(&self.world);
        let work = async move {
            for id in stuck {
                let refunds = world.reactor.dice.chance(300);
                world.operate(id, refunds).await;
            }
            world.give_up_what_is_missing().await;
        };
        self.world.executor.spawn(WORLD, "operator", Box::pin(work));
        self.pass(6 * 3_600_000);
    }
}

impl World {
    fn first_engine(&self) -> Option<Arc<Engine>> {
        let replicas = self.replicas.borrow();
        replicas.first().map(|replica| Arc::clone(&replica.engine))
    }

    /// An operator has looked: what the providers do not know any more is gone.
    async fn give_up_what_is_missing(&self) {
        let Some(engine) = self.first_engine() else {
            return;
        };
        for watched in engine.missing().await.unwrap_or_default() {
            lock(&self.reactor.tally).repairs += 1;
            match engine.give_up(watched.instance, "simulated").await {
                Ok(_) => self.told("an operator gave a machine up"),
                Err(error) => self.refused("give up", &error),
            }
        }
    }

    /// An operator's command, against the first replica.
    async fn operate(&self, id: compute_domain::id::OperationId, refunds: bool) {
        let Some(engine) = self.first_engine() else {
            return;
        };
        lock(&self.reactor.tally).repairs += 1;
        let outcome = if refunds {
            engine.refund(id, "simulated").await.map(|_| ())
        } else {
            engine.retry(id).await.map(|_| ())
        };
        if let Err(error) = outcome {
            self.refused("operator", &error);
        }
    }
}

/// Tasks hold the world and the world holds tasks: whoever is left is dropped by hand.
fn tear_down(world: &World) {
    let groups: Vec<u32> = world
        .replicas
        .borrow()
        .iter()
        .map(|replica| replica.group)
        .collect();
    world.executor.kill(WORLD);
    for group in groups {
        world.executor.kill(group);
    }
}
