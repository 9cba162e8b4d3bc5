//! What a simulator can do to transactions of the database in memory, and what it can see.

use std::sync::{Arc, Mutex};

use compute_domain::WalletAddress;
use compute_domain::id::OwnerId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Store, StoreError, Tx, TxMode};
use compute_testkit::market::{Buyer, Market};
use compute_testkit::model_store::{BeginFate, CommitFate, ModelStore, StoreHook};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Does what it is told; what is closed waits until it is opened.
#[derive(Debug)]
struct Hand {
    begin: BeginFate,
    commit: Mutex<CommitFate>,
    before_commit: Semaphore,
    after_commit: Semaphore,
}

impl Hand {
    fn new(begin: BeginFate, commit: CommitFate) -> Self {
        Self {
            begin,
            commit: Mutex::new(commit),
            before_commit: Semaphore::new(100),
            after_commit: Semaphore::new(100),
        }
    }
}

async fn pass(door: &Semaphore) {
    door.acquire().await.unwrap().forget();
}

impl StoreHook for Hand {
    fn before_begin(&self, _: TxMode) -> BoxFuture<'_, BeginFate> {
        async { self.begin }.boxed()
    }

    fn before_commit(&self, _: TxMode) -> BoxFuture<'_, CommitFate> {
        async {
            pass(&self.before_commit).await;
            *self.commit.lock().unwrap()
        }
        .boxed()
    }

    fn after_commit(&self, _: TxMode) -> BoxFuture<'_, ()> {
        pass(&self.after_commit).boxed()
    }

    fn database_now(&self) -> Option<Timestamp> {
        Some(Timestamp::from_millis(7))
    }
}

fn wallet(number: u8) -> WalletAddress {
    Buyer::new(number).wallet()
}

/// A transaction that has written an owner.
async fn writer(store: &ModelStore, number: u8) -> Box<dyn Tx> {
    let mut tx = store.begin(TxMode::Write).await.unwrap();
    let candidate = OwnerId::from_uuid(Uuid::from_u128(u128::from(number)));
    tx.ensure_owner(candidate, &wallet(number), Timestamp::from_millis(0))
        .await
        .unwrap();
    tx
}

async fn is_there(store: &ModelStore, number: u8) -> bool {
    let mut tx = store.begin(TxMode::Read).await.unwrap();
    tx.find_owner(&wallet(number)).await.unwrap().is_some()
}

fn assert_unavailable<T: core::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_database_can_be_out_of_reach() {
    let store = ModelStore::new();
    let hand = Hand::new(BeginFate::Unavailable, CommitFate::Apply);
    let cut_off = store.hooked(Arc::new(hand));
    assert_unavailable(cut_off.begin(TxMode::Read).await);
    assert_unavailable(cut_off.check_writable().await);
    // Others see the same database as it is.
    store.check_writable().await.unwrap();
    assert_eq!(store.database_now().await.unwrap(), None);
    let seven = Some(Timestamp::from_millis(7));
    assert_eq!(cut_off.database_now().await.unwrap(), seven);
}

#[tokio::test]
async fn a_commit_can_fail_and_a_confirmation_be_lost() {
    let store = ModelStore::new();
    for (number, fate, is_made) in [
        (1, CommitFate::Fail, false),
        (2, CommitFate::ApplyUnheard, true),
        (3, CommitFate::Apply, true),
    ] {
        let hooked = store.hooked(Arc::new(Hand::new(BeginFate::Begin, fate)));
        let outcome = writer(&hooked, number).await.commit().await;
        match fate {
            CommitFate::Apply => outcome.unwrap(),
            _ => assert_unavailable(outcome),
        }
        assert_eq!(is_there(&store, number).await, is_made, "{fate:?}");
    }
}

#[tokio::test]
async fn nobody_sees_what_waits_for_its_commit() {
    let store = ModelStore::new();
    let hand = Arc::new(Hand {
        before_commit: Semaphore::new(0),
        ..Hand::new(BeginFate::Begin, CommitFate::Apply)
    });
    let slow = writer(&store.hooked(hand.clone()), 1).await;
    let mut early = store.begin(TxMode::Read).await.unwrap();
    let others = async {
        assert!(!is_there(&store, 1).await);
        let second = writer(&store, 2);
        hand.before_commit.add_permits(1);
        // It had to wait for the first, whose writing it sees.
        let mut second = second.await;
        assert!(second.find_owner(&wallet(1)).await.unwrap().is_some());
        second.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(slow.commit(), others);
    outcome.unwrap();
    assert!(is_there(&store, 1).await && is_there(&store, 2).await);
    // An older reader still sees its own moment.
    assert_eq!(early.find_owner(&wallet(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_process_can_die_on_both_sides_of_its_commit() {
    let store = ModelStore::new();
    let closed = || Semaphore::new(0);
    let before = Hand {
        before_commit: closed(),
        ..Hand::new(BeginFate::Begin, CommitFate::Apply)
    };
    let after = Hand {
        after_commit: closed(),
        ..Hand::new(BeginFate::Begin, CommitFate::Apply)
    };
    for (number, hand, is_made) in [(1, before, false), (2, after, true)] {
        let dying = writer(&store.hooked(Arc::new(hand)), number).await;
        // Polled once and dropped.
        assert!(dying.commit().now_or_never().is_none());
        assert_eq!(is_there(&store, number).await, is_made);
        writer(&store, 9).await.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn equal_contents_have_equal_digests() {
    let (one, other) = (ModelStore::new(), ModelStore::new());
    let empty = one.digest();
    for store in [&one, &other] {
        writer(store, 1).await.commit().await.unwrap();
    }
    assert_ne!(one.digest(), empty);
    assert_eq!(one.digest(), other.digest());
    let undone = writer(&one, 2).await;
    assert_eq!(one.digest(), other.digest(), "nothing is committed");
    drop(undone);
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.snapshot(), other.snapshot());
    writer(&one, 2).await.commit().await.unwrap();
    assert_ne!(one.digest(), other.digest());
}

/// The same story, told twice by the whole engine, ends in the same rows.
#[tokio::test]
async fn a_story_repeats_itself() {
    let mut digests = Vec::new();
    for _ in 0..2 {
        let store = ModelStore::new();
        let market = Market::open(Arc::new(store.clone())).await;
        for number in [1, 2] {
            let buyer = Buyer::new(number);
            let sheet = market.offer(&Market::request()).await;
            let payment = buyer.pay(&sheet, market.engine.now());
            market.buy(&Market::request(), &payment).await.unwrap();
            assert_eq!(store.audit_quick(), []);
        }
        market.quiesce().await;
        assert_eq!(store.audit(), []);
        let snapshot = store.snapshot();
        assert_eq!(snapshot.instances.len(), 2);
        assert_eq!((snapshot.operations.len(), snapshot.payments.len()), (2, 2));
        assert_eq!((snapshot.transfers.len(), snapshot.lots.len()), (2, 2));
        assert!(snapshot.events.len() > 10);
        digests.push(store.digest());
    }
    assert_eq!(digests.first(), digests.last());
}
