//! Card payments that go back: the process dies at every transaction, and the money moves once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use compute_domain::id::{InvalidId, OperationId, OwnerId, ReserveId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::operation::{Operation, OperationKind, OperationState};
use compute_domain::payment::{Evidence, Payment, PaymentState, RailLabel};
use compute_domain::reserve::{DisputeState, ReserveState};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{
    AnyRail, CardDesk, Check, ClaimedPayment, Lookup, Mpp, Notice, Opened, Posted, Rail,
    RailHealth, RailUnavailable, RefundLook, RefundOrder, SeenDispute, Settlement, Store, TxMode,
};
use compute_engine::{Adapters, CardRefund, ChargeProof, ChargeSpec, Engine, Error};
use compute_testkit::ambient::{ManualClock, SeededEntropy};
use compute_testkit::crash::{Crash, MortalStore};
use compute_testkit::faults_log::injected;
use compute_testkit::market::{START, config, secrets};
use compute_testkit::model_store::ModelStore;
use compute_testkit::scripted_charge::ScriptedCharge;

use crate::purse::usd;

const PRICE: &str = "5.00";

/// What goes wrong with the next refund that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// It is made, and the answer lost.
    Unseen,
    /// The process dies after it was made.
    Dies,
    /// It is not made, and nobody knows.
    Lost,
    /// It is refused.
    Refused,
}

/// The books of a network that takes cards; they outlive every process.
#[derive(Debug)]
struct Books {
    refunds: BTreeMap<ReserveId, u128>,
    disputes: Vec<SeenDispute>,
    trouble: Trouble,
    account: &'static str,
}

#[derive(Debug)]
struct Network {
    charge: ScriptedCharge,
    books: Mutex<Books>,
    crash: Crash,
}

impl Network {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

#[async_trait]
impl Rail<Mpp> for Network {
    fn spec(&self) -> &ChargeSpec {
        self.charge.spec()
    }
    async fn health(&self) -> RailHealth {
        RailHealth::Ready
    }
    async fn check(&self, proof: &ChargeProof) -> Result<Check, RailUnavailable> {
        self.charge.check(proof).await
    }
    async fn settle(&self, payment: &ClaimedPayment<Mpp>) -> Settlement {
        self.charge.settle(payment).await
    }
    async fn lookup(&self, payment: &ClaimedPayment<Mpp>) -> Result<Lookup, RailUnavailable> {
        self.charge.lookup(payment).await
    }
    fn card_desk(&self) -> Option<&dyn CardDesk> {
        Some(self)
    }
}

fn done(id: ReserveId) -> RefundLook {
    RefundLook::Done {
        reference: format!("re_{id}"),
    }
}

#[async_trait]
impl CardDesk for Network {
    async fn own_account(&self) -> Result<String, RailUnavailable> {
        Ok(self.books().account.to_owned())
    }

    async fn look_for_refund(
        &self,
        order: &RefundOrder<'_>,
    ) -> Result<RefundLook, RailUnavailable> {
        let books = self.books();
        if books.account != "acct_1" {
            return Ok(RefundLook::Stranger);
        }
        let is_made = books.refunds.contains_key(&order.id);
        Ok(if is_made {
            done(order.id)
        } else {
            RefundLook::Unmade
        })
    }

    async fn send_refund(&self, order: &RefundOrder<'_>) -> RefundLook {
        let mut books = self.books();
        let trouble = core::mem::replace(&mut books.trouble, Trouble::None);
        let unseen = RefundLook::UnderWay {
            reason: "the answer was lost".to_owned(),
        };
        match trouble {
            Trouble::Refused => {
                // And again, however often it is asked.
                books.trouble = trouble;
                return RefundLook::Refused {
                    code: "charge_disputed".to_owned(),
                };
            }
            Trouble::Lost => return unseen,
            Trouble::None | Trouble::Unseen | Trouble::Dies => {}
        }
        let before = books.refunds.insert(order.id, order.atomic);
        assert_eq!(before, None, "a refund is sent once");
        match trouble {
            Trouble::Unseen => unseen,
            Trouble::Dies => {
                self.crash.now();
                unseen
            }
            _ => done(order.id),
        }
    }

