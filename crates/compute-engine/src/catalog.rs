//! The shelf: what is for sale now, at our prices, in memory.
//!
//! Providers' catalogues are stored as revisions that all replicas share; the shelf is computed from
//! the newest of each. Recent shelves are kept, because a price stays payable for a while after it
//! changed (decisions.md 14).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use compute_domain::catalog::{Catalog, OsId, OsImage, Plan, PlanId, ProviderId, Region, RegionId};
use compute_domain::money::{HourlyRate, Usd};
use compute_domain::time::{Span, Timestamp};
use compute_pricing::{Markup, daily, monthly, sell_rate};

use crate::cloud::Closed;
use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{CatalogRevision, StoreError, TxMode};
use crate::stock::{SoldOut, StocksGuard};

/// Superseded shelves kept at most; price changes are rare.
const HISTORY_MAX: usize = 8;

/// A plan with what the customer pays for it where no region says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedPlan {
    /// The plan.
    pub plan: Plan,
    /// Dollars an hour.
    pub rate: HourlyRate,
    /// 24 hours.
    pub daily: Usd,
    /// 720 hours.
    pub monthly: Usd,
}

/// What is for sale at one moment.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Changes with the content, never goes back while the process lives.
    pub revision: u64,
    /// Plans, ascending by id. One that is sold out everywhere has no locations.
    pub plans: Vec<PricedPlan>,
    /// Regions of all providers, ascending by id.
    pub regions: Vec<Region>,
    /// Images of all providers, ascending by id.
    pub images: Vec<OsImage>,
    /// When the oldest part of it was last confirmed by its provider.
    pub as_of: Timestamp,
    by_id: HashMap<PlanId, usize>,
    images_of: BTreeMap<ProviderId, BTreeMap<OsId, Arc<OsImage>>>,
    /// Plans of providers that sell no new machines: more time is still sold at their prices.
    withheld: HashMap<PlanId, PricedPlan>,
    /// Those providers.
    closed: BTreeSet<ProviderId>,
    /// The revision of each provider's catalogue, and when the provider last confirmed it.
    sources: BTreeMap<ProviderId, (i64, Timestamp)>,
}

/// A provider, the revision of its catalogue, when the provider last confirmed it, and the catalogue.
type Part = (ProviderId, i64, Timestamp, Arc<Catalog>);

/// The present shelf and the superseded ones with the moment they stopped to be present.
#[derive(Debug, Default)]
pub(crate) struct ShelfHistory {
    /// By the catalogues alone, and the catalogues.
    whole: Option<Arc<Shelf>>,
    parts: Vec<Part>,
    /// The same without what is known to be sold out.
    current: Option<Arc<Shelf>>,
    sold_out: SoldOut,
    /// When something that is sold out may be had again.
    restock_at: Option<Timestamp>,
    /// The newest revision of a present shelf.
    revision: u64,
    superseded: Vec<(Arc<Shelf>, Timestamp)>,
}

impl Shelf {
    /// A plan by its id.
    pub fn find_plan(&self, id: &PlanId) -> Option<&PricedPlan> {
        self.by_id.get(id).and_then(|index| self.plans.get(*index))
    }

    /// Every plan that is known, also of providers that sell nothing at present.
    pub fn known_plans(&self) -> impl Iterator<Item = &PricedPlan> {
        self.plans.iter().chain(self.withheld.values())
    }

    /// A plan of a provider that sells no new machines.
    pub(crate) fn withheld(&self, id: &PlanId) -> Option<&PricedPlan> {
        self.withheld.get(id)
    }

    /// An image of this provider, by its id or by another name for it.
    pub fn find_image(&self, provider: ProviderId, id: &OsId) -> Option<&OsImage> {
        self.images_of.get(&provider)?.get(id).map(Arc::as_ref)
    }

    /// Whether there is such a region at all.
    pub fn has_region(&self, id: &RegionId) -> bool {
        self.regions.iter().any(|region| region.id == *id)
    }

