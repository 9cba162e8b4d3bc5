//! Quotes: what a purchase would cost and how it could be paid, without a trace.
//!
//! A quote refuses what the purchase would refuse, and asks nothing of whoever asks: not even the nonce
//! of a signature is spent, because an unpaid request tells as much (decisions.md 23).

use compute_domain::catalog::{OsImage, Region};
use compute_domain::id::InstanceId;
use compute_domain::instance::Instance;
use compute_domain::money::Usd;
use compute_domain::owner::Scope;
use compute_domain::payment::RailLabel;
use compute_domain::time::{Span, Timestamp};
use compute_x402::Offer;

use crate::catalog::PricedPlan;
use crate::challenges::RequestFacts;
use crate::charge::{Charge, ChargeTerms};
use crate::engine::Engine;
use crate::error::{AuthFailure, Error};
use crate::extend::ExtendRequest;
use crate::identity::Caller;
use crate::offer::{OfferSheet, ProvisionRequest};
use crate::ports::{AnyRail, TxMode};
use crate::purchase::Purchase;
use crate::stock::Need;
use crate::subject::Subject;

/// How the purchase is meant to be paid.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuoteTerms<'a> {
    /// With the caller's credits.
    pub use_credits: bool,
    /// The most it may cost.
    pub max_total: Option<Usd>,
    /// The absolute URL of the purchase.
    pub resource_url: &'a str,
}

/// What a purchase would cost, and everything that is known beforehand.
#[derive(Debug, Clone)]
pub struct Quote {
    /// The price, and the offers over the rails that can settle now; none for what is to be paid with
    /// credits.
    pub sheet: OfferSheet,
    /// What a day costs at its rate.
    pub daily: Usd,
    /// Until when a payment of this price is taken, whatever happens to the price meanwhile.
    pub valid_until: Timestamp,
    /// The size of the machine; none when its plan is sold no more.
    pub plan: Option<PricedPlan>,
    /// Where the machine is, or would be.
    pub region: Option<Region>,
    /// The image of a new machine.
    pub image: Option<OsImage>,
    /// When the machine's time ends now, and when it would end then; for its owner alone.
    pub end: Option<(Timestamp, Timestamp)>,
}

fn daily_of(sheet: &OfferSheet) -> Result<Usd, Error> {
    let time = sheet.time.ok_or_else(|| {
        // Machines and time for them have hours.
        Error::Internal("a price without its time".into())
    })?;
    compute_pricing::daily(time.rate).map_err(|error| Error::Internal(Box::new(error)))
}

/// One way to pay a quote from outside.
#[derive(Debug, Clone)]
pub enum Way<'a> {
    /// By x402.
    X402 {
        /// The rail.
        rail: &'a RailLabel,
        /// What it asks for.
        offer: &'a Offer,
        /// Decimals of its token.
        decimals: u8,
    },
    /// By a challenge, which comes with the 402 of the purchase itself.
    Charge {
        /// The rail and the amount.
        charge: &'a Charge,
        /// How it is paid.
        terms: &'a ChargeTerms,
        /// Decimals of its token or currency.
        decimals: u8,
    },
}

impl Engine {
    /// What a machine would cost. Nothing is written, and nothing spent.
    ///
    /// # Errors
    /// As [`Engine::provision`] without a payment: when it asks for what is not sold, or nothing can be
    /// sold now, or it costs more than it may. `Unauthenticated` for the credits of nobody, also for those
    /// that it is to be extended from.
    pub async fn quote_machine(
        &self,
        caller: &Caller,
        request: &ProvisionRequest,
        terms: QuoteTerms<'_>,
    ) -> Result<Quote, Error> {
        Self::check_auto_extend(caller, request.auto_extend)?;
        let subject = Subject::Machine(request);
        let sheet = self.appraise(caller, subject, terms).await?;
        let shelf = self.shelf()?;
        let provider = request.plan.provider();
        let mut regions = shelf.regions.iter();
        Ok(Quote {
            daily: daily_of(&sheet)?,
            sheet,
            valid_until: self.price_end(),
            plan: shelf.find_plan(&request.plan).cloned(),
            region: regions.find(|region| region.id == request.region).cloned(),
            image: shelf.find_image(provider, &request.os).cloned(),
            end: None,
        })
    }

