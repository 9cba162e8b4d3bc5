//! What providers have left now, asked for when a price is named and before a payment is taken.
//!
//! A catalogue is read every few minutes; what is left of a plan changes faster. So the region of a
//! wanted plan is asked about, once for all requests that want to know at the same time, and the
//! answer counts for less than a minute. Nobody waits long for it: while there is no answer the
//! catalogue's word stands. Nothing of this is in the database, every replica knows for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compute_domain::catalog::{PlanId, ProviderId, RegionId};
use compute_domain::operation::MachineSpec;
use compute_domain::time::{Span, Timestamp};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::catalog::Shelf;
use crate::engine::Engine;
use crate::ports::{Created, Provider, ProviderError, Stock};
use crate::subject::Subject;

/// A question under way, which everybody who asks the same waits for.
type Call = Shared<BoxFuture<'static, Result<Option<Arc<Stock>>, ProviderError>>>;

/// An answer that nobody fetched within this many waits is asked for again.
const WAITS_PER_CALL: i64 = 20;

/// A payment is taken on an answer this many times younger than one that a price is named on.
const FRESHER_FOR_SALES: i64 = 10;

/// Plans that cannot be had in a region.
pub(crate) type SoldOut = BTreeSet<(PlanId, RegionId)>;

/// For what an answer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A price is named.
    Quote,
    /// A payment is taken.
    Sale,
}

/// What this replica knows of providers' stocks.
#[derive(Debug, Default)]
pub(crate) struct Stocks(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    regions: BTreeMap<ProviderId, BTreeMap<RegionId, Shelves>>,
    /// What a create was refused for, and until when that counts.
    refused: BTreeMap<(PlanId, RegionId), Timestamp>,
}

/// A region of one provider.
#[derive(Debug, Default)]
struct Shelves {
    /// When the newest answer was asked for.
    as_of: Option<Timestamp>,
    /// What it said; nothing when the provider knows no more than its catalogue.
    plans: Option<BTreeSet<PlanId>>,
    asked: Option<(Timestamp, Call)>,
    /// No question before this moment: the last one failed.
    not_before: Option<Timestamp>,
}

impl Stocks {
    pub(crate) fn lock(&self) -> StocksGuard<'_> {
        // Every change is one call that cannot stop half way.
        StocksGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The locked stocks: whoever holds them decides alone what is on the shelf.
#[derive(Debug)]
pub(crate) struct StocksGuard<'a>(MutexGuard<'a, Known>);

impl StocksGuard<'_> {
    /// What of this shelf cannot be had, and when that may change by itself. Of an answer and a
    /// catalogue, the newer one counts.
    pub(crate) fn sold_out(&self, shelf: &Shelf, now: Timestamp) -> (SoldOut, Option<Timestamp>) {
        let mut sold_out = SoldOut::new();
        for priced in &shelf.plans {
            let plan = &priced.plan;
            let Some(regions) = self.0.regions.get(&plan.provider) else {
                continue;
            };
            let confirmed_at = shelf.confirmed_at(plan.provider);
            for region in &plan.locations {
                let Some(shelves) = regions.get(region) else {
                    continue;
                };
                let is_newer = shelves.as_of > confirmed_at;
                let plans = shelves.plans.as_ref().filter(|_| is_newer);
                if plans.is_some_and(|plans| !plans.contains(&plan.id)) {
                    sold_out.insert((plan.id.clone(), region.clone()));
                }
            }
        }
        let refused = self.0.refused.iter().filter(|(_, until)| **until > now);
        let mut next = None;
        for (place, until) in refused {
            sold_out.insert(place.clone());
            next = Some(next.map_or(*until, |next: Timestamp| next.min(*until)));
        }
        (sold_out, next)
    }

    /// The question about a region and until when to wait for its answer; none while there is an
    /// answer that is young enough, or the last question failed a moment ago.
    fn ask(
        &mut self,
        provider: &Arc<dyn Provider>,
        region: &RegionId,
        now: Timestamp,
        terms: Terms,
    ) -> Option<(Timestamp, Call)> {
        let regions = self.0.regions.entry(provider.id()).or_default();
        if !regions.contains_key(region) {
            regions.insert(region.clone(), Shelves::default());
        }
        let shelves = regions.get_mut(region)?;
        let is_young = shelves.as_of.is_some_and(|it| it.plus(terms.life) > now);
        let is_resting = shelves.not_before.is_some_and(|it| it > now);
        if is_young || is_resting {
            return None;
        }
        let longest = Span::from_millis(terms.wait.millis().saturating_mul(WAITS_PER_CALL));
        if let Some((since, call)) = &shelves.asked
            && since.plus(longest) > now
        {
            return Some((*since, call.clone()));
        }
        let (provider, region) = (Arc::clone(provider), region.clone());
        let call = async move {
            let answer = provider.stock(&region).await;
            answer.map(|stock| stock.map(Arc::new))
        };
        let call = call.boxed().shared();
        shelves.asked = Some((now, call.clone()));
        Some((now, call))
    }

    /// Takes an answer down, once; says whether it was news.
    fn hear(
        &mut self,
        provider: ProviderId,
        region: &RegionId,
        asked_at: Timestamp,
        answer: &Result<Option<Arc<Stock>>, ProviderError>,
        rest_until: Timestamp,
    ) -> bool {
        let regions = self.0.regions.entry(provider).or_default();
        let Some(asked) = regions.get_mut(region) else {
            return false;
        };
        if asked.asked.as_ref().is_none_or(|(at, _)| *at != asked_at) {
            return false;
        }
        asked.asked = None;
        match answer {
            Ok(stock) => {
                asked.not_before = None;
                // An answer about another region may have told a newer word of this one.
                if asked.as_of <= Some(asked_at) {
                    asked.as_of = Some(asked_at);
                    asked.plans = None;
                }
                for (region, plans) in stock.iter().flat_map(|stock| stock.iter()) {
                    let known = regions.entry(region.clone()).or_default();
                    if known.as_of <= Some(asked_at) {
                        known.as_of = Some(asked_at);
                        known.plans = Some(plans.clone());
                    }
                }
            }
            Err(error) => {
                asked.not_before = Some(rest_until);
                tracing::warn!(
                    provider.name = %provider, %region, error = %error,
                    "the provider did not say what it has left; its catalogue counts"
                );
            }
        }
        true
    }
}

