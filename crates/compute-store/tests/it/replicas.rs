//! Two replicas on one database that go for the same work at once.

use std::sync::Arc;

use compute_domain::time::Span;
use compute_engine::Engine;
use compute_engine::ports::Store;
use compute_store::Database;
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;
use compute_testkit::market::{Buyer, Market, now, paid_with};
use tokio::sync::Barrier;

const ROUNDS: usize = 12;

/// Longer than any lease.
const LEASE_IS_OVER: Span = Span::from_secs(61);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_do_the_same_work_once_on_sqlite() {
    let database = TestDatabase::sqlite().await;
    // One process opens a file; its engines share what it opened.
    let store = database.store();
    go_for_the_same_work(database.store(), &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_do_the_same_work_once_on_postgres() {
    let database = TestDatabase::postgres().await;
    let second = Database::connect(database.config()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(second);
    go_for_the_same_work(database.store(), &store).await;
}

/// An operation whose holder went away is due at both replicas in the same moment.
async fn go_for_the_same_work(store: Arc<dyn Store>, other: &Arc<dyn Store>) {
    let market = Market::open(store).await;
    let replicas = [
        Arc::clone(&market.engine),
        market.another_replica(other).await,
    ];
    let buyer = Buyer::new(1);
    for round in 1..=ROUNDS {
        abandon_a_topup(&market, &buyer).await;
        market.clock.advance(LEASE_IS_OVER);
        let mut taken = drive_at_once(&replicas).await;
        taken.sort_unstable();
        assert_eq!(taken, [0, 1], "one of them has it");
        injected("F140");
        let calls = usize::try_from(market.rail.settle_calls()).unwrap();
        assert_eq!((calls, market.rail.settled().len()), (round, round));
    }
    let settled = market.rail.settled().len();
    for round in 1..=ROUNDS {
        abandon_a_machine(&market, &buyer).await;
        market.clock.advance(LEASE_IS_OVER);
        let taken = drive_at_once(&replicas).await;
        assert!(taken.iter().any(|count| *count > 0), "{taken:?}");
        market.quiesce().await;
        let calls = usize::try_from(market.rail.settle_calls()).unwrap();
        assert_eq!(calls, settled + round);
        assert_eq!(market.provider.machines().len(), round);
    }
    assert_eq!(market.rail.settled().len(), settled + ROUNDS);
    assert_eq!(market.engine.audit().await.unwrap(), []);
}

/// The rounds of both replicas, in the same moment. How many operations each took on.
#[expect(clippy::disallowed_methods, reason = "replicas at once are tasks")]
async fn drive_at_once(replicas: &[Arc<Engine>; 2]) -> [usize; 2] {
    let barrier = Arc::new(Barrier::new(2));
    let [first, second] = replicas.each_ref().map(|engine| {
        let (engine, barrier) = (Arc::clone(engine), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            engine.drive_due().await.unwrap()
        })
    });
    [first.await.unwrap(), second.await.unwrap()]
}

/// Buys credits; who accepted that does nothing any more.
async fn abandon_a_topup(market: &Market, buyer: &Buyer) {
    let engine = &market.engine;
    let request = Market::credits("5");
    let caller = buyer.sign_in(engine, "POST", "/x").await.unwrap();
    let sheet = market.offer_credits(&caller, &request).await;
    let payment = buyer.pay(&sheet, now(market));
    let accepted = engine.top_up(&caller, &request, paid_with(&payment)).await;
    drop(accepted.unwrap());
}

async fn abandon_a_machine(market: &Market, buyer: &Buyer) {
    let request = Market::request();
    let payment = buyer.pay(&market.offer(&request).await, now(market));
    let caller = compute_engine::Caller::Anonymous;
    let engine = &market.engine;
    let accepted = engine
        .provision(&caller, &request, paid_with(&payment))
        .await;
    drop(accepted.unwrap());
}
