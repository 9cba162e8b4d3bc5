//! The process dies at every transaction of every story, and another one goes on.

use compute_domain::instance::InstanceState;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now};
use compute_testkit::model_store::ModelStore;
use compute_testkit::scripted_provider::CreateFault;
use compute_testkit::scripted_rail::SettleFault;

use crate::promises;
use crate::world::World;

/// One story: what goes wrong besides the crash.
struct Story {
    name: &'static str,
    settle: Vec<SettleFault>,
    create: Vec<CreateFault>,
    refused_deletes: u32,
}

const fn story(name: &'static str) -> Story {
    Story {
        name,
        settle: Vec::new(),
        create: Vec::new(),
        refused_deletes: 0,
    }
}

/// Lives through one story with a crash at each of its transactions, with a password and with a key.
async fn at_every_transaction(story: Story) {
    for with_key in [false, true] {
        let mut points = 0;
        for crash_at in 1..200 {
            if !live_through(&story, crash_at, with_key).await {
                break;
            }
            points += 1;
        }
        assert!(
            (3..199).contains(&points),
            "{}: {points} crash points",
            story.name
        );
    }
}

macro_rules! stories {
    ($($name:ident: $story:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            at_every_transaction($story).await;
        }
    )+};
}

stories! {
    crash_while_all_goes_well: story("all goes well");
    crash_while_settled_unseen: settling("settled unseen", [SettleFault::LandsUnseen]);
    crash_while_settlement_is_lost: settling("settlement lost", [SettleFault::LostBefore]);
    crash_while_settlement_is_lost_twice_and_then_lands: settling(
        "settlement lost twice, then settled unseen",
        [SettleFault::LostBefore, SettleFault::LostBefore, SettleFault::LandsUnseen],
    );
    crash_while_declined: settling("declined", [SettleFault::Declines]);
    crash_while_the_network_is_away: settling("network away once", [SettleFault::Unreachable]);
    crash_before_settling: settling("dies before settling", [SettleFault::DiesBefore]);
    crash_while_made_unseen: creating("made unseen", [CreateFault::MadeUnseen]);
    crash_while_create_is_lost: creating("create lost", [CreateFault::LostBefore]);
    crash_while_rejected: creating("rejected", [CreateFault::Rejects]);
    crash_while_sold_out: creating("sold out", [CreateFault::SoldOut]);
    crash_while_throttled: creating("throttled once", [CreateFault::Throttles]);
    crash_while_credentials_are_refused:
        creating("credentials refused", [CreateFault::Unauthorized]);
    crash_before_creating: creating("dies before creating", [CreateFault::DiesBefore]);
    crash_while_never_ready_and_deletion_is_refused: Story {
        refused_deletes: 2,
        ..creating("never ready, deletion refused twice", [CreateFault::NeverReady])
    };
    crash_while_much_goes_wrong: Story {
        settle: vec![SettleFault::LandsUnseen],
        ..creating(
            "settled unseen, made unseen, then sold out",
            [CreateFault::MadeUnseen, CreateFault::SoldOut],
        )
    };
}

fn settling(name: &'static str, faults: impl Into<Vec<SettleFault>>) -> Story {
    Story {
        settle: faults.into(),
        ..story(name)
    }
}

fn creating(name: &'static str, faults: impl Into<Vec<CreateFault>>) -> Story {
    Story {
        create: faults.into(),
        ..story(name)
    }
}

