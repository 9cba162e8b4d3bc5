//! The simulated settlement of charges, with real signatures.

use std::path::PathBuf;
use std::sync::Arc;

use compute_domain::WalletAddress;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Evidence, Payment, PaymentState};
use compute_domain::time::{Clock, Span, Timestamp};
use compute_engine::ports::{Check, ClaimedPayment, Lookup, Mpp, Rail, RailHealth, Settlement};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms};
use compute_mpp::tempo::{TempoCharge, TempoTerms, TransactionBuilder};
use compute_mpp::{
    Challenge, ChallengeTerms, Credential, Method, Opaque, Realm, Secret, Secrets, Source,
};
use compute_simulator::{SettlementBehaviour, SimulatedCharge, dev_charges};
use compute_wallet::{EvmAddress, EvmKey};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::stage::{ManualClock, START, journal, permit};

/// One million dollars in atomic units of pathUSD.
const OPENING: u128 = 1_000_000_000_000;
const PRICE: u128 = 168_000;
/// How long a signed transaction can be included, in seconds.
const LIFE: u64 = 25;
const RECIPIENT: EvmAddress = EvmAddress::new([0x22; 20]);

struct Stage {
    network: SimulatedCharge,
    clock: Arc<ManualClock>,
}

fn tempo() -> ChargeSpec {
    dev_charges(RECIPIENT).unwrap().remove(0)
}

fn tempo_terms() -> TempoTerms {
    match tempo().terms {
        ChargeTerms::Tempo(terms) => terms,
        other @ ChargeTerms::Stripe { .. } => panic!("not Tempo: {other:?}"),
    }
}

fn open(path: Option<PathBuf>) -> Stage {
    let clock = ManualClock::at_start();
    let shared: Arc<dyn Clock> = clock.clone();
    let behaviour = SettlementBehaviour::default();
    let network = SimulatedCharge::new(tempo(), permit(), shared, path, behaviour);
    Stage {
        network: network.unwrap(),
        clock,
    }
}

/// A challenge of these terms; each number is another one.
fn challenge(number: u8, terms: &TempoTerms, atomic: u128) -> Challenge {
    let secrets = Secrets::new(Secret::new(&[7; 32]).unwrap());
    let realm = Realm::parse("127.0.0.1").unwrap();
    let request = terms.request(atomic).encode().unwrap();
    let opaque = Opaque::new(&[number; 16], "provision");
    let expires_s = START.secs() + 300;
    let terms = ChallengeTerms::new(&realm, &Method::TEMPO, &request, &opaque, expires_s);
    Challenge::issue(&secrets, terms)
}

fn payer(number: u8) -> EvmKey {
    EvmKey::from_bytes(&[number; 32]).unwrap()
}

/// The payload with which a payer answers a challenge: a transaction that it has signed.
fn signed(
    key: &EvmKey,
    challenge: &Challenge,
    terms: &TempoTerms,
    atomic: u128,
) -> Map<String, Value> {
    let charge = TempoCharge {
        terms,
        amount: atomic,
        realm: challenge.realm(),
        challenge_id: challenge.id(),
    };
    let body = TransactionBuilder::payment(&charge, None, START.secs() + LIFE).build();
    let signature = format!("0x{}", hex::encode(body.sign(key).encode()));
    members(json!({ "type": "transaction", "signature": signature }))
}

fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn claimed(number: u8, payer: WalletAddress, proof: ChargeProof) -> ClaimedPayment<Mpp> {
    let uuid = Uuid::from_u128(number.into());
    let spec = tempo();
    let payment = Payment {
        id: PaymentId::from_uuid(uuid),
        operation: OperationId::from_uuid(uuid),
        owner: OwnerId::from_uuid(uuid),
        rail: spec.label,
        proof_key: format!("mpp:tempo:{number}"),
        challenge_id: Some(proof.credential.challenge().id().to_owned()),
        payer: Some(payer),
        price: Usd::from_micros(i64::try_from(proof.atomic).unwrap()).unwrap(),
        asset: AssetAmount {
            atomic: proof.atomic,
            decimals: spec.decimals,
        },
        void_after: Timestamp::from_secs(START.secs() + LIFE),
        claimed_at: START,
        state: PaymentState::Claimed,
    };
    ClaimedPayment::for_conformance_suite(payment, proof)
}

