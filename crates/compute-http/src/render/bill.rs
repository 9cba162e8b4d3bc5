//! The receipt of a purchase as a document: what was bought, what was paid, by whom and how.

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::money::Usd;
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::time::Timestamp;
use compute_engine::OperationView;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::money::Dollars;
use super::receipt::{self, Receipt};
use crate::app::App;

/// A receipt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReceiptReply)]
pub(crate) struct Bill<'a> {
    #[schema(value_type = String, format = "uuid")]
    operation_id: OperationId,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    order_id: Option<InstanceId>,
    #[serde(flatten)]
    #[schema(value_type = Goods<'a>)]
    goods: Option<Goods<'a>>,
    /// The price as a number, and exactly as a text.
    total_usd: Dollars,
    total: String,
    /// `settled`, `credits`, or `refunded` when all of it became credits.
    settlement: &'static str,
    paid_at: String,
    #[serde(flatten)]
    means: Means<'a>,
    /// What the owner's credits got for it, or got back of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    credited: Option<String>,
    #[serde(flatten)]
    proof: Proof,
}

/// Time for a machine; a top-up has none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimeSold)]
struct Goods<'a> {
    #[schema(required = false)]
    hours: u32,
    #[schema(required = false)]
    our_hourly: Dollars,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
}

/// How it was paid.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MeansOfPayment)]
struct Means<'a> {
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    /// In the smallest unit of the token or currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge_id: Option<&'a str>,
}

/// What others can check.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ReceiptProof)]
struct Proof {
    /// The value of `Payment-Receipt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_receipt: Option<String>,
    /// The receipt of the x402 extension `offer-receipt`, signed by the shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<Value>,
}

impl<'a> Bill<'a> {
    /// The receipt of some work; none where no money has arrived for it.
    pub(crate) fn of(view: &'a OperationView, app: &App) -> Option<Self> {
        let (price, paid_at) = paid(view)?;
        let operation = &view.operation;
        let spec = operation.data.spec.as_ref();
        let goods = operation.data.time.map(|time| Goods {
            hours: time.hours.get(),
            our_hourly: Dollars(time.rate.usd()),
            plan: spec.map(|spec| spec.plan.as_str()),
            region: spec.map(|spec| spec.region.as_str()),
        });
        let credited = view.deposited().or_else(|| view.credited());
        Some(Self {
            operation_id: operation.id,
            kind: operation.kind.as_str(),
            order_id: operation.instance,
            goods,
            total_usd: Dollars(price),
            total: price.to_string(),
            settlement: receipt::settlement_word(view)?,
            paid_at: paid_at.rfc3339(),
            means: view.payment.as_ref().map_or_else(Means::credits, Means::of),
            credited: credited.map(|amount| amount.to_string()),
            proof: Proof::of(view, app),
        })
    }
}

/// What was paid, and when it arrived.
fn paid(view: &OperationView) -> Option<(Usd, Timestamp)> {
    match &view.payment {
        Some(payment) => match &payment.state {
            PaymentState::Settled { at, .. } => Some((payment.price, *at)),
            PaymentState::Refunded { settled_at, .. } => Some((payment.price, *settled_at)),
            PaymentState::Claimed | PaymentState::Declined { .. } => None,
        },
        None => {
            let spent = view.operation.data.credits?;
            Some((spent.amount, view.operation.created_at))
        }
    }
}

impl<'a> Means<'a> {
    const fn credits() -> Self {
        Self {
            protocol: "credits",
            network: None,
            amount: None,
            decimals: None,
            payer: None,
            tx_hash: None,
            challenge_id: None,
        }
    }

    fn of(payment: &'a Payment) -> Self {
        let challenge_id = payment.challenge_id.as_deref();
        let evidence = payment.evidence();
        Self {
            protocol: if challenge_id.is_some() {
                "mpp"
            } else {
                "x402"
            },
            network: Some(payment.rail.as_str()),
            amount: Some(payment.asset.atomic.to_string()),
            decimals: Some(payment.asset.decimals),
            payer: payment.payer.map(|payer| payer.to_string()),
            tx_hash: evidence.map(|evidence| evidence.reference.as_str()),
            challenge_id,
        }
    }
}

impl Proof {
    fn of(view: &OperationView, app: &App) -> Self {
        match receipt::of(view, app) {
            Some(Receipt::Mpp(value)) => Self {
                payment_receipt: Some(value),
                signed: None,
            },
            Some(Receipt::X402(_)) => Self {
                payment_receipt: None,
                signed: receipt::signed(view, app),
            },
            None => Self::default(),
        }
    }
}
