//! Whoever makes trouble: crashes, frozen processes, cut wires, lost machines, changed prices.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::cluster::{Condition, World, count_victims, set_skew};
use super::executor::WORLD;
use super::links::Link;
use super::reactor::lock;
use super::trap;

/// Makes trouble until it is told to stop.
pub(crate) async fn storm(world: Rc<World>, points: Vec<String>) {
    let dice = &world.reactor.dice;
    // Each run has its own mixture: what is rare in one is frequent in another.
    let weights: Vec<u64> = (0..TROUBLES.len())
        .map(|_| {
            if dice.chance(650) {
                dice.below(10) + 1
            } else {
                0
            }
        })
        .collect();
    let pace = dice.range(20_000, 400_000);
    while world.reactor.is_stormy.load(Ordering::Relaxed) {
        let pause = dice.range(1_000, pace * 2);
        world.reactor.sleep(pause).await;
        if !world.reactor.is_stormy.load(Ordering::Relaxed) {
            return;
        }
        let total: u64 = weights.iter().sum();
        let mut roll = dice.below(total);
        for (trouble, weight) in TROUBLES.iter().zip(&weights) {
            if roll < *weight {
                trouble.make(&world, &points);
                break;
            }
            roll -= weight;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Crash,
    CrashAtPoint,
    CrashInRecovery,
    Freeze,
    CutWire,
    SwizzleClog,
    DatabaseAway,
    LoseMachine,
    SuspendMachine,
    ChangePrices,
    EmptyLists,
    RefuseUs,
    SellOut,
    Skew,
    ClockJump,
    LagNode,
    LongOutage,
}

const TROUBLES: [Trouble; 17] = [
    Trouble::Crash,
    Trouble::CrashAtPoint,
    Trouble::CrashInRecovery,
    Trouble::Freeze,
    Trouble::CutWire,
    Trouble::SwizzleClog,
    Trouble::DatabaseAway,
    Trouble::LoseMachine,
    Trouble::SuspendMachine,
    Trouble::ChangePrices,
    Trouble::EmptyLists,
    Trouble::RefuseUs,
    Trouble::SellOut,
    Trouble::Skew,
    Trouble::ClockJump,
    Trouble::LagNode,
    Trouble::LongOutage,
];

impl Trouble {
    fn make(self, world: &Rc<World>, points: &[String]) {
        let dice = &world.reactor.dice;
        world.reactor.log(&format_args!("trouble: {self:?}"));
        match self {
            Self::Crash => crash(world, some_replica(world), 0),
            Self::CrashAtPoint => match dice.pick(points) {
                Some(name) if dice.chance(700) => trap::arm_at(name),
                _ => trap::arm(u32::try_from(dice.range(1, 40)).unwrap_or(1)),
            },
            Self::CrashInRecovery => {
                let times = dice.below(4) + 1;
                world.reactor.fault("F033");
                crash(world, some_replica(world), times);
            }
            Self::Freeze => freeze(world),
            Self::CutWire => {
                let millis = dice.range(10_000, 1_200_000);
                if let Some(link) = dice.pick(&links(world)) {
                    link.cut(millis);
                }
                world.reactor.fault("F049");
            }
            Self::SwizzleClog => swizzle(world),
            Self::DatabaseAway => {
                let until = world.reactor.millis() + dice.range(1_000, 90_000);
                world.database_away_until.store(until, Ordering::Relaxed);
                world.reactor.fault("F135");
            }
            Self::LoseMachine => with_cloud(world, |cloud| cloud.lose_one()),
            Self::SuspendMachine => with_cloud(world, |cloud| cloud.suspend_one()),
            Self::ChangePrices => with_cloud(world, |cloud| cloud.change_prices()),
            Self::EmptyLists => {
                let millis = dice.range(60_000, 1_800_000);
                with_cloud(world, |cloud| cloud.empty_lists(millis));
            }
            Self::RefuseUs => {
                let millis = dice.range(10_000, 600_000);
                with_cloud(world, |cloud| cloud.refuse_us(millis));
            }
            Self::SellOut => {
                let millis = dice.range(60_000, 1_800_000);
                with_cloud(world, |cloud| cloud.sell_out(millis));
            }
            Self::Skew => {
                let millis = dice.range(-2_000, 2_000);
                let index = some_replica(world);
                if let Some(replica) = world.replicas.borrow().get(index) {
                    set_skew(replica, millis);
                }
            }
            Self::ClockJump => clock_jump(world),
            Self::LagNode => {
                let (lag, millis) = (dice.range(5_000, 50_000), dice.range(60_000, 1_800_000));
                if let Some(rail) = dice.pick(&world.rails) {
                    rail.lag_node(lag, millis);
                    world.reactor.fault("F073");
                }
            }
            Self::LongOutage if dice.chance(100) => {
                let millis = dice.range(7_200_000, 28_800_000);
                if let Some(rail) = dice.pick(&world.rails) {
                    rail.link.lose(millis);
                    world.witness.borrow_mut().has_long_outage = true;
                    world.reactor.fault("F049");
                }
            }
            Self::LongOutage => {}
        }
    }
}

fn some_replica(world: &World) -> usize {
    world.reactor.dice.index(world.replicas.borrow().len())
}

fn links(world: &World) -> Vec<&Link> {
    let rails = world.rails.iter().map(|rail| &rail.link);
    let clouds = world.clouds.iter().map(|cloud| &cloud.link);
    rails.chain(clouds).collect()
}

fn with_cloud(world: &World, change: impl FnOnce(&super::cloud::SimCloud)) {
    if let Some(cloud) = world.reactor.dice.pick(&world.clouds) {
        change(cloud);
    }
}

/// Ends a process now; it comes back, and dies `again` more times while it recovers.
fn crash(world: &Rc<World>, index: usize, again: u64) {
    let victims = world.crash(index);
    count_victims(&world.reactor, &victims);
    come_back(world, index, again);
}

/// A place stays empty for a while.
pub(crate) fn come_back(world: &Rc<World>, index: usize, again: u64) {
    let own = Rc::clone(world);
    let work = async move {
        let millis = own.reactor.dice.range(100, 120_000);
        own.reactor.sleep(millis).await;
        own.restart(index);
        for _ in 0..again {
            let millis = own.reactor.dice.range(10, 3_000);
            own.reactor.sleep(millis).await;
            let victims = own.crash(index);
            count_victims(&own.reactor, &victims);
            own.restart(index);
        }
    };
    world.executor.spawn(WORLD, "restart", Box::pin(work));
}

fn freeze(world: &Rc<World>) {
    let index = some_replica(world);
    let own = Rc::clone(world);
    let millis = world.reactor.dice.range(20_000, 720_000);
    if millis > 60_000 {
        world.reactor.fault("F034");
        world.reactor.fault("F141");
    }
    world.set_condition(index, Condition::Frozen);
    let work = async move {
        own.reactor.sleep(millis).await;
        own.set_condition(index, Condition::Up);
    };
    world.executor.spawn(WORLD, "thaw", Box::pin(work));
}

/// Cuts wires one after the other and mends them in another order.
fn swizzle(world: &Rc<World>) {
    let own = Rc::clone(world);
    let work = async move {
        let count = own.rails.len() + own.clouds.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.retain(|_| own.reactor.dice.chance(600));
        for index in &order {
            if let Some(link) = links(&own).get(*index) {
                link.cut(900_000);
            }
            own.reactor.sleep(own.reactor.dice.range(100, 20_000)).await;
        }
        while !order.is_empty() {
            let index = order.swap_remove(own.reactor.dice.index(order.len()));
            if let Some(link) = links(&own).get(index) {
                link.mend();
            }
            own.reactor.sleep(own.reactor.dice.range(100, 60_000)).await;
        }
    };
    world.executor.spawn(WORLD, "swizzle", Box::pin(work));
}

/// A clock that cannot be right: the process takes no requests and its workers rest until it agrees
/// with the others again, which is what the server's guard does.
fn clock_jump(world: &Rc<World>) {
    world.reactor.fault("F142");
    let index = some_replica(world);
    let guard = match world.replicas.borrow().get(index) {
        Some(replica) => Rc::clone(&replica.is_guarded),
        None => return,
    };
    guard.set(true);
    let own = Rc::clone(world);
    let work = async move {
        own.reactor
            .sleep(own.reactor.dice.range(30_000, 1_800_000))
            .await;
        guard.set(false);
    };
    world.executor.spawn(WORLD, "guard", Box::pin(work));
}

/// Nobody makes trouble any more, and everything that was broken is mended.
pub(crate) fn calm(world: &Rc<World>) {
    world.reactor.is_stormy.store(false, Ordering::Relaxed);
    trap::disarm();
    world.database_away_until.store(0, Ordering::Relaxed);
    for link in links(world) {
        link.mend();
    }
    for cloud in &world.clouds {
        cloud.calm_down();
    }
    let count = world.replicas.borrow().len();
    for index in 0..count {
        world.set_condition(index, Condition::Up);
        if let Some(replica) = world.replicas.borrow().get(index) {
            set_skew(replica, 0);
            replica.is_guarded.set(false);
        }
        world.restart(index);
    }
    let repairs = lock(&world.reactor.tally).repairs;
    world.reactor.log(&format_args!("calm, {repairs} repairs"));
}
