//! What reaches our address is a payment's, or nobody's: counted once, whatever dies in between.

use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::arrival::{Arrival, ArrivalState};
use compute_domain::id::OperationId;
use compute_domain::ledger::Account;
use compute_domain::money::Usd;
use compute_domain::operation::OperationState;
use compute_domain::payment::{PaymentState, RailLabel};
use compute_domain::time::{Clock as _, Span};
use compute_engine::ports::{
    AnyRail, ArrivalPage, Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec,
    RailUnavailable, Settlement, TxMode,
};
use compute_engine::{Adapters, Caller, Engine, Error, StoredProof};
use compute_testkit::ambient::SeededEntropy;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, config, paid_with, secrets};
use compute_testkit::model_store::ModelStore;
use compute_testkit::scripted_rail::{ScriptedRail, SettleFault};
use compute_wallet::{EvmAddress, WalletAddress};

use crate::purse::usd;
use crate::world::World;

/// Somebody who never asked for anything.
fn stranger() -> WalletAddress {
    WalletAddress::Evm(EvmAddress::new([0xee; 20]))
}

/// A marketplace whose rail sees what arrives, from now on.
async fn watched(world: World) -> World {
    world.market.rail.show_arrivals();
    world.watch().await;
    world
}

impl World {
    /// One round of the watch.
    async fn watch(&self) {
        self.market.engine.watch_arrivals().await.unwrap();
    }

    async fn arrivals_in(&self, state: &'static str) -> Vec<Arrival> {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.list_arrivals(None, state, 1_000).await.unwrap()
    }

    async fn arrivals(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        let states = ["waiting", "matched", "unmatched", "assigned"];
        for (count, state) in counts.iter_mut().zip(states) {
            *count = self.arrivals_in(state).await.len();
        }
        counts
    }

    /// What suspense holds of arrivals, by the states of the rows: the auditor compares these with the
    /// ledger.
    async fn suspended(&self) -> i64 {
        let rows = self.arrivals_in("unmatched").await;
        rows.iter().map(|row| row.worth().micros()).sum()
    }

    async fn state_of(&self, id: OperationId) -> PaymentState {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.payment_of(id).await.unwrap().unwrap().state
    }

    /// A purchase whose money moves without our learning of it, for as long as the network is hidden.
    async fn unclear(&self, buyer: &Buyer) -> OperationId {
        self.market.rail.misbehave([SettleFault::LandsUnseen]);
        self.market.rail.hide(u32::MAX);
        let payment = self.payment(buyer).await;
        let engine = &self.market.engine;
        let bought = engine
            .provision(&Caller::Anonymous, &Market::request(), paid_with(&payment))
            .await;
        self.finish(bought).await
    }
}

#[tokio::test]
async fn money_that_nobody_announced_is_in_suspense_and_nobodys_credit() {
    let world = watched(World::open().await).await;
    let buyer = Buyer::new(1);
    world.sold(&buyer).await;
    injected("F085");
    // From a customer, too: it is not credited.
    world
        .market
        .rail
        .transfer("0xgift", buyer.wallet(), 7_000_000);
    world.market.rail.transfer("0xerror", stranger(), 20_000);
    world.watch().await;
    assert_eq!(world.arrivals().await, [0, 1, 2, 0]);
    assert_eq!(world.suspended().await, 7_020_000);
    assert_eq!(world.balance(&buyer).await, Usd::ZERO);
    world.audit().await;
    // Nothing is counted again, however often it is looked at.
    for _ in 0..3 {
        world.watch().await;
    }
    assert_eq!(world.suspended().await, 7_020_000);
    let view = world.market.engine.arrivals().await.unwrap();
    assert_eq!(view.sources.len(), 1);
    assert_eq!(view.waiting, []);
    let mut told: Vec<_> = view.unmatched.iter().collect();
    told.sort_by_key(|arrival| arrival.asset.atomic);
    assert_eq!(
        [&*told[0].reference, &*told[1].reference],
        ["0xerror", "0xgift"]
    );
    assert_eq!(told[1].payer, Some(buyer.wallet().to_string()));
    world.audit().await;
}

