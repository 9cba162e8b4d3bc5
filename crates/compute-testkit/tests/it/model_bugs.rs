//! Each bug that can be planted in the database in memory shows: in a wrong answer, or in a finding.
//! Without it the same story is answered as it should be.

use std::sync::Arc;

use compute_domain::id::{InstanceId, OperationId, PaymentId, TransferId};
use compute_domain::instance::Instance;
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::operation::{Operation, OperationKind};
use compute_domain::payment::Payment;
use compute_domain::request_key::RequestKey;
use compute_domain::time::{Span, Timestamp};
use compute_engine::Caller;
use compute_engine::ports::{
    BoundKey, Caps, ClaimOutcome, Opened, PlaceTaken, Posted, Store, TakenPassword, Tx, TxMode,
};
use compute_testkit::market::{Buyer, Market, paid_with};
use compute_testkit::model_store::ModelStore;
use compute_testkit::planted::PlantedBug;
use uuid::Uuid;

/// A shop that has sold one machine, and what is known about it.
struct Shop {
    store: ModelStore,
    market: Market,
    buyer: Buyer,
    instance: Instance,
    provision: Operation,
    payment: Payment,
}

impl Shop {
    async fn open(bug: Option<PlantedBug>) -> Self {
        let store = bug.map_or_else(ModelStore::new, ModelStore::with_bug);
        let market = Market::open(Arc::new(store.clone())).await;
        let buyer = Buyer::new(1);
        let sheet = market.offer(&Market::request()).await;
        let payment = buyer.pay(&sheet, market.engine.now());
        market.buy(&Market::request(), &payment).await.unwrap();
        let snapshot = store.snapshot();
        Self {
            instance: snapshot.instances[0].clone(),
            provision: snapshot.operations[0].clone(),
            payment: snapshot.payments[0].clone(),
            store,
            market,
            buyer,
        }
    }

    async fn write(&self) -> Box<dyn Tx> {
        self.store.begin(TxMode::Write).await.unwrap()
    }

    fn now(&self) -> Timestamp {
        self.market.engine.now()
    }

    /// A new top-up of the buyer's, opened in the transaction.
    async fn open_topup(&self, tx: &mut dyn Tx, number: u128) -> Operation {
        let id = OperationId::from_uuid(Uuid::from_u128(number));
        let kind = OperationKind::Topup;
        let owner = self.instance.owner;
        let operation = Operation::open(id, kind, owner, None, [7; 32], self.now());
        let opened = tx
            .open_operation(&operation, "a", self.now())
            .await
            .unwrap();
        assert!(matches!(opened, Opened::Leased(_)));
        operation
    }

    /// A purchase that spends, or something that gives back, by the reason.
    fn transfer(&self, operation: &Operation, reason: TransferReason, micros: i64) -> Transfer {
        let credits = Account::Credits(self.instance.owner);
        let (debit, credit) = match reason {
            TransferReason::Spend => (credits, Account::Sales),
            _ => (Account::Sales, credits),
        };
        Transfer {
            id: TransferId::from_uuid(operation.id.uuid()),
            debit,
            credit,
            amount: Usd::from_micros(micros).unwrap(),
            reason,
            cause: operation.id.into(),
            created_at: self.now(),
        }
    }

    /// Whether the audit finds this promise broken. The quick one must agree when it knows the
    /// promise; it says so once.
    fn breaks(&self, promise: &str) -> bool {
        let quick = ["M1", "M2", "M3", "M5", "P1", "P3", "O5"];
        let is_among = |found: Vec<compute_engine::ports::Finding>| {
            found.iter().any(|finding| finding.promise == promise)
        };
        let (all, some) = (
            is_among(self.store.audit()),
            is_among(self.store.audit_quick()),
        );
        assert!(!quick.contains(&promise) || all == some, "{promise}");
        all
    }
}

