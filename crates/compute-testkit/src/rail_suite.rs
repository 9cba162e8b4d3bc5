//! The contract of the `Rail` port, checked against any implementation.
//!
//! What happened is read from the network's own record, not from the answers of the rail. A
//! sentence that needs a misbehaving network is tested beside the adapter.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a conformance suite fails by panicking"
)]

use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::operation::{Operation, OperationKind};
use compute_domain::payment::RailLabel;
use compute_domain::payment::{Evidence, Payment};
use compute_engine::ChargeSpec;
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Protocol, Rail, RailHealth, RailSpec, Settlement, Store, TxMode,
    X402,
};
use futures::future::join_all;

/// What the suite reads of a rail's description, whatever its protocol.
pub trait Described {
    /// Its label.
    fn label(&self) -> &RailLabel;
    /// What to print about who settles.
    fn settlement(&self) -> &str;
}

impl Described for RailSpec {
    fn label(&self) -> &RailLabel {
        &self.label
    }

    fn settlement(&self) -> &str {
        &self.settlement
    }
}

impl Described for ChargeSpec {
    fn label(&self) -> &RailLabel {
        &self.label
    }

    fn settlement(&self) -> &str {
        &self.settlement
    }
}

/// A rail under test and what the suite must know and do about it.
#[async_trait]
pub trait RailFixture<P: Protocol<Spec: Described> = X402>: Send + Sync {
    /// The rail, with a network that no other test uses.
    fn rail(&self) -> &dyn Rail<P>;
    /// A payment that is signed and valid now and whose payer can pay. Each number is another
    /// payer.
    fn payment(&self, number: u8) -> ClaimedPayment<P>;
    /// Like [`RailFixture::payment`], but the payer holds less than the amount.
    fn uncovered_payment(&self, number: u8) -> ClaimedPayment<P>;
    /// How often the network moved money for this proof, by its own record.
    async fn times_moved(&self, payment: &ClaimedPayment<P>) -> u64;
    /// Lets time pass until the proofs made so far have expired.
    async fn expire_proofs(&self);
}

/// Writes a payment down as one of this shop's own sales: the claim of a top-up.
///
/// # Panics
/// When the store refuses it.
pub async fn record_sale(store: &Arc<dyn Store>, payment: &Payment) {
    let now = payment.claimed_at;
    let mut tx = store.begin(TxMode::Write).await.unwrap();
    let owner = tx
        .ensure_owner(payment.owner, payment.payer.as_ref().unwrap(), now)
        .await
        .unwrap();
    let (id, kind) = (payment.operation, OperationKind::Topup);
    let operation = Operation::open(id, kind, owner, None, [9; 32], now);
    let opened = tx.open_operation(&operation, "opener", payment.void_after);
    opened.await.unwrap();
    let payment = Payment {
        owner,
        ..payment.clone()
    };
    tx.claim_payment(&payment, b"sealed").await.unwrap();
    tx.commit().await.unwrap();
}

/// Checks every sentence of the contract that can be checked from outside.
///
/// # Panics
/// When a sentence does not hold.
pub async fn run<P: Protocol<Spec: Described>>(fixture: &dyn RailFixture<P>) {
    a_working_rail_is_ready(fixture).await;
    looking_moves_nothing(fixture).await;
    a_proof_settles_once(fixture).await;
    concurrent_settlements_move_the_money_once(fixture).await;
    a_payer_without_money_is_declined(fixture).await;
    an_expired_proof_never_settles(fixture).await;
    what_settled_stays_settled_after_expiry(fixture).await;
}

/// A rail whose network works may be offered, and describes itself.
///
/// # Panics
/// When not.
pub async fn a_working_rail_is_ready<P: Protocol<Spec: Described>>(fixture: &dyn RailFixture<P>) {
    assert_eq!(fixture.rail().health().await, RailHealth::Ready);
    let spec = fixture.rail().spec();
    assert!(
        !spec.settlement().is_empty(),
        "it can be printed who settles"
    );
    assert_eq!(&fixture.payment(1).payment().rail, spec.label());
}

/// Contract 4: `check` and `lookup` move nothing, and `lookup` claims nothing.
///
/// # Panics
/// When they do.
pub async fn looking_moves_nothing<P: Protocol<Spec: Described>>(fixture: &dyn RailFixture<P>) {
    let (rail, payment) = (fixture.rail(), fixture.payment(2));
    for _ in 0..3 {
        assert_eq!(rail.check(payment.proof()).await, Ok(Check::Fine));
        assert!(matches!(
            rail.lookup(&payment).await,
            Ok(Lookup::NotYet) | Err(_)
        ));
    }
    assert_eq!(fixture.times_moved(&payment).await, 0);
}