#[tokio::test]
async fn what_had_arrived_before_the_first_look_is_not_judged() {
    let world = World::open().await;
    world.market.rail.show_arrivals();
    world.market.rail.transfer("0xold", stranger(), 9_000_000);
    world.watch().await;
    world.market.rail.transfer("0xnew", stranger(), 8_000_000);
    world.watch().await;
    assert_eq!(world.arrivals().await, [0, 0, 1, 0]);
    assert_eq!(world.suspended().await, 8_000_000);
    world.audit().await;
}

#[tokio::test]
async fn money_of_an_undecided_payment_waits_and_holds_up_nothing_else() {
    let world = watched(World::open().await).await;
    let buyer = Buyer::new(1);
    let operation = world.unclear(&buyer).await;
    injected("F085");
    world.market.rail.transfer("0xother", stranger(), 3_000_000);
    world.watch().await;
    assert_eq!(world.arrivals().await, [1, 0, 1, 0]);
    assert_eq!(world.state_of(operation).await, PaymentState::Claimed);
    world.audit().await;
    // It is the payment's as soon as that settles, in the same transaction.
    world.market.rail.hide(0);
    world.market.quiesce().await;
    assert_eq!(world.arrivals().await, [0, 1, 1, 0]);
    world.audit().await;
    world.watch().await;
    assert_eq!(world.suspended().await, 3_000_000);
    let settled = world.market.rail.arrived();
    assert_eq!(settled, 3_000_000 + 168_000);
}

#[tokio::test]
async fn money_of_a_payment_that_is_given_up_is_nobodys() {
    let world = watched(World::open().await).await;
    let buyer = Buyer::new(1);
    let operation = world.unclear(&buyer).await;
    world.watch().await;
    assert_eq!(world.arrivals().await, [1, 0, 0, 0]);
    let engine = &world.market.engine;
    for _ in 0..60 {
        world.market.clock.advance(Span::from_secs(400));
        engine.drive_due().await.unwrap();
        world.watch().await;
    }
    // For as long as somebody may still find out, it waits.
    assert_eq!(world.arrivals().await, [1, 0, 0, 0]);
    engine.refund(operation, "nobody knows").await.unwrap();
    world.watch().await;
    assert_eq!(world.arrivals().await, [0, 0, 1, 0]);
    // What the shop advanced is back.
    let mut tx = world.market.store.begin(TxMode::Read).await.unwrap();
    let advanced = tx.transfers_of(operation).await.unwrap();
    assert_eq!(advanced[0].debit, Account::Suspense);
    assert_eq!(advanced[0].amount.micros(), world.suspended().await);
    drop(tx);
    world.audit().await;
}

/// The buyer had somebody else submit the payment, and shows it to us only when its money is booked as
/// nobody's.
#[tokio::test]
async fn money_that_was_booked_is_booked_back_when_its_payment_settles() {
    for is_assigned in [false, true] {
        let world = watched(World::open().await).await;
        let buyer = Buyer::new(1);
        // The transaction that the next settlement will name.
        let reference = format!("0x{:064x}", 0);
        injected("F085");
        world
            .market
            .rail
            .transfer(&reference, buyer.wallet(), 168_000);
        world.watch().await;
        assert_eq!(world.arrivals().await, [0, 0, 1, 0]);
        let engine = &world.market.engine;
        if is_assigned {
            let [arrival] = world.arrivals_in("unmatched").await.try_into().unwrap();
            let wallet = stranger();
            engine
                .assign_arrival(arrival.id, &wallet, "asked by mail")
                .await
                .unwrap();
        }
        world.audit().await;
        world.sold(&buyer).await;
        assert_eq!(world.arrivals().await, [0, 1, 0, 0], "{is_assigned}");
        assert_eq!(world.suspended().await, 0);
        // The books hold at this very moment, before any round.
        world.audit().await;
        // What the network shows twice by now is the double's doing; it stays apart.
        world.watch().await;
        world.audit().await;
    }
}

