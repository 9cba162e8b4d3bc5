//! The simulated settlement network, with real signatures.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Evidence, Payment, PaymentState};
use compute_domain::time::{Clock, Span, Timestamp};
use compute_engine::ports::{Check, ClaimedPayment, Lookup, Rail, RailSpec, Settlement};
use compute_engine::{ResourceInfo, StoredProof};
use compute_simulator::{SettlementBehaviour, SimulatedSettlement, dev_rails};
use compute_testkit::rail_suite::{self, RailFixture};
use compute_wallet::{EvmAddress, EvmKey, Uint256};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::{Amount, Recipient, Version, identify};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::stage::{ManualClock, START, journal, permit};

/// One million dollars in atomic units of USDC.
const OPENING: u128 = 1_000_000_000_000;
const PRICE: u128 = 168_000;

struct Stage {
    network: SimulatedSettlement,
    clock: Arc<ManualClock>,
}

fn base() -> RailSpec {
    let recipient = Recipient::new(EvmAddress::new([0x22; 20]));
    dev_rails(&recipient).unwrap().remove(0)
}

fn open(path: Option<PathBuf>) -> Stage {
    let clock = ManualClock::at_start();
    let shared: Arc<dyn Clock> = clock.clone();
    let behaviour = SettlementBehaviour::default();
    let network = SimulatedSettlement::new(base(), permit(), shared, path, behaviour);
    Stage {
        network: network.unwrap(),
        clock,
    }
}

/// Signs what `shape` makes of a good authorization, as the payer with this number.
fn claimed(
    number: u8,
    value: u128,
    now: Timestamp,
    shape: impl FnOnce(&mut Authorization),
) -> ClaimedPayment {
    let spec = base();
    let offer = spec.offer(Amount::new(value));
    let key = EvmKey::from_bytes(&[number; 32]).unwrap();
    let mut authorization = Authorization {
        from: key.address(),
        to: EvmAddress::new([0x22; 20]),
        value: Uint256::from(value),
        valid_after: now.secs() - 600,
        valid_before: now.secs() + 300,
        nonce: [number; 32],
    };
    shape(&mut authorization);
    let signed = sign(spec.token.as_evm().unwrap(), authorization, &key);
    let resource = ResourceInfo {
        url: "http://127.0.0.1/compute/provision".into(),
        description: "a machine".into(),
        mime_type: "application/json".into(),
    };
    let payload = payload_for(Version::V2, &offer, resource.as_resource(), &signed);
    let found = identify(&payload, &spec.token).unwrap();
    let uuid = Uuid::from_u128(number.into());
    let payment = Payment {
        id: PaymentId::from_uuid(uuid),
        operation: OperationId::from_uuid(uuid),
        owner: OwnerId::from_uuid(uuid),
        rail: spec.label,
        proof_key: found.proof_key.into_string(),
        challenge_id: None,
        payer: Some(found.payer),
        price: Usd::from_micros(i64::try_from(value).unwrap()).unwrap(),
        asset: AssetAmount {
            atomic: value,
            decimals: spec.decimals,
        },
        void_after: Timestamp::from_secs(found.valid_before),
        claimed_at: now,
        state: PaymentState::Claimed,
    };
    ClaimedPayment::for_conformance_suite(
        payment,
        StoredProof {
            payload,
            offer,
            resource,
        },
    )
}

impl Stage {
    fn good(&self, number: u8) -> ClaimedPayment {
        claimed(number, PRICE, self.clock.now(), |_| ())
    }

    fn spent_by(&self, payment: &ClaimedPayment) -> u128 {
        OPENING - self.network.balance_of(&payment.payment().payer.unwrap())
    }
}

#[async_trait]
impl RailFixture for Stage {
    fn rail(&self) -> &dyn Rail {
        &self.network
    }

    fn payment(&self, number: u8) -> ClaimedPayment {
        self.good(number)
    }

    fn uncovered_payment(&self, number: u8) -> ClaimedPayment {
        claimed(number, OPENING + 1, self.clock.now(), |_| ())
    }

    async fn times_moved(&self, payment: &ClaimedPayment) -> u64 {
        let times = self.spent_by(payment) / payment.payment().asset.atomic;
        u64::try_from(times).unwrap()
    }

    async fn expire_proofs(&self) {
        self.clock.advance(Span::from_secs(300));
    }
}

fn code_of(outcome: Settlement) -> String {
    match outcome {
        Settlement::Declined { code } => code,
        other => panic!("not declined: {other:?}"),
    }
}

#[tokio::test]
async fn the_simulated_settlement_keeps_the_contract() {
    rail_suite::run(&open(None)).await;
}