    fn build(
        parts: &[Part],
        markup: &BTreeMap<ProviderId, Markup>,
        closed: BTreeSet<ProviderId>,
        now: Timestamp,
    ) -> Option<Self> {
        let open = parts.iter().filter(|part| !closed.contains(&part.0));
        // What is not sold cannot be too old to be sold.
        let as_of = match open.map(|part| part.2).min() {
            Some(oldest) => oldest,
            None => parts.first().map(|_| now)?,
        };
        let mut plans = Vec::new();
        let mut withheld = HashMap::new();
        let mut regions = BTreeMap::new();
        let mut images = BTreeMap::new();
        let mut images_of = BTreeMap::new();
        for (provider, _, _, catalog) in parts {
            let markup = markup.get(provider).copied().unwrap_or_default();
            let priced = catalog.plans.iter().filter_map(|plan| priced(plan, markup));
            if closed.contains(provider) {
                withheld.extend(priced.map(|plan| (plan.plan.id.clone(), plan)));
                continue;
            }
            plans.extend(priced);
            for region in &catalog.regions {
                regions
                    .entry(region.id.clone())
                    .or_insert_with(|| region.clone());
            }
            for image in &catalog.images {
                images
                    .entry(image.id.clone())
                    .or_insert_with(|| image.clone());
            }
            let own = catalog.images.iter().flat_map(|image| {
                let shared = Arc::new(image.clone());
                let ids = [&image.id].into_iter().chain(&image.aliases);
                ids.map(move |id| (id.clone(), Arc::clone(&shared)))
            });
            images_of.insert(*provider, own.collect());
        }
        plans.sort_by(|a, b| a.plan.id.cmp(&b.plan.id));
        let by_id = plans
            .iter()
            .enumerate()
            .map(|(i, p)| (p.plan.id.clone(), i))
            .collect();
        Some(Self {
            revision: 0,
            plans,
            regions: regions.into_values().collect(),
            images: images.into_values().collect(),
            as_of,
            by_id,
            images_of,
            withheld,
            closed,
            sources: sources(parts),
        })
    }

    /// When this provider last confirmed its catalogue.
    pub(crate) fn confirmed_at(&self, provider: ProviderId) -> Option<Timestamp> {
        self.sources.get(&provider).map(|(_, at)| *at)
    }

    fn has_content_of(&self, other: &Self) -> bool {
        let revisions = |shelf: &Self| -> Vec<_> {
            let sources = shelf.sources.iter();
            let sold = sources.filter(|(id, _)| !shelf.closed.contains(id));
            sold.map(|(id, (revision, _))| (*id, *revision)).collect()
        };
        revisions(self) == revisions(other)
    }

    /// The same shelf without what is sold out.
    fn without(&self, sold_out: &SoldOut) -> Self {
        let mut shelf = self.clone();
        for (plan, region) in sold_out {
            let index = shelf.by_id.get(plan).copied();
            if let Some(priced) = index.and_then(|index| shelf.plans.get_mut(index)) {
                priced.plan.locations.retain(|location| location != region);
            }
        }
        shelf
    }
}

fn sources(parts: &[Part]) -> BTreeMap<ProviderId, (i64, Timestamp)> {
    let sources = parts.iter().map(|part| (part.0, (part.1, part.2)));
    sources.collect()
}

/// Takes providers off the shelf whose catalogues become too old before the next round, so that one
/// that does not answer does not end the others' sales.
fn withdraw(parts: &mut Vec<Part>, now: Timestamp, max_age: Span, refresh: Span) {
    // Rounds come a little early or late.
    let next_round = now
        .plus(refresh)
        .plus(Span::from_millis(refresh.millis() / 2));
    let is_fresh = |part: &Part| part.2.plus(max_age) >= next_round;
    if !parts.iter().any(is_fresh) {
        return;
    }
    parts.retain(|part| {
        let is_fresh = is_fresh(part);
        if !is_fresh {
            tracing::error!(
                provider.name = %part.0, confirmed_at = %part.2.rfc3339(),
                "a provider has not confirmed its catalogue for long: nothing of it is sold"
            );
        }
        is_fresh
    });
}

/// A plan whose price cannot be expressed is not for sale.
fn priced(plan: &Plan, markup: Markup) -> Option<PricedPlan> {
    let rate = sell_rate(plan.cost, markup).ok()?;
    Some(PricedPlan {
        plan: plan.clone(),
        rate,
        daily: daily(rate).ok()?,
        monthly: monthly(rate).ok()?,
    })
}

impl Engine {
    /// What is for sale now. Touches neither database nor network.
    ///
    /// # Errors
    /// `CatalogUnavailable` when nothing was confirmed recently enough to sell by it.
    pub fn shelf(&self) -> Result<Arc<Shelf>, Error> {
        let now = self.now();
        if self.shelves().restock_at.is_some_and(|at| at <= now) {
            self.restock(&self.stocks.lock());
        }
        let current = self.shelves().current.clone();
        let shelf = current.ok_or(Error::CatalogUnavailable)?;
        let oldest = now.minus(self.config.sales.catalog_max_age);
        if shelf.as_of < oldest {
            Err(Error::CatalogUnavailable)
        } else {
            Ok(shelf)
        }
    }