#[tokio::test]
async fn an_operator_makes_an_arrival_somebodys_credit_once() {
    let world = watched(World::open().await).await;
    let buyer = Buyer::new(1);
    world
        .market
        .rail
        .transfer("0xgift", buyer.wallet(), 7_000_000);
    world.watch().await;
    let [arrival] = world.arrivals_in("unmatched").await.try_into().unwrap();
    let engine = &world.market.engine;
    let credited = engine
        .assign_arrival(arrival.id, &buyer.wallet(), "sent without a purchase")
        .await;
    assert_eq!(credited.unwrap(), usd("7"));
    assert_eq!(world.balance(&buyer).await, usd("7"));
    let again = engine
        .assign_arrival(arrival.id, &buyer.wallet(), "again")
        .await;
    assert!(
        matches!(again, Err(Error::WrongState { state: "assigned" })),
        "{again:?}"
    );
    assert_eq!(world.balance(&buyer).await, usd("7"));
    let [assigned] = world.arrivals_in("assigned").await.try_into().unwrap();
    let ArrivalState::Assigned { note, .. } = assigned.state else {
        panic!("{assigned:?}")
    };
    assert_eq!(note, "sent without a purchase");
    world.audit().await;
    let unknown = "00000000-0000-0000-0000-000000000000".parse().unwrap();
    let missing = engine.assign_arrival(unknown, &buyer.wallet(), "no").await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
}

/// Thousands of tiny transfers make a row for each cent, not for each transfer.
#[tokio::test]
async fn dust_does_not_fill_the_ledger() {
    let world = watched(World::in_memory(ModelStore::new()).await).await;
    let buyer = Buyer::new(1);
    injected("F085");
    for number in 0..100 {
        let word = format!("0xdust{number}");
        world.market.rail.transfer(&word, stranger(), 999);
    }
    world.sold(&buyer).await;
    for _ in 0..3 {
        world.watch().await;
    }
    let rows = world.arrivals_in("unmatched").await;
    // 100 times 999 micro-dollars are nine cents and a rest, whatever the parts.
    assert!((1..=9).contains(&rows.len()), "{} rows", rows.len());
    assert!(rows.iter().all(|row| row.worth().micros() >= 10_000));
    let view = world.market.engine.arrivals().await.unwrap();
    let open = &view.sources[0];
    let booked: u64 = rows.iter().map(|row| row.transfers).sum();
    assert_eq!(booked + open.small_transfers, 100);
    let worth = i64::try_from(open.small_atomic).unwrap() + world.suspended().await;
    assert_eq!(worth, 99_900);
    // The payment among them is found.
    assert_eq!(world.arrivals().await[1], 1);
    world.audit().await;
}

/// A reorganisation has moved the transfer inside of its transaction's block.
#[tokio::test]
async fn money_that_moved_to_another_place_is_still_the_payments() {
    let world = watched(World::open().await).await;
    world.market.rail.settle_in_one_transaction();
    let buyer = Buyer::new(1);
    for _ in 0..3 {
        world.top_up(&buyer, "5").await;
    }
    injected("F054");
    world.market.rail.move_arrivals(|seen| seen.log_index += 1);
    world.watch().await;
    assert_eq!(world.arrivals().await, [0, 3, 0, 0]);
    world.audit().await;
}

/// The facilitator settles one payload twice: one is the payment, the other one nobody's.
#[tokio::test]
async fn a_payment_that_arrives_twice_is_one_payment() {
    let world = watched(World::open().await).await;
    let buyer = Buyer::new(1);
    world.sold(&buyer).await;
    injected("F052");
    world
        .market
        .rail
        .transfer("0xagain", buyer.wallet(), 168_000);
    world.watch().await;
    assert_eq!(world.arrivals().await, [0, 1, 1, 0]);
    assert_eq!(world.suspended().await, 168_000);
    world.audit().await;
}

