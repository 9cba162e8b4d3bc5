//! Offers: what a request costs and how it can be paid.

use std::sync::Arc;

use compute_domain::catalog::{OsId, PlanId, ProviderId, RegionId};
use compute_domain::instance::Access;
use compute_domain::money::{Hours, Usd};
use compute_domain::operation::{MachineSpec, TimeBought};
use compute_domain::payment::RailLabel;
use compute_domain::setup::{SshKeys, UserData};
use compute_domain::text::{Hostname, Label};
use compute_pricing::to_asset;
use compute_x402::{Amount, Offer};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::auto_extend::AutoExtendTerms;
use crate::catalog::{PricedPlan, Shelf};
use crate::challenges::{Binding, PROVISION, RequestFacts};
use crate::charge::Charge;
use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{AnyRail, Rail};
use crate::proof::ResourceInfo;
use crate::purchase::Purchase;
use crate::subject::{Priced, digest_of, time_at};

/// What the paid answer is.
const MIME_TYPE: &str = "application/json";

/// A request for a machine, every value parsed.
#[derive(Debug, Clone)]
pub struct ProvisionRequest {
    /// Its size.
    pub plan: PlanId,
    /// Where.
    pub region: RegionId,
    /// Its image.
    pub os: OsId,
    /// The customer's name for it.
    pub label: Label,
    /// Its host name, when the customer chose one.
    pub hostname: Option<Hostname>,
    /// For how long.
    pub hours: Hours,
    /// The rail the customer wants to pay over.
    pub network: RailLabel,
    /// Who may log in; none asks for a root password.
    pub ssh_keys: SshKeys,
    /// What the machine does at its first start.
    pub user_data: Option<UserData>,
    /// A hint that must agree with the plan.
    pub provider: Option<ProviderId>,
    /// How it is to be extended from credits before its time ends; none: not at all.
    pub auto_extend: Option<AutoExtendTerms>,
}

impl ProvisionRequest {
    /// SHA-256 of the request's meaning: two requests that ask for the same thing have the same
    /// digest, however their JSON was written. `network` is left out, because a payment over any
    /// offered rail buys the same thing.
    pub(crate) fn digest(&self) -> [u8; 32] {
        #[derive(Serialize)]
        struct Canonical<'a>(
            &'static str,
            &'a PlanId,
            &'a RegionId,
            &'a OsId,
            &'a Label,
            Tail<'a>,
        );
        type Tail<'a> = (&'a Option<Hostname>, Hours, &'a SshKeys, Option<[u8; 32]>);
        let user_data = self.user_data.as_ref();
        let user_data = user_data.map(|data| Sha256::digest(data.expose()).into());
        let tail = (&self.hostname, self.hours, &self.ssh_keys, user_data);
        let canonical = Canonical(
            "provision",
            &self.plan,
            &self.region,
            &self.os,
            &self.label,
            tail,
        );
        // What asks for nothing new has the digest that it always had.
        match self.auto_extend {
            None => digest_of(&canonical),
            Some(terms) => digest_of(&(canonical, terms.hours, terms.max_total.micros())),
        }
    }

    /// How the customer will get in.
    pub(crate) const fn access(&self) -> Access {
        if self.ssh_keys.is_empty() {
            Access::Password
        } else {
            Access::SshKey
        }
    }

    pub(crate) fn machine(&self) -> MachineSpec {
        MachineSpec {
            plan: self.plan.clone(),
            region: self.region.clone(),
            os: self.os.clone(),
            label: self.label.clone(),
            hostname: self.hostname.clone(),
            ssh_keys: self.ssh_keys.clone(),
        }
    }
}

/// A price and every way to pay it.
#[derive(Debug, Clone)]
pub struct OfferSheet {
    /// What the customer pays in all.
    pub price: Usd,
    /// The time it buys; a top-up buys none.
    pub time: Option<TimeBought>,
    /// What is paid for.
    pub resource: ResourceInfo,
    /// One offer per rail that can settle now, the one the request asked for first.
    pub offers: Vec<Offer>,
    /// The rail of each offer.
    pub rails: Vec<RailLabel>,
    /// The rail the request asked for.
    pub asked: RailLabel,
    /// Every way to pay by a challenge, in configured order.
    pub charges: Vec<Charge>,
    /// What its challenges are bound to; nothing when there is no paying by challenge here.
    pub(crate) binding: Option<Binding>,
}

