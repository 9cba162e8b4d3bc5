//! A payment network of the Payment authentication scheme in memory that misbehaves on request, and who
//! pays over it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::payment::{Evidence, RailLabel};
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Mpp, Rail, RailHealth, RailUnavailable, Settlement,
};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms};
use compute_mpp::stripe::StripeDetails;
use compute_mpp::tempo::{Modes, TempoCharge, TempoTerms, TransactionBuilder};
use compute_mpp::{Challenge, Source};
use compute_wallet::{EvmAddress, EvmKey};
use serde_json::{Map, Value, json};

use crate::scripted_rail::SettleFault;

/// The main network of Tempo.
pub const CHAIN_ID: u64 = 4_217;
/// Who receives the money.
pub const RECIPIENT: EvmAddress = EvmAddress::new([0x77; 20]);
/// USDC.e on Tempo.
const USDC_E: &str = "0x20C000000000000000000000b9537d11c60E8b50";

#[derive(Debug, Default)]
struct Ledger {
    settled: BTreeMap<String, Evidence>,
    settle_calls: u32,
    check_calls: u32,
    faults: VecDeque<SettleFault>,
    check_refuses: Option<String>,
    declines_as: Option<String>,
    is_down: bool,
    is_blind: bool,
}

/// A rail over a network in memory. The network outlives the process that uses it.
#[derive(Debug)]
pub struct ScriptedCharge {
    spec: ChargeSpec,
    state: Mutex<Ledger>,
}

impl ScriptedCharge {
    /// USDC.e on Tempo, under the label `tempo`; `modes` says who may send.
    ///
    /// # Panics
    /// Never: the constants are valid.
    #[expect(clippy::unwrap_used, reason = "constants of the double")]
    pub fn tempo(modes: Modes) -> Self {
        Self::over(
            "tempo",
            6,
            ChargeTerms::Tempo(TempoTerms {
                chain_id: CHAIN_ID,
                currency: EvmAddress::parse_any_case(USDC_E).unwrap(),
                recipient: RECIPIENT,
                modes,
                fee_payer: false,
                takes_key_authorization: false,
            }),
        )
    }

    /// Cards in US dollars, under the label `stripe`.
    pub fn stripe() -> Self {
        let details = StripeDetails {
            network_id: "profile_test".to_owned(),
            payment_method_types: vec!["card".to_owned()],
            metadata: Vec::new(),
        };
        let currency = "usd".to_owned();
        Self::over("stripe", 2, ChargeTerms::Stripe { details, currency })
    }