#[tokio::test]
async fn a_settlement_without_an_arrival_is_found_within_the_hour() {
    let world = watched(World::open().await).await;
    let buyer = Buyer::new(1);
    world.sold(&buyer).await;
    // The network lied: what it showed was never final.
    world.market.rail.move_arrivals(|seen| {
        seen.reference = "0xelse".to_owned();
        seen.payer = Some(stranger());
    });
    world.watch().await;
    world.market.clock.advance(Span::from_secs(3_601));
    world.watch().await;
    let findings = world.market.engine.audit().await.unwrap();
    let promises: Vec<_> = findings.iter().map(|found| found.promise).collect();
    assert_eq!(promises, ["M10"], "{findings:?}");
}

#[tokio::test]
async fn a_network_that_cannot_be_read_is_read_later() {
    let world = watched(World::open().await).await;
    world.market.rail.transfer("0xgift", stranger(), 7_000_000);
    world.market.rail.hide_arrivals(2);
    for _ in 0..2 {
        world.watch().await;
        assert_eq!(world.arrivals().await, [0; 4]);
    }
    world.watch().await;
    assert_eq!(world.arrivals().await, [0, 0, 1, 0]);
    world.audit().await;
}

/// Dies at each transaction of the watch; another process goes on.
#[tokio::test]
async fn a_crash_while_arrivals_are_read_counts_each_once() {
    let mut points = 0;
    for crash_at in 1..60 {
        let mut world = watched(World::in_memory(ModelStore::new()).await).await;
        let buyer = Buyer::new(1);
        let operation = world.unclear(&buyer).await;
        for (word, atomic) in [
            ("0xa", 7_000_000),
            ("0xb", 5_000),
            ("0xc", 6_000),
            ("0xd", 3),
        ] {
            world.market.rail.transfer(word, stranger(), atomic);
        }
        injected("F085");
        world.market.crash.at_transaction(crash_at);
        let _ = world.market.engine.watch_arrivals().await;
        let died = world.market.crash.is_dead();
        world.market.restart().await;
        world.audit().await;
        // The lease of the dead one ends.
        world.market.clock.advance(Span::from_secs(61));
        world.watch().await;
        assert_eq!(world.arrivals().await, [1, 0, 2, 0], "crash at {crash_at}");
        world.audit().await;
        world.market.rail.hide(0);
        world.market.quiesce().await;
        world.watch().await;
        let state = world.operation(operation).await.state;
        assert_eq!(state, OperationState::Succeeded);
        assert_eq!(world.arrivals().await, [0, 1, 2, 0], "crash at {crash_at}");
        assert_eq!(world.suspended().await, 7_011_000, "crash at {crash_at}");
        world.audit().await;
        if !died {
            break;
        }
        points += 1;
    }
    assert!(points > 5, "{points} crash points");
}

/// As the rail notes it, and as whoever looks at the order sees it.
#[tokio::test]
async fn a_payment_that_is_gone_from_its_chain_shows_until_it_is_final() {
    let world = watched(World::open().await).await;
    let buyer = Buyer::new(1);
    let payment = world.payment(&buyer).await;
    let bought = world
        .market
        .buy(&Market::request(), &payment)
        .await
        .unwrap();
    let engine = &world.market.engine;
    assert_eq!(engine.inspect(bought).await.unwrap().reverted_since, None);
    let mut tx = world.market.store.begin(TxMode::Write).await.unwrap();
    let stored = tx.payment_of(bought).await.unwrap().unwrap();
    let since = world.market.clock.now();
    injected("F054");
    assert!(tx.note_reverted(&stored.proof_key, since).await.unwrap());
    tx.commit().await.unwrap();
    let view = engine.inspect(bought).await.unwrap();
    assert_eq!(view.reverted_since, Some(since));
    // What was delivered stays, and nothing is taken back.
    assert_eq!(view.operation.state, OperationState::Succeeded);
    let gone = engine.reverted().await.unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].payment.operation, bought);
    world.audit().await;
    // Its transfer is final: it is in the chain for good.
    world.watch().await;
    assert_eq!(engine.inspect(bought).await.unwrap().reverted_since, None);
    assert_eq!(engine.reverted().await.unwrap(), []);
    assert_eq!(world.arrivals().await, [0, 1, 0, 0]);
    world.audit().await;
}