/// Challenge `number`, paid by `payer` under `terms`.
fn paid_under(number: u8, key: &EvmKey, terms: TempoTerms, atomic: u128) -> ClaimedPayment<Mpp> {
    let challenge = challenge(number, &terms, atomic);
    let payload = signed(key, &challenge, &terms, atomic);
    let proof = ChargeProof {
        credential: Credential::new(challenge, None, payload),
        terms: ChargeTerms::Tempo(terms),
        atomic,
        account: None,
    };
    claimed(number, WalletAddress::Evm(key.address()), proof)
}

/// A good payment; each number is another payer.
fn good(number: u8) -> ClaimedPayment<Mpp> {
    paid_under(number, &payer(number), tempo_terms(), PRICE)
}

impl Stage {
    fn spent_by(&self, payment: &ClaimedPayment<Mpp>) -> u128 {
        OPENING - self.network.balance_of(&payment.payment().payer.unwrap())
    }

    fn received(&self) -> u128 {
        self.network.balance_of(&WalletAddress::Evm(RECIPIENT)) - OPENING
    }

    /// No question and no attempt makes this network move money for `payment`.
    async fn check_refused(&self, payment: &ClaimedPayment<Mpp>, code: &str) {
        let refused = Check::Refused { code: code.into() };
        let check = self.network.check(payment.proof()).await;
        assert_eq!(check, Ok(refused));
        assert_eq!(code_of(self.network.settle(payment).await), code);
        assert_eq!(self.spent_by(payment), 0);
    }
}

fn evidence_of(outcome: Settlement) -> Evidence {
    match outcome {
        Settlement::Settled(evidence) => evidence,
        other => panic!("not settled: {other:?}"),
    }
}

fn code_of(outcome: Settlement) -> String {
    match outcome {
        Settlement::Declined { code } => code,
        other => panic!("not declined: {other:?}"),
    }
}

#[tokio::test]
async fn looking_moves_nothing() {
    let stage = open(None);
    let payment = good(1);
    assert_eq!(stage.network.health().await, RailHealth::Ready);
    assert_eq!(stage.network.spec().label, payment.payment().rail);
    for _ in 0..2 {
        let check = stage.network.check(payment.proof()).await;
        assert_eq!(check, Ok(Check::Fine));
        assert_eq!(stage.network.lookup(&payment).await, Ok(Lookup::NotYet));
    }
    assert_eq!((stage.spent_by(&payment), stage.received()), (0, 0));
}

#[tokio::test]
async fn a_charge_settles_once_and_a_repeat_shows_the_same_evidence() {
    let stage = open(None);
    let payment = good(1);
    let evidence = evidence_of(stage.network.settle(&payment).await);
    assert!(evidence.reference.starts_with("0x"), "{evidence:?}");
    assert_eq!(evidence.reference.len(), 66);
    for _ in 0..2 {
        let again = stage.network.settle(&payment).await;
        assert_eq!(again, Settlement::Settled(evidence.clone()));
    }
    let found = stage.network.lookup(&payment).await;
    assert_eq!(found, Ok(Lookup::Settled(evidence)));
    let used = Check::Refused {
        code: "nonce_used".into(),
    };
    assert_eq!(stage.network.check(payment.proof()).await, Ok(used));
    assert_eq!((stage.spent_by(&payment), stage.received()), (PRICE, PRICE));
}

#[tokio::test]
async fn each_payer_pays_for_itself() {
    let stage = open(None);
    let payments = [good(1), good(2), good(3)];
    let mut references = Vec::new();
    for payment in &payments {
        references.push(evidence_of(stage.network.settle(payment).await).reference);
        assert_eq!(stage.spent_by(payment), PRICE);
    }
    references.sort();
    references.dedup();
    assert_eq!((references.len(), stage.received()), (3, 3 * PRICE));
}

