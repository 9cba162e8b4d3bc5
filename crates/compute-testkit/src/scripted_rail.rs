//! A payment network in memory that misbehaves on request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use compute_domain::payment::{Evidence, RailLabel};
use compute_domain::time::{Clock, Timestamp};
use compute_engine::StoredProof;
use compute_engine::ports::{
    ArrivalPage, Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec, RailUnavailable,
    SeenTransfer, Settlement,
};
use compute_wallet::{EvmAddress, WalletAddress};
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
    is_down: bool,
    has_node: bool,
    in_one_transaction: bool,
    /// What reached us and is final; none while nobody can see it.
    inbox: Option<Vec<SeenTransfer>>,
    blind_reads: u32,
}

/// How many transfers a part of what arrived holds: few, so that there are many parts.
const PAGE: usize = 2;

impl Ledger {
    /// A transfer reaches us.
    fn arrive(&mut self, evidence: &Evidence, payer: WalletAddress, atomic: u128, at: Timestamp) {
        if let Some(inbox) = &mut self.inbox {
            inbox.push(SeenTransfer {
                reference: evidence.reference.clone(),
                log_index: evidence.log_index.unwrap_or(0),
                payer: Some(payer),
                atomic,
                at,
            });
        }
    }

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

    /// Whether the check before the claim finds the network away.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// From now on the check sees a spent proof's transfer to us on the chain, as a rail with a node does.
    pub fn connect_node(&self) {
        self.state().has_node = true;
    }

    /// From now on one transaction holds all settlements.
    pub fn settle_in_one_transaction(&self) {
        self.state().in_one_transaction = true;
    }

    /// From now on it can be seen what arrives.
    pub fn show_arrivals(&self) {
        self.state().inbox.get_or_insert_default();
    }

    /// The next `reads` of what arrives fail.
    pub fn hide_arrivals(&self, reads: u32) {
        self.state().blind_reads = reads;
    }

    /// A transfer that nobody announced; its transaction is named by this word.
    pub fn transfer(&self, word: &str, payer: WalletAddress, atomic: u128) {
        let evidence = Evidence {
            reference: word.to_owned(),
            log_index: None,
        };
        let now = self.clock.now();
        self.state().arrive(&evidence, payer, atomic, now);
    }

    /// What has arrived so far is shown in another place: of its transactions, or in others.
    pub fn move_arrivals(&self, change: impl Fn(&mut SeenTransfer)) {
        for seen in self.state().inbox.iter_mut().flatten() {
            change(seen);
        }
    }

    /// What has arrived, all told, in atomic units.
    pub fn arrived(&self) -> u128 {
        let state = self.state();
        state.inbox.iter().flatten().map(|seen| seen.atomic).sum()
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
        if state.is_down {
            let reason = "scripted to be down".to_owned();
            return Err(RailUnavailable { reason });
        }
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
        if !state.settled.contains_key(&key) {
            let (payer, asset) = (payment.payment().payer, payment.payment().asset);
            let now = self.clock.now();
            if let Some(payer) = payer {
                state.arrive(&next, payer, asset.atomic, now);
            }
        }
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

    fn arrival_source(&self) -> Option<String> {
        let is_seen = self.state().inbox.is_some();
        is_seen.then(|| format!("scripted/{:?}", self.spec.pay_to.address()))
    }

    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        let unavailable = |reason: &str| RailUnavailable {
            reason: reason.to_owned(),
        };
        let mut state = self.state();
        if state.blind_reads > 0 {
            state.blind_reads -= 1;
            return Err(unavailable("the network is away"));
        }
        let inbox = state.inbox.as_deref();
        let inbox = inbox.ok_or_else(|| unavailable("nobody can see what arrives"))?;
        let from = match cursor {
            Some(cursor) => cursor
                .parse()
                .map_err(|_| unavailable("no cursor of ours"))?,
            None => inbox.len(),
        };
        let next = inbox.len().min(from.saturating_add(PAGE));
        let transfers = inbox.get(from..next).unwrap_or_default().to_vec();
        Ok(ArrivalPage {
            transfers,
            cursor: next.to_string(),
            read_up_to: self.clock.now(),
            has_more: next < inbox.len(),
        })
    }
}
