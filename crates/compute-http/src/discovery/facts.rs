//! What the pages say about this shop: where it is, how it is paid, from what price on.

use compute_domain::WalletAddress;
use compute_domain::catalog::{OsImage, ProviderId};
use compute_domain::money::{Hours, Usd};
use compute_engine::ports::AnyRail;
use compute_engine::{ChargeTerms, Engine, PricedPlan, Shelf};
use serde_json::{Value, json};

use crate::app::{App, Mode};

/// A network of x402.
#[derive(Debug)]
pub(super) struct NetworkFact {
    /// The word of request bodies.
    pub(super) label: String,
    pub(super) caip2: String,
    pub(super) asset: String,
    pub(super) pay_to: String,
    pub(super) decimals: u8,
}

/// A method of the Payment scheme.
#[derive(Debug)]
pub(super) struct ChargeFact {
    pub(super) method: String,
    /// A token's address, or a code of ISO 4217.
    pub(super) currency: String,
}

/// The facts. All of them are the configuration's or the shelf's, so that replicas agree.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) url: String,
    pub(super) is_dev: bool,
    pub(super) networks: Vec<NetworkFact>,
    pub(super) charges: Vec<ChargeFact>,
    pub(super) default_network: String,
    /// The least and the most that a purchase of time can cost; nothing while nothing is sold.
    pub(super) prices: Option<(Usd, Usd)>,
    pub(super) topup: (Usd, Usd),
    /// A purchase that would be taken as it stands.
    pub(super) purchase: Option<Value>,
}

impl Facts {
    pub(super) fn of(app: &App, shelf: Option<&Shelf>) -> Self {
        let (engine, settings) = (app.engine(), app.settings());
        let default_network = settings.default_network.to_string();
        Self {
            url: settings.public_url.as_str().to_owned(),
            is_dev: settings.mode == Mode::Dev,
            networks: networks(engine, &default_network),
            charges: charges(engine),
            prices: shelf.and_then(prices),
            topup: engine.topup_bounds(),
            purchase: shelf.and_then(|shelf| purchase(shelf, &default_network)),
            default_network,
        }
    }

    /// The absolute URL of a path.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// As challenges show it: clients compare letter case.
fn shown(address: WalletAddress) -> String {
    match address {
        WalletAddress::Evm(address) => address.to_checksum(),
        WalletAddress::Solana(address) => address.to_string(),
    }
}

/// The default first.
fn networks(engine: &Engine, default: &str) -> Vec<NetworkFact> {
    let rails = engine.rails().iter().filter_map(|rail| match rail {
        AnyRail::X402(rail) => Some(rail.spec()),
        AnyRail::Mpp(_) => None,
    });
    let fact = rails.map(|spec| NetworkFact {
        label: spec.label.to_string(),
        caip2: spec.token.network().caip2().to_owned(),
        asset: shown(spec.token.asset()),
        pay_to: shown(spec.pay_to.address()),
        decimals: spec.decimals,
    });
    let mut networks: Vec<_> = fact.collect();
    networks.sort_by(|one, other| {
        let rank = |network: &NetworkFact| (network.label != default, network.label.clone());
        rank(one).cmp(&rank(other))
    });
    networks
}

fn charges(engine: &Engine) -> Vec<ChargeFact> {
    if !engine.takes_credentials() {
        return Vec::new();
    }
    let rails = engine.rails().iter().filter_map(|rail| match rail {
        AnyRail::X402(_) => None,
        AnyRail::Mpp(rail) => Some(&rail.spec().terms),
    });
    let fact = rails.map(|terms| ChargeFact {
        method: terms.method().as_str().to_owned(),
        currency: match terms {
            ChargeTerms::Tempo(terms) => terms.currency.to_string(),
            ChargeTerms::Stripe { currency, .. } => currency.clone(),
        },
    });
    let mut charges: Vec<_> = fact.collect();
    charges.sort_by(|one, other| one.method.cmp(&other.method));
    charges
}

fn on_sale(shelf: &Shelf) -> impl Iterator<Item = &PricedPlan> {
    let plans = shelf.plans.iter();
    plans.filter(|priced| !priced.plan.locations.is_empty())
}

/// From a day of the cheapest machine to the longest time of the dearest one.
fn prices(shelf: &Shelf) -> Option<(Usd, Usd)> {
    let daily = || on_sale(shelf).map(|priced| priced.daily);
    let days = i64::from(Hours::MAX / Hours::MIN);
    let most = daily().max()?.micros().checked_mul(days)?;
    Some((daily().min()?, Usd::from_micros(most).ok()?))
}

/// A day of the cheapest machine that needs no SSH key, as a body. It bounds its price, as every purchase
/// should.
fn purchase(shelf: &Shelf, network: &str) -> Option<Value> {
    let simple = on_sale(shelf).filter(|priced| priced.plan.provider == ProviderId::Vultr);
    let cheapest = simple.min_by_key(|priced| priced.rate)?;
    let plan = &cheapest.plan;
    let own = |image: &&OsImage| shelf.find_image(plan.provider, &image.id).is_some();
    let images = || shelf.images.iter().filter(own);
    let image = images().find(|image| image.name.contains("Ubuntu 24"));
    let id = image.or_else(|| images().next())?.id.as_str();
    let os_id = id.parse::<u64>().map_or_else(|_| json!(id), Value::from);
    Some(json!({
        "plan": plan.id.as_str(), "region": plan.locations.first()?.as_str(), "os_id": os_id,
        "prepaid_hours": Hours::MIN, "network": network, "max_total_usd": cheapest.daily.to_string(),
    }))
}