/// Two copies of a claim of one proof; whether both are taken.
async fn claim_twice(shop: &Shop, is_unclear: bool) -> bool {
    let claim = |operation: &Operation, number: u128| Payment {
        id: PaymentId::from_uuid(Uuid::from_u128(number)),
        operation: operation.id,
        proof_key: "proof".to_owned(),
        state: compute_domain::payment::PaymentState::Claimed,
        ..shop.payment.clone()
    };
    let mut tx = shop.write().await;
    let mut first = shop.open_topup(tx.as_mut(), 21).await;
    let payment = claim(&first, 21);
    let claimed = tx.claim_payment(&payment, b"x").await.unwrap();
    assert_eq!(claimed, ClaimOutcome::Claimed);
    if is_unclear {
        let until = shop.now().plus(Span::from_secs(60));
        let lease = tx.lease_operation(first.id, "a", shop.now(), until);
        let lease = lease.await.unwrap().unwrap();
        first.data.settlement_unknown_since = Some(shop.now());
        tx.save_operation(&first, &lease, until).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = shop.write().await;
    let second = shop.open_topup(tx.as_mut(), 22).await;
    let outcome = tx.claim_payment(&claim(&second, 22), b"x").await.unwrap();
    let is_taken = outcome == ClaimOutcome::Claimed;
    if is_taken {
        assert_eq!(
            tx.find_payment("proof").await.unwrap().is_some(),
            is_unclear
        );
        tx.commit().await.unwrap();
    }
    assert_eq!(shop.breaks("P1"), is_taken);
    is_taken
}

async fn release_claim_on_timeout(shop: Shop) -> bool {
    claim_twice(&shop, true).await
}

async fn tx_hash_identity(shop: Shop) -> bool {
    claim_twice(&shop, false).await
}

/// Two who spend the same credits at once: the second is asked for before the first commits.
async fn read_then_debit(shop: Shop) -> bool {
    let mut tx = shop.write().await;
    let gift = shop.open_topup(tx.as_mut(), 30).await;
    let gift = shop.transfer(&gift, TransferReason::PaymentRefund, 5);
    assert_eq!(tx.post_transfer(&gift).await.unwrap(), Posted::New);
    tx.commit().await.unwrap();
    shop.store.audit_quick();
    let debit = async |number: u128| {
        let mut tx = shop.write().await;
        let operation = shop.open_topup(tx.as_mut(), number).await;
        let seen = tx.lock_credits(shop.instance.owner).await.unwrap();
        let spend = shop.transfer(&operation, TransferReason::Spend, 5);
        let posted = tx.post_transfer(&spend).await.unwrap();
        assert_eq!(posted == Posted::New, seen == spend.amount);
        // The other one asks for its turn now.
        tokio::task::yield_now().await;
        tx.commit().await.unwrap();
        posted
    };
    let (first, second) = tokio::join!(debit(31), debit(32));
    assert_eq!(first, Posted::New);
    assert_eq!(shop.breaks("M5"), second == Posted::New);
    let is_overdrawn = shop.store.snapshot().credits[0].1 < 0;
    assert_eq!(is_overdrawn, second == Posted::New);
    second == Posted::New
}

async fn refund_without_unique(shop: Shop) -> bool {
    let mut tx = shop.write().await;
    let refund = shop.transfer(&shop.provision, TransferReason::PaymentRefund, 5);
    assert_eq!(tx.post_transfer(&refund).await.unwrap(), Posted::New);
    let again = tx.post_transfer(&refund).await.unwrap() == Posted::New;
    let owner = shop.instance.owner;
    let micros = tx.credits_of(owner).await.unwrap().balance.micros();
    assert_eq!(micros, if again { 10 } else { 5 });
    tx.commit().await.unwrap();
    let doubled = shop
        .store
        .audit()
        .iter()
        .any(|finding| finding.promise == "M6" && finding.detail.contains("2 transfers"));
    assert_eq!(doubled, again);
    again
}

async fn no_lease_epoch(shop: Shop) -> bool {
    let mut tx = shop.write().await;
    let (now, until) = (shop.now(), shop.now().plus(Span::from_secs(60)));
    let operation = shop.open_topup(tx.as_mut(), 40).await;
    let stale = tx.lease_operation(operation.id, "b", now, now).await;
    let stale = stale.unwrap().unwrap();
    let lease = tx.lease_operation(operation.id, "c", now, until).await;
    let lease = lease.unwrap().unwrap();
    let is_written = tx.save_operation(&operation, &stale, until).await.is_ok();
    // The holder keeps its lease in any case.
    tx.save_operation(&operation, &lease, until).await.unwrap();
    is_written
}

async fn password_not_erased(shop: Shop) -> bool {
    let (id, now) = (shop.instance.id, shop.now());
    let mut tx = shop.write().await;
    let first = tx.take_password(id, now).await.unwrap();
    assert!(matches!(first, TakenPassword::Sealed(_)));
    tx.take_password(id, now).await.unwrap() == first
}

async fn nonce_not_spent(shop: Shop) -> bool {
    let (wallet, now) = (shop.buyer.wallet(), shop.now());
    let mut tx = shop.write().await;
    assert!(tx.spend_nonce(&wallet, "n", now, now).await.unwrap());
    tx.spend_nonce(&wallet, "n", now, now).await.unwrap()
}

async fn lots_not_closed(shop: Shop) -> bool {
    let path = format!("/compute/instances/{}", shop.instance.id);
    let engine = &shop.market.engine;
    let caller = shop.buyer.sign_in(engine, "DELETE", &path).await.unwrap();
    engine.destroy(&caller, shop.instance.id).await.unwrap();
    shop.market.quiesce().await;
    shop.breaks("M7")
}

async fn request_key_ignored(shop: Shop) -> bool {
    let owner = shop.instance.owner;
    let key = RequestKey::idempotency_key("purchase-1").unwrap();
    let until = shop.now().plus(Span::from_hours(1));
    let mut tx = shop.write().await;
    let other = shop.open_topup(tx.as_mut(), 50).await;
    let mut answers = Vec::new();
    for operation in [&shop.provision, &other] {
        let bound = BoundKey {
            operation: operation.id,
            request_digest: operation.request_digest,
        };
        let answer = tx
            .bind_request_key(owner.into(), &key, &bound, None, until)
            .await;
        answers.push(answer.unwrap());
    }
    let found = tx.find_request_key(owner.into(), &key).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(answers[0], None);
    assert_eq!(answers[1], found);
    found.is_none()
}

async fn place_not_counted(shop: Shop) -> bool {
    let caps = Caps {
        instances_per_owner: 1,
        instances_total: 9,
        hourly_total: None,
    };
    let mut tx = shop.write().await;
    let taken = tx.take_place(shop.instance.owner, shop.instance.rate, &caps);
    let is_taken = taken.await.unwrap() == PlaceTaken::Yes;
    drop(tx);
    assert_eq!(shop.breaks("O10"), is_taken);
    is_taken
}

macro_rules! each_shows {
    ($($case:ident: $bug:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            assert!(super::$case(Shop::open(Some(PlantedBug::$bug)).await).await);
            assert!(!super::$case(Shop::open(None).await).await);
        }
    )+};
}