    /// Superseded shelves whose prices are still payable, newest first.
    pub(crate) fn recent_shelves(&self) -> Vec<Arc<Shelf>> {
        let since = self.now().minus(self.config.sales.price_grace);
        let history = self.shelves();
        let recent = history
            .superseded
            .iter()
            .rev()
            .filter(|(_, until)| *until >= since);
        recent.map(|(shelf, _)| Arc::clone(shelf)).collect()
    }

    /// Whether a catalogue names the plan there, whatever is left of it.
    pub(crate) fn is_catalogued(&self, plan: &PlanId, region: &RegionId) -> bool {
        let history = self.shelves();
        let plan = history.whole.as_ref().and_then(|it| it.find_plan(plan));
        plan.is_some_and(|it| it.plan.locations.binary_search(region).is_ok())
    }

    /// Takes off the shelf what is sold out by now, and puts back what is not. Whoever holds the
    /// stocks is alone here, so that no older knowledge replaces newer one.
    pub(crate) fn restock(&self, stocks: &StocksGuard<'_>) {
        let (whole, before) = {
            let history = self.shelves();
            (history.whole.clone(), history.sold_out.clone())
        };
        let Some(whole) = whole else {
            return;
        };
        let (sold_out, restock_at) = stocks.sold_out(&whole, self.now());
        // Made before anybody is kept from reading.
        let shelf = (sold_out != before).then(|| whole.without(&sold_out));
        let mut history = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        history.restock_at = restock_at;
        if let Some(shelf) = shelf {
            history.sold_out = sold_out;
            history.show(shelf, true);
        }
    }

    fn shelves(&self) -> RwLockReadGuard<'_, ShelfHistory> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a plan costs the customer in a region.
    pub(crate) fn rate_in(
        &self,
        plan: &PricedPlan,
        region: &RegionId,
    ) -> Result<HourlyRate, Error> {
        let markup = self.config.sales.markup.get(&plan.plan.provider).copied();
        sell_rate(plan.plan.cost_in(region), markup.unwrap_or_default())
            .map_err(|error| Error::Internal(Box::new(error)))
    }

    /// One round of keeping the catalogue fresh: each provider whose newest revision is old is
    /// asked by one replica, then the shelf is rebuilt from the database. Failures are logged; the
    /// last good shelf stays until it is too old to sell from.
    pub async fn refresh_catalog(&self) {
        self.tend_accounts_or_warn().await;
        for id in self.providers.keys() {
            if let Err(error) = self.fetch_catalog(*id).await {
                tracing::warn!(provider.name = %id, error = %error, "catalogue not refreshed");
            }
        }
        self.tend_accounts_or_warn().await;
        if let Err(error) = self.reload_shelf().await {
            tracing::warn!(error = %error, "catalogue not loaded");
        }
    }

    async fn tend_accounts_or_warn(&self) {
        if let Err(error) = self.tend_accounts().await {
            tracing::warn!(error = %error, "what is known of the providers' accounts was not read");
        }
    }

    async fn fetch_catalog(&self, id: ProviderId) -> Result<(), FetchError> {
        let Some(provider) = self.providers.get(&id) else {
            return Ok(());
        };
        let now = self.now();
        let fresh_since = now.minus(self.timing().catalog_refresh);
        let mut tx = self.store.begin(TxMode::Write).await?;
        let newest = tx.load_catalogs(id, 1).await?;
        // Only a catalogue that is read now shows whether our credentials count again.
        let cloud = self.clouds.get(&id);
        let is_refused = cloud.is_some_and(|cloud| cloud.closed() == Some(Closed::Refused));
        let newest = newest.first().filter(|_| !is_refused);
        let is_fresh = newest.is_some_and(|newest| newest.confirmed_at > fresh_since);
        let lease = format!("catalog:{id}");
        let holder = &self.config.holder;
        let until = now.plus(self.timing().lease);
        let is_ours = !is_fresh && tx.acquire_lease(&lease, holder, now, until).await?;
        tx.commit().await?;
        if !is_ours {
            return Ok(());
        }
        let catalog = provider.catalog().await?;
        let body = serde_json::to_string(&catalog)?;
        let mut tx = self.store.begin(TxMode::Write).await?;
        let recorded = tx.record_catalog(id, &body, self.now()).await?;
        tx.commit().await?;
        tracing::debug!(provider.name = %id, catalog.revision = recorded.revision, "catalogue read");
        self.readmit(id).await?;
        Ok(())
    }

