//! The rail against a node that decides by itself what a payment is, through real HTTP.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod arrivals;
mod check;
mod conformance;
mod lookup;
mod memos;
mod node;
mod push;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use compute_domain::WalletAddress;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Evidence, Payment, PaymentState, RailLabel};
use compute_domain::time::{Clock as _, Span, Timestamp};
use compute_engine::ports::{ClaimedPayment, Mpp, Settlement};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms};
use compute_mpp::tempo::{Modes, TempoCharge, TempoTerms, Transaction, TransactionBuilder};
use compute_mpp::{
    Challenge, ChallengeTerms, Credential, Method, Opaque, Realm, Secret, Secrets, Source,
};
use compute_payment_double::tempo::{Fault, Handle, Options, USDC_E, spawn};
use compute_rail_tempo::{TempoConfig, TempoRail, TempoTimeouts};
use compute_testkit::ambient::ManualClock;
use compute_wallet::{EvmAddress, EvmKey};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const NOW_S: u64 = 1_800_000_000;
const PRICE: u128 = 1_250_000;
/// What a buyer has: the price and more than any fee.
const PLENTY: u128 = 5_000_000;
/// No transaction of these tests can be included for so many seconds.
const AN_AGE: u32 = 900;
const LIFE_S: u64 = 25;
/// By so many seconds a machine behind the node's address may lag.
const MAX_LAG: u32 = 60;

const SYNC: &str = "eth_sendRawTransactionSync";
const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";
const LOGS: &str = "eth_getLogs";

fn shop() -> EvmAddress {
    EvmAddress::new([0xaa; 20])
}

fn terms() -> TempoTerms {
    TempoTerms {
        chain_id: 4217,
        currency: USDC_E,
        recipient: shop(),
        modes: Modes::PullAndPush,
        fee_payer: false,
        takes_key_authorization: false,
    }
}

fn spec_of(terms: TempoTerms) -> ChargeSpec {
    ChargeSpec {
        label: RailLabel::parse("tempo").unwrap(),
        decimals: 6,
        terms: ChargeTerms::Tempo(terms),
        settlement: "rpc.example".to_owned(),
    }
}

fn buyer(number: u8) -> EvmKey {
    EvmKey::from_bytes(&[number; 32]).unwrap()
}

/// The challenge with this number, as the shop issued it at this second.
fn challenge(number: u8, now_s: u64) -> Challenge {
    let secrets = Secrets::new(Secret::new(&[7; 32]).unwrap());
    let realm = Realm::parse("compute.example").unwrap();
    let request = terms().request(PRICE).encode().unwrap();
    let opaque = Opaque::new(&[number; 16], "provision");
    let terms = ChallengeTerms::new(&realm, &Method::TEMPO, &request, &opaque, now_s + 300);
    Challenge::issue(&secrets, terms)
}

/// What pays the challenge with this number, not signed yet.
fn payment_of(number: u8) -> TransactionBuilder {
    payment_at(number, NOW_S)
}

fn payment_at(number: u8, now_s: u64) -> TransactionBuilder {
    let (challenge, terms) = (challenge(number, now_s), terms());
    let charge = TempoCharge {
        terms: &terms,
        amount: PRICE,
        realm: challenge.realm(),
        challenge_id: challenge.id(),
    };
    TransactionBuilder::payment(&charge, None, now_s + LIFE_S)
}

fn signed(number: u8) -> Transaction {
    payment_of(number).build().sign(&buyer(number))
}

fn text(hash: [u8; 32]) -> String {
    format!("0x{}", hex::encode(hash))
}