impl OfferSheet {
    /// For what is paid with credits: no rail is needed.
    pub(crate) fn without_offers(priced: Priced, resource_url: &str, asked: &RailLabel) -> Self {
        Self {
            price: priced.price,
            time: priced.time,
            resource: ResourceInfo {
                url: resource_url.to_owned(),
                description: priced.description,
                mime_type: MIME_TYPE.to_owned(),
            },
            offers: Vec::new(),
            rails: Vec::new(),
            asked: asked.clone(),
            charges: Vec::new(),
            binding: None,
        }
    }
}

impl Engine {
    /// What the subject costs now, and how it can be paid.
    ///
    /// # Errors
    /// When it asks for something that is not sold, or nothing can be sold now.
    pub(crate) fn quote(&self, purchase: &Purchase<'_>) -> Result<OfferSheet, Error> {
        let shelf = self.shelf()?;
        self.quote_from(&shelf, purchase)
    }

    /// The same at the prices of a given shelf.
    pub(crate) fn quote_from(
        &self,
        shelf: &Shelf,
        purchase: &Purchase<'_>,
    ) -> Result<OfferSheet, Error> {
        let subject = &purchase.subject;
        let priced = self.price_of(subject, shelf)?;
        let binding = purchase.binding();
        self.sheet(priced, subject.network(), &purchase.resource_url, binding)
    }

    /// The answer to a request that names nothing: a real offer, for the cheapest plan, so that a
    /// registry that probes the service sees how it is paid (decisions.md 35).
    pub fn probe(&self, resource_url: &str, facts: RequestFacts) -> Error {
        match self.cheapest(resource_url, facts) {
            Ok(sheet) => Error::PaymentRequired {
                sheet: Box::new(sheet),
                problem: None,
            },
            Err(error) => error,
        }
    }

    fn cheapest(&self, resource_url: &str, facts: RequestFacts) -> Result<OfferSheet, Error> {
        let shelf = self.shelf()?;
        let by_price = shelf
            .plans
            .iter()
            .filter(|plan| !plan.plan.locations.is_empty());
        let plan = by_price
            .min_by_key(|plan| plan.rate)
            .ok_or(Error::CatalogUnavailable)?;
        let region = plan
            .plan
            .locations
            .first()
            .ok_or(Error::CatalogUnavailable)?;
        let hours = Hours::new(Hours::MIN).map_err(|error| Error::Internal(Box::new(error)))?;
        let time = time_at(self.rate_in(plan, region)?, hours)?;
        let priced = Priced {
            price: time.price,
            time: Some(time),
            description: format!("{} h of {} in {region}", hours.get(), plan.plan.id),
        };
        let binding = Binding {
            operation: PROVISION.to_owned(),
            facts,
        };
        let asked = &self.config.sales.default_rail;
        self.sheet(priced, asked, resource_url, Some(binding))
    }