    async fn disputes_since(&self, since: Timestamp) -> Result<Vec<SeenDispute>, RailUnavailable> {
        let books = self.books();
        let all = books.disputes.iter();
        Ok(all.filter(|it| it.opened_at >= since).cloned().collect())
    }

    async fn dispute(&self, reference: &str) -> Result<SeenDispute, RailUnavailable> {
        let books = self.books();
        let mut all = books.disputes.iter();
        let found = all.find(|it| it.reference == reference).cloned();
        found.ok_or_else(|| RailUnavailable {
            reason: "unknown".to_owned(),
        })
    }

    fn hear(&self, _body: &[u8], signature: &str) -> Option<Notice> {
        Some(match signature {
            "good" => Notice::News,
            _ => Notice::Forged,
        })
    }
}

/// A shop whose only buyer paid by card; all of it is credit.
struct Shop {
    store: Arc<dyn Store>,
    network: Arc<Network>,
    clock: ManualClock,
    crash: Crash,
    engine: Engine,
    starts: u64,
    operation: OperationId,
    owner: OwnerId,
}

fn uuid<T: core::str::FromStr<Err = InvalidId>>(number: u8) -> T {
    format!("00000000-0000-0000-0000-0000000000{number:02}")
        .parse()
        .unwrap()
}

impl Shop {
    async fn open() -> Self {
        let store: Arc<dyn Store> = Arc::new(ModelStore::new());
        let crash = Crash::default();
        let network = Arc::new(Network {
            charge: ScriptedCharge::stripe(),
            books: Mutex::new(Books {
                refunds: BTreeMap::new(),
                disputes: Vec::new(),
                trouble: Trouble::None,
                account: "acct_1",
            }),
            crash: crash.clone(),
        });
        let clock = ManualClock::at(START);
        let engine = start(1, &store, &network, &clock, &crash);
        let shop = Self {
            store,
            network,
            clock,
            crash,
            engine,
            starts: 1,
            operation: uuid(1),
            owner: uuid(2),
        };
        shop.sell().await;
        shop
    }