/// Two replicas at once: the lease keeps them apart, and the cursor would.
#[tokio::test]
async fn replicas_count_each_arrival_once() {
    let world = watched(World::open().await).await;
    let store = Arc::clone(&world.market.store);
    let other = world.market.another_replica(&store).await;
    for number in 0..9 {
        let word = format!("0x{number}");
        world.market.rail.transfer(&word, stranger(), 1_000_000);
    }
    let (one, two) = futures::join!(world.market.engine.watch_arrivals(), other.watch_arrivals());
    one.unwrap();
    two.unwrap();
    world.market.clock.advance(Span::from_secs(61));
    other.watch_arrivals().await.unwrap();
    assert_eq!(world.suspended().await, 9_000_000);
    assert_eq!(world.arrivals().await, [0, 0, 9, 0]);
    world.audit().await;
}

/// The same addresses under another label.
#[derive(Debug)]
struct Twin {
    spec: RailSpec,
    rail: Arc<ScriptedRail>,
}

#[async_trait]
impl Rail for Twin {
    fn spec(&self) -> &RailSpec {
        &self.spec
    }
    async fn health(&self) -> RailHealth {
        self.rail.health().await
    }
    async fn check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        self.rail.check(proof).await
    }
    async fn settle(&self, payment: &ClaimedPayment) -> Settlement {
        self.rail.settle(payment).await
    }
    async fn lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        self.rail.lookup(payment).await
    }
    fn arrival_source(&self) -> Option<String> {
        self.rail.arrival_source()
    }
    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        self.rail.arrivals(cursor).await
    }
}

#[tokio::test]
async fn rails_that_are_paid_at_one_address_count_each_transfer_once() {
    a_twin_reads(true).await;
}

/// The rail got another label while a payment was on its way to be read.
#[tokio::test]
async fn a_payment_over_a_rail_that_is_no_more_explains_its_money() {
    a_twin_reads(false).await;
}

async fn a_twin_reads(has_first: bool) {
    let world = World::open().await;
    world.market.rail.show_arrivals();
    let spec = RailSpec {
        label: RailLabel::parse("another").unwrap(),
        ..world.market.rail.spec().clone()
    };
    let rail = Arc::clone(&world.market.rail);
    let twin: Arc<dyn Rail> = Arc::new(Twin { spec, rail });
    let provider: Arc<dyn compute_engine::ports::Provider> = world.market.provider.clone();
    // The twin is first, so it reads for both.
    let mut rails = vec![twin];
    if has_first {
        rails.push(world.market.rail.clone());
    }
    let engine = Engine::new(
        config("process-9".to_owned()),
        Adapters {
            store: Arc::clone(&world.market.store),
            providers: vec![provider],
            rails: rails.into_iter().map(AnyRail::from).collect(),
            clock: Arc::new(world.market.clock.clone()),
            entropy: Arc::new(SeededEntropy::new(9)),
            timer: Arc::new(world.market.clock.clone()),
        },
        secrets(),
    )
    .unwrap();
    engine.watch_arrivals().await.unwrap();
    let buyer = Buyer::new(1);
    // Over the other rail.
    world.sold(&buyer).await;
    world.market.rail.transfer("0xgift", stranger(), 7_000_000);
    engine.watch_arrivals().await.unwrap();
    engine.watch_arrivals().await.unwrap();
    assert_eq!(world.arrivals().await, [0, 1, 1, 0]);
    let [gift] = world.arrivals_in("unmatched").await.try_into().unwrap();
    assert_eq!(gift.rail.as_str(), "another");
    world.audit().await;
}