/// How old an answer may be, and how long to wait for one.
#[derive(Debug, Clone, Copy)]
struct Terms {
    life: Span,
    wait: Span,
}

impl Engine {
    /// Brings what is known of a wanted machine's stock up to date, where the provider answers soon
    /// enough. What is found sold out leaves the shelf. Touches no database.
    pub(crate) async fn refresh_stock(&self, subject: &Subject<'_>, need: Need) {
        let Subject::Machine(request) = subject else {
            return;
        };
        let (plan, region) = (&request.plan, &request.region);
        // Strange names ask nobody anything.
        if !self.is_catalogued(plan, region) {
            return;
        }
        let Some(provider) = self.providers.get(&plan.provider()) else {
            return;
        };
        let timing = self.timing();
        let life = match need {
            Need::Quote => timing.stock_life,
            Need::Sale => Span::from_millis(timing.stock_life.millis() / FRESHER_FOR_SALES),
        };
        let wait = timing.stock_wait;
        let asked = self
            .stocks
            .lock()
            .ask(provider, region, self.now(), Terms { life, wait });
        let Some((asked_at, call)) = asked else {
            return;
        };
        let answer = futures::select_biased! {
            answer = call.fuse() => answer,
            () = self.timer.patience(asked_at.plus(wait)).fuse() => {
                tracing::debug!(provider.name = %provider.id(), %region, "no word of the stock yet");
                return;
            }
        };
        let rest_until = self.now().plus(timing.stock_life);
        let mut stocks = self.stocks.lock();
        if stocks.hear(provider.id(), region, asked_at, &answer, rest_until) {
            self.restock(&stocks);
        }
    }

    /// What a create came to: a plan that the provider had no room for is not offered there for a
    /// while, whatever its lists say.
    pub(crate) fn note_create(
        &self,
        machine: &MachineSpec,
        created: &Result<Created, ProviderError>,
    ) {
        let place = (machine.plan.clone(), machine.region.clone());
        let now = self.now();
        let mut stocks = self.stocks.lock();
        stocks.0.refused.retain(|_, until| *until > now);
        match created {
            Err(ProviderError::NoCapacity { .. }) => {
                tracing::warn!(
                    plan.id = %place.0, region = %place.1,
                    "the provider has no room: the plan is not sold there for a while"
                );
                let until = now.plus(self.timing().sold_out_for);
                stocks.0.refused.insert(place, until);
            }
            Ok(_) if stocks.0.refused.remove(&place).is_some() => {}
            _ => return,
        }
        self.restock(&stocks);
    }
}