    pub(crate) fn find_sellable<'a>(
        &self,
        shelf: &'a Shelf,
        request: &ProvisionRequest,
    ) -> Result<&'a PricedPlan, Error> {
        let Some(plan) = shelf.find_plan(&request.plan) else {
            let is_withheld = shelf.withheld(&request.plan).is_some();
            return Err(if is_withheld {
                Error::CatalogUnavailable
            } else {
                Error::UnknownPlan
            });
        };
        let provider = plan.plan.provider;
        // It may have closed since the shelf was built.
        if self.why_closed(provider).is_some() {
            return Err(Error::CatalogUnavailable);
        }
        if request.provider.is_some_and(|hint| hint != provider) {
            return Err(Error::ProviderMismatch);
        }
        if plan.plan.locations.binary_search(&request.region).is_err() {
            return Err(if shelf.has_region(&request.region) {
                Error::PlanNotInRegion {
                    locations: plan.plan.locations.clone(),
                }
            } else {
                Error::UnknownRegion
            });
        }
        let image = shelf.find_image(provider, &request.os);
        let image = image.ok_or(Error::UnknownImage)?;
        image
            .needs
            .check(&plan.plan, &request.region)
            .map_err(Error::ImageNotForPlan)?;
        let takes_password = self
            .providers
            .get(&provider)
            .is_some_and(|p| p.offers_root_password());
        if request.access() == Access::Password && !takes_password {
            return Err(Error::SshKeyRequired);
        }
        Ok(plan)
    }

    fn sheet(
        &self,
        priced: Priced,
        asked: &RailLabel,
        resource_url: &str,
        binding: Option<Binding>,
    ) -> Result<OfferSheet, Error> {
        self.require_store()?;
        let takes = |rail: &&AnyRail| binding.is_some() || matches!(rail, AnyRail::X402(_));
        let mut known = self.rails.iter().filter(takes).map(AnyRail::label);
        if !known.clone().any(|label| label == asked) {
            return Err(Error::UnknownNetwork {
                known: known.by_ref().map(ToString::to_string).collect(),
            });
        }
        let charges = match &binding {
            Some(_) => self.charges(priced.price)?,
            None => Vec::new(),
        };
        let ready = self.ready_rails().into_iter();
        let mut ready: Vec<_> = ready
            .filter_map(|rail| match rail {
                AnyRail::X402(rail) => Some(rail),
                AnyRail::Mpp(_) => None,
            })
            .collect();
        let is_ready = ready.iter().any(|rail| rail.spec().label == *asked);
        // Who pays by a challenge names no network.
        if !is_ready && charges.is_empty() {
            return Err(Error::RailUnavailable);
        }
        ready.sort_by_key(|rail| rail.spec().label != *asked);
        let offers = ready
            .iter()
            .map(|rail| offer_on(rail, priced.price))
            .collect::<Result<_, _>>()?;
        Ok(OfferSheet {
            offers,
            rails: ready.iter().map(|rail| rail.spec().label.clone()).collect(),
            charges,
            binding,
            ..OfferSheet::without_offers(priced, resource_url, asked)
        })
    }
}

fn offer_on(rail: &Arc<dyn Rail>, price: Usd) -> Result<Offer, Error> {
    let spec = rail.spec();
    let amount =
        to_asset(price, spec.decimals).map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(spec.offer(Amount::new(amount.atomic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ProvisionRequest {
        ProvisionRequest {
            plan: PlanId::parse("vc2-1c-1gb").unwrap(),
            region: RegionId::parse("ewr").unwrap(),
            os: OsId::parse("2284").unwrap(),
            label: Label::parse("x").unwrap(),
            hostname: None,
            hours: Hours::new(24).unwrap(),
            network: RailLabel::parse("base").unwrap(),
            ssh_keys: SshKeys::default(),
            user_data: None,
            provider: None,
            auto_extend: None,
        }
    }

    #[test]
    fn the_digest_follows_the_meaning() {
        let digest = request().digest();
        let over_another_rail = ProvisionRequest {
            network: RailLabel::parse("solana").unwrap(),
            ..request()
        };
        assert_eq!(over_another_rail.digest(), digest);
        let changes = [
            ProvisionRequest {
                plan: PlanId::parse("vc2-2c-4gb").unwrap(),
                ..request()
            },
            ProvisionRequest {
                region: RegionId::parse("lax").unwrap(),
                ..request()
            },
            ProvisionRequest {
                os: OsId::parse("1743").unwrap(),
                ..request()
            },
            ProvisionRequest {
                label: Label::parse("y").unwrap(),
                ..request()
            },
            ProvisionRequest {
                hours: Hours::new(25).unwrap(),
                ..request()
            },
            ProvisionRequest {
                hostname: Some(Hostname::parse("h").unwrap()),
                ..request()
            },
        ];
        for change in changes {
            assert_ne!(change.digest(), digest, "{change:?}");
        }
    }
}