fn members(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

/// A claim of the challenge with this number, proven by this payload.
fn claim(number: u8, source: Option<EvmAddress>, payload: Value) -> ClaimedPayment<Mpp> {
    claim_at(number, NOW_S, source, payload)
}

fn claim_at(
    number: u8,
    now_s: u64,
    source: Option<EvmAddress>,
    payload: Value,
) -> ClaimedPayment<Mpp> {
    let source = source.map(|address| Source {
        chain_id: 4217,
        address,
    });
    let challenge = challenge(number, now_s);
    let challenge_id = Some(challenge.id().to_owned());
    let credential = Credential::new(challenge, source.as_ref(), members(payload));
    let proof = ChargeProof {
        credential,
        terms: ChargeTerms::Tempo(terms()),
        atomic: PRICE,
        account: None,
    };
    let uuid = Uuid::from_u128(number.into());
    let payment = Payment {
        id: PaymentId::from_uuid(uuid),
        operation: OperationId::from_uuid(uuid),
        owner: OwnerId::from_uuid(uuid),
        rail: RailLabel::parse("tempo").unwrap(),
        proof_key: format!("mpp:tempo:4217:{number}"),
        challenge_id,
        payer: Some(WalletAddress::Evm(buyer(number).address())),
        price: Usd::from_micros(1_250_000).unwrap(),
        asset: AssetAmount {
            atomic: PRICE,
            decimals: 6,
        },
        void_after: Timestamp::from_secs(now_s + LIFE_S),
        claimed_at: Timestamp::from_secs(now_s),
        state: PaymentState::Claimed,
    };
    ClaimedPayment::for_conformance_suite(payment, proof)
}

/// The challenge with this number, paid by a transaction that we are to send.
fn pulled(number: u8, transaction: &Transaction) -> ClaimedPayment<Mpp> {
    claim(number, None, payload_of(transaction))
}

fn payload_of(transaction: &Transaction) -> Value {
    let raw = format!("0x{}", hex::encode(transaction.encode()));
    json!({"type": "transaction", "signature": raw})
}

/// The challenge with this number, paid by a transaction that this account says to have sent.
fn pushed(number: u8, from: EvmAddress, hash: &str) -> ClaimedPayment<Mpp> {
    claim(number, Some(from), json!({"type": "hash", "hash": hash}))
}

/// A chain, a rail that settles on it, and the clock of both.
struct Town {
    chain: Handle,
    clock: ManualClock,
    rail: TempoRail,
}

impl Town {
    async fn open() -> Self {
        let options = Options {
            clock: Some(NOW_S),
            ..Options::default()
        };
        let chain = spawn(options).await.unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(NOW_S));
        let rail = rail_with(&chain.url(), &clock, |_| ());
        Self { chain, clock, rail }
    }

    /// This replica after a restart, or another one.
    fn replica(&self) -> TempoRail {
        rail_with(&self.chain.url(), &self.clock, |_| ())
    }

    /// Time passes, on the chain and here.
    fn advance(&self, seconds: u32) {
        self.chain.advance_clock(seconds.into());
        self.clock.advance(Span::from_secs(seconds));
        assert_eq!(self.chain.now(), self.clock.now().secs());
    }

    fn fund(&self, number: u8, amount: u128) {
        self.chain.fund(buyer(number).address(), amount);
    }

    /// A payment that is signed and valid now, of a buyer with money.
    fn pay(&self, number: u8) -> ClaimedPayment<Mpp> {
        self.fund(number, PLENTY);
        pulled(number, &signed(number))
    }

    /// How often this buyer paid the shop, by the chain's own record.
    fn times_paid(&self, number: u8) -> usize {
        let payer = buyer(number).address().to_string();
        let all = self.chain.transfers();
        let own = all.iter().filter(|it| it.from == payer);
        own.filter(|it| it.to == shop().to_string()).count()
    }

    /// What the chain's own record says about the only payment of this buyer.
    fn evidence(&self, number: u8) -> Evidence {
        let payer = buyer(number).address().to_string();
        let all = self.chain.transfers();
        let mut own = all.iter().filter(|it| it.from == payer);
        let (record, None) = (own.next().unwrap(), own.next()) else {
            panic!("more than one payment");
        };
        Evidence {
            reference: record.transaction_hash.clone(),
            log_index: Some(u32::try_from(record.log_index).unwrap()),
        }
    }

    fn disturb_receipts(&self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.chain.disturb(RECEIPT, fault);
        }
    }
}

fn rail_with(url: &str, clock: &ManualClock, change: impl FnOnce(&mut TempoConfig)) -> TempoRail {
    let mut config = TempoConfig::new(url);
    config.looks = 2;
    config.arrival_blocks = 0;
    config.timeouts = TempoTimeouts {
        poll: Duration::ZERO,
        ..TempoTimeouts::default()
    };
    change(&mut config);
    TempoRail::new(spec_of(terms()), &config, Arc::new(clock.clone())).unwrap()
}

fn declined(code: &str) -> Settlement {
    Settlement::Declined {
        code: code.to_owned(),
    }
}

#[track_caller]
fn assert_unknown(outcome: &Settlement) {
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
}