#[tokio::test]
async fn a_journalled_settlement_keeps_the_contract() {
    let (_folder, path) = journal();
    rail_suite::run(&open(Some(path))).await;
}

#[tokio::test]
async fn the_reference_is_the_hash_of_the_proof_key() {
    let stage = open(None);
    let payment = stage.good(1);
    let hash = Sha256::digest(payment.payment().proof_key.as_bytes());
    let reference = format!("0x{}", hex::encode(hash));
    let evidence = Evidence {
        reference,
        log_index: None,
    };
    for _ in 0..2 {
        assert_eq!(
            stage.network.settle(&payment).await,
            Settlement::Settled(evidence.clone())
        );
    }
    assert_eq!(stage.spent_by(&payment), PRICE);
}

#[tokio::test]
async fn money_moves_from_the_payer_to_the_recipient() {
    let stage = open(None);
    let recipient = WalletAddress::Evm(EvmAddress::new([0x22; 20]));
    for number in 1..=3 {
        stage.network.settle(&stage.good(number)).await;
    }
    assert_eq!(stage.network.balance_of(&recipient), OPENING + 3 * PRICE);
}

#[tokio::test]
async fn settlements_outlive_the_process() {
    let (_folder, path) = journal();
    let first = open(Some(path.clone()));
    let (paid, open_one) = (first.good(1), first.good(2));
    let outcome = first.network.settle(&paid).await;
    drop(first);

    let second = open(Some(path));
    assert_eq!(second.spent_by(&paid), PRICE);
    assert_eq!(second.network.settle(&paid).await, outcome);
    assert_eq!(second.spent_by(&paid), PRICE, "a repeat moves nothing");
    assert_eq!(second.network.lookup(&open_one).await, Ok(Lookup::NotYet));
}

#[tokio::test]
async fn a_payer_can_spend_everything_and_no_more() {
    let stage = open(None);
    let all = claimed(1, OPENING, START, |_| ());
    assert!(matches!(
        stage.network.settle(&all).await,
        Settlement::Settled(_)
    ));
    let one_more = claimed(1, 1, START, |authorization| authorization.nonce = [9; 32]);
    let refused = Check::Refused {
        code: "insufficient_funds".into(),
    };
    assert_eq!(stage.network.check(one_more.proof()).await, Ok(refused));
    assert_eq!(
        code_of(stage.network.settle(&one_more).await),
        "insufficient_funds"
    );
}

#[tokio::test]
async fn an_expired_proof_is_never_settled_even_when_the_clock_turns_back() {
    let stage = open(None);
    let payment = stage.good(1);
    stage.clock.advance(Span::from_millis(299_999));
    assert_eq!(stage.network.lookup(&payment).await, Ok(Lookup::NotYet));
    stage.clock.advance(Span::from_millis(1));
    let code = "invalid_exact_evm_payload_authorization_valid_before";
    let never = Ok(Lookup::Never { code: code.into() });
    assert_eq!(stage.network.lookup(&payment).await, never);

    stage.clock.turn_back(Span::from_secs(60));
    assert_eq!(code_of(stage.network.settle(&payment).await), code);
    assert_eq!(stage.network.lookup(&payment).await, never);
    assert_eq!(stage.spent_by(&payment), 0);
}

#[tokio::test]
async fn a_proof_that_is_not_valid_yet_can_settle_later() {
    let stage = open(None);
    let payment = claimed(1, PRICE, START, |authorization| {
        authorization.valid_after = START.secs() + 10;
    });
    let code = "invalid_exact_evm_payload_authorization_valid_after";
    assert_eq!(code_of(stage.network.settle(&payment).await), code);
    assert_eq!(stage.network.lookup(&payment).await, Ok(Lookup::NotYet));
    stage.clock.advance(Span::from_secs(10));
    assert!(matches!(
        stage.network.settle(&payment).await,
        Settlement::Settled(_)
    ));
}

#[tokio::test]
async fn a_proof_that_does_not_pay_the_offer_never_settles() {
    let stage = open(None);
    let elsewhere = claimed(1, PRICE, START, |authorization| {
        authorization.to = EvmAddress::new([0x33; 20])
    });
    let too_little = claimed(2, PRICE, START, |authorization| {
        authorization.value = Uint256::from(PRICE - 1);
    });
    for (payment, code) in [
        (elsewhere, "invalid_exact_evm_payload_recipient_mismatch"),
        (too_little, "invalid_exact_evm_payload_authorization_value"),
    ] {
        assert_eq!(code_of(stage.network.settle(&payment).await), code);
        let never = Lookup::Never { code: code.into() };
        assert_eq!(stage.network.lookup(&payment).await, Ok(never));
        assert_eq!(stage.spent_by(&payment), 0);
    }
}