    #[expect(clippy::unwrap_used, reason = "constants of the double")]
    fn over(label: &str, decimals: u8, terms: ChargeTerms) -> Self {
        Self {
            spec: ChargeSpec {
                label: RailLabel::parse(label).unwrap(),
                decimals,
                terms,
                settlement: "scripted".to_owned(),
            },
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, Ledger> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues faults for the next attempts to settle. Of [`SettleFault`] those count that concern one
    /// answer.
    pub fn misbehave(&self, faults: impl IntoIterator<Item = SettleFault>) {
        self.state().faults.extend(faults);
    }

    /// Has every check refuse with this code, or none.
    pub fn refuse_checks(&self, code: Option<&str>) {
        self.state().check_refuses = code.map(str::to_owned);
    }

    /// Under which code payments are declined; at first as transactions that were undone.
    pub fn decline_as(&self, code: &str) {
        self.state().declines_as = Some(code.to_owned());
    }

    /// Whether the network can be reached.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Whether nobody can see what became of a payment.
    pub fn set_blind(&self, is_blind: bool) {
        self.state().is_blind = is_blind;
    }

    /// How many payments have moved money.
    pub fn settled(&self) -> usize {
        self.state().settled.len()
    }

    /// How often anybody had a payment checked.
    pub fn check_calls(&self) -> u32 {
        self.state().check_calls
    }

    /// How often anybody tried to settle.
    pub fn settle_calls(&self) -> u32 {
        self.state().settle_calls
    }
}

#[async_trait]
impl Rail<Mpp> for ScriptedCharge {
    fn spec(&self) -> &ChargeSpec {
        &self.spec
    }

    async fn health(&self) -> RailHealth {
        RailHealth::Ready
    }

    async fn check(&self, _proof: &ChargeProof) -> Result<Check, RailUnavailable> {
        let mut state = self.state();
        state.check_calls = state.check_calls.saturating_add(1);
        if state.is_down {
            let reason = "scripted to be down".to_owned();
            return Err(RailUnavailable { reason });
        }
        Ok(match &state.check_refuses {
            Some(code) => Check::Refused { code: code.clone() },
            None => Check::Fine,
        })
    }

    async fn settle(&self, payment: &ClaimedPayment<Mpp>) -> Settlement {
        let key = payment.payment().proof_key.clone();
        let mut state = self.state();
        state.settle_calls = state.settle_calls.saturating_add(1);
        let unknown = || Settlement::Unknown {
            reason: "the answer was lost".to_owned(),
        };
        let fault = state.faults.pop_front();
        match fault {
            Some(SettleFault::LostBefore) => return unknown(),
            Some(SettleFault::Declines) => {
                let code = state.declines_as.clone();
                return Settlement::Declined {
                    code: code.unwrap_or_else(|| "transaction_reverted".to_owned()),
                };
            }
            Some(SettleFault::Unreachable) => {
                return Settlement::NotSent {
                    reason: "scripted to be unreachable".to_owned(),
                };
            }
            _ => {}
        }
        let number = state.settled.len();
        let evidence = state.settled.entry(key).or_insert_with(|| Evidence {
            reference: format!("0x{number:064x}"),
            log_index: None,
        });
        let evidence = evidence.clone();
        match fault {
            Some(SettleFault::LandsUnseen) => unknown(),
            _ => Settlement::Settled(evidence),
        }
    }

    async fn lookup(&self, payment: &ClaimedPayment<Mpp>) -> Result<Lookup, RailUnavailable> {
        let state = self.state();
        if state.is_blind {
            let reason = "scripted to see nothing".to_owned();
            return Err(RailUnavailable { reason });
        }
        let found = state.settled.get(&payment.payment().proof_key).cloned();
        Ok(found.map_or(Lookup::NotYet, Lookup::Settled))
    }
}

/// Somebody with an account on Tempo.
#[derive(Debug)]
pub struct TempoBuyer {
    key: EvmKey,
}

impl TempoBuyer {
    /// A buyer with an account of its own per number above zero.
    ///
    /// # Panics
    /// For the number zero, which is no key.
    #[expect(clippy::unwrap_used, reason = "a double panics when it is misused")]
    pub fn new(number: u8) -> Self {
        Self {
            key: EvmKey::from_bytes(&[number; 32]).unwrap(),
        }
    }

    /// The account.
    pub const fn address(&self) -> EvmAddress {
        self.key.address()
    }

    /// Who it is, in credentials.
    pub const fn source(&self) -> Source {
        Source {
            chain_id: CHAIN_ID,
            address: self.address(),
        }
    }

    /// The builder of the transaction that pays a challenge, good for 25 s.
    ///
    /// # Panics
    /// When the challenge is no charge on Tempo.
    #[expect(clippy::unwrap_used, reason = "a double panics when it is misused")]
    pub fn transaction(challenge: &Challenge, now_s: u64) -> TransactionBuilder {
        let charge = challenge.charge().unwrap();
        let address = |text: &str| EvmAddress::parse_any_case(text).unwrap();
        let chain_id = charge.method_details.get("chainId");
        let terms = TempoTerms {
            chain_id: chain_id.and_then(Value::as_u64).unwrap(),
            currency: address(&charge.currency),
            recipient: address(charge.recipient.as_deref().unwrap()),
            modes: Modes::Pull,
            fee_payer: false,
            takes_key_authorization: false,
        };
        let asked = TempoCharge {
            terms: &terms,
            amount: charge.amount.get(),
            realm: challenge.realm(),
            challenge_id: challenge.id(),
        };
        let until = now_s.saturating_add(25);
        TransactionBuilder::payment(&asked, Some("testkit"), until).valid_after(now_s - 60)
    }

    /// The payload that presents a signed transaction.
    pub fn payload(&self, transaction: TransactionBuilder) -> Map<String, Value> {
        let bytes = transaction.build().sign(&self.key).encode();
        let payload = json!({
            "type": "transaction",
            "signature": format!("0x{}", hex::encode(bytes)),
        });
        match payload {
            Value::Object(payload) => payload,
            _ => Map::new(),
        }
    }

    /// The value of `Authorization` that pays a challenge.
    pub fn pay(&self, challenge: &Challenge, now_s: u64) -> String {
        let payload = self.payload(Self::transaction(challenge, now_s));
        let source = self.source();
        compute_mpp::client::answer(challenge.clone(), Some(&source), payload).1
    }
}
