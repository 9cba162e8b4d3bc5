//! A payment network in memory that misbehaves on request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::payment::{Evidence, RailLabel};
use compute_domain::time::Clock;
use compute_engine::StoredProof;
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec, RailUnavailable, Settlement,
};
use compute_wallet::EvmAddress;
use compute_x402::{Network, Recipient, TokenTerms};

use crate::crash::Crash;

/// What the network does with the next attempt to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleFault {
    /// The money moves, but the answer is lost.
    LandsUnseen,
    /// Nothing moves, and the answer is lost.
    LostBefore,
    /// It refuses.
    Declines,
    /// It cannot be reached.
    Unreachable,
    /// The process dies before anything is sent.
    DiesBefore,
    /// The money moves, and later looks show it in another transaction than the answer named.
    ShowsAnother,
}

#[derive(Debug, Default)]
struct Ledger {
    settled: BTreeMap<String, Evidence>,
    settle_calls: u32,
    faults: VecDeque<SettleFault>,
    blind_looks: u32,
    check_refuses: Option<String>,
    has_node: bool,
    in_one_transaction: bool,
}

impl Ledger {
    /// What shows the next settlement.
    fn next_evidence(&self) -> Evidence {
        let number = u32::try_from(self.settled.len()).unwrap_or(u32::MAX);
        if self.in_one_transaction {
            return Evidence {
                reference: format!("0x{:064x}", 0),
                log_index: Some(number),
            };
        }
        Evidence {
            reference: format!("0x{number:064x}"),
            log_index: None,
        }
    }
}

/// A rail over a network in memory. The network outlives the process that uses it.
#[derive(Debug)]
pub struct ScriptedRail {
    spec: RailSpec,
    clock: Arc<dyn Clock>,
    crash: Crash,
    state: Mutex<Ledger>,
}

impl ScriptedRail {
    /// Base Sepolia USDC by EIP-3009, under the label `base`.
    ///
    /// # Panics
    /// Never: the constants are valid.
    #[expect(clippy::unwrap_used, reason = "constants of the double")]
    pub fn new(clock: impl Clock + 'static, crash: Crash) -> Self {
        let asset = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
        let asset = EvmAddress::parse_any_case(asset).unwrap();
        let token = TokenTerms::eip3009(Network::evm(84_532), asset, "USDC", "2").unwrap();
        let spec = RailSpec {
            label: RailLabel::parse("base").unwrap(),
            decimals: 6,
            token: Arc::new(token),
            pay_to: Recipient::new(EvmAddress::new([0x99; 20])),
            max_timeout_seconds: 300,
            settlement: "scripted".to_owned(),
        };
        Self {
            spec,
            clock: Arc::new(clock),
            crash,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, Ledger> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues faults for the next attempts to settle.
    pub fn misbehave(&self, faults: impl IntoIterator<Item = SettleFault>) {
        self.state().faults.extend(faults);
    }

    /// No more faults.
    pub fn forgive(&self) {
        self.state().faults.clear();
    }

    /// The next `looks` look-ups find the network away.
    pub fn hide(&self, looks: u32) {
        self.state().blind_looks = looks;
    }

    /// From now on the check before the claim refuses.
    pub fn refuse_checks(&self, code: &str) {
        self.state().check_refuses = Some(code.to_owned());
    }

    /// From now on the check sees a spent proof's transfer to us on the chain, as a rail with a node does.
    pub fn connect_node(&self) {
        self.state().has_node = true;
    }

    /// From now on one transaction holds all settlements.
    pub fn settle_in_one_transaction(&self) {
        self.state().in_one_transaction = true;
    }

    /// The proofs whose money moved, by the network's own record.
    pub fn settled(&self) -> Vec<String> {
        self.state().settled.keys().cloned().collect()
    }

    /// How often anybody asked for a settlement.
    pub fn settle_calls(&self) -> u32 {
        self.state().settle_calls
    }
}

#[async_trait]
impl Rail for ScriptedRail {
    fn spec(&self) -> &RailSpec {
        &self.spec
    }

    async fn health(&self) -> RailHealth {
        RailHealth::Ready
    }

    async fn check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        let state = self.state();
        if let Some(code) = state.check_refuses.clone() {
            return Ok(Check::Refused { code });
        }
        if state.has_node {
            return Ok(Check::Fine);
        }
        // As a facilitator does: a spent proof looks like any other spent nonce.
        let is_spent = compute_x402::identify(&proof.payload, &self.spec.token)
            .is_ok_and(|known| state.settled.contains_key(known.proof_key.as_str()));
        Ok(if is_spent {
            Check::Refused {
                code: "invalid_exact_evm_nonce_already_used".to_owned(),
            }
        } else {
            Check::Fine
        })
    }

    async fn settle(&self, payment: &ClaimedPayment) -> Settlement {
        let key = payment.payment().proof_key.clone();
        let mut state = self.state();
        let fault = state.faults.pop_front();
        let unknown = || Settlement::Unknown {
            reason: "no answer".to_owned(),
        };
        if fault == Some(SettleFault::DiesBefore) {
            self.crash.now();
            return unknown();
        }
        if self.crash.is_dead() {
            return unknown();
        }
        state.settle_calls += 1;
        match fault {
            Some(SettleFault::LostBefore) => return unknown(),
            Some(SettleFault::Unreachable) => {
                return Settlement::NotSent {
                    reason: "connection refused".to_owned(),
                };
            }
            Some(SettleFault::Declines) => {
                return Settlement::Declined {
                    code: "insufficient_funds".to_owned(),
                };
            }
            Some(
                SettleFault::LandsUnseen | SettleFault::DiesBefore | SettleFault::ShowsAnother,
            )
            | None => {}
        }
        if self.clock.now() > payment.payment().void_after && !state.settled.contains_key(&key) {
            return Settlement::Declined {
                code: "expired".to_owned(),
            };
        }
        let next = state.next_evidence();
        let shown = state.settled.entry(key).or_insert(next);
        let evidence = shown.clone();
        match fault {
            Some(SettleFault::LandsUnseen) => return unknown(),
            Some(SettleFault::ShowsAnother) => shown.reference = format!("0x{:f>64}", ""),
            _ => {}
        }
        Settlement::Settled(evidence)
    }

    async fn lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        let mut state = self.state();
        if state.blind_looks > 0 {
            state.blind_looks -= 1;
            return Err(RailUnavailable {
                reason: "the network is away".to_owned(),
            });
        }
        Ok(match state.settled.get(&payment.payment().proof_key) {
            Some(evidence) => Lookup::Settled(evidence.clone()),
            None if self.clock.now() > payment.payment().void_after => Lookup::Never {
                code: "expired".to_owned(),
            },
            None => Lookup::NotYet,
        })
    }
}
