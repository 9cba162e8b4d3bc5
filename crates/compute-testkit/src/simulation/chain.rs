//! The chain behind a payment network, its facilitator, and what both may do to a payment.

use std::collections::{BTreeMap, BTreeSet};

use compute_domain::payment::Evidence;
use compute_engine::ports::{ClaimedPayment, Lookup, Settlement};
use compute_wallet::{EvmAddress, WalletAddress};

use super::bugs::Bug;
use super::rails::SimRail;
use super::reactor::lock;

/// Money that moved.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) payer: WalletAddress,
    pub(crate) atomic: u128,
    pub(crate) at: i64,
    pub(crate) evidence: Evidence,
    /// Whether somebody else than the shop sent it in.
    pub(crate) by_observer: bool,
}

/// Money that will move.
#[derive(Debug, Clone)]
pub(super) struct Landing {
    payer: WalletAddress,
    at: i64,
    atomic: u128,
    by_observer: bool,
}

#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) moved: BTreeMap<String, Moved>,
    pub(super) landing: BTreeMap<String, Landing>,
    pub(super) drained_until: BTreeMap<WalletAddress, i64>,
    /// What was ever asked to be settled.
    pub(super) asked: BTreeSet<String>,
    /// What somebody sent without being asked.
    pub(super) gifts: Vec<Moved>,
    /// From when on what arrives was said to begin, each time somebody asked.
    pub(super) beginnings: Vec<i64>,
    pub(super) transactions: u64,
    pub(super) last_index: u32,
    /// A node that is behind shows nothing younger than this.
    pub(super) node_lag: i64,
    pub(super) node_lag_until: i64,
}

/// What a facilitator does with a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Honest,
    LandsLater,
    NeverLands,
    FailsAfterBroadcast,
    SaysNoAfterBroadcast,
    Drained,
    TooMany,
    Lies,
    NamesAnother,
    Overtaken,
}

const MOODS: &[(Mood, u64, &str)] = &[
    (Mood::LandsLater, 60, "F040"),
    (Mood::NeverLands, 30, "F065"),
    (Mood::FailsAfterBroadcast, 40, "F041"),
    (Mood::SaysNoAfterBroadcast, 30, "F042"),
    (Mood::Drained, 40, "F047"),
    (Mood::TooMany, 20, "F050"),
    (Mood::Lies, 30, "F044"),
    (Mood::NamesAnother, 15, "F045"),
    (Mood::Overtaken, 30, "F046"),
];

impl SimRail {
    /// Everything that moved, by the network's own records.
    pub(crate) fn moved(&self) -> BTreeMap<String, Moved> {
        self.land();
        lock(&self.chain).moved.clone()
    }

    /// The node behind the adapter falls behind the chain for a while.
    pub(crate) fn lag_node(&self, lag: i64, millis: i64) {
        let mut chain = lock(&self.chain);
        chain.node_lag = lag;
        chain.node_lag_until = self.reactor.millis() + millis;
    }

    /// Whether a payment has moved, or will.
    pub(super) fn is_moving(&self, key: &str) -> bool {
        let chain = lock(&self.chain);
        chain.moved.contains_key(key) || chain.landing.contains_key(key)
    }

    /// What is due on its way lands.
    pub(super) fn land(&self) {
        let now = self.reactor.millis();
        let mut chain = lock(&self.chain);
        let due: Vec<String> = chain
            .landing
            .iter()
            .filter(|(_, landing)| landing.at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            if let Some(landing) = chain.landing.remove(&key) {
                self.write(&mut chain, &key, &landing);
            }
        }
    }

    fn write(&self, chain: &mut Chain, key: &str, landing: &Landing) -> Evidence {
        let evidence = self.next_evidence(chain);
        let moved = Moved {
            payer: landing.payer,
            atomic: landing.atomic,
            at: landing.at,
            evidence: evidence.clone(),
            by_observer: landing.by_observer,
        };
        chain.moved.entry(key.to_owned()).or_insert(moved);
        evidence
    }

    fn next_evidence(&self, chain: &mut Chain) -> Evidence {
        // One transaction may hold several payments.
        if chain.transactions > 0 && self.reactor.strikes(100) {
            chain.last_index += 1;
        } else {
            chain.transactions += 1;
            chain.last_index = 0;
        }
        Evidence {
            reference: format!("0x{:064x}", chain.transactions),
            log_index: Some(chain.last_index),
        }
    }

    /// Somebody sends tokens without being asked: a tip, a mistake, or dust.
    pub(super) fn maybe_give(&self) {
        if !self.reactor.strikes(80) {
            return;
        }
        self.reactor.fault("F085");
        let now = self.reactor.millis();
        let micros = match self.reactor.dice.range(0, 3) {
            0 => self.reactor.dice.range(1, 900),
            1 => self.reactor.dice.range(10_000, 90_000),
            _ => self.reactor.dice.range(100_000, 9_000_000),
        };
        let unit = 10_u128.saturating_pow(u32::from(self.decimals.saturating_sub(6)));
        let mut chain = lock(&self.chain);
        let evidence = self.next_evidence(&mut chain);
        chain.gifts.push(Moved {
            payer: WalletAddress::Evm(EvmAddress::new([0xee; 20])),
            atomic: u128::try_from(micros).unwrap_or(1).saturating_mul(unit),
            at: now,
            evidence,
            by_observer: true,
        });
    }