    /// The purchase, as it is once it has become credit.
    async fn sell(&self) {
        let mut tx = self.store.begin(TxMode::Write).await.unwrap();
        tx.create_owner(self.owner, START).await.unwrap();
        let (id, owner) = (self.operation, self.owner);
        let operation = Operation::open(id, OperationKind::Topup, owner, None, [1; 32], START);
        let until = START.plus(Span::from_secs(60));
        let opened = tx.open_operation(&operation, "x", until).await.unwrap();
        let Opened::Leased(lease) = opened else {
            panic!("the operation is new");
        };
        let stripe = RailLabel::parse("stripe").unwrap();
        let payment = Payment {
            id: uuid(3),
            operation: id,
            owner,
            rail: stripe.clone(),
            proof_key: "mpp:stripe:x".to_owned(),
            challenge_id: Some("c".to_owned()),
            payer: None,
            price: usd(PRICE),
            asset: AssetAmount {
                atomic: 500,
                decimals: 2,
            },
            void_after: until,
            claimed_at: START,
            state: PaymentState::Claimed,
        };
        tx.claim_payment(&payment, b"x").await.unwrap();
        let evidence = Evidence {
            reference: "pi_1".to_owned(),
            log_index: None,
        };
        let settled = payment.settle(evidence, START).unwrap();
        tx.save_payment(&settled).await.unwrap();
        let topup = Transfer {
            id: uuid(4),
            debit: Account::Clearing(stripe),
            credit: Account::Credits(owner),
            amount: usd(PRICE),
            reason: TransferReason::Topup,
            cause: id.into(),
            created_at: START,
        };
        assert_eq!(tx.post_transfer(&topup).await.unwrap(), Posted::New);
        let operation = operation.rest(OperationState::Succeeded, START);
        tx.save_operation(&operation, &lease, until).await.unwrap();
        tx.release_lease(&lease).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A second payment, of which it is not known whether it settled.
    async fn claim_another(&self) {
        let mut tx = self.store.begin(TxMode::Write).await.unwrap();
        let (id, kind) = (uuid(20), OperationKind::Topup);
        let operation = Operation::open(id, kind, self.owner, None, [3; 32], START);
        tx.open_operation(&operation, "x", START).await.unwrap();
        let payment = Payment {
            id: uuid(21),
            operation: id,
            owner: self.owner,
            rail: RailLabel::parse("stripe").unwrap(),
            proof_key: "mpp:stripe:y".to_owned(),
            challenge_id: Some("d".to_owned()),
            payer: None,
            price: usd(PRICE),
            asset: AssetAmount {
                atomic: 500,
                decimals: 2,
            },
            void_after: START,
            claimed_at: START,
            state: PaymentState::Claimed,
        };
        tx.claim_payment(&payment, b"y").await.unwrap();
        tx.commit().await.unwrap();
    }

    fn restart(&mut self) {
        self.crash.restart();
        self.starts += 1;
        let (store, network) = (&self.store, &self.network);
        self.engine = start(self.starts, store, network, &self.clock, &self.crash);
        // The duty of the dead one ends.
        self.clock.advance(Span::from_secs(61));
    }

    async fn refund(&self, amount: Option<&str>, name: &str) -> Result<ReserveState, Error> {
        let order = CardRefund {
            operation: self.operation,
            amount: amount.map(usd),
            name: name.to_owned(),
            reason: "asked".to_owned(),
        };
        let (reserve, _) = self.engine.refund_to_card(&order).await?;
        Ok(reserve.state)
    }

    async fn balance(&self) -> Usd {
        let mut tx = self.store.begin(TxMode::Read).await.unwrap();
        tx.credits_of(self.owner).await.unwrap().balance
    }

    async fn spend(&self, amount: &str) {
        let id: OperationId = uuid(9);
        let owner = self.owner;
        let operation = Operation::open(id, OperationKind::Provision, owner, None, [2; 32], START);
        let mut tx = self.store.begin(TxMode::Write).await.unwrap();
        tx.open_operation(&operation, "x", START).await.unwrap();
        let transfer = Transfer {
            id: uuid(10),
            debit: Account::Credits(owner),
            credit: Account::Sales,
            amount: usd(amount),
            reason: TransferReason::Spend,
            cause: id.into(),
            created_at: START,
        };
        assert_eq!(tx.post_transfer(&transfer).await.unwrap(), Posted::New);
        tx.commit().await.unwrap();
    }

    fn dispute(&self, state: DisputeState, status: &str) {
        let seen = SeenDispute {
            reference: "dp_1".to_owned(),
            payment: "pi_1".to_owned(),
            asset: AssetAmount {
                atomic: 500,
                decimals: 2,
            },
            status: status.to_owned(),
            state,
            opened_at: START,
        };
        self.network.books().disputes = vec![seen];
    }

    fn sent(&self) -> Vec<u128> {
        self.network.books().refunds.values().copied().collect()
    }

    async fn audit(&self) {
        assert_eq!(self.engine.audit().await.unwrap(), []);
    }
}

fn start(
    number: u64,
    store: &Arc<dyn Store>,
    network: &Arc<Network>,
    clock: &ManualClock,
    crash: &Crash,
) -> Engine {
    let rail: Arc<dyn Rail<Mpp>> = network.clone();
    let adapters = Adapters {
        store: Arc::new(MortalStore::new(Arc::clone(store), crash.clone())),
        providers: Vec::new(),
        rails: vec![AnyRail::Mpp(rail)],
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(number)),
        timer: Arc::new(clock.clone()),
    };
    Engine::new(config(format!("process-{number}")), adapters, secrets()).unwrap()
}

/// Refunds with a crash at the `n`-th transaction, and lets everything come to rest. False when the
/// story was over before.
async fn refund_through(trouble: Trouble, crash_at: i64) -> bool {
    let mut shop = Shop::open().await;
    shop.network.books().trouble = trouble;
    shop.crash.at_transaction(crash_at);
    let _ = shop.refund(Some("2.00"), "a").await;
    let _ = shop.engine.watch_cards().await;
    let died = !shop.crash.is_pending();
    for _ in 0..3 {
        shop.restart();
        // Whoever was not told that it is ordered orders it again.
        shop.refund(Some("2.00"), "a").await.unwrap();
        shop.engine.watch_cards().await.unwrap();
    }
    let state = shop.refund(None, "a").await.unwrap();
    let is_refused = matches!(state, ReserveState::Released { .. });
    assert_eq!(is_refused, trouble == Trouble::Refused, "{state:?}");
    if is_refused {
        assert_eq!(shop.sent(), [0; 0]);
        assert_eq!(shop.balance().await, usd(PRICE));
    } else {
        assert!(matches!(state, ReserveState::Paid { .. }), "{state:?}");
        assert_eq!(shop.sent(), [200]);
        assert_eq!(shop.balance().await, usd("3.00"));
    }
    shop.audit().await;
    died
}

#[tokio::test]
async fn a_refund_is_made_once_wherever_the_process_dies() {
    for trouble in [
        Trouble::None,
        Trouble::Unseen,
        Trouble::Dies,
        Trouble::Lost,
        Trouble::Refused,
    ] {
        let mut points = 0;
        while refund_through(trouble, points + 1).await {
            points += 1;
            injected("F081");
            assert!(points < 50, "{trouble:?}");
        }
        assert!(points > 4, "{trouble:?}: {points}");
    }
}

/// A dispute that ends so, with a crash at the `n`-th transaction.
async fn dispute_through(end: DisputeState, crash_at: i64) -> bool {
    let mut shop = Shop::open().await;
    shop.spend("1.50").await;
    shop.dispute(DisputeState::Open, "needs_response");
    shop.crash.at_transaction(crash_at);
    let _ = shop.engine.watch_cards().await;
    if !shop.crash.is_dead() {
        shop.clock.advance(Span::from_secs(61));
        shop.dispute(end, "decided");
        let _ = shop.engine.watch_cards().await;
    }
    let died = !shop.crash.is_pending();
    for _ in 0..2 {
        shop.restart();
        shop.dispute(end, "decided");
        shop.engine.watch_cards().await.unwrap();
    }
    let left = match end {
        DisputeState::Won => "3.50",
        DisputeState::Open | DisputeState::Lost => "0",
    };
    assert_eq!(shop.balance().await, usd(left), "{end:?} {crash_at}");
    let views = shop.engine.disputes(false).await.unwrap();
    assert_eq!(views.len(), 1);
    let (frozen, paid) = match end {
        DisputeState::Won => ("0", "0"),
        DisputeState::Open => ("3.50", "0"),
        DisputeState::Lost => ("0", "3.50"),
    };
    assert_eq!((views[0].frozen, views[0].paid), (usd(frozen), usd(paid)));
    shop.audit().await;
    died
}

#[tokio::test]
async fn a_dispute_freezes_once_wherever_the_process_dies() {
    for end in [DisputeState::Open, DisputeState::Won, DisputeState::Lost] {
        let mut points = 0;
        while dispute_through(end, points + 1).await {
            points += 1;
            injected("F081");
            assert!(points < 50, "{end:?}");
        }
        assert!(points > 4, "{end:?}: {points}");
    }
}

#[tokio::test]
async fn no_more_goes_back_than_is_left() {
    let shop = Shop::open().await;
    shop.spend("1.495").await;
    // A card knows no tenths of a cent.
    for too_much in ["3.51", "5.00"] {
        let refused = shop.refund(Some(too_much), "a").await;
        let Err(Error::InsufficientCredits { balance, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(balance, usd("3.50"));
    }
    let refused = shop.refund(Some("0.005"), "a").await;
    assert!(matches!(
        refused,
        Err(Error::WrongState {
            state: "no_such_amount"
        })
    ));
    assert_eq!(shop.refund(None, "a").await.unwrap(), ReserveState::Held);
    let other = shop.refund(Some("1.00"), "a").await;
    assert!(matches!(
        other,
        Err(Error::WrongState {
            state: "other_amount"
        })
    ));
    assert!(shop.refund(None, "b").await.is_err());
    assert_eq!(shop.balance().await, usd("0.005"));
    // It is frozen for no dispute: it is on its way already.
    shop.dispute(DisputeState::Open, "needs_response");
    shop.engine.watch_cards().await.unwrap();
    assert_eq!(shop.sent(), [350]);
    assert_eq!(
        shop.engine.disputes(true).await.unwrap()[0].frozen,
        usd("0.005")
    );
    shop.audit().await;
}

#[tokio::test]
async fn another_account_is_asked_for_no_refund() {
    let mut shop = Shop::open().await;
    shop.refund(None, "a").await.unwrap();
    for begun in [false, true] {
        if begun {
            // The right account was asked, and the answer lost.
            shop.network.books().trouble = Trouble::Lost;
            shop.engine.watch_cards().await.unwrap();
        }
        shop.network.books().account = "acct_2";
        shop.restart();
        shop.engine.watch_cards().await.unwrap();
        assert_eq!(shop.sent(), [0; 0]);
        assert_eq!(shop.refund(None, "a").await.unwrap(), ReserveState::Held);
        shop.network.books().account = "acct_1";
        shop.restart();
    }
    shop.engine.watch_cards().await.unwrap();
    assert_eq!(shop.sent(), [500]);
    shop.audit().await;
}

#[tokio::test]
async fn only_a_signed_notice_makes_us_ask() {
    let shop = Shop::open().await;
    // A refund that is on its way keeps nobody from being heard.
    shop.refund(Some("1.00"), "a").await.unwrap();
    shop.network.books().trouble = Trouble::Unseen;
    shop.dispute(DisputeState::Open, "needs_response");
    let heard = shop.engine.hear_notice(b"{}", "bad").await.unwrap();
    assert_eq!(heard, Some(Notice::Forged));
    assert_eq!(shop.balance().await, usd("4.00"));
    assert_eq!(shop.sent(), [0; 0]);
    for _ in 0..2 {
        let heard = shop.engine.hear_notice(b"{}", "good").await.unwrap();
        assert_eq!(heard, Some(Notice::News));
        assert_eq!(shop.balance().await, Usd::ZERO);
    }
    assert_eq!(shop.sent(), [100]);
    shop.audit().await;
}

/// While it was set aside for a refund there was nothing to freeze: when the refund is refused, it must not
/// come back to whoever has it from the bank, or will.
#[tokio::test]
async fn what_a_refused_refund_gives_back_is_not_spent_while_it_is_disputed() {
    for state in [DisputeState::Open, DisputeState::Lost] {
        let shop = Shop::open().await;
        shop.refund(None, "a").await.unwrap();
        shop.network.books().trouble = Trouble::Refused;
        shop.dispute(state, "told");
        shop.engine.watch_cards().await.unwrap();
        let refund = shop.refund(None, "a").await.unwrap();
        assert!(
            matches!(refund, ReserveState::Released { .. }),
            "{refund:?}"
        );
        assert_eq!(shop.balance().await, Usd::ZERO, "{state:?}");
        let view = shop.engine.disputes(false).await.unwrap().remove(0);
        let wanted = match state {
            DisputeState::Lost => (Usd::ZERO, usd(PRICE)),
            _ => (usd(PRICE), Usd::ZERO),
        };
        assert_eq!((view.frozen, view.paid), wanted, "{state:?}");
        shop.audit().await;
    }
}

/// A network may tell of a dispute before it is known here that its payment settled.
#[tokio::test]
async fn a_dispute_about_a_payment_that_is_not_known_yet_is_told_again() {
    let shop = Shop::open().await;
    let stripe = RailLabel::parse("stripe").unwrap();
    // Another payment is undecided since the start: disputes since then stay in sight.
    shop.claim_another().await;
    shop.clock.advance(Span::from_hours(24 * 30));
    shop.engine.watch_cards().await.unwrap();
    let mut tx = shop.store.begin(TxMode::Read).await.unwrap();
    let read = tx.disputes_read(&stripe, "acct_1").await.unwrap();
    assert_eq!(read, Some(START));
}