    /// Rebuilds the shelf from the stored catalogues, when they changed.
    pub(crate) async fn reload_shelf(&self) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let mut newest = Vec::new();
        for id in self.providers.keys() {
            newest.extend(tx.load_catalogs(*id, 1).await?);
        }
        tx.rollback().await?;
        let known = self.shelves().parts.clone();
        let mut parts = Vec::new();
        for revision in newest {
            let same = known
                .iter()
                .find(|part| (part.0, part.1) == (revision.provider, revision.revision));
            let catalog = match same {
                Some(part) => Arc::clone(&part.3),
                None => Arc::new(parse(&revision)?),
            };
            let confirmed_at = revision.confirmed_at;
            parts.push((revision.provider, revision.revision, confirmed_at, catalog));
        }
        self.put_on_shelf(parts);
        Ok(())
    }

    /// Puts catalogues on the shelf. What takes long is done before anybody is kept from reading.
    fn put_on_shelf(&self, mut parts: Vec<Part>) {
        let now = self.now();
        let sales = &self.config.sales;
        let refresh = self.timing().catalog_refresh;
        withdraw(&mut parts, now, sales.catalog_max_age, refresh);
        let before = self.shelves().whole.clone();
        let closed: BTreeSet<_> = self.closed().into_keys().collect();
        // A shelf on which nothing is sold is as old as its making, so it is made again.
        let is_same = |it: &Arc<Shelf>| {
            let is_sold = parts.iter().any(|part| !closed.contains(&part.0));
            is_sold && it.closed == closed && it.sources == sources(&parts)
        };
        if before.as_ref().is_some_and(is_same) {
            return self.restock(&self.stocks.lock());
        }
        let Some(whole) = Shelf::build(&parts, &sales.markup, closed, now) else {
            return;
        };
        let stocks = self.stocks.lock();
        let (sold_out, restock_at) = stocks.sold_out(&whole, now);
        let shelf = whole.without(&sold_out);
        let whole = Arc::new(whole);
        let mut history = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let before = history.whole.replace(Arc::clone(&whole));
        let has_new_content = before.as_ref().is_none_or(|it| !it.has_content_of(&whole));
        let has_news = has_new_content || history.sold_out != sold_out;
        history.show(shelf, has_news);
        if let Some(before) = before.filter(|_| has_new_content) {
            history.supersede(before, now, sales.price_grace);
        }
        history.parts = parts;
        history.sold_out = sold_out;
        history.restock_at = restock_at;
    }
}

impl ShelfHistory {
    /// When each provider last confirmed its catalogue.
    pub(crate) fn confirmed(&self) -> BTreeMap<ProviderId, Timestamp> {
        let parts = self.parts.iter();
        parts.map(|(id, _, at, _)| (*id, *at)).collect()
    }

    fn show(&mut self, mut shelf: Shelf, has_news: bool) {
        self.revision += u64::from(has_news);
        shelf.revision = self.revision;
        self.current = Some(Arc::new(shelf));
    }

    fn supersede(&mut self, old: Arc<Shelf>, now: Timestamp, grace: Span) {
        self.superseded.push((old, now));
        let since = now.minus(grace);
        self.superseded.retain(|(_, until)| *until >= since);
        let surplus = self.superseded.len().saturating_sub(HISTORY_MAX);
        self.superseded.drain(..surplus);
    }
}

fn parse(revision: &CatalogRevision) -> Result<Catalog, Error> {
    serde_json::from_str(&revision.body).map_err(|error| Error::Internal(Box::new(error)))
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the database failed")]
    Store(#[from] StoreError),
    #[error("the provider's account could not be looked at: {0}")]
    Account(#[from] Error),
    #[error("the provider failed: {0}")]
    Provider(#[from] crate::ports::ProviderError),
    #[error("the catalogue cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_does_not_answer_does_not_end_the_others_sales() {
        let minute = |minutes: i64| Timestamp::from_millis(minutes * 60_000);
        let span = |minutes: u32| Span::from_secs(minutes * 60);
        let check = |vultr: i64, ocean: i64, expected: &[ProviderId]| {
            let empty = Arc::new(Catalog {
                plans: Vec::new(),
                regions: Vec::new(),
                images: Vec::new(),
            });
            let mut parts = vec![
                (ProviderId::Vultr, 1, minute(vultr), Arc::clone(&empty)),
                (ProviderId::DigitalOcean, 1, minute(ocean), empty),
            ];
            withdraw(&mut parts, minute(100), span(60), span(10));
            let left: Vec<_> = parts.iter().map(|part| part.0).collect();
            assert_eq!(left, expected, "{vultr} {ocean}");
        };
        let both = &[ProviderId::Vultr, ProviderId::DigitalOcean][..];
        check(100, 100, both);
        check(100, 55, both);
        check(100, 54, &both[..1]);
        check(30, 100, &both[1..]);
        // Then the age of the shelf says that nothing is for sale.
        check(30, 35, both);
    }
}