/// Contract 2: a repeat moves nothing, and every answer that tells of the money tells the same.
///
/// # Panics
/// When not.
pub async fn a_proof_settles_once<P: Protocol<Spec: Described>>(fixture: &dyn RailFixture<P>) {
    let (rail, payment) = (fixture.rail(), fixture.payment(3));
    let evidence = settled(rail.settle(&payment).await);
    assert!(!evidence.reference.is_empty(), "there is something to show");
    for _ in 0..3 {
        agrees(&rail.settle(&payment).await, &evidence);
    }
    assert_eq!(fixture.times_moved(&payment).await, 1);
    found(rail.lookup(&payment).await.ok(), &evidence);
}

/// Contract 2, at once instead of in turn.
///
/// # Panics
/// When not.
pub async fn concurrent_settlements_move_the_money_once<P: Protocol<Spec: Described>>(
    fixture: &dyn RailFixture<P>,
) {
    let (rail, payment) = (fixture.rail(), fixture.payment(4));
    let outcomes = join_all((0..16).map(|_| rail.settle(&payment))).await;
    assert_eq!(fixture.times_moved(&payment).await, 1);
    let first = outcomes.iter().find_map(|outcome| match outcome {
        Settlement::Settled(evidence) => Some(evidence.clone()),
        _ => None,
    });
    let evidence = first.unwrap();
    for outcome in &outcomes {
        agrees(outcome, &evidence);
    }
}

/// Contract 3: whoever cannot pay is refused with a code, and nothing moves. A rail whose proofs their
/// payers can use without it does not know what settling comes to before the proof is over.
///
/// # Panics
/// When not.
pub async fn a_payer_without_money_is_declined<P: Protocol<Spec: Described>>(
    fixture: &dyn RailFixture<P>,
) {
    let (rail, payment) = (fixture.rail(), fixture.uncovered_payment(5));
    let check = rail.check(payment.proof()).await;
    assert!(
        matches!(&check, Ok(Check::Refused { code }) if !code.is_empty()),
        "{check:?}"
    );
    match rail.settle(&payment).await {
        Settlement::Declined { code } => assert!(!code.is_empty()),
        outcome @ Settlement::Unknown { .. } => {
            let look = rail.lookup(&payment).await;
            assert!(!matches!(look, Ok(Lookup::Never { .. })), "{look:?}");
            fixture.expire_proofs().await;
            let look = rail.lookup(&payment).await;
            assert!(
                matches!(&look, Ok(Lookup::Never { code }) if !code.is_empty()),
                "{outcome:?}, and then {look:?}"
            );
        }
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(fixture.times_moved(&payment).await, 0);
    let look = rail.lookup(&payment).await;
    assert!(!matches!(look, Ok(Lookup::Settled(_))), "{look:?}");
}

/// Contract 3: an expired proof never settles, whatever the network can tell about it.
///
/// # Panics
/// When it does.
pub async fn an_expired_proof_never_settles<P: Protocol<Spec: Described>>(
    fixture: &dyn RailFixture<P>,
) {
    let (rail, payment) = (fixture.rail(), fixture.payment(6));
    fixture.expire_proofs().await;
    let look = rail.lookup(&payment).await;
    assert!(!matches!(look, Ok(Lookup::Settled(_))), "{look:?}");
    let outcome = rail.settle(&payment).await;
    assert!(!matches!(outcome, Settlement::Settled(_)), "{outcome:?}");
    let check = rail.check(payment.proof()).await;
    assert!(!matches!(check, Ok(Check::Fine)), "{check:?}");
    assert_eq!(fixture.times_moved(&payment).await, 0);
}

/// Contract 3: expiry does not undo what happened.
///
/// # Panics
/// When it does.
pub async fn what_settled_stays_settled_after_expiry<P: Protocol<Spec: Described>>(
    fixture: &dyn RailFixture<P>,
) {
    let (rail, payment) = (fixture.rail(), fixture.payment(7));
    let evidence = settled(rail.settle(&payment).await);
    fixture.expire_proofs().await;
    found(rail.lookup(&payment).await.ok(), &evidence);
    agrees(&rail.settle(&payment).await, &evidence);
    assert_eq!(fixture.times_moved(&payment).await, 1);
}

fn settled(outcome: Settlement) -> Evidence {
    match outcome {
        Settlement::Settled(evidence) => evidence,
        other => panic!("a good payment did not settle: {other:?}"),
    }
}

/// A repeat may be declined, because it moves nothing; but it shows no other transfer.
fn agrees(outcome: &Settlement, evidence: &Evidence) {
    match outcome {
        Settlement::Settled(again) => assert_eq!(again, evidence),
        Settlement::Declined { .. } | Settlement::Unknown { .. } => {}
        Settlement::NotSent { .. } => panic!("a reachable network was not asked: {outcome:?}"),
    }
}

/// A look after a settlement shows it, unless the network cannot tell.
fn found(look: Option<Lookup>, evidence: &Evidence) {
    match look {
        Some(Lookup::Settled(seen)) => assert_eq!(&seen, evidence),
        None => {}
        Some(other) => panic!("money moved and the look says {other:?}"),
    }
}
