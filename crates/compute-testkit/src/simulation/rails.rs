//! Payment networks in memory, with records of their own that outlive every crash of ours.
//!
//! What the port is told is what the real adapter would conclude: it reads the chain itself, so a
//! facilitator's lie costs an answer and never a wrong one.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use compute_domain::payment::RailLabel;
use compute_domain::time::Timestamp;
use compute_engine::StoredProof;
use compute_engine::ports::{
    ArrivalPage, Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec, RailUnavailable,
    SeenTransfer, Settlement, Store, TxMode,
};
use compute_wallet::EvmAddress;
use compute_x402::{Network, Recipient, TokenTerms};

use super::bugs::Bug;
use super::chain::{Chain, declined, not_sent, unknown};
use super::links::{Delivery, InFlight, Link};
use super::reactor::{Reactor, lock};
use crate::model_store::ModelStore;
use crate::planted::PlantedBug;

/// One payment network.
#[derive(Debug)]
pub(crate) struct SimRail {
    spec: RailSpec,
    /// The token's decimals as the chain has them.
    pub(crate) decimals: u8,
    pub(super) reactor: Arc<Reactor>,
    pub(crate) link: Link,
    pub(super) chain: Mutex<Chain>,
    store: ModelStore,
    pub(super) bug: Option<Bug>,
}

impl SimRail {
    pub(crate) fn new(
        label: &str,
        chain_id: u64,
        decimals: u8,
        reactor: &Arc<Reactor>,
        store: &ModelStore,
        bug: Option<Bug>,
    ) -> Option<Self> {
        let last = u8::try_from(chain_id % 200).unwrap_or(1);
        let asset = EvmAddress::new([last.max(1); 20]);
        let token = TokenTerms::eip3009(Network::evm(chain_id), asset, "USD Coin", "2").ok()?;
        let believed = if bug == Some(Bug::WrongDecimals) {
            6
        } else {
            decimals
        };
        Some(Self {
            spec: RailSpec {
                label: RailLabel::parse(label).ok()?,
                decimals: believed,
                token: Arc::new(token),
                pay_to: Recipient::new(EvmAddress::new([0x99; 20])),
                max_timeout_seconds: 300,
                settlement: "simulated".to_owned(),
            },
            decimals,
            reactor: Arc::clone(reactor),
            link: Link::new(Arc::clone(reactor)),
            chain: Mutex::default(),
            store: store.clone(),
            bug,
        })
    }

    pub(crate) fn token(&self) -> &TokenTerms {
        &self.spec.token
    }

    /// Everything that reached the shop before a moment, in atomic units, for each beginning that was
    /// ever told.
    pub(crate) fn reached(&self, before: i64) -> Vec<u128> {
        let beginnings = lock(&self.chain).beginnings.clone();
        let sum = |from: i64| {
            let moved = self.inflows(from, before);
            moved.iter().fold(0, |sum, moved| sum + moved.atomic)
        };
        beginnings.into_iter().map(sum).collect()
    }

    /// No settlement without a committed intent (P6).
    async fn check_intent(&self, key: &str) {
        let Ok(mut tx) = self.store.begin(TxMode::Read).await else {
            return;
        };
        let claimed = tx.find_payment(key).await.ok().flatten();
        let is_first = lock(&self.chain).asked.insert(key.to_owned());
        let is_blind = self.bug == Some(Bug::Store(PlantedBug::TxHashIdentity));
        if claimed.is_none() && is_first && !is_blind {
            let detail = format!("{key} was settled without a committed claim");
            self.reactor.violate("P6", detail);
        }
    }
}

#[async_trait]
impl Rail for SimRail {
    fn spec(&self) -> &RailSpec {
        &self.spec
    }

    async fn health(&self) -> RailHealth {
        if self.link.ask().await == Delivery::Arrived {
            RailHealth::Ready
        } else {
            self.reactor.fault("F049");
            RailHealth::Withdrawn {
                reason: "the facilitator cannot be reached".to_owned(),
            }
        }
    }