mod shows {
    use super::{PlantedBug, Shop};

    each_shows!(
        release_claim_on_timeout: ReleaseClaimOnTimeout,
        tx_hash_identity: TxHashIdentity,
        read_then_debit: ReadThenDebit,
        refund_without_unique: RefundWithoutUnique,
        no_lease_epoch: NoLeaseEpoch,
        password_not_erased: PasswordNotErased,
        nonce_not_spent: NonceNotSpent,
        lots_not_closed: LotsNotClosed,
        request_key_ignored: RequestKeyIgnored,
        place_not_counted: PlaceNotCounted,
    );
}

/// Names are how a seed is repeated.
#[test]
fn bugs_have_names_that_read_back() {
    for bug in PlantedBug::ALL {
        assert_eq!(PlantedBug::parse(bug.as_str()), Some(*bug));
    }
    assert_eq!(PlantedBug::ReadThenDebit.to_string(), "read-then-debit");
}

/// A story that goes wrong and a story that goes on keep every promise.
#[tokio::test]
async fn a_good_shop_keeps_its_promises() {
    let shop = Shop::open(None).await;
    let id: InstanceId = shop.instance.id;
    let more = Market::one_more_day();
    let sheet = shop.market.offer_time(id, &more).await;
    let payment = shop.buyer.pay(&sheet, shop.now());
    let engine = &shop.market.engine;
    let extended = engine.extend(&Caller::Anonymous, id, &more, paid_with(&payment));
    engine.work(extended.await.unwrap()).await;
    assert_eq!(shop.store.audit_quick(), []);
    let path = format!("/compute/instances/{id}");
    let caller = shop.buyer.sign_in(engine, "DELETE", &path).await.unwrap();
    engine.destroy(&caller, id).await.unwrap();
    shop.market.quiesce().await;
    assert_eq!(shop.store.audit_quick(), []);
    assert_eq!(shop.store.audit(), []);
    assert!(shop.store.snapshot().credits[0].1 > 0);
}