    /// What more time for a machine would cost. Nothing is written, and nothing spent.
    ///
    /// # Errors
    /// As [`Engine::extend`] without a payment; and as [`Engine::quote_machine`].
    pub async fn quote_time(
        &self,
        caller: &Caller,
        id: InstanceId,
        request: &ExtendRequest,
        terms: QuoteTerms<'_>,
    ) -> Result<Quote, Error> {
        let instance = self.find_extendable(caller, id).await?;
        let instance = instance.ok_or(Error::NotFound)?;
        let subject = Subject::Time {
            instance: Box::new(instance.clone()),
            hours: request.hours,
            network: &request.network,
        };
        let sheet = self.appraise(caller, subject, terms).await?;
        let shelf = self.shelf()?;
        let plan = shelf.find_plan(&instance.plan);
        let plan = plan.or_else(|| shelf.withheld(&instance.plan));
        let mut regions = shelf.regions.iter();
        // Whoever knows its id learns what time for it costs, and nothing else about it.
        let may_see = !matches!(caller, Caller::Anonymous) && caller.require(Scope::Read).is_ok();
        let now = instance.expires_at();
        Ok(Quote {
            daily: daily_of(&sheet)?,
            sheet,
            valid_until: self.price_end(),
            plan: plan.cloned(),
            region: regions.find(|region| region.id == instance.region).cloned(),
            image: None,
            end: may_see.then(|| (now, now.plus(Span::from_hours(request.hours.get())))),
        })
    }

    /// The ways to pay a quote from outside, in the order in which they are offered.
    pub fn ways<'a>(&'a self, sheet: &'a OfferSheet) -> Vec<Way<'a>> {
        let offers = sheet.rails.iter().zip(&sheet.offers);
        let offers = offers.filter_map(|(rail, offer)| match self.rail_named(rail)? {
            AnyRail::X402(found) => Some(Way::X402 {
                rail,
                offer,
                decimals: found.spec().decimals,
            }),
            AnyRail::Mpp(_) => None,
        });
        let charges = sheet.charges.iter();
        let charges = charges.filter_map(|charge| match self.rail_named(&charge.rail)? {
            AnyRail::Mpp(found) => Some(Way::Charge {
                charge,
                terms: &found.spec().terms,
                decimals: found.spec().decimals,
            }),
            AnyRail::X402(_) => None,
        });
        offers.chain(charges).collect()
    }

    fn rail_named(&self, label: &RailLabel) -> Option<&AnyRail> {
        self.rails.iter().find(|rail| rail.label() == label)
    }

    /// A price that is named now is taken until then.
    fn price_end(&self) -> Timestamp {
        self.now().plus(self.config.sales.price_grace)
    }

    async fn appraise(
        &self,
        caller: &Caller,
        subject: Subject<'_>,
        terms: QuoteTerms<'_>,
    ) -> Result<OfferSheet, Error> {
        if terms.use_credits {
            if matches!(caller, Caller::Anonymous) {
                return Err(AuthFailure::Required.into());
            }
            self.refuse_blocked(caller, None).await?;
        }
        self.refresh_stock(&subject, Need::Quote).await;
        let shelf = self.shelf()?;
        let purchase = Purchase {
            caller,
            digest: subject.digest(),
            subject,
            request_keys: Vec::new(),
            max_total: terms.max_total,
            resource_url: terms.resource_url.to_owned(),
            facts: RequestFacts::default(),
            gate: None,
        };
        let sheet = if terms.use_credits {
            let priced = self.price_of(&purchase.subject, &shelf)?;
            let network = purchase.subject.network();
            OfferSheet::without_offers(priced, terms.resource_url, network)
        } else {
            self.quote_from(&shelf, &purchase)?
        };
        purchase.check_price(sheet.price)?;
        Ok(sheet)
    }

    /// The machine that a request for more time is about; none where there is none, or another caller's.
    pub(crate) async fn find_extendable(
        &self,
        caller: &Caller,
        id: InstanceId,
    ) -> Result<Option<Instance>, Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let found = tx.find_instance(id).await?;
        let is_foreign = match (caller, &found) {
            (Caller::ApiKey { owner, .. }, Some(instance)) => instance.owner != *owner,
            (Caller::Wallet(wallet), Some(instance)) => {
                tx.find_owner(&wallet.address).await? != Some(instance.owner)
            }
            _ => false,
        };
        tx.rollback().await?;
        Ok(found.filter(|_| !is_foreign))
    }
}