#[tokio::test]
async fn a_payer_can_spend_everything_and_no_more() {
    let stage = open(None);
    let key = payer(1);
    let all = paid_under(1, &key, tempo_terms(), OPENING);
    evidence_of(stage.network.settle(&all).await);
    let one_more = paid_under(2, &key, tempo_terms(), 1);
    let refused = Check::Refused {
        code: "insufficient_funds".into(),
    };
    let check = stage.network.check(one_more.proof()).await;
    assert_eq!(check, Ok(refused));
    let outcome = stage.network.settle(&one_more).await;
    assert_eq!(code_of(outcome), "insufficient_funds");
    assert_eq!((stage.spent_by(&all), stage.received()), (OPENING, OPENING));
}

#[tokio::test]
async fn an_expired_transaction_is_never_settled_even_when_the_clock_turns_back() {
    let stage = open(None);
    let payment = good(1);
    stage.clock.advance(Span::from_millis(24_999));
    assert_eq!(stage.network.lookup(&payment).await, Ok(Lookup::NotYet));
    stage.clock.advance(Span::from_millis(1));
    let code = "transaction_expired";
    let never = Ok(Lookup::Never { code: code.into() });
    assert_eq!(stage.network.lookup(&payment).await, never);

    stage.clock.turn_back(Span::from_secs(20));
    stage.check_refused(&payment, code).await;
    assert_eq!(stage.network.lookup(&payment).await, never);
}

#[tokio::test]
async fn what_settled_stays_settled_after_its_time() {
    let stage = open(None);
    let payment = good(1);
    let outcome = stage.network.settle(&payment).await;
    stage.clock.advance(Span::from_secs(3_600));
    assert_eq!(stage.network.settle(&payment).await, outcome);
    let found = stage.network.lookup(&payment).await;
    assert_eq!(found, Ok(Lookup::Settled(evidence_of(outcome))));
}

#[tokio::test]
async fn settlements_outlive_the_process() {
    let (_folder, path) = journal();
    let first = open(Some(path.clone()));
    let (paid, open_one) = (good(1), good(2));
    let outcome = first.network.settle(&paid).await;
    evidence_of(outcome.clone());
    drop(first);

    let second = open(Some(path));
    assert_eq!((second.spent_by(&paid), second.received()), (PRICE, PRICE));
    assert_eq!(second.network.settle(&paid).await, outcome);
    assert_eq!(second.spent_by(&paid), PRICE, "a repeat moves nothing");
    assert_eq!(second.network.lookup(&open_one).await, Ok(Lookup::NotYet));
}

#[tokio::test]
async fn a_proof_of_other_terms_is_unknown_here() {
    let stage = open(None);
    let changes: [fn(&mut TempoTerms); 3] = [
        |terms| terms.chain_id = 4_217,
        |terms| terms.currency = EvmAddress::new([0x33; 20]),
        |terms| terms.recipient = EvmAddress::new([0x33; 20]),
    ];
    for (number, change) in (1..).zip(changes) {
        let mut terms = tempo_terms();
        change(&mut terms);
        let payment = paid_under(number, &payer(number), terms, PRICE);
        stage.check_refused(&payment, "transaction_not_found").await;
        let never = Lookup::Never {
            code: "transaction_not_found".into(),
        };
        assert_eq!(stage.network.lookup(&payment).await, Ok(never));
    }
    assert_eq!(stage.received(), 0);
}

#[tokio::test]
async fn nobody_can_have_sent_a_transaction_before() {
    let stage = open(None);
    let terms = tempo_terms();
    let source = Source {
        chain_id: terms.chain_id,
        address: payer(1).address(),
    };
    let payload = members(json!({ "type": "hash", "hash": format!("0x{}", "ab".repeat(32)) }));
    let proof = ChargeProof {
        credential: Credential::new(challenge(1, &terms, PRICE), Some(&source), payload),
        terms: ChargeTerms::Tempo(terms),
        atomic: PRICE,
        account: None,
    };
    let payment = claimed(1, WalletAddress::Evm(source.address), proof);
    stage.check_refused(&payment, "transaction_not_found").await;
}