    async fn check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        if self.link.ask().await != Delivery::Arrived {
            return Err(away());
        }
        let Ok(known) = compute_x402::identify(&proof.payload, &self.spec.token) else {
            let code = "invalid_payload".to_owned();
            return Ok(Check::Refused { code });
        };
        self.land();
        let key = known.proof_key.as_str();
        let now = self.reactor.millis();
        let valid_before = i64::try_from(known.valid_before).unwrap_or(i64::MAX / 2_000) * 1_000;
        self.maybe_observe(key, (known.payer, known.value.get()), valid_before);
        let verdict = {
            let chain = lock(&self.chain);
            let moved = chain.moved.get(key);
            let is_drained = chain.drained_until.get(&known.payer);
            if moved.is_some_and(|moved| moved.at < now - 3_600_000) {
                refused("invalid_exact_evm_nonce_already_used")
            } else if moved.is_none() && is_drained.is_some_and(|until| *until > now) {
                refused("insufficient_funds")
            } else {
                Check::Fine
            }
        };
        if self.link.answer().await {
            Ok(verdict)
        } else {
            Err(away())
        }
    }

    async fn settle(&self, payment: &ClaimedPayment) -> Settlement {
        let key = payment.payment().proof_key.clone();
        self.check_intent(&key).await;
        let mut call = InFlight::new(&self.reactor, "F004");
        let sent = self.link.ask().await;
        let settlement = match sent {
            Delivery::NotSent => not_sent(),
            Delivery::Lost => unknown("time ran out"),
            Delivery::Arrived => {
                let settlement = self.settle_now(payment);
                if self.is_moving(&key) {
                    call.becomes("F003");
                }
                if self.link.answer().await {
                    settlement
                } else {
                    unknown("the answer was lost")
                }
            }
        };
        call.done();
        self.reactor.log(&format_args!(
            "{} settle {key}: {}",
            self.spec.label,
            name_of(&settlement)
        ));
        match (self.bug, settlement) {
            (Some(Bug::UnknownIsDeclined), Settlement::Unknown { .. }) => declined("timeout"),
            (Some(Bug::UnknownIsNotSent), Settlement::Unknown { .. }) => not_sent(),
            (_, settlement) => settlement,
        }
    }

    async fn lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        if self.link.ask().await != Delivery::Arrived {
            return Err(away());
        }
        let lookup = self.look_up_now(payment);
        if !self.link.answer().await {
            return Err(away());
        }
        self.reactor
            .log(&format_args!("{} lookup: {lookup:?}", self.spec.label));
        Ok(lookup)
    }

    fn arrival_source(&self) -> Option<String> {
        Some(format!("simulated/{}", self.spec.label))
    }

    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        if self.link.ask().await != Delivery::Arrived {
            return Err(away());
        }
        self.maybe_give();
        let firm = self.reactor.millis() - FINALITY_MS;
        let from = cursor.map_or(Ok(firm), str::parse).map_err(|_| away())?;
        let next = firm.min(from + PART_MS).max(from);
        let transfers = if cursor.is_some() {
            self.inflows(from, next)
        } else {
            lock(&self.chain).beginnings.push(next);
            Vec::new()
        };
        if !self.link.answer().await {
            return Err(away());
        }
        let seen = transfers.into_iter().map(|moved| SeenTransfer {
            reference: moved.evidence.reference,
            log_index: moved.evidence.log_index.unwrap_or(0),
            payer: Some(moved.payer),
            atomic: moved.atomic,
            at: Timestamp::from_millis(moved.at),
        });
        Ok(ArrivalPage {
            transfers: seen.collect(),
            cursor: next.to_string(),
            read_up_to: Timestamp::from_millis(next),
            has_more: next < firm,
        })
    }
}

/// What is this old is not undone any more.
const FINALITY_MS: i64 = 60_000;

/// How much time one part covers.
const PART_MS: i64 = 3_600_000;

const fn name_of(settlement: &Settlement) -> &'static str {
    match settlement {
        Settlement::Settled(_) => "settled",
        Settlement::Declined { .. } => "declined",
        Settlement::Unknown { .. } => "unknown",
        Settlement::NotSent { .. } => "not sent",
    }
}

fn refused(code: &str) -> Check {
    Check::Refused {
        code: code.to_owned(),
    }
}

fn away() -> RailUnavailable {
    RailUnavailable {
        reason: "the network is away".to_owned(),
    }
}
