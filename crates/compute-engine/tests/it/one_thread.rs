//! One thread for everything: whoever holds a lock across an await stops the whole process, and here
//! it would stop for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use compute_domain::instance::InstanceState;
use compute_engine::Engine;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market};
use compute_testkit::model_store::ModelStore;
use tokio::task::{JoinSet, yield_now};

use crate::world::World;

const PURCHASES: usize = 64;

/// How long it may take before it counts as stopped; nothing else depends on it.
const PATIENCE: Duration = Duration::from_secs(120);

async fn open(is_in_memory: bool) -> World {
    if is_in_memory {
        World::in_memory(ModelStore::new()).await
    } else {
        World::open().await
    }
}

/// One round of a worker.
async fn round(engine: &Engine, worker: usize) {
    let done = match worker {
        0 => engine.drive_due().await.map(|_| ()),
        1 => engine.expire_due().await.map(|_| ()),
        2 => engine.watch_machines().await.map(|_| ()),
        3 => engine.sweep_orphans().await.map(|_| ()),
        4 => engine.audit_hourly().await.map(|_| ()),
        5 => engine.clean_up().await,
        6 => {
            engine.refresh_catalog().await;
            Ok(())
        }
        7 => {
            engine.refresh_health().await;
            Ok(())
        }
        _ => {
            engine.readiness().await;
            Ok(())
        }
    };
    done.unwrap();
}

const WORKERS: usize = 9;

async fn live_through(world: World) {
    let world = Arc::new(world);
    let bought = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for worker in 0..WORKERS {
        let (engine, bought) = (Arc::clone(&world.market.engine), Arc::clone(&bought));
        tasks.spawn(async move {
            while bought.load(Ordering::SeqCst) < PURCHASES {
                round(&engine, worker).await;
                yield_now().await;
            }
        });
    }
    for number in 1..=PURCHASES {
        let (world, bought) = (Arc::clone(&world), Arc::clone(&bought));
        tasks.spawn(async move {
            let buyer = Buyer::new(u8::try_from(number).unwrap());
            let payment = world.payment(&buyer).await;
            world
                .market
                .buy(&Market::request(), &payment)
                .await
                .unwrap();
            bought.fetch_add(1, Ordering::SeqCst);
        });
    }
    injected("F147");
    tasks.join_all().await;
    world.market.quiesce().await;
    for number in 1..=PURCHASES {
        let buyer = Buyer::new(u8::try_from(number).unwrap());
        let instances = world.instances_of(&buyer).await;
        assert_eq!(instances.len(), 1);
        assert!(
            matches!(instances[0].state, InstanceState::Active(_)),
            "{instances:?}"
        );
    }
    assert_eq!(world.market.provider.alive().len(), PURCHASES);
    assert_eq!(world.market.rail.settled().len(), PURCHASES);
}

/// On a thread of its own, because a thread that waits for itself cannot say so.
fn check(is_in_memory: bool) {
    let (sender, receiver) = mpsc::channel();
    let living = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { live_through(open(is_in_memory).await).await });
        sender.send(()).unwrap();
    });
    match receiver.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the only thread waits for itself"),
        // A panic of the thread is shown by joining it.
        _ => living.join().unwrap(),
    }
}

#[test]
fn purchases_and_workers_on_one_thread_come_to_their_end() {
    check(false);
}

#[test]
fn so_they_do_on_a_database_in_memory() {
    check(true);
}