    /// Everything that reached the shop from this moment on and before that one, in the order of the
    /// chain.
    pub(crate) fn inflows(&self, from: i64, before: i64) -> Vec<Moved> {
        self.land();
        let chain = lock(&self.chain);
        let all = chain.moved.values().chain(&chain.gifts);
        let mut found: Vec<_> = all
            .filter(|moved| (from..before).contains(&moved.at))
            .cloned()
            .collect();
        found.sort_by(|one, other| {
            let place = |it: &Moved| (it.at, it.evidence.reference.clone(), it.evidence.log_index);
            place(one).cmp(&place(other))
        });
        found
    }

    fn mood(&self) -> Mood {
        for (mood, permille, id) in MOODS {
            if self.reactor.strikes(*permille) {
                self.reactor.fault(id);
                return *mood;
            }
        }
        Mood::Honest
    }

    pub(super) fn settle_now(&self, payment: &ClaimedPayment) -> Settlement {
        let own = payment.payment();
        let key = own.proof_key.as_str();
        self.land();
        let now = self.reactor.millis();
        let Some(payer) = own.payer else {
            return declined("no payer");
        };
        let chain = lock(&self.chain);
        if let Some(moved) = chain.moved.get(key) {
            return Settlement::Settled(moved.evidence.clone());
        }
        if chain.landing.contains_key(key) {
            return unknown("the payment is on its way");
        }
        if now >= own.void_after.millis() {
            return declined("authorization_expired");
        }
        if chain
            .drained_until
            .get(&payer)
            .is_some_and(|until| *until > now)
        {
            return declined("insufficient_funds");
        }
        drop(chain);
        self.befall(self.mood(), payer, payment)
    }

    /// What the facilitator makes of a payment that could settle.
    fn befall(&self, mood: Mood, payer: WalletAddress, payment: &ClaimedPayment) -> Settlement {
        let own = payment.payment();
        let key = own.proof_key.as_str();
        let atomic = payment.proof().offer.amount().get();
        let now = self.reactor.millis();
        let latest = own.void_after.millis() - 1;
        let landing = |by_observer| Landing {
            payer,
            at: now,
            atomic,
            by_observer,
        };
        let mut chain = lock(&self.chain);
        let mut lands = |at: i64, by_observer: bool| {
            let at = at.min(latest);
            let landing = Landing {
                payer,
                at,
                atomic,
                by_observer,
            };
            chain.landing.insert(key.to_owned(), landing);
        };
        match mood {
            Mood::Honest => {
                let evidence = self.write(&mut chain, key, &landing(false));
                Settlement::Settled(evidence)
            }
            Mood::LandsLater => {
                lands(now + self.reactor.dice.range(5_000, 280_000), false);
                unknown("time ran out")
            }
            Mood::FailsAfterBroadcast => {
                lands(now + self.reactor.dice.range(0, 30_000), false);
                unknown("status 502")
            }
            Mood::SaysNoAfterBroadcast => {
                lands(now + self.reactor.dice.range(0, 30_000), false);
                unknown("success: false, no transaction")
            }
            Mood::NamesAnother => {
                lands(now + self.reactor.dice.range(0, 3_000), false);
                unknown("the facilitator names another payer")
            }
            Mood::NeverLands => unknown("time ran out"),
            Mood::TooMany => unknown("status 429"),
            Mood::Lies => {
                if self.bug == Some(Bug::LyingSuccess) {
                    let reference = format!("0xfeed{:060x}", self.reactor.number());
                    return Settlement::Settled(Evidence {
                        reference,
                        log_index: Some(0),
                    });
                }
                unknown("the transaction does not hold the payment's transfer")
            }
            Mood::Drained => {
                let until = now + self.reactor.dice.range(60_000, 1_800_000);
                chain.drained_until.insert(payer, until);
                declined("insufficient_funds")
            }
            Mood::Overtaken => {
                let evidence = self.write(&mut chain, key, &landing(true));
                Settlement::Settled(evidence)
            }
        }
    }

    pub(super) fn look_up_now(&self, payment: &ClaimedPayment) -> Lookup {
        self.land();
        let key = payment.payment().proof_key.as_str();
        let now = self.reactor.millis();
        let chain = lock(&self.chain);
        let lag = if chain.node_lag_until > now {
            chain.node_lag
        } else {
            0
        };
        let seen = chain.moved.get(key).filter(|moved| moved.at <= now - lag);
        if let Some(moved) = seen {
            return Lookup::Settled(moved.evidence.clone());
        }
        // The node's own clock is the chain's: what is behind cannot say "never" too early.
        let void_after = payment.payment().void_after.millis();
        if now - lag > void_after + 60_000 || self.bug == Some(Bug::NeverTooEarly) {
            let code = "authorization_expired".to_owned();
            return Lookup::Never { code };
        }
        Lookup::NotYet
    }

    /// Somebody on the way sees the payment and sends it in first.
    pub(super) fn maybe_observe(
        &self,
        key: &str,
        (payer, atomic): (WalletAddress, u128),
        valid_before_ms: i64,
    ) {
        if !self.reactor.strikes(15) {
            return;
        }
        self.reactor.fault("F046");
        let at = self.reactor.millis() + self.reactor.dice.range(0, 60_000);
        if at < valid_before_ms {
            let mut chain = lock(&self.chain);
            if !chain.moved.contains_key(key) {
                let landing = Landing {
                    payer,
                    at,
                    atomic,
                    by_observer: true,
                };
                chain.landing.entry(key.to_owned()).or_insert(landing);
            }
        }
    }
}

pub(super) fn unknown(reason: &str) -> Settlement {
    Settlement::Unknown {
        reason: reason.to_owned(),
    }
}

pub(super) fn declined(code: &str) -> Settlement {
    Settlement::Declined {
        code: code.to_owned(),
    }
}

pub(super) fn not_sent() -> Settlement {
    Settlement::NotSent {
        reason: "connection refused".to_owned(),
    }
}
