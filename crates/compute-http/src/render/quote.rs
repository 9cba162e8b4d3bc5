//! A quote: a price, its parts, and every way to pay it.

use compute_domain::id::InstanceId;
use compute_engine::{ChargeTerms, PricedPlan, Quote, Way};
use compute_x402::{Method as TokenMethod, Offer};
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Dollars;
use super::shelf::{ImageItem, RegionItem};
use crate::app::App;
use crate::error::ApiError;

/// How what was quoted is bought: by the same body, at this URL.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuotedPurchase)]
pub(crate) struct Purchase {
    method: &'static str,
    url: String,
    #[serde(skip)]
    #[schema(ignore)]
    action: &'static str,
    #[serde(skip)]
    #[schema(ignore)]
    order: Option<InstanceId>,
}

impl Purchase {
    pub(crate) const fn provision(url: String) -> Self {
        Self {
            method: "POST",
            url,
            action: "provision",
            order: None,
        }
    }

    pub(crate) const fn extend(url: String, id: InstanceId) -> Self {
        Self {
            method: "POST",
            url,
            action: "extend",
            order: Some(id),
        }
    }
}

/// The answer to a request for a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteReply<'a> {
    action: &'static str,
    description: &'a str,
    /// The price as a number, and exactly as a text.
    total_usd: Dollars,
    total: String,
    hours: u32,
    our_hourly: Dollars,
    our_daily: Dollars,
    quoted_at: String,
    /// Until when a payment of this price is taken, whatever the price is then.
    valid_until: String,
    purchase: &'a Purchase,
    pay: Vec<WayItem<'a>>,
    /// What is known of the stock: a machine that is sold out is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    stock: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<RegionItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<ImageItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    order_id: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_expires_at: Option<String>,
}

/// One way to pay. `network` is the word of request bodies.
#[derive(Debug, Serialize, ToSchema)]
struct WayItem<'a> {
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caip2: Option<String>,
    /// The method of the challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    /// How the token is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    /// In the smallest unit of the token or currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_to: Option<String>,
    /// Dollars, for what is paid with credits.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_usd: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct PlanFacts<'a> {
    id: &'a str,
    provider: &'static str,
    vcpu_count: u32,
    ram: u32,
    disk: u32,
    bandwidth: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_vram_gb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_type: Option<&'a str>,
}

impl<'a> QuoteReply<'a> {
    pub(crate) fn new(
        quote: &'a Quote,
        purchase: &'a Purchase,
        app: &'a App,
    ) -> Result<Self, ApiError> {
        let sheet = &quote.sheet;
        let time = sheet
            .time
            .ok_or_else(|| ApiError::internal(std::io::Error::other("a quote without its time")))?;
        let ways = app.engine().ways(sheet).into_iter().map(WayItem::new);
        let credits = WayItem {
            protocol: "credits",
            amount_usd: Some(sheet.price.to_string()),
            ..WayItem::nothing()
        };
        let (expires_at, new_expires_at) = quote.end.unzip();
        Ok(Self {
            action: purchase.action,
            description: &sheet.resource.description,
            total_usd: Dollars(sheet.price),
            total: sheet.price.to_string(),
            hours: time.hours.get(),
            our_hourly: Dollars(time.rate.usd()),
            our_daily: Dollars(quote.daily),
            quoted_at: app.engine().now().rfc3339(),
            valid_until: quote.valid_until.rfc3339(),
            purchase,
            pay: ways.chain([credits]).collect(),
            stock: purchase.order.is_none().then_some("available"),
            plan: quote.plan.as_ref().map(PlanFacts::new),
            region: quote.region.as_ref().map(RegionItem::new),
            os: quote.image.as_ref().map(ImageItem::new),
            order_id: purchase.order,
            expires_at: expires_at.map(|at| at.rfc3339()),
            new_expires_at: new_expires_at.map(|at| at.rfc3339()),
        })
    }
}

impl<'a> WayItem<'a> {
    const fn nothing() -> Self {
        Self {
            protocol: "",
            network: None,
            caip2: None,
            method: None,
            transfer: None,
            asset: None,
            currency: None,
            decimals: None,
            amount: None,
            pay_to: None,
            amount_usd: None,
        }
    }

    fn new(way: Way<'a>) -> Self {
        match way {
            Way::X402 {
                rail,
                offer,
                decimals,
            } => Self {
                protocol: "x402",
                network: Some(rail.as_str()),
                caip2: Some(offer.network().caip2().to_owned()),
                transfer: Some(transfer_of(offer)),
                asset: Some(offer.token().asset_text().to_owned()),
                decimals: Some(decimals),
                amount: Some(offer.amount().to_string()),
                pay_to: Some(offer.pay_to_text().to_owned()),
                ..Self::nothing()
            },
            Way::Charge {
                charge,
                terms,
                decimals,
            } => {
                let bare = Self {
                    protocol: "mpp",
                    network: Some(charge.rail.as_str()),
                    method: Some(charge.method.as_str()),
                    decimals: Some(decimals),
                    amount: Some(charge.atomic.to_string()),
                    ..Self::nothing()
                };
                match terms {
                    ChargeTerms::Tempo(tempo) => Self {
                        caip2: Some(format!("eip155:{}", tempo.chain_id)),
                        asset: Some(tempo.currency.to_checksum()),
                        pay_to: Some(tempo.recipient.to_checksum()),
                        ..bare
                    },
                    ChargeTerms::Stripe { currency, .. } => Self {
                        currency: Some(currency),
                        ..bare
                    },
                }
            }
        }
    }
}

/// The word for how a token is moved.
fn transfer_of(offer: &Offer) -> &'static str {
    match offer.token().method() {
        TokenMethod::Permit { .. } => "permit",
        _ if offer.token().as_evm().is_some() => "eip3009",
        _ => "solana",
    }
}

impl<'a> PlanFacts<'a> {
    fn new(priced: &'a PricedPlan) -> Self {
        let plan = &priced.plan;
        Self {
            id: plan.id.as_str(),
            provider: plan.provider.as_str(),
            vcpu_count: plan.vcpu_count,
            ram: plan.ram_mib,
            disk: plan.disk_gb,
            bandwidth: plan.bandwidth_gb,
            gpu_vram_gb: plan.gpu.as_ref().map(|gpu| gpu.vram_gb),
            gpu_type: plan.gpu.as_ref().map(|gpu| gpu.model.as_str()),
        }
    }
}