/// Buys with a crash at the `n`-th transaction, restarts, and lets everything come to rest. False
/// when the story was over before.
async fn live_through(story: &Story, crash_at: i64, with_key: bool) -> bool {
    let mut world = World::in_memory(ModelStore::new()).await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    world.market.rail.misbehave(story.settle.clone());
    world.market.provider.misbehave(story.create.clone());
    world.market.provider.refuse_deletes(story.refused_deletes);
    let mut request = Market::request();
    if with_key {
        let line =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
        request.ssh_keys = compute_domain::text::SshPublicKey::parse(line)
            .unwrap()
            .into();
    }
    world.market.crash.at_transaction(crash_at);
    // Whether the buyer got an answer is not the point; what comes to rest is.
    let _ = world.market.buy(&request, &payment).await;
    if !world.market.crash.is_dead() {
        world.market.quiesce_until_dead().await;
    }
    let died = !world.market.crash.is_pending();
    // A story may hold one more death.
    for _ in 0..2 {
        world.market.restart().await;
        world.market.quiesce_until_dead().await;
    }
    world.market.quiesce().await;
    promises::check(&world, &buyer).await;
    // The buyer repeats the same payment: the same order, and nothing new anywhere.
    let before = (
        world.market.rail.settled(),
        world.market.provider.machines().len(),
    );
    let known = world.instances_of(&buyer).await.len();
    if known == 1 && !world.market.rail.settled().is_empty() {
        let again = world.market.buy(&request, &payment).await.unwrap();
        let repeated = world.instance_of(again).await;
        assert_eq!(
            world.instances_of(&buyer).await,
            vec![repeated],
            "{}",
            story.name
        );
        let after = (
            world.market.rail.settled(),
            world.market.provider.machines().len(),
        );
        assert_eq!(before, after, "{}: a repeat moves nothing", story.name);
    }
    died
}

#[tokio::test]
async fn a_destruction_survives_a_crash_at_every_transaction() {
    for refused_deletes in [0, 2] {
        for crash_at in 1..60 {
            let mut world = World::in_memory(ModelStore::new()).await;
            let buyer = Buyer::new(1);
            let payment = world.payment(&buyer).await;
            let bought = world
                .market
                .buy(&Market::request(), &payment)
                .await
                .unwrap();
            let instance = world.instance_of(bought).await;
            assert!(matches!(instance.state, InstanceState::Active(_)));
            world.market.provider.refuse_deletes(refused_deletes);
            let path = format!("/compute/instances/{}", instance.id);
            let caller = buyer
                .sign_in(&world.market.engine, "DELETE", &path)
                .await
                .unwrap();
            world.market.crash.at_transaction(crash_at);
            if let Ok(submitted) = world.market.engine.destroy(&caller, instance.id).await {
                world.market.engine.work(submitted).await;
            }
            if !world.market.crash.is_dead() {
                world.market.quiesce_until_dead().await;
            }
            let died = world.market.crash.is_dead();
            if died {
                injected("F025");
            }
            world.market.restart().await;
            world.market.quiesce().await;
            let after = world.instance_of(bought).await;
            match after.state {
                // It died before the destruction was opened: the machine is untouched.
                InstanceState::Active(_) => assert_eq!(world.market.provider.alive().len(), 1),
                InstanceState::Destroyed { .. } => {
                    assert!(world.market.provider.alive().is_empty())
                }
                other => panic!("crash at {crash_at}: {other:?}"),
            }
            if !died {
                assert!(crash_at > 4, "there is something to crash");
                break;
            }
        }
    }
}

#[tokio::test]
async fn twenty_crashes_in_a_row_do_not_stop_a_purchase() {
    let mut world = World::in_memory(ModelStore::new()).await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    world.market.crash.at_transaction(3);
    let _ = world.market.buy(&Market::request(), &payment).await;
    for _ in 0..20 {
        world.market.restart().await;
        world
            .market
            .clock
            .advance(compute_domain::time::Span::from_secs(120));
        world.market.crash.at_transaction(5);
        let _ = world.market.engine.drive_due().await;
        if world.market.crash.is_dead() {
            injected("F033");
        }
    }
    world.market.restart().await;
    world.market.quiesce().await;
    promises::check(&world, &buyer).await;
    assert_eq!(world.market.rail.settled().len(), 1);
    assert!(now(&world.market) > compute_testkit::market::START);
}
